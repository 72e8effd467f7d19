"""What `MLPClassifier` and `MLPRegressor` do while they fit: the network, the loss, epochs, and L-BFGS."""
import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special

from .._numba.threads import parallel_region
from ..graph import Graph
from ..heads import Bernoulli, Categorical, Gaussian, Head, Huber, Laplace, Poisson
from ..inputs.batches import Examples
from ..inputs.rows import store
from ..kernels import penalties
from ..layers import Dense, Dropout, Layer, ReLU, Sigmoid, Tanh
from ..model import Sequential
from ..optimizers import SGD, Adam

ACTIVATIONS = {"identity": None, "logistic": Sigmoid, "tanh": Tanh, "relu": ReLU}
LOSSES = {"squared_error": Gaussian, "absolute_error": Laplace, "huber": Huber, "poisson": Poisson}


def network(widths: list[int], activations: list[str], dropout: float, head: Head,
            dtype: np.dtype) -> Sequential:
    """Return the built network with these widths, from the inputs to the outputs, and these
    activations of the hidden layers.
    """
    layers: list[Layer] = []
    for units, activation in zip(widths[1:-1], activations):
        layers.append(Dense(units))
        if ACTIVATIONS[activation] is not None:
            layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(Dropout(dropout))
    return Sequential([*layers, Dense(widths[-1])], head, dtype).build(widths[0])


def dense_layers(graph: Graph) -> list[Dense]:
    """Return the layers that have parameters."""
    return [layer for layer in graph.layers if isinstance(layer, Dense)]


class Objective:
    """scikit-learn's loss of a batch, and its gradient: of outputs the sum or the mean, of rows the weighted
    mean, and alpha / 2 times the sum of W², divided by the weight of the batch's rows.

    Attributes
    ----------
    scale : float
        What our loss, a mean over the units, is multiplied by.
    """

    def __init__(self, graph: Graph, alpha: float):
        self.graph, self.alpha, self.workspaces = graph, alpha, graph.workspaces()
        self._penalised = [(layer.padded["W"], layer.padded_gradients["W"]) for layer in dense_layers(graph)]
        K, head = graph.shapes[-1][0], graph.head
        # in the gradient a squared error is half of ours, and units are added up
        self._slope = 1.0 if isinstance(head, Categorical) else K / 2 if isinstance(head, Gaussian) else K
        self.scale = 0.5 if isinstance(head, Gaussian) else K if isinstance(head, Bernoulli) else 1.0

    def __call__(self, batch, step: int | None = None) -> float:
        """Return the mean loss of a batch, and leave its gradient in the graph's vector.

        ``step`` is the number of a step, whose dropout masks are applied; None applies none.
        """
        graph, weight = self.graph, float(batch.w.sum(dtype=float))
        sums = graph.loss_and_gradient(batch, weight / self._slope, self.workspaces[len(batch.w)], step)
        loss, l2 = self.in_its_units(sums[0] / weight, batch.y, batch.w), self.alpha / (2 * weight)
        if l2:
            for W, dW in self._penalised:
                loss += penalties.add_slope(W, 0.0, l2, dW)
        return loss

    def in_its_units(self, mean: float, y, w: np.ndarray) -> float:
        """Return what a mean loss of our head, over targets y of weights w, is as scikit-learn counts it."""
        if not isinstance(self.graph.head, Poisson):
            return self.scale * mean
        y = y.astype(float)    # the deviance, which is 0 where all rates are right
        return mean + float(w @ (scipy.special.xlogy(y, y) - y).mean(axis=1)) / float(w.sum(dtype=float))


def examples(graph: Graph, X, y, sample_weight, single_pass: bool) -> Examples:
    """Return checked rows, encoded targets and weights as the graph takes them."""
    head: Head = graph.head
    x = store(X, graph.dtype, "auto", True, single_pass)
    targets = head.targets(y, len(x), graph.shapes[-1][0], graph.dtype)
    w = np.ones(len(x), graph.dtype) if sample_weight is None else sample_weight.astype(graph.dtype)
    return Examples(x, targets, w, None, graph)


class Steps:
    """The optimiser of scikit-learn's "sgd" or "adam", and the learning rate from epoch to epoch; or the
    estimator's ``optimizer``, whose learning rate is its own.
    """

    def __init__(self, estimator):
        own = estimator.optimizer
        self.rate = own if callable(own) else estimator.learning_rate_init
        self.kind = estimator.solver if own is None or callable(own) else "own"
        self.schedule = "constant" if own is not None else estimator.learning_rate
        self.power, self.epsilon = estimator.power_t, estimator.epsilon
        if self.kind == "own":
            self.optimizer: Any = copy.deepcopy(own)
        elif self.kind == "adam":
            self.optimizer = Adam(self.rate, estimator.beta_1, estimator.beta_2, estimator.epsilon)
        else:
            nesterov = estimator.nesterovs_momentum and estimator.momentum > 0
            self.optimizer = SGD(self.rate, min(estimator.momentum, 1 - 1e-16), nesterov)

    def step(self, graph: Graph):
        """Take one."""
        optimizer = self.optimizer
        if self.kind == "adam":    # scikit-learn's epsilon stands beside the uncorrected root
            correction = math.sqrt(1 - optimizer.beta_2**(optimizer.iterations + 1))
            # past __setattr__, which takes as long as a kernel
            optimizer.__dict__["epsilon"] = self.epsilon / correction
        optimizer.step(graph.vector, graph.gradient_vector, graph.decayed)

    def epoch_ends(self, t: int):
        """Lower the rate, after so many rows in all, where it is scaled by them."""
        if self.kind == "sgd" and self.schedule == "invscaling":
            self.optimizer.learning_rate = self.rate / (t + 1)**self.power

    def wants_to_stop(self) -> bool:
        """Return whether a training that no longer improves is over; an adaptive rate is lowered first."""
        rate = self.optimizer.learning_rate
        if self.kind != "sgd" or self.schedule != "adaptive" or rate <= 1e-6:
            return True
        self.optimizer.learning_rate = rate / 5
        return False


def train_epochs(objective: Objective, data: Examples, steps: Steps, batch_size: int, orders,
                 after_batch: Callable[[float], bool], after_epoch: Callable[[float], bool]):
    """Take the steps of an epoch for each of the ``orders`` of rows, until ``after_batch(loss)``, which ends
    the epoch, or ``after_epoch(loss)`` is true.

    The mean is that of the batches, each weighted by its rows, as scikit-learn has it.
    """
    graph = objective.graph
    with parallel_region():
        race = graph.race("training", batch_size)
        for order in orders:
            total = 0.0
            with race.timed(data.batches(batch_size, order)) as batches:
                for batch in batches:
                    loss = objective(batch, steps.optimizer.iterations)
                    total += loss * len(batch.w)
                    steps.step(graph)
                    if after_batch(loss):
                        break
            if after_epoch(total / len(data)):
                return


def minimise(objective: Objective, data: Examples, max_iter: int, max_fun: int, tol: float):
    """Minimise over all parameters by L-BFGS; return scipy's result."""
    graph = objective.graph
    parts, slopes = ([*(arrays(layer)[name] for name in "Wb" for layer in dense_layers(graph)),
                      *arrays(graph.head).values()]
                     for arrays in (lambda part: part.parameters, lambda part: part.gradients))
    batch, = data.batches(len(data), np.arange(len(data)))

    def put(vector):
        first = 0
        for part in parts:
            part[...] = vector[first:first + part.size].reshape(part.shape)
            first += part.size

    def loss_and_slope(vector):
        put(vector)
        loss = objective(batch)
        return loss, np.concatenate([slope.ravel() for slope in slopes]).astype(float)

    begin = np.concatenate([part.ravel() for part in parts]).astype(float)
    with parallel_region():
        found = scipy.optimize.minimize(loss_and_slope, begin, method="L-BFGS-B", jac=True,
                                        options={"maxfun": max_fun, "maxiter": max_iter, "gtol": tol})
        put(found.x)
    return found
