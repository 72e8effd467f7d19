"""Steps of optimisers against naive twins and a table worked by hand."""
import naive
import numpy as np
import pytest
from kernel_tools import DTYPES, close

from nnjit.kernels import updates


def steps(rng, dtype, count=5):
    """Return W and the gradients of some steps."""
    return rng.normal(size=37).astype(dtype), rng.normal(size=(count, 37)).astype(dtype)


@DTYPES
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_sgd(rng, dtype, weight_decay):
    W, gradients = steps(rng, dtype)
    expected = naive.sgd(W.astype(float), gradients.astype(float), 0.1, weight_decay=weight_decay)
    for g in gradients:
        updates.sgd(W, g, 0.1, weight_decay)
    close(W, expected, len(gradients))


@DTYPES
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_sgd_momentum(rng, dtype, nesterov, weight_decay):
    W, gradients = steps(rng, dtype)
    expected = naive.sgd(W.astype(float), gradients.astype(float), 0.1, 0.9, nesterov, weight_decay)
    velocity = np.zeros_like(W)
    for g in gradients:
        updates.sgd_momentum(W, g, velocity, 0.1, 0.9, nesterov, weight_decay)
    close(W, expected, len(gradients))


@DTYPES
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5)])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_adam(rng, dtype, betas, weight_decay):
    W, gradients = steps(rng, dtype)
    expected = naive.adam(W.astype(float), gradients.astype(float), 0.1, *betas, 1e-3, weight_decay)
    m, v = np.zeros_like(W), np.zeros_like(W)
    for t, g in enumerate(gradients, 1):
        updates.adam(W, g, m, v, t, 0.1, *betas, 1e-3, weight_decay)
    close(W, expected, 4 * len(gradients))


@DTYPES
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_rmsprop(rng, dtype, centered, momentum, weight_decay):
    W, gradients = steps(rng, dtype)
    expected = naive.rmsprop(W.astype(float), gradients.astype(float), 0.1, 0.8, momentum, 1e-3, centered,
                             weight_decay)
    v, mean, velocity = np.zeros_like(W), np.zeros(W.size * centered, dtype), np.zeros(
        W.size * (momentum > 0), dtype)
    for g in gradients:
        updates.rmsprop(W, g, v, mean, velocity, 0.1, 0.8, momentum, 1e-3, weight_decay)
    close(W, expected, 20 * len(gradients))


@DTYPES
def test_what_a_step_keeps_becomes_0_before_it_is_denormal(rng, dtype):
    """Some processors take a hundred times as long for such numbers."""
    W, gradients = steps(rng, dtype, 1500)
    gradients[1:] = 0
    by_momentum, by_adam = W.copy(), W.copy()
    velocity, m, v = np.zeros((3, W.size), dtype)
    for t, g in enumerate(gradients, 1):
        updates.sgd_momentum(by_momentum, g, velocity, 0.1, 0.5, False, 0.0)
        updates.adam(by_adam, g, m, v, t, 0.1, 0.5, 0.6, 1e-7, 0.0)
        for kept in (velocity, m, v):
            assert np.all((np.abs(kept) >= np.finfo(dtype).tiny) | (kept == 0))
    assert not (velocity.any() or m.any() or v.any())
    close(by_momentum, naive.sgd(W.astype(float), gradients.astype(float), 0.1, 0.5), 2)
    close(by_adam, naive.adam(W.astype(float), gradients.astype(float), 0.1, 0.5, 0.6), 100)


# One parameter, W = 1, under the gradients 1, -2, 3, by hand;
# learning rate 1/2, b1 = 1/2, b2 = 3/4, epsilon 1:
#
#   t   g   m = m/2 + g/2         v = 3v/4 + g²/4           m' = m / (1 - 1/2^t)     v' = v / (1 - (3/4)^t)
#   1   1   0 + 1/2 = 1/2         0 + 1/4 = 1/4             (1/2) / (1/2) = 1        (1/4) / (1/4) = 1
#   2  -2   1/4 - 1 = -3/4        3/16 + 1 = 19/16          (-3/4) / (3/4) = -1      (19/16) / (7/16) = 19/7
#   3   3   -3/8 + 3/2 = 9/8     57/64 + 9/4 = 201/64     (9/8) / (7/8) = 9/7     (201/64) / (37/64) = 201/37
#
#   t   W = W - (1/2) m' / (sqrt(v') + 1)
#   1   1 - (1/2) 1 / 2                              = 0.75
#   2   0.75 + (1/2) / (1.647508942 + 1)             = 0.75 + 0.188856775        = 0.938856775
#   3   0.938856775 - (1/2) 1.285714286 / (2.330757909 + 1)
#                                                    = 0.938856775 - 0.193006265 = 0.745850510
ADAM_BY_HAND = [0.75, 0.938856775, 0.745850510]
# AdamW, with a decay of 1/5, first takes (1/2) (1/5) W = W / 10 from W:
#   1   0.9 - 0.25                = 0.65
#   2   0.585 + 0.188856775       = 0.773856775
#   3   0.696471098 - 0.193006265 = 0.503464833
ADAMW_BY_HAND = [0.65, 0.773856775, 0.503464833]


@DTYPES
@pytest.mark.parametrize("weight_decay, table", [(0.0, ADAM_BY_HAND), (0.2, ADAMW_BY_HAND)])
def test_adam_follows_the_table_worked_by_hand(dtype, weight_decay, table):
    W, m, v = np.ones(1, dtype), np.zeros(1, dtype), np.zeros(1, dtype)
    for t, (g, expected) in enumerate(zip([1, -2, 3], table), 1):
        updates.adam(W, np.array([g], dtype), m, v, t, 0.5, 0.5, 0.75, 1.0, weight_decay)
        assert W[0] == pytest.approx(expected, abs=1e-6 if dtype == np.float32 else 1e-9)
    assert (m[0], v[0]) == pytest.approx((9 / 8, 201 / 64), rel=1e-6)
