"""`SequentialClassifier` and `SequentialRegressor`: any network of nnjit as an estimator."""
import copy
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

from ..inputs.targets import in_short
from ..metrics import Asked
from ..model import Sequential
from ..optimizers import Adam, Optimizer
from ..training import Callbacks
from . import checks

Self = TypeVar("Self", bound="_SequentialEstimator")


class _SequentialEstimator(BaseEstimator):
    """What both share."""

    def __init__(self, build: Callable[..., Any] | None = None, *, optimizer: Optimizer | None = None,
                 epochs: int = 20, batch_size: int = 32, validation_split: float = 0.0,
                 callbacks: Callbacks = (), metrics: Asked = (),
                 random_state: int | np.random.RandomState | None = None, verbose: str | int = 0):
        self.build, self.optimizer, self.epochs, self.batch_size = build, optimizer, epochs, batch_size
        self.validation_split, self.callbacks, self.metrics = validation_split, callbacks, metrics
        self.random_state, self.verbose = random_state, verbose

    def fit(self: Self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Build a new network and train it on rows X (N, ...) and targets y; return the estimator."""
        X, y = checks.validated(self, X, y, accept_sparse="csr", allow_nd=True, multi_output=True,
                                dtype=[np.float64, np.float32, np.uint8], **self._checks)
        y, units = self._encoded(column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y)
        sample_weight = checks.weights(sample_weight, X)
        self.model_ = self._new_model(units)
        optimizer = Adam() if self.optimizer is None else copy.deepcopy(self.optimizer)
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer: got {optimizer!r}, expected an optimizer such as Adam(0.001), or "
                            "None")
        self.history_ = self.model_.fit(
            X, y, optimizer, self.epochs, min(self.batch_size, X.shape[0]), sample_weight=sample_weight,
            validation_split=self.validation_split, callbacks=[copy.deepcopy(one) for one in self.callbacks],
            metrics=self.metrics, seed=int(check_random_state(self.random_state).randint(2**31)),
            verbose=self.verbose).history
        return self

    def _new_model(self, units):
        if not callable(self.build):
            raise TypeError(f"build: got {self.build!r}, expected a function that returns a new Sequential")
        model = self.build(units) if inspect.signature(self.build).parameters else self.build()
        if not isinstance(model, Sequential):
            raise TypeError(f"build: got a function that returned {type(model).__name__}, expected a new "
                            "Sequential")
        return model

    def _checked_rows(self, X):
        check_is_fitted(self)
        return checks.validated(self, X, accept_sparse="csr", allow_nd=True, reset=False,
                                dtype=[np.float64, np.float32, np.uint8])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = tags.input_tags.three_d_array = True
        return tags


class SequentialClassifier(checks.Scored, ClassifierMixin, _SequentialEstimator):
    """A classifier around any network: ``build()`` returns a new `Sequential` with a head of classes.

    Parameters
    ----------
    build : function
        It is called in every `fit`: without arguments, or if it takes one, with the number of classes or
        labels (for regressors, of columns of y).
    optimizer : Optimizer, optional
        A copy of it is used, by default ``Adam()``.
    epochs, batch_size, validation_split, callbacks, metrics, verbose
        As of `Sequential.fit`; callbacks are copied.
    random_state : int, RandomState or None
        Of the initial weights, the order of the rows and the dropout masks.

    Attributes
    ----------
    model_ : the trained `Sequential`
    history_ : dict of list, as of `History`
    classes_ : (K,) array, ascending; of labels 0 .. K - 1

    Examples
    --------
    >>> import nnjit as nn
    >>> from nnjit.estimators import SequentialClassifier
    >>> from sklearn.datasets import load_iris
    >>> def network():
    ...     return nn.Sequential([nn.Dense(16), nn.Tanh(), nn.Dense(3)], nn.Categorical())
    >>> X, y = load_iris(return_X_y=True)
    >>> SequentialClassifier(network, optimizer=nn.Adam(0.02), random_state=0).fit(X, y).score(X, y) > 0.9
    True
    """

    _checks: dict[str, Any] = {}

    def _encoded(self, y):
        check_classification_targets(y)
        if type_of_target(y).startswith("multilabel"):
            self.classes_ = np.arange(y.shape[1])
            return y, y.shape[1]
        encoder = LabelEncoder().fit(y)
        self.classes_ = encoder.classes_
        if len(self.classes_) < 2:
            raise ValueError(f"y: got 1 class, {in_short(self.classes_.tolist())}, expected at least 2")
        return encoder.transform(y), len(self.classes_)

    def predict(self, X: Any) -> np.ndarray:
        """Return the class of each row, (N,), or the labels, (N, K)."""
        rows = self._checked_rows(X)
        found = self.model_.head.decide(self.model_.logits(rows))    # numbers, whatever names its head has
        return found if found.ndim == 2 else self.classes_[found]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the classes, (N, K), in the order of ``classes_``."""
        rows = self._checked_rows(X)
        return self.model_.predict_proba(rows)


class SequentialRegressor(checks.Scored, RegressorMixin, _SequentialEstimator):
    """A regressor around any network with a head of numbers, such as `Gaussian`; as of
    `SequentialClassifier`.
    """

    _checks = {"y_numeric": True}

    def _encoded(self, y):
        return y, 1 if y.ndim == 1 else y.shape[1]

    def predict(self, X: Any) -> np.ndarray:
        """Return the numbers of each row, (N,) or (N, K)."""
        rows = self._checked_rows(X)
        return self.model_.predict(rows)
