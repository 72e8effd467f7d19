"""What layers with weights W and biases b share: how W begins, and the penalty on it."""

import numpy as np

from ..inputs.checks import check_real
from ..kernels import penalties
from ..memory import Array, Arrays
from .activations import as_activation
from .base import Layer, as_rows
from .initializers import Init, check_init, initial_weights


class Weighted(Layer):
    """A layer with the parameters ``W`` and ``b``; b begins at 0, and is of size 0 without biases."""

    frees_output = True
    no_bias: Array | None = None
    _attached = (*Layer._attached, "no_bias")

    def __init__(self, bias: bool, init: Init, l1: float, l2: float,
                 activation: str | Layer | None = None):
        name = type(self).__name__
        if isinstance(bias, str):
            raise TypeError(f"{name} bias: got {bias!r}, expected True or False; for an activation give "
                            f"activation={bias!r}")
        self.bias, self.init = bool(bias), check_init(name, init)
        self.activation = as_activation(name, activation)    # until the network takes it as its next layer
        self.l1, self.l2 = check_real(f"{name} l1", l1), check_real(f"{name} l2", l2)

    def attach(self, padded: Arrays, padded_gradients: Arrays, state: Arrays) -> None:
        super().attach(padded, padded_gradients, state)
        self.no_bias = self.parameters["b"][:0]    # for kernels that add a bias to what they compute

    def initialise(self, rng: np.random.Generator) -> None:
        self.parameters["W"][:] = initial_weights(type(self).__name__, self.init, rng, self.shapes["W"])

    def penalise(self, with_gradient: bool) -> float:
        if self.l1 == 0 and self.l2 == 0:
            return 0.0
        W, dW = (as_rows(arrays["W"]) for arrays in (self.padded, self.padded_gradients))
        if with_gradient:
            return penalties.add_slope(W, self.l1, self.l2, dW)
        return penalties.penalty(W, self.l1, self.l2)
