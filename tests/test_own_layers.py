"""Layers of one's own, of every kind that the base class allows, between those of the package."""
import copy
import dataclasses

import numpy as np
import pytest

import nnjit as nn

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 4)), RNG.integers(3, size=40)


class Reshape(nn.Layer):
    """Returns a view of what comes in."""

    def build(self, input_shape):
        return 2, 2

    def forward(self, x, out, ctx):
        return x.reshape(len(x), 2, 2)

    def backward(self, x, a, delta, dx, ctx):
        return delta.reshape(x.shape)


class Exp(nn.Layer):
    """Takes its slope from its output, and does not say so."""

    def forward(self, x, out, ctx):
        return np.exp(x, out=out)

    def backward(self, x, a, delta, dx, ctx):
        return np.multiply(delta, a, out=dx)


class ElementwiseExp(Exp):
    elementwise = True


class Factor(nn.Layer):
    """a = c x, with one number c; keeps x as its scratch, and declares by adding to the dicts."""

    def build(self, input_shape):
        self.shapes["c"], self.state_shapes["seen"] = (), ()
        self.scratch["x"] = input_shape, None
        return input_shape

    def initialise(self, rng):
        self.began_with = 2
        self.parameters["c"][...] = self.began_with

    def forward(self, x, out, ctx):
        ctx.scratch["x"][:] = x
        return np.multiply(x, self.parameters["c"], out=out)

    def backward(self, x, a, delta, dx, ctx):
        self.gradients["c"][...] = (ctx.scratch["x"] * delta).sum()
        return dx if dx is None else np.multiply(delta, self.parameters["c"], out=dx)

    def commit(self, ctx):
        self.state["seen"][...] += len(ctx.scratch["x"])


@dataclasses.dataclass
class Scale(nn.Layer):
    by: float = 2.0

    def forward(self, x, out, ctx):
        return np.multiply(x, self.by, out=out)

    def backward(self, x, a, delta, dx, ctx):
        return np.multiply(delta, self.by, out=dx)


NETWORKS = {
    "a view first": lambda: [Reshape(), nn.ReLU(), nn.Flatten()],
    "a view of what is needed": lambda: [nn.Dense(4), nn.Tanh(), Reshape(), nn.Tanh(), nn.Flatten()],
    "an output that is needed": lambda: [nn.Dense(4), Exp(), nn.Tanh()],
    "an elementwise one": lambda: [nn.Dense(4), ElementwiseExp(), nn.Tanh()],
    "scratch and a number": lambda: [nn.Dense(4), Factor(), nn.Tanh()],
    "a number first": lambda: [Factor(), nn.ReLU()],
    "a dataclass": lambda: [nn.Dense(4), Scale(), nn.GELU(), nn.ReLU(), nn.Tanh()],
}


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS)
def model(request):
    return nn.Sequential([*request.param(), nn.Dense(3)], nn.Categorical(), dtype="float64").build(4)


def test_gradients_are_those_of_differences(model):
    gradients, h = model.gradients(X, Y), 1e-6
    for name, W in model.parameters().items():
        for i in np.ndindex(W.shape):
            W[i] += h
            above = model.evaluate(X, Y)["loss"]
            W[i] -= 2 * h
            below = model.evaluate(X, Y)["loss"]
            W[i] += h
            assert gradients[name][i] == pytest.approx((above - below) / (2 * h), abs=1e-8)


def test_inputs_are_never_written_to(model):
    given = X.copy()
    model.fit(given, Y, nn.SGD(0.01), batch_size=40, shuffle=False, verbose=0)
    for rows in (given, given[:3]):
        model.predict(rows)
        model.evaluate(rows, Y[:len(rows)])
        for a in model.activations(rows):
            a[:] = 7
    assert np.array_equal(given, X)


def test_few_rows_are_predicted_as_many(model):
    np.testing.assert_allclose(model.logits(X[:3]), model.logits(X)[:3], rtol=1e-12)


def test_a_copy_and_a_file_are_the_same(model, tmp_path):
    model.fit(X, Y, nn.Adam(0.01), batch_size=10, verbose=0)
    own = {kind.__name__: kind for kind in (Reshape, Exp, ElementwiseExp, Factor, Scale)}
    model.save(tmp_path / "model.npz")
    for other in (copy.copy(model), nn.load(tmp_path / "model.npz", custom=own)):
        assert np.array_equal(other.logits(X), model.logits(X))
        assert {name: array.tolist() for name, array in other.state().items()} == {
            name: array.tolist() for name, array in model.state().items()}


def test_what_one_layer_declares_is_its_own():
    model = nn.Sequential([Factor(), nn.Tanh(), nn.Dense(3)], nn.Categorical()).build(4)
    assert list(model.parameters()) == ["0.c", "2.W", "2.b"]
    assert list(model.state()) == ["0.seen"] and not nn.Tanh().shapes


def test_build_returns_a_shape():
    class Forgetful(Exp):
        def build(self, input_shape):
            self.width = input_shape[0]

    with pytest.raises(TypeError, match="Forgetful.build: got None, expected the shape of a row"):
        nn.Sequential([Forgetful(), nn.Dense(2)], nn.Categorical()).build(4)


@pytest.mark.parametrize("function", [np.sin, abs])
def test_formulas_are_functions(function):
    with pytest.raises(TypeError, match="elementwise sine: got .*, expected a function of a number"):
        nn.elementwise("sine", function, function)


def test_an_activation_has_kernels():
    with pytest.raises(ValueError, match=r"Activation: got no kernels.*nn\.elementwise"):
        nn.Sequential([nn.Activation(), nn.Dense(2)], nn.Categorical()).build(4)


class Mean(nn.Head):
    """Squared error about z + W, with W and a count of its own."""

    config, metric = ("options",), "mae"

    def __init__(self, **options):
        self.options = options

    def build(self, output_shape):
        self.shapes, self.state_shapes = {"W": (1,)}, {"count": (2,)}

    def targets(self, y, N, units, dtype):
        return np.asarray(y, dtype).reshape(N, 1)

    def loss_and_delta(self, z, y, w, total, delta):
        e = z + self.parameters["W"] - y
        delta[:] = w[:, None] * e / total
        self.gradients["W"][:] = delta.sum()
        return float(w @ e[:, 0] ** 2 / 2), float(w @ abs(e[:, 0])), float(w.sum())

    loss = loss_and_delta

    def decide(self, z):
        return z[:, 0]


def test_a_head_of_several_has_its_state_and_decay():
    rows, y, gradient_only = np.zeros((8, 1)), np.zeros(8), {"epochs": 1, "batch_size": 8, "verbose": 0}
    alone = nn.Sequential([nn.Dense(1)], Mean()).build(1)
    both = nn.Sequential([nn.Dense(1)], nn.Heads(a=Mean(), units={"a": 1})).build(1)
    for model, name, targets in ((alone, "head.W", y), (both, "head.a.W", {"a": y})):
        model.parameters()[name][:] = 1
        model.fit(rows, targets, nn.SGD(0.1, weight_decay=0.5), **gradient_only)
    assert both.parameters()["head.a.W"] == alone.parameters()["head.W"] == pytest.approx(1 - 0.1 - 0.05)
    assert both.state()["head.a.count"].shape == alone.state()["head.count"].shape == (2,)
    assert "Mean" in repr(alone.head)
