"""Pools of images, (N, H, W, C), and of sequences, (N, T, D): a number for each window of each channel."""
import numpy as np

from ..kernels import pooling
from ..memory import Array, Shape
from .base import Context, Layer
from .windows import Padding, Pair, as_pair, check_images, check_padding, check_pair, slide


class _Pool(Layer):
    """What the layers share that take windows of each channel apart."""

    input_kind = "images"
    config: tuple[str, ...] = ("pool_size", "strides", "padding")
    frees_output = True

    def __init__(self, pool_size: Pair = 2, strides: Pair | None = None,
                 padding: Padding = "valid"):
        name = type(self).__name__
        self.pool_size = check_pair(f"{name} pool_size", pool_size)
        self.strides = self.pool_size if strides is None else check_pair(f"{name} strides", strides)
        self.padding = check_padding(f"{name} padding", padding)
        if isinstance(self.padding, tuple) and any(max(side) >= k for side, k in
                                                   zip(self.padding, as_pair(self.pool_size))):
            raise ValueError(f"{name} padding: got {padding!r}, expected less than the window, "
                             f"{self.pool_size}, of which a part has to lie in the image")

    def build(self, input_shape: Shape) -> Shape:
        name = type(self).__name__
        H, W, C = check_images(name, input_shape)
        counts, corner = slide(name, (H, W), self.pool_size, self.strides, self.padding)
        self.windows = as_pair(self.pool_size), as_pair(self.strides), corner
        self.receptive_field = self.windows[:2]
        return *counts, C

    def __repr__(self):
        options = [f"strides={self.strides}"] * (self.strides != self.pool_size)
        options += [f"padding={self.padding!r}"] * (self.padding != "valid")
        return f"{type(self).__name__}({', '.join([repr(self.pool_size), *options])})"


class MaxPool2D(_Pool):
    """The largest number of each window, for each channel; the way back goes to the first of equals.

    Parameters
    ----------
    pool_size : int or (int, int)
        Rows and columns of the window.
    strides : int or (int, int), optional
        Pixels from one window to the next, by default ``pool_size``.
    padding : "valid", "same" or ((top, bottom), (left, right))
        As of `Conv2D`: "valid" windows lie within the image, and what is left over at the bottom and the
        right is not seen. What lies outside is no number: the largest is one of the image.

    Raises
    ------
    TypeError, ValueError
        A size is not a whole number of at least 1, or an image is smaller than the window; another padding,
        or one as large as the window.
    """

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        pooling.max_pool(x, *self.windows, out)
        return out

    def backward(self, x: Array, a: Array, delta: Array, dx: Array, ctx: Context) -> Array:
        pooling.max_pool_backward(x, delta, *self.windows, dx)
        return dx


class AveragePool2D(_Pool):
    """The mean of each window, for each channel. Parameters and errors as of `MaxPool2D`.

    Parameters
    ----------
    count_padding : bool
        Whether what lies outside of the image counts, as zeros; else the mean is that of the pixels which are
        there (as in Keras).
    """

    config = (*_Pool.config, "count_padding")

    def __init__(self, pool_size: Pair = 2, strides: Pair | None = None,
                 padding: Padding = "valid", count_padding: bool = False):
        super().__init__(pool_size, strides, padding)
        self.count_padding = bool(count_padding)

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        pooling.average_pool(x, *self.windows, self.count_padding, out)
        return out

    def backward(self, x: Array, a: Array, delta: Array, dx: Array, ctx: Context) -> Array:
        pooling.average_pool_backward(delta, *self.windows, self.count_padding, dx)
        return dx


class _GlobalPool2D(Layer):
    """What the pools over all pixels share: images (N, H, W, C) to rows (N, C)."""

    input_kind = "images"
    frees_output = True

    def build(self, input_shape: Shape) -> Shape:
        H, W, C = check_images(type(self).__name__, input_shape)
        self.windows = (H, W), (1, 1), (0, 0)
        return (C,)


class GlobalAveragePool2D(_GlobalPool2D):
    """The mean of each channel over all pixels: images (N, H, W, C) to rows (N, C)."""

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        pooling.average_pool(x, *self.windows, False, out.reshape(len(out), 1, 1, -1))
        return out

    def backward(self, x: Array, a: Array, delta: Array, dx: Array, ctx: Context) -> Array:
        pooling.average_pool_backward(delta.reshape(len(delta), 1, 1, -1), *self.windows, False, dx)
        return dx


class GlobalMaxPool2D(_GlobalPool2D):
    """The largest number of each channel over all pixels: images (N, H, W, C) to rows (N, C). The way back
    goes to the first of equals.
    """

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        pooling.max_pool(x, *self.windows, out.reshape(len(out), 1, 1, -1))
        return out

    def backward(self, x: Array, a: Array, delta: Array, dx: Array, ctx: Context) -> Array:
        pooling.max_pool_backward(x, delta.reshape(len(delta), 1, 1, -1), *self.windows, dx)
        return dx


# ---- of sequences ------------------------------------------------------------------------------------------

class _GlobalPool1D(Layer):
    """What the pools over the steps of sequences share: from (N, T, D) to (N, D)."""

    input_kind, mask_use = "sequences", "consumes"
    frees_output = True

    def build(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2:
            raise ValueError(f"{type(self).__name__}: got rows of shape {input_shape}, expected sequences "
                             "(T, D)")
        return input_shape[1:]


def _mask_of(x, ctx):
    return np.ones(x.shape[:2], bool) if ctx.mask is None else ctx.mask


class GlobalAveragePool1D(_GlobalPool1D):
    """The mean of each number over the valid steps: sequences (N, T, D) to rows (N, D)."""

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        pooling.average_steps(x, _mask_of(x, ctx), out)
        return out

    def backward(self, x: Array, a: Array, delta: Array, dx: Array, ctx: Context) -> Array:
        pooling.average_steps_backward(delta, _mask_of(x, ctx), dx)
        return dx


class GlobalMaxPool1D(_GlobalPool1D):
    """The largest of each number over the valid steps: sequences (N, T, D) to rows (N, D). The way back goes
    to the first of equals.
    """

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        pooling.largest_of_steps(x, _mask_of(x, ctx), out)
        return out

    def backward(self, x: Array, a: Array, delta: Array, dx: Array, ctx: Context) -> Array:
        pooling.largest_of_steps_backward(x, _mask_of(x, ctx), delta, dx)
        return dx
