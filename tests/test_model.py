"""Sequential: training, history, reproducibility, what may be given and what is refused."""
import json

import naive
import numpy as np
import pytest
from scipy import sparse

import nnjit as nn
from nnjit import preparation
from nnjit.graph import Graph
from nnjit.inputs import batches as input_batches
from nnjit.inputs import checks, rows, sparse_rows, threads

D, K = 4, 3


def problem(N=30):
    """Return N points about K centres, (N, D), and the numbers of the centres."""
    rng = np.random.default_rng(1)
    y = np.arange(N) % K
    return 3 * np.eye(D)[y] + rng.normal(size=(N, D)), y


def network(*hidden, dtype="float64", units=K):
    """Return a network, by default with a hidden layer and dropout."""
    hidden = hidden or (nn.Dense(5), nn.Tanh(), nn.Dropout(0.25))
    return nn.Sequential([*hidden, nn.Dense(units)], head=nn.Categorical(), dtype=dtype)


def fit(model, X, y, optimizer=None, **options):
    options = {"epochs": 2, "batch_size": 8, "verbose": 0, **options}
    return model.fit(X, y, optimizer or nn.SGD(0.1), **options)


def bits(model):
    return b"".join(array.tobytes() for array in model.parameters().values())


# ---- training ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("optimizer, options", [
    (nn.SGD, {"learning_rate": 0.5}), (nn.SGD, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    (nn.Adam, {"learning_rate": 0.05}), (nn.AdamW, {"learning_rate": 0.05})],
    ids=["SGD", "Nesterov", "Adam", "AdamW"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_learns(optimizer, options, dtype):
    X, y = problem()
    model = network(nn.Dense(5), nn.Tanh(), dtype=dtype)
    history = fit(model, X, y, optimizer(**options), epochs=30)
    loss = history.history["loss"]
    assert loss[-1] < 0.3 * loss[0]
    assert model.evaluate(X, y)["accuracy"] > 0.9
    assert all(array.dtype == dtype for array in [model.vector, model.logits(X), model.predict_proba(X)])


def test_history():
    X, y = problem()
    model = network()
    history = fit(model, X, y, epochs=3, validation_data=(X[:9], y[:9]))
    assert model.history is history
    assert history.epochs == history.validated == [0, 1, 2]
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
    for values in history.history.values():
        assert len(values) == 3 and all(isinstance(value, float) for value in values)
    assert json.loads(json.dumps(history.history)) == history.history
    assert np.all(np.diff(history.history["seconds"]) >= 0)
    after = model.evaluate(X[:9], y[:9])
    assert (after["loss"], after["accuracy"]) == (history.history["val_loss"][-1],
                                                  history.history["val_accuracy"][-1])
    assert list(fit(network(), X, y).history) == ["loss", "accuracy", "seconds"]


def test_training_loss_is_the_weighted_mean_before_each_step():
    X, y = problem()
    w = np.linspace(0, 2, len(X))
    model = network(nn.Tanh()).build(D)
    before = model.evaluate(X, y, w)
    logs = fit(model, X, y, sample_weight=w, epochs=1, batch_size=len(X)).history
    assert {name: logs[name][0] for name in before} == pytest.approx(before, rel=1e-12)
    # with steps too small to change anything, batches of 8, 8, 8 and 6 come to the same
    logs = fit(network(nn.Tanh()), X, y, nn.SGD(1e-300), sample_weight=w).history
    assert {name: logs[name][1] for name in before} == pytest.approx(before, rel=1e-12)


@pytest.mark.parametrize("every, epochs, validated", [
    (1, 3, [0, 1, 2]), (3, 8, [0, 3, 6, 7]), (9, 1, [0]), (4, 5, [0, 4])])
def test_validate_every(every, epochs, validated):
    X, y = problem()
    history = fit(network(), X, y, epochs=epochs, validation_data=(X, y, np.ones(len(X))),
                  validate_every=every)
    assert history.epochs == list(range(epochs)) and history.validated == validated
    assert len(history.history["val_loss"]) == len(validated)


def test_callbacks():
    X, y = problem()
    model, calls = network(), []

    def note(*arguments):
        calls.append(arguments)

    history = fit(model, X, y, epochs=9, callbacks=[lambda model, epoch, logs: epoch == 2, note])
    assert history.epochs == [0, 1, 2]
    assert [(m is model, epoch) for m, epoch, _ in calls] == [(True, 0), (True, 1), (True, 2)]
    assert [logs["loss"] for *_, logs in calls] == history.history["loss"]


def test_an_interruption_leaves_model_and_history():
    X, y = problem()
    model, reference = network(), network()

    def interrupt(model, epoch, logs):
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, X, y, epochs=9, callbacks=[interrupt])
    fit(reference, X, y, epochs=2)
    assert model.history.epochs == [0, 1] and len(model.history.history["loss"]) == 2
    assert bits(model) == bits(reference)
    assert np.array_equal(model.predict(X), reference.predict(X))


def test_verbose(capsys):
    X, y = problem()
    fit(network(), X, y, epochs=30, verbose="auto", validation_data=(X, y))
    lines = capsys.readouterr().err.splitlines()
    assert 10 <= len(lines) <= 12
    assert lines[0].startswith("epoch 1/30  loss ") and lines[-1].startswith("epoch 30/30  loss ")
    assert "val_accuracy" in lines[-1]
    fit(network(), X, y)
    assert capsys.readouterr() == ("", "")


# ---- batches -----------------------------------------------------------------------------------------------

def batches(**options):
    """Return the steps, and the labels of each epoch's batches, of 7 rows with a label each."""
    steps, labels = [], []

    def noting(batch, total, workspace, step=None):
        steps.append(step)
        labels.append(batch.y.tolist())
        return Graph.loss_and_gradient(model.graph, batch, total, workspace, step)

    model = nn.Sequential([nn.Dense(7)], nn.Categorical(), "float64")
    model.graph.loss_and_gradient = noting
    fit(model, np.eye(7), np.arange(7), epochs=3, batch_size=3, **options)
    return steps, [labels[first:first + 3] for first in (0, 3, 6)]


def test_shuffling_follows_the_seed():
    steps, epochs = batches(seed=1)
    assert steps == list(range(9))
    for epoch in epochs:
        assert [len(labels) for labels in epoch] == [3, 3, 1]
        assert sorted(label for labels in epoch for label in labels) == list(range(7))
    assert epochs[0] != epochs[1] != epochs[2]
    assert batches(seed=1)[1] == epochs
    assert batches(seed=2)[1] != epochs
    assert batches(shuffle=False)[1] == 3 * [[[0, 1, 2], [3, 4, 5], [6]]]


def test_a_batch_larger_than_the_data():
    X, y = problem()
    model, reference = network(), network()
    fit(model, X, y, batch_size=1000)
    fit(reference, X, y, batch_size=len(X))
    assert bits(model) == bits(reference)


@pytest.mark.parametrize("density", [1, 0.3])
def test_weights_remove_and_repeat_rows(rng, density):
    X, y = problem()
    X *= rng.random(X.shape) < density
    w = rng.integers(3, size=len(X))
    plain = np.repeat(np.arange(len(X)), w)
    weighted, reference = network(nn.Dense(5), nn.Tanh()), network(nn.Dense(5), nn.Tanh())
    for model, *data in [(weighted, X, y, w), (reference, X[plain], y[plain], None)]:
        fit(model, *data[:2], sample_weight=data[2], shuffle=False, batch_size=100)
    for name, array in reference.parameters().items():
        np.testing.assert_allclose(weighted.parameters()[name], array, rtol=1e-12, err_msg=name)
    assert weighted.evaluate(X, y, w) == pytest.approx(weighted.evaluate(X[plain], y[plain]), rel=1e-12)
    for name, array in weighted.gradients(X[plain], y[plain]).items():
        np.testing.assert_allclose(weighted.gradients(X, y, w)[name], array, rtol=1e-9, atol=1e-14,
                                   err_msg=name)


def test_a_batch_of_no_weight_changes_nothing():
    X, y = problem()
    first, both = network().build(D), network().build(D)
    fit(first, X[:8], y[:8], nn.SGD(0.2), shuffle=False, epochs=1)
    # the mean weight is 1 / 2
    history = fit(both, X[:16], y[:16], nn.SGD(0.1), shuffle=False, epochs=1, sample_weight=np.arange(16) < 8)
    assert bits(first) == bits(both)
    assert np.isfinite(history.history["loss"]).all()


# ---- reproducibility ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_seed_decides_every_bit(dtype):
    X, y = problem()
    models = [network(dtype=dtype) for _ in range(3)]
    histories = [fit(model, X, y, seed=seed).history for model, seed in zip(models, (5, 5, 6))]
    assert bits(models[0]) == bits(models[1]) != bits(models[2])
    assert histories[0]["loss"] == histories[1]["loss"] != histories[2]["loss"]


def test_the_seed_decides_initialisation_order_and_masks():
    X, y = problem()
    for make, options in [(lambda: network(nn.Tanh()), {"shuffle": False}),
                                       # initialisation alone
                          (lambda: network(nn.Tanh()).build(D), {}),                     # order alone
                          (lambda: network().build(D), {"shuffle": False})]:             # masks alone
        models = [make() for _ in range(2)]
        for model, seed in zip(models, (1, 2)):
            fit(model, X, y, seed=seed, **options)
        assert bits(models[0]) != bits(models[1])


@pytest.mark.parametrize("make", [lambda: nn.SGD(0.1, momentum=0.9), nn.Adam])
def test_a_second_fit_goes_on(make):
    X, y = problem()
    once, twice, optimizer = network(), network(), make()
    fit(once, X, y, make(), epochs=4)
    for _ in range(2):
        fit(twice, X, y, optimizer, epochs=2)
    assert bits(once) == bits(twice)
    assert optimizer.iterations == 16


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("units", [5, 300])
@pytest.mark.parametrize("convert", [np.asarray, np.float32, lambda X: np.round(abs(X)).astype(np.uint8),
                                     sparse.csr_array],
                         ids=["float64", "float32", "bytes", "matrix"])
def test_one_epoch_at_a_time(rng, convert, units, shuffle):
    """The zeros of rows that come once are left out batch by batch: with the same bits."""
    X, y = problem(45)
    X = np.hstack([X] * 60)    # more than two blocks
    X = convert(X * (rng.random(X.shape) < 0.3))
    models = [network(nn.Dense(units), nn.Tanh(), dtype="float32").build(X.shape[1]) for _ in range(2)]
    kind = sparse_rows.SparseRows if sparse.issparse(X) else sparse_rows.LazySparseRows
    assert isinstance(preparation.stored_rows(models[0], X, "auto", single_pass=True), kind)
    optimizer, options = nn.Adam(), {"batch_size": 40, "shuffle": shuffle,
                                     "validation_data": (X[:20], y[:20])}
    history = fit(models[0], X, y, nn.Adam(), epochs=3, **options).history
    parts = [fit(models[1], X, y, optimizer, epochs=1, **options).history for _ in range(3)]
    assert bits(models[0]) == bits(models[1])
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert history[name] == [part[name][0] for part in parts]


SAME_BITS = """
import hashlib, json
import numpy as np, nnjit as nn

def digest(dtype, density):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 300)) * (rng.random((600, 300)) < density), rng.integers(5, size=600)
    layers = [nn.Dense(33), nn.Tanh(), nn.Dropout(0.4), nn.Dense(16), nn.ReLU(), nn.Dense(5)]
    model = nn.Sequential(layers, nn.Categorical(), dtype)
    logs = model.fit(X, y, nn.Adam(), 2, 250, (X, y), verbose=0).history
    results = [model.vector, model.logits(X), logs["loss"], logs["val_loss"], logs["accuracy"]]
    return hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in results)).hexdigest()

found = []
for threads in (1, 2, 3, 4):
    nn.set_threads(threads)
    assert nn.get_threads() == threads
    found.append([digest(dtype, density) for dtype in ("float32", "float64") for density in (1, 0.2)])
print(json.dumps(found))
"""


@pytest.mark.compiled
def test_the_same_bits_at_any_number_of_threads(run_python):
    one, two, three, four = run_python(SAME_BITS, NUMBA_NUM_THREADS="4")
    assert one == two == three == four
    assert len(set(one)) == 4


# ---- what may be given -------------------------------------------------------------------------------------

def read_only(a):
    a = a.astype(np.float32)
    a.flags.writeable = False
    return a


INPUTS = {
    "list": np.ndarray.tolist, "read-only": read_only, "Fortran order": np.asfortranarray,
    "strided": lambda a: a.repeat(2, 0)[::2], "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    **{dtype: lambda a, dtype=dtype: a.astype(dtype)
       for dtype in ("uint8", "int64", "float16", "float32", "longdouble")},
}


@pytest.mark.parametrize("convert", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("low", [0, 1])
def test_inputs_of_any_kind_give_the_same_and_stay_as_they_are(rng, convert, low):
    """Small whole numbers, which every type holds: with zeros enough to be left out, and without."""
    X = np.maximum(rng.integers(-4 * (1 - low), 4, size=(12, D)), low).astype(float)
    y, w = np.arange(12.0) % K, rng.integers(1, 5, size=12).astype(float)
    model, reference = network(dtype="float32"), network(dtype="float32")
    given, before = [convert(a) for a in (X, y, w)], [convert(a) for a in (X, y, w)]
    for m, (x, t, weight) in [(model, given), (reference, (X, y, w))]:
        fit(m, x, t, sample_weight=weight, validation_data=(x, t, weight))
    assert bits(model) == bits(reference)
    assert np.array_equal(model.logits(given[0]), reference.logits(X))
    assert model.evaluate(*given) == reference.evaluate(X, y, w)
    for name, gradient in model.gradients(*given, step=1).items():
        assert np.array_equal(gradient, reference.gradients(X, y, w, 1)[name])
    for array, other in zip(given, before):
        assert type(array) is type(other) and np.array_equal(array, other)


@pytest.mark.parametrize("N", [1, 30])
@pytest.mark.parametrize("matrix", [False, True])
def test_zeros_may_be_left_out_or_not(rng, N, matrix):
    X, y = problem(N)
    X *= rng.random(X.shape) < 0.5
    given = sparse.csr_array(X) if matrix else X
    results = []
    for choice in (True, False, "auto"):
        model = network()
        fit(model, given, y, sparse=choice)
        results.append([model.vector, model.logits(given, sparse=choice),
                        model.predict_proba(given, sparse=choice),
                        model.evaluate(given, y, sparse=choice)["loss"]])
        assert np.array_equal(model.predict(given, sparse=choice), model.logits(X).argmax(axis=1))
    for other in results[1:]:
        for result, expected in zip(results[0], other):
            np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("matrix", [False, True])
def test_large_fixed_batches_are_gathered_anew(rng, matrix, monkeypatch):
    """In every epoch, with the result of those packed once; so are blocks that are evaluated."""
    X, y = problem(45)
    X *= rng.random(X.shape) < 0.5
    given, results = sparse.csr_array(X) if matrix else X, []
    for most in (input_batches.CACHED_BATCH_BYTES, 0):
        monkeypatch.setattr(input_batches, "CACHED_BATCH_BYTES", most)
        model = network()
        history = fit(model, given, y, epochs=3, shuffle=False, sparse=True,
                      validation_data=(given[:20], y[:20])).history
        results.append((bits(model), history["loss"], history["val_loss"]))
    assert results[0] == results[1]
    assert np.isclose(results[0][2][-1], model.evaluate(X[:20], y[:20])["loss"], rtol=1e-12)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"])
def test_sparse_matrices_give_the_same_as_arrays(rng, form):
    X, y = problem()
    X *= rng.random(X.shape) < 0.3
    matrix = sparse.coo_array(X).asformat(form)
    model, reference = network(), network()
    fit(model, matrix, y)
    fit(reference, X, y)
    assert bits(model) == bits(reference)
    assert np.array_equal(model.predict(matrix), reference.predict(X))
    assert matrix.format == form and np.array_equal(matrix.toarray(), X)


@pytest.mark.parametrize("convert",
                         [lambda y: naive.one_hot(y, K), lambda y: naive.one_hot(y, K).astype(bool),
                                     lambda y: naive.one_hot(y, K).astype(int).tolist(),
                                     lambda y: y.astype(float)],
                         ids=["one-hot", "bool", "list", "whole floats"])
def test_labels_and_one_hot_rows_give_the_same_bits(convert):
    X, y = problem()
    model, reference = network(), network()
    histories = [fit(m, X, targets).history["loss"] for m, targets in [(model, convert(y)), (reference, y)]]
    assert bits(model) == bits(reference) and histories[0] == histories[1]


def test_large_finite_numbers_are_accepted():
    """Their sum overflows, they don't."""
    x = np.full((2, D), 3e38)
    model = network(nn.Dropout(0), dtype="float32").build(D)
    model.parameters()["1.W"][:] = 0
    assert np.array_equal(model.logits(x), np.zeros((2, K)))


# ---- use ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("N", [1, 30, 2100])
def test_what_a_model_returns_agrees(N):
    X, y = problem(N)
    w = np.linspace(1, 2, N)
    model = network().build(D, seed=3)
    z, p = model.logits(X), model.predict_proba(X)
    assert z.shape == p.shape == (N, K)
    parameters = model.parameters()
    hidden = np.tanh(naive.affine(X, parameters["0.W"], parameters["0.b"]))
    np.testing.assert_allclose(z, naive.affine(hidden, parameters["3.W"], parameters["3.b"]), rtol=1e-10,
                               atol=1e-12)
    np.testing.assert_allclose(p, naive.softmax(z), rtol=1e-12)
    decision = model.predict(X)
    assert decision.dtype == np.int64 and np.array_equal(decision, z.argmax(axis=1))
    loss, accuracy, _ = naive.categorical(z, naive.one_hot(y, K), w)
    assert model.evaluate(X, y, w) == pytest.approx({"loss": loss, "accuracy": accuracy}, rel=1e-10)
    assert model.evaluate(X, y)["accuracy"] == np.mean(decision == y)


def test_parameters_are_live_and_gradients_are_copies():
    X, y = problem()
    model = nn.Sequential([nn.Dense(5), nn.Tanh(), nn.Dense(K, bias=False)], nn.Categorical(),
                          "float64").build(D)
    shapes = {"0.W": (D, 5), "0.b": (5,), "2.W": (5, K)}
    for vectors in (model.parameters(), model.gradients(X, y)):
        assert {name: array.shape for name, array in vectors.items()} == shapes
    before, gradients = bits(model), model.gradients(X, y)
    gradients["0.W"][:] = 7
    assert bits(model) == before and not np.any(model.gradients(X, y)["0.W"] == 7)
    model.parameters()["2.W"][:] = 0
    assert not model.logits(X).any()
    assert all(np.shares_memory(array, model.vector) for array in model.parameters().values())


def test_gradient_descent_by_hand_is_fit():
    X, y = problem()
    model, reference = network(), network().build(D)
    fit(model, X, y, nn.SGD(0.5), shuffle=False, batch_size=len(X))
    for step in range(2):
        gradients = reference.gradients(X, y, step=step)
        for name, array in reference.parameters().items():
            array -= 0.5 * gradients[name]
    for name, array in reference.parameters().items():
        np.testing.assert_allclose(model.parameters()[name], array, rtol=1e-12, atol=1e-15, err_msg=name)


def test_building_again_starts_anew():
    X, y = problem()
    model = network().build(D, seed=1)
    first = bits(model)
    fit(model, X, y)
    assert bits(model) != first
    assert bits(model.build((D,), seed=1)) == first != bits(model.build(D, seed=2))
    trained = network()
    fit(trained, X, y, nn.SGD(1e-300), seed=1)    # the first fit builds with its own seed
    assert np.array_equal(trained.parameters()["0.W"], model.build(D, seed=1).parameters()["0.W"])


def test_initialisation():
    model = nn.Sequential([nn.Dense(200), nn.Dense(100, init=lambda rng, shape: np.full(shape, 3.0))],
                          nn.Categorical(), "float64").build(300)
    parameters = model.parameters()
    W, limit = parameters["0.W"], np.sqrt(6 / 500)
    assert np.abs(W).max() <= limit and np.abs(W).max() > 0.999 * limit
    assert abs(W.mean()) < 0.01 * limit and W.std() == pytest.approx(limit / np.sqrt(3), rel=0.01)
    assert not parameters["0.b"].any() and np.all(parameters["1.W"] == 3)


def test_summary():
    lines = network().build(D).summary().splitlines()
    assert [line.split() for line in lines] == [
        ["layer", "output", "parameters", "multiply-adds", "sees"],
        ["0", "Dense(5)", "(5,)", "25", "20", "all"], ["1", "Tanh()", "(5,)", "0", "0", "all"],
        ["2", "Dropout(0.25)", "(5,)", "0", "0", "all"], ["3", "Dense(3)", "(3,)", "18", "15", "all"],
        ["Categorical()", "43", "35"]]


@pytest.mark.parametrize("name, arguments", [
    ("predict", 1), ("predict_proba", 1), ("logits", 1), ("evaluate", 2), ("gradients", 2), ("parameters", 0),
    ("summary", 0)])
def test_a_model_that_is_not_built(name, arguments):
    with pytest.raises(ValueError, match="not built"):
        getattr(network(), name)(*problem()[:arguments])


def test_a_refused_call_leaves_no_trace():
    X, y = problem()
    narrow = X[:, :2]
    for call in [lambda model: model.build((D, D, D)), lambda model: fit(model, narrow, y + 1, seed=1),
                 lambda model: fit(model, narrow, y, sample_weight=-y),
                 lambda model: fit(model, narrow, y, validation_data=(X, y))]:
        model, reference = network(), network()
        with pytest.raises(ValueError):
            call(model)
        with pytest.raises(ValueError, match="not built"):
            model.parameters()
        for m in (model, reference):
            fit(m, X, y, seed=2)
        assert bits(model) == bits(reference)


# ---- optimizers --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("optimizer, twin, options", [
    (nn.SGD, naive.sgd, {}),
    (nn.SGD, naive.sgd, {"momentum": 0.9}),
    (nn.SGD, naive.sgd, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.2}),
    (nn.Adam, naive.adam, {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
    (nn.AdamW, naive.adam, {"weight_decay": 0.2, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
], ids=["SGD", "momentum", "Nesterov", "Adam", "AdamW"])
def test_optimizers_take_the_steps_of_their_twins(rng, optimizer, twin, options):
    W, gradients = rng.normal(size=9), rng.normal(size=(4, 9))
    expected = twin(W, gradients, 0.1, **options)
    optimizer = optimizer(0.1, **options)
    for g in gradients:
        optimizer.step(W, g)
    assert optimizer.iterations == 4
    np.testing.assert_allclose(W, expected, rtol=1e-12)
    if optimizer.slots:
        with pytest.raises(ValueError,
                           match="got a model of 7 parameters in float64, expected the 9 in float64"):
            optimizer.step(np.zeros(7), np.zeros(7))


@pytest.mark.parametrize("optimizer, expected", [
    (nn.SGD(), "SGD(learning_rate=0.01, momentum=0, nesterov=False, weight_decay=0)"),
    (nn.Adam(), "Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07)"),
    (nn.AdamW(), "AdamW(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, weight_decay=0.004)"),
])
def test_defaults_are_those_of_keras(optimizer, expected):
    assert repr(optimizer) == expected


# ---- what is refused ---------------------------------------------------------------------------------------

def check_refused(exception, call, *args, **kwargs):
    """The exception itself, and one line that says what was got and what is expected."""
    with pytest.raises(exception) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert type(caught.value) is exception
    assert "\n" not in message and "got " in message and "expected " in message, message


X, Y = problem()
SOFT = naive.one_hot(Y, K)


def changed(array, value, place=(1, 2)):
    array = np.array(array, float)
    array[place] = value
    return array


BAD_X = {
    "one row": (ValueError, X[0]), "a number": (ValueError, 3.0), "images": (ValueError, X.reshape(-1, 2, 2)),
    "no rows": (ValueError, X[:0]), "no columns": (ValueError, X[:, :0]), "nothing": (ValueError, []),
    "NaN": (ValueError, changed(X, np.nan)), "infinity": (ValueError, changed(X, np.inf)),
    "both infinities": (ValueError, changed(changed(X, np.inf), -np.inf, (0, 0))),
    "too large for float32": (ValueError, changed(X, 1e300)),
    "ragged": (ValueError, [*X[1:].tolist(), [1.0]]),
    "sparse NaN": (ValueError, sparse.csr_array(changed(np.zeros_like(X), np.nan))),
    "sparse too large": (ValueError, sparse.csr_array(changed(np.zeros_like(X), 1e300))),
    "strings": (TypeError, X.astype(str)), "objects": (TypeError, X.astype(object)),
    "complex": (TypeError, X + 0j), "sparse complex": (TypeError, sparse.csr_array(X + 0j)),
    "None": (TypeError, None), "dict": (TypeError, {0: 1}),
    "dates": (TypeError, np.zeros(X.shape, "M8[s]")),
    "masked": (TypeError, np.ma.masked_less(X, -1)), "nothing masked": (TypeError, np.ma.array(X)),
    "masked rows": (TypeError, list(np.ma.masked_less(X, -1))),
}


@pytest.mark.parametrize("bad", BAD_X)
@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("leave_out", ["auto", True])
def test_bad_inputs(bad, built, epochs, leave_out):
    exception, inputs = BAD_X[bad]
    model = network(dtype="float32")
    before = bits(model.build(D)) if built else None
    check_refused(exception, fit, model, inputs, Y, epochs=epochs, sparse=leave_out)
    if built:
        assert bits(model) == before
        check_refused(exception, model.predict, inputs, sparse=leave_out)
        good = np.zeros_like(X), np.zeros_like(Y)
        check_refused(exception, fit, model, *good, validation_data=(inputs, Y), epochs=epochs,
                      sparse=leave_out)
        assert bits(model) == before


@pytest.mark.parametrize("given", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_numbers_are_looked_at_in_threads(rng, given, dtype, monkeypatch):
    """Each of them; one that is too large for float32 alone is refused there alone."""
    monkeypatch.setattr(checks, "_PARALLEL_NUMBERS", 1)
    for shape in [(7, 3), (1, 2), (1, 1)]:
        X = rng.normal(size=shape).astype(given)
        for count in (1, 2):
            monkeypatch.setattr(threads, "get_threads", lambda count=count: count)
            assert rows.store(X, np.dtype(dtype), sparse=False).dtype == dtype
            for place in np.ndindex(shape):
                for number in (np.nan, np.inf, -np.inf, 1e300):
                    bad = X.copy()
                    with np.errstate(over="ignore"):
                        bad[place] = number
                        refused = not np.isfinite(dtype(bad[place]))
                    if refused:
                        check_refused(ValueError, rows.store, bad, np.dtype(dtype), False)
                    else:
                        rows.store(bad, np.dtype(dtype), False)


@pytest.mark.parametrize("rows", [X[:, :3], np.hstack([X, X]), sparse.csr_array(X[:, :3])],
                         ids=["narrow", "wide", "sparse"])
def test_inputs_of_another_width(rows):
    model = network().build(D)
    for call in (model.predict, model.predict_proba, model.logits, lambda rows: fit(model, rows, Y)):
        check_refused(ValueError, call, rows)


BAD_Y = {
    "short": (ValueError, Y[:-1]), "long": (ValueError, np.append(Y, 0)), "empty": (ValueError, []),
    "a number": (ValueError, 1), "negative": (ValueError, Y - 1), "too many": (ValueError, Y + 1),
    "fractions": (ValueError, changed(Y, 0.5, 3)), "NaN": (ValueError, changed(Y, np.nan, 3)),
    "infinity": (ValueError, changed(Y, np.inf, 3)), "a column": (ValueError, Y[:, None]),
    "narrow rows": (ValueError, SOFT[:, :2]), "three axes": (ValueError, SOFT[:, :, None]),
    "sums": (ValueError, changed(SOFT, 0.9)), "negative rows": (ValueError, SOFT * 2 - 1 / K),
    "NaN in rows": (ValueError, changed(SOFT, np.nan)), "ragged": (ValueError, [*SOFT[1:].tolist(), [1.0]]),
    "None": (TypeError, None), "strings": (TypeError, Y.astype(str)),
    "rows of strings": (TypeError, SOFT.astype(str)), "objects": (TypeError, Y.astype(object)),
    "complex": (TypeError, Y + 0j), "masked": (TypeError, np.ma.masked_equal(Y, 2)),
    "masked distributions": (TypeError, np.ma.array(SOFT)),
}


@pytest.mark.parametrize("bad", BAD_Y)
def test_bad_targets(bad):
    exception, y = BAD_Y[bad]
    model = network().build(D)
    for call in (model.evaluate, model.gradients, lambda X, y: fit(model, X, Y, validation_data=(X, y)),
                 lambda X, y: fit(model, X, y)):
        check_refused(exception, call, X, y)


ONES = np.ones(len(X))
BAD_WEIGHTS = {
    "short": (ValueError, ONES[1:]), "a number": (ValueError, 1.0), "rows": (ValueError, SOFT),
    "negative": (ValueError, changed(ONES, -1, 3)), "NaN": (ValueError, changed(ONES, np.nan, 3)),
    "infinity": (ValueError, changed(ONES, np.inf, 3)), "zeros": (ValueError, 0 * ONES),
    "ragged": (ValueError, [[1.0], *ONES[1:]]),
    "strings": (TypeError, ONES.astype(str)), "objects": (TypeError, ONES.astype(object)),
    "complex": (TypeError, ONES + 0j), "masked": (TypeError, np.ma.array(ONES, mask=Y == 2)),
}


@pytest.mark.parametrize("bad", BAD_WEIGHTS)
def test_bad_weights(bad):
    exception, w = BAD_WEIGHTS[bad]
    model = network(dtype="float32").build(D)
    for call in (model.evaluate, model.gradients, lambda X, y, w: fit(model, X, y, sample_weight=w)):
        check_refused(exception, call, X, Y, w)


@pytest.mark.parametrize("exception, options", [
    *[(ValueError, {name: 0}) for name in ("epochs", "batch_size", "validate_every")],
    *[(ValueError, {name: -1}) for name in ("epochs", "batch_size", "validate_every", "seed")],
    *[(TypeError, {name: value}) for name in ("epochs", "batch_size", "validate_every", "seed")
      for value in (1.0, True, "2", None) if (name, value) != ("batch_size", None)],
    (ValueError, {"seed": 2**70}), (ValueError, {"verbose": 2}), (ValueError, {"verbose": "loud"}),
    (ValueError, {"sparse": "yes"}), (ValueError, {"sparse": None}),
    (TypeError, {"optimizer": "adam"}), (TypeError, {"optimizer": nn.Adam}),
    (TypeError, {"validation_data": X}), (TypeError, {"validation_data": 3}),
    (ValueError, {"validation_data": (X,)}), (ValueError, {"validation_data": (X, Y, ONES, 1)}),
    (TypeError, {"callbacks": print}), (TypeError, {"callbacks": [3]}),
], ids=lambda value: "-".join(value) if isinstance(value, dict) else value.__name__)
def test_bad_options_of_fit(exception, options):
    check_refused(exception, fit, network(), X, Y, **options)


@pytest.mark.parametrize("exception, make", [
    (ValueError, lambda: nn.Dense(0)), (ValueError, lambda: nn.Dense(-3)), (TypeError, lambda: nn.Dense(2.0)),
    (TypeError, lambda: nn.Dense(True)), (TypeError, lambda: nn.Dense("10")),
    (ValueError, lambda: nn.Dense(3, init="he")), (ValueError, lambda: nn.Dense(3, init=np.zeros((4, 3)))),
    *[(ValueError, lambda rate=rate: nn.Dropout(rate)) for rate in (1, 1.5, -0.1, np.nan, np.inf)],
    *[(TypeError, lambda rate=rate: nn.Dropout(rate)) for rate in ("0.5", None, True)],
    *[(ValueError, lambda kind=kind, rate=rate: kind(rate)) for kind in (nn.SGD, nn.Adam, nn.AdamW)
      for rate in (0, -0.1, np.nan, np.inf)],
    *[(TypeError, lambda rate=rate: nn.SGD(rate)) for rate in ("0.1", None, True, 1j)],
    *[(ValueError, lambda options=options: nn.SGD(0.1, **options)) for options in (
        {"momentum": 1}, {"momentum": -0.1}, {"weight_decay": -1}, {"nesterov": True})],
    *[(ValueError, lambda options=options: nn.AdamW(**options)) for options in (
        {"beta_1": 1}, {"beta_2": -0.1}, {"epsilon": 0}, {"weight_decay": np.nan})],
])
def test_bad_settings_of_layers_and_optimizers(exception, make):
    check_refused(exception, make)


TWICE = nn.Dense(D)


@pytest.mark.parametrize("exception, layers, head, dtype", [
    (ValueError, [], nn.Categorical(), "float32"),
    (TypeError, [nn.Dense(3), "tanh"], nn.Categorical(), "float32"),
    (TypeError, nn.Dense(3), nn.Categorical(), "float32"),
    (TypeError, [nn.Dense(3), nn.Tanh], nn.Categorical(), "float32"),
    (ValueError, [TWICE, nn.Tanh(), TWICE], nn.Categorical(), "float32"),
    (TypeError, [nn.Dense(3)], None, "float32"), (TypeError, [nn.Dense(3)], "softmax", "float32"),
    (TypeError, [nn.Dense(3)], nn.Categorical, "float32"),
    (ValueError, [nn.Dense(3)], nn.Categorical(), "float16"),
    (ValueError, [nn.Dense(3)], nn.Categorical(), int), (ValueError, [nn.Dense(3)], nn.Categorical(), "real"),
    (ValueError, [nn.Dense(3)], nn.Categorical(), None),
])
def test_bad_networks(exception, layers, head, dtype):
    check_refused(exception, nn.Sequential, layers, head, dtype)


@pytest.mark.parametrize("exception, shape", [
    (ValueError, 0), (ValueError, (D, D, D)), (ValueError, (-1,)), (ValueError, ()), (TypeError, 4.0),
    (TypeError, True), (TypeError, "4")])
def test_bad_input_shapes(exception, shape):
    check_refused(exception, network().build, shape)


def test_an_init_of_another_shape_is_refused():
    for values in (np.zeros((3, D)), np.zeros(3), 0.5):
        check_refused(ValueError, network(nn.Dense(3, init=lambda rng, shape, values=values: values)).build,
                      D)


def test_one_output_is_no_choice():
    check_refused(ValueError, network(units=1).build, D)


def test_zeros_of_what_is_not_multiplied_cannot_be_left_out():
    check_refused(ValueError, fit, network(nn.Tanh()), X, Y, sparse=True)


def test_bad_steps():
    model = network().build(D)
    check_refused(ValueError, model.gradients, X, Y, step=-1)
    check_refused(TypeError, model.gradients, X, Y, step=0.5)
