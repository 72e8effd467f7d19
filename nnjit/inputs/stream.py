"""Streams: examples that come block by block, for data that do not fit into memory.

`Source` is what the user gave, `Ahead` prepares blocks in the background, and `Stream` is to both what
`Examples` are to arrays.
"""
import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .batches import Blocks, Examples

_AHEAD = 2         # blocks that are prepared and wait
_PATIENCE = 0.1    # seconds after which a thread that waits looks whether it is still needed


class Source:
    """Where blocks come from: an iterable, or a function that returns one for every pass.

    A block is (X, y), (X, y, w) or (X, y, w, mask), a tuple or a list. The first one is looked at when the
    source is made.

    Attributes
    ----------
    first : tuple (X, y, w, mask) or None
        The first block, whose w and mask may be None; None once a pass has begun.
    repeats : bool
        Whether there may be more than one pass: through an iterator there is one.

    Raises
    ------
    TypeError, ValueError
        There is no block, or something is none.
    """

    def __init__(self, given: Iterable[Any] | Callable[..., Any]):
        self._given = given
        self._iterator = self._open()
        self.repeats = callable(given) or self._iterator is not given
        for block in self._iterator:
            self.first: tuple[Any, ...] | None = as_block(0, block)
            break
        else:
            raise ValueError("X: got no block, expected at least one, (X, y) or (X, y, sample_weight)")

    def _open(self):
        given = self._given() if callable(self._given) else self._given
        if not isinstance(given, Iterable):
            raise TypeError(f"X: got a function that returned {type(given).__name__}, expected one that "
                            "returns blocks, (X, y) or (X, y, sample_weight)")
        return iter(given)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Pass through the blocks; yield the number of each and (X, y, w, mask)."""
        iterator, begin = self._iterator, 0
        if self.first is None:
            iterator = self._open()
        else:
            first, self.first, begin = self.first, None, 1
            yield 0, first
        for number, block in enumerate(iterator, begin):
            yield number, as_block(number, block)


def is_stream(X) -> bool:
    """Return whether something given as X, without targets, gives blocks."""
    if callable(X):
        return True
    return isinstance(X, Iterable) and not (hasattr(X, "shape") or isinstance(X, (str, bytes, dict)))


def as_block(number: int, block) -> tuple[Any, ...]:
    """Return a block as (X, y, w, mask); TypeError or ValueError where it is none."""
    expected = "expected (X, y), (X, y, sample_weight) or (X, y, sample_weight, mask)"
    if not isinstance(block, (tuple, list)):
        raise TypeError(f"block {number}: got {type(block).__name__}, {expected}")
    if len(block) not in (2, 3, 4):
        raise ValueError(f"block {number}: got {len(block)} parts, {expected}")
    return (*block, None, None)[:4]


class Ahead:
    """An iterator over ``function(item)`` of some items, which a thread computes ahead of those who ask.

    An exception in the thread is raised where the result would have come.
    """

    def __init__(self, items: Iterable[Any], function: Callable[..., Any]):
        self._items, self._function = items, function
        self._ready: queue.Queue[tuple[Any, ...]] = queue.Queue(_AHEAD)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name="nnjit-ahead")
        self._thread.start()

    def __iter__(self):
        return self

    def __next__(self):
        result, error, is_last = self._ready.get()
        if error is not None or is_last:
            self._ready.put((result, error, is_last))    # for those who ask once more
            raise error or StopIteration
        return result

    def close(self):
        """Let the thread end."""
        self._closed.set()
        if self._thread is not threading.current_thread():
            self._thread.join(10 * _PATIENCE)    # the user's iterator may take its time

    def _work(self):
        try:
            for item in self._items:
                if not self._put(self._function(item), None, False):
                    return
            self._put(None, None, True)
        except BaseException as error:
            self._put(None, error, True)

    def _put(self, *result):
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._ready.put(result, timeout=_PATIENCE)
                return True
        return False


class Stream:
    """Examples that come block by block.

    Parameters
    ----------
    source : Source
    prepare : function of (number, (X, y, w, mask))
        Returns the block's `Examples`; batches of them are slices.
    first : Examples
        What that makes of the first block; kept until a pass begins.
    total_weight, N
        The weight of so many rows, whose mean weight is that of all.
    graph
        As of `Examples`.
    """

    waits = True    # for the next batch: that takes no time from whoever trains

    def __init__(self, source: Source, prepare: Callable[..., Any], first: Examples, total_weight, N: int,
                 graph):
        self._source, self._prepare = source, prepare
        self._reader: Ahead | None = None
        self.first: Examples | None = first
        self.graph = graph
        self._total_weight, self._N, self._rows = total_weight, N, len(first)

    def __len__(self):
        """The rows of the last pass, or at first of the first block."""
        return self._rows

    def divisor(self, n: int):
        """As of `Examples`."""
        return self._total_weight * n / self._N

    def fixed_batches(self, batch_size: int | None, single_pass: bool = False) -> Callable[..., Any]:
        """Return a function that returns the batches of a pass: a block each, or ``batch_size`` rows of one.
        """
        return lambda: (batch for block in self._pass() for batch in block.batches(batch_size or len(block)))

    def blocks(self, rows: Callable[[int], int], kept: bool = False) -> Callable[..., Any]:
        """As of `Examples`, of each block of a pass; nothing is kept."""
        return lambda: ((len(block), Blocks(rows(len(block)), len(block), block.take))
                        for block in self._pass())

    def _pass(self) -> Iterator[Examples]:
        self.close()
        self.first, count = None, 0
        self._reader = reader = Ahead(self._source, lambda block: self._prepare(*block))
        for block in reader:
            yield block
            count += len(block)
        self.close()
        if count == 0:
            raise ValueError("X: got no block in this pass, expected at least one; give a list, or a "
                             "function that returns a new iterator for every pass")
        self._rows = count

    def close(self):
        """End what goes on in the background."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
