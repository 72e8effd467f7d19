"""The scale of inputs: a network trained on numbers up to 1 can do nothing with 255, or vice versa.

`measure` takes it from the rows that are trained on. `warn_of_another` compares with it the rows that are
evaluated or predicted from. Neither looks at more than a sample of many rows.
"""
import math
from typing import NamedTuple

import numpy as np
import scipy.sparse

from .._numba.warning import warn
from ..kernels import checks as kernel
from .sparse_rows import sample

SMALL, LARGE = 1, 50     # inputs up to 1 and above 50 are of different scales
_FEW_NUMBERS = 2**16     # of an array, which are all looked at
_SOME_ROWS = 32          # of a larger one, which are looked at
_MOST_NUMBERS = 2**18    # looked at of what is trained on


class Scale(NamedTuple):
    """The lowest and the highest peak of the rows: their largest absolute values, but for rows of 0."""

    lowest: float
    highest: float

    def merged(self, other):
        """Return the scale of both; ``other`` may be None."""
        if other is None:
            return self
        return Scale(min(self.lowest, other.lowest), max(self.highest, other.highest))


def measure(rows, divisor: float = 1) -> Scale:
    """Return the scale of validated rows, as it is when they are divided by ``divisor``."""
    if scipy.sparse.issparse(rows):    # their lowest peak is not looked for
        some = rows.data[::max(1, rows.nnz // _MOST_NUMBERS)]
        return Scale(0.0, float(np.abs(some).max(initial=0)) / divisor)
    some = sample(rows, min(250, max(1, _MOST_NUMBERS // math.prod(rows.shape[1:]))))
    peaks = np.abs(some.reshape(len(some), -1)).max(axis=1).astype(float)
    peaks = peaks[peaks > 0]
    return Scale(float(peaks.min(initial=np.inf)) / divisor, float(peaks.max(initial=0)) / divisor)


def warn_of_another(rows, trained: Scale | None, divisor: float = 1):
    """Give a UserWarning where validated rows are of another scale than those that were ``trained`` on.

    One of the two is up to 1 and the other above 50, in every row: ordinary numbers of either sign are never
    so.
    """
    if trained is None:
        return
    lowest, highest = trained
    small = 0 < highest <= SMALL
    if not small and lowest <= LARGE:
        return
    few = isinstance(rows, np.ndarray) and rows.size <= _FEW_NUMBERS
    given = rows.reshape(-1) if few else _some_numbers(rows)
    limit = divisor * (LARGE if small else SMALL)
    exceeds = kernel.exceeds(given, limit) if few else np.abs(given).max(initial=0) > limit
    if exceeds != small or not (small or given.any()):
        return
    got = float(np.abs(given).max()) / divisor
    expected = f"up to {highest:.3g}" if small else f"{lowest:.3g} to {highest:.3g}"
    remedy = "divide by 255" if small and got <= 255 else "scale them in the same way"
    if got < np.inf:    # which is refused
        warn(f"X: got numbers up to {got:.3g}, expected {expected} as in training; {remedy}")


def _some_numbers(rows):
    """Return a sample of the numbers as a vector."""
    if scipy.sparse.issparse(rows):
        return rows.data[::1 + rows.nnz // _FEW_NUMBERS]
    return sample(rows, _SOME_ROWS).reshape(-1)
