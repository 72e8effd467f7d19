"""The kernels of affine maps, dropout, losses and updates against their naive twins and published values."""
import naive
import numba
import numpy as np
import pytest
from scipy import sparse, stats

from nnjit._numba import simd
from nnjit._numba.threads import get_threads
from nnjit.inputs import sparse_rows
from nnjit.inputs.matrices import as_csr
from nnjit.inputs.sparse_rows import LazySparseRows, SparseRows
from nnjit.kernels import affine, dropout, losses, random, updates
from nnjit.kernels.sparse import format, product
from nnjit.memory import padded_shape

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# N, D, H: single entries, odd sizes, fewer columns than blocks of them, strips of every width, more rows than a chunk
SHAPES = pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (19, 13, 1), (7, 140, 133), (5, 9, 270),
                                             (515, 9, 4), (300, 260, 18), (3, 70, 16), (4, 90, 45), (9, 66, 70), (3, 200, 100),
                                             (6, 30, 50), (4, 20, 200)])


def close(got, expected, terms):
    """Whether sums of so many terms of order 1 agree to within their rounding."""
    np.testing.assert_allclose(got, expected, rtol=0, atol=4 * (terms + 4) * np.finfo(got.dtype).eps)


# ---- affine, dense rows ---------------------------------------------------------------------------------------------

@DTYPES
@SHAPES
@pytest.mark.parametrize("biased", [True, False])
def test_product_with_bias(rng, dtype, shape, biased):
    N, D, H = shape
    x, W = rng.normal(size=(N, D)).astype(dtype), rng.normal(size=(D, H)).astype(dtype)
    b = rng.normal(size=H * biased).astype(dtype)
    z = np.full((N, H), np.nan, dtype)
    affine.product(x, False, W, False, b, z)
    close(z, naive.affine(x, W, b), D)


@DTYPES
@pytest.mark.parametrize("shape", [(70, 300, 30), (20, 300, 100), (30, 800, 100), (1, 30_000, 90), (90, 30_000, 1), (9, 300, 600),
                                   (600, 90, 300), (1100, 20, 600)])
def test_products_in_blocks(rng, dtype, shape):
    """By rows, by columns, by both, by either where there is one of the other; more of each than one block has."""
    N, D, H = shape
    x, W, b = rng.normal(size=(N, D)).astype(dtype), rng.normal(size=(D, H)).astype(dtype), rng.normal(size=H).astype(dtype)
    z = np.full((N + 1, H), np.nan, dtype)
    affine.product(x, False, W, False, b, z[:N])
    close(z[:N], naive.affine(x, W, b), D)
    assert np.isnan(z[N]).all()


@DTYPES
@SHAPES
def test_products_with_transposes(rng, dtype, shape):
    N, D, H = shape
    x, W, delta = (rng.normal(size=size).astype(dtype) for size in [(N, D), (D, H), (N, H)])
    dW, db, dx = np.full_like(W, np.nan), np.full(H, np.nan, dtype), np.full_like(x, np.nan)
    affine.product(x, True, delta, False, db[:0], dW)
    padded = np.full(padded_shape(W.shape, dtype), np.nan, dtype)
    affine.product(x, True, delta, False, db[:0], padded)
    close(padded[:, :H], dW, N)
    assert np.isnan(padded[:, H:]).all()
    affine.bias_gradient(delta, db)
    affine.product(delta, False, W, True, db[:0], dx)
    close(dW, naive.weight_gradient(x, delta), N)
    close(db, naive.bias_gradient(delta), N)
    close(dx, naive.input_gradient(delta, W), H)
    padded = np.full_like(dx, np.nan)
    affine.product(delta, False, with_padding(W), True, db[:0], padded)
    close(padded, dx, H)


# ---- affine, sparse rows --------------------------------------------------------------------------------------------

def rows_with_zeros(rng, N, D, dtype):
    """Return a matrix of which a third is not zero, with rows that are all zeros."""
    x = rng.normal(size=(N, D)) * (rng.random((N, D)) < 1 / 3)
    x[::5] = 0
    return x.astype(dtype)


def with_padding(matrix):
    """Return the matrix with its rows as parameters are stored."""
    padded = np.zeros(padded_shape(matrix.shape, matrix.dtype), matrix.dtype)
    padded[:, :matrix.shape[1]] = matrix
    return padded


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
        W, b, z = rng.normal(size=(2, H)).astype(dtype), rng.normal(size=H).astype(dtype), np.full((4, H), np.nan, dtype)
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
    x, W, b = rows_with_zeros(rng, N, D, dtype), with_padding(rng.normal(size=(D, H)).astype(dtype)), np.ones(H, dtype)
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
    """The sums of the first half of the rows begin with the second side: there 1 is added to 2^p - 2^p, elsewhere lost in it."""
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
                                          ([slice(240, 300), slice(120, 300)], 3), ([slice(100)], 0), ([slice(0)], 0)])
def test_sides_have_as_many_entries_as_each_other(rng, full, middle):
    """Or there are none: where they would be uneven, or there is one block; and without a backward pass."""
    x = np.zeros((600, 300))    # four blocks of 75 columns
    for i, row in enumerate(rng.permutation(x.shape[0])):
        x[row, full[i % len(full)]] = 1
    counted = SparseRows(x, np.dtype(float)), SparseRows(sparse.csr_array(x), np.dtype(float)), LazySparseRows(x, np.dtype(float))
    assert [rows[:7].split for rows in counted] == [middle] * 3
    assert [rows[np.arange(7)].split for rows in counted] == [middle] * 3
    assert SparseRows(x[:, :112], np.dtype(float))[:7].split == 0
    forward = [SparseRows(x, np.dtype(float), training=False, single_pass=single) for single in (False, True)]
    assert all(rows[:7].split == 0 for rows in forward)


def test_panels_of_slices_stay_and_of_numbers_are_used_again(rng):
    """Slices are laid out for all epochs; shuffled batches of one size follow each other in the same arrays."""
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
    """From an array of any dtype, of which some rows are without zeros: by numbers in any order, or a slice."""
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
        assert np.array_equal(unpacked_rows(panel), unpacked(there_and_back)) and np.array_equal(unpacked_rows(panel), x[3:20])


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
    for N, D, shift in [(1, 1, 0), (3, 64, 0), (20, 65, 0), (40, 1100, 0), (40, 1100, 100)]:    # of the last, none is 0
        x = (rows_with_zeros(rng, N, D, float) * 20 + shift).astype(given)
        rows = SparseRows(x, np.dtype(np.float32))
        expected = SparseRows(sparse.csr_array(x.astype(np.float32)), np.dtype(np.float32))
        assert rows.finite and expected.finite
        assert np.array_equal(np.diff(rows.indptr), np.diff(expected.indptr))
        for i in range(N):
            entries, those = slice(rows.indptr[i, 0], rows.indptr[i, -1]), slice(expected.indptr[i, 0], expected.indptr[i, -1])
            assert np.array_equal(rows.indices[entries], expected.indices[those])
            assert np.array_equal(rows.data[entries], expected.data[those])
        W, b = with_padding(rng.normal(size=(D, 17)).astype(np.float32)), rng.normal(size=17).astype(np.float32)
        z, z_kept = np.empty((2, N, 17), np.float32)
        assert not product.product_from_dense(x, W, b, z)
        product.product(*rows[:].arrays, 0, W, 17, b, z_kept)
        assert np.array_equal(z, z_kept)


@pytest.mark.compiled
@DTYPES
@pytest.mark.parametrize("given", ["float32", "float64", "uint8", "int64"])
def test_squeeze_is_a_number_at_a_time(rng, dtype, given):
    """On any processor, though kernels use it on some alone."""
    @numba.njit
    def squeeze(X, i, k, bits, columns, values, place):
        return simd.squeeze(X, i, k, bits, columns, values, place)

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
        assert SparseRows(x, np.dtype(np.float32)).finite and not product.product_from_dense(x, W, W[0, :0], z)
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


# ---- dropout --------------------------------------------------------------------------------------------------------

def drawn(seed, layer, step, rate, N, units):
    """Return the mask (N, units) of bool, drawn as `Dropout` does."""
    words = np.empty((N, -(-units // dropout.WORD)), np.uint64)
    dropout.draw_mask(seed, layer, step, *dropout.keep_digits(rate), words)
    return np.unpackbits(words.astype("<u8").view(np.uint8), axis=1, bitorder="little")[:, :units].astype(bool)


@pytest.mark.parametrize("seed, outputs", [
    # rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64
    (1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
               16408922859458223821]),
    # S. Vigna, prng.di.unimi.it/splitmix64.c, from state 0
    (0, [16294208416658607535, 7960286522194355700, 487617019471545679]),
])
def test_mix_is_splitmix64(seed, outputs):
    with np.errstate(over="ignore"):
        states = [np.uint64(seed) + np.uint64(n + 1) * random.GOLDEN for n in range(len(outputs))]
    assert [int(random.mix(state)) for state in states] == outputs
    assert [naive.mix(seed + (n + 1) * naive.GOLDEN) for n in range(len(outputs))] == outputs


@pytest.mark.parametrize("rate, threshold, digits", [
    (0.0, 1, 0), (0.5, 1, 1), (0.25, 3, 2), (0.75, 1, 2), (0.875, 1, 3), (2**-40, 1, 0), (1 - 2**-40, 1, 32),
    (1 / 3, 2863311531, 32), (0.1, 1932735283, 31)])
def test_keep_digits(rate, threshold, digits):
    assert dropout.keep_digits(rate) == (threshold, digits)
    assert abs(threshold / 2**digits - (1 - rate)) <= 2**-32


@pytest.mark.parametrize("rate", [0.5, 0.25, 0.1, 1 / 3])
@pytest.mark.parametrize("units", [1, 64, 70])
def test_mask(rate, units):
    expected = naive.dropout_mask(3, 1, 12, *dropout.keep_digits(rate), (4, units))
    assert np.array_equal(drawn(3, 1, 12, rate, 4, units), expected)


@pytest.mark.parametrize("rate", [0.5, 0.25, 0.1, 0.9, 1 / 3])
def test_mask_has_its_rate(rate):
    """Of all units, of each column, of each row, and of the units that lie next to a dropped one."""
    N, H = 200, 130
    dropped = ~drawn(11, 0, 5, rate, N, H)
    low, high = stats.binom.interval(1 - 1e-6, N * H, rate)
    assert low <= dropped.sum() <= high
    for axis, n in [(0, N), (1, H)]:
        low, high = stats.binom.interval(1 - 1e-8, n, rate)
        assert low <= dropped.sum(axis).min() and dropped.sum(axis).max() <= high
    for first, second in [(dropped[:, 1:], dropped[:, :-1]), (dropped[1:], dropped[:-1])]:
        low, high = stats.binom.interval(1 - 1e-6, first.sum(), rate)
        assert low <= (first & second).sum() <= high


def test_mask_without_dropout_keeps_all():
    assert drawn(0, 0, 0, 0.0, 3, 70).all()


@pytest.mark.parametrize("rate", [0.5, 0.1])
def test_mask_is_of_seed_layer_and_step_and_of_no_other_row(rate):
    masks = [drawn(*numbers, rate, 10, 100) for numbers in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (7, 2, 30)]]
    for i, mask in enumerate(masks):
        assert all(np.mean(mask == other) < 0.95 for other in masks[:i])
    assert np.array_equal(masks[-1], drawn(7, 2, 30, rate, 10, 100))
    assert np.array_equal(masks[-1], drawn(7, 2, 30, rate, 25, 100)[:10])


@DTYPES
def test_apply_mask(rng, dtype):
    x = rng.normal(size=(3, 70)).astype(dtype)
    kept = rng.random((3, 70)) < 0.5
    words = np.zeros((3, 128), bool)
    words[:, :70] = kept
    words = np.packbits(words, axis=1, bitorder="little").view("<u8").astype(np.uint64)
    out = np.empty_like(x)
    x[0, 0], kept[0, 0] = np.nan, False
    words[0, 0] &= ~np.uint64(1)
    dropout.apply_mask(x, words, 1.25, out)
    assert np.array_equal(out, np.where(kept, x * dtype(1.25), 0))
    dropout.apply_mask(x, words, 1.25, x)
    assert np.array_equal(x, out)


# ---- losses ---------------------------------------------------------------------------------------------------------

def categorical_case(rng, N, dtype, soft=False, K=5):
    """Return z, y and the weights, some of them 0; y as the kernel takes it and as rows of probabilities."""
    z = (3 * rng.normal(size=(N, K))).astype(dtype)
    w = (rng.random(N) * (rng.random(N) < 0.8) + np.eye(N)[0]).astype(dtype)
    if soft:
        y = rng.dirichlet(np.ones(K), size=N).astype(dtype)
        return z, y, w, y
    y = rng.integers(K, size=N)
    return z, y, w, naive.one_hot(y, K)


@DTYPES
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("N", [1, 7, 1025])    # of which the last are three tasks
def test_categorical(rng, dtype, soft, N):
    z, y, w, rows = categorical_case(rng, N, dtype, soft)
    delta = np.full_like(z, np.nan)
    loss, correct, weight = losses.categorical(z, y, w, losses.total_weight(w), delta)
    mean_loss, accuracy, expected = naive.categorical(z, rows, w)
    eps = float(np.finfo(dtype).eps)
    assert weight == pytest.approx(w.sum(dtype=float), rel=20 * eps)
    assert loss / weight == pytest.approx(mean_loss, rel=20 * eps)
    assert correct / weight == pytest.approx(accuracy, rel=20 * eps)
    np.testing.assert_allclose(delta, expected, rtol=0, atol=10 * eps * np.abs(expected).max())
    in_place = z.copy()
    assert losses.categorical(in_place, y, w, losses.total_weight(w), in_place) == (loss, correct, weight)
    assert np.array_equal(in_place, delta)


@pytest.mark.compiled
def test_categorical_sums_float32_in_float64():
    N = 1025
    w = np.full(N, 0.1, np.float32)
    loss, correct, weight = losses.categorical(np.zeros((N, 2), np.float32), np.zeros(N, np.int64), w, 1.0,
                                                 np.empty((N, 2), np.float32))
    assert (correct, weight) == pytest.approx(2 * (N * float(w[0]),), rel=1e-12)
    assert loss == pytest.approx(N * float(w[0] * np.log(np.float32(2))), rel=1e-12)


@DTYPES
def test_categorical_takes_soft_one_hot_rows_as_labels(rng, dtype):
    """To rounding; `Categorical.targets` gives one-hot rows to the kernel as labels, which are then the same bits."""
    z, y, w, rows = categorical_case(rng, 9, dtype)
    by_label, by_row = np.empty_like(z), np.empty_like(z)
    sums = losses.categorical(z, y, w, losses.total_weight(w), by_label)
    by_rows = losses.categorical(z, rows.astype(dtype), w, losses.total_weight(w), by_row)
    assert by_rows == pytest.approx(sums, rel=1e-5)
    np.testing.assert_allclose(by_row, by_label, rtol=0, atol=4 * np.finfo(dtype).eps)


@DTYPES
@pytest.mark.parametrize("as_rows", [False, True])
@pytest.mark.parametrize("z, label, loss, delta", [
    ([1e4, -1e4, 0], 0, 0, [0, 0, 0]),
    ([1e4, -1e4, 0], 1, 2e4, [1, -1, 0]),
    ([1e4, -1e4, 0], 2, 1e4, [1, 0, -1]),
    ([-1e4, -1e4, -1e4], 2, np.log(3), [1 / 3, 1 / 3, -2 / 3]),
    ([1e4, 1e4, -1e4], 0, np.log(2), [-1 / 2, 1 / 2, 0]),
])
def test_categorical_at_large_logits(dtype, as_rows, z, label, loss, delta):
    z, w, got = np.array([z], dtype), np.ones(1, dtype), np.empty((1, 3), dtype)
    y = naive.one_hot([label], 3).astype(dtype) if as_rows else np.array([label])
    total, _, _ = losses.categorical(z, y, w, losses.total_weight(w), got)
    assert total == pytest.approx(loss, rel=float(np.finfo(dtype).eps), abs=0)
    np.testing.assert_allclose(got[0], delta, rtol=2 * np.finfo(dtype).eps, atol=0)


@DTYPES
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_categorical_shows_nan(rng, dtype, soft, place):
    z, y, w, _ = categorical_case(rng, 4, dtype, soft)
    w[:] = 1
    z[1, place] = np.nan
    delta = np.empty_like(z)
    loss, _, _ = losses.categorical(z, y, w, losses.total_weight(w), delta)
    assert np.isnan(loss)
    assert np.isnan(delta[1]).all() and np.isfinite(delta[[0, 2, 3]]).all()


@DTYPES
@pytest.mark.parametrize("soft", [False, True])
def test_categorical_passes_over_rows_of_weight_zero(rng, dtype, soft):
    z, y, w, _ = categorical_case(rng, 6, dtype, soft)
    w[:] = [1, 0, 2, 0, 0, 1]
    z[1], z[3, 0] = np.nan, np.inf
    delta, kept = np.full_like(z, np.nan), np.flatnonzero(w)
    delta_kept = np.empty_like(z[kept])
    expected = losses.categorical(z[kept], y[kept], w[kept], 4.0, delta_kept)
    assert losses.categorical(z, y, w, 4.0, delta) == expected
    assert np.array_equal(delta[kept], delta_kept)
    assert not delta[[1, 3, 4]].any()


def test_categorical_of_no_weight_at_all_is_zero(rng):
    z, y, w, _ = categorical_case(rng, 3, np.float64)
    delta = np.full_like(z, np.nan)
    assert losses.categorical(z, y, 0 * w, 1.0, delta) == (0, 0, 0)
    assert not delta.any()


@DTYPES
def test_argmax_takes_the_first_of_equals(rng, dtype):
    z = rng.integers(4, size=(50, 6)).astype(dtype)
    out = np.full(50, -1)
    losses.argmax(z, out)
    assert np.array_equal(out, z.argmax(axis=1))


# ---- updates --------------------------------------------------------------------------------------------------------

def steps(rng, dtype, count=5):
    """Return W and the gradients of some steps."""
    return rng.normal(size=37).astype(dtype), rng.normal(size=(count, 37)).astype(dtype)


@DTYPES
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_sgd(rng, dtype, weight_decay):
    W, gradients = steps(rng, dtype)
    expected = naive.sgd(W.astype(float), gradients.astype(float), 0.1, weight_decay=weight_decay)
    for g in gradients:
        updates.sgd(W, g, 0.1, weight_decay)
    close(W, expected, len(gradients))


@DTYPES
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_sgd_momentum(rng, dtype, nesterov, weight_decay):
    W, gradients = steps(rng, dtype)
    expected = naive.sgd(W.astype(float), gradients.astype(float), 0.1, 0.9, nesterov, weight_decay)
    velocity = np.zeros_like(W)
    for g in gradients:
        updates.sgd_momentum(W, g, velocity, 0.1, 0.9, nesterov, weight_decay)
    close(W, expected, len(gradients))


@DTYPES
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_adam(rng, dtype, betas, weight_decay):
    W, gradients = steps(rng, dtype)
    expected = naive.adam(W.astype(float), gradients.astype(float), 0.1, *betas, 1e-3, weight_decay)
    m, v = np.zeros_like(W), np.zeros_like(W)
    for t, g in enumerate(gradients, 1):
        updates.adam(W, g, m, v, t, 0.1, *betas, 1e-3, weight_decay)
    close(W, expected, 4 * len(gradients))


@DTYPES
def test_what_a_step_keeps_becomes_0_before_it_is_denormal(rng, dtype):
    """Some processors take a hundred times as long for such numbers."""
    W, gradients = steps(rng, dtype, 1500)
    gradients[1:] = 0
    by_momentum, by_adam = W.copy(), W.copy()
    velocity, m, v = np.zeros((3, W.size), dtype)
    for t, g in enumerate(gradients, 1):
        updates.sgd_momentum(by_momentum, g, velocity, 0.1, 0.5, False, 0.0)
        updates.adam(by_adam, g, m, v, t, 0.1, 0.5, 0.6, 1e-7, 0.0)
        for kept in (velocity, m, v):
            assert np.all((np.abs(kept) >= np.finfo(dtype).tiny) | (kept == 0))
    assert not (velocity.any() or m.any() or v.any())
    close(by_momentum, naive.sgd(W.astype(float), gradients.astype(float), 0.1, 0.5), 2)
    close(by_adam, naive.adam(W.astype(float), gradients.astype(float), 0.1, 0.5, 0.6), 100)


# One parameter, W = 1, under the gradients 1, -2, 3; learning rate 1/2, b1 = 1/2, b2 = 3/4, epsilon 1, by hand:
#
#   t   g   m = m/2 + g/2         v = 3v/4 + g²/4           m' = m / (1 - 1/2^t)     v' = v / (1 - (3/4)^t)
#   1   1   0 + 1/2 = 1/2         0 + 1/4 = 1/4             (1/2) / (1/2) = 1        (1/4) / (1/4) = 1
#   2  -2   1/4 - 1 = -3/4        3/16 + 1 = 19/16          (-3/4) / (3/4) = -1      (19/16) / (7/16) = 19/7
#   3   3   -3/8 + 3/2 = 9/8      57/64 + 9/4 = 201/64      (9/8) / (7/8) = 9/7      (201/64) / (37/64) = 201/37
#
#   t   W = W - (1/2) m' / (sqrt(v') + 1)
#   1   1 - (1/2) 1 / 2                              = 0.75
#   2   0.75 + (1/2) / (1.647508942 + 1)             = 0.75 + 0.188856775        = 0.938856775
#   3   0.938856775 - (1/2) 1.285714286 / (2.330757909 + 1)
#                                                    = 0.938856775 - 0.193006265 = 0.745850510
ADAM_BY_HAND = [0.75, 0.938856775, 0.745850510]
# AdamW, with a decay of 1/5, first takes (1/2) (1/5) W = W / 10 from W:
#   1   0.9 - 0.25                = 0.65
#   2   0.585 + 0.188856775       = 0.773856775
#   3   0.696471098 - 0.193006265 = 0.503464833
ADAMW_BY_HAND = [0.65, 0.773856775, 0.503464833]


@DTYPES
@pytest.mark.parametrize("weight_decay, table", [(0.0, ADAM_BY_HAND), (0.2, ADAMW_BY_HAND)])
def test_adam_follows_the_table_worked_by_hand(dtype, weight_decay, table):
    W, m, v = np.ones(1, dtype), np.zeros(1, dtype), np.zeros(1, dtype)
    for t, (g, expected) in enumerate(zip([1, -2, 3], table), 1):
        updates.adam(W, np.array([g], dtype), m, v, t, 0.5, 0.5, 0.75, 1.0, weight_decay)
        assert W[0] == pytest.approx(expected, abs=1e-6 if dtype == np.float32 else 1e-9)
    assert (m[0], v[0]) == pytest.approx((9 / 8, 201 / 64), rel=1e-6)
