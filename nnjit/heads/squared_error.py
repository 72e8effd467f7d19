"""`SquaredError`: pairs of activation and loss that belong to no distribution."""
import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._numba.warning import warn
from ..inputs import targets
from ..kernels import activations
from ..kernels import losses as loss_kernels
from ..kernels.softmax import softmax_backward
from ..memory import Array, Shape
from .base import Head, Sums
from .classification import Bernoulli, Categorical
from .regression import Gaussian


class SquaredError(Head):
    """Squared error of an activated output: what people try before cross-entropy, for comparison.

    ============  ==============================================================================
    distribution  none that gives probabilities: a normal one about a = activation(z)
    activation    sigmoid or softmax; linear is the same as `Gaussian`
    loss          l = the mean over the units of (a - y)²
    delta         dl/dz = 2 (a - y) a (1 - a) / K for a sigmoid: it vanishes where a nears 0 or 1, be
                  it right or wrong. A network that is sure and wrong does not learn
    decision      that of `Bernoulli` for a sigmoid, of `Categorical` for a softmax
    ============  ==============================================================================

    Targets, predictions, probabilities and metric are those of `Bernoulli`, `Categorical` or `Gaussian`.

    Source: Goodfellow et al. 2016, section 6.2.2.2, on the squared error of saturated units.

    Parameters
    ----------
    activation : "sigmoid", "softmax" or "linear"
    classes : sequence of str, optional
        Names, as of `Bernoulli` and `Categorical`.

    Warns
    -----
    UserWarning
        Sigmoid and softmax saturate.

    Raises
    ------
    ValueError
        The activation is none of these.
    """

    config = ("activation", "classes")

    def __init__(self, activation: str, classes: Sequence[str] | None = None):
        base_heads = {"linear": Gaussian, "sigmoid": Bernoulli, "softmax": Categorical}
        if activation not in base_heads:
            expected = ", ".join(map(repr, base_heads))
            raise ValueError(f"SquaredError activation: got {activation!r}, expected {expected}")
        if activation == "linear" and classes is not None:
            raise ValueError(f"SquaredError classes: got {classes!r} with linear, expected none")
        # the head to which the activation belongs
        self.base_head = base_heads[activation](**({} if classes is None else {"classes": classes}))
        self.activation, self.output_activation = activation, self.base_head.output_activation
        self.metric, self.classifies = self.base_head.metric, self.base_head.classifies
        if activation != "linear":
            warn(f"SquaredError: the {activation} saturates, and with squared error its gradient "
                 f"vanishes where the network is sure and wrong; {self.base_head!r} has the loss "
                 "that belongs to it")

    def __getstate__(self):
        return {**super().__getstate__(), "base_head": copy.copy(self.base_head)}

    @property
    def names(self) -> list[str] | None:    # type: ignore[override]    # follows from the activation
        """Those of the head to which the activation belongs."""
        return self.base_head.names

    classes = names

    @property
    def answers(self) -> str | None:    # type: ignore[override]    # follows from the activation
        """Those of the head to which the activation belongs."""
        return self.base_head.answers

    def infer_from_targets(self, y: Any) -> None:
        self.base_head.infer_from_targets(y)

    def units_for(self, y: Any) -> int:
        return self.base_head.units_for(y)

    def build(self, output_shape: Shape) -> None:
        self.base_head.build(output_shape)

    def targets(self, y: Any, N: int, units: int, dtype: np.dtype) -> Array:
        """Return ``y`` as the activation's own head takes it, but as rows (N, units) of ``dtype``."""
        y = self.base_head.targets(y, N, units, dtype)
        return targets.one_hot(y, units, dtype) if y.ndim == 1 else y

    def loss_and_delta(self, z: Array, y: Any, w: Array, total: float, delta: Array) -> Sums:
        a, losses = self.base_head.activate(z), np.empty_like(z)
        loss_kernels.squared_error(a, y, losses, delta)
        if self.activation == "sigmoid":
            activations.sigmoid_backward(a, delta, delta)
        elif self.activation == "softmax":
            softmax_backward(a, delta)
        return loss_kernels.weighted_sums(losses, self._errors(z, y), w, z.shape[1], total, delta)

    def _errors(self, z, y):
        if self.activation == "softmax":
            return (z.argmax(axis=1) == y.argmax(axis=1))[:, None].astype(z.dtype)
        return self.base_head.errors(z, y)

    def means(self, loss_sum: Any, metric_sum: Any, weight_sum: Any) -> dict[str, float]:
        return self.base_head.means(loss_sum, metric_sum, weight_sum)

    def decide(self, z: Array) -> Any:
        return self.base_head.decide(z)

    def probabilities(self, z: Array) -> Any:
        return self.base_head.probabilities(z)
