"""Pools of images, (N, H, W, C), and of sequences, (N, T, D): a number for each window of each channel."""
import numpy as np

from ..inputs.checks import check_count
from ..kernels import pooling
from .base import Layer
from .convolution import check_images


class _Pool(Layer):
    """What the layers share that take windows of each channel apart."""

    input_kind = "images"
    config = ("pool_size", "strides")
    frees_output = True

    def __init__(self, pool_size=2, strides=None):
        name = type(self).__name__
        self.pool_size = check_count(f"{name} pool_size", pool_size)
        self.strides = self.pool_size if strides is None else check_count(f"{name} strides", strides)

    def build(self, input_shape):
        H, W, C = check_images(type(self).__name__, input_shape)
        size, stride = self.receptive_field = self.pool_size, self.strides
        if min(H, W) < size:
            raise ValueError(f"{type(self).__name__}: got images of {H} by {W}, expected at least {size} by "
                             f"{size}")
        return (H - size) // stride + 1, (W - size) // stride + 1, C

    def __repr__(self):
        strides = f", strides={self.strides}" if self.strides != self.pool_size else ""
        return f"{type(self).__name__}({self.pool_size}{strides})"


class MaxPool2D(_Pool):
    """The largest number of each window, for each channel; the way back goes to the first of equals.

    Parameters
    ----------
    pool_size : int
        Pixels to a side of the window.
    strides : int, optional
        Pixels from one window to the next, by default ``pool_size``. A window lies within the image: pixels
        that are left over at the bottom and the right are not seen.

    Raises
    ------
    TypeError, ValueError
        A size is not a whole number of at least 1, or an image is smaller than the window.
    """

    def forward(self, x, out, ctx):
        pooling.max_pool(x, self.pool_size, self.strides, out)
        return out

    def backward(self, x, a, delta, dx, ctx):
        pooling.max_pool_backward(x, delta, self.pool_size, self.strides, dx)
        return dx


class AveragePool2D(_Pool):
    """The mean of each window, for each channel. Parameters and errors as of `MaxPool2D`."""

    def forward(self, x, out, ctx):
        pooling.average_pool(x, self.pool_size, self.pool_size, self.strides, out)
        return out

    def backward(self, x, a, delta, dx, ctx):
        pooling.average_pool_backward(delta, self.pool_size, self.pool_size, self.strides, dx)
        return dx


class GlobalAveragePool2D(Layer):
    """The mean of each channel over all pixels: images (N, H, W, C) to rows (N, C)."""

    input_kind = "images"
    frees_output = True

    def build(self, input_shape):
        self.height, self.width, channels = check_images("GlobalAveragePool2D", input_shape)
        return (channels,)

    def forward(self, x, out, ctx):
        pooling.average_pool(x, self.height, self.width, 1, out.reshape(len(out), 1, 1, -1))
        return out

    def backward(self, x, a, delta, dx, ctx):
        pooling.average_pool_backward(delta.reshape(len(delta), 1, 1, -1), self.height, self.width, 1, dx)
        return dx


# ---- of sequences ------------------------------------------------------------------------------------------

class _GlobalPool1D(Layer):
    """What the pools over the steps of sequences share: from (N, T, D) to (N, D)."""

    input_kind, mask_use = "sequences", "consumes"
    frees_output = True

    def build(self, input_shape):
        if len(input_shape) != 2:
            raise ValueError(f"{type(self).__name__}: got rows of shape {input_shape}, expected sequences "
                             "(T, D)")
        return input_shape[1:]


def _mask_of(x, ctx):
    return np.ones(x.shape[:2], bool) if ctx.mask is None else ctx.mask


class GlobalAveragePool1D(_GlobalPool1D):
    """The mean of each number over the valid steps: sequences (N, T, D) to rows (N, D)."""

    def forward(self, x, out, ctx):
        pooling.average_steps(x, _mask_of(x, ctx), out)
        return out

    def backward(self, x, a, delta, dx, ctx):
        pooling.average_steps_backward(delta, _mask_of(x, ctx), dx)
        return dx


class GlobalMaxPool1D(_GlobalPool1D):
    """The largest of each number over the valid steps: sequences (N, T, D) to rows (N, D). The way back goes
    to the first of equals.
    """

    def forward(self, x, out, ctx):
        pooling.largest_of_steps(x, _mask_of(x, ctx), out)
        return out

    def backward(self, x, a, delta, dx, ctx):
        pooling.largest_of_steps_backward(x, _mask_of(x, ctx), delta, dx)
        return dx
