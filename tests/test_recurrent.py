"""GRU and LSTM: against naive twins and PyTorch, over sequences of any lengths."""
import numpy as np
import pytest
from directions import check_gradient
from head_cases import check_refused
from naive import recurrent as naive

import nnjit as nn
from nnjit.kernels.recurrent import steps as packing
from nnjit.layers.initializers import orthogonal

KINDS = {
    "GRU": nn.GRU, "GRU, reset before": lambda *a, **k: nn.GRU(*a, reset_after=False, **k), "LSTM": nn.LSTM,
}
every_kind = pytest.mark.parametrize("kind", KINDS)
# sequences, steps, numbers, units: one of each, whole vectors and parts of one, more rows than a tile
LARGE = [(11, 7, 3, 33), (34, 4, 5, 16), (40, 9, 4, 65)]
SHAPES = pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 5, 2, 4), *(
    pytest.param(shape, marks=pytest.mark.compiled) for shape in LARGE)])


def network(layer, *more, dtype="float64"):
    return nn.Sequential([layer, *more], nn.Gaussian(), dtype)


def data(shape, seed=0, holes=False):
    N, T, D, _ = shape
    rng = np.random.default_rng(seed)
    mask = np.arange(T) < rng.integers(1, T + 1, N)[:, None]
    if holes:
        mask = rng.random((N, T)) < 0.6
        mask[np.arange(N), rng.integers(T, size=N)] = True
    return rng.normal(size=(N, T, D)), mask


def states_of(layer, x):
    """Return the naive twin's states after each step of a sequence."""
    W, U, b = (layer.parameters[name].astype(float) for name in "WUb")
    if isinstance(layer, nn.LSTM):
        return naive.lstm(x, W, U, b)
    return naive.gru(x, W, U, b, layer.reset_after)


def fill(model, seed=1):
    """Give all parameters numbers, also the biases."""
    rng = np.random.default_rng(seed)
    for array in model.parameters().values():
        array[...] = rng.normal(0, 0.5, array.shape)


@every_kind
@SHAPES
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("backwards", [False, True])
def test_states(kind, shape, dtype, bias, backwards):
    H, (X, mask) = shape[3], data(shape, holes=True)
    tolerance = {"rtol": 0, "atol": 400 * np.finfo(dtype).eps}
    last = network(KINDS[kind](H, bias=bias, go_backwards=backwards), nn.Dense(1), dtype=dtype)
    every = network(KINDS[kind](H, return_sequences=True, bias=bias, go_backwards=backwards), nn.Dense(1),
                    dtype=dtype)
    for model in (last.build(shape[1:3]), every.build(shape[1:3])):
        fill(model)
    found, at_each = last.activations(X, mask)[0], every.activations(X, mask)[0]
    assert found.dtype == dtype and (at_each[~mask] == 0).all()
    for n in range(shape[0]):
        x = X[n][mask[n]]
        expected = states_of(last.layers[0], x[::-1] if backwards else x)
        np.testing.assert_allclose(found[n], expected[-1], **tolerance)
        np.testing.assert_allclose(at_each[n][mask[n]], expected, **tolerance)


@every_kind
@pytest.mark.parametrize("at_every_step", [False, True])
def test_gradients_of_a_few_steps(kind, at_every_step):
    """Short enough to run uncompiled."""
    X, mask = data((3, 3, 2, 3), holes=True)
    layer = KINDS[kind](3, return_sequences=at_every_step, go_backwards=at_every_step)
    model = network(layer, nn.Dense(1)).build((3, 2))
    fill(model)
    check_gradient(model, X, X[:, :, 0] if at_every_step else X[:, 0, 0], mask=mask)


@pytest.mark.compiled
@every_kind
@pytest.mark.parametrize("shape", [(5, 4, 3, 2), (9, 3, 2, 17)])
@pytest.mark.parametrize("at_every_step", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_gradients_with_a_mask(kind, shape, at_every_step, backwards):
    """Against central differences over all entries of all parameters, with weights."""
    X, mask = data(shape, holes=True)
    rng = np.random.default_rng(3)
    y = rng.normal(size=shape[:2] if at_every_step else shape[0])
    w = rng.uniform(0.2, 2, y.shape)
    layer = KINDS[kind](shape[3], return_sequences=at_every_step, go_backwards=backwards)
    model = network(nn.Dense(3), nn.Tanh(), layer, nn.Dense(1)).build(shape[1:3])
    fill(model)
    found = model.gradients(X, y, w, mask=mask)
    for name, array in model.parameters().items():
        expected = np.empty_like(array)
        for index in np.ndindex(array.shape):
            centre, losses = array[index], []
            for offset in (-2e-3, -1e-3, 1e-3, 2e-3):
                array[index] = centre + offset
                losses.append(model.evaluate(X, y, w, mask=mask)["loss"])
            array[index] = centre
            expected[index] = np.dot([1, -8, 8, -1], losses) / 12e-3
        np.testing.assert_allclose(found[name], expected, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.compiled
@every_kind
def test_a_padded_batch_is_its_sequences_one_by_one(kind):
    shape = 21, 30, 4, 24
    X, mask = data(shape)
    model = network(KINDS[kind](24, return_sequences=True), KINDS[kind](7), nn.Dense(1)).build((30, 4))
    whole = model.logits(X, mask=mask)
    lists = model.logits([x[m] for x, m in zip(X, mask)])
    assert np.array_equal(lists, whole)
    for n in range(21):
        alone = network(KINDS[kind](24, return_sequences=True), KINDS[kind](7), nn.Dense(1))
        alone.build((int(mask[n].sum()), 4)).set_weights(model.get_weights())
        np.testing.assert_allclose(alone.logits(X[n][mask[n]][None]), whole[n:n + 1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("at_every_step", [False, True])
def test_pytorchs_packed_sequences(kind, at_every_step):
    torch = pytest.importorskip("torch")
    N, T, D, H = shape = 6, 9, 3, 5
    X, mask = data(shape)
    lengths = torch.from_numpy(mask.sum(axis=1))
    layer = KINDS[kind](H, return_sequences=at_every_step)
    model = network(layer, nn.Dense(1)).build((T, D))
    fill(model)
    theirs = getattr(torch.nn, kind)(D, H, batch_first=True, dtype=torch.float64)
    # PyTorch: r, z, n and i, f, g, o, transposed; its z mixes as ours
    order = [1, 0, 2] if kind == "GRU" else [0, 1, 2, 3]

    def theirs_of(array):
        parts = np.split(array, len(order), axis=-1)
        return torch.from_numpy(np.concatenate([parts[k] for k in order], axis=-1).T.copy())

    b = layer.parameters["b"] if kind == "GRU" else np.stack([layer.parameters["b"], np.zeros(4 * H)])
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(theirs_of(layer.parameters["W"]))
        theirs.weight_hh_l0.copy_(theirs_of(layer.parameters["U"]))
        theirs.bias_ih_l0.copy_(theirs_of(b[0])), theirs.bias_hh_l0.copy_(theirs_of(b[1]))
    x = torch.from_numpy(X).requires_grad_()
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    output, last = theirs(packed)
    last = (last[0] if kind == "LSTM" else last)[0]
    padded = torch.nn.utils.rnn.pad_packed_sequence(output, batch_first=True, total_length=T)[0]
    result = padded if at_every_step else last
    a = model.activations(X, mask)[0]
    np.testing.assert_allclose(a, result.detach().numpy(), rtol=0, atol=1e-13)
    weights = model.parameters()["1.W"][:, 0]
    y = np.zeros(a.shape[:-1])
    z = result @ torch.from_numpy(weights.copy()) + float(model.parameters()["1.b"][0])
    valid = torch.from_numpy(mask) if at_every_step else torch.ones(N)
    ((z**2 * valid).sum() / valid.sum()).backward()
    found = model.gradients(X, y, mask=mask)
    for name, theirs_gradient in (("0.W", theirs.weight_ih_l0.grad), ("0.U", theirs.weight_hh_l0.grad)):
        parts = np.split(theirs_gradient.numpy().T, len(order), axis=-1)
        expected = np.concatenate([parts[order.index(k)] for k in range(len(order))], axis=-1)
        np.testing.assert_allclose(found[name], expected, rtol=1e-11, atol=1e-13, err_msg=name)


def test_how_they_begin():
    """As Keras's: U with orthonormal rows, biases 0 but for the LSTM's forget gate."""
    gru, lstm = (network(layer, nn.Dense(1)).build((5, 7)) for layer in (nn.GRU(6), nn.LSTM(6)))
    for model in (gru, lstm):
        U = model.parameters()["0.U"]
        np.testing.assert_allclose(U @ U.T, np.eye(6), atol=1e-12)
    assert gru.parameters()["0.b"].shape == (2, 18) and not gru.parameters()["0.b"].any()
    assert lstm.parameters()["0.b"].tolist() == [0] * 6 + [1] * 6 + [0] * 12
    assert network(nn.GRU(6, reset_after=False), nn.Dense(1)).build((5, 7)).parameters()["0.b"].shape == (18,)
    assert orthogonal(np.random.default_rng(0), (2, 8)).shape == (2, 8)


def test_packing():
    mask = np.array([[1, 0, 1, 0], [0, 1, 1, 1], [1, 0, 0, 0]], bool)
    lengths, first, order = (np.empty(3, np.int64) for _ in range(3))
    places = np.empty(12, np.int64)
    assert packing.pack_steps(mask, lengths, first, order, places) == 6
    assert lengths.tolist() == [2, 3, 1] and first.tolist() == [0, 2, 5] and order.tolist() == [1, 0, 2]
    assert places[:6].tolist() == [0, 2, 5, 6, 7, 8]


@pytest.mark.compiled
def test_the_same_bits_at_any_number_of_threads(run_python):
    found = run_python("""
import hashlib, json
import numpy as np, nnjit as nn
rng = np.random.default_rng(1)
X, y = rng.normal(size=(90, 20, 5)).astype(np.float32), rng.integers(3, size=(90, 20))
mask = np.arange(20) < rng.integers(1, 21, 90)[:, None]
found = []
for threads in (1, 2, 3, 4):
    nn.set_threads(threads)
    digest = hashlib.sha256()
    for layer in (nn.GRU(19, True), nn.GRU(19, True, reset_after=False), nn.LSTM(19, True)):
        model = nn.Sequential([layer, nn.Conv1D(8, 3), nn.BatchNormalization(), nn.Dense(3)],
                              nn.Categorical())
        model.fit(X, y, nn.Adam(0.01), 2, 64, mask=mask, verbose=0)
        digest.update(model.vector.tobytes() + model.predict_proba(X, mask=mask).tobytes())
    found.append(digest.hexdigest())
print(json.dumps(found))
""", NUMBA_NUM_THREADS="4")
    assert len(set(found)) == 1


@pytest.mark.parametrize("exception, message, make", [
    (ValueError, "GRU units: got 0", lambda: nn.GRU(0)),
    (TypeError, "LSTM units: got 2.0", lambda: nn.LSTM(2.0)),
    (TypeError, "GRU return_sequences: got 'yes'", lambda: nn.GRU(3, "yes")),
    (TypeError, "GRU reset_after: got 1", lambda: nn.GRU(3, reset_after=1)),
    (TypeError, "LSTM go_backwards: got None", lambda: nn.LSTM(3, go_backwards=None)),
    (ValueError, r"GRU: got rows of shape \(4,\), expected sequences \(T, D\)",
     lambda: network(nn.GRU(3), nn.Dense(1)).build(4)),
])
def test_mistakes(exception, message, make):
    check_refused(exception, message, make)
