"""The formulas of the kernels, the same in wider numbers and in mpmath's, and how far a result may be off.

A true value is written once, as an expression in some functions: those of `Wide` are NumPy's, for arrays of
float64 or longdouble, and those of `Exact` mpmath's, for arrays of its numbers.
"""
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import mpmath
import numpy as np
from head_cases import built, squared_error
from kernel_tools import compiled_loop

import nnjit as nn
from nnjit.kernels import activations, elementary, losses, softmax


class Functions:
    """What a true value is written in; ``least`` is the least normal number of the results' dtype."""

    def __init__(self, dtype):
        self.least = float(np.finfo(dtype).smallest_normal)


class Exact(Functions):
    """Functions of mpmath for arrays of its numbers."""

    exp, log, expm1, log1p, tanh, erf, normal_pdf = (np.frompyfunc(function, 1, 1) for function in (
        mpmath.exp, mpmath.log, mpmath.expm1, mpmath.log1p, mpmath.tanh, mpmath.erf, mpmath.npdf))
    # mpmath.ncdf loses the lower tail
    # where x is larger mpmath raises, and nothing changes
    normal_cdf = np.frompyfunc(lambda x: mpmath.erfc(-min(max(x, -10**9), 10**9) / mpmath.sqrt(2)) / 2, 1, 1)


class Wide(Functions):
    """The same for arrays of float64 or longdouble, all digits but the last few right."""

    exp, log, expm1, log1p, tanh = (staticmethod(function) for function in (
        np.exp, np.log, np.expm1, np.log1p, np.tanh))

    @staticmethod
    def normal_pdf(x):
        """e^(-x²/2) / sqrt(2 pi), with x² in two parts, of which the first is exact."""
        x = np.clip(x, -200, 200)
        head = np.rint(x * 2.0**16) / x.dtype.type(2.0**16)
        power = np.exp(-head * head / 2) * np.exp(-(x - head) * (x + head) / 2)
        return power / np.sqrt(2 * np.arctan2(x.dtype.type(0), x.dtype.type(-1)))

    @staticmethod
    def normal_cdf(x):
        """1/2 and phi times the series sum of x^(2n + 1) / (2n + 1)!!; in the tails, phi times Mills' ratio
        1 / (x + 1 / (x + 2 / (x + 3 / ...))) (Abramowitz and Stegun, 26.2.11 and 26.2.14).
        """
        near, far = np.clip(abs(x), 0, 1.25), np.clip(abs(x), 1.25, 200)
        term = total = near
        for n in range(1, 60):
            term = term * near * near / (2 * n + 1)
            total = total + term
        ratio = far
        for n in range(600, 0, -1):
            ratio = far + n / ratio
        pdf, one = Wide.normal_pdf(x), x.dtype.type(1)
        tail = np.where(abs(x) < 1.25, one / 2 - pdf * total, pdf / ratio)
        return np.where(x < 0, tail, 1 - tail)

    @staticmethod
    def erf(x):
        """Its Taylor series (Abramowitz and Stegun, 7.1.5), and beyond 1 what the tails leave of 1."""
        one = x.dtype.type(1)
        near = np.clip(x, -1, 1)
        power, total = near, near
        for n in range(1, 30):
            power = -power * near * near / n
            total = total + power / (2 * n + 1)
        far = one - 2 * Wide.normal_cdf(-abs(x) * np.sqrt(2 * one))
        return np.where(abs(x) < 1, total / np.sqrt(np.arctan(one)), np.sign(x) * far)


@dataclass(frozen=True)
class Formula:
    """A formula of the kernels.

    Attributes
    ----------
    kernel : a function of arrays that returns an array, the results
    true : a function of `Functions` and the same arrays in wider numbers, that returns the true results
    bounds : how many units in the last place a result may be off, in float32 and in float64
    unit : a function like ``true`` that returns the numbers of whose last place they are; None are the true
        results themselves. Others are those where numbers are taken from each other.
    of : what these are, in words
    domain : the least and the largest argument
    draw : a function of (rng, dtype, n) that returns a tuple of arguments, None for `numbers` of the domain
    edges : where results cease to be normal, above 0, finite or below a limit, or come from another formula;
        in float32, and in float64
    """

    kernel: Callable
    true: Callable
    bounds: tuple
    unit: Callable | None = None
    of: str = "the result"
    domain: tuple = (-np.inf, np.inf)
    draw: Callable | None = None
    edges: tuple = ((), ())


# ---- kernels as functions ----------------------------------------------------------------------------------

def each(formula):
    """Return a function that applies a scalar formula in a loop that LLVM vectorises."""
    loop = compiled_loop(formula)

    def call(x):
        out = x.copy()
        loop(out)
        return out

    return call


def forward(name, *constants):
    def call(x):
        out = np.empty_like(x)
        getattr(activations, f"{name}_forward")(x, out, *constants)
        return out

    return call


def slope(name, *constants):
    """Return the kernel's derivative as a function of what it takes it from."""
    def call(saved):
        dx = np.empty_like(saved)
        getattr(activations, f"{name}_backward")(saved, np.ones_like(saved), dx, *constants)
        return dx

    return call


def independent(name, column, *constants):
    """Return the losses (column 0) or slopes (1) of units that are independent of each other."""
    def call(z, y):
        found = np.empty_like(z), np.empty_like(z)
        targets = (y, y) if name == "bernoulli" else (y,)
        getattr(losses, name)(z, *targets, *constants, *found)
        return found[column]

    return call


def in_rows(kernel):
    def call(z):
        out = np.empty_like(z)
        kernel(z, out)
        return out

    return call


def rate(z):
    out = np.empty_like(z)
    losses.poisson_rates(z, out)
    return out


def loss_of(make):
    """Return a head's loss of each row by itself."""
    def call(z, y):
        head, delta = built(make(), z.shape[1], z.dtype), np.empty_like(z[:1])
        rows = head.targets(y, *z.shape, z.dtype)
        return np.array([head.loss(z[i:i + 1], rows[i:i + 1], np.ones(1, z.dtype), delta)[0]
                         for i in range(len(z))], z.dtype)

    return call


def delta_of(make):
    """Return a head's dl/dz of each row."""
    def call(z, y):
        head, delta = built(make(), z.shape[1], z.dtype), np.empty_like(z)
        head.loss_and_delta(z, head.targets(y, *z.shape, z.dtype), np.ones(len(z), z.dtype), 1.0, delta)
        return delta

    return call


CUT_POINTS = np.array([1.5, 0.25, -2])    # as float32 has them, too


class Ordinal(nn.Ordinal):
    """With these cut points."""

    def __init__(self):
        super().__init__(4)

    def initialise(self, rng):
        self.parameters["b"][:] = CUT_POINTS


# ---- true values -------------------------------------------------------------------------------------------

def sigmoid(m, x):
    return 1 / (1 + m.exp(-x))


def softplus(m, x):
    return np.maximum(x, 0) + m.log1p(m.exp(-abs(x)))


def silu(m, x):
    return x * sigmoid(m, x)


def gelu(m, x):
    return x * m.normal_cdf(x)


def poisson_rate(m, z):
    return m.exp(np.minimum(z, 80))


def elu(m, x):
    return np.where(x < 0, m.expm1(np.minimum(x, 0)) * 3 / 4, x)


def huber(m, z, y):
    e = abs(z - y)
    return np.where(e <= 0.75, e * e / 2, (e - 0.375) * 0.75)


def shifted(z):
    """Return rows (N, K) less their largest number."""
    return z - z.max(axis=1, keepdims=True)


def softmax_of(m, z):
    e = m.exp(shifted(z))
    return e / e.sum(axis=1, keepdims=True)


def log_softmax_of(m, z):
    return shifted(z) - m.log(m.exp(shifted(z)).sum(axis=1, keepdims=True))


def answered(z, y):
    """Return the rows (N, K) of the class numbers."""
    return np.arange(z.shape[1]) == y[:, None]


def cross_entropy(m, z, y):
    return -(answered(z, y) * log_softmax_of(m, z)).sum(axis=1)


def squared_softmax(m, z, y):
    return ((softmax_of(m, z) - answered(z, y))**2).mean(axis=1)


def squared_softmax_slope(m, z, y):
    p = softmax_of(m, z)
    slope = 2 * (p - answered(z, y)) / z.shape[1]
    return p * (slope - (p * slope).sum(axis=1, keepdims=True))


def squared_sigmoid_slope(m, z, y):
    p, q = sigmoid(m, z), sigmoid(m, -z)
    return 2 * (p - y[:, None]) * p * q


def ordinal(m, z, y):
    t = z + CUT_POINTS
    return (softplus(m, t) - (np.arange(3) < y[:, None]) * t).sum(axis=1)


def ordinal_slope(m, z, y):
    return (sigmoid(m, z + CUT_POINTS) - (np.arange(3) < y[:, None])).sum(axis=1, keepdims=True)


# ---- arguments ---------------------------------------------------------------------------------------------

def numbers(rng, dtype, n, edges=(), domain=(-np.inf, np.inf)):
    """Return about n numbers of the domain: all near the edges, 0, the least normal number and the largest,
    where an exponential turns to the next power of 2; the range in which a function changes, around 0, of all
    sizes, random bits.
    """
    limits = np.finfo(dtype)
    edges, steps = np.array([*edges, 1, -1], dtype), np.arange(-40, 41, dtype=dtype)
    reach, part = 1.1 * abs(edges[abs(edges) < 1e4]).max(), n // 5
    bits = rng.integers(0, 2**limits.bits, part, dtype=f"u{limits.bits // 8}").view(dtype)
    with np.errstate(over="ignore"):
        near = (edges[:, None] + np.spacing(edges)[:, None] * steps).ravel()
    found = np.concatenate([
        near, limits.smallest_subnormal * steps, -limits.smallest_normal + limits.smallest_subnormal * steps,
        limits.smallest_normal + limits.smallest_subnormal * steps, [limits.max, limits.min],
        np.arange(-60, 60) * np.log(2) / 4, rng.uniform(-reach, reach, part), rng.uniform(-6, 6, part),
        rng.uniform(-1, 1, part), rng.choice([-1, 1], part) * 10 ** rng.uniform(-12, 3, part), bits],
        dtype=dtype, casting="unsafe")
    return found[np.isfinite(found) & (found >= domain[0]) & (found <= domain[1])]


def pairs(targets):
    """Return a function that draws logits and targets for them."""
    def draw(rng, dtype, n):
        z = numbers(rng, dtype, n)
        with np.errstate(over="ignore"):
            y = targets(rng, z).astype(dtype)
        return z, np.where(np.isfinite(y), y, 0)

    return draw


def near_and_far(rng, z):
    """Return targets anywhere, but so that z's type can hold the difference, and such that little is left."""
    far = rng.permutation(z)
    with np.errstate(over="ignore"):
        far = np.where(np.isfinite(z - far), far, z / 2)
    return np.where(rng.random(z.size) < 0.5, z * (1 + rng.normal(size=z.size) * 1e-3), far)


def rows(K):
    """Return a function that draws rows of logits (N, K), and a class for each."""
    def draw(rng, dtype, n):
        large, least = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
        z = rng.normal(size=(n // K, K)) * 10 ** rng.uniform(-3, 3, (n // K, 1))
        z[::7] = np.round(z[::7])    # equals among them
        edges = np.repeat([[0, 1], [large, -large], [large, large], [0, -large], [least, -least], [0, -104],
                           [0, -88], [0, -17.5], [0, -37.5], [0, -709], [0, -746]], [1, K - 1], axis=1)
        z = np.concatenate([edges, -edges, z]).astype(dtype)
        return z, rng.integers(K, size=len(z))

    return draw


def fractions(rng, z):
    """Return targets from 0 to 1, many of them one of both."""
    return np.clip(rng.uniform(-1, 2, z.size), 0, 1)


def counts(rng, z):
    return rng.poisson(3, z.size)


def column(targets):
    """Return a function that draws logits (N, 1) and targets for them, whole numbers or as the logits."""
    def draw(rng, dtype, n):
        z = numbers(rng, dtype, n)
        y = targets(rng, z)
        return z[:, None], y if y.dtype == np.int64 else y.astype(dtype)

    return draw


def ranks(rng, z):
    return rng.integers(4, size=z.size)


# ---- units -------------------------------------------------------------------------------------------------

def one(m, *arguments):
    return np.ones(1, arguments[0].dtype)


def of_product(true):
    """Return the unit of x times something: what is below the least normal number has fewer digits."""
    return lambda m, x: np.maximum(abs(true(m, x)), abs(x) * m.least)


def distance(m, z, *y):
    """Return how far logits are below the largest of their row, at least 1."""
    return np.maximum(1, -shifted(z))


# ---- the table ---------------------------------------------------------------------------------------------

TERMS = "the largest term"
PRODUCT = "the result, or x times the least normal number"
EXP_EDGES = ((-103.98, -103.972084, -87.33655, 88.72283, 88.72284),
             (-745.2, -745.1332191019412, -708.3964185322641, 709.782712893384, 709.7827128933841))
TAIL_EDGES = ((-40, -14.17, -13, -12.9, 5.4, 40), (-40, -38.485, -37.519, 8.29, 40))
SIGMOID_EDGES = ((*EXP_EDGES[0], -88.72284, 17.33), (*EXP_EDGES[1], -709.7827128933841, 37.43))
ERF_EDGES = ((-0.5, 0.5, 3.9192059, 10.06, 30), (-0.5, 0.5, 5.921587195794508, 26.6, 30))

FORMULAS = {
    "exp": Formula(each(elementary.exp), lambda m, x: m.exp(x), (1.5, 1.5), edges=EXP_EDGES),
    "expm1": Formula(each(elementary.expm1), lambda m, x: m.expm1(x), (2.5, 2.5), edges=(
        (-40, -17.33, -0.34657359, 0.34657359, 88.72283, 88.72284),
        (-40, -37.43, -0.34657359027997264, 0.34657359027997264, 709.782712893384, 709.7827128933841))),
    "log1p": Formula(each(elementary.log1p), lambda m, x: m.log1p(x), (3.5, 3.5), domain=(0, 1)),
    "tanh": Formula(forward("tanh"), lambda m, x: m.tanh(x), (3.5, 3.5), edges=((9.01, 20), (19.06, 20))),
    "sigmoid": Formula(forward("sigmoid"), sigmoid, (3, 3), edges=SIGMOID_EDGES),
    "softplus": Formula(forward("softplus"), softplus, (4, 4), edges=SIGMOID_EDGES),
    "erf": Formula(each(elementary.erf), lambda m, x: m.erf(x), (4, 3.5), edges=ERF_EDGES),
    "normal cdf": Formula(each(elementary.normal_cdf), lambda m, x: m.normal_cdf(x), (8, 8),
                          edges=TAIL_EDGES),
    "normal pdf": Formula(each(elementary.normal_pdf), lambda m, x: m.normal_pdf(x), (3, 3), edges=(
        (-14.3, -13.1, 13.1, 14.3, 40), (-38.58, -37.6, 37.6, 38.58, 40))),
    "GELU": Formula(forward("gelu"), gelu, (8, 8), of_product(gelu), PRODUCT, edges=TAIL_EDGES),
    "GELU's slope": Formula(slope("gelu"), lambda m, x: m.normal_cdf(x) + x * m.normal_pdf(x), (8, 8),
                            of_product(lambda m, x: np.maximum(m.normal_cdf(x), abs(x) * m.normal_pdf(x))),
                            f"{TERMS}, or x times the least normal number", edges=TAIL_EDGES),
    "SiLU": Formula(forward("silu"), silu, (4, 4), of_product(silu), PRODUCT, edges=SIGMOID_EDGES),
    "SiLU's slope": Formula(slope("silu"), lambda m, x: sigmoid(m, x) * (1 + x * sigmoid(m, -x)), (5, 5),
                            of_product(lambda m, x: sigmoid(m, x) * np.maximum(1, abs(x) * sigmoid(m, -x))),
                            f"{TERMS}, or x times the least normal number", edges=SIGMOID_EDGES),
    "ELU": Formula(forward("elu", 0.75), elu, (2.5, 2.5), edges=((-40, -17.33), (-40, -37.43))),
    "ELU's slope": Formula(slope("elu", 0.75), lambda m, a: np.where(a > 0, 1, a + 0.75), (1, 1),
                           domain=(-0.75, np.inf)),
    "tanh's slope": Formula(slope("tanh"), lambda m, a: 1 - a * a, (1, 1), one, "1", domain=(-1, 1)),
    "sigmoid's slope": Formula(slope("sigmoid"), lambda m, a: a * (1 - a), (2, 2), domain=(0, 1)),
    "ReLU": Formula(forward("relu"), lambda m, x: np.maximum(x, 0), (0.5, 0.5)),
    "LeakyReLU": Formula(forward("leaky_relu", 0.25), lambda m, x: np.where(x < 0, x / 4, x), (0.51, 0.51)),
    "softmax": Formula(in_rows(softmax.softmax), softmax_of, (5, 5),
                       lambda m, z: softmax_of(m, z) * distance(m, z), "p times the distance, at least 1",
                       draw=lambda *a: rows(5)(*a)[:1]),
    "log-softmax": Formula(in_rows(softmax.log_softmax), log_softmax_of, (4, 4),
                           distance, "the logit's distance, at least 1",
                           draw=lambda *a: rows(5)(*a)[:1]),
    "squared error": Formula(independent("squared_error", 0), lambda m, z, y: (z - y)**2, (2.5, 2.5),
                             draw=pairs(near_and_far)),
    "squared error's slope": Formula(independent("squared_error", 1), lambda m, z, y: 2 * (z - y), (1, 1),
                                     draw=pairs(near_and_far)),
    "absolute error": Formula(independent("absolute_error", 0), lambda m, z, y: abs(z - y), (1, 1),
                              draw=pairs(near_and_far)),
    "absolute error's slope": Formula(independent("absolute_error", 1), lambda m, z, y: np.sign(z - y),
                                      (0.5, 0.5), draw=pairs(near_and_far)),
    "Huber's loss": Formula(independent("huber", 0, 0.75), huber, (2.5, 2.5), draw=pairs(near_and_far)),
    "Huber's slope": Formula(independent("huber", 1, 0.75),
                             lambda m, z, y: np.clip(z - y, -0.75, 0.75), (1, 1), draw=pairs(near_and_far)),
    "Poisson's rate": Formula(rate, poisson_rate, (1.5, 1.5), edges=((80, -103.98, -87.33655),
                                                                 (80, -745.2, -708.3964185322641))),
    "Poisson's loss": Formula(
        independent("poisson", 0), lambda m, z, y: poisson_rate(m, z) - y * z, (3, 3),
        lambda m, z, y: np.maximum(poisson_rate(m, z), abs(y * z)), TERMS,
        draw=pairs(counts)),
    "Poisson's slope": Formula(
        independent("poisson", 1), lambda m, z, y: poisson_rate(m, z) - y, (2, 2),
        lambda m, z, y: np.maximum(poisson_rate(m, z), y), TERMS,
        draw=pairs(counts)),
    "Bernoulli's loss": Formula(
        independent("bernoulli", 0), lambda m, z, y: y * softplus(m, -z) + (1 - y) * softplus(m, z), (4, 4),
        draw=pairs(fractions)),
    "Bernoulli's slope": Formula(
        independent("bernoulli", 1), lambda m, z, y: (1 - y) * sigmoid(m, z) - y * sigmoid(m, -z), (4, 4),
        lambda m, z, y: np.maximum((1 - y) * sigmoid(m, z), y * sigmoid(m, -z)), TERMS,
        draw=pairs(fractions)),
    "Categorical's loss": Formula(loss_of(nn.Categorical), cross_entropy, (4, 4),
                                  lambda m, z, y: distance(m, z).max(axis=1),
                                  "the largest distance, at least 1", draw=rows(4)),
    "Categorical's slope": Formula(
        delta_of(nn.Categorical), lambda m, z, y: softmax_of(m, z) - answered(z, y), (3, 3), one, "1",
        draw=rows(4)),
    "Ordinal's loss": Formula(loss_of(Ordinal), ordinal, (5, 5),
                              lambda m, z, y: np.maximum(1, abs(z[:, 0]) * 3), "3 z, at least 1",
                              draw=column(ranks)),
    "Ordinal's slope": Formula(delta_of(Ordinal), ordinal_slope, (4, 4), one, "1", draw=column(ranks)),
    "SquaredError's loss, sigmoid": Formula(
        loss_of(partial(squared_error, "sigmoid")), lambda m, z, y: (sigmoid(m, z[:, 0]) - y)**2, (3, 3),
        one, "1", draw=column(fractions)),
    "SquaredError's slope, sigmoid": Formula(
        delta_of(partial(squared_error, "sigmoid")), squared_sigmoid_slope, (3, 3), one, "1",
        draw=column(fractions)),
    "SquaredError's loss, softmax": Formula(
        loss_of(partial(squared_error, "softmax")), squared_softmax, (2, 2), one, "1", draw=rows(4)),
    "SquaredError's slope, softmax": Formula(
        delta_of(partial(squared_error, "softmax")), squared_softmax_slope, (2, 2), one, "1", draw=rows(4)),
}


# ---- errors ------------------------------------------------------------------------------------------------

def ulp(value, dtype):
    """Return the distance of neighbouring numbers of dtype at value; beyond the largest, that there."""
    last_step = np.ldexp(1.0, np.finfo(dtype).maxexp - 1)
    return np.spacing(np.minimum(abs(value), last_step).astype(dtype))
