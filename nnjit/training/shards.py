"""A batch in shards: parts of its rows whose gradients are added in a fixed tree.

The tree depends on the number of shards alone. So one process, or any number of ranks that share the shards
out, come to the same bits::

    shards     0   1   2   3   4   5   6   7        rank 0 of 2 has the shards 0 to 3, rank 1 the
                \\ /     \\ /     \\ /     \\ /         others: each adds up its half, and one exchange
                 +       +       +       +          adds the two.
                  \\     /         \\     /
                     +               +
                       \\           /
                             +
"""
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..inputs.batches import Batch, Examples
from ..inputs.checks import shown
from .ranks import Ranks

SHARDS = 8    # where there is a communicator
_MOST = 2**20


class Part(NamedTuple):
    """The rows of a shard: its number, its batch, and where it begins within the whole batch."""

    number: int
    batch: Batch
    first_row: int


class ShardedBatch(NamedTuple):
    """A batch of ``rows`` targets, of which the parts of this rank are taken one after the other.

    ``x`` is as long as the batch; ``filled`` is how many of all shards have rows.
    """

    x: range
    rows: int
    parts: Iterator[Part]
    filled: int


class Shards:
    """How batches are cut into ``count`` shards, those of this rank, and how their gradients are added."""

    def __init__(self, count: int, ranks: Ranks | None):
        self.count, self.ranks = count, ranks
        size, rank = (1, 0) if ranks is None else (ranks.size, ranks.rank)
        self.own = range(rank * count // size, (rank + 1) * count // size)

    def batches(self, data: Examples, batch_size: int, order: np.ndarray) -> Iterator[ShardedBatch]:
        """Yield the batches of these row numbers."""
        for first in range(0, len(order), batch_size):
            rows = order[first:first + batch_size]
            targets = len(rows) if data.counts is None else int(data.counts[rows].sum())
            yield ShardedBatch(range(len(rows)), targets, self._parts(data, rows), min(self.count, len(rows)))

    def _parts(self, data, rows):
        for s in self.own:
            first, last = (k * len(rows) // self.count for k in (s, s + 1))
            if first < last:
                yield Part(s, data.take(rows[first:last]), first)

    def total(self, vectors: dict[int, np.ndarray], like: np.ndarray) -> np.ndarray:
        """Return the sum of the shards' vectors, ``{shard: vector}`` of this rank's, over all ranks.

        A shard without rows counts as 0.
        """
        level = [vectors.get(s, np.zeros_like(like)) for s in self.own]
        while len(level) > 1:
            level = [one + other for one, other in zip(level[::2], level[1::2])]
        return level[0] if self.ranks is None else self.ranks.sum(level[0])

    def of_all(self, own: list[Any]) -> list[Any]:
        """Return what all shards came to, in their order, from what those of this rank did."""
        return own if self.ranks is None else list(itertools.chain(*self.ranks.gathered(own)))


def check_shards(shards: int | None, ranks: Ranks | None) -> Shards | None:
    """Return the `Shards` that were asked for, or None for batches as a whole; ValueError otherwise."""
    if shards is None and ranks is None:
        return None
    count = SHARDS if shards is None else shards
    whole = isinstance(count, int) and not isinstance(count, bool)
    if not whole or not 1 <= count <= _MOST or count & (count - 1):
        raise ValueError(f"shards: got {shown(count)}, expected a power of two up to {_MOST:,}, such as "
                         f"{SHARDS}")
    if ranks is not None and count % ranks.size:
        raise ValueError(f"shards: got {count} for {ranks.size} ranks, expected at least as many; with more "
                         f"ranks give shards={ranks.size}")
    return Shards(count, ranks)


class Gradients:
    """The gradients of a batch's shards on their way to one: with them the state that layers commit."""

    def __init__(self, graph, shards: Shards):
        self.graph, self.shards = graph, shards
        self.vectors: dict[int, np.ndarray] = {}
        self._before = graph.state_vector.copy()

    def add(self, part: Part, workspace):
        """Take what the backward pass of a part has left in the graph."""
        graph = self.graph
        if graph.committing:
            graph.commit(workspace)
        self.vectors[part.number] = np.concatenate([graph.gradient_vector, graph.state_vector])
        graph.state_vector[:] = self._before

    def put(self, filled: int):
        """Put the sum of the gradients, and the mean of the states, into the graph."""
        graph, P = self.graph, self.graph.gradient_vector.size
        like = np.empty(P + graph.state_vector.size, graph.dtype)
        total = self.shards.total(self.vectors, like)
        graph.gradient_vector[:] = total[:P]
        if graph.committing:
            graph.state_vector[:] = total[P:] / graph.dtype.type(filled)
        self.vectors = {}
        self._before = graph.state_vector.copy()
