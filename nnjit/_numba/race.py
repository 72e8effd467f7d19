"""The race: which number of threads is fastest, found out while batches run."""
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numba

from . import threads

_TRIAL = 0.0025          # seconds that a number of threads is tried
_PROOF = 0.012           # that more threads have to be faster: longer than a busy process stays on a core
_LONG = 0.02             # of a batch that is enough of a trial; of shorter ones the first does not count
_PAUSES = 0.025, 1.0     # seconds until the next look, at first and in the end; each is 4 times the last
_PAUSE_AFTER_CHANGE = 0.1
_COST = 0.05             # of the time, at most, goes into looking
_MARGIN = 1.05           # so many times as fast another number has to be
_EQUAL = 1.03            # in the first look the least number wins that is slower at most by this
_WORSE = 1.25            # and numbers below one that is slower by this are not tried
_HALT = 2.5, 0.001       # a batch that takes so many times as long as its like, and so many seconds more


class _Rows(NamedTuple):
    x: range


class Race:
    """The number of threads that is fastest for batches of one kind, found out while they run.

    Now and then it *looks*: some batches run with another number, and the faster one is kept. It also looks
    when a batch halts: another process may have taken a core. Of about equal numbers the least wins, and
    leaves the other cores to others.

    Attributes
    ----------
    threads : int
        The number in use.
    best : int or None
        The best as far as is known, None before the first look has ended.
    changes : int
        How often another was taken after the first look.
    """

    def __init__(self, most: int, numbers: Iterable = (), tie: Callable = min):
        """Race ``numbers`` of threads, of which ``most`` is one; by default 1, 2, 4 ... and the two highest.
        ``tie`` says which of about equal numbers wins in the first look.
        """
        powers = (2**k for k in range(1, most.bit_length()))
        self.numbers = sorted(numbers or {1, *powers, max(1, most - 1), most})
        self.threads, self.changes, self._tie = most, 0, tie
        self._lock = threading.Lock()    # for the Python thread that is measured; others use what it found
        self.best, self._seconds = None, {}    # {number: seconds a row} of the look
        self._queue = self.numbers[::-1]        # that are tried in it
        self._pause, self._next_is_more, self._look_began = _PAUSES[0], False, time.perf_counter()
        self._start(most)

    @contextlib.contextmanager
    def timed(self, batches: Iterable, waits: bool = False) -> Iterator[Iterable]:
        """The context in which ``batches`` are raced: an iterable of what has rows ``x``. Where it ``waits``
        for the next one, that time does not count.
        """
        if threads.fixed_threads() is None and len(self.numbers) > 1 and self._lock.acquire(blocking=False):
            try:
                yield self._measured(batches, waits)
            finally:
                self._lock.release()
        else:
            numba.set_num_threads(threads.fixed_threads() or self.threads)
            yield batches

    @contextlib.contextmanager
    def timed_once(self, rows: int) -> Iterator[None]:
        """The context in which something is done with so many rows."""
        with self.timed([_Rows(range(rows))]) as batches:
            for _ in batches:
                yield

    def _measured(self, batches, waits):
        clock = time.perf_counter
        numba.set_num_threads(self.threads)
        begin = clock()
        for batch in batches:
            begin = clock() if waits else begin
            yield batch
            now, rows = clock(), len(batch.x)
            took = now - begin
            self._rows += rows
            self._spent += took
            halted = took > self._halt * rows + _HALT[1]
            if halted or self._spent > self._span:
                self._advance(took, now, halted)
            begin = now

    def _start(self, n, seconds=_TRIAL, expected=float("inf")):
        """Go on with n threads for so many seconds; a row is ``expected`` to take that long."""
        self.threads, self._rows, self._spent, self._cold = n, 0, 0.0, True
        self._span, self._next_span, self._halt = 0.0, seconds, _HALT[0] * expected
        numba.set_num_threads(n)

    def _advance(self, took, now, halted):
        """Take the next step, after a batch: a number was tried long enough, or the pause is over."""
        if self._cold:    # the first batch with this number
            self._cold, self._span = False, self._next_span
            # the first of all also loads the kernels
            if not self._queue or not self._seconds or took < _LONG:
                self._rows, self._spent = 0, 0.0
                return
        seconds = self._spent / self._rows
        if self._queue:
            self._end_trial(seconds, now, halted)
        elif not halted:
            self._look([self._neighbour()], {self.threads: seconds}, now)
        elif self.threads > self.numbers[0] and now > self._look_began + _PAUSES[0]:
            self._look([self._fewer(), self.threads], {}, now)

    def _look(self, queue, seconds, now):
        self._queue, self._seconds, self._look_began = queue, seconds, now
        self._start(queue[0], expected=seconds.get(self.threads, float("inf")))

    def _end_trial(self, seconds, now, halted):
        """Note the seconds a row of a number; try the next, or choose."""
        n, others = self.threads, self._seconds
        if self.best and n > self.best and not halted and self._spent < _PROOF and self._beats(seconds):
            self._span = _PROOF
            return
        others[n] = seconds
        self._queue.pop(0)
        if self.best is None and seconds > _WORSE * min(others.values()):
            self._queue.clear()
        if self._queue:
            self._start(self._queue[0], expected=min(others.values()))
        else:
            self._choose(now)

    def _beats(self, seconds):
        """Return whether so many seconds a row are faster than the best number was in this look."""
        return self.best in self._seconds and _MARGIN * seconds < self._seconds[self.best]

    def _choose(self, now):
        """Keep the best number, or take a faster one, until the next look."""
        seconds, before = self._seconds, self.best
        least = min(seconds.values())
        if before is None:
            self.best = self._tie(n for n in seconds if seconds[n] <= _EQUAL * least)
        elif _MARGIN * least < seconds[before]:
            self.best = min(seconds, key=seconds.get)
            self.changes += 1
        changed = before is not None and self.best != before
        self._pause = _PAUSE_AFTER_CHANGE if changed else min(4 * self._pause, _PAUSES[1])
        self._start(self.best, max(self._pause, (now - self._look_began) / _COST), seconds[self.best])

    def _neighbour(self):
        """Return the number to try next: the next higher and the next lower one in turn."""
        i = self.numbers.index(self.threads)
        self._next_is_more = not self._next_is_more
        up = i + 1 < len(self.numbers) and (self._next_is_more or i == 0)
        return self.numbers[i + 1 if up else i - 1]

    def _fewer(self):
        return self.numbers[self.numbers.index(self.threads) - 1]
