"""Checks of what the functions of `losses` take: predictions, masks and weights."""
import numpy as np

from . import targets
from .checks import near_one


def as_predictions(y_pred):
    p = targets.as_numeric("y_pred", y_pred)
    if p.size == 0 or p.ndim == 0:
        raise ValueError(f"y_pred: got shape {p.shape}, expected (N,), (N, K) or (N, T, K) with at least one "
                         "number")
    return np.ascontiguousarray(p, np.float32 if p.dtype == np.float32 else np.float64)


def split_masked(values):
    """Return the numbers of a masked array and which of them count; of anything else itself and None."""
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.getdata(values), ~np.ma.getmaskarray(values)
    return values, None


def _filled(values):
    return values.filled(0) if isinstance(values, np.ma.MaskedArray) else values


def check_numbers(y_true, y_pred, mask):
    """Return targets and predictions number by number, (..., K), and which of them count; None for all.

    Those that don't are replaced by harmless ones.
    """
    (y, y_counts), (p, p_counts) = split_masked(y_true), split_masked(y_pred)
    y, p = targets.as_numeric("y_true", y), as_predictions(p)
    if y.shape != p.shape:
        raise ValueError(f"y_true: got shape {y.shape}, expected {p.shape}, as y_pred has it"
                         f"{_shape_hint(y.shape, p.shape)}")
    counts = _all_of(check_mask(mask, p.shape), y_counts, p_counts)
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


def check_rows(y_true, y_pred, mask):
    """Return targets (any numbers), predictions (..., K), and which rows count, None for all.

    The predictions of the others are replaced by harmless ones. A row with a masked number does not count.
    """
    (y, y_counts), (p, p_counts) = split_masked(y_true), split_masked(y_pred)
    y, p = targets.as_numeric("y_true", y), as_predictions(p)
    if p.ndim == 1:
        raise ValueError(f"y_pred: got shape {p.shape}, expected rows of predictions (N, K) or (N, T, K)")
    given = [m.all(axis=-1) if m.shape == p.shape else m for m in (y_counts, p_counts) if m is not None]
    counts = _all_of(check_mask(mask, p.shape[:-1]), *(m for m in given if m.shape == p.shape[:-1]))
    if counts is not None:
        p = np.where(counts[..., None], p, p.dtype.type(1 / p.shape[-1]))
    return y, p, counts


def _all_of(*masks):
    """Return where all masks are True, None where all are None; ValueError where that is nowhere."""
    given = [m for m in masks if m is not None]
    if not given:
        return None
    counts = np.logical_and.reduce(given)
    if not counts.any():
        raise ValueError("mask: got only False, expected at least one place that counts; what is masked in "
                         "y_true or y_pred does not")
    return counts


def check_mask(mask, shape):
    """Return the mask, checked, as bool of this shape; None for None."""
    if mask is None:
        return None
    m = targets.as_numeric("mask", _filled(mask))
    if m.ndim == 0 or m.shape != shape[:m.ndim]:
        expected = " or ".join(str(shape[:n]) for n in range(1, len(shape) + 1))
        raise ValueError(f"mask: got shape {m.shape}, expected {expected}")
    if not np.isin(m, (0, 1)).all():
        raise ValueError("mask: got numbers other than 0 and 1, expected True for what counts and False for "
                         "what doesn't; for anything between use sample_weight")
    return np.broadcast_to(m.astype(bool).reshape(m.shape + (1,) * (len(shape) - m.ndim)), shape)


def check_class_numbers(y, p, counts, classes, more):
    """Return the class numbers ``y`` of the rows of ``p`` as int64, those that don't count as 0."""
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


def check_example_weights(sample_weight, values, only_ratios):
    """Return the weights, checked, in the shape and dtype of the values; near 1 if only the ratios count."""
    if sample_weight is None:
        return np.ones_like(values)
    w = targets.as_numeric("sample_weight", _filled(sample_weight))
    if w.ndim == 0 or w.shape != values.shape[:w.ndim]:
        raise ValueError(f"sample_weight: got shape {w.shape}, expected {values.shape}, a weight for each "
                         "example")
    if not np.isfinite(w).all() or w.min() < 0:
        raise ValueError("sample_weight: got a negative number, NaN or infinity, expected finite, "
                         "non-negative numbers")
    if w.max() == 0:
        raise ValueError("sample_weight: got only zeros, expected at least one positive weight")
    w = near_one(w) if only_ratios else w
    if w.max() > np.finfo(values.dtype).max:
        raise ValueError(f"sample_weight: got {w.max():g}, expected at most "
                         f"{np.finfo(values.dtype).max:.3g} for predictions of {values.dtype}")
    return np.broadcast_to(w.reshape(w.shape + (1,) * (values.ndim - w.ndim)),
                           values.shape).astype(values.dtype)
