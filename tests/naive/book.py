"""The book's experiments, as published."""
import numpy as np

from .losses import one_hot


def book(name, literal, data, seed, iterations, batch=100, alpha=2):
    """Run the algorithm as it was published (``literal``), or with the true gradient of the same network.

    ``data`` is (x, y, x_test, y_test), in float64 and class numbers. Returns the weights (W1, W2), the train
    accuracy of every iteration, and a dict of the test accuracy after every tenth iteration and the last.
    """
    x, y, x_test, y_test = data
    tanh_experiment = name == "tanh"
    c, divisor = (0.2, batch**2) if tanh_experiment else (0.02, batch * 10)
    activate = np.tanh if tanh_experiment else lambda z: np.maximum(z, 0)
    slope = (lambda a: 1 - a**2) if tanh_experiment else lambda a: a > 0
    rs = np.random.RandomState(seed)
    W1 = 0.02 * rs.random_sample((x.shape[1], 100)) - 0.01
    W2 = c * rs.random_sample((100, 10)) - c / 2
    train, test = [], {}
    for iteration in range(iterations):
        hits = 0
        for first in range(0, len(x), batch):
            rows = slice(first, first + batch)
            m = rs.randint(2, size=(batch, 100))
            a = activate(x[rows] @ W1)
            h = 2 * m * a
            e = np.exp(h @ W2)
            p = e / e.sum(axis=1, keepdims=True)
            hits += (p.argmax(axis=1) == y[rows]).sum()
            delta_2 = (p - one_hot(y[rows], 10)) / divisor
            delta_1 = (delta_2 @ W2.T) * (slope(h) * m if literal else slope(a) * 2 * m)
            W2 = W2 - alpha * (h.T @ delta_2)
            W1 = W1 - alpha * (x[rows].T @ delta_1)
        train.append(hits / len(x))
        if iteration % 10 == 0 or iteration == iterations - 1:
            test[iteration] = ((activate(x_test @ W1) @ W2).argmax(axis=1) == y_test).mean()
    return (W1, W2), train, test
