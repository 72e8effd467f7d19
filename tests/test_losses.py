"""The losses as functions: published examples, agreement, weights, masks, and the mistakes they explain."""
import doctest

import naive
import numpy as np
import pytest
from head_cases import check_refused
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special

import nnjit as nn
from nnjit import losses
from nnjit.heads import base, several
from nnjit.inputs import targets

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
N, T, K = 7, 5, 4


def numbers(rng, shape):
    return rng.normal(size=shape), rng.normal(size=shape)


def counts(rng, shape):
    return rng.poisson(2, size=shape), np.exp(rng.normal(size=shape))


def answers(rng, shape):
    return rng.integers(2, size=shape), special.expit(2 * rng.normal(size=shape))


def soft_answers(rng, shape):
    return rng.random(shape), 2 * rng.normal(size=shape)


def rows(rng, shape):
    return tuple(rng.dirichlet(np.ones(shape[-1]), size=shape[:-1]) for _ in range(2))


def rows_and_logits(rng, shape):
    return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1]), 2 * rng.normal(size=shape)


def labels(rng, shape):
    return rng.integers(shape[-1], size=shape[:-1]), rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])


def labels_and_logits(rng, shape):
    return rng.integers(shape[-1], size=shape[:-1]), 2 * rng.normal(size=shape)


def ranks(rng, shape):
    return rng.integers(shape[-1] + 1, size=shape[:-1]), 2 * rng.normal(size=shape)


# one for each number
NUMBERS = {"mean_squared_error": numbers, "mean_absolute_error": numbers, "huber": numbers, "poisson": counts,
           "binary_crossentropy": answers, "sigmoid_crossentropy_with_logits": soft_answers}
LOSSES = {**NUMBERS, "mean_pairwise_squared_error": numbers, "categorical_crossentropy": rows,
          "softmax_crossentropy_with_logits": rows_and_logits, "sparse_categorical_crossentropy": labels,
          "sparse_softmax_crossentropy_with_logits": labels_and_logits, "ordinal_crossentropy": ranks}
EACH = pytest.mark.parametrize("name", LOSSES)


def case(name, rng, shape=(N, K), dtype=np.float64):
    y, p = LOSSES[name](rng, shape)
    return getattr(losses, name), y, p.astype(dtype)


def test_these_are_all_the_losses():
    assert set(LOSSES) == {name for name, value in vars(losses).items() if callable(value)
                           and not name.startswith("_")
                           and value.__module__ == losses.__name__}


# ---- published examples ------------------------------------------------------------------------------------

BINARY_Y, BINARY_Z = [[0, 1], [0, 0]], [[-18.6, 0.51], [2.94, -12.8]]
CATEGORICAL_P = [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]
CORAL_Z = [[2.1, 1.8, -2.1, -1.8], [1.9, -1., -1.5, -1.3], [1.9, 1.8, 1.7, 1.6]]


@pytest.mark.parametrize("loss, y, p, options, value", [
    # keras.io/api/losses
    ("mean_squared_error", [[0., 1.], [0., 0.]], [[1., 1.], [1., 0.]], {}, [0.5, 0.5]),
    ("mean_squared_error", [[0., 1.], [0., 0.]], [[1., 1.], [1., 0.]], {"reduction": "mean"}, 0.5),
    ("mean_squared_error", [[0., 1.], [0., 0.]], [[1., 1.], [1., 0.]], {"reduction": "sum"}, 1.0),
    ("mean_squared_error", [[0., 1.], [0., 0.]], [[1., 1.], [1., 0.]], {"sample_weight": [0.7, 0.3]},
     [0.35, 0.15]),
    ("mean_absolute_error", [[0., 1.], [0., 0.]], [[1., 1.], [1., 0.]], {"reduction": "mean"}, 0.5),
    ("huber", [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], {"reduction": "mean"}, 0.155),
    ("huber", [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], {}, [0.18, 0.13]),
    ("huber", [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]], {"sample_weight": [1, 0]}, [0.18, 0]),
    ("poisson", [[0., 1.], [0., 0.]], [[1., 1.], [0., 0.]], {"reduction": "mean"}, 0.49999997),
    ("poisson", [[1., 9., 2.]], [[4., 8., 12.]], {"reduction": "mean"}, -0.35702705),
    ("binary_crossentropy", [[0., 1.], [0., 0.]], [[0.6, 0.4], [0.4, 0.6]], {}, [0.91629076, 0.71355796]),
    ("binary_crossentropy", [[0., 1.], [0., 0.]], [[0.6, 0.4], [0.4, 0.6]], {"reduction": "mean"},
     0.81492424),
    ("binary_crossentropy", BINARY_Y, BINARY_Z, {"from_logits": True}, [0.23515666, 1.4957594]),
    ("binary_crossentropy", BINARY_Y, BINARY_Z, {"from_logits": True, "reduction": "mean"}, 0.86545801),
    ("binary_crossentropy", BINARY_Y, BINARY_Z, {"from_logits": True, "reduction": "sum"}, 1.730916),
    ("categorical_crossentropy", [[0, 1, 0], [0, 0, 1]], CATEGORICAL_P, {}, [0.05129331, 2.3025851]),
    ("categorical_crossentropy", [[0, 1, 0], [0, 0, 1]], CATEGORICAL_P, {"reduction": "mean"}, 1.1769392),
    ("categorical_crossentropy", [[0, 1, 0], [0, 0, 1]], CATEGORICAL_P, {"reduction": "sum"}, 2.3538785),
    ("categorical_crossentropy", [[0, 1, 0], [0, 0, 1]], CATEGORICAL_P, {"sample_weight": [0.3, 0.7]},
     [0.3 * 0.05129331, 0.7 * 2.3025851]),    # of which Keras takes the mean over 2 rows: 0.814
    ("sparse_categorical_crossentropy", [1, 2], CATEGORICAL_P, {}, [0.05129331, 2.3025851]),
    # tensorflow.org: tf.nn.softmax_cross_entropy_with_logits, tf.nn.sparse_softmax_cross_entropy_with_logits
    ("softmax_crossentropy_with_logits", [[1.0, 0.0, 0.0], [0.0, 0.8, 0.2]],
     [[4.0, 2.0, 1.0], [0.0, 5.0, 1.0]], {}, [0.16984604, 0.82474494]),
    ("sparse_softmax_crossentropy_with_logits", [0, 3, 1],
     [[2., -5., .5, -.1], [0., 0., 1.9, 1.4], [-100., 100., -100., -100.]], {}, [0.29750752, 1.1448325, 0]),
    # tensorflow.org: tf.nn.sigmoid_cross_entropy_with_logits, which gives every number
    ("sigmoid_crossentropy_with_logits", [0., 0., 0., 1., 1., 1., 0.5], [1., -1., 0., 1., -1., 0., 0.], {},
     [1.3132617, 0.3132617, 0.6931472, 0.3132617, 1.3132617, 0.6931472, 0.6931472]),
    # tf.compat.v1.losses.mean_pairwise_squared_error:
    # ((a-b) - (x-y))², ((a-c) - (x-z))², ((b-c) - (y-z))², over 3
    ("mean_pairwise_squared_error", [[1, 2, 4]], [[2, 5, 4]], {},
     [(((1 - 2) - (2 - 5))**2 + ((1 - 4) - (2 - 4))**2 + ((2 - 4) - (5 - 4))**2) / 3]),
    # coral_pytorch.losses.coral_loss, by the authors of the method
    ("ordinal_crossentropy", [2, 1, 4], CORAL_Z, {}, [0.5370, 0.8951, 0.6441]),
    ("ordinal_crossentropy", [2, 1, 4], CORAL_Z, {"reduction": "sum"}, 2.0761),
    ("ordinal_crossentropy", [2, 1, 4], CORAL_Z, {"reduction": "mean"}, 0.6920),
])
def test_published_examples(loss, y, p, options, value):
    """To all digits that are printed, which are 4 for the last."""
    got = getattr(losses, loss)(y, p, **options)
    np.testing.assert_allclose(got, value, rtol=0, atol=5.1e-5 if loss == "ordinal_crossentropy" else 1e-6)
    assert isinstance(got, float if "reduction" in options else np.ndarray)


def test_weights_in_a_mean_divide_it():
    """Unlike Keras's 0.814 for these weights, which is divided by the number of rows."""
    got = losses.sparse_categorical_crossentropy([1, 2], CATEGORICAL_P, sample_weight=[0.3, 0.7],
                                                 reduction="mean")
    assert got == pytest.approx((0.3 * 0.05129331 + 0.7 * 2.3025851) / 1, abs=1e-6)
    assert got / 2 == pytest.approx(0.8136, abs=1e-4)


@pytest.mark.parametrize("module", [base, several, losses, targets])
def test_examples_in_docstrings(module):
    assert doctest.testmod(module).failed == 0


# ---- agreement ---------------------------------------------------------------------------------------------

@DTYPES
@pytest.mark.parametrize("name, twin", [
    ("mean_squared_error", naive.squared_error), ("mean_absolute_error", naive.absolute_error),
    ("huber", lambda p, y: naive.huber(p, y, 1)), ("poisson", lambda p, y: naive.poisson(np.log(p), y)),
    ("binary_crossentropy", lambda p, y: naive.bernoulli(special.logit(p), y)),
    ("sigmoid_crossentropy_with_logits", naive.bernoulli)])
@pytest.mark.parametrize("shape", [(N,), (N, 1), (N, K), (N, T, K)])
def test_a_loss_of_numbers(rng, name, twin, dtype, shape):
    loss, y, p = case(name, rng, shape, dtype)
    got = loss(y, p)
    expected = twin(p.astype(float), y.astype(dtype).astype(float))[0]
    expected = expected if len(shape) == 1 else expected.mean(axis=-1)
    assert got.dtype == dtype
    rounding = {"rtol": 4e-6, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-13}
    np.testing.assert_allclose(got, expected, **rounding)


@DTYPES
@pytest.mark.parametrize("shape", [(N, 2), (N, K), (N, T, K)])
def test_a_loss_of_classes(rng, dtype, shape):
    close = {"rtol": 2e-6, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-13}
    for name in ("categorical_crossentropy", "softmax_crossentropy_with_logits"):
        loss, y, p = case(name, rng, shape, dtype)
        log_p = special.log_softmax(p.astype(float), axis=-1) if "logits" in name else np.log(p.astype(float))
        np.testing.assert_allclose(loss(y, p), -(y * log_p).sum(axis=-1), **close)
    for name in ("sparse_categorical_crossentropy", "sparse_softmax_crossentropy_with_logits"):
        loss, y, p = case(name, rng, shape, dtype)
        log_p = special.log_softmax(p.astype(float), axis=-1) if "logits" in name else np.log(p.astype(float))
        np.testing.assert_allclose(loss(y, p), -np.take_along_axis(log_p, y[..., None], -1)[..., 0], **close)
        assert loss(y, p).dtype == dtype


@DTYPES
def test_a_loss_of_ranks(rng, dtype):
    loss, y, z = case("ordinal_crossentropy", rng, (N, K), dtype)
    expected = [naive.ordinal([0.0], row.astype(float), [label])[0][0] for row, label in zip(z, y)]
    np.testing.assert_allclose(loss(y, z), expected, rtol=2e-6 if dtype == np.float32 else 1e-13)


@DTYPES
@pytest.mark.parametrize("width", [2, 3, 7])
def test_pairwise(rng, dtype, width):
    loss, y, p = case("mean_pairwise_squared_error", rng, (N, width), dtype)
    expected, single = naive.pairwise_squared_error(y, p.astype(float)), dtype == np.float32
    np.testing.assert_allclose(loss(y, p), expected, rtol=1e-5 if single else 1e-12)
    # blind to what all share
    np.testing.assert_allclose(loss(y, p + 100), expected, rtol=1e-3 if single else 1e-11)


def run(head, units, z, y, w, dtype):
    """Return the mean loss of a head."""
    head.build((units,))
    head.parameters = {name: np.zeros(shape, dtype) for name, shape in head.shapes.items()}
    head.gradients = {name: np.zeros(shape, dtype) for name, shape in head.shapes.items()}
    head.initialise(None)
    return head.means(*head.loss(z, head.targets(y, *z.shape, dtype), w, np.empty_like(z)))["loss"]


@DTYPES
@pytest.mark.parametrize("name, head, predict", [
    ("mean_squared_error", nn.Gaussian(), None), ("mean_absolute_error", nn.Laplace(), None),
    ("huber", nn.Huber(), None),
    ("poisson", nn.Poisson(), np.exp), ("binary_crossentropy", nn.Bernoulli(), special.expit),
    ("sigmoid_crossentropy_with_logits", nn.Bernoulli(), None),
    ("categorical_crossentropy", nn.Categorical(), lambda z: special.softmax(z, axis=1)),
    ("softmax_crossentropy_with_logits", nn.Categorical(), None),
    ("sparse_categorical_crossentropy", nn.Categorical(), lambda z: special.softmax(z, axis=1)),
    ("sparse_softmax_crossentropy_with_logits", nn.Categorical(), None)])
def test_the_heads_have_the_same_losses(rng, dtype, name, head, predict):
    loss, y, _ = case(name, rng)
    z, w = rng.normal(size=(N, K)).astype(dtype), rng.uniform(0, 2, N).astype(dtype)
    got = loss(y, z if predict is None else predict(z), sample_weight=w, reduction="mean")
    assert got == pytest.approx(run(head, K, z, y, w, dtype), rel=2e-6 if dtype == np.float32 else 1e-13)


@DTYPES
def test_ordinal_has_the_same_loss(rng, dtype):
    head, score, y = nn.Ordinal(K + 1), rng.normal(size=(N, 1)).astype(dtype), rng.integers(K + 1, size=N)
    w = rng.uniform(0, 2, N).astype(dtype)
    expected = run(head, 1, score, y, w, dtype)
    got = losses.ordinal_crossentropy(y, score + head.parameters["b"], sample_weight=w, reduction="mean")
    assert got == pytest.approx(expected, rel=1e-6 if dtype == np.float32 else 1e-13)


def test_class_numbers_and_one_hot_rows_agree(rng):
    for sparse, dense in [("sparse_categorical_crossentropy", "categorical_crossentropy"),
                          ("sparse_softmax_crossentropy_with_logits", "softmax_crossentropy_with_logits")]:
        loss, y, p = case(sparse, rng)
        assert np.array_equal(loss(y, p), getattr(losses, dense)(naive.one_hot(y, K), p))


@pytest.mark.parametrize("logits, name", [
    ("sigmoid_crossentropy_with_logits", "binary_crossentropy"),
    ("softmax_crossentropy_with_logits", "categorical_crossentropy"),
    ("sparse_softmax_crossentropy_with_logits", "sparse_categorical_crossentropy")])
def test_logits_and_probabilities_agree(rng, logits, name):
    loss, y, z = case(logits, rng)
    p = special.expit(z) if "sigmoid" in logits else special.softmax(z, axis=1)
    assert np.array_equal(getattr(losses, name)(y, z, from_logits=True), loss(y, z))
    np.testing.assert_allclose(getattr(losses, name)(y, p), loss(y, z), rtol=1e-12)


@DTYPES
@EACH
def test_pytorch(rng, dtype, name):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    F = torch.nn.functional
    loss, y, p = case(name, rng, dtype=dtype)
    kind = torch.float32 if dtype == np.float32 else torch.float64
    t, z, integers = torch.tensor(y, dtype=kind), torch.tensor(p), torch.tensor(y).long()

    def pairs():
        return (z - t)[:, :, None] - (z - t)[:, None, :]

    def coral():
        levels = (integers[:, None] > torch.arange(K)).to(kind)
        return -(F.logsigmoid(z) * levels + (F.logsigmoid(z) - z) * (1 - levels)).sum(dim=1)

    expected = {
        "mean_squared_error": lambda: F.mse_loss(z, t, reduction="none").mean(dim=1),
        "mean_absolute_error": lambda: F.l1_loss(z, t, reduction="none").mean(dim=1),
        "huber": lambda: F.huber_loss(z, t, reduction="none").mean(dim=1),
        "poisson": lambda: F.poisson_nll_loss(z, t, log_input=False, reduction="none", eps=0).mean(dim=1),
        "mean_pairwise_squared_error": lambda: (pairs()**2).sum(dim=(1, 2)) / (K * (K - 1)),
        "binary_crossentropy": lambda: F.binary_cross_entropy(z, t, reduction="none").mean(dim=1),
        "sigmoid_crossentropy_with_logits":
            lambda: F.binary_cross_entropy_with_logits(z, t, reduction="none").mean(dim=1),
        "categorical_crossentropy": lambda: -(t * z.log()).sum(dim=1),
        "softmax_crossentropy_with_logits": lambda: F.cross_entropy(z, t, reduction="none"),
        "sparse_categorical_crossentropy": lambda: F.nll_loss(z.log(), integers, reduction="none"),
        "sparse_softmax_crossentropy_with_logits": lambda: F.cross_entropy(z, integers, reduction="none"),
        "ordinal_crossentropy": coral,
    }[name]
    np.testing.assert_allclose(loss(y, p), expected().numpy(), rtol=1e-6, atol=1e-6)


# ---- reductions, weights and masks -------------------------------------------------------------------------

@EACH
@pytest.mark.parametrize("shape", [(N, K), (N, T, K)])
def test_reductions_and_weights(rng, name, shape):
    loss, y, p = case(name, rng, shape)
    values = loss(y, p)
    assert values.shape == shape[:-1]
    assert loss(y, p, reduction="sum") == pytest.approx(values.sum(), rel=1e-12)
    assert loss(y, p, reduction="mean") == pytest.approx(values.mean(), rel=1e-12)
    for w in (rng.uniform(0, 2, N), np.arange(N) % 3, rng.uniform(0, 2, shape[:-1])):
        full = np.broadcast_to(w.reshape(w.shape + (1,) * (values.ndim - w.ndim)), values.shape)
        np.testing.assert_allclose(loss(y, p, sample_weight=w), full * values, rtol=1e-12)
        assert loss(y, p, sample_weight=w, reduction="sum") == pytest.approx((full * values).sum(), rel=1e-12)
        mean = np.average(values, weights=full)
        assert loss(y, p, sample_weight=w, reduction="mean") == pytest.approx(mean, rel=1e-12)


@EACH
def test_weights_remove_and_repeat_rows(rng, name):
    loss, y, p = case(name, rng)
    w = np.arange(N) % 3
    rows = np.repeat(np.arange(N), w)
    for reduction in ("sum", "mean"):
        expected = loss(y[rows], p[rows], reduction=reduction)
        assert loss(y, p, sample_weight=w, reduction=reduction) == pytest.approx(expected, rel=1e-12)


def spoilt(a, places):
    """Return the array with what no loss would take where the mask is False."""
    a = np.array(a, float)
    a[~places] = np.nan
    return a


@EACH
@pytest.mark.parametrize("shape, mask_shape", [((N, K), (N,)), ((N, T, K), (N,)), ((N, T, K), (N, T))])
@pytest.mark.parametrize("weighted", [False, True])
def test_masked_places_count_for_nothing(rng, name, shape, mask_shape, weighted):
    """As if they were not there, whatever they hold."""
    loss, y, p = case(name, rng, shape)
    mask = rng.random(mask_shape) < 0.6
    mask.flat[0], mask.flat[1] = True, False
    w = rng.uniform(0.5, 2, mask_shape) if weighted else None
    kept = None if w is None else np.repeat(w[mask], T) if len(mask_shape) < len(shape) - 1 else w[mask]
    values = loss(y[mask], p[mask])
    masked = [spoilt(y, mask), spoilt(p, mask)]
    weights = np.ones(values.shape) if w is None else np.reshape(kept, values.shape)
    got = loss(*masked, sample_weight=w, mask=mask)
    assert got.shape == shape[:-1] and not got[~mask].any()
    np.testing.assert_allclose(got[mask], values * weights, rtol=1e-12)
    for reduction, expected in [("sum", (values * weights).sum()),
                                ("mean", np.average(values, weights=weights))]:
        got = loss(*masked, sample_weight=w, mask=mask, reduction=reduction)
        assert got == pytest.approx(expected, rel=1e-12)
    assert np.array_equal(loss(*masked, mask=mask.astype(int).tolist()), loss(*masked, mask=mask))
    np.testing.assert_allclose(loss(y, p, mask=np.ones(mask_shape)), loss(y, p), rtol=1e-15)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("shape", [(N,), (N, T), (N, T, K)])
def test_masked_numbers_count_for_nothing(rng, name, shape):
    """Sequences of numbers: a row's value is the mean over what counts, and so is the mean of all."""
    loss, y, p = case(name, rng, shape)
    mask = rng.random(shape) < 0.6
    mask[0], mask[1] = True, False
    each = loss(np.ravel(y), np.ravel(p)).reshape(shape)
    masked = [spoilt(y, mask), spoilt(p, mask)]
    got = loss(*masked, mask=mask)
    sums, n = (each * mask).sum(axis=-1), mask.sum(axis=-1)
    expected = each * mask if len(shape) == 1 else np.where(n > 0, sums / np.maximum(n, 1), 0)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert loss(*masked, mask=mask, reduction="sum") == pytest.approx(expected.sum(), rel=1e-12)
    assert loss(*masked, mask=mask, reduction="mean") == pytest.approx(each[mask].mean(), rel=1e-12)


def hidden(a, mask):
    """Return a masked array that hides what no loss would take where the mask is False."""
    mask = np.broadcast_to(mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim)), a.shape)
    return np.ma.MaskedArray(spoilt(a, mask), ~mask)


@EACH
@pytest.mark.parametrize("shape", [(N, K), (N, T, K)])
@pytest.mark.parametrize("reduction", [None, "sum", "mean"])
def test_masked_arrays_are_masks(rng, name, shape, reduction):
    """Of targets, predictions or both, beside a mask of one's own or without one."""
    loss, y, p = case(name, rng, shape)
    mask, other = rng.random((2, N)) < 0.7
    mask[:3], other[:3] = [True, False, True], [True, True, False]
    expected = loss(y, p, mask=mask, reduction=reduction)
    for pair in [(hidden(y, mask), p), (y, hidden(p, mask)), (hidden(y, mask), hidden(p, mask)),
                 (hidden(y, mask), np.ma.MaskedArray(p))]:
        np.testing.assert_array_equal(loss(*pair, reduction=reduction), expected)
    expected = loss(y, p, mask=mask & other, reduction=reduction)
    np.testing.assert_array_equal(loss(hidden(y, mask), p, mask=other, reduction=reduction), expected)
    np.testing.assert_array_equal(loss(hidden(y, mask), hidden(p, other), reduction=reduction), expected)
    np.testing.assert_array_equal(
        loss(hidden(y, mask), p, mask=np.ma.MaskedArray(np.ones(N), ~other), reduction=reduction), expected)


@pytest.mark.parametrize("name", NUMBERS)
def test_masked_numbers_of_arrays_count_for_nothing(rng, name):
    loss, y, p = case(name, rng)
    mask = rng.random((N, K)) < 0.6
    mask[:, 0] = True
    for reduction in (None, "sum", "mean"):
        expected = loss(y, p, mask=mask, reduction=reduction)
        np.testing.assert_array_equal(loss(hidden(y, mask), p, reduction=reduction), expected)


@pytest.mark.parametrize("name", ["categorical_crossentropy", "sparse_categorical_crossentropy",
                                  "ordinal_crossentropy"])
def test_a_row_of_classes_with_a_masked_number_counts_for_nothing(rng, name):
    loss, y, p = case(name, rng)
    one = np.ones((N, K), bool)
    one[1, 2] = False
    np.testing.assert_array_equal(loss(y, hidden(p, one)), loss(y, p, mask=one.all(axis=1)))


def test_a_masked_weight_is_0(rng):
    for name in LOSSES:
        loss, y, p = case(name, rng)
        w, mask = rng.uniform(0.5, 2, N), np.arange(N) != 2
        for reduction in (None, "sum", "mean"):
            got = loss(y, p, sample_weight=np.ma.MaskedArray(w, ~mask), reduction=reduction)
            np.testing.assert_array_equal(got, loss(y, p, sample_weight=w * mask, reduction=reduction))


def test_all_masked_is_refused(rng):
    for name in LOSSES:
        loss, y, p = case(name, rng)
        check_refused(ValueError, "mask: got only False, expected at least one place that counts", loss,
                      np.ma.MaskedArray(y, True), p)


def test_masked_numbers_make_no_pairs(rng):
    loss, y, p = case("mean_pairwise_squared_error", rng, (4, T))
    mask = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
    values = [loss(y[i, mask[i]][None], p[i, mask[i]][None])[0] for i in (0, 1)]
    masked = spoilt(y, mask), spoilt(p, mask)
    np.testing.assert_allclose(loss(*masked, mask=mask), [*values, 0, 0], rtol=1e-12)
    mean = np.average(values, weights=[5, 3])
    assert loss(*masked, mask=mask, reduction="mean") == pytest.approx(mean, rel=1e-12)


def test_weight_zero_counts_for_nothing(rng):
    for name in LOSSES:
        loss, y, p = case(name, rng)
        p[2] = np.nan
        w = np.where(np.arange(N) == 2, 0, 1.5)
        kept = np.arange(N) != 2
        expected = loss(y[kept], p[kept], reduction="mean")
        assert loss(y, p, sample_weight=w, reduction="mean") == pytest.approx(expected, rel=1e-12)
        assert np.isnan(loss(y, p, reduction="mean")) and np.isnan(loss(y, p)).sum() == 1    # a NaN is seen


# ---- extremes ----------------------------------------------------------------------------------------------

@DTYPES
def test_large_logits_are_finite_and_exact(dtype):
    z = np.array([[1e4, -1e4], [-1e4, 1e4]], dtype)
    np.testing.assert_array_equal(losses.sigmoid_crossentropy_with_logits([[1, 0], [1, 0]], z), [0, 1e4])
    np.testing.assert_array_equal(losses.softmax_crossentropy_with_logits([[1, 0], [1, 0]], z), [0, 2e4])
    np.testing.assert_array_equal(losses.sparse_softmax_crossentropy_with_logits([0, 0], z), [0, 2e4])
    np.testing.assert_array_equal(losses.ordinal_crossentropy([1, 1], z), [0, 2e4])
    for name in ("mean_squared_error", "mean_absolute_error", "huber", "mean_pairwise_squared_error"):
        assert np.isfinite(getattr(losses, name)(-z, z)).all()


@DTYPES
def test_where_probabilities_saturate(dtype):
    """Keras's 1e-7, in float32 too, where Keras has 1.19e-7 of 1 - p."""
    low = -np.log(1e-7)
    p = np.array([0, 1], dtype)
    np.testing.assert_allclose(losses.binary_crossentropy([1, 0], p), [low, low], rtol=1e-6)
    np.testing.assert_allclose(losses.binary_crossentropy([0, 1], p), [1e-7, 1e-7], rtol=1e-6)
    np.testing.assert_allclose(losses.categorical_crossentropy([[0, 1]], p[None, ::-1]), [low], rtol=1e-6)
    np.testing.assert_allclose(losses.sparse_categorical_crossentropy([0], p[None]), [low], rtol=1e-6)
    np.testing.assert_allclose(losses.poisson([2, 0], np.array([0, 0], dtype)), [2 * low, 0], rtol=1e-6)


@DTYPES
def test_what_is_too_large_is_infinite_without_a_warning(dtype):
    most = np.finfo(dtype).max
    z, rate = np.array([[most, -most]], dtype), np.array([np.inf], dtype)
    assert losses.mean_squared_error([[0, 0]], z) == np.inf
    assert losses.softmax_crossentropy_with_logits([[0, 1]], z) == np.inf
    assert losses.softmax_crossentropy_with_logits([[1, 0]], z) == 0
    assert losses.sparse_softmax_crossentropy_with_logits([1], z) == np.inf
    assert not np.isfinite(losses.poisson([1], rate)) and not np.isfinite(losses.poisson([0], rate))
    assert np.isnan(losses.mean_pairwise_squared_error([[0, 1]], np.array([[np.inf, 1]], dtype)))


@DTYPES
def test_only_the_ratios_of_weights_count_in_a_mean(dtype):
    y, p = np.arange(4), np.array([1, 3, 2, 7], dtype)
    expected = losses.mean_squared_error(y, p, sample_weight=[1, 2, 4, 0], reduction="mean")
    for unit in (1e300, 1e-300, np.longdouble("1e200")):
        w = np.array([1, 2, 4, 0]) * unit
        assert losses.mean_squared_error(y, p, sample_weight=w, reduction="mean") == pytest.approx(expected)
    with pytest.raises(ValueError, match="got 1e\\+300, expected at most 3.4e\\+38 for predictions"):
        losses.mean_squared_error(y, p.astype(np.float32), sample_weight=[1e300, 0, 0, 0])


# ---- properties --------------------------------------------------------------------------------------------

@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.data(), st.sampled_from(list(LOSSES)))
def test_shapes_and_values(data, name):
    shape = data.draw(st.sampled_from([(1, 2), (3, 2), (2, 3, 2), (1, 1, 3)]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    loss, y, p = case(name, rng, shape)
    if LOSSES[name] in (numbers, soft_answers, rows_and_logits, labels_and_logits, ranks):
        p = data.draw(arrays(np.float64, shape, elements=st.floats(-1e4, 1e4).map(lambda x: x + 1e-3)))
    values = loss(y, p)
    assert values.shape == shape[:-1] and np.isfinite(values).all()
    assert (values >= 0).all() or name == "poisson"
    low, high = values.min(), values.max()
    assert low - 1e-9 * abs(low) <= loss(y, p, reduction="mean") <= high + 1e-9 * abs(high)


def test_what_is_given_stays_as_it_is(rng):
    for name in LOSSES:
        loss, y, p = case(name, rng)
        arguments = [np.array(y), p.copy(), np.arange(N) + 1.0, np.arange(N) > 2]
        for a in arguments:
            a.flags.writeable = False
        results = [loss(t, q, sample_weight=w, mask=m)
                   for t, q, w, m in (arguments, [a.tolist() for a in arguments])]
        assert np.array_equal(*results)
        assert np.array_equal(arguments[0], y) and np.array_equal(arguments[1], p)


# ---- mistakes, explained -----------------------------------------------------------------------------------

ZEROS, ROW = np.zeros(N), np.full((N, 3), 1 / 3)
LABELS = np.arange(N) % 3
MISTAKES = {
    "a column of targets": ("mean_squared_error", ZEROS[:, None], ZEROS,
                            r"y_true: got shape \(7, 1\), expected \(7,\).*y_true\[..., 0\]"),
    "a column of predictions": ("mean_squared_error", ZEROS, ZEROS[:, None],
                                r"y_true: got shape \(7,\), expected \(7, 1\).*y_pred\[..., 0\]"),
    "a column of answers": ("binary_crossentropy", ZEROS[:, None], ZEROS, r"y_true\[..., 0\]"),
    "another length": ("mean_absolute_error", ZEROS, np.zeros(N + 1), r"got shape \(7,\), expected \(8,\)"),
    "one softmax unit": ("categorical_crossentropy", np.ones((N, 1)), np.ones((N, 1)),
                         "got one column.*binary_crossentropy"),
    "one softmax logit": ("sparse_softmax_crossentropy_with_logits", ZEROS, ZEROS[:, None],
                          "got one column.*always answers class 0"),
    "labels for rows": ("categorical_crossentropy", LABELS, ROW,
                        "for class numbers use sparse_categorical_crossentropy"),
    "rows for labels": ("sparse_categorical_crossentropy", np.eye(3)[LABELS], ROW,
                        "for one-hot rows use categorical_crossentropy"),
    "a column of labels": ("sparse_categorical_crossentropy", LABELS[:, None], ROW, r"y_true\[..., 0\]"),
    "labels from 1": ("sparse_categorical_crossentropy", LABELS + 1, ROW,
                      r"y_true: got labels 1 .. 3.*give y_true - 1"),
    "a class too many": ("sparse_categorical_crossentropy", np.arange(N) % 4, ROW,
                         "for 4 classes y_pred takes 4 columns"),
    "not whole": ("sparse_softmax_crossentropy_with_logits", LABELS + 0.5, ROW - 1,
                  "got 0.5, expected class numbers"),
    "multi-hot": ("categorical_crossentropy", np.ones((N, 3)), ROW, r"with 3 ones.*Bernoulli\(\)"),
    "ranks": ("ordinal_crossentropy", np.arange(N) % 5, ROW,
              r"got labels 0 .. 4, expected class numbers 0 .. 3"),
    "integer labels": ("binary_crossentropy", LABELS, ZEROS,
                       r"got labels 0 .. 2, expected 0 and 1.*Categorical\(\)"),
    "logits": ("binary_crossentropy", ZEROS, ZEROS - 2,
               "got -2, expected probabilities in 0 .. 1; for logits give from_logits=True"),
    "softmax logits": ("categorical_crossentropy", np.eye(3)[LABELS], ROW * 6,
                       "expected probabilities in 0 .. 1; for logits"),
    "sigmoids": ("categorical_crossentropy", np.eye(3)[LABELS], ROW * 2,
                 "do not sum to 1.*sigmoids use binary_crossentropy"),
    "negative counts": ("poisson", ZEROS - 1, ZEROS + 1, "y_true: got -1, expected non-negative counts"),
    "negative rates": ("poisson", ZEROS, ZEROS - 1,
                       r"y_pred: got -1, expected non-negative rates; for logits z give np.exp\(z\)"),
    "no pairs": ("mean_pairwise_squared_error", ZEROS[:, None], ZEROS[:, None], "rows of at least 2 numbers"),
    "no rows": ("sparse_categorical_crossentropy", ZEROS, ZEROS,
                r"got shape \(7,\), expected rows of predictions"),
    "nothing": ("mean_squared_error", [], [], r"got shape \(0,\)"),
    "numbers": ("mean_squared_error", 1.0, 2.0, r"got shape \(\)"),
    "missing": ("mean_squared_error", ZEROS * np.nan, ZEROS, "y_true: got NaN or infinity"),
    "ragged": ("mean_squared_error", [[1, 2], [1]], ROW, "rows of different lengths"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_refused(mistake):
    name, y, p, message = MISTAKES[mistake]
    check_refused(ValueError, message, getattr(losses, name), y, p)


@EACH
def test_options_that_are_refused(rng, name):
    loss, y, p = case(name, rng)
    for options, message in [
            ({"reduction": "none"}, "reduction: got 'none', expected None, 'sum' or 'mean'"),
            ({"sample_weight": -np.ones(N)}, "sample_weight: got a negative number"),
            ({"sample_weight": np.zeros(N)},
             "sample_weight: got only zeros, expected at least one positive weight"),
            ({"sample_weight": np.full(N, np.nan)}, "sample_weight: got a negative number, NaN"),
            ({"sample_weight": np.ones(N + 1)}, r"sample_weight: got shape \(8,\), expected \(7,\)"),
            ({"sample_weight": 2.0}, r"sample_weight: got shape \(\)"),
            ({"sample_weight": np.ones((N, 1))}, r"got shape \(7, 1\)"),
            ({"mask": np.zeros(N)}, "mask: got only False, expected at least one place that counts"),
            ({"mask": np.ones(N - 1)}, r"mask: got shape \(6,\), expected \(7,\)"),
            ({"mask": True}, r"mask: got shape \(\)"),
            ({"mask": np.full(N, 0.5)}, "mask: got numbers other than 0 and 1.*use sample_weight"),
            ({"mask": np.arange(N) < 2, "sample_weight": (np.arange(N) > 3) * 1.0, "reduction": "mean"},
             "only zeros for what counts")]:
        check_refused(ValueError, message, loss, y, p, **options)
    for options in ({"sample_weight": ["a"] * N}, {"mask": ["a"] * N}):
        check_refused(TypeError, "got", loss, y, p, **options)
    for y_true, y_pred in [(np.full(y.shape, "a"), p), (y, p.astype(str)), (y, p + 0j),
                           (np.full(y.shape, None), p)]:
        check_refused(TypeError, "y_(true|pred): got", loss, y_true, y_pred)


@pytest.mark.parametrize("delta, exception", [(0, ValueError), (-1, ValueError), (np.nan, ValueError),
                                              ("1", TypeError)])
def test_deltas_that_are_refused(delta, exception):
    check_refused(exception, "delta: got", losses.huber, ZEROS, ZEROS, delta)


@pytest.mark.parametrize("name", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_probabilities_given_as_logits(rng, name):
    loss, y, p = case(name, rng)
    p[..., 0], p[..., 1] = p[..., 0] + p[..., 1], 0
    with pytest.warns(UserWarning,
                      match="logits are in 0 .. 1 with the sum 1 .*give from_logits=False") as caught:
        loss(y, p, from_logits=True)
    assert caught[0].filename == __file__
    with_logits = name.replace("categorical_crossentropy", "softmax_crossentropy_with_logits")
    with pytest.warns(UserWarning, match="leave out the softmax"):
        getattr(losses, with_logits)(y, p)
    loss(y, 2 * p, from_logits=True)    # no warning
