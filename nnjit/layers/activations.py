"""The activations: an elementwise pair of kernels each, forward and backward."""
from ..kernels import activations
from .base import Elementwise, as_rows


class Activation(Elementwise):
    """An elementwise activation. One of your own derives from it and has ``kernels``, see docs/your-own.md.

    Attributes
    ----------
    kernels : (forward, backward)
        The pair that `kernels.activations.elementwise` makes of two formulas.
    in_place : bool
        Whether the slope is taken from the output; otherwise it is from the input.
    """

    effect_on_output = "is no longer a logit"
    kernels = ()

    def forward(self, x, out, ctx):
        self.kernels[0](as_rows(x), as_rows(out))
        return out

    def backward(self, x, a, delta, dx, ctx):
        self.kernels[1](as_rows(a if self.in_place else x), as_rows(delta), as_rows(dx))
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
