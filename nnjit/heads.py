"""The heads: what a network's output means.

A head assumes a distribution for the output. The output activation, the loss (its negative log-likelihood), the delta
dL/dz and the decision follow from it, all computed from the logits z.
"""
import numpy as np

from .arrays import as_numbers, check_labels, check_length
from .kernels import activations, likelihoods


class Categorical:
    """One of K classes: softmax, cross-entropy, and the most probable class as the decision.

    Targets are class numbers (N,), 0 .. K - 1, or rows of probabilities (N, K) that sum to 1, one-hot or soft.
    """

    metric = "accuracy"
    settings, shapes = (), {}

    def build(self, output_shape):
        """Take the shape of the last layer's output; ValueError where it can't be one logit for each class."""
        if len(output_shape) != 1:
            raise ValueError(f"Categorical: got rows of logits of shape {output_shape}, expected (K,)")
        if output_shape[0] < 2:
            raise ValueError("Categorical: got 1 unit in the last layer, expected one for each class, at least 2; the "
                             "softmax of a single unit is always 1")

    def initialise(self, rng):
        """Fill the head's own parameters; it has none."""

    def targets(self, y, N, units, dtype):
        """Return ``y`` checked and cast: (N,) int64 for class numbers and one-hot rows, (N, K) of ``dtype`` for soft ones.

        Raises
        ------
        TypeError, ValueError
            Another length or width, labels out of range or not whole, rows that are no probabilities.
        """
        y = as_numbers("y", y)
        check_length("y", y, N)
        if y.ndim == 1:
            return check_labels(y, units)
        if y.shape != (N, units):
            raise ValueError(f"y: got shape {y.shape}, expected class numbers ({N},) or probabilities ({N}, {units})")
        if y.dtype.kind not in "buif":
            raise TypeError(f"y: got {y.dtype}, expected numbers")
        if not np.isfinite(y).all() or y.min() < 0 or not np.allclose(y.sum(axis=1), 1, atol=1e-4):
            raise ValueError("y: got rows that are no probabilities, expected numbers from 0 on that sum to 1 in each row")
        if np.isin(y, (0, 1)).all():
            return np.argmax(y, axis=1)
        return np.ascontiguousarray(y, dtype)

    def loss_and_delta(self, z, y, w, delta):
        """Write dL/dz of L = sum w l / sum w into ``delta`` (N, K); return the sums (w l, w [right decision], w)."""
        return likelihoods.categorical(z, y, w, delta)

    def decide(self, z):
        """Return the most probable class of each row, (N,) int64."""
        decision = np.empty(len(z), np.int64)
        likelihoods.argmax(z, decision)
        return decision

    def probabilities(self, z):
        """Return softmax(z), (N, K)."""
        p = np.empty_like(z)
        activations.softmax(z, p)
        return p

    def __repr__(self):
        return "Categorical()"
