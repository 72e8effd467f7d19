"""Examples: rows, targets and weights that belong together, of which batches are taken."""
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
        if getattr(self.x, "packs_slices", False) and (single_pass or self.x.nbytes > CACHED_BATCH_BYTES):
            return lambda: self.batches(batch_size, np.arange(len(self)))
        if single_pass:
            return lambda: self.batches(batch_size)
        batches = list(self.batches(batch_size))
        self.x = None
        return lambda: batches

    def batches(self, batch_size: int, order: np.ndarray | None = None):
        """Yield a `Batch` of ``batch_size`` rows after the other, the last of those that are left.

        ``order`` has the numbers of the rows; None takes them as they are stored.
        """
        for first in range(0, len(self), batch_size):
            rows = slice(first, first + batch_size)
            if order is not None:
                rows = order[rows]
            yield Batch(self.x[rows], self.y[rows], self.w[rows])
