"""The layers of sequences that are not recurrent: pools over the valid steps, and convolutions."""
import numpy as np
import pytest

import nnjit as nn

pytestmark = pytest.mark.compiled

N, T, D = 23, 9, 3
RNG = np.random.default_rng(5)
MASK = np.arange(T) < RNG.integers(2, T + 1, N)[:, None]
X = RNG.normal(size=(N, T, D))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pools_of_valid_steps(dtype):
    for pool, of in ((nn.GlobalAveragePool1D, np.mean), (nn.GlobalMaxPool1D, np.max)):
        model = nn.Sequential([pool(), nn.Dense(1)], nn.Gaussian(), dtype).build((T, D))
        expected = [of(x[m], axis=0) for x, m in zip(X.astype(dtype), MASK)]
        np.testing.assert_allclose(model.activations(X, MASK)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("padding, strides", [("same", 1), ("same", 2), ("valid", 1), ("valid", 3),
                                              ("causal", 1), ("causal", 2)])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_a_convolution_of_sequences(k, padding, strides):
    """Window by window, of sequences without padding; see `Conv1D`."""
    layer = nn.Conv1D(5, k, strides=strides, padding=padding)
    model = nn.Sequential([layer, nn.Flatten(), nn.Dense(1)], nn.Gaussian(), "float64").build((T, D))
    layer.parameters["b"][:] = RNG.normal(size=5)
    W, b = layer.parameters["W"], layer.parameters["b"]
    steps = (T - k) // strides + 1 if padding == "valid" else -(-T // strides)
    before = {"valid": 0, "causal": k - 1, "same": max((steps - 1) * strides + k - T, 0) // 2}[padding]
    wide = np.pad(X, ((0, 0), (before, k), (0, 0)))
    expected = np.stack([np.tensordot(wide[:, i * strides:i * strides + k], W, 2) + b for i in range(steps)],
                        axis=1)
    np.testing.assert_allclose(model.activations(X)[0], expected, rtol=1e-12, atol=1e-13)
