"""The heads: invariances, properties of any logits, what the distribution decides, PyTorch's losses."""
import naive
import numpy as np
import pytest
from head_cases import CASES, CLASSIFIERS, DTYPES, EACH, N, built, case, run, squared_error, taken
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import optimize, special, stats

import nnjit as nn


def quick(test):
    """A property test with the same few examples every time."""
    return settings(max_examples=40, deadline=None, derandomize=True, database=None)(test)


# ---- invariances -------------------------------------------------------------------------------------------

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
    rows = head.targets(y, *z.shape, z.dtype)
    sums = head.loss_and_delta(z, rows, 0 * w, head.total_weight(rows, w), delta)
    assert not np.any(sums) and not delta.any()
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
@pytest.mark.parametrize("head", [nn.Categorical(), nn.Categorical(2, 0.1, {1: 3}), squared_error("softmax")],
                         ids=repr)
def test_class_numbers_and_one_hot_rows_are_the_same_bits(rng, dtype, head):
    _, z, y, w = case("Categorical", rng, dtype)
    head = built(head, 4)
    first = run(head, z, y, w)
    for rows in (naive.one_hot(y, 4), naive.one_hot(y, 4).astype(bool),
                 naive.one_hot(y, 4).astype(np.uint8).tolist()):
        found = run(head, z, rows, w)
        assert found[:2] == first[:2] and np.array_equal(found[2], first[2])


def test_temperature_and_base(rng):
    _, z, y, w = case("Categorical", rng)
    for temperature in (0.5, 1, 2):
        head = built(nn.Categorical(temperature), 4)
        np.testing.assert_allclose(head.probabilities(z), special.softmax(z / temperature, axis=1),
                                   rtol=1e-13)
        assert np.array_equal(head.decide(z), z.argmax(axis=1))
        loss, _, delta = run(head, z, y, w)
        divided = run(built(nn.Categorical(), 4), z / temperature, y, w)
        assert loss == pytest.approx(divided[0], rel=1e-14)
        np.testing.assert_allclose(delta, divided[2] / temperature, rtol=1e-13)
    head = built(nn.Categorical(base=2), 4)
    np.testing.assert_allclose(head.probabilities(z), 2**z / (2**z).sum(axis=1, keepdims=True), rtol=1e-13)
    assert nn.Categorical(base=np.e).temperature == 1
    assert nn.Categorical(base=10).temperature == pytest.approx(1 / np.log(10))


def test_class_weights_repeat_rows(rng):
    _, z, y, _ = case("Categorical", rng)
    rows = np.repeat(np.arange(N), np.array([1, 2, 3, 1])[y])
    for weights in ([1, 2, 3, 1], (1, 2, 3, 1), np.array([1, 2, 3, 1]), {1: 2, 2: 3},
                    {np.int64(1): 2.0, 2: 3}):
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
import numpy as np, nnjit as nn, head_cases

def digest(name, dtype):
    head, z, y, w = head_cases.case(name, np.random.default_rng(0), dtype, N=700)
    loss, metric, delta = head_cases.run(head, z, y, w)
    results = loss, metric, delta, *head.gradients.values()
    return hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in results)).hexdigest()

found = []
for threads in (1, 2, 4):
    nn.set_threads(threads)
    found.append([digest(name, dtype) for name in head_cases.CASES for dtype in (np.float32, np.float64)])
print(json.dumps(found))
"""


@pytest.mark.compiled
def test_the_same_bits_at_any_number_of_threads(run_python, request):
    one, two, four = run_python(SAME_BITS.replace("TESTS", repr(str(request.path.parent))),
                                NUMBA_NUM_THREADS="4")
    assert one == two == four
    assert len(set(one)) >= 2 * len(CASES) - 2    # Gaussian and linear with squared error may agree


# ---- properties --------------------------------------------------------------------------------------------

def logits(units, dtype=np.float64):
    width = 64 if dtype == np.float64 else 32
    return arrays(dtype, st.tuples(st.integers(1, 5), st.just(units)),
                  elements=st.floats(-1e4, 1e4, width=width))


@quick
@given(st.data(), st.sampled_from(list(CASES)), st.sampled_from([np.float32, np.float64]))
def test_shapes_and_values(data, name, dtype):
    """Of any logits: a finite loss, non-negative but for Poisson's; everything has its shape and dtype."""
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


# ---- the distribution decides ------------------------------------------------------------------------------

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


# ---- PyTorch -----------------------------------------------------------------------------------------------

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
        losses = F.cross_entropy(z, tensor(y).long(), reduction="none",
                                 label_smoothing=0.2 if "smooth" in name else 0)
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
