"""The twins of optimiser steps.

A twin takes the gradients of all steps, (T, P), and returns W after the last: running means are written as
the sums that they stand for.
"""
import numpy as np


def sgd(W, gradients, learning_rate, momentum=0.0, nesterov=False, weight_decay=0.0):
    for t in range(len(gradients)):
        past = momentum ** np.arange(t, -1.0, -1.0) @ gradients[:t + 1]
        step = momentum * past + gradients[t] if nesterov else past
        W = (1 - learning_rate * weight_decay) * W - learning_rate * step
    return W


def rmsprop(W, gradients, learning_rate, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False,
            weight_decay=0.0):
    steps = []
    for t in range(len(gradients)):
        past = gradients[:t + 1]
        share = (1 - rho) * rho ** np.arange(t, -1.0, -1.0)
        spread = share @ past**2 - (share @ past) ** 2 * centered
        steps.append(learning_rate * gradients[t] / np.sqrt(spread + epsilon))
        W = (1 - learning_rate * weight_decay) * W - momentum ** np.arange(t, -1.0, -1.0) @ np.array(steps)
    return W


def adam(W, gradients, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=0.0):
    for t in range(len(gradients)):
        age, past = np.arange(t, -1.0, -1.0), gradients[:t + 1]
        mean = np.average(past, axis=0, weights=beta_1**age)
        mean_square = np.average(past**2, axis=0, weights=beta_2**age)
        W = (1 - learning_rate * weight_decay) * W - learning_rate * mean / (np.sqrt(mean_square) + epsilon)
    return W
