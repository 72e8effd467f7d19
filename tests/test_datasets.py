"""Data sets: IDX files, whole and damaged; the places searched; downloads from a local server; the digits."""
import contextlib
import gzip
import hashlib
import io
import os
import socket
import struct
import tarfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pooch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnjit import datasets
from nnjit.datasets import cifar10, embedded, files, mnist
from nnjit.inputs.checks import DataError

RNG = np.random.default_rng(3)
ARRAYS = {
    "train-images-idx3-ubyte": RNG.integers(0, 256, (12, 28, 28), dtype=np.uint8),
    "train-labels-idx1-ubyte": np.arange(12, dtype=np.uint8) % 10,
    "t10k-images-idx3-ubyte": RNG.integers(0, 256, (5, 28, 28), dtype=np.uint8),
    "t10k-labels-idx1-ubyte": np.array([9, 0, 3, 3, 7], dtype=np.uint8),
}
NAMES = list(ARRAYS)


def idx(array):
    """Return the bytes of an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


RAW = {name: idx(array) for name, array in ARRAYS.items()}
GZ = {name: gzip.compress(content, mtime=0) for name, content in RAW.items()}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def put(folder, names=NAMES, zipped=True, **contents):
    """Write the small files into a folder; ``contents`` replaces some, their names with "_" for "-"."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        content = contents.get(name.replace("-", "_"), RAW[name])
        (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(content) if zipped else content)
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A fresh machine: an empty default folder, no NNJIT_DATA, no network; small files count as published."""
    published = {name: (sha256(GZ[name]), sha256(RAW[name])) for name in NAMES}
    monkeypatch.setattr(mnist, "MNIST", replace(mnist.MNIST, sources=(), files=published))
    monkeypatch.setattr(files, "default_folder", lambda name="mnist": tmp_path / "default" / name)
    monkeypatch.delenv("NNJIT_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path


def check_small(data):
    train_images, train_labels, test_images, test_labels = ARRAYS.values()
    for got, expected in [(data.x_train, train_images), (data.x_test, test_images)]:
        assert got.dtype == np.uint8 and np.array_equal(got, expected)
    for got, expected in [(data.y_train, train_labels), (data.y_test, test_labels)]:
        assert got.dtype == np.int64 and np.array_equal(got, expected)


# ---- IDX ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("shape", [(7,), (3, 5), (4, 2, 3), (2, 3, 4, 3)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_read_idx_returns_what_was_written(tmp_path, shape, pack):
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / "file"    # no suffix: whether it is gzipped is in the content
    path.write_bytes(pack(idx(array)))
    got = datasets.read_idx(path)
    assert got.dtype == np.uint8 and got.shape == shape and np.array_equal(got, array)
    assert got.flags.writeable
    assert np.array_equal(datasets.read_idx(str(path)), array)


LABELS = RAW["train-labels-idx1-ubyte"]


@pytest.mark.parametrize("content, fault", [
    (b"", "starts with nothing"),
    (b"\0\0\x08", "not an IDX file"),
    (b"P5 28 28", "starts with 50 35 20 32"),
    (b"\0\0\x0a\x01" + LABELS[4:], "starts with 00 00 0a 01, expected 00 00, a type"),
    (b"<!DOCTYPE html>", "got a web page"), (b"version https://git-lfs.github.com", "got a Git LFS pointer"),
    (b"\0\0\x08\x00\x07", "number of dimensions"),
    (b"\0\0\x08\x05" + bytes(20), "empty array"),
    (b"\0\0\x08\x03" + bytes(11), "truncated: got 15 bytes, expected a header of 16"),
    (LABELS[:-1], "truncated: got 19 bytes, expected 20"),
    (LABELS + b"\n", "trailing bytes: got 21( or more)? bytes, expected 20"),
    (b"\0\0\x08\x03" + b"\xff" * 12, "truncated|unpacks to more than .* bytes, .*; unpack it with gunzip"),
    (b"\0\0\x08\x03" + bytes(4) + b"\xff" * 8, "empty array"),
])
def test_read_idx_refuses_a_damaged_file(tmp_path, content, fault):
    for path, stored in [(tmp_path / "raw-file", content),
                         (tmp_path / "zipped-file.gz", gzip.compress(content))]:
        path.write_bytes(stored)
        with pytest.raises(DataError, match=fault) as caught:
            datasets.read_idx(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("code, dtype",
                         [(8, "u1"), (9, "i1"), (11, "i2"), (12, "i4"), (13, "f4"), (14, "f8")])
def test_read_idx_of_any_type(tmp_path, code, dtype):
    array = np.arange(-3, 9).reshape(2, 3, 2).astype(dtype)
    header = bytes([0, 0, code, 3]) + struct.pack(">3I", *array.shape)
    (tmp_path / "file").write_bytes(header + array.astype(f">{dtype}").tobytes())
    found = datasets.read_idx(tmp_path / "file")
    assert found.dtype == dtype and found.dtype.isnative and np.array_equal(found, array)


def test_names_with_a_dot(home):
    for name, content in RAW.items():
        (home / name.replace("-idx", ".idx")).write_bytes(content)
    check_small(datasets.load_mnist(home))


def test_bytes_are_expected_of_mnist(home):
    for name, content in RAW.items():
        (home / name).write_bytes(content)
    images = np.ones((7, 28, 28), ">f4")
    (home / NAMES[0]).write_bytes(bytes([0, 0, 13, 3]) + struct.pack(">3I", *images.shape) + images.tobytes())
    with pytest.raises(DataError, match="got float32, expected bytes"):
        datasets.load_mnist(home)


def test_read_idx_refuses_what_was_packed_twice(tmp_path):
    (tmp_path / "file.gz").write_bytes(gzip.compress(gzip.compress(LABELS)))
    with pytest.raises(DataError, match="gzip within gzip, expected one gzip file; unpack it once"):
        datasets.read_idx(tmp_path / "file.gz")


def test_read_idx_refuses_what_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="absent: cannot be read"):
        datasets.read_idx(tmp_path / "absent")
    with pytest.raises(DataError, match="cannot be read"):
        datasets.read_idx(tmp_path)


@given(st.integers(2, len(GZ["t10k-labels-idx1-ubyte"]) - 1))
def test_read_idx_refuses_a_truncated_gzip_stream(tmp_path_factory, length):
    path = tmp_path_factory.mktemp("cut") / "labels.gz"
    path.write_bytes(GZ["t10k-labels-idx1-ubyte"][:length])
    with pytest.raises(DataError, match="labels.gz: damaged gzip file"):
        datasets.read_idx(path)


@given(st.data())
def test_a_changed_byte_in_a_gzip_file_never_changes_the_array(tmp_path_factory, data):
    content = bytearray(GZ["t10k-labels-idx1-ubyte"])
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("changed") / "labels.gz"
    path.write_bytes(content)
    with contextlib.suppress(DataError):    # the time of packing, for one, may change
        assert np.array_equal(datasets.read_idx(path), ARRAYS["t10k-labels-idx1-ubyte"])


def test_read_idx_refuses_bytes_after_a_gzip_stream(tmp_path):
    path = tmp_path / "labels.gz"
    path.write_bytes(GZ["t10k-labels-idx1-ubyte"] + b"more")
    with pytest.raises(DataError, match="labels.gz: damaged gzip file"):
        datasets.read_idx(path)


# ---- files that do not fit each other ----------------------------------------------------------------------

@pytest.mark.parametrize("contents, fault", [
    ({"train_labels_idx1_ubyte": idx(np.zeros(11, np.uint8))},
     r"train-labels-idx1-ubyte.gz: got an array of shape \(11,\), expected one label for each of the 12"),
    ({"t10k_labels_idx1_ubyte": idx(np.zeros((5, 1), np.uint8))},
     "t10k-labels-idx1-ubyte.gz: got an array of shape"),
    ({"t10k_labels_idx1_ubyte": idx(np.array([1, 2, 10, 3, 3], np.uint8))},
     "t10k-labels-idx1-ubyte.gz: got the label 10 at index 2, expected 0 to 9"),
    ({"train_images_idx3_ubyte": idx(np.zeros((12, 32, 28), np.uint8))},
     r"train-images-idx3-ubyte.gz: got an array of shape \(12, 32, 28\), expected images, \(N, 28, 28\)"),
    ({"train_images_idx3_ubyte": RAW["train-labels-idx1-ubyte"]},
     "train-images-idx3-ubyte.gz: got an array of shape"),
    ({"t10k_images_idx3_ubyte": RAW["t10k-images-idx3-ubyte"][:-1]}, "t10k-images-idx3-ubyte.gz: truncated"),
])
@pytest.mark.parametrize("name", ["mnist", "auto"])
@pytest.mark.parametrize("place", ["data_dir", "NNJIT_DATA", "default"])
def test_wrong_files_are_an_error_wherever_they_lie(home, monkeypatch, contents, fault, name, place):
    put(home / place / "mnist", **contents)
    if place == "NNJIT_DATA":
        monkeypatch.setenv("NNJIT_DATA", str(home / place))
    with pytest.raises(DataError, match=fault):
        datasets.load(name, data_dir=home / place if place == "data_dir" else None)


# ---- the places --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("subfolder", ["", "mnist"])
def test_data_dir_holds_the_files_or_their_folder(home, zipped, subfolder):
    folder = put(home / "given" / subfolder, zipped=zipped)
    data = datasets.load("mnist", data_dir=str(home / "given"))
    check_small(data)
    assert data.name == "MNIST" and data.source == str(folder)
    assert data.checksums == {name: sha256(content) for name, content in RAW.items()}


def test_raw_and_gzipped_files_may_be_mixed(home):
    put(home, NAMES[:2], zipped=True)
    put(home, NAMES[2:], zipped=False)
    check_small(datasets.load_mnist(home))


def test_data_dir_may_start_with_a_tilde(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    put(home / "mine")
    check_small(datasets.load_mnist("~/mine"))


def test_places_are_searched_in_order(home, monkeypatch):
    monkeypatch.setenv("NNJIT_DATA", str(home / "env"))
    default = put(home / "default" / "mnist")
    assert datasets.load("auto").source == str(default)
    put(home / "env" / "mnist", NAMES[:3])    # a folder that lacks a file is passed by
    assert datasets.load("auto").source == str(default)
    chosen = put(home / "env" / "mnist")
    assert datasets.load("auto").source == str(chosen)
    given_folder = put(home / "given")
    assert datasets.load("auto", home / "given").source == str(given_folder)


@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_data_dir_without_the_files_is_an_error(home, name):
    put(home / "default" / "mnist")    # never taken in place of the folder that was asked for
    (home / "file").write_text("not a folder")
    put(home / "part", NAMES[:3])
    for folder, fault in [("absent", "absent: No such file"), ("file", "file: Not a directory"),
                          ("part", "part: lacks t10k-labels-idx1-ubyte\n")]:
        with pytest.raises(DataError, match=fault) as caught:
            datasets.load(name, home / folder)
        assert not isinstance(caught.value, datasets.NotFoundError)
        assert "--data-dir" in str(caught.value)


def test_an_unreadable_data_dir_is_an_error_and_elsewhere_is_passed_by(home, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.os, "listdir", refuse)
    with pytest.raises(DataError, match=f"{home}: Permission denied"):
        datasets.load("auto", home)
    assert datasets.holds_the_books(datasets.load("auto"))


def test_mnist_names_every_place_tried(home, monkeypatch):
    monkeypatch.setenv("NNJIT_DATA", str(home / "env"))
    put(home / "default" / "mnist", NAMES[1:])
    with pytest.raises(datasets.NotFoundError) as caught:
        datasets.load("mnist")
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert f"{home / 'env' / 'mnist'}: No such file or directory" in lines
    assert f"{home / 'default' / 'mnist'}: lacks train-images-idx3-ubyte" in lines
    assert all(name in lines[-1] for name in NAMES) and "NNJIT_DATA" in lines[-1]


def test_auto_is_mnist_where_it_lies_and_else_the_books_part(home, serve, capsys):
    """No source is asked, and nothing is said."""
    servers = serve(good)
    data = datasets.load()
    assert repr(data) == ("Dataset(MNIST, the book's 11,000 images, embedded: 1,000 images to train, 10,000 "
                          "to test, 28 × 28)")
    assert (data.x_train.shape, data.y_train.dtype) == ((1000, 28, 28), np.int64)
    assert datasets.holds_the_books(data) and not datasets.holds_the_books(datasets.load_digits())
    assert servers[0].requests == [] and capsys.readouterr() == ("", "")
    check_small(datasets.load("auto", put(home / "here")))
    put(home / "default" / "mnist")
    check_small(datasets.load())


def test_embedded_images_are_checked(tmp_path, monkeypatch):
    with np.load(embedded._FOLDER / "mnist.npz") as file:
        arrays = dict(file)
    arrays["test_images"][7, 14, 14] ^= 1
    np.savez_compressed(tmp_path / "mnist.npz", **arrays)
    monkeypatch.setattr(embedded, "_FOLDER", tmp_path)
    with pytest.raises(DataError, match="mnist.npz: got other images than MNIST's; install the package anew"):
        datasets.load_book_mnist()
    for content in (b"", (tmp_path / "mnist.npz").read_bytes()[:-1000]):
        (tmp_path / "mnist.npz").write_bytes(content)
        with pytest.raises(DataError, match="mnist.npz: damaged"):
            datasets.load_book_mnist()


def test_data_sets_are_shown_in_a_line():
    assert repr(datasets.load_digits()) == (
        "Dataset(UCI digits, embedded in the package: 1,000 images to train, 797 to test, 28 × 28)")
    assert repr(datasets.load_iris()) == "Table(iris, embedded in the package: 150 rows of 4, 3 classes)"


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="got 'emnist', expected 'auto', 'mnist' or 'digits'"):
        datasets.load("emnist")


def test_other_content_is_accepted_and_named(home):
    labels = idx(np.array([1, 2, 3, 4, 5], np.uint8))
    put(home, t10k_labels_idx1_ubyte=labels)
    data = datasets.load_mnist(home)
    assert data.y_test.tolist() == [1, 2, 3, 4, 5]
    assert data.source == f"{home} (not the published MNIST: t10k-labels-idx1-ubyte)"
    assert data.checksums["t10k-labels-idx1-ubyte"] == sha256(labels)


def test_default_folder_is_the_checkouts_or_the_users(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PACKAGE", tmp_path / "nnjit")
    assert files.default_folder() == pooch.os_cache("nnjit") / "mnist"
    (tmp_path / "setup.cfg").touch()
    assert files.default_folder() == tmp_path / "data" / "mnist"


# ---- downloads ---------------------------------------------------------------------------------------------

class Server:
    """A local HTTP server: ``answer(method, name)`` returns the status, the length announced and the body."""

    def __init__(self, answer):
        self.requests = requests = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rsplit("/", 1)[-1].removesuffix(".gz")
                requests.append((self.command, name))
                status, length, body = answer(self.command, name)
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/mnist/"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


def good(method, name):
    return 200, len(GZ[name]), GZ[name]


def truncated(method, name):
    return 200, len(GZ[name]), GZ[name][:-5]


def wrong(method, name):
    content = gzip.compress(idx(np.ones(3, np.uint8)))
    return 200, len(content), content


def failing(method, name):
    return 500, 0, b""


@pytest.fixture
def serve(home, monkeypatch):
    """Return a function that makes these servers, or URLs, MNIST's sources, in order."""
    servers = []

    def start(*sources):
        started = [Server(source) if callable(source) else source for source in sources]
        servers.extend(s for s in started if isinstance(s, Server))
        urls = tuple(s.url if isinstance(s, Server) else s for s in started)
        monkeypatch.setattr(mnist, "MNIST", replace(mnist.MNIST, sources=urls))
        return started

    yield start
    for server in servers:
        server.close()


def refused_url():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{s.getsockname()[1]}/mnist/"


def test_mnist_is_downloaded_verified_and_kept(home, serve, capsys, caplog):
    server, = serve(good)
    folder, logger = home / "default" / "mnist", pooch.get_logger()
    level = logger.level
    logger.addHandler(caplog.handler)
    data = datasets.load("mnist")
    check_small(data)
    assert data.source == f"{server.url}, kept in {folder}"
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == {f"{name}.gz": GZ[name] for name in NAMES}
    logger.removeHandler(caplog.handler)
    assert not caplog.records and logger.level == level    # pooch is quiet, and again as it was
    assert capsys.readouterr() == ("", "")    # not a terminal: no bar
    count = len(server.requests)
    assert datasets.load_mnist().source == str(folder)
    assert len(server.requests) == count


def test_only_missing_files_are_downloaded(home, serve):
    server, = serve(good)
    put(home / "default" / "mnist", NAMES[:3], zipped=False)
    check_small(datasets.load_mnist())
    assert server.requests == [("GET", NAMES[3])]


def test_nothing_is_downloaded_unasked(home, serve):
    server, = serve(good)
    with pytest.raises(datasets.NotFoundError):
        datasets.load_mnist(download=False)
    with pytest.raises(DataError):
        datasets.load_mnist(home / "absent")
    assert datasets.load("digits").name == "UCI digits"
    assert server.requests == []


def test_published_files_are_not_mixed_with_others(home, serve):
    server, = serve(good)
    put(home / "default" / "mnist", NAMES[:2], train_labels_idx1_ubyte=idx(np.zeros(12, np.uint8)))
    with pytest.raises(DataError, match="train-labels-idx1-ubyte.gz: not the published MNIST"):
        datasets.load("mnist")
    assert server.requests == []


@pytest.mark.parametrize("bad, reason", [
    (truncated, "IncompleteRead"),
    (wrong, "got 31 bytes that are something else"),
    (failing, "got 500 Internal Server Error"),
])
def test_a_failing_source_is_asked_once_and_leaves_nothing(home, serve, bad, reason):
    server, = serve(bad)
    with pytest.raises(datasets.NotFoundError, match=f"{server.url}: .*({reason})"):
        datasets.load("mnist")
    assert {name for _, name in server.requests} == {NAMES[0]} and len(server.requests) == 1
    folder = home / "default" / "mnist"
    assert not folder.exists() or list(folder.iterdir()) == []
    assert datasets.holds_the_books(datasets.load("auto"))


@pytest.mark.parametrize("bad", [truncated, wrong, failing])
def test_the_second_source_steps_in(home, serve, bad):
    _, second = serve(bad, good)
    data = datasets.load_mnist()
    check_small(data)
    assert data.source.startswith(second.url)


def test_the_second_source_continues_where_the_first_broke_off(home, serve):
    first, second = serve(lambda method, name: (good if name in NAMES[:2] else failing)(method, name), good)
    check_small(datasets.load_mnist())
    assert [name for method, name in first.requests if method == "GET"] == NAMES[:3]
    assert [name for method, name in second.requests if method == "GET"] == NAMES[2:]


def test_a_refused_connection_is_named(home, serve):
    url, second = serve(refused_url(), failing)
    with pytest.raises(datasets.NotFoundError, match=f"{url}: .*refused") as caught:
        datasets.load("mnist")
    assert second.url in str(caught.value)


def test_a_host_whose_name_is_never_found_is_given_up(home, serve, monkeypatch):
    monkeypatch.setattr(files, "ANSWER_SECONDS", 0.1)
    release = threading.Event()

    def stuck(*args, **kwargs):
        release.wait(30)
        raise OSError("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    serve("http://nnjit.invalid/")
    try:
        with pytest.raises(datasets.NotFoundError, match="no answer within 0.1 s"):
            datasets.load("mnist")
    finally:
        release.set()


def test_a_folder_that_cannot_be_written_is_named(home, serve):
    serve(good)
    (home / "default").write_text("a file where the folder should be")
    with pytest.raises(datasets.NotFoundError, match="default"):
        datasets.load("mnist")
    assert datasets.holds_the_books(datasets.load("auto"))


# ---- rows --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_are_the_pixels_divided_by_255(dtype):
    data = datasets.load_digits()
    (x, y), (x_test, y_test) = data.rows(dtype)
    assert x.dtype == x_test.dtype == dtype
    assert x.shape == (1000, 784) and x_test.shape == (797, 784)
    for rows, images in [(x, data.x_train), (x_test, data.x_test)]:
        scalar = np.dtype(dtype).type
        table = np.array([scalar(value) / scalar(255) for value in range(256)])
        assert np.array_equal(rows, table[images].reshape(len(images), 784))
    assert np.array_equal(y, data.y_train) and np.array_equal(y_test, data.y_test)
    if dtype == "float64":
        assert np.array_equal(x.reshape(-1, 28, 28), data.x_train / 255)


def test_rows_can_be_fewer():
    data = datasets.load_digits()
    (all_x, all_y), _ = data.rows()
    for train_size in (1, 137, np.int64(1000)):
        (x, y), (x_test, _) = data.rows(train_size=train_size)
        assert np.array_equal(x, all_x[:train_size]) and np.array_equal(y, all_y[:train_size])
        assert len(x_test) == 797


@pytest.mark.parametrize("train_size", [0, -1, 1001])
def test_rows_refuse_a_size_out_of_range(train_size):
    with pytest.raises(ValueError, match=f"train_size: got {train_size}, expected 1 to 1000"):
        datasets.load_digits().rows(train_size=train_size)


def test_rows_refuse_what_is_no_size_and_no_dtype():
    for train_size in (10.0, "10", True):
        with pytest.raises(TypeError, match="train_size: got .*, expected an integer"):
            datasets.load_digits().rows(train_size=train_size)
    with pytest.raises(ValueError, match="dtype: got uint8, expected float32 or float64"):
        datasets.load_digits().rows("uint8")


# ---- the digits --------------------------------------------------------------------------------------------

def test_digits_are_the_uci_digits_in_the_shape_of_mnist():
    data = datasets.load("digits")
    assert (data.name, data.source) == ("UCI digits", "embedded in the package")
    assert data.x_train.shape == (1000, 28, 28) and data.x_test.shape == (797, 28, 28)
    assert data.x_train.dtype == data.x_test.dtype == np.uint8
    assert data.y_train.dtype == data.y_test.dtype == np.int64
    path = embedded._FOLDER / "digits.npz"
    assert data.checksums == {"digits.npz": sha256(path.read_bytes())}
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    source = sklearn_datasets.load_digits()
    with np.load(path, allow_pickle=False) as file:
        assert file["images"].dtype == np.uint8 and np.array_equal(file["images"], source.images)
        assert "Alpaydin" in str(file["attribution"]) and "CC BY 4.0" in str(file["attribution"])
    assert np.array_equal(np.concatenate([data.y_train, data.y_test]), source.target)


def test_digits_are_enlarged_bilinearly_into_the_middle():
    with np.load(embedded._FOLDER / "digits.npz") as file:
        small = file["images"][:50].astype(float)
    large = datasets.load_digits().x_train[:50]
    margin = np.ones((28, 28), bool)
    margin[4:24, 4:24] = False
    assert not large[:, margin].any()
    assert large[:, 4, :].any() and large[:, 23, :].any() and large.max() == 255
    for i in range(20):
        for j in range(20):
            row, column = 7 * i / 19, 7 * j / 19
            r, c = min(int(row), 6), min(int(column), 6)
            u, v = row - r, column - c
            exact = ((1 - u) * (1 - v) * small[:, r, c] + (1 - u) * v * small[:, r, c + 1]
                     + u * (1 - v) * small[:, r + 1, c] + u * v * small[:, r + 1, c + 1]) * 255 / 16
            assert np.abs(large[:, 4 + i, 4 + j] - exact).max() <= 0.5 + 1e-9


def test_digits_can_be_told_apart():
    """The nearest of the ten class means tells most of the test digits."""
    (x, y), (x_test, y_test) = datasets.load_digits().rows("float64")
    centres = np.array([x[y == k].mean(axis=0) for k in range(10)])
    nearest = ((x_test[:, None, :] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == y_test).mean() > 0.85


# ---- only some classes, pairs, outliers --------------------------------------------------------------------

def test_only_some_classes_in_the_given_order():
    data = datasets.load_digits()
    some = data.only(8, 3)
    assert some.name == "UCI digits, 8 or 3" and some.checksums == data.checksums
    for x, y, all_x, all_y in [(some.x_train, some.y_train, data.x_train, data.y_train),
                               (some.x_test, some.y_test, data.x_test, data.y_test)]:
        kept = (all_y == 3) | (all_y == 8)
        assert np.array_equal(x, all_x[kept]) and np.array_equal(np.array([8, 3])[y], all_y[kept])
        assert y.dtype == np.int64


@pytest.mark.parametrize("classes, got",
                         [((), "none"), ((3,), "3"), ((3, 3), "3, 3"), ((3, 10), "3, 10"),
                          ((-1, 2), "-1, 2")])
def test_only_refuses_classes_without_images(classes, got):
    with pytest.raises(ValueError,
                       match=f"classes: got {got}, expected at least 2 different ones of 0, 1, .*, 9"):
        datasets.load_digits().only(*classes)


def test_pairs_show_the_digits_that_they_are_labelled_with():
    data = datasets.load_digits()
    pairs, present = datasets.paste_pairs(data.x_test, data.y_test, 400, seed=3)
    assert pairs.shape == (400, 28, 56) and present.shape == (400, 10)
    assert pairs.dtype == present.dtype == np.uint8
    label = {image.tobytes(): k for image, k in zip(data.x_test, data.y_test)}
    for pair, row in zip(pairs, present):
        assert set(row.nonzero()[0]) == {label[pair[:, :28].tobytes()], label[pair[:, 28:].tobytes()]}
    assert set(present.sum(axis=1)) == {1, 2}
    again, other = (datasets.paste_pairs(data.x_test, data.y_test, 400, seed)[0] for seed in (3, 4))
    assert np.array_equal(again, pairs) and not np.array_equal(other, pairs)


def test_pairs_are_the_same_on_every_machine():
    _, present = datasets.paste_pairs(np.zeros((10, 1, 1), np.uint8), np.arange(10), 4)
    assert [row.nonzero()[0].tolist() for row in present] == [[0, 5], [3], [7, 9], [3, 5]]


@pytest.mark.parametrize("images, labels, count, exception, message", [
    (np.zeros((3, 2, 2)), [0, 1], 5, ValueError,
     r"images: got shape \(3, 2, 2\), expected \(2, height, width\)"),
    (np.zeros((3, 4)), [0, 1, 2], 5, ValueError, "images: got shape"),
    (np.zeros((2, 2, 2)), [0, 0.5], 5, ValueError, "labels: got 0.5, expected class numbers"),
    (np.zeros((2, 2, 2)), ["a", "b"], 5, TypeError, "labels: got"),
    (np.zeros((2, 2, 2)), [0, 1], 0, ValueError, "count: got 0, expected at least 1"),
    (np.zeros((2, 2, 2)), [0, 1], 2.0, TypeError, "count: got 2.0, expected a whole number"),
])
def test_pairs_refuse(images, labels, count, exception, message):
    with pytest.raises(exception, match=message):
        datasets.paste_pairs(images, labels, count)


@pytest.mark.parametrize("share, wrong", [(0, 0), (0.1, 15), (1, 150)])
def test_outliers(share, wrong):
    y = datasets.load_iris().x[:, 1]
    moved = datasets.with_outliers(y, share, shift=-2.0)
    assert np.count_nonzero(moved != y) == wrong and np.allclose((moved - y)[moved != y], -2)
    assert np.array_equal(moved, datasets.with_outliers(y, share, -2.0)) and y is not moved
    if share == 0.1:
        assert not np.array_equal(moved, datasets.with_outliers(y, share, -2.0, seed=1))


def test_outliers_refuse():
    for y, share, exception in [([1.0], 1.5, ValueError), ([1.0], "1", TypeError), (["a"], 0.5, TypeError)]:
        with pytest.raises(exception, match="(share|y): got"):
            datasets.with_outliers(y, share)


# ---- iris --------------------------------------------------------------------------------------------------

def test_iris_is_fishers():
    iris = datasets.load_iris()
    assert (iris.name, iris.source, len(iris.classes)) == ("iris", "embedded in the package", 3)
    assert iris.columns == ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
    assert iris.x.shape == (150, 4) and iris.x.dtype == np.float64
    assert np.bincount(iris.y).tolist() == [50, 50, 50]
    # As published.
    assert np.allclose(iris.x.mean(axis=0), [5.843333, 3.057333, 3.758, 1.199333], atol=1e-6)
    path = embedded._FOLDER / "iris.npz"
    assert iris.checksums == {"iris.npz": sha256(path.read_bytes())}
    with np.load(path, allow_pickle=False) as file:
        assert "Fisher" in str(file["attribution"]) and "CC BY 4.0" in str(file["attribution"])
    source = pytest.importorskip("sklearn.datasets").load_iris()
    assert np.array_equal(iris.x, source.data) and np.array_equal(iris.y, source.target)
    assert list(iris.columns) == source.feature_names and list(iris.classes) == list(source.target_names)


# ---- the real thing ----------------------------------------------------------------------------------------

@pytest.mark.skipif("NNJIT_DATA" not in os.environ,
                    reason="set NNJIT_DATA to the parent of MNIST's folder mnist")
def test_real_mnist_is_the_published_one():
    data = datasets.load("auto")
    assert datasets.holds_the_books(data)
    embedded_part = datasets.load_book_mnist()
    assert np.array_equal(embedded_part.x_train, data.x_train[:1000])
    assert np.array_equal(embedded_part.y_test, data.y_test)
    assert "not the published" not in data.source
    assert data.checksums == {name: unpacked for name, (_, unpacked) in mnist.MNIST.files.items()}
    assert data.x_train.shape == (60000, 28, 28) and data.x_test.shape == (10000, 28, 28)
    assert np.bincount(data.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


# ---- CIFAR-10 and Fashion-MNIST ----------------------------------------------------------------------------

RECORDS = 5


def batches():
    """Return {file name: bytes}, a few records each whose labels go round."""
    rng = np.random.default_rng(8)
    records = {name: rng.integers(0, 256, (RECORDS, 3073), dtype=np.uint8)
               for name in cifar10.CIFAR10_BATCHES}
    for k, array in enumerate(records.values()):
        array[:, 0] = (np.arange(RECORDS) + RECORDS * k) % 10
    return {name: array.tobytes() for name, array in records.items()}


def archive(contents, folder="cifar-10-batches-bin/"):
    """Return a .tar.gz of the files, and of some that are none of CIFAR-10's business."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as tar:
        link = tarfile.TarInfo("cifar-10-batches-bin/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        for name, content in {"../escaped.bin": b"x", "/tmp/escaped.bin": b"x", f"{folder}readme.html": b"x",
                              **{folder + name: content for name, content in contents.items()}}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return memory.getvalue()


@pytest.fixture
def cifar(home, monkeypatch):
    """The folder of small files, which are not written yet."""
    monkeypatch.setattr(cifar10, "CIFAR10", replace(cifar10.CIFAR10, sources=()))
    monkeypatch.setattr(cifar10, "CIFAR10_RECORDS", RECORDS)
    return home / "default" / "cifar10" / "cifar-10-batches-bin"


def write(folder, contents):
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def check_cifar(data):
    records = [np.frombuffer(content, np.uint8).reshape(-1, 3073) for content in batches().values()]
    for x, y, part in [(data.x_train, data.y_train, np.concatenate(records[:5])),
                       (data.x_test, data.y_test, records[5])]:
        assert x.shape == (len(part), 32, 32, 3) and x.dtype == np.uint8 and x.flags.c_contiguous
        np.testing.assert_array_equal(y, part[:, 0])
        for record, image in zip(part, x):
            for channel, plane in enumerate(np.split(record[1:], 3)):
                np.testing.assert_array_equal(image[..., channel].ravel(), plane)


@pytest.mark.parametrize("place", ["", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"])
def test_cifar10_is_found_where_it_is_unpacked(cifar, home, place, monkeypatch):
    write(home / "here" / place, batches())
    check_cifar(data := datasets.load_cifar10(data_dir=home / "here"))
    assert data.source == str(home / "here" / place) and data.classes[2] == "bird"
    if place.startswith("cifar10"):
        monkeypatch.setenv("NNJIT_DATA", str(home / "here"))
        check_cifar(datasets.load_cifar10())


def test_some_classes_of_cifar10(cifar):
    write(cifar, batches())
    every, data = datasets.load_cifar10(), datasets.load_cifar10(["bird", "airplane"])
    assert data.classes == ("bird", "airplane")
    for label, name in enumerate(data.classes):
        of_all = every.x_train[every.y_train == every.classes.index(name)]
        np.testing.assert_array_equal(data.x_train[data.y_train == label], of_all)
    assert len(data.x_train) == len(data.y_train) == 6 and set(data.y_test) <= {0, 1}
    (x, y), test = data.images(4)
    assert x.shape == (4, 32, 32, 3) and len(y) == 4 and test[0] is data.x_test
    assert datasets.load_digits().images()[0][0].shape == (1000, 28, 28, 1)


@pytest.mark.parametrize("classes, error", [
    (["bird"], ValueError), (["bird", "bird"], ValueError), (["bird", "plane"], ValueError), ([], ValueError),
    ("bird", TypeError), (3, TypeError)])
def test_unknown_classes(cifar, classes, error):
    with pytest.raises(error, match="classes: got .*, expected"):
        datasets.load_cifar10(classes)


@pytest.mark.parametrize("name, change, fault", [
    ("data_batch_2.bin", lambda content: content[:-1], "got 15,364 bytes, expected 5 records of 3,073 bytes"),
    ("test_batch.bin", lambda content: content + b"x", "got 15,366 bytes, expected"),
    ("data_batch_5.bin", lambda content: content[:3073] + b"\x0a" + content[3074:],
     "got the label 10 in record 1, expected 0"),
])
def test_damaged_files_of_cifar10(cifar, name, change, fault):
    contents = batches()
    write(cifar, {**contents, name: change(contents[name])})
    with pytest.raises(DataError, match=f"{name}: {fault}"):
        datasets.load_cifar10()


def test_cifar10_names_every_place_tried(cifar, home, monkeypatch):
    monkeypatch.setenv("NNJIT_DATA", str(home / "chosen"))
    write(cifar, {"test_batch.bin": b""})
    with pytest.raises(datasets.NotFoundError) as caught:
        datasets.load_cifar10()
    absent = home / "chosen" / "cifar10" / cifar.name
    assert f"{absent}: lacks everything: no such folder" in str(caught.value)
    assert f"{cifar}: lacks data_batch_1.bin, " in str(caught.value) and "NNJIT_DATA" in str(caught.value)
    with pytest.raises(DataError):
        datasets.load_cifar10(data_dir=home)


@pytest.fixture
def serve_archive(cifar, monkeypatch):
    """Return a function that offers these bytes as the archive, and what their sha256 should be."""
    servers = []

    def start(content, sha=None):
        servers.append(Server(lambda method, name: (200, len(content), content)))
        monkeypatch.setattr(cifar10, "CIFAR10", replace(cifar10.CIFAR10, sources=(servers[-1].url,), files={
            "cifar-10-binary.tar.gz": (sha or sha256(content), None)}))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_cifar10_is_downloaded_verified_and_unpacked(cifar, home, serve_archive):
    server = serve_archive(archive(batches()))
    check_cifar(data := datasets.load_cifar10())
    assert data.source == f"{server.url}, kept in {cifar.parent}"
    # Nothing else is there, or elsewhere.
    assert {path.name for path in cifar.iterdir()} == set(cifar10.CIFAR10_BATCHES)
    assert [path.name for path in cifar.parent.iterdir()] == [cifar.name]
    assert not (home / "default" / "escaped.bin").exists()
    count = len(server.requests)
    check_cifar(datasets.load_cifar10())
    assert len(server.requests) == count


@pytest.mark.parametrize("content, sha, fault", [
    (lambda: archive(batches()), "0" * 64, "bytes that are something else"),
    (lambda: archive(batches())[:-100], None, "damaged archive|ended before"),
    (lambda: b"no archive", None, "damaged archive|Not a gzipped file"),
    (lambda: archive({**batches(), "data_batch_1.bin": bytes(2 * RECORDS * 3073)}), None,
     "got 30,730 bytes as cifar-10"),
    (lambda: archive(batches(), "elsewhere/"), None, "lacks data_batch_1.bin"),
])
def test_a_wrong_archive_is_refused(cifar, serve_archive, content, sha, fault):
    serve_archive(content(), sha)
    with pytest.raises(datasets.NotFoundError, match=fault):
        datasets.load_cifar10()


def test_fashion_mnist_is_clothes_in_the_files_of_mnist(home, monkeypatch):
    monkeypatch.setattr(mnist, "FASHION_MNIST", replace(mnist.FASHION_MNIST, sources=()))
    put(home / "here" / "fashion-mnist")
    data = datasets.load_fashion_mnist(home / "here")
    check_small(data)
    assert (data.name, data.classes[9]) == ("Fashion-MNIST", "ankle boot")
    assert "not the published" not in data.source
    with pytest.raises(datasets.NotFoundError, match="Fashion-MNIST was not found"):
        datasets.load_fashion_mnist()


# ---- vowels ------------------------------------------------------------------------------------------------

def test_vowels_are_as_published():
    vowels = datasets.load_vowels()
    assert repr(vowels) == ("Sequences(Japanese vowels, embedded in the package: 270 to train, 370 to test, "
                            "of 7 to 29 steps of 12, 9 classes)")
    assert np.bincount(vowels.y_train).tolist() == [30] * 9
    assert np.bincount(vowels.y_test).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert len(vowels.x_train) == 270 and len(vowels.x_test) == 370
    first = vowels.x_train[0]    # the first utterance of the first speaker, its first frame
    assert first.shape == (20, 12) and first.dtype == np.float64
    assert np.allclose(first[0, :3], [1.860936, -0.207383, 0.261557], atol=5e-5)
    assert not np.isnan(np.concatenate(vowels.x_train + vowels.x_test)).any()
    assert vowels.y_train.dtype == np.int64 and len(vowels.classes) == 9
