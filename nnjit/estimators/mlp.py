"""`MLPClassifier` and `MLPRegressor`, in the place of scikit-learn's."""
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike
from sklearn import neural_network as theirs
from sklearn.base import ClassifierMixin, RegressorMixin, _fit_context
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels
from sklearn.utils.validation import check_is_fitted

from .. import inference
from ..heads import Bernoulli, Categorical, Ordinal
from ..inputs.targets import in_short
from ..optimizers import Optimizer
from ..training import Callbacks
from . import checks, solvers
from .base import MLP, MORE, carried, is_stochastic


class MLPClassifier(checks.Scored, ClassifierMixin, MLP):
    """scikit-learn's `sklearn.neural_network.MLPClassifier`, trained by nnjit.

    Its parameters, their meaning and their defaults, and its fitted attributes are those of scikit-learn's
    class, see there. With the same ``random_state`` it begins with the same weights and takes the rows in
    the same order, so that it comes to the same network but for the last digits.

    What it has besides: ``activation`` may be a list, a name for each hidden layer; ``dropout`` is the
    fraction of hidden units that a step drops; ``class_weight`` is a dict of {class: weight} or "balanced";
    ``optimizer`` is one of nnjit's, of which a copy takes the place of the solver's, or a schedule such as
    ``schedules.cosine(...)``, a function of the step that returns the solver's learning rate; ``callbacks``
    are those of `callbacks`, or functions of (model, epoch, logs), called in `fit`; ``dtype`` is "float32" or
    "float64", by default that of X. ``model_`` is the network, a `Sequential`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from nnjit.estimators import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> MLPClassifier(max_iter=1000, random_state=0).fit(X, y).score(X, y) > 0.95
    True
    """

    _parameter_constraints: dict[str, Any] = {**theirs.MLPClassifier._parameter_constraints, **MORE,
                                              "class_weight": [StrOptions({"balanced"}), dict, None]}

    def __init__(self, hidden_layer_sizes: int | Sequence[int] = (100,),
                 activation: str | Sequence[str] = "relu", *, solver: str = "adam", alpha: float = 0.0001,
                 batch_size: int | str = "auto", learning_rate: str = "constant",
                 learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200,
                 shuffle: bool = True, random_state: int | np.random.RandomState | None = None,
                 tol: float = 1e-4, verbose: bool | int = False, warm_start: bool = False,
                 momentum: float = 0.9, nesterovs_momentum: bool = True, early_stopping: bool = False,
                 validation_fraction: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-8, n_iter_no_change: int = 10, max_fun: int = 15000,
                 dropout: float = 0.0, class_weight: dict[Any, Any] | str | None = None,
                 optimizer: Optimizer | Callable[[int], float] | None = None, callbacks: Callbacks = (),
                 dtype: str | None = None):
        self._take(locals())

    def _checked(self, X, y, incremental, fresh):
        """Return X and y checked, y encoded: (N,) class numbers, or 0 and 1 as (N,) or (N, labels)."""
        X, y = checks.validated(self, X, y, accept_sparse=["csr", "csc"], multi_output=True,
                                dtype=(np.float64, np.float32), reset=fresh)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not incremental and fresh:
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        elif not (incremental and self._all_known(y)):
            self._check_known(unique_labels(y), incremental)
        return X, self._encoded(y)

    def _all_known(self, y):
        """Return True where y surely has known classes only, which is found faster than what it is."""
        if y.ndim != 1 or y.dtype.kind != self.classes_.dtype.kind:
            return False
        codes = np.searchsorted(self.classes_, y)
        return np.array_equal(self.classes_[np.minimum(codes, len(self.classes_) - 1)], y)

    def _check_known(self, classes, incremental):
        if not incremental and set(classes) != set(self.classes_):
            raise ValueError(f"y: got the classes {_in_short(classes)}, expected those of the fit before, "
                             f"{_in_short(self.classes_)}, because of warm_start=True")
        unknown = np.setdiff1d(classes, self.classes_, assume_unique=True)
        if len(unknown):
            raise ValueError(f"y: got the class {_in_short(unknown[:1])}, expected those that are known, "
                             f"{_in_short(self.classes_)}")

    def _encoded(self, y):
        if self._output() != "logistic":
            return np.searchsorted(self.classes_, y)
        y = self._label_binarizer.transform(y)
        y = y.toarray() if scipy.sparse.issparse(y) else y
        return y[:, 0] if y.shape[1] == 1 else y

    def _decoded_targets(self, y):
        """Return encoded targets as the classes that they are."""
        if self._output() != "logistic":
            return self.classes_[y]
        return self._label_binarizer.inverse_transform(y)

    def _output(self):
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _count_outputs(self, y):
        if self._output() == "softmax":
            return len(self.classes_)
        return 1 if y.ndim == 1 else y.shape[1]

    def _head(self):
        return Categorical() if self._output() == "softmax" else Bernoulli()

    def _with_class_weights(self, y, sample_weight):
        if self.class_weight is None:
            return sample_weight
        if y.ndim == 2:
            raise ValueError(f"class_weight: got {self.class_weight!r} for labels, expected None; give "
                             "sample_weight")
        weights = compute_sample_weight(self.class_weight, self.classes_[y])
        return weights if sample_weight is None else weights * sample_weight

    def _decoded(self, z):
        if self.out_activation_ != "logistic":
            return self.classes_[self._graph.head.decide(z)]
        p = self._graph.head.activate(z)
        return self._label_binarizer.inverse_transform(p[:, 0] if p.shape[1] == 1 else p)

    def _score(self, y, predicted, w):
        return accuracy_score(y, predicted, sample_weight=w)

    @available_if(is_stochastic)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None,
                    classes: ArrayLike | None = None) -> "MLPClassifier":
        """Take one epoch over these rows; return the estimator.

        ``classes`` are all that there will be, in the first call: of labels (N, K) they may be left out.
        """
        y, classes = checks.answers(self, y), None if classes is None else checks.classes("classes", classes)
        if not hasattr(self, "classes_"):
            multilabel = type_of_target(y).startswith("multilabel")
            if classes is None and not multilabel:
                raise ValueError("classes: got None, but classes must be passed on the first call to "
                                 "partial_fit, all that there will be")
            self._label_binarizer = LabelBinarizer().fit(y if multilabel else classes)
            self.classes_ = self._label_binarizer.classes_
        elif classes is not None and not (type_of_target(y).startswith("multilabel")
                                          or np.array_equal(unique_labels(classes), self.classes_)):
            raise ValueError(f"classes: got {_in_short(classes)}, which is not the same as on last call to "
                             f"partial_fit, {_in_short(self.classes_)}")
        return self._fit(X, y, sample_weight, incremental=True)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the classes, (N, K), in the order of ``classes_``; of labels each
        one's.
        """
        z = self._logits(X)
        return inference.probabilities(self._graph.head, z)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(checks.Scored, RegressorMixin, MLP):
    """scikit-learn's `sklearn.neural_network.MLPRegressor`, trained by nnjit; as of `MLPClassifier`.

    ``loss`` may also be "absolute_error", for the median, and "huber", which outliers pull less.
    """

    _parameter_constraints: dict[str, Any] = {**theirs.MLPRegressor._parameter_constraints, **MORE,
                                              "loss": [StrOptions(set(solvers.LOSSES))]}

    def __init__(self, loss: str = "squared_error", hidden_layer_sizes: int | Sequence[int] = (100,),
                 activation: str | Sequence[str] = "relu", *, solver: str = "adam", alpha: float = 0.0001,
                 batch_size: int | str = "auto", learning_rate: str = "constant",
                 learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200,
                 shuffle: bool = True, random_state: int | np.random.RandomState | None = None,
                 tol: float = 1e-4, verbose: bool | int = False, warm_start: bool = False,
                 momentum: float = 0.9, nesterovs_momentum: bool = True, early_stopping: bool = False,
                 validation_fraction: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-8, n_iter_no_change: int = 10, max_fun: int = 15000,
                 dropout: float = 0.0, optimizer: Optimizer | Callable[[int], float] | None = None,
                 callbacks: Callbacks = (), dtype: str | None = None):
        self._take(locals())

    def _checked(self, X, y, incremental, fresh):
        X, y = checks.validated(self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True,
                                dtype=(np.float64, np.float32), reset=fresh)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _output(self):
        return "exp" if self.loss == "poisson" else "identity"

    def _count_outputs(self, y):
        return 1 if y.ndim == 1 else y.shape[1]

    def _head(self):
        return solvers.LOSSES[self.loss]()

    def _decoded_targets(self, y):
        return y

    def _decoded(self, z):
        return self._graph.head.decide(z)

    def _score(self, y, predicted, w):
        return r2_score(y, predicted, sample_weight=w) if np.isfinite(predicted).all() else np.nan

    @available_if(is_stochastic)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> "MLPRegressor":
        """Take one epoch over these rows; return the estimator."""
        return self._fit(X, y, sample_weight, incremental=True)


class OrdinalClassifier(MLPClassifier):
    """Classes with an order, such as 1 to 5 stars: `MLPClassifier` with the head `Ordinal`.

    The order is that of ``classes_``, ascending. Parameters and attributes are those of `MLPClassifier`; the
    network has one output, the score, and cut points between the classes. `predict` gives the median of the
    probabilities, from which the ranks are least far, and not always the most probable class.
    """

    def _output(self):
        if self._label_binarizer.y_type_.startswith("multilabel"):
            raise ValueError("y: got labels (N, K), expected a class for each row, (N,)")
        if len(self.classes_) < 2:
            raise ValueError(f"y: got 1 class, {_in_short(self.classes_)}, expected at least 2")
        return "ordinal"

    def _count_outputs(self, y):
        return 1

    def _head(self):
        return Ordinal(len(self.classes_))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = False
        tags.classifier_tags.poor_score = True    # on classes that have no order, of which checks ask
        return tags


def _in_short(classes):
    return in_short(np.asarray(classes).tolist())


def from_sklearn(fitted: Any) -> MLP:
    """Return `MLPClassifier` or `MLPRegressor` with the parameters and the weights of a fitted one of
    scikit-learn's. TypeError for anything else.
    """
    kinds: dict[Any, type[MLP]] = {theirs.MLPClassifier: MLPClassifier, theirs.MLPRegressor: MLPRegressor}
    if type(fitted) not in kinds:
        raise TypeError(f"from_sklearn: got {type(fitted).__name__}, expected scikit-learn's MLPClassifier "
                        "or MLPRegressor")
    check_is_fitted(fitted)
    ours = kinds[type(fitted)](**fitted.get_params())
    for name in "classes_", "_label_binarizer":
        if hasattr(fitted, name):
            setattr(ours, name, getattr(fitted, name))
    widths = [fitted.coefs_[0].shape[0], *(W.shape[1] for W in fitted.coefs_)]
    ours.model_ = solvers.network(widths, ours._activations(len(widths) - 2), 0.0, ours._head(),
                                  fitted.coefs_[0].dtype)
    ours._unimproved = 0
    return carried(fitted, ours, fitted.coefs_, fitted.intercepts_)
