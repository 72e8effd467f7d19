"""The model: what a user calls. The way of a batch goes through `graph`, the epochs through `training`."""
import contextlib
import copy
from collections.abc import Sequence
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import checkpoint, inference, preparation, training
from ._numba.jit import Stopwatch
from ._numba.threads import parallel_region
from .graph import Graph
from .habits import MODEL
from .heads import Head
from .inputs.checks import as_numbers, check_count, check_dtype, narrowed, shown
from .layers import Input, Layer
from .layers.checks import check_layers
from .memory import Array, Arrays, Shape
from .metrics import Asked, Metrics
from .objects import Strict
from .optimizers import Optimizer
from .summary import in_a_line, in_a_notebook, summary
from .training.ranks import Ranks, sample_of
from .training.shards import check_shards


class Sequential(Strict):
    """A network: layers, each fed by the one before, and a head that gives the output its meaning.

    It can be copied and pickled: a copy trains on as the original would, and shares nothing with it.

    Parameters
    ----------
    layers : sequence of layers
        `Dense`, `Tanh`, `ReLU`, `Dropout`; for images `Conv2D`, `MaxPool2D`, for sequences `GRU`; and others
        of `layers`. `Input` may be in front of them. ``Dense(100, activation="relu")`` becomes two layers.
    head : a head
        `Categorical` and the others of `heads`. The last layer gives its logits.
    dtype : str or np.dtype
        ``"float32"`` or ``"float64"``: of parameters, activations and gradients.

    Raises
    ------
    TypeError, ValueError
        Something is no layer or no head, is given twice, or belongs to another model.

    Examples
    --------
    >>> import numpy as np, nnjit as nn
    >>> X, y = np.eye(4), [0, 1, 2, 3]
    >>> model = nn.Sequential([nn.Dense(16), nn.Tanh(), nn.Dense(4)], head=nn.Categorical())
    >>> history = model.fit(X, y, optimizer=nn.Adam(0.05), epochs=100, batch_size=4, verbose=0)
    >>> model.predict(X)
    array([0, 1, 2, 3])
    """

    _habits = MODEL
    __repr__, _repr_html_ = in_a_line, in_a_notebook

    def __init__(self, layers: Sequence[Layer | Input], head: Head, dtype: DTypeLike = "float32"):
        (parts, shape), dtype = check_layers(layers), check_dtype(dtype)
        if not isinstance(head, Head):
            raise TypeError(f"head: got {shown(head)}, expected a head such as Categorical()")
        self.graph = Graph(parts, head, dtype)
        self.input_scale: Any = None    # of what was trained on, an `inputs.scale.Scale`
        self.preprocessing: Any = None    # of the file that it was, `inputs.columns.Columns` or `Pictures`
        self.history: training.History | None = None
        self.optimizer: Optimizer | None = None
        self.untouched: int | None = None
        if shape is not None:
            self.build(shape)
            # the first `fit` begins anew, with its own seed
            self.untouched = preparation.checksum(self.graph)

    @property
    def layers(self) -> list[Layer]:
        """The layers."""
        return self.graph.layers

    @property
    def head(self) -> Head:
        """The head."""
        return self.graph.head

    @property
    def dtype(self) -> np.dtype:
        """Of parameters, activations and gradients."""
        return self.graph.dtype

    @property
    def input_shape(self) -> Shape | None:
        """The shape of a row, None before the model is built."""
        return self.graph.input_shape

    @property
    def vector(self) -> Array:
        """All parameters, (P,), of which those of the layers are views; padding between them is 0."""
        return self.graph.vector

    @property
    def gradient_vector(self) -> Array:
        """The gradient of the last batch, laid out like `vector`."""
        return self.graph.gradient_vector

    def build(self, input_shape: int | Shape, seed: int = 0) -> "Sequential":
        """Make the parameters for rows of ``input_shape`` (a tuple, or D for flat rows) and initialise them.

        Building again starts anew. Returns the model.
        """
        shape = input_shape if isinstance(input_shape, tuple) else (input_shape,)
        self.graph.build(tuple(check_count("input_shape", size) for size in shape),
                         check_count("seed", seed, least=0))
        self.input_scale, self.untouched = None, None
        return self

    def parameters(self) -> Arrays:
        """Return the live parameters: ``{"0.W": (in, out), "0.b": (out,)}``, a head's as ``"head.…"``."""
        self._check_built()
        return self.graph.named("parameters")

    def state(self) -> Arrays:
        """Return the live arrays that are saved but not trained, under keys as of `parameters`."""
        self._check_built()
        return self.graph.named("state")

    def gradients(self, X: Any, y: Any, sample_weight: ArrayLike | None = None, step: int | None = None,
                  mask: ArrayLike | None = None) -> Arrays:
        """Return d(mean loss)/d(parameter) under the keys of `parameters`, as copies.

        ``step`` is the number of a training step, whose dropout masks are applied; None applies none.
        """
        self._check_built()
        rows, mask = preparation.sequences_of(self, X, mask)
        data = preparation.examples(self, rows, y, sample_weight, mask=mask)
        step = None if step is None else check_count("step", step, least=0)
        with parallel_region():
            batch, = data.batches(len(data))
            data.graph.loss_and_gradient(batch, data.divisor(data.targets),
                                         data.graph.workspaces()[len(data)], step)
        return {name: array.copy() for name, array in self.graph.named("gradients").items()}

    def get_weights(self) -> list[Array]:
        """Return copies of all arrays, those of `parameters` and then those of `state`."""
        self._check_built()
        return [array.copy() for array in self.graph.arrays().values()]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set all arrays to what `get_weights` returned; ValueError where they are others."""
        self._check_built()
        arrays = self.graph.arrays()
        names = [name.partition("/")[2] for name in arrays]
        if len(weights) != len(arrays):
            raise ValueError(f"weights: got {len(weights)} arrays, expected {len(names)}: {', '.join(names)}")
        given = []
        for name, array, one in zip(names, arrays.values(), weights):
            values = as_numbers(f"weights of {name}", one)
            if values.shape != array.shape:
                raise ValueError(f"weights of {name}: got shape {values.shape}, expected {array.shape}")
            given.append(narrowed(f"weights of {name}", values, array.dtype))
        self.untouched = None
        for array, values in zip(arrays.values(), given):
            array[...] = values

    def copy_weights(self, other: "Sequential", layers: slice | Sequence[str] | None = None) -> None:
        """Copy trained weights, and state, from another model into this one, which must be built.

        Parameters
        ----------
        other : Sequential
            A built model, of either dtype.
        layers : slice, or sequence of str, optional
            Which layers, by their numbers in both models: ``slice(0, 3)``; or names as of `parameters`, such
            as ``["0.W"]``. By default all, and the head.

        Raises
        ------
        TypeError, ValueError
            ``layers`` are neither; a name or shape is not the same in both models.
        """
        self._check_built()
        if not isinstance(other, Sequential):
            raise TypeError(f"other: got {type(other).__name__}, expected a Sequential")
        other._check_built()
        self.graph.copy_arrays(other.graph, layers)
        self.untouched = None

    def __copy__(self) -> "Sequential":
        """Return a copy that shares nothing: one that shared its weights would be trained by halves."""
        return copy.deepcopy(self)

    # ---- training ------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, optimizer: Optimizer | None = None, epochs: int = 1,
            batch_size: int | None = None, validation_data: Any = None, validation_split: float = 0.0,
            sample_weight: ArrayLike | None = None, shuffle: bool = True, seed: int = 0,
            callbacks: training.Callbacks = (), verbose: str | int = "auto", validate_every: int = 1,
            sparse: bool | str = "auto", initial_epoch: int = 0,
            class_weight: dict[Any, Any] | str | None = None, metrics: Asked = (),
            mask: ArrayLike | None = None, shards: int | None = None, comm: Any = None) -> training.History:
        """Train on the rows of ``X`` and their targets ``y``; the first call builds the network.

        Parameters
        ----------
        X : array_like, (N, D); or a stream
            Finite numbers, an array or a scipy.sparse matrix; cast once to the model's dtype, never modified.
            A stream, without ``y``, is an iterable of blocks, (X, y) or (X, y, sample_weight), or a function
            that returns one for every epoch; a block is read, checked and prepared in the background.
            Bytes (uint8) are divided by 255 where the first layer takes images: convolutions, pools,
            `Flatten`, `RandomFlip` and `RandomShift`. For other first layers they are numbers as they are.
        y : array_like
            Targets as the head takes them.
        optimizer : SGD, Adam, AdamW
            It belongs to this model from now on, and goes on in the next call.
        epochs, batch_size : int
            At least 1. The last batch of an epoch has the rows that are left. By default a batch has 32 rows;
            a stream's is a block, or so many rows of one.
        validation_data : tuple, or a stream, optional
            ``(X, y)``, ``(X, y, sample_weight)`` or ``(X, y, sample_weight, mask)``, evaluated without
            dropout.
        validation_split : float
            In place of validation data: this fraction of the rows, the last of them before any shuffling.
        sample_weight : array_like, (N,), optional
            The loss of a batch of n rows is sum w l / (n times the mean weight of all training rows), so that
            weights keep their force in batches of any size.
        shuffle : bool
            A new order in every epoch, which follows from ``seed``; a stream's is its own.
        seed : int
            At least 0: of the initialisation at the first call, the order and the dropout masks.
        callbacks : sequence of callbacks
            Such as `callbacks.EarlyStopping`; or functions of (model, epoch, logs), which are called after
            every epoch, and end the training if they return ``True``.
        verbose : "auto", 0 or 1
            A progress bar on a terminal and plain lines elsewhere, or nothing (0).
        validate_every : int
            Evaluate the validation data after the epochs 0, this, twice this, ... and after the last.
        sparse : "auto", True or False
            Whether the zeros of the inputs are left out: where there are many, always, or never.
        initial_epoch : int
            The number of the first epoch, below ``epochs``, which counts from 0 all the same.
        class_weight : dict, "balanced" or None
            What multiplies the weight of a training row, by its class: ``{1: 5.0}``, or all classes alike.
            For `Heads` a dict of these by name. Validation data are left as they are.
        mask : array_like, (N, T) of bool, or (N,) of lengths, optional
            Which steps of sequences (N, T, D) are valid; the others may hold anything. A list of arrays (T_n,
            D) of different lengths needs none. See docs/sequences.md.
        metrics : list of str
            What is measured beside the loss and the head's own metric, in training and in validation, by
            scikit-learn's names, see `metrics`: ``["f1_macro", "roc_auc"]``. For `Heads` a dict of lists.
        shards : int, optional
            A power of two: a batch is cut into so many parts, whose gradients are added in a fixed tree.
            Normalisation takes the statistics of each part. With a ``comm`` 8 by default.
        comm : communicator of mpi4py, optional
            Such as ``MPI.COMM_WORLD``: its ranks, a power of two, share the shards and the evaluation out,
            and come to the bits of a single process with as many shards. See docs/scale.md.

        Warns
        -----
        RuntimeWarning
            Once, at the first loss that is not finite: a training that diverges goes on, and learns nothing.

        Returns
        -------
        History
            Also ``model.history``, which holds what was done if the training is interrupted.

        Raises
        ------
        TypeError, ValueError
            Anything above is not as described; the message says what was got and what is expected.
        """
        watch, ranks = Stopwatch(), None if comm is None else Ranks(comm)
        with contextlib.nullcontext() if ranks is None else ranks.together():
            plan = training.make_plan(epochs, batch_size, validate_every, shuffle, callbacks, verbose,
                                      initial_epoch, check_shards(shards, ranks))
            seed = check_count("seed", seed, least=0)
            if not isinstance(optimizer, Optimizer):
                raise TypeError(f"optimizer: got {shown(optimizer)}, expected an optimizer such as SGD(0.01)")
            self.graph.check_free()
            optimizer.check_free(self.graph)
            data, validation, measuring = preparation.training_examples(
                self, X, y, sample_weight, class_weight, mask, (validation_data, validation_split), metrics,
                sparse, seed, plan.epochs - plan.began, (ranks.rank, ranks.size) if ranks else (0, 1))
            if ranks:
                ranks.check_same({"model": repr(self), "optimizer": repr(optimizer), "training data":
                                  sample_of(X, y), "settings": repr((plan.settings(), seed, len(data)))})
            optimizer.claim(self.graph)
            self.graph.seed = seed
            measured = self.head.measured() + measuring.names
            measured += tuple(f"val_{name}" for name in measured) if validation else ()
            state = training.TrainingState(optimizer, seed, self, measuring, measured, plan.began, plan.began)
            self.history, self.optimizer = state.history, optimizer
            return training.fit(self, data, validation, state, plan, watch)

    def train_on_batch(self, X: Any, y: Any, optimizer: Optimizer, sample_weight: ArrayLike | None = None,
                       seed: int = 0) -> training.Logs:
        """Take one step on all rows of ``X``, and return the logs, ``{"loss": ..., "accuracy": ...}``.

        Arguments and errors are those of `fit`, whose history this does not touch.
        """
        history = self.history
        try:
            rows = preparation.count_rows(X)
            log = self.fit(X, y, optimizer, 1, max(1, rows), sample_weight=sample_weight, shuffle=False,
                           seed=seed, verbose=0).history
        finally:
            self.history = history
        return {name: values[-1] for name, values in log.items() if name != "seconds"}

    def test_on_batch(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> training.Logs:
        """Return what `evaluate` does, under Keras's name."""
        return self.evaluate(X, y, sample_weight)

    # ---- use -----------------------------------------------------------------------------------------------

    def evaluate(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None,
                 sparse: bool | str = "auto", metrics: Asked = (),
                 mask: ArrayLike | None = None) -> training.Logs:
        """Return ``{"loss": mean loss, "accuracy": fraction of right decisions}``, and the ``metrics`` that
        were asked for, as of `fit`; all weighted, without dropout.

        The loss of a row may depend on the rows beside it in its last digits, and warnings are given, as of
        `logits`.
        """
        self._check_built()
        measuring = Metrics(self.head, self.graph.shapes[-1][-1], metrics)
        data = preparation.evaluated_examples(self, X, y, sample_weight, sparse, mask)
        with contextlib.closing(data):
            return training.Evaluation(data, measuring).run()

    def logits(self, X: Any, sparse: bool | str = "auto", mask: ArrayLike | None = None) -> Array:
        """Return the last layer's output (N, K), before the head; at each step, (N, T, K), where it has any.

        A row's last digits (differences of about 1e-6 in float32, 1e-15 in float64) may depend on how many
        rows stand beside it: BLAS adds up the products of dense layers in an order that follows from the
        number of rows. With "auto", the number of zeros in all the rows also decides how the first layer is
        computed. Where the network is one `Dense` layer, with ``sparse=True``, a row's logits depend on the
        row only.

        Warns
        -----
        UserWarning
            X is of another scale than what was trained on: one of the two goes up to 1, the other above 50.
        """
        self._check_built()
        x, valid, graph = preparation.rows_to_use(self, X, mask, sparse)
        return inference.logits(graph, x, valid)

    def activations(self, X: Any, mask: ArrayLike | None = None) -> list[Array]:
        """Return a list of every layer's output, (N, ...), for the rows of X, without dropout."""
        self._check_built()
        x, valid, graph = preparation.rows_to_use(self, X, mask, sparse=False)
        with parallel_region():
            return graph.activations(x, valid)

    def predict(self, X: Any, sparse: bool | str = "auto", mask: ArrayLike | None = None) -> Array | Any:
        """Return the head's decision for every row: for `Categorical` the class numbers (N,) int64, or their
        names, where the targets had some; or for every step, (N, T).

        It follows from the `logits`, whose notes and warnings apply.
        """
        return self.head.named(inference.by_step(self.head.decide, self.logits(X, sparse, mask)))

    def predict_proba(self, X: Any, sparse: bool | str = "auto",
                      mask: ArrayLike | None = None) -> Array | Any:
        """Return the head's probabilities, (N, K) or (N, T, K), with the notes and warnings of `logits`."""
        return inference.by_step(partial(inference.probabilities, self.head), self.logits(X, sparse, mask))

    def summary(self) -> str:
        """Return a table of the layers.

        Each has its output shape, number of parameters, multiply-adds for a row in the forward pass, and its
        receptive field, the pixels H × W that an output sees; or what it does with the mask of sequences.
        """
        self._check_built()
        return summary(self.graph)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the network and its parameters to the file ``path``, which `load` reads.

        A file that was there is replaced only when the new one is complete and on the disk; it hands its
        permissions on. Until then the new one is called ``.name.partial``. A layer or a head of your own is
        saved as its class's name and its configuration, which have to be plain values. An ``init`` that is a
        function is not saved: a loaded network that is built anew begins as by default.

        Raises
        ------
        ValueError
            The model is not built, or a layer or a head cannot be made from plain values.
        OSError
            The file cannot be written.
        """
        self._check_built()
        checkpoint.save(path, self)

    def _check_built(self):
        if self.input_shape is None:
            raise ValueError("model: not built yet; call fit(X, y, ...) or build(input_shape) first")
