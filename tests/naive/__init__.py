"""The naive twins: each kernel's result in plain NumPy, written from the definition and not from the kernel.

A twin takes arrays and returns a new one; nothing in it is fast, fused or in place. There is a file for each
family.
"""
from .activations import (
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    softmax,
    softplus,
    tanh,
    tanh_backward,
)
from .affine import affine, bias_gradient, input_gradient, weight_gradient
from .book import book
from .images import convolution, convolution_gradient, convolution_matrix, max_pool_backward, padding, windows
from .losses import (
    absolute_error,
    bernoulli,
    categorical,
    huber,
    one_hot,
    ordinal,
    pairwise_squared_error,
    poisson,
    sigmoid_squared_error,
    softmax_squared_error,
    squared_error,
    weighted,
)
from .random import GOLDEN, draw_integers, dropout_mask, key_of, mix
from .updates import adam, rmsprop, sgd
