"""Files that lie: a reader refuses them in one line, or what it returns makes sense."""
import contextlib
import gzip
import io
import json
import os
import re
import struct
import sys
import tarfile
import time
import warnings
import zipfile
import zlib
import zoneinfo
from dataclasses import dataclass
from pathlib import Path

import damage
import numpy as np
import pandas
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scale import times

import nnjit as nn
from nnjit import archives, exchange
from nnjit.datasets import cifar10, read_idx, read_images, read_table
from nnjit.inputs.checks import DataError
from nnjit.training import restoring

pytestmark = pytest.mark.compiled    # no kernel is looked at
X = np.linspace(-1, 1, 24).reshape(8, 3)
Y = np.arange(8) % 2
RECORDS = 4


def new_model():
    layers = [nn.Dense(4), nn.Tanh(), nn.BatchNormalization(), nn.Dense(2)]
    return nn.Sequential(layers, nn.Categorical(), "float64")


def images_model():
    layers = [nn.Conv2D(2, 3), nn.ReLU(), nn.MaxPool2D(2), nn.Flatten(), nn.Dense(3)]
    return nn.Sequential(layers, nn.Categorical(), "float32").build((6, 6, 1), 1)


# ---- the readers -------------------------------------------------------------------------------------------

def saved(path):
    new_model().build(3, 1).save(path)


def backed_up(path):
    """Leave the backup of a training that was interrupted within its second epoch."""
    def interrupt(model, epoch, logs):
        if epoch == 1:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        trained(path, [interrupt])


def trained(path, callbacks=()):
    patience = nn.callbacks.EarlyStopping(patience=3, restore_best_weights=True)
    new_model().fit(X, Y, optimizer=nn.Adam(0.1), epochs=2, batch_size=4, verbose=0, seed=1,
                    validation_data=(X, Y),
                    callbacks=[patience, *callbacks, nn.callbacks.BackupAndRestore(path)])


def check_model(model):
    assert isinstance(model, nn.Sequential) and repr(model) and model.summary
    arrays = *model.parameters().values(), *model.state().values()
    assert all(np.isfinite(array).all() for array in arrays)


def check_backup(model):
    check_model(model)
    if model.history is not None:    # else the file has become a saved model
        assert repr(model.history) and len(list(model.history.rows())) == len(model.history.epochs)


def resumed(path):
    content = path.read_bytes()
    trained(path)
    path.write_bytes(content)


def check_array(array):
    assert isinstance(array, np.ndarray) and array.size and array.dtype.isnative and repr(array.sum())


def read_batch(path):
    return cifar10._read_batch(path)


def archived(path):
    with tarfile.open(path, "w:gz") as file:
        for k, name in enumerate(cifar10.CIFAR10_BATCHES):
            info = tarfile.TarInfo(f"{cifar10.CIFAR10_FOLDER}/{name}")
            content = bytes([k]) * (RECORDS * 3073)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))


def unpack_archive(path):
    cifar10._unpack_batches(path, path.parent / "unpacked")


def write_safetensors(path):
    exchange.to_safetensors(new_model().build(3, 1), path)


def read_safetensors(path):
    model = new_model().build(3, 2)
    before = model.vector.copy()
    try:
        return exchange.from_safetensors(model, path)
    except DataError:
        assert (model.vector == before).all()
        raise


def write_onnx(path):
    import onnx
    from onnx import helper, numpy_helper
    weights = {"W": np.ones((2, 1, 3, 3)), "b": np.ones(2), "V": np.ones((3, 8)), "c": np.ones(3)}
    nodes = [helper.make_node("Conv", ["X", "W", "b"], ["1"], strides=[1, 1]),
             helper.make_node("Relu", ["1"], ["2"]),
             helper.make_node("MaxPool", ["2"], ["3"], kernel_shape=[2, 2], strides=[2, 2]),
             helper.make_node("Flatten", ["3"], ["4"]),
             helper.make_node("Gemm", ["4", "V", "c"], ["5"], transB=1),
             helper.make_node("Softmax", ["5"], ["y"])]
    tensors = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("X", 1, ["N", 1, 6, 6])],
                              [helper.make_tensor_value_info("y", 1, ["N", 3])], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    path.write_bytes(made.SerializeToString())


def write_table(path):
    rows = "".join(f"{i},{i / 7:.3f},word {i % 3},\n" for i in range(20))
    content = ("number,share,text,none\n" + rows).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def write_parquet(path):
    pandas.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"], "c": [0.5, 1.5, np.nan]}).to_parquet(path)


def check_frame(frame):
    assert len(frame) and len(set(frame.columns)) == len(frame.columns) and repr(frame)


def write_image(path):
    pixels = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    Image.fromarray(pixels).save(path)


def check_images(found):
    assert found.x.ndim == 4 and len(found.x) == 1 and found.x.dtype == np.uint8


def write_arrays(path):
    np.savez(path, X=X, y=Y, words=np.array(["a", "bc"]), flags=Y > 0)


def check_arrays(found):
    assert all(isinstance(array, np.ndarray) and repr(array.tolist()) for array in found.values())


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(path):
    content = idx(np.arange(96, dtype=np.uint8).reshape(6, 4, 4))
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def write_records(path):
    path.write_bytes(bytes(RECORDS * 3073))


@dataclass
class Reader:
    """A reader of files.

    Attributes
    ----------
    name : of a file of this kind
    write : writes a good one
    read : reads one
    check : objects to what makes no sense
    changed : a strategy of (good content) for files that say something else
    what : by which they are counted
    """

    name: str
    write: object
    read: object
    check: object = lambda found: None
    changed: object = None
    what: str = ""


def changed_model(content):
    return damage.changed_archive(content, "description.npy")


def packed(changed):
    return lambda content: changed(content).map(gzip.compress)


READERS = {
    "models": Reader("model.npz", saved, nn.load, check_model, changed_model, "models"),
    "backups": Reader("backup.npz", backed_up, nn.load, check_backup, changed_model, "backups"),
    "resumed": Reader("backup.npz", backed_up, resumed, changed=changed_model, what="backups"),
    "notes": Reader("backup.npz", backed_up, restoring.read_notes, repr, changed_model, "backups"),
    "IDX": Reader("file", write_idx, read_idx, check_array, damage.changed_idx, "IDX"),
    "IDX.gz": Reader("file.gz", write_idx, read_idx, check_array, packed(damage.changed_idx), "IDX"),
    "CIFAR": Reader("data_batch_1.bin", write_records, read_batch, check_array, damage.changed_records,
                    "CIFAR"),
    "CIFAR.tar.gz": Reader("cifar.tar.gz", archived, unpack_archive, what="CIFAR"),
    "safetensors": Reader("x.safetensors", write_safetensors, read_safetensors, check_model,
                          damage.changed_safetensors, "safetensors"),
    "ONNX": Reader("x.onnx", write_onnx, exchange.from_onnx, check_model, damage.changed_onnx, "ONNX"),
    "CSV": Reader("x.csv", write_table, read_table, check_frame, damage.changed_csv, "tables"),
    "CSV.gz": Reader("x.csv.gz", write_table, read_table, check_frame, packed(damage.changed_csv), "tables"),
    "parquet": Reader("x.parquet", write_parquet, read_table, check_frame, damage.changed_parquet, "tables"),
    "PNG": Reader("x.png", write_image, read_images, check_images, damage.changed_png, "images"),
    "JPEG": Reader("x.jpg", write_image, read_images, check_images, what="images"),
    "GIF": Reader("x.gif", write_image, read_images, check_images, what="images"),
    "TIFF": Reader("x.tif", write_image, read_images, check_images, what="images"),
    "npz": Reader("x.npz", write_arrays, archives.read_arrays, check_arrays, damage.changed_archive,
                  "arrays"),
    "npy": Reader("x.npy", lambda path: np.save(path, X), archives.read_arrays, check_arrays, what="arrays"),
}


@pytest.fixture(autouse=True)
def few_records(monkeypatch):
    monkeypatch.setattr(cifar10, "CIFAR10_RECORDS", RECORDS)


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """Return a function that returns the content of a good file for a reader."""
    contents = {}

    def of(name):
        if name not in contents:
            path = tmp_path_factory.mktemp("good") / READERS[name].name
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(cifar10, "CIFAR10_RECORDS", RECORDS)
                READERS[name].write(path)
            contents[name] = path.read_bytes()
        return contents[name]

    return of


class Watch:
    """What must not happen while a file is read: code is run, or something else is opened."""

    EVENTS = ("pickle.find_class", "os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen",
              "socket.connect", "ctypes.dlopen")

    def __init__(self):
        self.folder, self.seen = None, []
        # where packages read when they like
        self.others = sys.prefix, sys.base_prefix, *zoneinfo.TZPATH, "/sys/", "/proc/"
        sys.addaudithook(self._hear)    # for ever: there is no way to remove it

    def _hear(self, event, given):
        if self.folder is None:
            return
        if event in self.EVENTS or event in ("open", "exec") and self._is_foreign(given[0]):
            self.seen.append((event, *map(str, given)))

    def _is_foreign(self, what):
        file = getattr(what, "co_filename", what)    # of code, or what is opened, which may be a number
        known = self.folder, *self.others
        return isinstance(file, (str, bytes)) and not os.fsdecode(file).startswith(known)

    @contextlib.contextmanager
    def of(self, folder):
        self.folder, self.seen = str(folder), []
        try:
            yield
        finally:
            self.folder = None
        assert self.seen == []


WATCH = Watch()
Image.init()


OUR_WARNINGS = re.compile(r"the text is not UTF-8|Gaussian\(\): the ReLU layer before it|"
                          "loss that is not finite")


def outcome(reader, path, watch=contextlib.nullcontext) -> bool:
    """Return whether a reader refuses a file; what it raises or returns is checked."""
    begin = time.monotonic()
    with warnings.catch_warnings(record=True) as said, watch(path.parent):
        warnings.simplefilter("always")
        try:
            reader.check(reader.read(path))
            refused = False
        except DataError as error:
            refused, text = True, str(error)
            assert text.startswith(f"{path}: "), text
            assert "\n" not in text and len(text) < 450 + len(str(path)), text
            assert "allow_pickle" not in text, text
    assert [str(one) for one in said if not OUR_WARNINGS.search(str(one.message))] == []
    assert time.monotonic() - begin < 20
    return refused


RANDOM, CHANGED = times(70, 8000), times(30, 2000)


@pytest.mark.torture
@pytest.mark.parametrize("name", READERS)
def test_damaged_bytes(name, good, tmp_path, rng, count):
    reader, content = READERS[name], good(name)
    path = tmp_path / reader.name
    path.write_bytes(content)
    assert not outcome(reader, path)    # the good one
    refused = 0
    for _ in range(RANDOM):
        damaged = damage.mutated(content, rng)
        path.write_bytes(damaged)
        try:
            refused += outcome(reader, path, WATCH.of)
        except BaseException:
            (tmp_path / "culprit").write_bytes(damaged)
            raise
    assert refused > RANDOM / 20
    count(f"damaged files read: {reader.what}", RANDOM)


@pytest.mark.torture
@pytest.mark.parametrize("name", [name for name, reader in READERS.items() if reader.changed])
def test_files_that_say_something_else(name, good, tmp_path, count):
    reader, content, done = READERS[name], good(name), [0, 0]
    path = tmp_path / reader.name

    @settings(max_examples=CHANGED, derandomize=True, database=None, deadline=None,
              suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data):
        path.write_bytes(data.draw(reader.changed(content)))
        done[outcome(reader, path, WATCH.of)] += 1

    check()
    assert done[True] > 0
    count(f"damaged files read: {reader.what}", sum(done))


# ---- something else in place of a file ---------------------------------------------------------------------

PAGE = b"\xef\xbb\xbf\n<!DOCTYPE html>\n<html>Log in</html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\n"
IN_PLACE = {
    "a page": (PAGE, r"got a web page \(HTML\), not data"),
    "a pointer": (POINTER, "got a Git LFS pointer, .*git lfs pull"),
    "a packed page": (gzip.compress(PAGE, mtime=0), None),
    "gzip within gzip": (gzip.compress(gzip.compress(bytes(9), mtime=0), mtime=0), None),
    "nothing": (b"", None),
    "a pickle": (b"\x80\x04cos\nsystem\n(S'true'\ntR.", None),
}
IN_GZIP = {"a packed page": "got a web page", "gzip within gzip": "got gzip within gzip, .*gunzip"}
UNPACKED = "IDX", "IDX.gz", "CSV", "CSV.gz"    # where they are packed


@pytest.mark.parametrize("name", [name for name in READERS if name != "resumed"])
def test_something_else_in_place_of_a_file(name, good, tmp_path):
    reader = READERS[name]
    good(name)
    path = tmp_path / reader.name
    for what, (content, message) in IN_PLACE.items():
        path.write_bytes(content)
        if name in UNPACKED:
            message = IN_GZIP.get(what, message)
        if name.startswith("CSV") and what == "a pickle":
            continue    # which is text, a table of one column
        assert outcome(reader, path, WATCH.of), what
        with pytest.raises(DataError, match=message):
            reader.read(path)
    path.unlink()
    for place in (path, tmp_path, Path("/dev/zero"), tmp_path / "na\0me.csv"):
        with pytest.raises(DataError, match="cannot be read|no such|not found|folder") as caught:
            reader.read(place)
        assert "\n" not in str(caught.value) and "\0" not in str(caught.value)
    os.mkfifo(path)    # nobody writes: whoever opens it waits
    with pytest.raises(DataError, match="a folder, a device or a pipe"):
        reader.read(path)


# ---- files that promise too much ---------------------------------------------------------------------------

def sparse(path, content, size):
    """Write a file of so many bytes, of which the disk has none but the first."""
    path.write_bytes(content)
    os.truncate(path, size)


def bomb(head, size):
    """Return a gzip file of some bytes and so many zeros, of which a thousand take a byte."""
    packer, piece = zlib.compressobj(9, wbits=31), bytes(2**20)
    packed = [packer.compress(head), *(packer.compress(piece) for _ in range(size >> 20)), packer.flush()]
    return b"".join(packed)


def zip_bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("X.npy", "w") as member:
        member.write(damage.npy("'<f8'", f"({2**25},)", "False", b"", 1))
        for _ in range(2**8):
            member.write(bytes(2**20))


def tar_bomb(path):
    info = tarfile.TarInfo(f"{cifar10.CIFAR10_FOLDER}/{cifar10.CIFAR10_BATCHES[0]}")
    info.size = LARGE
    path.write_bytes(bomb(info.tobuf(), LARGE + 2**20))


def large_description(path):
    """Write a model whose description is an array of 256 MB."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("description.npy", damage.npy("'|u1'", f"({LARGE},)", "False", b"", 1))


def large_image(path):
    """Write an image of 12,000 by 12,000 pixels, all black, which takes 20 kB."""
    Image.new("1", (12_000, 12_000)).save(path)


def long_parquet(path):
    """Write a table of 2 10^7 rows that are all alike."""
    from pyarrow import parquet
    column = pyarrow.DictionaryArray.from_arrays(np.zeros(2 * 10**7, np.int8), [1.5])
    parquet.write_table(pyarrow.table({"a": column}), path)


def large_tensor(path):
    header = json.dumps({"0.W": {"dtype": "F64", "shape": [3, 4], "data_offsets": [0, HUGE]}}).encode()
    sparse(path, len(header).to_bytes(8, "little") + header, HUGE)


def large_weights(path):
    write_onnx(path)
    import onnx
    made = onnx.load(path)
    made.graph.initializer[0].dims[:] = [2**15, 2**15, 3, 3]
    path.write_bytes(made.SerializeToString())


LARGE, HUGE = 2**28, 2**33    # bytes, of which the disk has few
LIES = {
    "models": large_description, "notes": large_description, "npz": zip_bomb,
    "IDX": lambda path: sparse(path, idx(np.zeros((6, 4, 4), np.uint8)), HUGE),
    "IDX.gz": lambda path: path.write_bytes(bomb(bytes([0, 0, 8, 1]) + LARGE.to_bytes(4, "big"), LARGE)),
    "CIFAR": lambda path: sparse(path, b"", HUGE), "CIFAR.tar.gz": tar_bomb,
    "safetensors": large_tensor, "ONNX": large_weights,
    "CSV.gz": lambda path: path.write_bytes(bomb(b"a,b\n", LARGE)),
    "parquet": long_parquet, "PNG": large_image,
    "npy": lambda path: sparse(path, damage.npy("'<f8'", f"({2**27},)", "False", b"", 1), HUGE)}
MEASURED = """
import json, pathlib, sys
sys.path.insert(0, {folder!r})
import test_damaged_files as tests

tests.cifar10.CIFAR10_RECORDS = tests.RECORDS
found = {{}}
for name, lie in tests.LIES.items():
    reader = tests.READERS[name]
    path = pathlib.Path.cwd() / reader.name
    reader.write(path)
    reader.read(path)    # which imports what there is to import
    lie(path)
    pathlib.Path("/proc/self/clear_refs").write_text("5")    # the peak begins anew
    before = tests.peak()
    try:
        reader.read(path)
        error = None
    except tests.DataError as refused:
        error = str(refused)
    found[name] = [error, tests.peak() - before, path.stat().st_size, path.stat().st_blocks * 512]
    path.unlink()
print(json.dumps(found))
"""


def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is begun anew as on Linux")
def test_memory_of_files_that_promise_too_much(run_python):
    """Whatever a file says: as much as it has on the disk, four times, and 50 MB."""
    found = run_python(MEASURED.format(folder=str(Path(__file__).parent)))
    for name, (error, used, size, stored) in found.items():
        assert error and "\n" not in error, name
        assert used < 4 * stored + 50 * 2**20, f"{name}: {used >> 20} MB for {size:,} bytes: {error}"
