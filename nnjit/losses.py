"""The losses as plain functions of targets and predictions, under the names that they have in TensorFlow and Keras.

The heads compute the same from logits while they train; here a loss can be looked at by itself, and in the form in
which it is met elsewhere. From logits a loss is exact. From probabilities it saturates: they are held between 1e-7
and 1 - 1e-7, as Keras holds them, so that no cross-entropy is above 16.12 (15.94 for a float32 near 1), however wrong
the prediction.

``y_pred`` is (N,), an example each number; (N, K), an example each row; or (N, T, K), with a value for each of the T
steps of N sequences. A float32 array is computed in float32, anything else in float64. All functions take

sample_weight : array_like, (N,) or as the values, optional
    From 0 on. A place of weight 0 counts for nothing, whatever is predicted there.
mask : array_like of bool, (N,), (N, T) or as ``y_pred``, optional
    False for what does not count, such as the padding of sequences, whatever it holds: neither in the loss nor in
    what it is divided by. With a mask of the shape of ``y_pred`` a row's mean is over the numbers that count. What is
    left out has the value 0.
reduction : None, "sum" or "mean"
    The value of every example (N,) or step (N, T), multiplied by its weight; their sum; or the mean over all that
    counts, sum w l / sum w. For None an array, else a float.

and raise TypeError where something holds no real numbers, ValueError where shapes do not agree (nothing is
broadcast), values are out of range, all is masked, or all weights are 0.
"""
import warnings

import numpy as np

from . import targets as check
from .inputs.checks import check_real
from .kernels import activations, likelihoods

EPSILON = 1e-7    # probabilities are held this far from 0 and 1, as by keras.config.epsilon()


# ---- numbers --------------------------------------------------------------------------------------------------------

def mean_squared_error(y_true, y_pred, *, sample_weight=None, mask=None, reduction=None):
    """Return the mean over K of (y_pred - y_true)². The loss of `Gaussian`; keras.losses.mean_squared_error.

    Parameters
    ----------
    y_true, y_pred : array_like, (N,), (N, K) or (N, T, K)
    sample_weight, mask, reduction
        See the module.

    Returns
    -------
    ndarray or float

    Examples
    --------
    >>> mean_squared_error([[0, 1], [0, 0]], [[1, 1], [1, 0]])
    array([0.5, 0.5])
    """
    y, p, counts = _numbers(y_true, y_pred, mask)
    return _over_units(_elements(likelihoods.squared_error, y, p), counts, sample_weight, reduction)


def mean_absolute_error(y_true, y_pred, *, sample_weight=None, mask=None, reduction=None):
    """Return the mean over K of |y_pred - y_true|. The loss of `Laplace`; keras.losses.mean_absolute_error.

    Parameters and returned value as of `mean_squared_error`.
    """
    y, p, counts = _numbers(y_true, y_pred, mask)
    return _over_units(_elements(likelihoods.absolute_error, y, p), counts, sample_weight, reduction)


def huber(y_true, y_pred, delta=1.0, *, sample_weight=None, mask=None, reduction=None):
    """Return the mean over K of e² / 2 where |e| <= delta, else delta |e| - delta² / 2, with e = y_pred - y_true.

    The loss of `Huber`; keras.losses.huber. Other parameters and returned value as of `mean_squared_error`.

    Parameters
    ----------
    delta : float
        Above 0.
    """
    delta = check_real("delta", delta, closed="()")
    y, p, counts = _numbers(y_true, y_pred, mask)
    return _over_units(_elements(likelihoods.huber, y, p, delta), counts, sample_weight, reduction)


def poisson(y_true, y_pred, *, sample_weight=None, mask=None, reduction=None):
    """Return the mean over K of rate - y log rate, which is -log p(y) less log y!, for rates ``y_pred``.

    The loss of `Poisson`, which has it from logits; keras.losses.poisson. A rate below 1e-7 counts as 1e-7 in the
    logarithm. Parameters and returned value as of `mean_squared_error`; both arrays from 0 on.
    """
    y, rate, counts = _numbers(y_true, y_pred, mask)
    check.counts("y_true", y)
    if (rate < 0).any():
        raise ValueError(f"y_pred: got {np.nanmin(rate):g}, expected rates, from 0 on; for logits z give np.exp(z)")
    return _over_units(rate - y * np.log(np.maximum(rate, EPSILON)), counts, sample_weight, reduction)


def mean_pairwise_squared_error(y_true, y_pred, *, sample_weight=None, mask=None, reduction=None):
    """Return the mean over all pairs of a row's errors e = y_pred - y_true of (e_i - e_j)².

    Blind to an error that all of a row have in common. tf.compat.v1.losses.mean_pairwise_squared_error; computed as
    twice the sample variance of a row's errors, which is the same. Parameters and returned value as of
    `mean_squared_error`, with K at least 2; a row of which a mask leaves less than two numbers counts for nothing.
    """
    y, p, counts = _numbers(y_true, y_pred, mask)
    K = p.shape[-1]
    if K < 2:
        raise ValueError(f"y_pred: got shape {np.shape(y_pred)}, expected rows of at least 2 numbers to make pairs of")
    inside = np.ones(p.shape, bool) if counts is None else counts
    n = inside.sum(axis=-1, keepdims=True)
    error = np.where(inside, p - y, 0)
    deviation = np.where(inside, error - error.sum(axis=-1, keepdims=True) / np.maximum(n, 1), 0)
    values = 2 * (deviation**2).sum(axis=-1) / np.maximum(n[..., 0] - 1, 1)
    return _reduce(values, np.where(n[..., 0] > 1, n[..., 0] / K, 0), sample_weight, reduction)


# ---- yes or no ------------------------------------------------------------------------------------------------------

def binary_crossentropy(y_true, y_pred, from_logits=False, *, sample_weight=None, mask=None, reduction=None):
    """Return the mean over K of -y log p - (1 - y) log(1 - p).

    The loss of `Bernoulli`; keras.losses.binary_crossentropy. From probabilities it saturates at 16.12, where p is 0
    or 1 and wrong; from logits it does not.

    Parameters
    ----------
    y_true : array_like, (N,), (N, K) or (N, T, K)
        0 and 1, or probabilities between them.
    y_pred : array_like, of the same shape
        Probabilities, or logits.
    from_logits : bool
    sample_weight, mask, reduction
        See the module.

    Returns
    -------
    ndarray or float

    Examples
    --------
    >>> binary_crossentropy([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]).round(3)
    array([0.916, 0.714])
    """
    y, p, counts = _numbers(y_true, y_pred, mask)
    check.answers("y_true", y)
    if from_logits:
        losses = _elements(likelihoods.bernoulli, y, p, y)
    else:
        _check_probabilities(p)
        p = np.clip(p, EPSILON, 1 - EPSILON)
        losses = -(y * np.log(p) + (1 - y) * np.log1p(-p))
    return _over_units(losses, counts, sample_weight, reduction)


def sigmoid_crossentropy_with_logits(y_true, logits, *, sample_weight=None, mask=None, reduction=None):
    """Return `binary_crossentropy` from logits: the mean over K of y log(1 + e^-z) + (1 - y) log(1 + e^z).

    tf.nn.sigmoid_cross_entropy_with_logits, which takes no mean over K. Parameters and returned value as there.
    """
    return binary_crossentropy(y_true, logits, True, sample_weight=sample_weight, mask=mask, reduction=reduction)


# ---- one of K -------------------------------------------------------------------------------------------------------

def categorical_crossentropy(y_true, y_pred, from_logits=False, *, sample_weight=None, mask=None, reduction=None):
    """Return -sum_k y_k log p_k. The loss of `Categorical`; keras.losses.categorical_crossentropy.

    From probabilities it saturates at 16.12, where p is 0 for what is true; from logits it does not.

    Parameters
    ----------
    y_true : array_like, (N, K) or (N, T, K)
        Rows of probabilities, one-hot or soft.
    y_pred : array_like, of the same shape, K at least 2
        Rows of probabilities, or of logits.
    from_logits : bool
    sample_weight, mask, reduction
        See the module.

    Returns
    -------
    ndarray or float

    Warns
    -----
    UserWarning
        The logits are probabilities, by the look of them.

    Examples
    --------
    >>> categorical_crossentropy([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]).round(4)
    array([0.0513, 2.3026])
    """
    p, places = _rows(y_pred, mask)
    y = check.numbers("y_true", y_true)
    if y.shape != p.shape:
        hint = "; for class numbers use sparse_categorical_crossentropy" if y.shape == p.shape[:-1] else ""
        raise ValueError(f"y_true: got shape {y.shape}, expected {p.shape}, as y_pred has it{hint}")
    if places is not None:
        y = np.where(places[..., None], y, 1 / p.shape[-1])
    check.distributions("y_true", y)
    values = -(y.astype(p.dtype) * _log_probabilities(p, from_logits)).sum(axis=-1)
    return _reduce(values, places, sample_weight, reduction)


def softmax_crossentropy_with_logits(y_true, logits, *, sample_weight=None, mask=None, reduction=None):
    """Return `categorical_crossentropy` from logits: -sum_k y_k (z_k - log sum_j e^z_j).

    tf.nn.softmax_cross_entropy_with_logits. Parameters, warning and returned value as there.
    """
    return categorical_crossentropy(y_true, logits, True, sample_weight=sample_weight, mask=mask, reduction=reduction)


def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, *, sample_weight=None, mask=None,
                                    reduction=None):
    """Return -log p_y for class numbers y: `categorical_crossentropy` of their one-hot rows.

    keras.losses.sparse_categorical_crossentropy. Saturation, warning, other parameters and returned value as there.

    Parameters
    ----------
    y_true : array_like, (N,) or (N, T)
        Class numbers 0 .. K - 1.
    """
    p, places = _rows(y_pred, mask)
    y = _class_numbers(y_true, p, places, p.shape[-1], "y_pred takes {} columns")
    log_p = _log_probabilities(p, from_logits)
    return _reduce(-np.take_along_axis(log_p, y[..., None], axis=-1)[..., 0], places, sample_weight, reduction)


def sparse_softmax_crossentropy_with_logits(y_true, logits, *, sample_weight=None, mask=None, reduction=None):
    """Return `sparse_categorical_crossentropy` from logits: log sum_j e^z_j - z_y.

    tf.nn.sparse_softmax_cross_entropy_with_logits. Parameters, warning and returned value as there.
    """
    return sparse_categorical_crossentropy(y_true, logits, True, sample_weight=sample_weight, mask=mask,
                                           reduction=reduction)


# ---- ordered classes ------------------------------------------------------------------------------------------------

def ordinal_crossentropy(y_true, logits, *, sample_weight=None, mask=None, reduction=None):
    """Return the sum over k of the binary cross-entropies of p(y > k) = sigmoid(logits_k) and [y > k].

    The loss of `Ordinal`. Source: W. Cao, V. Mirjalili, S. Raschka, "Rank consistent ordinal regression for neural
    networks with application to age estimation", Pattern Recognition Letters 140, 2020.

    Parameters
    ----------
    y_true : array_like, (N,) or (N, T)
        Class numbers 0 .. K - 1.
    logits : array_like, (N, K - 1) or (N, T, K - 1)
        Score + cut point k, for k = 0 .. K - 2.
    sample_weight, mask, reduction
        See the module.

    Returns
    -------
    ndarray or float
    """
    z, places = _rows(logits, mask)
    cuts = z.shape[-1]
    y = _class_numbers(y_true, z, places, cuts + 1, "y_pred takes a column less")
    above = (y[..., None] > np.arange(cuts)).astype(z.dtype)
    return _reduce(_elements(likelihoods.bernoulli, above, z, above).sum(axis=-1), places, sample_weight, reduction)


# ---- what goes in ---------------------------------------------------------------------------------------------------

def _predictions(y_pred):
    p = check.numbers("y_pred", y_pred)
    if p.size == 0 or p.ndim == 0:
        raise ValueError(f"y_pred: got shape {p.shape}, expected (N,), (N, K) or (N, T, K) with at least one number")
    return np.ascontiguousarray(p, np.float32 if p.dtype == np.float32 else np.float64)


def _numbers(y_true, y_pred, mask):
    """Return targets and predictions number by number, (..., K), and which of them count; None for all.

    Those that don't are replaced by harmless ones.
    """
    y, p = check.numbers("y_true", y_true), _predictions(y_pred)
    if y.shape != p.shape:
        raise ValueError(f"y_true: got shape {y.shape}, expected {p.shape}, as y_pred has it{_hint(y.shape, p.shape)}")
    counts = _places(mask, p.shape)
    if p.ndim == 1:
        y, p, counts = y[:, None], p[:, None], None if counts is None else counts[:, None]
    if counts is not None:
        y, p = np.where(counts, y, 0), np.where(counts, p, p.dtype.type(0.5))
    return check.finite("y_true", y, p.dtype), p, counts


def _hint(y, p):
    if y[:-1] == p and y[-1] == 1:
        return ", and no number is taken twice; give y_true[..., 0]"
    if p[:-1] == y and p[-1] == 1:
        return ", and no number is taken twice; give y_pred[..., 0]"
    return ""


def _rows(y_pred, mask):
    """Return the predictions (..., K), and which rows count, None for all; those that don't are made harmless."""
    p = _predictions(y_pred)
    if p.ndim == 1:
        raise ValueError(f"y_pred: got shape {p.shape}, expected rows of predictions (N, K) or (N, T, K)")
    places = _places(mask, p.shape[:-1])
    if places is not None:
        p = np.where(places[..., None], p, p.dtype.type(1 / p.shape[-1]))
    return p, places


def _places(mask, shape):
    """Return the mask, checked, as bool of this shape; None for None."""
    if mask is None:
        return None
    m = check.numbers("mask", mask)
    if m.ndim == 0 or m.shape != shape[:m.ndim]:
        expected = " or ".join(str(shape[:n]) for n in range(1, len(shape) + 1))
        raise ValueError(f"mask: got shape {m.shape}, expected {expected}")
    if not np.isin(m, (0, 1)).all():
        raise ValueError("mask: got numbers other than 0 and 1, expected True for what counts and False for what "
                         "doesn't; for anything between use sample_weight")
    if not m.any():
        raise ValueError("mask: got False alone, expected at least one place that counts")
    return np.broadcast_to(m.astype(bool).reshape(m.shape + (1,) * (len(shape) - m.ndim)), shape)


def _class_numbers(y_true, p, places, classes, more):
    y = check.numbers("y_true", y_true)
    if y.shape != p.shape[:-1]:
        hint = "; for one-hot rows use categorical_crossentropy" if y.shape == p.shape else _hint(y.shape, p.shape[:-1])
        raise ValueError(f"y_true: got shape {y.shape}, expected class numbers of shape {p.shape[:-1]}{hint}")
    return check.labels("y_true", y if places is None else np.where(places, y, 0), classes, more)


def _check_probabilities(p):
    if (p < 0).any() or (p > 1).any():
        raise ValueError(f"y_pred: got {p[(p < 0) | (p > 1)][0]:g}, expected probabilities in 0 .. 1; for logits give "
                         "from_logits=True")


def _log_probabilities(p, from_logits):
    """Return log p of rows (..., K) of probabilities or logits."""
    K = p.shape[-1]
    if K < 2:
        raise ValueError("y_pred: got one column, expected one for each class, at least 2; the softmax of one number "
                         "is always 1, it always answers class 0: use binary_crossentropy")
    if from_logits:
        if _are_distributions(p) and (p >= 0).all():
            warnings.warn("y_pred: the logits are in 0 .. 1 with the sum 1 in each row, as probabilities are; for "
                          "those give from_logits=False, for logits leave out the softmax", stacklevel=3)
        log_p = np.empty_like(p)
        activations.log_softmax(p.reshape(-1, K), log_p.reshape(-1, K))
        return log_p
    _check_probabilities(p)
    if not _are_distributions(p):
        raise ValueError("y_pred: got rows that do not sum to 1, expected probabilities; for logits give "
                         "from_logits=True, for independent sigmoids use binary_crossentropy")
    return np.log(np.clip(p, EPSILON, 1 - EPSILON))


def _are_distributions(p):
    return not (abs(p.sum(axis=-1) - 1) > 1e-3).any()    # a NaN stays to be seen in the loss


# ---- what comes out -------------------------------------------------------------------------------------------------

def _elements(kernel, y, p, *parameter):
    """Return the loss of every number, of the shape of y and p, from a kernel that also gives a delta."""
    losses, delta = np.empty_like(p), np.empty_like(p)
    kernel(p, y, *parameter, losses, delta)
    return losses


def _over_units(losses, counts, sample_weight, reduction):
    """Take the mean over K of losses (..., K), of those that count, and reduce the examples."""
    if counts is None:
        return _reduce(losses.mean(axis=-1), None, sample_weight, reduction)
    n = counts.sum(axis=-1)
    values = np.where(counts, losses, 0).sum(axis=-1) / np.maximum(n, 1).astype(losses.dtype)
    return _reduce(values, n / counts.shape[-1], sample_weight, reduction)


def _reduce(values, shares, sample_weight, reduction):
    """Weigh the values and reduce them. ``shares`` says how much of each counts, from 0 to 1; None is 1 for all."""
    if reduction not in (None, "sum", "mean"):
        raise ValueError(f"reduction: got {reduction!r}, expected None, 'sum' or 'mean'")
    w = _weights(sample_weight, values)
    if shares is None:
        shares = np.ones(values.shape)
    weighted = np.where((w > 0) & (shares > 0), values, 0) * w
    if reduction is None:
        return weighted
    if reduction == "sum":
        return float(weighted.sum(dtype=np.float64))
    weight = (w * shares).sum(dtype=np.float64)
    if weight == 0:
        raise ValueError("sample_weight: got zeros alone for what counts, expected at least one positive weight")
    return float((weighted * shares).sum(dtype=np.float64) / weight)


def _weights(sample_weight, values):
    """Return the weights, checked, in the shape and dtype of the values."""
    if sample_weight is None:
        return np.ones_like(values)
    w = check.numbers("sample_weight", sample_weight)
    if w.ndim == 0 or w.shape != values.shape[:w.ndim]:
        raise ValueError(f"sample_weight: got shape {w.shape}, expected {values.shape}, a weight for each example")
    if not np.isfinite(w).all() or w.min() < 0:
        raise ValueError("sample_weight: got a negative number, NaN or infinity, expected finite numbers from 0 on")
    if w.max() == 0:
        raise ValueError("sample_weight: got zeros alone, expected at least one positive weight")
    return np.broadcast_to(w.reshape(w.shape + (1,) * (values.ndim - w.ndim)), values.shape).astype(values.dtype)
