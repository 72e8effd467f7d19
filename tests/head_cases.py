"""The heads that the tests go through, and what the tests of heads share."""
import math
import warnings

import numpy as np
import pytest

import nnjit as nn

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
N = 11


def squared_error(activation):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.SquaredError(activation)


def numbers(rng, N, units):
    return rng.normal(size=(N, units))


def counts(rng, N, units):
    return rng.poisson(2, size=(N, units))


def rates(rng, N, units):
    return rng.exponential(2, size=(N, units))


def answers(rng, N, units):
    return rng.integers(2, size=(N, units))


def soft_answers(rng, N, units):
    return rng.random((N, units))


def labels(rng, N, units):
    return rng.integers(units, size=N)


def one_hot_rows(rng, N, units):
    return np.eye(units)[labels(rng, N, units)]


def soft_rows(rng, N, units):
    return rng.dirichlet(np.ones(units), size=N)


def ranks(rng, N, units):
    return np.append(rng.integers(4, size=N - 1), 3)


def several(rng, N, units):
    return {"type": labels(rng, N, 3), "size": ranks(rng, N, 1), "age": numbers(rng, N, 1)[:, 0]}


def many_heads():
    return nn.Heads(type=nn.Categorical(class_weight=[1, 2, 3]), size=nn.Ordinal(4), age=nn.Gaussian(),
                    units={"type": 3, "size": 1, "age": 1}, weights={"size": 0.5, "age": 2})


# name: a head, units, targets
CASES = {
    "Gaussian": (nn.Gaussian, 1, numbers), "Gaussian, 3 units": (nn.Gaussian, 3, numbers),
    "Gaussian, in its unit": (lambda: nn.Gaussian(loc=[2, 0, -1], scale=[0.5, 2, 1]), 3, numbers),
    "Laplace, in its unit": (lambda: nn.Laplace(loc=2, scale=0.5), 1, numbers),
    "Huber, in its unit": (lambda: nn.Huber(0.3, loc=2, scale=0.5), 3, numbers),
    "Laplace": (nn.Laplace, 1, numbers), "Laplace, 3 units": (nn.Laplace, 3, numbers),
    "Huber": (nn.Huber, 1, numbers), "Huber, 3 units": (lambda: nn.Huber(0.3), 3, numbers),
    "Poisson": (nn.Poisson, 1, counts), "Poisson, 3 units": (nn.Poisson, 3, counts),
    "Bernoulli": (nn.Bernoulli, 1, answers), "Bernoulli, soft": (nn.Bernoulli, 1, soft_answers),
    "Bernoulli, 3 units": (nn.Bernoulli, 3, answers),
    "Bernoulli, weighted": (lambda: nn.Bernoulli(0.3, pos_weight=[3, 0.5, 1]), 3, soft_answers),
    "Categorical": (nn.Categorical, 4, labels), "Categorical, soft": (nn.Categorical, 4, soft_rows),
    "Categorical, temperature": (lambda: nn.Categorical(2.5), 4, labels),
    "Categorical, smooth": (lambda: nn.Categorical(label_smoothing=0.2), 4, labels),
    "Categorical, weighted": (lambda: nn.Categorical(class_weight={0: 3, 2: 0.5}), 4, labels),
    "Categorical, all": (lambda: nn.Categorical(0.5, 0.1, [1, 2, 3, 4]), 4, soft_rows),
    "Ordinal": (lambda: nn.Ordinal(4), 1, ranks),
    "Ordinal, 2 classes": (lambda: nn.Ordinal(2), 1, lambda *a: ranks(*a) % 2),
    "SquaredError, linear": (lambda: squared_error("linear"), 3, numbers),
    "SquaredError, sigmoid": (lambda: squared_error("sigmoid"), 3, soft_answers),
    "SquaredError, softmax": (lambda: squared_error("softmax"), 4, labels),
    "Heads": (many_heads, 5, several),
}
EACH = pytest.mark.parametrize("name", CASES)
# beginning of a name: all kinds of targets that such a head takes, where there are several
KINDS = {"Poisson": (counts, rates), "Bernoulli": (answers, soft_answers),
         "SquaredError, sigmoid": (answers, soft_answers),
         "Categorical": (labels, one_hot_rows, soft_rows),
         "SquaredError, softmax": (labels, one_hot_rows, soft_rows)}
CLASSIFIERS = [name for name in CASES
               if name.startswith(("Bernoulli", "Categorical", "Ordinal", "SquaredError, s"))]
REGRESSIONS = [name for name in CASES if name.startswith(("Gaussian", "Laplace", "Huber", "Poisson",
                                                          "SquaredError, l"))]


def kinds_of_targets(name):
    """Return the functions that draw each kind of targets which the head takes."""
    return next((kinds for begin, kinds in KINDS.items() if name.startswith(begin)), (CASES[name][2],))


def targets_of(name, rng, shape, kind=None):
    """Return targets of a head as the user gives them, for rows, shape (N,), or for steps, (N, T)."""
    _, units, usual = CASES[name]

    def shaped(y):
        return y.reshape(shape if y.ndim == 1 or units == 1 else (*shape, units))

    y = (kind or usual)(rng, math.prod(shape), units)
    return {key: shaped(part) for key, part in y.items()} if isinstance(y, dict) else shaped(y)


def built(head, units, dtype=np.float64):
    """Return the head as the graph lays it out."""
    head.build((units,))
    head.attach(*({name: np.full(shape, np.nan, dtype) for name, shape in head.shapes.items()}
                  for _ in range(2)), {})
    head.initialise(np.random.default_rng(0))
    return head


def case(name, rng, dtype=np.float64, N=N):
    """Return a built head, logits (N, units), targets as the user gives them, and weights, one of them 0."""
    make, units, _ = CASES[name]
    z, y = 2 * rng.normal(size=(N, units)), targets_of(name, rng, (N,))
    w = rng.uniform(0.1, 2, N) * (np.arange(N) != 2)
    return built(make(), units, dtype), z.astype(dtype), y, w.astype(dtype)


def run(head, z, y, w):
    """Return (L, metric, dL/dz) of a batch by itself, and check that an evaluation has the same sums."""
    given, delta = z.copy(), np.full_like(z, np.nan)
    rows = head.targets(y, *z.shape, z.dtype)
    total = head.total_weight(rows, w)
    sums = head.loss_and_delta(z, rows, w, total, delta)
    assert np.array_equal(z, given, equal_nan=True)
    np.testing.assert_allclose(sums[2], total, rtol=10 * N * np.finfo(z.dtype).eps)
    gradients = {name: array.copy() for name, array in head.gradients.items()}
    assert np.array_equal(sums, head.loss(z, rows, w, np.empty_like(z)))
    assert all(np.array_equal(array, gradients[name]) for name, array in head.gradients.items())
    loss, *metrics = head.means(*sums).values()
    return loss, metrics[0] if isinstance(head.metric, str) else np.array(metrics), delta


def close(got, expected, dtype, ulps=8):
    np.testing.assert_allclose(got, expected, rtol=ulps * np.finfo(dtype).eps,
                               atol=ulps * np.finfo(dtype).eps)


def taken(y, rows):
    return {name: part[rows] for name, part in y.items()} if isinstance(y, dict) else y[rows]


def network(head, units, *hidden):
    return nn.Sequential([*hidden, nn.Dense(units)], head=head, dtype="float64")


def fit(model, X, y, **options):
    return model.fit(X, y, nn.Adam(0.05), **{"epochs": 3, "batch_size": 4, "verbose": 0, **options})


def check_refused(exception, message, call, *args, **kwargs):
    """One line that says what was got, what is expected, and what to do."""
    with pytest.raises(exception, match=message) as caught:
        call(*args, **kwargs)
    text = str(caught.value)
    assert type(caught.value) is exception and "\n" not in text, text
    assert "got " in text and "expected " in text, text


def differences(loss, array, h=1e-3):
    """Return d loss()/d array by differences of fourth order."""
    slopes = np.empty_like(array)
    for index in np.ndindex(array.shape):
        centre, values = array[index], []
        for offset in (-2, -1, 1, 2):
            array[index] = centre + offset * h
            values.append(loss())
        array[index] = centre
        slopes[index] = np.dot([1, -8, 8, -1], values) / (12 * h)
    return slopes


COLUMN = np.zeros((N, 1))
