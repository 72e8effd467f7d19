"""The files of saved models: written whole or not at all, refused when damaged, and cheap to refuse."""
import contextlib
import json
import os
import stat
import threading
import tracemalloc
import zipfile

import numpy as np
import pytest
from damage import mutated

import nnjit as nn
from nnjit import checkpoint

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


def new_model(units=3, seed=1):
    layers = [nn.Dense(4), nn.Tanh(), nn.Dropout(0.5), nn.Dense(units)]
    return nn.Sequential(layers, nn.Categorical(), "float64").build(3, seed)


@pytest.fixture
def path(tmp_path):
    """The file of a saved model."""
    path = tmp_path / "model.npz"
    new_model().save(path)
    return path


def check_refused(path, reason):
    with pytest.raises(nn.DataError, match=reason) as caught:
        nn.load(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


# ---- writing -----------------------------------------------------------------------------------------------

@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666])
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_replaced_file_keeps_its_permissions(path, mode, mask):
    path.chmod(mode)
    before = os.umask(mask)
    try:
        new_model(seed=2).save(path)
        new_model().save(path.parent / "new.npz")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert stat.S_IMODE((path.parent / "new.npz").stat().st_mode) == 0o666 & ~mask


def test_file_and_folder_are_synced_before_and_after_the_renaming(path, monkeypatch):
    calls, sync, replace = [], os.fsync, os.replace

    def note_sync(handle):
        calls.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else os.fstat(handle).st_size)
        sync(handle)

    def note_replace(source, target):
        calls.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    new_model(seed=2).save(path)
    assert calls == [path.stat().st_size, "replace", *["folder"] * (os.name == "posix")]


@posix
@pytest.mark.parametrize("left", ["a file", "a link", "a link to nothing", "another name", "a pipe"])
def test_what_lies_in_the_place_of_the_partial_file_is_removed_and_never_written_to(left, path, tmp_path):
    victim, partial = tmp_path / "victim", tmp_path / ".model.npz.partial"
    victim.write_bytes(b"precious")
    if left == "a file":
        partial.write_bytes(b"half")
    elif left == "another name":
        os.link(victim, partial)
    elif left == "a pipe":
        os.mkfifo(partial)
    else:
        partial.symlink_to(victim if left == "a link" else tmp_path / "nothing")
    new_model(seed=2).save(path)
    assert victim.read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == ["model.npz", "victim"]
    assert nn.load(path).vector.tobytes() == new_model(seed=2).vector.tobytes()


@posix
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.mkdir()], ids=["pipe", "folder"])
def test_what_is_no_file_is_not_replaced(make, tmp_path):
    make(tmp_path / "model.npz")
    before = (tmp_path / "model.npz").stat().st_mode
    with pytest.raises(OSError, match="model.npz"):
        new_model().save(tmp_path / "model.npz")
    assert os.listdir(tmp_path) == ["model.npz"] and (tmp_path / "model.npz").stat().st_mode == before


def test_threads_that_save_to_one_file_wait_for_each_other(path):
    models, errors = [new_model(seed=seed) for seed in range(8)], []

    def save(model):
        try:
            for _ in range(10):
                model.save(path)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=save, args=(model,)) for model in models]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == [] and os.listdir(path.parent) == [path.name]
    assert nn.load(path).vector.tobytes() in {model.vector.tobytes() for model in models}


KILLS = """
import json, os, random, signal, time, warnings
import numpy as np
from nnjit import checkpoint
warnings.simplefilter("ignore", DeprecationWarning)    # of forks beside BLAS's threads
random.seed(1)
numbers, others = [], []
checkpoint.write("model.npz", {"number": 0}, {"x": np.zeros(50_000)})
for kill in range(40):
    child = os.fork()
    if child == 0:
        for number in range(1, 10**9):
            checkpoint.write("model.npz", {"number": number}, {"x": np.full(50_000, number)})
    time.sleep(random.uniform(0.002, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with np.load("model.npz") as archive:
        number = json.loads(archive["description"].tobytes())["number"]
        assert (archive["x"] == number).all()
    numbers.append(number)
    others.append(sorted(set(os.listdir()) - {"model.npz"}))
checkpoint.write("model.npz", {"number": -1}, {"x": np.zeros(1)})
print(json.dumps([numbers, others, os.listdir()]))
"""


@posix
def test_a_killed_process_leaves_a_whole_file_and_at_most_one_other(run_python):
    """The next one that saves removes it."""
    numbers, others, last = run_python(KILLS)
    assert len(set(numbers)) > 1    # they came some way
    assert [] in others or [".model.npz.partial"] in others
    assert all(names in ([], [".model.npz.partial"]) for names in others)
    assert last == ["model.npz"]


# ---- files that promise too much ---------------------------------------------------------------------------

def rewrite(path, change=lambda description: None, **arrays):
    """Write the file again, with a changed description and other arrays."""
    with np.load(path) as archive:
        members = {name: archive[name] for name in archive.files}
    description = json.loads(members.pop("description").tobytes())
    change(description)
    text = np.frombuffer(json.dumps(description).encode(), np.uint8)
    np.savez(path, **{"description": text, **members, **arrays})


@contextlib.contextmanager
def little_memory(most=20 * 2**20):
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("change", [
    lambda description: description.update(input_shape=[10**7]),
    lambda description: description["layers"][0]["config"].update(units=10**7),
    lambda description: description["layers"].extend(3 * [{"kind": "Dense", "config": {"units": 10**5}}]),
    lambda description: description.update(dtype="float32")], ids=["input", "units", "layers", "dtype"])
def test_sizes_are_compared_before_anything_is_allocated(change, path):
    rewrite(path, change)
    with little_memory():
        check_refused(path, "expected")


def test_compressed_members_are_refused_whatever_they_hold(path):
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("parameters/9.W.npy", bytes(50 * 2**20))
    assert path.stat().st_size < 2**17
    with little_memory():
        check_refused(path, "parameters/9.W: got a compressed or encrypted member")
    with np.load(path) as archive:
        np.savez_compressed(path, **{name: archive[name] for name in archive.files if "9" not in name})
    check_refused(path, "got a compressed or encrypted member")


def test_a_long_description_is_refused(path):
    rewrite(path, lambda description: description.update(more=2**25 * "x"))
    check_refused(path, "description: got .* bytes, expected at most 16,777,216")
    with pytest.raises(ValueError, match="save: got a description of .* bytes"):
        checkpoint.write(path, {"x": 2**24 * "x"}, {})


def test_a_header_has_4_kilobytes_at_most(path, monkeypatch):
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("description.npy").file_size
    monkeypatch.setattr(checkpoint, "_MOST_TEXT", size - 4096)
    assert nn.load(path).summary() == new_model().summary()
    monkeypatch.setattr(checkpoint, "_MOST_TEXT", size - 4097)
    check_refused(path, f"description: got {size:,} bytes, expected at most")


def test_a_network_has_16384_parts_at_most(path):
    rewrite(path, lambda description: description.update(layers=2**14 * [{"kind": "Tanh", "config": {}}]))
    check_refused(path, "description: got more than 16,384 layers and heads, expected fewer")


def test_a_name_that_comes_twice_is_refused(path):
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("parameters/0.b.npy", archive.read("parameters/0.b.npy"))
    check_refused(path, "got the member 'parameters/0.b.npy', expected different names")


def test_members_that_lie_upon_each_other_are_refused(path):
    """Many names for one place of the archive would be read many times."""
    with zipfile.ZipFile(path, "a") as archive:
        info = archive.getinfo("parameters/0.W.npy")
        for number in range(1000):
            other = zipfile.ZipInfo(f"{number}.npy")
            for name in ("header_offset", "file_size", "compress_size", "CRC", "compress_type"):
                setattr(other, name, getattr(info, name))
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other
        archive._didModify = True
    check_refused(path, "got members that are larger than the file")


# ---- damaged files -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["saved", "format 1", "deflated"])
def test_a_damaged_file_is_a_data_error_or_no_harm(kind, path, rng):
    """Dates and the like have no checksum, so that some files still hold the same network."""
    if kind == "format 1":
        def back(part):
            return {"kind": part["kind"], **part["config"]}

        with np.load(path) as archive:
            members = {name.removeprefix("parameters/"): archive[name] for name in archive.files}
        description = json.loads(members["description"].tobytes())
        layers, head = list(map(back, description["layers"])), back(description["head"])
        description.update(format=1, layers=layers, head=head)
        members["description"] = np.frombuffer(json.dumps(description).encode(), np.uint8)
        np.savez(path, **members)
    elif kind == "deflated":
        with np.load(path) as archive:
            np.savez_compressed(path, **{name: archive[name] for name in archive.files})
    content, whole = path.read_bytes(), new_model().vector.tobytes()
    assert len(content) < 4000
    refused = 0
    for _ in range(1500):
        path.write_bytes(mutated(content, rng))
        try:
            assert nn.load(path).vector.tobytes() == whole
        except nn.DataError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert 1000 < refused and (refused == 1500) == (kind == "deflated")


@posix
def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, "/dev/zero", "/dev/null"):
        check_refused(path, "cannot be read: Is a folder, a device or a pipe")
    check_refused(tmp_path / "none", "cannot be read: No such file")
