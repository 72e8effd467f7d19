"""The heads: losses, deltas and metrics against their distributions; gradients; extremes."""
import naive
import numpy as np
import pytest
from head_cases import (
    CASES,
    CLASSIFIERS,
    DTYPES,
    EACH,
    REGRESSIONS,
    N,
    built,
    case,
    check_refused,
    close,
    differences,
    many_heads,
    run,
    several,
    squared_error,
)

import nnjit as nn
from nnjit import preparation

# ---- losses, deltas and metrics against the distributions --------------------------------------------------

@DTYPES
@pytest.mark.parametrize("name, twin", [
    ("Gaussian", naive.squared_error), ("Gaussian, 3 units", naive.squared_error),
    ("Laplace", naive.absolute_error), ("Laplace, 3 units", naive.absolute_error),
    ("Huber", lambda z, y: naive.huber(z, y, 1)), ("Huber, 3 units", lambda z, y: naive.huber(z, y, 0.3)),
    ("Poisson", naive.poisson), ("Poisson, 3 units", naive.poisson), ("Bernoulli", naive.bernoulli),
    ("Bernoulli, soft", naive.bernoulli), ("Bernoulli, 3 units", naive.bernoulli),
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
    mean, hits, expected = naive.categorical(z.astype(float) / 0.5, smooth,
                                             w.astype(float) * (y @ [1, 2, 3, 4]))
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
    for y, loss, slope, slopes_b in [(0, np.log(16 / 3), 1, [3 / 4, 1 / 4]),
                                     (1, np.log(16 / 9), 0, [-1 / 4, 1 / 4]),
                                     (2, np.log(16 / 3), -1, [-1 / 4, -3 / 4])]:
        got, mae, delta = run(head, z, [y], np.ones(1))
        assert (got, mae) == pytest.approx((loss, abs(y - 1)), rel=1e-14)
        np.testing.assert_allclose(delta, [[slope]], rtol=1e-14, atol=1e-16)
        np.testing.assert_allclose(head.gradients["b"], slopes_b, rtol=1e-14)


def test_ordinal_begins_with_equal_probabilities():
    for K in (2, 3, 7):
        p = built(nn.Ordinal(K), 1).probabilities(np.zeros((1, 1)))
        np.testing.assert_allclose(p, np.full((1, K), 1 / K), rtol=1e-13)


@pytest.mark.parametrize("head, units, y", [
    (nn.Bernoulli(), 10, np.ones((1000, 10))), (squared_error("sigmoid"), 10, np.ones((1000, 10))),
    (nn.Bernoulli(), 1, np.ones(1000)), (nn.Categorical(), 10, np.zeros(1000, int)),
    (squared_error("softmax"), 10, np.zeros(1000, int))], ids=repr)
def test_right_answers_are_counted_in_whole_numbers(head, units, y):
    """Nine of ten are exactly 0.9, in 125 batches."""
    z = np.where(np.arange(1000 * units).reshape(1000, units) % 10 == 3, -1.0, 1.0)
    if y.ndim == 1 and units == 10:
        z = np.where(np.arange(1000)[:, None] % 10 == 3, -1.0, 1.0) * np.eye(10)[0]
    model = nn.Sequential([nn.Dense(units, bias=False)], head=head, dtype="float64").build(1)
    blocks = [slice(first, first + 8) for first in range(0, 1000, 8)]
    y = head.targets(y, *z.shape, np.float64)
    sums = np.sum([head.loss(z[rows], y[rows], np.ones(8), np.empty((8, units))) for rows in blocks], axis=0)
    assert sums[1] == 0.9 * 1000 * (units if y.ndim == 2 and np.ptp(y) == 0 else 1)
    assert head.means(*sums)["accuracy"] == 0.9 and model.head is head


@pytest.mark.parametrize("head", [nn.Bernoulli(), nn.Categorical(class_weight={0: 0.3, 1: 0.7})], ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_right_is_exactly_1_with_any_weights(rng, head, dtype):
    N = 5000
    y = rng.integers(2, size=N)
    units = 1 if isinstance(head, nn.Bernoulli) else 2
    z = (2 * y[:, None] - 1 if units == 1 else naive.one_hot(y, 2)).astype(dtype)
    _, accuracy, _ = run(built(head, units, dtype), z, y, rng.uniform(0, 2, N).astype(dtype))
    assert accuracy == 1


def test_several_heads_are_the_weighted_sum_of_each(rng):
    head, z, y, w = case("Heads", rng)
    loss, metrics, delta = run(head, z, y, w)
    own = [built(nn.Categorical(class_weight=[1, 2, 3]), 3), built(nn.Ordinal(4), 1), built(nn.Gaussian(), 1)]
    parts = [run(part, np.ascontiguousarray(z[:, columns]), y[name], w)
             for part, columns, name in zip(own, (slice(0, 3), slice(3, 4), slice(4, 5)),
                                            ("type", "size", "age"))]
    assert loss == pytest.approx(sum(weight * part[0] for weight, part in zip((1, 0.5, 2), parts)), rel=1e-14)
    assert metrics.tolist() == pytest.approx([part[1] for part in parts], rel=1e-14)
    assert head.metric == ("type_accuracy", "size_mae", "age_mae")
    np.testing.assert_allclose(delta, np.hstack([parts[0][2], 0.5 * parts[1][2], 2 * parts[2][2]]),
                               rtol=1e-14)
    np.testing.assert_allclose(head.gradients["size.b"], 0.5 * own[1].gradients["b"], rtol=1e-14)
    decisions, probabilities = head.decide(z), head.probabilities(z)
    assert list(decisions) == ["type", "size", "age"] and list(probabilities) == ["type", "size"]
    assert np.array_equal(decisions["type"], z[:, :3].argmax(axis=1))
    assert np.array_equal(decisions["age"], z[:, 4])


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


# ---- gradients ---------------------------------------------------------------------------------------------

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


@pytest.mark.parametrize("name", [
    name for name in CASES if not name.startswith(("Poisson", "SquaredError, s", "Heads"))])
@pytest.mark.parametrize("size", [30, 1e4])
def test_gradients_at_extreme_logits(rng, name, size):
    """Where a loss is linear, or square, so that wide differences are exact."""
    head, z, y, w = case(name, rng)
    # no two as large as each other
    z[:] = size * np.sign(z) * (1 + np.arange(z.size).reshape(z.shape) / 50)
    _, _, delta = run(head, z, y, w)
    expected = differences(lambda: run(head, z, y, w)[0], z, h=size / 3000)
    np.testing.assert_allclose(delta, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("hidden", [(), (nn.Dense(3), nn.Tanh(), nn.Dropout(0.5))])
def test_gradients_through_a_network(rng, hidden):
    model = nn.Sequential([*hidden, nn.Dense(5)], head=many_heads(), dtype="float64").build(3, seed=2)
    X, y, w = rng.normal(size=(N, 3)), several(rng, N, 5), rng.uniform(0.5, 2, N)
    batch, = preparation.examples(model, X, y, w).batches(len(X))
    workspace = model.graph.workspaces()[N]

    def mean_loss():
        return model.head.means(*model.graph.loss(batch, workspace, step=1))["loss"]

    gradients = model.gradients(X, y, w, step=1)
    assert list(gradients) == list(model.parameters()) and "head.size.b" in gradients
    for name, array in model.parameters().items():
        np.testing.assert_allclose(gradients[name], differences(mean_loss, array), rtol=1e-6, atol=1e-9,
                                   err_msg=name)


# ---- extremes ----------------------------------------------------------------------------------------------

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


@EACH
@DTYPES
def test_nothing_is_decided_from_nan(rng, name, dtype):
    head, z, _, _ = case(name, rng, dtype)
    z[3, -1] = z[5] = np.nan
    message = "predict: got NaN in the logits of row 3, expected finite numbers; the training diverged"
    check_refused(ValueError, message, head.decide, z)
    head.decide(z[:3])


def test_a_diverged_model_predicts_nothing(rng):
    model = nn.Sequential([nn.Dense(3)], head=nn.Categorical()).build(2)
    model.parameters()["0.b"][1] = np.nan
    check_refused(ValueError, "predict: got NaN in the logits of row 0", model.predict, np.ones((4, 2)))


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
