"""Inputs: damaged matrices, the scale that was trained on, bytes and images, rows beside each other."""
import warnings

import numpy as np
import pytest
from scipy import sparse

import nnjit as nn
from nnjit.inputs import rows, scale
from nnjit.inputs.matrices import as_csr

# ---- damaged matrices --------------------------------------------------------------------------------------


def matrix(form, dtype=np.int32):
    """Return a sparse matrix (6, 8) of the format, with nonzeros in every row."""
    X = np.random.default_rng(1).normal(size=(6, 8)) * (np.arange(48).reshape(6, 8) % 3 == 0)
    found = sparse.coo_array(X).asformat(form)
    if form in ("csr", "csc", "bsr"):
        found.indptr, found.indices = found.indptr.astype(dtype), found.indices.astype(dtype)
    return found


def put(array, place, value):
    array[place] = value


DAMAGE = {
    "an index too large": lambda X: put(X.indices, 3, 8),
    "the last index too large": lambda X: put(X.indices, -1, 2**31 - 1),
    "an index below 0": lambda X: put(X.indices, 0, -1),
    "an index below 0 that follows another": lambda X: put(X.indices, 1, -1),
    "indices that do not fit a word": lambda X: put(X.indices, 2, 2**16 + 1),
    "an indptr that descends": lambda X: put(X.indptr, 1, X.indptr[2] + 1),
    "an indptr that begins late": lambda X: put(X.indptr, 0, 1),
    "an indptr below 0": lambda X: put(X.indptr, 0, -1),
    "an indptr that ends late": lambda X: put(X.indptr, -1, X.indices.size + 1),
    "an indptr that goes too far and comes back": lambda X: put(X.indptr, 1, 10**6),
    "a short indptr": lambda X: setattr(X, "indptr", X.indptr[:-1]),
    "a long indptr": lambda X: setattr(X, "indptr", np.append(X.indptr, X.indptr[-1])),
    "too few numbers": lambda X: setattr(X, "data", X.data[:-1]),
    "too few indices": lambda X: setattr(X, "indices", X.indices[:-1]),
    "indices that are no integers": lambda X: setattr(X, "indices", X.indices.astype(float)),
    "numbers in another dimension": lambda X: setattr(X, "data", X.data[..., None]),
    "numbers of no size": lambda X: setattr(X, "data", X.data[..., None][..., :0]),
    "indices in two dimensions": lambda X: setattr(X, "indices", X.indices.reshape(1, -1)),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("form", ["csr", "csc", "bsr"])
@pytest.mark.parametrize("flagged", [False, True])
def test_a_damaged_matrix_is_refused(damage, form, flagged):
    X = matrix(form)
    if flagged and form != "bsr":
        assert X.has_canonical_format    # which SciPy remembers
    DAMAGE[damage](X)
    model = nn.Sequential([nn.Dense(3)], nn.Categorical()).build(8)
    for call in (model.predict, lambda X: model.fit(X, np.arange(6) % 3, nn.SGD(), verbose=0),
                 lambda X: model.logits(X, sparse=False), model.activations):
        with pytest.raises(ValueError, match=rf"^X: got a {form} matrix with .*, expected .*8\)") as caught:
            call(X)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [
    lambda X: put(X.row, 0, 6), lambda X: put(X.col, 0, 8), lambda X: put(X.row, -1, -1),
    lambda X: setattr(X, "data", X.data[1:]), lambda X: setattr(X, "data", X.data[:, None])],
    ids=["row", "column", "below 0", "numbers", "dimensions"])
def test_damaged_coordinates_are_refused(change):
    X = sparse.coo_matrix(matrix("coo"))
    change(X)
    with pytest.raises(ValueError, match="^X: got a coo matrix with "):
        rows.validate(X, (8,))


def test_a_diagonal_too_few_is_refused():
    X = sparse.dia_matrix(np.eye(6) + np.eye(6, k=1))
    X.data = X.data[:1]
    with pytest.raises(ValueError, match="^X: got a dia matrix with numbers of shape"):
        rows.validate(X, (6,))


@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo"])
def test_masked_numbers_of_a_matrix_are_refused(form):
    X = matrix(form)
    X.data = np.ma.masked_array(X.data, X.data > 0)
    with pytest.raises(TypeError, match="^X: got a masked array"):
        rows.validate(X, (8,))


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo", "dia", "lil", "dok"])
def test_sound_matrices_become_canonical(form, dtype):
    X = matrix(form, dtype)
    found = as_csr(X)
    assert np.array_equal(found.toarray(), X.toarray())
    assert form != "csr" or np.shares_memory(found.indices, X.indices)
    for i in range(6):
        assert (np.diff(found.indices[found.indptr[i]:found.indptr[i + 1]]) > 0).all()


def test_unordered_and_repeated_columns_are_sorted_and_added_whatever_scipy_says():
    X = matrix("csr")
    X.indices[:3], before = [5, 0, 5], X.data.copy()
    X.has_canonical_format = True
    expected = np.zeros((6, 8))
    for i in range(6):
        for p in range(X.indptr[i], X.indptr[i + 1]):
            expected[i, X.indices[p]] += X.data[p]
    assert np.array_equal(as_csr(X).toarray(), expected)
    assert X.indices[:3].tolist() == [5, 0, 5] and np.array_equal(X.data, before)
    model = nn.Sequential([nn.Dense(3)], nn.Categorical(), "float64").build(8)
    np.testing.assert_allclose(model.logits(X), model.logits(expected), rtol=1e-12)


def test_a_matrix_without_nonzeros():
    model = nn.Sequential([nn.Dense(3)], nn.Categorical()).build(8)
    assert not model.logits(sparse.csr_array((4, 8))).any()


# ---- the scale ---------------------------------------------------------------------------------------------

def trained(X, layers=(), **options):
    layers = [*layers, nn.Dense(2)]
    model = nn.Sequential(layers, nn.Categorical())
    model.fit(X, np.arange(X.shape[0]) % 2, nn.SGD(), verbose=0, **options)
    return model


def pixels(N=40, shape=(6,), seed=0):
    X = np.random.default_rng(seed).integers(60, 256, size=(N, *shape), dtype=np.uint8)
    X.reshape(N, -1)[:, 0] = 255
    return X


UNIT, BYTES, IMAGES = pixels() / 255, pixels(), pixels(shape=(4, 4, 1))
TO_255 = "got numbers up to 255"


def image_model(X):
    return trained(X, [nn.Conv2D(2, 3), nn.Flatten()])


@pytest.mark.parametrize("make, X, message", [
    (lambda: trained(UNIT), BYTES, f"{TO_255}, expected up to 1 as in training; divide by 255"),
    (lambda: trained(UNIT), BYTES.astype(float), f"{TO_255}, expected up to 1 as in training; divide by 255"),
    (lambda: trained(UNIT), -1000 * UNIT, "got numbers up to 1e+03, expected up to 1 as in training; scale"),
    (lambda: trained(sparse.csr_array(UNIT)), sparse.csr_array(BYTES), f"{TO_255}, expected up to 1"),
    (lambda: trained(BYTES), UNIT, "got numbers up to 1, expected 255 to 255 as in training; scale"),
    (lambda: image_model(IMAGES), IMAGES.astype(float), f"{TO_255}, expected up to 1"),
    (lambda: image_model(IMAGES / 255), IMAGES.astype(np.int64), f"{TO_255}, expected up to 1"),
    (lambda: image_model(IMAGES.astype(float)), IMAGES, "got numbers up to 1, expected 255 to 255"),
], ids=["bytes", "floats", "large", "matrix", "small", "images", "whole numbers", "bytes divided"])
@pytest.mark.parametrize("N", [1, 40])
def test_another_scale_than_in_training_warns_once_a_call(make, X, message, N, tmp_path):
    model, y = make(), np.arange(N) % 2
    model.save(tmp_path / "model.npz")
    for network in (model, nn.load(tmp_path / "model.npz")):
        for call in (network.predict, network.predict_proba, network.logits, network.activations,
                     lambda X, network=network: network.evaluate(X, y)):
            with pytest.warns(UserWarning) as caught:
                call(X[:N])
            assert len(caught) == 1 and f"X: {message}" in str(caught[0].message)
    with pytest.warns(UserWarning, match="X: got numbers") as caught:
        model.predict(X[:N])
    assert caught[0].filename == __file__


def test_validation_data_of_another_scale_warns():
    with pytest.warns(UserWarning, match="X: got numbers up to 255, expected up to 1"):
        trained(UNIT, validation_data=(BYTES, np.arange(40) % 2))


def test_many_rows_are_sampled():
    X = pixels(5000)
    model = trained(X / 255, batch_size=500)
    assert model.input_scale.highest == 1
    with pytest.warns(UserWarning, match="X: got numbers up to 255"):
        model.predict(X)


NORMAL = np.random.default_rng(2).normal(size=(200, 3))


@pytest.mark.parametrize("X, inputs", [
    (BYTES, [np.zeros((1, 6)), np.zeros((90, 6))]), (np.zeros((9, 6)), [BYTES]),
    (UNIT, [UNIT, UNIT[:1], 3 * UNIT, 0.01 * UNIT]),
    (NORMAL, [*NORMAL[:, None], NORMAL / 1000, 30 * NORMAL]),
    (np.vstack([BYTES, np.ones((40, 6))]), [UNIT, BYTES, np.ones((1, 6))]),
], ids=["rows of 0", "only rows of 0", "nearly the same", "standardised", "small and large"])
def test_ordinary_inputs_do_not_warn(X, inputs):
    """A standardised row may be near 0, and a network trained on rows of all scales expects any."""
    model = trained(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for X in inputs:
            model.predict(X)


def test_a_model_remembers_all_that_it_was_trained_on():
    model = trained(UNIT)
    model.fit(BYTES, np.arange(40) % 2, nn.SGD(), verbose=0)
    assert model.input_scale == (scale.measure(UNIT).lowest, 255)
    model.predict(UNIT)
    model.predict(BYTES)
    assert model.build(6).input_scale is None
    with pytest.raises(ValueError):
        model.fit(BYTES, np.arange(40) % 2, nn.SGD(), verbose=0, validation_data=(UNIT[:, :2], [0, 1]))
    assert model.input_scale is None


# ---- bytes and images --------------------------------------------------------------------------------------

IMAGE_FIRST = [nn.Conv2D(2, 3), nn.Conv2DTranspose(2, 3), nn.MaxPool2D(), nn.AveragePool2D(),
               nn.GlobalAveragePool2D(), nn.RandomFlip(), nn.RandomShift(1), nn.Flatten()]
ELEMENTWISE = [nn.Tanh(), nn.ReLU(), nn.Sigmoid(), nn.Dropout(0.5)]


@pytest.mark.parametrize("layer", [*IMAGE_FIRST, *ELEMENTWISE], ids=repr)
def test_the_first_layer_decides_whether_bytes_are_images(layer):
    """Whatever the number of dimensions; an elementwise layer leaves it to the next."""
    rest = [] if isinstance(layer, nn.GlobalAveragePool2D) else [nn.Flatten()]
    model = nn.Sequential([layer, *rest, nn.Dense(2)], nn.Categorical(), "float64").build((4, 4, 1))
    np.testing.assert_allclose(model.logits(IMAGES), model.logits(IMAGES / 255), rtol=1e-12, atol=1e-14)
    assert layer.input_kind == ("images" if layer in IMAGE_FIRST else None)


@pytest.mark.parametrize("first", [nn.Dense(3), nn.Dropout(0.5), nn.Tanh()], ids=repr)
def test_bytes_before_a_dense_layer_are_numbers(first):
    rows = IMAGES.reshape(len(IMAGES), -1)
    model = nn.Sequential([first, nn.Dense(2)], nn.Categorical(), "float64").build(rows.shape[1])
    np.testing.assert_allclose(model.logits(rows), model.logits(rows.astype(float)), rtol=1e-12, atol=1e-14)


def test_flat_rows_of_bytes_are_numbers_for_dense_and_images_for_flatten():
    dense = nn.Sequential([nn.Dense(2)], nn.Categorical(), "float64").build(6)
    assert np.array_equal(dense.logits(BYTES), dense.logits(BYTES.astype(float)))
    flat = nn.Sequential([nn.Flatten(), nn.Dense(2)], nn.Categorical(), "float64").build(6)
    for X in (BYTES, sparse.csr_array(BYTES)):
        np.testing.assert_allclose(flat.logits(X), flat.logits(BYTES / 255), rtol=1e-12, atol=1e-14)


# ---- rows that depend on themselves only -------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", ["array", "matrix"])
@pytest.mark.parametrize("density", [1, 0.5, 0.1])
def test_without_zeros_a_row_of_the_first_product_depends_on_itself_only(dtype, given, density):
    """With sparse=True, whatever the number of rows beside it, and their order."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(600, 300)) * (rng.random((600, 300)) < density)
    model = nn.Sequential([nn.Dense(33)], nn.Categorical(), dtype).build(300)
    convert = sparse.csr_array if given == "matrix" else np.asarray
    z = model.logits(convert(X), sparse=True)
    for N in (1, 2, 7, 8, 9, 16, 17, 33, 100, 257, 599):
        assert np.array_equal(model.logits(convert(X[:N]), sparse=True), z[:N])
    order = rng.permutation(600)
    assert np.array_equal(model.logits(convert(X[order]), sparse=True), z[order])
    assert np.array_equal(model.logits(convert(X[::-7]), sparse=True), z[::-7])
