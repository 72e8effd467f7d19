"""Whether a network is worth it: beside it a linear model of the same head, and who always says the same."""
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..callbacks import EarlyStopping
from ..heads import Huber, Laplace
from ..layers import Dense, Flatten
from ..model import Sequential
from ..optimizers import Adam

_NAMES = {"accuracy": "accuracy", "rmse": "root mean squared error", "mae": "mean absolute error"}


@dataclass
class Comparison:
    """Scores on test rows.

    Attributes
    ----------
    score : "accuracy", of which more is better, or "rmse" or "mae", of which less is
    network, linear, constant : the scores
    always : what the constant says, in words
    N : how many rows
    verdict : a sentence
    evaluated : the network's loss and metric, as of `Sequential.evaluate`
    """

    score: str
    network: float
    linear: float
    constant: float
    always: str
    N: int
    verdict: str
    evaluated: dict[str, float]

    def rows(self) -> list[tuple[str, float]]:
        """Return the names and the scores."""
        return [("network", self.network), ("linear model", self.linear), (self.always, self.constant)]

    def __str__(self):
        width = max(len(name) for name, _ in self.rows())
        form = ".4f" if self.score == "accuracy" else ".4g"
        lines = [f"{name:{width}}  {value:{form}}" for name, value in self.rows()]
        head = f"{_NAMES[self.score]} of {self.N:,} test rows"
        return "\n".join([head, *(f"  {line}" for line in lines), self.verdict])

    def results(self) -> dict[str, float]:
        """Return the scores under the names of run.json."""
        return {**{f"test_{name}": value for name, value in self.evaluated.items()},
                f"test_{self.score}": self.network, f"linear_test_{self.score}": self.linear,
                f"constant_test_{self.score}": self.constant}

    def plain(self) -> dict[str, Any]:
        """Return it as plain values, for the page of the run."""
        return {"score": self.score, "rows": [list(row) for row in self.rows()], "verdict": self.verdict,
                "tested": self.N}


def score_of(head) -> str:
    """Return what a head is compared by: the figure that its decisions are the best for."""
    if head.answers in ("classes", "labels"):
        return "accuracy"
    return "mae" if head.answers == "ranks" or isinstance(head, (Huber, Laplace)) else "rmse"


def losses_of(head, y: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return the loss of each row by which heads are compared, (N,): the share of wrong answers, squared or
    absolute errors; of several numbers in units of their deviations.
    """
    if head.answers in ("classes", "labels"):
        wrong = np.asarray(y) != np.asarray(given)
        return wrong.astype(float) if wrong.ndim == 1 else wrong.mean(axis=1)
    if np.ndim(y) == 2:
        y, given = head.standardised(y), head.standardised(np.asarray(given, float))
    errors = np.abs(np.asarray(given, float) - y)
    errors = errors**2 if score_of(head) == "rmse" else errors
    return errors if errors.ndim == 1 else errors.mean(axis=1)


def score(head, losses: np.ndarray) -> float:
    """Return the score that the losses of the rows come to."""
    mean = float(losses.mean())
    return {"accuracy": 1 - mean, "rmse": mean**0.5, "mae": mean}[score_of(head)]


def answers_of(model, X) -> np.ndarray:
    """Return a model's decisions as numbers, whatever names its classes have."""
    return model.head.decide(model.logits(X))


def compare(model: Sequential, train: tuple[Any, ...], validation: tuple[Any, ...], test: tuple[Any, ...],
            new_head, settings: dict[str, Any]) -> Comparison:
    """Return the `Comparison` of a trained network.

    Parameters
    ----------
    train, validation, test : (X, y) each
    new_head : ``new_head()`` returns a new head like that of the network
    settings : ``epochs``, ``batch_size``, ``patience`` and ``seed`` of the linear model's training
    """
    (X, y), head = test, model.head
    linear = train_linear(train, validation, new_head(), model, settings)
    always, constant = constant_of(head, train[1])
    own, its, base = (losses_of(head, y, given) for given in (
        answers_of(model, X), answers_of(linear, X), np.broadcast_to(constant, np.shape(y))))
    is_linear = sum(bool(layer.shapes) for layer in model.layers) == 1
    return Comparison(score_of(head), score(head, own), score(head, its), score(head, base), always, len(y),
                      _verdict(own, its, base, always, is_linear), model.evaluate(X, y))


def train_linear(train, validation, head, model, settings) -> Sequential:
    """Return a linear model of the same head, trained."""
    flat = [] if len(model.input_shape) == 1 else [Flatten()]
    linear = Sequential([*flat, Dense(model.graph.shapes[-1][-1])], head, model.dtype)
    stop = EarlyStopping(patience=settings["patience"], restore_best_weights=True)
    X, y = train
    linear.fit(X, y, Adam(0.01), settings["epochs"], settings["batch_size"], validation_data=validation,
               seed=settings["seed"], verbose=0, callbacks=[stop])
    return linear


def constant_of(head, y: np.ndarray) -> tuple[str, Any]:
    """Return in words, and as a number or a row, the constant answer with the least loss on targets y."""
    if head.answers == "classes":
        value: Any = np.bincount(y).argmax()
        return f"always {head.names[value]}", value
    if head.answers == "labels":
        return "the more frequent of each", (y.mean(axis=0) > 0.5).astype(int)
    if head.answers == "ranks":
        value = int(np.median(y))
        return f"always {head.names[value]}", value
    kind, value = ("median", np.median(y, axis=0)) if score_of(head) == "mae" else ("mean", y.mean(axis=0))
    return f"the {kind}" + (f", {value:.4g}" if y.ndim == 1 else ""), value


def _verdict(own, linear, constant, always, is_linear):
    """Return a sentence: the differences of the rows' losses, in standard errors of their mean."""
    if _standard_errors(constant - own) < 2:
        return (f"The network is not clearly better than {always}: less than two standard errors. The inputs "
                "tell little of the target, or the rows are too few.")
    if is_linear:
        return f"It is better than {always} by more than two standard errors."
    over = _standard_errors(linear - own)
    if over >= 2:
        return "The network is worth it: it is better than the linear model by more than two standard errors."
    if over <= -2:
        return ("The linear model is better, by more than two standard errors: take it (--hidden none), or a "
                "smaller network, or one with more dropout.")
    return ("No clear difference between network and linear model: less than two standard errors. The linear "
            "model may do (--hidden none).")


def _standard_errors(differences):
    """Return the mean in units of its standard error."""
    error = differences.std() / len(differences)**0.5
    mean = differences.mean()
    return float(mean / error) if error > 0 else float(np.sign(mean)) * np.inf if mean else 0.0
