"""The layers: parameters, and a kernel call each for the way down (`forward`) and the way back (`backward`).

A layer knows neither its neighbours nor the batch. It is given the arrays:

``forward(x, out, step)``
    Write the layer's output for the rows ``x`` into ``out`` and return it. ``step`` is the number of the training step,
    or None where nothing is trained: dropout is then the identity.
``backward(x, a, delta, dx, step)``
    From ``delta`` = dL/da at the output ``a``, write the parameters' gradients and ``dx`` = dL/dx, and return ``dx``.

An elementwise layer's output has the shape of its input; ``dx`` is then ``delta`` itself. One that also sets ``in_place``
takes its derivative from the output, so that ``out`` is ``x`` itself. ``settings`` names the attributes that a saved layer
is made from again.
"""
import numpy as np

from .arrays import PassingRows, SparseRows, check_count, check_real
from .kernels import activations, affine, dropout, sparse


class Dense:
    """A fully connected layer: z = x W + b.

    Parameters
    ----------
    units : int
        Width of the output, H.
    bias : bool
        Whether there is a ``b``; it begins at 0.
    init : str or callable
        How W (D, H) begins: ``"glorot_uniform"``, uniform in ±sqrt(6 / (D + H)) (Glorot and Bengio, AISTATS 2010), or a
        function ``init(rng, shape)`` of a ``numpy.random.Generator`` that returns the array.

    Raises
    ------
    TypeError, ValueError
        ``units`` is not a whole number of at least 1; ``init`` is unknown.
    """

    elementwise = in_place = False
    takes_sparse = True
    settings = ("units", "bias")

    def __init__(self, units, bias=True, init="glorot_uniform"):
        self.units = check_count("Dense units", units)
        self.bias = bool(bias)
        if not callable(init) and not (isinstance(init, str) and init == "glorot_uniform"):
            got = repr(init) if isinstance(init, str) else type(init).__name__
            raise ValueError(f"Dense init: got {got}, expected 'glorot_uniform' or a function of (rng, shape)")
        self.init = init

    def build(self, input_shape):
        if len(input_shape) != 1:
            raise ValueError(f"Dense: got rows of shape {input_shape}, expected flat rows (D,)")
        self.shapes = {"W": (input_shape[0], self.units), "b": (self.units if self.bias else 0,)}
        return (self.units,)

    def initialise(self, rng):
        """Fill the parameters, drawing from the ``numpy.random.Generator``."""
        self.no_bias = self.parameters["b"][:0]
        draw = self.init if callable(self.init) else _glorot_uniform
        W = draw(rng, self.shapes["W"])
        if np.shape(W) != self.shapes["W"]:
            raise ValueError(f"Dense init: got shape {np.shape(W)}, expected {self.shapes['W']}")
        self.parameters["W"][:] = W
        self.parameters["b"][:] = 0

    def forward(self, x, out, step=None):
        W, b = self.padded["W"], self.parameters["b"]
        if isinstance(x, SparseRows):
            sparse.forward(x.cuts, x.indices, x.values, x.rows, W, b, out)
        elif isinstance(x, PassingRows):
            x.check(sparse.forward_skipping(x.X, W, b, out), out.dtype)
        else:
            affine.product(x, False, W, False, b, out)
        return out

    def backward(self, x, a, delta, dx, step=None):
        dW = self.padded_gradients["W"]
        if isinstance(x, SparseRows):
            sparse.weight_gradient(x.cuts, x.indices, x.values, x.rows, delta, x.scratch(dW.shape[1]), dW)
        else:
            affine.product(x, True, delta, False, self.no_bias, dW)
        if self.bias:
            affine.bias_gradient(delta, self.gradients["b"])
        if dx is not None:
            affine.product(delta, False, self.padded["W"], True, self.no_bias, dx)
        return dx

    def __repr__(self):
        return f"Dense({self.units}{'' if self.bias else ', bias=False'})"


def _glorot_uniform(rng, shape):
    limit = np.sqrt(6.0 / sum(shape))
    return rng.uniform(-limit, limit, shape)


class _Elementwise:
    """A layer without parameters whose output has the shape of its input."""

    elementwise = True
    in_place = takes_sparse = False
    settings, shapes = (), {}

    def build(self, input_shape):
        return input_shape

    def initialise(self, rng):
        pass

    def __repr__(self):
        return f"{type(self).__name__}()"


class Tanh(_Elementwise):
    """a = tanh(z), da/dz = 1 - a²."""

    in_place = True

    def forward(self, x, out, step=None):
        activations.tanh_forward(x, out)
        return out

    def backward(self, x, a, delta, dx, step=None):
        activations.tanh_backward(a, delta, dx)
        return dx


class ReLU(_Elementwise):
    """a = max(z, 0), da/dz = 1 where a > 0 and 0 elsewhere."""

    in_place = True

    def forward(self, x, out, step=None):
        activations.relu_forward(x, out)
        return out

    def backward(self, x, a, delta, dx, step=None):
        activations.relu_backward(a, delta, dx)
        return dx


class Sigmoid(_Elementwise):
    """a = 1 / (1 + exp(-z)), da/dz = a (1 - a)."""

    in_place = True

    def forward(self, x, out, step=None):
        activations.sigmoid_forward(x, out)
        return out

    def backward(self, x, a, delta, dx, step=None):
        activations.sigmoid_backward(a, delta, dx)
        return dx


class Dropout(_Elementwise):
    """Drop each unit with probability ``rate`` at a training step and scale the others by 1 / (1 - rate).

    Without a step it is the identity (inverted dropout: Srivastava et al., JMLR 2014). The mask is a hash of the seed, the
    layer, the step, the row and the unit, so that the same step always has the same mask.

    Parameters
    ----------
    rate : float
        In [0, 1).

    Raises
    ------
    TypeError, ValueError
        ``rate`` is not a number of that range.
    """

    settings = ("rate",)
    seed = index = 0    # the model sets both

    def __init__(self, rate):
        self.rate = check_real("Dropout rate", rate, 0.0, 1.0)
        self.keep = dropout.keep_digits(self.rate)
        self.words = np.empty((0, 0), np.uint64)

    def draw(self, N, units, step):
        """Return the mask of a step, a bit a unit: (N, ceil(units / 64)) uint64."""
        shape = (N, -(-units // dropout.WORD))
        if self.words.shape != shape:
            self.words = np.empty(shape, np.uint64)
        dropout.draw_mask(self.seed, self.index, step, *self.keep, self.words)
        return self.words

    def forward(self, x, out, step=None):
        if step is None or self.rate == 0:
            return x
        self.mask = self.draw(*x.shape, step)
        dropout.apply_mask(x, self.mask, 1 / (1 - self.rate), out)
        return out

    def backward(self, x, a, delta, dx, step=None):
        if step is None or self.rate == 0:
            return delta
        dropout.apply_mask(delta, self.mask, 1 / (1 - self.rate), dx)
        return dx

    def __repr__(self):
        return f"Dropout({self.rate:g})"
