"""The epoch loop: batches, validation, history, callbacks."""
import math
import sys
import time

import numpy as np
from tqdm import tqdm

from ._numba.threads import parallel_region
from .arrays import SparseRows

BLOCK = 2048                # rows evaluated at a time, at most
BLOCK_BYTES = 4 * 2**20     # of what they leave on a tape, which so stays in the caches
SETTLED_BYTES = 2**26       # of rows without their zeros whose batches are laid out, which takes twice as much, at most


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


class Examples:
    """Rows, targets and weights, checked, which come in batches; and the total weight of all, as the head has it."""

    def __init__(self, x, y, w, total_weight):
        self.x, self.y, self.w, self.total_weight = x, y, w, total_weight

    def __len__(self):
        return len(self.w)

    def divisor(self, n):
        """Return what the loss of a batch of n rows is divided by: n times the mean weight of all rows."""
        return self.total_weight if n == len(self) else self.total_weight * n / len(self)

    def in_order(self, batch_size, once=False):
        """Return a function that returns the batches as the rows lie, for going through them once, or again and again.

        They are then laid out once and for all, and the rows let go, unless that takes much memory.
        """
        if isinstance(self.x, SparseRows) and (once or self.x.nbytes > SETTLED_BYTES):
            return lambda: self.batches(batch_size, np.arange(len(self)))
        if once:
            return lambda: self.batches(batch_size)
        batches = list(self.batches(batch_size))
        self.x = None
        return lambda: batches

    def batches(self, batch_size, order=None):
        """Yield (x, y, w) of ``batch_size`` rows, the last of what is left; in the given order of the rows, or as they lie."""
        for first in range(0, len(self), batch_size):
            rows = slice(first, first + batch_size)
            if order is not None:
                rows = order[rows]
            yield self.x[rows], self.y[rows], self.w[rows]


def fit(model, data, optimizer, epochs, batch_size, validation, validate_every, shuffle, seed, callbacks, verbose):
    """Train ``model`` on the `Examples` ``data``; see `Sequential.fit`, which has checked everything."""
    model.history = History()
    tapes = model.tapes()
    begin = time.perf_counter()
    with parallel_region, _Progress(epochs, verbose) as progress:
        in_order = None if shuffle else data.in_order(batch_size, once=epochs == 1)
        blocks = validation and validation.in_order(block_rows(model))
        for epoch in range(epochs):
            batches = in_order() if in_order else data.batches(batch_size, _shuffled(len(data), [seed, optimizer.iterations]))
            logs = _train_epoch(model, batches, data.divisor, optimizer, tapes)
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


def _train_epoch(model, batches, divisor, optimizer, tapes):
    sums = _Sums(model.head)
    for x, y, w in batches:
        sums.add(*model.loss_and_gradient(x, y, w, divisor(len(x)), tapes[len(x)], step=optimizer.iterations))
        optimizer.step(model.vector, model.gradient_vector)
    return sums.means()


def block_rows(model):
    """Return how many rows are evaluated at a time."""
    row = sum(map(math.prod, model.shapes)) * model.dtype.itemsize
    return min(BLOCK, max(32, BLOCK_BYTES // row // 32 * 32))


def evaluate(model, blocks, tapes):
    """Return the mean loss and metric over the ``blocks`` of rows, batches of `block_rows`, without dropout."""
    sums = _Sums(model.head)
    with parallel_region:
        for x, y, w in blocks:
            sums.add(*model.loss(x, y, w, tapes[len(x)]))
    return sums.means()


class _Sums:
    """The sums that a head returns, added up over batches."""

    def __init__(self, head):
        self.head = head
        self.loss, self.metric, self.weight = 0.0, 0.0, 0.0

    def add(self, loss, metric, weight):
        self.loss, self.metric, self.weight = self.loss + loss, self.metric + metric, self.weight + weight

    def means(self):
        return self.head.means(self.loss, self.metric, self.weight)


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
