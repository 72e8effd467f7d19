"""Whole networks drawn at random: the gradient against differences in directions, float32 against float64."""
import copy

import numpy as np
import pytest
from directions import Plus, check_gradient
from head_cases import CASES, kinds_of_targets, targets_of
from hypothesis import event, given, settings
from hypothesis import strategies as st
from scale import times

import nnjit as nn

pytestmark = [pytest.mark.compiled, pytest.mark.torture]

N, STEP = 5, 3    # a training step, which fixes what is random
SHAPES = {"rows": (6,), "images": (6, 5, 2), "sequences": (7, 3)}
few = st.integers(1, 3)


def made(kind, **arguments):
    return st.builds(kind, **arguments)


ANYWHERE = [made(kind) for kind in (nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Softplus, nn.ELU, nn.ReLU,
                                    nn.LeakyReLU)] + [
    made(nn.Dropout, rate=st.sampled_from([0.2, 0.5])), made(nn.LayerNormalization, scale=st.booleans()),
    made(nn.BatchNormalization, center=st.booleans())]
dense = made(nn.Dense, units=st.integers(1, 18), bias=st.booleans(), l2=st.sampled_from([0, 0.05]))
windows = {"kernel_size": few, "strides": st.integers(1, 2), "bias": st.booleans()}
recurrent = [made(kind, units=st.integers(2, 9), go_backwards=st.booleans(), bias=st.booleans(),
                  return_sequences=st.booleans()) for kind in (nn.GRU, nn.LSTM)]
# by the number of axes of what comes in
FITTING = {
    1: [*ANYWHERE, dense, dense],
    2: [*ANYWHERE, dense, *recurrent, *recurrent,
        made(nn.Conv1D, filters=few, padding=st.sampled_from(["same", "valid", "causal"]),
             dilation=st.integers(1, 2), **windows),
        made(nn.GlobalAveragePool1D), made(nn.GlobalMaxPool1D)],
    3: [*ANYWHERE, made(nn.Conv2D, filters=few, padding=st.sampled_from(["same", "valid"]), **windows),
        made(nn.Conv2D, filters=st.just(2), groups=st.just(2), **windows),
        made(nn.Conv2DTranspose, filters=few, **windows), made(nn.MaxPool2D), made(nn.AveragePool2D),
        made(nn.ZeroPadding2D), made(nn.GlobalAveragePool2D), made(nn.GlobalMaxPool2D), made(nn.Flatten)]}


@st.composite
def ways(draw, shape, most, residual=True):
    """Draw at most so many layers that fit each other, and return them with the shape of their output."""
    layers = []
    for _ in range(draw(st.integers(1, most))):
        if residual and draw(st.integers(0, 5)) == 0:
            layer = draw(residuals(shape))
        else:
            layer = draw(st.one_of(FITTING[len(shape)]))
        try:
            shape = copy.copy(layer).build(shape)
        except ValueError:    # a window that is larger than what is left
            continue
        layers.append(layer)
    return layers, shape


@st.composite
def residuals(draw, shape):
    """Draw a sum of two ways; where the layers change the shape, a last one gives it back."""
    layers, output = draw(ways(shape, 2, residual=False))
    if output[:-1] != shape[:-1]:
        layers = []
    if not layers or output != shape:
        last = {1: nn.Dense, 2: lambda D: nn.Conv1D(D, 2), 3: lambda C: nn.Conv2D(C, 2)}[len(shape)]
        layers = [*layers, last(shape[-1])]
    return nn.Residual(layers)


@st.composite
def problems(draw):
    """Draw layers, a head, targets, weights, a mask."""
    kind = draw(st.sampled_from([*SHAPES]))
    layers, shape = draw(ways(SHAPES[kind], 6))
    every_step = len(shape) == 2 and draw(st.booleans())
    if len(shape) == 3 or len(shape) == 2 and not every_step:
        layers.append(nn.Flatten() if len(shape) == 3 or draw(st.booleans()) else nn.GlobalAveragePool1D())
    head = draw(st.sampled_from([*CASES]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = (N, shape[0]) if every_step else (N,)
    y = targets_of(head, rng, rows, draw(st.sampled_from(kinds_of_targets(head))))
    w = draw(st.sampled_from([None, rng.uniform(0.1, 2, rows), rng.uniform(0.1, 2, rows) * (rng.random(
        rows) < 0.7).clip(np.arange(N).reshape(-1, *[1] * (len(rows) - 1)) == 0)]))
    mask = rng.integers(4, 8, N) if kind == "sequences" and draw(st.booleans()) else None
    event(f"{kind}{', a mask' * (mask is not None)}{', at every step' * every_step}")
    return layers, head, rng.normal(size=(N, *SHAPES[kind])), y, w, mask


def network(layers, head, dtype):
    """Return a built network of copies of the layers."""
    make, units, _ = CASES[head]
    return nn.Sequential([Plus(N), *map(copy.copy, layers), nn.Dense(units)], make(), dtype)


def usable(model, mask):
    """Return the mask, or None where a layer refuses it, or leaves a sequence without a valid step."""
    try:
        model.graph.check_takes_mask()
    except ValueError:
        return None
    valid = np.arange(SHAPES["sequences"][0]) < mask[:, None]
    for layer in model.layers:
        valid = layer.output_mask(valid)
        if valid is None:
            return mask
        if not valid.any(axis=1).all():
            return None
    return mask


def near(found, expected, scale):
    off = np.abs(found - expected).max(initial=0) / scale
    assert off <= 1e-3


def check(layers, head, X, y, w, mask):
    """Check the gradient of a network, and that one in float32 has its logits and gradient within a bound."""
    model = network(layers, head, "float64").build(X.shape[1:], seed=1)
    rng = np.random.default_rng(1)
    weights = zip(model.graph.arrays(), model.get_weights())
    model.set_weights([a + (a.ndim == 1 or name.endswith(".b")) * rng.uniform(0, 0.3, a.shape)
                       for name, a in weights])    # no output of a GRU is at the kink of a ReLU
    mask = None if mask is None else usable(model, mask)
    check_gradient(model, X, y, w, mask, STEP, f"{layers}, {head}")
    single = network(layers, head, "float32").build(X.shape[1:], seed=1)
    single.set_weights(model.get_weights())
    logits, gradients = model.logits(X, mask=mask), model.gradients(X, y, w, STEP, mask)
    near(single.logits(X.astype(np.float32), mask=mask), logits, 1 + np.abs(logits).max())
    largest = max(np.abs(gradient).max() for gradient in gradients.values())
    for name, gradient in single.gradients(X.astype(np.float32), y, w, STEP, mask).items():
        near(gradient, gradients[name], 0.01 + largest)


def test_gradients_and_float32(count):
    checked = []

    @settings(max_examples=times(40, 4000), deadline=None, derandomize=True, database=None)
    @given(problems())
    def each(problem):
        check(*problem)
        checked.append(problem[1])

    each()
    count("random networks", len(checked))
