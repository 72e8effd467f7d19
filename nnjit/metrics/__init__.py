"""Metrics beside the loss, by scikit-learn's names, exact over an epoch however it was cut into batches.

Each is scikit-learn's function of the targets, of what `predict` or `predict_proba` returns, and of the
weights. What it is computed from is added up batch by batch: counts of classes, moments of errors; or all
scores are kept, for areas under curves. Rows count as much as in the loss.

============================  ==============================================================================
one of K classes, a question  accuracy, balanced_accuracy, log_loss, expected_calibration_error (of 15 bins),
                              quadratic_kappa (all K classes count), roc_auc; precision, recall and f1, each
                              with _macro, _micro or _weighted behind it, and for 2 classes as it is;
                              for more top_k_accuracy (k = 2), top_3_accuracy and the like, roc_auc_ovr,
                              which is roc_auc, and roc_auc_ovo
labels                        exact_match (scikit-learn's accuracy_score), hamming_loss, roc_auc, log_loss
                              (means over the labels); precision, recall and f1 with _macro, _micro,
                              _weighted or _samples
numbers                       mae, mse, rmse, r2; of several units the mean
ranks                         mae, and what there is for classes
============================  ==============================================================================
"""
from .measured import Asked, Metrics

__all__ = ["Asked", "Metrics"]
