"""Saved models: the same bits again, files replaced whole or not at all, and no code in what is loaded."""
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

import nnjit as nn
from nnjit import checkpoint


def new_model(dtype="float64"):
    """Return a built network with every kind of layer, its parameters unlike those of a new one."""
    layers = [nn.Dense(5), nn.Tanh(), nn.Dropout(0.25), nn.Dense(4, bias=False), nn.Sigmoid(), nn.Dense(6),
              nn.ReLU(), nn.Dense(3)]
    model = nn.Sequential(layers, head=nn.Categorical(), dtype=dtype).build(7, seed=1)
    for array in model.parameters().values():
        array += np.linspace(-0.3, 0.3, array.size, dtype=dtype).reshape(array.shape)
    return model


@pytest.fixture
def path(tmp_path):
    """The file of a saved model."""
    path = tmp_path / "model.npz"
    new_model().save(path)
    return path


def members(path):
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


# ---- there and back ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_come_back(dtype, tmp_path, rng):
    model = new_model(dtype)
    model.save(tmp_path / "model.npz")
    loaded = nn.load(tmp_path / "model.npz")
    assert loaded.summary() == model.summary()
    assert (loaded.dtype, loaded.input_shape) == (model.dtype, model.input_shape)
    assert loaded.parameters().keys() == model.parameters().keys()
    for name, array in model.parameters().items():
        assert loaded.parameters()[name].dtype == dtype
        assert loaded.parameters()[name].tobytes() == array.tobytes()
    X = rng.normal(size=(9, 7))
    assert loaded.logits(X).tobytes() == model.logits(X).tobytes()
    assert np.array_equal(loaded.predict(X), model.predict(X))


def test_a_loaded_model_trains_on(tmp_path, rng):
    """Its dropout is as active as it was: one more step leads both models to the same parameters."""
    X, y = rng.normal(size=(6, 7)), [0, 1, 2, 0, 1, 2]
    model = new_model()
    model.save(tmp_path / "model.npz")
    loaded = nn.load(tmp_path / "model.npz")
    for network in (model, loaded):
        network.fit(X, y, nn.SGD(0.1), batch_size=3, seed=4, verbose=0)
    assert loaded.vector.tobytes() == model.vector.tobytes()
    assert loaded.vector.tobytes() != new_model().vector.tobytes()


def test_extreme_numbers_come_back(tmp_path):
    """NaN, infinities, -0 and the smallest number, in the bits that they had."""
    model = new_model("float32")
    model.parameters()["0.b"][:] = [np.nan, np.inf, -np.inf, -0.0, 1e-45]
    model.save(tmp_path / "model.npz")
    loaded = nn.load(tmp_path / "model.npz")
    assert loaded.parameters()["0.b"].tobytes() == model.parameters()["0.b"].tobytes()


@pytest.mark.parametrize("name", ["model", "model.weights", "a model.npz", ".hidden"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_stays_as_given(name, kind, tmp_path):
    path = kind(tmp_path / name)
    new_model().save(path)
    assert os.listdir(tmp_path) == [name]
    assert nn.load(path).summary() == new_model().summary()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_saved_file_has_the_permissions_of_any_other(path, tmp_path):
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_the_file_holds_plain_arrays_and_text(path):
    """Any NumPy reads it, and nothing in it is pickled."""
    arrays = members(path)
    description = json.loads(arrays.pop("description").tobytes())
    assert description["format"] == 2
    assert [layer["kind"] for layer in description["layers"]] == [
        "Dense", "Tanh", "Dropout", "Dense", "Sigmoid", "Dense", "ReLU", "Dense"]
    config = {"units": 4, "bias": False, "init": "glorot_uniform", "l1": 0.0, "l2": 0.0}
    assert description["layers"][3]["config"] == config
    shapes = {"0.W": (7, 5), "0.b": (5,), "3.W": (5, 4), "5.W": (4, 6), "5.b": (6,), "7.W": (6, 3),
              "7.b": (3,)}
    assert {name: array.shape for name, array in arrays.items()} == {
        f"parameters/{name}": shape for name, shape in shapes.items()}


def test_a_file_of_format_1_is_read():
    """As version 0.1 wrote it, with images, several heads and a head's own parameters."""
    folder = Path(__file__).parent / "data"
    expected = json.loads((folder / "format1.json").read_text(encoding="utf-8"))
    assert json.loads(members(folder / "format1.npz")["description"].tobytes())["format"] == 1
    model = nn.load(folder / "format1.npz")
    np.testing.assert_allclose(model.logits(expected["X"]), expected["logits"], rtol=1e-12)
    assert model.evaluate(expected["X"], expected["y"])["loss"] == pytest.approx(expected["loss"], rel=1e-12)
    assert repr(model.head).startswith("Heads(kind=Categorical(class_weight={0: 2.0}), grade=Ordinal(")


@pytest.mark.parametrize("init, kept", [
    ("he_normal", "he_normal"), (lambda rng, shape: np.ones(shape), "glorot_uniform")])
def test_an_initialiser_is_kept_where_it_has_a_name(tmp_path, init, kept):
    layers = [nn.Conv2D(2, 3, init=init), nn.Conv2DTranspose(2, 3, init=init), nn.Flatten(),
              nn.Dense(3, init=init)]
    nn.Sequential(layers, head=nn.Categorical()).build((4, 4, 1)).save(tmp_path / "model.npz")
    loaded = nn.load(tmp_path / "model.npz").layers
    assert [loaded[i].init for i in (0, 1, 3)] == 3 * [kept]


# ---- saving that fails -------------------------------------------------------------------------------------

def test_a_failed_write_keeps_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        new_model().save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_an_interrupted_write_keeps_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def interrupted(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        new_model().save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="none"):
        new_model().save(tmp_path / "none" / "model.npz")


def test_a_model_that_is_not_built(tmp_path):
    model = nn.Sequential([nn.Dense(3)], head=nn.Categorical())
    with pytest.raises(ValueError, match="not built yet"):
        model.save(tmp_path / "model.npz")
    assert os.listdir(tmp_path) == []


def test_a_description_has_a_largest_size(path, monkeypatch):
    size = members(path)["description"].size
    monkeypatch.setattr(checkpoint, "_MOST_TEXT", size)
    new_model().save(path)
    assert nn.load(path).summary() == new_model().summary()
    monkeypatch.setattr(checkpoint, "_MOST_TEXT", size - 1)
    with pytest.raises(ValueError, match=f"^save: got a description of {size:,} bytes, expected at most"):
        new_model().save(path)


def test_a_description_has_so_many_parts_and_values_at_most(path, monkeypatch):
    text = members(path)["description"].tobytes()
    values = sum(text.count(mark) for mark in (b",", b"[", b"{"))
    for name, allowed, refused, what in (
            ("_MOST_PARTS", 9, 8, "more than 8 layers and heads"),
            ("room", lambda size: 64 * values, lambda size: 64 * values - 1,    # 64 bytes for each
             f"{values} values in {len(text):,} bytes")):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, name, allowed)
            assert nn.load(path).summary() == new_model().summary()
            patch.setattr(checkpoint, name, refused)
            check_refused(path, f"description: got {what}, expected fewer")


# ---- parts of the user's own -------------------------------------------------------------------------------

class Swish(nn.Tanh):
    """A layer of the user's own."""


class Scaled(nn.Dense):
    """One that is made from more than its base, of any plain values."""

    config = ("units", "scales", "inner")

    def __init__(self, units, scales=(1.0,), inner=None):
        super().__init__(units)
        self.scales, self.inner = scales, inner


class Dense(nn.Dense):
    """One that bears the name of a layer of the package."""


class Sure(nn.Categorical):
    """A head of the user's own."""


OWN = {kind.__name__: kind for kind in (Swish, Scaled, Dense, Sure)}


def test_parts_of_the_users_own_come_back(tmp_path, rng):
    scales = {"low": [np.float32(0.5), None], "high": (2, True, "x")}
    layers = [Scaled(4, scales, nn.Dropout(0.25)), Swish(), nn.Dense(5), Dense(3)]
    model = nn.Sequential(layers, Sure(temperature=2.0)).build(2)
    model.save(tmp_path / "model.npz")
    loaded = nn.load(tmp_path / "model.npz", custom=OWN)
    assert [type(layer) for layer in loaded.layers] == [Scaled, Swish, nn.Dense, Dense]
    assert type(loaded.head) is Sure and loaded.head.temperature == 2
    assert loaded.layers[0].scales == {"low": [0.5, None], "high": [2, True, "x"]}
    assert isinstance(loaded.layers[0].inner, nn.Dropout) and loaded.layers[0].inner.rate == 0.25
    X = rng.normal(size=(3, 2))
    assert loaded.logits(X).tobytes() == model.logits(X).tobytes()
    for name in OWN:
        some = {other: kind for other, kind in OWN.items() if other != name}
        reason = f"^custom: got no class for '{name}', .*custom={{'{name}': {name}}}$"
        with pytest.raises(ValueError, match=reason) as caught:
            nn.load(tmp_path / "model.npz", custom=some)
        assert type(caught.value) is ValueError and "\n" not in str(caught.value)
    # the first of several
    with pytest.raises(ValueError, match=r"no class for 'Dense', .*custom=\{'Dense': Dense\}$"):
        nn.load(tmp_path / "model.npz")


@pytest.mark.parametrize("custom", [[Swish], {"Swish": Swish()}, {"Swish": "Swish"}, Swish, {"Swish": int}])
def test_custom_that_is_no_dict_of_classes(custom, path):
    with pytest.raises(TypeError, match="custom: got .*, expected classes of layers and heads by name"):
        nn.load(path, custom=custom)


def test_custom_replaces_no_class_of_the_package(path):
    assert all(type(layer) is not Dense for layer in nn.load(path, custom=OWN).layers)


class Bare:
    """What has a forward pass and no configuration."""

    def forward(self, x, out, step=None):
        return x


class Drawn(nn.Dropout):
    """A layer that is made from more than its configuration says."""

    def __init__(self, rate, random_state):
        super().__init__(rate)


class Lost(nn.Dropout):
    """A layer without the attributes that its configuration names."""

    config = ("rate", "low", "high")


@pytest.mark.parametrize("part, reason", [
    (Lost(0.5), r"an attribute 'low', expected one for each name of its config \('rate', 'low', 'high'\)"),
    (Bare(), "expected a layer or a head with a configuration"),
    (Drawn(0.5, 3), r"made from its configuration \('rate',\); its arguments: missing .*random_state"),
    (Scaled(3, np.ones(2)), r"got Scaled scales=array\(.*, expected a number, a string"),
    (Scaled(3, np.arange(99)), r"got Scaled scales=(?=.{100}, expected)array\(.*, expected a number"),
    (Scaled(3, print), r"got Scaled scales=<built-in function print>, expected"),
    (Scaled(3, {"kind": 1, "config": 2}), "got Scaled scales={'kind': 1, 'config': 2}, expected"),
    (Scaled(3, {0: 1.0}), "got Scaled scales={0: 1.0}, expected .*strings as keys"),    # JSON has no others
], ids=["no attributes", "no configuration",
        "more arguments", "array", "a long array", "function", "ambiguous", "a number as key"])
def test_parts_that_are_not_made_from_plain_values_are_refused(part, reason, tmp_path):
    model = nn.Sequential([nn.Dense(3)], head=nn.Categorical()).build(2)
    model.layers.insert(0, part)
    with pytest.raises(ValueError, match=f"^save: .*{reason}") as caught:
        model.save(tmp_path / "model.npz")
    assert "\n" not in str(caught.value) and os.listdir(tmp_path) == []


# ---- files that are no saved models ------------------------------------------------------------------------

def check_refused(path, reason="not a saved model, or damaged"):
    with pytest.raises(nn.DataError, match=reason) as caught:
        nn.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    check_refused(tmp_path / "none.npz", "cannot be read: No such file")


def test_a_folder(tmp_path):
    check_refused(tmp_path, "cannot be read")


@pytest.mark.skipif(os.name != "posix", reason="needs pipes")
def test_what_becomes_a_pipe_while_it_is_opened_is_closed(path, monkeypatch):
    status, close, closed = path.stat(), os.close, []

    def note_close(handle):
        closed.append(handle)
        close(handle)

    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(os, "close", note_close)
    monkeypatch.setattr(os, "stat", lambda *args: status)
    check_refused(path, "cannot be read: Is a folder, a device or a pipe, expected a file")
    assert len(closed) == 1


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file(share, path):
    content = path.read_bytes()
    path.write_bytes(content[:int(share * len(content))])
    check_refused(path)


def test_any_damaged_byte_of_a_parameter_is_seen(path):
    content = bytearray(path.read_bytes())
    position = content.find(new_model().parameters()["3.W"].tobytes())
    content[position + 11] ^= 1
    path.write_bytes(content)
    check_refused(path, "damaged")


@pytest.mark.parametrize("content", [
    b"no model", b"\x93NUMPY", b"PK\x03\x04 and no more", bytes(range(256)) * 40, b"{}", b"\0" * 1000])
def test_a_file_of_another_kind(content, tmp_path):
    (tmp_path / "model.npz").write_bytes(content)
    check_refused(tmp_path / "model.npz")


def test_random_bytes(tmp_path, rng):
    for size in (1, 10, 100, 5000):
        (tmp_path / "model.npz").write_bytes(rng.bytes(size))
        check_refused(tmp_path / "model.npz")


def test_a_single_array(tmp_path):
    np.save(tmp_path / "model.npy", np.ones(3))
    check_refused(tmp_path / "model.npy")


def test_an_archive_of_other_arrays(tmp_path):
    np.savez(tmp_path / "model.npz", x=np.ones(3), y=np.ones(2))
    check_refused(tmp_path / "model.npz")


@pytest.mark.parametrize("change, reason", [
    ({"parameters/0.W": np.ones((7, 4))}, r"0.W: got float64 \(7, 4\), expected float64 \(7, 5\)"),
    ({"parameters/0.W": np.ones((7, 5), np.float32)}, r"0.W: got float32 \(7, 5\), expected float64"),
    ({"parameters/0.W": np.ones((7, 5), np.int64)}, r"0.W: got int64"),
    ({"parameters/9.W": np.ones(3)}, "got the arrays .*9.W"),
    ({"parameters/0.b": None}, "got the arrays"),
])
def test_wrong_parameters(change, reason, path):
    arrays = {**members(path), **change}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    check_refused(path, reason)


@pytest.mark.parametrize("change", [
    {"format": 0}, {"format": 99}, {"dtype": "float16"}, {"dtype": "object"}, {"dtype": None},
    *[{"input_shape": shape} for shape in ([0], ["7"], None, [], [2, 3], [1e400], [2**70])], {"layers": []},
    {"layers": None}, {"layers": [{"kind": "Tanh", "config": {}}]}, {"layers": [{}]}, {"layers": ["Dense"]},
    *[{"layers": [{"kind": kind, "config": config}]} for kind, config in [
        ("Dense", {"units": -1}), ("Dense", {"units": 3, "speed": 1}), ("Dense", {"units": 3, "init": "x"}),
        ("dropout", {}), ("__builtins__", {}), ("check_count", {"name": "x", "value": 1}), (7, {}), ([], {}),
        ("Dense", []), ("Dense", None), ("_Elementwise", {}), ("Categorical", {})]],
    {"layers": [{"kind": "Dense"}]}, {"head": {}}, {"head": None}, {"head": {"kind": "np", "config": {}}},
    {"head": {"kind": "check_length", "config": {}}}, {"head": {"kind": "Tanh", "config": {}}},
    {"layers": 30 * [{"kind": "Dense", "config": {"units": 2**62}}]},
], ids=str)
def test_a_description_that_makes_no_sense(change, path):
    arrays = members(path)
    description = {**json.loads(arrays.pop("description").tobytes()), **change}
    np.savez(path, description=np.frombuffer(json.dumps(description).encode(), np.uint8), **arrays)
    check_refused(path, "not a saved model")


@pytest.mark.parametrize("text", [b"", b"[]", b"7", b"null", b"{", b"{}", b"\xff\xfe"])
def test_a_description_that_is_no_description(text, path):
    arrays = {**members(path), "description": np.frombuffer(text, np.uint8)}
    np.savez(path, **arrays)
    check_refused(path, "not a saved model")


# ---- no code -----------------------------------------------------------------------------------------------

class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_pickled_is_run(path, tmp_path):
    """As an object array in place of a parameter or of the description, or as the whole file."""
    trapped, sprung = np.array([Trap(tmp_path / "sprung")], object), tmp_path / "sprung"
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()    # it works
    sprung.rmdir()
    good = members(path)
    for name in ("parameters/0.W", "description"):
        np.savez(path, **{**good, name: trapped})
        check_refused(path, "damaged: got Python objects, expected numbers")
    np.save(tmp_path / "trap.npy", trapped)
    check_refused(tmp_path / "trap.npy")
    (tmp_path / "trap").write_bytes(pickle.dumps(Trap(sprung)))
    check_refused(tmp_path / "trap")
    assert not sprung.exists()
