"""The base of the heads: what a head must have and may have."""
import inspect
import warnings

import numpy as np

from ..inputs import targets
from ..kernels import losses as loss_kernels


class Head:
    """What the heads have in common: a flat output and no parameters, unless a head says otherwise.

    The graph calls ``infer_from_targets``, ``check_last_layer``, ``build`` and ``initialise`` before anything
    is computed, then ``targets``, ``loss_and_delta``, ``decide`` and ``probabilities``. ``config`` names the
    attributes that a saved head is made from again, ``shapes`` its own parameters, which the graph lays out,
    and ``metric`` what is counted beside the loss.
    """

    config, shapes = (), {}
    output_activation = None        # the activation, where there is one
    classifies = False    # whether there are probabilities of classes

    def infer_from_targets(self, y):
        """Take from the targets of the first fit what nothing else tells; called before `build`."""

    def units_for(self, y):
        """Return how many units of the last layer these targets call for."""
        shape = targets.as_numeric("y", y).shape
        return shape[1] if len(shape) == 2 else 1

    def check_last_layer(self, layer):
        """Object to a last layer that is an output activation: a head applies its own."""
        name = type(layer).__name__
        if name not in ("Sigmoid", "Softmax"):
            return
        if self.output_activation is not None:
            raise ValueError(f"{self!r}: got a {name} layer before it, expected logits, because it applies "
                             f"the {self.output_activation} itself; remove the {name} layer")
        warnings.warn(f"{self!r}: the {name} layer before it keeps the output in 0 .. 1 and saturates, so "
                      "that the network learns least where it is most wrong; end with a Dense layer, and for "
                      "classes use Bernoulli() or Categorical()", stacklevel=4)

    def build(self, output_shape):
        """Take the shape of the last layer's output; ValueError where the head can't work with it."""
        if len(output_shape) != 1:
            raise ValueError(f"{self!r}: got an output of shape {output_shape}, expected (units,), as Dense "
                             "gives it")

    def initialise(self, rng):
        """Fill the head's own parameters, if it has any."""

    def probabilities(self, z):
        raise TypeError(f"predict_proba: got the head {self!r}, expected one that predicts classes; use "
                        "predict")

    def __repr__(self):
        signature = inspect.signature(type(self)).parameters
        given = [(name, getattr(self, name)) for name in self.config]
        changed = [f"{name}={value!r}" for name, value in given if value != signature[name].default]
        return f"{type(self).__name__}({', '.join(changed)})"


class IndependentUnits(Head):
    """Units with a distribution each: a row's loss is their mean.

    Targets are (N,) for one unit and (N, K) for K; so are predictions.
    """

    metric = "mae"

    def targets(self, y, N, units, dtype):
        """Return ``y`` checked and cast, (N, units) of ``dtype``; TypeError or ValueError otherwise."""
        y = targets.as_columns("y", targets.as_numeric("y", y, N), units)
        self.check_values(y)
        return targets.as_finite("y", y, dtype)

    def check_values(self, y):
        """Object to targets that the distribution can't have drawn."""

    def loss_and_delta(self, z, y, w, delta):
        """Write dL/dz of L = sum w l / sum w into ``delta`` (N, K); return the sums (w l, w metric, w)."""
        losses = np.empty_like(z)
        self.likelihood(z, y, losses, delta)
        return loss_kernels.weighted_sums(losses, self.errors(z, y), w, z.shape[1], delta)

    def errors(self, z, y):
        """Return what the metric counts, (N, K)."""
        return np.abs(self.activate(z) - y)

    def activate(self, z):
        """Return the distribution's parameter, of z's shape: here z itself."""
        return z

    def decide(self, z):
        """Return the prediction, (N,) for one unit and (N, K) for K."""
        return flat(self.activate(z))


def flat(a):
    return a[:, 0] if a.shape[1] == 1 else a
