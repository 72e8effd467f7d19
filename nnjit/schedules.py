"""Learning rates that change: values that are called with the step, 0, 1, 2, ..., and return the rate.

They can be compared, stored and shown. Any other function of the step that returns a number above 0 will do
as well.
"""
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .inputs.checks import check_count, check_real


def _check(instance, /, **checked):
    """Give a frozen schedule its checked values."""
    for name, value in checked.items():
        object.__setattr__(instance, name, value)


@dataclass(frozen=True, repr=False)
class _Schedule:
    """What schedules share: they are shown as they are written, ``cosine(rate=0.01, ...)``."""

    def __repr__(self):
        name = {"WarmUp": "warm_up"}.get(type(self).__name__, type(self).__name__.lower())
        given = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self))
        return f"{name}({given})"


@dataclass(frozen=True, repr=False)
class Constant(_Schedule):
    """``rate`` at every step."""

    rate: float

    def __post_init__(self):
        _check(self, rate=_rate(self.rate))

    def __call__(self, step: int) -> float:
        return self.rate


@dataclass(frozen=True, repr=False)
class Step(_Schedule):
    """``rate``, multiplied by ``factor`` after every ``every`` steps."""

    rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self):
        _check(self, rate=_rate(self.rate), every=check_count("every", self.every),
               factor=check_real("factor", self.factor, 0.0, closed="()"))

    def __call__(self, step: int) -> float:
        return self.rate * self.factor ** (step // self.every)


@dataclass(frozen=True, repr=False)
class Cosine(_Schedule):
    """From ``rate`` down to ``last`` times it within ``steps`` steps along half a cosine; it stays there.

    (Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, without the
    restarts.)
    """

    rate: float
    steps: int
    last: float = 0.01

    def __post_init__(self):
        _check(self, rate=_rate(self.rate), steps=check_count("steps", self.steps),
               last=check_real("last", self.last, 0.0, 1.0, closed="(]"))

    def __call__(self, step: int) -> float:
        falling = (1 + math.cos(math.pi * min(step, self.steps) / self.steps)) / 2
        return self.rate * (self.last + (1 - self.last) * falling)


@dataclass(frozen=True, repr=False)
class WarmUp(_Schedule):
    """A straight rise for ``steps`` steps, and then ``schedule``, a function of the step or a number, from
    its step 0.

    Step 0 has 1 / ``steps`` of the schedule's first rate.
    """

    schedule: Callable[[int], float] | float
    steps: int

    def __post_init__(self):
        _check(self, schedule=self.schedule if callable(self.schedule) else Constant(self.schedule),
               steps=check_count("steps", self.steps))

    def __call__(self, step: int) -> float:
        schedule: Any = self.schedule    # a number has become a `Constant`
        if step < self.steps:
            return schedule(0) * (step + 1) / self.steps
        return schedule(step - self.steps)


def _rate(rate):
    return check_real("rate", rate, 0.0, closed="()")


# As functions: ``schedules.cosine(0.01, 1000)``.
constant, step, cosine, warm_up = Constant, Step, Cosine, WarmUp
