"""The activations: an elementwise pair of kernels each, forward and backward; and their names."""
from typing import Any

from ..inputs.checks import check_real
from ..kernels import activations
from ..memory import Array, Shape
from .base import Context, Elementwise, as_rows


class Activation(Elementwise):
    """An elementwise activation. One of your own derives from it and has ``kernels``, see docs/your-own.md.

    Attributes
    ----------
    kernels : (forward, backward)
        The pair that `kernels.activations.elementwise` makes of two formulas.
    in_place : bool
        Whether the slope is taken from the output; otherwise it is from the input.
    constants : tuple of float
        What both kernels get beside their arrays.
    """

    effect_on_output = "is no longer a logit"
    kernels: tuple[Any, ...] = ()
    constants: tuple[float, ...] = ()

    @property
    def frees_output(self) -> bool:    # type: ignore[override]    # follows from another
        """Whether `backward` takes the slope from the input."""
        return not self.in_place

    def build(self, input_shape: Shape) -> Shape:
        if len(self.kernels) != 2:
            raise ValueError(f"{type(self).__name__}: got no kernels, expected a pair, such as kernels = "
                             "nn.elementwise(name, value, slope)")
        return input_shape

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        if x.ndim == 2 and not self.constants:    # the usual case, in the shortest time
            self.kernels[0](x, out)
        else:
            self.kernels[0](as_rows(x), as_rows(out), *self.constants)
        return out

    def backward(self, x: Array, a: Array, delta: Array, dx: Array, ctx: Context) -> Array:
        saved = a if self.in_place else x
        if dx.ndim == 2 and not self.constants:
            self.kernels[1](saved, delta, dx)
        else:
            self.kernels[1](as_rows(saved), as_rows(delta), as_rows(dx), *self.constants)
        return dx


class Tanh(Activation):
    """a = tanh(z), da/dz = 1 - a²."""

    effect_on_output = "keeps the output in -1 .. 1 and saturates"
    in_place = True
    kernels = activations.tanh_forward, activations.tanh_backward


class ReLU(Activation):
    """a = max(z, 0), da/dz = 1 where a > 0 and 0 elsewhere."""

    effect_on_output = "lets no output below 0 and passes no gradient to one that is 0"
    in_place = True
    kernels = activations.relu_forward, activations.relu_backward


class Sigmoid(Activation):
    """a = 1 / (1 + exp(-z)), da/dz = a (1 - a)."""

    effect_on_output = "keeps the output in 0 .. 1 and saturates"
    in_place = True
    kernels = activations.sigmoid_forward, activations.sigmoid_backward


class GELU(Activation):
    """a = z Φ(z), exact, Φ(z) = (1 + erf(z / √2)) / 2 of the normal distribution; da/dz = Φ(z) + z φ(z)."""

    kernels = activations.gelu_forward, activations.gelu_backward


class SiLU(Activation):
    """a = z s with s = sigmoid(z), also called swish; da/dz = s (1 + z (1 - s))."""

    kernels = activations.silu_forward, activations.silu_backward


class Softplus(Activation):
    """a = log(1 + e^z), da/dz = sigmoid(z)."""

    effect_on_output = "lets no output below 0"
    kernels = activations.softplus_forward, activations.softplus_backward


class LeakyReLU(Activation):
    """a = z where z > 0, else negative_slope z; so is da/dz 1 and negative_slope.

    Parameters
    ----------
    negative_slope : float
        Non-negative.

    Raises
    ------
    TypeError, ValueError
        ``negative_slope`` is no such number.
    """

    config = ("negative_slope",)
    in_place = True
    kernels = activations.leaky_relu_forward, activations.leaky_relu_backward

    def __init__(self, negative_slope: float = 0.3):
        self.negative_slope = check_real("LeakyReLU negative_slope", negative_slope)
        self.constants = (self.negative_slope,)

    def __repr__(self):
        return f"LeakyReLU({self.negative_slope:g})"


class ELU(Activation):
    """a = z where z > 0, else alpha (e^z - 1); da/dz = 1, and a + alpha.

    Parameters
    ----------
    alpha : float
        Non-negative.

    Raises
    ------
    TypeError, ValueError
        ``alpha`` is no such number.
    """

    config = ("alpha",)
    in_place = True
    kernels = activations.elu_forward, activations.elu_backward

    def __init__(self, alpha: float = 1.0):
        self.alpha = check_real("ELU alpha", alpha)
        self.constants = (self.alpha,)

    def __repr__(self):
        return f"ELU({self.alpha:g})"


_NAMED = {"tanh": Tanh, "relu": ReLU, "sigmoid": Sigmoid, "gelu": GELU, "silu": SiLU, "swish": SiLU,
          "softplus": Softplus, "leaky_relu": LeakyReLU, "elu": ELU}


def as_activation(layer: str, given):
    """Return the layer that ``activation=`` of a ``layer`` stands for: a name's, a layer itself, or None."""
    if given is None or isinstance(given, Elementwise):
        return given
    expected = (f"{layer} activation: got {given!r}, expected one of {', '.join(map(repr, _NAMED))}, None or "
                "a layer such as ReLU()")
    if not isinstance(given, str):
        raise TypeError(expected)
    if given == "linear":
        return None
    if given not in _NAMED:
        hint = "; the head has it: head=Categorical()" if given == "softmax" else ""
        raise ValueError(f"{expected}{hint}")
    return _NAMED[given]()
