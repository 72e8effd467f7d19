"""Examples: rows, targets and weights that belong together, of which batches are taken."""
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

CACHED_BATCH_BYTES = 2**26    # of rows without their zeros, up to which packed batches are kept: twice this


class Batch(NamedTuple):
    """Some rows x with their targets y and weights w; ``mask`` says which steps are valid, None is all."""

    x: object
    y: object
    w: np.ndarray
    mask: np.ndarray | None = None


class Examples:
    """Rows, targets and weights, checked and stored; and the total weight of all, as the head has it."""

    waits = False    # as a `Stream` does

    def __init__(self, x, y, w, total_weight):
        self.x, self.y, self.w, self.total_weight, self.N = x, y, w, total_weight, len(w)

    def __len__(self):
        return self.N

    def divisor(self, n: int):
        """Return what the loss of a batch of n rows is divided by: n times the mean weight of all rows."""
        return self.total_weight if n == self.N else self.total_weight * n / self.N

    def fixed_batches(self, batch_size: int, single_pass: bool = False):
        """Return a function that returns the batches in the order of the rows, for one pass or for many.

        For many passes the batches are made once, and the rows let go, unless that takes much memory.
        """
        if self._is_large() or single_pass and getattr(self.x, "packs_slices", False):
            return lambda: self.batches(batch_size, np.arange(len(self)))
        if single_pass:
            return lambda: self.batches(batch_size)
        batches = list(self.batches(batch_size))
        self.x = None
        return lambda: batches

    def blocks(self, rows: Callable[[int], int], kept: bool = False) -> Callable:
        """Return a function that returns, for each pass, ``[(N, blocks)]``: all rows, as a sequence of
        batches of ``rows(N)`` in order. With ``kept`` they are made once.

        Those that are not kept, or take much memory, are made when they are asked for, by several threads.
        """
        blocks = Blocks(rows(self.N), self.x, self.y, self.w)
        if kept and not self._is_large():
            blocks = list(blocks)
            self.x = None
        return lambda: [(self.N, blocks)]

    def close(self):
        """End what goes on in the background: nothing."""

    def _is_large(self):
        return getattr(self.x, "packs_slices", False) and self.x.nbytes > CACHED_BATCH_BYTES

    def batches(self, batch_size: int, order: np.ndarray | None = None):
        """Yield a `Batch` of ``batch_size`` rows after the other, the last of those that are left.

        ``order`` has the numbers of the rows; None takes them as they are stored.
        """
        for first in range(0, len(self) if order is None else len(order), batch_size):
            rows = slice(first, first + batch_size)
            if order is not None:
                rows = order[rows]
            yield Batch(self.x[rows], self.y[rows], self.w[rows])


class Blocks(Sequence):
    """Rows in order, in blocks of so many: a sequence of `Batch`, each made when it is asked for."""

    def __init__(self, rows: int, x, y=None, w=None):
        self.rows, self.x, self.y, self.w = rows, x, y, w

    def __len__(self):
        return (len(self.x) + self.rows - 1) // self.rows

    def __getitem__(self, k):
        if not 0 <= k < len(self):
            raise IndexError(k)
        rows = slice(k * self.rows, (k + 1) * self.rows)
        return Batch(*(None if values is None else values[rows] for values in (self.x, self.y, self.w)))
