"""Kernels compiled ahead, what is said while they compile, and the lists of what each job needs."""
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from numba.core import types
from scale import times

import nnjit as nn
from nnjit._numba import ahead, jit
from nnjit.cli import compile as compiling

pytestmark = pytest.mark.compiled

# What a job is, as a command line of one epoch or two.
JOBS = {"book": "book --epochs 2", "train": "train --epochs 2",
        "mnist-cnn": "train --model cnn --dtype float32 --epochs 1 --train-size 1000",
        "cifar10": "train --data cifar10 --model cnn --dtype float32 --epochs 1 --train-size 1000",
        "cifar-birds": "train --data cifar10 --classes airplane,bird --model cnn --dtype float32 --epochs 1 "
                       "--train-size 1000",
        "iris": "train --data iris --epochs 2",
        "table-softmax": "train flowers.csv --target species --epochs 2",
        "table-sigmoid": "train flowers.csv --target large --epochs 2",
        "table-linear": "train flowers.csv --target width --epochs 2"}


def write_flowers(folder):
    """Write iris as a table with three kinds of targets."""
    iris = nn.datasets.load_iris()
    rows = [f"{x[0]},{x[1]},{x[2]},{iris.classes[k]},{'yes' if x[3] > 1.3 else 'no'}" for x, k in
            zip(iris.x, iris.y)]
    (folder / "flowers.csv").write_text("\n".join(["length,width,petal,species,large", *rows]) + "\n")


# ---- as text -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("type_, text", [
    (types.float64, "f8"), (types.uint64, "u8"), (types.boolean, "b1"), (types.Tuple(()), "()"),
    (types.UniTuple(types.float64, 2), "(f8,f8)"), (types.Tuple((types.float64, types.int64)), "(f8,i8)"),
    (types.Array(types.float32, 3, "C"), "f4[3]"), (types.Array(types.uint8, 4, "C"), "u1[4]")])
def test_types_as_text(type_, text):
    assert ahead._spelled(type_) == text and ahead._type(text) == type_


def test_what_a_kernel_was_compiled_for_is_listed():
    X = np.ones((4, 2), np.float32)
    nn.Sequential([nn.Dense(3), nn.LeakyReLU(0.2), nn.Dense(1)], nn.Gaussian()).build(2).predict(X)
    assert "activations.leaky_relu_forward f4[2] f4[2] (f8)" in ahead.loaded()
    for text in ahead.loaded():
        kernel, types = ahead._parsed(text)
        assert types in kernel.overloads


ALIKE = "table-linear", "table-softmax"    # the others of tables stand for them
ONE_JOB = """
import contextlib, io, json, sys
from nnjit import cli
from nnjit._numba import ahead
with contextlib.redirect_stdout(io.StringIO()):
    assert cli.main(sys.argv[1:]) == 0
print(json.dumps(ahead.loaded()))
"""


@pytest.mark.torture
@pytest.mark.parametrize("name", times([name for name in JOBS if name not in ALIKE], JOBS))
def test_the_list_of_a_job_is_what_it_needs(name, tmp_path):
    """In a process whose kernels are all on disk, which loads those only that Python calls."""
    if "cifar" in name and "NNJIT_DATA" not in os.environ:
        pytest.skip("needs CIFAR-10")
    write_flowers(tmp_path)
    line = [*JOBS[name].split(), "--quiet", "--out-dir", str(tmp_path / "out"), "--force"]
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", ONE_JOB, *line], cwd=tmp_path, text=True,
                              capture_output=True, timeout=300)
        if "cifar" in name and "not found" in done.stderr:
            pytest.skip("needs CIFAR-10")
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == sorted(compiling.KERNELS[name])


def test_every_job_is_tested():
    assert JOBS.keys() == compiling.KERNELS.keys()


def test_the_kernels_of_a_job_in_another_dtype():
    wide, narrow = compiling.kernels_of("book"), compiling.kernels_of("book", "float32")
    assert "updates.sgd f8[1] f8[1] f8 f8" in wide and "updates.sgd f4[1] f4[1] f8 f8" in narrow
    assert compiling.kernels_of("book", "float64") == wide


# ---- the command -------------------------------------------------------------------------------------------

def nnjit(line, tmp_path):
    """Run a command with a cache of kernels in ``tmp_path``; return what it prints, both streams."""
    done = subprocess.run([sys.executable, "-W", "error", "-m", "nnjit", *line.split()], cwd=tmp_path,
                          text=True, capture_output=True, timeout=300,
                          env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")})
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_what_was_compiled_ahead_is_there(tmp_path):
    count = len(compiling.KERNELS["iris"])
    out, err = nnjit("compile iris --processes 2", tmp_path)
    assert out.startswith(f"compiled {count} kernels in ") and "\n0 kernels were there; all are in " in out
    assert err == "compiling kernels for this processor, once ...\n"
    out, err = nnjit("compile iris", tmp_path)
    assert out.startswith(f"{count} kernels were there; all are in ") and err == ""
    out, err = nnjit("train --data iris --epochs 3", tmp_path)
    assert "compil" not in err and "and 0.0 s to compile" in out


def test_a_job_says_that_kernels_compile_and_counts_its_own_seconds(tmp_path):
    """From an empty cache, with the help of another process."""
    _, err = nnjit("train --data iris --epochs 3 --out-dir out", tmp_path)
    lines = err.splitlines()
    assert lines[0] == "compiling kernels for this processor, once ..."
    assert any(line.startswith("compiled ") and line.endswith(" s") for line in lines)
    results = json.loads((tmp_path / "out/run.json").read_text())["results"]
    assert results["compile_seconds"] > 0.2
    rows = (tmp_path / "out/history.csv").read_text().splitlines()
    assert float(rows[-1].rpartition(",")[2]) == round(results["seconds"], 4) < results["compile_seconds"] + 1
    assert nnjit("train --data iris --epochs 3 --quiet", tmp_path)[1] == ""


# ---- within a process --------------------------------------------------------------------------------------

def test_a_quiet_training_says_nothing_of_kernels(capfd):
    X, y = np.ones((9, 2), np.float32), np.arange(9) % 2
    for verbose, said in ((0, False), ("auto", True)):
        class Square(nn.Activation):
            kernels = nn.elementwise("square", lambda x: x * x, lambda x: x + x)

        model = nn.Sequential([nn.Dense(3), Square(), nn.Dense(2)], nn.Categorical())
        history = model.fit(X, y, nn.SGD(0.1), epochs=2, verbose=verbose)
        assert ("compiling kernels" in capfd.readouterr().err) is said
        assert history.compile_seconds > 0


def test_a_stopwatch_counts_compilation_apart(monkeypatch):
    now, compiled = [10.0], [1.0]
    monkeypatch.setattr(jit, "time", type("Clock", (), {"perf_counter": lambda: now[0]}))
    monkeypatch.setattr(jit, "compile_seconds", lambda: compiled[0])
    watch = jit.Stopwatch()
    now[0], compiled[0] = 15.0, 3.0
    assert (watch.seconds, watch.compile_seconds) == (3.0, 2.0)


def test_each_training_counts_its_own_compilation():
    X, y = np.ones((50, 7), np.float32), np.arange(50) % 3
    first, second = (nn.Sequential([nn.Dense(5), nn.ELU(0.3), nn.Dense(3)], nn.Categorical()).fit(
        X, y, nn.Adam(0.1), epochs=2, verbose=0) for _ in range(2))
    assert second.compile_seconds == 0 <= first.compile_seconds


def test_helpers_end_with_the_job(started):
    texts = compiling.kernels_of("iris")
    with ahead.helped(texts[:ahead.WORTH_HELP - 1], 4), ahead.helped(texts, 1):
        assert started == []    # too little to do, and no core to do it
    with pytest.raises(KeyboardInterrupt), ahead.helped(texts, 3):
        assert len(started) == 2
        raise KeyboardInterrupt
    assert all(process.poll() is not None for process in started)


def test_helpers_begin_at_the_end(monkeypatch):
    given = []

    class Process:
        def __init__(self, command, **options):
            given.append(json.loads(command[-1]))

        def terminate(self):
            pass

        wait = terminate

    monkeypatch.setattr(subprocess, "Popen", Process)
    with ahead.helped(list("abcdef"), 3):
        pass
    assert given == [["f", "d", "b"], ["e", "c", "a"]]
