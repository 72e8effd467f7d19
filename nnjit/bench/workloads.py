"""The workloads: what is measured, on which data, with which network, and who takes part.

A workload's contenders are functions of the ``<peer>_peer.py``; each gets the same
`Task`, and the same initial weights.
"""
import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Task:
    """The data, the network and how it is trained.

    Attributes
    ----------
    x, x_test : (N, D), (M, D) float array or scipy.sparse.csr_matrix
    y, y_test : (N,), (M,) int64 class numbers, 0 … K - 1
    sizes : units of the layers, from D to K
    spans : the initial weights of layer i are uniform in ±spans[i]; by default Glorot's √(6 / (in + out))
    activation : "relu" or "tanh", of the hidden units
    scale : what the seconds are multiplied by, where the epochs stand for more of them
    decay : factor of the learning rate after every epoch of a race
    target : test accuracy at which a race ends
    """

    x: Any
    y: np.ndarray
    x_test: Any
    y_test: np.ndarray
    sizes: tuple
    batch: int = 200
    epochs: int = 1
    learning_rate: float = 0.001
    dropout: float = 0.0
    spans: tuple | None = None
    activation: str = "relu"
    scale: float = 1.0
    decay: float = 1.0
    target: float = 1.0

    def weights(self, seed):
        """Return the initial (in, out) weights of every layer; biases start at 0."""
        random = np.random.RandomState(seed)
        shapes = list(zip(self.sizes, self.sizes[1:]))
        spans = self.spans or [(6 / (n + m)) ** 0.5 for n, m in shapes]
        return [(span * (2 * random.random_sample(shape) - 1)).astype(self.x.dtype)
                for span, shape in zip(spans, shapes)]

    def prediction(self):
        """Return the operations of the dense products for one row: a multiplication and an addition for each weight."""
        return 2 * sum(n * m for n, m in zip(self.sizes, self.sizes[1:]))

    def epoch(self):
        """Return those of an epoch of training: down, the weights' gradients, and those of the inputs but the first."""
        return self.x.shape[0] * (3 * self.prediction() - 2 * self.sizes[0] * self.sizes[1])

    def experiment(self):
        """Return those of all epochs, with the test images at each."""
        return self.scale * self.epochs * (self.epoch() + self.x_test.shape[0] * self.prediction())

    def predict_all(self):
        return self.x.shape[0] * self.prediction()


@dataclass(frozen=True)
class ImageTask:
    """Images, a small network and how it is trained: convolutions 3 × 3, "same", each with ReLU and pool 2; then dense layers.

    Attributes
    ----------
    x, x_test : (N, H, W, C), (M, H, W, C) uint8
    y, y_test : (N,), (M,) int64 class numbers, 0 … K - 1
    filters : of the convolutions
    units : of the dense layers; 1 at the end is a sigmoid for two classes
    cosine : whether the learning rate goes down to a hundredth of itself along half a cosine over all steps
    target : test accuracy at which a race ends
    """

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    filters: tuple = (8, 8)
    units: tuple = (32, 10)
    batch: int = 32
    epochs: int = 1
    learning_rate: float = 0.001
    cosine: bool = False
    target: float = 1.0
    dtype: str = "float32"

    def weights(self, seed):
        """Return Glorot's uniform weights: (3, 3, in, out) of the convolutions, (in, out) of the others."""
        random = np.random.RandomState(seed)
        channels = (self.x.shape[3], *self.filters)
        pixels = np.prod([side // 2 ** len(self.filters) for side in self.x.shape[1:3]])
        widths = (int(pixels) * channels[-1], *self.units)
        shapes = [*((3, 3, *pair) for pair in itertools.pairwise(channels)), *itertools.pairwise(widths)]
        return [((6 / (np.prod(shape[:-2]) * sum(shape[-2:]))) ** 0.5 * (2 * random.random_sample(shape) - 1)).astype(self.dtype)
                for shape in shapes]

    def _operations(self):
        """Return the operations for one image, layer by layer: a pool halves the sides after every convolution."""
        convolutions, dense = self.weights(0)[:len(self.filters)], self.weights(0)[len(self.filters):]
        pixels = [int(np.prod([side >> i for side in self.x.shape[1:3]])) for i in range(len(convolutions))]
        return [2 * p * W.size for p, W in zip(pixels, convolutions)] + [2 * W.size for W in dense]

    def prediction(self):
        """Return the operations of the products for one image: a multiplication and an addition each."""
        return sum(self._operations())

    def epoch(self):
        """Return those of an epoch of training: down, the weights' gradients, and those of the inputs but the first."""
        return len(self.x) * (3 * self.prediction() - self._operations()[0])


@dataclass(frozen=True)
class ConvolutionTask:
    """One 3 × 3 convolution, "same", down and back: images x (N, H, W, C), weights W (3, 3, C, C), delta as x."""

    x: np.ndarray
    W: np.ndarray
    delta: np.ndarray

    def both(self):
        """Return the operations of the way down and back."""
        return 3 * 2 * self.x[..., 0].size * self.W.size


@dataclass(frozen=True)
class Workload:
    """What is done, by whom, and how far the results may lie from one another.

    Attributes
    ----------
    task : ``task(dtype)`` loads the data
    contenders : {label: (peer, name of the function in its file)}
    tolerance : greatest accepted differences of the final training loss (relative) and accuracy from the reference's;
        where shuffling and dropout are random, four standard deviations over seeds
    operations : ``operations(task)``, the floating-point operations of the dense products in what is measured
    needs : the function of `nnjit.datasets`, and its arguments, that loads data which do not come with the package
    """

    title: str
    task: Callable
    contenders: dict
    tolerance: dict
    dtypes: tuple = ("float32",)
    operations: Callable = Task.epoch
    needs: tuple = ()


# ---- data --------------------------------------------------------------------------------------------------

def _book(dtype, **settings):
    """Return an experiment of the book, 784-100-10, on the images that come with the package."""
    from nnjit.datasets import load_book_mnist
    (x, y), (x_test, y_test) = load_book_mnist().rows(dtype)
    return Task(x, y, x_test, y_test, (784, 100, 10), batch=100, dropout=0.5, **settings)


def _mnist(dtype, **settings):
    from nnjit.datasets import load_mnist
    (x, y), (x_test, y_test) = load_mnist().rows(dtype)
    return Task(x, y, x_test, y_test, **settings)


def missing_data(work):
    """Return why a workload's data can't be had, a line, or "" where they can; they are downloaded if need be."""
    return _missing(*work.needs) if work.needs else ""


@functools.cache    # a source is asked once
def _missing(name, *args):
    from nnjit import datasets
    try:
        getattr(datasets, name)(*args)
    except datasets.NotFoundError as error:
        return str(error).partition(" in any")[0]
    return ""


def _to_predict(dtype, rows, sizes=(784, 100, 10), seed=0):
    """Return MNIST images whose labels are what plain NumPy predicts for them: the accuracy to reach is 1."""
    from nnjit.datasets import load_mnist
    x = load_mnist().rows(dtype)[0][0][:rows]
    first, last = Task(x, None, x, None, sizes).weights(seed)
    labels = (np.maximum(x @ first, 0) @ last).argmax(axis=1)
    return Task(x, labels, x, labels, sizes)


def text_like(dtype, rows=10000, test_rows=2000, features=20000, classes=20, words=200, seed=0):
    """Return rows of at most ``words`` features each; an eighth come from the vocabulary of the row's class."""
    from scipy.sparse import csr_matrix
    random = np.random.default_rng(seed)
    n = rows + test_rows
    y = random.integers(classes, size=n)
    column = random.integers(features, size=(n, words))
    topical = words // 8
    column[:, :topical] = random.integers(features // classes, size=(n, topical)) * classes + y[:, None]
    value = random.uniform(0.5, 1.5, size=(n, words)).astype(dtype)
    x = csr_matrix((value.ravel(), column.ravel(), np.arange(0, n * words + 1, words)), shape=(n, features))
    x.sum_duplicates()
    return Task(x[:rows], y[:rows], x[rows:], y[rows:], (features, 100, classes))


def _images(load, rows=None, **settings):
    """Return a function of the dtype, as a `Workload` has it, that makes the `ImageTask` of the data set of ``load()``."""
    def task(dtype):
        (x, y), (x_test, y_test) = load().images(rows)
        return ImageTask(x, y, x_test, y_test, dtype=dtype, **settings)
    return task


def _load(name, *args):
    from nnjit import datasets
    return getattr(datasets, name)(*args)


def _convolution(dtype, channels, images=128, side=32, seed=0):
    random = np.random.default_rng(seed)
    shape = images, side, side, channels
    x, delta = random.normal(size=shape).astype(dtype), random.normal(size=shape).astype(dtype)
    return ConvolutionTask(x, random.normal(0, 0.1, (3, 3, channels, channels)).astype(dtype), delta)


# ---- the list ----------------------------------------------------------------------------------------------

def _each(function, *peers):
    return {peer: (peer, function) for peer in peers}


def _each_layout(function):
    return {"nnjit": ("nnjit", function), "torch": ("torch", function),
            "torch, channels last": ("torch", f"{function}_channels_last")}


_MNIST, _CIFAR10 = ("load_mnist",), ("load_cifar10",)
_CIFAR = "3 × 3 convolutions of 8 and 8 channels with pools, 32 hidden ReLU, Adam, batch 32, shuffled: one epoch"

_TANH = {"learning_rate": 0.02, "spans": (0.01, 0.1), "activation": "tanh"}
_RELU = {"learning_rate": 0.2, "spans": (0.01, 0.01)}
_EXPERIMENT = "784-100-10, the book's 1,000 MNIST images, batch 100, dropout 0.5, all 10,000 test images at each of {} iterations"
_AGAINST_NUMPY = {**_each("experiment", "nnjit", "numpy"), "numpy, literal loop": ("numpy", "experiment_literally")}

WORKLOADS = {
    "tanh": Workload(
        f"the book's tanh experiment: {_EXPERIMENT.format(300)}, of which 100 are run and stand for all",
        partial(_book, epochs=100, scale=3, **_TANH), _AGAINST_NUMPY, {"loss": 0.1, "accuracy": 0.01}, ("float64",),
        Task.experiment),
    "relu": Workload(
        f"the book's ReLU experiment: {_EXPERIMENT.format(100)}",
        partial(_book, epochs=100, **_RELU), _AGAINST_NUMPY, {"loss": 0.1, "accuracy": 0.01}, ("float64",), Task.experiment),
    "book-tanh": Workload(
        f"the book's tanh experiment: {_EXPERIMENT.format(300)}",
        partial(_book, epochs=300, **_TANH),
        {**_each("experiment", "nnjit", "numpy", "torch", "jax"),
         "numpy, literal loop": ("numpy", "experiment_literally"),
         "jax, one scan": ("jax", "experiment_in_one_scan")},
        {"loss": 0.1, "accuracy": 0.01}, ("float64", "float32"), Task.experiment),
    "mnist-adam": Workload(
        "full MNIST, 784-100-10 ReLU, Adam, batch 200, shuffled: one epoch",
        partial(_mnist, sizes=(784, 100, 10)),
        _each("epoch", "nnjit", "sklearn", "torch", "jax"), {"loss": 0.1, "accuracy": 0.01}, needs=_MNIST),
    "wide": Workload(
        "full MNIST, 784-1024-1024-10 ReLU, Adam, batch 200, shuffled: one epoch",
        partial(_mnist, sizes=(784, 1024, 1024, 10)),
        _each("epoch", "nnjit", "sklearn", "torch", "jax"), {"loss": 0.1, "accuracy": 0.01}, needs=_MNIST),
    "predict-one": Workload(
        "predict of one image, 784-100-10 ReLU, from NumPy to NumPy",
        partial(_to_predict, rows=1000),
        _each("predict_one", "nnjit", "numpy", "sklearn", "torch", "jax"), {"accuracy": 0.001},
        operations=Task.prediction, needs=_MNIST),
    "predict-all": Workload(
        "predict of 60,000 images, 784-100-10 ReLU, from NumPy to NumPy",
        partial(_to_predict, rows=60000),
        _each("predict_all", "nnjit", "numpy", "sklearn", "torch", "jax"), {"accuracy": 0.001},
        operations=Task.predict_all, needs=_MNIST),
    "text": Workload(
        "10,000 sparse rows, 20,000 features, 1 % non-zero, 100 hidden ReLU, 20 classes, Adam, batch 200: one epoch",
        text_like, _each("epoch", "nnjit", "sklearn"), {"loss": 0.1, "accuracy": 0.02}),
    "time-to-98": Workload(
        "full MNIST to 98 % test accuracy, 784-200-10 ReLU, Adam 0.005 halved every epoch, batch 100, shuffled, "
        "evaluated after every epoch",
        partial(_mnist, sizes=(784, 200, 10), batch=100, epochs=12, learning_rate=0.005, decay=0.5, target=0.98),
        _each("race", "nnjit", "sklearn", "torch", "jax"), {"accuracy": 0.01},
        operations=lambda task: None, needs=_MNIST),    # as many epochs as it takes
    "birds": Workload(
        f"10,000 birds and airplanes of CIFAR-10, {_CIFAR}",
        _images(partial(_load, "load_cifar10", ("airplane", "bird")), units=(32, 1)),
        _each_layout("image_epoch"), {"loss": 0.1, "accuracy": 0.08}, operations=ImageTask.epoch, needs=_CIFAR10),
    "cifar10": Workload(
        f"CIFAR-10, {_CIFAR}",
        _images(partial(_load, "load_cifar10")), _each_layout("image_epoch"), {"loss": 0.1, "accuracy": 0.1},
        operations=ImageTask.epoch, needs=_CIFAR10),
    "images-all": Workload(
        "predict of 10,000 images of CIFAR-10 by the same network, from NumPy to NumPy",
        _images(partial(_load, "load_cifar10"), rows=10000), _each_layout("image_predict"), {"loss": 0.001},
        operations=lambda task: len(task.x) * task.prediction(), needs=_CIFAR10),
    **{f"conv-{channels}": Workload(
        f"3 × 3 convolution of 128 images of 32 × 32, {channels} to {channels} channels: forward and backward",
        partial(_convolution, channels=channels), _each_layout("convolve"), {"loss": 0.001},
        operations=ConvolutionTask.both) for channels in (8, 16, 32)},
    "mnist-cnn": Workload(
        "full MNIST to 99 % test accuracy, 3 × 3 convolutions of 8 and 16 channels with pools, 64 hidden ReLU, Adam 0.003 along "
        "half a cosine over 5 epochs, batch 50, shuffled, evaluated after every epoch",
        _images(partial(_load, "load_mnist"), filters=(8, 16), units=(64, 10), batch=50, epochs=5, learning_rate=0.003,
                cosine=True, target=0.99),
        _each_layout("image_race"), {"accuracy": 0.005}, operations=lambda task: None, needs=_MNIST),
}


# ---- scaling -----------------------------------------------------------------------------------------------

# What is varied: of an epoch of 784-100-10, batch 200, 10,000 rows of which a fifth of the numbers are not 0;
# and of a convolution of 8 channels and 32 × 32 pixels, down and back.
SCALES = {
    "width": (32, 64, 128, 256, 512, 1024, 2048, 4096),
    "batch": (1, 5, 20, 100, 500, 2000, 5000),    # divisors of the rows, which JAX needs
    "density": (0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 1.0),
    "rows": (1_000, 10_000, 100_000, 600_000),
    "channels": (1, 2, 4, 8, 16, 32, 64),
    "side": (8, 16, 32, 64, 128),
}


def _random(dtype, width=100, batch=200, density=0.2, rows=10_000, seed=0):
    random = np.random.default_rng(seed)
    x = random.random((rows + 1000, 784), np.float32)
    x *= random.random(x.shape, np.float32) < density
    x, y = x.astype(dtype, copy=False), random.integers(10, size=len(x))
    return Task(x[:rows], y[:rows], x[rows:], y[rows:], (784, width, 10), batch)


def scale(quantity, value):
    """Return the name of the work that has this value of a quantity of `SCALES`."""
    return f"{quantity} {value:g}"


def _scaled(quantity, value):
    if quantity in ("channels", "side"):
        return Workload(f"3 × 3 convolution of 128 images, 8 channels, 32 × 32, but {quantity} {value}: forward and backward",
                    partial(_convolution, **{"channels": 8, quantity: value}), _each_layout("convolve"), {},
                    operations=ConvolutionTask.both)
    return Workload(f"784-100-10 ReLU, Adam, batch 200, 10,000 rows of density 0.2, but {quantity} {value:,g}: one epoch",
                partial(_random, **{quantity: value}), _each("epoch", "nnjit", "sklearn", "torch", "jax"), {})


_SCALED = {scale(quantity, value): _scaled(quantity, value) for quantity, values in SCALES.items() for value in values}


def find(name):
    """Return the `Workload` of that name."""
    return WORKLOADS[name] if name in WORKLOADS else _SCALED[name]
