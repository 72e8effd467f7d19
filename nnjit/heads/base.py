"""The base of the heads: what a head must have and may have."""
import inspect
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._numba.warning import warn
from ..inputs import targets
from ..inputs.checks import shown
from ..kernels import losses as loss_kernels
from ..layers.base import Layer
from ..memory import Array, Shape
from ..objects import Part

# sums over rows (w l, w metric, w): a float each; of `Heads` an array, with a number for each head
Sums = tuple[Any, Any, Any]


class Head(Part):
    """What every head has. A head of your own derives from it.

    Sizes: N rows, K units of the last layer. z (N, K) are the logits, the last layer's output.

    A head must have

    ``metric``
        The name of what is counted beside the loss, such as ``"accuracy"``.
    ``targets(y, N, units, dtype)``
        Return the user's targets ``y`` of N rows, checked and cast: an array with a row for each, or another
        object of which rows can be taken by a slice or an array of row numbers. TypeError or ValueError where
        they are not as expected.
    ``loss_and_delta(z, y, w, total, delta)``
        Of the loss L = sum_i w_i l_i / total, write dL/dz into ``delta`` (N, K), and dL/db of every parameter
        b of its own into ``self.gradients``. ``y`` are rows of what ``targets`` returned, ``w`` (N,) their
        weights. Return the sums over the rows (sum w l, sum w metric, sum w) as floats, not divided by
        anything. A row of weight 0 counts for nothing, whatever it holds.
    ``decide(z)``
        Return the prediction for every row, with N rows.

    and may have, beside the methods below,

    ``config``
        The names of the arguments of ``__init__``, each also an attribute: a saved head is made from them
        again.
    ``shapes``
        The shapes of the head's own parameters by name, known after `build`. The graph then gives it the
        arrays ``parameters`` and ``gradients``, and calls `initialise`.
    ``output_activation``
        The name of the activation that it applies to z, None where it applies none.
    ``classifies``
        Whether it predicts classes, and so has `probabilities`.
    ``names``
        Those of the classes in the order of their numbers, where targets are text, see `NamedClasses`.
    ``answers``
        What a prediction is, which says what `metrics` there are: "classes", "ranks" (ordered classes),
        "labels" (any number of them a row), "numbers", or None where there are no metrics but its own.

    Examples
    --------
    >>> import numpy as np, nnjit as nn
    >>> class Cosine(nn.heads.Head):    # of angles, where a whole turn does not matter: l = 1 - cos(z - y)
    ...     metric = "cosine"
    ...     def targets(self, y: Any, N: int, units: int, dtype: np.dtype) -> Array:
    ...         return np.asarray(y, dtype).reshape(N, units)
    ...     def loss_and_delta(self, z: Array, y: Any, w: Array, total: float, delta: Array) -> Sums:
    ...         delta[:] = w[:, None] * np.sin(z - y) / total
    ...         cosine = float(w @ np.cos(z - y).sum(axis=1))
    ...         return w.sum() * z.shape[1] - cosine, cosine, w.sum()
    ...     def decide(self, z: Array) -> Array:
    ...         return z % (2 * np.pi)
    >>> model = nn.Sequential([nn.Dense(1)], head=Cosine())
    >>> history = model.fit(np.ones((8, 1)), np.full(8, 7.0), nn.SGD(0.1), epochs=100, verbose=0)
    >>> model.predict([[1.0]]).round(2)    # 7 less a whole turn
    array([[0.72]], dtype=float32)
    """

    metric: str
    output_activation: str | None = None
    classifies = False
    answers: str | None = None
    names: list[str] | None = None
    asks_for = "numbers"    # what text as targets is taken for, in a message, see `targets.as_numeric`

    def infer_from_targets(self, y: Any) -> None:
        """Take from the targets of the first fit what nothing else tells; called before `build`."""

    def units_for(self, y: Any) -> int:
        """Return how many units of the last layer these targets call for."""
        shape = targets.as_numeric("y", y, answers=self.asks_for).shape
        return shape[1] if len(shape) == 2 else 1

    def check_last_layer(self, layer: Layer) -> None:
        """Object to a last layer that does something to the logits: a head applies its own activation."""
        name = type(layer).__name__
        effect = layer.effect_on_output
        if effect is None:
            return
        if name == "Dropout":
            raise ValueError(f"{self!r}: got a Dropout layer before it, expected logits, of which none is "
                             "dropped: no answer can be learned by a unit that answers 0 by chance; put it "
                             "before the last Dense layer")
        if self.output_activation is not None:
            raise ValueError(f"{self!r}: got a {name} layer before it, expected logits, because it applies "
                             f"the {self.output_activation} itself; remove the {name} layer")
        warn(f"{self!r}: the {name} layer before it {effect}, so that the network learns least "
             "where it is most wrong; end with a Dense layer, and for classes use Bernoulli() or "
             "Categorical()")

    def build(self, output_shape: Shape) -> None:
        """Take the shape of the last layer's output; ValueError where the head can't work with it."""
        if len(output_shape) != 1:
            raise ValueError(f"{self!r}: got an output of shape {output_shape}, expected (units,), as Dense "
                             "gives it")

    def weigh_classes(self, y: Any, w: Array, class_weight: Any) -> tuple[Any, Array]:
        """Return ``y`` and ``w`` with every row weighted by its class, as ``class_weight`` of `fit` says.

        TypeError where the head predicts no class.
        """
        raise TypeError(f"class_weight: got {shown(class_weight)} for {self!r}, expected None: it predicts "
                        "no class of a row; give sample_weight")

    def row_weights(self, y: Any, w: Array) -> Array:
        """Return what the rows count in the loss, (N,): here their weights ``w``."""
        return w

    def weights_of_members(self, y: Any, w: Array) -> list[Array]:
        """Return the `row_weights` of each of `members`."""
        return [self.row_weights(y, w)]

    def total_weight(self, y: Any, w: Array) -> Any:
        """Return the sum of `row_weights` in float64; ValueError where all are 0."""
        total = loss_kernels.total_weight(self.row_weights(y, w))
        if total == 0:
            raise ValueError("sample_weight: got 0 for every row, once it is multiplied by the class_weight "
                             "of the row's class, expected at least one row of positive weight")
        return total

    def loss(self, z: Array, y: Any, w: Array, delta: Array) -> Sums:
        """Return the sums of `loss_and_delta`. ``delta`` (N, K) is scratch; no gradient may be written.

        A head with parameters of its own has to define it.
        """
        return self.loss_and_delta(z, y, w, 1.0, delta)

    def means(self, loss_sum: Any, metric_sum: Any, weight_sum: Any) -> dict[str, float]:
        """Return the mean loss and metric as a dict, from the sums of `loss` added up over all rows.

        Where the loss is NaN, so is the metric: right decisions that are counted from NaN would look real.
        """
        loss = mean_of(loss_sum, weight_sum)
        return {"loss": loss, self.metric: mean_of(metric_sum, weight_sum, loss)}

    def measured(self) -> tuple[str, ...]:
        """Return the names of what `means` returns."""
        return "loss", self.metric

    def members(self, units: int) -> dict[str, tuple["Head", Any]]:
        """Return ``{prefix of its metrics: (head, units)}`` of the heads that it consists of: of itself."""
        return {"": (self, units)}

    def split(self, z: Array, y: Any, w: Array) -> Iterator[tuple[str, "Head", Array, Any, Array]]:
        """Yield what each of `members` has of a batch: its prefix, head, logits, targets, `row_weights`."""
        yield "", self, z, y, self.row_weights(y, w)

    def in_units(self, t: Array) -> Array:
        """Return targets that are numbers, as `targets` gives them, in the user's unit: here as they are."""
        return t

    def named(self, decision: Any) -> Any:
        """Return what `decide` returned as users get it: with names of classes, where they have some."""
        return decision if self.names is None else np.array(self.names)[decision]

    def probabilities(self, z: Array) -> Any:
        """Return the probabilities of the classes, (N, K); TypeError where there are none."""
        raise TypeError(f"predict_proba: got the head {self!r}, expected one that predicts classes; use "
                        "predict")

    def targets(self, y: Any, N: int, units: int, dtype: np.dtype) -> Any:
        """See above, as of the next two."""
        raise self._missing("targets(self, y, N, units, dtype)")

    def loss_and_delta(self, z: Array, y: Any, w: Array, total: float, delta: Array) -> Sums:
        raise self._missing("loss_and_delta(self, z, y, w, total, delta)")

    def decide(self, z: Array) -> Any:
        raise self._missing("decide(self, z)")

    def _missing(self, expected):
        return NotImplementedError(f"{type(self).__name__}: got no method {expected.partition('(')[0]}, "
                                   f"expected {expected}")

    def __repr__(self):
        signature = inspect.signature(type(self)).parameters
        given = [(name, repr(getattr(self, name, None))) for name in self.config]
        changed = [f"{name}={value}" for name, value in given
                   if name not in signature or value != repr(signature[name].default)]
        return f"{type(self).__name__}({', '.join(changed)})"


class NamedClasses(Head):
    """A head of classes that may have names: given as its ``classes``, or taken, sorted, from the first
    targets that are text.
    """

    def _take_names(self, classes):
        self.names = targets.check_names(f"{type(self).__name__} classes", classes)
        self.named_by_targets = classes is None

    @property
    def classes(self) -> Any:
        """The names of the classes, or None."""
        return self.names

    def infer_from_targets(self, y: Any) -> None:
        if not self.named_by_targets:
            return
        words = targets.words_of("y", y)
        if len(words) == 1:
            raise ValueError(f"y: got one class, {words[0]!r}, expected at least two; those that are absent "
                             f"here can be named, {type(self).__name__}(classes=[...])")
        self.names = words or None

    def units_for(self, y: Any) -> int:
        return super().units_for(targets.numbered("y", y, self.names))

    def weigh_classes(self, y: Any, w: Array, class_weight: Any) -> tuple[Any, Array]:
        """As of `Head`, where the classes have names with these."""
        if isinstance(class_weight, dict) and self.names is not None:
            unknown = [key for key in class_weight if key not in self.names]
            if unknown:
                raise ValueError(f"class_weight: got the class {unknown[0]!r}, expected "
                                 f"{targets.in_short(self.names)}")
            class_weight = {self.names.index(key): weight for key, weight in class_weight.items()}
        return self._weigh_numbers(y, w, class_weight)

    def _weigh_numbers(self, y, w, class_weight):
        raise NotImplementedError


class IndependentUnits(Head):
    """Units with a distribution each: a row's loss is their mean.

    Targets are (N,) for one unit and (N, K) for K; so are predictions.
    """

    metric = "mae"
    answers = "numbers"

    def build(self, output_shape: Shape) -> None:
        super().build(output_shape)
        self.units = output_shape[0]

    def targets(self, y: Any, N: int, units: int, dtype: np.dtype) -> Array:
        """Return ``y`` checked and cast, (N, units) of ``dtype``; TypeError or ValueError otherwise."""
        y = targets.as_columns("y", targets.as_numeric("y", y, N, self.asks_for), units)
        self.check_values(y)
        return targets.as_finite("y", self.standardised(y), dtype, self.largest_target(dtype))

    def largest_target(self, dtype: np.dtype) -> float:
        """Return up to which targets, in the unit of z, losses are finite in ``dtype``."""
        return math.inf

    def standardised(self, y: Array) -> Array:
        """Return the numbers (N, K) in the unit of z: here as they are."""
        return y

    def check_values(self, y: Array) -> None:
        """Object to targets that the distribution can't have drawn."""

    def loss_and_delta(self, z: Array, y: Any, w: Array, total: float, delta: Array) -> Sums:
        losses = np.empty_like(z)
        self.likelihood(z, y, losses, delta)
        return loss_kernels.weighted_sums(losses, self.errors(z, y), w, z.shape[1], total, delta)

    def means(self, loss_sum: Any, metric_sum: Any, weight_sum: Any) -> dict[str, float]:
        loss = mean_of(loss_sum, weight_sum)
        return {"loss": loss, self.metric: mean_of(metric_sum, weight_sum * self.units, loss)}

    def likelihood(self, z: Array, y: Array, losses: Array, delta: Array) -> None:
        """Write the loss of each number, and its derivative by z, (N, K) each."""
        raise NotImplementedError

    def errors(self, z: Array, y: Array) -> Array:
        """Return what the metric counts, (N, K)."""
        return np.abs(self.activate(z) - y)

    def activate(self, z: Array) -> Array:
        """Return the distribution's parameter, of z's shape: here z itself."""
        return z

    def decide(self, z: Array) -> Array:
        """Return the prediction, (N,) for one unit and (N, K) for K."""
        check_logits(z)
        return flat(self.activate(z))


def mean_of(total, weight, loss=0.0):
    """Return the mean of a sum over rows: NaN beside a ``loss`` that is, and where there is no weight."""
    return math.nan if weight == 0 or math.isnan(loss) else float(total / weight)


def check_logits(z):
    """Raise ValueError where a row of logits ``z`` (N, K) has a NaN, from which nothing can be decided."""
    refuse_nan(loss_kernels.first_nan(z))


def refuse_nan(row):
    """Raise ValueError for the number of the first row of logits with a NaN, unless it is -1."""
    if row >= 0:
        raise ValueError(f"predict: got NaN in the logits of row {row}, expected finite numbers; the "
                         "training diverged: begin anew with a lower learning rate, or with clip_norm")


def flat(a):
    return a[:, 0] if a.shape[1] == 1 else a
