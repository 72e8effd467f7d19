"""Targets that are text, whose words heads of classes take as names and answer with; numbers in units of
their own.
"""
import copy
import pickle

import numpy as np
import pandas
import pytest

import nnjit as nn

KINDS = pytest.mark.parametrize("kind", [np.array, lambda words: np.array(words, object), list, pandas.Series,
                                         lambda words: pandas.Series(words, dtype="category"),
                                         lambda words: np.array(words, "S")])
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
THREE = np.array(["b", "a", "c"])[X.argmax(axis=1)]
TWO = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]


def trained(head, units, y, **given):
    model = nn.Sequential([nn.Dense(units)], head, "float64")
    model.fit(X, y, nn.Adam(0.1), epochs=40, verbose=0, seed=1, **given)
    return model


# ---- names -------------------------------------------------------------------------------------------------

@KINDS
@pytest.mark.parametrize("head, units, words", [(nn.Categorical, 3, THREE), (nn.Bernoulli, 1, TWO)])
def test_words_are_learned_and_answered_with(kind, head, units, words):
    model = trained(head(), units, kind(words.tolist()))
    assert model.head.classes == sorted(set(words.tolist()))
    assert model.predict(X).dtype.kind == "U" and (model.predict(X) == words).mean() > 0.9
    numbers = trained(head(), units, np.unique(words, return_inverse=True)[1])
    assert (model.vector == numbers.vector).all(), "names change no bit"
    assert model.evaluate(X, kind(words.tolist())) == numbers.evaluate(X, np.unique(words, True, True)[2])


def test_a_squared_error_takes_words_too():
    with pytest.warns(UserWarning, match="saturates"):
        head = nn.SquaredError("softmax")
    model = trained(head, 3, THREE)
    assert (model.predict(X) == THREE).mean() > 0.9


def test_names_are_kept_in_files_copies_and_pickles(tmp_path):
    model = trained(nn.Categorical(), 3, THREE)
    model.save(tmp_path / "model.npz")
    for same in nn.load(tmp_path / "model.npz"), copy.copy(model), pickle.loads(pickle.dumps(model)):
        assert repr(same.head) == "Categorical(classes=['a', 'b', 'c'])"
        assert (same.predict(X) == model.predict(X)).all()
        same.fit(X, THREE, nn.Adam(), verbose=0)    # goes on with the words


def test_names_can_be_given():
    model = trained(nn.Bernoulli(classes=["yes", "no"]), 1, TWO)
    assert (model.predict_proba(X)[:, 0] > 0.5).tolist() == (model.predict(X) == "yes").tolist()
    model = trained(nn.Categorical(classes=["a", "b", "c", "unseen"]), 4, THREE)
    assert model.predict_proba(X).shape == (60, 4)


def test_ranks_have_names_in_their_order():
    ranks = np.array(["low", "middle", "high"])[np.digitize(X[:, 0], [-0.5, 0.5])]
    model = trained(nn.Ordinal(classes=["low", "middle", "high"]), 1, ranks)
    assert model.evaluate(X, ranks)["mae"] < 0.1 and set(model.predict(X)) == {"low", "middle", "high"}
    assert (model.vector == trained(nn.Ordinal(3), 1, np.digitize(X[:, 0], [-0.5, 0.5])).vector).all()


def test_each_of_several_heads_has_its_names():
    model = trained(nn.Heads(kind=nn.Categorical(), sign=nn.Bernoulli(), size=nn.Gaussian()), 5,
                    {"kind": THREE, "sign": TWO, "size": X[:, 1]})
    found = model.predict(X)
    assert (found["kind"] == THREE).mean() > 0.9 and set(found["sign"]) == {"no", "yes"}
    assert found["size"].dtype == float


def test_weights_of_classes_by_their_names():
    weighted = trained(nn.Bernoulli(), 1, TWO, class_weight={"yes": 3.0})
    assert (weighted.vector == trained(nn.Bernoulli(), 1, TWO == "yes", class_weight={1: 3.0}).vector).all()
    with pytest.raises(ValueError, match="class_weight: got the class 'Yes', expected 'no', 'yes'"):
        trained(nn.Bernoulli(), 1, TWO, class_weight={"Yes": 3.0})


def test_a_network_that_is_built_learns_them_at_its_first_fit():
    model = nn.Sequential([nn.Input(3), nn.Dense(3)], nn.Categorical())
    model.fit(X, THREE, nn.Adam(0.1), verbose=0)
    assert model.head.classes == ["a", "b", "c"]


def test_words_at_every_step():
    model = nn.Sequential([nn.GRU(4, return_sequences=True), nn.Dense(2)], nn.Categorical())
    words = np.array(["in", "out"])[rng.integers(2, size=(5, 4))]
    model.fit(rng.normal(size=(5, 4, 3)), words, nn.Adam(), verbose=0)
    assert model.predict(rng.normal(size=(2, 4, 3))).shape == (2, 4) and model.head.classes == ["in", "out"]


@pytest.mark.parametrize("head, units, y, message", [
    (nn.Bernoulli, 1, THREE, "Bernoulli: got the 3 classes 'a', 'b', 'c', expected two; for one of several"),
    (nn.Bernoulli, 1, ["yes"] * 60, "y: got one class, 'yes', expected at least two; those that are abse"),
    (nn.Categorical, 4, THREE, "Categorical: got 4 units in the last layer, expected 3, one for each of "),
    (nn.Categorical, 3, [*THREE[1:], None], r"y: got text and None \(number 59\), expected text for every"),
    (nn.Categorical, 3, [*THREE[1:], np.nan], r"y: got text and nan \(number 59\), expected text for every"),
    (lambda: nn.Categorical(classes=["a", "b", "d"]), 3, THREE, "y: got the class 'c', expected one of "),
    (lambda: nn.Bernoulli(classes=["a"]), 1, TWO, r"Bernoulli classes: got \['a'\], expected at least 2"),
    (lambda: nn.Bernoulli(classes=["no", "yes"]), 2, TWO, "Bernoulli: got 2 units in the last layer")])
def test_words_that_are_refused(head, units, y, message):
    with pytest.raises(ValueError, match=message):
        trained(head(), units, y)


def test_names_that_are_none():
    for given in "yes", [0, 1], 3.5:
        with pytest.raises(TypeError):
            nn.Categorical(classes=given)


# ---- units -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("head", [nn.Gaussian, nn.Laplace, nn.Huber])
def test_numbers_in_a_unit_of_their_own(head):
    y = 2e5 + 5e4 * (X[:, 0] + 0.1 * X[:, 1])
    loc, scale = y.mean(), y.std()
    model, plain = trained(head(loc=loc, scale=scale), 1, y), trained(head(), 1, (y - loc) / scale)
    np.testing.assert_array_equal(model.vector, plain.vector)
    np.testing.assert_allclose(model.predict(X), loc + scale * plain.predict(X), rtol=1e-14)
    found = model.evaluate(X, y, metrics=["rmse", "r2"])
    assert found["mae"] == pytest.approx(np.abs(model.predict(X) - y).mean(), rel=1e-12)
    assert found["rmse"] == pytest.approx(np.sqrt(((model.predict(X) - y)**2).mean()), rel=1e-9)
    assert found["loss"] == plain.evaluate(X, (y - loc) / scale)["loss"]


def test_a_float32_network_answers_far_from_0():
    y = 1.7e9 + X[:, 0]
    model = nn.Sequential([nn.Dense(1)], nn.Gaussian(loc=y.mean(), scale=y.std()))
    model.fit(X, y, nn.Adam(0.1), epochs=100, verbose=0)
    assert np.abs(model.predict(X) - y).max() < 0.1


@pytest.mark.parametrize("given, error, message", [
    ({"scale": 0.0}, ValueError, "Gaussian scale: got 0.0, expected a number in"),
    ({"scale": [1, -1]}, ValueError, "Gaussian scale: got -1"), ({"loc": "0"}, TypeError, "Gaussian loc"),
    ({"loc": [1, 2]}, ValueError, "Gaussian loc: got 2 numbers, expected 1, one for each unit")])
def test_units_that_are_none(given, error, message):
    with pytest.raises(error, match=message):
        trained(nn.Gaussian(**given), 1, X[:, 0])
