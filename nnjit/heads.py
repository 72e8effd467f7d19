"""The heads: what a network's output means.

We choose the head for what the network should predict; the rest follows. A head assumes how the targets y are
distributed, given the output z of the last layer (the logits). From that distribution come

activation
    what turns z into the distribution's parameter: a mean, a rate, a probability;
loss
    l = -log p(y), less what does not depend on z: the smaller, the likelier the targets are under the network;
delta
    dl/dz, with which the way back begins. Where activation and loss belong to one distribution it is the prediction
    less the target, or nearly so: it vanishes where the network is right, and nowhere else;
decision
    what is predicted where one answer is wanted.

A network whose head is chosen so is fitted by maximum likelihood: I. Goodfellow, Y. Bengio, A. Courville, "Deep
Learning", MIT Press, 2016, section 6.2; C. Bishop, "Pattern Recognition and Machine Learning", Springer, 2006,
section 5.2.

Everything is computed from z, so that no logit between -1e4 and 1e4 makes a loss or a delta infinite. Units whose
distributions are independent share the loss of their row: it is their mean. The loss of a batch is sum w l / sum w.

The graph calls ``prepare``, ``check_last_layer``, ``build`` and ``initialise`` before anything is computed, then
``targets``, ``loss_and_delta``, ``decide`` and ``probabilities``. ``settings`` names the attributes that a saved head
is made from again, ``shapes`` its own parameters, which the graph lays out, and ``metric`` what is counted beside the
loss.
"""
import inspect
import math
import warnings

import numpy as np

from . import targets as check
from .inputs.checks import check_count, check_real
from .kernels import activations, likelihoods


class _Head:
    """What the heads have in common. The output is flat, and there are no parameters, unless a head says otherwise."""

    settings, shapes = (), {}
    applies = None        # the activation, where there is one
    classifies = False    # whether there are probabilities of classes

    def prepare(self, y):
        """Take from the targets of the first fit what nothing else tells; called before `build`."""

    def width(self, y):
        """Return how many units of the last layer these targets call for."""
        shape = check.numbers("y", y).shape
        return shape[1] if len(shape) == 2 else 1

    def check_last_layer(self, layer):
        """Object to a last layer that is an output activation: a head applies its own."""
        name = type(layer).__name__
        if name not in ("Sigmoid", "Softmax"):
            return
        if self.applies is not None:
            raise ValueError(f"{self!r}: got a {name} layer before it, expected logits, because it applies the "
                             f"{self.applies} itself; remove the {name} layer")
        warnings.warn(f"{self!r}: the {name} layer before it keeps the output in 0 .. 1 and saturates, so that the "
                      "network learns least where it is most wrong; end with a Dense layer, and for classes use "
                      "Bernoulli() or Categorical()", stacklevel=4)

    def build(self, output_shape):
        """Take the shape of the last layer's output; ValueError where the head can't work with it."""
        if len(output_shape) != 1:
            raise ValueError(f"{self!r}: got an output of shape {output_shape}, expected (units,), as Dense gives it")

    def initialise(self, rng):
        """Fill the head's own parameters, if it has any."""

    def probabilities(self, z):
        raise TypeError(f"predict_proba: got the head {self!r}, expected one that predicts classes; use predict")

    def __repr__(self):
        signature = inspect.signature(type(self)).parameters
        given = [(name, getattr(self, name)) for name in self.settings]
        changed = [f"{name}={value!r}" for name, value in given if value != signature[name].default]
        return f"{type(self).__name__}({', '.join(changed)})"


# ---- numbers --------------------------------------------------------------------------------------------------------

class _IndependentUnits(_Head):
    """Units with a distribution each: a row's loss is their mean.

    Targets are (N,) for one unit and (N, K) for K; so are predictions.
    """

    metric = "mae"

    def targets(self, y, N, units, dtype):
        """Return ``y`` checked and cast, (N, units) of ``dtype``; TypeError or ValueError where it can't be."""
        y = check.columns("y", check.numbers("y", y, N), units)
        self.check_values(y)
        return check.finite("y", y, dtype)

    def check_values(self, y):
        """Object to targets that the distribution can't have drawn."""

    def loss_and_delta(self, z, y, w, delta):
        """Write dL/dz of L = sum w l / sum w into ``delta`` (N, K); return the sums (w l, w metric, w)."""
        losses = np.empty_like(z)
        self.likelihood(z, y, losses, delta)
        return likelihoods.weigh(losses, self.errors(z, y), w, z.shape[1], delta)

    def errors(self, z, y):
        """Return what the metric counts, (N, K)."""
        return np.abs(self.activate(z) - y)

    def activate(self, z):
        """Return the distribution's parameter, of z's shape: here z itself."""
        return z

    def decide(self, z):
        """Return the prediction, (N,) for one unit and (N, K) for K."""
        return _flat(self.activate(z))


def _flat(a):
    return a[:, 0] if a.shape[1] == 1 else a


class Gaussian(_IndependentUnits):
    """Numbers that scatter evenly about a mean: linear output, squared error; the network predicts the mean.

    ============  ==============================================================================
    distribution  normal with mean z and a fixed variance: p(y) ∝ exp(-(y - z)² / 2)
    activation    none
    loss          l = (z - y)², which is -2 log p(y) without its constant
    delta         dl/dz = 2 (z - y)
    decision      z, the mean: the number with the least expected squared error
    ============  ==============================================================================

    An outlier pulls with all its distance: see `Laplace` and `Huber`. Targets are finite numbers.

    Source: Bishop 2006, section 5.2, equations 5.12 to 5.14.
    """

    def likelihood(self, z, y, losses, delta):
        likelihoods.squared_error(z, y, losses, delta)


class Laplace(_IndependentUnits):
    """Numbers with outliers: linear output, absolute error; the network predicts the median.

    ============  ==============================================================================
    distribution  Laplace's with location z and a fixed scale: p(y) ∝ exp(-|y - z|)
    activation    none
    loss          l = |z - y|
    delta         dl/dz = sign(z - y), 0 at z = y
    decision      z, the median: the number with the least expected absolute error
    ============  ==============================================================================

    An outlier pulls no harder than any other target. Targets are finite numbers.

    Source: Goodfellow et al. 2016, section 6.2.1.2, equation 6.16.
    """

    def likelihood(self, z, y, losses, delta):
        likelihoods.absolute_error(z, y, losses, delta)


class Huber(_IndependentUnits):
    """Numbers with some outliers: linear output, and squared error that goes over into absolute error.

    ============  ==============================================================================
    distribution  normal in the middle, Laplace's in the tails: p(y) ∝ exp(-l)
    activation    none
    loss          l = (z - y)² / 2 where |z - y| <= delta, else delta |z - y| - delta² / 2
    delta         dl/dz = z - y, cut off at -delta and delta
    decision      z, between mean and median
    ============  ==============================================================================

    Source: P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.

    Parameters
    ----------
    delta : float
        Above 0: the error from which on a target counts as an outlier, in the unit of the targets.

    Raises
    ------
    TypeError, ValueError
        ``delta`` is no such number.
    """

    settings = ("delta",)

    def __init__(self, delta=1.0):
        self.delta = check_real("Huber delta", delta, closed="()")

    def likelihood(self, z, y, losses, delta):
        likelihoods.huber(z, y, self.delta, losses, delta)


class Poisson(_IndependentUnits):
    """Counts of events: exponential output, Poisson's likelihood; the network predicts the rate.

    ============  ==============================================================================
    distribution  Poisson's with the rate e^z: p(y) = e^(z y) exp(-e^z) / y!
    activation    e^z, which is positive (held at e^80 for z above 80, so that nothing overflows)
    loss          l = e^z - z y, which is -log p(y) without log y!
    delta         dl/dz = e^z - y
    decision      e^z, the expected count
    ============  ==============================================================================

    Targets are numbers from 0 on. For counts over unlike times: y = count / time, and the times as ``sample_weight``.

    Source: P. McCullagh, J. A. Nelder, "Generalized Linear Models", 2nd edition, Chapman and Hall, 1989, chapter 6.
    """

    applies = "exponential"

    def check_values(self, y):
        check.counts("y", y)

    def likelihood(self, z, y, losses, delta):
        likelihoods.poisson(z, y, losses, delta)

    def activate(self, z):
        rates = np.empty_like(z)
        likelihoods.poisson_rates(z, rates)
        return rates


# ---- yes or no ------------------------------------------------------------------------------------------------------

class Bernoulli(_IndependentUnits):
    """Yes or no: sigmoid, binary cross-entropy, and a threshold. K units answer K questions: which labels apply?

    ============  ==============================================================================
    distribution  Bernoulli's: p(1) = p, p(0) = 1 - p
    activation    p = sigmoid(z) = 1 / (1 + e^-z)
    loss          l = -pos_weight y log p - (1 - y) log(1 - p), where -log p = log(1 + e^-z)
    delta         dl/dz = p - y, and with weights (1 - y) p - pos_weight y (1 - p)
    decision      1 where p > threshold
    ============  ==============================================================================

    Targets are 0 and 1, or probabilities between them, (N,) for one unit and (N, K) for K. Predictions are 0 and 1 of
    the same shape. Probabilities are those of both classes, (N, 2), for one unit, and that of each label, (N, K), for
    K. The metric is the share of right answers.

    Source: Goodfellow et al. 2016, section 6.2.2.2.

    Parameters
    ----------
    threshold : float
        In (0, 1).
    pos_weight : float or sequence of K floats, optional
        Above 0: what a target of 1 is worth in the loss, against one of 0. For labels that are rare.

    Raises
    ------
    TypeError, ValueError
        A parameter is no such number.
    """

    applies, classifies, metric = "sigmoid", True, "accuracy"
    settings = ("threshold", "pos_weight")

    def __init__(self, threshold=0.5, pos_weight=None):
        self.threshold = check_real("Bernoulli threshold", threshold, 0.0, 1.0, "()")
        self.least = math.log(self.threshold / (1 - self.threshold))    # where sigmoid(z) is the threshold
        if isinstance(pos_weight, (list, tuple, np.ndarray)):
            pos_weight = [check_real("Bernoulli pos_weight", weight, closed="()") for weight in pos_weight]
        elif pos_weight is not None:
            pos_weight = check_real("Bernoulli pos_weight", pos_weight, closed="()")
        self.pos_weight = pos_weight

    def build(self, output_shape):
        super().build(output_shape)
        if isinstance(self.pos_weight, list) and len(self.pos_weight) != output_shape[0]:
            raise ValueError(f"Bernoulli pos_weight: got {len(self.pos_weight)} weights, expected {output_shape[0]}, "
                             "one for each unit of the last layer")

    def check_values(self, y):
        check.answers("y", y)

    def targets(self, y, N, units, dtype):
        if units > 1 and check.numbers("y", y, N).ndim == 1:
            raise ValueError(f"y: got shape ({N},), expected ({N}, {units}), an answer for each of {units} units; for "
                             f"one of {units} classes use Categorical(), for a single question 1 unit")
        return super().targets(y, N, units, dtype)

    def likelihood(self, z, y, losses, delta):
        positive = y if self.pos_weight is None else y * np.asarray(self.pos_weight, y.dtype)
        likelihoods.bernoulli(z, y, positive, losses, delta)

    def errors(self, z, y):
        return ((z > self.least) == (y > 0.5)).astype(z.dtype)

    def activate(self, z):
        p = np.empty_like(z)
        activations.sigmoid_forward(z, p)
        return p

    def decide(self, z):
        """Return 0 or 1, int64: (N,) for one unit, the labels that apply (N, K) for K."""
        return _flat(z > self.least).astype(np.int64)

    def probabilities(self, z):
        """Return p(0) and p(1), (N, 2), for one unit; p of each label, (N, K), for K."""
        if z.shape[1] > 1:
            return self.activate(z)
        return np.hstack([self.activate(-z), self.activate(z)])


# ---- one of K -------------------------------------------------------------------------------------------------------

class Categorical(_Head):
    """One of K classes: softmax, cross-entropy, and the most probable class as the decision.

    ============  ==============================================================================
    distribution  multinoulli: class k has the probability p_k, and all sum to 1
    activation    p_k = softmax(z / T)_k = e^(z_k / T) / sum_j e^(z_j / T), with T = temperature
    loss          l = -log p_y, and for targets that are probabilities -sum_k y_k log p_k
    delta         dl/dz_k = (p_k - y_k) / T
    decision      the class with the largest z
    ============  ==============================================================================

    A softmax with the base b in place of e is one with the temperature 1 / ln b. Above 1, a temperature makes the
    probabilities more alike, below 1 less.

    Targets are class numbers (N,), 0 .. K - 1, or rows of probabilities (N, K) that sum to 1, one-hot or soft.

    Sources: Goodfellow et al. 2016, section 6.2.2.3; G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a
    neural network", 2015 (temperature); C. Szegedy et al., "Rethinking the Inception architecture for computer
    vision", CVPR 2016, section 7 (label smoothing).

    Parameters
    ----------
    temperature : float
        Above 0.
    label_smoothing : float
        In [0, 1): the share s of every target that is spread over all classes, y -> (1 - s) y + s / K.
    class_weight : dict of {class: weight} or sequence of K floats, optional
        From 0 on; classes that a dict leaves out have the weight 1. A row's weight is multiplied by that of its
        class, for soft targets by the mean over its classes. So rows of a class with the weight 2 count as if they
        were given twice, in the loss and in the accuracy.
    base : float, optional
        Above 1: the softmax's base, in place of a temperature.

    Raises
    ------
    TypeError, ValueError
        A parameter is no such number; temperature and base are both given.
    """

    applies, classifies, metric = "softmax", True, "accuracy"
    settings = ("temperature", "label_smoothing", "class_weight")

    def __init__(self, temperature=1.0, label_smoothing=0.0, class_weight=None, base=None):
        self.temperature = check_real("Categorical temperature", temperature, closed="()")
        if base is not None:
            if temperature != 1:
                raise ValueError(f"Categorical: got temperature={temperature} and base={base}, expected one of them; "
                                 "base b is temperature 1 / ln b")
            self.temperature = 1 / math.log(check_real("Categorical base", base, 1.0, closed="()"))
        self.label_smoothing = check_real("Categorical label_smoothing", label_smoothing, 0.0, 1.0)
        self.class_weight = _checked_class_weight(class_weight)

    def width(self, y):
        y = check.numbers("y", y)
        return y.shape[1] if y.ndim == 2 else check.count_classes("y", y)

    def build(self, output_shape):
        super().build(output_shape)
        K = output_shape[0]
        if K < 2:
            raise ValueError("Categorical: got 1 unit in the last layer, expected one for each class, at least 2; the "
                             "softmax of 1 unit is always 1, it always answers class 0: use Bernoulli(), or 2 units")
        if self.class_weight is not None:
            self.weights = _weights_of_classes(self.class_weight, K)

    def targets(self, y, N, units, dtype):
        """Return ``y`` checked and cast: (N,) int64 for labels and one-hot rows, (N, K) of ``dtype`` for soft ones.

        Raises
        ------
        TypeError, ValueError
            Another length or width, labels out of range or not whole, rows that are no probabilities.
        """
        y = check.numbers("y", y, N)
        if y.ndim == 1:
            return check.labels("y", y, units, "the last layer takes {} units")
        if y.shape != (N, units):
            hint = "; give y[:, 0]" if y.shape == (N, 1) else ", with a unit for each class"
            raise ValueError(f"y: got shape {y.shape}, expected class numbers ({N},) or rows ({N}, {units}){hint}")
        check.distributions("y", y)
        if np.isin(y, (0, 1)).all():
            return np.argmax(y, axis=1)
        return np.ascontiguousarray(y, dtype)

    def loss_and_delta(self, z, y, w, delta):
        """Write dL/dz of L = sum w l / sum w into ``delta`` (N, K); return the sums (w l, w [right decision], w)."""
        if self.class_weight is not None:
            w = w * self._weight_of_rows(y, w.dtype)
        if self.label_smoothing:
            y = self._smooth(y, z)
        if self.temperature == 1:
            return likelihoods.categorical(z, y, w, delta)
        np.multiply(z, 1 / self.temperature, out=delta)
        sums = likelihoods.categorical(delta, y, w, delta)
        delta *= 1 / self.temperature
        return sums

    def _weight_of_rows(self, y, dtype):
        weights = self.weights.astype(dtype)
        return weights[y] if y.ndim == 1 else (weights * y).sum(axis=1)

    def _smooth(self, y, z):
        K, s = z.shape[1], self.label_smoothing
        rows = check.one_hot(y, K, z.dtype) if y.ndim == 1 else y
        return (1 - s) * rows + z.dtype.type(s / K)

    def activate(self, z):
        """Return softmax(z / temperature), (N, K)."""
        p = np.multiply(z, 1 / self.temperature)
        activations.softmax(p, p)
        return p

    def decide(self, z):
        """Return the most probable class of each row, (N,) int64."""
        decision = np.empty(len(z), np.int64)
        likelihoods.argmax(z, decision)
        return decision

    def probabilities(self, z):
        """Return the probabilities of the classes, (N, K)."""
        return self.activate(z)


def _checked_class_weight(given):
    """Return the weights as a dict or a list of plain numbers, or None."""
    if given is None:
        return None
    if isinstance(given, dict):    # in the text of a saved model, keys are strings
        checked = {check_count("class_weight class", int(k) if isinstance(k, str) else k, least=0):
                   check_real("class_weight", weight) for k, weight in given.items()}
    elif isinstance(given, (list, tuple, np.ndarray)):
        checked = [check_real("class_weight", weight) for weight in given]
    else:
        raise TypeError(f"class_weight: got {given!r}, expected a dict of {{class: weight}} or a weight for each class")
    return checked


def _weights_of_classes(class_weight, K):
    """Return the weights of the classes 0 .. K - 1, (K,) float64."""
    if isinstance(class_weight, list):
        if len(class_weight) != K:
            raise ValueError(f"class_weight: got {len(class_weight)} weights, expected {K}, one for each class")
        weights = np.array(class_weight)
    else:
        if max(class_weight, default=0) >= K:
            raise ValueError(f"class_weight: got class {max(class_weight)}, expected classes 0 .. {K - 1}")
        weights = np.array([class_weight.get(k, 1.0) for k in range(K)])
    if not weights.any():
        raise ValueError("class_weight: got zeros alone, expected at least one positive weight")
    return weights


# ---- ordered classes ------------------------------------------------------------------------------------------------

class Ordinal(_Head):
    """One of K classes with an order, such as 1 to 5 stars: one score, K - 1 cut points, cumulative sigmoids (CORAL).

    ============  ==============================================================================
    distribution  K - 1 questions, "is y above k?", for k = 0 .. K - 2, answered by one score z
    activation    p(y > k) = sigmoid(z + b_k), with cut points b_0 >= b_1 >= ... >= b_(K - 2)
    loss          l = sum_k of the binary cross-entropies of p(y > k) and [y > k]
    delta         dl/dz = sum_k (p(y > k) - [y > k]), dl/db_k = p(y > k) - [y > k]
    decision      the rank: how many of the p(y > k) are above 1/2
    ============  ==============================================================================

    The last layer has one unit, the score; all classes share its weights. The cut points are the head's own parameters,
    ``head.b``. They are sorted wherever they are used, so that p(y > k) never increases with k, whatever a step of the
    training makes of them; they begin so that the score 0 makes all classes equally probable.

    Targets are class numbers (N,), 0 .. K - 1. The metric is the mean absolute error of the rank.

    Source: W. Cao, V. Mirjalili, S. Raschka, "Rank consistent ordinal regression for neural networks with application
    to age estimation", Pattern Recognition Letters 140, 2020.

    Parameters
    ----------
    classes : int, optional
        K, at least 2. By default the first ``fit`` takes it from the largest of its targets.

    Raises
    ------
    TypeError, ValueError
        ``classes`` is no such number.
    """

    applies, classifies, metric = "sigmoid", True, "mae"
    settings = ("classes",)

    def __init__(self, classes=None):
        self.classes = None if classes is None else check_count("Ordinal classes", classes, least=2)
        self.from_targets = classes is None

    def prepare(self, y):
        if self.from_targets:
            self.classes = check.count_classes("y", y)

    def build(self, output_shape):
        super().build(output_shape)
        if output_shape[0] != 1:
            raise ValueError(f"Ordinal: got {output_shape[0]} units in the last layer, expected 1, the score that all "
                             "classes share")
        if self.classes is None:
            raise ValueError("Ordinal: got no number of classes, expected Ordinal(classes=K), or a first fit that "
                             "takes it from the targets")
        self.shapes = {"b": (self.classes - 1,)}

    def initialise(self, rng):
        above = np.arange(self.classes - 1, 0, -1)    # how many classes lie above each cut point
        self.parameters["b"][:] = np.log(above / above[::-1])

    def targets(self, y, N, units, dtype):
        """Return the class numbers ``y`` checked, (N,) int64; TypeError or ValueError where they are none."""
        y = check.numbers("y", y, N)
        if y.ndim != 1:
            hint = "y[:, 0]" if y.shape == (N, 1) else "np.argmax(y, axis=1) for one-hot rows"
            raise ValueError(f"y: got shape {y.shape}, expected class numbers ({N},); give {hint}")
        return check.labels("y", y, self.classes, "give Ordinal(classes={})")

    def _cut_points(self):
        """Return the cut points in descending order, and where they stand in the parameter."""
        order = np.argsort(-self.parameters["b"], kind="stable")
        return self.parameters["b"][order], order

    def loss_and_delta(self, z, y, w, delta):
        """Write dL/dz of L = sum w l / sum w into ``delta`` (N, 1), and dL/db; return the sums (w l, w metric, w)."""
        b, order = self._cut_points()
        db, scratch = np.empty_like(b), np.empty((4, len(z), b.size), z.dtype)
        sums = likelihoods.ordinal(z, b, y, w, scratch, delta, db)
        self.gradients["b"][order] = db
        return sums

    def activate(self, z):
        """Return p(y > k), (N, K - 1), which does not increase with k."""
        t = z + self._cut_points()[0]
        p = np.empty_like(t)
        activations.sigmoid_forward(t, p)
        return np.minimum.accumulate(p, axis=1)    # nor does the rounding

    def decide(self, z):
        """Return the rank of each row, (N,) int64."""
        return np.count_nonzero(z + self.parameters["b"] > 0, axis=1)

    def probabilities(self, z):
        """Return the probabilities of the classes, (N, K).

        p(y = k) = p(y > k - 1) - p(y > k) is the product p(y > k - 1) p(y <= k) (1 - e^(b_k - b_(k - 1))), in which
        nothing cancels and nothing is below 0.
        """
        b, _ = self._cut_points()
        t = z + b
        above, below = np.empty_like(t), np.empty_like(t)
        activations.sigmoid_forward(t, above)
        activations.sigmoid_forward(-t, below)
        certain, end = np.ones_like(z), np.ones(1, z.dtype)
        apart = np.concatenate([end, -np.expm1(np.diff(b)), end])
        return np.hstack([certain, above]) * np.hstack([below, certain]) * apart


# ---- pairs that belong to no distribution ---------------------------------------------------------------------------

class SquaredError(_Head):
    """Squared error of an activated output: what people try before cross-entropy, here to be compared with it.

    ============  ==============================================================================
    distribution  none that gives probabilities: a normal one about a = activation(z)
    activation    sigmoid or softmax; linear is the same as `Gaussian`
    loss          l = the mean over the units of (a - y)²
    delta         dl/dz = 2 (a - y) a (1 - a) / K for a sigmoid: it vanishes where a nears 0 or 1, be
                  it right or wrong. A network that is sure and wrong does not learn
    decision      that of `Bernoulli` for a sigmoid, of `Categorical` for a softmax
    ============  ==============================================================================

    Targets, predictions, probabilities and metric are those of `Bernoulli`, `Categorical` or `Gaussian`.

    Source: Goodfellow et al. 2016, section 6.2.2.2, on the squared error of saturated units.

    Parameters
    ----------
    activation : "sigmoid", "softmax" or "linear"

    Warns
    -----
    UserWarning
        Sigmoid and softmax saturate.

    Raises
    ------
    ValueError
        The activation is none of these.
    """

    settings = ("activation",)

    def __init__(self, activation):
        own = {"linear": Gaussian, "sigmoid": Bernoulli, "softmax": Categorical}
        if activation not in own:
            raise ValueError(f"SquaredError activation: got {activation!r}, expected {', '.join(map(repr, own))}")
        self.own = own[activation]()    # the head to which the activation belongs
        self.activation, self.applies = activation, self.own.applies
        self.metric, self.classifies = self.own.metric, self.own.classifies
        if activation != "linear":
            warnings.warn(f"SquaredError: the {activation} saturates, and with squared error its gradient vanishes "
                          f"where the network is sure and wrong; {self.own!r} has the loss that belongs to it",
                          stacklevel=2)

    def width(self, y):
        return self.own.width(y)

    def build(self, output_shape):
        self.own.build(output_shape)

    def targets(self, y, N, units, dtype):
        """Return ``y`` as the activation's own head takes it, but as rows (N, units) of ``dtype``."""
        y = self.own.targets(y, N, units, dtype)
        return check.one_hot(y, units, dtype) if y.ndim == 1 else y

    def loss_and_delta(self, z, y, w, delta):
        """Write dL/dz of L = sum w l / sum w into ``delta`` (N, K); return the sums (w l, w metric, w)."""
        a, losses = self.own.activate(z), np.empty_like(z)
        likelihoods.squared_error(a, y, losses, delta)
        if self.activation == "sigmoid":
            activations.sigmoid_backward(a, delta, delta)
        elif self.activation == "softmax":
            likelihoods.softmax_backward(a, delta)
        return likelihoods.weigh(losses, self._errors(z, y), w, z.shape[1], delta)

    def _errors(self, z, y):
        if self.activation == "softmax":
            return (self.decide(z) == y.argmax(axis=1))[:, None].astype(z.dtype)
        return self.own.errors(z, y)

    def decide(self, z):
        return self.own.decide(z)

    def probabilities(self, z):
        return self.own.probabilities(z)


# ---- several outputs ------------------------------------------------------------------------------------------------

class Heads(_Head):
    """Several outputs of one network, such as a vehicle's type and its make: a head each, with units of its own.

    The last layer's units are shared out among the heads in the order in which they are given. The loss is the
    weighted sum of theirs. Targets, predictions and probabilities are dicts with the heads' names, the probabilities
    those of the heads that predict classes; the metrics are called ``type_accuracy`` and the like.

    Parameters
    ----------
    heads : dict of {name: head}, optional
        Instead of, or before, keywords.
    units : dict of {name: int}, optional
        How many units each head has. By default the first ``fit`` takes them from its targets.
    weights : dict of {name: float}, optional
        What each loss is worth, from 0 on, 1 where left out.
    **more
        Heads by name.

    Raises
    ------
    TypeError, ValueError
        There is no head, something is none, names are unknown, or numbers out of range.

    Examples
    --------
    >>> import nnjit as nn
    >>> nn.Heads(type=nn.Categorical(), age=nn.Gaussian(), units={"type": 3, "age": 1}, weights={"age": 0.1})
    Heads(type=Categorical(), age=Gaussian(), units={'type': 3, 'age': 1}, weights={'type': 1.0, 'age': 0.1})
    """

    settings = ("heads", "units", "weights")

    def __init__(self, heads=None, units=None, weights=None, **more):
        if heads is not None and not isinstance(heads, dict):
            raise TypeError(f"Heads: got {heads!r}, expected names, such as Heads(type=Categorical())")
        self.heads = {**(heads or {}), **more}
        for name, head in self.heads.items():
            if not isinstance(head, _Head) or isinstance(head, Heads):
                raise TypeError(f"Heads: got {name}={head!r}, expected a head such as Categorical()")
        if not self.heads:
            raise ValueError("Heads: got no head, expected at least one, such as Heads(type=Categorical())")
        self.units, self.from_targets = units, units is None
        if units is not None:
            self._check_names("units", units)
            self.units = {name: check_count(f"Heads units of {name}", units[name]) for name in self.heads}
        weights = {} if weights is None else weights
        self._check_names("weights", weights, all_of_them=False)
        self.weights = {name: check_real(f"Heads weight of {name}", weights.get(name, 1)) for name in self.heads}
        if not any(self.weights.values()):
            raise ValueError("Heads weights: got zeros alone, expected at least one positive weight")
        self.metric = tuple(f"{name}_{head.metric}" for name, head in self.heads.items())
        self.classifies = any(head.classifies for head in self.heads.values())

    def _check_names(self, what, given, all_of_them=True):
        expected = ", ".join(map(repr, self.heads))
        if not isinstance(given, dict):
            raise TypeError(f"{what}: got {type(given).__name__}, expected a dict of {expected}")
        if set(given) - set(self.heads) or (all_of_them and len(given) < len(self.heads)):
            raise ValueError(f"{what}: got {', '.join(map(repr, given)) or 'nothing'}, expected {expected}")

    def prepare(self, y):
        self._check_names("y", y)
        for name, head in self.heads.items():
            head.prepare(y[name])
        if self.from_targets:
            self.units = {name: head.width(y[name]) for name, head in self.heads.items()}

    def check_last_layer(self, layer):
        for head in self.heads.values():
            head.check_last_layer(layer)

    def build(self, output_shape):
        super().build(output_shape)
        if self.units is None:
            raise ValueError("Heads: got no units, expected Heads(..., units={name: units}), or a first fit that takes "
                             "them from the targets")
        if sum(self.units.values()) != output_shape[0]:
            shares = " + ".join(f"{self.units[name]} ({name})" for name in self.heads)
            raise ValueError(f"Heads: got {output_shape[0]} units in the last layer, expected {shares} = "
                             f"{sum(self.units.values())}; change the layer, or give units={{name: units}}")
        self.columns, self.shapes, first = {}, {}, 0
        for name, head in self.heads.items():
            head.build((self.units[name],))
            self.columns[name] = slice(first, first + self.units[name])
            self.shapes.update({f"{name}.{key}": shape for key, shape in head.shapes.items()})
            first += self.units[name]

    def initialise(self, rng):
        for name, head in self.heads.items():
            head.parameters = {key: self.parameters[f"{name}.{key}"] for key in head.shapes}
            head.gradients = {key: self.gradients[f"{name}.{key}"] for key in head.shapes}
            head.initialise(rng)

    def targets(self, y, N, units, dtype):
        """Return the targets of all heads, checked and cast, as an object of which rows can be taken."""
        self._check_names("y", y)
        return _TargetsByName({name: head.targets(y[name], N, self.units[name], dtype)
                               for name, head in self.heads.items()})

    def _shares(self, z):
        """Yield the name, the head and the logits of each head."""
        for name, head in self.heads.items():
            yield name, head, np.ascontiguousarray(z[:, self.columns[name]])

    def loss_and_delta(self, z, y, w, delta):
        """Write dL/dz of the heads' weighted losses into ``delta`` (N, units); return the sums (w l, w metrics, w)."""
        total, loss, metrics = float(w.sum(dtype=np.float64)), 0.0, []
        for name, head, part in self._shares(z):
            own, worth = np.empty_like(part), self.weights[name]
            own_loss, own_metric, own_weight = head.loss_and_delta(part, y.by_name[name], w, own)
            share = total / own_weight if own_weight else 0.0    # 1, but for heads that weigh the rows by their class
            loss += worth * share * own_loss
            metrics.append(share * own_metric)
            np.multiply(own, worth, out=delta[:, self.columns[name]])
            for gradient in head.gradients.values():
                gradient *= worth
        return loss, np.array(metrics), total

    def decide(self, z):
        """Return the decision of each head, a dict."""
        return {name: head.decide(part) for name, head, part in self._shares(z)}

    def probabilities(self, z):
        """Return the probabilities of each head that predicts classes, a dict."""
        if not self.classifies:
            super().probabilities(z)
        return {name: head.probabilities(part) for name, head, part in self._shares(z) if head.classifies}

    def __repr__(self):
        shown = [*self.heads.items(), *[("units", self.units)] * (self.units is not None)]
        if set(self.weights.values()) != {1.0}:
            shown.append(("weights", self.weights))
        return f"Heads({', '.join(f'{name}={value!r}' for name, value in shown)})"


class _TargetsByName:
    """The targets of several heads, of which the same rows are taken."""

    def __init__(self, by_name):
        self.by_name = by_name

    def __getitem__(self, rows):
        return _TargetsByName({name: y[rows] for name, y in self.by_name.items()})
