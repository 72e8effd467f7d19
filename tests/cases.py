"""The table of layers: every test of `test_layers.py` goes through all of them."""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import nnjit as nn
from nnjit.kernels import random
from nnjit.layers import Context
from nnjit.memory import Layout

SEED, STEP = 7, 3    # a training step fixes what is random


@dataclass(frozen=True)
class Case:
    """A layer and what it is tested with.

    Attributes
    ----------
    make : a function that returns a new one
    input_shape : of a row
    random : whether a training step draws something
    kinks : whether the slope jumps somewhere; the inputs then stay away from 0
    mixes_rows : whether at a training step a row's output depends on the rows beside it
    slow : whether it takes long uncompiled, where it is left out
    """

    make: Callable
    input_shape: tuple = (5,)
    random: bool = False
    kinks: bool = False
    mixes_rows: bool = False
    slow: bool = False


IMAGE = (5, 4, 3)
SEQUENCE = (6, 3)    # steps, and numbers of each

LAYERS = {
    "Dense": Case(lambda: nn.Dense(4)),
    "Dense with penalties": Case(lambda: nn.Dense(4, l1=0.01, l2=0.02)),
    "Dense without bias": Case(lambda: nn.Dense(19, bias=False)),
    "Tanh": Case(nn.Tanh),
    "ReLU": Case(nn.ReLU, kinks=True),
    "Sigmoid": Case(nn.Sigmoid),
    "GELU": Case(nn.GELU),
    "SiLU": Case(nn.SiLU),
    "Softplus": Case(nn.Softplus),
    "LeakyReLU": Case(nn.LeakyReLU, kinks=True),
    "ELU": Case(lambda: nn.ELU(0.7), kinks=True),
    "GELU of images": Case(nn.GELU, IMAGE),
    "Tanh of images": Case(nn.Tanh, IMAGE),
    "Dropout": Case(lambda: nn.Dropout(0.4), random=True),
    "Dropout of images": Case(lambda: nn.Dropout(0.5), IMAGE, random=True),
    "Dropout of nothing": Case(lambda: nn.Dropout(0)),
    "Conv2D": Case(lambda: nn.Conv2D(4, 3), IMAGE),
    "Conv2D with strides": Case(lambda: nn.Conv2D(2, 3, strides=2, padding="valid", bias=False), IMAGE),
    "Conv2D with penalties": Case(lambda: nn.Conv2D(4, 3, l1=0.01, l2=0.02), IMAGE),
    "Conv2D with all options": Case(lambda: nn.Conv2D(4, (2, 3), (2, 1), ((1, 0), (2, 1)), dilation=(1, 2)),
                                    IMAGE),
    "Conv2D in groups": Case(lambda: nn.Conv2D(6, 3, groups=3), IMAGE),
    "Conv2D, depthwise": Case(lambda: nn.Conv2D(3, 3, strides=2, groups=3), IMAGE),
    "Conv2DTranspose with more pixels": Case(
        lambda: nn.Conv2DTranspose(2, 3, 2, padding=1, output_padding=1), IMAGE),
    "ZeroPadding2D": Case(lambda: nn.ZeroPadding2D(((0, 1), (2, 0))), IMAGE),
    "MaxPool2D with padding": Case(lambda: nn.MaxPool2D(3, 2, 1), IMAGE),
    "AveragePool2D with padding": Case(lambda: nn.AveragePool2D((2, 3), padding="same"), IMAGE),
    "AveragePool2D that counts padding": Case(
        lambda: nn.AveragePool2D(3, 2, 1, count_padding=True), IMAGE),
    "GlobalMaxPool2D": Case(nn.GlobalMaxPool2D, IMAGE),
    "Residual": Case(lambda: nn.Residual([nn.Conv2D(3, 3, l2=0.01), nn.Tanh(), nn.Conv2D(3, 1)]), IMAGE),
    "Residual with a shortcut": Case(
        lambda: nn.Residual([nn.Conv2D(4, 3, 2), nn.Sigmoid()], [nn.Conv2D(4, 1, 2, bias=False)]), IMAGE),
    "Residual with normalisation": Case(
        lambda: nn.Residual([nn.BatchNormalization(), nn.Tanh(), nn.Conv2D(3, 3)]), IMAGE, mixes_rows=True),
    "Residual with dropout": Case(
        lambda: nn.Residual([nn.Dense(5), nn.Tanh(), nn.Dropout(0.4)]), random=True),
    "Residual of sequences": Case(lambda: nn.Residual([nn.Conv1D(3, 3), nn.Tanh()]), SEQUENCE),
    "Conv2DTranspose": Case(lambda: nn.Conv2DTranspose(2, 3, strides=2), IMAGE),
    "MaxPool2D": Case(lambda: nn.MaxPool2D(2), IMAGE),
    "AveragePool2D": Case(lambda: nn.AveragePool2D(3, 1), IMAGE),
    "GlobalAveragePool2D": Case(nn.GlobalAveragePool2D, IMAGE),
    "BatchNormalization": Case(nn.BatchNormalization, mixes_rows=True),
    "BatchNormalization of images": Case(lambda: nn.BatchNormalization(0.8, 0.01), IMAGE, mixes_rows=True),
    "BatchNormalization without parameters": Case(
        lambda: nn.BatchNormalization(center=False, scale=False), mixes_rows=True),
    "LayerNormalization": Case(nn.LayerNormalization),
    "LayerNormalization of images": Case(lambda: nn.LayerNormalization(0.01, scale=False), IMAGE),
    "Flatten": Case(nn.Flatten, IMAGE),
    "Dense at each step": Case(lambda: nn.Dense(4), SEQUENCE),
    "Tanh of sequences": Case(nn.Tanh, SEQUENCE),
    "Dropout of sequences": Case(lambda: nn.Dropout(0.5), SEQUENCE, random=True),
    "BatchNormalization of sequences": Case(nn.BatchNormalization, SEQUENCE, mixes_rows=True),
    "LayerNormalization of sequences": Case(nn.LayerNormalization, SEQUENCE),
    "Flatten of sequences": Case(nn.Flatten, SEQUENCE),
    "Masking": Case(nn.Masking, SEQUENCE),
    "GRU": Case(lambda: nn.GRU(5), SEQUENCE, slow=True),
    "GRU of sequences": Case(lambda: nn.GRU(17, return_sequences=True), SEQUENCE, slow=True),
    "GRU that resets before": Case(lambda: nn.GRU(4, return_sequences=True, reset_after=False), SEQUENCE,
                                   slow=True),
    "GRU without bias": Case(lambda: nn.GRU(3, bias=False), SEQUENCE, slow=True),
    "GRU backwards": Case(lambda: nn.GRU(3, return_sequences=True, go_backwards=True), SEQUENCE, slow=True),
    "LSTM": Case(lambda: nn.LSTM(5), SEQUENCE, slow=True),
    "LSTM of sequences": Case(lambda: nn.LSTM(18, return_sequences=True, bias=False), SEQUENCE, slow=True),
    "LSTM backwards": Case(lambda: nn.LSTM(3, go_backwards=True), SEQUENCE, slow=True),
    "Conv1D": Case(lambda: nn.Conv1D(4, 3), SEQUENCE),
    "Conv1D with strides": Case(lambda: nn.Conv1D(4, 3, strides=2, padding="valid", bias=False), SEQUENCE),
    "Conv1D with dilation and groups": Case(lambda: nn.Conv1D(6, 2, dilation=2, groups=3), SEQUENCE),
    "Conv1D, causal": Case(lambda: nn.Conv1D(4, 3, padding="causal", l2=0.01), SEQUENCE),
    "GlobalAveragePool1D": Case(nn.GlobalAveragePool1D, SEQUENCE),
    "GlobalMaxPool1D": Case(nn.GlobalMaxPool1D, SEQUENCE),
    "RandomFlip": Case(nn.RandomFlip, IMAGE, random=True),
    "RandomShift": Case(lambda: nn.RandomShift(2), IMAGE, random=True),
}


class Alone:
    """A layer that is built and has its arrays, without a network."""

    def __init__(self, case, dtype="float64", seed=SEED):
        self.case, self.dtype, self.layer = case, np.dtype(dtype), case.make()
        self.output_shape = self.layer.build(case.input_shape)
        shapes, state = Layout(self.layer.shapes, dtype), Layout(self.layer.state_shapes, dtype)
        self.layer.attach(shapes.stored(shapes.zeros()), shapes.stored(shapes.zeros()),
                          state.views(state.zeros()))
        self.layer.initialise(np.random.default_rng(seed))

    def context(self, N, step=STEP, first_row=0):
        shapes = {name: ((N, *shape), dtype) for name, (shape, dtype) in self.layer.scratch.items()}
        scratch = {name: np.empty(shape, dtype or self.dtype) for name,
                   (shape, dtype) in {**shapes, **self.layer.batch_scratch}.items()}
        return Context(random.layer_key(SEED, 1), scratch, step, first_row, np.ones(N, self.dtype))

    def forward(self, x, ctx):
        """Return the output for a copy of x."""
        return self.layer.forward(x.copy(), np.zeros((len(x), *self.output_shape), self.dtype), ctx).copy()

    def backward(self, x, a, delta, ctx):
        """Return dL/dx; the gradients are the layer's."""
        delta, dx = delta.copy(), np.zeros_like(x)
        return self.layer.backward(x, a, delta, delta if self.layer.elementwise else dx,
                                   ctx).reshape(x.shape).copy()

    def rows(self, N, seed=0):
        """Return N rows of inputs."""
        x = np.random.default_rng(seed).normal(size=(N, *self.case.input_shape))
        if self.case.kinks:
            x += 0.2 * np.sign(x)
        return x.astype(self.dtype)


def network(case, dtype="float64", seed=SEED):
    """Return a built network of three classes in which the layer stands between others."""
    shape = case.input_shape
    first = [nn.Conv2D(shape[2], 1) if len(shape) == 3 else nn.Dense(shape[-1]), nn.Tanh()]
    if isinstance(case.make(), nn.Masking):    # which is the first layer
        return nn.Sequential([case.make(), nn.Tanh(), nn.GRU(6), nn.Tanh(), nn.Dense(3)], nn.Categorical(),
                             dtype).build(shape, seed)
    last = [nn.Dense(6)] if len(case.make().build(shape)) == 1 else [nn.Flatten(), nn.Dense(6)]
    return nn.Sequential([*first, case.make(), *last, nn.Tanh(), nn.Dense(3)], nn.Categorical(),
                         dtype).build(shape, seed)
