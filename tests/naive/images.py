"""The twins of convolution and pooling."""
import numpy as np
from scipy import signal


def padding(size, kernel, stride, kind, dilation=1):
    """Return the pixels of zeros before and after ``size`` pixels; "same" is as Keras defines it."""
    if not isinstance(kind, str):
        return kind
    outputs = -(-size // stride)
    lacking = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0) if kind == "same" else 0
    return lacking // 2, lacking - lacking // 2


def padded(x, window, strides, kind, dilation=(1, 1), value=0.0):
    """Return the images with what lies around them; ``kind`` is "same", "valid" or ((top, bottom), (left,
    right)).
    """
    kinds = (kind, kind) if isinstance(kind, str) else kind
    around = [padding(*each) for each in zip(x.shape[1:3], window, strides, kinds, dilation)]
    return np.pad(x.astype(float), [(0, 0), *around, (0, 0)], constant_values=value)


def spread(W, dilation):
    """Return the window with zeros between its weights."""
    kh, kw = ((k - 1) * d + 1 for k, d in zip(W.shape, dilation))
    wide = np.zeros((kh, kw, *W.shape[2:]))
    wide[::dilation[0], ::dilation[1]] = W
    return wide


def convolution(x, W, b, strides, kind, dilation=(1, 1), groups=1):
    """Channel by channel, with SciPy's correlation at every pixel, of which some are kept."""
    x = padded(x, W.shape, strides, kind, dilation)
    wide, C, K = spread(W, dilation), W.shape[2], W.shape[3] // groups
    images = [[sum(signal.correlate2d(image[:, :, o // K * C + c], wide[:, :, c, o], "valid")
                   for c in range(C)) for o in range(W.shape[3])] for image in x]
    return (np.array(images).transpose(0, 2, 3, 1)[:, ::strides[0], ::strides[1]] + (b if b.size else 0))


def convolution_gradient(x, delta, shape, strides, kind, dilation=(1, 1), groups=1):
    """Return dW (kh, kw, C / groups, K): what each weight was multiplied by and the delta there, summed."""
    x = padded(x, shape, strides, kind, dilation)
    (height, width), own, K = delta.shape[1:3], shape[2], shape[3] // groups
    dW = np.empty(shape)
    for ky, kx, c, o in np.ndindex(*shape):
        inputs = x[:, ky * dilation[0]:, kx * dilation[1]:, o // K * own + c]
        dW[ky, kx, c, o] = (inputs[:, ::strides[0], ::strides[1]][:, :height, :width] * delta[..., o]).sum()
    return dW


def convolution_matrix(W, input_shape, strides, kind, dilation=(1, 1), groups=1):
    """Return the matrix that takes one flat image to its convolution."""
    units = np.eye(np.prod(input_shape)).reshape(-1, *input_shape)
    found = convolution(units, W, np.zeros(0), strides, kind, dilation, groups)
    return found.reshape(len(units), -1).T


def windows(x, size, strides, kind="valid", value=np.nan):
    """Return (N, H', W', cells, C), with a value for what lies outside of the images."""
    x = padded(x, size, strides, kind, value=value)
    height, width = ((n - k) // s + 1 for n, k, s in zip(x.shape[1:3], size, strides))
    down, across = strides
    cells = [x[:, i:i + (height - 1) * down + 1:down, j:j + (width - 1) * across + 1:across]
             for i in range(size[0]) for j in range(size[1])]
    return np.stack(cells, axis=3)


def max_pool_backward(x, delta, size, strides, kind="valid"):
    around = padded(np.zeros(x.shape), size, strides, kind, value=1.0)[0, :, :, 0]
    top, left = np.argwhere(around == 0)[0]
    dx = np.zeros((len(x), *around.shape, x.shape[3]))
    first = windows(x, size, strides, kind, -np.inf).argmax(axis=3)
    for (n, i, j, c), cell in np.ndenumerate(first):
        dx[n, i * strides[0] + cell // size[1], j * strides[1] + cell % size[1], c] += delta[n, i, j, c]
    return dx[:, top:top + x.shape[1], left:left + x.shape[2]]
