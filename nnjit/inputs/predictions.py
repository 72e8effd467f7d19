"""Checks of what the functions of `losses` take: predictions, masks and weights."""
import numpy as np

from . import targets


def as_predictions(y_pred):
    p = targets.as_numeric("y_pred", y_pred)
    if p.size == 0 or p.ndim == 0:
        raise ValueError(f"y_pred: got shape {p.shape}, expected (N,), (N, K) or (N, T, K) with at least one "
                         "number")
    return np.ascontiguousarray(p, np.float32 if p.dtype == np.float32 else np.float64)


def check_numbers(y_true, y_pred, mask):
    """Return targets and predictions number by number, (..., K), and which of them count; None for all.

    Those that don't are replaced by harmless ones.
    """
    y, p = targets.as_numeric("y_true", y_true), as_predictions(y_pred)
    if y.shape != p.shape:
        raise ValueError(f"y_true: got shape {y.shape}, expected {p.shape}, as y_pred has "
                         f"it{_shape_hint(y.shape, p.shape)}")
    counts = check_mask(mask, p.shape)
    if p.ndim == 1:
        y, p, counts = y[:, None], p[:, None], None if counts is None else counts[:, None]
    if counts is not None:
        y, p = np.where(counts, y, 0), np.where(counts, p, p.dtype.type(0.5))
    return targets.as_finite("y_true", y, p.dtype), p, counts


def _shape_hint(y, p):
    if y[:-1] == p and y[-1] == 1:
        return ", and no number is taken twice; give y_true[..., 0]"
    if p[:-1] == y and p[-1] == 1:
        return ", and no number is taken twice; give y_pred[..., 0]"
    return ""


def check_rows(y_pred, mask):
    """Return the predictions (..., K), and which rows count, None for all; the others are made harmless."""
    p = as_predictions(y_pred)
    if p.ndim == 1:
        raise ValueError(f"y_pred: got shape {p.shape}, expected rows of predictions (N, K) or (N, T, K)")
    counts = check_mask(mask, p.shape[:-1])
    if counts is not None:
        p = np.where(counts[..., None], p, p.dtype.type(1 / p.shape[-1]))
    return p, counts


def check_mask(mask, shape):
    """Return the mask, checked, as bool of this shape; None for None."""
    if mask is None:
        return None
    m = targets.as_numeric("mask", mask)
    if m.ndim == 0 or m.shape != shape[:m.ndim]:
        expected = " or ".join(str(shape[:n]) for n in range(1, len(shape) + 1))
        raise ValueError(f"mask: got shape {m.shape}, expected {expected}")
    if not np.isin(m, (0, 1)).all():
        raise ValueError("mask: got numbers other than 0 and 1, expected True for what counts and False for "
                         "what doesn't; for anything between use sample_weight")
    if not m.any():
        raise ValueError("mask: got only False, expected at least one place that counts")
    return np.broadcast_to(m.astype(bool).reshape(m.shape + (1,) * (len(shape) - m.ndim)), shape)


def check_class_numbers(y_true, p, counts, classes, more):
    y = targets.as_numeric("y_true", y_true)
    if y.shape != p.shape[:-1]:
        one_hot = "; for one-hot rows use categorical_crossentropy"
        hint = one_hot if y.shape == p.shape else _shape_hint(y.shape, p.shape[:-1])
        raise ValueError(f"y_true: got shape {y.shape}, expected class numbers of shape {p.shape[:-1]}{hint}")
    return targets.as_labels("y_true", y if counts is None else np.where(counts, y, 0), classes, more)


def check_probabilities(p):
    if (p < 0).any() or (p > 1).any():
        raise ValueError(f"y_pred: got {p[(p < 0) | (p > 1)][0]:g}, expected probabilities in 0 .. 1; for "
                         "logits give from_logits=True")


def are_distributions(p):
    return not (abs(p.sum(axis=-1) - 1) > 1e-3).any()    # a NaN stays to be seen in the loss


def check_example_weights(sample_weight, values):
    """Return the weights, checked, in the shape and dtype of the values."""
    if sample_weight is None:
        return np.ones_like(values)
    w = targets.as_numeric("sample_weight", sample_weight)
    if w.ndim == 0 or w.shape != values.shape[:w.ndim]:
        raise ValueError(f"sample_weight: got shape {w.shape}, expected {values.shape}, a weight for each "
                         "example")
    if not np.isfinite(w).all() or w.min() < 0:
        raise ValueError("sample_weight: got a negative number, NaN or infinity, expected finite, "
                         "non-negative numbers")
    if w.max() == 0:
        raise ValueError("sample_weight: got only zeros, expected at least one positive weight")
    return np.broadcast_to(w.reshape(w.shape + (1,) * (values.ndim - w.ndim)),
                           values.shape).astype(values.dtype)
