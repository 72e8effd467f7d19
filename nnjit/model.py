"""The graph: a row of layers and a head. One direction down, one direction back."""
import functools
import math

import numpy as np

from . import checkpoint, heads, layers, training
from ._numba.threads import exclusive_layer, parallel_region
from .arrays import (
    CACHE_LINE,
    FEW,
    DataError,
    SparseRows,
    aligned,
    check_array,
    check_count,
    check_dtype,
    check_inputs,
    check_sparse,
    check_weights,
    padded_shape,
)


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
        self.history = None

    # ---- parameters -------------------------------------------------------------------------------------------------

    def build(self, input_shape, seed=0):
        """Make the parameters for rows of ``input_shape`` (a tuple, or D for flat rows) and initialise them.

        All parameters lie in one flat vector, ``vector``, and all gradients in another, ``gradient_vector``; the layers
        hold views of both. Building again starts anew. Returns the model.
        """
        shape = input_shape if isinstance(input_shape, tuple) else (input_shape,)
        given = shape = tuple(check_count("input_shape", size) for size in shape)
        self.input_shape = None    # until all has gone well
        self.seed(seed)
        self.shapes = [shape := layer.build(shape) for layer in self.layers]
        if len(shape) != 1:
            raise ValueError(f"layers: got an output of shape {shape}, expected flat rows; put Flatten() after the last")
        self.head.check_last_layer(self.layers[-1])
        self.head.build(shape)
        self.outputs = _outputs(self.layers, self.shapes)
        parts = [*self.layers, self.head]
        self.vector, self.gradient_vector = _lay_out(parts, self.dtype)
        for index, part in enumerate(parts):
            part.initialise(np.random.default_rng([seed, index]))
        self.input_shape = given
        return self

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
        data = self._examples(X, y, sample_weight)
        step = None if step is None else check_count("step", step, least=0)
        with parallel_region:
            (x, y, w), = data.batches(len(data))
            self.loss_and_gradient(x, y, w, data.total_weight, self.tapes()[len(data)], step)
        return {f"{key}.{name}": array.copy() for key, part in self._parts() for name, array in part.gradients.items()
                if array.size}

    # ---- down and back ----------------------------------------------------------------------------------------------

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

    def loss(self, x, y, w, tape, step=None):
        """Return the head's sums (w l, w metric, w) of the checked rows ``x``; no gradient is computed."""
        return self.head.loss(self.forward(x, tape, step), y, w, tape.delta)

    def loss_and_gradient(self, x, y, w, total, tape, step=None):
        """Return the head's sums, and leave the gradient of L = sum w l / total in ``gradient_vector``."""
        sums = self.head.loss_and_delta(self.forward(x, tape, step), y, w, total, tape.delta)
        self.backward(tape.delta, tape, step)
        return sums

    # ---- use --------------------------------------------------------------------------------------------------------

    def fit(self, X, y, optimizer, epochs=1, batch_size=32, validation_data=None, sample_weight=None, shuffle=True, seed=0,
            callbacks=(), verbose="auto", validate_every=1, sparse="auto"):
        """Train on the rows of ``X`` and their targets ``y``; the first call builds the network.

        Parameters
        ----------
        X : array_like, (N, D)
            Finite numbers, an array or a scipy.sparse matrix; cast once to the model's dtype, never modified.
        y : array_like
            Targets as the head takes them.
        optimizer : SGD, Adam, AdamW
        epochs, batch_size : int
            At least 1. The last batch of an epoch has the rows that are left.
        validation_data : tuple, optional
            ``(X, y)`` or ``(X, y, sample_weight)``, evaluated without dropout.
        sample_weight : array_like, (N,), optional
            Non-negative. The loss of a batch of n rows is sum w l / (n times the mean weight of all training
            rows), so that weights have the same force in batches of any size.
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
        """
        epochs, batch_size = check_count("epochs", epochs), check_count("batch_size", batch_size)
        validate_every, seed = check_count("validate_every", validate_every), check_count("seed", seed, least=0)
        if isinstance(optimizer, type) or not hasattr(optimizer, "step"):
            raise TypeError(f"optimizer: got {optimizer!r}, expected an optimizer such as SGD(0.01)")
        if not isinstance(callbacks, (list, tuple)) or not all(map(callable, callbacks)):
            raise TypeError(f"callbacks: got {callbacks!r}, expected a list of functions of (model, epoch, logs)")
        if verbose not in ("auto", 0, 1):
            raise ValueError(f"verbose: got {verbose!r}, expected 'auto', 0 or 1")
        fresh = self.input_shape is None
        try:
            if fresh:
                shape = check_array(X, None).shape[1:]
                self.head.infer_from_targets(y)
                self.build(shape, seed)
            data = self._examples(X, y, sample_weight, sparse, once=epochs == 1)
            validation = self._validation(validation_data, sparse)
        except Exception:
            self.input_shape = None if fresh else self.input_shape
            raise
        self.seed(seed)
        return training.fit(self, data, optimizer, epochs, batch_size, validation, validate_every, shuffle, seed,
                            callbacks, verbose)

    def evaluate(self, X, y, sample_weight=None, sparse="auto"):
        """Return ``{"loss": ..., "accuracy": ...}``, weighted means sum w l / sum w, without dropout."""
        self._check_built()
        data = self._examples(X, y, sample_weight, sparse, back=False, once=True)
        return training.evaluate(self, data.batches(training.block_rows(self)), self.tapes())

    def logits(self, X, sparse="auto"):
        """Return the last layer's output (N, K), before the head."""
        self._check_built()
        x = self._rows(X, sparse, back=False, once=True)
        if len(x) <= FEW and not isinstance(x, SparseRows):    # too few for BLAS to start its threads
            with exclusive_layer:
                return self._forward_once(x)
        z = np.empty((len(x), *self.shapes[-1]), self.dtype)
        tapes, rows = self.tapes(), training.block_rows(self)
        with parallel_region:
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
        a, outputs = self._rows(X, False, back=False, once=True), []
        with parallel_region:
            for layer, shape in zip(self.layers, self.shapes):
                outputs.append(a := layer.forward(a, np.empty((len(a), *shape), self.dtype)))
        return outputs

    def predict(self, X, sparse="auto"):
        """Return the head's decision for every row: for `Categorical` the class numbers (N,) int64."""
        return self.head.decide(self.logits(X, sparse))

    def predict_proba(self, X, sparse="auto"):
        """Return the head's probabilities, (N, K)."""
        z = self.logits(X, sparse)
        with exclusive_layer:
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

        A file that was there is replaced only when the new one is complete.

        Raises
        ------
        ValueError
            The model is not built, or has a layer or a head of the user's own.
        OSError
            The file cannot be written.
        """
        parameters = self.parameters()
        description = {"format": FORMAT, "dtype": self.dtype.name, "input_shape": self.input_shape,
                       "layers": [_describe(layer, layers) for layer in self.layers],
                       "head": _describe(self.head, heads)}
        checkpoint.write(path, description, parameters)

    # ---- checks -----------------------------------------------------------------------------------------------------

    def _check_built(self):
        if self.input_shape is None:
            raise ValueError("model: not built yet; call fit(X, y, ...) or build(input_shape) first")

    def _rows(self, X, sparse, back=True, once=False):
        sparse = check_sparse(sparse, self.layers[0].takes_sparse)
        return check_inputs(X, self.input_shape, self.dtype, sparse, self.layers[0].takes_bytes, back, once)

    def _examples(self, X, y, sample_weight=None, sparse="auto", back=True, once=False):
        x = self._rows(X, sparse, back, once)
        y = self.head.targets(y, len(x), self.shapes[-1][0], self.dtype)
        w = check_weights(sample_weight, len(x), self.dtype)
        return training.Examples(x, y, w, self.head.total_weight(y, w))

    def _validation(self, data, sparse):
        if data is None:
            return None
        if not isinstance(data, (list, tuple)):
            raise TypeError(f"validation_data: got {type(data).__name__}, expected (X, y) or (X, y, sample_weight)")
        if len(data) not in (2, 3):
            raise ValueError(f"validation_data: got {len(data)} parts, expected (X, y) or (X, y, sample_weight)")
        return self._examples(*data, sparse=sparse, back=False)    # also for one epoch: to be refused before it is trained


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


# ---- files ----------------------------------------------------------------------------------------------------------

FORMAT = 1    # of the description in a saved model


def load(path):
    """Return the `Sequential` that `Sequential.save` wrote to ``path``.

    Raises
    ------
    DataError
        There is no such file, or it is damaged, or not a saved model of this format.
    """
    description, arrays = checkpoint.read(path)
    try:
        return _restore(description, arrays)
    except (AttributeError, KeyError, TypeError, ValueError, MemoryError) as error:
        raise DataError(f"{path}: not a saved model of format {FORMAT}, or damaged: {error}") from error


def _describe(part, module):
    """Return a layer or a head as plain values: its class and what it was made with, heads of a head included."""
    if getattr(module, type(part).__name__, None) is not type(part):
        raise ValueError(f"save: got {part!r}, expected one of {module.__name__}")

    def plain(value):
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items()}
        return _describe(value, module) if hasattr(value, "config") else value

    names = part.config if hasattr(part, "config") else part.settings
    return {"kind": type(part).__name__, **{name: plain(getattr(part, name)) for name in names}}


def _remake(description, module):
    config = dict(description)
    if "heads" in config:
        config["heads"] = {name: _remake(head, module) for name, head in config["heads"].items()}
    name = config.pop("kind")
    kind = getattr(module, name)
    if not isinstance(kind, type) or not f"{kind.__module__}.".startswith(f"{module.__name__}."):
        raise ValueError(f"got the kind {name!r}, expected a class of {module.__name__}")
    return kind(**config)


def _restore(description, arrays):
    if description["format"] != FORMAT:
        raise ValueError(f"got format {description['format']}")
    model = Sequential([_remake(layer, layers) for layer in description["layers"]],
                       head=_remake(description["head"], heads), dtype=description["dtype"])
    model.build(tuple(description["input_shape"]))
    parameters = model.parameters()
    if parameters.keys() != arrays.keys():
        raise ValueError(f"got the parameters {sorted(arrays)}, expected {sorted(parameters)}")
    for name, array in parameters.items():
        if (arrays[name].shape, arrays[name].dtype) != (array.shape, array.dtype):
            raise ValueError(f"{name}: got {arrays[name].dtype} {arrays[name].shape}, expected {array.dtype} {array.shape}")
        array[:] = arrays[name]
    return model


# ---- the way of a batch ---------------------------------------------------------------------------------------------

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


def _lay_out(parts, dtype):
    """Return the flat vectors of all parameters and all gradients, and give every layer and the head its views of them.

    ``padded`` and ``padded_gradients`` are the views with the padding of `padded_shape`. That is zero in both, so that no
    optimiser changes it.
    """
    line = CACHE_LINE // dtype.itemsize

    def size(shape):    # so that every parameter begins at a cache line
        return -(-math.prod(padded_shape(shape, dtype)) // line) * line

    total = sum(size(shape) for part in parts for shape in part.shapes.values())
    vectors = aligned(total, dtype), aligned(total, dtype)
    first = 0
    for part in parts:
        part.parameters, part.gradients, part.padded, part.padded_gradients = {}, {}, {}, {}
        for name, shape in part.shapes.items():
            stored = padded_shape(shape, dtype)
            for views, padded, vector in zip((part.parameters, part.gradients), (part.padded, part.padded_gradients), vectors):
                padded[name] = vector[first:first + math.prod(stored)].reshape(stored)
                views[name] = padded[name][..., :shape[-1]]
            first += size(shape)
    return vectors
