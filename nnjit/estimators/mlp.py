"""`MLPClassifier` and `MLPRegressor`, in the place of scikit-learn's."""
import warnings
from numbers import Integral

import numpy as np
import scipy.sparse
from sklearn import neural_network as theirs
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state, column_or_1d, shuffle
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .. import inference
from ..inputs.matrices import as_csr
from ..inputs.rows import store
from . import solvers


def _is_stochastic(estimator):
    if estimator.solver not in ("sgd", "adam"):
        raise AttributeError(f"partial_fit: got solver {estimator.solver!r}, expected 'sgd' or 'adam', which "
                             "take step after step")
    return True


class _MLP(BaseEstimator):
    """What both share: the parameters, the fit, the forward pass."""

    # ---- the fitted network --------------------------------------------------------------------------------

    @property
    def coefs_(self) -> list[np.ndarray]:
        """The weights (in, out) of every layer; they are the network's own, and may be set."""
        return [layer.parameters["W"] for layer in solvers.dense_layers(self._fitted_graph())]

    @coefs_.setter
    def coefs_(self, arrays):
        self._set("W", arrays)

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """The biases (out,) of every layer; they are the network's own, and may be set."""
        return [layer.parameters["b"] for layer in solvers.dense_layers(self._fitted_graph())]

    @intercepts_.setter
    def intercepts_(self, arrays):
        self._set("b", arrays)

    def _fitted_graph(self):
        if "_graph" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: got no weights yet, expected a call of fit before")
        return self._graph

    def _set(self, name, arrays):
        own = [layer.parameters[name] for layer in solvers.dense_layers(self._fitted_graph())]
        if [np.shape(given) for given in arrays] != [array.shape for array in own]:
            raise ValueError(f"{'coefs_' if name == 'W' else 'intercepts_'}: got shapes "
                             f"{[np.shape(given) for given in arrays]}, expected "
                             f"{[array.shape for array in own]}")
        for array, given in zip(own, arrays):
            array[...] = given

    # ---- fitting -------------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit to rows X (N, D), an array, a DataFrame or a sparse matrix, and targets y; return the
        estimator.

        ``sample_weight`` (N,) are weights of the rows. Errors and warnings are scikit-learn's.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    def _fit(self, X, y, sample_weight, incremental):
        widths = self._hidden_widths()
        fresh = "_graph" not in self.__dict__ or not (self.warm_start or incremental)
        X, y = self._checked(X, y, incremental, fresh)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        self._random_state = check_random_state(self.random_state)
        if fresh:
            self._begin([X.shape[1], *widths, 1 if y.ndim == 1 else y.shape[1]], X.dtype)
        X = _as_rows(X, self._graph.dtype)
        if self.solver == "lbfgs":
            self._fit_lbfgs(X, y, sample_weight)
        else:
            self._fit_stochastic(X, y, sample_weight, incremental)
        if not np.isfinite(self._graph.vector).all():
            raise ValueError("Solver produced non-finite parameter weights: the training diverged; scale the "
                             "inputs and the targets, or lower learning_rate_init")
        return self

    def _hidden_widths(self):
        given = self.hidden_layer_sizes
        widths = [given] if isinstance(given, Integral) else list(given)
        if any(width <= 0 for width in widths):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {widths}.")
        return [int(width) for width in widths]

    def _begin(self, widths, dtype):
        """Make the network, with scikit-learn's initial weights."""
        self.n_outputs_, self.n_layers_, self.n_iter_, self.t_ = widths[-1], len(widths), 0, 0
        self.out_activation_ = self._output()
        outputs = self._classes_of_softmax() if self.out_activation_ == "softmax" else widths[-1]
        self._graph = solvers.network([*widths[:-1], outputs], self.activation, self.out_activation_, dtype)
        self.n_outputs_ = outputs
        for layer in solvers.dense_layers(self._graph):
            W, b = layer.parameters["W"], layer.parameters["b"]
            bound = np.sqrt((2.0 if self.activation == "logistic" else 6.0) / sum(W.shape))
            W[...] = self._random_state.uniform(-bound, bound, W.shape)
            b[...] = self._random_state.uniform(-bound, bound, b.shape)
        if self.solver != "lbfgs":
            self.loss_curve_, self._unimproved = [], 0
            self.validation_scores_ = [] if self.early_stopping else None
            self.best_validation_score_ = -np.inf if self.early_stopping else None
            self.best_loss_ = None if self.early_stopping else np.inf

    def _fit_lbfgs(self, X, y, sample_weight):
        objective = solvers.Objective(self._graph, self.alpha)
        found = solvers.minimise(objective, solvers.examples(self._graph, X, y, sample_weight, False),
                                 self.max_iter, self.max_fun, self.tol, self.verbose)
        if found.status != 0:
            warnings.warn(f"lbfgs failed to converge after {found.nit} iteration(s) (status={found.status}): "
                          f"{found.message}; increase max_iter or scale the data", ConvergenceWarning,
                          stacklevel=3)
        self.n_iter_, self.loss_ = min(found.nit, self.max_iter), found.fun

    def _fit_stochastic(self, X, y, sample_weight, incremental):
        graph = self._graph
        if not incremental or "_steps" not in self.__dict__:
            self._steps = solvers.Steps(self)
        stops_early, held_out = self.early_stopping and not incremental, None
        if stops_early:
            X, y, sample_weight, held_out = self._held_out(X, y, sample_weight)
        N = X.shape[0]
        objective, steps = solvers.Objective(graph, self.alpha), self._steps
        data = solvers.examples(graph, X, y, sample_weight, single_pass=incremental)
        epochs, self.n_iter_, best = 1 if incremental else self.max_iter, 0, graph.vector.copy()

        def after_epoch(loss):
            self.n_iter_, self.loss_, self.t_ = self.n_iter_ + 1, float(loss), self.t_ + N
            self.loss_curve_.append(self.loss_)
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
            if not np.isfinite(loss):
                return True    # it does not come back
            if self._note_progress(held_out):
                best[...] = graph.vector
            steps.epoch_ends(self.t_)
            if self._unimproved <= self.n_iter_no_change:
                return False
            over = steps.wants_to_stop()
            if self.verbose:
                print(f"{'Validation score' if held_out else 'Training loss'} did not improve more than tol="
                      f"{self.tol:f} for {self.n_iter_no_change} consecutive epochs."
                      f"{' Stopping.' if over else ' Setting the learning rate to a fifth.'}")
            self._unimproved = 0 if not over else self._unimproved
            return over

        try:
            solvers.train_epochs(objective, data, steps, self._rows_of_a_batch(N), self._orders(N, epochs),
                                 after_epoch)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=3)
        if not incremental and self.n_iter_ == self.max_iter and self._unimproved <= self.n_iter_no_change:
            warnings.warn(f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                          "optimization hasn't converged yet.", ConvergenceWarning, stacklevel=3)
        if stops_early and np.isfinite(self.loss_):
            graph.vector[...] = best

    def _held_out(self, X, y, sample_weight):
        """Return the rows to train on, and (rows as they are predicted from, decoded targets, weights)."""
        # as scikit-learn has it: neither one of several classes nor labels are stratified
        stratify = y if self.out_activation_ == "logistic" and y.ndim == 1 else None
        given = [X, y] if sample_weight is None else [X, y, sample_weight]
        parts = train_test_split(*given, random_state=self._random_state, test_size=self.validation_fraction,
                                 stratify=stratify)
        if parts[1].shape[0] < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of "
                             "your dataset.")
        w, w_held = parts[4:] if sample_weight is not None else (None, None)
        x = store(_as_rows(parts[1], self._graph.dtype), self._graph.dtype, "auto", training=False)
        return parts[0], parts[2], w, (x, self._decoded_targets(parts[3]), w_held)

    def _note_progress(self, held_out):
        """Note whether this epoch has improved on the best by ``tol``; return whether its network is best."""
        if held_out is None:
            improved = self.loss_ <= self.best_loss_ - self.tol if self.best_loss_ is not None else False
            self._unimproved = 0 if improved else self._unimproved + 1
            if self.best_loss_ is not None:
                self.best_loss_ = min(self.best_loss_, self.loss_)
            return False
        x, y, w = held_out
        predicted = self._decoded(inference.logits(self._graph, x))
        score = self._score(y, predicted, w)
        self.validation_scores_.append(score)
        if self.verbose:
            print(f"Validation score: {score:f}")
        self._unimproved = self._unimproved + 1 if score < self.best_validation_score_ + self.tol else 0
        if score > self.best_validation_score_:
            self.best_validation_score_ = score
            return True
        return False

    def _rows_of_a_batch(self, N):
        if self.batch_size == "auto":
            return min(200, N)
        if self.batch_size > N:
            warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be "
                          "clipped", stacklevel=4)
        return min(int(self.batch_size), N)

    def _orders(self, N, epochs):
        """Yield the order of the rows in each epoch, as scikit-learn draws it."""
        order = np.arange(N)
        for _ in range(epochs):
            if self.shuffle:
                order = shuffle(order, random_state=self._random_state)
            yield order

    # ---- predicting ----------------------------------------------------------------------------------------

    def _logits(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False,
                          dtype=(np.float64, np.float32))
        graph = self._graph
        return inference.logits(graph, store(_as_rows(X, graph.dtype), graph.dtype, "auto", training=False,
                                             single_pass=True))

    def predict(self, X):
        """Return the classes, or the numbers, that the network predicts for rows X (N, D)."""
        return self._decoded(self._logits(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _as_rows(X, dtype):
    """Return validated rows, an array that kernels may read, or a canonical CSR matrix."""
    if scipy.sparse.issparse(X):
        return as_csr(X.tocsr())
    return np.require(X, dtype, ["C", "W"])


class MLPClassifier(ClassifierMixin, _MLP):
    """scikit-learn's `sklearn.neural_network.MLPClassifier`, trained by nnjit.

    Its parameters, their meaning and their defaults, and its fitted attributes are those of scikit-learn's
    class, see there. With the same ``random_state`` it begins with the same weights and takes the rows in
    the same order, so that it comes to the same network but for the last digits.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from nnjit.estimators import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> MLPClassifier(max_iter=1000, random_state=0).fit(X, y).score(X, y) > 0.95
    True
    """

    _parameter_constraints: dict = dict(theirs.MLPClassifier._parameter_constraints)

    def __init__(self, hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=0.0001,
                 batch_size="auto", learning_rate="constant", learning_rate_init=0.001, power_t=0.5,
                 max_iter=200, shuffle=True, random_state=None, tol=1e-4, verbose=False, warm_start=False,
                 momentum=0.9, nesterovs_momentum=True, early_stopping=False, validation_fraction=0.1,
                 beta_1=0.9, beta_2=0.999, epsilon=1e-8, n_iter_no_change=10, max_fun=15000):
        self.hidden_layer_sizes, self.activation, self.solver = hidden_layer_sizes, activation, solver
        self.alpha, self.batch_size, self.learning_rate = alpha, batch_size, learning_rate
        self.learning_rate_init, self.power_t, self.max_iter = learning_rate_init, power_t, max_iter
        self.shuffle, self.random_state, self.tol, self.verbose = shuffle, random_state, tol, verbose
        self.warm_start, self.momentum, self.nesterovs_momentum = warm_start, momentum, nesterovs_momentum
        self.early_stopping, self.validation_fraction = early_stopping, validation_fraction
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.n_iter_no_change, self.max_fun = n_iter_no_change, max_fun

    def _checked(self, X, y, incremental, fresh):
        """Return X and y checked, y encoded: (N,) class numbers, or 0 and 1 as (N,) or (N, labels)."""
        X, y = validate_data(self, X, y, accept_sparse=["csr", "csc"], multi_output=True,
                             dtype=(np.float64, np.float32), reset=fresh)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not incremental and fresh:
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_known(unique_labels(y), incremental)
        return X, self._encoded(y)

    def _check_known(self, classes, incremental):
        if not incremental and set(classes) != set(self.classes_):
            raise ValueError("warm_start can only be used where `y` has the same classes as in the previous "
                             f"call to fit. Previously got {self.classes_}, `y` has {classes}")
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. "
                             f"'y' has {classes}.")

    def _encoded(self, y):
        if self._output() == "softmax":
            return np.searchsorted(self.classes_, y)
        y = self._label_binarizer.transform(y)
        y = y.toarray() if scipy.sparse.issparse(y) else y
        return y[:, 0] if y.shape[1] == 1 else y

    def _decoded_targets(self, y):
        """Return encoded targets as the classes that they are."""
        if self._output() == "softmax":
            return self.classes_[y]
        return self._label_binarizer.inverse_transform(y)

    def _output(self):
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _classes_of_softmax(self):
        return len(self.classes_)

    def _decoded(self, z):
        if self.out_activation_ == "softmax":
            return self.classes_[self._graph.head.decide(z)]
        p = self._graph.head.activate(z)
        return self._label_binarizer.inverse_transform(p[:, 0] if p.shape[1] == 1 else p)

    def _score(self, y, predicted, w):
        return accuracy_score(y, predicted, sample_weight=w)

    @available_if(_is_stochastic)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Take one epoch over these rows; return the estimator.

        ``classes`` are all that there will be, in the first call: of labels (N, K) they may be left out.
        """
        multilabel = type_of_target(y).startswith("multilabel")
        if not hasattr(self, "classes_"):
            if classes is None and not multilabel:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._label_binarizer = LabelBinarizer().fit(y if multilabel else classes)
            self.classes_ = self._label_binarizer.classes_
        elif classes is not None and not multilabel and not np.array_equal(unique_labels(classes),
                                                                          self.classes_):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                             f"{self.classes_!r}")
        return self._fit(X, y, sample_weight, incremental=True)

    def predict_proba(self, X):
        """Return the probabilities of the classes, (N, K), in the order of ``classes_``; of labels each
        one's.
        """
        z = self._logits(X)
        return inference.probabilities(self._graph.head, z)

    def predict_log_proba(self, X):
        """Return the logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, _MLP):
    """scikit-learn's `sklearn.neural_network.MLPRegressor`, trained by nnjit; as of `MLPClassifier`."""

    _parameter_constraints: dict = dict(theirs.MLPRegressor._parameter_constraints)

    def __init__(self, loss="squared_error", hidden_layer_sizes=(100,), activation="relu", *, solver="adam",
                 alpha=0.0001, batch_size="auto", learning_rate="constant", learning_rate_init=0.001,
                 power_t=0.5, max_iter=200, shuffle=True, random_state=None, tol=1e-4, verbose=False,
                 warm_start=False, momentum=0.9, nesterovs_momentum=True, early_stopping=False,
                 validation_fraction=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-8, n_iter_no_change=10,
                 max_fun=15000):
        self.loss = loss
        self.hidden_layer_sizes, self.activation, self.solver = hidden_layer_sizes, activation, solver
        self.alpha, self.batch_size, self.learning_rate = alpha, batch_size, learning_rate
        self.learning_rate_init, self.power_t, self.max_iter = learning_rate_init, power_t, max_iter
        self.shuffle, self.random_state, self.tol, self.verbose = shuffle, random_state, tol, verbose
        self.warm_start, self.momentum, self.nesterovs_momentum = warm_start, momentum, nesterovs_momentum
        self.early_stopping, self.validation_fraction = early_stopping, validation_fraction
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.n_iter_no_change, self.max_fun = n_iter_no_change, max_fun

    def _checked(self, X, y, incremental, fresh):
        X, y = validate_data(self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True,
                             dtype=(np.float64, np.float32), reset=fresh)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _output(self):
        return "exp" if self.loss == "poisson" else "identity"

    def _decoded_targets(self, y):
        return y

    def _decoded(self, z):
        return self._graph.head.decide(z)

    def _score(self, y, predicted, w):
        return r2_score(y, predicted, sample_weight=w) if np.isfinite(predicted).all() else np.nan

    @available_if(_is_stochastic)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Take one epoch over these rows; return the estimator."""
        return self._fit(X, y, sample_weight, incremental=True)
