"""Gradients of whole networks against differences of the loss, float64, all entries of all parameters."""
import naive
import numpy as np
import pytest

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
