"""Tasks: what a contender is given, the data, the network and how it is trained.

A task also counts the floating-point operations of the products in what is measured: a
multiplication and an addition are two.
"""
import itertools
from dataclasses import dataclass
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
    decay : factor of the learning rate after every epoch on the way to an accuracy
    target : test accuracy at which that training ends
    """

    x: Any
    y: np.ndarray
    x_test: Any
    y_test: np.ndarray
    sizes: tuple[int, ...]
    batch: int = 200
    epochs: int = 1
    learning_rate: float = 0.001
    dropout: float = 0.0
    spans: tuple[float, ...] | None = None
    activation: str = "relu"
    scale: float = 1.0
    decay: float = 1.0
    target: float = 1.0

    def weights(self, seed: int) -> list[np.ndarray]:
        """Return the initial (in, out) weights of every layer; biases start at 0."""
        random = np.random.RandomState(seed)
        shapes = list(zip(self.sizes, self.sizes[1:]))
        spans = self.spans or [(6 / (n + m)) ** 0.5 for n, m in shapes]
        return [(span * (2 * random.random_sample(shape) - 1)).astype(self.x.dtype)
                for span, shape in zip(spans, shapes)]

    def prediction(self) -> float:
        """Return the operations of a prediction for one row."""
        return 2 * sum(n * m for n, m in zip(self.sizes, self.sizes[1:]))

    def epoch(self) -> float:
        """Return those of an epoch: outputs, weights' gradients, inputs' gradients but the first layer's."""
        return self.x.shape[0] * (3 * self.prediction() - 2 * self.sizes[0] * self.sizes[1])

    def experiment(self) -> float:
        """Return those of all epochs, with the test images at each."""
        return self.scale * self.epochs * (self.epoch() + self.x_test.shape[0] * self.prediction())

    def predict_all(self) -> float:
        """Return those of a prediction for all rows."""
        return self.x.shape[0] * self.prediction()


@dataclass(frozen=True)
class ImageTask:
    """Images, a small network and how it is trained.

    Its convolutions, 3 × 3 and "same", are each followed by ReLU and a pool of 2 × 2; then come dense layers.

    Attributes
    ----------
    x, x_test : (N, H, W, C), (M, H, W, C) uint8
    y, y_test : (N,), (M,) int64 class numbers, 0 … K - 1
    filters : of the convolutions
    units : of the dense layers; 1 at the end is a sigmoid for two classes
    cosine : whether the learning rate goes down to a hundredth of itself along half a cosine over all steps
    target : test accuracy at which the training ends
    """

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    filters: tuple[int, ...] = (8, 8)
    units: tuple[int, ...] = (32, 10)
    batch: int = 32
    epochs: int = 1
    learning_rate: float = 0.001
    cosine: bool = False
    target: float = 1.0
    dtype: str = "float32"

    def weights(self, seed: int) -> list[np.ndarray]:
        """Return Glorot's uniform weights: (3, 3, in, out) of the convolutions, (in, out) of the others."""
        random = np.random.RandomState(seed)
        channels = (self.x.shape[3], *self.filters)
        widths = (self._pixels(len(self.filters)) * channels[-1], *self.units)
        shapes = [*((3, 3, *pair) for pair in itertools.pairwise(channels)), *itertools.pairwise(widths)]
        limits = [(6 / (np.prod(shape[:-2]) * sum(shape[-2:]))) ** 0.5 for shape in shapes]
        return [(limit * (2 * random.random_sample(shape) - 1)).astype(self.dtype)
                for limit, shape in zip(limits, shapes)]

    def _pixels(self, pools):
        """Return the number of pixels of an image after so many pools, which halve its height and width."""
        height, width = self.x.shape[1:3]
        return (height >> pools) * (width >> pools)

    def _operations(self):
        """Return the operations for one image, layer by layer."""
        convolutions, dense = self.weights(0)[:len(self.filters)], self.weights(0)[len(self.filters):]
        return [*(2 * self._pixels(i) * W.size for i, W in enumerate(convolutions)),
                *(2 * W.size for W in dense)]

    def prediction(self) -> float:
        """Return the operations of a prediction for one image."""
        return sum(self._operations())

    def epoch(self) -> float:
        """Return those of an epoch: outputs, weights' gradients, inputs' gradients but the first layer's."""
        return len(self.x) * (3 * self.prediction() - self._operations()[0])


@dataclass(frozen=True)
class ConvolutionTask:
    """One 3 × 3 convolution, "same", forward and backward: x (N, H, W, C), W (3, 3, C, C), delta as x."""

    x: np.ndarray
    W: np.ndarray
    delta: np.ndarray

    def both(self) -> float:
        """Return the operations of the forward and the backward pass."""
        return 3 * 2 * self.x[..., 0].size * self.W.size


@dataclass(frozen=True)
class TwoConvolutionsTask:
    """Two 3 × 3 convolutions, "same", with a ReLU between: a training step's way there and back, without dx.

    x (N, H, W, C), weights (3, 3, C, K) and (3, 3, K, K), delta (N, H, W, K).
    """

    x: np.ndarray
    weights: tuple[np.ndarray, np.ndarray]
    delta: np.ndarray

    def both(self) -> float:
        """Return the operations of the forward and the backward pass."""
        first, second = (2 * self.x[..., 0].size * W.size for W in self.weights)
        return 2 * first + 3 * second


@dataclass(frozen=True)
class NormalizationTask:
    """One normalisation, forward and backward: x (N, D) or (N, H, W, C), and delta as x.

    ``layer`` is "BatchNormalization", with the batch's statistics, or "LayerNormalization".
    """

    layer: str
    x: np.ndarray
    delta: np.ndarray


@dataclass(frozen=True)
class RecurrentTask:
    """One recurrent layer over padded sequences, forward and backward, with an output at every step.

    ``kind`` is "GRU" or "LSTM"; x (N, T, D), lengths (N,); W (D, K H) and U (H, K H) have the gates side by
    side as Keras does, biases are 0; delta (N, T, H) is 0 where a sequence has ended.
    """

    kind: str
    x: np.ndarray
    W: np.ndarray
    U: np.ndarray
    delta: np.ndarray
    lengths: np.ndarray

    @property
    def repeats(self) -> int:
        """How often it is done in a row, as in a training; one of them is what counts."""
        return max(1, 300_000 // (self.x.shape[0] * self.x.shape[1]))

    @property
    def mask(self) -> np.ndarray:
        """Which steps are valid, (N, T)."""
        return np.arange(self.x.shape[1]) < self.lengths[:, None]

    def both(self) -> float:
        """Return the operations of the products, forward and backward, over the valid steps."""
        return 3 * 2 * int(self.lengths.sum()) * (self.W.size + self.U.size)
