"""The checks of single values, arrays and weights. Each message says what was got and what is expected."""
import math
import numbers
import reprlib
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import scipy.sparse
from numpy.typing import DTypeLike

from ..kernels.sparse import format as kernel
from .threads import chunks, map_in_threads

LARGEST_WEIGHT = 1e15        # of a class: with it the losses of float32 stay finite
_LARGE_EXPONENT = 32         # of two, from which on weights are brought near 1
_PARALLEL_NUMBERS = 2**22    # numbers of an array from which on threads pay


class DataError(ValueError):
    """A file that is missing, damaged, or not what its name says."""


# ---- single values -----------------------------------------------------------------------------------------

_NO_NUMBERS = bool, np.timedelta64    # though they are for Python, or for NumPy
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


def shown(value: object) -> str:
    """Return what was given as a message shows it: in a line, shortened where it is long."""
    if isinstance(value, int) and abs(value) >= 10**20:
        digits = math.ceil(value.bit_length() * math.log10(2))
        return f"a whole number {'below 0 ' * (value < 0)}of about {digits} digits"
    text = str(value) if isinstance(value, numbers.Real) else _SHORT.repr(value)
    return " ".join(text.split())


def check_count(name: str, value: Any, least: int = 1, most: int = 2**63 - 1) -> int:
    """Return ``value`` as an int from ``least`` to ``most``; TypeError or ValueError otherwise."""
    if isinstance(value, _NO_NUMBERS) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: got {shown(value)}, expected a whole number")
    count = int(value)
    if not least <= count <= most:
        expected = f"at least {least}" if count < least else f"at most {most:,}" if most < 2**62 else \
            "less than 2**63"
        raise ValueError(f"{name}: got {shown(value)}, expected {expected}")
    return count


def check_real(name: str, value: Any, low: float = 0.0, high: float = np.inf, closed: str = "[)") -> float:
    """Return ``value`` as a finite float between ``low`` and ``high``; TypeError or ValueError otherwise."""
    if isinstance(value, _NO_NUMBERS) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: got {shown(value)}, expected a number")
    try:
        number = float(value)    # in which more may be infinite, or 0
    except OverflowError:
        number = math.inf
    above = number >= low if closed[0] == "[" else number > low
    below = number <= high if closed[1] == "]" else number < high
    if not (above and below and math.isfinite(number)):
        raise ValueError(f"{name}: got {shown(value)}, expected a number in {closed[0]}{low:g}, "
                         f"{high:g}{closed[1]}")
    return number


def check_reals(name: str, values: Any, low: float = 0.0, high: float = np.inf, closed: str = "[)",
                each: str = "unit") -> float | list[float]:
    """Return a number as `check_real` does, or a number for ``each`` of several, (K,), as a list."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
        return check_real(name, values, low, high, closed)
    found = as_numbers(name, values)
    if found.ndim != 1:
        raise ValueError(f"{name}: got shape {found.shape}, expected a number for each {each}")
    return [check_real(name, number, low, high, closed) for number in found.astype(float).tolist()]


def check_sparse(sparse: bool | str, possible: bool = True) -> bool | str:
    """Return ``sparse``: "auto", True or False; ValueError for others, and for True unless ``possible``."""
    if not isinstance(sparse, (bool, str)) or isinstance(sparse, str) and sparse != "auto":
        raise ValueError(f"sparse: got {shown(sparse)}, expected 'auto', True or False")
    if sparse is True and not possible:
        raise ValueError("sparse: got True, expected 'auto' or False, because the first layer is not Dense")
    return sparse if possible else False


def check_dtype(dtype: Any) -> np.dtype:
    """Return ``dtype`` as np.float32 or np.float64's dtype; ValueError otherwise."""
    try:
        found = np.dtype(dtype) if dtype is not None else None
    except TypeError:
        found = None
    if found not in (np.float32, np.float64):
        raise ValueError(f"dtype: got {shown(dtype)}, expected 'float32' or 'float64'")
    return found


# ---- arrays ------------------------------------------------------------------------------------------------

def as_numbers(name: str, values: Any) -> np.ndarray:
    """Return ``values`` as a C-contiguous array of real numbers.

    Numbers of more digits than float64 has are rounded to it. TypeError for other kinds and for masked
    arrays, ValueError for rows of different lengths, and for numbers too large for float64.
    """
    refuse_masked(name, values)
    given, values = values, as_array(name, values)
    if values.dtype.kind not in "buif":
        got = columns_without_numbers(given) or _kind(given, values)
        raise TypeError(f"{name}: got {got}, expected an array of real numbers{_hint(name, values)}")
    if values.dtype.char == "g":
        values = narrowed(name, values, np.dtype(np.float64))
    if values.flags.writeable:
        return values
    # kernels would be compiled anew for a read-only array
    return _as_writable(values) if is_map(values) else values.copy()


def narrowed(name: str, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return numbers in ``dtype``; ValueError where one is finite, and too large for that."""
    found = cast(values, dtype).reshape(values.shape)    # a number alone stays one
    if np.isfinite(values[np.isinf(found)]).any():
        raise ValueError(f"{name}: got a number too large for {dtype}, expected at most "
                         f"{np.finfo(dtype).max:.3g}; scale the numbers")
    return found


def as_array(name: str, values: Any) -> np.ndarray:
    """Return ``values`` as a C-contiguous array of any dtype; TypeError or ValueError where they give none.
    """
    if scipy.sparse.issparse(values):
        raise TypeError(f"{name}: got a {values.format} matrix of scipy.sparse, expected an array; give "
                        f"{name}.toarray()")
    try:
        found = np.asarray(values, order="C")
        return found if found.dtype.kind != "O" else _with_missing(values, found)
    except ValueError:
        raise ValueError(f"{name}: got rows of different lengths, expected a rectangular array") from None
    except Exception as error:    # of what turns itself into an array
        why = " ".join(str(error).split())[:100]
        got = columns_without_numbers(values) or f"{type(values).__name__} that gives no array ({why})"
        raise TypeError(f"{name}: got {got}, expected an array of real numbers") from None


def _with_missing(given, values):
    """Return a data frame or series of numbers of which some may be missing, NaN then, as an array; anything
    else as ``values`` are.
    """
    if not hasattr(given, "to_numpy") or columns_without_numbers(given):
        return values
    if getattr(getattr(given, "dtype", None), "kind", "f") not in "buif":
        return values
    return np.ascontiguousarray(given.to_numpy(dtype=np.float64, na_value=np.nan))


def _kind(given, values):
    """Return what an array holds, in words."""
    if values.ndim == 0 and values.dtype.kind == "O":
        return type(given).__name__
    return "text" if values.dtype.kind in "US" else shown(str(values.dtype)).strip("'")


def _hint(name, values):
    """Return what to do where an array of objects or of text holds numbers."""
    if values.dtype.kind not in "OUS" or not values.ndim:
        return ""
    try:
        numeric = np.isfinite(values.ravel()[:1000].astype(float)).any()
    except (TypeError, ValueError, OverflowError):
        numeric = False
    return f"; give np.asarray({name}).astype(float)" if numeric else ""


def columns_without_numbers(frame: Any, holds_some: Callable[[Any], bool] | None = None) -> str:
    """Return which columns of a data frame hold no numbers, in words; of anything else "".

    They are told by their dtypes; ``holds_some`` is asked about a column whose dtype is none of numbers.
    """
    columns, kinds = getattr(frame, "columns", None), getattr(frame, "dtypes", None)
    if columns is None or kinds is None:
        return ""
    names = [str(name) for name, kind in zip(columns, kinds)
             if not (_is_of_numbers(kind) or holds_some and holds_some(frame[name]))]
    more = "" if len(names) <= 5 else f" and {len(names) - 5} more"
    return f"columns without numbers, {', '.join(map(shown, names[:5]))}{more}" if names else ""


def _is_of_numbers(kind):
    """Return whether the dtype of a column is one of numbers: NumPy's, pandas', or polars'."""
    if hasattr(kind, "kind"):
        return kind.kind in "buif"
    return str(kind) == "Boolean" or hasattr(kind, "is_numeric") and kind.is_numeric()


def is_map(values: Any) -> bool:
    """Return whether an array is a file's content, mapped into memory."""
    while isinstance(values, np.ndarray):
        if isinstance(values, np.memmap):
            return True
        values = values.base
    return isinstance(getattr(values, "mapped", None), np.ndarray)


class _Memory:
    """The memory of a mapped file, of which an array is made as kernels take them: they only read it."""

    def __init__(self, mapped):
        self.mapped = mapped    # stays mapped as long as the array is there
        self.__array_interface__ = {**mapped.__array_interface__, "data": (mapped.ctypes.data, False)}


def _as_writable(mapped):
    return np.asarray(_Memory(mapped))


def refuse_masked(name: str, values: Any) -> None:
    """Raise TypeError for a masked array, or a list of some: plain arrays show what is masked."""
    parts = values if isinstance(values, (list, tuple)) else ()
    if isinstance(values, np.ma.MaskedArray) or any(isinstance(part, np.ma.MaskedArray) for part in parts):
        raise TypeError(f"{name}: got a masked array, expected plain numbers; fill it, {name}.filled(0), "
                        "and drop the masked rows or give them the weight 0")


def cast(values: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Return ``values`` C-contiguous and in ``dtype``; what is too large becomes infinite."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype)


def check_finite(X: np.ndarray, dtype: np.dtype) -> None:
    """Raise ValueError where a number of an array is not finite in ``dtype``."""
    if X.dtype.kind != "f":
        return
    values, like = X.reshape(-1), np.empty(0, dtype)
    parts = chunks(values.size) if values.size > _PARALLEL_NUMBERS else [slice(0, values.size)]
    if any(map_in_threads(lambda part: kernel.has_nonfinite(values, part.start, part.stop, like), parts)):
        raise_nonfinite(X, dtype)


def raise_nonfinite(given: Any, dtype: np.dtype) -> NoReturn:
    """Raise the ValueError for rows, an array or a scipy.sparse matrix, that are not finite in ``dtype``."""
    values = given.data if scipy.sparse.issparse(given) else given
    if np.isfinite(values).all():
        raise ValueError(f"X: got a number too large for {dtype}, expected at most "
                         f"{np.finfo(dtype).max:.3g}; scale the inputs")
    raise ValueError("X: got NaN or infinity, expected finite numbers; fill in or drop what is missing")


# ---- lengths and weights -----------------------------------------------------------------------------------

def check_length(name: str, values: Any, N: int) -> None:
    """Raise ValueError unless ``values`` has a row for each of the N rows of X."""
    if isinstance(values, (list, tuple)) and len(values) == N:
        return
    shape = getattr(values, "shape", None)
    shape = as_array(name, values).shape if shape is None else shape
    if not shape or shape[0] != N:
        raise ValueError(f"{name}: got shape {shape}, expected {N} rows, as many as X has")


def check_weights(sample_weight: Any, N: int, dtype: np.dtype, some_positive: bool = True) -> np.ndarray:
    """Return ``sample_weight`` as (N,) of ``dtype``, ones for None.

    Only their ratios count: where they are all weights, very large or small ones are multiplied by a power of
    two. ValueError unless all are non-negative and, where that is asked for, some positive.
    """
    if sample_weight is None:
        return np.ones(N, dtype)
    w = as_numbers("sample_weight", sample_weight)
    check_length("sample_weight", w, N)
    if w.ndim != 1:
        raise ValueError(f"sample_weight: got shape {w.shape}, expected ({N},)")
    if not np.isfinite(w).all() or w.min() < 0:
        bad = w[~((w >= 0) & np.isfinite(w))][0]
        raise ValueError(f"sample_weight: got {bad}, expected finite non-negative numbers")
    if some_positive and w.max() == 0:
        raise ValueError("sample_weight: got only zeros, expected at least one positive weight")
    if some_positive:
        w = near_one(w)
    elif w.dtype.kind == "f" and float(w.max()) >= 2.0**_LARGE_EXPONENT:
        raise ValueError(f"sample_weight: got {w.max():g} in a block, expected at most 2**{_LARGE_EXPONENT}; "
                         "only their ratios count")
    return cast(w, dtype)


def near_one(w: np.ndarray) -> np.ndarray:
    """Return non-negative weights, multiplied by a power of two where the largest is very large or small."""
    exponent = np.frexp(w.max())[1] if w.dtype.kind == "f" else 0
    return np.ldexp(w, -exponent) if abs(exponent) > _LARGE_EXPONENT else w
