"""Checks of targets: what a head or a loss takes for y, and an explanation of each mistake.

Every function takes the array's ``name`` for its messages, and raises TypeError where it holds no real
numbers and ValueError where their shape or their values are not as they should be.
"""
import numpy as np

from .checks import as_array, as_numbers, cast, check_length, shown

_MANY_CLASSES = 10_000    # a class number from here on is taken for a mistake, unless there are as many


def as_numeric(name, y, N=None, answers="classes"):
    """Return ``y`` as an array of real numbers; with ``N`` rows, where that is given.

    What a message recommends for text depends on what the ``answers`` are: "classes", "ranks", "yes or no",
    "numbers", or of an estimator "regression".
    """
    try:
        y = as_numbers(name, y)
    except TypeError:
        words = words_of(name, y)
        if not words:
            raise
        raise TypeError(f"{name}: got text, such as {shown(words[0])}, expected numbers; "
                        f"{_as_number(name, words, answers)}") from None
    if N is not None:
        check_length(name, y, N)
    if y.dtype.char in "?e":    # a float16 can't be compared with what is larger than it holds
        return y.astype(np.uint8 if y.dtype.kind == "b" else np.float64)
    return y


# ---- text --------------------------------------------------------------------------------------------------

def words_of(name, y) -> list[str]:
    """Return the different words of an array of text, sorted; of anything else an empty list.

    ValueError where some of the text is missing.
    """
    y = _as_text(name, y)
    return [] if y is None else sorted(set(y.ravel().tolist()))


def numbered(name, y, classes) -> np.ndarray:
    """Return text as the numbers that ``classes`` (a list of names, or None) give it; other targets as they
    are.

    ValueError for a word that is none of the names.
    """
    text = None if classes is None else _as_text(name, y)
    if text is None:
        return y
    number = {word: k for k, word in enumerate(classes)}
    words, places = np.unique(text, return_inverse=True)
    unknown = [word for word in words.tolist() if word not in number]
    if unknown:
        raise ValueError(f"{name}: got the class {shown(unknown[0])}, expected one of {in_short(classes)}")
    return np.array([number[word] for word in words.tolist()])[places.reshape(text.shape)]


def in_short(names, most: int = 8) -> str:
    """Return names, quoted, with commas; of many the first."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


def check_names(name, classes) -> list[str] | None:
    """Return the names of classes as a list, None for None; TypeError or ValueError where they are none."""
    if classes is None:
        return None
    some = isinstance(classes, (list, tuple, np.ndarray))
    if not some or not all(isinstance(word, str) for word in classes):
        raise TypeError(f"{name}: got {shown(classes)}, expected the classes' names, such as ['no', 'yes']")
    names = list(map(str, classes))
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"{name}: got {shown(names)}, expected at least 2 different names")
    return names


def _as_text(name, y):
    """Return an array of text as such, and None for anything else."""
    given, y = y, as_array(name, y)
    if y.dtype.kind == "U" and isinstance(given, (list, tuple)):
        y = np.array(given, object)    # in which None and NaN are not yet text
    elif y.dtype.kind == "U":
        return y
    if y.dtype.kind not in "SO" or y.size == 0:
        return None
    flat = [word.decode(errors="replace") if isinstance(word, bytes) else word for word in y.ravel().tolist()]
    text = [isinstance(word, str) for word in flat]
    if not any(text):
        return None
    if not all(text):
        row = text.index(False)
        raise ValueError(f"{name}: got text and {shown(flat[row])} (number {row}), expected text for every "
                         "row; fill in or drop what is missing")
    return np.array(flat).reshape(y.shape)


def _as_number(name, words, answers):
    """Return how to make numbers of words."""
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = None
    if answers in ("numbers", "regression"):
        taker = "Categorical(), with a unit for each," if answers == "numbers" else "a classifier,"
        return (f"give np.asarray({name}).astype(float)" if values is not None else
                f"for classes use {taker} which takes text")
    if values is not None and sorted(values) == list(range(len(values))):
        return f"give np.asarray({name}).astype(int)"
    if answers == "yes or no" and len(words) == 2:
        return f"give {name} == {shown(words[1])}"
    if answers == "ranks" and values is None:
        return f"give them in their order, such as Ordinal(classes={_some(words[::-1])})"
    if answers == "yes or no":
        return _number_them(name)
    return f"{_number_them(name)}, or name them, Categorical(classes={_some(words)})"


def _some(words):
    """Return a list of few words as it is written, and the beginning of that of many."""
    more = ", ..." if len(words) > 8 else ""
    return f"[{', '.join(map(shown, words[:3] if more else words))}{more}]"


def _number_them(name):
    return f"number the classes with np.unique({name}, return_inverse=True)[1]"


def as_columns(name, y, units):
    """Return the numbers ``y`` as (N, units): from (N,) for one unit, from (N, units) for several."""
    if y.ndim == 1 and units == 1:
        return y[:, None]
    if y.ndim == 2 and y.shape[1] == units > 1:
        return y
    N = len(y)
    if units > 1:
        raise ValueError(f"{name}: got shape {y.shape}, expected ({N}, {units}), a number for each of "
                         f"{units} units")
    if y.shape == (N, 1):
        raise ValueError(f"{name}: got shape ({N}, 1), expected ({N},), as a single unit's predictions have "
                         f"it, whose difference from a column would be {N} by {N}; give {name}[:, 0]")
    raise ValueError(f"{name}: got shape {y.shape}, expected ({N},) for the single unit of the last layer; "
                     "for K numbers a row it takes K units")


def as_finite(name, y, dtype, most=np.inf):
    """Return ``y`` as ``dtype``, all finite and at most ``most``."""
    rows = cast(y, dtype)
    if (np.abs(rows) <= min(most, np.finfo(rows.dtype).max)).all():
        return rows
    if np.isfinite(y).all():
        raise ValueError(f"{name}: got a number too large for {rows.dtype}, expected at most "
                         f"{min(most, np.finfo(rows.dtype).max):.3g}; scale the targets")
    raise ValueError(f"{name}: got NaN or infinity, expected finite numbers; fill in or drop what is missing")


def check_non_negative(name, y, most=np.inf):
    """Check that no number of ``y`` is below 0, or finite and above ``most``."""
    if ((y > most) & np.isfinite(y)).any():
        raise ValueError(f"{name}: got {y.max():g}, expected counts up to {most:.2g}; scale the targets")
    if y.min() < 0:
        raise ValueError(f"{name}: got {y.min():g}, expected non-negative counts; numbers of either sign are "
                         "for Gaussian() (squared error)")


def check_binary(name, y):
    """Check that ``y`` answers questions of yes or no: 0 and 1, or probabilities between them."""
    if ((y >= 0) & (y <= 1)).all():
        return
    if not np.isfinite(y).all():
        raise ValueError(f"{name}: got NaN or infinity, expected 0 and 1; fill in or drop what is missing")
    if np.isin(y, (-1, 1)).all():
        raise ValueError(f"{name}: got labels -1 and 1, expected 0 and 1; give {name} > 0")
    if np.isin(y, (1, 2)).all():
        raise ValueError(f"{name}: got labels 1 and 2, expected 0 and 1; give {name} - 1")
    if (y == np.floor(y)).all() and y.min() >= 0:
        raise ValueError(f"{name}: got labels {y.min():g} .. {y.max():g}, expected 0 and 1, the answer to a "
                         f"question; for one of {_count(y.max())} classes use Categorical() (softmax) and a "
                         "unit for each")
    bad = y[(y < 0) | (y > 1)].flat[0]
    raise ValueError(f"{name}: got {bad:g}, expected 0 and 1, or probabilities between them")


def as_labels(name, y, classes, more):
    """Return the class numbers ``y`` (N,), integers or whole floats, as int64 in 0 .. classes - 1.

    ``more`` says, with the number of classes in place of ``{}``, how to make room for more.
    """
    expected = f"expected class numbers 0 .. {classes - 1}"
    if not np.isfinite(y).all():
        raise ValueError(f"{name}: got NaN or infinity, {expected}; fill in or drop what is missing")
    whole = y == np.floor(y)
    if not whole.all():
        raise ValueError(f"{name}: got {y[~whole].flat[0]:g}, {expected}; numbers that are not whole are for "
                         "Gaussian() (squared error)")
    low, high = y.min(), y.max()
    got = f"{name}: got labels {_label(low)} .. {_label(high)}, {expected}"
    room = f"for {_count(high)} classes {more.format(_count(high))}"
    if low >= 1 and high == classes:
        raise ValueError(f"{got}: the first class is 0; if the labels begin at 1, give {name} - 1; {room}")
    if low < 0:
        raise ValueError(f"{got}; {_number_them(name)}")
    if high >= classes and high >= _MANY_CLASSES:
        raise ValueError(f"{got}; {_number_them(name)}")
    if high >= classes >= len(np.unique(y)):
        raise ValueError(f"{got}; {_number_them(name)}; {room}")
    if high >= classes:
        raise ValueError(f"{got}; {room}")
    return y.astype(np.int64)


def _label(number) -> str:
    """Return a whole number as a message shows it."""
    return str(int(number)) if abs(float(number)) < 1e15 else f"{float(number):g}"


def _count(highest) -> str:
    """Return how many classes there are up to this number."""
    return str(int(highest) + 1) if highest < 1e15 else f"{float(highest):g}"


def count_classes(name, y, answers="classes"):
    """Return how many classes the class numbers ``y`` have; they begin at 0."""
    y = as_numeric(name, y, answers=answers)
    if y.ndim != 1 or y.size == 0:
        raise ValueError(f"{name}: got shape {y.shape}, expected class numbers (N,)")
    highest = y[np.isfinite(y)].max(initial=1)
    if highest >= _MANY_CLASSES > len(np.unique(y)):
        raise ValueError(f"{name}: got labels up to {_label(highest)}, expected class numbers from 0 on, "
                         f"without large gaps; {_number_them(name)}")
    classes = int(highest) + 1
    as_labels(name, y, classes, "")
    if y.min() > 0:
        raise ValueError(f"{name}: got labels {y.min():g} .. {y.max():g}, expected the first class to be 0; "
                         f"give {name} - {y.min():g}, or the number of classes where the first are absent "
                         "here")
    return classes


def check_distributions(name, y):
    """Check that every row of ``y`` (..., K) is a probability distribution: non-negative, with the sum 1."""
    sums = y.sum(axis=-1)
    if np.isfinite(y).all() and y.min() >= 0 and np.allclose(sums, 1, rtol=0, atol=1e-4):
        return
    if np.isin(y, (0, 1)).all():
        bad = sums[~np.isclose(sums, 1)].flat[0]
        raise ValueError(f"{name}: got a row of 0 and 1 with {bad:g} ones, expected one class a row, or "
                         "probabilities with the sum 1; for any number of labels a row use Bernoulli() "
                         "(binary cross-entropy)")
    raise ValueError(f"{name}: got rows that are no probabilities, expected non-negative numbers with the "
                     "sum 1 in each")


def one_hot(y, K, dtype):
    """Return the class numbers ``y`` (N,) as rows (N, K) with a 1 at the class."""
    rows = np.zeros((len(y), K), dtype)
    rows[np.arange(len(y)), y] = 1
    return rows
