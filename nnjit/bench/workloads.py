"""The workloads: what is measured, on which data, with which network, and who takes part.

A workload's contenders are functions of the ``<peer>_peer.py``, called as ``function(task, clock,
seed)``. All get the same task and the same initial weights. Each prepares what its users would prepare
once, works within ``with clock:``, and returns what it comes to, ``loss`` and ``accuracy`` say, by
which the contenders are compared.
"""
import functools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.sparse import csr_matrix

from .. import datasets
from .estimators import EstimatorTask
from .tasks import (
    ConvolutionTask,
    ImageTask,
    NormalizationTask,
    RecurrentTask,
    Task,
    TwoConvolutionsTask,
)


@dataclass(frozen=True)
class Workload:
    """What is done, by whom, and how far the results may lie from one another.

    Attributes
    ----------
    title : what it is, in a line
    task : ``task(dtype)`` loads the data and returns what the contenders are given
    contenders : {label: (peer, name of the function in its file)}
    tolerance : greatest accepted differences of training loss, relative, and accuracy from the reference's;
        where shuffling and dropout are random, four standard deviations over seeds
    operations : ``operations(task)``, the floating-point operations of the dense products in what is measured
    needs : the function of `nnjit.datasets`, and its arguments, for data that do not come with the package
    """

    title: str
    task: Callable
    contenders: dict[str, tuple[str, str]]
    tolerance: dict[str, float]
    dtypes: tuple[str, ...] = ("float32",)
    operations: Callable = Task.epoch
    needs: tuple = ()


# ---- data --------------------------------------------------------------------------------------------------

def _book(dtype, **settings):
    """Return an experiment of the book, 784-100-10, on the images that come with the package."""
    (x, y), (x_test, y_test) = datasets.load_book_mnist().rows(dtype)
    return Task(x, y, x_test, y_test, (784, 100, 10), batch=100, dropout=0.5, **settings)


def _mnist(dtype, **settings):
    (x, y), (x_test, y_test) = datasets.load_mnist().rows(dtype)
    return Task(x, y, x_test, y_test, **settings)


def missing_data(workload: Workload) -> str:
    """Return in a line why a workload's data can't be had, or downloaded; "" where they can."""
    return _missing(*workload.needs) if workload.needs else ""


@functools.cache    # a source is asked once
def _missing(name, *args):
    try:
        getattr(datasets, name)(*args)
    except datasets.NotFoundError as error:
        return str(error).partition(" in any")[0]
    return ""


def _to_predict(dtype, rows, sizes=(784, 100, 10), seed=0):
    """Return MNIST images whose labels are what plain NumPy predicts for them: the accuracy to reach is 1."""
    x = datasets.load_mnist().rows(dtype)[0][0][:rows]
    first, last = Task(x, None, x, None, sizes).weights(seed)
    labels = (np.maximum(x @ first, 0) @ last).argmax(axis=1)
    return Task(x, labels, x, labels, sizes)


def text_like(dtype: str, rows: int = 10000, test_rows: int = 2000, features: int = 20000, classes: int = 20,
              words: int = 200, seed: int = 0) -> Task:
    """Return rows of at most ``words`` features each, an eighth of them typical of the row's class."""
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
    """Return the ``task`` of a `Workload`: a function of the dtype that makes an `ImageTask`."""
    def task(dtype):
        (x, y), (x_test, y_test) = load().images(rows)
        return ImageTask(x, y, x_test, y_test, dtype=dtype, **settings)
    return task


def _convolution(dtype, channels, images=128, side=32, seed=0):
    random = np.random.default_rng(seed)
    shape = images, side, side, channels
    x, delta = random.normal(size=shape).astype(dtype), random.normal(size=shape).astype(dtype)
    return ConvolutionTask(x, random.normal(0, 0.1, (3, 3, channels, channels)).astype(dtype), delta)


def _two_convolutions(dtype, channels, filters, side, images, seed=0):
    random = np.random.default_rng(seed)
    x, delta = (random.normal(size=(images, side, side, n)).astype(dtype) for n in (channels, filters))
    weights = tuple(random.normal(0, 0.1, (3, 3, n, filters)).astype(dtype) for n in (channels, filters))
    return TwoConvolutionsTask(x, weights, delta)


def _normalization(dtype, layer, shape, seed=0):
    random = np.random.default_rng(seed)
    x, delta = (random.normal(size=shape).astype(dtype) for _ in range(2))
    return NormalizationTask(layer, 2 * x + 1, delta)


def _recurrent(dtype, kind, N, T, D, H, ragged=False, seed=0):
    """Return sequences of T steps, or ``ragged``, of a third of that to all of it."""
    random = np.random.default_rng(seed)
    lengths = random.integers(T // 3, T + 1, N) if ragged else np.full(N, T)
    gates = {"GRU": 3, "LSTM": 4}[kind]
    valid = (np.arange(T) < lengths[:, None])[..., None]
    x, delta = random.normal(size=(N, T, D)) * valid, random.normal(size=(N, T, H)) * valid
    W, U = (random.normal(0, 1 / rows**0.5, (rows, gates * H)) for rows in (D, H))
    return RecurrentTask(kind, *(array.astype(dtype) for array in (x, W, U, delta)), lengths)


def _estimator(dtype, what, load, rows=None, **settings):
    """Return a task for estimators, of rows of numbers of mean 0 and variance 1, or of MNIST."""
    if load == "mnist":
        (x, y), _ = datasets.load_mnist().rows(dtype)
    else:
        from sklearn import datasets as theirs
        x, y = getattr(theirs, f"load_{load}")(return_X_y=True)
        x = ((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9) if load == "breast_cancer" else x).astype(dtype)
    return EstimatorTask(x[:rows], y[:rows], what, settings)


# ---- the list ----------------------------------------------------------------------------------------------

def _each(function, *peers):
    return {peer: (peer, function) for peer in peers}


def _each_layout(function):
    return {"nnjit": ("nnjit", function), "torch": ("torch", function),
            "torch, channels last": ("torch", f"{function}_channels_last")}


_MNIST, _CIFAR10 = ("load_mnist",), ("load_cifar10",)
# channels, filters, side, images
_TWO_CONVOLUTIONS = ((1, 4, 32, 128), (1, 8, 28, 128), (3, 8, 32, 128), (8, 8, 32, 128), (16, 16, 32, 128),
                     (32, 32, 32, 128), (64, 64, 16, 64), (8, 16, 64, 32))
_CIFAR = ("3 × 3 convolutions of 8 and 8 channels with pools, 32 hidden ReLU, Adam, batch 32, shuffled: "
          "one epoch")

_TANH = {"learning_rate": 0.02, "spans": (0.01, 0.1), "activation": "tanh"}
_RELU = {"learning_rate": 0.2, "spans": (0.01, 0.01)}
_EXPERIMENT = ("784-100-10, the book's 1,000 MNIST images, batch 100, dropout 0.5, "
               "all 10,000 test images at each of {} iterations")
_AGAINST_NUMPY = {**_each("experiment", "nnjit", "numpy"),
                  "numpy, literal loop": ("numpy", "experiment_literally")}

WORKLOADS = {
    "tanh": Workload(
        f"the book's tanh experiment: {_EXPERIMENT.format(300)}, of which 100 are run and stand for all",
        partial(_book, epochs=100, scale=3, **_TANH),
        _AGAINST_NUMPY, {"loss": 0.1, "accuracy": 0.01}, ("float64",), Task.experiment),
    "relu": Workload(
        f"the book's ReLU experiment: {_EXPERIMENT.format(100)}",
        partial(_book, epochs=100, **_RELU),
        _AGAINST_NUMPY, {"loss": 0.25, "accuracy": 0.01}, ("float64",), Task.experiment),
    "book-tanh": Workload(
        f"the book's tanh experiment: {_EXPERIMENT.format(300)}",
        partial(_book, epochs=300, **_TANH),
        {**_each("experiment", "nnjit", "numpy", "torch", "jax"),
         "numpy, literal loop": ("numpy", "experiment_literally"),
         "jax, one scan": ("jax", "experiment_in_one_scan")},
        {"loss": 0.1, "accuracy": 0.01}, ("float64", "float32"), Task.experiment),
    "book-100": Workload(
        f"the book's tanh experiment: {_EXPERIMENT.format(100)}",
        partial(_book, epochs=100, **_TANH),
        {**_each("experiment", "nnjit", "numpy", "torch", "jax"),
         "jax, one scan": ("jax", "experiment_in_one_scan")},
        {"loss": 0.1, "accuracy": 0.01}, ("float64",), Task.experiment),
    "mnist-adam": Workload(
        "full MNIST, 784-100-10 ReLU, Adam, batch 200, shuffled: one epoch",
        partial(_mnist, sizes=(784, 100, 10)),
        _each("epoch", "nnjit", "sklearn", "torch", "jax"), {"loss": 0.1, "accuracy": 0.01}, needs=_MNIST),
    "mnist-32": Workload(
        "full MNIST, 784-100-10 ReLU, Adam, batch 32, shuffled: one epoch",
        partial(_mnist, sizes=(784, 100, 10), batch=32),
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
        "10,000 sparse rows, 20,000 features, 1 % non-zero, 100 hidden ReLU, 20 classes, Adam, batch 200: "
        "one epoch",
        text_like, _each("epoch", "nnjit", "sklearn"), {"loss": 0.1, "accuracy": 0.02}),
    "time-to-98": Workload(
        "full MNIST to 98 % test accuracy, 784-200-10 ReLU, Adam 0.005 halved every epoch, batch 100, "
        "shuffled, evaluated after every epoch",
        partial(_mnist, sizes=(784, 200, 10), batch=100, epochs=12, learning_rate=0.005, decay=0.5,
                target=0.98),
        _each("time_to_accuracy", "nnjit", "sklearn", "torch", "jax"), {"accuracy": 0.01},
        operations=lambda task: None, needs=_MNIST),    # as many epochs as it takes
    **{f"sklearn-{name}": Workload(
        f"MLPClassifier's {title}", partial(_estimator, what=what, load=load, **settings),
        _each("estimate", "nnjit", "sklearn"), {"loss": 1e-3, "accuracy": 0.01}, ("float64",),
        operations=lambda task: None, needs=_MNIST if load == "mnist" else ())
       for name, title, what, load, settings in (
           ("fit", "fit of the digits, default settings", "fit", "digits", {}),
           ("fit-cancer", "fit of breast cancer, default settings", "fit", "breast_cancer", {}),
           ("fit-mnist", "fit of 10,000 MNIST images, 10 epochs", "fit", "mnist",
            {"rows": 10_000, "max_iter": 10}),
           ("partial", "partial_fit of 200 MNIST images", "partial_fit", "mnist", {"rows": 10_000}),
           ("one", "predict of one MNIST image", "predict_one", "mnist", {}),
           ("all", "predict of 60,000 MNIST images", "predict_all", "mnist", {}),
           ("search", "GridSearchCV of 24 candidates, 3 folds, 10 epochs, 5,000 MNIST images, n_jobs=2",
            "search", "mnist", {"rows": 5000, "max_iter": 10}))},
    "birds": Workload(
        f"10,000 birds and airplanes of CIFAR-10, {_CIFAR}",
        _images(partial(datasets.load_cifar10, ("airplane", "bird")), units=(32, 1)),
        _each_layout("image_epoch"), {"loss": 0.1, "accuracy": 0.08},
        operations=ImageTask.epoch, needs=_CIFAR10),
    "cifar10": Workload(
        f"CIFAR-10, {_CIFAR}",
        _images(datasets.load_cifar10), _each_layout("image_epoch"), {"loss": 0.1, "accuracy": 0.1},
        operations=ImageTask.epoch, needs=_CIFAR10),
    "images-all": Workload(
        "predict of 10,000 images of CIFAR-10 by the same network, from NumPy to NumPy",
        _images(datasets.load_cifar10, rows=10000), _each_layout("image_predict"), {"loss": 0.001},
        operations=lambda task: len(task.x) * task.prediction(), needs=_CIFAR10),
    **{f"conv-{channels}": Workload(
        f"3 × 3 convolution of 128 images of 32 × 32, {channels} to {channels} channels: forward and "
        "backward",
        partial(_convolution, channels=channels), _each_layout("convolve"), {"loss": 0.001},
        operations=ConvolutionTask.both) for channels in (8, 16, 32)},
    **{f"convs-{channels}-{filters}": Workload(
        f"two 3 × 3 convolutions of {images} images of {side} × {side}, {channels} to {filters} channels, "
        "and a ReLU between: forward and backward",
        partial(_two_convolutions, channels=channels, filters=filters, side=side, images=images),
        _each_layout("convolve_twice"), {"loss": 0.001}, operations=TwoConvolutionsTask.both)
        for channels, filters, side, images in _TWO_CONVOLUTIONS},
    **{name: Workload(
        f"{layer} of {' × '.join(map(str, shape))} numbers: a training step's forward and backward pass",
        partial(_normalization, layer=layer, shape=shape),
        _each("normalize", "nnjit", "torch") if len(shape) == 2 else _each_layout("normalize"),
        {"loss": 0.001}, operations=lambda task: None)    # they are bound by memory
       for name, layer, shape in (
           ("norm-rows", "BatchNormalization", (200, 100)),
           ("norm-images", "BatchNormalization", (128, 32, 32, 8)),
           ("norm-layer", "LayerNormalization", (200, 100)))},
    **{f"{kind.lower()}-{name}": Workload(
        f"{kind} of {H} units over {N} sequences of {T} steps of {D}{', a third of them to all' * ragged}: "
        "forward and backward, an output at every step",
        partial(_recurrent, kind=kind, N=N, T=T, D=D, H=H, ragged=ragged),
        {**_each("recur", "nnjit", "torch", "jax"),
         # of 1,000 steps it takes ten times as long as padded
         **({"torch, packed": ("torch", "recur_packed")} if T < 1000 else {})},
        {"loss": 0.001}, operations=RecurrentTask.both)
       for kind in ("GRU", "LSTM") for name, N, T, D, H, ragged in (
           ("long", 34, 1000, 8, 64, True), ("short", 32, 100, 16, 32, False),
           ("rows", 64, 28, 28, 64, False), ("wide", 128, 50, 32, 128, False))},
    "mnist-cnn": Workload(
        "full MNIST to 99 % test accuracy, 3 × 3 convolutions of 8 and 16 channels with pools, 64 hidden "
        "ReLU, Adam 0.003 along half a cosine over 5 epochs, batch 50, shuffled, evaluated after every epoch",
        _images(datasets.load_mnist, filters=(8, 16), units=(64, 10), batch=50, epochs=5, learning_rate=0.003,
                cosine=True, target=0.99),
        _each_layout("image_time_to_accuracy"), {"accuracy": 0.005},
        operations=lambda task: None, needs=_MNIST),
}


# ---- scaling -----------------------------------------------------------------------------------------------

# What is varied: of an epoch of 784-100-10, batch 200, 10,000 rows of which a fifth of the numbers are not 0;
# and of a convolution of 8 channels and 32 × 32 pixels, forward and backward.
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


def scale(quantity: str, value: float) -> str:
    """Return the name of the workload that has this value of a quantity of `SCALES`."""
    return f"{quantity} {value:g}"


def _scaled(quantity, value):
    if quantity in ("channels", "side"):
        return Workload(
            f"3 × 3 convolution of 128 images, 8 channels, 32 × 32, but {quantity} {value}: forward and "
            "backward",
            partial(_convolution, **{"channels": 8, quantity: value}),
            _each_layout("convolve"), {}, operations=ConvolutionTask.both)
    return Workload(
        f"784-100-10 ReLU, Adam, batch 200, 10,000 rows of density 0.2, but {quantity} {value:,g}: one epoch",
        partial(_random, **{quantity: value}), _each("epoch", "nnjit", "sklearn", "torch", "jax"), {})


_SCALED = {scale(quantity, value): _scaled(quantity, value)
           for quantity, values in SCALES.items() for value in values}


def find(name: str) -> Workload:
    """Return the `Workload` of that name."""
    return WORKLOADS[name] if name in WORKLOADS else _SCALED[name]
