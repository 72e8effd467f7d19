"""Rows without their zeros: containers and kernels against their naive twins and dense arrays."""
import naive
import numba
import numpy as np
import pytest
from kernel_tools import DTYPES, SHAPES, close, rows_with_zeros, with_padding
from scipy import sparse

from nnjit._numba import simd
from nnjit._numba.threads import get_threads
from nnjit.inputs import sparse_rows
from nnjit.inputs.matrices import as_csr
from nnjit.inputs.sparse_rows import LazySparseRows, SparseRows
from nnjit.kernels.sparse import format, product
from nnjit.memory import padded_shape

BATCHES = {
    "all": lambda rng, N: slice(None),
    "some": lambda rng, N: slice(N // 3, N // 3 + 3),
    "shuffled": lambda rng, N: rng.permutation(N),
    "one": lambda rng, N: np.array([N - 1]),
    "repeated": lambda rng, N: np.sort(rng.integers(N, size=N)),
    "the fullest": lambda rng, N: np.full(N, N - 1),
}


@DTYPES
@SHAPES
@pytest.mark.parametrize("batch", BATCHES)
def test_sparse_rows(rng, dtype, shape, batch):
    N, D, H = shape
    x = rows_with_zeros(rng, N, D, dtype)
    x[-1] = rng.normal(size=D)
    chosen = BATCHES[batch](rng, N)
    x, rows = x[chosen], SparseRows(x, np.dtype(dtype))[chosen]
    W, b, delta = (rng.normal(size=size).astype(dtype) for size in [(D, H), (H,), (len(x), H)])
    z, dW = np.full((len(x), H), np.nan, dtype), np.zeros(padded_shape((D, H), dtype), dtype)
    for bias in (b, b[:0]):
        product.product(*rows.arrays, rows.split, with_padding(W), H, bias, z)
        close(z, naive.affine(x, W, bias), D)
    rows.transpose()
    dW[:, :H] = np.nan
    product.product(*rows.transposed, 0, rows.pad(delta), H, b[:0], dW)
    close(dW[:, :H], naive.weight_gradient(x, delta), N)
    assert not dW[:, H:].any()
    by_row = np.full_like(dW, np.nan)
    product.weight_gradient(*rows.arrays, rows.split, delta, H, by_row)
    assert not by_row[:, H:].any()
    assert np.array_equal(by_row[:, :H], dW[:, :H])


@DTYPES
def test_sparse_products_of_every_width(rng, dtype):
    """Whatever strips a row is cut into, every number of it is summed up once, and none behind it."""
    x = rng.normal(size=(3, 2)).astype(dtype)
    panel = SparseRows(x, np.dtype(dtype))[:]
    for H in range(1, 420):
        W, b = rng.normal(size=(2, H)).astype(dtype), rng.normal(size=H).astype(dtype)
        z = np.full((4, H), np.nan, dtype)
        product.product(*panel.arrays, panel.split, with_padding(W), H, b, z[:3])
        close(z[:3], naive.affine(x, W, b), 2)
        assert np.isnan(z[3]).all()


@DTYPES
def test_sparse_gradients_of_every_width(rng, dtype):
    """Row by row or as the product of the transpose: the same bits."""
    x = rows_with_zeros(rng, 9, 230, dtype)
    panel = SparseRows(x, np.dtype(dtype))[:]
    for H in range(1, 420):
        delta = rng.normal(size=(10, H)).astype(dtype)[:9]
        delta.base[9] = np.nan    # behind the end
        by_row, by_column = np.full((2, *padded_shape((230, H), dtype)), np.nan, dtype)
        product.weight_gradient(*panel.arrays, panel.split, delta, H, by_row)
        assert not by_row[:, H:].any()    # nothing behind a row of delta is read
        product.product(*panel.transposed, 0, panel.pad(delta), H, delta[0, :0], by_column)
        close(by_row[:, :H], naive.weight_gradient(x, delta), 9)
        assert np.array_equal(by_row[:, :H], by_column[:, :H])


@DTYPES
@pytest.mark.parametrize("shape", [(1, 30, 100), (7, 30, 100), (17, 30, 100), (1300, 300, 100), (300, 20, 7)])
def test_sparse_products_share_out_their_rows(rng, dtype, shape):
    """Fewer rows than threads, and several tasks a thread: the bits are those of the rows one by one."""
    N, D, H = shape
    x, W, b = rows_with_zeros(rng, N, D,
                              dtype), with_padding(rng.normal(size=(D, H)).astype(dtype)), np.ones(H, dtype)
    rows = SparseRows(x, np.dtype(dtype))
    z, skipping, alone = np.full((3, N, H), np.nan, dtype)
    product.product(*rows[:].arrays, 0, W, H, b, z)
    assert not product.product_from_dense(x, W, b, skipping)
    for i in range(0, N, 100):
        product.product(*rows[i:i + 1].arrays, 0, W, H, b, alone[i:i + 1])
    assert np.array_equal(z, skipping) and np.array_equal(z[::100], alone[::100])


@DTYPES
@pytest.mark.parametrize("N", [1, 2, 33, 500])
def test_a_product_goes_through_the_other_side_first(dtype, N):
    """The first half's sums begin with the second side: 1 is added to 2^p - 2^p there, and lost elsewhere."""
    large = 2.0 ** np.finfo(dtype).nmant * 2
    x, W, z = np.zeros((N, 300), dtype), np.zeros((300, 20), dtype), np.full((N, 20), np.nan, dtype)
    x[:, [0, 298, 299]] = 1
    W[[0, 298, 299]] = np.array([[1], [large], [-large]])
    W, b = with_padding(W), np.zeros(20, dtype)
    rows = SparseRows(x, np.dtype(dtype))
    for panel in (rows[:], rows[np.arange(N)]):
        for middle in (1, 2, 3):
            product.product(*panel.arrays, middle, W, 20, b, z)
            assert (z[:N // 2] == 1).all() and (z[N // 2:] == 0).all()
        product.product(*panel.arrays, 0, W, 20, b, z)
        assert (z == 0).all()


@pytest.mark.parametrize("full, middle", [([slice(300)], 2), ([slice(60), slice(180)], 1),
                                          ([slice(240, 300), slice(120, 300)], 3), ([slice(100)], 0),
                                          ([slice(0)], 0)])
def test_sides_have_as_many_entries_as_each_other(rng, full, middle):
    """Or there are none: where they would be uneven, or there is one block; and without a backward pass."""
    x = np.zeros((600, 300))    # four blocks of 75 columns
    for i, row in enumerate(rng.permutation(x.shape[0])):
        x[row, full[i % len(full)]] = 1
    counted = SparseRows(x, np.dtype(float)), SparseRows(sparse.csr_array(x),
                                                         np.dtype(float)), LazySparseRows(x, np.dtype(float))
    assert [rows[:7].split for rows in counted] == [middle] * 3
    assert [rows[np.arange(7)].split for rows in counted] == [middle] * 3
    assert SparseRows(x[:, :112], np.dtype(float))[:7].split == 0
    forward = [SparseRows(x, np.dtype(float), training=False, single_pass=single) for single in (False, True)]
    assert all(rows[:7].split == 0 for rows in forward)


def test_panels_of_slices_stay_and_of_numbers_are_used_again(rng):
    """Slices are laid out for all epochs; shuffled batches of one size reuse the same arrays."""
    x = rows_with_zeros(rng, 30, 300, np.float64)
    rows = SparseRows(x, np.dtype(float))
    kept = [rows[first:first + 10] for first in range(0, 30, 10)]
    first, second = rows[np.arange(5)], rows[np.arange(5, 10)]
    assert first.arrays[2] is second.arrays[2] and rows[np.arange(6)].arrays[2] is not first.arrays[2]
    assert second.scatter_pays(x[:5, :3]) and not second.scatter_pays(x[:5])    # which is too wide
    second.transpose()
    assert not second.scatter_pays(x[:5, :3]) and np.array_equal(unpacked(second), x[5:10])
    for number, panel in enumerate(kept):
        assert np.array_equal(unpacked(panel), x[10 * number:10 * number + 10])


@DTYPES
@pytest.mark.parametrize("given", ["float32", "float64", "uint8", "int64"])
@pytest.mark.parametrize("shape", [(1, 1), (30, 60), (30, 300), (150, 1100), (3, 2**16 + 1)])
def test_rows_are_picked_as_they_are_gathered(rng, dtype, given, shape):
    """From an array of any dtype, some rows without zeros: by numbers in any order, or a slice."""
    N, D = shape
    x = (rows_with_zeros(rng, N, D, float) * 20).astype(given)
    x[N // 2] = 1
    picked, gathered = LazySparseRows(x, np.dtype(dtype)), SparseRows(x, np.dtype(dtype))
    for rows in (rng.permutation(N), np.arange(N)[N // 2:], np.full(3, N - 1), slice(N // 3, N), slice(0, 7)):
        panel, expected = picked[rows], gathered[rows]
        assert len(panel) == len(expected) and panel.shape == expected.shape
        assert np.array_equal(unpacked_rows(panel), unpacked_rows(expected))
        panel.transpose()
        assert np.array_equal(unpacked(panel), x[rows].astype(dtype))


def test_without_a_backward_pass_there_is_no_transpose(rng):
    """In a single pass, the panel's entries are those of the matrix."""
    x = rows_with_zeros(rng, 30, 300, np.float64)
    there_and_back = SparseRows(x, np.dtype(float))[3:20]
    for single_pass in (False, True):
        rows = SparseRows(x, np.dtype(float), training=False, single_pass=single_pass)
        panel = rows[3:20]
        assert panel.shape == (17, 300) and single_pass == (panel.arrays[2] is rows.data)
        assert single_pass == (rows[np.arange(3, 20)].arrays[2] is rows.data)
        assert panel.transposed is None
        assert np.array_equal(unpacked_rows(panel),
                              unpacked(there_and_back)) and np.array_equal(unpacked_rows(panel), x[3:20])


def unpacked_rows(panel, transposed=False):
    """Return the rows of a panel, or of its transpose, with their zeros."""
    spans, indices, values = panel.transposed if transposed else panel.arrays
    matrix = np.zeros(panel.shape[::-1] if transposed else panel.shape)
    for c, i in np.ndindex(spans.shape[:2]):
        entries = slice(*spans[c, i])
        assert (np.diff(indices[entries].astype(int)) > 0).all()
        assert (indices[entries] // format.block_width(matrix.shape[1]) == c).all()
        matrix[i, indices[entries]] = values[entries]
    return matrix


def unpacked(panel):
    """Return the rows of a panel, of which the transpose has the same numbers."""
    x = unpacked_rows(panel)
    assert np.array_equal(x, unpacked_rows(panel, transposed=True).T)
    return x


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"])
def test_sparse_rows_hold_the_matrix(rng, form):
    """Of any SciPy format; entries given twice are added, zeros are no harm."""
    x = rows_with_zeros(rng, 11, 13, np.float64)
    rows = SparseRows(as_csr(sparse.coo_array(x).asformat(form)), np.dtype(float))
    assert len(rows) == 11 and rows.shape == (11, 13)
    for i, row in enumerate(x):
        entries = slice(rows.indptr[i, 0], rows.indptr[i, -1])
        assert np.array_equal(rows.indices[entries], np.flatnonzero(row))
        assert np.array_equal(rows.data[entries], row[row != 0])


@pytest.mark.parametrize("given", ["float32", "float64", "uint8", "int64"])
def test_dense_rows_lose_their_zeros(rng, given):
    """Of any dtype, in widths on both sides of a vector and of a block; stored, or streamed."""
    # of the last, none is 0
    for N, D, shift in [(1, 1, 0), (3, 64, 0), (20, 65, 0), (40, 1100, 0), (40, 1100, 100)]:
        x = (rows_with_zeros(rng, N, D, float) * 20 + shift).astype(given)
        rows = SparseRows(x, np.dtype(np.float32))
        expected = SparseRows(sparse.csr_array(x.astype(np.float32)), np.dtype(np.float32))
        assert rows.finite and expected.finite
        assert np.array_equal(np.diff(rows.indptr), np.diff(expected.indptr))
        for i in range(N):
            entries, those = (slice(indptr[i, 0], indptr[i, -1]) for indptr in (rows.indptr, expected.indptr))
            assert np.array_equal(rows.indices[entries], expected.indices[those])
            assert np.array_equal(rows.data[entries], expected.data[those])
        W, b = with_padding(rng.normal(size=(D,
                                             17)).astype(np.float32)), rng.normal(size=17).astype(np.float32)
        z, z_kept = np.empty((2, N, 17), np.float32)
        assert not product.product_from_dense(x, W, b, z)
        product.product(*rows[:].arrays, 0, W, 17, b, z_kept)
        assert np.array_equal(z, z_kept)


@pytest.mark.compiled
@DTYPES
@pytest.mark.parametrize("given", ["float32", "float64", "uint8", "int64"])
def test_compress_store_is_a_number_at_a_time(rng, dtype, given):
    """On any processor, though kernels use it on some alone."""
    @numba.njit
    def squeeze(X, i, k, bits, columns, values, place):
        return simd.compress_store(X, i, k, bits, columns, values, place)

    X = rng.integers(100, size=(3, 90)).astype(given)
    for chosen in (rng.random(64) < 0.3, np.zeros(64, bool), np.ones(64, bool)):
        columns, values = np.zeros(100, np.uint16), np.zeros(100, dtype)
        bits = np.uint64(sum(1 << int(j) for j in np.flatnonzero(chosen)))
        assert squeeze(X, 1, 20, bits, columns, values, 5) == 5 + chosen.sum()
        found = slice(5, 5 + chosen.sum())
        assert np.array_equal(columns[found], 20 + np.flatnonzero(chosen))
        assert np.array_equal(values[found], X[1, 20:84][chosen])
        assert not (columns[:5].any() or values[:5].any())


def test_very_many_numbers_are_counted_first(rng, monkeypatch):
    """There is then room for the entries alone."""
    monkeypatch.setattr(sparse_rows, "_COUNTED_NUMBERS", 1)
    x = rows_with_zeros(rng, 30, 70, np.float64)
    rows = SparseRows(x, np.dtype(float))
    assert rows.data.size == np.count_nonzero(x) + min(30, get_threads()) * format.SLACK
    assert np.array_equal(unpacked(rows[:]), x)


@pytest.mark.parametrize("D", [2**16, 2**16 + 1])
def test_as_many_columns_as_there_are_words(D):
    """The number of the last column takes two bytes, or just not."""
    rows = SparseRows(sparse.csr_array(([2.0, 3.0], [0, D - 1], [0, 2]), shape=(1, D)), np.dtype(float))
    W, z, dW = np.zeros((D, 1)), np.empty((1, 1)), np.empty((D, 1))
    W[0], W[-1] = 10, 1
    panel, none = rows[:], np.empty(0)
    product.product(*panel.arrays, panel.split, W, 1, none, z)
    product.product(*panel.transposed, 0, np.ones((1, 1)), 1, none, dW)
    assert z == 23 and (dW[0], dW[-1], dW.sum()) == (2, 3, 5)


@pytest.mark.parametrize("number", [np.nan, -np.inf, 1e300])
def test_a_number_that_is_not_finite_is_found(rng, number):
    """Wherever it stands, also if it is too large for the dtype alone; in few rows, and in several tasks."""
    W, z = np.ones((90, 2), np.float32), np.empty((40, 2), np.float32)
    for i, k in [(0, 0), (0, 89), (17, 50), (39, 3), (39, 89)]:
        x = rows_with_zeros(rng, 40, 90, float)
        assert SparseRows(x, np.dtype(np.float32)).finite
        assert not product.product_from_dense(x, W, W[0, :0], z)
        x[i, k] = number
        with np.errstate(over="ignore"):
            assert not SparseRows(x, np.dtype(np.float32)).finite
            assert not SparseRows(sparse.csr_array(x), np.dtype(np.float32)).finite
            assert product.product_from_dense(x, W, W[0, :0], z)
            assert product.product_from_dense(x[i:i + 1], W, W[0, :0], z[:1])


def test_sparse_rows_add_up_repeated_entries():
    matrix = sparse.csr_array((np.array([1.0, 2.0, 0.0, 4.0]), ([0, 0, 1, 1], [2, 2, 0, 1])), shape=(2, 3))
    twice = sparse.csr_array((np.array([1.0, 2.0]), np.array([2, 2]), np.array([0, 2])), shape=(1, 3))
    z = np.empty((2, 3))
    rows = SparseRows(as_csr(matrix), np.dtype(float))
    product.product(*rows[:].arrays, 0, np.eye(3), 3, np.empty(0), z)
    assert np.array_equal(z, [[0, 0, 3], [0, 4, 0]])
    assert SparseRows(as_csr(twice), np.dtype(float)).data[:1].tolist() == [3.0]
    assert twice.data.tolist() == [1.0, 2.0]
