"""Learning rates as functions of the step, and the length of gradients."""
import numpy as np
import pytest

import nnjit as nn
from nnjit import schedules
from nnjit.kernels import updates


def test_the_rates():
    assert [schedules.constant(0.3)(step) for step in (0, 9)] == [0.3, 0.3]
    assert [schedules.step(0.8, 10, 0.5)(step) for step in (0, 9, 10, 29)] == [0.8, 0.8, 0.4, 0.2]
    np.testing.assert_allclose([schedules.cosine(2, 8, 0.1)(step) for step in (0, 4, 8, 99)],
                               [2, 1.1, 0.2, 0.2])
    np.testing.assert_allclose([schedules.warm_up(0.4, 4)(step) for step in range(6)],
                               [0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    rising = schedules.warm_up(schedules.step(1.0, 2, 0.5), 2)
    assert [rising(step) for step in range(5)] == [0.5, 1, 1, 1, 0.5]


@pytest.mark.parametrize("make, message", [
    (lambda: schedules.constant(0), r"rate: got 0, expected a number in \(0"),
    (lambda: schedules.step(0.1, 0), "every: got 0, expected at least 1"),
    (lambda: schedules.cosine(0.1, 10, 0.0), r"last: got 0.0, expected a number in \(0, 1\]"),
    (lambda: schedules.warm_up(0.1, 0), "steps: got 0, expected at least 1"),
    (lambda: nn.SGD(clip_norm=0), "clip_norm: got 0, expected"),
])
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_optimizer_asks_for_the_rate_of_each_step():
    asked = []
    sgd, W = nn.SGD(lambda step: asked.append(step) or 1.0 / (step + 1)), np.zeros(2)
    for _ in range(3):
        sgd.step(W, np.array([6.0, -6.0]))
    assert asked == [0, 1, 2]
    np.testing.assert_allclose(W, [-11, 11])
    assert "learning_rate=a function" in repr(sgd)
    with pytest.raises(ValueError, match="learning_rate: got -1, expected a number in"):
        nn.SGD(lambda step: -1).step(W, W)


@pytest.mark.parametrize("g",
                         [[3, 4], [0.3, 0.4], [0, 0], [3e200, -4e200], [3e-200, 4e-200], np.arange(5000)])
def test_a_long_gradient_is_shortened(g):
    g = np.array(g, float)
    scale = abs(g).max() or 1
    length = np.linalg.norm(g / scale) * scale
    expected = g / length if length > 1 else g.copy()
    updates.clip(g, 1.0)
    np.testing.assert_allclose(g, expected, rtol=1e-14)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_remains_so(bad):
    g = np.array([1.0, bad])
    updates.clip(g, 1.0)
    np.testing.assert_array_equal(g, [1.0, bad])
    optimizer, W = nn.Adam(clip_norm=0.5), np.zeros(2, np.float32)
    optimizer.step(W, np.array([3.0, 4.0], np.float32))
    assert "clip_norm=0.5" in repr(optimizer) and np.isfinite(W).all()
