"""Memory: where arrays begin, how rows are padded, how named arrays share a vector; what a process keeps."""
import doctest
import sys

import pytest
from scale import times

from nnjit import memory


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(0,), (3, 5), (1, 511), (64, 64), (65, 129)])
def test_aligned_arrays_are_zeros_and_large_ones_begin_at_a_cache_line(shape, dtype):
    array = memory.aligned(shape, dtype)
    assert array.shape == shape and array.dtype == dtype and not array.any()
    assert array.nbytes < 64 * memory.CACHE_LINE or array.ctypes.data % memory.CACHE_LINE == 0


@pytest.mark.parametrize("shape, dtype, stored", [
    ((3, 3), "float64", (3, 3)), ((3, 4), "float64", (3, 8)), ((3, 8), "float64", (3, 8)),
    ((3, 9), "float64", (3, 16)),
    ((3, 7), "float32", (3, 7)), ((3, 10), "float32", (3, 16)), ((2, 64), "float64", (2, 72)),
    ((2, 128), "float32", (2, 144)), ((5,), "float64", (5,)), ((2, 2, 2, 20), "float64", (2, 2, 2, 20))])
def test_rows_are_padded_to_whole_lines_of_an_odd_number(shape, dtype, stored):
    assert memory.padded_shape(shape, dtype) == stored


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_layout_gives_views_that_share_no_number(dtype):
    shapes = {"0.W": (7, 20), "0.b": (20,), "1.b": (0,), "2.W": (3, 3, 2, 5)}
    layout = memory.Layout(shapes, dtype)
    vector, other = layout.zeros(), layout.zeros()
    for number, (name, array) in enumerate(layout.views(vector).items()):
        assert array.shape == shapes[name]
        array[:] = number + 1
    for number, (name, array) in enumerate(layout.stored(vector).items()):
        offset, stored, shape = layout.places[name]
        assert shape == shapes[name] and array.shape == stored == memory.padded_shape(shape, dtype)
        assert offset * array.itemsize % memory.CACHE_LINE == 0
        assert (array[..., :shape[-1]] == number + 1).all() and not array[..., shape[-1]:].any()
    assert not other.any() and vector.size == layout.size


def test_the_example():
    assert doctest.testmod(memory, raise_on_error=True).attempted


# ---- what a process keeps ----------------------------------------------------------------------------------

KEPT = """
import contextlib, gc, json, os, pickle
import numpy as np
import nnjit as nn

rng = np.random.default_rng(0)
X, y = rng.normal(size=(2000, 16)).astype("float32"), rng.integers(3, size=2000)

def network(*first):
    return nn.Sequential([*first, nn.Dense(8), nn.Tanh(), nn.Dropout(0.5), nn.Dense(3)], nn.Categorical())

def fit(model, rows, X=X, epochs=1, **more):
    model.fit(X[:rows], y[:rows], nn.Adam(), epochs=epochs, verbose=0, validation_data=(X[:50], y[:50]),
              **more)
    return model

def fail(model, epoch, logs):
    raise KeyError

def save(k):
    model.save("model.npz")
    nn.load("model.npz")

def stop(k):
    with contextlib.suppress(KeyError):
        fit(network(), 100, callbacks=[fail])

def refuse(k):
    with contextlib.suppress(ValueError):
        model.predict(np.full((1 + k % 7, 16), np.nan))

model = fit(network(), 200)
JOBS = {
    "fits": lambda k: fit(network(), 100 + k % 7),
    "fits of convolutions": lambda k: fit(network(nn.Conv2D(2, 3), nn.Flatten()), 30, X.reshape(-1, 4, 4, 1)),
    "fits of recurrent layers": lambda k: fit(network(nn.GRU(4)), 30, X.reshape(-1, 4, 4)),
    "trainings that an error ends": stop,
    "predictions": lambda k: model.predict_proba(X[:1 + 37 * k % 1999]),
    "rows that are refused": refuse,
    "evaluations": lambda k: model.evaluate(X[:1 + k % 99], y[:1 + k % 99]),
    "saved and loaded models": save,
    "pickled models": lambda k: pickle.loads(pickle.dumps(model)).predict(X[:3])}

def used():
    gc.collect()
    with open("/proc/self/status") as file:
        status = dict(line.split(":") for line in file)
    return [int(status["VmRSS"].split()[0]), len(gc.get_objects()), int(status["Threads"]),
            len(os.listdir("/proc/self/fd"))]

def measured(job):
    for k in range(N):
        if k == N // 4:    # everything has been used once
            before = used()
        job(k)
    return [after - first for after, first in zip(used(), before)]

grown = {name: measured(job) for name, job in JOBS.items()}

def note(model, epoch, logs):
    if epoch in (N // 4, N - 1):
        marks.append(used())

marks = []
fit(network(), 200, epochs=N, callbacks=[note])
grown["epochs"] = [after - first for after, first in zip(marks[1], marks[0])]
print(json.dumps(grown))
"""


@pytest.mark.compiled
@pytest.mark.torture
@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells of a process")
def test_a_process_keeps_nothing(run_python, count):
    """Neither memory, nor objects, threads or open files grow, once everything has been used."""
    N = times(24, 1000)
    grown = run_python(f"N = {N}\n{KEPT}")
    for job, (kilobytes, objects, threads, files) in grown.items():
        assert kilobytes < 2048 and objects < 20 and threads <= 0 and files <= 0, (job, grown)
        count(f"repetitions after which a process has kept nothing: {job}", N)
