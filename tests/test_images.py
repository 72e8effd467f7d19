"""Images: the kernels against their naive twins, the layers' shapes and gradients, bytes, threads."""
import naive
import numba
import numpy as np
import pytest
from cases import Alone, Case
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_gradients import check

import nnjit as nn
from nnjit import preparation
from nnjit.kernels import pooling, random
from nnjit.kernels.convolution import correlation
from nnjit.layers import Context
from nnjit.layers.windows import as_pair

EPS = {"float32": 2e-6, "float64": 1e-14}    # of a sum of products near 1, for each of its terms


def layer(kind, input_shape, *args, dtype="float64", seed=0, **options):
    """Return a layer with its arrays, `Alone`: parameters that are not 0, gradients that are still NaN."""
    alone, rng = Alone(Case(lambda: kind(*args, **options), input_shape), dtype), np.random.default_rng(seed)
    for name, array in alone.layer.parameters.items():
        array[...] = rng.uniform(-1, 1, array.shape)
        alone.layer.gradients[name][...] = np.nan
    return alone


def forward_and_backward(alone, x, rng):
    """Return the output, a delta, and dx."""
    ctx = alone.context(len(x), None)
    a = alone.layer.forward(x, np.full((len(x), *alone.output_shape), np.nan, x.dtype), ctx)
    delta = rng.normal(size=a.shape).astype(a.dtype)
    return a, delta, alone.layer.backward(x, a, delta, np.full(x.shape, np.nan, x.dtype), ctx)


# ---- convolution -------------------------------------------------------------------------------------------

PAIRS = st.sampled_from([1, 2, 3, (1, 2), (2, 1), (3, 2)])
SIDES = st.tuples(st.integers(0, 3), st.integers(0, 3))


@st.composite
def convolutions(draw):
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    return {"shape": (draw(st.integers(1, 3)), draw(st.integers(9, 14)), draw(st.integers(9, 18)),
                      groups * draw(st.integers(1, 3))),
            "filters": groups * draw(st.sampled_from([1, 3, 4, 8, 9])),
            "kernel": draw(st.sampled_from([1, 2, 3, 4, 5, (1, 3), (3, 5), (4, 1)])), "strides": draw(PAIRS),
            "padding": draw(st.one_of(st.sampled_from(["same", "valid"]), st.tuples(SIDES, SIDES))),
            "bias": draw(st.booleans()), "seed": draw(st.integers(0, 99)), "groups": groups,
            "dilation": draw(st.sampled_from([1, 1, 2, (1, 2), (2, 1)]))}


def check_convolution(dtype, shape, filters, kernel, strides, padding, bias, seed, dilation=1, groups=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape).astype(dtype)
    alone = layer(nn.Conv2D, shape[1:], filters, kernel, strides, padding, bias, dtype=dtype, seed=seed,
                  dilation=dilation, groups=groups)
    conv, output_shape = alone.layer, alone.output_shape
    W, b = conv.parameters["W"], conv.parameters["b"]
    how = as_pair(strides), padding, as_pair(dilation), groups
    a, delta, dx = forward_and_backward(alone, x, rng)
    expected = naive.convolution(x, W, b, *how)
    assert expected.shape[1:] == output_shape
    tolerance = {"rtol": 0, "atol": EPS[dtype] * (W[..., 0].size + 5) * 5}
    np.testing.assert_allclose(a, expected, **tolerance)
    # a matrix would be large; dx has the product with any images that delta has with their convolution
    others = rng.normal(size=shape)
    product = (delta * naive.convolution(others, W, b[:0], *how)).sum()
    np.testing.assert_allclose((dx * others).sum(), product, rtol=1e-4 if dtype == "float32" else 1e-10,
                               atol=1e-11)
    np.testing.assert_allclose(conv.gradients["W"], naive.convolution_gradient(x, delta, W.shape, *how),
                               rtol=0, atol=EPS[dtype] * delta.size * 5)
    if bias:
        np.testing.assert_allclose(conv.gradients["b"], delta.astype(float).sum((0, 1, 2)), rtol=0,
                                   atol=EPS[dtype] * delta.size * 5)


@pytest.mark.compiled
@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(convolutions())
def test_convolutions(case):
    check_convolution("float64", **case)


@pytest.mark.parametrize("case", [
    {"shape": (2, 5, 6, 2), "filters": 3, "kernel": 3, "strides": 1, "padding": "same"},
    {"shape": (1, 6, 5, 2), "filters": 4, "kernel": (2, 3), "strides": (2, 1), "padding": ((0, 2), (1, 1)),
     "dilation": (1, 2)},
    {"shape": (1, 5, 5, 4), "filters": 4, "kernel": 3, "strides": 2, "padding": "valid", "groups": 4},
    {"shape": (1, 5, 5, 4), "filters": 2, "kernel": 2, "strides": 1, "padding": "same", "groups": 2}])
def test_a_few_convolutions(case):
    check_convolution("float64", **case, bias=True, seed=2)


@pytest.mark.compiled
@pytest.mark.parametrize("filters, shape", [
    (4, (3, 8, 16, 1)), (8, (19, 9, 11, 3)), (8, (2, 5, 40, 8)), (16, (2, 7, 13, 8)), (24, (2, 5, 28, 4)),
    (32, (3, 6, 6, 16)), (6, (2, 4, 17, 5))])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_convolutions_of_every_tile(filters, shape, dtype):
    check_convolution(dtype, shape, filters, 3, 1, "same", True, seed=1)
    check_convolution(dtype, shape, filters, 3, 2, ((1, 1), (1, 1)), True, seed=1)


@pytest.mark.parametrize("groups", [1, 2])
def test_strips_of_filters_in_pairs(groups, monkeypatch):
    """Two pairs and some filters more, also where their Python functions run."""
    if numba.config.DISABLE_JIT:
        monkeypatch.setattr(correlation, "_IN_PAIRS", True)
    check_convolution("float64", (1, 2, 9, groups), 36 * groups, (2, 3), 1, "same", True, 1, groups=groups)


@pytest.mark.compiled
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_window_for_each_channel(dtype):
    for strides, dilation, padding in (1, 1, "same"), (2, 1, ((1, 0), (1, 2))), (1, 2, "valid"):
        check_convolution(dtype, (3, 9, 12, 7), 7, (3, 2), strides, padding, True, 4, dilation, 7)
    check_convolution(dtype, (3, 9, 12, 4), 8, 3, 1, "same", True, 4, 1, 4)    # two filters for each


def test_padding_as_pytorch_has_it(rng):
    """With strides, "same" and a padding of 1 begin at other pixels."""
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    def ones(rng, shape):
        return np.ones(shape)

    tops = []
    for padding in "same", 1, ((1, 0), (1, 0)):
        model = nn.Sequential([nn.Conv2D(1, 3, 2, padding, bias=False, init=ones), nn.Flatten(),
                               nn.Dense(1, init=ones)], nn.Gaussian(), "float64").build((4, 4, 1))
        tops.append(model.activations(x)[0][0, 0, 0, 0])
    assert tops == [x[0, :3, :3].sum(), x[0, :2, :2].sum(), x[0, :2, :2].sum()]


def test_an_infinite_pixel_stays_where_windows_see_it():
    x = np.zeros((1, 3, 33, 1))
    x[0, 1, 20] = np.inf
    a, _, _ = forward_and_backward(layer(nn.Conv2D, (3, 33, 1), 1, 1), x, np.random.default_rng(0))
    assert np.isfinite(np.delete(a, 20, axis=2)).all() and not np.isfinite(a[0, 1, 20]).any()


def test_weights_and_channels_that_fill_no_vector_leave_the_neighbours_alone(rng):
    """Rows and channels end in the middle of a tile: nothing is written beyond them."""
    alone = layer(nn.Conv2D, (5, 5, 2), 3, 3)
    memory = np.full(2 * 75 + 8, 7.0)
    out = memory[4:-4].reshape(2, *alone.output_shape)
    alone.layer.forward(rng.normal(size=(2, 5, 5, 2)), out, alone.context(2))
    assert (memory[:4] == 7).all() and (memory[-4:] == 7).all()


@pytest.mark.parametrize("kernel, strides, padding, more", [
    *[(kernel, stride, padding, {}) for kernel, stride in ((3, 2), (2, 3), (2, 2), (4, 1))
      for padding in ("same", "valid")],
    ((3, 2), (2, 1), ((1, 0), (1, 1)), {}), (3, 2, 1, {"output_padding": 1}),
    (3, 2, "same", {"output_padding": 1}),
    (3, (2, 3), "valid", {"output_padding": (1, 2)}), (3, 1, "valid", {"dilation": 2}),
    (2, 2, "same", {"groups": 2})])
def test_the_transposed_convolution_is_the_transpose(rng, kernel, strides, padding, more):
    alone = layer(nn.Conv2DTranspose, (4, 5, 4), 2, kernel, strides, padding, **more)
    up, output_shape = alone.layer, alone.output_shape
    x = rng.normal(size=(2, 4, 5, 4))
    a, delta, dx = forward_and_backward(alone, x, rng)
    sides = padding if padding in ("same", "valid") else up.padding
    if "output_padding" in more and padding == "same":    # the convolution that gives back the shape
        sides = tuple((c, c + 1) for c in up.corner)
    how = output_shape, as_pair(strides), sides, as_pair(up.dilation), up.groups
    M = naive.convolution_matrix(up.parameters["W"], *how)
    assert M.shape == (80, a[0].size)    # the convolution gives back the shape
    biases = np.broadcast_to(up.parameters["b"], output_shape).ravel()
    np.testing.assert_allclose(a.reshape(2, -1), x.reshape(2, -1) @ M + biases, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dx.reshape(2, -1), delta.reshape(2, -1) @ M.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(up.gradients["b"], delta.sum((0, 1, 2)), rtol=1e-12, atol=1e-12)
    W = up.parameters["W"]
    for place in list(np.ndindex(*W.shape))[::5]:    # dW, weight by weight
        unit = np.zeros_like(W)
        unit[place] = 1
        one = naive.convolution_matrix(unit, *how)
        np.testing.assert_allclose(up.gradients["W"][place], ((x.reshape(2, -1) @ one) *
                                                              delta.reshape(2, -1)).sum(), atol=1e-11)


@pytest.mark.parametrize("options, height", [
    ({}, 8), ({"padding": "valid"}, 9), ({"output_padding": 0}, 7), ({"output_padding": 1}, 8),
    ({"padding": "valid", "output_padding": 1}, 10), ({"padding": 1}, 7),
    ({"padding": 1, "output_padding": 1}, 8),
    ({"padding": ((0, 1), (2, 2))}, 8)])
def test_how_large_the_images_of_a_transposed_convolution_are(options, height):
    """As Keras and, with numbers as padding, PyTorch have it."""
    assert nn.Conv2DTranspose(2, 3, 2, **options).build((4, 4, 1))[0] == height


# ---- pooling -----------------------------------------------------------------------------------------------

@pytest.mark.filterwarnings("ignore:.*got rows of shape .* which are taken for")
@settings(deadline=None, max_examples=40, derandomize=True, database=None)
@given(size=st.sampled_from([1, 2, 3, (1, 2), (3, 2)]), strides=st.sampled_from([1, 2, 3, (2, 1), (1, 2)]),
       height=st.integers(3, 11), width=st.integers(3, 11), channels=st.sampled_from([1, 3, 4, 6, 8]),
       levels=st.sampled_from([2, 1000]), seed=st.integers(0, 99),
       padding=st.sampled_from(["valid", "valid", "same", ((1, 0), (0, 1)), ((0, 1), (1, 1))]),
       count_padding=st.booleans())
@example(size=(1, 2), strides=(1, 2), height=3, width=5, channels=4, levels=1000, seed=0, padding="same",
         count_padding=False)    # the last column's windows alone have padding
@example(size=(1, 2), strides=1, height=3, width=5, channels=4, levels=1000, seed=0,
         padding=((0, 0), (1, 0)), count_padding=False)    # and the first column's
def test_pools(size, strides, height, width, channels, levels, seed, padding, count_padding):
    """With two levels alone most windows have several largest numbers."""
    rng, window, steps = np.random.default_rng(seed), as_pair(size), as_pair(strides)
    if not isinstance(padding, str) and any(max(side) >= k for side, k in zip(padding, window)):
        padding = "same"
    x = rng.integers(levels, size=(2, height, width, channels)) / levels
    a, delta, dx = forward_and_backward(layer(nn.MaxPool2D, x.shape[1:], size, strides, padding), x, rng)
    np.testing.assert_array_equal(a, np.nanmax(naive.windows(x, window, steps, padding), axis=3))
    np.testing.assert_allclose(dx, naive.max_pool_backward(x, delta, window, steps, padding), atol=1e-14)
    a, delta, dx = forward_and_backward(layer(nn.AveragePool2D, x.shape[1:], size, strides, padding,
                                              count_padding), x, rng)

    def mean(images):
        if count_padding:
            return naive.windows(images, window, steps, padding, 0.0).mean(axis=3)
        return np.nanmean(naive.windows(images, window, steps, padding), axis=3)

    np.testing.assert_allclose(a, mean(x), atol=1e-14)
    others = rng.normal(size=x.shape)    # the transpose has the same product with any images
    np.testing.assert_allclose((dx * others).sum(), (mean(others) * delta).sum(), atol=1e-12)


def test_the_pool_of_a_residual_network(rng):
    """A window of 3 with strides of 2 and a padding of 1, as PyTorch's ResNet has it, by hand."""
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    a, _, dx = forward_and_backward(layer(nn.MaxPool2D, (4, 4, 1), 3, 2, 1), x, rng)
    assert a[0, :, :, 0].tolist() == [[5, 7], [13, 15]] and (dx[0, :, :, 0] != 0).sum() == 4
    a, _, _ = forward_and_backward(layer(nn.AveragePool2D, (4, 4, 1), 3, 2, 1), x, rng)
    assert a[0, 0, 0, 0] == x[0, :2, :2].mean()


def test_the_largest_of_an_image(rng):
    x = rng.normal(size=(3, 4, 5, 6))
    a, delta, dx = forward_and_backward(layer(nn.GlobalMaxPool2D, x.shape[1:]), x, rng)
    np.testing.assert_array_equal(a, x.max(axis=(1, 2)))
    assert (np.count_nonzero(dx, axis=(1, 2)) == 1).all()
    np.testing.assert_allclose(dx.sum(axis=(1, 2)), delta)


def test_the_mean_over_an_image(rng):
    x = rng.normal(size=(3, 4, 5, 6))
    a, delta, dx = forward_and_backward(layer(nn.GlobalAveragePool2D, x.shape[1:]), x, rng)
    np.testing.assert_allclose(a, x.mean(axis=(1, 2)))
    np.testing.assert_allclose(dx, np.broadcast_to(delta[:, None, None] / 20, x.shape))


@pytest.mark.parametrize("channels", [3, 4])
def test_nan_remains_visible(channels):
    for cell in range(4):
        x = np.arange(2 * 16.0 * channels).reshape(2, 4, 4, channels)
        x[1, 2 + cell // 2, cell % 2] = np.nan
        a = pooling.max_pool(x, (2, 2), (2, 2), (0, 0), out := np.empty((2, 2, 2, channels))) or out
        assert np.isnan(a[1, 1, 0]).all() and np.isnan(a).sum() == channels


# ---- networks ----------------------------------------------------------------------------------------------

SEED = 3    # inputs whose windows have a largest number by far: the differences move it by less
NETWORKS = {
    "convolution": lambda: [nn.Conv2D(3, 3), nn.Tanh(), nn.Flatten()],
    "strides and windows": lambda: [nn.Conv2D(4, 2, strides=2, padding="valid"), nn.Sigmoid(),
                                    nn.Conv2D(2, 3, strides=2), nn.Flatten(), nn.Tanh()],
    "pools": lambda: [nn.Conv2D(4, 3, bias=False), nn.MaxPool2D(), nn.Tanh(), nn.AveragePool2D(2, strides=1),
                      nn.Flatten()],
    "pool of a pool": lambda: [nn.Conv2D(3, 3), nn.Tanh(), nn.MaxPool2D(3, strides=2), nn.Conv2D(4, 1),
                               nn.GlobalAveragePool2D()],
    "transpose": lambda: [nn.Conv2D(2, 3, strides=2), nn.Tanh(), nn.Conv2DTranspose(3, 3, strides=2),
                          nn.Tanh(), nn.Flatten()],
    "dropout": lambda: [nn.Conv2D(2, 3), nn.Dropout(0.5), nn.MaxPool2D(), nn.Flatten(), nn.Dropout(0.25)],
    "everything": lambda: [nn.ZeroPadding2D(((1, 0), (0, 2))), nn.Conv2D(4, (2, 3), (1, 2), dilation=(2, 1)),
                           nn.Tanh(), nn.Conv2D(4, 3, groups=4), nn.AveragePool2D(2, 1, padding="same"),
                           nn.Conv2D(6, 1, groups=2), nn.GlobalMaxPool2D()],
    "two ways": lambda: [nn.Residual([nn.Conv2D(3, 3, 2), nn.Tanh(), nn.Conv2D(3, 2)],
                                     [nn.Conv2D(3, 1, 2)]), nn.Tanh(),
                         nn.Residual([nn.Tanh(), nn.Conv2D(3, 3), nn.Dropout(0.4)]), nn.Flatten()],
    "nothing to train at first": lambda: [nn.AveragePool2D(2), nn.Tanh(), nn.Conv2D(3, 2), nn.Tanh(),
                                          nn.Flatten()],
}


def network(name, shape=(6, 5, 2), dtype="float64"):
    model = nn.Sequential([*NETWORKS[name](), nn.Dense(3)], nn.Categorical(), dtype).build(shape, seed=2)
    rng = np.random.default_rng(2)
    for key, array in model.parameters().items():
        if key.endswith("b"):
            array[:] = rng.uniform(-0.5, 0.5, array.shape)
    return model


# one kernel is followed in Python by another network, too, in which it takes less time
SLOW = pytest.mark.compiled


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=SLOW if name in ("convolution", "transpose") else ()) for name in NETWORKS])
def test_gradients_of_networks(rng, name):
    X, y = np.random.default_rng(SEED).normal(size=(4, 6, 5, 2)), rng.integers(3, size=4)
    check(network(name), X, y, np.array([1, 0.5, 0, 2]), step=3)


def test_bytes_are_images_of_0_to_1(rng):
    """As they are, batch by batch, with a first layer that takes them; cast at once with another."""
    X, y = rng.integers(256, size=(5, 6, 5, 2), dtype=np.uint8), rng.integers(3, size=5)
    for layers in ([nn.Conv2D(3, 3), nn.Flatten()], [nn.Flatten()], [nn.MaxPool2D(), nn.Flatten()],
                   [nn.RandomFlip(), nn.MaxPool2D(), nn.Flatten()]):
        model = nn.Sequential([*layers, nn.Dense(3)], nn.Categorical(), "float64").build((6, 5, 2))
        np.testing.assert_allclose(model.logits(X), model.logits(X / 255), rtol=1e-12, atol=1e-13)
        for name, gradient in model.gradients(X, y).items():
            np.testing.assert_allclose(gradient, model.gradients(X / 255, y)[name], rtol=1e-12, atol=1e-13)
        assert (preparation.examples(model, X, y).x is X) == layers[0].takes_bytes
    flat = nn.Sequential([nn.Dense(3)], nn.Categorical(), "float64").build(60)
    rows = X.reshape(5, -1)    # numbers as they are
    np.testing.assert_allclose(flat.logits(rows), flat.logits(rows.astype(float)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", [nn.Conv2D(1, 1), nn.RandomFlip(), nn.MaxPool2D(1), nn.Flatten()], ids=repr)
def test_bytes_are_divided_alike(layer, dtype):
    """To the last bit, whichever layer or check divides them."""
    X = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    model = nn.Sequential([layer, nn.Flatten(), nn.Dense(2)], nn.Categorical(), dtype).build((16, 16, 1))
    if layer.shapes:
        layer.parameters["W"][:] = 1
    np.testing.assert_array_equal(model.activations(X)[1][0],
                                  np.arange(256, dtype=dtype) / np.dtype(dtype).type(255))


def test_layers_are_saved(tmp_path, rng):
    for name in NETWORKS:
        model = network(name, dtype="float64")
        model.save(tmp_path / "model.npz")
        again, X = nn.load(tmp_path / "model.npz"), rng.normal(size=(2, 6, 5, 2))
        assert list(map(repr, again.layers)) == list(map(repr, model.layers))
        np.testing.assert_array_equal(again.logits(X), model.logits(X))


SAME_BITS = """
import hashlib, json
import numpy as np, nnjit as nn
rng = np.random.default_rng(0)
X, y = rng.integers(256, size=(70, 9, 9, 3), dtype=np.uint8), rng.integers(3, size=70)
found = []
for threads in (1, 2, 4):
    nn.set_threads(threads)
    layers = [nn.Conv2D(8, 3), nn.ReLU(), nn.MaxPool2D(), nn.Conv2D(4, 3), nn.Flatten(), nn.Dense(3)]
    model = nn.Sequential(layers, nn.Categorical(), "float64")
    model.fit(X, y, nn.Adam(0.01), epochs=2, batch_size=33, verbose=0)
    found.append(hashlib.sha256(model.vector.tobytes() + model.logits(X).tobytes()).hexdigest())
print(json.dumps(found))
"""


@pytest.mark.compiled
def test_the_same_bits_at_any_number_of_threads(run_python):
    one, two, four = run_python(SAME_BITS, NUMBA_NUM_THREADS="4")
    assert one == two == four


# ---- errors ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("make, error, message", [
    (lambda: nn.Conv2D(0, 3), ValueError, "Conv2D filters: got 0, expected at least 1"),
    (lambda: nn.Conv2D(8, 2.5), TypeError, "Conv2D kernel_size: got 2.5, expected a whole number"),
    (lambda: nn.Conv2D(8, 3, padding="full"), ValueError,
     r"Conv2D padding: got 'full', expected 'same', 'valid' or \(\(top, bottom\), \(left, right\)\)"),
    (lambda: nn.Conv2D(8, (3, 2, 1)), ValueError, "Conv2D kernel_size: got .*, expected a whole number or"),
    (lambda: nn.Conv2D(8, 3, padding=(1, 2, 3)), ValueError, "Conv2D padding: got .*expected .*top, bottom"),
    (lambda: nn.Conv2D(8, 3, padding=-1), ValueError, "Conv2D padding: got -1, expected at least 0"),
    (lambda: nn.Conv2D(8, 3, groups=3).build((5, 5, 3)), ValueError, "got 8 filters for 3 groups, expected"),
    (lambda: nn.Conv2D(6, 3, groups=3).build((5, 5, 4)), ValueError, "got 4 channels for 3 groups"),
    (lambda: nn.Conv1D(8, 3, padding=1), ValueError, "Conv1D padding: got 1, expected 'same', 'valid' or"),
    (lambda: nn.Conv2DTranspose(8, 3, 2, output_padding=2), ValueError, "got 2, expected less than the str"),
    (lambda: nn.MaxPool2D(2, padding=2), ValueError, "MaxPool2D padding: got 2, expected less than the"),
    (lambda: nn.ZeroPadding2D("same"), ValueError, "ZeroPadding2D padding: got 'same', expected"),
    (lambda: nn.Residual([]), ValueError, "Residual: got no layers"),
    (lambda: nn.Residual([nn.Conv2D(4, 3)]).build((5, 5, 3)), ValueError,
     r"Residual: got \(5, 5, 4\) from its layers and \(5, 5, 3\) from the shortcut"),
    (lambda: nn.Conv2DTranspose(8, 3, strides=0), ValueError,
     "Conv2DTranspose strides: got 0, expected at least 1"),
    (lambda: nn.Conv2D(8, 3, init="zeros"), ValueError,
     "Conv2D init: got 'zeros', expected 'glorot_uniform', "),
    (lambda: nn.MaxPool2D(0), ValueError, "MaxPool2D pool_size: got 0, expected at least 1"),
    (lambda: nn.Conv2D(8, 3).build((28, 28)), ValueError,
     r"Conv2D: got rows of shape \(28, 28\), .*X\[..., None\]"),
    (lambda: nn.Conv2D(8, 5, padding="valid").build((4, 9, 1)), ValueError,
     "Conv2D: got images of 4 by 9, expected at least 5 by 5 with padding 'valid'"),
    (lambda: nn.AveragePool2D(3).build((2, 9, 1)), ValueError,
     "AveragePool2D: got images of 2 by 9, expected at least 3 by 3"),
    (lambda: nn.Dense(3).build((4, 4, 1)), ValueError,
     r"Dense: got rows of shape \(4, 4, 1\), .*Flatten\(\)"),
    (lambda: nn.Sequential([nn.Conv2D(8, 3)], nn.Categorical()).build((4, 4, 1)), ValueError,
     r"layers: got an .*Flatten\(\)"),
])
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_images_with_channels_first_are_warned_of():
    with pytest.warns(UserWarning, match=r"taken for 1 × 28 pixels with 28 ch.*transpose\(0, 2, 3, 1\)"):
        nn.Conv2D(8, 3).build((1, 28, 28))
    nn.Conv2D(8, 3).build((28, 28, 1))


# ---- initialisation ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("init, variance", [
    ("glorot_uniform", 2 / (9 * 40 + 9 * 60)), ("he_uniform", 2 / 360), ("he_normal", 2 / 360)])
def test_the_spread_of_the_first_weights(init, variance):
    conv = nn.Conv2D(60, 3, init=init)
    model = nn.Sequential([conv, nn.Flatten()], nn.Gaussian(), "float64").build((1, 1, 40), seed=3)
    W = model.parameters()["0.W"]
    assert abs(W.var() / variance - 1) < 0.03 and abs(W.mean()) < 0.03 * W.std()
    kurtosis = ((W / W.std()) ** 4).mean()
    assert abs(kurtosis - (3 if init == "he_normal" else 1.8)) < 0.1
    dense = nn.Sequential([nn.Dense(50, init=init)], nn.Gaussian()).build(360, seed=3).parameters()["0.W"]
    assert abs(dense.var() / (2 / 410 if init == "glorot_uniform" else variance) - 1) < 0.03


# ---- flips and shifts --------------------------------------------------------------------------------------

def moved(image, mirrored, down, right):
    """Return the image, moved a pixel at a time."""
    out = np.zeros_like(image)
    image = image[:, ::-1] if mirrored else image
    for i, j in np.ndindex(image.shape[:2]):
        if 0 <= i + down < len(image) and 0 <= j + right < image.shape[1]:
            out[i + down, j + right] = image[i, j]
    return out


@pytest.mark.parametrize("make", [nn.RandomFlip, lambda: nn.RandomShift(2)])
def test_images_move_only_at_a_training_step(rng, make):
    X = rng.integers(1, 256, size=(30, 5, 6, 2), dtype=np.uint8)
    alone, out = Alone(Case(make, X.shape[1:])), np.empty(X.shape)
    layer, at_no_step, at_7, at_8 = alone.layer, *(alone.context(30, step) for step in (None, 7, 8))
    np.testing.assert_allclose(layer.forward(X, out, at_no_step), X / 255, rtol=1e-15)
    assert layer.forward(out, out * 0, at_no_step) is out
    moves = layer.moves(30, at_7)
    expected = np.array([moved(image / 255, *move) for image, *move in zip(X, *moves)])
    np.testing.assert_allclose(layer.forward(X, out, at_7), expected, rtol=1e-15)
    np.testing.assert_array_equal(layer.moves(30, at_7), moves)    # a step's moves are its own
    assert not np.array_equal(layer.moves(30, at_8), moves)
    delta, others = rng.normal(size=(2, *X.shape))
    dx = layer.backward(X, out, delta.copy(), given := delta.copy(), at_7)
    np.testing.assert_allclose((dx * others).sum(),
                               (np.array([moved(o, *m) for o, *m in zip(others, *moves)]) * delta).sum())
    assert dx is given


def test_every_move_is_as_likely_as_the_others():
    ctx = Context(random.layer_key(0, 0), step=0)
    mirrored, _, _ = nn.RandomFlip().moves(4000, ctx)
    _, down, right = nn.RandomShift(1).moves(9000, ctx)
    counts = [np.bincount(mirrored, minlength=2) / 4000 * 2,
              np.bincount(3 * down + right + 4, minlength=9) / 9000 * 9]
    for count in counts:
        assert abs(count - 1).max() < 0.15


def test_a_model_that_moves_images_goes_on_where_it_was(rng):
    X, y = rng.integers(256, size=(12, 4, 4, 1), dtype=np.uint8), rng.integers(3, size=12)

    def new():
        layers = [nn.RandomFlip(), nn.RandomShift(1), nn.Conv2D(4, 3), nn.Flatten(), nn.Dense(3)]
        optimizer = nn.Adam(nn.schedules.cosine(0.1, 10), clip_norm=1.0)
        return nn.Sequential(layers, nn.Categorical(), "float64"), optimizer

    once, twice = new(), new()
    once[0].fit(X, y, once[1], epochs=4, batch_size=5, shuffle=False, verbose=0)
    for _ in range(2):
        twice[0].fit(X, y, twice[1], epochs=2, batch_size=5, shuffle=False, verbose=0)
    np.testing.assert_array_equal(once[0].vector, twice[0].vector)
    np.testing.assert_array_equal(once[0].logits(X), once[0].logits(X))
