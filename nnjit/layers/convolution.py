"""Convolutions of images, (N, H, W, C), and of sequences, (N, T, D)."""
import math
from collections.abc import Callable

import numpy as np

from ..inputs.checks import check_count
from ..kernels import convolution
from .base import Layer
from .weighted import Weighted


def check_images(layer, shape):
    if len(shape) != 3:
        hint = "; give grey images as X[..., None]" if len(shape) == 2 else ""
        raise ValueError(f"{layer}: got rows of shape {shape}, expected images (H, W, C){hint}")
    return shape


class _Convolution(Weighted):
    """What both convolutions share: checks, and the parameters ``W``, with four sizes, and ``b``."""

    input_kind, paddings = "images", ("same", "valid")
    config = ("filters", "kernel_size", "strides", "padding", "bias", "init", "l1", "l2")

    def __init__(self, filters: int, kernel_size: int, strides: int = 1, padding: str = "same",
                 bias: bool = True, init: str | Callable = "glorot_uniform", l1: float = 0.0,
                 l2: float = 0.0, activation: str | Layer | None = None):
        super().__init__(bias, init, l1, l2, activation)
        name = type(self).__name__
        self.filters = check_count(f"{name} filters", filters)
        self.kernel_size = check_count(f"{name} kernel_size", kernel_size)
        self.strides = check_count(f"{name} strides", strides)
        if padding not in self.paddings:
            raise ValueError(f"{name} padding: got {padding!r}, expected "
                             f"{' or '.join(map(repr, self.paddings))}")
        self.padding = padding

    def _lay_out(self, W_shape, outer, inner):
        """Take the sizes of W, and the shapes of the larger and the smaller images it goes between."""
        self.shapes = {"W": W_shape, "b": (self.filters if self.bias else 0,)}
        size, stride = self.kernel_size, self.strides
        self.top, self.left = (max((n - 1) * stride + size - m, 0) // 2 if self.padding == "same" else 0
                               for m, n in zip(outer[:2], inner[:2]))
        self.multiply_adds = inner[0] * inner[1] * math.prod(W_shape)

    def _convolve(self, x, b, out):
        convolution.correlate(x, self.parameters["W"], False, b, self.strides, 1, self.top, self.left, out)

    def _convolve_back(self, delta, b, out):
        """The transpose of `_convolve`, as a matrix that acts on all the pixels."""
        size = self.kernel_size
        top, left = size - 1 - self.top, size - 1 - self.left
        convolution.correlate(delta, self.parameters["W"], True, b, 1, self.strides, top, left, out)

    def __repr__(self):
        options = [f"strides={self.strides}"] * (self.strides > 1)
        options += [f"padding={self.padding!r}"] * (self.padding != "same")
        return f"{type(self).__name__}({', '.join([f'{self.filters}', f'{self.kernel_size}', *options])}" + (
            ")" if self.bias else ", bias=False)")


class Conv2D(_Convolution):
    """A convolution of images: a[n, i, j, o] = b[o] + sum over ky, kx, c of W[ky, kx, c, o] x[n, i s + ky, j
    s + kx, c].

    Takes images (N, H, W, C), and gives (N, H', W', filters).

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size : int
        Pixels to a side of the window, k.
    strides : int
        Pixels from one window to the next, s.
    padding : "same" or "valid"
        "valid": windows within the image, H' = ceil((H - k + 1) / s). "same": H' = ceil(H / s), with as many
        zeros around the image as that takes, half at the top and the left, an odd one at the bottom and the
        right (as in Keras).
    bias : bool
        Whether there is a ``b``; it begins at 0.
    init : str or callable
        How W (k, k, C, filters) begins, as of `Dense`; an output has k k C inputs.
    l1, l2 : float
        As of `Dense`.

    Raises
    ------
    TypeError, ValueError
        A size is not a whole number of at least 1; another padding or init; an image smaller than a "valid"
        window.
    """

    takes_bytes = True

    def build(self, input_shape):
        H, W, C = check_images("Conv2D", input_shape)
        k, s = self.kernel_size, self.strides
        if self.padding == "valid" and min(H, W) < k:
            raise ValueError(f"Conv2D: got images of {H} by {W}, expected at least {k} by {k} with padding "
                             "'valid'")
        output = (*((-(-n // s) if self.padding == "same" else (n - k) // s + 1) for n in (H, W)),
                  self.filters)
        self._lay_out((k, k, C, self.filters), input_shape, output)
        self.receptive_field = k, s
        return output

    def forward(self, x, out, ctx):
        self._convolve(x, self.parameters["b"], out)
        return out

    def backward(self, x, a, delta, dx, ctx):
        convolution.weight_gradient(x, delta, self.strides, self.top, self.left, self.gradients["W"])
        if self.bias:
            convolution.bias_gradient(delta, self.gradients["b"])
        if dx is not None:
            self._convolve_back(delta, self.parameters["b"][:0], dx)
        return dx


class Conv1D(_Convolution):
    """A convolution over the steps of sequences: a[n, t, o] = b[o] + sum over k, c of W[k, c, o] x[n, t s + k
    - left, c].

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
        As of `Conv2D`; "causal": k - 1 zeros before the first step, so that no output sees a later step.
        Where "same" has strides, what lies before the first step depends on T: then it refuses a mask.
    bias, init, l1, l2, activation
        As of `Dense`; W is (k, D, filters).

    Raises
    ------
    TypeError, ValueError
        A size is not a whole number of at least 1; another padding or init; fewer steps than a "valid"
        window has.
    """

    input_kind = "sequences"
    paddings = ("same", "valid", "causal")
    mask_reason = "with padding='same' and strides, what a window sees depends on the padded length"

    @property
    def mask_use(self):
        """Masked steps count as zeros."""
        return "refuses" if self.padding == "same" and self.strides > 1 else "uses"

    def build(self, input_shape):
        if len(input_shape) != 2:
            raise ValueError(f"Conv1D: got rows of shape {input_shape}, expected sequences (T, D)")
        (T, D), k, s = input_shape, self.kernel_size, self.strides
        if self.padding == "valid" and k > T:
            raise ValueError(f"Conv1D: got sequences of {T} steps, expected at least {k} with padding "
                             "'valid'")
        steps = (T - k) // s + 1 if self.padding == "valid" else -(-T // s)
        self._lay_out((k, D, self.filters), (1, T, D), (1, steps, self.filters))
        self.top = 0
        if self.padding == "causal":
            self.left = k - 1
        self.scratch = {"masked": ((T, D), None)}
        return steps, self.filters

    def output_mask(self, mask):
        if self.padding != "valid":
            return mask[:, ::self.strides]
        k, s, T = self.kernel_size, self.strides, mask.shape[1]
        return np.logical_and.reduce([mask[:, i:T - k + 1 + i:s] for i in range(k)])

    def _images(self, arrays):
        """Return W as that of an image of one line, (1, k, D, filters)."""
        return arrays["W"][None]

    def _input(self, x, ctx):
        """Return x as images of one line, with zeros in masked steps."""
        if ctx.mask is not None:
            x = np.multiply(x, ctx.mask[..., None], out=ctx.scratch["masked"])
        return x[:, None]

    def forward(self, x, out, ctx):
        convolution.correlate(self._input(x, ctx), self._images(self.parameters), False, self.parameters["b"],
                              self.strides, 1, 0, self.left, out[:, None])
        return out

    def backward(self, x, a, delta, dx, ctx):
        images = x if ctx.mask is None else ctx.scratch["masked"]
        convolution.weight_gradient(images[:, None], delta[:, None], self.strides, 0, self.left,
                                    self._images(self.gradients))
        if self.bias:
            convolution.bias_gradient(delta, self.gradients["b"])
        if dx is not None:
            left = self.kernel_size - 1 - self.left
            convolution.correlate(delta[:, None], self._images(self.parameters), True,
                                  self.parameters["b"][:0], 1, self.strides, 0, left, dx[:, None])
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
    filters, kernel_size, strides, padding, bias, init, l1, l2
        As of `Conv2D`; W is (k, k, filters, C). With padding "same" H' = s H, with "valid" H' = s H + max(k -
        s, 0).

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

    def build(self, input_shape):
        H, W, C = check_images("Conv2DTranspose", input_shape)
        k, s = self.kernel_size, self.strides
        more = max(k - s, 0) if self.padding == "valid" else 0
        output = H * s + more, W * s + more, self.filters
        self._lay_out((k, k, self.filters, C), output, input_shape)
        self.receptive_field = -(-k // s), 1 / s
        return output

    def forward(self, x, out, ctx):
        self._convolve_back(x, self.parameters["b"], out)
        return out

    def backward(self, x, a, delta, dx, ctx):
        convolution.weight_gradient(delta, x, self.strides, self.top, self.left, self.gradients["W"])
        if self.bias:
            convolution.bias_gradient(delta, self.gradients["b"])
        if dx is not None:
            self._convolve(delta, self.parameters["b"][:0], dx)
        return dx
