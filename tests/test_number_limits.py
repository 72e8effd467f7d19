"""Numbers at the limits of their types, and mistakes of many digits: right, or refused in one short line."""
import numpy as np
import pytest

import nnjit as nn
from nnjit import losses
from nnjit.inputs.checks import DataError

N = 12
RNG = np.random.default_rng(0)
X, Y, K = RNG.normal(size=(N, 4)), RNG.normal(size=N), np.arange(N) % 3
COUNTS, ONES = abs(Y).round(), np.ones(N)
LONG = np.longdouble("1e4000") if np.finfo(np.longdouble).maxexp > 2000 else None    # not with some compilers


def put(values, number, dtype=None):
    """Return the values with this number among them."""
    values = np.array(values, dtype or np.asarray(values).dtype)
    values[3] = number
    return values


def fit(head=None, y=Y, X=X, optimizer=None, units=1, dtype="float32", layers=(), **options):
    """Return what a network becomes, whose weights and losses have to be finite."""
    model = nn.Sequential([*layers, nn.Dense(units)], head or nn.Gaussian(), dtype)
    history = model.fit(X, y, optimizer or nn.SGD(0.01), epochs=2, batch_size=5, verbose=0, **options)
    assert np.isfinite(model.vector).all() and np.isfinite(history.history["loss"]).all()
    return model.vector


def unfitted():
    return nn.Sequential([nn.Dense(1)], nn.Gaussian())


def built(*layers, shape=(5, 5, 1)):
    return nn.Sequential([*layers, nn.Flatten(), nn.Dense(1)], nn.Gaussian()).build(shape)


def classes(y, head=None, **options):
    return fit(head or nn.Categorical(), y, units=3, **options)


def predicted(X):
    return unfitted().build(4).predict(X)


def with_weights(*weights):
    unfitted().build(4).set_weights(weights)


# ---- what is taken -----------------------------------------------------------------------------------------

TAKEN = {
    "targets for absolute errors": lambda: fit(nn.Laplace(), put(Y, 1e300), dtype="float64"),
    "targets for Huber's loss": lambda: fit(nn.Huber(), put(Y, 1e300), dtype="float64"),
    "a share below the normal numbers": lambda: fit(nn.Bernoulli(), put(K > 0, 1e-320, float)),
    "a learning rate that float32 has not": lambda: fit(optimizer=nn.SGD(1e-300)),
    "a learning rate below the normal numbers": lambda: fit(optimizer=nn.Adam(1e-320)),
    "the largest momentum": lambda: fit(optimizer=nn.SGD(0.01, momentum=0.9999999999999999)),
    "Adam's epsilon": lambda: fit(optimizer=nn.Adam(0.01, epsilon=1e-300)),
    "Adam's epsilon, float64": lambda: fit(optimizer=nn.Adam(0.01, epsilon=1e-320), dtype="float64"),
    "Adam's epsilon, large": lambda: fit(optimizer=nn.Adam(0.01, epsilon=1e300)),
    "AdamW's epsilon": lambda: fit(optimizer=nn.AdamW(0.01, epsilon=1e-300)),
    "RMSprop's epsilon": lambda: fit(optimizer=nn.RMSprop(0.01, epsilon=1e-300)),
    "a norm that is clipped to nothing": lambda: fit(optimizer=nn.SGD(0.01, clip_norm=1e-300)),
    "a norm that is not clipped": lambda: fit(optimizer=nn.SGD(0.01, clip_norm=1e300)),
    "a penalty": lambda: fit(layers=[nn.Dense(3, l2=1e-300)]),
    "all dropped": lambda: fit(layers=[nn.Dropout(0.9999999999999999)]),
    "none dropped": lambda: fit(layers=[nn.Dropout(1e-300)]),
    "an epsilon of BatchNormalization": lambda: fit(layers=[nn.BatchNormalization(epsilon=1e-300)]),
    "a channel without variance": lambda: fit(
        X=np.ones((N, 4)), layers=[nn.BatchNormalization(epsilon=1e-300)]),
    "a row without variance": lambda: fit(X=np.ones((N, 4)), layers=[nn.LayerNormalization(epsilon=1e-300)]),
    "a channel without variance, float64": lambda: fit(
        X=np.ones((N, 4)), layers=[nn.BatchNormalization(epsilon=5e-324)], dtype="float64"),
    "a large epsilon of BatchNormalization": lambda: fit(layers=[nn.BatchNormalization(epsilon=1e300)]),
    "a temperature": lambda: classes(K, nn.Categorical(temperature=1e300)),
    "all smoothed": lambda: classes(K, nn.Categorical(label_smoothing=0.9999999999999999)),
    "Huber's delta": lambda: fit(nn.Huber(1e300)),
    "Huber's delta, small": lambda: fit(nn.Huber(1e-300)),
    "a large unit": lambda: fit(nn.Gaussian(0.0, 1e300)),
    "rows at the limit": lambda: predicted(put(X, 3e38)),
    "a loss": lambda: losses.mean_absolute_error([1e308], [0.0]),
}


@pytest.mark.parametrize("name", TAKEN)
def test_taken(name):
    TAKEN[name]()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weight", [1e-320, 1e-300, 1e-30, 1e30, 1e300, 1e308])
def test_only_the_ratios_of_weights_count(weight, dtype):
    """Also where their sum would be infinite, or they would be 0 in the dtype."""
    few = put(ONES, 0.5)
    found, expected = (fit(sample_weight=w, dtype=dtype) for w in (few * weight, few))
    digits = 1e-2 if weight == 1e-320 else 1e-5    # such a number has few
    np.testing.assert_allclose(found, expected, rtol=digits)


def test_one_weight_above_all_others():
    alone = fit(sample_weight=put(np.zeros(N), 1), dtype="float64")
    np.testing.assert_allclose(fit(sample_weight=put(ONES, 1e308), dtype="float64"), alone)


def test_weights_of_a_loss_whose_sum_is_infinite():
    given = {"y_true": [1.0, 3.0], "y_pred": [0.0, 1.0], "sample_weight": [1e308, 1e308]}
    assert losses.mean_absolute_error(**given, reduction="mean") == 1.5


# ---- what is refused ---------------------------------------------------------------------------------------

REFUSED = {
    "X": (lambda: fit(X=put(X, 1e300)), "X: got a number too large for float32, .*scale the inputs"),
    "X to predict": (lambda: predicted(put(X, 1e300)), "X: got a number too large for float32"),
    "y": (lambda: fit(y=put(Y, 1e30)),
          "y: got a number too large for float32, .*4.61e.18; scale the targets"),
    "y, float64": (lambda: fit(y=put(Y, 1e300), dtype="float64"),
                   "y: got a number too large for float64, .*e.153"),
    "y in its unit": (lambda: fit(nn.Gaussian(0.0, 1e-300)), "y: got a number too large for float32"),
    "counts": (lambda: fit(nn.Poisson(), put(COUNTS, 1e300)), r"y: got 1e\+300, expected counts up to"),
    "counts, float64": (lambda: fit(nn.Poisson(), put(COUNTS, 1e300), dtype="float64"), r"y: got 1e\+300"),
    "a rank": (lambda: fit(nn.Ordinal(), put(K, 10**9)),
               "y: got labels up to 1000000000, .* without large gaps"),
    "a rank of many digits": (lambda: fit(nn.Ordinal(), put(K, 2**62)), r"y: got labels up to 4.61\d*e\+18"),
    "ranks": (lambda: fit(nn.Ordinal(10**9), K), "Ordinal classes: got 1000000000, expected at most"),
    "a class": (lambda: classes(put(K, 10**9)),
                "y: got labels 0 .. 1000000000, expected class numbers 0 .. 2"),
    "a class of 64 bits": (lambda: classes(put(K, 2**64 - 1, "u8")), r"y: got labels 0 .. 1.84467e\+19, "),
    "a class of floating point": (lambda: classes(put(K, 2.0**53, float)),
                                  r"y: got labels 0 .. 9.0072e\+15, "),
    "an answer": (lambda: fit(nn.Bernoulli(), put(K > 0, 1e300, float)), r"y: got labels 0 .. 1e\+300, "),
    "a weight of a class": (lambda: classes(K, class_weight={0: 1e308, 1: 1, 2: 1}),
                            r"class_weight: got 1e\+308"),
    "a beta": (lambda: nn.Adam(0.01, beta_1=1 - 1e-17), "beta_1: got 1.0, expected a number in"),
    "a temperature": (lambda: nn.Categorical(temperature=1e-300), "temperature: got 1e-300, expected"),
    "units": (lambda: fit(layers=[nn.Dense(10**12)]),
              "which take .* GiB, expected at most the .*; give smaller"),
    "units of many digits": (lambda: nn.Dense(10**30), r"units: got a whole number of about 31 digits, "),
    "filters": (lambda: built(nn.Conv2D(10**9, 3)), "which take .* GiB"),
    "padding": (lambda: built(nn.ZeroPadding2D(10**9)), "which take .* GiB"),
    "recurrent units": (lambda: built(nn.GRU(10**9), shape=(5, 5)), "which take .* GiB"),
    "a batch's size": (lambda: unfitted().fit(X, Y, nn.SGD(0.1), batch_size=10**30),
                       "batch_size: got a whole number of about 31 digits"),
    "epochs": (lambda: unfitted().fit(X, Y, nn.SGD(0.1), epochs=10**30),
               "epochs: got a whole number of about 31 digits"),
    "a seed": (lambda: fit(seed=2**63), "seed: got 9223372036854775808, expected less than"),
    "shards": (lambda: fit(shards=10**9), "shards: got 1000000000, expected a power of two"),
    "patience": (lambda: nn.callbacks.EarlyStopping(patience=10**30),
                 "patience: got a whole number of about"),
    "weights": (lambda: with_weights(np.full((4, 1), 1e300), [0.0]),
                "weights of 0.W: got a number too large for"),
    "weights of PyTorch": (lambda: nn.exchange.from_torch(unfitted().build(4), {
        "0.weight": np.full((1, 4), 1e300), "0.bias": [0.0]}), "0.weight: got a number too large for"),
    "answers of a loss": (lambda: losses.binary_crossentropy([1e300], [0.5]), r"y_true: got labels 1e\+300"),
    "classes of a loss": (lambda: losses.sparse_categorical_crossentropy([10**9], [[0.5, 0.5]]),
                          "expected class"),
    "ranks of a loss": (lambda: losses.ordinal_crossentropy([10**9], [[0.5, 0.5]]),
                        "expected class numbers 0 .. 2"),
}
OF_LONG_DOUBLES = {
    "X": lambda: fit(X=put(X, LONG, np.longdouble)), "y": lambda: fit(y=put(Y, LONG, np.longdouble)),
    "sample_weight": lambda: fit(sample_weight=put(ONES, LONG, np.longdouble)),
    "y_pred": lambda: losses.mean_squared_error(Y, put(Y, LONG, np.longdouble)),
}


def refused(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert type(caught.value) is ValueError and not isinstance(caught.value, DataError)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 220


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    refused(*REFUSED[name])


@pytest.mark.skipif(LONG is None, reason="a long double is a float64 here")
@pytest.mark.parametrize("name", OF_LONG_DOUBLES)
def test_long_doubles_too_large_for_float64(name):
    refused(OF_LONG_DOUBLES[name], f"{name}: got a number too large for float64")


def test_a_learning_rate_that_is_too_large_is_named():
    with pytest.warns(RuntimeWarning, match=r"loss that is not finite .* at the learning rate 1e\+300"):
        unfitted().fit(X, Y, nn.SGD(1e300), epochs=2, verbose=0)
