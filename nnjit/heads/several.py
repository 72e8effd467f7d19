"""Several outputs of one network: `Heads`, a head for each."""
import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..inputs.checks import LARGEST_WEIGHT, check_count, check_real, shown
from ..layers.base import Layer
from ..memory import Array, Arrays, Shape
from ..objects import NOTHING
from .base import Head, Sums, check_logits, mean_of


class Heads(Head):
    """Several outputs of one network, such as a vehicle's type and its make: a head and its units for each.

    The heads take the last layer's units in the order in which they are given. The loss is the weighted sum
    of theirs. Targets, predictions and probabilities are dicts with the heads' names, the probabilities those
    of the heads that predict classes; the metrics are called ``type_accuracy`` and the like.

    Parameters
    ----------
    heads : dict of {name: head}, optional
        Instead of, or before, keywords.
    units : dict of {name: int}, optional
        How many units each head has. By default the first ``fit`` takes them from its targets.
    weights : dict of {name: float}, optional
        The weight of each loss, non-negative, 1 where left out.
    **more
        Heads by name.

    Raises
    ------
    TypeError, ValueError
        There is no head, something is none, one has two names, names are unknown, or numbers out of range.

    Examples
    --------
    >>> import nnjit as nn
    >>> nn.Heads(type=nn.Categorical(), age=nn.Gaussian(), units={"type": 3, "age": 1}, weights={"age": 0.1})
    Heads(type=Categorical(), age=Gaussian(), units={'type': 3, 'age': 1}, weights={'type': 1.0, 'age': 0.1})
    """

    config = ("heads", "units", "weights")

    def __init__(self, heads: dict[str, Head] | None = None, units: dict[str, int] | None = None,
                 weights: dict[str, float] | None = None, **more: Head):
        if heads is not None and not isinstance(heads, dict):
            raise TypeError(f"Heads: got {heads!r}, expected names, such as Heads(type=Categorical())")
        self.heads = {**(heads or {}), **more}
        for name, head in self.heads.items():
            if not isinstance(head, Head) or isinstance(head, Heads):
                raise TypeError(f"Heads: got {name}={head!r}, expected a head such as Categorical()")
        if not self.heads:
            raise ValueError("Heads: got no head, expected at least one, such as Heads(type=Categorical())")
        self._check_different()
        self.units, self.from_targets = units, units is None
        if units is not None:
            self._check_names("units", units)
            self.units = {name: check_count(f"Heads units of {name}", units[name]) for name in self.heads}
        weights = {} if weights is None else weights
        self._check_names("weights", weights, all_of_them=False)
        self.weights = {name: check_real(f"Heads weight of {name}", weights.get(name, 1),
                                              high=LARGEST_WEIGHT, closed="[]")
                        for name in self.heads}
        if not any(self.weights.values()):
            raise ValueError("Heads weights: got only zeros, expected at least one positive weight")
        metric: Any = tuple(f"{name}_{head.metric}" for name, head in self.heads.items())
        self.metric = metric    # those of all
        self.classifies = any(head.classifies for head in self.heads.values())

    def _check_different(self):
        names: dict[int, str] = {}
        for name, head in self.heads.items():
            if names.setdefault(id(head), name) != name:
                raise ValueError(f"Heads: got the same head as {names[id(head)]!r} and {name!r}, expected "
                                 f"one for each name; give a new {type(head).__name__}, or copy.copy of it")

    def __getstate__(self):
        """As of `Head`: a copy has copies of the heads, too."""
        return {**super().__getstate__(),
                "heads": {name: copy.copy(head) for name, head in self.heads.items()}}

    def _check_names(self, what, given, all_of_them=True):
        expected = ", ".join(map(repr, self.heads))
        if not isinstance(given, dict):
            raise TypeError(f"{what}: got {type(given).__name__}, expected a dict of {expected}")
        if set(given) - set(self.heads) or (all_of_them and len(given) < len(self.heads)):
            raise ValueError(f"{what}: got {', '.join(map(repr, given)) or 'nothing'}, expected {expected}")

    def infer_from_targets(self, y: Any) -> None:
        self._check_names("y", y)
        for name, head in self.heads.items():
            head.infer_from_targets(y[name])
        if self.from_targets:
            self.units = {name: head.units_for(y[name]) for name, head in self.heads.items()}

    def check_last_layer(self, layer: Layer) -> None:
        for head in self.heads.values():
            head.check_last_layer(layer)

    def build(self, output_shape: Shape) -> None:
        super().build(output_shape)
        if self.units is None:
            raise ValueError("Heads: got no units, expected Heads(..., units={name: units}), or a first fit "
                             "that takes them from the targets")
        if sum(self.units.values()) != output_shape[0]:
            parts = " + ".join(f"{self.units[name]} ({name})" for name in self.heads)
            raise ValueError(f"Heads: got {output_shape[0]} units in the last layer, expected {parts} = "
                             f"{sum(self.units.values())}; change the layer, or give units={{name: units}}")
        self.columns, self.shapes, self.state_shapes, self.decayed, first = {}, {}, {}, (), 0
        for name, head in self.heads.items():
            head.build((self.units[name],))
            self.columns[name] = slice(first, first + self.units[name])
            self.shapes.update({f"{name}.{key}": shape for key, shape in head.shapes.items()})
            self.state_shapes.update({f"{name}.{key}": shape for key, shape in head.state_shapes.items()})
            self.decayed += tuple(f"{name}.{key}" for key in head.decayed)
            first += self.units[name]

    def check_free(self, owner: object) -> None:
        super().check_free(owner)
        for head in self.heads.values():
            head.check_free(owner)

    def claim(self, owner: object) -> None:
        super().claim(owner)
        for head in self.heads.values():
            head.claim(owner)

    def attach(self, padded: Arrays, padded_gradients: Arrays, state: Arrays) -> None:
        super().attach(padded, padded_gradients, state)
        for name, head in self.heads.items():
            kinds = (padded, head.shapes), (padded_gradients, head.shapes), (state, head.state_shapes)
            head.attach(*({key: arrays[f"{name}.{key}"] for key in shapes} for arrays, shapes in kinds))

    def initialise(self, rng: np.random.Generator) -> None:
        for head in self.heads.values():
            head.initialise(rng)

    def targets(self, y: Any, N: int, units: int, dtype: np.dtype) -> "_TargetsByName":
        """Return the targets of all heads, checked and cast, as an object of which rows can be taken."""
        self._check_names("y", y)
        parts: Any = self.units    # known once it is built
        return _TargetsByName({name: head.targets(y[name], N, parts[name], dtype)
                               for name, head in self.heads.items()})

    def weigh_classes(self, y: Any, w: Array, class_weight: Any) -> tuple[Any, Array]:
        """As of `Head`, with a ``class_weight`` for some of the heads, by name, whose losses it weighs."""
        if not isinstance(class_weight, dict):
            raise TypeError(f"class_weight: got {shown(class_weight)}, expected a dict of {{head: "
                            f"class_weight}}, with some of {', '.join(self.heads)}")
        self._check_names("class_weight", class_weight, all_of_them=False)
        factors = {name: self.heads[name].weigh_classes(y.by_name[name], np.ones_like(w), given)[1]
                   for name, given in class_weight.items()}
        return _TargetsByName(y.by_name, factors), w

    def _parts(self, z):
        """Yield the name, the head and the logits of each head."""
        for name, head in self.heads.items():
            yield name, head, np.ascontiguousarray(z[:, self.columns[name]])

    def total_weight(self, y: Any, w: Array) -> Array:
        """Return the sum of each head's `row_weights`, (heads,) float64; as of `Head`."""
        totals = np.empty(len(self.heads))
        for k, (name, head) in enumerate(self.heads.items()):
            try:
                totals[k] = head.total_weight(y.by_name[name], y.weighted(name, w))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return totals

    def loss_and_delta(self, z: Array, y: Any, w: Array, total: Any, delta: Array) -> Sums:
        """As of `Head`, with ``total`` (heads,), a number for each head; the sums are arrays like it."""
        sums = []
        for (name, head, part), own_total in zip(self._parts(z), total):
            own_delta, weight = np.empty_like(part), self.weights[name]
            own_w = y.weighted(name, w)
            sums.append(head.loss_and_delta(part, y.by_name[name], own_w, own_total, own_delta))
            np.multiply(own_delta, weight, out=delta[:, self.columns[name]])
            for gradient in head.gradients.values():
                gradient *= weight
        return tuple(np.array(sums).T)

    def loss(self, z: Array, y: Any, w: Array, delta: Array) -> Sums:
        sums = [head.loss(part, y.by_name[name], y.weighted(name, w), np.empty_like(part)) for name, head,
                part in self._parts(z)]
        return tuple(np.array(sums).T)

    def means(self, loss_sum: Any, metric_sum: Any, weight_sum: Any) -> dict[str, float]:
        loss, metrics, common = 0.0, {}, weight_sum[0]
        for (name, head), *sums in zip(self.heads.items(), loss_sum, metric_sum, weight_sum):
            if common:    # all on one divisor
                loss += self.weights[name] * (common / sums[2]) * sums[0]
            metrics[f"{name}_{head.metric}"] = head.means(*sums)[head.metric]
        return {"loss": mean_of(loss, common), **metrics}

    def members(self, units: int) -> dict[str, tuple[Head, Any]]:
        return {f"{name}_": (head, (self.units or {}).get(name)) for name, head in self.heads.items()}

    def weights_of_members(self, y: Any, w: Array) -> list[Array]:
        return [head.row_weights(y.by_name[name], y.weighted(name, w)) for name, head in self.heads.items()]

    def split(self, z: Array, y: Any, w: Array) -> Iterator[tuple[str, Head, Array, Any, Array]]:
        for (name, head, part), weights in zip(self._parts(z), self.weights_of_members(y, w)):
            yield f"{name}_", head, part, y.by_name[name], weights

    def measured(self) -> tuple[str, ...]:
        return "loss", *(f"{name}_{head.metric}" for name, head in self.heads.items())

    def decide(self, z: Array) -> dict[str, Any]:
        """Return the decision of each head, a dict."""
        check_logits(z)
        return {name: head.decide(part) for name, head, part in self._parts(z)}

    def named(self, decision: Any) -> Any:
        """As of `Head`, a dict."""
        return {name: head.named(decision[name]) for name, head in self.heads.items()}

    def probabilities(self, z: Array) -> dict[str, Array]:
        """Return the probabilities of each head that predicts classes, a dict."""
        if not self.classifies:
            super().probabilities(z)
        return {name: head.probabilities(part) for name, head, part in self._parts(z) if head.classifies}

    def __repr__(self):
        shown: list[tuple[str, object]] = [*self.heads.items()]
        if self.units is not None:
            shown.append(("units", self.units))
        if set(self.weights.values()) != {1.0}:
            shown.append(("weights", self.weights))
        return f"Heads({', '.join(f'{name}={value!r}' for name, value in shown)})"


class _TargetsByName:
    """The targets of several heads, of which the same rows are taken; and what weighs the rows of some."""

    def __init__(self, by_name, factors=NOTHING):
        self.by_name, self.factors = by_name, factors

    def __getitem__(self, rows):
        return _TargetsByName({name: y[rows] for name, y in self.by_name.items()},
                              {name: factors[rows] for name, factors in self.factors.items()})

    def spread(self, whole, flags):
        """Return the targets ``whole``, of whose rows these are those that are flagged, with factors: 1 for
        the others.
        """
        factors = {name: np.ones(len(flags), values.dtype) for name, values in self.factors.items()}
        for name, values in self.factors.items():
            factors[name][flags] = values
        return _TargetsByName(whole.by_name, factors)

    def weighted(self, name, w):
        """Return the weights of the rows in the loss of a head."""
        return w * self.factors[name] if name in self.factors else w
