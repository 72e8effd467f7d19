"""The border: what a user gives is checked and cast here, once. Inside, everything is as it should be."""
import itertools
import numbers
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse

from ._numba.threads import get_threads
from .kernels.sparse import format as kernel

CACHE_LINE = 64    # bytes


class DataError(ValueError):
    """A file that is missing, damaged, or not what its name says."""


# ---- numbers --------------------------------------------------------------------------------------------------------

def check_count(name, value, least=1):
    """Return ``value`` as an int from ``least`` to 2^63 - 1; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name}: got {value!r}, expected a whole number")
    if not least <= value < 2**63:
        raise ValueError(f"{name}: got {value}, expected {'at least ' + str(least) if value < least else 'less than 2**63'}")
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


def check_sparse(sparse, possible=True):
    """Return ``sparse``: "auto", True or False; ValueError for others, or for True where it is not ``possible``."""
    if sparse is not True and sparse is not False and sparse != "auto":
        raise ValueError(f"sparse: got {sparse!r}, expected 'auto', True or False")
    if sparse is True and not possible:
        raise ValueError("sparse: got True, expected 'auto' or False, because the first layer is not Dense")
    return sparse if possible else False


def check_dtype(dtype):
    """Return ``dtype`` as np.float32 or np.float64's dtype; ValueError otherwise."""
    try:
        found = np.dtype(dtype) if dtype is not None else None
    except TypeError:
        found = None
    if found not in (np.float32, np.float64):
        raise ValueError(f"dtype: got {dtype!r}, expected 'float32' or 'float64'")
    return found


# ---- memory ---------------------------------------------------------------------------------------------------------

def aligned(shape, dtype):
    """Return an array of zeros that begins at a cache line, so that no vector of a kernel lies across two.

    Small arrays begin anywhere: finding the line would take longer than it saves.
    """
    array = np.zeros(shape, dtype)
    if array.nbytes < 64 * CACHE_LINE:
        return array
    memory = np.zeros(array.nbytes + CACHE_LINE, np.uint8)
    first = -memory.ctypes.data % CACHE_LINE
    return memory[first:first + array.nbytes].view(dtype).reshape(shape)


def padded_shape(shape, dtype):
    """Return the shape with which a matrix is stored: rows of whole cache lines, unless they are shorter than half of one.

    From eight lines on their number is odd: the same column of many rows would else compete for few places of the cache.
    """
    line = CACHE_LINE // np.dtype(dtype).itemsize
    if len(shape) != 2 or 2 * shape[1] < line:
        return shape
    lines = -(-shape[1] // line)
    return shape[0], (lines + (lines >= 8 and lines % 2 == 0)) * line


def as_numbers(name, values):
    """Return ``values`` as an array of real numbers; TypeError for other kinds, ValueError for rows of different lengths."""
    try:
        values = np.asarray(values, order="C")
    except ValueError:
        raise ValueError(f"{name}: got rows of different lengths, expected a rectangular array") from None
    if values.dtype.kind not in "buif":
        raise TypeError(f"{name}: got {values.dtype}, expected an array of real numbers")
    return values if values.flags.writeable else values.copy()    # kernels would be compiled anew for a read-only array


def cast(values, dtype):
    """Return ``values`` C-contiguous and in ``dtype``; what is too large becomes infinite."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype)


def _parts(N):
    """Return slices that share out N things, as many as there are threads at most."""
    count = min(N, get_threads())
    return [slice(k * N // count, (k + 1) * N // count) for k in range(count)]


def _at_once(function, *arguments):
    """Return what ``function`` returns for every item of the lists, each in a thread: kernels let others run."""
    if len(arguments[0]) == 1:
        return list(map(function, *arguments))
    with ThreadPoolExecutor(len(arguments[0])) as threads:
        return list(threads.map(function, *arguments))


# ---- inputs ---------------------------------------------------------------------------------------------------------

SPARSE_BELOW = 0.55   # density under which the zeros are left out, and that takes less time than dense products
_SAMPLE = 250         # rows looked at to find the density
_UNEVEN = 0.6         # of the entries, which are too many for one of two sides
FEW = 8              # rows that pass in the same way whatever their density
_SORTED_ABOVE = 832   # bytes of a row of delta, for which a batch's entries are sorted by column
_MANY = 2**22         # numbers that are worth threads
_VERY_MANY = 2**31    # numbers, of which those that are not 0 are counted before there is room made for them
_UNKNOWN = "?eg"      # bool, half and long double, by their characters: dtypes that no kernel knows


def check_inputs(X, input_shape, dtype, sparse="auto", takes_bytes=False, back=True, once=False):
    """Return ``X`` as rows for a network: checked, and cast, here or batch by batch.

    Parameters
    ----------
    X : array_like or scipy.sparse matrix, (N, ...)
        Numbers, all finite. It is not modified, and not copied where it can be used as it is. Images of bytes, uint8 and of
        three dimensions or more, stand for 0 ... 1: they are divided by 255. Flat rows of bytes are numbers as they are.
    input_shape : tuple of int, or None
        The shape of one row; None takes what is given.
    dtype : np.dtype
    sparse : "auto", True or False
        Whether zeros are left out; "auto" does so where most numbers are 0.
    takes_bytes : bool
        Whether the first layer divides images of bytes itself, batch by batch: they are then left as they are.
    back : bool
        Whether the rows are trained on, or go down alone.
    once : bool
        Whether each comes once, or again and again. The zeros of an array are then left out when their turn comes; in rows
        that go down alone, numbers that are not finite are found there, too (`PassingRows.check`). A matrix that goes back is
        taken as ever.

    Returns
    -------
    ndarray, PassingRows, PickedRows or SparseRows

    Raises
    ------
    TypeError
        X does not consist of real numbers.
    ValueError
        Wrong rank or width, no rows, NaN or infinity, or a number too large for ``dtype``.
    """
    given = check_array(X, input_shape)
    passing = once and isinstance(given, np.ndarray)
    if passing and not back and sparse == "auto" and given.ndim == 2 and len(given) <= FEW:
        return PassingRows(given)
    if given.dtype == np.uint8 and given.ndim > 2:
        return given if takes_bytes else cast(given, dtype) / dtype.type(255)
    if sparse is False and scipy.sparse.issparse(given):
        given = given.toarray()
    if not _leave_out_zeros(given, sparse):
        _check_finite(given, dtype)
        return cast(given, dtype)
    if passing and not back:
        return PassingRows(given)
    if passing:
        _check_finite(given, dtype)
        return PickedRows(given, dtype)
    rows = SparseRows(given, dtype, "back" if back else "once" if once else "down")
    if not rows.finite:
        _refuse(given, dtype)
    return rows


def check_array(X, input_shape):
    """Return X as a scipy.sparse matrix or a C-contiguous array of real numbers and of the right shape."""
    if isinstance(X, np.ndarray) or not scipy.sparse.issparse(X):
        X = as_numbers("X", X)
    elif X.dtype.kind not in "buif":
        raise TypeError(f"X: got {X.dtype}, expected an array of real numbers")
    wrong = X.ndim < 2 if input_shape is None else X.shape[1:] != input_shape
    if wrong or X.ndim == 0:
        expected = "(N, D)" if input_shape is None else f"(N, {', '.join(map(str, input_shape))})"
        hint = "; give one row as X[None]" if X.ndim == 1 else ""
        raise ValueError(f"X: got shape {X.shape}, expected {expected}{hint}")
    if 0 in X.shape:
        raise ValueError(f"X: got shape {X.shape}, expected at least one row and one column")
    return X if X.dtype.isnative and X.dtype.char not in _UNKNOWN else X.astype(np.float64)


def _check_finite(X, dtype):
    """Raise ValueError where a number of an array is not finite in ``dtype``."""
    if X.dtype.kind != "f":
        return
    values, like = X.reshape(-1), np.empty(0, dtype)
    parts = _parts(values.size) if values.size > _MANY else [slice(0, values.size)]
    if any(_at_once(lambda part: kernel.has_nonfinite(values, part.start, part.stop, like), parts)):
        _refuse(X, dtype)


def _refuse(given, dtype):
    """Raise the ValueError for rows that are not finite in ``dtype``."""
    values = given.data if scipy.sparse.issparse(given) else given
    if np.isfinite(values).all():
        raise ValueError(f"X: got a number too large for {dtype}, expected at most {np.finfo(dtype).max:.3g}; "
                         "scale the inputs")
    raise ValueError("X: got NaN or infinity, expected finite numbers; fill in or drop what is missing")


def _leave_out_zeros(X, sparse):
    if scipy.sparse.issparse(X) or sparse is True:
        return True
    if sparse is False or X.ndim != 2:
        return False
    sample = _sample(X)
    return np.count_nonzero(sample) < SPARSE_BELOW * sample.size


def _sample(rows):
    """Return some of the rows from everywhere."""
    return rows[::max(1, len(rows) // _SAMPLE)]


def _middle(entries):
    """Return at which block the second side begins, as `kernels.sparse` has it; 0 where one side would have most entries.

    ``entries`` says how many each block has.
    """
    before = np.cumsum(entries)[:-1] / max(1, entries.sum())
    if not before.size or abs(before - 0.5).min() > _UNEVEN - 0.5:
        return 0
    return 1 + int(abs(before - 0.5).argmin())


class PassingRows:
    """Rows as the user gave them, of any dtype, whose zeros are left out while they go through the first layer."""

    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        return PassingRows(self.X[rows])

    def check(self, unsound, dtype):
        """Raise ValueError where the first layer found numbers that are not finite in ``dtype``."""
        if unsound:
            _refuse(self.X, dtype)


class PickedRows:
    """Rows as the user gave them, of any dtype; a batch of them is a `Panel`, for which their zeros are left out."""

    def __init__(self, X, dtype):
        self.X = X
        columns = np.count_nonzero(_sample(X), axis=0)
        width = kernel.block_width(X.shape[1])
        self._panels = _Panels(X.shape[1], X.shape[1], dtype, _middle(np.add.reduceat(columns, range(0, columns.size, width))))

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        """Return the panel of these rows, a slice or numbers, in arrays that are used again."""
        rows = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows
        panel = self._panels.of(len(rows))
        kernel.compress_rows(self.X, rows, panel.middle, *panel.arrays)
        return panel


class SparseRows:
    """Rows of numbers with the zeros left out: a matrix, as `kernels.sparse` has it, of which batches are panels.

    Attributes
    ----------
    shape : (N, D)
    cuts : (N, blocks + 1) int64
    indices, values : (room,) uint16 or, if there are more columns, int32; and the training dtype
    finite : bool
        Whether all values are.
    """

    def __init__(self, matrix, dtype, way="back"):
        """Take a scipy.sparse matrix, or a C-contiguous array of real numbers, any dtype; the values become ``dtype``.

        On the ``way`` down the panels have no transpose; those of rows that go it once lie in the matrix, as its rows do.
        """
        N, D = self.shape = matrix.shape
        self.dtype, self._way = dtype, way
        self.cuts = np.empty((N, -(-D // kernel.block_width(D)) + 1), np.int64)
        if scipy.sparse.issparse(matrix):
            self._take(matrix)
        else:
            self._compress(matrix)
        self._entries = self.cuts[:, -1] - self.cuts[:, 0]    # of every row
        middle = _middle(np.diff(_sample(self.cuts), axis=1).sum(axis=0)) if way == "back" else 0
        self._panels = _Panels(D, int(self._entries.max()), dtype, middle)

    def _compress(self, X):
        """Take the rows in as many parts as there are threads.

        A part has room for all its numbers, so that it is read once: memory that is never written to is never taken.
        """
        parts = _parts(len(X))
        rooms = [kernel.SLACK + (np.size(X[part]) if X.size < _VERY_MANY else np.count_nonzero(X[part])) for part in parts]
        *starts, room = 0, *itertools.accumulate(rooms)
        self._make_room(room)
        self.finite = not any(_at_once(
            lambda part, start: kernel.compress(X[part], start, self.cuts[part], self.indices, self.values), parts, starts))

    def _make_room(self, places):
        self.indices, self.values = np.empty(places, _index(self.shape[1])), np.empty(places, self.dtype)

    def _take(self, matrix):
        matrix = scipy.sparse.csr_array(matrix)
        if not matrix.has_canonical_format:
            matrix = matrix.copy()
            matrix.sum_duplicates()
        self._make_room(matrix.nnz + kernel.SLACK)
        self.indices[:matrix.nnz], self.values[:matrix.nnz] = matrix.indices, cast(matrix.data, self.dtype)
        self.finite = bool(np.isfinite(self.values[:matrix.nnz]).all())
        kernel.block_indptr(matrix.indptr, self.indices, self.shape[1], self.cuts)

    @property
    def nbytes(self):
        """Bytes of the entries."""
        return int(self._entries.sum()) * (self.indices.itemsize + self.values.itemsize)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """Return the `Panel` of these rows: laid out anew for a slice; for numbers gathered, into arrays used again."""
        if self._way == "once":
            return self._panel_within(rows)
        return self._laid_out(*rows.indices(len(self))[:2]) if isinstance(rows, slice) else self._gathered(rows)

    def _panel_within(self, rows):
        cuts = self.cuts[rows].T
        return Panel((cuts.shape[1], self.shape[1]), 0, (np.stack((cuts[:-1], cuts[1:]), axis=2), self.indices, self.values))

    def _gathered(self, rows):
        panel = self._panels.of(len(rows))
        kernel.gather_rows(self.cuts, self.indices, self.values, rows, panel.middle, *panel.arrays)
        return panel

    def _laid_out(self, first, last):
        entries = int(self._entries[first:last].sum())
        room = entries + (self.cuts.shape[1] - 1) * kernel.SLACK
        panel = self._panels.new(last - first, room, entries if self._way == "back" else None)
        kernel.pack_blocks(self.cuts, self.indices, self.values, first, *panel.arrays)
        if self._way == "back":
            panel.turn()
        return panel


def _index(D):
    """Return the dtype of the numbers of D columns: the smaller, the sooner they have come from memory."""
    return np.uint16 if D <= 2**16 else np.int32


class _Panels:
    """Empty panels for batches of rows (N, D), which share what they only use for a moment.

    ``most`` is how many entries a row has at most.
    """

    def __init__(self, D, most, dtype, middle):
        self._D, self._most, self._dtype, self._middle = D, most, dtype, middle
        self._arrays, self._padded = {}, {}

    def of(self, N):
        """Return a panel for N rows of up to ``most`` entries, in arrays that are used again for the next one."""
        if N not in self._arrays:
            room = N * (self._most + kernel.SLACK)
            sides = 2 if self._middle else 1
            self._arrays[N] = self._allocate(N, self._D, sides * room), self._allocate(self._D, N, room)
        return Panel((N, self._D), self._middle, *self._arrays[N], self._padded)

    def new(self, N, room, turned=None):
        """Return a panel with room for so many entries, and in its transpose, if it has one."""
        transpose = None if turned is None else self._allocate(self._D, N, turned)
        return Panel((N, self._D), self._middle, self._allocate(N, self._D, room), transpose, self._padded)

    def _allocate(self, N, D, room):
        index = _index(max(D, self._D))    # for a transpose with another one the kernels would be compiled anew
        return np.empty((-(-D // kernel.block_width(D)), N, 2), np.int64), np.empty(room, index), np.empty(room, self._dtype)


class Panel:
    """A batch of rows with the zeros left out.

    Attributes
    ----------
    shape : (N, D)
    middle : int
        The block at which the second side begins, or 0.
    arrays, transpose : tuple of (spans, indices, values)
        The panel, as `kernels.sparse` takes it, and that of its transpose (D, N), which `turn` fills; None where there is no
        way back.
    """

    def __init__(self, shape, middle, arrays, transpose=None, padded=None):
        self.shape, self.middle, self.arrays, self.transpose, self._padded = shape, middle, arrays, transpose, padded
        self._turned = False

    def __len__(self):
        return self.shape[0]

    def turn(self):
        """Sort the entries to the transpose, unless that is done."""
        if not self._turned:
            kernel.transpose(*self.arrays, self.middle, *self.transpose)
            self._turned = True

    def by_row(self, delta):
        """Return whether a weight gradient is added up row by row: nothing is sorted, and for ``delta`` it would not pay."""
        return not self._turned and delta.shape[1] * delta.itemsize <= _SORTED_ABOVE

    def pad(self, delta):
        """Return ``delta`` (N, H) with the rows of `padded_shape`, in an array that panels of one matrix share."""
        shape = padded_shape(delta.shape, delta.dtype)
        if shape == delta.shape:
            return delta
        if shape not in self._padded:
            self._padded[shape] = aligned(shape, delta.dtype)
        kernel.pad_rows(delta, self._padded[shape])
        return self._padded[shape]


# ---- targets and weights --------------------------------------------------------------------------------------------

def check_length(name, values, N):
    """Raise ValueError unless ``values`` has a row for each of the N rows of X."""
    shape = np.shape(values)
    if not shape or shape[0] != N:
        raise ValueError(f"{name}: got shape {shape}, expected {N} rows, as many as X has")


def check_weights(sample_weight, N, dtype):
    """Return ``sample_weight`` as (N,) of ``dtype``, ones for None; at least 0 and not all 0, ValueError otherwise."""
    if sample_weight is None:
        return np.ones(N, dtype)
    w = as_numbers("sample_weight", sample_weight)
    check_length("sample_weight", w, N)
    if w.ndim != 1:
        raise ValueError(f"sample_weight: got shape {w.shape}, expected ({N},)")
    w = cast(w, dtype)
    if not np.isfinite(w).all() or w.min() < 0:
        raise ValueError(f"sample_weight: got {w[~((w >= 0) & np.isfinite(w))][0]}, expected finite numbers from 0 on")
    if w.max() == 0:
        raise ValueError("sample_weight: got zeros alone, expected at least one positive weight")
    return w
