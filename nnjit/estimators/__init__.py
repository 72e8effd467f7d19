"""Estimators for scikit-learn, which is an extra: ``pip install nnjit[sklearn]``.

`MLPClassifier` and `MLPRegressor` take the place of scikit-learn's classes of these names: the same
parameters with the same meaning and defaults, the same fitted attributes, and from the same ``random_state``
the same initial weights and order of rows, so that they come to the same network but for the last digits.
`OrdinalClassifier` is for classes with an order; `SequentialClassifier` and `SequentialRegressor` are around
any network; `from_sklearn`, and ``to_sklearn()`` of an estimator, carry trained networks over.
"""
try:
    import sklearn
except ImportError as error:
    raise ImportError("nnjit.estimators: got no scikit-learn, expected version 1.7 or later; install it, pip "
                      "install nnjit[sklearn]") from error
if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 7):
    raise ImportError(f"nnjit.estimators: got scikit-learn {sklearn.__version__}, expected version 1.7 or "
                      "later; install it, pip install nnjit[sklearn]")

from .mlp import MLPClassifier, MLPRegressor, OrdinalClassifier, from_sklearn
from .sequential import SequentialClassifier, SequentialRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "OrdinalClassifier", "SequentialClassifier",
           "SequentialRegressor", "from_sklearn"]
