"""The table of kernels: how each is called, with arrays as the library allocates them, of any width."""
import numpy as np
from kernel_tools import rows_with_zeros, with_padding
from scale import times
from scipy import sparse

from nnjit.inputs.sparse_rows import SparseRows
from nnjit.kernels import (
    activations,
    affine,
    augmentation,
    checks,
    dropout,
    losses,
    normalization,
    penalties,
    pooling,
    random,
    softmax,
    updates,
)
from nnjit.kernels.convolution import correlation, depthwise, gradient
from nnjit.kernels.recurrent import gru, lstm, reset_gru, steps
from nnjit.kernels.sparse import format, product
from nnjit.memory import padded_shape

MANY = 8        # rows from which on a call has more of something: tiles, chunks
ROWS = times((3, 21), (1, 3, 8, 21))    # fewer than that, and more


class Arrays:
    """What one call of a kernel gets: arrays of a ``dtype``, of N rows and n columns, the same every time.

    ``take`` is a function of a number of bytes that returns so much memory, as uint8.

    Attributes
    ----------
    inputs : list of (array, what was in it)
    results : list of the arrays that the kernel writes
    """

    def __init__(self, dtype, N, n, take):
        self.dtype, self.N, self.n, self._take = np.dtype(dtype), N, n, take
        self.rng, self.inputs, self.results = np.random.default_rng(5), [], []

    def put(self, values):
        """Return the values in an array that the kernel reads."""
        array = self._new(values.shape, values.dtype)
        array[...] = values
        self.inputs.append((array, values))
        return array

    def own(self, values):
        """Return the values in an array that the kernel changes."""
        array = self.fresh(*values.shape, dtype=values.dtype)
        array[...] = values
        return array

    def fresh(self, *shape, dtype=None):
        """Return an array that the kernel writes."""
        self.results.append(self.room(*shape, dtype=dtype))
        return self.results[-1]

    def room(self, *shape, dtype=None):
        """Return an array of which the kernel writes what it likes."""
        return self._new(shape, np.dtype(dtype or self.dtype))

    def _new(self, shape, dtype):
        nbytes = int(np.prod(shape)) * dtype.itemsize
        return self._take(nbytes).view(dtype).reshape(shape)

    def normal(self, *shape):
        return self.rng.normal(size=shape).astype(self.dtype)

    def fractions(self, *shape):
        return self.rng.uniform(0.1, 0.9, shape).astype(self.dtype)

    def numbers(self, *shape):
        return self.put(self.normal(*shape))

    def changed(self, *shape):
        return self.own(self.normal(*shape))

    def stored(self, D, H):
        """Return a matrix whose rows are padded as parameters are."""
        return self.put(with_padding(self.normal(D, H)))

    def integers(self, high, *shape, dtype=np.int64):
        return self.put(self.rng.integers(high, size=shape).astype(dtype))

    def rows_beyond(self, numbers, n=None):
        """Return N, or, of many rows, as many as have more than so many numbers."""
        return self.N if self.N < MANY else max(self.N, numbers // (n or self.n) + 1)


# ---- dense rows --------------------------------------------------------------------------------------------

def _dense_product(g):
    """Both sides of every width; depths from which tiles are used, and threads; a factor read in place."""
    deep = [-(-nbytes // (g.N * g.n * g.dtype.itemsize)) for nbytes in (2**19, 2**21 + 1) if g.N >= MANY]
    for N, D, H in [(g.N, g.n, 6), (g.N, 6, g.n), *((g.N, depth, g.n) for depth in deep),
                    *((g.N + 60, g.n, depth) for depth in deep[:1])]:
        x, W, delta, none = g.numbers(N, D), g.stored(D, H), g.numbers(N, H), g.numbers(0)
        for b in (g.numbers(H), none):
            affine.product(x, False, W, False, b, g.fresh(N, H))
        affine.product(x, True, delta, False, none, g.fresh(*padded_shape((D, H), g.dtype)))
        affine.product(delta, False, W, True, none, g.fresh(N, D))


def _vectors(g):
    """Return parameters, their gradient, and means of it and of its squares: n numbers, or some chunks more.
    """
    size = g.n + g.N // MANY * 1024
    return g.changed(size), g.numbers(size), g.changed(size), g.own(g.fractions(size))


def _rmsprop(g):
    """With a mean and a velocity, and without."""
    for some in (slice(None), slice(0)):
        W, slopes, velocity, squares = _vectors(g)
        mean, velocity = (g.own(array[some]) for array in (0 * W, velocity))
        updates.rmsprop(W, slopes, squares, mean, velocity, 0.1, 0.9, 0.5, 1e-7, 0.01)


def _forward(kernel, *constants):
    def call(g):
        kernel(g.numbers(g.N, g.n), g.fresh(g.N, g.n), *constants)
        x = g.changed(g.N, g.n)
        kernel(x, x, *constants)
    return call


def _backward(kernel, *constants):
    def call(g):
        saved = g.numbers(g.N, g.n)
        kernel(saved, g.numbers(g.N, g.n), g.fresh(g.N, g.n), *constants)
        delta = g.changed(g.N, g.n)
        kernel(saved, delta, delta, *constants)
    return call


def _elementwise():
    """Return the rows of the activations: forward and backward, serial and in chunks."""
    constants, rows = {"leaky_relu": (0.1,), "elu": (0.7,)}, {}
    for name in ("tanh", "sigmoid", "softplus", "relu", "gelu", "silu", "leaky_relu", "elu"):
        module = "elementary" if name in ("tanh", "sigmoid", "softplus") else "activations"
        for way, make in (("forward", _forward), ("backward", _backward)):
            pair = getattr(activations, f"{name}_{way}")
            rows[f"{module}.{name}_{way}"] = make(pair.serial, *constants.get(name, ()))
            rows[f"{module}.{name}_{way}_in_chunks"] = make(pair.parallel, *constants.get(name, ()))
    return rows


def _softmax(kernel):
    def call(g):
        kernel(g.numbers(g.N, g.n), g.fresh(g.N, g.n))
        z = g.changed(g.N, g.n)
        kernel(z, z)
    return call


def _categorical(g):
    N = g.rows_beyond(2560)
    z, w = g.numbers(N, g.n), g.put(g.fractions(N))
    for y in (g.integers(g.n, N), g.put(g.fractions(N, g.n))):
        losses.categorical(z, y, w, 10.0, g.fresh(N, g.n))
    z = g.changed(N, g.n)
    return losses.categorical(z, g.integers(g.n, N), w, 10.0, z)


def _independent(kernel, *threshold):
    def call(g):
        kernel(g.numbers(g.N, g.n), g.put(g.fractions(g.N, g.n)), *threshold, g.fresh(g.N, g.n),
               g.fresh(g.N, g.n))
    return call


def _ordinal(g):
    """n cut points."""
    b = g.put(np.sort(g.normal(g.n))[::-1].copy())
    return losses.ordinal(g.numbers(g.N, 1), b, g.integers(g.n + 1, g.N), g.put(g.fractions(g.N)), 3.0,
                          g.fresh(4, g.N, g.n), g.fresh(g.N, 1), g.fresh(g.n))


def _weighted_sums(g):
    losses_of_all = g.numbers(g.N, g.n)
    return losses.weighted_sums(losses_of_all, g.numbers(g.N, g.n), g.put(g.fractions(g.N)), g.n, 3.0,
                                g.changed(g.N, g.n))


def _apply_mask(g):
    words = g.integers(2**63, g.N, -(-g.n // dropout.WORD), dtype=np.uint64)
    dropout.apply_mask(g.numbers(g.N, g.n), words, 1.25, g.fresh(g.N, g.n))
    x = g.changed(g.N, g.n)
    dropout.apply_mask(x, words, 1.25, x)


def _draw_mask(g):
    for rate in (0.5, 0.3, 0.0):
        dropout.draw_mask(random.layer_key(5, 1), 3, 7, *dropout.keep_digits(rate),
                          g.fresh(g.N, -(-g.n // dropout.WORD), dtype=np.uint64))


def _index_order(g):
    matrix = sparse.csr_array(rows_with_zeros(g.rng, g.N, g.n, g.dtype))
    return checks.index_order(g.put(matrix.indptr), g.put(matrix.indices), g.n)


# ---- normalisation -----------------------------------------------------------------------------------------

def _normalized(g):
    """Return rows of three pixels side by side, examples' weights, and a function that makes a channel's."""
    M = max(2, g.rows_beyond(2**17 // g.dtype.itemsize, 3 * g.n) // g.N + 1) * g.N
    return (M, 3 * g.n), g.put(g.fractions(g.N)), lambda: g.put(g.fractions(g.n))


def _batch_statistics(g):
    shape, w, channels = _normalized(g)
    x = g.numbers(*shape)
    for weights in (w, g.put(0 * w)):
        normalization.batch_statistics(x, weights, channels(), channels(), g.fresh(2, g.n))


def _normalize(g):
    shape, _, channels = _normalized(g)
    for x, out in ((g.numbers(*shape), g.fresh(*shape)), 2 * (g.changed(*shape),)):
        normalization.normalize(x, channels(), channels(), 1e-3, channels(), channels(), out)


def _normalize_gradients(g):
    shape, _, channels = _normalized(g)
    normalization.normalize_gradients(g.numbers(*shape), channels(), channels(), 1e-3, g.numbers(*shape),
                                      g.fresh(g.n), g.fresh(g.n))


def _normalize_backward(g):
    shape, _, channels = _normalized(g)
    for delta, dx in ((g.numbers(*shape), g.fresh(*shape)), 2 * (g.changed(*shape),)):
        normalization.normalize_backward(delta, channels(), 1e-3, channels(), dx)


def _normalize_batch_backward(g):
    shape, w, channels = _normalized(g)
    for delta, dx in ((g.numbers(*shape), g.fresh(*shape)), 2 * (g.changed(*shape),)):
        normalization.normalize_batch_backward(g.numbers(*shape), w, delta, g.put(g.fractions(2, g.n)), 1e-3,
                                               channels(), channels(), channels(), dx)


def _layer_normalize(g):
    M = g.rows_beyond(2**17 // g.dtype.itemsize)
    normalization.layer_normalize(g.numbers(M, g.n), 1e-3, g.numbers(g.n), g.numbers(g.n), g.fresh(M, 2),
                                  g.fresh(M, g.n))


def _layer_normalize_backward(g):
    M = g.rows_beyond(2**17 // g.dtype.itemsize)
    for delta, dx in ((g.numbers(M, g.n), g.fresh(M, g.n)), 2 * (g.changed(M, g.n),)):
        normalization.layer_normalize_backward(g.numbers(M, g.n), g.put(g.fractions(M, 2)), g.numbers(g.n),
                                               delta, g.fresh(g.n), g.fresh(g.n), dx)


# ---- images and sequences ----------------------------------------------------------------------------------

def _moved(g):
    mirrored, *shifts = (g.put(g.rng.integers(low, high, g.N)) for low, high in ((0, 2), (-2, 3), (-2, 3)))
    augmentation.move(g.numbers(g.N, 3, 5, g.n), mirrored, *shifts, g.fresh(g.N, 3, 5, g.n))


# a window, its steps, its corner, and the size of what is pooled from images of 4 by 11
_WINDOWS = [((2, 2), (2, 2), (0, 0), (2, 5)), ((3, 2), (1, 1), (0, 0), (2, 10)),
            ((3, 3), (2, 2), (1, 1), (2, 6))]


def _pooled(kernel, *more):
    def call(g):
        x = g.numbers(g.N, 4, 11, g.n)
        for *window, size in _WINDOWS:
            kernel(x, *window, *more, g.fresh(g.N, *size, g.n))
    return call


def _max_pool_backward(g):
    x = g.numbers(g.N, 4, 11, g.n)
    for *window, size in _WINDOWS:
        pooling.max_pool_backward(x, g.numbers(g.N, *size, g.n), *window, g.fresh(*x.shape))


def _average_pool_backward(g):
    for *window, size in _WINDOWS:
        pooling.average_pool_backward(g.numbers(g.N, *size, g.n), *window, False,
                                      g.fresh(g.N, 4, 11, g.n))


def _mask(g):
    """Return a mask of five steps, of which each row has at least one."""
    mask = g.rng.random((g.N, 5)) < 0.6
    mask[:, 2] = True
    return g.put(mask)


# of a convolution of images of 3 by 11: inputs and filters, both a group, and groups; steps, dilation; size
def _convolutions(g):
    few = [(3, g.n, 1), (g.n, 5, 1), (2, g.n, 2)]
    return zip(few, [(1, 1), (2, 1), (1, 2)], [(1, 1), (1, 2), (1, 1)], [(3, 11), (2, 11), (3, 6)])


def _taps(*lengths):
    return [(0,) * length for length in lengths]


def _correlate_in_tiles(g):
    for taps in _taps(1, 2, 4):
        for (C, K, groups), by, dilation, size in _convolutions(g):
            small, large = (g.N, *size, groups * K), (g.N, 3, 11, groups * C)
            W, b, none = g.numbers(3, 3, C, groups * K), g.numbers(groups * K), g.numbers(0)
            correlation.correlate_in_tiles(g.numbers(*large), W, False, b, by, (1, 1), dilation, (1, 1),
                                           groups, taps, g.fresh(*small))
            correlation.correlate_in_tiles(g.numbers(*small), W, True, none, (1, 1), by, dilation, (1, 1),
                                           groups, taps, g.fresh(*large))


def _gradient_in_tiles(g):
    for threes, parts in ((1, 1), (3, 2), (3, 4)):
        for (C, K, groups), by, dilation, size in _convolutions(g):
            x, delta = g.numbers(g.N, 3, 11, groups * C), g.numbers(g.N, *size, groups * K)
            gradient.gradient_in_tiles(x, delta, by, dilation, (1, 1), groups, *_taps(threes, parts),
                                       g.fresh(3, 3, C, groups * K), g.fresh(groups * K))


def _correlate_channels(g):
    W = g.numbers(3, 3, 1, g.n)
    for flipped, b in ((False, g.numbers(g.n)), (True, g.numbers(0))):
        for _, by, dilation, size in _convolutions(g):
            depthwise.correlate_channels(g.numbers(g.N, 3, 11, g.n), W, flipped, b, by, (1, 1), dilation,
                                         (1, 1), g.fresh(g.N, *size, g.n))


def _gradient_of_channels(g):
    for _, by, dilation, size in _convolutions(g):
        depthwise.gradient_of_channels(g.numbers(g.N, 3, 11, g.n), g.numbers(g.N, *size, g.n), by, dilation,
                                       (1, 1), g.fresh(3, 3, 1, g.n), g.fresh(g.n))


def _packed(g):
    """Return (lengths, first, order, places) of a mask, and the number of valid steps."""
    mask = _mask(g)
    lengths, places = mask.sum(1), np.zeros(mask.size, np.int64)
    P = lengths.sum()
    places[:P] = np.flatnonzero(mask)
    arrays = lengths, np.cumsum(lengths) - lengths, np.argsort(-lengths, kind="stable"), places
    return tuple(g.put(array) for array in arrays), int(P)


def _recurrent_forward(kernel, gates, kept, *biases):
    """``kept`` arrays are written besides the gates."""
    def call(g):
        packed, P = _packed(g)
        U, b = g.stored(g.n, gates * g.n), [g.numbers(size * g.n) for size in biases]
        for backwards, at_every_step in ((False, True), (True, False)):
            written = [g.fresh(P, g.n) for _ in range(kept)]
            kernel(U, *b, packed, backwards, g.changed(P, gates * g.n), *written,
                   g.fresh(g.N * (5 if at_every_step else 1), g.n), at_every_step)
    return call


def _recurrent_backward(kernel, gates, changed):
    """Of the two arrays that the way forward has kept, the first is changed or not."""
    def call(g):
        packed, P = _packed(g)
        U = g.stored(g.n, gates * g.n)
        for backwards, at_every_step in ((False, True), (True, False)):
            first = g.fractions(P, g.n)
            kernel(U, packed, backwards, g.own(g.fractions(P, gates * g.n)),
                   g.own(first) if changed else g.put(first), g.put(g.fractions(P, g.n)),
                   g.numbers(g.N * (5 if at_every_step else 1), g.n), at_every_step)
    return call


def _pack_steps(g):
    """n steps."""
    mask = g.put(g.rng.random((g.N, g.n)) < 0.6)
    return steps.pack_steps(mask, *(g.fresh(size, dtype=np.int64) for size in 3 * [g.N] + [mask.size]))


def _gather_steps(g):
    (*_, places), P = _packed(g)
    steps.gather_steps(g.numbers(g.N * 5, g.n), places, g.fresh(P, g.n))


def _scatter_steps(g):
    (*_, places), P = _packed(g)
    steps.scatter_steps(g.numbers(P, g.n), places, g.fresh(g.N * 5, g.n))


# ---- sparse rows -------------------------------------------------------------------------------------------

def _sparse(g, D):
    """Return rows of a third of D numbers, dense and as `SparseRows` in as little memory as these take."""
    x = rows_with_zeros(g.rng, g.N, D, g.dtype)
    return x, SparseRows(sparse.csr_array(x), g.dtype)


def _batch(g, arrays):
    return tuple(map(g.put, arrays))


def _blocks(columns):
    return -(-columns // format.block_width(columns))


def _made(g, D, N, capacity, make, *arguments):
    """Make a batch of N rows with D columns; return its numbers, which may lie anywhere, row by row."""
    extents, indices, data = batch = (g.room(_blocks(D), N, 2, dtype=np.int64),
                                      g.room(capacity, dtype=np.uint16), g.room(capacity))
    make(*arguments, *batch)
    return [(indices[i:j].tolist(), data[i:j].tolist()) for i, j in extents.reshape(-1, 2)]


def _compress(g):
    x, found = _sparse(g, g.n)[0], []
    for X in (x, np.abs(2 * x).astype(np.uint8), (2 * x).astype(np.int64)):
        indptr, capacity = g.fresh(g.N, _blocks(g.n) + 1, dtype=np.int64), X.size + format.SLACK
        indices, data = g.room(capacity, dtype=np.uint16), g.room(capacity)
        found.append(format.compress(g.put(X), 0, indptr, indices, data))
        found += indices[:indptr[-1, -1]].tolist(), data[:indptr[-1, -1]].tolist()
    return found


def _compress_rows(g):
    x, rows = _sparse(g, g.n)
    split, numbers = rows[:].split, g.put(g.rng.permutation(g.N))
    capacity = (2 if split else 1) * g.N * (g.n + format.SLACK)
    return [_made(g, g.n, g.N, capacity, format.compress_rows, g.put(X), numbers, split)
            for X in (x, np.abs(2 * x).astype(np.uint8))]


def _block_indptr(g):
    matrix = sparse.csr_array(_sparse(g, g.n)[0])
    format.block_indptr(g.put(matrix.indptr), g.put(matrix.indices.astype(np.uint16)), g.n,
                        g.fresh(g.N, _blocks(g.n) + 1, dtype=np.int64))


def _matrix(g, rows):
    return _batch(g, (rows.indptr, rows.indices, rows.data))


def _gather_rows(g):
    _, rows = _sparse(g, g.n)
    split, most = rows[:].split, int(np.ptp(rows.indptr, axis=1).max())
    return _made(g, g.n, g.N, (2 if split else 1) * g.N * (most + format.SLACK), format.gather_rows,
                 *_matrix(g, rows), g.put(g.rng.permutation(g.N)), split)


def _pack_blocks(g):
    _, rows = _sparse(g, g.n)
    first = g.N // 2
    capacity = int(rows.indptr[-1, -1] - rows.indptr[first, 0]) + _blocks(g.n) * format.SLACK
    return _made(g, g.n, g.N - first, capacity, format.pack_blocks, *_matrix(g, rows), first)


def _transpose(g):
    _, rows = _sparse(g, g.n)
    batch = rows[:]
    return _made(g, g.N, g.n, int(rows.indptr[-1, -1]), format.transpose, *_batch(g, batch.arrays),
                 batch.split)


def _pad_rows(g):
    format.pad_rows(g.numbers(g.N, g.n), g.fresh(*padded_shape((g.N, g.n), g.dtype)))


def _sparse_product(g):
    """Columns in one block, and in two halves; the weight gradient as the product of the transpose."""
    for D, H in ((g.n, 5), (7, g.n), (230, g.n)):
        batch = _sparse(g, D)[1][:]
        product.product(*_batch(g, batch.arrays), batch.split, g.stored(D, H), H, g.numbers(H),
                        g.fresh(g.N, H))
        product.product(*_batch(g, batch.transposed), 0, g.stored(g.N, H), H, g.numbers(0),
                        g.fresh(*padded_shape((D, H), g.dtype)))


def _product_from_dense(g):
    found = []
    for D, H in ((g.n, 5), (7, g.n), (230, g.n)):
        x, W, b = rows_with_zeros(g.rng, g.N, D, g.dtype), g.stored(D, H), g.numbers(H)
        for X in (x, np.abs(2 * x).astype(np.uint8)):
            found.append(product.product_from_dense(g.put(X), W, b, g.fresh(g.N, H)))
    return found


def _sparse_weight_gradient(g):
    for D, H in ((g.n, 5), (7, g.n), (230, g.n)):
        batch = _sparse(g, D)[1][:]
        product.weight_gradient(*_batch(g, batch.arrays), batch.split, g.numbers(g.N, H), H,
                                g.fresh(*padded_shape((D, H), g.dtype)))


# ---- the table ---------------------------------------------------------------------------------------------

KERNELS = {
    **_elementwise(),
    "affine.bias_gradient": lambda g: affine.bias_gradient(g.numbers(g.N, g.n), g.fresh(g.n)),
    "affine.product": _dense_product,
    "augmentation.move": _moved,
    "checks.exceeds": lambda g: checks.exceeds(g.numbers(g.n), 9),
    "checks.index_order": _index_order,
    "convolution.correlation.correlate_in_tiles": _correlate_in_tiles,
    "convolution.depthwise.correlate_channels": _correlate_channels,
    "convolution.depthwise.gradient_of_channels": _gradient_of_channels,
    "convolution.gradient.bias_gradient": lambda g: gradient.bias_gradient(g.numbers(g.N, 2, 3, g.n),
                                                                           g.fresh(g.n)),
    "convolution.gradient.gradient_in_tiles": _gradient_in_tiles,
    "dropout.apply_mask": _apply_mask,
    "dropout.draw_mask": _draw_mask,
    "losses.absolute_error": _independent(losses.absolute_error),
    "losses.argmax": lambda g: losses.argmax(g.numbers(g.N, g.n), g.fresh(g.N, dtype=np.int64)),
    "losses.bernoulli": lambda g: losses.bernoulli(
        g.numbers(g.N, g.n), *2 * (g.put(g.fractions(g.N, g.n)),), g.fresh(g.N, g.n), g.fresh(g.N, g.n)),
    "losses.categorical": _categorical,
    "losses.first_nan": lambda g: losses.first_nan(g.numbers(g.N, g.n)),
    "losses.huber": _independent(losses.huber, 0.5),
    "losses.ordinal": _ordinal,
    "losses.poisson": _independent(losses.poisson),
    "losses.poisson_rates": lambda g: losses.poisson_rates(g.numbers(g.N, g.n), g.fresh(g.N, g.n)),
    "losses.squared_error": _independent(losses.squared_error),
    "losses.total_weight": lambda g: losses.total_weight(g.numbers(g.n)),
    "losses.weighted_sums": _weighted_sums,
    "normalization.batch_statistics": _batch_statistics,
    "normalization.layer_normalize": _layer_normalize,
    "normalization.layer_normalize_backward": _layer_normalize_backward,
    "normalization.normalize": _normalize,
    "normalization.normalize_backward": _normalize_backward,
    "normalization.normalize_batch_backward": _normalize_batch_backward,
    "normalization.normalize_gradients": _normalize_gradients,
    "penalties.add_slope": lambda g: penalties.add_slope(
        g.stored(g.rows_beyond(2**15), g.n), 0.1, 0.2,
        g.own(with_padding(g.normal(g.rows_beyond(2**15), g.n)))),
    "penalties.penalty": lambda g: penalties.penalty(g.stored(g.N, g.n), 0.1, 0.2),
    "pooling.average_pool": _pooled(pooling.average_pool, True),
    "pooling.average_pool_backward": _average_pool_backward,
    "pooling.average_steps": lambda g: pooling.average_steps(g.numbers(g.N, 5, g.n), _mask(g),
                                                             g.fresh(g.N, g.n)),
    "pooling.average_steps_backward": lambda g: pooling.average_steps_backward(
        g.numbers(g.N, g.n), _mask(g), g.fresh(g.N, 5, g.n)),
    "pooling.largest_of_steps": lambda g: pooling.largest_of_steps(g.numbers(g.N, 5, g.n), _mask(g),
                                                                   g.fresh(g.N, g.n)),
    "pooling.largest_of_steps_backward": lambda g: pooling.largest_of_steps_backward(
        g.numbers(g.N, 5, g.n), _mask(g), g.numbers(g.N, g.n), g.fresh(g.N, 5, g.n)),
    "pooling.max_pool": _pooled(pooling.max_pool),
    "pooling.max_pool_backward": _max_pool_backward,
    "random.draw_integers": lambda g: random.draw_integers(random.layer_key(5, 1), 3, 7, 10,
                                                           g.fresh(g.N, g.n, dtype=np.int64)),
    "recurrent.gru.gru_backward": _recurrent_backward(gru.gru_backward, 3, True),
    "recurrent.gru.gru_forward": _recurrent_forward(gru.gru_forward, 3, 2, 3),
    "recurrent.gru.multiply_candidates": lambda g: gru.multiply_candidates(g.changed(g.N, 3 * g.n),
                                                                           g.numbers(g.N, g.n)),
    "recurrent.lstm.lstm_backward": _recurrent_backward(lstm.lstm_backward, 4, False),
    "recurrent.lstm.lstm_forward": _recurrent_forward(lstm.lstm_forward, 4, 3),
    "recurrent.reset_gru.reset_gru_backward": _recurrent_backward(reset_gru.reset_gru_backward, 3, True),
    "recurrent.reset_gru.reset_gru_forward": _recurrent_forward(reset_gru.reset_gru_forward, 3, 1),
    "recurrent.steps.gather_steps": _gather_steps,
    "recurrent.steps.pack_steps": _pack_steps,
    "recurrent.steps.scatter_steps": _scatter_steps,
    "softmax.exponentials": lambda g: softmax.exponentials(g.changed(g.N, g.n)),
    "softmax.log_softmax": _softmax(softmax.log_softmax),
    "softmax.softmax": _softmax(softmax.softmax),
    "softmax.softmax_backward": lambda g: softmax.softmax_backward(g.put(g.fractions(g.N, g.n)),
                                                                   g.changed(g.N, g.n)),
    "sparse.format.block_indptr": _block_indptr,
    "sparse.format.block_width": lambda g: format.block_width(g.n),
    "sparse.format.compress": _compress,
    "sparse.format.compress_rows": _compress_rows,
    "sparse.format.gather_rows": _gather_rows,
    "sparse.format.has_nonfinite": lambda g: format.has_nonfinite(g.numbers(g.n), 0, g.n, g.numbers(0)),
    "sparse.format.pack_blocks": _pack_blocks,
    "sparse.format.pad_rows": _pad_rows,
    "sparse.format.transpose": _transpose,
    "sparse.product.product": _sparse_product,
    "sparse.product.product_from_dense": _product_from_dense,
    "sparse.product.weight_gradient": _sparse_weight_gradient,
    "updates.adam": lambda g: updates.adam(*_vectors(g), 3, 0.1, 0.9, 0.99, 1e-7, 0.01),
    "updates.clip": lambda g: updates.clip(_vectors(g)[0], 0.5),
    "updates.rmsprop": _rmsprop,
    "updates.sgd": lambda g: updates.sgd(*_vectors(g)[:2], 0.1, 0.01),
    "updates.sgd_momentum": lambda g: updates.sgd_momentum(*_vectors(g)[:3], 0.1, 0.9, True, 0.01),
}
