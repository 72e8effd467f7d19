"""NumPy as a contender: the book's loop as it stands in the book, and the same written with whole arrays."""
from functools import partial

import numpy as np

from .process import Clock
from .tasks import Task

LITERAL_ITERATIONS = 3


def _softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# An activation, and its derivative from its output.
_ACTIVATIONS = {"tanh": (np.tanh, lambda a: 1 - a * a), "relu": (partial(np.maximum, 0), lambda a: a > 0)}


def experiment_literally(task: Task, clock: Clock, seed: int) -> dict:
    """The book's loop: the test images one by one. A few iterations stand for all."""
    activate, slope = _ACTIVATIONS[task.activation]
    random = np.random.RandomState(seed)
    W1, W2 = task.weights(seed)
    one_hot = np.eye(task.sizes[-1])[task.y]
    iterations = min(LITERAL_ITERATIONS, task.epochs)
    clock.scale = task.scale * task.epochs / iterations
    with clock:
        for _ in range(iterations):
            loss = 0.0
            for start in range(0, len(task.x), task.batch):
                x, y = task.x[start:start + task.batch], one_hot[start:start + task.batch]
                a = activate(np.dot(x, W1))
                m = (random.random_sample(a.shape) >= task.dropout) / (1 - task.dropout)
                h = a * m
                p = _softmax(np.dot(h, W2))
                loss -= np.sum(y * np.log(p))
                delta2 = (p - y) / len(x)
                delta1 = np.dot(delta2, W2.T) * slope(a) * m
                W2 -= task.learning_rate * np.dot(h.T, delta2)
                W1 -= task.learning_rate * np.dot(x.T, delta1)
            hits = 0
            for i in range(len(task.x_test)):
                p = _softmax(np.dot(activate(np.dot(task.x_test[i], W1)), W2))
                hits += int(np.argmax(p) == task.y_test[i])
    if iterations < task.epochs:
        return {"note": f"{iterations} iterations, scaled"}
    return {"loss": loss / len(task.x), "accuracy": hits / len(task.x_test)}


def experiment(task: Task, clock: Clock, seed: int) -> dict:
    """Whole arrays, the large ones allocated once."""
    activate, slope = _ACTIVATIONS[task.activation]
    clock.scale = task.scale
    random = np.random.default_rng(seed)
    W1, W2 = task.weights(seed)
    y = np.eye(task.sizes[-1], dtype=W1.dtype)[task.y]
    a, draw, m, step = (np.empty(shape, W1.dtype) for shape in [(task.batch, W1.shape[1])] * 3 + [W1.shape])
    a_test = np.empty((len(task.x_test), W1.shape[1]), W1.dtype)
    with clock:
        for _ in range(task.epochs):
            loss = hits = 0
            for start in range(0, len(task.x), task.batch):
                rows = slice(start, start + task.batch)
                activate(np.dot(task.x[rows], W1, out=a), out=a)
                random.random(out=draw, dtype=W1.dtype)
                np.divide(draw >= task.dropout, 1 - task.dropout, out=m, dtype=W1.dtype)
                h = a * m
                p = _softmax(h @ W2)
                hits += np.count_nonzero(p.argmax(axis=1) == task.y[rows])
                loss -= np.log(p[y[rows] > 0]).sum()
                delta2 = (p - y[rows]) / len(p)
                delta1 = delta2 @ W2.T
                m *= slope(a)
                delta1 *= m
                W2 -= task.learning_rate * (h.T @ delta2)
                np.dot(task.x[rows].T, delta1, out=step)
                step *= task.learning_rate
                W1 -= step
            activate(np.dot(task.x_test, W1, out=a_test), out=a_test)
            accuracy = np.mean((a_test @ W2).argmax(axis=1) == task.y_test)
    return {"loss": loss / len(task.x), "accuracy": accuracy, "train_accuracy": hits / len(task.x)}


def predict_one(task: Task, clock: Clock, seed: int) -> dict:
    first, last = task.weights(0)
    clock.scale = 1 / len(task.x)
    with clock:
        predicted = [int(np.argmax(np.maximum(x @ first, 0) @ last)) for x in task.x]
    return {"accuracy": np.mean(predicted == task.y)}


def predict_all(task: Task, clock: Clock, seed: int) -> dict:
    first, last = task.weights(0)
    with clock:
        hidden = task.x @ first
        np.maximum(hidden, 0, out=hidden)
        predicted = (hidden @ last).argmax(axis=1)
    return {"accuracy": np.mean(predicted == task.y)}
