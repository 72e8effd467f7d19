"""The book's experiments: the runs follow the published algorithm, and its spread over seeds."""
import functools
from dataclasses import replace

import naive
import numba
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from nnjit import book, datasets

COMPILED = not numba.config.DISABLE_JIT
GRADIENTS = {"book": "literal", "exact": "exact"}    # and their keys in book.json
EXPERIMENTS = pytest.mark.parametrize("name, gradient", [(n, g) for n in ("tanh", "relu") for g in GRADIENTS])


def follow(name, gradient, data, seed, iterations):
    """Return what the naive algorithm comes to, see `naive.book`."""
    (x, y), (x_test, y_test) = data.rows("float64", book.TRAIN_SIZE)
    with threadpool_limits(1):
        return naive.book(name, gradient == "book", (x, y, x_test, y_test), seed, iterations)


def check_accuracies(got_train, got_test, train, test, images):
    """At every row that `naive.book` reports: within 1 of 1,000 training images, 2 of 10,000 test images."""
    assert len(got_train) == len(got_test) == len(test)
    for iteration, got_train_accuracy, got_test_accuracy in zip(test, got_train, got_test):
        assert abs(got_train_accuracy - train[iteration]) < 1.5 / book.TRAIN_SIZE, iteration
        assert abs(got_test_accuracy - test[iteration]) < 2.5 / images, iteration


def check_weights(run, weights):
    for name, expected in zip(("0.W", "3.W"), weights):
        np.testing.assert_allclose(run.model.parameters()[name], expected, rtol=1e-9,
                                   atol=1e-12 * np.abs(expected).max())


# ---- without MNIST -----------------------------------------------------------------------------------------

@pytest.fixture
def small(monkeypatch):
    """The embedded digits; where kernels are Python, a few of their pixels, and one batch of images."""
    data = datasets.load_digits()
    if COMPILED:
        return data
    monkeypatch.setattr(book, "TRAIN_SIZE", book.BATCH_SIZE)
    return replace(data, x_train=data.x_train[:100, 10:14, 10:15], y_train=data.y_train[:100],
                   x_test=data.x_test[:20, 10:14, 10:15], y_test=data.y_test[:20])


@EXPERIMENTS
def test_follows_the_algorithm_on_the_digits(small, name, gradient):
    iterations = 12 if COMPILED else 2
    run = book.run(name, gradient, seed=3, data=small, iterations=iterations)
    weights, train, test = follow(name, gradient, small, 3, iterations)
    assert run.iteration == list(range(iterations))
    for figures in (run.train_loss, run.train_accuracy, run.test_accuracy, run.seconds):
        assert len(figures) == iterations
    check_accuracies([run.train_accuracy[i] for i in test], [run.test_accuracy[i] for i in test], train, test,
                     len(small.x_test))
    check_weights(run, weights)


def test_the_gradients_differ(small):
    literal, exact = (book.run("tanh", gradient, data=small, iterations=1).model.parameters()
                      for gradient in GRADIENTS)
    assert not np.allclose(literal["0.W"], exact["0.W"], rtol=1e-3)


def test_float32_stays_near_float64(small):
    runs = [book.run("relu", seed=1, dtype=dtype, data=small, iterations=2)
            for dtype in ("float32", "float64")]
    for name in ("0.W", "3.W"):
        first, second = (run.model.parameters()[name] for run in runs)
        assert (first.dtype, second.dtype) == (np.float32, np.float64)
        np.testing.assert_allclose(first, second, atol=1e-4)


@pytest.mark.parametrize("bad, expected", [
    ({"name": "gelu"}, "name: got 'gelu', expected 'tanh' or 'relu'"),
    ({"gradient": "true"}, "gradient: got 'true', expected 'book' or 'exact'"),
    ({"iterations": 0}, "iterations: got 0, expected at least 1"),
    ({"seed": -1}, "seed: got -1, expected at least 0"),
    ({"seed": 2**32}, "seed: got 4294967296, expected"),
    ({"dtype": "float16"}, "dtype: got .*float16.*, expected"),
])
def test_bad_options(small, bad, expected):
    with pytest.raises(ValueError, match=expected) as caught:
        book.run(**{"name": "tanh", "data": small, **bad})
    assert "\n" not in str(caught.value)


def test_published_rows():
    published = book.published()
    for experiment in book.EXPERIMENTS.values():
        table = published[experiment.key]
        last = experiment.iterations
        assert [row["iteration"] for row in table["printed"]] == list(range(0, last, 10))
        for gradient in GRADIENTS.values():
            assert [row["iteration"] for row in table[gradient]["rows"]] == [*range(0, last, 10), last - 1]
    assert published["tanh_softmax"]["printed"][0] == {"iteration": 0, "test": 0.4141, "train": 0.159}


# ---- on MNIST ----------------------------------------------------------------------------------------------

def reported(name):
    """Return the iterations of the rows: every tenth and the last."""
    last = book.EXPERIMENTS[name].iterations
    return [*range(0, last, 10), last - 1]


@functools.cache
def full_run(name, gradient, seed, dtype):
    """Return train and test accuracy of a whole run at the reported rows, where only it is evaluated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book.Sequential, "fit", functools.partialmethod(book.Sequential.fit, validate_every=10))
        run = book.run(name, gradient, seed, dtype, data=datasets.load_mnist(download=False))
    return [run.train_accuracy[i] for i in reported(name)], run.test_accuracy


@pytest.mark.compiled
@EXPERIMENTS
def test_follows_the_algorithm_on_mnist_for_ten_iterations(mnist, name, gradient):
    run = book.run(name, gradient, seed=0, iterations=10, data=mnist)
    weights, train, test = follow(name, gradient, mnist, 0, 10)
    check_weights(run, weights)
    check_accuracies([run.train_accuracy[i] for i in test], [run.test_accuracy[i] for i in test], train, test,
                     10_000)


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_follows_the_algorithm_on_mnist_to_the_end(mnist, name):
    """With the book's gradient; of the exact one, as slow in naive.py, ten iterations are compared."""
    _, train, test = follow(name, "book", mnist, 0, book.EXPERIMENTS[name].iterations)
    assert list(test) == reported(name)
    check_accuracies(*full_run(name, "book", 0, "float64"), train, test, 10_000)


@pytest.mark.compiled
@pytest.mark.parametrize("seed", range(5))
@EXPERIMENTS
def test_stays_within_the_spread_over_seeds(mnist, name, gradient, seed):
    """Within 4 standard deviations at every row; seeds from 1 on in float32."""
    rows = book.published()[book.EXPERIMENTS[name].key][GRADIENTS[gradient]]["rows"]
    train, test = full_run(name, gradient, seed, "float32" if seed else "float64")
    assert len(train) == len(test) == len(rows)
    for row, train_accuracy, test_accuracy in zip(rows, train, test):
        assert abs(train_accuracy - row["train_mean"]) <= 4 * row["train_sd"], row
        assert abs(test_accuracy - row["test_mean"]) <= 4 * row["test_sd"], row
