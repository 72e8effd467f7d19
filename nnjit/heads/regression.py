"""Heads of numbers: `Gaussian`, `Laplace`, `Huber`, `Poisson`."""
import math
from collections.abc import Sequence

import numpy as np

from ..inputs import targets
from ..inputs.checks import check_real, check_reals
from ..kernels import losses as loss_kernels
from ..memory import Array, Shape
from .base import IndependentUnits, check_logits, flat


class _LocationScale(IndependentUnits):
    """Numbers in a unit of their own: y = loc + scale t, with the distribution of t about z."""

    config: tuple[str, ...] = ("loc", "scale")

    def __init__(self, loc: float | Sequence[float] = 0.0, scale: float | Sequence[float] = 1.0):
        self.loc = self._numbers("loc", loc, low=-np.inf)
        self.scale = self._numbers("scale", scale, low=0.0)

    def _numbers(self, name, given, low):
        name = f"{type(self).__name__} {name}"
        return check_reals(name, given, low, closed="()")

    def build(self, output_shape: Shape) -> None:
        super().build(output_shape)
        for name in "loc", "scale":
            given = getattr(self, name)
            if isinstance(given, list) and len(given) != self.units:
                raise ValueError(f"{type(self).__name__} {name}: got {len(given)} numbers, expected "
                                 f"{self.units}, one for each unit of the last layer")

    @property
    def _is_plain(self):
        return (self.loc, self.scale) == (0, 1)

    def standardised(self, y: Array) -> Array:
        if self._is_plain:
            return y
        with np.errstate(over="ignore"):    # what is too large is refused
            return (y - np.array(self.loc)) / self.scale

    def in_units(self, t: Array) -> Array:
        # in float64: a float32 may not hold numbers far from 0
        with np.errstate(over="ignore"):
            return t if self._is_plain else self.loc + np.asarray(t, float) * self.scale

    def errors(self, z: Array, y: Array) -> Array:
        errors = super().errors(z, y)
        if not isinstance(self.scale, list):
            return errors
        return errors * np.asarray(np.divide(self.scale, max(self.scale)), z.dtype)

    def means(self, loss_sum: float, metric_sum: float, weight_sum: float) -> dict[str, float]:
        # the unit comes last, in float64: a float32 may not hold it
        found = super().means(loss_sum, metric_sum, weight_sum)
        return {**found, self.metric: found[self.metric] * float(np.max(self.scale))}

    def decide(self, z: Array) -> Array:
        check_logits(z)
        return flat(self.in_units(self.activate(z)))


class Gaussian(_LocationScale):
    """Numbers that scatter evenly about a mean: linear output, squared error; the network predicts the mean.

    ============  ==============================================================================
    distribution  normal with mean z and a fixed variance: p(y) ∝ exp(-(y - z)² / 2)
    activation    none
    loss          l = (z - y)², which is -2 log p(y) without its constant
    delta         dl/dz = 2 (z - y)
    decision      z, the mean: the number with the least expected squared error
    ============  ==============================================================================

    An outlier pulls with all its distance: see `Laplace` and `Huber`. Targets are finite numbers.

    Source: Bishop 2006, section 5.2, equations 5.12 to 5.14.

    Parameters
    ----------
    loc, scale : float or sequence of K floats
        The network learns t = (y - loc) / scale, of which the loss is; predictions and the metric are in the
        unit of y. With the mean and the standard deviation of the targets it can begin near them, however
        large they are.

    Raises
    ------
    TypeError, ValueError
        Something is no finite number, or ``scale`` not above 0.
    """

    def likelihood(self, z: Array, y: Array, losses: Array, delta: Array) -> None:
        loss_kernels.squared_error(z, y, losses, delta)

    def largest_target(self, dtype: np.dtype) -> float:
        return _largest_square(dtype)


class Laplace(_LocationScale):
    """Numbers with outliers: linear output, absolute error; the network predicts the median.

    ============  ==============================================================================
    distribution  Laplace's with location z and a fixed scale: p(y) ∝ exp(-|y - z|)
    activation    none
    loss          l = |z - y|
    delta         dl/dz = sign(z - y), 0 at z = y
    decision      z, the median: the number with the least expected absolute error
    ============  ==============================================================================

    An outlier pulls no harder than any other target. Targets are finite numbers.

    Source: Goodfellow et al. 2016, section 6.2.1.2, equation 6.16.

    Parameters
    ----------
    loc, scale : float or sequence of K floats
        As of `Gaussian`.

    Raises
    ------
    TypeError, ValueError
        Something is no finite number, or ``scale`` not above 0.
    """

    def likelihood(self, z: Array, y: Array, losses: Array, delta: Array) -> None:
        loss_kernels.absolute_error(z, y, losses, delta)


class Huber(_LocationScale):
    """Numbers with some outliers: linear output, and squared error that goes over into absolute error.

    ============  ==============================================================================
    distribution  normal in the middle, Laplace's in the tails: p(y) ∝ exp(-l)
    activation    none
    loss          l = (z - y)² / 2 where |z - y| <= delta, else delta |z - y| - delta² / 2
    delta         dl/dz = z - y, cut off at -delta and delta
    decision      z, between mean and median
    ============  ==============================================================================

    Source: P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35,
    1964.

    Parameters
    ----------
    delta : float
        Above 0: the error from which on a target counts as an outlier, in the unit of the targets, divided by
        ``scale``.
    loc, scale : float or sequence of K floats
        As of `Gaussian`.

    Raises
    ------
    TypeError, ValueError
        Something is no finite number, or ``delta`` or ``scale`` not above 0.
    """

    config = ("delta", "loc", "scale")

    def __init__(self, delta: float = 1.0, loc: float | Sequence[float] = 0.0,
                 scale: float | Sequence[float] = 1.0):
        super().__init__(loc, scale)
        self.delta = check_real("Huber delta", delta, closed="()")

    def likelihood(self, z: Array, y: Array, losses: Array, delta: Array) -> None:
        loss_kernels.huber(z, y, self.delta, losses, delta)

    def largest_target(self, dtype: np.dtype) -> float:
        return max(_largest_square(dtype), float(np.finfo(dtype).max) / 8 / max(1.0, self.delta))


def _largest_square(dtype):
    """Return a number beside which squared errors are finite."""
    return math.sqrt(np.finfo(dtype).max) / 4


class Poisson(IndependentUnits):
    """Counts of events: exponential output, Poisson's likelihood; the network predicts the rate.

    ============  ==============================================================================
    distribution  Poisson's with the rate e^z: p(y) = e^(z y) exp(-e^z) / y!
    activation    e^z, which is positive (held at e^80 for z above 80, so that nothing overflows)
    loss          l = e^z - z y, which is -log p(y) without log y!
    delta         dl/dz = e^z - y
    decision      e^z, the expected count
    ============  ==============================================================================

    Targets are non-negative numbers, at most e^80 = 5.5e34. For counts over unlike times: y = count / time,
    and the times as ``sample_weight``.

    Source: P. McCullagh, J. A. Nelder, "Generalized Linear Models", 2nd edition, Chapman and Hall, 1989,
    chapter 6.
    """

    output_activation = "exponential"

    def check_values(self, y: Array) -> None:
        targets.check_non_negative("y", y, math.exp(80))

    def likelihood(self, z: Array, y: Array, losses: Array, delta: Array) -> None:
        loss_kernels.poisson(z, y, losses, delta)

    def activate(self, z: Array) -> Array:
        rates = np.empty_like(z)
        loss_kernels.poisson_rates(z, rates)
        return rates
