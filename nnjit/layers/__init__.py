"""The layers: parameters, and a kernel call each for the forward and the backward pass."""
from .activations import ELU, GELU, Activation, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from .augmentation import RandomFlip, RandomShift
from .base import INFERENCE, Context, Layer
from .convolution import Conv1D, Conv2D, Conv2DTranspose
from .dense import Dense
from .dropout import Dropout
from .input import Input
from .masking import Masking
from .normalization import BatchNormalization, LayerNormalization
from .pooling import (
    AveragePool2D,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    MaxPool2D,
)
from .recurrent import GRU, LSTM
from .reshape import Flatten, ZeroPadding2D
from .residual import Residual

__all__ = ["ELU", "GELU", "GRU", "INFERENCE", "LSTM", "Activation", "AveragePool2D", "BatchNormalization",
           "Context", "Conv1D", "Conv2D", "Conv2DTranspose", "Dense", "Dropout", "Flatten",
           "GlobalAveragePool1D", "GlobalAveragePool2D", "GlobalMaxPool1D", "GlobalMaxPool2D", "Input",
           "Layer", "LayerNormalization", "LeakyReLU", "Masking", "MaxPool2D", "RandomFlip", "RandomShift",
           "ReLU", "Residual", "SiLU", "Sigmoid", "Softplus", "Tanh", "ZeroPadding2D"]
