"""Heads of numbers: `Gaussian`, `Laplace`, `Huber`, `Poisson`."""
import numpy as np

from ..inputs import targets
from ..inputs.checks import check_real
from ..kernels import losses as loss_kernels
from .base import IndependentUnits


class Gaussian(IndependentUnits):
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
    """

    def likelihood(self, z, y, losses, delta):
        loss_kernels.squared_error(z, y, losses, delta)


class Laplace(IndependentUnits):
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
    """

    def likelihood(self, z, y, losses, delta):
        loss_kernels.absolute_error(z, y, losses, delta)


class Huber(IndependentUnits):
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
        Above 0: the error from which on a target counts as an outlier, in the unit of the targets.

    Raises
    ------
    TypeError, ValueError
        ``delta`` is no such number.
    """

    config = ("delta",)

    def __init__(self, delta: float = 1.0):
        self.delta = check_real("Huber delta", delta, closed="()")

    def likelihood(self, z, y, losses, delta):
        loss_kernels.huber(z, y, self.delta, losses, delta)


class Poisson(IndependentUnits):
    """Counts of events: exponential output, Poisson's likelihood; the network predicts the rate.

    ============  ==============================================================================
    distribution  Poisson's with the rate e^z: p(y) = e^(z y) exp(-e^z) / y!
    activation    e^z, which is positive (held at e^80 for z above 80, so that nothing overflows)
    loss          l = e^z - z y, which is -log p(y) without log y!
    delta         dl/dz = e^z - y
    decision      e^z, the expected count
    ============  ==============================================================================

    Targets are non-negative numbers. For counts over unlike times: y = count / time, and the times as
    ``sample_weight``.

    Source: P. McCullagh, J. A. Nelder, "Generalized Linear Models", 2nd edition, Chapman and Hall, 1989,
    chapter 6.
    """

    output_activation = "exponential"

    def check_values(self, y):
        targets.check_non_negative("y", y)

    def likelihood(self, z, y, losses, delta):
        loss_kernels.poisson(z, y, losses, delta)

    def activate(self, z):
        rates = np.empty_like(z)
        loss_kernels.poisson_rates(z, rates)
        return rates
