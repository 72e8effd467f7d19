"""The head of classes with an order: `Ordinal`."""
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from ..inputs import targets
from ..inputs.checks import check_count
from ..kernels import activations
from ..kernels import losses as loss_kernels
from ..memory import Array, Shape
from .base import NamedClasses, Sums, check_logits

MOST_CLASSES = 2**20    # of which a row has a number each while it is trained on


class Ordinal(NamedClasses):
    """One of K ordered classes, such as 1 to 5 stars: a score, K - 1 cut points, cumulative sigmoids (CORAL).

    ============  ==============================================================================
    distribution  K - 1 questions, "is y above k?", for k = 0 .. K - 2, answered by one score z
    activation    p(y > k) = sigmoid(z + b_k), with cut points b_0 >= b_1 >= ... >= b_(K - 2)
    loss          l = sum_k of the binary cross-entropies of p(y > k) and [y > k]
    delta         dl/dz = sum_k (p(y > k) - [y > k]), dl/db_k = p(y > k) - [y > k]
    decision      the rank: how many of the p(y > k) are above 1/2
    ============  ==============================================================================

    The last layer has one unit, the score; all classes share its weights. The cut points are the head's own
    parameters, ``head.b``. They are sorted wherever they are used, so that p(y > k) never increases with k,
    whatever a step of the training makes of them; they begin so that the score 0 makes all classes equally
    probable.

    Targets are class numbers (N,), 0 .. K - 1. The metric is the mean absolute error of the rank.

    Source: W. Cao, V. Mirjalili, S. Raschka, "Rank consistent ordinal regression for neural networks with
    application to age estimation", Pattern Recognition Letters 140, 2020.

    Parameters
    ----------
    classes : int or sequence of str, optional
        K, from 2 to 2^20, or the names of the classes in their order, ``["bad", "fair", "good"]``: targets
        are text then, and so are predictions. By default the first ``fit`` takes K from the largest of its
        targets.

    Raises
    ------
    TypeError, ValueError
        ``classes`` is no such number.
    """

    output_activation, classifies, metric, answers = "sigmoid", True, "mae", "ranks"
    config = ("classes",)

    def __init__(self, classes: int | Sequence[str] | None = None):
        counted = isinstance(classes, Real)    # also what is no number of classes, for the error
        self._take_names(None if counted else classes)
        self.K = len(self.names) if self.names else None
        if counted:
            self.K = check_count("Ordinal classes", classes, least=2, most=MOST_CLASSES)
        self.from_targets = classes is None

    @property
    def classes(self) -> list[str] | int | None:
        """The names of the classes, or their number, or None before it is known."""
        return self.names or self.K

    def infer_from_targets(self, y: Any) -> None:
        if self.from_targets:
            self.K = targets.count_classes("y", y, answers="ranks")

    def build(self, output_shape: Shape) -> None:
        super().build(output_shape)
        if output_shape[0] != 1:
            raise ValueError(f"Ordinal: got {output_shape[0]} units in the last layer, expected 1, the score "
                             "that all classes share")
        if self.K is None:
            raise ValueError("Ordinal: got no number of classes, expected Ordinal(classes=K), or a first fit "
                             "that takes it from the targets")
        self.shapes = {"b": (self.K - 1,)}

    def initialise(self, rng: np.random.Generator) -> None:
        above = np.arange(len(self.parameters["b"]), 0, -1)    # how many classes lie above each cut point
        self.parameters["b"][:] = np.log(above / above[::-1])

    def targets(self, y: Any, N: int, units: int, dtype: np.dtype) -> Array:
        """Return the class numbers ``y`` checked, (N,) int64; TypeError or ValueError where they are none."""
        y = targets.as_numeric("y", targets.numbered("y", y, self.names), N, "ranks")
        if y.ndim != 1:
            hint = "y[:, 0]" if y.shape == (N, 1) else "np.argmax(y, axis=1) for one-hot rows"
            raise ValueError(f"y: got shape {y.shape}, expected class numbers ({N},); give {hint}")
        return targets.as_labels("y", y, self.K, "give Ordinal(classes={})")

    def _cut_points(self):
        """Return the cut points in descending order, and where they stand in the parameter."""
        order = np.argsort(-self.parameters["b"], kind="stable")
        return self.parameters["b"][order], order

    def loss_and_delta(self, z: Array, y: Any, w: Array, total: float, delta: Array) -> Sums:
        sums, db, order = self._sums(z, y, w, total, delta)
        self.gradients["b"][order] = db
        return sums

    def loss(self, z: Array, y: Any, w: Array, delta: Array) -> Sums:
        return self._sums(z, y, w, 1.0, delta)[0]

    def _sums(self, z, y, w, total, delta):
        """Write dL/dz into ``delta``; return the sums, dL/db of the sorted cut points, and their order."""
        b, order = self._cut_points()
        db, scratch = np.empty_like(b), np.empty((4, len(z), b.size), z.dtype)
        return loss_kernels.ordinal(z, b, y, w, total, scratch, delta, db), db, order

    def activate(self, z: Array) -> Array:
        """Return p(y > k), (N, K - 1), which does not increase with k."""
        t = z + self._cut_points()[0]
        p = np.empty_like(t)
        activations.sigmoid_forward(t, p)
        return np.minimum.accumulate(p, axis=1)    # nor does the rounding

    def decide(self, z: Array) -> Array:
        """Return the rank of each row, (N,) int64."""
        check_logits(z)
        return np.count_nonzero(z + self.parameters["b"] > 0, axis=1)

    def probabilities(self, z: Array) -> Array:
        """Return the probabilities of the classes, (N, K).

        p(y = k) = p(y > k - 1) - p(y > k) is the product p(y > k - 1) p(y <= k) (1 - e^(b_k - b_(k - 1))), in
        which nothing cancels and nothing is below 0.
        """
        b, _ = self._cut_points()
        t = z + b
        above, below = np.empty_like(t), np.empty_like(t)
        activations.sigmoid_forward(t, above)
        activations.sigmoid_forward(-t, below)
        certain, end = np.ones_like(z), np.ones(1, z.dtype)
        apart = np.concatenate([end, -np.expm1(np.diff(b)), end])
        return np.hstack([certain, above]) * np.hstack([below, certain]) * apart
