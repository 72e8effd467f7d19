"""The gradient of a whole network, into its input as well, against differences of its loss in directions."""
import numpy as np

import nnjit as nn
from nnjit import preparation
from nnjit._numba.threads import parallel_region, using


class Plus(nn.Layer):
    """a = x + c with a number for each of a batch: the gradient of c is dL/dx of the layers that follow."""

    config, elementwise, mask_use = ("N",), True, "passes on"

    def __init__(self, N):
        self.N = N

    def build(self, input_shape):
        self.shapes = {"x": (self.N, *input_shape)}
        return input_shape

    def initialise(self, rng):
        self.parameters["x"][...] = 0

    def forward(self, x, out, ctx):
        return np.add(x, self.parameters["x"], out=out)

    def backward(self, x, a, delta, dx, ctx):
        self.gradients["x"][...] = delta
        return delta


def check_gradient(model, X, y, w=None, mask=None, step=None, about=""):
    """Compare the gradient of every array with central differences in a direction in which no entry stays.

    So one entry that is wrong shows itself. The best of some step lengths counts: a kink between the points,
    of a ReLU or a pool, spoils the longer ones. Return the slopes.
    """
    gradients, rng = model.gradients(X, y, w, step, mask), np.random.default_rng(0)
    rows, mask = preparation.sequences_of(model, X, mask)
    batch, = preparation.examples(model, rows, y, w, mask=mask).batches(len(X))
    graph, slopes = model.graph, {}
    workspace = graph.workspaces()[len(X)]

    def loss():
        return graph.head.means(*graph.loss(batch, workspace, step))["loss"] + graph.penalise()

    def difference(array, direction, h):
        centre, losses = array.copy(), []
        for offset in (-2, -1, 1, 2):
            array[...] = centre + offset * h * direction
            losses.append(loss())
        array[...] = centre
        return np.dot([1, -8, 8, -1], losses) / (12 * h)

    with parallel_region(), using(1):    # networks so small are quickest on one thread
        for name, array in model.parameters().items():
            direction = rng.choice([-1, 1], array.shape) * rng.uniform(0.5, 1, array.shape)
            parts, found = gradients[name] * direction, []
            slopes[name], bound = parts.sum(), 1e-6 * np.abs(parts).sum() + 1e-8
            while not found or abs(found[-1] - slopes[name]) > bound:
                assert len(found) < 6, f"{about}: {name}: got {slopes[name]}, expected one of {found}"
                found.append(difference(array, direction, 1e-3 * 0.1**len(found)))
    return slopes
