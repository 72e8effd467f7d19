"""The graph: a row of layers and a head. One direction down, one direction back."""
import functools
import math

import numpy as np

from . import checkpoint, training
from ._blas import kernel_threads
from ._jit import turns
from .inputs.batches import Examples
from .inputs.checks import check_count, check_dtype, check_sparse, check_weights
from .inputs.rows import FEW_ROWS, intensities, store, validate
from .inputs.scale import measure, warn_of_another
from .memory import Layout, aligned
from .training import evaluation_rows


class Sequential:
    """A network: layers, each fed by the one before, and a head that gives the output its meaning.

    Parameters
    ----------
    layers : sequence of layers
        `Dense`, `Tanh`, `ReLU`, `Sigmoid`, `Dropout`; for images `Conv2D`, `MaxPool2D` and the others of `layers`.
    head : a head
        `Categorical` and the others of `heads`. The last layer gives its logits.
    dtype : str or np.dtype
        ``"float32"`` or ``"float64"``: of parameters, activations and gradients.

    Examples
    --------
    >>> import numpy as np, nnjit as nn
    >>> X, y = np.eye(4), [0, 1, 2, 3]
    >>> model = nn.Sequential([nn.Dense(16), nn.Tanh(), nn.Dense(4)], head=nn.Categorical())
    >>> history = model.fit(X, y, optimizer=nn.Adam(0.05), epochs=100, batch_size=4, verbose=0)
    >>> model.predict(X)
    array([0, 1, 2, 3])
    """

    def __init__(self, layers, head, dtype="float32"):
        self.layers, self.head, self.dtype = _check_layers(layers), head, check_dtype(dtype)
        if isinstance(head, type) or not hasattr(head, "loss_and_delta"):
            raise TypeError(f"head: got {head!r}, expected a head such as Categorical()")
        self.input_shape = None
        self.input_scale = None    # of what was trained on, an `inputs.scale.Scale`
        self.history = None

    # ---- parameters ----------------------------------------------------------------------------------------

    def build(self, input_shape, seed=0):
        """Make the parameters for rows of ``input_shape`` (a tuple, or D for flat rows) and initialise them.

        All parameters lie in one flat vector, ``vector``, and all gradients in another, ``gradient_vector``; the layers
        hold views of both. Building again starts anew. Returns the model.
        """
        shape = input_shape if isinstance(input_shape, tuple) else (input_shape,)
        given = tuple(check_count("input_shape", size) for size in shape)
        self.input_shape = self.input_scale = None    # until all has gone well
        self.seed(seed)
        self.head.check_last_layer(self.layers[-1])
        self.infer_shapes(given)
        self.outputs = _outputs(self.layers, self.shapes)
        self._lay_out()
        for index, (_, part) in enumerate(self._parts()):
            part.initialise(np.random.default_rng([seed, index]))
        self.input_shape = given
        return self

    def infer_shapes(self, input_shape):
        """Return the shapes that `parameters` will have for rows of ``input_shape``, a tuple; nothing is allocated."""
        shape = tuple(check_count("input_shape", size) for size in input_shape)
        self.shapes = [shape := layer.build(shape) for layer in self.layers]
        if len(shape) != 1:
            raise ValueError(f"layers: got an output of shape {shape}, expected flat rows; put Flatten() after the last")
        self.head.build(shape)
        return {f"{key}.{name}": shape for key, part in self._parts() for name, shape in part.shapes.items()
                if math.prod(shape)}

    def _lay_out(self):
        """Make the flat vectors, and give every layer and the head its views of them.

        ``padded`` and ``padded_gradients`` have the padding, which is zero in both, so that no optimiser changes it.
        """
        parts = self._parts()
        layout = Layout({f"{key}.{name}": shape for key, part in parts for name, shape in part.shapes.items()}, self.dtype)
        self.vector, self.gradient_vector = layout.zeros(), layout.zeros()
        views = {"parameters": layout.views(self.vector), "gradients": layout.views(self.gradient_vector),
                 "padded": layout.stored(self.vector), "padded_gradients": layout.stored(self.gradient_vector)}
        for key, part in parts:
            for attribute, arrays in views.items():
                setattr(part, attribute, {name: arrays[f"{key}.{name}"] for name in part.shapes})

    def seed(self, seed):
        """Let the dropout masks follow from ``seed``, a whole number from 0 on."""
        seed = check_count("seed", seed, least=0)
        for index, layer in enumerate(self.layers):
            layer.seed, layer.index = seed, index

    def parameters(self):
        """Return the live parameters: ``{"0.W": (in, out), "0.b": (out,), ...}``; a head's own are ``"head.…"``."""
        self._check_built()
        return {f"{key}.{name}": array for key, part in self._parts() for name, array in part.parameters.items() if array.size}

    def _parts(self):
        return [*enumerate(self.layers), ("head", self.head)]

    def gradients(self, X, y, sample_weight=None, step=None):
        """Return d(mean loss)/d(parameter) under the keys of `parameters`, as copies.

        ``step`` is the number of a training step, whose dropout masks are applied; None applies none.
        """
        self._check_built()
        data = self._examples(validate(X, self.input_shape), y, sample_weight)
        step = None if step is None else check_count("step", step, least=0)
        with kernel_threads:
            (x, y, w, _), = data.batches(len(data))
            self.loss_and_gradient(x, y, w, self.tapes()[len(data)], step)
        return {f"{key}.{name}": array.copy() for key, part in self._parts() for name, array in part.gradients.items()
                if array.size}

    # ---- down and back -------------------------------------------------------------------------------------

    def tapes(self):
        """Return the arrays to go down and back in: ``tapes[N]`` is made when N rows come for the first time."""
        return _Tapes(self)

    def forward(self, x, tape, step=None):
        """Return the logits of the checked rows ``x``, an array of the ``tape``."""
        tape.arrays[0] = a = x
        for i, layer in enumerate(self.layers):
            out = tape.outputs[i]
            tape.arrays[i + 1] = a = layer.forward(a, a if out is None else out, step)
        return a

    def backward(self, delta, tape, step=None):
        """Write the gradients that follow from ``delta`` = dL/dz after `forward` on this tape; ``delta`` is overwritten."""
        for i in reversed(range(tape.lowest, len(self.layers))):
            layer = self.layers[i]
            dx = delta if layer.elementwise else tape.deltas[i]
            delta = layer.backward(tape.arrays[i], tape.arrays[i + 1], delta, dx, step)

    def loss_and_delta(self, x, y, w, tape, step=None):
        """Go down: return the head's sums (w l, w metric, w), and leave dL/dz in ``tape.delta``."""
        return self.head.loss_and_delta(self.forward(x, tape, step), y, w, tape.delta)

    def loss_and_gradient(self, x, y, w, tape, step=None):
        """Go down and back: return the head's sums, and leave the gradient in ``gradient_vector``."""
        sums = self.loss_and_delta(x, y, w, tape, step)
        self.backward(tape.delta, tape, step)
        return sums

    # ---- use -----------------------------------------------------------------------------------------------

    def fit(self, X, y, optimizer, epochs=1, batch_size=32, validation_data=None, sample_weight=None, shuffle=True, seed=0,
            callbacks=(), verbose="auto", validate_every=1, sparse="auto"):
        """Train on the rows of ``X`` and their targets ``y``; the first call builds the network.

        Parameters
        ----------
        X : array_like, (N, D)
            Finite numbers, an array or a scipy.sparse matrix; cast once to the model's dtype, never modified. Bytes
            (uint8) are divided by 255 where the first layer takes images: convolutions, pools, `Flatten`,
            `RandomFlip` and `RandomShift`. For other first layers they are numbers as they are.
        y : array_like
            Targets as the head takes them.
        optimizer : SGD, Adam, AdamW
        epochs, batch_size : int
            At least 1. The last batch of an epoch has the rows that are left.
        validation_data : tuple, optional
            ``(X, y)`` or ``(X, y, sample_weight)``, evaluated without dropout.
        sample_weight : array_like, (N,), optional
            The loss of a batch is sum w l / sum w.
        shuffle : bool
            A new order in every epoch, which follows from ``seed``.
        seed : int
            At least 0: of the initialisation at the first call, the order and the dropout masks.
        callbacks : sequence of callables
            Called as ``callback(model, epoch, logs)`` after every epoch; one that returns True ends the training.
        verbose : "auto", 0 or 1
            A progress bar on a terminal and plain lines elsewhere, or nothing (0).
        validate_every : int
            Evaluate the validation data after the epochs 0, this, twice this, ... and after the last.
        sparse : "auto", True or False
            Whether the zeros of the inputs are left out: where there are many, always, or never.

        Returns
        -------
        History
            Also ``model.history``, which holds what was done if the training is interrupted.

        Raises
        ------
        TypeError, ValueError
            Anything above is not as described; the message says what was got and what is expected.

        Warns
        -----
        UserWarning
            The validation data is of another scale than X, as of `logits`.
        """
        epochs, batch_size = check_count("epochs", epochs), check_count("batch_size", batch_size)
        validate_every, seed = check_count("validate_every", validate_every), check_count("seed", seed, least=0)
        if isinstance(optimizer, type) or not hasattr(optimizer, "step"):
            raise TypeError(f"optimizer: got {optimizer!r}, expected an optimizer such as SGD(0.01)")
        if not isinstance(callbacks, (list, tuple)) or not all(map(callable, callbacks)):
            raise TypeError(f"callbacks: got {callbacks!r}, expected a list of functions of (model, epoch, logs)")
        if verbose not in ("auto", 0, 1):
            raise ValueError(f"verbose: got {verbose!r}, expected 'auto', 0 or 1")
        fresh, scale = self.input_shape is None, self.input_scale
        try:
            rows = validate(X, self.input_shape)
            if fresh:
                self.head.prepare(y)
                self.build(rows.shape[1:], seed)
            data = self._examples(rows, y, sample_weight, sparse, single_pass=epochs == 1)
            self.input_scale = measure(rows, self._divisor(rows)).merged(scale)
            validation = self._validation(validation_data, sparse)
        except Exception:
            self.input_shape, self.input_scale = None if fresh else self.input_shape, scale
            raise
        self.seed(seed)
        return training.fit(self, data, optimizer, epochs, batch_size, validation, validate_every, shuffle, seed,
                            callbacks, verbose)

    def evaluate(self, X, y, sample_weight=None, sparse="auto"):
        """Return ``{"loss": mean loss, "accuracy": fraction of right decisions}``, both weighted, without dropout.

        The loss of a row may depend on the rows beside it in its last digits, and warnings are given, as of `logits`.
        """
        self._check_built()
        rows = validate(X, self.input_shape)
        data = self._examples(rows, y, sample_weight, sparse, training=False, single_pass=True)
        return training.evaluate(self, data.batches(evaluation_rows(self)), self.tapes())

    def logits(self, X, sparse="auto"):
        """Return the last layer's output (N, K), before the head.

        A row's last digits (differences of about 1e-6 in float32, 1e-15 in float64) may depend on how many rows stand
        beside it: BLAS adds up the products of dense layers in an order that follows from the number of rows. With
        "auto", the number of zeros in all the rows also decides how the first layer is computed. Where the network
        is one `Dense` layer, with ``sparse=True``, a row's logits depend on the row only.

        Warns
        -----
        UserWarning
            X is of another scale than what was trained on: one of the two goes up to 1, the other above 50.
        """
        self._check_built()
        x = self._rows(validate(X, self.input_shape), sparse, training=False, single_pass=True)
        if len(x) <= FEW_ROWS:    # too few for BLAS to start its threads
            with turns:
                return self._forward_once(x[:])
        z = np.empty((len(x), *self.shapes[-1]), self.dtype)
        tapes, rows = self.tapes(), evaluation_rows(self)
        with kernel_threads:
            for first in range(0, len(x), rows):
                block = x[first:first + rows]
                z[first:first + rows] = self.forward(block, tapes[len(block)])
        return z

    def _forward_once(self, a):
        """Return the logits of the checked rows ``a``, which leave nothing on a tape."""
        N = len(a)
        for layer, shape in zip(self.layers, self.outputs):
            a = layer.forward(a, a if shape is None else np.empty((N, *shape), self.dtype))
        return a

    def activations(self, X):
        """Return a list of every layer's output, (N, ...), for the rows of X, without dropout."""
        self._check_built()
        a, outputs = self._rows(validate(X, self.input_shape), False, training=False, single_pass=True), []
        with kernel_threads:
            for layer, shape in zip(self.layers, self.shapes):
                outputs.append(a := layer.forward(a, np.empty((len(a), *shape), self.dtype)))
        return outputs

    def predict(self, X, sparse="auto"):
        """Return the head's decision for every row: for `Categorical` the class numbers (N,) int64.

        It follows from the `logits`, whose notes and warnings apply.
        """
        return self.head.decide(self.logits(X, sparse))

    def predict_proba(self, X, sparse="auto"):
        """Return the head's probabilities, (N, K). They follow from the `logits`, whose notes and warnings apply."""
        z = self.logits(X, sparse)
        with turns:
            return self.head.probabilities(z)

    def summary(self):
        """Return a table of the layers.

        Each has its output shape, number of parameters, multiply-adds for one row on the way down, and receptive field: the
        pixels of the input, H × W, that one of its outputs depends on.
        """
        self._check_built()
        rows = [("", "layer", "output", "parameters", "multiply-adds", "sees")]
        rows += [(str(i), repr(layer), str(shape), f"{sum(map(np.size, layer.parameters.values())):,}",
                  f"{layer.multiply_adds:,}", field)
                 for i, (layer, shape, field) in enumerate(zip(self.layers, self.shapes, self._receptive_fields()))]
        rows.append(("", repr(self.head), "", f"{sum(a.size for a in self.parameters().values()):,}",
                     f"{sum(layer.multiply_adds for layer in self.layers):,}", ""))
        widths = [max(map(len, column)) for column in zip(*rows)]
        return "\n".join("  ".join(f"{cell:{'<<<>>>'[k]}{width}}" for k, (cell, width) in enumerate(zip(row, widths)))
                         for row in rows)

    def _receptive_fields(self):
        """Return for each layer what an output sees, as text: a window, moved by so much, of what the layer below sees."""
        size, step, fields, whole = 1, 1, [], len(self.input_shape) != 3
        for layer in self.layers:
            whole = whole or layer.window is None
            if not whole:
                size, step = size + (layer.window[0] - 1) * step, step * layer.window[1]
            fields.append("all" if whole else " × ".join(f"{min(size, most):g}" for most in self.input_shape[:2]))
        return fields

    def save(self, path):
        """Write the network and its parameters to the file ``path``, which `load` reads.

        A file that was there is replaced only when the new one is complete and on the disk; it hands its permissions
        on. Until then the new one is called ``.name.partial``. A layer or a head of your own is saved as its class's
        name and its configuration, which have to be plain values. An ``init`` that is a function is not saved: a
        loaded network that is built anew begins as by default.

        Raises
        ------
        ValueError
            The model is not built, or a layer or a head cannot be made from plain values.
        OSError
            The file cannot be written.
        """
        self._check_built()
        checkpoint.save(path, self)

    # ---- checks --------------------------------------------------------------------------------------------

    def _check_built(self):
        if self.input_shape is None:
            raise ValueError("model: not built yet; call fit(X, y, ...) or build(input_shape) first")

    def _rows(self, rows, sparse, training=True, single_pass=False):
        """Return validated rows as the first layer takes them."""
        first, divisor = self.layers[0], self._divisor(rows)
        sparse = check_sparse(sparse, first.takes_sparse)
        if not training:
            warn_of_another(rows, self.input_scale, divisor)
        if divisor > 1:
            return intensities(rows, self.dtype, first.takes_bytes)
        return store(rows, self.dtype, sparse, training, single_pass)

    def _divisor(self, rows):
        """Return by what the first layer has validated rows divided: 255 where bytes are images."""
        return 255 if rows.dtype == np.uint8 and self.layers[0].input_kind == "images" else 1

    def _examples(self, rows, y, sample_weight=None, sparse="auto", training=True, single_pass=False):
        x = self._rows(rows, sparse, training, single_pass)
        y = self.head.targets(y, len(x), self.shapes[-1][0], self.dtype)
        return Examples(x, y, check_weights(sample_weight, len(x), self.dtype))

    def _validation(self, data, sparse):
        if data is None:
            return None
        if not isinstance(data, (list, tuple)):
            raise TypeError(f"validation_data: got {type(data).__name__}, expected (X, y) or (X, y, sample_weight)")
        if len(data) not in (2, 3):
            raise ValueError(f"validation_data: got {len(data)} parts, expected (X, y) or (X, y, sample_weight)")
        rows = validate(data[0], self.input_shape)
        # also for one epoch not in a single pass: it is to be refused before it is trained
        return self._examples(rows, *data[1:], sparse=sparse, training=False)


def _check_layers(layers):
    if not isinstance(layers, (list, tuple)):
        raise TypeError(f"layers: got {layers!r}, expected a list of layers")
    for layer in layers:
        if isinstance(layer, type) or not hasattr(layer, "forward"):
            raise TypeError(f"layers: got {layer!r}, expected layers such as Dense(100)")
    if not layers:
        raise ValueError("layers: got none, expected at least one layer")
    if len(set(map(id, layers))) < len(layers):
        raise ValueError("layers: got the same layer twice, expected a new one at each place")
    return list(layers)


# ---- files -------------------------------------------------------------------------------------------------

def load(path, custom: dict | None = None) -> Sequential:
    """Return the `Sequential` that `Sequential.save` wrote to ``path``.

    Parameters
    ----------
    path : str or path
        A file of this version or an older one. No code in it is run.
    custom : dict of {name: class}, optional
        The classes of layers and heads of your own that the model has. Theirs is the only code that may run.

    Raises
    ------
    DataError
        There is no such file, or it is damaged, or not a saved model. Nothing is allocated for what a file merely says.
    ValueError
        The file has a layer or a head that is neither the package's nor in ``custom``; the message names it.
    """
    return checkpoint.load(path, Sequential, custom)


# ---- the way of a batch ------------------------------------------------------------------------------------

class _Tapes(dict):
    """A `_Tape` for each number of rows."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def __missing__(self, N):
        self[N] = tape = _Tape(self.model, N)
        return tape


class _Tape:
    """The arrays of N rows on their way: what every layer gets and gives, and the deltas back.

    ``outputs[i]`` is None where layer i writes over its input, ``deltas[i]`` where dL/dx is written over dL/da, or not needed:
    no layer below ``lowest`` has parameters.
    """

    def __init__(self, model, N):
        self.model, self.N = model, N
        self.arrays = [None] * (len(model.layers) + 1)
        self.outputs = [None if shape is None else aligned((N, *shape), model.dtype) for shape in model.outputs]

    @functools.cached_property
    def delta(self):
        """dL/dz, which the head writes."""
        return aligned((self.N, *self.model.shapes[-1]), self.model.dtype)

    @functools.cached_property
    def lowest(self):
        return next((i for i, layer in enumerate(self.model.layers) if layer.shapes), len(self.model.layers))

    @functools.cached_property
    def deltas(self):
        """dL/dx of every layer above the lowest with parameters, where it has an array of its own."""
        return [None if i <= self.lowest or layer.elementwise else aligned((self.N, *self.model.shapes[i - 1]), self.model.dtype)
                for i, layer in enumerate(self.model.layers)]


def _outputs(layers, shapes):
    """Return the shapes of the layers' outputs, None where a layer writes over its input, which no other needs."""
    outputs, free = [], False
    for layer, shape in zip(layers, shapes):
        outputs.append(None if layer.in_place and free else shape)
        free = not layer.elementwise or (free and not layer.in_place)
    return outputs
