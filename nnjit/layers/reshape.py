"""Layers that only change the shape."""
import math

import numpy as np

from .base import Elementwise, as_rows


def intensities(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return x, or where it is of bytes, ``out`` with these divided by 255."""
    return np.divide(x, out.dtype.type(255), out=out, dtype=out.dtype) if x.dtype == np.uint8 else x


class Flatten(Elementwise):
    """The numbers of each row side by side: (N, H, W, C) to (N, H W C)."""

    in_place = takes_bytes = True
    input_kind = "images"
    mask_use, mask_reason = "refuses", "it puts valid and masked steps side by side, with weights for each"

    def build(self, input_shape):
        return (math.prod(input_shape),)

    def forward(self, x, out, ctx):
        return intensities(as_rows(x), out)

    def backward(self, x, a, delta, dx, ctx):
        return delta.reshape(x.shape)
