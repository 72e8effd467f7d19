"""How weights begin: the initialisers by name, and those of the user's own."""
import math
from collections.abc import Callable

import numpy as np

from ..memory import Array, Shape

Init = str | Callable[[np.random.Generator, Shape], Array]
# The bound of a uniform, or the standard deviation of a normal distribution, from the numbers of inputs and
# outputs.
_SCALES = {"glorot_uniform": lambda inputs, outputs: np.sqrt(6 / (inputs + outputs)),
           "he_uniform": lambda inputs, outputs: np.sqrt(6 / inputs),
           "he_normal": lambda inputs, outputs: np.sqrt(2 / inputs)}


def check_init(layer: str, init: Init) -> Init:
    """Return ``init``; ValueError unless it is a known name or a function of (rng, shape)."""
    if not callable(init) and not (isinstance(init, str) and init in _SCALES):
        got = repr(init) if isinstance(init, str) else type(init).__name__
        raise ValueError(f"{layer} init: got {got}, expected {', '.join(map(repr, _SCALES))} or a function "
                         "of (rng, shape)")
    return init


def initial_weights(layer: str, init: Init, rng: np.random.Generator, shape: Shape) -> Array:
    """Return weights (..., in, out); an output has the product of all sizes but the last as inputs."""
    if callable(init):
        W = init(rng, shape)
        if np.shape(W) != shape:
            raise ValueError(f"{layer} init: got shape {np.shape(W)}, expected {shape}")
        return W
    window = math.prod(shape[:-2])
    scale = _SCALES[init](window * shape[-2], window * shape[-1])
    return rng.normal(0, scale, shape) if init == "he_normal" else rng.uniform(-scale, scale, shape)


def orthogonal(rng: np.random.Generator, shape: Shape) -> Array:
    """Return a matrix (H, K), H <= K, with orthonormal rows: recurrent weights neither shrink nor grow a
    state (A. Saxe, J. McClelland, S. Ganguli, ICLR 2014).
    """
    q, r = np.linalg.qr(rng.normal(size=shape[::-1]))
    return (q * np.sign(np.diag(r))).T
