"""Rows with many zeros: containers that leave these out, and the batches that they give.

`SparseRows` holds the rows in CSR. `LazySparseRows` holds an array as it was given, and leaves the zeros of a
batch out when it is asked for. Both give a `SparseBatch` of some of their rows, as `kernels.sparse` takes it.
"""
import itertools

import numpy as np
import scipy.sparse

from ..kernels.sparse import format as kernel
from ..kernels.sparse import product as products
from ..memory import aligned, padded_shape
from .checks import cast
from .threads import chunks, map_in_threads

_LARGEST_HALF = 0.6        # of the nonzeros: with more in one half of the columns, these are not halved
_SCATTER_BYTES = 832       # bytes of a row of delta, up to which a weight gradient is added up row by row
_COUNTED_NUMBERS = 2**31   # numbers from which on the nonzeros are counted before memory is taken for them


def sample(rows, most=250):
    """Return some of the rows, from everywhere, fewer than twice ``most``."""
    return rows[::max(1, len(rows) // most)]


def _split(nonzeros):
    """Return the block at which the second half begins; 0 where one half would have most nonzeros.

    ``nonzeros`` says how many each block has.
    """
    before = np.cumsum(nonzeros)[:-1] / max(1, nonzeros.sum())
    if not before.size or abs(before - 0.5).min() > _LARGEST_HALF - 0.5:
        return 0
    return 1 + int(abs(before - 0.5).argmin())


def _index_dtype(D):
    """Return the dtype of the numbers of D columns: the smaller, the sooner they are loaded."""
    return np.uint16 if D <= 2**16 else np.int32


# ---- batches -----------------------------------------------------------------------------------------------

class SparseBatch:
    """A batch of rows without their zeros.

    Attributes
    ----------
    shape : (N, D)
    split : int
        The block at which the second half of the columns begins, or 0 where they are not halved.
    arrays, transposed : tuple of (extents, indices, data)
        The batch, and its transpose (D, N), as the kernels take them. `transpose` fills the latter. Without a
        backward pass it is None.
    """

    def __init__(self, shape, split, arrays, transposed=None, padded=None):
        self.shape, self.split, self.arrays, self.transposed = shape, split, arrays, transposed
        self._padded, self._is_transposed = padded, False

    def __len__(self):
        return self.shape[0]

    def product(self, W, b, out):
        """out = x W + b, (N, H). W (D, H) may be padded."""
        products.product(*self.arrays, self.split, W, out.shape[1], b, out)

    def weight_gradient(self, delta, no_bias, dW):
        """dW = xᵀ delta for delta (N, H); dW (D, H) may be padded. ``no_bias`` is an array of size 0."""
        if self.scatter_pays(delta):
            products.weight_gradient(*self.arrays, self.split, delta, delta.shape[1], dW)
        else:
            self.transpose()
            products.product(*self.transposed, 0, self.pad(delta), delta.shape[1], no_bias, dW)

    def transpose(self):
        """Sort the nonzeros into ``transposed``, unless that is done."""
        if not self._is_transposed:
            kernel.transpose(*self.arrays, self.split, *self.transposed)
            self._is_transposed = True

    def scatter_pays(self, delta):
        """Return whether a weight gradient is added up row by row.

        That is faster where the nonzeros are not sorted yet and delta is narrow.
        """
        return not self._is_transposed and delta.shape[1] * delta.itemsize <= _SCATTER_BYTES

    def pad(self, delta):
        """Return ``delta`` (N, H) with the rows of `padded_shape`, in an array that other batches share."""
        shape = padded_shape(delta.shape, delta.dtype)
        if shape == delta.shape:
            return delta
        if shape not in self._padded:
            self._padded[shape] = aligned(shape, delta.dtype)
        kernel.pad_rows(delta, self._padded[shape])
        return self._padded[shape]


class SparseBatchPool:
    """Empty batches of rows (N, D), which share the arrays that they need only for a moment.

    ``most`` is the largest number of nonzeros of a row.
    """

    def __init__(self, D, most, dtype, split):
        self._D, self._most, self._dtype, self._split = D, most, dtype, split
        self._arrays, self._padded = {}, {}

    def reused(self, N):
        """Return a batch for N rows, in arrays that the next batch of N rows overwrites."""
        if N not in self._arrays:
            capacity = N * (self._most + kernel.SLACK)
            halves = 2 if self._split else 1
            self._arrays[N] = (self._allocate(N, self._D, halves * capacity),
                               self._allocate(self._D, N, capacity))
        return SparseBatch((N, self._D), self._split, *self._arrays[N], self._padded)

    def new(self, N, capacity, transposed_capacity=None):
        """Return a batch with arrays of its own, for ``capacity`` nonzeros.

        It has a transpose for ``transposed_capacity`` nonzeros, or none for None.
        """
        return self.around(N, self._allocate(N, self._D, capacity), transposed_capacity)

    def around(self, N, arrays, transposed_capacity=None):
        """Return a batch of N rows in arrays that are there, with or without a transpose as of `new`."""
        transposed = None if transposed_capacity is None else self._allocate(self._D, N, transposed_capacity)
        return SparseBatch((N, self._D), self._split, arrays, transposed, self._padded)

    def _allocate(self, N, D, capacity):
        index = _index_dtype(max(D, self._D))    # another one would have kernels compiled anew
        extents = np.empty((-(-D // kernel.block_width(D)), N, 2), np.int64)
        return extents, np.empty(capacity, index), np.empty(capacity, self._dtype)


# ---- containers --------------------------------------------------------------------------------------------

class LazySparseRows:
    """An array as it was given, of any dtype; a batch of its rows is a `SparseBatch`, made when asked for."""

    packs_slices = True    # as `Examples` asks: a batch is not kept, the next one overwrites it

    def __init__(self, X, dtype):
        self.X, self.nbytes, D = X, X.nbytes, X.shape[1]
        nonzeros = np.count_nonzero(sample(X), axis=0)
        blocks = np.add.reduceat(nonzeros, range(0, D, kernel.block_width(D)))
        self._pool = SparseBatchPool(D, D, dtype, _split(blocks))

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        """Return the batch of these rows, a slice or numbers. The next one of its size overwrites it."""
        rows = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows
        batch = self._pool.reused(len(rows))
        kernel.compress_rows(self.X, rows, batch.split, *batch.arrays)
        return batch


class SparseRows:
    """Rows in CSR, cut into blocks of columns, as `kernels.sparse` takes them.

    Parameters
    ----------
    matrix : CSR matrix of `as_csr`, or C-contiguous array of real numbers, (N, D)
    dtype : np.dtype
        Of the values.
    training : bool
        Whether batches are trained on: they then have a transpose.
    single_pass : bool
        Whether each row is used once. The nonzeros of batches not trained on then stay in the container, and
        so do those of slices.
    serial : bool
        Whether this Python thread does all of it, and does not ask others for help.

    Attributes
    ----------
    shape : (N, D)
    indptr : (N, blocks + 1) int64
        Row i has in block c the nonzeros ``indptr[i, c] <= p < indptr[i, c + 1]``.
    indices, data : (capacity,) uint16 or, for more columns, int32; and ``dtype``
    finite : bool
        Whether all values are.
    """

    packs_slices = True    # a slice of it is packed anew, for being used many times

    def __init__(self, matrix, dtype, training=True, single_pass=False, serial=False):
        N, D = self.shape = matrix.shape
        self.dtype, self.training, self._single_pass, self._serial = dtype, training, single_pass, serial
        self.indptr = np.empty((N, -(-D // kernel.block_width(D)) + 1), np.int64)
        if scipy.sparse.issparse(matrix):
            self._take(matrix)
        else:
            self._compress(matrix)
        self._nonzeros = self.indptr[:, -1] - self.indptr[:, 0]    # of every row
        self._split = _split(np.diff(sample(self.indptr), axis=1).sum(axis=0)) if training else 0
        self._pool = SparseBatchPool(D, int(self._nonzeros.max()), dtype, self._split)

    def _compress(self, X):
        """Take the rows in as many chunks as there are threads.

        A chunk has memory for all its numbers, so that it is read once: unused pages are never taken.
        """
        parts = [slice(0, len(X))] if self._serial else chunks(len(X))
        count = np.size if X.size < _COUNTED_NUMBERS else np.count_nonzero
        capacities = [kernel.SLACK + count(X[part]) for part in parts]
        *offsets, capacity = 0, *itertools.accumulate(capacities)
        self._allocate(capacity)

        def compress(part, offset):
            return kernel.compress(X[part], offset, self.indptr[part], self.indices, self.data)

        self.finite = not any(map_in_threads(compress, parts, offsets))

    def _allocate(self, capacity):
        self.indices = np.empty(capacity, _index_dtype(self.shape[1]))
        self.data = np.empty(capacity, self.dtype)

    def _take(self, matrix):
        count = int(matrix.indptr[-1])
        self._allocate(count + kernel.SLACK)
        self.indices[:count] = matrix.indices[:count]
        self.data[:count] = cast(matrix.data[:count], self.dtype)
        self.finite = not kernel.has_nonfinite(self.data, 0, count, self.data)
        kernel.block_indptr(matrix.indptr, self.indices, self.shape[1], self.indptr)

    @property
    def nbytes(self):
        """Bytes of the nonzeros."""
        return int(self._nonzeros.sum()) * (self.indices.itemsize + self.data.itemsize)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """Return the batch of these rows: a slice is packed anew.

        For row numbers they are gathered, and the next batch of their size overwrites this one.
        """
        is_slice = isinstance(rows, slice)
        if self._single_pass and (is_slice or not self.training):
            return self._batch_in_place(rows)
        return self._packed(*rows.indices(len(self))[:2]) if is_slice else self._gathered(rows)

    def _batch_in_place(self, rows):
        indptr = self.indptr[rows].T
        extents, N = np.stack((indptr[:-1], indptr[1:]), axis=2), indptr.shape[1]
        return self._pool.around(N, (extents, self.indices, self.data), int(self._nonzeros[rows].sum())
                                 if self.training else None)

    def _gathered(self, rows):
        batch = self._pool.reused(len(rows))
        kernel.gather_rows(self.indptr, self.indices, self.data, rows, batch.split, *batch.arrays)
        return batch

    def _packed(self, first, last):
        nonzeros = int(self._nonzeros[first:last].sum())
        capacity = nonzeros + (self.indptr.shape[1] - 1) * kernel.SLACK
        batch = self._pool.new(last - first, capacity, nonzeros if self.training else None)
        kernel.pack_blocks(self.indptr, self.indices, self.data, first, *batch.arrays)
        if self.training:
            batch.transpose()
        return batch
