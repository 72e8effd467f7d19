"""Files that are mapped into memory: they are trained on as arrays are, and never copied as a whole."""
import os

import numpy as np
import pytest

import nnjit as nn
from nnjit.inputs import rows as rows_module
from nnjit.inputs.checks import as_numbers, is_map


def mapped(tmp_path, values, mode="r", name="X.npy"):
    np.save(tmp_path / name, values)
    return np.load(tmp_path / name, mmap_mode=mode)


def outcome(X, y, **options):
    model = nn.Sequential([nn.Dense(5), nn.Tanh(), nn.Dense(3)], nn.Categorical())
    model.fit(X, y, nn.Adam(0.05), 3, batch_size=16, validation_data=(X, y), seed=1, verbose=0, **options)
    return [model.vector.tobytes(), model.history.history["val_loss"], model.predict_proba(X).tobytes(),
            model.evaluate(X, y)]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("mode", ["r", "c", "r+"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("density", [0.2, 1.0])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_map_is_trained_on_as_an_array_is(tmp_path, monkeypatch, large, mode, dtype, density, shuffle):
    rng = np.random.default_rng(0)
    X = (rng.integers(1, 9, (60, 20)) * (rng.random((60, 20)) < density)).astype(dtype)
    y = rng.integers(3, size=60)
    if large:
        monkeypatch.setattr(rows_module, "LARGE_MAP_BYTES", 0)
        monkeypatch.setattr("nnjit.inputs.batches.CACHED_BATCH_BYTES", 0)
    given = mapped(tmp_path, X, mode), mapped(tmp_path, y, mode, "y.npy")
    assert outcome(*given, shuffle=shuffle) == outcome(X, y, shuffle=shuffle)
    np.testing.assert_array_equal(np.load(tmp_path / "X.npy"), X)


def test_a_read_only_map_is_not_copied(tmp_path):
    X = mapped(tmp_path, np.arange(12.0).reshape(3, 4))
    found = as_numbers("X", X)
    assert found.flags.writeable and found.ctypes.data == X.ctypes.data
    assert is_map(found) and is_map(found[1:])
    del X
    assert found.sum() == 66    # the file stays mapped


def test_other_read_only_arrays_are_copied():
    X = np.arange(3.0)
    X.flags.writeable = False
    assert not np.shares_memory(as_numbers("X", X), X) and not is_map(X)


def test_what_is_not_finite_in_a_map_is_refused(tmp_path):
    X = np.ones((50, 4))
    X[40, 2] = np.nan
    with pytest.raises(ValueError, match="X: got NaN or infinity"):
        outcome(mapped(tmp_path, X), np.arange(50) % 3)


MEMORY = """
import json, re
import numpy as np
import nnjit as nn

def anonymous():    # in MB: what no file backs
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

X = np.load("X.npy", mmap_mode="r")
y = np.arange(len(X)) % 2
peaks = []
def train(X, y):
    model = nn.Sequential([nn.Dense(2)], nn.Categorical())
    watch = nn.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: peaks.append(anonymous()))
    model.fit(X, y, nn.SGD(1e-3), 2, batch_size=200, validation_split=0.25, callbacks=[watch], verbose=0)
    model.evaluate(X, y), model.predict(X)
    peaks.append(anonymous())
train(X[:2000], y[:2000])    # kernels, BLAS
peaks.clear()
before = anonymous()
train(X, y)
print(json.dumps(max(peaks) - before))
"""


@pytest.mark.compiled
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux tells how much memory there is")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_large_map_takes_little_memory(run_python, tmp_path, dtype):
    rows, some = 40_000, np.random.default_rng(0).random((1000, 1000)).astype(dtype)    # 160 or 320 MB
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", dtype, (rows, 1000))
    for first in range(0, rows, 1000):
        X[first:first + 1000] = some
    X.flush()
    del X
    assert run_python(MEMORY) < 60
