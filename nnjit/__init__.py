"""nnjit: neural networks for multicore CPUs, from small compiled kernels and a thin graph of Python.

The way of the data, with the files::

    X, y -> inputs/ (checked, cast, stored) -> Batch(x, y, w, mask)
         -> graph.forward -> heads/ loss_and_delta -> graph.backward -> optimizers.step

One direction forward, one backward: no layer knows its neighbours, no kernel knows a layer.
"""
from . import _starting  # Ctrl-C ends the command quietly, also while the others are imported

__version__ = "0.1.0"    # before the imports: parts of the package ask for it

import importlib
from typing import TYPE_CHECKING

from . import callbacks, datasets, heads, losses, metrics, schedules
from ._numba.threads import get_threads, set_threads
from .experiments import book
from .explain import Explanation, explain
from .heads import (
    Bernoulli,
    Categorical,
    Gaussian,
    Head,
    Heads,
    Huber,
    Laplace,
    Ordinal,
    Poisson,
    SquaredError,
)
from .inputs.checks import DataError
from .kernels.activations import elementwise
from .layers import (
    ELU,
    GELU,
    GRU,
    LSTM,
    Activation,
    AveragePool2D,
    BatchNormalization,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    Input,
    Layer,
    LayerNormalization,
    LeakyReLU,
    Masking,
    MaxPool2D,
    RandomFlip,
    RandomShift,
    ReLU,
    Residual,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
    ZeroPadding2D,
)
from .loading import load
from .model import Sequential
from .optimizers import SGD, Adam, AdamW, RMSprop
from .sweep import Sweep, sweep
from .training import History

__all__ = ["ELU", "GELU", "GRU", "LSTM", "SGD", "Activation", "Adam", "AdamW", "AveragePool2D",
           "BatchNormalization", "Bernoulli", "Categorical", "Conv1D", "Conv2D", "Conv2DTranspose",
           "DataError", "Dense", "Dropout", "Explanation", "Flatten", "Gaussian", "GlobalAveragePool1D",
           "GlobalAveragePool2D", "GlobalMaxPool1D", "GlobalMaxPool2D", "Head", "Heads", "History", "Huber",
           "Input", "Laplace", "Layer", "LayerNormalization", "LeakyReLU", "Masking", "MaxPool2D", "Ordinal",
           "Poisson", "RMSprop", "RandomFlip", "RandomShift", "ReLU", "Residual", "Sequential", "SiLU",
           "Sigmoid", "Softplus", "SquaredError", "Sweep", "Tanh", "ZeroPadding2D", "book", "callbacks",
           "datasets", "elementwise", "explain", "get_threads", "heads", "load", "losses", "metrics",
           "schedules", "set_threads", "sweep"]

if TYPE_CHECKING:    # a __getattr__ would let it take any name for one that there is
    from . import estimators as estimators
    from . import exchange as exchange
    from . import own_data as own_data
    from . import plots as plots
else:
    def __getattr__(name):
        if name in ("estimators", "exchange", "own_data", "plots"):    # which need extras
            return importlib.import_module(f".{name}", __name__)
        from .habits import NAMES, hint
        raise AttributeError(f"module 'nnjit' has no attribute {name!r}{hint(NAMES, name)}")
