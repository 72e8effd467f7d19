"""`Masking`: which steps of padded sequences are valid, told by a value."""
import math

import numpy as np

from ..memory import Array, Shape
from .base import Context, Elementwise


class Masking(Elementwise):
    """Masks every step all of whose numbers are ``mask_value``; the first layer only.

    The steps stay where they are. The layers after it use the mask or pass it on, and the loss leaves out
    what it leaves out, see docs/sequences.md. A ``mask`` that is given to `fit` and the like masks more.

    Parameters
    ----------
    mask_value : float
        Any number, also NaN.

    Raises
    ------
    TypeError
        ``mask_value`` is no number.
    """

    config = ("mask_value",)
    in_place = True

    def __init__(self, mask_value: float = 0.0):
        if isinstance(mask_value, bool) or not isinstance(mask_value, (int, float, np.number)):
            raise TypeError(f"Masking mask_value: got {mask_value!r}, expected a number")
        self.mask_value = float(mask_value)

    def build(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2:
            raise ValueError(f"Masking: got rows of shape {input_shape}, expected sequences (T, D)")
        return input_shape

    def mask_of(self, x: Array) -> Array:
        """Return which steps of x (N, T, D) are valid, (N, T)."""
        if math.isnan(self.mask_value):
            return ~np.isnan(x).all(axis=2)
        return (x != self.mask_value).any(axis=2)

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        return x

    def backward(self, x: Array, a: Array, delta: Array, dx: Array, ctx: Context) -> Array:
        return delta

    def __repr__(self):
        return f"Masking({self.mask_value:g})"
