"""What is done with an estimator, scikit-learn's or ours: both are given the same class of task."""
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PARTIAL_ROWS = 200    # of a call of partial_fit


@dataclass(frozen=True)
class EstimatorTask:
    """The rows, and what is done with a classifier: "fit", "predict_one", "predict_all", "partial_fit" or
    "search".

    Attributes
    ----------
    x, y : (N, D) float array, (N,) class numbers
    settings : parameters of the classifier that are not the default
    """

    x: np.ndarray
    y: np.ndarray
    what: str
    settings: dict[str, Any] = field(default_factory=dict)

    def run(self, kind: type, clock, seed: int) -> dict:
        """Do it with a classifier of this class, timed by ``clock``, a `Clock`.

        Return the accuracy, and the loss where there is one.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")    # the epochs are as many as are to be measured
            return getattr(self, f"_{self.what}")(kind, clock, seed)

    def _fit(self, kind, clock, seed):
        one = kind(random_state=seed, **self.settings)
        with clock:
            one.fit(self.x, self.y)
        return {"loss": one.loss_, "accuracy": one.score(self.x, self.y)}

    def _fitted(self, kind):
        few = self.x[:2000], self.y[:2000]
        return kind(random_state=0, max_iter=2).fit(*few)

    def _predict_one(self, kind, clock, seed):
        one, rows = self._fitted(kind), min(1000, len(self.x))
        clock.scale = 1 / rows
        with clock:
            predicted = [one.predict(self.x[i:i + 1])[0] for i in range(rows)]
        return {"accuracy": np.mean(predicted == self.y[:rows])}

    def _predict_all(self, kind, clock, seed):
        one = self._fitted(kind)
        with clock:
            predicted = one.predict(self.x)
        return {"accuracy": np.mean(predicted == self.y)}

    def _partial_fit(self, kind, clock, seed):
        one, classes = kind(random_state=seed), np.unique(self.y)
        parts = [slice(first, first + PARTIAL_ROWS) for first in range(0, len(self.y), PARTIAL_ROWS)]
        one.partial_fit(self.x[parts[0]], self.y[parts[0]], classes=classes)
        clock.scale = 1 / len(parts)
        with clock:
            for part in parts:
                one.partial_fit(self.x[part], self.y[part])
        return {"loss": one.loss_, "accuracy": one.score(self.x, self.y)}

    def _search(self, kind, clock, seed):
        from sklearn.model_selection import GridSearchCV
        grid = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2], "learning_rate_init": [1e-3, 3e-3, 1e-2],
                "hidden_layer_sizes": [(50,), (100,)]}
        search = GridSearchCV(kind(random_state=seed, **self.settings), grid, cv=3, n_jobs=2)
        with clock:
            search.fit(self.x, self.y)
        return {"accuracy": search.best_score_}
