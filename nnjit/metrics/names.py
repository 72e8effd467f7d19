"""The names of the metrics: for each a statistic, and the formula that makes a figure of its sums."""
from collections.abc import Callable
from functools import partial
from typing import Any

from . import formulas
from .statistics import Calibration, Confusion, Decisions, LogLoss, Moments, PerRow, Scores, TopK

_AVERAGES = "macro", "micro", "weighted"
Possible = dict[str, tuple[Any, Callable[[Any], Any]]]    # a statistic, and a function of its sums


def possible(head: Any, units: int) -> Possible:
    """Return the metrics of a head that is built, ``{name: (statistic, function of its sums)}``."""
    kind = head.answers
    if kind in ("classes", "ranks"):
        return _of_classes(head.K if kind == "ranks" else max(2, units))
    if kind == "labels":
        return _of_labels(units)
    if kind == "numbers":
        return {name: (Moments(), getattr(formulas, name)) for name in ("mae", "mse", "rmse", "r2")}
    return {}


def _of_classes(K):
    confusion, scores = Confusion(), Scores()
    found: Possible = {"accuracy": (confusion, formulas.accuracy),
             "balanced_accuracy": (confusion, formulas.balanced_accuracy)}
    for name, score in formulas.SCORES.items():
        if K == 2:
            found[name] = confusion, partial(formulas.of_one_class, score)
        found |= {f"{name}_{average}": (confusion, partial(formulas.over_classes, score, average))
                  for average in _AVERAGES}
    found["roc_auc"] = scores, partial(formulas.areas, K)
    if K > 2:
        found |= {"roc_auc_ovr": found["roc_auc"],
                  "roc_auc_ovo": (scores, partial(formulas.areas_of_pairs, K)),
                  "top_k_accuracy": (TopK(2), formulas.ratio_of_sums),
                  **{f"top_{k}_accuracy": (TopK(k), formulas.ratio_of_sums) for k in range(1, K)}}
    return found | {"log_loss": (LogLoss(), formulas.ratio_of_sums),
                    "expected_calibration_error": (Calibration(), formulas.calibration_error),
                    "quadratic_kappa": (confusion, formulas.quadratic_kappa)}


def _of_labels(K):
    decisions, rows = Decisions(), PerRow()
    found: Possible = {}
    for name, score in formulas.SCORES.items():
        found |= {f"{name}_{average}": (decisions, partial(formulas.over_labels, score, average))
                  for average in _AVERAGES}
        found[f"{name}_samples"] = rows, partial(formulas.mean_over_rows, name)
    return {"exact_match": (rows, partial(formulas.mean_over_rows, "right")),
            "hamming_loss": (rows, partial(formulas.mean_over_rows, "wrong")), **found,
            "roc_auc": (Scores(), partial(formulas.areas, K)),
            "log_loss": (LogLoss(), formulas.ratio_of_sums)}
