"""What an estimator is given: before scikit-learn looks at it, what it would take for numbers is refused.

Such are the numbers behind a mask, and dates, which are counted from 1970.
"""
from numbers import Number, Real
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import _check_sample_weight, validate_data

from ..inputs import targets
from ..inputs.checks import as_array, as_numbers, columns_without_numbers, refuse_masked


def validated(estimator, X, *y, **options):
    """Return what scikit-learn's `validate_data` does, of rows X, or of X and y.

    TypeError beside its errors, for columns without numbers by name.
    """
    return validate_data(estimator, _rows(X), *(answers(estimator, one) for one in y), **options)


def _rows(X):
    """Return rows as scikit-learn takes them; a data frame as it is, for the names of its columns."""
    if X is None or scipy.sparse.issparse(X):
        return X
    if hasattr(X, "columns"):
        without = columns_without_numbers(X, _holds_numbers)
        if without:
            raise TypeError(f"X: got {without}, expected numbers; encode them, or leave them out")
        return X
    return _as_array("X", X, "USmM")


def _holds_numbers(column):
    """Return whether a column of objects or of categories holds numbers only."""
    values = np.asarray(column)
    return values.dtype.kind in "buif" or values.dtype.kind == "O" and all(
        isinstance(value, Real) for value in values.flat)


def _as_array(name, values, refused):
    """Return an array, in which scikit-learn looks for faults; TypeError for these kinds, or a mask."""
    refuse_masked(name, values)
    values = values if isinstance(values, np.ndarray) else as_array(name, values)
    return as_numbers(name, values) if values.dtype.kind in refused or values.dtype.char == "g" else values


def answers(estimator, y):
    """Return targets as an array: for a regressor no text, for a classifier classes that can be sorted."""
    if y is None or scipy.sparse.issparse(y):
        return y
    if not isinstance(estimator, ClassifierMixin):
        y = _as_array("y", y, "mM")
        return targets.as_numeric("y", y, answers="regression") if targets.words_of("y", y) else y
    return classes("y", y)


def classes(name, y):
    """Return classes as an array; TypeError or ValueError where they cannot be sorted, or are no numbers."""
    y = _as_array(name, y, "")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(f"{name}: got NaN or infinity, expected classes; fill in or drop what is missing")
    if y.dtype.kind == "O" and not targets.words_of(name, y):
        try:
            sorted(set(y.flat))
        except TypeError:
            kinds = sorted({type(value).__name__ for value in y.flat})
            raise TypeError(f"{name}: got {' and '.join(kinds)}, expected classes of one kind, which can be "
                            "sorted; fill in or drop what is missing") from None
    return y


def weights(sample_weight, X):
    """Return weights as scikit-learn takes them, None for None."""
    if sample_weight is None:
        return None
    if not isinstance(sample_weight, Number):
        sample_weight = as_numbers("sample_weight", sample_weight)
    return _check_sample_weight(sample_weight, X)


class Scored:
    """The score of an estimator, whose mixin of scikit-learn's comes behind this one."""

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy of a classifier, R² of a regressor, for rows X and their true y, weighted."""
        y = answers(self, y)
        known = getattr(self, "classes_", None)
        if known is not None and _is_text(known) != _is_text(y):
            raise ValueError(f"y: got {'text' if _is_text(y) else 'no text'}, expected classes as in fit, "
                             f"{targets.in_short(known.tolist())}")
        return super().score(X, y, weights(sample_weight, y))    # type: ignore[misc]


def _is_text(classes):
    return not (classes is None or scipy.sparse.issparse(classes)) and bool(targets.words_of("y", classes))
