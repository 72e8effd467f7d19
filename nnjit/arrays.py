"""The border: what a user gives is checked and cast here, once. Inside, everything is as it should be."""
import numbers

import numpy as np
from scipy import sparse


CACHE_LINE = 64    # bytes


class DataError(ValueError):
    """A file that is missing, damaged, or not what its name says."""


# ---- numbers --------------------------------------------------------------------------------------------------------

def check_count(name, value, least=1):
    """Return ``value`` as an int of at least ``least``; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: got {value!r}, expected a whole number")
    if value < least:
        raise ValueError(f"{name}: got {value}, expected at least {least}")
    return int(value)


def check_real(name, value, low=0.0, high=np.inf, closed="[)"):
    """Return ``value`` as a finite float of the interval from ``low`` to ``high``; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}: got {value!r}, expected a number")
    above = value >= low if closed[0] == "[" else value > low
    below = value <= high if closed[1] == "]" else value < high
    if not (above and below and np.isfinite(value)):
        raise ValueError(f"{name}: got {value}, expected a number in {closed[0]}{low:g}, {high:g}{closed[1]}")
    return float(value)


def check_dtype(dtype):
    """Return ``dtype`` as np.float32 or np.float64's dtype; ValueError otherwise."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found not in (np.float32, np.float64):
        raise ValueError(f"dtype: got {dtype!r}, expected 'float32' or 'float64'")
    return found


# ---- memory ---------------------------------------------------------------------------------------------------------

def aligned(shape, dtype):
    """Return an array of zeros that begins at a cache line, so that no vector of a kernel lies across two."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    first = -memory.ctypes.data % CACHE_LINE
    return memory[first:first + size].view(dtype).reshape(shape)


# ---- inputs ---------------------------------------------------------------------------------------------------------

SPARSE_BELOW = 0.5    # density under which rows are kept without their zeros
_SAMPLE = 1000        # rows looked at to find the density


def check_inputs(X, input_shape, dtype, may_be_sparse=True):
    """Return ``X`` as rows to train on or to predict from: C-contiguous and of ``dtype``, checked.

    Parameters
    ----------
    X : array_like or scipy.sparse matrix, (N, ...)
        Numbers, all finite. It is not modified, and not copied where it can be used as it is.
    input_shape : tuple of int, or None
        The shape of one row; None takes what is given.
    dtype : np.dtype
    may_be_sparse : bool
        Whether rows of numbers with many zeros come back as `SparseRows`.

    Returns
    -------
    ndarray or SparseRows

    Raises
    ------
    TypeError
        X does not consist of real numbers.
    ValueError
        Wrong rank or width, no rows, NaN or infinity, or a number too large for ``dtype``.
    """
    given = _as_array(X)
    if given.dtype.kind not in "buif":
        raise TypeError(f"X: got {type(X).__name__} of {given.dtype}, expected an array of real numbers")
    _check_shape(given, input_shape)
    with np.errstate(over="ignore"):
        cast = given.astype(dtype) if sparse.issparse(given) else np.ascontiguousarray(given, dtype)
    _check_finite(cast.data if sparse.issparse(cast) else cast, given)
    if sparse.issparse(cast):
        return SparseRows(cast) if may_be_sparse else cast.toarray()
    if may_be_sparse and cast.ndim == 2 and _density(cast) < SPARSE_BELOW:
        return SparseRows(cast)
    return cast


def _as_array(X):
    if sparse.issparse(X):
        return X
    try:
        return np.asarray(X)
    except ValueError:
        raise ValueError("X: got rows of different lengths, expected a rectangular array") from None


def _check_shape(X, input_shape):
    expected = "(N, D)" if input_shape is None else f"(N, {', '.join(map(str, input_shape))})"
    wrong = X.ndim < 2 if input_shape is None else X.shape[1:] != tuple(input_shape)
    if wrong or X.ndim == 0:
        hint = "; give one row as X[None]" if X.ndim == 1 else ""
        raise ValueError(f"X: got shape {X.shape}, expected {expected}{hint}")
    if 0 in X.shape:
        raise ValueError(f"X: got shape {X.shape}, expected at least one row and one column")


def _check_finite(cast, given):
    if np.isfinite(cast.sum()) or np.isfinite(cast).all():
        return
    values = given.data if sparse.issparse(given) else given
    if np.isfinite(values).all():
        raise ValueError(f"X: got a number too large for {cast.dtype}, expected at most {np.finfo(cast.dtype).max:.3g}; "
                         "scale the inputs")
    raise ValueError("X: got NaN or infinity, expected finite numbers; fill in or drop what is missing")


def _density(X):
    sample = X[::max(1, len(X) // _SAMPLE)]
    return np.count_nonzero(sample) / sample.size


class SparseRows:
    """Rows of numbers with the zeros left out: a matrix, or a batch of its rows.

    Attributes
    ----------
    shape : (N, D)
    indices, values : (entries,) int32, and the training dtype
        The columns and the values of the matrix's entries, row after row, the columns ascending.
    cuts : (M, BLOCKS + 1) int64
        Where the entries of a row of the matrix begin in each block of columns, and where they end.
    rows : (N,) int64
        The numbers of the rows of the matrix that these are.
    """

    BLOCKS = 8    # of columns; a block of the weight gradient's rows belongs to one thread

    def __init__(self, matrix):
        matrix = sparse.csr_array(matrix)
        if not matrix.has_canonical_format:
            matrix = matrix.copy()
            matrix.sum_duplicates()
        N, D = matrix.shape
        self.shape, self.dtype = (N, D), matrix.dtype
        self.indices, self.values = matrix.indices.astype(np.int32, copy=False), matrix.data
        self.cuts = _cut(matrix, self.BLOCKS)
        self.rows = np.arange(N)
        self._scratch = {}

    def __len__(self):
        return self.rows.size

    def __getitem__(self, rows):
        """Return the batch of these rows (a slice, or an array of numbers); the matrix is shared."""
        batch = object.__new__(SparseRows)
        batch.__dict__.update(self.__dict__)
        batch.rows = self.rows[rows]
        batch.shape = (batch.rows.size, self.shape[1])
        return batch

    def scratch(self):
        """Return the arrays in which the batch is listed by columns: (D,) ends, and a row and a value per entry."""
        N = self.rows.size
        if N not in self._scratch:
            per_row = np.sort(self.cuts[:, -1] - self.cuts[:, 0])
            most = int(per_row[-N:].sum())
            self._scratch[N] = (np.empty(self.shape[1], np.int64), np.empty(most, np.int32),
                                np.empty(most, self.dtype))
        return self._scratch[N]


def _cut(matrix, blocks):
    """Return where each block of columns begins in each row: the ``cuts`` of `SparseRows`."""
    N, D = matrix.shape
    block = matrix.indices // -(-D // blocks)
    row = np.repeat(np.arange(N), np.diff(matrix.indptr))
    in_block = np.bincount(row * blocks + block, minlength=N * blocks).reshape(N, blocks)
    cuts = np.empty((N, blocks + 1), np.int64)
    cuts[:, 0] = matrix.indptr[:-1]
    cuts[:, 1:] = cuts[:, :1] + np.cumsum(in_block, axis=1)
    return cuts


# ---- targets and weights --------------------------------------------------------------------------------------------

def check_length(name, values, N):
    """Raise ValueError unless ``values`` has a row for each of the N rows of X."""
    if np.ndim(values) == 0 or len(values) != N:
        raise ValueError(f"{name}: got shape {np.shape(values)}, expected {N} rows, as many as X has")


def check_labels(y, classes):
    """Return ``y``, (N,) class numbers of any integral or whole floating values, as int64 in 0 .. classes - 1."""
    y = np.asarray(y)
    if y.dtype.kind not in "buif":
        raise TypeError(f"y: got {y.dtype}, expected class numbers 0 .. {classes - 1}")
    if y.dtype.kind == "f" and not (np.isfinite(y).all() and (y == np.floor(y)).all()):
        raise ValueError(f"y: got {y[~(np.isfinite(y) & (y == np.floor(y)))][0]}, expected whole class numbers "
                         f"0 .. {classes - 1}")
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(f"y: got labels {y.min():g} .. {y.max():g}, expected 0 .. {classes - 1}, one for each of the "
                         f"{classes} units of the last layer")
    return y.astype(np.int64)


def check_weights(sample_weight, N, dtype):
    """Return ``sample_weight`` as (N,) of ``dtype``, ones for None; at least 0 and not all 0, ValueError otherwise."""
    if sample_weight is None:
        return np.ones(N, dtype)
    check_length("sample_weight", sample_weight, N)
    w = np.asarray(sample_weight)
    if w.dtype.kind not in "buif":
        raise TypeError(f"sample_weight: got {w.dtype}, expected real numbers")
    w = np.ascontiguousarray(w, dtype)
    if w.shape != (N,):
        raise ValueError(f"sample_weight: got shape {w.shape}, expected ({N},)")
    if not np.isfinite(w).all() or w.min() < 0:
        raise ValueError("sample_weight: got a negative number, NaN or infinity, expected finite numbers from 0 on")
    if w.max() == 0:
        raise ValueError("sample_weight: got zeros alone, expected at least one positive weight")
    return w
