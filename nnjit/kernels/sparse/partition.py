"""How the work of the sparse kernels is shared out to threads."""
from ..._jit import count_threads, kernel

_FEW = 64            # rows that are not worth another task


@kernel
def _blocks_of(side, sides, middle, blocks):
    """Return at which block a side begins and ends; a single one has them all."""
    return (middle if side else 0), (middle if side < sides - 1 else blocks)


@kernel
def _blocks_of_task(t, sides, shares, middle, blocks):
    """Return the blocks that the t-th task has where each side's are shared out, in turn: a range."""
    begin, end = _blocks_of(t // shares, sides, middle, blocks)
    return range(begin + t % shares, end, shares)


@kernel
def _count_tasks(N, most):
    """Return in how many tasks of at most so many rows N are shared out: as many a thread, two if they are not few."""
    threads = count_threads()
    share = (N + threads - 1) // threads
    return min(N, max(1, min(2, share // _FEW), (share + most - 1) // most) * threads)


@kernel
def _count_shares(tasks, sides):
    """Return how many tasks each side has, so that together they are so many, or twice as many where they are odd."""
    return tasks if tasks % sides else tasks // sides


@kernel
def _sides(middle):
    """Return how many sides there are, and in how many tasks each of them is shared out: as many a thread."""
    sides = 2 if middle else 1
    return sides, _count_shares(count_threads(), sides)


@kernel
def _apart(t, tasks):
    """Return the t-th of the tasks, of which every other one comes first, in either half of them.

    A thread has tasks that follow each other in t, and keeps to a half. So two of them get as many entries as each other, which
    in images lie in the middle.
    """
    begin, end = (0, tasks // 2) if t < tasks // 2 else (tasks // 2, tasks)
    n = 2 * (t - begin)
    return begin + (n if n < end - begin else n + 1 - (end - begin) - (end - begin) % 2)
