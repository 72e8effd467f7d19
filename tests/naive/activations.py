"""The twins of elementwise activations and softmax."""
import numpy as np


def tanh(x):
    return np.tanh(x)


def tanh_backward(a, delta):
    return delta / np.cosh(np.arctanh(a)) ** 2


def sigmoid(x):
    return (1 + np.tanh(x / 2)) / 2


def sigmoid_backward(a, delta):
    return delta * (a - a**2)


def relu(x):
    return np.maximum(x, 0)


def relu_backward(a, delta):
    return np.where(a > 0, delta, 0)


def softmax(z):
    """From odds: 1 / p_k is the sum over j of e^(z_j - z_k)."""
    return 1 / np.exp(z[:, None, :] - z[:, :, None]).sum(axis=2)


def log_softmax(z):
    return np.log(softmax(z))
