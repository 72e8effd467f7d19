"""Weights of rows and of classes: they have the same force in batches of any size."""
import math

import numpy as np
import pytest

import nnjit as nn

SIZES = (1, 2, 4, 8, 32, 100)    # of batches; the last is all rows
N = 100
HEAVY = np.arange(N) % 10 == 0    # a tenth of the rows, with the label 1


def train(head, y, batch_size, x=None, **options):
    """Return the probabilities of a network of biases, trained from afar by ever smaller steps."""
    x = np.zeros((len(HEAVY), 1)) if x is None else x
    units = sum(head.units.values()) if isinstance(head, nn.Heads) else 1 + isinstance(head, nn.Categorical)
    model = nn.Sequential([nn.Dense(units)], head=head, dtype="float64").build(1)
    model.parameters()["0.b"][:] = np.where(np.arange(units) % 2, 1.5, -1.5)
    large = min(batch_size, 16)    # a large batch may take large steps
    for rate, steps in ((0.1, 800), (0.01, 1500), (0.002, 1500)):
        epochs = math.ceil(steps * batch_size / large / len(x))
        model.fit(x, y, nn.SGD(rate * large), epochs, batch_size, verbose=0, **options)
    return model.predict_proba(x[:1])


@pytest.mark.parametrize("batch_size", SIZES)
class TestATenthOfTheRowsCountsNineTimes:
    """So that the best constant is p = 1 / 2, and half of that without weights: 0.1."""

    def test_by_sample_weight(self, batch_size):
        p = train(nn.Bernoulli(), HEAVY, batch_size, sample_weight=1 + 8 * HEAVY)
        assert p[0, 1] == pytest.approx(0.5, abs=0.02)

    def test_by_pos_weight(self, batch_size):
        p = train(nn.Bernoulli(pos_weight=9), HEAVY, batch_size)
        assert p[0, 1] == pytest.approx(0.5, abs=0.02)

    def test_by_repeated_rows(self, batch_size):
        y = np.repeat(HEAVY, 1 + 8 * HEAVY)
        p = train(nn.Bernoulli(), y, batch_size, np.zeros((len(y), 1)))
        assert p[0, 1] == pytest.approx(0.5, abs=0.02)

    def test_by_class_weight(self, batch_size):
        p = train(nn.Categorical(class_weight={1: 9}), HEAVY.astype(int), batch_size)
        assert p[0, 1] == pytest.approx(0.5, abs=0.02)

    def test_by_class_weight_of_one_of_several_heads(self, batch_size):
        """The other head, without weights, learns how many there are."""
        head = nn.Heads(weighted=nn.Categorical(class_weight={1: 9}), plain=nn.Bernoulli(),
                        units={"weighted": 2, "plain": 1})
        p = train(head, {"weighted": HEAVY.astype(int), "plain": HEAVY}, batch_size)
        assert p["weighted"][0, 1] == pytest.approx(0.5, abs=0.02)
        assert p["plain"][0, 1] == pytest.approx(0.1, abs=0.02)

    def test_by_sample_weight_of_several_heads(self, batch_size):
        head = nn.Heads(a=nn.Bernoulli(), b=nn.Categorical(), units={"a": 1, "b": 2}, weights={"b": 0.5})
        p = train(head, {"a": HEAVY, "b": HEAVY.astype(int)}, batch_size, sample_weight=1 + 8 * HEAVY)
        assert [p["a"][0, 1], p["b"][0, 1]] == pytest.approx([0.5, 0.5], abs=0.02)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_step_of_a_batch_is_divided_by_its_rows_times_the_mean_weight(dtype):
    """By hand: four rows at p = 1 / 2 with the weights 6, 0, 1, 1, whose mean is 2, in batches of two."""
    y, w = [1, 1, 0, 0], [6, 0, 1, 1]
    for rows, step in [(2, 6 * 0.5 / (2 * 2)), (4, (6 * 0.5 - 0.5 - 0.5) / 8)]:
        model = nn.Sequential([nn.Dense(1)], head=nn.Bernoulli(), dtype=dtype).build(1)
        optimizer = Recording(model)
        model.fit(np.zeros((4, 1)), y, optimizer, 1, rows, sample_weight=w, shuffle=False, verbose=0)
        assert optimizer.biases[0] == pytest.approx(step, rel=1e-6)


class Recording(nn.SGD):
    """Steps of rate 1, after each of which the bias is noted."""

    def __init__(self, model):
        super().__init__(1.0)
        self.model, self.biases = model, []

    def step(self, *given):
        super().step(*given)
        self.biases.append(float(self.model.parameters()["0.b"][0]))


def test_an_evaluation_is_divided_by_the_sum_of_its_weights(rng):
    """In blocks of rows, too, for a head that weighs the classes."""
    N = 5000
    x, y, w = rng.normal(size=(N, 3)), rng.integers(3, size=N), rng.uniform(0, 2, N)
    y[:3000] = 0    # so that the blocks have unlike weights
    for make, wrap in [(nn.Categorical, lambda y: y),
                       (lambda **o: nn.Heads(a=nn.Categorical(**o), units={"a": 3}),
                                                       lambda y: {"a": y})]:
        plain, weighted = (nn.Sequential([nn.Dense(3)], head=make(**options), dtype="float64").build(3)
                           for options in ({}, {"class_weight": [0.1, 1, 3]}))
        found = weighted.evaluate(x, wrap(y), w)
        assert found == pytest.approx(plain.evaluate(x, wrap(y), w * np.array([0.1, 1, 3])[y]), rel=1e-12)
        log_p = np.log(np.exp(z := plain.logits(x)) / np.exp(z).sum(axis=1, keepdims=True))[np.arange(N), y]
        assert found["loss"] == pytest.approx(-np.average(log_p, weights=w * np.array([0.1, 1, 3])[y]),
                                              rel=1e-12)


def test_the_losses_of_several_heads_are_means_of_their_own_weights(rng):
    x, y = rng.normal(size=(7, 3)), {"a": np.arange(7) % 2, "b": rng.normal(size=7)}
    head = nn.Heads(a=nn.Categorical(class_weight=[1, 4]), b=nn.Gaussian(), units={"a": 2, "b": 1},
                    weights={"a": 3})
    model = nn.Sequential([nn.Dense(3)], head=head, dtype="float64").build(3)
    z = model.logits(x)
    losses = nn.losses.sparse_softmax_crossentropy_with_logits(y["a"], z[:, :2])
    expected = 3 * np.average(losses, weights=[1, 4, 1, 4, 1, 4, 1]) + np.mean((z[:, 2] - y["b"])**2)
    assert model.evaluate(x, y)["loss"] == pytest.approx(expected, rel=1e-13)
    logs = model.fit(x, y, nn.SGD(1e-300), 1, 3, verbose=0).history    # in batches
    assert logs["loss"] == pytest.approx([expected], rel=1e-13)


# ---- where no weight is left -------------------------------------------------------------------------------

def weightless():
    return nn.Sequential([nn.Dense(2)], head=nn.Categorical(class_weight={1: 0})).build(1)


def weightless_head():
    head = nn.Heads(a=nn.Gaussian(), b=nn.Categorical(class_weight={1: 0}), units={"a": 1, "b": 2})
    return nn.Sequential([nn.Dense(3)], head=head).build(1)


X, ONES = np.ones((5, 1)), np.ones(5, int)


@pytest.mark.parametrize("make, y", [(weightless, ONES), (weightless_head, {"a": np.zeros(5), "b": ONES})],
                         ids=["one head", "several"])
def test_rows_that_all_have_weight_zero_are_refused(make, y):
    good = {**y, "b": 0 * ONES} if isinstance(y, dict) else 0 * y
    for call in (lambda m: m.evaluate(X, y), lambda m: m.gradients(X, y),
                 lambda m: m.fit(X, y, nn.SGD(), verbose=0),
                 lambda m: m.fit(X, good, nn.SGD(), validation_data=(X, y), verbose=0)):
        with pytest.raises(ValueError, match="sample_weight: got 0 for every row, once .*class_weight.*, "
                                             "expected") as caught:
            call(make())
        assert "\n" not in str(caught.value)
    if isinstance(y, dict):
        assert str(caught.value).startswith("b: ")


def test_rows_whose_weights_of_row_and_class_are_never_both_positive_are_refused():
    with pytest.raises(ValueError, match="sample_weight: got 0 for every row"):
        weightless().evaluate(X, [0, 0, 1, 1, 1], [0, 0, 1, 1, 1])


def test_a_batch_whose_classes_have_no_weight_changes_nothing():
    model = weightless()
    y = [1, 1, 1, 1, 0]
    history = model.fit(X, y, nn.SGD(0.1), 1, 4, shuffle=False, verbose=0).history
    reference = weightless()
    reference.fit(X[4:], y[4:], nn.SGD(0.5), 1, 4, verbose=0)    # the mean weight is 1 / 5
    for name, array in model.parameters().items():
        np.testing.assert_allclose(array, reference.parameters()[name], rtol=1e-6)
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("head, y", [
    (nn.Ordinal(3), np.arange(5) % 3),
    (nn.Heads(a=nn.Ordinal(3), units={"a": 1}), {"a": np.arange(5) % 3})], ids=["Ordinal", "Heads"])
def test_an_evaluation_writes_no_gradient(head, y):
    model = nn.Sequential([nn.Dense(1)], head=head).build(1)
    model.gradient_vector[:] = 7
    model.evaluate(X, y)
    assert (model.gradient_vector == 7).all()
