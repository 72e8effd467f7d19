"""A soak: a model answers in eight threads while another trains, and is saved, copied, sent to processes."""
import itertools
import multiprocessing
import pickle
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from scale import TORTURE, times

import nnjit as nn
from nnjit.estimators import MLPClassifier

pytestmark = [pytest.mark.compiled, pytest.mark.torture]

THREADS, ROWS = 8, 2000
rng = np.random.default_rng(0)
X = (rng.normal(size=(ROWS, 20)) * (rng.random((ROWS, 20)) < 0.5)).astype("float32")
y = np.argmax(X[:, :3], axis=1)


def trained(seed):
    model = nn.Sequential([nn.Dense(64), nn.Tanh(), nn.Dropout(0.3), nn.Dense(3)], nn.Categorical())
    model.fit(X, y, nn.Adam(0.01), epochs=3, batch_size=100, validation_data=(X, y), seed=seed, verbose=0)
    return model


def answers(estimator, slices):
    """Return what an estimator or a model answers to some rows each, as bytes."""
    return [estimator.predict_proba(X[part]).tobytes() for part in slices]


def some_slices(number):
    """Return single rows, mostly, and small batches, in an order of their own."""
    draw = np.random.default_rng(number)
    begins, sizes = draw.integers(ROWS - 64, size=500), draw.choice([1, 1, 1, 1, 1, 1, 2, 7, 33, 64], 500)
    return [slice(begin, begin + size) for begin, size in zip(begins.tolist(), sizes.tolist())]


class Job:
    """What one thread does over and over: each time it must come to what came of it alone."""

    def __init__(self, function, arguments=((),)):
        self.function, self.arguments = function, [tuple(given) for given in arguments]
        self.expected = [function(*given) for given in self.arguments]
        self.seconds = []

    def run(self, end):
        for given, expected in itertools.cycle(zip(self.arguments, self.expected)):
            begin = time.perf_counter()
            found = self.function(*given)
            self.seconds.append(time.perf_counter() - begin)
            assert found == expected, given
            if time.monotonic() > end:
                return


def test_a_model_answers_in_eight_threads_while_another_trains(tmp_path, count):
    """Every answer is what the model answers alone, to the bit; so is what is saved, or copied, meanwhile."""
    model = trained(0)

    def predict(part):
        return model.predict_proba(X[part]).tobytes()

    def save():
        model.save(tmp_path / "model.npz")
        return nn.load(tmp_path / "model.npz").vector.tobytes()

    def copy():
        return answers(pickle.loads(pickle.dumps(model)), some_slices(99)[:50])

    readers = [Job(predict, [(part,) for part in some_slices(number)]) for number in range(THREADS)]
    others = [Job(lambda: trained(1).vector.tobytes()), Job(save), Job(copy)]
    end = time.monotonic() + times(3, 120)
    with ThreadPoolExecutor(THREADS + len(others)) as pool:
        for future in [pool.submit(job.run, end) for job in [*readers, *others]]:
            future.result()
    taken = np.concatenate([job.seconds for job in readers]) * 1e6
    assert len(taken) > 100 * THREADS and all(job.seconds for job in others)
    count("soak: answers in eight threads, to the bit", len(taken))
    for job, what in zip(others, ("trainings", "saved and loaded models", "pickled models")):
        count(f"soak: {what} beside them, to the bit", len(job.seconds))
    for share, name in ((50, "the median"), (99, "99 %"), (99.9, "99.9 %")):
        count(f"soak: microseconds that an answer takes, {name}", round(np.percentile(taken, share)))


@pytest.mark.skipif(not TORTURE, reason="takes a while where two threads leave the processes no core")
def test_an_estimator_goes_to_processes_while_threads_use_it(count):
    """To spawned ones, which get its pickle, while two threads predict here."""
    estimator = MLPClassifier((20,), random_state=0).partial_fit(X, y, classes=range(3))
    parts = [some_slices(number)[:100] for number in range(40)]
    alone, over = [answers(estimator, part) for part in parts], threading.Event()

    def use():
        while not over.is_set():
            assert answers(estimator, parts[0]) == alone[0]

    spawn = multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2, mp_context=spawn) as processes:
        users = [threads.submit(use) for _ in range(2)]
        try:
            assert list(processes.map(answers, [estimator] * len(parts), parts)) == alone
        finally:
            over.set()
    for user in users:
        user.result()
    count("estimators sent to other processes", len(parts))
