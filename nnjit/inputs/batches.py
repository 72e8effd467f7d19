"""Examples: rows, targets and weights that belong together, of which batches are taken."""
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

CACHED_BATCH_BYTES = 2**26    # of rows without their zeros, up to which packed batches are kept: twice this


class Batch(NamedTuple):
    """Some rows x with their targets y and weights w, as the head takes them.

    For sequences ``mask`` (N, T) says which steps are valid, None is all. Where there is a target for every
    step, y and w have N T rows, of which ``count`` are valid; None is all.
    """

    x: object
    y: object
    w: Any
    mask: np.ndarray | None = None
    count: int | None = None    # type: ignore[assignment]    # for which nobody asks a tuple

    @property
    def rows(self) -> int:
        """How many targets there are."""
        return len(self.w) if self.count is None else self.count


class Examples:
    """Rows, targets and weights, checked and stored; and the total weight of all, as the head has it.

    ``mask`` is that of the inputs. ``counts`` (N,) is, where every step has a target, how many are valid.
    ``graph`` is the one that takes rows of this shape.
    """

    waits = False    # as a `Stream` does

    def __init__(self, x, y, w, total_weight, graph, mask=None, counts=None):
        self.x, self.y, self.w, self.total_weight, self.N = x, y, w, total_weight, len(x)
        self.graph, self.mask, self.counts = graph, mask, counts
        self.targets = self.N if counts is None else int(counts.sum())

    def __len__(self):
        return self.N

    def divisor(self, n: int):
        """Return what the loss of a batch of n targets is divided by: n times the mean weight of all."""
        return self.total_weight if n == self.targets else self.total_weight * n / self.targets

    def take(self, rows) -> Batch:
        """Return the `Batch` of these rows, a slice or numbers."""
        return Batch(self.x[rows], self.y[rows], self.w[rows], None if self.mask is None else self.mask[rows],
                     None if self.counts is None else int(self.counts[rows].sum()))

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

    def blocks(self, rows: Callable[[int], int], kept: bool = False) -> Callable[..., Any]:
        """Return a function that returns, for each pass, ``[(N, blocks)]``: all rows, as a sequence of
        batches of ``rows(N)`` in order. With ``kept`` they are made once.

        Those that are not kept, or take much memory, are made when they are asked for, by several threads.
        """
        blocks: Sequence[Batch] = Blocks(rows(self.N), self.N, self.take)
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
            yield self.take(rows if order is None else order[rows])


class Every(Sequence[Any]):
    """Every n-th of a sequence, from the k-th on, each taken when it is asked for."""

    def __init__(self, given: Sequence[Any], k: int, n: int):
        self.given, self.numbers = given, range(k, len(given), n)

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, i):
        return self.given[self.numbers[i]]


class Blocks(Sequence[Any]):
    """N rows in order, in blocks of so many: a sequence of `Batch`, each made when it is asked for, by
    ``take`` from a slice.
    """

    def __init__(self, rows: int, N: int, take: Callable[[slice], Batch]):
        self.rows, self.N, self.take = rows, N, take

    def __len__(self):
        return (self.N + self.rows - 1) // self.rows

    def __getitem__(self, k):
        if not 0 <= k < len(self):
            raise IndexError(k)
        return self.take(slice(k * self.rows, min(self.N, (k + 1) * self.rows)))
