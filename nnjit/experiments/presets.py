"""Networks for images, and how they are trained: one for each data set and kind of network."""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import schedules
from ..heads import Bernoulli, Categorical
from ..layers import (
    GRU,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    MaxPool2D,
    RandomFlip,
    RandomShift,
    ReLU,
    Residual,
)
from ..model import Sequential
from ..optimizers import Adam

_MOMENTUM = 0.9    # of running means, which are to follow within an epoch


@dataclass(frozen=True)
class Preset:
    """What is built and how it is trained.

    Attributes
    ----------
    body : ``body()`` returns the layers below the last
    rate : Adam's learning rate, a number, or a function that makes a schedule for that many steps of training
    """

    body: Callable[[], list[Any]]
    batch_size: int
    epochs: int
    rate: float | Callable[..., Any] = 0.001

    def network(self, classes: int, dtype: str = "float32") -> Sequential:
        """Return the network, unbuilt, for a number of classes: one logit for two, else one for each."""
        head = Bernoulli() if classes == 2 else Categorical()
        return Sequential([*self.body(), Dense(1 if classes == 2 else classes)], head, dtype)

    def optimizer(self, rows: int, epochs: int, batch_size: int, rate: float | None = None) -> Adam:
        """Return a new optimizer for a training on these many rows; ``rate`` is the preset's for None."""
        given = rate or self.rate
        return Adam(given(epochs * -(-rows // batch_size)) if callable(given) else given)


def _two_convolutions(first, second, hidden):
    return lambda: [Conv2D(first, 3), ReLU(), MaxPool2D(2), Conv2D(second, 3), ReLU(), MaxPool2D(2),
                    Flatten(), Dense(hidden), ReLU()]


def _hidden_layers(*widths):
    return lambda: [Flatten(), *(layer for units in widths for layer in (Dense(units), ReLU(), Dropout(0.5)))]


def _normalised(filters, size, strides=1):
    return [Conv2D(filters, size, strides, bias=False), BatchNormalization(_MOMENTUM)]


def _block(filters, strides):
    """Return two convolutions and a shortcut, the sum of which is activated (He et al. 2016)."""
    way = [*_normalised(filters, 3, strides), ReLU(), *_normalised(filters, 3)]
    return [Residual(way, _normalised(filters, 1, strides) if strides > 1 else []), ReLU()]


def _residual_network():
    """A ResNet of 8 layers with weights, for images of 32 × 32, which are flipped and shifted."""
    return [RandomFlip(), RandomShift(4), *_normalised(16, 3), ReLU(), *_block(16, 1), *_block(32, 2),
            *_block(64, 2), GlobalAveragePool2D()]


PRESETS = {
    ("cifar10", "resnet"): Preset(_residual_network, batch_size=128, epochs=20,
                                  rate=lambda steps: schedules.cosine(0.01, steps)),
    ("cifar10", "cnn"): Preset(_two_convolutions(8, 8, 32), batch_size=32, epochs=50),
    ("cifar10", "mlp"): Preset(_hidden_layers(256), batch_size=32, epochs=50),
    ("mnist", "mlp"): Preset(_hidden_layers(512), batch_size=100, epochs=10),
    ("mnist", "gru"): Preset(lambda: [GRU(128)], batch_size=100, epochs=10,
                             rate=lambda steps: schedules.cosine(0.003, steps)),
    ("mnist", "cnn"): Preset(_two_convolutions(8, 16, 64), batch_size=50, epochs=5,
                             rate=lambda steps: schedules.cosine(0.003, steps)),
}
