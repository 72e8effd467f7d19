"""Trains a network of every kind for some steps, and prints a hash of all that each training comes to.

That is weights, state, the optimiser's memory and the history.

The tests of `test_same_bits.py` run it as a process, under everything that must not matter. It prints a line
of JSON, {threads: {name: hash}}; of several ranks, every one does.
"""
import argparse
import contextlib
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from cases import LAYERS, network
from head_cases import CASES as HEADS
from scipy import sparse

import nnjit as nn
from nnjit.callbacks import BackupAndRestore

OPTIMIZERS = (lambda: nn.Adam(0.01), lambda: nn.SGD(0.05, momentum=0.9, nesterov=True),
              lambda: nn.RMSprop(nn.schedules.cosine(0.01, 20)), lambda: nn.AdamW(0.01, clip_norm=1.0))


# ---- the networks: each a function of the options of fit, which trains it ----------------------------------

def fit(model, X, y, optimizer, **options):
    """Train a model, and return it with its optimiser."""
    model.fit(X, y, optimizer, **{"epochs": 2, "batch_size": 64, "seed": 3, "verbose": 0, **options})
    return model, optimizer


def layer(k, name, dtype):
    """Return the training of a network with one of `cases.LAYERS`."""
    def train(**options):
        rng, case = np.random.default_rng(k), LAYERS[name]
        X, y = rng.normal(size=(150, *case.input_shape)), rng.integers(3, size=150)
        return fit(network(case, dtype), X, y, OPTIMIZERS[k % len(OPTIMIZERS)](), shuffle=k % 3 > 0,
                   validation_data=(X[:40], y[:40]), **options)
    return train


def head(k, name):
    """Return the training of a network with one of `head_cases.CASES`."""
    def train(**options):
        make, units, targets = HEADS[name]
        rng = np.random.default_rng(k)
        X, y = rng.normal(size=(100, 5)), targets(rng, 100, units)
        y = y.reshape(100) if units == 1 and not isinstance(y, dict) else y
        model = nn.Sequential([nn.Dense(9), nn.Tanh(), nn.Dropout(0.3), nn.Dense(units)], make(), "float32")
        return fit(model, X, y, OPTIMIZERS[k % len(OPTIMIZERS)](), sample_weight=rng.uniform(0.1, 2, 100),
                   **{**options, "batch_size": 32})
    return train


def wide(dtype="float32", **options):
    """Products that are shared out among threads."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 90)), rng.integers(4, size=400)
    model = nn.Sequential([nn.Dense(600, l2=0.001), nn.BatchNormalization(), nn.ReLU(), nn.Dropout(0.5),
                           nn.Dense(130, l1=1e-5), nn.GELU(), nn.Dense(4)], nn.Categorical(), dtype)
    return fit(model, X, y, nn.Adam(0.003), validation_split=0.2, class_weight="balanced",
               metrics=["f1_macro", "roc_auc"], **{**options, "batch_size": 200})


def deep(dtype="float32", **options):
    """Convolutions, pools and normalisation of images of bytes, which are moved and mirrored."""
    rng = np.random.default_rng(1)
    X, y = rng.integers(256, size=(130, 20, 20, 3), dtype=np.uint8), rng.integers(3, size=130)
    block = [nn.Conv2D(16, 3), nn.BatchNormalization(), nn.ReLU(), nn.Conv2D(16, 3)]
    model = nn.Sequential([nn.RandomFlip(), nn.RandomShift(2), nn.Conv2D(16, 5), nn.ReLU(), nn.MaxPool2D(2),
                           nn.Residual(block), nn.Conv2D(16, 3, strides=2, groups=16), nn.SiLU(),
                           nn.GlobalAveragePool2D(), nn.Dense(3)], nn.Categorical(label_smoothing=0.1), dtype)
    return fit(model, X, y, nn.SGD(0.05, momentum=0.9), validation_data=(X[:30], y[:30]), **options)


def masked(dtype="float32", **options):
    """Sequences with a mask, a target at every step."""
    rng = np.random.default_rng(2)
    X, mask = rng.normal(size=(90, 12, 8)), np.arange(12) < rng.integers(1, 13, 90)[:, None]
    model = nn.Sequential([nn.Conv1D(16, 3, padding="causal"), nn.GRU(40, return_sequences=True),
                           nn.LayerNormalization(), nn.Dropout(0.3), nn.LSTM(33, return_sequences=True),
                           nn.Dense(2)], nn.Gaussian(), dtype)
    return fit(model, X, X[..., :2] * 2, nn.Adam(0.01), mask=mask, **{**options, "batch_size": 40})


def padded(**options):
    """Sequences whose padding a layer finds, and a label for each."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(90, 12, 8)) * (np.arange(12) < rng.integers(1, 13, 90)[:, None])[..., None]
    model = nn.Sequential([nn.Masking(), nn.LSTM(20, return_sequences=True), nn.GRU(9), nn.Dense(3)],
                          nn.Categorical())
    return fit(model, X, rng.integers(3, size=90), nn.RMSprop(0.01), **{**options, "batch_size": 40})


def zeros(kind, dtype, **options):
    """Rows that are mostly zeros: without them, from an array or from SciPy."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(500, 300)) * (rng.random((500, 300)) < 0.1)
    model = nn.Sequential([nn.Dense(70), nn.Tanh(), nn.Dense(3)], nn.Categorical(), dtype)
    return fit(model, kind(X), rng.integers(3, size=500), nn.Adam(0.01), **{**options, "batch_size": 130})


def several(**options):
    """Several heads, of which one has targets for some rows."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(200, 30))
    y = {"kind": rng.integers(3, size=200), "size": X[:, 0] ** 2, "rank": rng.integers(4, size=200)}
    model = nn.Sequential([nn.Dense(40), nn.Softplus(), nn.Dense(5)], nn.Heads(
        kind=nn.Categorical(), size=nn.Huber(), rank=nn.Ordinal(4), units={"kind": 3, "size": 1, "rank": 1},
        weights={"size": 0.3}))
    return fit(model, X, y, nn.AdamW(0.01), **options)


def tested(**options):
    """A validation on so many rows that threads share their blocks."""
    rng = np.random.default_rng(6)
    X, y = rng.normal(size=(7000, 20)).astype("float32"), np.arange(7000) % 3
    model = nn.Sequential([nn.Dense(40), nn.LeakyReLU(), nn.Dense(3)], nn.Categorical())
    return fit(model, X[:300], y[:300], nn.Adam(0.01), validation_data=(X, y), **options)


NETWORKS = {
    "wide": wide, "deep": deep, "masked": masked, "padded": padded, "several heads": several,
    "without zeros": lambda **options: zeros(np.asarray, "float32", **options),
    "of SciPy": lambda **options: zeros(sparse.csr_matrix, "float32", **options),
    "of SciPy, float64": lambda **options: zeros(sparse.csc_matrix, "float64", **options),
    "wide, float64": lambda **options: wide("float64", **options),
    "deep, float64": lambda **options: deep("float64", **options),
    "masked, float64": lambda **options: masked("float64", **options),
    "tested": tested,
    **{f"layer {name}": layer(k, name, "float32") for k, name in enumerate(LAYERS)},
    **{f"head {name}": head(k, name) for k, name in enumerate(HEADS)},
}
# few: those of most kernels that compile in a minute
CHOSEN = {"all": list(NETWORKS), "few": ["wide", "deep", "masked", "without zeros", "layer Conv2DTranspose"],
          "two": ["wide", "masked"]}


# ---- the hash ----------------------------------------------------------------------------------------------

def hash_of(model, optimizer):
    """Return the hash of all that a training comes to, but for the seconds that it took."""
    figures = {name: values for name, values in model.history.history.items() if name != "seconds"}
    arrays = {**model.graph.arrays(), **optimizer.slots}
    assert all(np.isfinite(array).all() for array in arrays.values())
    digest = hashlib.sha256(repr([figures, model.history.epochs, optimizer.iterations,
                                  optimizer.rate()]).encode())
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


class Stop(Exception):
    """In place of an interrupt."""


class BackupAndStop(BackupAndRestore):
    """Writes a backup after so many batches, and stops the training; with -1 it does neither."""

    def __init__(self, path, batches):
        super().__init__(path, "1s")
        self.left = batches

    def _is_time(self):
        return self.left == 0

    def _after_batch(self, state, logs):
        self.left -= 1
        super()._after_batch(state, logs)
        if self.left == 0:
            raise Stop


def resumed(train, folder, **options):
    """Train, stopped after a batch, and from the backup after two more, and from the backup to the end."""
    for batches in (1, 2, -1):
        with contextlib.suppress(Stop):
            return train(callbacks=[BackupAndStop(Path(folder) / "backup.npz", batches)], **options)
    raise AssertionError("stopped without an end")


@contextlib.contextmanager
def busy(count):
    """The context in which so many processes keep the cores busy."""
    beside = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in beside:
            process.kill()
            process.wait()


def main(words):
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", choices=CHOSEN, default="all")
    parser.add_argument("--threads", default="auto", help="numbers, with commas")
    parser.add_argument("--resumed", action="store_true", help="stopped twice, and gone on from a backup")
    parser.add_argument("--busy", type=int, default=0, help="processes beside")
    parser.add_argument("--shards", type=int)
    parser.add_argument("--ranks", action="store_true", help="started by mpiexec")
    args = parser.parse_args(words)
    options = {"shards": args.shards} if args.shards else {}
    if args.ranks:
        from mpi4py import MPI
        options["comm"] = MPI.COMM_WORLD
    found = {}
    with tempfile.TemporaryDirectory() as folder, busy(args.busy):
        for threads in args.threads.split(","):
            nn.set_threads(threads if threads == "auto" else int(threads))
            hashes = found[threads] = {}
            for name in CHOSEN[args.networks]:
                train = NETWORKS[name]
                if args.resumed:
                    outcome = resumed(train, folder, **options)
                else:
                    outcome = train(**options)
                hashes[name] = hash_of(*outcome)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
