"""Threads and processes: several models at once, shared work, each layer, children of every kind."""
import contextlib
import functools
import importlib.util
import itertools
import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import joblib
import numba
import numpy as np
import pytest

import nnjit as nn
from nnjit._numba import race, share, threads


def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 20)) * (rng.random((300, 20)) < 0.3)
    return X, rng.integers(3, size=300)


def trained(seed, units=17, batch_size=50):
    X, y = data()
    model = nn.Sequential([nn.Dense(units), nn.Tanh(), nn.Dropout(0.5), nn.Dense(3)], head=nn.Categorical())
    model.fit(X, y, nn.Adam(0.01), epochs=3, batch_size=batch_size, validation_data=(X, y), seed=seed,
              verbose=0)
    return b"".join(array.tobytes() for array in model.parameters().values())


@pytest.fixture
def model():
    return nn.Sequential([nn.Dense(300), nn.Tanh(), nn.Dense(3)], head=nn.Bernoulli()).build(20)


# ---- Python threads ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("units, batch_size", [
    (17, 50), pytest.param(600, 300, marks=pytest.mark.compiled)])
def test_models_train_in_several_threads_at_once(units, batch_size):
    """Also where products are so large that BLAS would share them out itself."""
    train = functools.partial(trained, units=units, batch_size=batch_size)
    alone = [train(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(train, range(4))) == alone


@pytest.mark.compiled
def test_blas_uses_one_thread_in_a_region_of_any_thread():
    def inside():
        with threads.parallel_region():
            return {library["num_threads"] for library in threads.blas_libraries()}

    before = [library["num_threads"] for library in threads.blas_libraries()]
    assert inside() == {1}
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(inside).result() == {1}
    assert [library["num_threads"] for library in threads.blas_libraries()] == before


@pytest.mark.compiled
@pytest.mark.parametrize("N, calls", [(1, 500), (100, 500), (9000, 30)])
def test_a_model_predicts_in_several_threads_at_once(model, N, calls):
    """A few rows, one block of them, and several blocks."""
    X = np.random.default_rng(0).normal(size=(N, 20))
    alone = model.predict_proba(X)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda k: np.array_equal(model.predict_proba(X), alone), range(calls)))


# ---- their number ------------------------------------------------------------------------------------------

@pytest.fixture
def automatic():
    """The number of threads is raced, whatever a test sets."""
    nn.set_threads("auto")
    yield
    nn.set_threads("auto")


def outcome(X, y):
    model = nn.Sequential([nn.Dense(40), nn.ReLU(), nn.Dense(3)], head=nn.Categorical())
    model.fit(X, y, nn.Adam(0.01), epochs=4, batch_size=30, validation_data=(X, y), verbose=0)
    history = model.history.history
    return [model.vector.tobytes(), history["loss"], history["val_loss"], model.predict_proba(X).tobytes(),
            model.evaluate(X, y)]


@pytest.mark.compiled
def test_the_bits_are_the_same_however_the_race_goes(automatic, monkeypatch):
    """Every batch with another number of threads, every evaluation by other means."""
    X = np.random.default_rng(0).normal(size=(7000, 20)).astype("float32")
    y = np.arange(7000) % 3
    by_number = []
    for n in {1, numba.config.NUMBA_NUM_THREADS}:
        nn.set_threads(n)
        by_number.append(outcome(X, y))
    nn.set_threads("auto")
    numbers, used = itertools.cycle(range(1, numba.config.NUMBA_NUM_THREADS + 1)), set()

    def measured(self, batches, waits):
        for batch in batches:
            self.threads = next(numbers)
            numba.set_num_threads(self.threads)
            used.add(numba.get_num_threads())
            yield batch

    monkeypatch.setattr(race.Race, "_measured", measured)
    by_number.append(outcome(X, y))
    assert len(used) == numba.config.NUMBA_NUM_THREADS
    assert all(found == by_number[0] for found in by_number)


def test_automatic_is_the_default_and_comes_back(automatic):
    assert threads.fixed_threads() is None
    most = nn.get_threads()
    nn.set_threads(1)
    assert nn.get_threads() == threads.fixed_threads() == 1
    nn.set_threads("auto")
    assert nn.get_threads() == most and threads.fixed_threads() is None


def test_a_fixed_number_holds_in_every_thread(automatic, model):
    nn.set_threads(1)
    seen = []

    class Spy(nn.Layer):
        def forward(self, x, out, ctx):
            seen.append(numba.get_num_threads())
            return x

    spied = nn.Sequential([Spy(), nn.Dense(2)], nn.Categorical()).build(5)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(spied.predict, np.zeros((9000, 5))).result()
        pool.submit(spied.fit, np.zeros((90, 5)), np.arange(90) % 2, nn.SGD(0.1), verbose=0).result()
    assert set(seen) == {1}


@pytest.mark.compiled
def test_what_numba_uses_outside_is_left_as_it_was(automatic, model):
    most = numba.config.NUMBA_NUM_THREADS
    X, y = np.zeros((9000, 20)), np.zeros((9000, 3))
    for n in {1, most}:
        numba.set_num_threads(n)
        model.fit(X, y, nn.SGD(0.1), validation_data=(X, y), verbose=0)
        for use in (model.predict, model.predict_proba, model.activations):
            use(X), use(X[:1])
        model.evaluate(X, y)
        assert numba.get_num_threads() == n
        assert nn.get_threads() == n    # it is the most that nnjit takes
    numba.set_num_threads(most)


SPINNING = """
import json, os, sys
before = dict(os.environ)
import nnjit as nn
seen, load = [], os.environ.get
import numba.np.ufunc
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.endswith("omppool"):
            seen.append([os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_WAIT_POLICY")])
sys.meta_path.insert(0, Finder())
started = "numba.np.ufunc.omppool" in sys.modules
nn.Sequential([nn.Dense(2)], nn.Categorical()).build(3).predict([[1.0, 2.0, 3.0]] * 20)
print(json.dumps([started, seen, dict(os.environ) == before]))
"""


@pytest.mark.compiled
@pytest.mark.skipif(sys.platform != "linux", reason="GNU OpenMP")
@pytest.mark.parametrize("given, expected", [({}, ["10000", None]), ({"GOMP_SPINCOUNT": "7"}, ["7", None]),
                                             ({"OMP_WAIT_POLICY": "active"}, [None, "active"])])
def test_spinning_is_bounded_unless_the_user_says_how(run_python, monkeypatch, given, expected):
    """The bound is there when OpenMP's library is loaded, and at no other time."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    started, seen, same = run_python(SPINNING, NUMBA_THREADING_LAYER="omp", **given)
    assert not started and seen == [expected] and same


# ---- shared work -------------------------------------------------------------------------------------------

@contextlib.contextmanager
def squaring():
    yield lambda k: k * k


@pytest.fixture
def two_threads(monkeypatch):
    if numba.config.DISABLE_JIT or not threads.LAYERS[threads.threading_layer()].entered_twice:
        pytest.skip("no work is shared")
    monkeypatch.setattr(share, "get_threads", lambda: 2)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_shared_work_comes_back_in_order(two_threads, count):
    for _ in range(20):
        assert share.share(squaring, count) == [k * k for k in range(count)]


def test_threads_that_share_work_use_one_for_their_kernels(two_threads):
    begun, both = set(), threading.Event()

    @contextlib.contextmanager
    def worker():
        begun.add(threading.get_ident())
        if len(begun) == 2:
            both.set()
        both.wait(60)    # both take part
        yield lambda k: (threading.get_ident(), numba.get_num_threads())

    found = share.share(worker, 40)
    assert {n for _, n in found} == {1}


def test_a_part_that_does_not_come_back_is_done_once_more(two_threads):
    """As where another process has taken the helper's core."""
    put_aside, main = threading.Event(), threading.get_ident()

    @contextlib.contextmanager
    def worker():
        yield part

    def part(k):
        if threading.get_ident() == main:
            time.sleep(0.01)
            return "main", k
        put_aside.wait(30)
        return "helper", k

    begin = time.perf_counter()
    assert share.share(worker, 10) == [("main", k) for k in range(10)]
    assert time.perf_counter() - begin < 5
    put_aside.set()


def test_the_first_error_of_shared_work_is_raised(two_threads):
    @contextlib.contextmanager
    def worker():
        yield part

    def part(k):
        if k in (7, 30):
            raise ValueError(f"part {k}")
        return k

    for _ in range(20):
        with pytest.raises(ValueError, match="part 7"):
            share.share(worker, 40)


def test_an_interrupt_ends_shared_work(two_threads):
    done, main = [], threading.get_ident()

    @contextlib.contextmanager
    def worker():
        yield part

    def part(k):
        done.append(k)
        if threading.get_ident() == main:
            raise KeyboardInterrupt
        time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        share.share(worker, 1000)
    time.sleep(0.1)
    assert len(done) < 100


@pytest.mark.compiled
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores can't be chosen")
def test_the_cores_of_a_thread_are_left_as_they_were(model):
    before = os.sched_getaffinity(0)
    model.predict(np.zeros((9000, 20)))
    assert os.sched_getaffinity(0) == before


# ---- the layers, and children ------------------------------------------------------------------------------

def test_every_layer_of_numba_is_known():
    assert set(numba.config.THREADING_LAYER_PRIORITY) == set(threads.LAYERS)


def has_tbb():
    """Return whether there is TBB, and this Numba was built with its layer, as not every one is."""
    built = importlib.util.find_spec("numba.np.ufunc.tbbpool") is not None
    return built and any(Path(sys.prefix, "lib").glob("libtbb.so.12"))


LAYER = """
import os, sys
sys.path.insert(0, TESTS)
import pytest
printed = os.dup(1)
os.dup2(2, 1)
assert pytest.main(["-q", "-p", "no:cacheprovider", "-c", os.devnull, FILE, "-k", CHOSEN]) == 0
from nnjit._numba import threads
assert threads.threading_layer() == LAYER
os.write(printed, b'"done"')
"""


@pytest.mark.compiled
@pytest.mark.parametrize("layer", ["omp", "workqueue", pytest.param("tbb", marks=pytest.mark.skipif(
    not has_tbb(), reason="TBB is not installed"))])
def test_each_layer(run_python, layer):
    """The same tests in each, TBB found where its wheel lies. Numba ends the process where two threads are in
    the workqueue layer.
    """
    code = LAYER.replace("TESTS", repr(__file__.rpartition("/")[0])).replace("FILE", repr(__file__))
    code = code.replace("CHOSEN", repr("several_threads or the_bits_are or share or left_as"))
    code = code.replace("LAYER", repr(layer))
    assert run_python(code, NUMBA_THREADING_LAYER=layer, LD_LIBRARY_PATH="") == "done"


FORK = """
import json, os
import numpy as np
import nnjit as nn
X, y = np.eye(300), np.arange(300) % 3
def use():
    model = nn.Sequential([nn.Dense(200), nn.Tanh(), nn.Dense(3)], head=nn.Categorical())
    model.fit(X, y, nn.SGD(0.1), validation_data=(X, y), verbose=0)
    many = np.linspace(-1, 1, 9000 * 300).reshape(9000, 300)
    found = model.evaluate(X, y)["loss"], model.logits(many).sum(), model.predict(X[:1])[0]
    return list(map(float, found))
alone, answers = use(), []
small = nn.Sequential([nn.Dense(1)], nn.Gaussian()).build(2)
for part in (use, lambda: small.predict([[1.0, 2.0]]).tolist()):
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            answer = part()
        except RuntimeError as error:
            answer = str(error)
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.wait()
    os.close(writing)
    answers.append(json.loads(os.read(reading, 10000)))
print(chr(10) + json.dumps([alone, answers]))
"""


@pytest.mark.compiled
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_forked_child_gets_an_error_where_threads_do_not_survive(run_python):
    _, answers = run_python(FORK, NUMBA_THREADING_LAYER="omp", PYTHONWARNINGS="ignore")
    for answer in answers:
        assert answer.startswith("nnjit: got a process forked") and "expected" in answer and "spawn" in answer


@pytest.mark.compiled
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.parametrize("layer", ["workqueue", pytest.param("tbb", marks=pytest.mark.skipif(
    not has_tbb(), reason="TBB is not installed"))])
def test_a_forked_child_trains_and_predicts_where_they_do(run_python, layer):
    alone, answers = run_python(FORK, NUMBA_THREADING_LAYER=layer, PYTHONWARNINGS="ignore")
    assert answers[0] == alone


@pytest.mark.compiled
def test_children_of_every_other_kind_come_to_the_same_bits():
    """After kernels have run here: a spawned process, an executor's, and joblib's."""
    alone = [trained(seed) for seed in (0, 1)]
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1) as pool:
        assert pool.map(trained, (0, 1)) == alone
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        assert list(pool.map(trained, (0, 1))) == alone
    assert joblib.Parallel(2, backend="loky")(joblib.delayed(trained)(seed) for seed in (0, 1)) == alone
