"""The epoch loop: batches, validation, history, callbacks."""
import math
import sys
import time

import numpy as np
from tqdm import tqdm

from ._blas import kernel_threads

EVALUATION_ROWS = 2048            # evaluated at a time, at most
EVALUATION_BYTES = 4 * 2**20      # of what they leave on a tape, which so stays in the caches


class History:
    """What happened in `Sequential.fit`.

    Attributes
    ----------
    history : dict of list
        An entry an epoch: ``"loss"`` and the head's metric over the training rows, counted during the epoch, and
        ``"seconds"`` since the beginning. An entry for every validated epoch: ``"val_loss"`` and the like.
    epochs : list of int
        The numbers of the epochs, from 0.
    validated : list of int
        Those after which the validation data was evaluated.
    """

    def __init__(self):
        self.history, self.epochs, self.validated = {}, [], []

    def add(self, epoch, logs):
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
        self.epochs.append(epoch)
        if any(name.startswith("val_") for name in logs):
            self.validated.append(epoch)


def fit(model, data, optimizer, epochs, batch_size, validation, validate_every, shuffle, seed, callbacks, verbose):
    """Train ``model`` on the `Examples` ``data``; see `Sequential.fit`, which has checked everything."""
    model.history = History()
    tapes = model.tapes()
    begin = time.perf_counter()
    with kernel_threads, _Progress(epochs, verbose) as progress:
        fixed = None if shuffle else data.fixed_batches(batch_size, single_pass=epochs == 1)
        blocks = validation and validation.fixed_batches(evaluation_rows(model))
        for epoch in range(epochs):
            order = None if fixed else _shuffled(len(data), [seed, optimizer.iterations])
            batches = fixed() if fixed else data.batches(batch_size, order)
            logs = _train_epoch(model, batches, optimizer, tapes)
            if blocks and (epoch % validate_every == 0 or epoch == epochs - 1):
                logs.update({f"val_{name}": value for name, value in evaluate(model, blocks(), tapes).items()})
            logs["seconds"] = time.perf_counter() - begin
            model.history.add(epoch, logs)
            progress.show(epoch, logs)
            answers = [callback(model, epoch, logs) for callback in callbacks]
            if any(answers):
                break
    return model.history


def _shuffled(N, seed):
    return np.random.default_rng(seed).permutation(N)


def _train_epoch(model, batches, optimizer, tapes):
    sums = _Sums(model.head)
    for x, y, w, _ in batches:
        sums.add(*model.loss_and_gradient(x, y, w, tapes[len(w)], step=optimizer.iterations))
        optimizer.step(model.vector, model.gradient_vector)
    return sums.means()


def evaluation_rows(model):
    """Return how many rows are evaluated at a time."""
    row = sum(map(math.prod, model.shapes)) * model.dtype.itemsize
    return min(EVALUATION_ROWS, max(32, EVALUATION_BYTES // row // 32 * 32))


def evaluate(model, blocks, tapes):
    """Return the mean loss and metric over the ``blocks`` of rows, batches of `evaluation_rows`, without dropout."""
    sums = _Sums(model.head)
    with kernel_threads:
        for x, y, w, _ in blocks:
            sums.add(*model.loss_and_delta(x, y, w, tapes[len(w)]))
    return sums.means()


class _Sums:
    """The sums of weighted losses, of the weighted metric (several: an array) and of the weights over batches."""

    def __init__(self, head):
        self.names = (head.metric,) if isinstance(head.metric, str) else head.metric
        self.loss, self.metric, self.weight = 0.0, 0.0, 0.0

    def add(self, loss, metric, weight):
        self.loss += loss
        self.metric = self.metric + metric
        self.weight += weight

    def means(self):
        metrics = np.atleast_1d(self.metric / self.weight).tolist()
        return {"loss": self.loss / self.weight, **dict(zip(self.names, metrics))}


class _Progress:
    """A bar on a terminal, about ten plain lines elsewhere, nothing with ``verbose=0``."""

    def __init__(self, epochs, verbose):
        self.epochs, self.verbose = epochs, verbose
        self.bar = None

    def __enter__(self):
        if self.verbose and sys.stderr.isatty():
            self.bar = tqdm(total=self.epochs, unit="epoch", leave=True)
        return self

    def __exit__(self, *error):
        if self.bar is not None:
            self.bar.close()

    def show(self, epoch, logs):
        figures = {name: f"{value:.4g}" for name, value in logs.items() if name != "seconds"}
        if self.bar is not None:
            self.bar.set_postfix(figures, refresh=False)
            self.bar.update()
        elif self.verbose and (epoch % max(1, self.epochs // 10) == 0 or epoch == self.epochs - 1):
            text = "  ".join(f"{name} {value}" for name, value in figures.items())
            print(f"epoch {epoch + 1}/{self.epochs}  {text}  {logs['seconds']:.1f} s", file=sys.stderr)
