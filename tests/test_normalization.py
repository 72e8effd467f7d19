"""Normalisation: statistics, weights, running ones, frozen layers; against naive twins and PyTorch."""
import numpy as np
import pytest
from head_cases import check_refused
from kernel_tools import DTYPES
from naive import normalization as naive

import nnjit as nn
from nnjit._numba.threads import parallel_region
from nnjit.graph import Graph
from nnjit.kernels import normalization as kernels

# rows, pixels side by side, channels; several chunks, and more than one thread's work
SHAPES = pytest.mark.parametrize("shape", [(1, 1), (7, 3), (50, 4, 6, 3), (211, 130), (3, 1, 1, 5),
                                           pytest.param((64, 16, 16, 8), marks=pytest.mark.compiled)])


def data(shape, dtype, centre=3.0):
    rng = np.random.default_rng(1)
    x, delta = rng.normal(centre, 2, shape), rng.normal(size=shape)
    w = rng.uniform(0.1, 2, shape[0])
    w[1:2] = 0
    channels = shape[-1]
    gamma, beta = rng.uniform(0.5, 2, channels), rng.normal(size=channels)
    return [array.astype(dtype) for array in (x, delta, w, gamma, beta)]


def context_of(layer, shape, dtype="float64"):
    """Return the context of a training step of a layer, which is built and has its arrays."""
    graph = Graph([layer, nn.Flatten()], nn.Gaussian(), np.dtype(dtype))
    graph.build(shape[1:], 0)
    context = graph.workspaces()[shape[0]].contexts[0]
    context.step = 0
    return context


def both_ways(layer, x, delta, gamma, beta, context):
    """Return the output and dL/dx of a layer with these parameters, whose gradients are then there."""
    layer.parameters["gamma"][:], layer.parameters["beta"][:] = gamma, beta
    a, dx = np.empty_like(x), np.empty_like(x)
    with parallel_region():
        layer.forward(x, a, context)
        layer.backward(x, a, delta, dx, context)
    return a, dx


def check_parameter_gradients(layer, xhat, delta, eps):
    axes = tuple(range(xhat.ndim - 1))
    tolerance = {"rtol": 0, "atol": 80 * eps * (xhat[..., 0].size ** 0.5 + 10)}
    np.testing.assert_allclose(layer.gradients["gamma"], (delta * xhat).sum(axis=axes), **tolerance)
    np.testing.assert_allclose(layer.gradients["beta"], delta.sum(axis=axes), **tolerance)


@DTYPES
@SHAPES
def test_batch_normalization(shape, dtype):
    x, delta, w, gamma, beta = data(shape, dtype)
    layer = nn.BatchNormalization(epsilon=0.01)
    context = context_of(layer, shape, dtype)
    context.w, eps = w, np.finfo(dtype).eps
    a, dx = both_ways(layer, x, delta, gamma, beta, context)
    x, delta, w = (array.astype(float) for array in (x, delta, w))
    mean, variance = naive.batch_statistics(x, w)
    np.testing.assert_allclose(context.scratch["statistics"], [mean, variance], rtol=40 * eps, atol=40 * eps)
    np.testing.assert_allclose(a, naive.normalized(x, mean, variance, 0.01, gamma, beta), rtol=0,
                               atol=800 * eps)
    if x.size < 30_000:
        np.testing.assert_allclose(dx, naive.batch_backward(x, w, delta, 0.01, gamma), rtol=0,
                                   atol=800 * eps)
    check_parameter_gradients(layer, naive.normalized(x, mean, variance, 0.01, 1, 0), delta, eps)


@DTYPES
@SHAPES
def test_layer_normalization(shape, dtype):
    x, delta, _, gamma, beta = data(shape, dtype)
    layer = nn.LayerNormalization(epsilon=0.01)
    context = context_of(layer, shape, dtype)
    a, dx = both_ways(layer, x, delta, gamma, beta, context)
    x, eps = x.astype(float), np.finfo(dtype).eps
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    np.testing.assert_allclose(a, naive.normalized(x, mean, variance, 0.01, gamma, beta), rtol=0,
                               atol=800 * eps)
    channels = shape[-1]    # a row is a batch of its numbers, each times its own gamma
    rows = x.reshape(-1, channels)[:200]
    expected = [naive.batch_backward(row[:, None], np.ones(channels), (d * gamma)[:, None], 0.01, [1.0])[:, 0]
                for row, d in zip(rows, delta.reshape(-1, channels))]
    np.testing.assert_allclose(dx.reshape(-1, channels)[:200], expected, rtol=0, atol=800 * eps)
    check_parameter_gradients(layer, naive.normalized(x, mean, variance, 0.01, 1, 0), delta, eps)


def test_far_from_0_nothing_cancels():
    """Numbers about 1,000 with a deviation of 0.1: the sum of squares less the square of the sum has none."""
    x = (1000 + 0.1 * np.random.default_rng(0).normal(size=(5000, 3))).astype(np.float32)
    statistics = np.empty((2, 3), np.float32)
    kernels.batch_statistics(x, np.ones(5000, np.float32), np.zeros(3, np.float32), np.ones(3, np.float32),
                             statistics)
    np.testing.assert_allclose(statistics[1], x.astype(float).var(axis=0), rtol=1e-5)


# ---- weights -----------------------------------------------------------------------------------------------

def network(*layers, units=2):
    return nn.Sequential([nn.Dense(6, bias=False), *layers, nn.Tanh(), nn.Dense(units)], nn.Categorical(),
                         "float64")


def rows(N=40):
    rng = np.random.default_rng(2)
    X = rng.normal(2, 3, size=(N, 4))
    return X, (X[:, 0] > X[:, 1]).astype(int)


def test_a_row_of_weight_0_is_as_if_it_were_not_there():
    (X, y), kept = rows(), np.arange(40) % 5 > 0
    models = [network(nn.BatchNormalization()) for _ in range(2)]
    models[0].fit(X, y, nn.SGD(0.1), 3, 40, sample_weight=kept, shuffle=False, verbose=0)
    models[1].fit(X[kept], y[kept], nn.SGD(0.1), 3, 32, shuffle=False, verbose=0)
    for name, array in {**models[0].parameters(), **models[0].state()}.items():
        np.testing.assert_allclose(array, {**models[1].parameters(), **models[1].state()}[name], rtol=1e-10)


def test_a_row_of_weight_2_counts_as_two():
    X, y = rows()
    w = 1.0 + (np.arange(40) % 3 == 0)
    models = [network(nn.BatchNormalization()).build(4, seed=1) for _ in range(2)]
    twice = np.repeat(np.arange(40), w.astype(int))
    gradients = [models[0].gradients(X, y, w, step=0), models[1].gradients(X[twice], y[twice], step=0)]
    for name in gradients[0]:
        np.testing.assert_allclose(gradients[0][name], gradients[1][name], rtol=1e-10, atol=1e-14)


def test_a_batch_without_weight_changes_nothing():
    X, y = rows()
    w = np.repeat([0.0, 1.0], 20)
    model = network(nn.BatchNormalization()).build(4, seed=1)

    class Watch(nn.callbacks.Callback):
        def on_batch_end(self, state, logs):
            seen.append(model.get_weights())

    seen = []
    model.fit(X, y, nn.SGD(0.1), 1, 20, sample_weight=w, shuffle=False, callbacks=[Watch()], verbose=0)
    begin = network(nn.BatchNormalization()).build(4, seed=1)
    for first, second, array in zip(*seen, begin.get_weights()):
        np.testing.assert_allclose(first, array, rtol=1e-14)
        assert not np.allclose(second, array)


# ---- the running statistics --------------------------------------------------------------------------------

def test_the_running_ones_are_committed_by_training_alone():
    X, y = rows()
    model = network(nn.BatchNormalization(momentum=0.7)).build(4, seed=1)
    before = {name: array.copy() for name, array in model.state().items()}
    assert (before["1.moving_mean"] == 0).all() and (before["1.moving_variance"] == 1).all()
    for look in lambda: model.gradients(X, y, step=3), lambda: model.evaluate(X, y), lambda: model.logits(X):
        look()
    assert all((model.state()[name] == array).all() for name, array in before.items())
    hidden = X @ model.parameters()["0.W"]
    model.fit(X, y, nn.SGD(1e-300), 1, 40, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.state()["1.moving_mean"], 0.3 * hidden.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(model.state()["1.moving_variance"], 0.7 + 0.3 * hidden.var(axis=0), rtol=1e-12)


def test_a_prediction_uses_the_running_ones():
    X, y = rows()
    model = network(nn.BatchNormalization(0.5))
    model.fit(X, y, nn.Adam(0.05), 20, 10, verbose=0)
    assert model.evaluate(X, y)["accuracy"] > 0.9
    np.testing.assert_allclose(model.logits(X)[:3], np.concatenate([model.logits(X[i:i + 1])
                                                                   for i in range(3)]), rtol=1e-12)
    assert sorted(model.state()) == ["1.moving_mean", "1.moving_variance"]
    with pytest.raises(AttributeError, match="momentum"):
        model.layers[1].momentum = 0.9


def test_a_frozen_layer_is_frozen_as_a_whole():
    """Its parameters and its running statistics, which it uses at training steps, too (as in Keras)."""
    X, y = rows()
    model = network(nn.BatchNormalization(0.5))
    model.fit(X, y, nn.Adam(0.05), 5, 10, verbose=0)
    model.layers[1].trainable = False
    before = {name: array.copy() for name, array in {**model.parameters(), **model.state()}.items()}
    loss = model.evaluate(X, y)["loss"]
    history = model.fit(X, y, nn.SGD(1e-300), 1, 40, shuffle=False, verbose=0).history
    assert history["loss"][0] == pytest.approx(loss, rel=1e-12)    # of the same function
    model.fit(X, y, nn.Adam(0.05), 2, 10, verbose=0)
    after = {**model.parameters(), **model.state()}
    assert all((after[name] == array).all() == name.startswith("1.") for name, array in before.items())


def test_gradients_of_a_frozen_layer():
    """What is before it gets the gradient through the running statistics."""
    X, y = rows(8)
    model = network(nn.BatchNormalization()).build(4, seed=1)
    model.layers[1].trainable = False
    model.state()["1.moving_variance"][:] = 4
    W, found = model.parameters()["0.W"], model.gradients(X, y, step=1)["0.W"]
    for index in np.ndindex(W.shape):
        centre, losses = W[index], []
        for h in -1e-4, 1e-4:
            W[index] = centre + h
            losses.append(model.evaluate(X, y)["loss"])
        W[index] = centre
        assert found[index] == pytest.approx((losses[1] - losses[0]) / 2e-4, rel=1e-5, abs=1e-8)


def test_one_row_is_all_there_is():
    """A batch of one row has no deviation: its output is beta."""
    X, y = rows(1)
    model = network(nn.BatchNormalization()).build(4, seed=1)
    model.fit(X, y, nn.SGD(0.1), 2, verbose=0)
    assert np.isfinite(model.vector).all()


@pytest.mark.compiled
def test_the_same_bits_at_any_number_of_threads(run_python):
    found = run_python("""
import hashlib, json
import numpy as np, nnjit as nn
rng = np.random.default_rng(1)
X, y = rng.normal(size=(96, 24, 24, 3)).astype(np.float32), rng.integers(3, size=96)
found = []
for threads in (1, 2, 3, 4):
    nn.set_threads(threads)
    model = nn.Sequential([nn.Conv2D(8, 3), nn.BatchNormalization(), nn.ReLU(), nn.LayerNormalization(),
                           nn.Flatten(), nn.Dense(3)], nn.Categorical())
    model.fit(X, y, nn.SGD(0.1), 2, 64, verbose=0)
    found.append(hashlib.sha256(model.vector.tobytes() + model.graph.state_vector.tobytes()).hexdigest())
print(json.dumps(found))
""", NUMBA_NUM_THREADS="4")
    assert len(set(found)) == 1


# ---- against PyTorch ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("shape", [(9, 6), (4, 5, 3, 2)])
@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_pytorchs_numbers(kind, shape):
    torch = pytest.importorskip("torch")
    x, delta, _, gamma, beta = data(shape, np.float64)
    C, n = shape[-1], x[..., 0].size
    if kind == "layer":
        ours, theirs = nn.LayerNormalization(), torch.nn.LayerNorm(C, 1e-3, dtype=torch.float64)
    else:
        of = torch.nn.BatchNorm1d if len(shape) == 2 else torch.nn.BatchNorm2d
        ours = nn.BatchNormalization(0.9)
        theirs = of(C, 1e-3, momentum=0.1, dtype=torch.float64)
    images_first = kind == "batch" and len(shape) == 4

    def given(array):
        tensor = torch.from_numpy(array)
        return tensor.permute(0, 3, 1, 2).clone() if images_first else tensor.clone()

    def back(tensor):
        return (tensor.permute(0, 2, 3, 1) if images_first else tensor).detach().numpy()

    with torch.no_grad():
        theirs.weight.copy_(torch.from_numpy(gamma)), theirs.bias.copy_(torch.from_numpy(beta))
    leaf = given(x).requires_grad_()
    output = theirs(leaf)
    output.backward(given(delta))
    context = context_of(ours, shape)
    ours.parameters["gamma"][:], ours.parameters["beta"][:] = gamma, beta
    a, dx = np.empty_like(x), np.empty_like(x)
    ours.forward(x, a, context)
    ours.backward(x, a, delta, dx, context)
    ours.commit(context)
    pairs = [(a, back(output)), (dx, back(leaf.grad)), (ours.gradients["gamma"], theirs.weight.grad.numpy()),
             (ours.gradients["beta"], theirs.bias.grad.numpy())]
    if kind == "batch":    # theirs estimates the variance of other rows, n / (n - 1) times the batch's
        unbiased = (theirs.running_var.numpy() - 0.9) * (n - 1) / n + 0.9
        pairs += [(ours.state["moving_mean"], theirs.running_mean.numpy()),
                  (ours.state["moving_variance"], unbiased)]
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("exception, message, make", [
    (ValueError, "momentum: got 1.0", lambda: nn.BatchNormalization(1.0)),
    (ValueError, "momentum: got -0.1", lambda: nn.BatchNormalization(-0.1)),
    (ValueError, "BatchNormalization epsilon: got 0", lambda: nn.BatchNormalization(epsilon=0)),
    (ValueError, "LayerNormalization epsilon: got -1", lambda: nn.LayerNormalization(-1)),
    (TypeError, "center: got 1, expected True or False", lambda: nn.BatchNormalization(center=1)),
    (TypeError, "scale: got 'relu', expected True or False", lambda: nn.LayerNormalization(scale="relu")),
    (ValueError, r"got rows of shape \(4, 5, 2, 2\), expected flat rows \(D,\), sequences",
     lambda: nn.Sequential([nn.BatchNormalization(), nn.Flatten()], nn.Gaussian()).build((4, 5, 2, 2))),
])
def test_mistakes(exception, message, make):
    check_refused(exception, message, make)
