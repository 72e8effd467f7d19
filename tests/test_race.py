"""The race for the number of threads, on a machine that is made up: batches take what a function says."""
from types import SimpleNamespace

import pytest

from nnjit._numba import race as module
from nnjit._numba import threads
from nnjit._numba.race import Race

BATCH = SimpleNamespace(x=range(10))


class Machine:
    """A clock that batches move on: ``seconds(n, now)`` is what one takes with n threads."""

    def __init__(self, monkeypatch, seconds):
        self.seconds, self.now, self.n, self.used = seconds, 100.0, None, []
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(module, "numba", SimpleNamespace(set_num_threads=self._use))
        monkeypatch.setattr(threads, "_fixed", None)

    def _use(self, n):
        self.n = n

    def run(self, race, seconds, epoch=50):
        """Run batches for so long, in epochs; return the seconds that they took, by number of threads."""
        end, took = self.now + seconds, {}
        while self.now < end:
            with race.timed([BATCH] * epoch) as batches:
                for _ in batches:
                    before = self.now
                    self.now += self.seconds(self.n, self.now)
                    took[self.n] = took.get(self.n, 0.0) + self.now - before
        return took


def halting(alone, together, begin=0.0, end=float("inf"), slice=0.004):
    """Seconds of a batch beside a process that is busy from ``begin`` to ``end``: on two threads every other
    4 ms are lost, on one none.
    """
    def seconds(n, now):
        if n == 1:
            return alone
        lost = begin <= now < end and int((now + together) / slice) != int(now / slice)
        return together + slice * lost
    return seconds


@pytest.mark.parametrize("batch", [2e-5, 3e-4, 0.01, 0.2])
def test_two_threads_that_are_faster_stay(monkeypatch, batch):
    machine, race = Machine(monkeypatch, lambda n, now: batch if n == 2 else 1.6 * batch), Race(2)
    took = machine.run(race, 30.0)
    assert race.best == 2 and race.changes == 0
    assert took[1] < 0.08 * took[2]    # what looking costs is less than half of it


@pytest.mark.parametrize("batch", [2e-5, 3e-4, 0.01])
def test_a_network_that_is_no_faster_with_two_threads_uses_one(monkeypatch, batch):
    machine, race = Machine(monkeypatch, lambda n, now: batch), Race(2)
    took = machine.run(race, 10.0)
    assert race.best == 1 and race.changes == 0
    assert took[2] < 0.05 * took[1]


def test_among_equal_numbers_the_most_may_win(monkeypatch):
    machine, race = Machine(monkeypatch, lambda n, now: 0.001), Race(2, {1, 2}, max)
    machine.run(race, 5.0)
    assert race.best == 2 and race.changes == 0


@pytest.mark.parametrize("batch", [5e-5, 2e-4, 1e-3])
def test_beside_a_busy_process_one_thread_is_taken_and_two_come_back(monkeypatch, batch):
    machine, race = Machine(monkeypatch, halting(1.6 * batch, batch, 110.1, 120.0)), Race(2)
    machine.run(race, 10.0)
    assert race.best == 2
    machine.run(race, 0.4)
    assert race.best == 1    # at once
    took = machine.run(race, 9.5)
    assert took.get(2, 0.0) < 0.1 * took[1]
    machine.run(race, 3.0)
    assert race.best == 2
    assert race.changes <= 12


def test_one_batch_that_halts_changes_nothing(monkeypatch):
    hiccups = iter([103.0, 105.0, 108.0])
    state = {"next": next(hiccups)}

    def seconds(n, now):
        if now > state["next"]:
            state["next"] = next(hiccups, float("inf"))
            return 0.02
        return 1e-4 if n == 2 else 1.6e-4

    machine, race = Machine(monkeypatch, seconds), Race(2)
    machine.run(race, 10.0)
    assert race.best == 2 and race.changes == 0


@pytest.mark.parametrize("most, expected", [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 3, 4]),
                                            (8, [1, 2, 4, 7, 8]), (12, [1, 2, 4, 8, 11, 12])])
def test_the_numbers_that_race(monkeypatch, most, expected):
    Machine(monkeypatch, None)
    assert Race(most).numbers == expected


@pytest.mark.parametrize("best", [1, 2, 4, 7, 8])
def test_the_best_of_eight_cores_is_found(monkeypatch, best):
    machine, race = Machine(monkeypatch, lambda n, now: 1e-4 * (1 + 0.4 * abs(n - best))), Race(8)
    machine.run(race, 20.0)
    assert race.best == best


def test_long_batches_are_few_in_a_look(monkeypatch):
    machine, race = Machine(monkeypatch, lambda n, now: 2.0 / n), Race(8)
    took = machine.run(race, 100.0, epoch=10)
    assert race.best == 8
    assert took.get(1, 0.0) == took.get(2, 0.0) == 0.0    # what is worse is not gone into


def test_a_fixed_number_is_not_raced(monkeypatch):
    machine, race = Machine(monkeypatch, lambda n, now: 1e-4), Race(2)
    monkeypatch.setattr(threads, "_fixed", 2)
    assert machine.run(race, 1.0).keys() == {2}


def test_a_training_that_is_broken_off_leaves_the_race_usable(monkeypatch):
    machine, race = Machine(monkeypatch, lambda n, now: 1e-4 if n == 2 else 3e-4), Race(2)
    with pytest.raises(KeyboardInterrupt), race.timed([BATCH] * 3) as batches:
        for _ in batches:
            raise KeyboardInterrupt
    assert machine.run(race, 1.0)[1] > 0    # it looks


def test_another_thread_uses_what_was_found(monkeypatch):
    machine, race = Machine(monkeypatch, lambda n, now: 1e-4), Race(2)
    machine.run(race, 1.0)
    with race.timed([BATCH]), race.timed([BATCH] * 100) as batches:
        machine.n = None
        assert list(batches) == [BATCH] * 100 and machine.n is None
        assert race.best == 1
