"""Metrics: scikit-learn's figures, to 1e-12, of every head, however the rows are cut into batches."""
import functools
import math

import numpy as np
import pytest
import sklearn.metrics as sk
from head_cases import check_refused, squared_error

import nnjit as nn
from nnjit.metrics.names import possible

N, D = 303, 4
SCORES = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}


def calibration_error(y, d, p, w):
    """Guo et al., section 2, row by row."""
    confidence, right = p[np.arange(len(d)), d], d == y
    gaps = 0
    for low in np.arange(15) / 15:
        rows = [i for i in range(len(y)) if low < confidence[i] <= low + 1 / 15]
        gaps += abs(sum(w[i] * (right[i] - confidence[i]) for i in rows))
    return gaps / sum(w)


def averages(kinds):
    return {f"{name}_{kind}": lambda y, d, p, w, score=score, kind=kind: score(
        y, d, average=kind, sample_weight=w, zero_division=0) for name, score in SCORES.items()
        for kind in kinds}


def area(**options):
    return lambda y, d, p, w: sk.roc_auc_score(y, p, sample_weight=w, **options)


CLASSES = {
    "accuracy": lambda y, d, p, w: sk.accuracy_score(y, d, sample_weight=w),
    "balanced_accuracy": lambda y, d, p, w: sk.balanced_accuracy_score(y, d, sample_weight=w),
    "log_loss": lambda y, d, p, w: sk.log_loss(y, p, sample_weight=w),
    "expected_calibration_error": calibration_error,
    "quadratic_kappa": lambda y, d, p, w: sk.cohen_kappa_score(y, d, weights="quadratic", sample_weight=w),
    **averages(["macro", "micro", "weighted"]),
}
QUESTION = {**CLASSES, "roc_auc": lambda y, d, p, w: sk.roc_auc_score(y, p[:, 1], sample_weight=w),
            **{name: lambda y, d, p, w, score=score: score(y, d, sample_weight=w)
               for name, score in SCORES.items()}}
MANY = {**CLASSES, "roc_auc": area(multi_class="ovr"), "roc_auc_ovr": area(multi_class="ovr"),
        "roc_auc_ovo": None,    # scikit-learn's takes no weights
        **{name: lambda y, d, p, w, k=k: sk.top_k_accuracy_score(y, p, k=k, sample_weight=w)
           for name, k in (("top_k_accuracy", 2), ("top_1_accuracy", 1), ("top_2_accuracy", 2),
                           ("top_3_accuracy", 3))}}
LABELS = {
    "exact_match": lambda y, d, p, w: sk.accuracy_score(y, d, sample_weight=w),
    "hamming_loss": lambda y, d, p, w: sk.hamming_loss(y, d, sample_weight=w),
    "roc_auc": area(average="macro"),
    "log_loss": lambda y, d, p, w: np.mean([sk.log_loss(y[:, k], p[:, k], sample_weight=w)
                                            for k in range(y.shape[1])]),
    **averages(["macro", "micro", "weighted", "samples"]),
}
NUMBERS = {
    "mae": lambda y, d, p, w: sk.mean_absolute_error(y, d, sample_weight=w),
    "mse": lambda y, d, p, w: sk.mean_squared_error(y, d, sample_weight=w),
    "rmse": lambda y, d, p, w: sk.root_mean_squared_error(y, d, sample_weight=w),
    "r2": lambda y, d, p, w: sk.r2_score(y, d, sample_weight=w),
}
RANKS = {**MANY, "mae": NUMBERS["mae"]}


def data(kind):
    """Return inputs, targets, and weights, a tenth of them 0."""
    rng = np.random.default_rng(4)
    X, noise, w = rng.normal(size=(N, D)), rng.normal(size=(N, 3)), rng.uniform(0.1, 2, N)
    score = X[:, :3] + noise
    targets = {"question": score[:, 0] > 0.3, "many": (score @ np.diag([1, 2, 1]) + [0, 1, 0]).argmax(axis=1),
               "labels": (score > [0, 1, -1]).astype(int), "number": 1e4 + score[:, 0],
               "numbers": 10 * score, "counts": rng.poisson(np.exp(X[:, 0])),
               "ranks": np.digitize(score[:, 0], [-1, 0, 1.5])}
    w[rng.random(N) < 0.1] = 0
    return X, targets[kind] * 1 if kind == "question" else targets[kind], w


CASES = {
    "Bernoulli": (nn.Bernoulli, 1, "question", QUESTION),
    "Bernoulli, threshold": (lambda: nn.Bernoulli(0.3), 1, "question", QUESTION),
    "Categorical of 2": (nn.Categorical, 2, "question", QUESTION),
    "Categorical": (nn.Categorical, 4, "ranks", MANY),
    "Categorical, temperature": (lambda: nn.Categorical(2.0, 0.1), 4, "ranks", MANY),
    "Bernoulli, labels": (nn.Bernoulli, 3, "labels", LABELS),
    "Ordinal": (lambda: nn.Ordinal(4), 1, "ranks", RANKS),
    "Gaussian": (nn.Gaussian, 1, "number", NUMBERS), "Laplace, 3": (nn.Laplace, 3, "numbers", NUMBERS),
    "Huber": (nn.Huber, 3, "numbers", NUMBERS), "Poisson": (nn.Poisson, 1, "counts", NUMBERS),
    "SquaredError, softmax": (lambda: squared_error("softmax"), 4, "ranks", MANY),
    "SquaredError, sigmoid": (lambda: squared_error("sigmoid"), 1, "question", QUESTION),
    "SquaredError, linear": (lambda: squared_error("linear"), 3, "numbers", NUMBERS),
}
every_head = pytest.mark.parametrize("name", CASES)


@functools.cache
def trained(name):
    head, units, kind, _ = CASES[name]
    X, y, w = data(kind)
    model = nn.Sequential([nn.Dense(6), nn.Tanh(), nn.Dense(units)], head(), "float64")
    model.fit(X, y, nn.Adam(0.05), epochs=3, verbose=0)
    return model, X, y, w


@every_head
@pytest.mark.parametrize("weighted", [False, True])
def test_scikit_learns_figures(name, weighted):
    functions = CASES[name][3]
    model, X, y, w = trained(name)
    w = w if weighted else np.ones(N)
    p = model.predict_proba(X) if model.head.classifies else None
    expected = {one: function(y, model.predict(X), p, w) for one, function in functions.items() if function}
    found = model.evaluate(X, y, w if weighted else None, metrics=list(functions))
    for one, value in expected.items():
        assert found[one] == pytest.approx(value, rel=1e-12, abs=1e-14), one
        assert 0 < abs(value) < np.inf


@every_head
def test_the_table_has_every_metric(name):
    head, units, _, functions = CASES[name]
    model = trained(name)[0]
    names = {*possible(model.head, units), model.head.metric}
    assert names == {*functions, *["accuracy"] * (head is nn.Bernoulli and units > 1)}


def test_areas_of_pairs_are_scikit_learns():
    model, X, y, _ = trained("Categorical")
    expected = sk.roc_auc_score(y, model.predict_proba(X), multi_class="ovo")
    assert model.evaluate(X, y, metrics=["roc_auc_ovo"])["roc_auc_ovo"] == pytest.approx(expected, rel=1e-12)


@every_head
def test_an_epoch_is_exact_however_it_is_cut(name):
    """Of a network that is not trained, so that every batch meets the same."""
    functions = CASES[name][3]
    model, X, y, w = trained(name)
    frozen = nn.Sequential([nn.Input(D), nn.Dense(6), nn.Tanh(), nn.Dense(CASES[name][1])], CASES[name][0](),
                           "float64")
    frozen.copy_weights(model)
    for layer in frozen.layers:
        layer.trainable = False
    whole = frozen.evaluate(X, y, w, metrics=list(functions))
    for batch_size in 7, 100:
        optimizer = nn.SGD(1e-300)
        log = frozen.fit(X, y, optimizer, 1, batch_size, sample_weight=w, metrics=list(functions), verbose=0,
                         validation_data=(X, y, w)).history
        for one in functions:
            assert log[one] == pytest.approx([whole[one]], rel=1e-11), one
            assert log[f"val_{one}"] == pytest.approx([whole[one]], rel=1e-11), one


def test_counts_are_whole_numbers():
    """So accuracy and its like have the bits of one division, at any batch size."""
    model, X, y, _ = trained("Categorical")
    right = np.count_nonzero(model.predict(X) == y)
    assert model.evaluate(X, y, metrics=["f1_micro", "recall_micro"])["recall_micro"] == right / N


def test_metrics_of_several_heads():
    (X, size, w), counts = data("ranks"), data("counts")[1]
    head = nn.Heads(size=nn.Categorical(), many=nn.Poisson(), units={"size": 4, "many": 1})
    model = nn.Sequential([nn.Dense(5)], head, "float64")
    history = model.fit(X, {"size": size, "many": counts}, nn.Adam(0.02), epochs=2, verbose=0,
                        metrics={"size": ["f1_macro"], "many": ["r2"]})
    assert list(history.history) == ["loss", "size_accuracy", "many_mae", "size_f1_macro", "many_r2",
                                     "seconds"]
    found = model.evaluate(X, {"size": size, "many": counts}, w,
                           metrics=["many_rmse", "size_f1_macro", "size_accuracy"])
    predicted = model.predict(X)
    assert found["size_f1_macro"] == pytest.approx(
        sk.f1_score(size, predicted["size"], average="macro", sample_weight=w), rel=1e-12)
    assert found["many_rmse"] == pytest.approx(NUMBERS["rmse"](counts, predicted["many"], None, w), rel=1e-12)
    assert list(found) == ["loss", "size_accuracy", "many_mae", "many_rmse", "size_f1_macro"]


def test_soft_targets_count_as_their_class():
    model, X, y, w = trained("Categorical")
    soft = 0.7 * np.eye(4)[y] + 0.075
    names = ["f1_macro", "log_loss", "roc_auc"]
    found, hard = (model.evaluate(X, targets, w, metrics=names) for targets in (soft, y))
    assert found["f1_macro"] == hard["f1_macro"] and found["roc_auc"] == hard["roc_auc"]
    expected = -(soft * np.log(model.predict_proba(X))).sum(axis=1) @ w / w.sum()
    assert found["log_loss"] == pytest.approx(expected, rel=1e-12)


def test_rare_classes():
    """A class that nobody has and nobody is taken for counts for nothing; one that is missed counts 0."""
    model, X, y, _ = trained("Categorical")
    some = y != 3
    decided = model.predict(X[some])
    expected = sk.f1_score(y[some], decided, average="macro")
    found = model.evaluate(X[some], y[some], metrics=["f1_macro", "roc_auc"])
    assert found["f1_macro"] == pytest.approx(expected, rel=1e-12)
    assert math.isnan(found["roc_auc"])    # there is no area of a class without rows


def test_constant_numbers():
    model, X, _, _ = trained("Gaussian")
    assert model.evaluate(X, np.full(N, 2.0), metrics=["r2"])["r2"] == 0


def test_a_metric_is_watched():
    X, y, _ = data("ranks")
    early = nn.callbacks.EarlyStopping("val_f1_macro", patience=3)
    model = nn.Sequential([nn.Dense(4)], nn.Categorical())
    history = model.fit(X, y, nn.Adam(0.1), epochs=40, validation_split=0.3, metrics=("f1_macro",), verbose=0,
                        callbacks=[early])
    assert early.maximises() and early.best == max(history.history["val_f1_macro"])
    assert len(history.history["f1_macro"]) < 40


def test_a_training_that_diverges_has_no_figures():
    X, y, _ = data("ranks")
    model = nn.Sequential([nn.Dense(4)], nn.Categorical())
    with pytest.warns(RuntimeWarning, match="not finite"):
        history = model.fit(1e30 * X, y, nn.SGD(1e30), epochs=2, metrics=["f1_macro", "roc_auc"], verbose=0)
    assert math.isnan(history.history["f1_macro"][-1]) and math.isnan(history.history["roc_auc"][-1])


def test_a_stopped_epoch_goes_on_with_what_was_counted(tmp_path):
    X, y, w = data("ranks")
    names = ["f1_macro", "roc_auc", "log_loss"]

    class PowerCut(nn.callbacks.Callback):
        def on_batch_end(self, state, logs):
            if state.steps == 8:
                raise SystemExit

    def train(*more):
        model = nn.Sequential([nn.Dense(4)], nn.Categorical(), "float64")
        backup = nn.callbacks.BackupAndRestore(tmp_path / "backup.npz", every="0.000001s")
        return model.fit(X, y, nn.Adam(0.1), 3, 50, sample_weight=w, metrics=names, verbose=0,
                         callbacks=[backup, *more]).history

    whole = train()
    with pytest.raises(SystemExit):
        train(PowerCut())
    again = train()
    assert all(again[name] == whole[name] for name in names)


@pytest.mark.parametrize("exception, message, metrics", [
    (ValueError, "got 'f2' for Categorical.*f1_macro", ["f2"]),
    (ValueError, "got 'precision' for Categorical.*precision_macro", ["precision"]),
    (ValueError, "got 'top_4_accuracy'.*top_3_accuracy", ["top_4_accuracy"]),
    (ValueError, "got 'rmse'.*balanced_accuracy", ["rmse"]),
    (TypeError, "got 'f1_macro', expected a list", "f1_macro"),
    (TypeError, r"got \[<.*expected a list of names", [sk.f1_score]),
    (ValueError, "got a dict of 'size', expected a list, because", {"size": ["f1_macro"]}),
])
def test_mistakes(exception, message, metrics):
    X, y, _ = data("ranks")
    model = nn.Sequential([nn.Dense(4)], nn.Categorical())
    check_refused(exception, message, model.fit, X, y, nn.SGD(0.1), metrics=metrics, verbose=0)
    assert model.input_shape is None    # as it was
    built = trained("Categorical")[0]
    check_refused(exception, message, built.evaluate, X, y, metrics=metrics)


def test_a_head_of_ones_own_has_its_own_metric():
    class Own(nn.Gaussian):
        answers = None

    X, y, _ = data("number")
    model = nn.Sequential([nn.Dense(1)], Own())
    check_refused(ValueError, "got 'r2'.*expected some of mae$", model.fit, X, y, nn.SGD(0.1), metrics=["r2"])
