"""The two MNIST experiments of *Grokking Deep Learning* (Andrew W. Trask, Manning 2019), chapter 9.

784-100-10 without biases, tanh or ReLU in the hidden layer with half of its units dropped, softmax at the
output. The first 1,000 training images in batches of 100, in order; all 10,000 test images after every
iteration. ``book.json`` beside this file holds the rows that the book prints, and their spread over seeds.

The book's code does not follow the gradient of its network. It writes the mask, doubled, over the
hidden activation, so that the derivative is taken at h = 2 m a in place of a. In the backward
pass it multiplies by m and leaves the 2 out. That *literal* gradient exists only here, as a
layer; the *exact* one is the library's.
"""
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import datasets
from ..heads import Categorical
from ..inputs.checks import check_count
from ..kernels import dropout
from ..layers import Dense, Dropout, ReLU, Sigmoid, Tanh
from ..model import Sequential
from ..optimizers import SGD

DIFFERENCE = ("The literal gradient takes the hidden derivative at the masked and doubled activation and "
              "leaves dropout's factor 2 out of the backward pass, the exact one is the true gradient of the "
              "same network.")
BATCH_SIZE, TRAIN_SIZE, DROPOUT = 100, 1000, 0.5
INPUT_RANGE = 0.02    # the first layer's weights begin uniform in ± half of it


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The settings of one experiment. The learning rate is for the mean loss of a batch."""

    name: str
    activation: type
    iterations: int        # the book's word for epochs
    learning_rate: float
    output_range: float    # the output weights begin uniform in ± half of it
    key: str               # in book.json


EXPERIMENTS = {
    "tanh": Experiment("tanh", Tanh, 300, 0.02, 0.2, "tanh_softmax"),
    "relu": Experiment("relu", ReLU, 100, 0.2, 0.02, "relu_dropout"),
}
# Not in the book: the settings of its tanh network, with a learning rate for derivatives of at most 1/4.
SIGMOID = Experiment("sigmoid", Sigmoid, 300, 0.2, 0.2, "")


def published() -> dict[str, Any]:
    """Return ``book.json``: the rows that the book prints, and the spread of both gradients over seeds."""
    return json.loads((Path(__file__).parent / "book.json").read_text(encoding="utf-8"))


# ---- the network -------------------------------------------------------------------------------------------

class _DrawnDropout(Dropout):
    """Dropout of one half whose masks are drawn as in the book: ``randint(2)`` of a ``RandomState``."""

    def __init__(self, random_state):
        super().__init__(DROPOUT)
        self.random_state = random_state

    def build(self, input_shape):
        self.units, = input_shape
        return super().build(input_shape)

    def draw(self, mask, ctx):
        kept = self.random_state.randint(2, size=(len(mask), self.units))
        packed = np.packbits(kept.astype(np.uint8), axis=1, bitorder="little")
        words = mask.view(np.uint8)
        words[:] = 0
        words[:, :packed.shape[1]] = packed


class _LiteralDropout(_DrawnDropout):
    """The book's dropout: its mask writes over the activation, its backward pass leaves out the factor 2."""

    def forward(self, x, out, ctx):
        return super().forward(x, x, ctx)

    def backward(self, x, a, delta, dx, ctx):
        dropout.apply_mask(delta, ctx.scratch["mask"], 1.0, dx)
        return dx


@dataclasses.dataclass
class _DrawnWeights:
    """Initial weights that are uniform in ± half of ``width``, drawn from ``random_state`` as in the book."""

    random_state: np.random.RandomState
    width: float

    def __call__(self, rng, shape):
        return self.width * self.random_state.random_sample(shape) - self.width / 2


def network(experiment: Experiment, random_state: np.random.RandomState, new_dropout: Callable[[], Dropout],
            hidden: Sequence[int] = (100,), dtype: str = "float64") -> Sequential:
    """Return the model of an experiment, unbuilt, with hidden layers of these widths.

    ``new_dropout()`` makes a dropout layer. With one hidden layer the weights are drawn from ``random_state``
    in the book's order and ranges; with more they are initialised as `Dense` does by default.
    """
    def init(width):
        return _DrawnWeights(random_state, width) if len(hidden) == 1 else "glorot_uniform"

    layers = []
    for units in hidden:
        layers += [Dense(units, bias=False, init=init(INPUT_RANGE)), experiment.activation(), new_dropout()]
    layers.append(Dense(10, bias=False, init=init(experiment.output_range)))
    return Sequential(layers, head=Categorical(), dtype=dtype)


def literal_dropout(random_state: np.random.RandomState) -> Dropout:
    """Return the book's dropout layer with its literal backward pass; ``random_state`` draws its masks."""
    return _LiteralDropout(random_state)


# ---- a run -------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Run:
    """What `run` returns: the trained model, and an entry for each iteration in each of the lists."""

    model: Sequential
    iteration: list[int]
    train_loss: list[float]
    train_accuracy: list[float]
    test_accuracy: list[float]
    seconds: list[float]


def run(name: str, gradient: str = "book", seed: int = 0, dtype: str = "float64",
        iterations: int | None = None, data: datasets.Dataset | None = None, verbose: str | int = 0) -> Run:
    """Run an experiment.

    Parameters
    ----------
    name : "tanh" or "relu"
    gradient : "book" or "exact"
    seed : int
        Of the ``numpy.random.RandomState`` from which the weights and then the masks are drawn.
    dtype : "float32" or "float64"
    iterations : int, optional
        The book's word for epochs; for None the book's 300 (tanh) or 100 (ReLU).
    data : datasets.Dataset, optional
        For None those of `datasets.load`.
    verbose : "auto", 0 or 1
        As of `Sequential.fit`.

    Returns
    -------
    Run
        Test accuracy after each iteration, without dropout; train accuracy counted during it, with dropout.

    Raises
    ------
    ValueError
        An unknown name or gradient, a seed outside 0 .. 2^32 - 1, fewer than 1 iteration.
    """
    model, train = prepare(name, gradient, seed, dtype, iterations, data)
    train(verbose)
    return outcome(model)


def prepare(name: str, gradient: str = "book", seed: int = 0, dtype: str = "float64",
            iterations: int | None = None,
            data: datasets.Dataset | None = None) -> tuple[Sequential, Callable[..., Any]]:
    """Return the network of an experiment, unbuilt, and the function ``train(verbose, callbacks)`` that
    trains it.

    Arguments and errors are those of `run`. In two steps, a training that is interrupted leaves the model.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"name: got {name!r}, expected 'tanh' or 'relu'")
    if gradient not in ("book", "exact"):
        raise ValueError(f"gradient: got {gradient!r}, expected 'book' or 'exact'")
    experiment = EXPERIMENTS[name]
    iterations = experiment.iterations if iterations is None else check_count("iterations", iterations)
    data = datasets.load() if data is None else data
    (x, y), test = data.rows(dtype, train_size=TRAIN_SIZE)
    if check_count("seed", seed, least=0) >= 2**32:
        raise ValueError(f"seed: got {seed}, expected less than 2**32, as RandomState takes")
    random_state = np.random.RandomState(seed)
    layer = _LiteralDropout if gradient == "book" else _DrawnDropout
    model = network(experiment, random_state, lambda: layer(random_state), dtype=dtype)

    def train(verbose=0, callbacks=()):
        model.fit(x, y, SGD(experiment.learning_rate), iterations, BATCH_SIZE, validation_data=test,
                  shuffle=False, seed=seed, callbacks=callbacks, verbose=verbose)
    return model, train


def outcome(model: Sequential) -> Run:
    """Return what the training of an experiment's network came to."""
    history: Any = model.history    # which is there after a training
    log = history.history
    return Run(model, history.epochs, log["loss"], log["accuracy"], log["val_accuracy"], log["seconds"])
