"""The fully connected layer."""
import math

import numpy as np

from ..inputs.checks import check_count
from ..inputs.rows import DenseStream
from ..inputs.sparse_rows import SparseBatch
from ..kernels import affine
from ..memory import Array, Shape
from .base import Context, Layer
from .initializers import Init
from .weighted import Weighted


class Dense(Weighted):
    """A fully connected layer: z = x W + b, from (N, D) to (N, H); or at each step, (N, T, D) to (N, T, H).

    Parameters
    ----------
    units : int
        Width of the output, H.
    bias : bool
        Whether there is a ``b``; it begins at 0.
    init : str or callable
        How W (D, H) begins: ``"glorot_uniform"``, uniform in ±sqrt(6 / (D + H)) (Glorot and Bengio, AISTATS
        2010); ``"he_uniform"``, uniform in ±sqrt(6 / D), or ``"he_normal"``, normal of variance 2 / D, both
        for ReLU (He et al., ICCV 2015); or a function ``init(rng, shape)`` of a ``numpy.random.Generator``
        that returns the array.
    l1, l2 : float
        Non-negative: the loss of a batch, and of an evaluation, also has l1 sum |W| + l2 sum W² (as Keras's
        kernel_regularizer).
    activation : str, layer or None
        ``"relu"`` is the same as `ReLU` as the next layer, into which the network turns it; so are "tanh",
        "sigmoid", "gelu", "silu", "softplus", "leaky_relu" and "elu".

    Raises
    ------
    TypeError, ValueError
        ``units`` is not a whole number of at least 1; ``init`` is unknown; ``l1`` or ``l2`` is no such
        number.
    """

    config = ("units", "bias", "init", "l1", "l2")
    takes_sparse, mask_use = True, "passes on"

    def __init__(self, units: int, bias: bool = True, init: Init = "glorot_uniform",
                 l1: float = 0.0, l2: float = 0.0, activation: str | Layer | None = None):
        super().__init__(bias, init, l1, l2, activation)
        self.units = check_count("Dense units", units)

    def build(self, input_shape: Shape) -> Shape:
        if len(input_shape) > 2:
            raise ValueError(f"Dense: got rows of shape {input_shape}, expected flat rows (D,), or steps (T, "
                             "D); put Flatten() before it")
        *steps, D = input_shape
        self.shapes = {"W": (D, self.units), "b": (self.units if self.bias else 0,)}
        self.multiply_adds = math.prod(steps) * D * self.units
        return (*steps, self.units)

    def forward(self, x: Array | DenseStream | SparseBatch, out: Array, ctx: Context) -> Array:
        W, b = self.padded["W"], self.parameters["b"]
        if out.ndim > 2:
            affine.product(_rows(x), False, W, False, b, _rows(out))
        elif isinstance(x, np.ndarray):
            affine.product(x, False, W, False, b, out)
        else:    # without its zeros
            x.product(W, b, out)
        return out

    def backward(self, x: Array | SparseBatch, a: Array | None, delta: Array, dx: Array | None,
                 ctx: Context) -> Array | None:
        if delta.ndim > 2:
            self.backward(_rows(x), None, _rows(delta), None if dx is None else _rows(dx), ctx)
            return dx
        dW, no_bias = self.padded_gradients["W"], self.no_bias
        if isinstance(x, np.ndarray):
            affine.product(x, True, delta, False, no_bias, dW)
        else:
            x.weight_gradient(delta, no_bias, dW)
        if self.bias:
            affine.bias_gradient(delta, self.gradients["b"])
        if dx is not None:
            affine.product(delta, False, self.padded["W"], True, no_bias, dx)
        return dx

    def __repr__(self):
        return f"Dense({self.units}{'' if self.bias else ', bias=False'})"


def _rows(x):
    """Return (N, T, D) with a row for each step."""
    return x.reshape(-1, x.shape[-1])
