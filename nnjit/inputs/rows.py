"""The rows of X: `validate` checks what a user gives, `store` keeps it as the first layer takes its batches.

A batch is a plain array, or without its zeros: a `DenseStream` or a `SparseBatch`, with a product of its own.
"""
from typing import Any

import numpy as np
import scipy.sparse

from ..kernels.sparse import product as sparse
from .checks import as_numbers, cast, check_finite, is_map, raise_nonfinite, refuse_masked
from .matrices import as_csr
from .sparse_rows import LazySparseRows, SparseRows, sample

SPARSE_BELOW = 0.55          # density below which the product without the zeros is faster than the dense one
LARGE_MAP_BYTES = 2**26      # of a mapped file, from which on it is cast batch by batch, and never as a whole
FEW_ROWS = 8                 # rows that are predicted from in one way, whatever their density
_UNSUPPORTED_DTYPES = "?eg"  # bool, half and long double, by their characters: no kernel takes them


# ---- what was given ----------------------------------------------------------------------------------------

def validate(X, input_shape: tuple[Any, ...] | None):
    """Return X as a CSR matrix (`as_csr`), or a C-contiguous array, of real numbers and of the right shape.

    Parameters
    ----------
    X : array_like or scipy.sparse matrix, (N, ...)
        Not modified, and not copied where it can be used as it is.
    input_shape : tuple of int, or None
        The shape of one row; None takes any.

    Raises
    ------
    TypeError
        X does not consist of real numbers.
    ValueError
        Wrong rank or width, no rows, or a matrix with indices that do not exist.
    """
    if isinstance(X, np.ndarray) or not scipy.sparse.issparse(X):
        X = as_numbers("X", X)
    elif X.dtype.kind not in "buif":
        raise TypeError(f"X: got {X.dtype}, expected an array of real numbers")
    else:
        refuse_masked("X", getattr(X, "data", None))
    wrong = X.ndim < 2 if input_shape is None else X.shape[1:] != input_shape
    if wrong or X.ndim == 0:
        expected = "(N, D)" if input_shape is None else f"(N, {', '.join(map(str, input_shape))})"
        hint = "; give one row as X[None]" if X.ndim == 1 else ""
        raise ValueError(f"X: got shape {X.shape}, expected {expected}{hint}")
    if 0 in X.shape:
        raise ValueError(f"X: got shape {X.shape}, expected at least one row and one column")
    X = as_csr(X) if scipy.sparse.issparse(X) else X
    if X.dtype.isnative and X.dtype.char not in _UNSUPPORTED_DTYPES:
        return X
    with np.errstate(over="ignore"):
        found = X.astype(np.float64)
    if not np.isfinite(found.data if scipy.sparse.issparse(found) else found).all():
        raise_nonfinite(X, found.dtype)
    return found


def intensities(rows, dtype: np.dtype, takes_bytes: bool) -> np.ndarray:
    """Return validated rows of bytes divided by 255, or as they are where the first layer ``takes_bytes``."""
    rows = rows.toarray() if scipy.sparse.issparse(rows) else rows
    return rows if takes_bytes else cast(rows, dtype) / dtype.type(255)


def store(rows, dtype: np.dtype, sparse="auto", training: bool = True, single_pass: bool = False,
          share: tuple[int, int] = (0, 1)):
    """Return validated rows as a container of which batches are taken.

    Parameters
    ----------
    rows : ndarray or scipy.sparse matrix
        What `validate` returned.
    dtype : np.dtype
        The network's.
    sparse : "auto", True or False
        Whether zeros are left out; "auto" does so where most numbers are 0.
    training : bool
        Whether the rows are trained on, or only used in forward passes.
    single_pass : bool
        Whether each row is used once. The zeros of an array are then left out batch by batch. In forward
        passes, numbers that are not finite are found there, too (`DenseStream.product`).
    share : (int, int)
        (k, n): of a large mapped file only the k-th of n parts is looked through for numbers that are not
        finite; other processes do the rest.

    Returns
    -------
    ndarray, DenseStream, LazySparseRows or SparseRows

    Raises
    ------
    ValueError
        NaN or infinity, or a number too large for ``dtype``.
    """
    stream = single_pass and isinstance(rows, np.ndarray)
    if stream and not training and sparse == "auto" and rows.ndim == 2 and len(rows) <= FEW_ROWS:
        return DenseStream(rows)
    if sparse is False and scipy.sparse.issparse(rows):
        rows = rows.toarray()
    large = is_map(rows) and rows.nbytes > LARGE_MAP_BYTES
    k, n = share if large else (0, 1)
    looked_through = rows[k * len(rows) // n:(k + 1) * len(rows) // n] if n > 1 else rows
    if not leave_out_zeros(rows, sparse):
        check_finite(looked_through, dtype)
        return CastRows(rows, dtype) if large and rows.dtype != dtype else cast(rows, dtype)
    if (stream or large) and not training:
        return DenseStream(rows)
    if stream or large:
        check_finite(looked_through, dtype)
        return LazySparseRows(rows, dtype)
    return _finite(SparseRows(rows, dtype, training, single_pass), rows, dtype)


def _finite(stored, rows, dtype):
    if not stored.finite:
        raise_nonfinite(rows, dtype)
    return stored


def store_block(rows, dtype: np.dtype, sparse: bool, training: bool = True):
    """Return validated rows as `store` does, in memory of their own, by this Python thread alone.

    ``sparse`` is what `leave_out_zeros` has found of the first rows; batches are slices.
    """
    if sparse:
        return _finite(SparseRows(rows, dtype, training, single_pass=True, serial=True), rows, dtype)
    rows = rows.toarray() if scipy.sparse.issparse(rows) else rows
    check_finite(rows, dtype)
    stored = cast(rows, dtype)
    return stored.copy() if np.may_share_memory(stored, rows) else stored


def leave_out_zeros(rows, sparse) -> bool:
    """Return whether the zeros of validated rows are left out, see `store`."""
    if scipy.sparse.issparse(rows) or sparse is True:
        return True
    if sparse is False or rows.ndim != 2:
        return False
    some = sample(rows)
    return np.count_nonzero(some) < SPARSE_BELOW * some.size


class CastRows:
    """Rows of a large mapped file, cast when they are taken."""

    packs_slices = True    # as `Examples` asks: they are taken anew in every epoch

    def __init__(self, X, dtype):
        self.X, self.dtype, self.nbytes = X, dtype, X.nbytes

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        return cast(self.X[rows], self.dtype)


# ---- batches -----------------------------------------------------------------------------------------------

class DenseStream:
    """Rows as the user gave them, whose zeros are left out as they stream through the first layer."""

    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        return DenseStream(self.X[rows])

    def product(self, W, b, out):
        """out = x W + b, (N, H); W (D, H) may be padded. ValueError where x is not finite in out's dtype."""
        if sparse.product_from_dense(self.X, W, b, out):
            raise_nonfinite(self.X, out.dtype)
