"""Heads of classes: `Bernoulli`, yes or no, and `Categorical`, one of K."""
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..inputs import targets
from ..inputs.checks import LARGEST_WEIGHT, check_count, check_real, check_reals, shown
from ..kernels import activations, softmax
from ..kernels import losses as loss_kernels
from ..memory import Array, Shape
from .base import IndependentUnits, NamedClasses, Sums, check_logits, flat, refuse_nan


class Bernoulli(NamedClasses, IndependentUnits):
    """Yes or no: sigmoid, binary cross-entropy and a threshold. K units answer K questions.

    ============  ==============================================================================
    distribution  Bernoulli's: p(1) = p, p(0) = 1 - p
    activation    p = sigmoid(z) = 1 / (1 + e^-z)
    loss          l = -pos_weight y log p - (1 - y) log(1 - p), where -log p = log(1 + e^-z)
    delta         dl/dz = p - y, and with weights (1 - y) p - pos_weight y (1 - p)
    decision      1 where p > threshold
    ============  ==============================================================================

    Targets are 0 and 1, or probabilities between them, (N,) for one unit and (N, K) for K. For one unit they
    may be text, two words, of which the later in the alphabet is 1 unless ``classes`` say otherwise.
    Predictions are 0 and 1 of the same shape, or text again. Probabilities are those of both classes, (N, 2),
    for one unit, and that of each label, (N, K), for K. The metric is the fraction of right answers.

    Source: Goodfellow et al. 2016, section 6.2.2.2.

    Parameters
    ----------
    threshold : float
        In (0, 1).
    pos_weight : float or sequence of K floats, optional
        Above 0, up to 1e15: the weight of a target of 1 in the loss; that of a target of 0 is 1. For labels
        that are rare.
    classes : sequence of 2 str, optional
        The names of 0 and 1. By default the first ``fit`` takes them from its targets, where these are text.

    Raises
    ------
    TypeError, ValueError
        A parameter is no such number.
    """

    output_activation, classifies, metric, asks_for = "sigmoid", True, "accuracy", "yes or no"
    config = ("threshold", "pos_weight", "classes")

    def __init__(self, threshold: float = 0.5, pos_weight: float | Sequence[float] | None = None,
                 classes: Sequence[str] | None = None):
        self.threshold = check_real("Bernoulli threshold", threshold, 0.0, 1.0, "()")
        # where sigmoid(z) is the threshold
        self.logit_threshold = math.log(self.threshold / (1 - self.threshold))
        self.pos_weight = None if pos_weight is None else check_reals(
            "Bernoulli pos_weight", pos_weight, high=LARGEST_WEIGHT, closed="(]")
        self._take_names(classes)
        self._check_two()

    def _check_two(self):
        if self.names is not None and len(self.names) != 2:
            raise ValueError(f"Bernoulli: got the {len(self.names)} classes "
                             f"{targets.in_short(self.names)}, expected two; for one of several classes use "
                             "Categorical() (softmax) and a unit for each")

    def infer_from_targets(self, y: Any) -> None:
        super().infer_from_targets(y)
        self._check_two()

    @property
    def answers(self) -> str:    # type: ignore[override]    # follows from the units
        """One unit answers with one of two classes, several with labels."""
        return "classes" if self.units == 1 else "labels"

    def build(self, output_shape: Shape) -> None:
        super().build(output_shape)
        if isinstance(self.pos_weight, list) and len(self.pos_weight) != output_shape[0]:
            raise ValueError(f"Bernoulli pos_weight: got {len(self.pos_weight)} weights, expected "
                             f"{output_shape[0]}, one for each unit of the last layer")
        if self.names is not None and output_shape[0] > 1:
            raise ValueError(f"Bernoulli: got {output_shape[0]} units in the last layer, expected 1 for the "
                             f"classes {targets.in_short(self.names)}")

    def check_values(self, y: Array) -> None:
        targets.check_binary("y", y)

    def targets(self, y: Any, N: int, units: int, dtype: np.dtype) -> Array:
        y = targets.numbered("y", y, self.names)
        if units > 1 and targets.as_numeric("y", y, N, self.asks_for).ndim == 1:
            raise ValueError(f"y: got shape ({N},), expected ({N}, {units}), an answer for each of {units} "
                             f"units; for one of {units} classes use Categorical(), for a single question 1 "
                             "unit")
        return super().targets(y, N, units, dtype)

    def _weigh_numbers(self, y, w, class_weight):
        if y.shape[1] > 1:
            raise ValueError(f"class_weight: got {shown(class_weight)} for {y.shape[1]} labels, expected one "
                             "question; give pos_weight of Bernoulli a number for each label")
        return y, w * class_factors((y[:, 0] > 0.5).astype(np.int64), 2, class_weight).astype(w.dtype)

    def likelihood(self, z: Array, y: Array, losses: Array, delta: Array) -> None:
        positive = y if self.pos_weight is None else y * np.asarray(self.pos_weight, y.dtype)
        loss_kernels.bernoulli(z, y, positive, losses, delta)

    def errors(self, z: Array, y: Array) -> Array:
        return ((z > self.logit_threshold) == (y > 0.5)).astype(z.dtype)

    def activate(self, z: Array) -> Array:
        p = np.empty_like(z)
        activations.sigmoid_forward(z, p)
        return p

    def decide(self, z: Array) -> Array:
        """Return 0 or 1, int64: (N,) for one unit, the labels that apply (N, K) for K."""
        check_logits(z)
        return flat(z > self.logit_threshold).astype(np.int64)

    def probabilities(self, z: Array) -> Array:
        """Return p(0) and p(1), (N, 2), for one unit; p of each label, (N, K), for K."""
        if z.shape[1] > 1:
            return self.activate(z)
        return np.hstack([self.activate(-z), self.activate(z)])


class Categorical(NamedClasses):
    """One of K classes: softmax, cross-entropy, and the most probable class as the decision.

    ============  ==============================================================================
    distribution  multinoulli: class k has the probability p_k, and all sum to 1
    activation    p_k = softmax(z / T)_k = e^(z_k / T) / sum_j e^(z_j / T), with T = temperature
    loss          l = -log p_y, and for targets that are probabilities -sum_k y_k log p_k
    delta         dl/dz_k = (p_k - y_k) / T
    decision      the class with the largest z
    ============  ==============================================================================

    A softmax with the base b in place of e is one with the temperature 1 / ln b. Above 1, a temperature makes
    the probabilities more alike, below 1 less.

    Targets are class numbers (N,), 0 .. K - 1, or rows of probabilities (N, K) that sum to 1, one-hot or
    soft; or the names of the classes, text (N,), and so are predictions then.

    Sources: Goodfellow et al. 2016, section 6.2.2.3; G. Hinton, O. Vinyals, J. Dean, "Distilling the
    knowledge in a neural network", 2015 (temperature); C. Szegedy et al., "Rethinking the Inception
    architecture for computer vision", CVPR 2016, section 7 (label smoothing).

    Parameters
    ----------
    temperature : float
        At least 1e-15.
    label_smoothing : float
        In [0, 1): the fraction s of every target that is spread over all classes, y -> (1 - s) y + s / K.
    class_weight : dict of {class: weight} or sequence of K floats, optional
        From 0 to 1e15; classes that a dict leaves out have the weight 1. A row's weight is multiplied by that
        of its class, for soft targets by the mean over its classes. So rows of a class with the weight 2
        count as if they were given twice, in the loss and in the accuracy.
    base : float, optional
        Above 1: the softmax's base, in place of a temperature.
    classes : sequence of K str, optional
        Their names. By default the first ``fit`` takes them from its targets, where these are text, sorted.

    Raises
    ------
    TypeError, ValueError
        A parameter is no such number; temperature and base are both given.
    """

    output_activation, classifies, metric, answers = "softmax", True, "accuracy", "classes"
    config = ("temperature", "label_smoothing", "class_weight", "classes")

    def __init__(self, temperature: float = 1.0, label_smoothing: float = 0.0,
                 class_weight: dict[int, float] | Sequence[float] | None = None, base: float | None = None,
                 classes: Sequence[str] | None = None):
        self.temperature = check_real("Categorical temperature", temperature, 1e-15)
        if base is not None:
            if temperature != 1:
                raise ValueError(f"Categorical: got temperature={temperature} and base={base}, expected one "
                                 "of them; base b is temperature 1 / ln b")
            self.temperature = 1 / math.log(check_real("Categorical base", base, 1.0, closed="()"))
        self.label_smoothing = check_real("Categorical label_smoothing", label_smoothing, 0.0, 1.0)
        self.class_weight = _checked_class_weight(class_weight)
        self._take_names(classes)

    def units_for(self, y: Any) -> int:
        if self.names is not None:
            return len(self.names)
        y = targets.as_numeric("y", y)
        return y.shape[1] if y.ndim == 2 else targets.count_classes("y", y)

    def build(self, output_shape: Shape) -> None:
        super().build(output_shape)
        K = output_shape[0]
        if K < 2:
            raise ValueError("Categorical: got 1 unit in the last layer, expected one for each class, at "
                             "least 2; the softmax of 1 unit is always 1, it always answers class 0: use "
                             "Bernoulli(), or 2 units")
        if self.names is not None and len(self.names) != K:
            raise ValueError(f"Categorical: got {K} units in the last layer, expected {len(self.names)}, "
                             f"one for each of the classes {targets.in_short(self.names)}")
        if self.class_weight is not None:
            _check_classes(self.class_weight, K)
        self.K = K

    def initialise(self, rng: np.random.Generator) -> None:
        # not in `build`: nothing is allocated for what a file merely says
        if self.class_weight is not None:
            self.weights = _weights_of_classes(self.class_weight, self.K)

    def targets(self, y: Any, N: int, units: int, dtype: np.dtype) -> Array:
        """Return ``y`` checked and cast: (N,) int64 for labels and one-hot rows, (N, K) for soft ones.

        Raises
        ------
        TypeError, ValueError
            Another length or width, labels out of range or not whole, rows that are no probabilities.
        """
        y = targets.as_numeric("y", targets.numbered("y", y, self.names), N)
        if y.ndim == 1:
            return targets.as_labels("y", y, units, "the last layer takes {} units")
        if y.shape != (N, units):
            hint = "; give y[:, 0]" if y.shape == (N, 1) else ", with a unit for each class"
            raise ValueError(f"y: got shape {y.shape}, expected class numbers ({N},) or rows ({N}, "
                             f"{units}){hint}")
        targets.check_distributions("y", y)
        if np.isin(y, (0, 1)).all():
            return np.argmax(y, axis=1)
        return np.ascontiguousarray(y, dtype)

    def _weigh_numbers(self, y, w, class_weight):
        classes = y if y.ndim == 1 else y.argmax(axis=1)
        return y, w * class_factors(classes, self.K, class_weight).astype(w.dtype)

    def row_weights(self, y: Any, w: Array) -> Array:
        if self.class_weight is None:
            return w
        weights = self.weights.astype(w.dtype)
        return w * (weights[y] if y.ndim == 1 else (weights * y).sum(axis=1))

    def loss_and_delta(self, z: Array, y: Any, w: Array, total: float, delta: Array) -> Sums:
        if self.class_weight is not None:
            w = self.row_weights(y, w)
        if self.label_smoothing:
            y = self._smooth(y, z)
        if self.temperature == 1:
            return loss_kernels.categorical(z, y, w, total, delta)
        np.multiply(z, 1 / self.temperature, out=delta)
        sums = loss_kernels.categorical(delta, y, w, total, delta)
        delta *= 1 / self.temperature
        return sums

    def _smooth(self, y, z):
        K, s = z.shape[1], self.label_smoothing
        rows = targets.one_hot(y, K, z.dtype) if y.ndim == 1 else y
        return (1 - s) * rows + z.dtype.type(s / K)

    def activate(self, z: Array) -> Array:
        """Return softmax(z / temperature), (N, K)."""
        p = np.multiply(z, 1 / self.temperature)
        softmax.softmax(p, p)
        return p

    def decide(self, z: Array) -> Array:
        """Return the most probable class of each row, (N,) int64."""
        decision = np.empty(len(z), np.int64)
        refuse_nan(loss_kernels.argmax(z, decision))
        return decision

    def probabilities(self, z: Array) -> Array:
        """Return the probabilities of the classes, (N, K)."""
        return self.activate(z)


def class_factors(classes: np.ndarray, K: int, class_weight) -> np.ndarray:
    """Return the weight of the class of every row, (N,) float64.

    ``class_weight`` is a dict of {class: weight}, 1 for those it lacks; a weight for each class; or
    "balanced": the number of rows, divided by that of the class and by the number of classes that occur (as
    scikit-learn's).
    """
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(f"class_weight: got {shown(class_weight)}, expected 'balanced' or a dict of "
                             "{class: weight}")
        counts = np.bincount(classes, minlength=K)
        return (len(classes) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[classes]
    checked = _checked_class_weight(class_weight)
    _check_classes(checked, K)
    return _weights_of_classes(checked, K)[classes]


def _checked_class_weight(given):
    """Return the weights as a dict or a list of plain numbers, or None."""
    checked: dict[int, float] | float | list[float]
    if given is None:
        return None
    if isinstance(given, dict):    # in the text of a saved model, keys are strings
        checked = {check_count("class_weight class", _as_number(k), least=0):
                   _check_weight(weight) for k, weight in given.items()}
    elif hasattr(given, "__len__") and not isinstance(given, (str, bytes)):
        checked = check_reals("class_weight", given, high=LARGEST_WEIGHT, closed="[]", each="class")
    else:
        raise TypeError(f"class_weight: got {shown(given)}, expected a dict of {{class: weight}} or a weight "
                        "for each class")
    return checked


def _check_weight(weight):
    return check_real("class_weight", weight, high=LARGEST_WEIGHT, closed="[]")


def _as_number(key):
    return int(key) if isinstance(key, str) and key.isdecimal() else key


def _check_classes(class_weight, K):
    """Raise ValueError where the weights are not those of K classes, or all of them are 0."""
    if isinstance(class_weight, list):
        if len(class_weight) != K:
            raise ValueError(f"class_weight: got {len(class_weight)} weights, expected {K}, one for each "
                             "class")
        given = class_weight
    else:
        if max(class_weight, default=0) >= K:
            raise ValueError(f"class_weight: got class {max(class_weight)}, expected classes 0 .. {K - 1}")
        given = class_weight.values() if len(class_weight) == K else [1.0]
    if not any(given):
        raise ValueError("class_weight: got only zeros, expected at least one positive weight")


def _weights_of_classes(class_weight, K):
    """Return the weights of the classes 0 .. K - 1, (K,) float64."""
    if isinstance(class_weight, list):
        return np.array(class_weight)
    weights = np.ones(K)
    weights[list(class_weight)] = list(class_weight.values())
    return weights
