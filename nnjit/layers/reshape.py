"""Layers that only change the shape."""
import math

import numpy as np

from ..memory import Array, Shape
from .base import Context, Elementwise, Layer, as_rows
from .windows import Padding, check_images, check_padding


def intensities(x: Array, out: Array) -> Array:
    """Return x, or where it is of bytes, ``out`` with these divided by 255."""
    return np.divide(x, out.dtype.type(255), out=out, dtype=out.dtype) if x.dtype == np.uint8 else x


class Flatten(Elementwise):
    """The numbers of each row side by side: (N, H, W, C) to (N, H W C)."""

    in_place = takes_bytes = True
    input_kind = "images"
    mask_use, mask_reason = "refuses", "it puts valid and masked steps side by side, with weights for each"

    def build(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        return intensities(as_rows(x), out)

    def backward(self, x: Array, a: Array, delta: Array, dx: Array, ctx: Context) -> Array:
        return delta.reshape(x.shape)


class ZeroPadding2D(Layer):
    """Zeros around images: (N, H, W, C) to (N, H + top + bottom, W + left + right, C).

    Parameters
    ----------
    padding : int, (int, int) or ((top, bottom), (left, right))
        Of all sides; of top and bottom, left and right; of each.

    Raises
    ------
    TypeError, ValueError
        Something is not a whole number of at least 0.
    """

    input_kind, config = "images", ("padding",)
    frees_output = True
    receptive_field = (1, 1)

    def __init__(self, padding: Padding = 1):
        self.padding = check_padding("ZeroPadding2D padding", padding, words=())

    def build(self, input_shape: Shape) -> Shape:
        H, W, C = check_images("ZeroPadding2D", input_shape)
        (top, bottom), (left, right) = self.padding
        self.inside = slice(None), slice(top, top + H), slice(left, left + W)
        return H + top + bottom, W + left + right, C

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        out[:] = 0
        out[self.inside] = x
        return out

    def backward(self, x: Array, a: Array, delta: Array, dx: Array, ctx: Context) -> Array:
        dx[:] = delta[self.inside]
        return dx

    def __repr__(self):
        return f"ZeroPadding2D({self.padding})"
