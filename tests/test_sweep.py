"""Many trainings: the grid, files that are gone on from, processes that die, clusters, and the command."""
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from head_cases import check_refused

import nnjit as nn
from nnjit import cli
from nnjit.cli.results import without
from nnjit.inputs.checks import DataError
from nnjit.sweep import settings_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:joblib")


def parabola(seed, x, y=0.0):
    """Return a number that is least at x = 2."""
    return {"loss": (x - 2)**2 + y + 0.01 * seed}


def failing(seed, x):
    if x == 2:
        raise ValueError("two\nis too many")
    return {"accuracy": x / 10}


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# ---- the grid ----------------------------------------------------------------------------------------------

def test_settings():
    assert settings_of({"a": [1, 2], "b": ("x",)}) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]
    one, = settings_of([{"a": np.int64(3)}])
    assert one == {"a": 3} and type(one["a"]) is int
    assert settings_of({"a": np.array([1.5])}) == [{"a": 1.5}]
    for wrong in ({"a": 1}, {"a": "abc"}, {"a": []}, 3, [1]):
        check_refused(TypeError, "grid: got ", nn.sweep, parabola, wrong)
    check_refused(TypeError, "function: got 3", nn.sweep, 3, {"x": [1]})
    check_refused(ValueError, "jobs: got 0", nn.sweep, parabola, {"x": [1]}, jobs=0)


def test_the_table_is_best_first():
    found = nn.sweep(parabola, {"x": [0, 1, 2, 5]}, seeds=3)
    assert [row["setting"]["x"] for row in found.rows()] == [2, 1, 0, 5] and found.best() == {"x": 2}
    mean, sd = found.rows()[0]["loss"]
    assert mean == pytest.approx(0.01) and sd == pytest.approx(0.01) and found.rows()[0]["runs"] == 3
    lines = str(found).splitlines()
    assert lines[0].split() == ["x", "runs", "loss"] and lines[1].split() == ["2", "3", "0.01", "±", "0.01"]
    assert found._repr_html_().count("<tr>") == 5 and repr(found) == str(found)
    assert nn.sweep(failing, {"x": [1, 3]}).best() == {"x": 3}    # of accuracies more is better
    check_refused(ValueError, "metric: got 'f1', expected one of loss", nn.sweep, parabola, {"x": [1]},
                  metric="f1")


def test_what_a_function_may_return():
    def trained(seed, units):
        model = nn.Sequential([nn.Dense(units), nn.Dense(2)], nn.Categorical())
        return model.fit(np.eye(4), [0, 1, 0, 1], nn.SGD(0.1), 2, seed=seed, verbose=0)
    found = nn.sweep(trained, {"units": [2, 3]}, seeds=2)
    assert found.metric == "accuracy" and not found.failed
    assert nn.sweep(lambda seed: 3.0, [{}]).runs[0]["results"] == {"value": 3.0}
    for wrong in ("text", {"a": "text"}, None):
        run, = nn.sweep(lambda seed, wrong=wrong: wrong, [{}]).failed
        assert run["error"].startswith("TypeError: got ")


def test_failures_are_reported_and_not_fatal(tmp_path):
    found = nn.sweep(failing, {"x": [1, 2, 3]}, out_dir=tmp_path)
    assert [run["error"] for run in found.failed] == ["ValueError: two is too many"]
    assert str(found).splitlines()[-1] == "failed: {'x': 2}, seed 0: ValueError: two is too many"
    found.csv(tmp_path / "sweep.csv")
    rows = rows_of(tmp_path / "sweep.csv")
    assert [row["accuracy"] for row in rows] == ["0.1", "", "0.3"] and "two" in rows[1]["error"]
    check_refused(ValueError, "sweep: got 1 failed runs", nn.sweep(failing, {"x": [2]}).best)


# ---- files -------------------------------------------------------------------------------------------------

def test_a_sweep_goes_on_where_it_was(tmp_path):
    calls = []

    def counted(seed, x):
        calls.append((x, seed))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return {"loss": float(x)}

    with pytest.raises(KeyboardInterrupt):
        nn.sweep(counted, {"x": [1, 2]}, seeds=2, out_dir=tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2
    found = nn.sweep(counted, {"x": [1, 2]}, seeds=2, out_dir=tmp_path)
    assert calls == [(1, 0), (1, 1), (2, 0), (2, 0), (2, 1)] and len(found.runs) == 4
    assert len(nn.sweep(counted, {"x": [1, 2, 3]}, seeds=2, out_dir=tmp_path).runs) == 6 and len(calls) == 7
    next(tmp_path.glob("*.json")).write_text("{")
    with pytest.raises(DataError, match="damaged .*; remove it, and its run is done again"):
        nn.sweep(counted, {"x": [1, 2, 3]}, seeds=2, out_dir=tmp_path)


def test_failed_runs_are_tried_again(tmp_path):
    assert len(nn.sweep(failing, {"x": [1, 2]}, out_dir=tmp_path).failed) == 1
    found = nn.sweep(lambda seed, x: {"accuracy": 1.0}, {"x": [1, 2]}, out_dir=tmp_path)
    assert not found.failed and found.runs[0]["results"] == {"accuracy": 0.1}    # that one was kept


# ---- processes ---------------------------------------------------------------------------------------------

def looked_at(seed, table):
    return {"is_map": float(isinstance(table, np.memmap)), "sum": float(table.sum()),
            "threads": float(nn.get_threads()), "process": float(os.getpid())}


def kills_its_process_once(seed, folder):
    mark = Path(folder) / f"{seed}.mark"
    if seed % 4 == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"loss": float(seed)}


def kills_its_process(seed):
    if seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"loss": float(seed)}


@pytest.mark.compiled
def test_processes_share_the_data():
    table = np.arange(100_000.0)
    found = nn.sweep(looked_at, [{}], seeds=6, jobs=2, data={"table": table})
    for run in found.runs:
        assert run["results"]["is_map"] == 1 and run["results"]["sum"] == table.sum()
        assert run["results"]["threads"] == 1 and run["results"]["process"] != os.getpid()


@pytest.mark.compiled
def test_processes_give_the_same_numbers(tmp_path):
    alone = nn.sweep(parabola, {"x": [0, 1, 2], "y": [0.5]}, seeds=2)
    several = nn.sweep(parabola, {"x": [0, 1, 2], "y": [0.5]}, seeds=2, jobs=2, out_dir=tmp_path)
    assert [run["results"] for run in several.runs] == [run["results"] for run in alone.runs]


@pytest.mark.compiled
def test_a_process_that_dies_loses_nothing(tmp_path):
    found = nn.sweep(kills_its_process_once, [{"folder": str(tmp_path)}], seeds=8, jobs=2,
                     out_dir=tmp_path / "r")
    assert [run["results"]["loss"] for run in found.runs] == list(range(8))


@pytest.mark.compiled
def test_a_run_that_kills_every_process_fails_alone():
    found = nn.sweep(kills_its_process, [{}], seeds=4, jobs=2)
    assert [run["seed"] for run in found.failed] == [1]
    assert found.failed[0]["error"].startswith("its process died")
    assert len(found.runs) == 4


@pytest.mark.compiled
def test_ctrl_c_keeps_what_is_finished(tmp_path):
    """And a killed sweep, too: the command goes on with the rest."""
    words = ["--data", "digits", "--act", "tanh,relu", "--epochs", "40", "--seeds", "3", "--jobs", "2",
             "--quiet", "--no-report", "--out-dir", str(tmp_path / "sweep")]
    command = [sys.executable, "-m", "nnjit", "sweep", *words]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)
    wait_for(lambda: len(list((tmp_path / "sweep" / "runs").glob("*.json"))) >= 1, running)
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=60)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "sweep" / "runs").glob("*.json")}
    if running.returncode:    # it may just have ended
        assert running.returncode == 130 and "go on    nnjit sweep --data digits" in out
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())
    assert len(list((tmp_path / "sweep" / "runs").glob("*.json"))) == 6


def wait_for(condition, running):
    for _ in range(600):
        if condition() or running.poll() is not None:
            return
        time.sleep(0.1)
    raise AssertionError("it took too long")


# ---- a cluster ---------------------------------------------------------------------------------------------

@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore")
def test_dask(tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs dask: pip install nnjit[dask]")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        words = ["sweep", "--data", "digits", "--lr", "0.05,0.1", "--epochs", "2", "--seeds", "2", "--dask",
                 cluster.scheduler_address, "--out-dir", str(tmp_path / "sweep"), "--quiet", "--no-report"]
        assert cli.main(words) == 0
        with distributed.Client(cluster):
            found = nn.sweep(parabola, {"x": [0, 2]}, seeds=2, jobs=2, backend="dask")
    assert found.best() == {"x": 2}
    assert len(list((tmp_path / "sweep" / "runs").glob("*.json"))) == 4


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore")
def test_ray(tmp_path):
    ray = pytest.importorskip("ray", reason="needs ray: pip install nnjit[ray]")
    words = ["sweep", "--data", "digits", "--lr", "0.05,0.1", "--epochs", "2", "--ray", "auto", "--jobs", "2",
             "--out-dir", str(tmp_path / "sweep"), "--quiet", "--no-report"]
    try:
        assert cli.main(words) == 0
    finally:
        ray.shutdown()
    assert len(list((tmp_path / "sweep" / "runs").glob("*.json"))) == 2


def test_a_missing_package_is_one_line(monkeypatch, capsys, tmp_path):
    for name, package in (("dask", "dask.distributed"), ("ray", "ray")):
        monkeypatch.setitem(sys.modules, package, None)
        words = ["sweep", "--lr", "0.1,0.2", f"--{name}", "x"]
        assert cli.main([*words, "--out-dir", str(tmp_path / name)]) == 1
        assert f"pip install nnjit[{name}]" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(ImportError, match=r"pip install nnjit\[sweep\]"):
        nn.sweep(parabola, {"x": [1]}, jobs=2)


# ---- the command -------------------------------------------------------------------------------------------

def swept(folder, *words):
    return cli.main(["sweep", "--data", "digits", "--quiet", "--no-report", "--out-dir", str(folder), *words])


@pytest.mark.compiled
def test_options_with_several_values(tmp_path, capsys):
    assert swept(tmp_path, "--act", "tanh,relu", "--hidden", "20/10,5", "--epochs", "2", "--seeds", "2") == 0
    out = capsys.readouterr().out
    assert "sweep    4 settings, 2 seeds" in out and "best     --act " in out
    rows = rows_of(tmp_path / "sweep.csv")
    assert len(rows) == 8 and {row["hidden"] for row in rows} == {"20", "10,5"}
    assert all(0 < float(row["test_accuracy"]) < 1 for row in rows)
    one = json.loads(next((tmp_path / "trainings").glob("*/run.json")).read_text())
    assert one["results"]["epochs"] == 2


@pytest.mark.compiled
def test_a_run_of_a_sweep_is_that_of_train(tmp_path):
    assert swept(tmp_path / "s", "--lr", "0.1,0.2", "--epochs", "3", "--seeds", "2", "--jobs", "2") == 0
    plain = ["train", "--data", "digits", "--lr", "0.2", "--epochs", "3", "--seed", "1", "--quiet",
             "--no-report", "--no-pictures", "--out-dir", str(tmp_path / "plain")]
    assert cli.main(plain) == 0
    assert_same_model(tmp_path / "plain", tmp_path / "s" / "trainings" / "lr-0.2-seed-1")


def assert_same_model(one, other):
    models = [nn.load(folder / "model.npz") for folder in (one, other)]
    np.testing.assert_array_equal(*(model.vector for model in models))


@pytest.mark.compiled
def test_halving_ends_with_the_bits_of_a_whole_training(tmp_path, capsys):
    assert swept(tmp_path / "s", "--lr", "0.02,0.05,0.1,0.4", "--epochs", "9", "--halving") == 0
    out = capsys.readouterr().out
    assert "halving  4 settings for 1 of 9 epochs" in out and "halving  1 settings for 9 of 9 epochs" in out
    whole = [path.parent for path in (tmp_path / "s" / "trainings").glob("*/run.json")
             if json.loads(path.read_text())["results"]["epochs"] == 9]
    assert len(whole) == 1
    rate = whole[0].name.split("-")[1]
    plain = ["train", "--data", "digits", "--lr", rate, "--epochs", "9", "--quiet", "--no-report",
             "--no-pictures", "--out-dir", str(tmp_path / "plain")]
    assert cli.main(plain) == 0
    assert_same_model(tmp_path / "plain", whole[0])


@pytest.mark.compiled
def test_ranges_and_samples(tmp_path, capsys):
    assert swept(tmp_path / "a", "--lr", "0.01:1:log3", "--epochs", "1") == 0
    assert {row["lr"] for row in rows_of(tmp_path / "a" / "sweep.csv")} == {"0.01", "0.1", "1"}
    words = ["--lr", "0.01:1:log", "--act", "tanh,relu", "--samples", "3", "--epochs", "1"]
    assert swept(tmp_path / "b", *words) == 0
    drawn = [(row["lr"], row["act"]) for row in rows_of(tmp_path / "b" / "sweep.csv")]
    assert len(drawn) == 3 and all(0.01 <= float(rate) <= 1 for rate, _ in drawn)
    assert swept(tmp_path / "b", *words) == 0
    assert [(row["lr"], row["act"]) for row in rows_of(tmp_path / "b" / "sweep.csv")] == drawn


@pytest.mark.parametrize("words, message", [
    (("--act", "tanh,x"), "argument --act: invalid choice: 'x'"),
    (("--nothing", "1"), "unrecognized arguments: --nothing"),
    (("--seed", "3"), "argument --seed: expected none, a sweep gives it"),
    (("--lr", "0.1:1:log"), "argument --lr: got 0.1:1:log, expected --samples with it"),
    (("--lr", "0:1:log5"), "argument --lr: got 0:1:log5, expected numbers above 0 with log"),
    (("--lr",), "argument --lr: expected one argument"),
    (("--lr", "0.1", "--halving"), "argument --halving: got a single setting"),
    (("--data", "pairs", "--out", "sigmoid,softmax"), "argument --out: got softmax with --data pairs"),
    (("--jobs", "0"), "argument --jobs: got '0'"),
])
def test_bad_options_exit_2(tmp_path, capsys, words, message):
    with pytest.raises(SystemExit) as ended:
        cli.main(["sweep", "--out-dir", str(tmp_path / "s"), *words])
    assert ended.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_the_command_that_goes_on_keeps_what_is_finished():
    words = ["--lr", "0.1,0.2", "--force", "--out-dir", "a", "--quiet", "--out-dir=b", "--seeds", "2"]
    assert without(words, ("--out-dir", "--force")) == ["--lr", "0.1,0.2", "--quiet", "--seeds", "2"]


@pytest.mark.compiled
def test_the_page_and_the_picture_of_a_sweep(tmp_path):
    words = ["sweep", "--data", "digits", "--lr", "0.05,0.1", "--epochs", "2", "--quiet"]
    assert cli.main([*words, "--out-dir", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert "lr-0.1-seed-0" in (tmp_path / "report.html").read_text(encoding="utf-8")
    pytest.importorskip("matplotlib")
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
