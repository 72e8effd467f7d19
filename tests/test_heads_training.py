"""The heads through the graph: training, saving, copies, targets of any kind."""
import copy
import json
import pickle
import warnings

import numpy as np
import pytest
from head_cases import (
    CASES,
    EACH,
    N,
    built,
    case,
    check_refused,
    fit,
    network,
    numbers,
    ranks,
    run,
    soft_rows,
    squared_error,
    taken,
)

import nnjit as nn


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
    assert list(history) == ["loss", *metrics, "val_loss", *[f"val_{metric}" for metric in metrics],
                             "seconds"]
    json.dumps(history)
    model.save(tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")    # that squared error saturates
        loaded = nn.load(tmp_path / "model")
    assert repr(loaded.head) == repr(model.head) and loaded.evaluate(X, y) == model.evaluate(X, y)
    assert repr(model.predict(X)) == repr(loaded.predict(X))


def copies(head):
    return copy.copy(head), copy.deepcopy(head), pickle.loads(pickle.dumps(head))


@EACH
def test_a_copy_of_a_head_belongs_to_no_model(rng, name):
    """It has what the head was made with and what it took from its targets, none of its arrays."""
    head, z, y, w = case(name, rng)
    for array in head.parameters.values():
        array += rng.uniform(0, 0.1, array.shape)
    loss, metric, delta = run(head, z, y, w)
    parts = [head, *(head.heads.values() if isinstance(head, nn.Heads) else [])]
    kept = [{key: array.copy() for key, array in {**part.parameters, **part.gradients}.items()}
            for part in parts]
    for other in copies(head):
        assert repr(other) == repr(head) and not {"parameters", "gradients"} & set(vars(other))
        built(other, z.shape[1])
        for key, array in other.parameters.items():
            array[:] = head.parameters[key]
        found = run(other, z, y, w)
        assert np.array_equal(found[0], loss) and np.array_equal(found[1], metric)
        assert np.array_equal(found[2], delta)
        for array in (*other.parameters.values(), *other.gradients.values()):
            array[:] = np.nan    # nothing of the original
        for part, values in zip(parts, kept):
            for key, array in {**part.parameters, **part.gradients}.items():
                assert np.array_equal(array, values[key])


@pytest.mark.parametrize("name", ["Ordinal", "Heads", "SquaredError, sigmoid"])
def test_a_copy_of_a_head_in_another_model_leaves_the_first_alone(rng, name):
    make, units, targets = CASES[name]
    X, y = rng.normal(size=(N, 3)), targets(rng, N, units)
    y = y.reshape(N) if units == 1 else y
    model = network(make(), units)
    fit(model, X, y)
    before = repr(model.predict(X)), model.evaluate(X, y)
    other = network(copy.copy(model.head), units)
    fit(other, -X, y)
    assert (repr(model.predict(X)), model.evaluate(X, y)) == before
    fit(model, X, y)
    assert model.evaluate(X, y) != before[1]    # it trains on


def test_a_head_under_two_names_is_refused():
    head = nn.Ordinal(3)
    message = "got the same head as 'a' and 'c', expected one for each name; give a new Ordinal, or copy.copy"
    check_refused(ValueError, message, nn.Heads, a=head, b=nn.Ordinal(3), c=head)
    nn.Heads(a=head, b=copy.copy(head))


def test_a_copy_of_squared_error_may_have_other_units(rng):
    head, z, y, w = case("SquaredError, sigmoid", rng)
    first = run(head, z, y, w)
    built(copy.copy(head), 1)
    assert run(head, z, y, w)[1] == first[1]


def test_ordinal_takes_its_classes_from_the_first_targets(rng):
    X, y = rng.normal(size=(N, 3)), ranks(rng, N, 1)
    model = network(nn.Ordinal(), 1)
    check_refused(ValueError, r"got no number of classes, expected Ordinal\(classes=K\), or a first fit",
                  model.build, 3)
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
    shapes = [{name: part.shape for name, part in parts.items()}
              for parts in (model.predict(X), model.predict_proba(X))]
    assert shapes == [{"a": (N,), "b": (N, 2), "c": (N,), "d": (N,)}, {"a": (N, 4), "c": (N, 4), "d": (N, 3)}]


def test_targets_are_taken_by_rows(rng):
    head, _, y, _ = case("Heads", rng)
    rows = np.array([3, 1, 4])
    part = head.targets(y, N, 5, np.float64)[rows]
    for name, expected in taken(y, rows).items():
        assert np.array_equal(np.ravel(part.by_name[name]), expected)


@pytest.mark.parametrize("convert",
                         [np.ndarray.tolist, lambda y: y.astype(np.uint8), lambda y: y.astype(np.float16),
                                     lambda y: y.astype(np.float32), lambda y: y.astype(">i4"),
                                     lambda y: y.astype(bool)],
                         ids=["list", "uint8", "float16", "float32", "other byte order", "bool"])
@pytest.mark.parametrize("name",
                         ["Gaussian", "Poisson", "Bernoulli", "Bernoulli, 3 units", "Categorical", "Ordinal"])
def test_targets_of_any_kind(rng, name, convert):
    head, z, y, w = case(name, rng)
    y = np.asarray(y > 0, int)
    first, second = run(head, z, y, w), run(head, z, convert(y), w)
    assert first[:2] == second[:2] and np.array_equal(first[2], second[2])


def test_reprs():
    for head, text in [(nn.Gaussian(), "Gaussian()"), (nn.Huber(2), "Huber(delta=2.0)"),
                       (nn.Categorical(), "Categorical()"),
                       (nn.Categorical(base=np.e), "Categorical()"), (nn.Ordinal(5), "Ordinal(classes=5)"),
                       (nn.Categorical(2, class_weight={1: 3}),
                        "Categorical(temperature=2.0, class_weight={1: 3.0})"),
                       (nn.Bernoulli(0.3, [1, 2]), "Bernoulli(threshold=0.3, pos_weight=[1.0, 2.0])"),
                       (nn.Heads(a=nn.Gaussian()), "Heads(a=Gaussian())"),
                       (squared_error("softmax"), "SquaredError(activation='softmax')"),
                       (nn.Heads({"units": nn.Gaussian()}, b=nn.Poisson(), weights={"b": 2}),
                        "Heads(units=Gaussian(), b=Poisson(), weights={'units': 1.0, 'b': 2.0})")]:
        assert repr(head) == text


@EACH
def test_the_logs_of_a_batch_without_weight(name):
    """It has no mean loss, and the training goes on."""
    make, units, targets = CASES[name]
    rng, logs = np.random.default_rng(0), []
    X, y = rng.normal(size=(N, 3)), targets(rng, N, units)
    y = y[:, 0] if not isinstance(y, dict) and y.ndim == 2 and units == 1 else y
    model = network(make(), units)
    watch = nn.callbacks.LambdaCallback(on_batch_end=lambda step, log: logs.append(log["loss"]))
    fit(model, X, y, epochs=1, shuffle=False, sample_weight=np.arange(N) >= 4, callbacks=[watch])
    assert np.isnan(logs).tolist() == [True, False, False]
    assert np.isfinite(model.vector).all() and np.isfinite(model.history.history["loss"]).all()
