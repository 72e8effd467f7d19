"""Threads and processes: several models at once, a layer that can be entered once, a forked child."""
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import nnjit as nn


def trained(seed):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 20)) * (rng.random((300, 20)) < 0.3)
    y = rng.integers(3, size=300)
    model = nn.Sequential([nn.Dense(17), nn.Tanh(), nn.Dropout(0.5), nn.Dense(3)], head=nn.Categorical())
    model.fit(X, y, nn.Adam(0.01), epochs=3, batch_size=50, validation_data=(X, y), seed=seed, verbose=0)
    return b"".join(array.tobytes() for array in model.parameters().values())


def test_models_train_in_several_threads_at_once():
    alone = [trained(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(trained, range(4))) == alone


@pytest.mark.compiled
@pytest.mark.parametrize("N", [1, 100])
def test_a_model_predicts_in_several_threads_at_once(N):
    """A few rows, for which BLAS is left as it is, and many."""
    X = np.random.default_rng(0).normal(size=(N, 20))
    model = nn.Sequential([nn.Dense(300), nn.Tanh(), nn.Dense(3)], head=nn.Bernoulli()).build(20)
    alone = model.predict_proba(X)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda k: np.array_equal(model.predict_proba(X), alone), range(500)))


WORKQUEUE = """
import sys
sys.path.insert(0, TESTS)
import test_threads as tests
from nnjit._numba import threads
assert threads.threading_layer() == "workqueue"
tests.test_models_train_in_several_threads_at_once()
for N in (1, 100):
    tests.test_a_model_predicts_in_several_threads_at_once(N)
print('"done"')
"""


@pytest.mark.compiled
def test_a_layer_that_cannot_be_entered_twice(run_python):
    """Numba ends the process where two threads are in the workqueue layer."""
    tests = repr(__file__.rpartition("/")[0])
    assert run_python(WORKQUEUE.replace("TESTS", tests), NUMBA_THREADING_LAYER="workqueue") == "done"


FORK = """
import json, os
import numpy as np
import nnjit as nn
X, y = np.eye(300), np.arange(300) % 3
model = nn.Sequential([nn.Dense(200), nn.Tanh(), nn.Dense(3)], head=nn.Categorical())
model.fit(X, y, nn.SGD(0.1), verbose=0)
answers = []
for use in (lambda: model.evaluate(X, y), lambda: model.predict(X[:1])):
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            use()
            answer = "no error"
        except RuntimeError as error:
            answer = str(error)
        os.write(writing, answer.encode())
        os._exit(0)
    os.wait()
    os.close(writing)
    answers.append(os.read(reading, 10000).decode())
print(json.dumps(answers))
"""


@pytest.mark.compiled
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_forked_child_gets_an_error(run_python):
    for answer in run_python(FORK, NUMBA_THREADING_LAYER="omp", PYTHONWARNINGS="ignore"):
        assert answer.startswith("nnjit: got a process forked") and "expected" in answer and "spawn" in answer
