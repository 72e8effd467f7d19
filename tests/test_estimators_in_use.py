"""The estimators where scikit-learn's are used: pipelines, searches, ensembles, frames, and over seeds."""
import io
import warnings

import joblib
import numpy as np
import pandas
import pytest
import sklearn
from sklearn import datasets, neural_network
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import nnjit as nn
from nnjit import estimators

pytestmark = [pytest.mark.compiled,
              pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]


def table(name):
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return (X - X.mean(axis=0)) / (X.std(axis=0) + 1e-9), y


def network(classes):
    return nn.Sequential([nn.Dense(16), nn.Tanh(), nn.Dense(classes)], nn.Categorical())


MAKE = {"MLPClassifier": lambda: estimators.MLPClassifier(
            (20,), max_iter=40, learning_rate_init=0.01, random_state=0),
        "SequentialClassifier": lambda: estimators.SequentialClassifier(
            network, optimizer=nn.Adam(0.01), epochs=5, random_state=0)}
classifiers = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


def quiet_jobs(monkeypatch):
    """Processes of joblib's do not warn either."""
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")


@pytest.mark.parametrize("backend, jobs", [("loky", 2), ("threading", 2), ("loky", 1)])
@classifiers
def test_searches(monkeypatch, make, backend, jobs):
    quiet_jobs(monkeypatch)
    X, y = table("breast_cancer")
    one = make()
    grid = {"alpha": [1e-4, 1.0]} if hasattr(one, "alpha") else {"epochs": [2, 5]}
    pipeline = make_pipeline(StandardScaler(), one)
    with joblib.parallel_backend(backend):
        scores = cross_val_score(pipeline, X, y, cv=3, n_jobs=jobs)
        search = GridSearchCV(one, grid, cv=3, n_jobs=jobs).fit(X, y)
    assert scores.min() > 0.9 and search.best_score_ > 0.9
    alone = GridSearchCV(one, grid, cv=3).fit(X, y)
    assert np.array_equal(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


@classifiers
def test_ensembles_and_what_looks_into_models(make):
    X, y = table("wine")
    bag = BaggingClassifier(make(), n_estimators=4, random_state=0).fit(X, y)
    assert bag.score(X, y) > 0.9
    calibrated = CalibratedClassifierCV(make(), cv=3).fit(X, y)
    assert calibrated.predict_proba(X).shape == (178, 3) and calibrated.score(X, y) > 0.9
    one = make().fit(X, y)
    importance = permutation_importance(one, X, y, n_repeats=3, random_state=0)
    assert importance.importances_mean.shape == (13,) and importance.importances_mean.max() > 0


def test_regressors_in_ensembles():
    X, y = table("diabetes")
    one = estimators.MLPRegressor(hidden_layer_sizes=(20,), max_iter=200, learning_rate_init=0.02,
                                  random_state=0)
    assert BaggingRegressor(one, n_estimators=3, random_state=0).fit(X, y).score(X, y) > 0.3
    labels = np.stack([y > 100, y > 150], axis=1).astype(int)
    several = MultiOutputClassifier(MAKE["MLPClassifier"]()).fit(X, labels)
    assert several.predict(X).shape == labels.shape


@classifiers
def test_files(make, tmp_path):
    X, y = table("iris")
    one = make().fit(X, y)
    joblib.dump(one, tmp_path / "one.joblib")
    again = joblib.load(tmp_path / "one.joblib")
    assert np.array_equal(again.predict_proba(X), one.predict_proba(X))
    buffer = io.BytesIO()
    joblib.dump(make_pipeline(StandardScaler(), make()).fit(X, y), buffer)
    assert joblib.load(io.BytesIO(buffer.getvalue())).score(X, y) > 0.5


# ---- frames ------------------------------------------------------------------------------------------------

@classifiers
def test_a_frame_with_columns_of_all_kinds(make):
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"age": rng.normal(40, 10, 300), "town": rng.choice(["Rome", "Oslo"], 300),
                              "member": rng.random(300) < 0.5})
    y = np.where((frame.age > 40) ^ (frame.town == "Oslo"), "yes", "no")
    columns = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["town", "member"]))
    pipeline = make_pipeline(columns, make())
    pipeline.fit(frame, y)
    assert set(pipeline.predict(frame)) <= {"yes", "no"}
    assert cross_val_score(pipeline, frame, y, cv=3).mean() > 0.5
    one = make().fit(frame[["age", "member"]].astype(float), y)
    assert list(one.feature_names_in_) == ["age", "member"]
    with pytest.raises(ValueError, match="feature names should match"):
        one.predict(frame[["age", "member"]].astype(float).rename(columns={"age": "years"}))


@classifiers
def test_what_fetch_openml_gives(make):
    """Frames with the digits' names as text: '0' ... '9', as an object or a category."""
    X, y = datasets.load_digits(return_X_y=True, as_frame=True)
    for text in (y.astype(str), y.astype(str).astype("category"), y.astype(str).to_numpy(object)):
        one = make().fit(X, text)
        predicted = one.predict(X)
        assert predicted[0] in list("0123456789") and one.score(X, text) > 0.8
        assert list(one.classes_) == list("0123456789")


# ---- sample weights --------------------------------------------------------------------------------------

@classifiers
def test_metadata_routing(make):
    X, y = table("iris")
    w = np.linspace(0.1, 2, 150)
    with sklearn.config_context(enable_metadata_routing=True):
        one = make().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        found = cross_validate(one, X, y, params={"sample_weight": w}, return_estimator=True, cv=3)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, one).fit(X, y, sample_weight=w)
    plain = cross_validate(make(), X, y, return_estimator=True, cv=3)
    assert found["test_score"].shape == (3,)
    assert (found["estimator"][0].predict_proba(X) != plain["estimator"][0].predict_proba(X)).any()
    direct = make().fit(StandardScaler().fit_transform(X), y, w)
    assert np.array_equal(pipeline[-1].predict_proba(X), direct.predict_proba(X))


# ---- over seeds ------------------------------------------------------------------------------------------

def split(name):
    if name == "mnist":
        data = nn.datasets.load_book_mnist()
        (X, y), (X_test, y_test) = data.rows("float64")
        return X, y, X_test, y_test
    X, y = table(name)
    order = np.random.default_rng(1).permutation(len(X))
    X, y, part = X[order], y[order], len(X) * 3 // 4
    return X[:part], y[:part], X[part:], y[part:]


@pytest.mark.parametrize("name", ["iris", "digits", "breast_cancer", "wine", "diabetes", "mnist"])
def test_scores_lie_within_the_spread_of_scikit_learns_seeds(name):
    X, y, X_test, y_test = split(name)
    kind = "Regressor" if name == "diabetes" else "Classifier"
    settings = {"max_iter": 100, "hidden_layer_sizes": (30,), "early_stopping": name == "wine",
                **({"learning_rate_init": 0.02} if name in ("iris", "wine", "diabetes") else {})}
    scores = {}
    for module in (neural_network, estimators):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            scores[module] = np.array([getattr(module, f"MLP{kind}")(random_state=seed, **settings)
                                       .fit(X, y).score(X_test, y_test) for seed in range(10)])
    theirs, ours = scores.values()
    assert theirs.min() - 1e-6 <= ours.min() and ours.max() <= theirs.max() + 1e-6
    assert abs(ours.mean() - theirs.mean()) <= theirs.std() + 1e-6
