"""What ``nnjit train`` can be asked: a question of some data, the output that answers it, and its loss.

The question decides the output, the output assumes a distribution, and its negative
log-likelihood is the loss. What makes no sense together is a ValueError of one line that begins
with the option and ends with the remedy.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from .. import datasets
from ..datasets import Dataset, Table
from ..heads import Bernoulli, Categorical, Gaussian, Huber, Laplace, Ordinal, Poisson, SquaredError
from ..layers import Dense, ReLU, Sigmoid, Tanh
from ..model import Sequential

OUTPUTS = ("softmax", "sigmoid", "linear", "ordinal", "poisson")
LOSSES = ("auto", "crossentropy", "mse", "mae", "huber", "poisson")
DATA = ("auto", "mnist", "digits", "pairs", "iris")
ACTIVATIONS = {"tanh": Tanh, "relu": ReLU, "sigmoid": Sigmoid, "linear": None}
IMAGES, PAIRS, TEST_PAIRS = 1000, 5000, 2000    # numbers of examples, unless told otherwise


# ---- the loss ----------------------------------------------------------------------------------------------

_SATURATES = "squared error, which belongs to no distribution of classes: to be compared with cross-entropy, "

# (output, loss) → the head, and the sentence that says which loss it is and why. An output's own comes first.
_HEADS = {
    ("softmax", "crossentropy"): (
        Categorical,
        "cross-entropy, the negative log-likelihood of the multinoulli distribution that a softmax output "
        "assumes"),
    ("softmax", "mse"): (partial(SquaredError, "softmax"), _SATURATES + "a softmax output's own"),
    ("sigmoid", "crossentropy"): (
        Bernoulli,
        "binary cross-entropy, the negative log-likelihood of the Bernoulli distribution that a sigmoid "
        "output assumes"),
    ("sigmoid", "mse"): (partial(SquaredError, "sigmoid"), _SATURATES + "a sigmoid output's own"),
    ("linear", "mse"): (
        Gaussian,
        "squared error, the negative log-likelihood of the normal distribution that a linear output assumes; "
        "predicts the mean"),
    ("linear", "mae"): (
        Laplace,
        "absolute error, the negative log-likelihood of a Laplace distribution about a linear output; "
        "predicts the median"),
    ("linear", "huber"): (
        Huber,
        "Huber's, squared up to an error of 1 and absolute beyond: about a linear output, a normal "
        "distribution with Laplace's tails; predicts between mean and median"),
    ("ordinal", "crossentropy"): (
        Ordinal,
        "cross-entropy of every 'is it above k?', summed (CORAL): the negative log-likelihood of the "
        "Bernoulli distributions that cumulative sigmoids assume"),
    ("poisson", "poisson"): (
        Poisson,
        "Poisson's, the negative log-likelihood of the Poisson distribution that an exponential output, a "
        "rate, assumes"),
}
# What a loss is for, for those who ask for it elsewhere.
_PURPOSES = {"crossentropy": "classes: --out softmax, sigmoid or ordinal", "mse": "numbers: --out linear",
             "mae": "numbers: --out linear", "huber": "numbers: --out linear",
             "poisson": "counts: --out poisson"}


def own_loss(out: str) -> str:
    """Return the loss that belongs to the distribution which an output assumes."""
    return next(loss for output, loss in _HEADS if output == out)


def choose_loss(out: str, loss: str = "auto") -> tuple[str, Callable[..., Any], str]:
    """Return the loss, the function that makes the head, and the sentence that explains both.

    ValueError for a loss that does not fit the output.
    """
    loss = own_loss(out) if loss == "auto" else loss
    if (out, loss) not in _HEADS:
        possible = " or ".join(", ".join(known for output, known in _HEADS if output == out).rsplit(", ", 1))
        raise ValueError(f"--loss: got {loss} with --out {out}, expected {possible}; {loss} is for "
                         f"{_PURPOSES[loss]}")
    return loss, *_HEADS[out, loss]


# ---- the question ------------------------------------------------------------------------------------------

@dataclass
class Question:
    """A question, and the examples of it.

    Attributes
    ----------
    text : the question in words
    data : the data set, which has a name, a source and checksums
    train, test : (x, y), x (N, D) of the dtype asked for
    units : of the last layer
    image_shape : (rows, columns) where the inputs are images without colours, else None
    settings : arguments of the head that follow from the data
    images : the test images, (N, H, W, C), where it is asked which class each shows
    """

    text: str
    data: Dataset | Table
    train: tuple[Any, ...]
    test: tuple[Any, ...]
    units: int
    image_shape: tuple[int, int] | None
    settings: dict[str, Any] = field(default_factory=dict)
    images: np.ndarray | None = None


def own_output(data: str) -> str:
    """Return the output of the first question that the data of this name are for."""
    return {"pairs": "sigmoid", "iris": "linear"}.get(data, "softmax")


def check_output(data: str, out: str, classes: Sequence[int] | None = None) -> None:
    """Object, by a ValueError, to a question that the data can't answer."""
    if data == "pairs" and out != "sigmoid":
        raise ValueError(f"--out: got {out} with --data pairs, expected sigmoid, a yes or no for each digit, "
                         "because a pair shows one digit or two; for one of ten digits use --data mnist or "
                         "digits")
    if data == "iris" and out not in ("linear", "softmax"):
        raise ValueError(f"--out: got {out} with --data iris, expected linear (how wide is the sepal?) or "
                         "softmax (which species is it?)")
    if classes is not None and (data in ("pairs", "iris") or out not in ("softmax", "sigmoid")):
        raise ValueError(f"--classes: got {','.join(map(str, classes))}, expected none with --data {data} "
                         f"--out {out}; they are for images with --out softmax or sigmoid")


def of_iris(out: str, dtype: str, train_size: int | None = None, outliers: float = 0.0) -> Question:
    """Return the sepal's width by its length (linear), or the species by all four measurements (softmax).

    Every fifth flower is for the test. ``outliers`` is the fraction of the training
    targets that go wrong by 5 cm.
    """
    iris = datasets.load_iris()
    if out == "linear":
        text, x, y, units = "how wide is the sepal, by its length?", iris.x[:, :1], iris.x[:, 1], 1
    else:
        text, x, y, units = "which species is it, by sepal and petal?", iris.x, iris.y, len(iris.classes)
    x, tests = x.astype(dtype), np.arange(len(y)) % 5 == 4
    y_train = y[~tests] if out == "softmax" else datasets.with_outliers(y[~tests], outliers)
    # The species lie in order: take them in turn, so that however few rows are
    # trained on, all are among them.
    order = np.argsort(np.arange(len(y_train)) % (len(y_train) // len(iris.classes)), kind="stable")
    rows = order[:_checked_size(train_size, len(order), len(order), iris.name)]
    return Question(text, iris, (x[~tests][rows], y_train[rows]), (x[tests], y[tests]), units, None)


def of_images(dataset: Dataset, out: str, dtype: str, train_size: int | None = None,
              classes: Sequence[int] | None = None) -> Question:
    """Return the question which class an image shows (softmax, sigmoid), or else how large its digit is."""
    if classes is not None:
        dataset = _only(dataset, classes)
    (x, y), (x_test, y_test) = dataset.rows(
        dtype, _checked_size(train_size, len(dataset.x_train), IMAGES, dataset.name))
    K, shape = int(dataset.y_train.max()) + 1, dataset.x_train.shape[1:]
    text, units = _ask_of_images(out, range(K) if classes is None else classes)
    if out == "sigmoid" and K > 2:
        y, y_test = np.eye(K)[y], np.eye(K)[y_test]
    settings = {"classes": K} if out == "ordinal" else {}    # however few of them are trained on
    images = dataset.images()[1][0] if out == "softmax" or (out == "sigmoid" and K == 2) else None
    return Question(text, dataset, (x, y), (x_test, y_test), units, shape if len(shape) == 2 else None,
                    settings, images)


def _ask_of_images(out, names):
    """Return the question about images of these classes in words, and the number of units that answer it."""
    K = len(names)
    if out == "softmax":
        return f"which of {K} classes is it?", K
    if out == "sigmoid" and K == 2:
        return f"is it {names[1]}, and not {names[0]}?", 1
    if out == "sigmoid":
        return f"is it {names[0]}? is it {names[1]}? and so on, {K} times", K
    return "how large is the digit?", 1


def of_pairs(dataset: Dataset, dtype: str, train_size: int | None = None) -> Question:
    """Return the question which digits are present in two that were pasted side by side."""
    def pasted(images, labels, count, seed):
        x, present = datasets.paste_pairs(images, labels, count, seed)
        return x.reshape(count, -1).astype(dtype) / np.dtype(dtype).type(255), present

    train = pasted(dataset.x_train, dataset.y_train, PAIRS if train_size is None else train_size, seed=0)
    test = pasted(dataset.x_test, dataset.y_test, TEST_PAIRS, seed=1)
    rows, columns = dataset.x_train.shape[1:]
    named = replace(dataset, name=f"{dataset.name} in pairs")
    return Question("which digits are present?", named, train, test, train[1].shape[1], (rows, 2 * columns))


def _checked_size(train_size, available, default, name):
    """Return how many examples to train on; for None the default, or all if there are fewer."""
    if train_size is None:
        return min(default, available)
    if train_size > available:
        raise ValueError(f"--train-size: got {train_size}, expected at most {available}, as many as {name} "
                         "has")
    return train_size


def _only(dataset, classes):
    """Return `Dataset.only`, whose error names the option."""
    try:
        return dataset.only(*classes)
    except ValueError as error:
        raise ValueError(str(error).replace("classes", "--classes", 1)) from None


# ---- the network -------------------------------------------------------------------------------------------

def network(activation: str, hidden: Sequence[int], new_dropout: Callable[..., Any] | None, units: int, head,
            dtype: str) -> Sequential:
    """Return a model, unbuilt: hidden layers of these widths, activated and with dropout, then ``units``.

    ``new_dropout()`` makes a dropout layer; None is without dropout.
    """
    layers = []
    for width in hidden:
        layers.append(Dense(width))
        if ACTIVATIONS[activation] is not None:
            layers.append(ACTIVATIONS[activation]())
        if new_dropout is not None:
            layers.append(new_dropout())
    return Sequential([*layers, Dense(units)], head=head, dtype=dtype)
