"""What is learned of the inputs of one's own, by scikit-learn, and into which parts the rows go."""
import re
from typing import Any

import numpy as np

from .._numba.warning import warn
from ..datasets.tables import import_extra
from ..inputs.checks import DataError
from ..inputs.columns import MISSING, Category, Columns, Flag, Number, as_texts
from ..inputs.targets import in_short

CATEGORIES = 30         # columns that one of text becomes at most, the last for what is rarer
FEWEST = 20             # rows of a file
_ROW_NUMBER = re.compile(r"(.*[_ ])?(id|index|row|no|nr|number)|.*[a-z]Id|.*ID", re.IGNORECASE)


# ---- parts -------------------------------------------------------------------------------------------------

def split(N: int, strata: np.ndarray | None, seed: int, tests: bool = True) -> dict[str, np.ndarray]:
    """Return the rows of the parts "train", "validation" and, where one is wanted, "test", in random order.

    Of few rows a fifth each, of 50,000 and more a tenth. ``strata`` (N,) are classes, of which every part has
    its share; those of fewer than three rows are trained on. DataError where the rows are too few.
    """
    from sklearn.model_selection import train_test_split
    if N < FEWEST:
        raise DataError(f"got {N} rows, expected at least {FEWEST}, of which some are held back to test with")
    fraction = 0.2 if N < 50000 else 0.1
    rows = np.arange(N)
    always = rows[:0]
    if strata is not None:
        rare = np.isin(strata, np.flatnonzero(np.bincount(strata) < 3))
        rows, always = rows[~rare], rows[rare]
    parts = {}
    for name in ["test"] * tests + ["validation"]:
        classes = None if strata is None else strata[rows]
        size = max(round(fraction * len(rows)), 1 if classes is None else len(np.unique(classes)))
        try:
            rows, parts[name] = train_test_split(rows, test_size=size, random_state=seed, stratify=classes)
        except ValueError:    # too few of a class, or too many classes
            rows, parts[name] = train_test_split(rows, test_size=size, random_state=seed)
    return {"train": np.concatenate([rows, always]), **parts}


# ---- columns -----------------------------------------------------------------------------------------------

def learn(frame: Any, targets: list[str], rows: np.ndarray | None = None,
          y: np.ndarray | None = None) -> Columns:
    """Return what the training rows of a table say of its columns.

    Parameters
    ----------
    frame : DataFrame
    targets : the names of the columns that are predicted
    rows : the numbers of the training rows; by default all
    y : their answers; a column that is the same, or the same in another unit, is warned of

    Returns
    -------
    Columns
        Its ``transform(frame)`` returns the inputs, its ``left_out`` says why columns are not among them. As
        `Sequential.preprocessing` it is saved with a network.

    Raises
    ------
    DataError
        No column is left.
    ImportError
        There is no scikit-learn.
    """
    import_extra("sklearn")
    columns, left_out = [], {}
    for name in frame.columns:
        if name in targets:
            continue
        column = frame[name] if rows is None else frame[name].iloc[rows]
        found = _learned(name, column)
        if isinstance(found, str):
            left_out[str(name)] = found
            continue
        columns.append(found)
        if y is not None and _gives_away(found, column, y):
            warn(f"column {name!r} says what {in_short(targets)} says: is it known when one predicts? Remove "
                 "it if not")
    if not columns:
        why = "".join(f"; {name!r} is left out, {reason}" for name, reason in left_out.items())
        raise DataError(f"got no column to predict from beside {in_short(targets)}, expected at least "
                        f"one{why}")
    return Columns(columns, list(targets), left_out)


def _learned(name, column):
    """Return what is learned of a column, or why it is left out."""
    present = column.dropna()
    if not len(present):
        return "it is empty"
    kind = getattr(column.dtype, "kind", "O")
    if kind in "mM":
        return "it has dates; give numbers, such as the year and the month"
    if kind == "b" or set(present.unique()) <= {True, False} and present.dtype == object:
        counts = present.astype(bool).value_counts()
        return Flag(name, bool(counts.index[0])) if len(counts) > 1 else f"it is {counts.index[0]} everywhere"
    if kind in "iuf":
        return _learned_number(name, column)
    return _learned_category(name, column)


def _learned_number(name, column):
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler
    values = column.to_numpy().astype(np.float64)
    named = column.dtype.kind in "iu" and _ROW_NUMBER.fullmatch(str(name))
    if named and len(np.unique(values)) == len(values):
        return "it numbers the rows"
    missing = ~np.isfinite(values)
    median = 0.0
    if missing.all():
        return "it has no finite number"
    if missing.any():
        imputer = SimpleImputer().set_params(strategy="median").fit(values[~missing, None])
        median = float(imputer.statistics_[0])
        values[missing] = median
    else:
        median = float(np.median(values))
    if values.min() == values.max() and not missing.any():
        return f"it is {values[0]:g} everywhere"
    scaler = StandardScaler(copy=False).fit(values[:, None])
    return Number(str(name), median, float(scaler.mean_[0]), float(scaler.scale_[0]), bool(missing.any()))


def _learned_category(name, column):
    from sklearn.preprocessing import OneHotEncoder
    texts = as_texts(column)
    present = [text for text in texts if text is not MISSING]
    different = len(set(present))
    if different > max(len(present) // 2, 2):
        return f"its {different} texts are nearly all different"
    if different == 1 and len(present) == len(texts):
        return f"it is {present[0]!r} everywhere"
    cells = np.array(texts, object)[:, None]
    encoder = OneHotEncoder(max_categories=CATEGORIES, handle_unknown="infrequent_if_exist").fit(cells)
    rare = encoder.infrequent_categories_[0] if encoder.infrequent_categories_ else None
    rare = set() if rare is None else set(rare)
    return Category(str(name), [value for value in encoder.categories_[0] if value not in rare], bool(rare))


def _gives_away(found, column, y):
    """Return whether a column is the target under other names, or in another unit."""
    if y.ndim > 1:
        return any(_gives_away(found, column, one) for one in y.T)
    if isinstance(found, Number) and y.dtype.kind == "f":
        values = column.to_numpy().astype(np.float64)
        here = np.isfinite(values)
        if here.sum() < 3 or np.ptp(values[here]) == 0 or np.ptp(y[here]) == 0:
            return False
        return abs(np.corrcoef(values[here], y[here])[0, 1]) > 1 - 1e-9
    codes, answers = (import_extra("pandas").factorize(values)[0] for values in (column, y))
    return bool((codes == answers).all())
