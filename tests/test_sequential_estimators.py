"""Any network as an estimator of scikit-learn's."""
import pickle

import numpy as np
import pytest
from head_cases import check_refused
from sklearn import datasets
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import nnjit as nn
from nnjit import estimators


class Builder:
    """A function that builds a network; its text, in the tests' names, is the same in every process."""

    def __init__(self, head):
        self.head = head

    def __call__(self, units):
        return nn.Sequential([nn.Dense(20), nn.ReLU(), nn.Dense(units)], self.head(), "float64")

    def __repr__(self):
        return f"Builder({self.head.__name__})"


classifier, regressor = Builder(nn.Categorical), Builder(nn.Gaussian)


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore")    # the checks are about more than warnings
@parametrize_with_checks([
    estimators.SequentialClassifier(classifier, optimizer=nn.Adam(0.01), epochs=60),
    estimators.SequentialRegressor(regressor, optimizer=nn.Adam(0.01), epochs=60)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def iris():
    X, y = datasets.load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / (X.std(axis=0) + 1e-9), y


def test_any_network_is_an_estimator():
    X, y = iris()
    names = np.array(["a", "b", "c"])[y]
    early = nn.callbacks.EarlyStopping("val_loss", patience=3)
    one = estimators.SequentialClassifier(classifier, optimizer=nn.Adam(0.02), epochs=40, random_state=0,
                                          validation_split=0.2, callbacks=[early], metrics=["f1_macro"])
    order = np.random.default_rng(0).permutation(len(X))
    one.fit(X[order], names[order])
    assert one.score(X, names) > 0.9 and set(one.predict(X)) == {"a", "b", "c"}
    assert len(one.history_["val_f1_macro"]) < 40 and early.best is None    # a copy was used
    same = clone(one).fit(X[order], names[order])
    assert np.array_equal(same.predict_proba(X), one.predict_proba(X))
    again = pickle.loads(pickle.dumps(one))
    assert np.array_equal(again.predict_proba(X), one.predict_proba(X))
    numbers = estimators.SequentialRegressor(regressor, optimizer=nn.Adam(0.02), epochs=40, random_state=0)
    assert cross_val_score(numbers, X[order], X[order] @ [1, 2, 0, -1], cv=3).mean() > 0.9


def test_images_and_labels():
    X, y = datasets.load_digits(return_X_y=True)
    images = (16 * X[:200].reshape(-1, 8, 8, 1) / 16).astype(np.uint8)

    def network():
        return nn.Sequential([nn.Conv2D(4, 3), nn.ReLU(), nn.Flatten(), nn.Dense(10)], nn.Categorical())

    one = estimators.SequentialClassifier(network, epochs=2, random_state=0).fit(images, y[:200])
    assert one.predict_proba(images).shape == (200, 10)
    labels = np.stack([y == 0, y > 4], axis=1).astype(int)[:200]
    one = estimators.SequentialClassifier(lambda: nn.Sequential([nn.Dense(2)], nn.Bernoulli()), epochs=2)
    assert one.fit(X[:200], labels).predict(X[:200]).shape == (200, 2)


@pytest.mark.parametrize("message, options", [
    ("build: got None, expected a function", {}),
    ("build: got a function that returned int", {"build": lambda: 3}),
    ("optimizer: got 'adam', expected an optimizer", {"build": classifier, "optimizer": "adam"}),
])
def test_mistakes_of_networks(message, options):
    X, y = iris()
    check_refused(TypeError, message, estimators.SequentialClassifier(**options).fit, X, y)
