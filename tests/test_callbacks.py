"""Callbacks: when they are called, what they decide, and what a training is after one that raises."""
import csv
import math

import numpy as np
import pytest

import nnjit as nn
from nnjit import callbacks
from nnjit.training import progress


def data(N=60, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 4)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] > 0).astype(int)


def model(seed=0):
    return nn.Sequential([nn.Dense(6), nn.Tanh(), nn.Dense(2)], nn.Categorical()).build(4, seed)


def fit(*given, epochs=5, network=None, **options):
    X, y = data()
    network = network or model()
    options = {"batch_size": 20, "validation_split": 0.25, "verbose": 0, **options}
    network.fit(X, y, options.pop("optimizer", nn.SGD(0.1)), epochs, callbacks=list(given), **options)
    return network


class Feed(callbacks.Callback):
    """Gives those after it other figures than were measured."""

    def __init__(self, **figures):
        self.figures = figures

    def on_epoch_end(self, state, logs):
        for name, values in self.figures.items():
            logs[name] = values[state.epoch - state.began]


# ---- when they are called ----------------------------------------------------------------------------------

class Spy(callbacks.Callback):
    def __init__(self):
        self.calls = []

    def on_train_begin(self, state, logs):
        self.calls.append(("train begin", state.epoch, state.steps, dict(logs)))

    def on_train_end(self, state, logs):
        self.calls.append(("train end", state.epoch, state.steps, dict(logs)))

    def on_epoch_begin(self, state, logs):
        self.calls.append(("epoch begin", state.epoch, state.steps, dict(logs)))

    def on_epoch_end(self, state, logs):
        self.calls.append(("epoch end", state.epoch, state.steps, dict(logs)))

    def on_batch_end(self, state, logs):
        self.calls.append(("batch end", state.epoch, state.steps, dict(logs)))


def test_the_moments_of_a_training():
    spy = Spy()
    network = fit(spy, epochs=2)
    assert [call[:3] for call in spy.calls] == [
        ("train begin", 0, 0),
        ("epoch begin", 0, 0), *[("batch end", 0, step) for step in (1, 2, 3)], ("epoch end", 0, 3),
        ("epoch begin", 1, 3), *[("batch end", 1, step) for step in (4, 5, 6)], ("epoch end", 1, 6),
        ("train end", 2, 6)]
    for moment, _, _, logs in spy.calls:
        if "begin" in moment:
            assert logs == {}
        elif moment == "batch end":
            assert logs.keys() == {"loss", "accuracy"}
        else:
            assert logs.keys() == {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"}
    assert [logs["loss"] for moment, _, _, logs in spy.calls if moment == "epoch end"] == \
        network.history.history["loss"]


def test_the_logs_of_the_batches_are_those_of_the_epoch():
    spy = Spy()
    fit(spy, epochs=1)
    batches = [logs for moment, _, _, logs in spy.calls if moment == "batch end"]    # of 20, 20 and 5 rows
    whole, = [logs for moment, _, _, logs in spy.calls if moment == "epoch end"]
    for name in ("loss", "accuracy"):
        assert np.average([logs[name] for logs in batches], weights=[20, 20, 5]) == pytest.approx(whole[name])


def test_a_batch_callback_is_called_only_if_there_is_one(monkeypatch):
    monkeypatch.setattr(nn.training.loop, "_batch_logs", lambda *given: pytest.fail("nobody asks for them"))
    fit(callbacks.EarlyStopping(), callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None))


def test_functions_are_called_as_ever():
    seen = []
    network = fit(lambda *given: seen.append(given) or len(seen) == 3)
    assert [(given[0] is network, given[1]) for given in seen] == [(True, 0), (True, 1), (True, 2)]
    assert network.history.epochs == [0, 1, 2]


def test_functions_by_moment():
    seen = []
    fit(callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(("begin", epoch)),
        on_epoch_end=lambda epoch, logs: seen.append(("end", epoch, logs["val_loss"])),
        on_train_begin=lambda logs: seen.append("train begin"),
        on_train_end=lambda logs: seen.append("train end"),
        on_batch_end=lambda batch, logs: seen.append((batch, logs["loss"]))), epochs=1)
    assert [one if isinstance(one, str) else one[0] for one in seen] == [
        "train begin", "begin", 1, 2, 3, "end", "train end"]


def test_callbacks_may_train_on_another_model_and_predict():
    X, y = data()

    def inner(network, epoch, logs):
        model().fit(X, y, nn.Adam(0.01), verbose=0)
        return bool(np.isnan(network.predict_proba(X)).any())

    assert len(fit(inner, epochs=3).history.epochs) == 3


def test_a_callback_that_raises_leaves_a_model_that_trains_on():
    def fails(network, epoch, logs):
        if epoch == 1:
            raise RuntimeError("mine")

    network, plain = model(), model()
    optimizer, other = nn.Adam(0.01), nn.Adam(0.01)
    with pytest.raises(RuntimeError, match="mine"):
        fit(fails, network=network, optimizer=optimizer)
    assert network.history.epochs == [0, 1]
    fit(network=plain, optimizer=other, epochs=2)
    assert (network.vector == plain.vector).all()
    fit(network=network, optimizer=optimizer, epochs=3, initial_epoch=2)
    fit(network=plain, optimizer=other, epochs=3, initial_epoch=2)
    assert (network.vector == plain.vector).all()


# ---- early stopping ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("values, options, stopped, best", [
    ([5, 4, 3, 3, 3, 3], {"patience": 2}, 4, 2),
    ([5, 4, 3, 3, 3, 3], {"patience": 0}, 3, 2),
    ([5, 4.9, 4.8, 4.7, 4, 4], {"patience": 2, "min_delta": 0.5}, 2, 0),
    ([1, 2, 3, 2, 2, 2], {"mode": "max", "patience": 1}, 3, 2),
    ([math.nan, 2, 1, math.nan, 3, 0], {"patience": 2}, 4, 2),
    ([5, 4, 3, 2, 1, 0], {"patience": 1}, None, 5),
])
def test_it_stops_where_nothing_improves(values, options, stopped, best):
    early = callbacks.EarlyStopping("val_loss", **options)
    network = fit(Feed(val_loss=values), early, epochs=6)
    assert (early.stopped_epoch, early.best_epoch) == (stopped, best)
    assert network.history.epochs == list(range(6 if stopped is None else stopped + 1))


@pytest.mark.parametrize("monitor, more", [
    ("val_loss", False), ("loss", False), ("val_accuracy", True), ("accuracy", True)])
def test_which_figures_are_better_when_they_are_more(monitor, more):
    assert callbacks.EarlyStopping(monitor).maximises() is more
    assert callbacks.EarlyStopping(monitor, mode="min").maximises() is False
    assert callbacks.EarlyStopping(monitor, mode="max").maximises() is True


def test_the_best_weights_come_back():
    kept = []
    early = callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    values = [3.0, 1.0, 2.0, 2.0, 2.0]
    network = fit(Feed(val_loss=values), lambda network, epoch, logs: kept.append(network.vector.copy()),
                  early)
    assert len(kept) == 4 and (network.vector == kept[1]).all() and (network.vector != kept[3]).any()
    last = fit(Feed(val_loss=values), callbacks.EarlyStopping(patience=2))
    assert (last.vector == kept[3]).all()


def test_epochs_without_a_validation_are_passed_over():
    early = callbacks.EarlyStopping(patience=1)
    network = fit(Feed(), early, epochs=6, validate_every=2, optimizer=nn.SGD(1e-9))
    assert set(network.history.validated) <= set(network.history.epochs)


def test_a_second_training_begins_anew():
    early = callbacks.EarlyStopping(patience=1)
    assert len(fit(Feed(val_loss=[1, 2, 3, 4, 5]), early).history.epochs) == 2
    assert len(fit(Feed(val_loss=[9, 8, 7, 9, 9]), early).history.epochs) == 4


# ---- learning rates ----------------------------------------------------------------------------------------

def test_the_rate_goes_down_on_a_plateau():
    rates = []
    reduce = callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=2, cooldown=1, min_lr=0.02)
    fit(Feed(loss=[5, 4, 4, 4, 4, 4, 4, 4, 4, 4]), reduce, lambda network, epoch, logs: rates.append(
        optimizer.learning_rate), epochs=10, optimizer=(optimizer := nn.SGD(0.1)))
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.02, 0.02, 0.02])


def test_by_default_a_plateau_takes_ten_epochs():
    """Of figures that improve by less than 0.0001; the rate becomes a tenth."""
    rates, figures = [], 1 - 1e-6 * np.arange(13)
    fit(Feed(val_loss=figures), callbacks.ReduceLROnPlateau(), lambda network, epoch, logs: rates.append(
        optimizer.learning_rate), epochs=13, optimizer=(optimizer := nn.SGD(0.1)))
    np.testing.assert_allclose(rates, 10 * [0.1] + 3 * [0.01])


def test_the_rate_follows_a_schedule():
    optimizer, given = nn.SGD(0.1), []
    fit(callbacks.LearningRateScheduler(lambda epoch, rate: given.append((epoch, rate)) or rate / 2),
        epochs=3, optimizer=optimizer)
    assert given == [(0, 0.1), (1, 0.05), (2, 0.025)] and optimizer.learning_rate == 0.0125


# ---- files -------------------------------------------------------------------------------------------------

def test_a_log_in_csv(tmp_path):
    path = tmp_path / "log.csv"
    network = fit(callbacks.CSVLogger(path), epochs=3, validate_every=2)
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    log = network.history.history
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert [float(row["loss"]) for row in rows] == log["loss"]
    assert [row["val_loss"] for row in rows] == [str(log["val_loss"][0]), "NA", str(log["val_loss"][1])]
    fit(callbacks.CSVLogger(path, append=True), epochs=2)
    assert len(path.read_text().splitlines()) == 1 + 3 + 2
    fit(callbacks.CSVLogger(path, separator=";"), epochs=1)
    assert [len(line.split(";")) for line in path.read_text().splitlines()] == [6, 6]


def test_checkpoints(tmp_path):
    pattern = tmp_path / "m-{epoch:02d}-{val_loss:.1f}.npz"
    best = callbacks.ModelCheckpoint(tmp_path / "best.npz", save_best_only=True)
    kept = []
    network = fit(Feed(val_loss=[3.0, 1.0, 2.0]), callbacks.ModelCheckpoint(pattern), best,
                  lambda network, epoch, logs: kept.append(network.vector.copy()), epochs=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.npz", "m-01-3.0.npz", "m-02-1.0.npz",
                                                                "m-03-2.0.npz"]
    assert (nn.load(tmp_path / "best.npz").vector == kept[1]).all()
    assert (nn.load(tmp_path / "m-03-2.0.npz").vector == network.vector).all()


def test_a_training_that_diverges_is_ended_at_once():
    losses = []
    record = callbacks.LambdaCallback(on_batch_end=lambda batch, logs: losses.append(logs["loss"]))
    with pytest.warns(RuntimeWarning, match="not finite"):
        fit(record, callbacks.TerminateOnNaN(), optimizer=nn.SGD(1e38), epochs=50, validation_split=0)
    assert len(losses) < 150 and np.isfinite(losses[:-1]).all() and not np.isfinite(losses[-1])


# ---- mistakes ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("make, error, message", [
    (lambda: callbacks.EarlyStopping("val_los"), ValueError,
     "monitor: got 'val_los', expected one of loss, accuracy, val_loss, val_accuracy"),
    (lambda: callbacks.ReduceLROnPlateau("mae"), ValueError, "monitor: got 'mae', expected one of"),
    (lambda: callbacks.ModelCheckpoint("m-{mae:.2f}.npz"), ValueError, "filepath: got .*expected a path"),
    (lambda: callbacks.EarlyStopping(patience=-1), ValueError, "patience: got -1"),
    (lambda: callbacks.EarlyStopping(patience=1.5), TypeError, "patience: got 1.5"),
    (lambda: callbacks.EarlyStopping(mode="up"), ValueError, "mode: got 'up', expected 'auto', 'min' or"),
    (lambda: callbacks.EarlyStopping(monitor=3), TypeError, "monitor: got 3, expected the name"),
    (lambda: callbacks.ReduceLROnPlateau(factor=1.0), ValueError, "factor: got 1.0, expected a number bet"),
    (lambda: callbacks.LearningRateScheduler(0.1), TypeError, "schedule: got 0.1, expected a function"),
    (lambda: callbacks.CSVLogger("l.csv", separator=", "), ValueError, "separator: got ', ', expected one"),
    (lambda: callbacks.LambdaCallback(on_epoch_end=1), TypeError, "LambdaCallback on_epoch_end: got 1"),
    (lambda: callbacks.EarlyStopping, TypeError, "callbacks: got .*EarlyStopping.* in the list, expected"),
    (lambda: "EarlyStopping", TypeError, "callbacks: got 'EarlyStopping' in the list"),
])
def test_mistakes_are_answered_before_training(make, error, message):
    network = model()
    before = network.vector.copy()
    with pytest.raises(error, match=message):
        fit(make(), network=network)
    assert (network.vector == before).all()


def test_a_figure_of_a_validation_that_there_is_not():
    with pytest.raises(ValueError, match="expected one of loss, accuracy; give validation_data or"):
        fit(callbacks.EarlyStopping(), validation_split=0)


def test_a_rate_that_is_a_schedule_is_not_set():
    scheduler = callbacks.LearningRateScheduler(lambda epoch, rate: rate)
    for callback in (callbacks.ReduceLROnPlateau(), scheduler):
        with pytest.raises(TypeError, match="got the learning rate .*, expected a number, which it can set"):
            fit(callback, optimizer=nn.SGD(nn.schedules.cosine(0.1, 100)))


def test_one_callback_twice():
    early = callbacks.EarlyStopping()
    with pytest.raises(ValueError, match="got the same one twice"):
        fit(early, early)


# ---- validation_split, initial_epoch -----------------------------------------------------------------------

@pytest.mark.parametrize("convert", [np.asarray, __import__("scipy.sparse").sparse.csr_matrix, list])
def test_the_last_rows_validate(convert):
    X, y = data()
    w = np.linspace(1, 2, 60)
    split, given = model(), model()
    split.fit(convert(X), list(y), nn.Adam(0.01), 3, validation_split=0.25, sample_weight=w, verbose=0)
    given.fit(convert(X[:45]), y[:45], nn.Adam(0.01), 3, validation_data=(convert(X[45:]), y[45:], w[45:]),
              sample_weight=w[:45], verbose=0)
    assert (split.vector == given.vector).all()
    for name in ("loss", "val_loss", "val_accuracy"):
        assert split.history.history[name] == given.history.history[name]


def test_the_last_rows_of_several_targets_validate():
    X, y = data()
    targets = {"side": y, "sum": X.sum(axis=1)}

    def network():
        return nn.Sequential([nn.Dense(3)], nn.Heads(side=nn.Categorical(), sum=nn.Gaussian()))

    split, given = network(), network()
    split.fit(X, targets, nn.SGD(0.1), epochs=2, validation_split=0.5, verbose=0)
    first, last = ({name: values[part] for name, values in targets.items()}
                   for part in (slice(0, 30), slice(30, 60)))
    given.fit(X[:30], first, nn.SGD(0.1), 2, validation_data=(X[30:], last), verbose=0)
    assert (split.vector == given.vector).all()
    assert split.history.history["val_loss"] == given.history.history["val_loss"]


@pytest.mark.parametrize("options, error, message", [
    ({"validation_split": 1.0}, ValueError, "validation_split: got 1, expected a fraction from 0 to below"),
    ({"validation_split": -0.1}, ValueError, "validation_split: got -0.1, expected"),
    ({"validation_split": 0.99}, ValueError, "validation_split: got 0.99 of 60 rows, expected at least one"),
    ({"validation_split": "a"}, TypeError, "validation_split: got 'a'"),
    ({"validation_split": 0.5, "validation_data": data()}, ValueError, "and validation_data, expected one"),
    ({"initial_epoch": 5}, ValueError, "initial_epoch: got 5, expected less than the 5 epochs"),
    ({"initial_epoch": -1}, ValueError, "initial_epoch: got -1"),
])
def test_mistakes_of_the_split_and_of_the_first_epoch(options, error, message):
    with pytest.raises(error, match=message):
        fit(**options)


def test_two_halves_of_a_training_are_the_whole():
    whole, halves, optimizer = model(), model(), nn.Adam(0.01)
    fit(network=whole, optimizer=nn.Adam(0.01), epochs=4)
    fit(network=halves, optimizer=optimizer, epochs=2)
    fit(network=halves, optimizer=optimizer, epochs=4, initial_epoch=2)
    assert halves.history.epochs == [2, 3]
    assert (whole.vector == halves.vector).all()


# ---- progress ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("count, words", [(0, "0 kernels"), (1, "1 kernel"), (2, "2 kernels")])
def test_how_many_kernels_were_compiled(count, words):
    with progress.CompilationBar() as bar:
        for _ in range(count):
            bar.add()
    assert str(bar).startswith(f"compiled {words} in ")
