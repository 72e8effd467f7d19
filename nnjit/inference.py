"""Forward passes over many rows: in blocks, which stay in the caches and are shared out among threads."""
import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._numba.race import Race
from ._numba.share import share
from ._numba.threads import exclusive_layer, on_one_thread, parallel_region
from .graph import Graph
from .heads import Head
from .inputs.batches import Batch, Blocks
from .inputs.rows import FEW_ROWS, DenseStream

BLOCK_ROWS = 2048         # at most
BLOCK_BYTES = 4 * 2**20   # of what a block leaves in a workspace, at most
SERIAL_MACS = 2**18       # of a layer, for which BLAS starts no threads of its own


def block_rows(graph: Graph, N: int) -> int:
    """Return how many of N rows make a block. There is one, or a multiple of 4, or many: threads have about
    as much to do.
    """
    row = sum(map(math.prod, graph.shapes)) * graph.dtype.itemsize
    most = min(BLOCK_ROWS, max(32, BLOCK_BYTES // row // 32 * 32))
    count = -(-N // most)
    if 1 < count <= 16:
        most = -(-N // (-(-count // 4) * 4) // 32) * 32
    return most


def logits(graph: Graph, x, mask: np.ndarray | None = None) -> np.ndarray:
    """Return the last layer's output, (N, K) or (N, T, K), for the checked rows ``x``, without dropout."""
    N = len(x)
    if N <= FEW_ROWS:
        return _few_logits(graph, x if isinstance(x, DenseStream) else x[:], N, mask)

    def take(rows):
        return Batch(x[rows], None, None, None if mask is None else mask[rows])

    with parallel_region():
        blocks = Blocks(block_rows(graph, N), N, take)
        return np.concatenate(for_each_block(graph, blocks, lambda block, workspace: graph.forward(
            block.x, workspace, None, block).copy(), N, []))


def _few_logits(graph, batch, N, mask):
    if N * graph.most_multiply_adds > SERIAL_MACS:
        with parallel_region():
            return graph.forward_once(batch, mask)
    if N > 1 or not isinstance(batch, DenseStream):
        return on_one_thread(lambda x: graph.forward_once(x, mask), batch)
    with exclusive_layer:    # the kernels of one flat row are serial as they are
        return graph.forward_once(batch)


def probabilities(head: Head, z: np.ndarray):
    """Return the head's probabilities for the logits z (N, K)."""
    if len(z) <= BLOCK_ROWS // 2:
        return on_one_thread(head.probabilities, z)
    with parallel_region():
        return head.probabilities(z)


def by_step(function: Callable[..., Any], z: np.ndarray):
    """Return what ``function`` returns for the logits z (N, K); for (N, T, K), with the steps of each row."""
    if z.ndim == 2:
        return function(z)
    found = function(z.reshape(-1, z.shape[-1]))
    if isinstance(found, dict):
        return {name: one.reshape(*z.shape[:2], *one.shape[1:]) for name, one in found.items()}
    return found.reshape(*z.shape[:2], *found.shape[1:])


def for_each_block(graph: Graph, blocks: Sequence[Any], function: Callable[..., Any], rows: int,
                   spare: list[Any], race: Race | None = None) -> list[Any]:
    """Return what ``function(block, workspace)`` returns for each of the `Batch` blocks, of ``rows`` in all.

    Within a `parallel_region`. The threads share out the blocks, with kernels of one thread each. With a
    ``race``, or of one block, it is found out whether parallel kernels are faster. ``spare`` holds workspaces
    from one call to the next.
    """
    @contextlib.contextmanager
    def worker():
        workspaces = _take(spare) or graph.workspaces()
        yield lambda k: _on_block(function, blocks[k], workspaces)
        spare.append(workspaces)

    if len(blocks) == 1:
        race = race or graph.race("inference", 2 ** rows.bit_length())
    elif race is None:
        return share(worker, len(blocks))
    with race.timed_once(rows):
        if len(blocks) > 1 and race.threads == 1:
            return share(worker, len(blocks))
        with worker() as on_block:
            return list(map(on_block, range(len(blocks))))


def _take(spare):
    """Return workspaces that nobody uses, or None; several threads ask at once."""
    with contextlib.suppress(IndexError):
        return spare.pop()


def _on_block(function, block, workspaces):
    return function(block, workspaces[len(block.x)])
