"""Weight decay and penalties: on which parameters they act, and that penalties are part of the loss."""
import numpy as np
import pytest

import nnjit as nn
from nnjit.kernels import penalties

MAKE = {"SGD": lambda: nn.SGD(0.1, weight_decay=0.5),
        "momentum": lambda: nn.SGD(0.1, momentum=0.9, weight_decay=0.5),
        "AdamW": lambda: nn.AdamW(0.1, weight_decay=0.5)}


@pytest.mark.parametrize("D, H", [(5, 7), (900, 40)])    # one chunk, and three
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels(rng, dtype, D, H):
    W, dW = rng.normal(size=(2, D, H)).astype(dtype)
    W[2, 3], expected = 0, dW + 0.3 * np.sign(W) + 2 * 0.2 * W
    expected[2, 3] = dW[2, 3]
    penalty = pytest.approx(0.3 * np.abs(W).sum(dtype=float) + 0.2 * (W.astype(float) ** 2).sum(), rel=1e-6)
    assert penalties.penalty(W, 0.3, 0.2) == penalty
    assert penalties.add_slope(W, 0.3, 0.2, dW) == penalty
    np.testing.assert_allclose(dW, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_decay_acts_on_weights_only(make):
    """Without a gradient: a W shrinks by lr decay, biases and the cut points of ranks stay."""
    model = nn.Sequential([nn.Dense(3), nn.Tanh(), nn.Dense(1)], nn.Ordinal(4), "float64").build(5)
    for array in model.parameters().values():
        array[...] = np.random.default_rng(1).uniform(1, 2, array.shape)
    before = {name: array.copy() for name, array in model.parameters().items()}
    model.gradient_vector[:] = 0
    make().step(model.vector, model.gradient_vector, model.graph.decayed)
    assert list(before) == ["0.W", "0.b", "2.W", "2.b", "head.b"]
    for name, array in model.parameters().items():
        np.testing.assert_allclose(array, before[name] * (0.95 if name.endswith("W") else 1), rtol=1e-14,
                                   err_msg=name)


def test_a_layers_own_choice_of_what_decays():
    class Scale(nn.Layer):
        decayed = ("scale",)

        def build(self, input_shape):
            self.shapes = {"scale": input_shape, "W": input_shape}
            return input_shape

        def forward(self, x, out, ctx):
            np.multiply(x, self.parameters["scale"], out=out)
            return out

        def backward(self, x, a, delta, dx, ctx):
            self.gradients["scale"][:] = self.gradients["W"][:] = 0
            return np.multiply(delta, self.parameters["scale"], out=dx)

    model = nn.Sequential([Scale(), nn.Dense(2, bias=False)], nn.Categorical(), "float64").build(3)
    model.vector[:] = 1
    nn.SGD(0.1, weight_decay=1).step(model.vector, 0 * model.vector, model.graph.decayed)
    found = {name: array.ravel()[0].item() for name, array in model.parameters().items()}
    assert found == pytest.approx({"0.scale": 0.9, "0.W": 1, "1.W": 0.9})


def test_a_penalty_is_part_of_every_loss(rng):
    """A batch's (whose gradient has it), an epoch's and an evaluation's, in batches of any size."""
    X, y = rng.normal(size=(10, 4)), rng.integers(2, size=10)
    plain, punished = (nn.Sequential([nn.Dense(3, **options), nn.Dense(2)], nn.Categorical(),
                                     "float64").build(4)
                       for options in ({}, {"l1": 0.1, "l2": 0.4}))
    W = plain.parameters()["0.W"]
    penalty = 0.1 * np.abs(W).sum() + 0.4 * (W**2).sum()
    assert punished.evaluate(X, y)["loss"] == pytest.approx(plain.evaluate(X, y)["loss"] + penalty)
    gradients, expected = punished.gradients(X, y), plain.gradients(X, y)
    np.testing.assert_allclose(gradients["0.W"], expected["0.W"] + 0.1 * np.sign(W) + 0.8 * W, rtol=1e-12)
    np.testing.assert_allclose(gradients["1.W"], expected["1.W"], rtol=1e-12)
    still = {"optimizer": nn.SGD(1e-12), "epochs": 1, "batch_size": 3, "verbose": 0}
    assert punished.fit(X, y, **still).history["loss"] == pytest.approx([punished.evaluate(X, y)["loss"]])


@pytest.mark.parametrize("make", [nn.Dense, lambda units, **options: nn.Conv2D(units, 3, **options)])
@pytest.mark.parametrize("options, error",
                         [({"l1": -1}, ValueError), ({"l2": np.nan}, ValueError), ({"l2": "x"}, TypeError)])
def test_penalties_that_are_refused(make, options, error):
    with pytest.raises(error, match=f"{next(iter(options))}: got"):
        make(3, **options)
