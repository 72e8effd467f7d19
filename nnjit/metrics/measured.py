"""What `fit` and `evaluate` do with metrics: check their names, measure batches, add up, make figures."""
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..heads import Head
from ..kernels.losses import first_nan
from .names import possible
from .statistics import Answers

# names, for `Heads` those of each head
Asked = Sequence[str] | dict[str, Sequence[str]]


class Metrics:
    """The metrics that were asked for, of a head that is built.

    Parameters
    ----------
    head : Head
    units : int
        Of the last layer.
    given : sequence of str, or dict of {head: sequence of str}
        Their names; for `Heads` those of each head, or such as ``"type_f1_macro"``.

    Attributes
    ----------
    names : tuple of str
        Those that the head does not measure itself.

    Raises
    ------
    TypeError, ValueError
        Something is no name, or not possible for the head; the message lists what is.
    """

    def __init__(self, head: Head, units: int, given: Asked = ()):
        self.head = head
        self._functions: dict[str, tuple[int, Callable[[Any], Any]]] = {}
        self._statistics: list[tuple[str, Any]] = []
        own = head.measured()
        names = [name for name in _flat_names(head, given) if name not in own]
        known = {f"{prefix}{name}": (prefix, *found) for prefix, (one, its_units) in
                 head.members(units).items() for name, found in possible(one, its_units).items()
                 } if names else {}
        for name in names:
            if name not in known:
                raise ValueError(f"metrics: got {name!r} for {head!r}, expected some of "
                                 f"{', '.join(dict.fromkeys([*own[1:], *known]))}")
            prefix, statistic, function = known[name]
            if (prefix, statistic) not in self._statistics:
                self._statistics.append((prefix, statistic))
            self._functions[name] = self._statistics.index((prefix, statistic)), function
        self.names = tuple(self._functions)

    def of(self, z: np.ndarray, y: Any, w: np.ndarray) -> list[Any]:
        """Return the statistics of a batch, from the logits z (N, K), rows of the head's targets, weights."""
        if not self._statistics:
            return []
        asked = {prefix for prefix, _ in self._statistics}
        answers = {prefix: _answers(head, *part) for prefix, head, *part in self.head.split(z, y, w)
                   if prefix in asked}
        return [statistic.of(answers[prefix]) if len(answers[prefix].w) else None
                for prefix, statistic in self._statistics]

    def tally(self) -> "Tally":
        """Return an empty `Tally`."""
        return Tally([statistic for _, statistic in self._statistics])

    def figures(self, tally: "Tally", loss: float) -> dict[str, float]:
        """Return the metrics by name; all are NaN beside a ``loss`` that is, as of `Head.means`."""
        sums = tally.sums()
        return {name: math.nan if math.isnan(loss) or sums[k] is None else function(sums[k])
                for name, (k, function) in self._functions.items()}


class Tally:
    """The statistics of some metrics, joined over batches in order."""

    def __init__(self, statistics: list[Any]):
        self._statistics = statistics
        self._parts: list[list[Any]] = [[] for _ in statistics]

    def add(self, found: list[Any]) -> None:
        """Add what `Metrics.of` returned for a batch."""
        for statistic, parts, part in zip(self._statistics, self._parts, found):
            if part is not None:
                parts.append(part)
                if statistic.is_small:
                    parts[:] = [statistic.joined(parts)]

    def sums(self) -> list[Any]:
        """Return the statistics, an array each; None where no row had a weight."""
        return [statistic.joined(parts) if parts else None
                for statistic, parts in zip(self._statistics, self._parts)]

    def load(self, sums: list[Any]) -> None:
        """Go on from what `sums` returned."""
        self._parts = [[] if part is None else [part] for part in sums]


def _flat_names(head, given):
    """Return the names of metrics as they are measured; TypeError where they are none."""
    if isinstance(given, dict):
        known = [prefix.removesuffix("_") for prefix in head.members(0) if prefix]
        if not set(given) <= set(known):
            raise ValueError(f"metrics: got a dict of {', '.join(map(repr, given))}, expected "
                             f"{', '.join(map(repr, known)) or 'a list, because there is one head'}")
        return [f"{name}_{metric}" for name, metrics in given.items() for metric in _checked(metrics)]
    return _checked(given)


def _checked(names):
    if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
        return names
    raise TypeError(f"metrics: got {names!r}, expected a list of names such as ['f1_macro', 'log_loss']")


def _answers(head, z, y, w):
    """Return the `Answers` of a head to the rows that have a weight."""
    if not w.all():
        rows = np.flatnonzero(w)
        z, y, w = np.ascontiguousarray(z[rows]), y[rows], w[rows]
    if first_nan(z) >= 0:    # the loss is NaN, and so will be the metrics
        z = np.nan_to_num(z)
    given, p = head.decide(z), head.probabilities(z) if head.classifies else None
    if head.answers == "numbers":
        truth, given = head.in_units(y.astype(float)), given.reshape(y.shape).astype(float)
    elif head.answers == "labels":
        truth, given = y > 0.5, given > 0
    else:
        truth = y if y.ndim == 1 else y[:, 0] > 0.5 if y.shape[1] == 1 else y.argmax(axis=1)
        truth = truth.astype(np.int64)
    return Answers(truth, given, w.astype(float), p, y)
