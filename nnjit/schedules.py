"""Learning rates that change: plain functions of the step, 0, 1, 2, ..., that an optimizer takes as its ``learning_rate``.

Each function here returns such a function. Any other one that returns a number above 0 will do as well.
"""
import math

from .inputs.checks import check_count, check_real


def constant(rate):
    """Return ``rate`` at every step."""
    rate = check_real("rate", rate, 0.0, closed="()")
    return lambda step: rate


def step(rate, every, factor=0.1):
    """Return ``rate``, multiplied by ``factor`` after every ``every`` steps."""
    rate, every = check_real("rate", rate, 0.0, closed="()"), check_count("every", every)
    factor = check_real("factor", factor, 0.0, closed="()")
    return lambda step: rate * factor ** (step // every)


def cosine(rate, steps, last=0.01):
    """Go down from ``rate`` to its share ``last`` within ``steps`` steps along half a cosine, and stay there.

    (Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, without the restarts.)
    """
    rate, steps = check_real("rate", rate, 0.0, closed="()"), check_count("steps", steps)
    last = check_real("last", last, 0.0, 1.0, closed="(]")
    return lambda step: rate * (last + (1 - last) * (1 + math.cos(math.pi * min(step, steps) / steps)) / 2)


def warm_up(schedule, steps):
    """Rise in a straight line for ``steps`` steps, and go on with ``schedule``, a function of the step or a number, from its 0.

    Step 0 has the first of the ``steps`` shares of the schedule's first rate.
    """
    then, steps = schedule if callable(schedule) else constant(schedule), check_count("steps", steps)
    return lambda step: then(0) * (step + 1) / steps if step < steps else then(step - steps)
