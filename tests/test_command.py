"""How the command behaves: signals, folders that hold a run, narrow terminals, words."""
import csv
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys

import numba
import pytest
from scale import times

import nnjit as nn
from nnjit import cli

MODULE = [sys.executable, "-m", "nnjit"]
trains = pytest.mark.skipif(bool(numba.config.DISABLE_JIT),
                            reason="trains on whole images: minutes, not compiled")
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and terminals")
IRIS = "train --data iris --epochs 2 --quiet"


def environment(**variables):
    return {**os.environ, "PYTHONWARNINGS": "error", **variables}


def rows_of(folder):
    with open(folder / "history.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# ---- signals -----------------------------------------------------------------------------------------------

@pytest.fixture
def heeds_signals():
    """New processes heed them: where a shell's background job ignores one, so do all that it starts."""
    names = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    before = [signal.signal(number, signal.SIG_DFL) for number in names[1:]]
    before.insert(0, signal.signal(signal.SIGINT, signal.default_int_handler))
    yield
    for number, handler in zip(names, before):
        signal.signal(number, handler)


@trains
@posix
@pytest.mark.parametrize("number, status, word", [
    ("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated"), ("SIGHUP", 129, "terminated")])
@pytest.mark.parametrize("line, run", [
    ("train --data digits --epochs 1000000 --out-dir out", "out"),
    ("book --data digits --epochs 1000000 --out-dir out", "out/tanh-book")])
def test_a_signal_ends_a_run_that_is_kept(tmp_path, heeds_signals, line, run, number, status, word):
    with subprocess.Popen([*MODULE, *line.split()], cwd=tmp_path, env=environment(), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            while not (shown := process.stderr.readline()).startswith("epoch 1/1000000"):
                assert shown.startswith("compil")
            process.send_signal(getattr(signal, number))
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == status
    assert err.endswith(f"{word}\n") and "Traceback" not in err
    assert out.splitlines()[-1].startswith("saved    ")
    rows = rows_of(tmp_path / run)
    assert [int(row["epoch"]) for row in rows] == list(range(len(rows)))
    results = json.loads((tmp_path / run / "run.json").read_text())["results"]
    assert results["test_accuracy"] == float(rows[-1]["test_accuracy"])
    assert nn.load(tmp_path / run / "model.npz").input_shape == (784,)


@posix
def test_handlers_are_put_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main(IRIS.split()) == 0
    assert signal.getsignal(signal.SIGTERM) is before


@trains
@posix
def test_a_run_that_is_stopped_before_its_first_epoch_leaves_no_folder(tmp_path, monkeypatch, capsys):
    def stopped(*args, **options):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(nn.Sequential, "fit", stopped)
    for line in (IRIS, "book --data digits --quiet"):
        assert cli.main(line.split()) == 143
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        assert list((tmp_path / "runs").iterdir()) == []
    assert "none: stopped before the first epoch was over" in capsys.readouterr().out


# ---- folders -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("line", [IRIS, "book --data digits --epochs 2 --quiet",
                                  "bench --work tanh --against none --repeat 1", "figures"])
def test_a_folder_that_holds_a_run_is_refused(line, tmp_path, capsys):
    assert cli.main([*IRIS.split(), "--out-dir", str(tmp_path)]) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(SystemExit) as caught:
        cli.main([*line.split(), "--out-dir", str(tmp_path)])
    assert caught.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "argument --out-dir: got " in error and "holds a run (run.json)" in error and "--force" in error
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@trains
def test_force_replaces_a_run_and_nothing_else(tmp_path, capsys):
    folder = tmp_path / "out"
    line = "train --data digits --epochs 1 --quiet --dtype float32"
    assert cli.main([*line.split(), "--out-dir", str(folder)]) == 0
    (folder / "notes.txt").write_text("mine")
    capsys.readouterr()
    assert cli.main([*IRIS.split(), "--seed", "7", "--out-dir", str(folder), "--force"]) == 0
    left = {path.name for path in folder.iterdir()}
    assert "notes.txt" in left and "answers.png" not in left and "weights.png" not in left
    assert json.loads((folder / "run.json").read_text())["configuration"]["seed"] == 7
    saved = re.search(r"saved    (.*) in ", capsys.readouterr().out)[1].split(", ")
    assert set(saved) == left - {"notes.txt"}    # what this run wrote


@trains
def test_force_replaces_the_parts_of_the_books_runs(tmp_path):
    line = "book --data digits --epochs 2 --quiet --dtype float32 --out-dir"
    assert cli.main([*line.split(), str(tmp_path)]) == 0
    assert len(rows_of(tmp_path / "relu-exact")) == 2
    assert cli.main([*IRIS.split(), "--out-dir", str(tmp_path), "--force"]) == 0
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_an_old_run_stays_until_the_new_one_has_something_to_save(tmp_path, monkeypatch):
    def stopped(*args, **options):
        raise KeyboardInterrupt

    assert cli.main([*IRIS.split(), "--out-dir", str(tmp_path)]) == 0
    before = (tmp_path / "run.json").read_bytes()
    monkeypatch.setattr(nn.Sequential, "fit", stopped)
    assert cli.main([*IRIS.split(), "--out-dir", str(tmp_path), "--force"]) == 130
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_checkout_that_is_not_installed_keeps_its_results(tmp_path, monkeypatch):
    def version(name, known=importlib.metadata.version):
        if name == "nnjit":
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert cli.main([*IRIS.split(), "--out-dir", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "run.json").read_text())["versions"]["nnjit"] == nn.__version__


def test_every_epoch_has_a_row(tmp_path):
    line = "train --data iris --epochs 5 --eval-every 3 --quiet --out-dir"
    assert cli.main([*line.split(), str(tmp_path)]) == 0
    rows = rows_of(tmp_path)
    assert [row["epoch"] for row in rows] == list("01234")
    assert [bool(row["test_loss"]) for row in rows] == [True, False, False, True, True]
    assert all(row["train_loss"] and row["seconds"] for row in rows)


# ---- words -------------------------------------------------------------------------------------------------

def test_without_a_word_it_helps(capsys):
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: nnjit") and "compile" in out


def test_the_version(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out == f"nnjit {nn.__version__}\n"


@trains
def test_the_epochs_of_the_book(tmp_path, capsys):
    line = f"book --epochs 12 --dtype float32 --quiet --out-dir {tmp_path}"
    assert cli.main(line.split()) == 0
    out = capsys.readouterr().out
    assert "tanh: 12 epochs, accuracy" in out and "relu: 12 epochs, accuracy" in out
    assert len(re.findall(r"^ +0 ", out, re.M)) == len(re.findall(r"^ +10 ", out, re.M)) == 2
    assert not re.search(r"^ +20 ", out, re.M)
    for name in ("tanh-book", "tanh-exact", "relu-book", "relu-exact"):
        assert len(rows_of(tmp_path / name)) == 12


@trains
@posix
def test_a_narrow_terminal_shows_what_was_measured(on_terminal):
    shown = on_terminal("train --data digits --epochs 300 --out-dir out", 80)
    bars = [line for line in re.split(r"[\r\n]+", shown.decode())
            if " epochs, " in line]
    assert bars
    measured = ", ".join(f"{name}=[\\d.e-]+" for name in ("loss", "accuracy", "val_loss", "val_accuracy"))
    for bar in bars:
        assert len(bar) <= 80 and re.match(rf"\d+/300 epochs, {measured}", bar)


def test_a_job_runs_where_nothing_is_compiled(tmp_path):
    done = subprocess.run([*MODULE, *IRIS.split()], cwd=tmp_path, env=environment(NUMBA_DISABLE_JIT="1"),
                          text=True, capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


# ---- going on ----------------------------------------------------------------------------------------------

@trains
@posix
@pytest.mark.torture
@pytest.mark.parametrize("line", [
    "train --data digits --epochs 400 --optimizer adam --eval-every 7 --dtype float32",
    *times([], ["train --model cnn --train-size 400 --epochs 12 --dtype float32",
                "train --data rows --model gru --train-size 400 --epochs 12 --dtype float32"])])
def test_a_run_goes_on_to_the_bit(tmp_path, heeds_signals, line):
    """After Ctrl-C, and after SIGTERM, with another number of threads."""
    folder = tmp_path / "out"
    for number, more in (("SIGINT", [*line.split(), "--out-dir", "out"]),
                         ("SIGTERM", ["train", "--resume", "out", "--threads", "1"])):
        with subprocess.Popen([*MODULE, *more], cwd=tmp_path, env=environment(), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            while (shown := process.stderr.readline()) and not shown.startswith("epoch"):
                pass
            process.send_signal(getattr(signal, number))
            out, err = process.communicate(timeout=60)
        if process.returncode == 0:    # it was faster
            break
        assert process.returncode == {"SIGINT": 130, "SIGTERM": 143}[number], err
        if process.returncode:
            assert "\ngo on    nnjit train --resume out\n" in f"\n{out}"
    if (folder / "backup.npz").exists():
        done = subprocess.run([*MODULE, "train", "--resume", "out"], cwd=tmp_path, env=environment(),
                              text=True, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr
    whole = subprocess.run([*MODULE, *line.split(), "--out-dir", "whole"], cwd=tmp_path, env=environment(),
                           text=True, capture_output=True, timeout=120)
    assert whole.returncode == 0, whole.stderr
    models = [nn.load(tmp_path / name / "model.npz").vector for name in ("out", "whole")]
    assert (models[0] == models[1]).all()
    rows = [[{**row, "seconds": None} for row in rows_of(tmp_path / name)] for name in ("out", "whole")]
    assert rows[0] == rows[1]
    assert not [path for path in folder.iterdir() if "backup" in path.name]


@pytest.mark.parametrize("line, expected, status", [
    ("train --resume none", "none/backup.npz: no such backup", 1),
    ("train --resume none --epochs 3", "argument --resume: got --epochs with it, expected only --thr", 2)])
def test_what_cannot_go_on(line, expected, status, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        found = cli.main(line.split())
    except SystemExit as ended:
        found = ended.code
    error = capsys.readouterr().err
    assert found == status and expected in error and error.count("\n") == 1
