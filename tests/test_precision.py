"""Every formula of the kernels against wider numbers, those against mpmath, and float32 beside float64."""
import copy
import fcntl
import json

import mpmath
import numba
import numpy as np
import pytest
from formulas import FORMULAS, Exact, Wide, numbers, ulp
from scale import TORTURE, times

import nnjit as nn

COMPILED = not numba.config.DISABLE_JIT
WIDER = {np.float32: np.float64, np.float64: np.longdouble}
NOTHING_WIDER = np.finfo(np.longdouble).nmant < 63    # than float64: so it is with some compilers
dtypes = pytest.mark.parametrize("dtype", WIDER)
formulas = pytest.mark.parametrize("name", FORMULAS)
pytestmark = pytest.mark.torture


def arguments(formula, dtype, n):
    """Return about n arguments of the formula."""
    rng = np.random.default_rng(7)
    edges = formula.edges[dtype is np.float64]
    return formula.draw(rng, dtype, n) if formula.draw else (numbers(rng, dtype, n, edges, formula.domain),)


def errors(got, true, unit, dtype):
    """Return how many units got is off; what dtype cannot hold counts as the number after its largest."""
    following = np.ldexp(true.dtype.type(1), np.finfo(dtype).maxexp)
    return abs(np.clip(got, -following, following) - np.clip(true, -following, following)) / ulp(unit, dtype)


def keep(root, name, found):
    """Add what was measured to build/precision.jsonl, and write all that is there as build/precision.md."""
    with open(root / "build" / "precision.jsonl", "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)    # several processes test
        file.write(json.dumps([name, found]) + "\n")
        file.seek(0)
        table = {}
        for name, found in map(json.loads, file):    # a later run's goes before
            table.setdefault(name, {}).update(found)
        lines = ["| formula | float32 | float64 | worst at | units in the last place of |", "|" + "---|" * 5]
        for name, formula in FORMULAS.items():
            if len(row := table.get(name, {})) == 2:
                worst = max(row.values())[1]
                lines.append(f"| {name} | {row['float32'][0]:.2f} | {row['float64'][0]:.2f} | {worst} | "
                             f"{formula.of} |")
        lines += ["", "| training | float32 from float64 |", "|---|---|"]
        lines += [f"| {name} | {table[name]['apart']:.0e} |" for name in TRAININGS if name in table]
        (root / "build" / "precision.md").write_text("\n".join(lines) + "\n")


def wider(formula, dtype, given):
    """Return the true results, and of what the units are, in the next wider type."""
    given = [a.astype(WIDER[dtype]) if a.dtype == dtype else a for a in given]
    return true_and_unit(formula, Wide(dtype), given)


def true_and_unit(formula, functions, given):
    true = formula.true(functions, *given)
    unit = true if formula.unit is None else formula.unit(functions, *given)
    return true, np.broadcast_to(unit, true.shape)


@formulas
@dtypes
def test_within_its_units_of_wider_numbers(name, dtype, count, request):
    if NOTHING_WIDER and dtype is np.float64:
        pytest.skip("no type is wider than float64 here")
    formula = FORMULAS[name]
    given = arguments(formula, dtype, times(20_000, 1_000_000) if COMPILED else 400)
    with np.errstate(all="ignore"):
        got = formula.kernel(*given)
        true, unit = wider(formula, dtype, given)
        off = errors(got, true, unit, dtype)
    worst = np.unravel_index(off.argmax(), off.shape)
    at = ", ".join(str(a[worst[:a.ndim]] if a.ndim == 1 else a[worst[0]]) for a in given)
    assert got.dtype == dtype and off[worst] < formula.bounds[dtype is np.float64], at
    count("results of formulas within their units", off.size)
    if TORTURE:
        keep(request.config.rootpath, name, {np.dtype(dtype).name: (float(off[worst]), at)})


@formulas
@dtypes
def test_against_mpmath(name, dtype, count):
    """The kernel within its units, and the wider numbers, which stand for the truth, within a hundredth."""
    formula = FORMULAS[name]
    given = arguments(formula, dtype, 1500)
    some = slice(None) if TORTURE else np.random.default_rng(1).permutation(len(given[0]))[:50]
    given = [a[some] for a in given]
    with np.errstate(all="ignore"), mpmath.workdps(50):
        got = formula.kernel(*given)
        exact = [as_exact(a) if a.dtype == dtype else a for a in given]
        true, unit = true_and_unit(formula, Exact(dtype), exact)
        bound, last_place = formula.bounds[dtype is np.float64], as_exact(ulp(unit.astype(float), dtype))
        assert (off_by(got, true, dtype) < bound * last_place).all()
        if not (NOTHING_WIDER and dtype is np.float64):
            assert (off_by(wider(formula, dtype, given)[0], true, dtype) < last_place / 100).all()
    count("results and wider numbers against mpmath", true.size)


as_exact = np.frompyfunc(mpmath.mpmathify, 1, 1)


def off_by(got, true, dtype):
    """Return the distances; what dtype cannot hold counts as the number after its largest."""
    following = mpmath.mpf(2)**np.finfo(dtype).maxexp
    return abs(np.clip(as_exact(got), -following, following) - np.clip(true, -following, following))


@formulas
@dtypes
def test_a_result_does_not_depend_on_its_neighbours(name, dtype):
    """One alone, for which no vector is filled, has the same bits."""
    formula = FORMULAS[name]
    given = arguments(formula, dtype, 3000)
    some = np.random.default_rng(2).permutation(len(given[0]))[:times(100, 3000) if COMPILED else 20]
    given = [a[some] for a in given]
    with np.errstate(over="ignore"):    # of losses that the dtype cannot hold
        alone = [formula.kernel(*[a[i:i + 1] for a in given]) for i in range(len(some))]
        together = formula.kernel(*given)
    np.testing.assert_array_equal(np.concatenate(alone), together)


# ---- a training --------------------------------------------------------------------------------------------

def spirals(rng, n):
    """Return points of three spirals, and which it is."""
    y = rng.integers(3, size=n)
    angle = rng.uniform(0, 4, n)
    turned = angle + y * 2 * np.pi / 3
    points = angle[:, None] * np.stack([np.cos(turned), np.sin(turned)], axis=1) / 2
    return points + rng.normal(size=(n, 2)) * 0.05, y


def stripes(rng, n):
    """Return images of level, upright and slanting stripes under noise, and which it is."""
    y, at = rng.integers(3, size=n), np.arange(8)
    way = np.stack([0 * at[:, None] + at, at[:, None] + 0 * at, at[:, None] + at])[y]
    images = np.sin(way * 1.5 + rng.uniform(0, 6, (n, 1, 1))) + rng.normal(size=(n, 8, 8))
    return images[..., None], y


def sums(rng, n):
    """Return sequences of two numbers, and the sum of the first ones where the second is 1."""
    X = np.stack([rng.normal(size=(n, 12)), rng.random((n, 12)) < 0.3], axis=2)
    return X, (X[..., 0] * X[..., 1]).sum(axis=1)


PART = 1e-5    # how much of the first loss the curves may part
# data, layers, head, optimizer
TRAININGS = {
    "dense": (spirals, lambda: [nn.Dense(32), nn.Tanh(), nn.Dense(32), nn.GELU(), nn.Dense(3)],
              nn.Categorical, lambda: nn.Adam(0.003)),
    "normalised, with dropout": (spirals, lambda: [
        nn.Dense(32), nn.BatchNormalization(), nn.ReLU(), nn.Dropout(0.2), nn.Dense(32),
        nn.LayerNormalization(), nn.SiLU(), nn.Dense(3)], nn.Categorical, lambda: nn.SGD(0.05, momentum=0.9)),
    "CNN": (stripes, lambda: [nn.Conv2D(8, 3), nn.ReLU(), nn.MaxPool2D(2), nn.Conv2D(8, 3), nn.ReLU(),
                              nn.Flatten(), nn.Dense(3)], nn.Categorical, lambda: nn.Adam(0.002)),
    "GRU": (sums, lambda: [nn.GRU(16), nn.Dense(1)], nn.Gaussian, lambda: nn.Adam(0.005)),
    "LSTM": (sums, lambda: [nn.LSTM(16), nn.Dense(1)], nn.Huber, lambda: nn.RMSprop(0.002)),
}


@pytest.mark.compiled
@pytest.mark.parametrize("name", TRAININGS)
def test_float32_learns_as_float64(name, request):
    """The same network on the same batches: the mean losses of every 20 steps stay together, and fall."""
    make_data, layers, head, optimizer = TRAININGS[name]
    (X, y), curves, first = make_data(np.random.default_rng(0), 640), [], None
    for dtype in ("float64", "float32"):
        model = nn.Sequential(layers(), head(), dtype).build(X.shape[1:], seed=1)
        if first is not None:
            model.set_weights(first.get_weights())
        first = copy.deepcopy(model)
        curves.append(model.fit(X, y, optimizer(), epochs=times(3, 50), batch_size=32, seed=1,
                                verbose=0).history["loss"])
    double, single = map(np.array, curves)
    apart = abs(single - double).max() / double[0]
    assert apart < PART and double[-1] < times(1, 0.6) * double[0]
    if TORTURE:
        keep(request.config.rootpath, name, {"apart": float(apart)})
