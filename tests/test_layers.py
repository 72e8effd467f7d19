"""What holds for every layer: its gradients, its precision, one row, weights, copies, files, threads, NaN."""
import copy
import inspect
import pickle

import numpy as np
import pytest
from cases import LAYERS, STEP, Alone, network

import nnjit as nn
from nnjit import layers

N = 6
every_layer = pytest.mark.parametrize("case", [
    pytest.param(case, id=name, marks=[pytest.mark.compiled] * case.slow) for name, case in LAYERS.items()])


def data(case, n=24):
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, *case.input_shape)), rng.integers(3, size=n)


def bits(model):
    return {name: array.tobytes() for name, array in {**model.parameters(), **model.state()}.items()}


def train(model, X, y, optimizer, epochs=2, **options):
    return model.fit(X, y, optimizer, epochs=epochs, batch_size=7, seed=3, verbose=0, **options)


def test_the_table_has_every_layer():
    exported = {kind for kind in vars(layers).values() if inspect.isclass(kind)
                and issubclass(kind, layers.Layer)}
    exported -= {layers.Layer, layers.Activation}
    assert {type(case.make()) for case in LAYERS.values()} == exported
    assert all(getattr(nn, kind.__name__) is kind for kind in exported)


@every_layer
def test_every_argument_is_saved(case):
    layer = case.make()
    given = [name for name in inspect.signature(type(layer)).parameters if name != "activation"]    # a layer
    assert given == list(layer.config)
    assert all(hasattr(layer, name) for name in layer.config)


@every_layer
@pytest.mark.parametrize("step", [None, STEP])
def test_gradients(case, step):
    """Against differences of sum(delta a), over all entries of the input and the parameters."""
    alone = Alone(case)
    n = 5 if case.mixes_rows else 2
    x, ctx, rng = alone.rows(n), alone.context(n, step), np.random.default_rng(2)
    a = alone.forward(x, ctx)
    delta = rng.normal(size=a.shape)
    dx = alone.backward(x, a, delta, ctx)

    def slope(array, index, h=1e-4):
        centre, sums = array[index], []
        for offset in (-2, -1, 1, 2):
            array[index] = centre + offset * h
            sums.append(np.sum(delta * alone.forward(x, ctx)))
        array[index] = centre
        return np.dot([1, -8, 8, -1], sums) / (12 * h)

    found = {"x": dx, **{name: array.copy() for name, array in alone.layer.gradients.items()}}
    for name, array in {"x": x, **alone.layer.parameters}.items():
        expected = np.array([slope(array, index) for index in np.ndindex(array.shape)]).reshape(array.shape)
        np.testing.assert_allclose(found[name], expected, rtol=1e-7, atol=1e-8, err_msg=name)


@every_layer
def test_float32_stays_near_float64(case):
    single, double = Alone(case, "float32"), Alone(case)
    x, contexts = double.rows(N), [alone.context(N) for alone in (single, double)]
    for name, array in double.layer.parameters.items():
        single.layer.parameters[name][:] = array
    outputs = [alone.forward(x.astype(alone.dtype), ctx) for alone, ctx in zip((single, double), contexts)]
    assert outputs[0].dtype == np.float32
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-5, atol=1e-5)
    delta = np.random.default_rng(3).normal(size=outputs[1].shape)
    backward = [alone.backward(x.astype(alone.dtype), a, delta.astype(alone.dtype), ctx)
                for alone, a, ctx in zip((single, double), outputs, contexts)]
    np.testing.assert_allclose(*backward, rtol=1e-4, atol=1e-5)


@every_layer
@pytest.mark.parametrize("step", [None, STEP])
def test_a_row_does_not_depend_on_its_neighbours(case, step):
    """Also what is random: the last rows of a batch are drawn as a batch that begins with their number."""
    if case.mixes_rows and step is not None:
        pytest.skip("a row depends on its neighbours")
    alone = Alone(case)
    x = alone.rows(N)
    whole = alone.forward(x, alone.context(N, step))
    for first in (0, 2, N - 1):
        part = alone.forward(x[first:], alone.context(N - first, step, first_row=first))
        np.testing.assert_allclose(part, whole[first:], rtol=1e-13, atol=1e-15)


@every_layer
def test_a_step_is_random_where_it_should_be_and_always_the_same(case):
    alone = Alone(case)
    x = alone.rows(40)
    first, again, other, none = (alone.forward(x, alone.context(40, step))
                                 for step in (STEP, STEP, STEP + 1, None))
    assert np.array_equal(first, again)
    assert np.array_equal(first, other) != case.random
    assert np.array_equal(first, none) != (case.random or case.mixes_rows)


@every_layer
def test_scratch_alone_holds_what_a_call_leaves(case):
    """Two batches at once give what they give one after the other; nothing stays on the layer."""
    alone = Alone(case)
    before = dict(vars(alone.layer))
    batches = [(alone.rows(N, seed), alone.context(N, step)) for seed, step in ((1, 4), (2, 5))]
    deltas = [np.random.default_rng(seed).normal(size=(N, *alone.output_shape)) for seed in (3, 4)]

    def backward(outputs):
        return [alone.backward(x, a, delta, ctx) for (x, ctx), a, delta in zip(batches, outputs, deltas)]

    together = backward([alone.forward(x, ctx) for x, ctx in batches])
    apart = [alone.backward(x, alone.forward(x, ctx), delta, ctx) for (x, ctx), delta in zip(batches, deltas)]
    assert all(map(np.array_equal, together, apart))
    after = vars(alone.layer)
    assert after.keys() == before.keys() and all(after[name] is value for name, value in before.items())


@every_layer
def test_nan_stays_visible(case):
    alone = Alone(case)
    x = alone.rows(N)
    x[1] = np.nan
    a = alone.forward(x, alone.context(N, None))
    assert np.isnan(a[1]).any() and np.isfinite(np.delete(a, 1, axis=0)).all()


# ---- in a network ------------------------------------------------------------------------------------------

@every_layer
def test_a_row_of_weight_0_counts_for_nothing(case):
    (X, y), w = data(case), np.ones(24)
    w[3], model = 0, network(case)
    other = X.copy()
    other[3] = 5 * X[3] + 1
    for name, gradient in model.gradients(X, y, w, step=2).items():
        np.testing.assert_allclose(gradient, model.gradients(other, y, w, step=2)[name], rtol=1e-12,
                                   atol=1e-15)
    assert model.evaluate(X, y, w) == pytest.approx(model.evaluate(other, y, w), rel=1e-12)


@every_layer
@pytest.mark.parametrize("duplicate",
                         [copy.copy, copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))],
                         ids=["copy", "deepcopy", "pickle"])
def test_a_copy_trains_on_as_the_original(case, duplicate):
    X, y = data(case)
    model, optimizer = network(case), nn.Adam(nn.schedules.cosine(0.05, 9))
    train(model, X, y, optimizer)
    if duplicate is copy.copy:
        other, other_optimizer = copy.copy(model), copy.copy(optimizer)
    else:
        other, other_optimizer = duplicate((model, optimizer))
    assert bits(other) == bits(model) and np.array_equal(other.logits(X), model.logits(X))
    before = bits(model)
    train(other, X, y, other_optimizer)
    assert bits(model) == before != bits(other)    # they share nothing
    assert all(np.shares_memory(array, other.vector) for array in other.parameters().values())
    train(model, X, y, optimizer)
    assert bits(model) == bits(other)


@every_layer
def test_a_saved_network_is_the_same(case, tmp_path):
    X, y = data(case)
    model = network(case)
    train(model, X, y, nn.SGD(0.1))
    model.save(tmp_path / "model.npz")
    loaded = nn.load(tmp_path / "model.npz")
    assert repr(loaded.layers) == repr(model.layers)
    assert bits(loaded) == bits(model) and np.array_equal(loaded.logits(X), model.logits(X))
    train(loaded, X, y, nn.SGD(0.1)), train(model, X, y, nn.SGD(0.1))
    assert bits(loaded) == bits(model)


def own_layer(model, case):
    """Return the layer that the case is about."""
    return next(layer for layer in model.layers[2:] + model.layers if isinstance(layer, type(case.make())))


@every_layer
def test_a_layer_belongs_to_one_model(case):
    X, _ = data(case)
    model = network(case)
    before = model.logits(X)
    with pytest.raises(ValueError, match="belongs to another model.*copy_weights") as caught:
        nn.Sequential([own_layer(model, case), nn.Flatten(), nn.Dense(3)], nn.Categorical()).build(
            case.input_shape)
    assert "\n" not in str(caught.value)
    assert np.array_equal(model.logits(X), before)
    other = copy.copy(own_layer(model, case))    # a copy is free
    assert other.owner is None and not other.parameters


THREADS = """
import hashlib, json, sys
sys.path.insert(0, TESTS)
import numpy as np, nnjit as nn
from cases import LAYERS, network
found = []
for threads in (1, 2, 3, 4):
    nn.set_threads(threads)
    digest = hashlib.sha256()
    for case in LAYERS.values():
        model, rng = network(case, "float32"), np.random.default_rng(1)
        X, y = rng.normal(size=(300, *case.input_shape)), rng.integers(3, size=300)
        model.fit(X, y, nn.SGD(0.1), 2, 130, verbose=0)
        digest.update(model.vector.tobytes())
    found.append(digest.hexdigest())
print(json.dumps(found))
"""


@pytest.mark.compiled
def test_the_same_bits_at_any_number_of_threads(run_python):
    folder = repr(str(__import__("pathlib").Path(__file__).parent))
    assert len(set(run_python(THREADS.replace("TESTS", folder), NUMBA_NUM_THREADS="4"))) == 1
