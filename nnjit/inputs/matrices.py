"""scipy.sparse matrices: their indices are checked before anything follows one out of the memory."""
import numpy as np
import scipy.sparse

from ..kernels import checks as kernel


def as_csr(X):
    """Return a scipy.sparse matrix (N, D) in CSR, with columns that ascend in every row, none twice.

    It is not copied where it is so already, and not modified. ValueError where an index does not exist.
    """
    if X.format in ("csr", "csc", "bsr"):
        order = _index_order(X)
    elif X.format == "coo":
        _check_coordinates(X)
    elif X.format == "dia" and (X.data.ndim != 2 or X.data.shape[0] != X.offsets.size):
        raise _damaged(X, f"numbers of shape {X.data.shape} for {X.offsets.size} diagonals")
    matrix = scipy.sparse.csr_array(X)
    if X.format != "csr":
        order = _index_order(matrix)
    if order == kernel.CANONICAL:
        return matrix
    matrix = matrix.copy()
    matrix.has_canonical_format = matrix.has_sorted_indices = False    # whatever was said of it
    matrix.sum_duplicates()
    return matrix


def _index_order(X):
    """Return what `kernels.checks.index_order` finds in a compressed matrix; ValueError for damage."""
    indptr, indices = X.indptr, X.indices
    if X.data.ndim != (3 if X.format == "bsr" else 1) or 0 in X.data.shape[1:]:
        raise _damaged(X, f"numbers of shape {X.data.shape}")
    block = X.blocksize if X.format == "bsr" else (1, 1)
    rows, columns = X.shape[0] // block[0], X.shape[1] // block[1]
    if X.format == "csc":
        rows, columns = columns, rows
    if any(index.ndim != 1 or index.dtype not in (np.int32, np.int64) for index in (indptr, indices)):
        raise _damaged(X, "indices that are not vectors of int32 or int64")
    if indptr.size != rows + 1:
        raise _damaged(X, f"an indptr of {indptr.size} numbers where {rows + 1} are needed")
    if len(X.data) != indices.size:
        raise _damaged(X, f"{len(X.data)} numbers and {indices.size} indices")
    order = kernel.index_order(indptr, indices, columns)
    if order == kernel.DAMAGED:
        raise _damaged(X, "an index that does not exist, or an indptr that does not ascend from 0")
    return order


def _check_coordinates(X):
    if not X.data.shape == X.row.shape == X.col.shape == (X.data.size,):
        raise _damaged(X, f"numbers, rows and columns of shapes {X.data.shape}, {X.row.shape} and "
                       f"{X.col.shape}")
    for index, size in zip((X.row, X.col), X.shape):
        if index.dtype.kind not in "iu":
            raise _damaged(X, f"indices of {index.dtype}")
        if index.size and not 0 <= index.min() <= index.max() < size:
            raise _damaged(X, f"an index that does not exist, {index.min()} to {index.max()} of {size}")


def _damaged(X, fault):
    return ValueError(f"X: got a {X.format} matrix with {fault}, expected a valid one of shape {X.shape}; "
                      "make it anew")
