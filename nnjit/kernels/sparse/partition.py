"""Which columns and rows of a sparse batch a thread works on.

The blocks of columns form two *halves* of about equal nonzeros: those before block ``split``, and those from
it on. A thread works on one half of the columns in gather, forward pass, weight gradient and optimiser step,
so that its rows of W, dW and the optimiser's slots stay in its core's cache. Where ``split`` is 0 there is
one half, and only the rows are divided.

A row's sum in the forward pass needs both halves. So it is computed in two *phases*, and the threads swap
rows in between, each continuing the sums that the others began::

                   blocks 0 .. split - 1       blocks split .. end
                  +---------------------------+---------------------------+
    rows 0 .. N/2 | threads of half 0 come    | threads of half 1 begin,  |
                  | second, in phase 1        | in phase 0                |
                  +---------------------------+---------------------------+
    rows N/2 .. N | threads of half 0 begin,  | threads of half 1 come    |
                  | in phase 0                | second, in phase 1        |
                  +---------------------------+---------------------------+

The order in which a row's numbers are added follows from the row and ``split``, not from the number of
threads.
"""

from ..._numba.jit import kernel
from ..._numba.threads import count_threads
from .._chunks import _count_chunks, _fraction

_MIN_CHUNK_ROWS = 64    # of a second chunk of a thread: with two each, threads end at about the same time


@kernel
def _count_row_chunks(N, most):
    """Return into how many chunks of at most ``most`` rows N rows are cut: a multiple of the threads, unless
    N is smaller.
    """
    threads = count_threads()
    rows = _count_chunks(N, threads)
    return min(N, max(1, min(2, rows // _MIN_CHUNK_ROWS), _count_chunks(rows, most)) * threads)


@kernel
def _chunks_per_half(chunks, halves):
    """Return how many chunks each half of the columns has: together ``chunks``, or twice that many if it is
    odd.
    """
    return chunks if chunks % halves else chunks // halves


@kernel
def _halves(split):
    """Return the number of halves, 1 or 2, and how many tasks each of them has, so that every thread has as
    many.
    """
    halves = 2 if split else 1
    return halves, _chunks_per_half(count_threads(), halves)


@kernel
def _blocks_of_half(half, halves, split, blocks):
    """Return (first, last), the blocks of a half; a single half has all of them."""
    return (split if half else 0), (split if half < halves - 1 else blocks)


@kernel
def _blocks_for_task(t, halves, tasks, split, blocks):
    """Return the blocks of task t, a range: the tasks of a half take its blocks in turn."""
    first, last = _blocks_of_half(t // tasks, halves, split, blocks)
    return range(first + t % tasks, last, tasks)


@kernel
def _rows_in_phase(phase, t, halves, chunks, N):
    """Return (first, last), the rows of task t in a phase: every half has ``chunks`` tasks, and half 0 begins
    at row N/2.
    """
    half = t // chunks
    rows_half = (half + phase + 1) % halves
    return _fraction(_interleave(rows_half * chunks + t % chunks, halves * chunks), halves * chunks, N)


@kernel
def _interleave(t, tasks):
    """Return the chunk of rows of task t: in either half of the tasks, first every other chunk, then the ones
    left out.

    A thread's tasks follow each other in t and stay within one half. Two chunks far apart make threads more
    equal: in images, most nonzeros lie in the middle rows.
    """
    first, last = (0, tasks // 2) if t < tasks // 2 else (tasks // 2, tasks)
    n, size = 2 * (t - first), last - first
    return first + (n if n < size else n + 1 - size - size % 2)
