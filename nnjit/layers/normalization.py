"""Normalisation: each channel of a batch, or each row, less its mean and over its deviation."""
import math

import numpy as np

from ..inputs.checks import check_real
from ..kernels import normalization
from ..memory import Array, Arrays, Shape, as_normal
from .base import Context, Layer

_SIDE_BY_SIDE = 256    # numbers in a row of pixels that lie side by side, at most


class _Normalization(Layer):
    """What both share: the parameters gamma and beta, of which one or both may be left out."""

    # not `Elementwise`: it has parameters. The gradient is written over delta all the same
    elementwise = frees_output = True
    input_kind = None
    receptive_field = (1, 1)
    gamma: Array | None = None    # the parameters, or 1 and 0 in place of those that are left out
    beta: Array | None = None
    _channels: int
    _epsilon: float = 0.0    # as the dtype of the parameters can hold it
    _attached = (*Layer._attached, "beta", "gamma", "_epsilon")

    def __init__(self, epsilon: float, center: bool, scale: bool):
        name = type(self).__name__
        self.epsilon = check_real(f"{name} epsilon", epsilon, closed="()")
        for option, value in ("center", center), ("scale", scale):
            if not isinstance(value, (bool, np.bool_)):
                raise TypeError(f"{name} {option}: got {value!r}, expected True or False")
        self.center, self.scale = bool(center), bool(scale)

    def build(self, input_shape: Shape) -> Shape:
        channels = input_shape[-1]
        self.shapes = {"gamma": (channels if self.scale else 0,), "beta": (channels if self.center else 0,)}
        self.multiply_adds = math.prod(input_shape)
        return input_shape

    def attach(self, padded: Arrays, padded_gradients: Arrays, state: Arrays) -> None:
        super().attach(padded, padded_gradients, state)
        # what is left out has values, and a gradient that nobody looks at
        for name, left_out in ("gamma", np.ones), ("beta", np.zeros):
            array = self.parameters[name]
            setattr(self, name, array if array.size else left_out(self._channels, array.dtype))
            self._epsilon = as_normal(self.epsilon, array.dtype)

    def initialise(self, rng: np.random.Generator) -> None:
        self.parameters["gamma"][:] = 1

    def _gradients(self):
        """Return the arrays for dL/dgamma and dL/dbeta."""
        return tuple(self.gradients[name] if self.gradients[name].size else np.empty_like(self.gamma)
                     for name in ("gamma", "beta"))

    def _options(self):
        return [f"{option}=False" for option in ("center", "scale") if not getattr(self, option)]


class BatchNormalization(_Normalization):
    """Each channel less its mean over the batch, over its deviation, times gamma plus beta.

    a = gamma (x - mean) / sqrt(variance + epsilon) + beta. Takes rows (N, D), a channel each number, images
    (N, H, W, C), with the mean over all pixels, or sequences (N, T, D), over valid steps. At a training step
    mean and variance (of the rows that are there, not an estimate of others) are those of the batch, in which
    a row counts as much as its weight says: one of weight 0 not at all. They flow into running ones after
    every step, moving = momentum moving + (1 - momentum) batch's, which elsewhere take their place: a
    prediction does not depend on the rows beside it. So they do where the layer is not ``trainable``: it is
    then frozen as a whole, as in Keras.

    Parameters
    ----------
    momentum : float
        In [0, 1): how much of the running ones stays at a step.
    epsilon : float
        Above 0, added to the variance.
    center, scale : bool
        Whether there is a beta, which begins at 0, and a gamma, which begins at 1.

    Raises
    ------
    TypeError, ValueError
        A parameter is no such number, or neither True nor False.

    Source: S. Ioffe, C. Szegedy, "Batch normalization: accelerating deep network training by reducing
    internal covariate shift", ICML 2015. A layer before it needs no bias: ``Dense(100, bias=False)``.
    """

    config = ("momentum", "epsilon", "center", "scale")
    mask_use = "uses"

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-3, center: bool = True,
                 scale: bool = True):
        super().__init__(epsilon, center, scale)
        self.momentum = check_real("BatchNormalization momentum", momentum, 0.0, 1.0)

    def build(self, input_shape: Shape) -> Shape:
        if len(input_shape) > 3:
            raise ValueError(f"BatchNormalization: got rows of shape {input_shape}, expected flat rows (D,), "
                             "sequences (T, D) or images (H, W, C)")
        *pixels, self._channels = input_shape
        count = math.prod(pixels)
        side_by_side = max(r for r in range(1, count + 1) if count % r == 0
                           and (r == 1 or r * self._channels <= _SIDE_BY_SIDE))
        self._row = side_by_side * self._channels
        self.state_shapes = {"moving_mean": (self._channels,), "moving_variance": (self._channels,)}
        self.batch_scratch = {"statistics": ((2, self._channels), None)}
        return super().build(input_shape)

    def initialise(self, rng: np.random.Generator) -> None:
        super().initialise(rng)
        self.state["moving_variance"][:] = 1

    def _uses_batch(self, ctx):
        return ctx.step is not None and self.trainable

    def _weighted_rows(self, x, ctx):
        """Return the weights, and x as rows that each belong to one of them."""
        N = len(x)
        w = np.ones(N, x.dtype) if ctx.w is None else ctx.w
        if ctx.mask is None and w.size == N:
            return w, x.reshape(-1, self._row)
        if w.size != N * x.shape[1]:    # of sequences, or of outputs whose steps are others
            mask = np.ones(x.shape[:2], bool) if ctx.mask is None else ctx.mask
            w = (w.reshape(N, -1).max(axis=1)[:, None] * mask).astype(x.dtype).reshape(-1)
        return w, x.reshape(-1, self._channels)

    def _statistics(self, ctx):
        """Return mean and variance (C,): the batch's, or the running ones."""
        if self._uses_batch(ctx):
            return ctx.scratch["statistics"]
        return self.state["moving_mean"], self.state["moving_variance"]

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        w, rows = self._weighted_rows(x, ctx)
        if self._uses_batch(ctx):
            normalization.batch_statistics(rows, w, self.state["moving_mean"], self.state["moving_variance"],
                                           ctx.scratch["statistics"])
        mean, variance = self._statistics(ctx)
        normalization.normalize(rows, mean, variance, self._epsilon, self.gamma, self.beta,
                                out.reshape(rows.shape))
        return out

    def backward(self, x: Array, a: Array, delta: Array, dx: Array, ctx: Context) -> Array:
        (mean, variance), (dgamma, dbeta) = self._statistics(ctx), self._gradients()
        w, rows = self._weighted_rows(x, ctx)
        slopes, target = delta.reshape(rows.shape), dx.reshape(rows.shape)
        normalization.normalize_gradients(rows, mean, variance, self._epsilon, slopes, dgamma, dbeta)
        if self._uses_batch(ctx):
            normalization.normalize_batch_backward(rows, w, slopes, ctx.scratch["statistics"], self._epsilon,
                                                   self.gamma, dgamma, dbeta, target)
        else:
            normalization.normalize_backward(slopes, variance, self._epsilon, self.gamma, target)
        return dx

    def commit(self, ctx: Context) -> None:
        if not self.trainable:
            return
        for moving, batch in zip(self.state.values(), ctx.scratch["statistics"]):
            moving *= self.momentum
            moving += (1 - self.momentum) * batch

    def __repr__(self):
        options = [f"momentum={self.momentum:g}"] * (self.momentum != 0.99)
        options += [f"epsilon={self.epsilon:g}"] * (self.epsilon != 1e-3) + self._options()
        return f"BatchNormalization({', '.join(options)})"


class LayerNormalization(_Normalization):
    """Each row less its mean, over its deviation, times gamma plus beta: a row does not depend on others.

    a = gamma (x - mean) / sqrt(variance + epsilon) + beta. Takes rows (N, D), sequences (N, T, D), or images
    (N, H, W, C), of which each step or pixel is normalised over its channels; gamma and beta are (D,) or
    (C,).

    Parameters and errors as of `BatchNormalization`.

    Source: J. Ba, J. Kiros, G. Hinton, "Layer normalization", 2016.
    """

    config = ("epsilon", "center", "scale")
    mask_use = "passes on"

    def __init__(self, epsilon: float = 1e-3, center: bool = True, scale: bool = True):
        super().__init__(epsilon, center, scale)

    def build(self, input_shape: Shape) -> Shape:
        self._channels = input_shape[-1]
        self.scratch = {"statistics": ((*input_shape[:-1], 2), None)}
        return super().build(input_shape)

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        rows = x.reshape(-1, self._channels)
        normalization.layer_normalize(rows, self._epsilon, self.gamma, self.beta,
                                      ctx.scratch["statistics"].reshape(-1, 2), out.reshape(rows.shape))
        return out

    def backward(self, x: Array, a: Array, delta: Array, dx: Array, ctx: Context) -> Array:
        rows = x.reshape(-1, self._channels)
        normalization.layer_normalize_backward(rows, ctx.scratch["statistics"].reshape(-1, 2), self.gamma,
                                               delta.reshape(rows.shape), *self._gradients(),
                                               dx.reshape(rows.shape))
        return dx

    def __repr__(self):
        options = [f"epsilon={self.epsilon:g}"] * (self.epsilon != 1e-3) + self._options()
        return f"LayerNormalization({', '.join(options)})"
