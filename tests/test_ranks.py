"""One model over ranks: the same bits as in shards of one process, and what ends a job."""
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from head_cases import check_refused

import nnjit as nn

MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
with_ranks = pytest.mark.skipif(not (MPIEXEC and importlib.util.find_spec("mpi4py")),
                                reason="needs mpi4py and an MPI: pip install nnjit[mpi]")
pytestmark = pytest.mark.compiled

TASKS = '''
import json, os, sys, zlib
import numpy as np
import nnjit as nn

rng = np.random.default_rng(0)
X = rng.normal(size=(203, 12)).astype("f4")
y, w = rng.integers(3, size=203), rng.uniform(0.5, 2, 203)
images = rng.integers(256, size=(60, 8, 8, 1), dtype=np.uint8)
steps = rng.normal(size=(50, 6, 4)).astype("f4")
mask = np.arange(6) < rng.integers(1, 7, 50)[:, None]
OPTIONS = {"verbose": 0, "seed": 3, "epochs": 3, "batch_size": 32}

def dense(**how):
    model = nn.Sequential([nn.Dense(16, l2=0.01), nn.BatchNormalization(), nn.Tanh(), nn.Dropout(0.3),
                           nn.Dense(3)], nn.Categorical())
    return model, model.fit(X, y, nn.Adam(0.01, clip_norm=1.0), validation_data=(X[:90], y[:90]),
                            sample_weight=w, metrics=["f1_macro"], **{**OPTIONS, **how})

def image(**how):
    model = nn.Sequential([nn.RandomFlip(), nn.RandomShift(1), nn.Conv2D(4, 3), nn.ReLU(), nn.MaxPool2D(2),
                           nn.Flatten(), nn.Dense(3)], nn.Categorical())
    return model, model.fit(images, y[:60], nn.SGD(0.05), shuffle=False, **{**OPTIONS, **how})

def recurrent(**how):
    model = nn.Sequential([nn.GRU(5, return_sequences=True), nn.Dense(1)], nn.Gaussian())
    return model, model.fit(steps, steps[..., 0], nn.Adam(0.01), mask=mask, **{**OPTIONS, **how})

def heads(**how):
    model = nn.Sequential([nn.Dense(4)], nn.Heads(kind=nn.Categorical(), size=nn.Gaussian()), "float64")
    return model, model.fit(X, {"kind": y, "size": X[:, 0]}, nn.SGD(0.1, momentum=0.9), **{**OPTIONS, **how})

def sparse(**how):
    zeros = np.where(X > 0.8, X, 0)
    model = nn.Sequential([nn.Dense(8), nn.ReLU(), nn.Dense(3)], nn.Categorical())
    return model, model.fit(zeros, y, nn.SGD(0.1), **{**OPTIONS, "batch_size": 5, **how})

def bits(model, history):
    figures = {name: values for name, values in history.history.items() if name != "seconds"}
    return [zlib.crc32(model.vector), zlib.crc32(model.graph.state_vector), json.dumps(figures)]
'''
exec(TASKS, TASK := {})
NAMES = "dense", "image", "recurrent", "heads", "sparse"


def run(n, program, *words, timeout=120, **environment):
    """Run a program on so many ranks, and return what it printed, with its status."""
    command = [MPIEXEC, "-n", str(n), sys.executable, "-c", TASKS + program, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **environment})


# ---- shards in one process ---------------------------------------------------------------------------------

@pytest.mark.parametrize("name", NAMES)
def test_shards_come_to_the_numbers_of_whole_batches(name):
    """But for rounding; and for normalisation, whose statistics are those of a shard."""
    whole, _ = TASK[name]()
    one, _ = TASK[name](shards=1)
    np.testing.assert_array_equal(whole.vector, one.vector)
    if name != "dense":
        eight, _ = TASK[name](shards=8)
        np.testing.assert_allclose(eight.vector, whole.vector, rtol=0, atol=2e-4)
        assert (eight.vector != whole.vector).any()


def test_a_shard_without_rows_counts_for_nothing():
    """Batches of 11 rows, each a shard of its own, with a layer that has a state."""
    some, more = (TASK["dense"](shards=shards, batch_size=11, epochs=1)[0] for shards in (16, 32))
    np.testing.assert_allclose(some.vector, more.vector, rtol=0, atol=1e-5)
    np.testing.assert_allclose(some.graph.state_vector, more.graph.state_vector, rtol=1e-5)


@pytest.mark.parametrize("shards", [0, 3, 6, True, 2.0])
def test_shards_are_a_power_of_two(shards):
    check_refused(ValueError, "shards: got .*, expected a power of two", TASK["heads"], shards=shards)


def test_a_stream_has_no_shards():
    model = nn.Sequential([nn.Dense(3)], nn.Categorical())
    blocks = [(TASK["X"][:32], TASK["y"][:32])]
    check_refused(ValueError, "shards: got a stream", model.fit, blocks, optimizer=nn.SGD(0.1), shards=2,
                  verbose=0)


def test_callbacks_and_backups_of_shards(tmp_path):
    losses = []
    log = nn.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: losses.append(logs["loss"]))
    TASK["dense"](shards=4, callbacks=[log])
    assert len(losses) == 3 * 7 and np.isfinite(losses).all()
    whole, _ = TASK["dense"](shards=4)

    def interrupted(model, epoch, logs):
        if epoch == 1:
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        TASK["dense"](shards=4, callbacks=[nn.callbacks.BackupAndRestore(tmp_path / "b.npz"), interrupted])
    again, _ = TASK["dense"](shards=4, callbacks=[nn.callbacks.BackupAndRestore(tmp_path / "b.npz")])
    np.testing.assert_array_equal(again.vector, whole.vector)


def test_what_is_no_communicator():
    check_refused(TypeError, "comm: got 3, expected a communicator", TASK["heads"], comm=3)


# ---- over ranks --------------------------------------------------------------------------------------------

@with_ranks
@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_same_bits_on_any_number_of_ranks(n):
    done = run(n, f'''
from mpi4py import MPI
found = {{name: bits(*globals()[name](comm=MPI.COMM_WORLD)) for name in {NAMES}}}
given = MPI.COMM_WORLD.gather(found)
if MPI.COMM_WORLD.Get_rank() == 0:
    print(json.dumps(given))
''')
    assert done.returncode == 0, done.stderr
    given = json.loads(done.stdout)
    alone = {name: TASK["bits"](*TASK[name](shards=8)) for name in NAMES}
    assert len(given) == n and all(found == alone for found in given)


@with_ranks
def test_rank_0_writes_and_another_number_of_ranks_goes_on(tmp_path):
    program = '''
from mpi4py import MPI
folder, stops = sys.argv[1], int(sys.argv[2])
calls = []
def stopping(model, epoch, logs):
    return epoch == stops
class Paused(Exception):
    pass
def pausing(model, epoch, logs):
    if epoch == stops:
        raise SystemExit(0)
callbacks = [nn.callbacks.BackupAndRestore(folder + "/b.npz"), nn.callbacks.CSVLogger(folder + "/log.csv"),
             nn.callbacks.EarlyStopping("loss", min_delta=10.0, patience=9), pausing]
model, history = dense(comm=MPI.COMM_WORLD, epochs=6, callbacks=callbacks)
remembered = MPI.COMM_WORLD.gather(repr(callbacks[2].state()))
if MPI.COMM_WORLD.Get_rank() == 0:
    print(json.dumps([*bits(model, history), sorted(set(remembered))]))
'''
    first = run(2, program, tmp_path, 2)
    assert first.returncode == 0 and (tmp_path / "b.npz").exists(), first.stderr
    second = run(4, program, tmp_path, -1)
    assert second.returncode == 0, second.stderr
    (tmp_path / "other").mkdir()
    whole = run(1, program, tmp_path / "other", -1)
    assert json.loads(second.stdout) == json.loads(whole.stdout)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert len(lines) == 7    # one rank has written


@with_ranks
@pytest.mark.parametrize("change, name", [
    ("X[::7] += rank", "training data"), ("y[0] = (y[0] + rank) % 3", "training data"),
    ("OPTIONS['seed'] += rank", "settings"), ("OPTIONS['batch_size'] += rank", "settings"),
    ("nn.training.ranks.__version__ += str(rank)", "version of nnjit")])
def test_ranks_with_something_else_are_refused(change, name):
    done = run(2, f'''
from mpi4py import MPI
rank = MPI.COMM_WORLD.Get_rank()
import nnjit.training.ranks
{change}
heads(comm=MPI.COMM_WORLD)
''')
    assert done.returncode != 0 and f"comm: got another {name} on rank 1 than on rank 0" in done.stderr


@with_ranks
@pytest.mark.parametrize("what, message", [
    ("raise ValueError('from the callback')", "rank 1 of 2: ValueError: from the callback"),
    ("os.kill(os.getpid(), 9)", "KILLED|Killed|signal 9|BAD TERMINATION"),
    ("__import__('time').sleep(1000)", "rank 0 of 2: Stalled: waited")])
def test_a_rank_that_fails_ends_the_job(what, message):
    begin = time.monotonic()
    done = run(2, f'''
from mpi4py import MPI
rank = MPI.COMM_WORLD.Get_rank()
def failing(model, epoch, logs):
    if rank == 1 and epoch == 1:
        {what}
dense(comm=MPI.COMM_WORLD, callbacks=[failing])
print("went on")
''', NNJIT_STALL_SECONDS="8")
    assert done.returncode != 0 and "went on" not in done.stdout
    assert time.monotonic() - begin < 60
    assert re.search(message, done.stderr + done.stdout)


@with_ranks
def test_a_rank_looks_through_its_part_of_a_map(tmp_path):
    """The NaN lies in the second half: it is rank 1 that finds it. And a whole map gives the same bits."""
    program = '''
from mpi4py import MPI
from nnjit.inputs import rows
rows.LARGE_MAP_BYTES = 0
X = np.load(sys.argv[1], mmap_mode="r")
print(json.dumps(bits(*dense(comm=MPI.COMM_WORLD))), flush=True)
'''
    x = TASK["X"].astype("f8")
    np.save(tmp_path / "whole.npy", x)
    done = run(2, program, tmp_path / "whole.npy")
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split("\n")) - {""}) == 1
    x[150, 3] = np.nan
    np.save(tmp_path / "nan.npy", x)
    done = run(2, program, tmp_path / "nan.npy")
    assert done.returncode != 0 and "rank 1 of 2: ValueError: X: got NaN" in done.stderr
    assert "rank 0 of 2: ValueError" not in done.stderr


@with_ranks
def test_three_ranks_are_refused():
    done = run(3, '''
from mpi4py import MPI
heads(comm=MPI.COMM_WORLD)
''')
    assert done.returncode != 0 and "comm: got 3 ranks, expected a power of two" in done.stderr


@with_ranks
def test_the_command(tmp_path):
    models = []
    for n in 1, 2:
        out = tmp_path / str(n)
        command = [MPIEXEC, "-n", str(n), sys.executable, "-m", "nnjit", "train", "--data", "digits",
                   "--epochs", "3", "--distributed", "--quiet", "--no-pictures", "--out-dir", out]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and done.stdout.count("result   ") == 1, done.stderr
        models.append(nn.load(out / "model.npz").vector)
    np.testing.assert_array_equal(*models)
    command = [MPIEXEC, "-n", "2", sys.executable, "-m", "nnjit", "train", "--gradient", "book",
               "--distributed"]
    bad = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert bad.returncode == 2 and "argument --distributed: got it with --gradient book" in bad.stderr
