"""The layers: parameters, and a kernel call each for the way down (`forward`) and the way back (`backward`).

A layer knows neither its neighbours nor the batch. It is given the arrays:

``forward(x, out, step)``
    Write the layer's output for the rows ``x`` into ``out`` and return it. ``step`` is the number of the training step,
    or None where nothing is trained: dropout is then the identity.
``backward(x, a, delta, dx, step)``
    From ``delta`` = dL/da at the output ``a``, write the parameters' gradients and ``dx`` = dL/dx, and return ``dx``.

An elementwise layer has an output for each input; ``dx`` is then ``delta`` itself. One that also sets ``in_place`` takes its
derivative from the output, so that ``out`` is ``x`` itself. ``settings`` names the attributes that a saved layer is made from
again. ``input_kind`` says what a network takes that begins with the layer: for "images", inputs of uint8 are divided by 255, for
"numbers" they are not. A layer that ``takes_bytes`` divides them itself.

``multiply_adds`` is a row's, on the way down, and ``window`` the (size, stride) in pixels of what an output sees of the layer's
input; None is all of it.
"""
import math

import numpy as np

from .inputs import rows
from .inputs.checks import check_count, check_real
from .kernels import activations, affine, dropout, images


class Dense:
    """A fully connected layer: z = x W + b.

    Parameters
    ----------
    units : int
        Width of the output, H.
    bias : bool
        Whether there is a ``b``; it begins at 0.
    init : str or callable
        How W (D, H) begins: ``"glorot_uniform"``, uniform in ±sqrt(6 / (D + H)) (Glorot and Bengio, AISTATS 2010);
        ``"he_uniform"``, uniform in ±sqrt(6 / D), or ``"he_normal"``, normal of variance 2 / D, both for ReLU (He et al., ICCV
        2015); or a function ``init(rng, shape)`` of a ``numpy.random.Generator`` that returns the array.

    Raises
    ------
    TypeError, ValueError
        ``units`` is not a whole number of at least 1; ``init`` is unknown.
    """

    elementwise = in_place = takes_bytes = False
    takes_sparse, input_kind = True, "numbers"
    settings = ("units", "bias", "init")
    window = None

    def __init__(self, units, bias=True, init="glorot_uniform"):
        self.units = check_count("Dense units", units)
        self.bias = bool(bias)
        self.init = _check_init("Dense", init)

    def build(self, input_shape):
        if len(input_shape) != 1:
            raise ValueError(f"Dense: got rows of shape {input_shape}, expected flat rows (D,); put Flatten() before it")
        self.shapes = {"W": (input_shape[0], self.units), "b": (self.units if self.bias else 0,)}
        self.multiply_adds = input_shape[0] * self.units
        return (self.units,)

    def initialise(self, rng):
        """Fill the parameters, drawing from the ``numpy.random.Generator``."""
        self.no_bias = self.parameters["b"][:0]
        self.parameters["W"][:] = _draw("Dense", self.init, rng, self.shapes["W"])
        self.parameters["b"][:] = 0

    def forward(self, x, out, step=None):
        rows.product(x, self.padded["W"], self.parameters["b"], out)
        return out

    def backward(self, x, a, delta, dx, step=None):
        rows.weight_gradient(x, delta, self.no_bias, self.padded_gradients["W"])
        if self.bias:
            affine.bias_gradient(delta, self.gradients["b"])
        if dx is not None:
            affine.product(delta, False, self.padded["W"], True, self.no_bias, dx)
        return dx

    def __repr__(self):
        return f"Dense({self.units}{'' if self.bias else ', bias=False'})"


_SPANS = {"glorot_uniform": lambda inputs, outputs: np.sqrt(6 / (inputs + outputs)),
          "he_uniform": lambda inputs, outputs: np.sqrt(6 / inputs),
          "he_normal": lambda inputs, outputs: np.sqrt(2 / inputs)}


def _check_init(layer, init):
    if not callable(init) and not (isinstance(init, str) and init in _SPANS):
        got = repr(init) if isinstance(init, str) else type(init).__name__
        raise ValueError(f"{layer} init: got {got}, expected {', '.join(map(repr, _SPANS))} or a function of (rng, shape)")
    return init


def _draw(layer, init, rng, shape):
    """Return weights (..., in, out); an output has as many inputs as ``in`` and the sizes before it multiplied."""
    if callable(init):
        W = init(rng, shape)
        if np.shape(W) != shape:
            raise ValueError(f"{layer} init: got shape {np.shape(W)}, expected {shape}")
        return W
    window = math.prod(shape[:-2])
    span = _SPANS[init](window * shape[-2], window * shape[-1])
    return rng.normal(0, span, shape) if init == "he_normal" else rng.uniform(-span, span, shape)


class _Elementwise:
    """A layer without parameters whose output has the shape of its input."""

    elementwise = True
    in_place = takes_sparse = takes_bytes = False
    input_kind = "numbers"
    settings, shapes, multiply_adds, window = (), {}, 0, (1, 1)

    def build(self, input_shape):
        return input_shape

    def initialise(self, rng):
        pass

    def __repr__(self):
        return f"{type(self).__name__}()"


def _rows(x):
    """Return an array (N, ...) as rows (N, D), without a copy."""
    return x if x.ndim == 2 else x.reshape(len(x), -1)


class Tanh(_Elementwise):
    """a = tanh(z), da/dz = 1 - a²."""

    in_place = True

    def forward(self, x, out, step=None):
        activations.tanh_forward(_rows(x), _rows(out))
        return out

    def backward(self, x, a, delta, dx, step=None):
        activations.tanh_backward(_rows(a), _rows(delta), _rows(dx))
        return dx


class ReLU(_Elementwise):
    """a = max(z, 0), da/dz = 1 where a > 0 and 0 elsewhere."""

    in_place = True

    def forward(self, x, out, step=None):
        if x.ndim > 2:
            images.relu_forward(_rows(x), _rows(out))
        else:
            activations.relu_forward(x, out)
        return out

    def backward(self, x, a, delta, dx, step=None):
        if a.ndim > 2:
            images.relu_backward(_rows(a), _rows(delta), _rows(dx))
        else:
            activations.relu_backward(a, delta, dx)
        return dx


class Sigmoid(_Elementwise):
    """a = 1 / (1 + exp(-z)), da/dz = a (1 - a)."""

    in_place = True

    def forward(self, x, out, step=None):
        activations.sigmoid_forward(_rows(x), _rows(out))
        return out

    def backward(self, x, a, delta, dx, step=None):
        activations.sigmoid_backward(_rows(a), _rows(delta), _rows(dx))
        return dx


class Dropout(_Elementwise):
    """Drop each unit with probability ``rate`` at a training step and scale the others by 1 / (1 - rate).

    Without a step it is the identity (inverted dropout: Srivastava et al., JMLR 2014). The mask is a hash of the seed, the
    layer, the step, the row and the unit, so that the same step always has the same mask.

    Parameters
    ----------
    rate : float
        In [0, 1).

    Raises
    ------
    TypeError, ValueError
        ``rate`` is not a number of that range.
    """

    settings = ("rate",)
    seed = index = 0    # the model sets both

    def __init__(self, rate):
        self.rate = check_real("Dropout rate", rate, 0.0, 1.0)
        self.keep = dropout.keep_digits(self.rate)
        self.words = np.empty((0, 0), np.uint64)

    def draw(self, N, units, step):
        """Return the mask of a step, a bit a unit: (N, ceil(units / 64)) uint64."""
        shape = (N, -(-units // dropout.WORD))
        if self.words.shape != shape:
            self.words = np.empty(shape, np.uint64)
        dropout.draw_mask(self.seed, self.index, step, *self.keep, self.words)
        return self.words

    def forward(self, x, out, step=None):
        if step is None or self.rate == 0:
            return x
        self.mask = self.draw(*_rows(x).shape, step)
        dropout.apply_mask(_rows(x), self.mask, 1 / (1 - self.rate), _rows(out))
        return out

    def backward(self, x, a, delta, dx, step=None):
        if step is None or self.rate == 0:
            return delta
        dropout.apply_mask(_rows(delta), self.mask, 1 / (1 - self.rate), _rows(dx))
        return dx

    def __repr__(self):
        return f"Dropout({self.rate:g})"


# ---- images ---------------------------------------------------------------------------------------------------------

def _check_images(layer, shape):
    if len(shape) != 3:
        hint = "; give grey images as X[..., None]" if len(shape) == 2 else ""
        raise ValueError(f"{layer}: got rows of shape {shape}, expected images (H, W, C){hint}")
    return shape


class _Convolution:
    """What both convolutions share: checks, and the parameters ``W``, with four sizes, and ``b``."""

    elementwise = in_place = takes_sparse = takes_bytes = False
    input_kind = "images"
    settings = ("filters", "kernel_size", "strides", "padding", "bias", "init")

    def __init__(self, filters, kernel_size, strides=1, padding="same", bias=True, init="glorot_uniform"):
        name = type(self).__name__
        self.filters = check_count(f"{name} filters", filters)
        self.kernel_size = check_count(f"{name} kernel_size", kernel_size)
        self.strides = check_count(f"{name} strides", strides)
        if padding not in ("same", "valid"):
            raise ValueError(f"{name} padding: got {padding!r}, expected 'same' or 'valid'")
        self.padding, self.bias = padding, bool(bias)
        self.init = _check_init(name, init)

    def _lay_out(self, W_shape, outer, inner):
        """Take the sizes of W and the shapes of the larger and the smaller images, between which the convolution goes."""
        self.shapes = {"W": W_shape, "b": (self.filters if self.bias else 0,)}
        size, stride = self.kernel_size, self.strides
        self.top, self.left = (max((n - 1) * stride + size - m, 0) // 2 if self.padding == "same" else 0
                               for m, n in zip(outer[:2], inner[:2]))
        self.multiply_adds = inner[0] * inner[1] * math.prod(W_shape)

    def initialise(self, rng):
        self.no_bias = self.parameters["b"][:0]
        self.parameters["W"][:] = _draw(type(self).__name__, self.init, rng, self.shapes["W"])
        self.parameters["b"][:] = 0

    def _convolve(self, x, b, out):
        images.correlate(x, self.parameters["W"], False, b, self.strides, 1, self.top, self.left, out)

    def _convolve_back(self, delta, b, out):
        """The transpose of `_convolve`, as a matrix that acts on all the pixels."""
        size = self.kernel_size
        images.correlate(delta, self.parameters["W"], True, b, 1, self.strides, size - 1 - self.top, size - 1 - self.left, out)

    def __repr__(self):
        options = [f"strides={self.strides}"] * (self.strides > 1) + [f"padding={self.padding!r}"] * (self.padding != "same")
        return f"{type(self).__name__}({', '.join([f'{self.filters}', f'{self.kernel_size}', *options])}" + (
            ")" if self.bias else ", bias=False)")


class Conv2D(_Convolution):
    """A convolution of images: a[n, i, j, o] = b[o] + sum over ky, kx, c of W[ky, kx, c, o] x[n, i s + ky, j s + kx, c].

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
        "valid": windows within the image, H' = ceil((H - k + 1) / s). "same": H' = ceil(H / s), with as many zeros around the
        image as that takes, half at the top and the left, an odd one at the bottom and the right (as in Keras).
    bias : bool
        Whether there is a ``b``; it begins at 0.
    init : str or callable
        How W (k, k, C, filters) begins, as of `Dense`; an output has k k C inputs.

    Raises
    ------
    TypeError, ValueError
        A size is not a whole number of at least 1; another padding or init; an image smaller than a "valid" window.
    """

    takes_bytes = True

    def build(self, input_shape):
        H, W, C = _check_images("Conv2D", input_shape)
        k, s = self.kernel_size, self.strides
        if self.padding == "valid" and min(H, W) < k:
            raise ValueError(f"Conv2D: got images of {H} by {W}, expected at least {k} by {k} with padding 'valid'")
        output = (*((-(-n // s) if self.padding == "same" else (n - k) // s + 1) for n in (H, W)), self.filters)
        self._lay_out((k, k, C, self.filters), input_shape, output)
        self.window = k, s
        return output

    def forward(self, x, out, step=None):
        self._convolve(x, self.parameters["b"], out)
        return out

    def backward(self, x, a, delta, dx, step=None):
        images.weight_gradient(x, delta, self.strides, self.top, self.left, self.gradients["W"])
        if self.bias:
            images.bias_gradient(delta, self.gradients["b"])
        if dx is not None:
            self._convolve_back(delta, self.no_bias, dx)
        return dx


class Conv2DTranspose(_Convolution):
    """The transpose of a convolution: from images (N, H, W, C) as one gives them back to such as it takes, (N, H', W', filters).

    As a matrix that acts on all the pixels at once, a convolution has a transpose, its way back. It has the shapes of an inverse
    and not the values: an inverse undoes, a transpose only spreads each number over the window that it came from.
    ("Deconvolution" is a misnomer.)

    Parameters
    ----------
    filters, kernel_size, strides, padding, bias, init
        As of `Conv2D`; W is (k, k, filters, C). With padding "same" H' = s H, with "valid" H' = s H + max(k - s, 0).

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
    >>> down = nn.Sequential([nn.Conv2D(1, 2, 2, init=mean), nn.Flatten()], nn.Gaussian(), "float64").build((2, 2, 1))
    >>> up = nn.Sequential([nn.Conv2DTranspose(1, 2, 2, init=mean), nn.Flatten()], nn.Gaussian(), "float64").build((1, 1, 1))
    >>> down.logits(x)
    array([[4.]])
    >>> up.logits(down.logits(x).reshape(1, 1, 1, 1))
    array([[1., 1., 1., 1.]])
    """

    def build(self, input_shape):
        H, W, C = _check_images("Conv2DTranspose", input_shape)
        k, s = self.kernel_size, self.strides
        more = max(k - s, 0) if self.padding == "valid" else 0
        output = H * s + more, W * s + more, self.filters
        self._lay_out((k, k, self.filters, C), output, input_shape)
        self.window = -(-k // s), 1 / s
        return output

    def forward(self, x, out, step=None):
        self._convolve_back(x, self.parameters["b"], out)
        return out

    def backward(self, x, a, delta, dx, step=None):
        images.weight_gradient(delta, x, self.strides, self.top, self.left, self.gradients["W"])
        if self.bias:
            images.bias_gradient(delta, self.gradients["b"])
        if dx is not None:
            self._convolve(delta, self.no_bias, dx)
        return dx


class _Pool:
    """What the layers share that take windows of each channel apart."""

    elementwise = in_place = takes_sparse = takes_bytes = False
    input_kind = "images"
    settings, shapes, multiply_adds = ("pool_size", "strides"), {}, 0

    def __init__(self, pool_size=2, strides=None):
        name = type(self).__name__
        self.pool_size = check_count(f"{name} pool_size", pool_size)
        self.strides = self.pool_size if strides is None else check_count(f"{name} strides", strides)

    def build(self, input_shape):
        H, W, C = _check_images(type(self).__name__, input_shape)
        size, stride = self.window = self.pool_size, self.strides
        if min(H, W) < size:
            raise ValueError(f"{type(self).__name__}: got images of {H} by {W}, expected at least {size} by {size}")
        return (H - size) // stride + 1, (W - size) // stride + 1, C

    def initialise(self, rng):
        pass

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
        Pixels from one window to the next, by default ``pool_size``. A window lies within the image: pixels that are left over
        at the bottom and the right are not seen.

    Raises
    ------
    TypeError, ValueError
        A size is not a whole number of at least 1, or an image is smaller than the window.
    """

    def forward(self, x, out, step=None):
        images.max_pool(x, self.pool_size, self.strides, out)
        return out

    def backward(self, x, a, delta, dx, step=None):
        images.max_pool_backward(x, delta, self.pool_size, self.strides, dx)
        return dx


class AveragePool2D(_Pool):
    """The mean of each window, for each channel. Parameters and errors as of `MaxPool2D`."""

    def forward(self, x, out, step=None):
        images.average_pool(x, self.pool_size, self.pool_size, self.strides, out)
        return out

    def backward(self, x, a, delta, dx, step=None):
        images.average_pool_backward(delta, self.pool_size, self.pool_size, self.strides, dx)
        return dx


class GlobalAveragePool2D:
    """The mean of each channel over all pixels: images (N, H, W, C) to rows (N, C)."""

    elementwise = in_place = takes_sparse = takes_bytes = False
    input_kind = "images"
    settings, shapes, multiply_adds, window = (), {}, 0, None

    def build(self, input_shape):
        self.height, self.width, channels = _check_images("GlobalAveragePool2D", input_shape)
        return (channels,)

    def initialise(self, rng):
        pass

    def forward(self, x, out, step=None):
        images.average_pool(x, self.height, self.width, 1, out.reshape(len(out), 1, 1, -1))
        return out

    def backward(self, x, a, delta, dx, step=None):
        images.average_pool_backward(delta.reshape(len(delta), 1, 1, -1), self.height, self.width, 1, dx)
        return dx

    def __repr__(self):
        return "GlobalAveragePool2D()"


def _intensities(x, out):
    """Return x, or where it is of bytes, ``out`` with these divided by 255."""
    return np.divide(x, out.dtype.type(255), out=out, dtype=out.dtype) if x.dtype == np.uint8 else x


class Flatten(_Elementwise):
    """The numbers of each row side by side: (N, H, W, C) to (N, H W C)."""

    in_place = takes_bytes = True
    input_kind = "images"

    def build(self, input_shape):
        return (math.prod(input_shape),)

    def forward(self, x, out, step=None):
        return _intensities(_rows(x), out)

    def backward(self, x, a, delta, dx, step=None):
        return delta.reshape(x.shape)


class _RandomMove(_Elementwise):
    """Images that are moved at a training step, each in its own way; a layer without a step is the identity.

    What is drawn is a hash of the seed, the layer, the step and the row, so that the same step always does the same.
    """

    takes_bytes, input_kind = True, "images"
    seed = index = 0    # the model sets both

    def build(self, input_shape):
        return _check_images(type(self).__name__, input_shape)

    def _draw(self, N, step, choices, many=1):
        numbers = np.empty((N, many), np.int64)
        images.draw(self.seed, self.index, step, choices, numbers)
        return numbers.T

    def forward(self, x, out, step=None):
        if step is None:
            return _intensities(x, out)
        images.move(x, *self.moves(len(x), step), out)
        return out

    def backward(self, x, a, delta, dx, step=None):
        if step is None:
            return delta
        mirrored, down, right = self.moves(len(x), step)
        images.move(delta.copy(), mirrored, -down, np.where(mirrored, right, -right), dx)
        return dx


class RandomFlip(_RandomMove):
    """Mirror every other image, left to right, by chance and at a training step alone."""

    def moves(self, N, step):
        """Return whether each image is mirrored, and how far it goes down and right: three arrays (N,) int64."""
        mirrored, = self._draw(N, step, 2)
        return mirrored, np.zeros_like(mirrored), np.zeros_like(mirrored)


class RandomShift(_RandomMove):
    """Shift each image by up to ``pixels`` up or down and left or right, by chance and at a training step alone; 0 comes in.

    Parameters
    ----------
    pixels : int
        At least 1; every shift of so many pixels or fewer is as likely as the others.

    Raises
    ------
    TypeError, ValueError
        ``pixels`` is not a whole number of at least 1.
    """

    settings = ("pixels",)

    def __init__(self, pixels):
        self.pixels = check_count("RandomShift pixels", pixels)

    def moves(self, N, step):
        """As of `RandomFlip`."""
        down, right = self._draw(N, step, 2 * self.pixels + 1, 2) - self.pixels
        return np.zeros_like(down), down, right

    def __repr__(self):
        return f"RandomShift({self.pixels})"
