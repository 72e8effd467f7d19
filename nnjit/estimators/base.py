"""What `MLPClassifier` and `MLPRegressor` share: parameters, the fit, the forward pass."""
import copy
import zlib
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike
from sklearn import neural_network as theirs
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .. import inference
from .._numba.warning import warn
from ..inputs.matrices import as_csr
from ..inputs.rows import store
from ..optimizers import Optimizer
from ..training import Callbacks
from . import checks, solvers
from .watch import Watch

MORE = {"dropout": [Interval(Real, 0, 1, closed="left")],    # beside scikit-learn's parameters
        "activation": [StrOptions(set(solvers.ACTIVATIONS)), list, tuple],
        "optimizer": [Optimizer, callable, None], "callbacks": [list, tuple],
        "dtype": [StrOptions({"float32", "float64"}), None]}


def is_stochastic(estimator):
    """Return whether an estimator takes step after step, as `partial_fit` does; AttributeError otherwise."""
    if estimator.solver not in ("sgd", "adam"):
        raise AttributeError(f"partial_fit: got solver {estimator.solver!r}, expected 'sgd' or 'adam', which "
                             "take step after step")
    return True


class MLP(BaseEstimator):
    """The base of both. A class has `_checked`, `_output`, `_count_outputs`, `_head`, `_decoded`,
    `_decoded_targets` and `_score`.
    """

    _kept = None    # an objective

    def _take(self, given: dict[str, Any]):
        """Take the arguments of ``__init__``, as they are."""
        for name in self._get_param_names():
            setattr(self, name, given[name])

    # ---- the fitted network --------------------------------------------------------------------------------

    @property
    def coefs_(self) -> list[np.ndarray]:
        """The weights (in, out) of every layer; they are the network's own, and may be set."""
        return [layer.parameters["W"] for layer in solvers.dense_layers(self._fitted_graph())]

    @coefs_.setter
    def coefs_(self, arrays: Sequence[ArrayLike]) -> None:
        self._set("W", arrays)

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """The biases (out,) of every layer; they are the network's own, and may be set."""
        return [layer.parameters["b"] for layer in solvers.dense_layers(self._fitted_graph())]

    @intercepts_.setter
    def intercepts_(self, arrays: Sequence[ArrayLike]) -> None:
        self._set("b", arrays)

    @property
    def _graph(self):
        return self.model_.graph

    def _fitted_graph(self):
        if "model_" not in self.__dict__:
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
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None,
            validation_data: tuple[Any, ...] | None = None, callbacks: Callbacks | None = None) -> "MLP":
        """Fit to rows X (N, D), an array, a DataFrame or a sparse matrix, and targets y; return the
        estimator.

        ``sample_weight`` (N,) are weights of the rows. ``validation_data`` are (X, y) or (X, y,
        sample_weight): after every epoch their loss goes into ``validation_loss_curve_``, and with
        ``early_stopping`` they are what is scored, and no row is held back. ``callbacks`` are called beside
        those of the estimator. Errors and warnings are scikit-learn's.
        """
        self._check_solver(validation_data, callbacks)
        return self._fit(X, y, sample_weight, False, validation_data, [*self.callbacks, *(callbacks or ())])

    def _check_solver(self, validation_data, callbacks):
        if self.solver != "lbfgs":
            return
        for name, given in (("validation_data", validation_data), ("optimizer", self.optimizer),
                            ("callbacks", callbacks or self.callbacks or None)):
            if given is not None:
                raise ValueError(f"{name}: got some with solver 'lbfgs', which has no epochs, expected the "
                                 "solver 'adam' or 'sgd'")

    def _fit(self, X, y, sample_weight, incremental, validation_data=None, callbacks=()):
        widths = self._hidden_widths()
        fresh = "model_" not in self.__dict__ or not (self.warm_start or incremental)
        X, y = self._checked(X, y, incremental, fresh)
        sample_weight = self._with_class_weights(y, checks.weights(sample_weight, X))
        self._random_state = check_random_state(self.random_state)
        if fresh:
            self._begin([X.shape[1], *widths, self._count_outputs(y)], self.dtype or X.dtype)
        X = _as_rows(X, self._graph.dtype)
        if self.solver == "lbfgs":
            self._fit_lbfgs(X, y, sample_weight)
        else:
            self._fit_stochastic(X, y, sample_weight, incremental, self._validation(validation_data),
                                 callbacks)
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
        self.out_activation_, activations = self._output(), self._activations(len(widths) - 2)
        self.model_ = solvers.network(widths, activations, self.dropout, self._head(), dtype)
        last = activations[-1:] or ["relu"]
        for layer, activation in zip(solvers.dense_layers(self._graph), activations + last):
            W, b = layer.parameters["W"], layer.parameters["b"]
            bound = np.sqrt((2.0 if activation == "logistic" else 6.0) / sum(W.shape))
            W[...] = self._random_state.uniform(-bound, bound, W.shape)
            b[...] = self._random_state.uniform(-bound, bound, b.shape)
        # of the dropout masks, which take nothing from the stream that the weights are drawn from
        self._graph.seed = zlib.crc32(self.coefs_[0].tobytes())
        if self.solver != "lbfgs":
            self.loss_curve_, self._unimproved = [], 0
            self.validation_scores_: Any = [] if self.early_stopping else None
            self.best_validation_score_ = -np.inf if self.early_stopping else None
            self.best_loss_ = None if self.early_stopping else np.inf

    def _activations(self, hidden):
        """Return the name of each hidden layer's activation."""
        if isinstance(self.activation, str):
            return [self.activation] * hidden
        names = list(self.activation)
        if len(names) != hidden or not all(name in solvers.ACTIVATIONS for name in names):
            raise ValueError(f"activation: got {names}, expected one, or one for each of {hidden} hidden "
                             f"layers, of {', '.join(solvers.ACTIVATIONS)}")
        return names

    def _with_class_weights(self, y, sample_weight):
        return sample_weight

    def _fit_lbfgs(self, X, y, sample_weight):
        found = solvers.minimise(self._objective(), solvers.examples(self._graph, X, y, sample_weight, False),
                                 self.max_iter, self.max_fun, self.tol)
        if found.status != 0:
            warn(f"lbfgs failed to converge after {found.nit} iteration(s) (status={found.status}): "
                 f"{found.message}; increase max_iter or scale the data", ConvergenceWarning)
        self.n_iter_, self.loss_ = min(found.nit, self.max_iter), found.fun

    def _validation(self, data):
        """Return (rows, encoded targets, weights) of ``validation_data``, checked, or None."""
        if data is None:
            return None
        if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
            raise ValueError(f"validation_data: got {type(data).__name__}, expected a tuple (X, y) or (X, "
                             "y, sample_weight)")
        X, y = self._checked(*data[:2], incremental=True, fresh=False)
        w = checks.weights(data[2], X) if len(data) == 3 else None
        return _as_rows(X, self._graph.dtype), y, w

    def _fit_stochastic(self, X, y, sample_weight, incremental, validation, callbacks):
        graph = self._graph
        if not incremental or "_steps" not in self.__dict__:
            self._steps = solvers.Steps(self)
        stops_early, held_out, watched = self.early_stopping and not incremental, None, None
        if validation is not None:
            rows, answers, w = validation
            watched = solvers.examples(graph, rows, answers, w, single_pass=False)
        if stops_early:
            X, y, sample_weight, held_out = self._held_out(X, y, sample_weight, validation)
        N = X.shape[0]
        objective, steps = self._objective(), self._steps
        watch = Watch(self.model_, steps.optimizer, objective, callbacks, watched, stops_early)
        data = solvers.examples(graph, X, y, sample_weight, single_pass=incremental)
        epochs, self.n_iter_ = 1 if incremental else self.max_iter, 0
        best: Any = graph.vector.copy() if stops_early else None

        def after_epoch(loss):
            self.n_iter_, self.loss_, self.t_ = self.n_iter_ + 1, float(loss), self.t_ + N
            self.loss_curve_.append(self.loss_)
            logs = {"loss": self.loss_, **watch.measure()}
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
            if not np.isfinite(loss):
                return True    # it does not come back
            if self._note_progress(held_out):
                best[...] = graph.vector
            if held_out:
                logs["validation_score"] = self.validation_scores_[-1]
            steps.epoch_ends(self.t_)
            return watch.epoch_ends(logs) or self._is_over(steps, held_out)

        watch.begin()
        try:
            solvers.train_epochs(objective, data, steps, self._rows_of_a_batch(N),
                                 self._orders(N, epochs, watch), watch.batch_ends, after_epoch)
        except KeyboardInterrupt:
            warn("Training interrupted by user.")
        if watched is not None:
            self.validation_loss_curve_ = watch.losses
        exhausted = self.n_iter_ == self.max_iter and self._unimproved <= self.n_iter_no_change
        if exhausted and not (incremental or watch.state.stop):
            warn(f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization "
                 "hasn't converged yet.", ConvergenceWarning)
        if stops_early and np.isfinite(self.loss_):
            graph.vector[...] = best
        watch.end()

    def _is_over(self, steps, held_out):
        """Return whether the training has not improved for long enough; an adaptive rate is lowered first."""
        if self._unimproved <= self.n_iter_no_change:
            return False
        over = steps.wants_to_stop()
        if self.verbose:
            print(f"{'Validation score' if held_out else 'Training loss'} did not improve more than tol="
                  f"{self.tol:f} for {self.n_iter_no_change} consecutive epochs."
                  f"{' Stopping.' if over else ' Setting the learning rate to a fifth.'}")
        self._unimproved = 0 if not over else self._unimproved
        return over

    def _objective(self):
        """Return the loss of this network, the same at every `partial_fit`: it keeps its workspaces."""
        if self._kept is None or self._kept.graph is not self._graph or self._kept.alpha != self.alpha:
            self._kept = solvers.Objective(self._graph, self.alpha)
        return self._kept

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_kept"}

    def _held_out(self, X, y, sample_weight, validation):
        """Return the rows to train on, and (rows as they are predicted from, decoded targets, weights)."""
        if validation is not None:
            return X, y, sample_weight, self._to_score(*validation)
        # as scikit-learn has it: neither one of several classes nor labels are stratified
        stratify = y if self.out_activation_ == "logistic" and y.ndim == 1 else None
        given = [X, y] if sample_weight is None else [X, y, sample_weight]
        parts = train_test_split(*given, random_state=self._random_state, test_size=self.validation_fraction,
                                 stratify=stratify)
        if parts[1].shape[0] < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of "
                             "your dataset.")
        w, w_held = parts[4:] if sample_weight is not None else (None, None)
        return parts[0], parts[2], w, self._to_score(_as_rows(parts[1], self._graph.dtype), parts[3], w_held)

    def _to_score(self, X, y, w):
        return store(X, self._graph.dtype, "auto", training=False), self._decoded_targets(y), w

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
            warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
        return min(int(self.batch_size), N)

    def _orders(self, N, epochs, watch):
        """Yield the order of the rows in each epoch, which then begins, as scikit-learn draws it."""
        order = np.arange(N)
        for _ in range(epochs):
            watch.epoch_begins()
            if self.shuffle:    # as sklearn.utils.shuffle, whose checks take longer
                places = np.arange(N)
                self._random_state.shuffle(places)
                order = order[places]
            yield order

    # ---- to scikit-learn -----------------------------------------------------------------------------------

    def to_sklearn(self) -> Any:
        """Return scikit-learn's own estimator with this one's parameters and weights.

        ValueError where it has no such: a list of activations, or another loss.
        """
        check_is_fitted(self)
        kind = getattr(theirs, type(self).__name__, None)
        known = kind and kind._parameter_constraints
        parameters = {name: value for name, value in self.get_params().items() if known and name in known}
        for name, allowed in (("activation", solvers.ACTIVATIONS), ("loss", ("squared_error", "poisson"))):
            if name in parameters and parameters[name] not in tuple(allowed):
                raise ValueError(f"to_sklearn: got {name} {parameters[name]!r}, expected one of "
                                 f"{', '.join(allowed)}, as scikit-learn has them")
        if kind is None:
            raise ValueError(f"to_sklearn: got {type(self).__name__}, expected MLPClassifier or MLPRegressor")
        return carried(self, kind(**parameters), [array.copy() for array in self.coefs_],
                       [array.copy() for array in self.intercepts_])

    # ---- predicting ----------------------------------------------------------------------------------------

    def _logits(self, X):
        check_is_fitted(self)
        X = checks.validated(self, X, accept_sparse=["csr", "csc"], reset=False,
                             dtype=(np.float64, np.float32))
        graph = self._graph
        return inference.logits(graph, store(_as_rows(X, graph.dtype), graph.dtype, "auto", training=False,
                                             single_pass=True))

    def predict(self, X: Any) -> np.ndarray:
        """Return the classes, or the numbers, that the network predicts for rows X (N, D)."""
        return self._decoded(self._logits(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


_CARRIED = ("n_features_in_", "feature_names_in_", "classes_", "_label_binarizer", "n_outputs_", "n_layers_",
            "out_activation_", "n_iter_", "t_", "loss_", "loss_curve_", "best_loss_", "validation_scores_",
            "best_validation_score_", "validation_loss_curve_")


def carried(source, target, coefs, intercepts):
    """Return the estimator ``target`` with what ``source`` has learned, and these weights."""
    for name in _CARRIED:
        if hasattr(source, name):
            setattr(target, name, copy.deepcopy(getattr(source, name)))
    target.coefs_, target.intercepts_ = coefs, intercepts
    return target


def _as_rows(X, dtype):
    """Return validated rows, an array that kernels may read, or a canonical CSR matrix."""
    if scipy.sparse.issparse(X):
        return as_csr(X.tocsr())
    return np.require(X, dtype, ["C", "W"])
