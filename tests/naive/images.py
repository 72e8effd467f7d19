"""The twins of convolution and pooling."""
import numpy as np
from scipy import signal


def padding(size, kernel, stride, same):
    """Return the pixels of zeros before and after ``size`` pixels, as Keras defines "same"."""
    outputs = -(-size // stride)
    lacking = max((outputs - 1) * stride + kernel - size, 0) if same else 0
    return lacking // 2, lacking - lacking // 2


def convolution(x, W, b, stride, same):
    """Channel by channel, with SciPy's correlation at every pixel, of which every ``stride``-th is kept."""
    k = len(W)
    x = np.pad(x.astype(float), [(0, 0), *(padding(n, k, stride, same) for n in x.shape[1:3]), (0, 0)])
    images = [[sum(signal.correlate2d(image[:, :, c], W[:, :, c, o].astype(float), "valid")
                   for c in range(W.shape[2]))
               for o in range(W.shape[3])] for image in x]
    return np.array(images).transpose(0, 2, 3, 1)[:, ::stride, ::stride] + (b if b.size else 0)


def convolution_gradient(x, delta, shape, stride, same):
    """Return dW (k, k, C, O): what each weight was multiplied by, and the delta there, summed up."""
    k, (height, width) = shape[0], delta.shape[1:3]
    x = np.pad(x.astype(float), [(0, 0), *(padding(n, k, stride, same) for n in x.shape[1:3]), (0, 0)])
    inputs = np.array([[x[:, i:, j:][:, ::stride, ::stride][:, :height, :width] for j in range(k)]
                       for i in range(k)])
    return np.einsum("yxnijc,nijo->yxco", inputs, delta)


def convolution_matrix(W, input_shape, stride, same):
    """Return the matrix that takes one flat image to its convolution."""
    units = np.eye(np.prod(input_shape)).reshape(-1, *input_shape)
    return convolution(units, W, np.zeros(0), stride, same).reshape(len(units), -1).T


def windows(x, size, stride):
    """Return (N, H', W', size size, C)."""
    height, width = ((n - size) // stride + 1 for n in x.shape[1:3])
    cells = [x[:, i:i + (height - 1) * stride + 1:stride, j:j + (width - 1) * stride + 1:stride]
             for i in range(size) for j in range(size)]
    return np.stack(cells, axis=3)


def max_pool_backward(x, delta, size, stride):
    dx = np.zeros(x.shape)
    first = windows(x, size, stride).argmax(axis=3)
    for (n, i, j, c), cell in np.ndenumerate(first):
        dx[n, i * stride + cell // size, j * stride + cell % size, c] += delta[n, i, j, c]
    return dx
