"""The losses as plain functions of targets and predictions, named as in TensorFlow and Keras.

The heads compute the same from logits while they train; here a loss can be looked at by itself, and in the
form in which it is met elsewhere. From logits a loss is exact. From probabilities it saturates: they are held
between 1e-7 and 1 - 1e-7, as Keras holds them, so that no cross-entropy is above 16.12, however wrong the
prediction. A prediction that is NaN or infinite is seen in the loss, which then is no finite number.

``y_pred`` is (N,), an example each number; (N, K), an example each row; or (N, T, K), with a value for each
of the T steps of N sequences. A float32 array is computed in float32, anything else in float64. All functions
take

sample_weight : array_like, (N,) or as the values, optional
    Non-negative. A place of weight 0 counts for nothing, whatever is predicted there.
mask : array_like of bool, (N,), (N, T) or as ``y_pred``, optional
    False for what does not count, such as the padding of sequences, whatever it holds: neither in the loss
    nor in what it is divided by. With a mask of the shape of ``y_pred`` a row's mean is over the numbers that
    count. What is left out has the value 0. Where y_true or y_pred are masked arrays of NumPy, what is masked
    does not count either, and of classes no row with a masked number; a masked weight is 0.
reduction : None, "sum" or "mean"
    The value of every example (N,) or step (N, T), multiplied by its weight; their sum; or the mean over all
    that counts, sum w l / sum w. For None an array, else a float.

and raise TypeError where something holds no real numbers, ValueError where shapes do not agree (nothing is
broadcast), values are out of range, all is masked, or all weights are 0.
"""
import math

import numpy as np
from numpy.typing import ArrayLike

from ._numba.warning import warn
from .inputs import predictions, targets
from .inputs.checks import check_real
from .kernels import losses as loss_kernels
from .kernels import softmax

_Loss = np.ndarray | float
EPSILON = 1e-7    # probabilities are held this far from 0 and 1, as by keras.config.epsilon()


# ---- numbers -----------------------------------------------------------------------------------------------

def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike, *,
                       sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None,
                       reduction: str | None = None) -> _Loss:
    """Return the mean over K of (y_pred - y_true)². The loss of `Gaussian`; keras.losses.mean_squared_error.

    Parameters
    ----------
    y_true, y_pred : array_like, (N,), (N, K) or (N, T, K)

    Examples
    --------
    >>> mean_squared_error([[0, 1], [0, 0]], [[1, 1], [1, 0]])
    array([0.5, 0.5])
    """
    y, p, counts = predictions.check_numbers(y_true, y_pred, mask)
    return _over_units(_elements(loss_kernels.squared_error, y, p), counts, sample_weight, reduction)


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike, *,
                        sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None,
                        reduction: str | None = None) -> _Loss:
    """Return the mean over K of |y_pred - y_true|. The loss of `Laplace`; keras.losses.mean_absolute_error.

    Parameters and returned value as of `mean_squared_error`.
    """
    y, p, counts = predictions.check_numbers(y_true, y_pred, mask)
    return _over_units(_elements(loss_kernels.absolute_error, y, p), counts, sample_weight, reduction)


def huber(y_true: ArrayLike, y_pred: ArrayLike, delta: float = 1.0, *,
          sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None,
          reduction: str | None = None) -> _Loss:
    """Return the mean over K of e² / 2 where |e| <= delta, else delta |e| - delta² / 2; e = y_pred - y_true.

    The loss of `Huber`; keras.losses.huber. Other parameters and returned value as of `mean_squared_error`.

    Parameters
    ----------
    delta : float
        Above 0.
    """
    delta = check_real("delta", delta, closed="()")
    y, p, counts = predictions.check_numbers(y_true, y_pred, mask)
    return _over_units(_elements(loss_kernels.huber, y, p, delta), counts, sample_weight, reduction)


def poisson(y_true: ArrayLike, y_pred: ArrayLike, *,
            sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None,
            reduction: str | None = None) -> _Loss:
    """Return the mean over K of rate - y log rate, which is -log p(y) less log y!, for rates ``y_pred``.

    The loss of `Poisson`, which has it from logits; keras.losses.poisson. A rate below 1e-7 counts as 1e-7 in
    the logarithm. Parameters and returned value as of `mean_squared_error`; both arrays non-negative.
    """
    y, rate, counts = predictions.check_numbers(y_true, y_pred, mask)
    targets.check_non_negative("y_true", y)
    if (rate < 0).any():
        raise ValueError(f"y_pred: got {np.nanmin(rate):g}, expected non-negative rates; for logits z give "
                         "np.exp(z)")
    with _quiet():
        values = rate - y * np.log(np.maximum(rate, EPSILON))
    return _over_units(values, counts, sample_weight, reduction)


def mean_pairwise_squared_error(y_true: ArrayLike, y_pred: ArrayLike, *,
                                sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None,
                                reduction: str | None = None) -> _Loss:
    """Return the mean over all pairs of a row's errors e = y_pred - y_true of (e_i - e_j)².

    Blind to an error that all of a row have in common. tf.compat.v1.losses.mean_pairwise_squared_error;
    computed as twice the sample variance of a row's errors, which is the same. Parameters and returned value
    as of `mean_squared_error`, with K at least 2; a row of which a mask leaves less than two numbers counts
    for nothing.
    """
    y, p, counts = predictions.check_numbers(y_true, y_pred, mask)
    K = p.shape[-1]
    if K < 2:
        raise ValueError(f"y_pred: got shape {np.shape(y_pred)}, expected rows of at least 2 numbers to make "
                         "pairs of")
    inside = np.ones(p.shape, bool) if counts is None else counts
    n = inside.sum(axis=-1, keepdims=True)
    with _quiet():
        error = np.where(inside, p - y, 0)
        deviation = np.where(inside, error - error.sum(axis=-1, keepdims=True) / np.maximum(n, 1), 0)
        values = 2 * (deviation**2).sum(axis=-1) / np.maximum(n[..., 0] - 1, 1)
    return _reduce(values, np.where(n[..., 0] > 1, n[..., 0] / K, 0), sample_weight, reduction)


# ---- yes or no ---------------------------------------------------------------------------------------------

def binary_crossentropy(y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, *,
                        sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None,
                        reduction: str | None = None) -> _Loss:
    """Return the mean over K of -y log p - (1 - y) log(1 - p).

    The loss of `Bernoulli`; keras.losses.binary_crossentropy. From probabilities it saturates at 16.12, where
    p is 0 or 1 and wrong; from logits it does not.

    Parameters
    ----------
    y_true : array_like, (N,), (N, K) or (N, T, K)
        0 and 1, or probabilities between them.
    y_pred : array_like, of the same shape
        Probabilities; with ``from_logits`` logits.

    Examples
    --------
    >>> binary_crossentropy([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]).round(3)
    array([0.916, 0.714])
    """
    y, p, counts = predictions.check_numbers(y_true, y_pred, mask)
    targets.check_binary("y_true", y)
    if from_logits:
        losses = _elements(loss_kernels.bernoulli, y, p, y)
    else:
        predictions.check_probabilities(p)
        with _quiet():
            losses = -(y * _held(np.log(p)) + (1 - y) * _held(np.log1p(-p)))
    return _over_units(losses, counts, sample_weight, reduction)


def sigmoid_crossentropy_with_logits(y_true: ArrayLike, logits: ArrayLike, *,
                                     sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None,
                                     reduction: str | None = None) -> _Loss:
    """Return `binary_crossentropy` from logits: the mean over K of y log(1 + e^-z) + (1 - y) log(1 + e^z).

    tf.nn.sigmoid_cross_entropy_with_logits, which takes no mean over K. Parameters and returned value as
    there.
    """
    return binary_crossentropy(y_true, logits, True, sample_weight=sample_weight, mask=mask,
                               reduction=reduction)


# ---- one of K ----------------------------------------------------------------------------------------------

def categorical_crossentropy(y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, *,
                             sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None,
                             reduction: str | None = None) -> _Loss:
    """Return -sum_k y_k log p_k. The loss of `Categorical`; keras.losses.categorical_crossentropy.

    From probabilities it saturates at 16.12, where p is 0 for what is true; from logits it does not.

    Parameters
    ----------
    y_true : array_like, (N, K) or (N, T, K)
        Rows of probabilities, one-hot or soft.
    y_pred : array_like, of the same shape, K at least 2
        Rows of probabilities; with ``from_logits`` of logits.

    Warns
    -----
    UserWarning
        The logits are probabilities, by the look of them.

    Examples
    --------
    >>> categorical_crossentropy([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]).round(4)
    array([0.0513, 2.3026])
    """
    y, p, counts = predictions.check_rows(y_true, y_pred, mask)
    if y.shape != p.shape:
        hint = "; for class numbers use sparse_categorical_crossentropy" if y.shape == p.shape[:-1] else ""
        raise ValueError(f"y_true: got shape {y.shape}, expected {p.shape}, as y_pred has it{hint}")
    if counts is not None:
        y = np.where(counts[..., None], y, 1 / p.shape[-1])
    targets.check_distributions("y_true", y)
    y, log_p = y.astype(p.dtype), _log_probabilities(p, from_logits)
    log_p[(y == 0) & np.isinf(log_p)] = 0    # what is not true adds nothing, however unlikely it was
    return _reduce(-(y * log_p).sum(axis=-1), counts, sample_weight, reduction)


def softmax_crossentropy_with_logits(y_true: ArrayLike, logits: ArrayLike, *,
                                     sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None,
                                     reduction: str | None = None) -> _Loss:
    """Return `categorical_crossentropy` from logits: -sum_k y_k (z_k - log sum_j e^z_j).

    tf.nn.softmax_cross_entropy_with_logits. Parameters, warning and returned value as there.
    """
    return categorical_crossentropy(y_true, logits, True, sample_weight=sample_weight, mask=mask,
                                    reduction=reduction)


def sparse_categorical_crossentropy(y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, *,
                                    sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None,
                                    reduction: str | None = None) -> _Loss:
    """Return -log p_y for class numbers y: `categorical_crossentropy` of their one-hot rows.

    keras.losses.sparse_categorical_crossentropy. Saturation, warning, other parameters and returned value as
    there.

    Parameters
    ----------
    y_true : array_like, (N,) or (N, T)
        Class numbers 0 .. K - 1.
    """
    y, p, counts = predictions.check_rows(y_true, y_pred, mask)
    y = predictions.check_class_numbers(y, p, counts, p.shape[-1], "y_pred takes {} columns")
    log_p = _log_probabilities(p, from_logits)
    return _reduce(-np.take_along_axis(log_p, y[..., None], axis=-1)[..., 0], counts, sample_weight,
                   reduction)


def sparse_softmax_crossentropy_with_logits(y_true: ArrayLike, logits: ArrayLike, *,
                                            sample_weight: ArrayLike | None = None,
                                            mask: ArrayLike | None = None,
                                            reduction: str | None = None) -> _Loss:
    """Return `sparse_categorical_crossentropy` from logits: log sum_j e^z_j - z_y.

    tf.nn.sparse_softmax_cross_entropy_with_logits. Parameters, warning and returned value as there.
    """
    return sparse_categorical_crossentropy(y_true, logits, True, sample_weight=sample_weight, mask=mask,
                                           reduction=reduction)


# ---- ordered classes ---------------------------------------------------------------------------------------

def ordinal_crossentropy(y_true: ArrayLike, logits: ArrayLike, *,
                         sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None,
                         reduction: str | None = None) -> _Loss:
    """Return the sum over k of the binary cross-entropies of p(y > k) = sigmoid(logits_k) and [y > k].

    The loss of `Ordinal`. Source: W. Cao, V. Mirjalili, S. Raschka, "Rank consistent ordinal regression for
    neural networks with application to age estimation", Pattern Recognition Letters 140, 2020.

    Parameters
    ----------
    y_true : array_like, (N,) or (N, T)
        Class numbers 0 .. K - 1.
    logits : array_like, (N, K - 1) or (N, T, K - 1)
        Score + cut point k, for k = 0 .. K - 2.
    """
    y, z, counts = predictions.check_rows(y_true, logits, mask)
    cuts = z.shape[-1]
    y = predictions.check_class_numbers(y, z, counts, cuts + 1, "y_pred takes a column less")
    above = (y[..., None] > np.arange(cuts)).astype(z.dtype)
    return _reduce(_elements(loss_kernels.bernoulli, above, z, above).sum(axis=-1), counts, sample_weight,
                   reduction)


# ---- shared ------------------------------------------------------------------------------------------------

def _quiet():
    """Return a context without NumPy's warnings of what is not finite: the loss shows it."""
    return np.errstate(divide="ignore", over="ignore", invalid="ignore")


def _log_probabilities(p, from_logits):
    """Return log p of rows (..., K) of probabilities or logits."""
    K = p.shape[-1]
    if K < 2:
        raise ValueError("y_pred: got one column, expected one for each class, at least 2; the softmax of "
                         "one number is always 1, it always answers class 0: use binary_crossentropy")
    if from_logits:
        if predictions.are_distributions(p) and (p >= 0).all():
            warn("y_pred: the logits are in 0 .. 1 with the sum 1 in each row, as probabilities "
                 "are; for those give from_logits=False, for logits leave out the softmax")
        log_p = np.empty_like(p)
        softmax.log_softmax(p.reshape(-1, K), log_p.reshape(-1, K))
        return log_p
    predictions.check_probabilities(p)
    if not predictions.are_distributions(p):
        raise ValueError("y_pred: got rows that do not sum to 1, expected probabilities; for logits give "
                         "from_logits=True, for independent sigmoids use binary_crossentropy")
    with _quiet():
        return _held(np.log(p))


def _held(log_p):
    """Return log p as if p had been held between `EPSILON` and 1 - `EPSILON`, which float32 doesn't know."""
    return np.clip(log_p, math.log(EPSILON), math.log1p(-EPSILON))


def _elements(kernel, y, p, *parameter):
    """Return the loss of every number, of the shape of y and p, from a kernel that also gives a delta."""
    losses, delta = np.empty_like(p), np.empty_like(p)
    kernel(p, y, *parameter, losses, delta)
    return losses


def _over_units(losses, counts, sample_weight, reduction):
    """Take the mean over K of losses (..., K), of those that count, and reduce the examples."""
    with _quiet():
        if counts is None:
            return _reduce(losses.mean(axis=-1), None, sample_weight, reduction)
        n = counts.sum(axis=-1)
        values = np.where(counts, losses, 0).sum(axis=-1) / np.maximum(n, 1).astype(losses.dtype)
    return _reduce(values, n / counts.shape[-1], sample_weight, reduction)


def _reduce(values, fractions, sample_weight, reduction):
    """Weigh the values and reduce them. ``fractions`` says how much of each counts; None is all."""
    if reduction not in (None, "sum", "mean"):
        raise ValueError(f"reduction: got {reduction!r}, expected None, 'sum' or 'mean'")
    w = predictions.check_example_weights(sample_weight, values, only_ratios=reduction == "mean")
    if fractions is None:
        fractions = np.ones(values.shape)
    with _quiet():
        weighted = np.where((w > 0) & (fractions > 0), values, 0) * w
        if reduction is None:
            return weighted
        if reduction == "sum":
            return float(weighted.sum(dtype=np.float64))
        weight = (w * fractions).sum(dtype=np.float64)
        if weight == 0:
            raise ValueError("sample_weight: got only zeros for what counts, expected at least one positive "
                             "weight")
        return float((weighted * fractions).sum(dtype=np.float64) / weight)
