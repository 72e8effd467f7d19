"""Convolutions of images, (N, H, W, C), and of sequences, (N, T, D)."""
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..inputs.checks import check_count
from ..kernels import convolution
from ..memory import Array, Shape
from .base import Context, Layer
from .initializers import Init
from .weighted import Weighted
from .windows import PADDINGS, Padding, Pair, as_pair, check_images, check_padding, check_pair, slide


class _Convolution(Weighted):
    """What the convolutions share: checks, and the parameters ``W``, with four sizes, and ``b``."""

    input_kind = "images"
    config: tuple[str, ...] = ("filters", "kernel_size", "strides", "padding", "bias", "init", "l1", "l2",
                               "dilation", "groups")

    def __init__(self, filters: int, kernel_size: Pair, strides: Pair, padding: Padding, bias: bool,
                 init: Init, l1: float, l2: float, activation: str | Layer | None, dilation: Pair,
                 groups: int, paddings: tuple[str, ...] = PADDINGS,
                 check_size: Callable[..., Any] = check_pair):
        super().__init__(bias, init, l1, l2, activation)
        name = type(self).__name__
        self.filters = check_count(f"{name} filters", filters)
        self.kernel_size = check_size(f"{name} kernel_size", kernel_size)
        self.strides = check_size(f"{name} strides", strides)
        self.dilation = check_size(f"{name} dilation", dilation)
        self.padding = check_padding(f"{name} padding", padding, paddings)
        self.groups = check_count(f"{name} groups", groups)

    def _lay_out(self, window, outer, inner, corner):
        """Take the size of the window, the shapes of the larger and the smaller images that W goes between,
        and where the windows begin.
        """
        for channels, what in (outer[2], "channels"), (inner[2], "filters"):
            if channels % self.groups:
                raise ValueError(f"{type(self).__name__}: got {channels} {what} for {self.groups} groups, "
                                 "expected a multiple")
        W_shape = *window, outer[2] // self.groups, inner[2]
        self.shapes = {"W": W_shape, "b": (self.filters if self.bias else 0,)}
        self.corner = corner
        self.multiply_adds = inner[0] * inner[1] * math.prod(W_shape)

    def _steps(self):
        """Return strides and dilation, of images."""
        return as_pair(self.strides), as_pair(self.dilation)

    def _convolve(self, x, W, b, out):
        """Write the convolution of the larger images ``x`` into the smaller ``out``."""
        steps, dilation = self._steps()
        convolution.correlate(x, W, False, b, out, steps, (1, 1), dilation, self.corner, self.groups)

    def _convolve_back(self, delta, W, b, out):
        """The transpose of `_convolve`, as a matrix that acts on all the pixels."""
        steps, dilation = self._steps()
        corner = tuple((k - 1) * d - c for k, d, c in zip(W.shape, dilation, self.corner))
        convolution.correlate(delta, W, True, b, out, (1, 1), steps, dilation, corner, self.groups)

    def _gradients(self, x, delta, dW, db):
        """Write dW and db: ``x`` are the larger images, ``delta`` the smaller."""
        steps, dilation = self._steps()
        convolution.gradients(x, delta, dW, db, steps, dilation, self.corner, self.groups)

    def __repr__(self):
        options = [f"{name}={value!r}" for name, value, usual in self._options() if value != usual]
        sizes = [str(self.filters), repr(self.kernel_size)]
        return f"{type(self).__name__}({', '.join([*sizes, *options])})"

    def _options(self):
        """Return (name, value, what it is by default) of what a convolution is written with."""
        return [("strides", self.strides, 1), ("padding", self.padding, "same"), ("bias", self.bias, True),
                ("dilation", self.dilation, 1), ("groups", self.groups, 1)]


class Conv2D(_Convolution):
    """A convolution of images: a[n, i, j, o] = b[o] + sum over ky, kx, c of W[ky, kx, c, o] x[n, i s + ky d,
    j s + kx d, c].

    Takes images (N, H, W, C), and gives (N, H', W', filters).

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size : int or (int, int)
        Rows and columns of the window, k.
    strides : int or (int, int)
        Pixels from one window to the next, s.
    padding : "same", "valid" or ((top, bottom), (left, right))
        Zeros around the image. "valid": none. "same": as many as H' = ceil(H / s) takes, half at the top and
        the left, an odd one at the bottom and the right (as in Keras). A number stands for all sides, as
        PyTorch has it: with strides its windows begin elsewhere than those of "same". H' = floor((H + top +
        bottom - (k - 1) d - 1) / s) + 1.
    bias : bool
        Whether there is a ``b``; it begins at 0.
    init : str or callable
        How W (rows, columns, C / groups, filters) begins, as of `Dense`.
    l1, l2 : float
        As of `Dense`.
    activation : str or layer, optional
        As of `Dense`.
    dilation : int or (int, int)
        Pixels from one of a window to the next, d.
    groups : int
        Channels and filters are cut into so many groups; filters see the channels of their group only. With
        as many groups as channels each channel has filters of its own (depthwise).

    Raises
    ------
    TypeError, ValueError
        A size is not a whole number of at least 1; another padding or init; an image smaller than the window;
        channels or filters that are no multiple of the groups.
    """

    takes_bytes = True

    def __init__(self, filters: int, kernel_size: Pair, strides: Pair = 1, padding: Padding = "same",
                 bias: bool = True, init: Init = "glorot_uniform", l1: float = 0.0, l2: float = 0.0,
                 activation: str | Layer | None = None, dilation: Pair = 1, groups: int = 1):
        super().__init__(filters, kernel_size, strides, padding, bias, init, l1, l2, activation, dilation,
                         groups)

    def build(self, input_shape: Shape) -> Shape:
        H, W, _ = check_images("Conv2D", input_shape)
        counts, corner = slide("Conv2D", (H, W), self.kernel_size, self.strides, self.padding, self.dilation)
        output = *counts, self.filters
        self._lay_out(as_pair(self.kernel_size), input_shape, output, corner)
        reach = tuple((k - 1) * d + 1 for k, d in zip(as_pair(self.kernel_size), as_pair(self.dilation)))
        self.receptive_field = reach, as_pair(self.strides)
        return output

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        self._convolve(x, self.parameters["W"], self.parameters["b"], out)
        return out

    def backward(self, x: Array, a: Array, delta: Array, dx: Array | None, ctx: Context) -> Array | None:
        self._gradients(x, delta, self.gradients["W"], self.gradients["b"])
        if dx is not None:
            self._convolve_back(delta, self.parameters["W"], self.no_bias, dx)
        return dx


class Conv1D(_Convolution):
    """A convolution over the steps of sequences: a[n, t, o] = b[o] + sum over k, c of W[k, c, o] x[n, t s + k
    d - left, c].

    Takes sequences (N, T, D), and gives (N, T', filters). Masked steps count as zeros, as those before the
    first and after the last do. A step of the output is valid where its window has the steps that it would
    have in a sequence without padding: for "same" where the step itself is valid, for "valid" where all of
    the window is.

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size : int
        Steps of the window, k.
    strides : int
        Steps from one window to the next, s.
    padding : "same", "valid" or "causal"
        As of `Conv2D`; "causal": (k - 1) d zeros before the first step, so that no output sees a later step.
        Where "same" has strides, what lies before the first step depends on T: then it refuses a mask.
    bias, init, l1, l2, activation
        As of `Dense`; W is (k, D / groups, filters).
    dilation, groups : int
        As of `Conv2D`: steps from one of a window to the next, d; groups of numbers and filters.

    Raises
    ------
    TypeError, ValueError
        A size is not a whole number of at least 1; another padding or init; fewer steps than a "valid"
        window has.
    """

    input_kind = "sequences"
    mask_reason = "with padding='same' and strides, what a window sees depends on the padded length"

    def __init__(self, filters: int, kernel_size: int, strides: int = 1, padding: str = "same",
                 bias: bool = True, init: Init = "glorot_uniform", l1: float = 0.0,
                 l2: float = 0.0, activation: str | Layer | None = None, dilation: int = 1, groups: int = 1):
        super().__init__(filters, kernel_size, strides, padding, bias, init, l1, l2, activation, dilation,
                         groups, (*PADDINGS, "causal"), check_count)
        if not isinstance(self.padding, str):
            raise ValueError(f"Conv1D padding: got {padding!r}, expected 'same', 'valid' or 'causal'")

    @property
    def mask_use(self) -> str:    # type: ignore[override]    # follows from the arguments
        """Masked steps count as zeros."""
        return "refuses" if self.padding == "same" and self.strides > 1 else "uses"

    def _steps(self):
        return (1, self.strides), (1, self.dilation)

    def build(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2:
            raise ValueError(f"Conv1D: got rows of shape {input_shape}, expected sequences (T, D)")
        (T, D), k, s = input_shape, self.kernel_size, self.strides
        reach = (k - 1) * self.dilation + 1
        if self.padding == "valid" and reach > T:
            raise ValueError(f"Conv1D: got sequences of {T} steps, expected at least {reach} with padding "
                             "'valid'")
        steps = (T - reach) // s + 1 if self.padding == "valid" else -(-T // s)
        before = {"valid": 0, "causal": reach - 1, "same": max((steps - 1) * s + reach - T, 0) // 2}
        self._lay_out((1, k), (1, T, D), (1, steps, self.filters), (0, before[self.padding]))
        self.shapes = {**self.shapes, "W": self.shapes["W"][1:]}
        self.scratch = {"masked": ((T, D), None)}
        return steps, self.filters

    def output_mask(self, mask: Array) -> Array | None:
        if self.padding != "valid":
            return mask[:, ::self.strides]
        reach, T = (self.kernel_size - 1) * self.dilation + 1, mask.shape[1]
        return np.logical_and.reduce([mask[:, i:T - reach + 1 + i:self.strides]
                                      for i in range(0, reach, self.dilation)])

    def _input(self, x, ctx):
        """Return x as images of one line, with zeros in masked steps."""
        if ctx.mask is not None:
            x = np.multiply(x, ctx.mask[..., None], out=ctx.scratch["masked"])
        return x[:, None]

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        self._convolve(self._input(x, ctx), self.parameters["W"][None], self.parameters["b"], out[:, None])
        return out

    def backward(self, x: Array, a: Array, delta: Array, dx: Array | None, ctx: Context) -> Array | None:
        images = x if ctx.mask is None else ctx.scratch["masked"]
        self._gradients(images[:, None], delta[:, None], self.gradients["W"][None], self.gradients["b"])
        if dx is not None:
            self._convolve_back(delta[:, None], self.parameters["W"][None], self.no_bias, dx[:, None])
            if ctx.mask is not None:
                dx *= ctx.mask[..., None]
        return dx


class Conv2DTranspose(_Convolution):
    """The transpose of a convolution: from images (N, H, W, C) as one gives them back to such as it takes,
    (N, H', W', filters).

    As a matrix that acts on all the pixels at once, a convolution has a transpose, its way back. It has the
    shapes of an inverse and not the values: an inverse undoes, a transpose only spreads each number over the
    window that it came from. ("Deconvolution" is a misnomer.)

    Parameters
    ----------
    filters, kernel_size, strides, padding, bias, init, l1, l2, activation, dilation, groups
        As of `Conv2D`; W is (rows, columns, filters / groups, C). With padding "same" H' = s H, with "valid"
        H' = s H + max((k - 1) d + 1 - s, 0), else H' = (H - 1) s + (k - 1) d + 1 - top - bottom.
    output_padding : int or (int, int), optional
        How many rows and columns more than the fewest that a convolution makes H of, less than s: several
        sizes H' become one H. As in Keras H' = (H - 1) s + (k - 1) d + 1 + output_padding less twice ((k - 1)
        d + 1) // 2 for "same", nothing for "valid", and top and bottom else.

    Raises
    ------
    TypeError, ValueError
        As of `Conv2D`.

    Examples
    --------
    A mean over 2 × 2 pixels, and its transpose: the shape comes back, the numbers do not.

    >>> import numpy as np, nnjit as nn
    >>> mean = lambda rng, shape: np.full(shape, 0.25)
    >>> x = np.array([[1., 3.], [5., 7.]]).reshape(1, 2, 2, 1)
    >>> down = nn.Sequential([nn.Conv2D(1, 2, 2, init=mean), nn.Flatten()], nn.Gaussian(), "float64")
    >>> up = nn.Sequential([nn.Conv2DTranspose(1, 2, 2, init=mean), nn.Flatten()], nn.Gaussian(), "float64")
    >>> down, up = down.build((2, 2, 1)), up.build((1, 1, 1))
    >>> down.logits(x)
    array([[4.]])
    >>> up.logits(down.logits(x).reshape(1, 1, 1, 1))
    array([[1., 1., 1., 1.]])
    """

    config = (*_Convolution.config, "output_padding")

    def __init__(self, filters: int, kernel_size: Pair, strides: Pair = 1, padding: Padding = "same",
                 bias: bool = True, init: Init = "glorot_uniform", l1: float = 0.0, l2: float = 0.0,
                 activation: str | Layer | None = None, dilation: Pair = 1, groups: int = 1,
                 output_padding: Pair | None = None):
        super().__init__(filters, kernel_size, strides, padding, bias, init, l1, l2, activation, dilation,
                         groups)
        if output_padding is not None:
            output_padding = check_pair("Conv2DTranspose output_padding", output_padding, least=0)
            for more, s in zip(as_pair(output_padding), as_pair(self.strides)):
                if more >= s:
                    raise ValueError(f"Conv2DTranspose output_padding: got {output_padding}, expected less "
                                     f"than the strides, {self.strides}")
        self.output_padding = output_padding

    def build(self, input_shape: Shape) -> Shape:
        H, W, _ = check_images("Conv2DTranspose", input_shape)
        more = (None, None) if self.output_padding is None else as_pair(self.output_padding)
        sides = self.padding if isinstance(self.padding, tuple) else (self.padding, self.padding)
        sizes, corner = zip(*map(_spread, (H, W), *map(as_pair, (self.kernel_size, self.strides,
                                                                 self.dilation)), sides, more))
        if min(sizes) < 1:
            raise ValueError(f"Conv2DTranspose: got images of {H} by {W}, of which nothing is left with "
                             f"padding {self.padding}, expected larger ones")
        output = *sizes, self.filters
        self._lay_out(as_pair(self.kernel_size), output, input_shape, corner)
        k, s = as_pair(self.kernel_size), as_pair(self.strides)
        self.receptive_field = tuple(-(-a // b) for a, b in zip(k, s)), tuple(1 / b for b in s)
        return output

    def _options(self):
        return [*super()._options(), ("output_padding", self.output_padding, None)]

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        self._convolve_back(x, self.parameters["W"], self.parameters["b"], out)
        return out

    def backward(self, x: Array, a: Array, delta: Array, dx: Array | None, ctx: Context) -> Array | None:
        # to the convolution, the deltas are images, and the images deltas
        self._gradients(delta, x, self.gradients["W"], self.no_bias)
        if self.bias:
            convolution.bias_gradient(delta, self.gradients["b"])
        if dx is not None:
            self._convolve(delta, self.parameters["W"], self.no_bias, dx)
        return dx


def _spread(size, k, s, d, side, more):
    """Return how many pixels a transposed convolution makes of some, and where its windows begin."""
    reach = (k - 1) * d + 1
    if isinstance(side, tuple):
        return (size - 1) * s + reach - sum(side) + (more or 0), side[0]
    if more is None:
        length = size * s + (max(reach - s, 0) if side == "valid" else 0)
    else:
        length = (size - 1) * s + reach + more - (2 * (reach // 2) if side == "same" else 0)
    return length, max((size - 1) * s + reach - length, 0) // 2 if side == "same" else 0
