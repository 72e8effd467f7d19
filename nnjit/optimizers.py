"""The optimisers: hyperparameters, and the slots that a step carries over to the next.

``step(parameters, gradient)`` changes a model's parameters, one flat vector, in place. An optimiser belongs
to the model that it first stepped; given to that model's `Sequential.fit` again, it goes on where it was. A
learning rate is a number, or a function of the number of steps that have been taken, such as those of
`schedules`.
"""
import copy
import dataclasses
import functools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .inputs.checks import check_real
from .kernels import updates
from .memory import Array, Arrays, Layout, as_normal
from .objects import Strict

LearningRate = float | Callable[[int], float]


class Optimizer(Strict):
    """What the optimisers share: it counts the steps, and keeps the slots, vectors like the parameters, 0 at
    first.

    Hyperparameters may be set at any time, and are checked then; not ``momentum``, ``nesterov`` and
    ``centered``, from which the slots follow.

    Attributes
    ----------
    learning_rate : float or callable
    iterations : int
        The number of steps that have been taken.
    slots : dict of {name: (P,) array}
    """

    slot_names: tuple[str, ...] = ()
    _owner: weakref.ref[Any] | None = None    # to the model's graph
    _parameters: Array | None = None    # those of the last step, which have been checked
    _attached = ("_owner", "_parameters")

    def __init__(self, learning_rate: LearningRate, weight_decay: float, clip_norm: float | None):
        self.learning_rate, self.weight_decay, self.clip_norm = learning_rate, weight_decay, clip_norm
        self.iterations = 0
        self.slots: Arrays = {}

    @property
    def _settled(self) -> tuple[str, ...]:
        return "momentum", "nesterov", "centered"

    if not TYPE_CHECKING:    # as of `Strict`
        def __setattr__(self, name, value):
            check = _CHECKS.get(name)
            super().__setattr__(name, check(value) if check else value)

    def __copy__(self):
        """Return a copy that shares nothing: one that shared its slots would step for both."""
        return copy.deepcopy(self)

    def claim(self, graph: object) -> None:
        """Belong to this graph from now on; errors as of `check_free`.

        A copy belongs to nobody: with a copy of the model, it goes on as the original would.
        """
        self.check_free(graph)
        self._owner = weakref.ref(graph)

    def check_free(self, graph: object) -> None:
        """Raise ValueError where the steps were those of another graph."""
        if self._owner is not None and self._owner() is not graph:
            raise ValueError(f"optimizer: got one that has taken {self.iterations} steps with another model, "
                             f"whose moments and step count it would carry over, expected a new one, such as "
                             f"{type(self).__name__}({self._rate_text()}); a copy of a model goes on with "
                             "copy.deepcopy(optimizer)")

    def step(self, parameters: Array, gradient: Array, decayed: int | None = None) -> None:
        """Change ``parameters`` (P,) in place by their ``gradient`` (P,), of the same dtype, which clipping
        shortens in place.

        ``weight_decay`` acts on the first ``decayed`` of them, by default on all.
        """
        if parameters is not self._parameters:
            self._begin(parameters)
        rate = self.learning_rate if type(self.learning_rate) is float else self.rate()
        if self.clip_norm is not None:
            updates.clip(gradient, self.clip_norm)
        self.__dict__["iterations"] += 1    # __setattr__ would take longer than all else here
        arrays = parameters, gradient, *self.slots.values()
        if self.weight_decay == 0 or decayed is None:
            self._update(*arrays, rate, self.weight_decay)
        else:
            self._update(*(array[:decayed] for array in arrays), rate, self.weight_decay)
            self._update(*(array[decayed:] for array in arrays), rate, 0.0)

    def rate(self) -> float:
        """Return the learning rate of the next step."""
        rate = self.learning_rate
        return _check_rate(rate(self.iterations)) if callable(rate) else rate

    def state(self, layout: Layout) -> Arrays:
        """Return ``{"m/0.W": array, ...}``, copies of the slots by the names and in the shapes of the
        parameters.

        ``layout`` is the `memory.Layout` of the parameters.
        """
        return {f"{slot}/{name}": array.copy() for slot, vector in self.slots.items()
                for name, array in layout.views(vector).items() if array.size}

    def load_state(self, arrays: Arrays, iterations: int, layout: Layout) -> None:
        """Go on from what `state` returned after so many steps, also where the layout differs."""
        self.slots, self.iterations, self._parameters = {}, iterations, None
        for slot in self.slot_names:
            self.slots[slot] = vector = layout.zeros()
            for name, array in layout.views(vector).items():
                if array.size:
                    array[...] = arrays[f"{slot}/{name}"]

    def _update(self, W, g, *slots_rate_decay):
        raise NotImplementedError

    def _rate_text(self):
        rate = self.learning_rate
        if not callable(rate):
            return f"{rate:g}"
        return repr(rate) if dataclasses.is_dataclass(rate) else "a function"

    def _clip_text(self):
        return "" if self.clip_norm is None else f", clip_norm={self.clip_norm:g}"

    def _begin(self, parameters):
        """Make the slots for these parameters; ValueError where there are some that do not go with them."""
        if not self.slots:
            self.slots = {name: np.zeros_like(parameters) for name in self.slot_names}
        for slot in self.slots.values():
            if slot.shape != parameters.shape or slot.dtype != parameters.dtype:
                raise ValueError(f"optimizer: got a model of {parameters.size} parameters in "
                                 f"{parameters.dtype}, expected the {slot.size} in {slot.dtype} that it "
                                 "began with; use a new optimizer")
        self._parameters = parameters


def _check_rate(rate):
    return check_real("learning_rate", rate, 0.0, closed="()")


_CHECKS = {
    "learning_rate": lambda rate: rate if callable(rate) else _check_rate(rate),
    "weight_decay": functools.partial(check_real, "weight_decay"),
    "clip_norm": lambda norm: None if norm is None else check_real("clip_norm", norm, 0.0, closed="()"),
    "momentum": lambda momentum: check_real("momentum", momentum, 0.0, 1.0),
    "rho": lambda rho: check_real("rho", rho, 0.0, 1.0),
    "beta_1": lambda beta: check_real("beta_1", beta, 0.0, 1.0),
    "beta_2": lambda beta: check_real("beta_2", beta, 0.0, 1.0),
    "epsilon": lambda epsilon: check_real("epsilon", epsilon, 0.0, closed="()"),
}


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum or Nesterov's, and decoupled weight decay (all as in Keras).

    Parameters
    ----------
    learning_rate : float or callable
        Above 0, or a function of the step, 0, 1, ..., that returns such a number.
    momentum : float
        In [0, 1).
    nesterov : bool
        Look ahead along the momentum.
    weight_decay : float
        At least 0: every step also subtracts ``learning_rate * weight_decay * W``, of weights only: not of
        biases, nor of the cut points of `Ordinal` (Keras decays all). For a penalty in the loss, see ``l2``
        of `Dense`.
    clip_norm : float, optional
        Above 0: a gradient that is longer, as one vector of all parameters, is shortened to this (Pascanu,
        Mikolov and Bengio, ICML 2013).

    Raises
    ------
    TypeError, ValueError
        A hyperparameter is not a number of its range.
    """

    def __init__(self, learning_rate: LearningRate = 0.01, momentum: float = 0.0, nesterov: bool = False,
                 weight_decay: float = 0.0, clip_norm: float | None = None):
        super().__init__(learning_rate, weight_decay, clip_norm)
        self.momentum = momentum
        self.nesterov = bool(nesterov)
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov: got momentum 0, expected a momentum above 0")
        self.slot_names = ("velocity",) if self.momentum else ()

    def _update(self, W, g, *rest):
        if self.momentum:
            velocity, rate, weight_decay = rest
            updates.sgd_momentum(W, g, velocity, rate, self.momentum, self.nesterov, weight_decay)
        else:
            updates.sgd(W, g, *rest)

    def __repr__(self):
        return (f"SGD(learning_rate={self._rate_text()}, momentum={self.momentum:g}, "
                f"nesterov={self.nesterov}, weight_decay={self.weight_decay:g}{self._clip_text()})")


class _AdamStep(Optimizer):
    """What Adam and AdamW share."""

    slot_names = ("m", "v")

    def __init__(self, learning_rate: LearningRate, beta_1: float, beta_2: float, epsilon: float,
                 weight_decay: float, clip_norm: float | None):
        super().__init__(learning_rate, weight_decay, clip_norm)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def _update(self, W, g, m, v, rate, weight_decay):
        updates.adam(W, g, m, v, self.iterations, rate, self.beta_1, self.beta_2,
                     as_normal(self.epsilon, W.dtype), weight_decay)

    def __repr__(self):
        decay = f", weight_decay={self.weight_decay:g}" if isinstance(self, AdamW) else ""
        return (f"{type(self).__name__}(learning_rate={self._rate_text()}, beta_1={self.beta_1:g}, "
                f"beta_2={self.beta_2:g}, epsilon={self.epsilon:g}{decay}{self._clip_text()})")


class Adam(_AdamStep):
    """Adam (Kingma and Ba, ICLR 2015), bias-corrected; defaults as in Keras.

    Parameters
    ----------
    learning_rate : float or callable
        As of `SGD`.
    beta_1, beta_2 : float
        In [0, 1): how much of the running means of g and g² a step keeps.
    epsilon : float
        Above 0; in the arithmetic of the parameters at least their smallest normal number.
    clip_norm : float, optional
        As of `SGD`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter is not a number of its range.
    """

    def __init__(self, learning_rate: LearningRate = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, clip_norm: float | None = None):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, 0.0, clip_norm)


class AdamW(_AdamStep):
    """Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019); defaults as in Keras.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, clip_norm
        As of `Adam`.
    weight_decay : float
        At least 0: every step also subtracts ``learning_rate * weight_decay * W``, of weights only: not of
        biases, nor of the cut points of `Ordinal` (Keras decays all). For a penalty in the loss, see ``l2``
        of `Dense`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter is not a number of its range.
    """

    def __init__(self, learning_rate: LearningRate = 0.001, weight_decay: float = 0.004,
                 beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
                 clip_norm: float | None = None):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, clip_norm)


class RMSprop(Optimizer):
    """RMSprop (Hinton, Neural Networks for Machine Learning, lecture 6e, 2012), in Keras's form and with its
    defaults.

    Parameters
    ----------
    learning_rate : float or callable
        As of `SGD`.
    rho : float
        In [0, 1): how much of the running mean of g² a step keeps.
    momentum : float
        In [0, 1).
    epsilon : float
        Above 0, beside the running mean under the root; held as of `Adam`.
    centered : bool
        Whether the running mean of g, squared, is subtracted from that of g².
    weight_decay, clip_norm
        As of `SGD`.

    Raises
    ------
    TypeError, ValueError
        A hyperparameter is not a number of its range.
    """

    def __init__(self, learning_rate: LearningRate = 0.001, rho: float = 0.9, momentum: float = 0.0,
                 epsilon: float = 1e-7, centered: bool = False, weight_decay: float = 0.0,
                 clip_norm: float | None = None):
        super().__init__(learning_rate, weight_decay, clip_norm)
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, bool(centered)
        self.slot_names = ("v", *["mean"] * self.centered, *["velocity"] * (self.momentum > 0))

    def _update(self, W, g, v, *rest):
        *given, rate, weight_decay = rest
        slots = dict(zip(self.slot_names[1:], given))
        mean, velocity = (slots.get(name, v[:0]) for name in ("mean", "velocity"))
        updates.rmsprop(W, g, v, mean, velocity, rate, self.rho, self.momentum,
                        as_normal(self.epsilon, W.dtype),
                        weight_decay)

    def __repr__(self):
        return (f"RMSprop(learning_rate={self._rate_text()}, rho={self.rho:g}, momentum={self.momentum:g}, "
                f"epsilon={self.epsilon:g}, centered={self.centered}, weight_decay={self.weight_decay:g}"
                f"{self._clip_text()})")
