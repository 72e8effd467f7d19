"""The benchmark: its arithmetic on made-up contenders, and that every peer does the work it is timed for."""
import argparse
import contextlib
import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numba
import numpy as np
import pytest
from test_ranks import with_ranks

from nnjit import bench, cli, datasets
from nnjit.bench import limits, measure, process, ranks, table, workloads
from nnjit.bench.estimators import EstimatorTask
from nnjit.bench.machine import PEERS
from nnjit.bench.tasks import ImageTask, Task
from nnjit.bench.workloads import Workload

bench_main = importlib.import_module("nnjit.bench.main")
MODULES = {"nnjit": "nnjit", **{peer: peer for peer in PEERS}}


class Fake:
    """A contender that takes the given seconds in turn, and writes down when it is run."""

    def __init__(self, label, seconds, log=None, threads=1, peer=None, **outcome):
        self.label, self.peer, self.threads = label, peer or label, threads
        self.seconds, self.log, self.outcome = list(seconds), [] if log is None else log, outcome
        self.closed = False

    def run(self, seed):
        self.log.append((self.label, seed))
        seconds = self.seconds.pop(0)
        if seconds is None:
            raise process.ContenderError("it broke")
        return {"seconds": seconds, "wall": seconds, **self.outcome}

    def close(self):
        self.closed = True


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(measure, "PAUSE", 0.0)


# ---- the harness -------------------------------------------------------------------------------------------

def test_contenders_take_turns():
    log = []
    a, b = Fake("a", [1, 2, 3], log), Fake("b", [4, 5, 6], log)
    runs, errors = measure.alternate([a, b], 3)
    assert log == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert [run["seconds"] for run in runs[b]] == [4, 5, 6] and errors == {}


def test_a_contender_that_breaks_leaves_the_others():
    a, b = Fake("a", [1, None]), Fake("b", [4, 5, 6])
    runs, errors = measure.alternate([a, b], 3)
    assert list(runs) == [b] and len(runs[b]) == 3
    assert errors == {a: "it broke"}


@pytest.fixture(autouse=True)
def single_runs(monkeypatch):
    """A short work is done once, not again and again for a second."""
    monkeypatch.setattr(process, "LEAST", 0.0)


def test_the_better_number_of_threads_is_kept():
    one, two = Fake("a", [9.0, 2.0], threads=1), Fake("a", [8.0, 3.0], threads=2)
    best, preparation = measure.try_threads([one, two])
    assert best is one and two.closed and not one.closed
    assert preparation == {"first": 9.0, "trials": {"1": 2.0, "2": 3.0}}


def test_a_trial_of_short_runs_takes_their_minimum():
    short = Fake("a", [1.0, 0.3, 0.1, 0.3, 0.3, 0.3])
    long = Fake("a", [1.0, 0.2, 0.2, 0.2, 0.2, 0.2], threads=2)
    best, preparation = measure.try_threads([short, long])
    assert best is short and preparation["trials"] == {"1": 0.1, "2": 0.2}


def _row(label, seconds, first=0.0, **outcome):
    runs = [{"seconds": s, "wall": s, **outcome} for s in seconds]
    return measure.summary(Fake(label, seconds), {"first": first, "trials": {}, "pools": []}, runs)


def test_ratios_are_of_medians_and_compilation_is_apart():
    rows = [_row("torch", [6.0, 100.0, 4.0], 7.5), _row("nnjit", [2.0, 3.0, 1.0], 1.0)]
    measure.compare(rows, {})
    assert [row["median"] for row in rows] == [6.0, 2.0]
    assert [row["min"] for row in rows] == [4.0, 1.0]
    assert [row["ratio"] for row in rows] == [3.0, 1.0]
    assert [row["compile"] for row in rows] == [1.5, 0.0]


def test_without_nnjit_the_fastest_is_the_reference():
    rows = [_row("torch", [6.0]), _row("jax", [3.0])]
    measure.compare(rows, {})
    assert [(row["ratio"], row["reference"]) for row in rows] == [(2.0, False), (1.0, True)]


@pytest.mark.parametrize(("outcome", "same"), [
    ({"loss": 1.05, "accuracy": 0.905}, "yes"), ({"loss": 1.2, "accuracy": 0.9}, "no"),
    ({"loss": 1.0, "accuracy": 0.88}, "no"), ({"accuracy": 0.9}, "yes"), ({}, "unknown"),
    ({"accuracy": np.nan}, "no")])
def test_the_same_work_is_within_the_tolerance(outcome, same):
    rows = [_row("nnjit", [1.0], loss=1.0, accuracy=0.9), _row("torch", [1.0], **outcome)]
    measure.compare(rows, {"loss": 0.1, "accuracy": 0.01})
    assert [row["same_work"] for row in rows] == ["yes", same]
    said = measure.other_work({"workload": "tanh", "contenders": rows}, {"loss": 0.1, "accuracy": 0.01})
    assert bool(said) == (same == "no") and all("tanh, torch: got the " in line for line in said)


def test_the_clock_scales():
    def function(task, clock, seed):
        clock.scale = 1000
        with clock:
            time.sleep(0.001)
        return {"loss": np.float32(seed), "note": "a note"}

    measured = process.measure(function, None, 3)
    assert measured["seconds"] == 1000 * measured["wall"] >= 1.0
    assert measured["loss"] == 3.0 and measured["note"] == "a note"
    json.dumps(measured)


@pytest.mark.parametrize(("seconds", "text"), [(12.345, "12.3 s"), (0.0123, "12.3 ms"), (4.2e-6, "4.2 us")])
def test_times_are_shown_in_their_unit(seconds, text):
    assert table._time(seconds) == text


# ---- the peers ---------------------------------------------------------------------------------------------

def _tiny(dtype="float64", **settings):
    random = np.random.default_rng(5)
    x, x_test = (random.standard_normal((n, 6)).astype(dtype) for n in (24, 16))
    y, y_test = np.arange(24) % 3, np.arange(16) % 3
    return Task(x, y, x_test, y_test, (6, 5, 3), **settings)


def _peer(name):
    pytest.importorskip(MODULES[name], reason=f"{name} is not installed")
    return importlib.import_module(f"nnjit.bench.{name}_peer")


def _softmax_loss(z, y):
    """Return the mean cross-entropy and dL/dz, a row at a time."""
    loss, delta = 0.0, np.zeros_like(z)
    for i, row in enumerate(z):
        p = np.exp(row) / np.exp(row).sum()
        loss -= np.log(p[y[i]]) / len(z)
        delta[i] = (p - np.eye(len(p))[y[i]]) / len(z)
    return loss, delta


def _naive_experiment(task, seed):
    """Return the mean loss of the last epoch's batches, and the test accuracy after it; no dropout."""
    def activate(z):
        return np.tanh(z) if task.activation == "tanh" else np.where(z > 0, z, 0)

    W1, W2 = (W.astype(float) for W in task.weights(seed))
    for _ in range(task.epochs):
        losses = []
        for first in range(0, len(task.x), task.batch):
            x, y = task.x[first:first + task.batch], task.y[first:first + task.batch]
            a = activate(x @ W1)
            loss, delta = _softmax_loss(a @ W2, y)
            losses.append(loss)
            below = (delta @ W2.T) * (1 / np.cosh(x @ W1) ** 2 if task.activation == "tanh" else x @ W1 > 0)
            W2, W1 = W2 - task.learning_rate * a.T @ delta, W1 - task.learning_rate * x.T @ below
    return np.mean(losses), np.mean((activate(task.x_test @ W1) @ W2).argmax(1) == task.y_test)


def _naive_adam(task, seed):
    """Return the loss before the last of ``task.epochs`` steps on all rows, and the accuracy after it."""
    W1, W2 = (W.astype(float) for W in task.weights(seed))
    parameters = [W1, np.zeros(W1.shape[1]), W2, np.zeros(W2.shape[1])]
    m, v = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    for t in range(1, task.epochs + 1):
        W1, b1, W2, b2 = parameters
        z1 = task.x @ W1 + b1
        h = np.where(z1 > 0, z1, 0)
        loss, delta = _softmax_loss(h @ W2 + b2, task.y)
        below = np.where(z1 > 0, delta @ W2.T, 0)
        for i, g in enumerate([task.x.T @ below, below.sum(0), h.T @ delta, delta.sum(0)]):
            m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g * g
            step = m[i] / (1 - 0.9 ** t) / (np.sqrt(v[i] / (1 - 0.999 ** t)) + 1e-8)
            parameters[i] = parameters[i] - task.learning_rate * step
    W1, b1, W2, b2 = parameters
    return loss, np.mean((np.maximum(task.x_test @ W1 + b1, 0) @ W2 + b2).argmax(1) == task.y_test)


@pytest.mark.parametrize(("name", "function", "dtype"), [
    ("numpy", "experiment_literally", "float64"), ("numpy", "experiment", "float64"),
    ("numpy", "experiment", "float32"),
    ("torch", "experiment", "float64"), ("torch", "experiment", "float32"), ("jax", "experiment", "float64"),
    ("jax", "experiment_in_one_scan", "float32"), ("nnjit", "experiment", "float64"),
    ("nnjit", "experiment", "float32")])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_experiment_is_the_naive_one(name, function, dtype, activation):
    if activation == "relu" and name in ("torch", "jax"):
        pytest.skip("takes part in the tanh experiment only")
    task = _tiny(dtype, batch=8, epochs=3, learning_rate=0.5, spans=(0.5, 0.5), activation=activation)
    outcome = getattr(_peer(name), function)(task, process.Clock(), seed=1)
    loss, accuracy = _naive_experiment(task, seed=1)
    rel = 1e-12 if dtype == "float64" and name != "torch" else 1e-5
    assert outcome["loss"] == pytest.approx(loss, rel=rel)
    assert outcome["accuracy"] == pytest.approx(accuracy)


@pytest.mark.parametrize("function", ["epoch", "time_to_accuracy"])
@pytest.mark.parametrize("name", ["sklearn", "torch", "jax", "nnjit"])
def test_adam_is_the_naive_one(name, function):
    task = _tiny("float32", batch=24, epochs=4, learning_rate=0.05, target=2.0)    # a batch of all: no order
    outcome = getattr(_peer(name), function)(task, process.Clock(), seed=2)
    loss, accuracy = _naive_adam(task, seed=2)
    assert outcome["loss"] == pytest.approx(loss, rel=1e-4)
    assert outcome["accuracy"] == pytest.approx(accuracy)


@pytest.mark.parametrize("name", ["sklearn", "torch", "jax", "nnjit"])
def test_the_learning_rate_on_the_way_to_an_accuracy_decays_and_the_target_ends_it(name):
    train = _peer(name).time_to_accuracy
    stopped = _tiny("float32", batch=24, epochs=9, learning_rate=0.05, decay=1e-9, target=2.0)
    one = dataclasses.replace(stopped, epochs=2)
    of_one = train(one, process.Clock(), 0)["loss"]
    assert train(stopped, process.Clock(), 0)["loss"] == pytest.approx(of_one, rel=1e-5)
    outcome = train(dataclasses.replace(stopped, target=0.0), process.Clock(), 0)
    assert outcome["epochs"] == 1


@pytest.mark.parametrize("function", ["predict_one", "predict_all"])
@pytest.mark.parametrize("name", list(MODULES))
def test_prediction_is_the_naive_one(name, function):
    task = _tiny("float32", batch=24)
    first, last = task.weights(0)
    labels = (np.maximum(task.x @ first, 0) @ last).argmax(1)
    assert len(set(labels)) > 1
    clock = process.Clock()
    outcome = getattr(_peer(name), function)(dataclasses.replace(task, y=labels), clock, seed=0)
    assert outcome["accuracy"] == 1.0
    assert clock.scale == (1 / 24 if function == "predict_one" else 1)


@pytest.mark.parametrize("what", ["fit", "predict_one", "predict_all", "partial_fit", pytest.param(
    "search", marks=pytest.mark.compiled)])
def test_estimators_do_the_same(what):
    x, found = np.random.default_rng(0).normal(0, 9, (400, 3)), []
    task = EstimatorTask(x, (x[:, 0] > 0).astype(int), what, {"max_iter": 8})
    for name in "sklearn", "nnjit":
        clock = process.Clock()
        found.append(_peer(name).estimate(task, clock, seed=1))
        assert clock.wall > 0
        assert clock.scale == {"predict_one": 1 / 400, "partial_fit": 1 / 2}.get(what, 1)
    assert found[0] == pytest.approx(found[1], rel=1e-6)


@pytest.mark.parametrize("name", ["sklearn", "nnjit"])
def test_the_text_can_be_learned(name):
    if name == "nnjit" and numba.config.DISABLE_JIT:
        pytest.skip("takes a minute uncompiled")
    task = workloads.text_like("float32", rows=1000, test_rows=200, features=1000, classes=10, words=80)
    assert task.x.nnz <= 1000 * 80 and task.x.dtype == np.float32
    task = dataclasses.replace(task, batch=20, epochs=4, learning_rate=0.01)
    assert _peer(name).epoch(task, process.Clock(), seed=0)["accuracy"] > 0.6    # chance is 0.1


@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "nnjit"])
def test_dropout_is_drawn(name):
    task = _tiny("float64", batch=8, epochs=2, learning_rate=0.5, dropout=0.5, spans=(2.0, 2.0))
    still = dataclasses.replace(task, dropout=0.0)
    peer = _peer(name)
    losses = {peer.experiment(t, process.Clock(), seed=s)["loss"] for t in (task, still) for s in (0, 1)}
    assert len(losses) == 4


@pytest.mark.parametrize("function, settings", [
    ("image_epoch", {"units": (5, 1)}),
    ("image_time_to_accuracy", {"units": (5, 3), "epochs": 2, "cosine": True}),
    ("image_predict", {"units": (3,)}), ("convolve", None), ("convolve_twice", None), ("normalize", None)])
def test_images_give_every_contender_the_same(function, settings):
    """A batch has all the images, so that their order is none of the result's business."""
    torch = _peer("torch")
    if function == "convolve":
        task = workloads._convolution("float64", channels=4, images=2, side=5)
    elif function == "convolve_twice":
        task = workloads._two_convolutions("float64", channels=2, filters=4, side=5, images=2)
    elif function == "normalize":
        task = workloads._normalization("float64", "BatchNormalization", (6, 5, 5, 4))
    else:
        random = np.random.default_rng(2)
        x, y = random.integers(256, size=(12, 8, 8, 1), dtype=np.uint8), random.integers(2, size=12)
        task = ImageTask(x, y, x[:5], y[:5], filters=(4, 4), batch=12, learning_rate=0.01, dtype="float64",
                         **settings)
    outcomes = [getattr(peer, name)(task, process.Clock(), seed=0)
                for peer, name in [(_peer("nnjit"), function), (torch, function),
                                   (torch, function + "_channels_last")]]
    for outcome in outcomes[1:]:
        assert outcome == pytest.approx(outcomes[0], rel=1e-5)


@pytest.mark.compiled    # as Python, its epochs take minutes
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_recurrent_layers_give_every_contender_the_same(kind, ragged):
    task = workloads._recurrent("float64", kind, N=5, T=7, D=3, H=4, ragged=ragged)
    found = _peer("nnjit").recur(task, process.Clock(), seed=0)
    assert 0 < found["loss"] < np.inf
    for name, function in (("torch", "recur"), ("torch", "recur_packed"), ("jax", "recur")):
        peer = _peer(name)
        assert getattr(peer, function)(task, process.Clock(), seed=0) == pytest.approx(found, rel=1e-10)


# ---- the command -------------------------------------------------------------------------------------------

TINY_WORKLOAD = Workload("a tiny work", lambda dtype: _tiny(dtype, batch=8, epochs=2),
                 {"nnjit": ("nnjit", "experiment"), "numpy": ("numpy", "experiment"),
                  "torch": ("torch", "experiment")},
                 {"loss": 0.1}, ("float64",))


def _arguments(*words):
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return parser.parse_args(words)


class InProcess:
    """A `Contender` without its process."""

    def __init__(self, work, dtype, label, threads, after_blas=False):
        self.label, self.threads = label, threads
        self.peer, function = workloads.WORKLOADS[work].contenders[label]
        module = importlib.import_module(f"nnjit.bench.{self.peer}_peer")
        self.function, self.task = getattr(module, function), workloads.WORKLOADS[work].task(dtype)

    def run(self, seed):
        return {**process.measure(self.function, self.task, seed),
                "operations": self.task and self.task.experiment()}

    def pools(self):
        return ["a pool"]

    def close(self):
        pass


def test_busy_processes_run_for_as_long_as_it_says(started):
    with pytest.raises(KeyboardInterrupt), process.busy(2):
        assert [one.poll() for one in started] == [None, None]
        raise KeyboardInterrupt
    assert all(one.poll() is not None for one in started)
    with process.busy(0):
        assert len(started) == 2


def test_what_comes_before_a_measurement_is_not_measured():
    def function(task, clock, seed):
        with clock:
            pass
        return {}

    calls = []
    found = process.measure(function, None, 0, lambda: calls.append(time.sleep(0.3)))
    assert calls and found["wall"] < 0.1


@pytest.mark.parametrize("options, beside, after", [([], 0, False), (["--beside", "2"], 2, False),
                                                    (["--beside", "1", "--after-blas"], 1, True)])
def test_beside_others_and_after_blas(tiny_workload, tmp_path, monkeypatch, capsys, options, beside, after):
    made, busy = [], []
    monkeypatch.setattr(measure, "Contender", lambda *args: made.append(args[4]) or InProcess(*args))
    monkeypatch.setattr(measure, "busy", lambda n: busy.append(n) or contextlib.nullcontext())
    line = ["bench", "--work", "tiny", "--against", "none", "--repeat", "1", "--out-dir", str(tmp_path)]
    assert cli.main([*line, *options]) == 0
    found = json.loads((tmp_path / "figures.json").read_text())
    assert (found["beside"], found["after_blas"]) == (beside, after)
    assert set(busy) == {beside} and set(made) == {after}
    printed = capsys.readouterr().out
    assert ("keeps a core busy" in printed, "right before each" in printed) == (beside > 0, after)


@pytest.fixture
def tiny_workload(monkeypatch):
    monkeypatch.setitem(workloads.WORKLOADS, "tiny", TINY_WORKLOAD)
    monkeypatch.setattr(measure, "Contender", InProcess)
    for name, value in {"SIZE": 64, "BYTES": 2**16, "RUNS": 1}.items():
        monkeypatch.setattr(limits, name, value)


def test_tables_and_json(tiny_workload, tmp_path, capsys):
    assert bench.run(_arguments("--work", "tiny", "--against", "numpy", "--repeat", "3", "--out-dir",
                                str(tmp_path))) == 0
    report = json.loads((tmp_path / "figures.json").read_text())
    assert set(report["limits"]) == {"float32", "float64", "memory"}
    assert report["repeat"] == 3 and {"cpu", "cores", "versions", "BLAS"} <= set(report["environment"])
    (result,) = report["workloads"]
    assert (result["workload"], result["dtype"], result["failed"]) == ("tiny", "float64", {})
    assert [row["contender"] for row in result["contenders"]] == ["nnjit", "numpy"]
    for row in result["contenders"]:
        assert set(row) == {"contender", "peer", "threads", "median", "min", "seconds", "compile", "trials",
                            "pools", "loss", "accuracy", "epochs", "operations", "of_peak", "note", "ratio",
                            "reference", "same_work"}
        task = workloads.WORKLOADS["tiny"].task("float64")
        assert row["operations"] == Task.experiment(task) and 0 < row["of_peak"] < 1
        assert len(row["seconds"]) == 3 and row["same_work"] == "yes"
        assert min(row["seconds"]) == row["min"] <= row["median"]
    out = capsys.readouterr().out
    if importlib.util.find_spec("matplotlib"):
        assert (tmp_path / "speed.png").stat().st_size > 10_000
    assert "measured: the seconds of a workload" in out
    assert "a tiny work" in out and "numpy" in out and "same work" in out
    assert "torch" not in out.split("a tiny work")[1]


def test_scaling_is_drawn(tiny_workload, monkeypatch, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    points = [("rows", 10), ("rows", 20)]
    monkeypatch.setattr(bench_main, "_points", lambda: points)
    for point in points:
        monkeypatch.setitem(workloads.WORKLOADS, workloads.scale(*point), TINY_WORKLOAD)
    assert bench.run(_arguments("--scaling", "--against", "numpy", "--repeat", "1", "--out-dir",
                                str(tmp_path))) == 0
    assert (tmp_path / "scaling.png").stat().st_size > 10_000
    assert f"saved    figures.json, scaling.png in {tmp_path}\n" in capsys.readouterr().out


def test_without_options_it_is_the_books_experiments_against_numpy():
    args = _arguments()
    assert (args.work, args.against) == (["tanh", "relu"], ["numpy"])
    assert _arguments("--against", "all").against == list(PEERS)
    for name, iterations, scale in [("tanh", 100, 3), ("relu", 100, 1)]:
        work = workloads.WORKLOADS[name]
        task = work.task("float64")
        assert list(work.contenders) == ["nnjit", "numpy", "numpy, literal loop"] and not work.needs
        assert (len(task.x), len(task.x_test), task.epochs, task.scale) == (1000, 10_000, iterations, scale)
        assert (task.activation, task.learning_rate) == (name, {"tanh": 0.02, "relu": 0.2}[name])


def test_workloads_without_their_data_are_one_line(tiny_workload, monkeypatch, tmp_path, capsys):
    def absent():
        raise datasets.NotFoundError("MNIST was not found in any of these places:\n    here\n    there")

    monkeypatch.setattr(datasets, "load_mnist", absent)
    monkeypatch.setattr(workloads, "_missing", workloads._missing.__wrapped__)
    without_data = dataclasses.replace(TINY_WORKLOAD, needs=("load_mnist",))
    monkeypatch.setitem(workloads.WORKLOADS, "tiny", without_data)
    assert bench.run(_arguments("--work", "tiny", "--out-dir", str(tmp_path))) == 0
    out = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [] and "nothing was measured" in out    # a folder that is given stays
    assert "\ntiny is left out: MNIST was not found; `nnjit train --data mnist` says where it is " in out


def test_the_workloads_of_scaling(monkeypatch):
    """Each has the value that it is named for, the density as the fraction of entries that are not 0."""
    for quantity, value, found in [
            ("width", 64, lambda t: t.sizes[1]), ("batch", 20, lambda t: t.batch),
            ("rows", 1000, lambda t: len(t.x)), ("channels", 4, lambda t: t.W.shape[3]),
            ("side", 16, lambda t: t.x.shape[1]), ("density", 0.1, lambda t: round((t.x != 0).mean(), 2))]:
        assert found(workloads.find(workloads.scale(quantity, value)).task("float32")) == value


def test_the_operations_of_a_workload():
    """A weight takes 2 a row for the outputs, 2 for its gradient, and in layer 2 also 2 for the inputs'."""
    task = dataclasses.replace(_tiny(), sizes=(6, 1, 4), epochs=2)
    assert task.prediction() == 20 and task.epoch() == 24 * (20 + 20 + 8)
    assert task.experiment() == 2 * (24 * 48 + 16 * 20) and task.predict_all() == 24 * 20


def test_a_missing_peer_is_left_out_with_a_line(tiny_workload, monkeypatch, capsys, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    assert bench.run(_arguments("--work", "tiny", "--against", "torch", "--repeat", "1", "--out-dir",
                                str(tmp_path))) == 0
    out = capsys.readouterr().out
    assert "torch is left out: not installed (pip install torch)\n" in out
    assert "\nnnjit  " in out and "\ntorch  " not in out


def test_a_peer_that_does_other_work_fails_the_run(tiny_workload, monkeypatch, capsys, tmp_path):
    from nnjit.bench import numpy_peer
    monkeypatch.setattr(numpy_peer, "experiment",
                        lambda task, clock, seed: clock.__enter__().__exit__() or {"loss": 9.0})
    assert bench.run(_arguments("--work", "tiny", "--against", "numpy", "--repeat", "1", "--out-dir",
                                str(tmp_path))) == 1
    assert re.search(r"\nnumpy  .*  no\n", capsys.readouterr().out)


@pytest.mark.parametrize("words", [
    ("--work", "nothing"), ("--against", "numpy,tensorflow"), ("--dtype", "float16"), ("--threads", "0"),
    ("--repeat", "-1"), ("--repeat", "x")])
def test_bad_options_exit_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        _arguments(*words)
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_the_works_are_listed(capsys):
    assert bench.run(_arguments("--list")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(workloads.WORKLOADS)


@pytest.mark.parametrize(("work", "label"), [
    (name, label) for name, work in workloads.WORKLOADS.items() for label in work.contenders])
def test_every_contender_of_every_workload_is_written(work, label):
    peer, function = workloads.WORKLOADS[work].contenders[label]
    assert callable(getattr(_peer(peer), function))


def test_the_speed_of_ranks_is_that_of_one():
    rows = [{"network": "wide", "ranks": n, "threads": 2 // n, "step": step, "exchange": 0.001 * (n - 1)}
            for n, step in ((1, 0.006), (2, 0.004))]
    one, two = ranks.table(rows).splitlines()[1:]
    assert one.split() == "wide 1 2 6.00 ms 0.00 ms 1.00".split()
    assert two.split() == "wide 2 1 4.00 ms 1.00 ms 1.50".split()


@with_ranks
@pytest.mark.compiled
@pytest.mark.parametrize("name", ranks.NETWORKS)
def test_a_rank_measures_its_steps_and_exchanges(name):
    program = ("import json, sys; from nnjit.bench import ranks; ranks._ROWS = 300; "
               "print(json.dumps(ranks.work(sys.argv[1])))")
    done = subprocess.run([sys.executable, "-c", program, name], check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)
    assert found["step"] > found["exchange"] > 0
    assert found["parameters"] == ranks.network(name)[0].build(
        (784,) if name == "wide" else (28, 28, 1)).vector.size


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
def test_a_rank_that_fails_is_one_line(tmp_path):
    (failing := tmp_path / "mpiexec").write_text("#!/bin/sh\necho no such network >&2\nexit 3\n")
    failing.chmod(0o755)
    with pytest.raises(OSError, match="^--ranks: 2 ranks ended with 3: no such network$"):
        ranks._run(str(failing), 2, "wide")


def test_a_contender_in_its_own_process_reports_its_failure(tmp_path, monkeypatch):
    monkeypatch.setenv("NNJIT_DATA", str(tmp_path))
    monkeypatch.setitem(workloads.WORKLOADS, "tiny", dataclasses.replace(TINY_WORKLOAD, task=None))
    # The other process does not know the workload.
    contender = process.Contender("tiny", "float64", "numpy", threads=1)
    try:
        with pytest.raises(process.ContenderError, match="^KeyError: 'tiny'$"):
            contender.run(seed=0)
        pools = contender.pools()
        assert any("openblas" in pool and "(1)" in pool for pool in pools) or not pools
    finally:
        contender.close()
    with pytest.raises(process.ContenderError, match="the process ended with code"):
        contender.run(seed=0)


def test_the_script_ends_2_on_a_bad_option():
    script = Path(__file__).parents[1] / "scripts" / "bench.py"
    ended = subprocess.run([sys.executable, script, "--work", "nothing"], check=False, capture_output=True,
                           text=True)
    assert ended.returncode == 2 and "invalid choice: 'nothing'" in ended.stderr
