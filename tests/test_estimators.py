"""The estimators: scikit-learn's own checks, and its networks to the last digits."""
import pickle
import re
import warnings

import numpy as np
import pandas
import pytest
from head_cases import check_refused
from scipy import sparse, special
from sklearn import datasets, neural_network
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import nnjit as nn
from nnjit import estimators

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def what_differs(estimator):
    """Return the checks that an estimator fails by design, and why."""
    if isinstance(estimator, estimators.OrdinalClassifier):
        return {"check_classifiers_train": "a rank is the median, not always the most probable one"}
    return {}


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore")    # the checks are about more than warnings
@parametrize_with_checks([estimators.MLPClassifier(max_iter=100), estimators.MLPRegressor(max_iter=100),
                          estimators.OrdinalClassifier(max_iter=100)], expected_failed_checks=what_differs)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


# ---- the same networks -------------------------------------------------------------------------------------

def table(name):
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return ((X - X.mean(axis=0)) / (X.std(axis=0) + 1e-9))[:400], y[:400]


SETTINGS = {
    "adam": {}, "sgd": {"solver": "sgd", "learning_rate_init": 0.05},
    "plain sgd": {"solver": "sgd", "momentum": 0, "shuffle": False},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.05},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.05, "tol": 0.01,
                 "n_iter_no_change": 2},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 3, "tol": 0.01},
    "lbfgs": {"solver": "lbfgs"}, "tol 0": {"tol": 0.0},
    "logistic": {"activation": "logistic", "batch_size": 32}, "tanh": {"activation": "tanh", "alpha": 1.0},
    "identity": {"activation": "identity", "hidden_layer_sizes": (7, 5)},
    "one number": {"hidden_layer_sizes": 9, "beta_1": 0.5, "epsilon": 1e-3},
}
every_setting = pytest.mark.parametrize("name", SETTINGS)


def both(kind, X, y, settings, sample_weight=None):
    """Return scikit-learn's estimator and ours, fitted."""
    found = []
    for module in (neural_network, estimators):
        one = getattr(module, f"MLP{kind}")(**{"max_iter": 12, "random_state": 3, **settings})
        found.append(one.fit(X, y, sample_weight))
    return found


def check_same(theirs, ours, tolerance=1e-9):
    for name in "coefs_", "intercepts_":
        for array, own in zip(getattr(theirs, name), getattr(ours, name)):
            np.testing.assert_allclose(own, array, rtol=0, atol=tolerance)
    for name in ("loss_", "best_loss_", "best_validation_score_", "loss_curve_", "validation_scores_"):
        assert hasattr(theirs, name) == hasattr(ours, name), name
        expected = getattr(theirs, name, None)
        if expected is None:
            assert getattr(ours, name, None) is None
        else:
            np.testing.assert_allclose(getattr(ours, name), expected, rtol=0, atol=tolerance, err_msg=name)
    for name in ("n_iter_", "n_layers_", "n_outputs_", "out_activation_", "t_", "n_features_in_"):
        assert getattr(theirs, name) == getattr(ours, name), name


@pytest.mark.compiled
@every_setting
@pytest.mark.parametrize("data", ["iris", "breast_cancer", "digits"])
def test_scikit_learns_classifiers(name, data):
    X, y = table(data)
    theirs, ours = both("Classifier", X, y, SETTINGS[name])
    check_same(theirs, ours)
    assert np.array_equal(theirs.classes_, ours.classes_)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=0, atol=1e-9)
    assert np.array_equal(ours.predict(X), theirs.predict(X)) and ours.score(X, y) == theirs.score(X, y)


@pytest.mark.compiled
@every_setting
@pytest.mark.parametrize("outputs", [1, 3])
def test_scikit_learns_regressors(name, outputs):
    X, y = table("diabetes")
    y = y / 100 if outputs == 1 else np.stack([y / 100, y / 50, X[:, 0]], axis=1)
    theirs, ours = both("Regressor", X, y, SETTINGS[name])
    check_same(theirs, ours)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=0, atol=1e-9)


@pytest.mark.compiled
@pytest.mark.parametrize("settings", [{}, {"solver": "lbfgs"}, {"early_stopping": True, "tol": 0.1}])
def test_counts_labels_weights_and_text(settings):
    X, y = table("diabetes")
    w = np.random.default_rng(0).uniform(0.1, 2, len(X))
    check_same(*both("Regressor", X, np.round(y / 50), {"loss": "poisson", **settings}, w))
    X, y = table("iris")
    w = np.linspace(0.1, 2, len(X))
    labels = np.stack([y == 0, y > 0, X[:, 0] > 0], axis=1).astype(int)
    theirs, ours = both("Classifier", X, labels, settings)
    check_same(theirs, ours)
    assert np.array_equal(theirs.predict(X), ours.predict(X))
    check_same(*both("Classifier", X, y, settings, w))
    for names in (np.array(["setosa", "versicolor", "virginica"])[y], np.array(["no", "yes"])[y % 2]):
        theirs, ours = both("Classifier", X, names, settings)
        check_same(theirs, ours)
        assert np.array_equal(theirs.predict(X), ours.predict(X))
        np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), atol=1e-8)


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_array])
def test_sparse_rows_and_float32(form):
    X, y = table("digits")
    X = np.where(X > 0.5, X, 0)
    check_same(*both("Classifier", form(X), y, {}))
    theirs, ours = both("Classifier", X.astype(np.float32), y, {"max_iter": 3})
    check_same(theirs, ours, 1e-4)
    assert ours.coefs_[0].dtype == np.float32


def test_partial_fit_and_warm_start():
    X, y = table("digits")
    pair = [module.MLPClassifier(random_state=1) for module in (neural_network, estimators)]
    for one in pair:
        for first in range(0, 400, 100):
            one.partial_fit(X[first:first + 100], y[first:first + 100], classes=np.arange(10))
    check_same(*pair)
    pair = [module.MLPRegressor(random_state=1, max_iter=4, warm_start=True)
            for module in (neural_network, estimators)]
    for one in pair:
        one.fit(X, y), one.fit(X, y)
    check_same(*pair)
    assert pair[1].n_iter_ == 4 and len(pair[1].loss_curve_) == 8


# ---- what was reported of scikit-learn's -------------------------------------------------------------------

def test_early_stopping_with_names_and_partial_fit_after_it():
    X, y = table("iris")
    names = np.array(["a", "b", "c"], object)[y]
    one = estimators.MLPClassifier(early_stopping=True, max_iter=20, random_state=0).fit(X, names)
    assert 0 <= one.best_validation_score_ <= 1
    before = one.coefs_[0].copy()
    assert (one.partial_fit(X, names).coefs_[0] != before).any()    # one more epoch, without early stopping


def test_classes_that_come_later():
    X, y = table("iris")
    one = estimators.MLPClassifier(random_state=0)
    one.partial_fit(X[:40], y[:40], classes=[0, 1, 2])
    assert one.partial_fit(X, y).predict_proba(X).shape == (150, 3)
    with pytest.raises(ValueError, match="y: got the class 3, expected those that are known"):
        one.partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        estimators.MLPClassifier().partial_fit(X, y)
    with pytest.raises(ValueError, match="is not the same as on last call"):
        one.partial_fit(X, y, classes=[0, 1])


def test_labels_in_partial_fit():
    X, y = table("iris")
    labels = np.stack([y == 0, y > 0], axis=1).astype(int)
    one = estimators.MLPClassifier(random_state=0)
    for _ in range(3):
        one.partial_fit(X, labels)
    assert one.predict(X).shape == labels.shape


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_regressor_that_explodes(early_stopping):
    X, y = table("diabetes")
    one = estimators.MLPRegressor(solver="sgd", learning_rate_init=1e6, early_stopping=early_stopping,
                                  random_state=0)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="non-finite parameter weights"):
        one.fit(1e6 * X, 1e6 * y)


def test_a_training_that_is_cut_off_warns_once():
    X, y = table("iris")
    for settings in ({}, {"solver": "lbfgs", "tol": 1e-12}, {"warm_start": True}):
        one = estimators.MLPClassifier(max_iter=2, random_state=0, **settings)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            one.fit(X, y)
        assert [type(one.message) for one in caught] == [ConvergenceWarning]


# ---- in scikit-learn's world -------------------------------------------------------------------------------

def test_weights_that_are_set_change_predictions():
    X, y = table("diabetes")
    one = estimators.MLPRegressor(max_iter=3, random_state=0).fit(X, y)
    before = one.predict(X)
    one.intercepts_[-1][:] += 5
    np.testing.assert_allclose(one.predict(X), before + 5)
    one.coefs_ = [np.zeros_like(W) for W in one.coefs_]
    assert np.ptp(one.predict(X)) == 0
    check_refused(ValueError, "coefs_: got shapes", setattr, one, "coefs_", [np.zeros((2, 2))])
    with pytest.raises(AttributeError, match="got no weights yet"):
        getattr(estimators.MLPRegressor(), "coefs_")    # noqa: B009


def test_a_pickle_and_a_clone():
    X, y = table("iris")
    one = estimators.MLPClassifier(max_iter=3, random_state=0).fit(X, y)
    again = pickle.loads(pickle.dumps(one))
    assert np.array_equal(again.predict_proba(X), one.predict_proba(X))
    again.partial_fit(X, y), one.partial_fit(X, y)
    assert np.array_equal(again.predict_proba(X), one.predict_proba(X))
    assert not hasattr(clone(one), "coefs_")


def test_partial_fit_is_there_for_steps_only():
    assert not hasattr(estimators.MLPClassifier(solver="lbfgs"), "partial_fit")
    assert hasattr(estimators.MLPRegressor(solver="sgd"), "partial_fit")


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_every_parameter_of_scikit_learns(name):
    theirs, ours = (getattr(module, name)().get_params() for module in (neural_network, estimators))
    assert theirs.items() <= ours.items()
    assert set(ours) - set(theirs) == {"dropout", "dtype", "optimizer", "callbacks",
                                      *["class_weight"] * ("Class" in name)}


# ---- what scikit-learn's have not --------------------------------------------------------------------------

def test_an_activation_for_each_layer():
    X, y = table("iris")
    one = estimators.MLPClassifier((8, 6), ["relu", "tanh"], max_iter=5, random_state=0).fit(X, y)
    hidden = np.maximum(X @ one.coefs_[0] + one.intercepts_[0], 0)
    hidden = np.tanh(hidden @ one.coefs_[1] + one.intercepts_[1])
    z = hidden @ one.coefs_[2] + one.intercepts_[2]
    np.testing.assert_allclose(one.predict_proba(X), np.exp(z) / np.exp(z).sum(axis=1, keepdims=True))
    same = [estimators.MLPClassifier((8, 6), given, max_iter=5, random_state=0).fit(X, y).predict_proba(X)
            for given in ("relu", ["relu", "relu"])]
    assert np.array_equal(*same)
    check_refused(ValueError, "activation: got .'relu'., expected one, or one for each of 2", estimators.
                  MLPClassifier((8, 6), ["relu"]).fit, X, y)


def test_dropout():
    X, y = table("digits")
    fits = [estimators.MLPClassifier(max_iter=3, random_state=seed, dropout=rate).fit(X, y)
            for seed, rate in ((0, 0.0), (0, 0.5), (0, 0.5), (1, 0.5))]
    losses = [one.loss_ for one in fits]
    assert losses[1] == losses[2] and len(set(losses)) == 3
    assert np.array_equal(fits[1].predict_proba(X), fits[1].predict_proba(X))    # drops nothing


def test_class_weights():
    X, y = table("iris")
    w = np.where(y == 2, 3.0, 1.0)
    names = np.array(["a", "b", "c"])[y]
    weighted = estimators.MLPClassifier(max_iter=4, random_state=0, class_weight={"c": 3.0}).fit(X, names)
    by_hand = estimators.MLPClassifier(max_iter=4, random_state=0).fit(X, names, w)
    assert np.array_equal(weighted.coefs_[0], by_hand.coefs_[0])
    estimators.MLPClassifier(max_iter=4, random_state=0, class_weight="balanced").fit(X, y)


@pytest.mark.parametrize("loss", ["absolute_error", "huber"])
def test_losses_that_outliers_pull_less(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    y = X[:, 0] + 30 * (rng.random(300) < 0.2)
    found = {name: estimators.MLPRegressor(name, (), solver="lbfgs", random_state=0).fit(X, y)
             for name in ("squared_error", loss)}
    errors = {name: abs(one.predict(X) - X[:, 0]).mean() for name, one in found.items()}
    assert errors[loss] < 0.5 < 3 < errors["squared_error"]


def test_dtype():
    X, y = table("iris")
    one = estimators.MLPClassifier(max_iter=2, random_state=0, dtype="float32").fit(X, y)
    assert one.coefs_[0].dtype == np.float32 and one.predict_proba(X).dtype == np.float32


def by_hand(kind, one, X, y, w):
    """Return the loss of scikit-learn's kind over these rows, without alpha's part."""
    if kind == "Classifier":
        p = one.predict_proba(X)
        return np.average(-np.log(p[np.arange(len(y)), y]), weights=w)
    if one.loss == "poisson":
        rate = one.predict(X)
        return np.average(special.xlogy(y, y / rate) - y + rate, weights=w)
    return np.average((one.predict(X) - y)**2 / 2, weights=w)


@pytest.mark.parametrize("kind, loss", [("Classifier", None), ("Regressor", "squared_error"),
                                        ("Regressor", "poisson")])
def test_validation_data(kind, loss):
    X, y = table("iris") if kind == "Classifier" else table("diabetes")
    y = y if kind == "Classifier" else np.round(y / 50)
    order = np.random.default_rng(0).permutation(len(X))
    X, y, w = X[order], y[order], np.linspace(0.5, 2, 50)
    settings = {"max_iter": 4, "random_state": 0, "alpha": 5.0, **({"loss": loss} if loss else {})}
    make = getattr(estimators, f"MLP{kind}")
    one = make(**settings).fit(X[50:], y[50:], validation_data=(X[:50], y[:50], w))
    assert len(one.validation_loss_curve_) == 4
    assert one.validation_loss_curve_[-1] == pytest.approx(by_hand(kind, one, X[:50], y[:50], w), rel=1e-12)
    without = make(**settings).fit(X[50:], y[50:])
    assert np.array_equal(without.coefs_[0], one.coefs_[0])    # it only looks on
    assert not hasattr(without, "validation_loss_curve_")
    scored = make(early_stopping=True, **settings).fit(X[50:], y[50:], validation_data=(X[:50], y[:50]))
    assert max(scored.validation_scores_) == scored.best_validation_score_ == scored.score(X[:50], y[:50])


def test_validation_data_that_are_refused():
    X, y = table("iris")
    one = estimators.MLPClassifier(max_iter=2)
    check_refused(ValueError, "validation_data: got ndarray, expected a tuple", one.fit, X, y, None, X)
    with pytest.raises(ValueError, match="y: got the class 3, expected those that are known"):
        one.fit(X, y, validation_data=(X, y + 1))
    with pytest.raises(ValueError, match="X has 3 features, but"):
        one.fit(X, y, validation_data=(X[:, :3], y))
    lbfgs = estimators.MLPClassifier(solver="lbfgs")
    check_refused(ValueError, "validation_data: got some with solver 'lbfgs'", lbfgs.fit, X, y, None, (X, y))
    check_refused(ValueError, "callbacks: got some with solver 'lbfgs'", lbfgs.fit, X, y,
                  callbacks=[nn.callbacks.TerminateOnNaN()])


def test_callbacks(tmp_path):
    X, y = table("iris")
    seen = []
    stopping = nn.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    one = estimators.MLPClassifier(max_iter=300, learning_rate_init=0.3, random_state=0, callbacks=[stopping])
    one.fit(X[::2], y[::2], validation_data=(X[1::2], y[1::2]), callbacks=[
        lambda model, epoch, logs: seen.append((model, epoch, logs)),
        nn.callbacks.CSVLogger(tmp_path / "log.csv"), nn.callbacks.ModelCheckpoint(tmp_path / "last.npz")])
    assert one.n_iter_ < 300 and one.n_iter_ == len(seen) == stopping.stopped_epoch + 1
    curve = one.validation_loss_curve_
    assert curve[stopping.best_epoch] == min(curve)
    p = one.predict_proba(X[1::2])
    assert -np.log(p[np.arange(75), y[1::2]]).mean() == pytest.approx(min(curve))
    model, epoch, logs = seen[-1]
    assert model is one.model_ and epoch == one.n_iter_ - 1 and logs["val_loss"] == curve[-1]
    assert len((tmp_path / "log.csv").read_text().splitlines()) == one.n_iter_ + 1
    assert nn.load(tmp_path / "last.npz").predict_proba(X).shape == (150, 3)
    check_refused(TypeError, "callbacks: got BackupAndRestore", one.fit, X, y,
                  callbacks=[nn.callbacks.BackupAndRestore(tmp_path)])


def test_callbacks_after_batches():
    X, y = table("digits")
    losses = []
    log = nn.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: losses.append((batch, logs["loss"])))
    one = estimators.MLPClassifier(max_iter=3, batch_size=100, random_state=0, callbacks=(log,)).fit(X, y)
    assert [batch for batch, _ in losses] == list(range(1, 13))
    assert one.loss_ == pytest.approx(np.mean([loss for _, loss in losses[-4:]]))


def test_an_optimizer_of_ones_own():
    X, y = table("digits")
    fit = {name: estimators.MLPClassifier(max_iter=3, random_state=0, **given).fit(X, y) for name, given in {
        "sgd": {"solver": "sgd", "learning_rate_init": 0.1},
        "own": {"optimizer": nn.SGD(0.1, momentum=0.9, nesterov=True)},
        "rmsprop": {"optimizer": nn.RMSprop(0.01)},
        "schedule": {"solver": "sgd", "optimizer": lambda step: 0.1}}.items()}
    assert np.array_equal(fit["sgd"].coefs_[0], fit["own"].coefs_[0])
    assert np.array_equal(fit["sgd"].coefs_[0], fit["schedule"].coefs_[0])
    assert (fit["rmsprop"].coefs_[0] != fit["own"].coefs_[0]).any()
    assert fit["own"].optimizer.iterations == 0    # a copy took the steps
    decayed = estimators.MLPClassifier(max_iter=3, random_state=0, optimizer=nn.AdamW(0.01, 0.5),
                                       callbacks=[nn.callbacks.ReduceLROnPlateau("loss", patience=1)])
    assert np.isfinite(clone(decayed).fit(X, y).loss_)
    with pytest.raises(ValueError, match="The 'optimizer' parameter of MLPClassifier"):
        estimators.MLPClassifier(optimizer="adam").fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_ordered_classes(solver):
    X, y = table("diabetes")
    grades = np.array(["1 low", "2 middle", "3 high", "4 highest"])[np.digitize(y, [100, 150, 220])]
    one = estimators.OrdinalClassifier((), solver=solver, learning_rate_init=0.05, max_iter=100,
                                       random_state=0).fit(X, grades)
    p = one.predict_proba(X)
    assert p.shape == (400, 4) and np.allclose(p.sum(axis=1), 1)
    assert one.score(X, grades) > 0.45 and one.coefs_[-1].shape[1] == 1
    check_refused(ValueError, "y: got 1 class", one.fit, X, np.zeros(400))


@pytest.mark.parametrize("settings", [{}, {"solver": "lbfgs"}, {"early_stopping": True}])
def test_networks_are_carried_over_both_ways(settings):
    X, y = table("iris")
    names = np.array(["a", "b", "c"])[y]
    labels = np.stack([y == 0, y > 0], axis=1).astype(int)
    for kind, targets in (("Classifier", names), ("Classifier", names == "a"), ("Classifier", labels),
                          ("Regressor", X[:, 0]), ("Regressor", X[:, :2])):
        theirs, ours = both(kind, X, targets, settings)
        for source, target in ((theirs, estimators.from_sklearn(theirs)), (ours, ours.to_sklearn())):
            assert type(target).__name__ == type(source).__name__
            method = "predict_proba" if kind == "Classifier" else "predict"
            np.testing.assert_allclose(getattr(target, method)(X), getattr(source, method)(X), atol=1e-12)
            check_same(source, target)
            if kind == "Classifier":
                assert np.array_equal(target.predict(X), source.predict(X))
            if "solver" not in settings and "early_stopping" not in settings:
                target.partial_fit(X, targets)


def test_what_is_not_carried_over():
    X, y = table("iris")
    check_refused(TypeError, "from_sklearn: got StandardScaler", estimators.from_sklearn, StandardScaler())
    one = estimators.MLPClassifier((4, 4), ["relu", "tanh"], max_iter=2).fit(X, y)
    check_refused(ValueError, "to_sklearn: got activation", one.to_sklearn)
    one = estimators.OrdinalClassifier(max_iter=2).fit(X, y)
    check_refused(ValueError, "to_sklearn: got OrdinalClassifier", one.to_sklearn)
    one = estimators.MLPRegressor("huber", max_iter=2).fit(X, y)
    check_refused(ValueError, "to_sklearn: got loss 'huber'", one.to_sklearn)


# ---- what is refused before scikit-learn takes it for numbers ----------------------------------------------

@pytest.mark.parametrize("y, remedy", [
    (["1.5", "2", "2.5"], "give np.asarray(y).astype(float)"),
    (["cheap", "dear", "fair"], "for classes use a classifier, which takes text")])
@pytest.mark.parametrize("kind", [np.array, lambda words: np.array(words, object), list, pandas.Series])
def test_text_is_no_target_of_a_regressor(kind, y, remedy):
    one = estimators.MLPRegressor(max_iter=2)
    message = f"y: got text, such as {y[0]!r}, expected numbers; {remedy}"
    check_refused(TypeError, re.escape(message), one.fit, np.ones((6, 2)), kind(y * 2))
    assert estimators.MLPClassifier(max_iter=2).fit(np.ones((6, 2)), kind(y * 2)).classes_.tolist() == y


def test_columns_without_numbers_are_named():
    frame = pandas.DataFrame({
        "age": [1, 2], "town": ["Rome", "Oslo"], "since": pandas.to_datetime(["2020-01-01"] * 2),
        "rooms": np.array([3, 4.5], object), "floor": pandas.Categorical([1, 2])})
    one = estimators.MLPRegressor(max_iter=2, random_state=0)
    check_refused(TypeError, "X: got columns without numbers, 'town', 'since', ", one.fit, frame, [0, 1])
    numbers = frame[["age", "rooms", "floor"]]
    same = estimators.MLPRegressor(max_iter=2, random_state=0).fit(numbers.to_numpy(float), [0, 1])
    assert np.array_equal(one.fit(numbers, [0, 1]).coefs_[0], same.coefs_[0])
    assert one.feature_names_in_.tolist() == ["age", "rooms", "floor"]


def test_classes_of_several_kinds():
    y = np.array([1, None, "a"], object)
    one = estimators.MLPClassifier()
    check_refused(ValueError, "y: got text and 1 .number 0., expected text for", one.fit, np.ones((3, 2)), y)
    check_refused(TypeError, "y: got NoneType and int, expected classes", one.fit, np.ones((2, 2)), y[:2])


def test_scores_of_classes_that_were_never_learned():
    X, y, words = np.eye(2), np.array([0, 1]), np.array(["no", "yes"])
    numbers, names = [estimators.MLPClassifier(max_iter=2).fit(X, given) for given in (y, words)]
    check_refused(ValueError, "y: got text, expected classes as in fit, 0, 1", numbers.score, X, words)
    check_refused(ValueError, "y: got no text, expected classes as in fit, 'no', 'yes'", names.score, X, y)
