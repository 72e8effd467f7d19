"""The twins of affine maps, of dense and of sparse rows."""
import numpy as np


def affine(x, W, b):
    z = np.einsum("nd,dh->nh", x.astype(float), W.astype(float))
    return z + b if b.size else z


def weight_gradient(x, delta):
    """The sum of each row's outer product."""
    dW = np.zeros((x.shape[1], delta.shape[1]))
    for x_row, delta_row in zip(x, delta):
        dW += np.outer(x_row, delta_row)
    return dW


def input_gradient(delta, W):
    return np.einsum("nh,dh->nd", delta.astype(float), W.astype(float))


def bias_gradient(delta):
    return np.ones(len(delta)) @ delta.astype(float)
