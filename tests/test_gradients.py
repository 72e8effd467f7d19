"""Gradients of whole networks against differences of the loss, in float64: of some networks all entries of
all parameters; of every layer before every head a direction in each array, the input among them.
"""
import itertools

import naive
import numpy as np
import pytest
from cases import LAYERS
from directions import Plus, check_gradient
from head_cases import CASES, kinds_of_targets, targets_of
from scale import TORTURE

import nnjit as nn
from nnjit import preparation
from nnjit._numba.threads import parallel_region
from nnjit.inputs.sparse_rows import SparseRows

N, D, K = 7, 4, 3
STEP = 3         # a training step, which fixes the dropout masks
RELU_SEED = 1    # inputs that leave every pre-activation away from 0


def network(*hidden, bias=True):
    """Return a built network with the hidden layers, and biases that are not 0."""
    model = nn.Sequential([*hidden, nn.Dense(K, bias=bias)], head=nn.Categorical(),
                          dtype="float64").build(D, seed=4)
    rng = np.random.default_rng(4)
    for name, array in model.parameters().items():
        if name.endswith("b"):
            array[:] = rng.uniform(-0.5, 0.5, array.shape)
    return model


def examples(rng, density=1.0, soft=False):
    """Return X, y and weights, one of which is 0."""
    X = rng.normal(size=(N, D)) * (rng.random((N, D)) < density)
    y = rng.dirichlet(np.ones(K), size=N) if soft else rng.integers(K, size=N)
    return X, y, rng.uniform(0.1, 2, N) * (np.arange(N) != 2)


def differences(model, X, y, w, step):
    """Return d(mean loss)/d(parameter) by differences of fourth order, under the keys of `parameters`."""
    batch, = preparation.examples(model, X, y, w).batches(len(X))
    workspace = model.graph.workspaces()[len(X)]

    def mean_loss():
        loss, _, weight = model.graph.loss(batch, workspace, step)
        return loss / weight + model.graph.penalise()

    def slope(array, index, h=1e-3):
        centre, losses = array[index], []
        for offset in (-2, -1, 1, 2):
            array[index] = centre + offset * h
            losses.append(mean_loss())
        array[index] = centre
        return np.dot([1, -8, 8, -1], losses) / (12 * h)

    with parallel_region():
        return {name: np.array([slope(array, index)
                                for index in np.ndindex(array.shape)]).reshape(array.shape)
                for name, array in model.parameters().items()}


def check(model, X, y, w=None, step=None):
    gradients, expected = model.gradients(X, y, w, step), differences(model, X, y, w, step)
    assert list(gradients) == list(expected) == list(model.parameters())
    for name, gradient in gradients.items():
        assert np.abs(expected[name]).max() > 1e-4, name    # something to compare
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-7, atol=1e-10, err_msg=name)


NETWORKS = {
    "penalties": lambda: [nn.Dense(5, l1=0.03), nn.Tanh(), nn.Dense(4, l2=0.2, bias=False),
                          nn.Dense(4, l1=0.1, l2=0.05)],
    "no hidden layer": list,
    "tanh": lambda: [nn.Dense(5), nn.Tanh(), nn.Dense(4), nn.Tanh()],
    "sigmoid": lambda: [nn.Dense(5), nn.Sigmoid(), nn.Dense(4), nn.Sigmoid()],
    "tanh and dropout": lambda: [nn.Dense(5), nn.Tanh(), nn.Dropout(0.5), nn.Dense(4), nn.Tanh(),
                                 nn.Dropout(0.25)],
    "dropout before": lambda: [nn.Dropout(0.2), nn.Dense(5), nn.Dropout(0.5), nn.Tanh()],
    "activation on activation": lambda: [nn.Dense(5), nn.Tanh(), nn.Sigmoid()],
    "activation on dropout": lambda: [nn.Dense(5), nn.Sigmoid(), nn.Dropout(0.3), nn.Tanh(), nn.Dropout(0),
                                      nn.Tanh()],
    "activation of the input": lambda: [nn.Tanh(), nn.Sigmoid(), nn.Dense(4), nn.Tanh()],
    "no activation": lambda: [nn.Dense(4), nn.Dense(5)],
    "batch normalization": lambda: [nn.Dense(5, bias=False), nn.BatchNormalization(), nn.Tanh(),
                                    nn.Dense(4, bias=False), nn.BatchNormalization(scale=False),
                                    nn.Sigmoid()],
    "layer normalization": lambda: [nn.LayerNormalization(), nn.Dense(5), nn.LayerNormalization(center=False),
                                    nn.Tanh()],
    "normalization first": lambda: [nn.BatchNormalization(), nn.Dense(5), nn.Tanh()],
}


@pytest.mark.parametrize("step", [None, STEP])
@pytest.mark.parametrize("hidden", NETWORKS)
def test_networks(rng, hidden, step):
    check(network(*NETWORKS[hidden]()), *examples(rng), step)


@pytest.mark.parametrize("step", [None, STEP])
def test_relu_away_from_its_kink(step):
    model = network(nn.Dense(5), nn.ReLU(), nn.Dropout(0.5), nn.Dense(4), nn.ReLU())
    X, y, w = examples(np.random.default_rng(RELU_SEED))
    parameters, workspace = model.parameters(), model.graph.workspaces()[N]
    model.graph.forward(X, workspace, step)
    for i in (0, 3):
        z = naive.affine(workspace.arrays[i], parameters[f"{i}.W"], parameters[f"{i}.b"])
        assert np.abs(z).min() > 0.01 and (z > 0).any() and (z < 0).any()    # the differences move it by less
    check(model, X, y, w, step)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("density", [1, 0.3])
@pytest.mark.parametrize("bias", [False, True])
def test_inputs_targets_weights_and_biases(rng, weighted, soft, density, bias):
    model = network(nn.Dense(5, bias), nn.Tanh(), bias=bias)
    X, y, w = examples(rng, density, soft)
    assert isinstance(preparation.stored_rows(model, X, "auto"), SparseRows) == (density < 1)
    check(model, X, y, w if weighted else None)


def test_the_mask_of_a_step_is_fixed(rng):
    X, y, _ = examples(rng)
    model = network(nn.Dense(5), nn.Dropout(0.5), nn.Tanh())
    first, again, other, none = (model.gradients(X, y, step=step)["0.W"]
                                 for step in (STEP, STEP, STEP + 1, None))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other) and not np.allclose(first, none)


# ---- every layer, head, kind of targets, weights, mask, place ----------------------------------------------

ROWS = 5
WEIGHTS = {"no": lambda rng, shape: None, "random": lambda rng, shape: rng.uniform(0.1, 2, shape),
           "some zero": lambda rng, shape: rng.uniform(0.1, 2, shape) * (np.arange(ROWS) != 2).reshape(
               -1, *[1] * (len(shape) - 1))}
HEADS = [name for name in CASES if not name.endswith("soft")]    # which is among the kinds of targets


def network_of(case, head, every_step):
    """Return a built network with the layer before a Dense layer and the head, and the shape of its targets.

    In between the steps of a sequence are averaged unless there is an output at every step.
    """
    layer, (make, units, _) = case.make(), CASES[head]
    layers = [layer, Plus(ROWS)] if isinstance(layer, nn.Masking) else [Plus(ROWS), layer]
    shape = case.make().build(case.input_shape)
    if len(shape) == 3:
        layers.append(nn.Flatten())
    elif len(shape) == 2 and not every_step:
        layers.append(nn.GlobalAveragePool1D())
    model = nn.Sequential([*layers, nn.Dense(units)], make(), "float64").build(case.input_shape, seed=3)
    rng = np.random.default_rng(3)
    for array in model.parameters().values():
        if array.ndim == 1:    # what begins with 0, or in order
            array += rng.uniform(-0.2, 0.2, array.shape)
    return model, (ROWS, shape[0]) if every_step else (ROWS,)


def settings_of(case):
    """Return how a layer is met: (weights, whether with a mask, with an output at every step, the training
    step).
    """
    layer, steps = case.make(), [STEP, None] if case.random or case.mixes_rows else [STEP]
    output = layer.build(case.input_shape)
    masks = [False, True] if len(case.input_shape) == 2 and layer.mask_use != "refuses" else [False]
    return list(itertools.product(WEIGHTS, masks, [False, True] if len(output) == 2 else [False], steps))


def combinations(name):
    """Return (head, its kind of targets, setting) with which a layer is met: in a torture all; else each head
    once, so that all layers together meet all pairs.
    """
    settings, number = settings_of(LAYERS[name]), list(LAYERS).index(name)
    if TORTURE:
        return [(head, kind, setting) for head in HEADS for kind in kinds_of_targets(head)
                for setting in settings]
    return [(head, kinds_of_targets(head)[(number // 3 + j) % len(kinds_of_targets(head))],
             settings[(5 * j + number) % len(settings)]) for j, head in enumerate(HEADS)]


@pytest.mark.compiled
@pytest.mark.torture
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_before_every_head(name, count):
    case, moved = LAYERS[name], 0
    for head, kind, (weights, masked, every_step, step) in combinations(name):
        about = f"{name}, {head}, {kind.__name__}, {weights} weights, {masked=}, {every_step=}, {step=}"
        model, shape = network_of(case, head, every_step)
        rng = np.random.default_rng(1)
        X, mask = rng.normal(size=(ROWS, *case.input_shape)), None
        if masked:    # a window of 3 steps is valid
            mask = (np.arange(X.shape[1]) < 3) | (rng.random(X.shape[:2]) < 0.5)
        y, w = targets_of(head, rng, shape, kind), WEIGHTS[weights](rng, shape)
        if isinstance(case.make(), nn.Masking) and masked:
            X, mask = X * mask[..., None], None
        slopes = check_gradient(model, X, y, w, mask, step, about)
        moved += max(map(abs, slopes.values())) > 1e-3
    assert moved > 0.9 * len(combinations(name))    # there is something to compare
    count("gradients of a layer before a head", len(combinations(name)))


def test_all_pairs_are_met():
    """Of a layer and a head, a layer and a setting, a head with a kind of targets and one of the setting."""
    met = {name: combinations(name) for name in LAYERS}
    for name, case in LAYERS.items():
        assert {head for head, *_ in met[name]} == set(HEADS)
        assert {setting for *_, setting in met[name]} == set(settings_of(case))
    values = [WEIGHTS, [False, True], [False, True]]
    for i, each in enumerate(values):    # one of a setting
        assert {(head, kind, setting[i]) for found in met.values() for head, kind, setting in found} == {
            (head, kind, value) for head in HEADS for kind in kinds_of_targets(head) for value in each}
