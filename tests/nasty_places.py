"""Where data are given: the arguments of public functions, each with numbers that are right there.

`PLACES` is a table of them by name, "Sequential.fit X"; what comes behind a comma tells places of the same
argument apart.
"""
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import nnjit as nn
from nnjit import losses

MASKED = "masked", "nothing masked", "NaN, masked"
NOT_FINITE = "NaN", "infinity", "minus infinity", "NaN of float32", "infinity of float16", "a frame with NA"
EMPTY = "nothing", "an empty list"
OF_TIME = "datetime64", "timedelta64"
WHOLE = "subnormals for zeros"    # whose numbers are not whole
ALIKE = "all alike"               # ones: a class without the one before, or rows that are no probabilities


@dataclass(frozen=True)
class Place:
    """An argument of a public function.

    Attributes
    ----------
    call : a function of what is given there, which returns numbers: an array, or a list of such
    values : whole numbers that are right there
    takes : the kinds of `nasty.Form` that are taken beside "dense" and "frame"
    refuses : the names of such forms that are refused here
    either : those that are taken or refused, and mean something else than elsewhere
    theirs : whether scikit-learn looks at it, too, and objects in more words
    dtype : of what is taken; numbers are taken in every dtype of numbers
    rounds : whether what is given as float32 is computed in float32
    slow : whether a call takes long
    """

    call: Callable
    values: np.ndarray
    takes: tuple = ()
    refuses: tuple = ()
    either: tuple = ()
    theirs: bool = False
    dtype: str = "float64"
    rounds: bool = False
    slow: bool = False

    def takes_dtype_of(self, given):
        kinds = {"float64": "buif", "int64": "iu", "bool": "b"}[self.dtype]
        return self.dtype == "float64" or np.asarray(given).dtype.kind in kinds


# ---- what is given -----------------------------------------------------------------------------------------

N = 12
RNG = np.random.default_rng(4)
X = RNG.integers(0, 4, size=(N, 4)).astype(float)
IMAGES = RNG.integers(0, 4, size=(N, 4, 4, 1)).astype(float)
STEPS = RNG.integers(0, 4, size=(N, 3, 2)).astype(float)
LENGTHS = 1 + np.arange(N) % 3
FLAGS = np.arange(3) < LENGTHS[:, None]
COUNTS = RNG.integers(0, 5, size=N).astype(float)
PAIRS = RNG.integers(0, 5, size=(N, 2)).astype(float)
LABELS, ANSWERS = np.arange(N) % 3 * 1.0, np.arange(N) % 2 * 1.0
ONE_HOT, BOTH = np.eye(3)[np.arange(N) % 3], RNG.integers(0, 2, size=(N, 2)).astype(float)
PROBABILITIES = np.repeat(np.eye(3), 4, axis=0)    # whole numbers, that are sure
WEIGHTS = 1 + np.arange(N) % 3 * 1.0
TWO, THREE = np.array([1.0, 2.0]), np.array([1.0, 2.0, 3.0])
HEADS = {
    "Gaussian": (nn.Gaussian, COUNTS), "Gaussian, 2 units": (nn.Gaussian, PAIRS),
    "Gaussian in a unit": (lambda: nn.Gaussian(2.0, 3.0), COUNTS), "Laplace": (nn.Laplace, COUNTS),
    "Huber": (nn.Huber, COUNTS), "Poisson": (nn.Poisson, COUNTS), "Bernoulli": (nn.Bernoulli, ANSWERS),
    "Bernoulli, 2 units": (nn.Bernoulli, BOTH), "Categorical": (nn.Categorical, LABELS),
    "Categorical of rows": (nn.Categorical, ONE_HOT), "Ordinal": (nn.Ordinal, LABELS),
    "SquaredError": (lambda: nn.SquaredError("linear"), COUNTS),
}


def network(head="Gaussian", *layers):
    make, y = HEADS[head]
    units = 3 if head == "Categorical" else y.shape[1] if y.ndim == 2 else 1
    return nn.Sequential([*layers, nn.Dense(units)], make(), "float64")


def fit(X, y=None, head="Gaussian", layers=(), **options):
    """Return the weights and the history of a short training."""
    model = network(head, *layers)
    history = model.fit(X, y, nn.SGD(0.01), **{"epochs": 2, "batch_size": 5, "verbose": 0, **options})
    return [model.vector.copy(), *(values for name, values in history.history.items() if name != "seconds")]


def weights_of(layers, head, X, y, **options):
    """Return the weights of a network of its own after a training."""
    model = nn.Sequential(layers, head, "float64")
    model.fit(X, y, nn.SGD(0.01), verbose=0, **options)
    return model.vector.copy()


@functools.cache
def trained(head="Gaussian"):
    model = network(head)
    model.fit(X, HEADS[head][1], nn.SGD(0.01), verbose=0)
    return model


def convolution():
    return [nn.Conv2D(1, 3), nn.Flatten()]


@functools.cache
def of_images():
    return network("Gaussian", *convolution()).build((4, 4, 1))


@functools.cache
def of_one_input():
    return network().build(1)


def weights_after(call):
    """Return the weights of a new network after a call of it."""
    model = network().build(4)
    call(model)
    return model.vector.copy()


# ---- networks ----------------------------------------------------------------------------------------------

ROWS = {"takes": ("sparse",)}
FREE = {**ROWS, "either": ("one row too many",)}    # there is nothing beside it that has as many rows
OF_WEIGHTS = {"either": ("None",)}                  # ones
BYTES = "uint8"    # of images are divided by 255


def with_heads(y):
    head = nn.Heads(kind=nn.Categorical(), size=nn.Gaussian(), units={"kind": 3, "size": 1})
    return weights_of([nn.Dense(4)], head, X, {"kind": y, "size": COUNTS})


def targets():
    for head, (_, y) in HEADS.items():
        refuses = (WHOLE,) * (head in ("Categorical", "Ordinal")) + (ALIKE,) * (y is ONE_HOT)
        yield f"Sequential.fit y, {head}", Place(
            lambda y, head=head: fit(X, y, head), y, takes=("text",) * (head in ("Bernoulli", "Categorical")),
            refuses=refuses + (ALIKE,) * (head == "Ordinal"))
        yield f"Sequential.evaluate y, {head}", Place(
            lambda y, head=head: trained(head).evaluate(X, y), y, refuses=refuses)


def train_on_batch(*given):
    return weights_after(lambda model: model.train_on_batch(*given[:2], nn.SGD(0.01), *given[2:]))


def set_weights(W):
    return weights_after(lambda model: model.set_weights([W, [0.0]]))


def explained(X, y, name):
    return [step.arrays[name] for step in nn.explain(trained(), X, y).steps if name in step.arrays]


NETWORKS = {
    **dict(targets()),
    "Sequential.fit y, Heads": Place(with_heads, LABELS, takes=("text",), refuses=(WHOLE,)),
    "Sequential.fit X": Place(lambda X: fit(X, COUNTS), X, **ROWS),
    "Sequential.fit X, sparse": Place(lambda X: fit(X, COUNTS, sparse=True), X, **ROWS),
    "Sequential.fit X, for one epoch": Place(lambda X: fit(X, COUNTS, epochs=1, shuffle=False), X, **ROWS),
    "Sequential.fit X, images": Place(
        lambda x: fit(x, COUNTS, layers=convolution()), IMAGES, either=(BYTES,)),
    "Sequential.fit X, sequences": Place(
        lambda x: fit(x, COUNTS, layers=[nn.Dense(2), nn.Flatten()]), STEPS),
    "Sequential.fit sample_weight": Place(lambda w: fit(X, COUNTS, sample_weight=w), WEIGHTS, **OF_WEIGHTS),
    "Sequential.fit class_weight": Place(
        lambda w: fit(X, LABELS, "Categorical", class_weight=w), THREE, either=("None", "a dict")),
    "Sequential.fit X, one row": Place(
        lambda X: fit(X, COUNTS[:1]), X[:1], **ROWS, either=("ragged",)),    # which one row is not
    "Sequential.fit y, one row": Place(lambda y: fit(X[:1], y), COUNTS[:1]),
    "Sequential.fit X, a part to validate": Place(lambda X: fit(X, COUNTS, validation_split=0.25), X, **ROWS),
    "Sequential.fit y, a part to validate": Place(
        lambda y: fit(X, y, "Categorical", validation_split=0.25), LABELS, takes=("text",), refuses=(WHOLE,)),
    "Sequential.fit sample_weight, a part to validate": Place(
        lambda w: fit(X, COUNTS, sample_weight=w, validation_split=0.25), WEIGHTS, **OF_WEIGHTS),
    "Sequential.fit validation_data, X": Place(
        lambda x: fit(X, COUNTS, validation_data=(x, COUNTS)), X, **ROWS),
    "Sequential.fit validation_data, y": Place(lambda y: fit(X, COUNTS, validation_data=(X, y)), COUNTS),
    "Sequential.fit validation_data, sample_weight": Place(
        lambda w: fit(X, COUNTS, validation_data=(X, COUNTS, w)), WEIGHTS, **OF_WEIGHTS),
    "Sequential.fit X, a stream": Place(lambda x: fit([(x, COUNTS)] * 2), X, **ROWS),
    "Sequential.fit X, a stream's y": Place(lambda y: fit([(X, y)] * 2), COUNTS),
    "Sequential.fit X, a stream's sample_weight": Place(
        lambda w: fit([(X, COUNTS, w)] * 2), WEIGHTS, **OF_WEIGHTS),
    "Sequential.fit y, of steps": Place(
        lambda y: weights_of([nn.Dense(1)], nn.Gaussian(), STEPS, y), STEPS[:, :, 0], either=("ragged",)),
    "Sequential.fit sample_weight, of steps": Place(
        lambda w: weights_of([nn.Dense(1)], nn.Gaussian(), STEPS, STEPS[:, :, 0], sample_weight=w),
        1 + STEPS[:, :, 0], **OF_WEIGHTS),
    "Sequential.evaluate X": Place(lambda X: trained().evaluate(X, COUNTS), X, **ROWS),
    "Sequential.evaluate X, one row": Place(lambda X: trained().evaluate(X, COUNTS[:1]), X[:1], **ROWS),
    "Sequential.evaluate sample_weight": Place(
        lambda w: trained().evaluate(X, COUNTS, w), WEIGHTS, **OF_WEIGHTS),
    "Sequential.predict X": Place(lambda X: trained().predict(X), X, **FREE),
    "Sequential.predict X, one row": Place(lambda X: trained().predict(X), X[:1], **FREE),
    "Sequential.predict X, sparse": Place(lambda X: trained().predict(X, sparse=True), X, **FREE),
    "Sequential.predict X, images": Place(
        lambda x: of_images().predict(x), IMAGES, either=(BYTES, *FREE["either"])),
    "Sequential.predict_proba X": Place(lambda X: trained("Categorical").predict_proba(X), X, **FREE),
    "Sequential.logits X": Place(lambda X: trained().logits(X), X, **FREE),
    "Sequential.activations X": Place(lambda X: trained().activations(X), X, **FREE),
    "Sequential.gradients X": Place(lambda X: trained().gradients(X, COUNTS), X, **ROWS),
    "Sequential.gradients y": Place(lambda y: trained().gradients(X, y), COUNTS),
    "Sequential.gradients sample_weight": Place(
        lambda w: trained().gradients(X, COUNTS, w), WEIGHTS, **OF_WEIGHTS),
    "Sequential.train_on_batch X": Place(lambda X: train_on_batch(X, COUNTS), X, **ROWS),
    "Sequential.train_on_batch y": Place(lambda y: train_on_batch(X, y), COUNTS),
    "Sequential.train_on_batch sample_weight": Place(
        lambda w: train_on_batch(X, COUNTS, w), WEIGHTS, **OF_WEIGHTS),
    "Sequential.test_on_batch X": Place(lambda X: trained().test_on_batch(X, COUNTS), X, **ROWS),
    "Sequential.test_on_batch y": Place(lambda y: trained().test_on_batch(X, y), COUNTS),
    "Sequential.test_on_batch sample_weight": Place(
        lambda w: trained().test_on_batch(X, COUNTS, w), WEIGHTS, **OF_WEIGHTS),
    "Sequential.set_weights weights": Place(set_weights, X[:4, :1], either=NOT_FINITE),
    "explain X": Place(lambda X: explained(X, COUNTS, "W"), X, **ROWS),
    "explain y": Place(lambda y: explained(X, y, "loss"), COUNTS),
}


def masks():
    def in_steps(head):
        return nn.Sequential([nn.GlobalAveragePool1D(), nn.Dense(1)], head(), "float64").build((3, 2))

    def fitted(m):
        model = in_steps(nn.Gaussian)
        model.fit(STEPS, COUNTS, nn.SGD(0.01), mask=m, verbose=0)
        return model.vector

    calls = {"fit": fitted, "evaluate": lambda m: in_steps(nn.Gaussian).evaluate(STEPS, COUNTS, mask=m),
             "gradients": lambda m: in_steps(nn.Gaussian).gradients(STEPS, COUNTS, mask=m),
             **{name: lambda m, name=name: getattr(in_steps(nn.Bernoulli), name)(STEPS, mask=m)
                for name in ("predict", "predict_proba", "logits", "activations")}}
    for name, call in calls.items():
        for what, values, dtype in (("lengths", LENGTHS, "int64"), ("flags", FLAGS, "bool")):
            yield f"Sequential.{name} mask, {what}", Place(call, values, dtype=dtype, **OF_WEIGHTS)


def settings_of_heads():
    alone = "a number", "0-d"    # one for every unit
    for kind in (nn.Gaussian, nn.Laplace, nn.Huber):
        for name in ("loc", "scale"):
            yield f"{kind.__name__}.__init__ {name}", Place(
                lambda one, make=kind, name=name: weights_of([nn.Dense(2)], make(**{name: one}), X, PAIRS),
                TWO, either=alone)
    yield "Bernoulli.__init__ pos_weight", Place(
        lambda given: weights_of([nn.Dense(2)], nn.Bernoulli(pos_weight=given), X, BOTH), TWO,
        either=(*alone, "None"))
    yield "Categorical.__init__ class_weight", Place(
        lambda given: weights_of([nn.Dense(3)], nn.Categorical(class_weight=given), X, ONE_HOT), THREE,
        either=("None", "a dict"))


# ---- losses ------------------------------------------------------------------------------------------------

LOSSES = {    # what is true, and what is predicted
    **{name: (PAIRS, PAIRS[::-1].copy()) for name in (
        "mean_squared_error", "mean_absolute_error", "huber", "mean_pairwise_squared_error")},
    "poisson": (PAIRS, 1 + PAIRS[::-1]), "binary_crossentropy": (BOTH, BOTH[::-1].copy()),
    "sigmoid_crossentropy_with_logits": (BOTH, PAIRS), "categorical_crossentropy": (ONE_HOT, PROBABILITIES),
    "softmax_crossentropy_with_logits": (ONE_HOT, X[:, :3]),
    "sparse_categorical_crossentropy": (LABELS, PROBABILITIES),
    "sparse_softmax_crossentropy_with_logits": (LABELS, X[:, :3]), "ordinal_crossentropy": (LABELS, PAIRS),
}


def of_a_loss(name):
    function, (y, p) = getattr(losses, name), LOSSES[name]
    refuses = (WHOLE,) * (y is LABELS) + (ALIKE,) * (y is ONE_HOT)
    predicted = list(inspect.signature(function).parameters)[1]
    yield f"losses.{name} y_true", Place(lambda y: function(y, p), y, refuses=refuses, either=MASKED)
    yield f"losses.{name} {predicted}", Place(    # of which NaN stays to be seen
        lambda p: function(y, p), p, refuses=(ALIKE,) * (p is PROBABILITIES), either=MASKED + NOT_FINITE,
        rounds=True)
    yield f"losses.{name} sample_weight", Place(
        lambda w: function(y, p, sample_weight=w), WEIGHTS, either=(*MASKED, "None"))
    yield f"losses.{name} mask", Place(
        lambda m: function(y, p, mask=m), ANSWERS, refuses=(WHOLE,), either=(*MASKED, "None"))


# ---- pictures, other libraries, data sets ------------------------------------------------------------------

def drawn(picture, *given):
    """Return the numbers that a picture shows."""
    ax = getattr(pytest.importorskip("nnjit.plots"), picture)(*given)
    return [line.get_xydata() for line in ax.lines] + [image.get_array() for image in ax.images]


def regions(X, y):
    return drawn("decision_regions", trained("Categorical"), X, y)


def line(x, y):
    return drawn("fitted_line", of_one_input(), x, y)


SLOW = {"slow": True}
SLOW_CLASSES = {**SLOW, "refuses": (WHOLE,)}
PICTURES = {
    "plots.weights W": Place(lambda W: drawn("weights", W, (4, 3)), X, **SLOW, either=("one row too many",)),
    "plots.confusion y": Place(lambda y: drawn("confusion", y, LABELS), LABELS, **SLOW_CLASSES),
    "plots.confusion answers": Place(lambda y: drawn("confusion", LABELS, y), LABELS, **SLOW_CLASSES),
    "plots.calibration y": Place(lambda y: drawn("calibration", y, PROBABILITIES), LABELS, **SLOW_CLASSES),
    "plots.calibration p": Place(lambda p: drawn("calibration", LABELS, p), PROBABILITIES, **SLOW),
    "plots.decision_regions X": Place(lambda X: regions(X, LABELS), X, **SLOW),
    "plots.decision_regions y": Place(lambda y: regions(X, y), LABELS, **SLOW_CLASSES),
    "plots.predictions y": Place(lambda y: drawn("predictions", y, COUNTS), COUNTS, **SLOW),
    "plots.predictions predicted": Place(lambda y: drawn("predictions", COUNTS, y), COUNTS, **SLOW),
    "plots.fitted_line x": Place(lambda x: line(x, COUNTS), X[:, :1], **SLOW),
    "plots.fitted_line y": Place(lambda y: line(X[:, :1], y), COUNTS, **SLOW),
}


def from_torch(W):
    from nnjit import exchange
    return weights_after(lambda model: exchange.from_torch(model, {"0.weight": W, "0.bias": np.zeros(1)}))


def from_keras(W):
    from nnjit import exchange
    return weights_after(lambda model: exchange.from_keras(model, [W, np.zeros(1)]))


def pasted(images, labels):
    return list(nn.datasets.paste_pairs(images, labels, 5))


OTHERS = {
    "exchange.from_torch state": Place(from_torch, X[:1], either=NOT_FINITE),
    "exchange.from_keras weights": Place(from_keras, X[:4, :1], either=NOT_FINITE),
    "datasets.with_outliers y": Place(
        nn.datasets.with_outliers, COUNTS, either=(*NOT_FINITE, *EMPTY, "one row too many")),
    "datasets.paste_pairs images": Place(lambda x: pasted(x, LABELS), IMAGES[..., 0], either=NOT_FINITE),
    "datasets.paste_pairs labels": Place(lambda y: pasted(IMAGES[..., 0], y), LABELS, refuses=(WHOLE, ALIKE)),
}


# ---- estimators --------------------------------------------------------------------------------------------

def new_estimator(kind):
    make = getattr(pytest.importorskip("nnjit.estimators"), kind)
    if kind.startswith("Sequential"):
        head = "Categorical" if kind == "SequentialClassifier" else "Gaussian"
        return make(lambda: network(head), epochs=2, random_state=0)
    return make(hidden_layer_sizes=(3,), max_iter=2, batch_size=5, random_state=0, dtype="float64")


@functools.cache
def fitted(kind):
    return new_estimator(kind).fit(X, LABELS)


def of_an_estimator(kind):
    """Yield the places of an estimator, which looks at what is given before scikit-learn does."""
    rows, free = [{"theirs": True, **ROWS, "either": ("a matrix", *more)} for more in ((), FREE["either"])]
    w = {"theirs": True, "either": ("None", "a number", "0-d")}
    classes = {"theirs": True, "either": (WHOLE, "bytes", "a frame with NA", "objects and None", *OF_TIME)}
    y = classes if kind.endswith("Classifier") else {"theirs": True}    # text is none of the classes 0, 1, 2

    def weights(method, *given, **options):
        return getattr(new_estimator(kind), method)(*given, **options).model_.vector.copy()

    yield f"{kind}.fit X", Place(lambda X: weights("fit", X, LABELS), X, **rows)
    yield f"{kind}.fit y", Place(
        lambda y: weights("fit", X, y), LABELS, takes=("text",) * (y is classes), **y,
        refuses=(ALIKE,) * (kind in ("OrdinalClassifier", "SequentialClassifier")))
    yield f"{kind}.fit sample_weight", Place(lambda w: weights("fit", X, LABELS, w), WEIGHTS, **w)
    for name in ("predict", "predict_proba", "predict_log_proba"):
        if hasattr(new_estimator(kind), name):
            yield f"{kind}.{name} X", Place(lambda X, name=name: getattr(fitted(kind), name)(X), X, **free)
    yield f"{kind}.score X", Place(lambda X: fitted(kind).score(X, LABELS), X, **rows)
    yield f"{kind}.score y", Place(lambda y: fitted(kind).score(X, y), LABELS, **y)
    yield f"{kind}.score sample_weight", Place(lambda w: fitted(kind).score(X, LABELS, w), WEIGHTS, **w)
    if kind.startswith("Sequential"):
        return

    def validated(*data):
        return new_estimator(kind).fit(X, LABELS, validation_data=data).validation_loss_curve_

    known = {"classes": [0, 1, 2]} if y is classes else {}
    yield f"{kind}.fit validation_data, X", Place(lambda X: validated(X, LABELS), X, **rows)
    yield f"{kind}.fit validation_data, y", Place(lambda y: validated(X, y), LABELS, **y)
    yield f"{kind}.fit validation_data, sample_weight", Place(lambda w: validated(X, LABELS, w), WEIGHTS, **w)
    yield f"{kind}.partial_fit X", Place(lambda X: weights("partial_fit", X, LABELS, **known), X, **rows)
    yield f"{kind}.partial_fit y", Place(lambda y: weights("partial_fit", X, y, **known), LABELS, **y)
    yield f"{kind}.partial_fit sample_weight", Place(
        lambda w: weights("partial_fit", X, LABELS, w, **known), WEIGHTS, **w)
    if known:
        yield f"{kind}.partial_fit classes", Place(
            lambda given: weights("partial_fit", X, LABELS, classes=given), LABELS[:3], theirs=True,
            refuses=("bool", "a frame of boolean", ALIKE, WHOLE), either=("one row too many",))


ESTIMATORS = ("MLPClassifier", "MLPRegressor", "OrdinalClassifier", "SequentialClassifier",
              "SequentialRegressor")
PLACES = {
    **NETWORKS, **dict(masks()), **dict(settings_of_heads()), **PICTURES, **OTHERS,
    **{name: place for loss in LOSSES for name, place in of_a_loss(loss)},
    **{name: place for kind in ESTIMATORS for name, place in of_an_estimator(kind)},
}
