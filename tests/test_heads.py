"""The heads: their kernels, gradients, distributions and decisions, and the mistakes that they explain."""
import json
import warnings

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import optimize, special, stats

import nnjit as nn
from nnjit.kernels import likelihoods

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
N = 11


def quick(test):
    """A property test with the same few examples every time."""
    return settings(max_examples=40, deadline=None, derandomize=True, database=None)(test)


# ---- heads to try ---------------------------------------------------------------------------------------------------

def squared_error(activation):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.SquaredError(activation)


def numbers(rng, N, units):
    return rng.normal(size=(N, units))


def counts(rng, N, units):
    return rng.poisson(2, size=(N, units))


def answers(rng, N, units):
    return rng.integers(2, size=(N, units))


def soft_answers(rng, N, units):
    return rng.random((N, units))


def labels(rng, N, units):
    return rng.integers(units, size=N)


def soft_rows(rng, N, units):
    return rng.dirichlet(np.ones(units), size=N)


def ranks(rng, N, units):
    return np.append(rng.integers(4, size=N - 1), 3)


def several(rng, N, units):
    return {"type": labels(rng, N, 3), "size": ranks(rng, N, 1), "age": numbers(rng, N, 1)[:, 0]}


def many_heads():
    return nn.Heads(type=nn.Categorical(class_weight=[1, 2, 3]), size=nn.Ordinal(4), age=nn.Gaussian(),
                    units={"type": 3, "size": 1, "age": 1}, weights={"size": 0.5, "age": 2})


# name: a head, units, targets
CASES = {
    "Gaussian": (nn.Gaussian, 1, numbers), "Gaussian, 3 units": (nn.Gaussian, 3, numbers),
    "Laplace": (nn.Laplace, 1, numbers), "Laplace, 3 units": (nn.Laplace, 3, numbers),
    "Huber": (nn.Huber, 1, numbers), "Huber, 3 units": (lambda: nn.Huber(0.3), 3, numbers),
    "Poisson": (nn.Poisson, 1, counts), "Poisson, 3 units": (nn.Poisson, 3, counts),
    "Bernoulli": (nn.Bernoulli, 1, answers), "Bernoulli, soft": (nn.Bernoulli, 1, soft_answers),
    "Bernoulli, 3 units": (nn.Bernoulli, 3, answers),
    "Bernoulli, weighted": (lambda: nn.Bernoulli(0.3, pos_weight=[3, 0.5, 1]), 3, soft_answers),
    "Categorical": (nn.Categorical, 4, labels), "Categorical, soft": (nn.Categorical, 4, soft_rows),
    "Categorical, temperature": (lambda: nn.Categorical(2.5), 4, labels),
    "Categorical, smooth": (lambda: nn.Categorical(label_smoothing=0.2), 4, labels),
    "Categorical, weighted": (lambda: nn.Categorical(class_weight={0: 3, 2: 0.5}), 4, labels),
    "Categorical, all": (lambda: nn.Categorical(0.5, 0.1, [1, 2, 3, 4]), 4, soft_rows),
    "Ordinal": (lambda: nn.Ordinal(4), 1, ranks),
    "Ordinal, 2 classes": (lambda: nn.Ordinal(2), 1, lambda *a: ranks(*a) % 2),
    "SquaredError, linear": (lambda: squared_error("linear"), 3, numbers),
    "SquaredError, sigmoid": (lambda: squared_error("sigmoid"), 3, soft_answers),
    "SquaredError, softmax": (lambda: squared_error("softmax"), 4, labels),
    "Heads": (many_heads, 5, several),
}
EACH = pytest.mark.parametrize("name", CASES)
CLASSIFIERS = [name for name in CASES if name.startswith(("Bernoulli", "Categorical", "Ordinal", "SquaredError, s"))]
REGRESSIONS = [name for name in CASES if name.startswith(("Gaussian", "Laplace", "Huber", "Poisson",
                                                          "SquaredError, l"))]


def built(head, units, dtype=np.float64):
    """Return the head as the graph lays it out."""
    head.build((units,))
    head.parameters = {name: np.full(shape, np.nan, dtype) for name, shape in head.shapes.items()}
    head.gradients = {name: np.full(shape, np.nan, dtype) for name, shape in head.shapes.items()}
    head.initialise(np.random.default_rng(0))
    return head


def case(name, rng, dtype=np.float64, N=N):
    """Return a built head with logits (N, units), targets as the user gives them, and weights of which one is 0."""
    make, units, targets = CASES[name]
    z = 2 * rng.normal(size=(N, units))
    y = targets(rng, N, units)
    if units == 1:
        y = y.reshape(N)
    w = rng.uniform(0.1, 2, N) * (np.arange(N) != 2)
    return built(make(), units, dtype), z.astype(dtype), y, w.astype(dtype)


def run(head, z, y, w):
    """Return (L, metric, dL/dz), and check that the sum of weights is that of its rows."""
    given, delta = z.copy(), np.full_like(z, np.nan)
    loss, metric, weight = head.loss_and_delta(z, head.targets(y, *z.shape, z.dtype), w, delta)
    assert np.array_equal(z, given, equal_nan=True)
    return loss / weight, metric / weight, delta


# ---- kernels --------------------------------------------------------------------------------------------------------

def close(got, expected, dtype, ulps=8):
    np.testing.assert_allclose(got, expected, rtol=ulps * np.finfo(dtype).eps, atol=ulps * np.finfo(dtype).eps)


ELEMENTS = {
    "squared_error": (numbers, ()), "absolute_error": (numbers, ()), "huber": (numbers, (0.7,)),
    "poisson": (counts, ()),
    "bernoulli": (soft_answers, ()),
}


@DTYPES
@pytest.mark.parametrize("name", ELEMENTS)
@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (19, 3)])
def test_elements(rng, dtype, name, shape):
    make, parameters = ELEMENTS[name]
    z, y = rng.normal(size=shape).astype(dtype), make(rng, *shape).astype(dtype)
    losses, delta = np.full_like(z, np.nan), np.full_like(z, np.nan)
    given = (z, y, y) if name == "bernoulli" else (z, y, *parameters)
    getattr(likelihoods, name)(*given, losses, delta)
    loss, slope = getattr(naive, name)(z.astype(float), y.astype(float), *parameters)
    close(losses, loss, dtype, 40)    # the twins take large numbers from each other
    close(delta, slope, dtype, 40)


@DTYPES
@pytest.mark.parametrize("name", ELEMENTS)
def test_elements_show_nan(dtype, name):
    z, y, losses, delta = (np.full(20, value, dtype) for value in (np.nan, 1, 0, 0))
    given = (z, y, y) if name == "bernoulli" else (z, y, *ELEMENTS[name][1])
    getattr(likelihoods, name)(*given, losses, delta)
    assert np.isnan(losses).all() and np.isnan(delta).all()


@DTYPES
def test_bernoulli_is_accurate_to_the_last_bits(dtype):
    """Relative to the loss itself, which may be tiny, and to the delta likewise."""
    z = np.concatenate([np.linspace(-40, 40, 801), [-1e4, 1e4, -1e-6, 1e-6]]).astype(dtype)
    for label in (0, 1):
        y, losses, delta = np.full_like(z, label), np.empty_like(z), np.empty_like(z)
        likelihoods.bernoulli(z, y, y, losses, delta)
        sign = -1.0 if label else 1.0
        x = sign * z.astype(float)
        few_ulps = {"rtol": 6 * np.finfo(dtype).eps, "atol": np.finfo(dtype).tiny}
        np.testing.assert_allclose(losses, np.logaddexp(0, x), **few_ulps)
        np.testing.assert_allclose(delta, sign * special.expit(x), **few_ulps)


@DTYPES
@pytest.mark.parametrize("K", [1, 4])
def test_weigh(rng, dtype, K):
    losses, slopes, errors = (rng.random((N, K)).astype(dtype) for _ in range(3))
    w = (rng.random(N) * (np.arange(N) % 4 > 0)).astype(dtype)
    losses[0] = slopes[0] = errors[0] = np.nan    # of weight 0
    delta = slopes.copy()
    loss, error, weight = likelihoods.weigh(losses, errors, w, K, delta)
    mean, expected = naive.weighted(losses.astype(float), slopes.astype(float), w.astype(float))
    rows = np.flatnonzero(w)
    assert weight == pytest.approx(w.sum(dtype=float), rel=1e-6)
    assert loss / weight == pytest.approx(mean, rel=1e-6 if dtype == np.float32 else 1e-12)
    assert error / weight == pytest.approx(np.average(errors[rows].mean(axis=1), weights=w[rows]), rel=1e-6)
    close(delta, expected, dtype)
    delta = slopes.copy()
    assert likelihoods.weigh(losses, errors, 0 * w, K, delta) == (0, 0, 0) and not delta.any()


# ---- losses, deltas and metrics against the distributions -----------------------------------------------------------

@DTYPES
@pytest.mark.parametrize("name, twin", [
    ("Gaussian", naive.squared_error), ("Gaussian, 3 units", naive.squared_error), ("Laplace", naive.absolute_error),
    ("Laplace, 3 units", naive.absolute_error), ("Huber", lambda z, y: naive.huber(z, y, 1)),
    ("Huber, 3 units", lambda z, y: naive.huber(z, y, 0.3)), ("Poisson", naive.poisson),
    ("Poisson, 3 units", naive.poisson), ("Bernoulli", naive.bernoulli), ("Bernoulli, soft", naive.bernoulli),
    ("Bernoulli, 3 units", naive.bernoulli),
    ("Bernoulli, weighted", lambda z, y: naive.bernoulli(z, y, np.array([3, 0.5, 1]))),
    ("SquaredError, linear", naive.squared_error), ("SquaredError, sigmoid", naive.sigmoid_squared_error)])
def test_independent_units(rng, dtype, name, twin):
    head, z, y, w = case(name, rng, dtype)
    loss, _, delta = run(head, z, y, w)
    losses, slopes = twin(z.astype(float), np.reshape(y, z.shape).astype(dtype).astype(float))
    mean, expected = naive.weighted(losses, slopes, w.astype(float))
    assert loss == pytest.approx(mean, rel=2e-6 if dtype == np.float32 else 1e-13)
    close(delta, expected, dtype, 30)


@DTYPES
def test_categorical_with_temperature_smoothing_and_weights(rng, dtype):
    head, z, y, w = case("Categorical, all", rng, dtype)
    loss, accuracy, delta = run(head, z, y, w)
    smooth = 0.9 * y + 0.1 / 4
    mean, hits, expected = naive.categorical(z.astype(float) / 0.5, smooth, w.astype(float) * (y @ [1, 2, 3, 4]))
    assert (loss, accuracy) == pytest.approx((mean, hits), rel=2e-6 if dtype == np.float32 else 1e-13)
    close(delta, expected / 0.5, dtype, 20)


@DTYPES
def test_softmax_with_squared_error(rng, dtype):
    head, z, y, w = case("SquaredError, softmax", rng, dtype)
    loss, accuracy, delta = run(head, z, y, w)
    losses, slopes = naive.softmax_squared_error(z.astype(float), naive.one_hot(y, 4))
    assert loss == pytest.approx(np.average(losses, weights=w), rel=2e-6)
    assert accuracy == pytest.approx(np.average(z.argmax(axis=1) == y, weights=w), rel=2e-6)
    close(delta, w[:, None] * slopes / w.sum(), dtype, 20)


@DTYPES
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_ordinal(rng, dtype, order):
    """CORAL, as published; a parameter whose cut points are out of order stands for the sorted ones."""
    head, z, y, w = case("Ordinal", rng, dtype)
    b = np.array([1.5, 0.25, -2], dtype)
    head.parameters["b"][:] = b[order]
    loss, mae, delta = run(head, z, y, w)
    losses, slopes, slopes_b = naive.ordinal(z[:, 0].astype(float), b.astype(float), y)
    assert loss == pytest.approx(np.average(losses, weights=w), rel=2e-6 if dtype == np.float32 else 1e-13)
    close(delta[:, 0], w * slopes / w.sum(), dtype, 20)
    close(head.gradients["b"], (w @ slopes_b / w.sum())[order], dtype, 20)
    rank = (z + b > 0).sum(axis=1)
    assert np.array_equal(head.decide(z), rank)
    assert mae == pytest.approx(np.average(abs(rank - y), weights=w), rel=1e-6)


def test_ordinal_by_hand():
    """K = 3 and b = (ln 3, -ln 3). At the score 0, p(y > 0) = 3 / 4 and p(y > 1) = 1 / 4."""
    head = built(nn.Ordinal(3), 1)
    head.parameters["b"][:] = np.log(3), -np.log(3)
    z = np.zeros((1, 1))
    np.testing.assert_allclose(head.activate(z), [[3 / 4, 1 / 4]], rtol=1e-14)
    np.testing.assert_allclose(head.probabilities(z), [[1 / 4, 1 / 2, 1 / 4]], rtol=1e-14)
    assert head.decide(z) == [1]
    # y  [y > 0]  [y > 1]  l                          dl/dscore      dl/db
    # 0     0        0     -ln(1/4) - ln(3/4)         3/4 + 1/4      3/4, 1/4
    # 1     1        0     -ln(3/4) - ln(3/4)         -1/4 + 1/4     -1/4, 1/4
    # 2     1        1     -ln(3/4) - ln(1/4)         -1/4 - 3/4     -1/4, -3/4
    for y, loss, slope, slopes_b in [(0, np.log(16 / 3), 1, [3 / 4, 1 / 4]), (1, np.log(16 / 9), 0, [-1 / 4, 1 / 4]),
                                     (2, np.log(16 / 3), -1, [-1 / 4, -3 / 4])]:
        got, mae, delta = run(head, z, [y], np.ones(1))
        assert (got, mae) == pytest.approx((loss, abs(y - 1)), rel=1e-14)
        np.testing.assert_allclose(delta, [[slope]], rtol=1e-14, atol=1e-16)
        np.testing.assert_allclose(head.gradients["b"], slopes_b, rtol=1e-14)


def test_ordinal_begins_with_equal_probabilities():
    for K in (2, 3, 7):
        p = built(nn.Ordinal(K), 1).probabilities(np.zeros((1, 1)))
        np.testing.assert_allclose(p, np.full((1, K), 1 / K), rtol=1e-13)


def test_several_heads_are_the_weighted_sum_of_each(rng):
    head, z, y, w = case("Heads", rng)
    loss, metrics, delta = run(head, z, y, w)
    own = [built(nn.Categorical(class_weight=[1, 2, 3]), 3), built(nn.Ordinal(4), 1), built(nn.Gaussian(), 1)]
    parts = [run(part, np.ascontiguousarray(z[:, columns]), y[name], w)
             for part, columns, name in zip(own, (slice(0, 3), slice(3, 4), slice(4, 5)), ("type", "size", "age"))]
    assert loss == pytest.approx(sum(weight * part[0] for weight, part in zip((1, 0.5, 2), parts)), rel=1e-14)
    assert metrics.tolist() == pytest.approx([part[1] for part in parts], rel=1e-14)
    assert head.metric == ("type_accuracy", "size_mae", "age_mae")
    np.testing.assert_allclose(delta, np.hstack([parts[0][2], 0.5 * parts[1][2], 2 * parts[2][2]]), rtol=1e-14)
    np.testing.assert_allclose(head.gradients["size.b"], 0.5 * own[1].gradients["b"], rtol=1e-14)
    decisions, probabilities = head.decide(z), head.probabilities(z)
    assert list(decisions) == ["type", "size", "age"] and list(probabilities) == ["type", "size"]
    assert np.array_equal(decisions["type"], z[:, :3].argmax(axis=1)) and np.array_equal(decisions["age"], z[:, 4])


def test_the_metric_is_of_the_decisions(rng):
    for name in REGRESSIONS:
        head, z, y, w = case(name, rng)
        prediction = head.decide(z)
        assert prediction.shape == np.shape(y)
        expected = np.average(np.abs(prediction - y).reshape(N, -1).mean(axis=1), weights=w)
        assert head.metric == "mae" and run(head, z, y, w)[1] == pytest.approx(expected, rel=1e-12)
    for name in ("Bernoulli", "Bernoulli, 3 units", "Categorical", "Categorical, temperature"):
        head, z, y, w = case(name, rng)
        expected = np.average((head.decide(z) == y).reshape(N, -1).mean(axis=1), weights=w)
        assert head.metric == "accuracy" and run(head, z, y, w)[1] == pytest.approx(expected, rel=1e-12)


# ---- gradients ------------------------------------------------------------------------------------------------------

def differences(loss, array, h=1e-3):
    """Return d loss()/d array by differences of fourth order."""
    slopes = np.empty_like(array)
    for index in np.ndindex(array.shape):
        centre, values = array[index], []
        for offset in (-2, -1, 1, 2):
            array[index] = centre + offset * h
            values.append(loss())
        array[index] = centre
        slopes[index] = np.dot([1, -8, 8, -1], values) / (12 * h)
    return slopes


@EACH
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients(rng, name, weighted):
    head, z, y, w = case(name, rng)
    w = w if weighted else np.ones(N)
    for array in head.parameters.values():
        array += rng.uniform(-0.2, 0.2, array.shape)
    _, _, delta = run(head, z, y, w)
    found = {"z": delta, **{key: gradient.copy() for key, gradient in head.gradients.items()}}
    for key, array in {"z": z, **head.parameters}.items():
        expected = differences(lambda: run(head, z, y, w)[0], array)
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(found[key], expected, rtol=1e-6, atol=1e-9, err_msg=key)


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(("Poisson", "SquaredError, s",
                                                                                 "Heads"))])
@pytest.mark.parametrize("size", [30, 1e4])
def test_gradients_at_extreme_logits(rng, name, size):
    """Where a loss is linear, or square, so that wide differences are exact."""
    head, z, y, w = case(name, rng)
    z[:] = size * np.sign(z) * (1 + np.arange(z.size).reshape(z.shape) / 50)    # no two as large as each other
    _, _, delta = run(head, z, y, w)
    expected = differences(lambda: run(head, z, y, w)[0], z, h=size / 3000)
    np.testing.assert_allclose(delta, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("hidden", [(), (nn.Dense(3), nn.Tanh(), nn.Dropout(0.5))])
def test_gradients_through_a_network(rng, hidden):
    model = nn.Sequential([*hidden, nn.Dense(5)], head=many_heads(), dtype="float64").build(3, seed=2)
    X, y, w = rng.normal(size=(N, 3)), several(rng, N, 5), rng.uniform(0.5, 2, N)
    (x, targets, weights, _), = model._examples(X, y, w).batches(len(X))
    tape = model.tapes()[N]

    def mean_loss():
        loss, _, weight = model.loss_and_delta(x, targets, weights, tape, step=1)
        return loss / weight

    gradients = model.gradients(X, y, w, step=1)
    assert list(gradients) == list(model.parameters()) and "head.size.b" in gradients
    for name, array in model.parameters().items():
        np.testing.assert_allclose(gradients[name], differences(mean_loss, array), rtol=1e-6, atol=1e-9, err_msg=name)


# ---- extremes -------------------------------------------------------------------------------------------------------

@EACH
@DTYPES
def test_large_logits_are_finite(rng, name, dtype):
    head, z, y, w = case(name, rng, dtype)
    for values in (1e4, -1e4, 1e4 * np.sign(z), np.where(np.arange(z.size).reshape(z.shape) % 2, 1e4, 0)):
        z[:] = values
        loss, metric, delta = run(head, z, y, w)
        assert np.isfinite(loss) and np.isfinite(metric).all() and np.isfinite(delta).all()
        assert all(np.isfinite(gradient).all() for gradient in head.gradients.values())
        if name in REGRESSIONS:
            assert np.isfinite(head.decide(z)).all()
        if name in CLASSIFIERS:
            p = head.probabilities(z)
            assert np.isfinite(p).all() and p.min() >= 0 and p.max() <= 1


@DTYPES
@pytest.mark.parametrize("z, y, loss, delta", [
    (1e4, 1, 0, 0), (-1e4, 1, 1e4, -1), (1e4, 0, 1e4, 1), (-1e4, 0, 0, 0), (0, 1, np.log(2), -0.5),
    (0, 0.25, np.log(2), 0.25)])
def test_bernoulli_at_large_logits(dtype, z, y, loss, delta):
    found = run(built(nn.Bernoulli(), 1), np.full((1, 1), z, dtype), [y], np.ones(1, dtype))
    assert (found[0], found[2].item()) == pytest.approx((loss, delta), rel=2 * float(np.finfo(dtype).eps))


@DTYPES
def test_what_saturates_and_what_does_not(dtype):
    """Sure and wrong, a sigmoid with squared error has no gradient left; with its own loss it has all."""
    z, w = np.array([[-40], [40]], dtype), np.ones(2, dtype)
    _, _, vanished = run(built(squared_error("sigmoid"), 1), z, [1, 0], w)
    _, _, kept = run(built(nn.Bernoulli(), 1), z, [1, 0], w)
    assert np.abs(vanished).max() < 1e-16
    np.testing.assert_allclose(kept, [[-0.5], [0.5]], rtol=1e-6)


def test_the_rate_is_held_where_it_would_overflow():
    z = np.array([[79.0], [81.0], [1e4]])
    head = built(nn.Poisson(), 1)
    np.testing.assert_allclose(head.decide(z), np.exp([79, 80, 80]), rtol=1e-13)
    _, _, delta = run(head, z, [3, 3, 3], np.ones(3))
    np.testing.assert_allclose(delta[:, 0], np.exp([79, 80, 80]) / 3, rtol=1e-13)    # it still pushes back


# ---- invariances ----------------------------------------------------------------------------------------------------

def taken(y, rows):
    return {name: part[rows] for name, part in y.items()} if isinstance(y, dict) else y[rows]


@EACH
def test_weights_remove_and_repeat_rows(rng, name):
    head, z, y, _ = case(name, rng)
    w = np.arange(N) % 3
    rows = np.repeat(np.arange(N), w)
    z[0] = np.nan    # of weight 0
    loss, metric, delta = run(head, z, y, w.astype(float))
    gradients = {key: gradient.copy() for key, gradient in head.gradients.items()}
    expected = run(head, z[rows], taken(y, rows), np.ones(len(rows)))
    assert loss == pytest.approx(expected[0], rel=1e-12) and metric == pytest.approx(expected[1], rel=1e-12)
    summed = np.zeros_like(z)
    np.add.at(summed, rows, expected[2])
    np.testing.assert_allclose(delta, summed, rtol=1e-12, atol=1e-17)
    for key, gradient in head.gradients.items():
        np.testing.assert_allclose(gradients[key], gradient, rtol=1e-12)


@EACH
def test_a_batch_of_no_weight_is_nothing(rng, name):
    head, z, y, w = case(name, rng)
    delta = np.full_like(z, np.nan)
    loss, metric, weight = head.loss_and_delta(z, head.targets(y, *z.shape, z.dtype), 0 * w, delta)
    assert loss == weight == 0 and not np.any(metric) and not delta.any()
    assert not any(gradient.any() for gradient in head.gradients.values())


def test_a_shift_of_all_logits_changes_no_softmax(rng):
    for name in CASES:
        if name.startswith("Categorical") or name == "SquaredError, softmax":
            head, z, y, w = case(name, rng)
            z = np.round(4 * z) / 4    # so that the shift is exact
            first, second = run(head, z, y, w), run(head, z + 64, y, w)
            assert first[0] == pytest.approx(second[0], rel=1e-14)
            np.testing.assert_allclose(first[2], second[2], rtol=1e-13, atol=1e-16)
            np.testing.assert_allclose(head.probabilities(z), head.probabilities(z + 64), rtol=1e-13)


@DTYPES
@pytest.mark.parametrize("head", [nn.Categorical(), nn.Categorical(2, 0.1, {1: 3}), squared_error("softmax")], ids=repr)
def test_class_numbers_and_one_hot_rows_are_the_same_bits(rng, dtype, head):
    _, z, y, w = case("Categorical", rng, dtype)
    head = built(head, 4)
    first = run(head, z, y, w)
    for rows in (naive.one_hot(y, 4), naive.one_hot(y, 4).astype(bool), naive.one_hot(y, 4).astype(np.uint8).tolist()):
        found = run(head, z, rows, w)
        assert found[:2] == first[:2] and np.array_equal(found[2], first[2])


def test_temperature_and_base(rng):
    _, z, _, _ = case("Categorical", rng)
    for temperature in (0.5, 1, 2):
        head = built(nn.Categorical(temperature), 4)
        np.testing.assert_allclose(head.probabilities(z), special.softmax(z / temperature, axis=1), rtol=1e-13)
        assert np.array_equal(head.decide(z), z.argmax(axis=1))
    head = built(nn.Categorical(base=2), 4)
    np.testing.assert_allclose(head.probabilities(z), 2**z / (2**z).sum(axis=1, keepdims=True), rtol=1e-13)
    assert nn.Categorical(base=np.e).temperature == 1
    assert nn.Categorical(base=10).temperature == pytest.approx(1 / np.log(10))


def test_class_weights_repeat_rows(rng):
    _, z, y, _ = case("Categorical", rng)
    rows = np.repeat(np.arange(N), np.array([1, 2, 3, 1])[y])
    for weights in ([1, 2, 3, 1], (1, 2, 3, 1), np.array([1, 2, 3, 1]), {1: 2, 2: 3}, {np.int64(1): 2.0, 2: 3}):
        weighted = run(built(nn.Categorical(class_weight=weights), 4), z, y, np.ones(N))
        plain = run(built(nn.Categorical(), 4), z[rows], y[rows], np.ones(len(rows)))
        assert weighted[:2] == pytest.approx(plain[:2], rel=1e-13)


def test_one_question_is_a_choice_of_two(rng):
    """A Bernoulli's logit is the difference of the two of a Categorical."""
    _, z, y, w = case("Bernoulli", rng)
    two = np.hstack([np.zeros_like(z), z])
    one, other = built(nn.Bernoulli(), 1), built(nn.Categorical(), 2)
    first, second = run(one, z, y, w), run(other, two, y, w)
    assert first[:2] == pytest.approx(second[:2], rel=1e-13)
    np.testing.assert_allclose(first[2][:, 0], second[2][:, 1], rtol=1e-12)
    np.testing.assert_allclose(one.probabilities(z), other.probabilities(two), rtol=1e-13)
    assert np.array_equal(one.decide(z), other.decide(two))


def test_two_ordered_classes_are_one_question(rng):
    head, z, y, w = case("Ordinal, 2 classes", rng)
    assert head.parameters["b"] == [0]
    first, second = run(head, z, y, w), run(built(nn.Bernoulli(), 1), z, y, w)
    assert first[0] == pytest.approx(second[0], rel=1e-14)
    np.testing.assert_allclose(first[2], second[2], rtol=1e-14)


def test_linear_with_squared_error_is_gaussian(rng):
    _, z, y, w = case("Gaussian, 3 units", rng)
    first, second = run(built(nn.SquaredError("linear"), 3), z, y, w), run(built(nn.Gaussian(), 3), z, y, w)
    assert first[:2] == second[:2] and np.array_equal(first[2], second[2])


SAME_BITS = """
import hashlib, json, sys, warnings
sys.path.insert(0, TESTS)
import numpy as np, nnjit as nn, test_heads

def digest(name, dtype):
    head, z, y, w = test_heads.case(name, np.random.default_rng(0), dtype, N=700)
    loss, metric, delta = test_heads.run(head, z, y, w)
    results = loss, metric, delta, *head.gradients.values()
    return hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in results)).hexdigest()

found = []
for threads in (1, 2, 4):
    nn.set_threads(threads)
    found.append([digest(name, dtype) for name in test_heads.CASES for dtype in (np.float32, np.float64)])
print(json.dumps(found))
"""


@pytest.mark.compiled
def test_the_same_bits_at_any_number_of_threads(run_python, request):
    one, two, four = run_python(SAME_BITS.replace("TESTS", repr(str(request.path.parent))), NUMBA_NUM_THREADS="4")
    assert one == two == four
    assert len(set(one)) >= 2 * len(CASES) - 2    # Gaussian and linear with squared error may agree


# ---- properties -----------------------------------------------------------------------------------------------------

def logits(units, dtype=np.float64):
    width = 64 if dtype == np.float64 else 32
    return arrays(dtype, st.tuples(st.integers(1, 5), st.just(units)), elements=st.floats(-1e4, 1e4, width=width))


@quick
@given(st.data(), st.sampled_from(list(CASES)), st.sampled_from([np.float32, np.float64]))
def test_shapes_and_values(data, name, dtype):
    """Of any logits: the loss is finite and, but for Poisson's, not negative; everything has its shape and dtype."""
    make, units, targets = CASES[name]
    head, z = built(make(), units, dtype), data.draw(logits(units, dtype))
    n = len(z)
    y = targets(np.random.default_rng(data.draw(st.integers(0, 99))), n, units)
    y = y.reshape(n) if units == 1 else y
    loss, _, delta = run(head, z, y, np.ones(n, dtype))
    assert np.isfinite(loss) and np.isfinite(delta).all() and delta.dtype == dtype
    assert loss >= 0 or name.startswith("Poisson")
    decisions = head.decide(z)
    for part in decisions.values() if isinstance(decisions, dict) else [decisions]:
        assert len(part) == n and part.ndim == (2 if name.endswith("3 units") or part.size > n else 1)
    if name in CLASSIFIERS:
        p = head.probabilities(z)
        assert p.dtype == dtype and p.shape[0] == n and p.shape[1] == max(2, p.shape[1])
        assert p.min() >= 0 and p.max() <= 1
        if not (units == 3 and name.startswith(("Bernoulli", "SquaredError"))):    # independent labels
            np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=20 * np.finfo(dtype).eps)


@quick
@given(st.data(), st.sampled_from([np.float32, np.float64]), st.integers(2, 6))
def test_ordinal_probabilities_are_in_order_whatever_the_parameters(data, dtype, K):
    width = 64 if dtype == np.float64 else 32
    head = built(nn.Ordinal(K), 1, dtype)
    head.parameters["b"][:] = data.draw(arrays(dtype, K - 1, elements=st.floats(-50, 50, width=width)))
    z = data.draw(arrays(dtype, (4, 1), elements=st.floats(-100, 100, width=width)))
    above, p = head.activate(z), head.probabilities(z)
    assert (np.diff(above, axis=1) <= 0).all()
    assert p.shape == (4, K) and p.min() >= 0
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=20 * np.finfo(dtype).eps)
    np.testing.assert_allclose(1 - np.cumsum(p, axis=1)[:, :-1], above, rtol=0, atol=20 * np.finfo(dtype).eps)
    assert np.array_equal(head.decide(z), (z + head.parameters["b"] > 0).sum(axis=1))


@quick
@given(st.floats(0.01, 0.99), st.floats(-8, 8))
def test_the_threshold_is_of_the_probability(threshold, z):
    head = built(nn.Bernoulli(threshold), 1)
    p = special.expit(z)
    if abs(p - threshold) > 1e-12:
        assert head.decide(np.full((1, 1), z)) == [p > threshold]


# ---- the distribution decides ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("head, decision", [
    (nn.Gaussian(), np.mean), (nn.Laplace(), np.median), (nn.Poisson(), np.mean),
    (nn.Huber(0.5), lambda y: optimize.minimize_scalar(lambda m: special.huber(0.5, y - m).sum()).x)],
    ids=["mean", "median", "rate", "between"])
def test_what_a_network_without_inputs_learns(rng, head, decision):
    """With an outlier among the targets: the mean, the median, something between."""
    y = np.append(rng.poisson(3, size=20) + 0.0, 60)
    model = nn.Sequential([nn.Dense(1)], head=head, dtype="float64")
    model.fit(np.ones((21, 1)), y, nn.Adam(0.3), epochs=1, batch_size=21, verbose=0)
    for rate in (0.1, 0.01, 0.001):
        model.fit(np.ones((21, 1)), y, nn.Adam(rate), epochs=600, batch_size=21, verbose=0)
    assert model.predict(np.ones((1, 1))) == pytest.approx([decision(y)], abs=0.02)


def test_likelihoods_are_those_of_scipy(rng):
    """The loss is -log p up to a constant: of one target, differences between logits are those of -log p."""
    z = rng.normal(size=(6, 1))
    for head, y, log_p, factor in [
            (nn.Gaussian(), 0.7, stats.norm(z).logpdf, 2), (nn.Laplace(), 0.7, stats.laplace(z).logpdf, 1),
            (nn.Poisson(), 3, stats.poisson(np.exp(z)).logpmf, 1),
            (nn.Bernoulli(), 1, stats.bernoulli(special.expit(z)).logpmf, 1)]:
        losses = np.array([run(built(head, 1), row[None], [y], np.ones(1))[0] for row in z])
        expected = -factor * log_p(y)[:, 0]
        np.testing.assert_allclose(losses - losses[0], expected - expected[0], rtol=1e-12, atol=1e-13)
    z = rng.normal(size=(6, 4))
    losses = [run(built(nn.Categorical(), 4), row[None], [2], np.ones(1))[0] for row in z]
    counts = [stats.multinomial(1, special.softmax(row)).logpmf([0, 0, 1, 0]) for row in z]
    np.testing.assert_allclose(losses, -np.array(counts), rtol=1e-12)


# ---- PyTorch --------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="needs PyTorch")


def torch_loss(name, F, tensor, z, y, w):
    """Return the same loss in PyTorch's functions; z and w are tensors, y an array."""
    kind = name.partition(",")[0]
    if kind in ("Gaussian", "Laplace", "Huber", "Poisson", "Bernoulli"):
        t = tensor(y).reshape(z.shape)
        losses = {
            "Gaussian": lambda: F.mse_loss(z, t, reduction="none"),
            "Laplace": lambda: F.l1_loss(z, t, reduction="none"),
            "Huber": lambda: F.huber_loss(z, t, reduction="none", delta=0.3 if "3" in name else 1.0),
            "Poisson": lambda: F.poisson_nll_loss(z, t, log_input=True, reduction="none"),
            "Bernoulli": lambda: F.binary_cross_entropy_with_logits(
                z, t, reduction="none", pos_weight=tensor([3, 0.5, 1]) if "weighted" in name else None),
        }[kind]().mean(dim=1)
    elif name == "Categorical, temperature":
        losses = F.cross_entropy(z / 2.5, tensor(y).long(), reduction="none")
    elif name == "Categorical, weighted":
        t, weight = tensor(y).long(), tensor([3, 1, 0.5, 1])
        return (w * F.cross_entropy(z, t, weight, reduction="none")).sum() / (w * weight[t]).sum()
    elif name == "Categorical, soft":
        losses = F.cross_entropy(z, tensor(y), reduction="none")
    elif kind == "Categorical":
        losses = F.cross_entropy(z, tensor(y).long(), reduction="none", label_smoothing=0.2 if "smooth" in name else 0)
    elif name == "Ordinal":    # the loss function of its authors, in their formulation
        t = z + tensor(np.log([3, 1, 1 / 3]))
        levels = tensor(y[:, None] > np.arange(3))
        losses = -(F.logsigmoid(t) * levels + (F.logsigmoid(t) - t) * (1 - levels)).sum(dim=1)
    elif name == "SquaredError, sigmoid":
        losses = F.mse_loss(z.sigmoid(), tensor(y), reduction="none").mean(dim=1)
    else:
        losses = F.mse_loss(z.softmax(dim=1), tensor(naive.one_hot(y, 4)), reduction="none").mean(dim=1)
    return (w * losses).sum() / w.sum()


@pytest.mark.parametrize("name", [name for name in CASES if name not in (
    "Heads", "Categorical, all", "Ordinal, 2 classes", "SquaredError, linear")])
@DTYPES
def test_losses_and_deltas_are_those_of_pytorch(rng, torch, name, dtype):
    head, z, y, w = case(name, rng, dtype)
    loss, _, delta = run(head, z, y, w)
    leaf = torch.tensor(z, requires_grad=True)
    theirs = torch_loss(name, torch.nn.functional, lambda a: torch.tensor(np.asarray(a, dtype)), leaf, y,
                        torch.tensor(w))
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), rel=1e-6)
    np.testing.assert_allclose(delta, leaf.grad.numpy(), rtol=1e-6, atol=1e-7)


# ---- through the graph ----------------------------------------------------------------------------------------------

def network(head, units, *hidden):
    return nn.Sequential([*hidden, nn.Dense(units)], head=head, dtype="float64")


def fit(model, X, y, **options):
    return model.fit(X, y, nn.Adam(0.05), **{"epochs": 3, "batch_size": 4, "verbose": 0, **options})


@EACH
def test_every_head_trains_predicts_and_is_saved(rng, tmp_path, name):
    make, units, targets = CASES[name]
    X, y = rng.normal(size=(N, 3)), targets(rng, N, units)
    y = y.reshape(N) if units == 1 else y
    model = network(make(), units, nn.Dense(4), nn.Tanh())
    history = fit(model, X, y, epochs=40, validation_data=(X, y)).history
    assert history["loss"][-1] < history["loss"][0]
    metrics = [model.head.metric] if isinstance(model.head.metric, str) else list(model.head.metric)
    assert list(model.evaluate(X, y)) == ["loss", *metrics]
    assert list(history) == ["loss", *metrics, "val_loss", *[f"val_{metric}" for metric in metrics], "seconds"]
    json.dumps(history)
    model.save(tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")    # that squared error saturates
        loaded = nn.load(tmp_path / "model")
    assert repr(loaded.head) == repr(model.head) and loaded.evaluate(X, y) == model.evaluate(X, y)
    assert repr(model.predict(X)) == repr(loaded.predict(X))


def test_ordinal_takes_its_classes_from_the_first_targets(rng):
    X, y = rng.normal(size=(N, 3)), ranks(rng, N, 1)
    model = network(nn.Ordinal(), 1)
    check_refused(ValueError, r"got no number of classes, expected Ordinal\(classes=K\), or a first fit", model.build,
                  3)
    with pytest.raises(ValueError, match="X: got"):
        fit(model, X[:, 0], 2 * y)    # a refused call leaves no trace
    fit(model, X, y)
    assert model.head.classes == 4 and model.parameters()["head.b"].shape == (3,)
    assert model.predict_proba(X).shape == (N, 4)
    message = r"got labels 3 .. 4, expected class numbers 0 .. 3.*give Ordinal\(classes=5\)"
    check_refused(ValueError, message, model.evaluate, X[:2], [3, 4])


def test_heads_take_their_units_from_the_first_targets(rng):
    X = rng.normal(size=(N, 3))
    y = {"a": soft_rows(rng, N, 4), "b": numbers(rng, N, 2), "c": ranks(rng, N, 1), "d": np.arange(N) % 3}
    heads = {"a": nn.Categorical(), "b": nn.Gaussian(), "c": nn.Ordinal(), "d": squared_error("softmax")}
    model = network(nn.Heads(heads), 4 + 2 + 1 + 3)
    fit(model, X, y)
    assert model.head.units == {"a": 4, "b": 2, "c": 1, "d": 3}
    shapes = [{name: part.shape for name, part in parts.items()} for parts in (model.predict(X),
                                                                               model.predict_proba(X))]
    assert shapes == [{"a": (N,), "b": (N, 2), "c": (N,), "d": (N,)}, {"a": (N, 4), "c": (N, 4), "d": (N, 3)}]


def test_targets_are_taken_by_rows(rng):
    head, _, y, _ = case("Heads", rng)
    rows = np.array([3, 1, 4])
    part = head.targets(y, N, 5, np.float64)[rows]
    for name, expected in taken(y, rows).items():
        assert np.array_equal(np.ravel(part.by_name[name]), expected)


@pytest.mark.parametrize("convert", [np.ndarray.tolist, lambda y: y.astype(np.uint8), lambda y: y.astype(np.float16),
                                     lambda y: y.astype(np.float32), lambda y: y.astype(">i4"),
                                     lambda y: y.astype(bool)],
                         ids=["list", "uint8", "float16", "float32", "other byte order", "bool"])
@pytest.mark.parametrize("name", ["Gaussian", "Poisson", "Bernoulli", "Bernoulli, 3 units", "Categorical", "Ordinal"])
def test_targets_of_any_kind(rng, name, convert):
    head, z, y, w = case(name, rng)
    y = np.asarray(y > 0, int)
    first, second = run(head, z, y, w), run(head, z, convert(y), w)
    assert first[:2] == second[:2] and np.array_equal(first[2], second[2])


def test_reprs():
    for head, text in [(nn.Gaussian(), "Gaussian()"), (nn.Huber(2), "Huber(delta=2.0)"),
                       (nn.Categorical(), "Categorical()"),
                       (nn.Categorical(base=np.e), "Categorical()"), (nn.Ordinal(5), "Ordinal(classes=5)"),
                       (nn.Categorical(2, class_weight={1: 3}), "Categorical(temperature=2.0, class_weight={1: 3.0})"),
                       (nn.Bernoulli(0.3, [1, 2]), "Bernoulli(threshold=0.3, pos_weight=[1.0, 2.0])"),
                       (squared_error("softmax"), "SquaredError(activation='softmax')"),
                       (nn.Heads({"units": nn.Gaussian()}, b=nn.Poisson(), weights={"b": 2}),
                        "Heads(units=Gaussian(), b=Poisson(), weights={'units': 1.0, 'b': 2.0})")]:
        assert repr(head) == text


# ---- mistakes, explained --------------------------------------------------------------------------------------------

def check_refused(exception, message, call, *args, **kwargs):
    """One line that says what was got, what is expected, and what to do."""
    with pytest.raises(exception, match=message) as caught:
        call(*args, **kwargs)
    text = str(caught.value)
    assert type(caught.value) is exception and "\n" not in text and "got " in text and "expected " in text, text


COLUMN = np.zeros((N, 1))

# a head, its units, targets, and what the message must say
MISTAKES = {
    "labels from 1": (nn.Categorical(), 3, 1 + np.arange(N) % 3,
                      r"labels 1 .. 3, expected class numbers 0 .. 2.*y - 1"),
    "a class too many": (nn.Categorical(), 3, np.arange(N) % 4,
                         r"labels 0 .. 3.*for 4 classes the last layer takes 4 units"),
    "labels with gaps": (nn.Categorical(), 3, np.arange(N) % 3 * 10,
                         r"labels 0 .. 20, expected class numbers 0 .. 2; number the classes with np.unique"),
    "missing labels": (nn.Categorical(), 3, np.where(np.arange(N) > 3, 1, np.nan),
                       "got NaN or infinity, expected class numbers 0 .. 2; fill in or drop"),
    "negative labels": (nn.Categorical(), 3, np.arange(N) % 3 - 1, r"labels -1 .. 1.*np.unique"),
    "not whole": (nn.Categorical(), 3, np.arange(N) % 3 + 0.5, r"got 0.5, expected class numbers.*Gaussian\(\)"),
    "multi-hot": (nn.Categorical(), 3, np.ones((N, 3)), r"a row of 0 and 1 with 3 ones.*Bernoulli\(\)"),
    "empty rows": (nn.Categorical(), 3, np.zeros((N, 3)), r"a row of 0 and 1 with 0 ones.*Bernoulli\(\)"),
    "no probabilities": (nn.Categorical(), 3, np.full((N, 3), 0.5), "rows that are no probabilities"),
    "a column of labels": (nn.Categorical(), 3, COLUMN, r"shape \(11, 1\).*y\[:, 0\]"),
    "wide rows": (nn.Categorical(), 3, np.eye(4)[np.arange(N) % 4], r"shape \(11, 4\).*a unit for each class"),
    "integer labels": (nn.Bernoulli(), 1, np.arange(N) % 5,
                       r"labels 0 .. 4, expected 0 and 1.*5 classes use Categorical\(\)"),
    "labels -1 and 1": (nn.Bernoulli(), 1, np.arange(N) % 2 * 2 - 1, "labels -1 and 1, expected 0 and 1; give y > 0"),
    "labels 1 and 2": (nn.Bernoulli(), 1, np.arange(N) % 2 + 1, "labels 1 and 2, expected 0 and 1; give y - 1"),
    "no probability": (nn.Bernoulli(), 1, np.linspace(0, 1.5, N), r"got 1.05, expected 0 and 1"),
    "missing answers": (nn.Bernoulli(), 1, np.where(np.arange(N) > 3, 1, np.nan), "got NaN"),
    "a choice": (nn.Bernoulli(), 3, np.arange(N) % 3,
                 r"shape \(11,\), expected \(11, 3\).*3 classes use Categorical\(\)"),
    "a column of answers": (nn.Bernoulli(), 1, COLUMN, r"shape \(11, 1\), expected \(11,\).*11 by 11; give y\[:, 0\]"),
    "a column": (nn.Gaussian(), 1, COLUMN, r"shape \(11, 1\), expected \(11,\).*11 by 11; give y\[:, 0\]"),
    "a row too wide": (nn.Gaussian(), 1, np.zeros((N, 2)), r"shape \(11, 2\), expected \(11,\) for the single unit"),
    "a number for several": (nn.Laplace(), 2, np.zeros(N),
                             r"shape \(11,\), expected \(11, 2\), a number for each of 2 units"),
    "three axes": (nn.Huber(), 2, np.zeros((N, 2, 1)), r"shape \(11, 2, 1\), expected \(11, 2\)"),
    "missing numbers": (nn.Gaussian(), 1, np.append(np.zeros(N - 1), np.nan),
                        "got NaN or infinity, expected finite numbers"),
    "negative counts": (nn.Poisson(), 1, np.arange(N) - 3, r"got -3, expected counts, from 0 on.*Gaussian\(\)"),
    "ranks from 1": (nn.Ordinal(3), 1, 1 + np.arange(N) % 3,
                     r"labels 1 .. 3.*y - 1; for 4 classes give Ordinal\(classes=4\)"),
    "one-hot ranks": (nn.Ordinal(3), 1, np.eye(3)[np.arange(N) % 3],
                      r"shape \(11, 3\), expected.*np.argmax\(y, axis=1\)"),
    "a column of ranks": (nn.Ordinal(3), 1, COLUMN, r"shape \(11, 1\), expected.*give y\[:, 0\]"),
    "short": (nn.Gaussian(), 1, np.zeros(N - 1), r"shape \(10,\), expected 11 rows"),
    "nothing": (nn.Gaussian(), 1, 3.0, r"shape \(\), expected 11 rows"),
    "ragged": (nn.Bernoulli(), 2, [[0, 1]] * (N - 1) + [[0]], "rows of different lengths"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_targets_that_are_refused(mistake):
    head, units, y, message = MISTAKES[mistake]
    check_refused(ValueError, message, built(head, units).targets, y, N, units, np.dtype(np.float64))


def test_targets_of_the_wrong_kind():
    for head, units in [(nn.Gaussian(), 1), (nn.Bernoulli(), 1), (nn.Bernoulli(), 2), (nn.Categorical(), 2),
                        (nn.Ordinal(3), 1)]:
        for y in (["yes"] * N, np.zeros(N, complex), np.full(N, None)):
            check_refused(TypeError, "y: got", built(head, units).targets, y, N, units, np.dtype(np.float64))
    check_refused(TypeError, r"y: got <U\d, .*number the classes with np.unique\(y, return_inverse=True\)",
                  built(nn.Categorical(), 2).targets, ["cat", "dog"], 2, 2, np.dtype(np.float64))
    check_refused(ValueError, "too large for float32.*scale the targets", built(nn.Gaussian(), 1).targets,
                  np.full(N, 1e300), N, 1, np.dtype(np.float32))


@pytest.mark.parametrize("y, message", [
    (1 + np.arange(9) % 3, r"labels 1 .. 3, expected the first class to be 0; give y - 1"),
    (np.eye(3), "expected class numbers"),
    ([0.5, 1], "got 0.5, expected class numbers"), ([0, -1, 2], "labels -1 .. 2")])
def test_targets_from_which_no_classes_can_be_taken(y, message):
    check_refused(ValueError, message, nn.Ordinal().prepare, y)


@pytest.mark.parametrize("head, shape, message", [
    (nn.Categorical(), (1,), r"got 1 unit.*always answers class 0: use Bernoulli\(\), or 2 units"),
    (squared_error("softmax"), (1,), "always answers class 0"),
    (nn.Ordinal(4), (4,), "got 4 units in the last layer, expected 1, the score"),
    (nn.Categorical(), (4, 4, 3), r"got an output of shape \(4, 4, 3\)"),
    (nn.Gaussian(), (2, 2), r"got an output of shape \(2, 2\)"),
    (nn.Bernoulli(pos_weight=[1, 2]), (3,), "got 2 weights, expected 3"),
    (nn.Categorical(class_weight=[1, 2]), (3,), "got 2 weights, expected 3"),
    (nn.Categorical(class_weight={3: 1}), (3,), "got class 3, expected classes 0 .. 2"),
    (nn.Categorical(class_weight={0: 0, 1: 0}), (2,), "got zeros alone"),
    (many_heads(), (6,), r"got 6 units in the last layer, expected 3 \(type\) \+ 1 \(size\) \+ 1 \(age\) = 5"),
    (nn.Heads(a=nn.Gaussian()), (1,), r"got no units, expected Heads\(..., units="),
], ids=str)
def test_last_layers_that_are_refused(head, shape, message):
    check_refused(ValueError, message, head.build, shape)


class Softmax:
    """A layer of the user's own."""


@pytest.mark.parametrize("head", [nn.Bernoulli(), nn.Categorical(), nn.Ordinal(3), nn.Poisson(),
                                  squared_error("sigmoid"),
                                  nn.Heads(a=nn.Bernoulli())], ids=repr)
@pytest.mark.parametrize("layer", [nn.Sigmoid(), Softmax()], ids=["Sigmoid", "Softmax"])
def test_an_output_activation_before_a_head_that_applies_its_own(head, layer):
    name = type(layer).__name__
    message = f"got a {name} layer before it, expected logits, .* applies the .* itself; remove the {name} layer"
    check_refused(ValueError, message, head.check_last_layer, layer)


@pytest.mark.parametrize("head", [nn.Gaussian(), nn.Laplace(), nn.Huber(), nn.SquaredError("linear")], ids=repr)
def test_an_output_activation_before_a_linear_head_saturates(head):
    with pytest.warns(UserWarning, match=r"Sigmoid layer before it .* saturates.*use Bernoulli\(\) or Categorical\(\)"):
        head.check_last_layer(nn.Sigmoid())
    head.check_last_layer(nn.Tanh())    # no objection


def test_a_network_with_an_output_activation_too_many():
    model = nn.Sequential([nn.Dense(3), nn.Sigmoid()], head=nn.Categorical())
    check_refused(ValueError, "applies the softmax itself; remove the Sigmoid layer", model.build, 4)
    model = nn.Sequential([nn.Dense(1), nn.Sigmoid()], head=nn.Gaussian())
    with pytest.warns(UserWarning, match="saturates"):
        model.build(4)


@pytest.mark.parametrize("activation, own", [("sigmoid", r"Bernoulli\(\)"), ("softmax", r"Categorical\(\)")])
def test_squared_error_warns_that_it_saturates(activation, own):
    with pytest.warns(UserWarning, match=f"the {activation} saturates.*{own} has the loss that belongs to it"):
        nn.SquaredError(activation)


def test_argmax_of_the_probabilities_of_a_single_unit_is_right(rng):
    """They have a column for each of the two classes."""
    head, z, _, _ = case("Bernoulli", rng)
    p = head.probabilities(z)
    assert p.shape == (N, 2) and np.array_equal(p.argmax(axis=1), head.decide(z)) and len(set(head.decide(z))) == 2


@pytest.mark.parametrize("head", [nn.Gaussian(), nn.Poisson(), nn.SquaredError("linear"),
                                  nn.Heads(a=nn.Laplace(), units={"a": 1})],
                         ids=repr)
def test_no_probabilities_where_there_are_no_classes(head):
    check_refused(TypeError, "expected one that predicts classes; use predict", built(head, 1).probabilities, COLUMN)


@pytest.mark.parametrize("exception, make", [
    *[(ValueError, lambda v=v: nn.Huber(v)) for v in (0, -1, np.nan, np.inf)], (TypeError, lambda: nn.Huber("1")),
    *[(ValueError, lambda v=v: nn.Bernoulli(v)) for v in (0, 1, -0.1, 1.1)], (TypeError, lambda: nn.Bernoulli(None)),
    *[(ValueError, lambda v=v: nn.Bernoulli(pos_weight=v)) for v in (0, -1, [1, -1], [1, np.nan])],
    (TypeError, lambda: nn.Bernoulli(pos_weight="2")), (TypeError, lambda: nn.Bernoulli(pos_weight=[[1], [2]])),
    *[(ValueError, lambda v=v: nn.Categorical(v)) for v in (0, -1, np.inf)], (TypeError, lambda: nn.Categorical("hot")),
    *[(ValueError, lambda v=v: nn.Categorical(label_smoothing=v)) for v in (-0.1, 1)],
    *[(ValueError, lambda v=v: nn.Categorical(base=v)) for v in (1, 0.5, -2)],
    (ValueError, lambda: nn.Categorical(2, base=3)),
    *[(ValueError, lambda v=v: nn.Categorical(class_weight=v)) for v in ([1, -1], {0: -1}, {-1: 1}, {0: np.nan})],
    *[(TypeError, lambda v=v: nn.Categorical(class_weight=v)) for v in (2, "balanced", {0: "1"}, {0.5: 1}, {None: 1})],
    *[(ValueError, lambda v=v: nn.Ordinal(v)) for v in (1, 0, -3)],
    *[(TypeError, lambda v=v: nn.Ordinal(v)) for v in (3.0, True)],
    (ValueError, lambda: nn.SquaredError("tanh")), (ValueError, lambda: nn.SquaredError(None)),
    (ValueError, lambda: nn.Heads()), (TypeError, lambda: nn.Heads(a="softmax")),
    (TypeError, lambda: nn.Heads(a=nn.Categorical)),
    (TypeError, lambda: nn.Heads(a=many_heads())), (TypeError, lambda: nn.Heads(nn.Categorical())),
    (ValueError, lambda: nn.Heads(a=nn.Gaussian(), units={"b": 1})),
    (ValueError, lambda: nn.Heads(a=nn.Gaussian(), b=nn.Gaussian(), units={"a": 1})),
    (ValueError, lambda: nn.Heads(a=nn.Gaussian(), units={"a": 0})),
    (TypeError, lambda: nn.Heads(a=nn.Gaussian(), units=1)),
    (ValueError, lambda: nn.Heads(a=nn.Gaussian(), weights={"a": -1})),
    (ValueError, lambda: nn.Heads(a=nn.Gaussian(), weights={"b": 1})),
    (ValueError, lambda: nn.Heads(a=nn.Gaussian(), weights={"a": 0})),
    (TypeError, lambda: nn.Heads(a=nn.Gaussian(), weights=[1])),
])
def test_settings_that_are_refused(exception, make):
    check_refused(exception, "got ", make)


@pytest.mark.parametrize("exception, y, message", [
    (TypeError, np.zeros(N), "y: got ndarray, expected a dict of 'type', 'size', 'age'"),
    (ValueError, {"type": np.zeros(N)}, "y: got 'type', expected 'type', 'size', 'age'"),
    (ValueError, {"type": np.zeros(N), "size": np.zeros(N), "age": np.zeros(N), "make": 1}, "'make', expected")])
def test_targets_of_several_heads_that_are_refused(exception, y, message):
    head = built(many_heads(), 5)
    check_refused(exception, message, head.targets, y, N, 5, np.dtype(np.float64))
    check_refused(exception, message, head.prepare, y)
