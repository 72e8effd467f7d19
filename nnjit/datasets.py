"""Data sets: find the files, download what is missing, verify, read.

MNIST, Fashion-MNIST and CIFAR-10 are looked for in folders and then downloaded; the UCI digits, scaled to MNIST's size,
come with the package for machines without a network. A file is trusted for its content: its sha256 decides whether it is the
published one. Fisher's iris flowers come with the package, too. From images, `paste_pairs` makes examples of several labels.
"""
import gzip
import hashlib
import math
import os
import struct
import tarfile
import threading
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pooch
from tqdm import tqdm

from .inputs.checks import DataError, as_numbers, check_count, check_real
from .targets import count_classes

_PACKAGE = Path(__file__).resolve().parent


class NotFoundError(DataError):
    """No place holds the files, and they could not be downloaded."""


@dataclass(frozen=True, eq=False)    # arrays have no single truth value to compare by
class Dataset:
    """Images and labels, and where they came from."""

    name: str               # "MNIST" or "UCI digits"
    x_train: np.ndarray     # (N, 28, 28) uint8: 0 is the paper, 255 the ink; colours (N, 32, 32, 3), red, green, blue
    y_train: np.ndarray     # (N,) int64: 0 to 9, or as many as there are classes
    x_test: np.ndarray
    y_test: np.ndarray
    source: str             # one line: a folder, a URL, or the package; says so if the content is not the published one
    checksums: dict         # file name → sha256 of its unpacked content
    classes: tuple = tuple("0123456789")    # the name of each label

    def images(self, train_size=None):
        """Return ``((x, y), (x_test, y_test))``, the images as they are, (N, H, W, C) uint8; arguments as of `rows`."""
        def channels(images):
            return images[..., None] if images.ndim == 3 else images

        n = self._check_size(train_size)
        return (channels(self.x_train[:n]), self.y_train[:n]), (channels(self.x_test), self.y_test)

    def rows(self, dtype="float32", train_size=None):
        """Return ``((x, y), (x_test, y_test))``, the images as rows, (N, 784), of pixels divided by 255.

        Parameters
        ----------
        dtype : {"float32", "float64"}
            Of the rows; a quotient is rounded once.
        train_size : int, optional
            Return the first ``train_size`` training images; by default all N.

        Raises
        ------
        TypeError
            ``train_size`` is not an integer.
        ValueError
            ``train_size`` is not within 1..N, or ``dtype`` is another one.
        """
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype: got {dtype}, expected float32 or float64")
        train_size = self._check_size(train_size)

        def scaled(images):
            return images.reshape(len(images), -1).astype(dtype) / dtype.type(255)

        return (scaled(self.x_train[:train_size]), self.y_train[:train_size]), (scaled(self.x_test), self.y_test)

    def _check_size(self, train_size):
        available = len(self.x_train)
        if train_size is None:
            return available
        if isinstance(train_size, bool) or not hasattr(train_size, "__index__"):
            raise TypeError(f"train_size: got {train_size!r}, expected an integer")
        if not 1 <= train_size <= available:
            raise ValueError(f"train_size: got {train_size}, expected 1 to {available}, the number of training images")
        return train_size

    def only(self, *classes):
        """Return a Dataset of the images of these classes alone, at least 2, numbered 0, 1, ... in the given order.

        ``load_digits().only(3, 8)`` asks of every image: is it a 3 or an 8? ValueError for classes without images.
        """
        known = np.unique(self.y_train)
        if len(classes) < 2 or len(set(classes)) < len(classes) or not np.isin(classes, known).all():
            raise ValueError(f"classes: got {', '.join(map(str, classes)) or 'none'}, expected at least 2 different ones "
                             f"of {', '.join(map(str, known))}")

        def chosen(x, y):
            kept = np.isin(y, classes)
            return x[kept], np.argmax(y[kept, None] == np.array(classes), axis=1)

        (x_train, y_train), (x_test, y_test) = chosen(self.x_train, self.y_train), chosen(self.x_test, self.y_test)
        name = f"{self.name}, {' or '.join(map(str, classes))}"
        return replace(self, name=name, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test,
                       classes=tuple(self.classes[label] for label in classes))


@dataclass(frozen=True)
class Published:
    """What the publishers of a data set offer."""

    name: str
    folder: str       # its own folder among the data
    sources: tuple    # URLs that end in "/", in the order to be tried; each offers every file with ".gz"
    files: dict       # file name → (sha256 of the .gz, sha256 of the unpacked content, None where that is not published)
    classes: tuple = tuple("0123456789")


MNIST = Published(
    name="MNIST",
    folder="mnist",
    sources=("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    files={
        "train-images-idx3-ubyte": ("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        "train-labels-idx1-ubyte": ("3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        "t10k-images-idx3-ubyte": ("8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                                   "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        "t10k-labels-idx1-ubyte": ("f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                                   "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    },
)

FASHION_MNIST = Published(
    name="Fashion-MNIST",
    folder="fashion-mnist",
    sources=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    files={
        "train-images-idx3-ubyte": ("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", None),
        "train-labels-idx1-ubyte": ("a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", None),
        "t10k-images-idx3-ubyte": ("346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", None),
        "t10k-labels-idx1-ubyte": ("67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", None),
    },
    classes=("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
)

# What is in the archive's one folder. A record is a label and 1,024 bytes each of red, green and blue, row by row.
CIFAR10 = Published(
    name="CIFAR-10",
    folder="cifar10",
    sources=("https://www.cs.toronto.edu/~kriz/",),
    files={"cifar-10-binary.tar.gz": ("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", None)},
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)
CIFAR10_FOLDER = "cifar-10-batches-bin"
CIFAR10_BATCHES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
CIFAR10_RECORDS, _RECORD_BYTES = 10000, 1 + 3 * 32 * 32    # of each file, and of each record


# ---- loading --------------------------------------------------------------------------------------------------------

def load(name="auto", data_dir=None, announce=print):
    """Return a `Dataset` by its name.

    Parameters
    ----------
    name : {"auto", "mnist", "digits"}
        ``"auto"`` is MNIST if it can be had within seconds, else the embedded digits.
    data_dir : path, optional
        The folder of MNIST, see `load_mnist`.
    announce : callable
        Called with one line of text when ``"auto"`` falls back to the digits.

    Raises
    ------
    ValueError
        Another ``name``.
    DataError
        As `load_mnist`, but ``"auto"`` falls back on a NotFoundError; a damaged file remains an error.
    """
    if name not in ("auto", "mnist", "digits"):
        raise ValueError(f"data set: got {name!r}, expected 'auto', 'mnist' or 'digits'")
    if name == "digits":
        return load_digits()
    try:
        return load_mnist(data_dir)
    except NotFoundError:
        if name == "mnist":
            raise
    announce("*** MNIST was neither found nor downloaded: using the embedded UCI digits instead. The book's table does "
             "not apply. Ask for 'mnist' by name to see every place tried. ***")
    return load_digits()


def load_mnist(data_dir=None, download=True):
    """Return MNIST: 60,000 handwritten digits to train, 10,000 to test.

    Parameters
    ----------
    data_dir : path, optional
        The folder of the four files, raw or gzipped, or the parent of their folder ``mnist``. Without it,
        ``$NNJIT_DATA/mnist`` and `default_folder` are searched.
    download : bool
        Without ``data_dir``, download what the default folder lacks.

    Returns
    -------
    Dataset
        Files with other content than the published one are accepted, and named in ``source``.

    Raises
    ------
    DataError
        ``data_dir`` does not hold the four files; or a file, wherever it was found, is damaged.
    NotFoundError
        (A DataError.) No place holds the four files, and they could not be downloaded.

    References
    ----------
    Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits". Licence: CC BY-SA 3.0.
    """
    return _load_idx(MNIST, data_dir, download)


def load_fashion_mnist(data_dir=None, download=True):
    """Return Fashion-MNIST: images of ten kinds of clothes, in MNIST's shape and numbers.

    Parameters, result and errors are as of `load_mnist`; the folder's name is ``fashion-mnist``.

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms",
    arXiv 1708.07747, 2017. Licence: MIT.
    """
    return _load_idx(FASHION_MNIST, data_dir, download)


def load_cifar10(classes=None, data_dir=None, download=True):
    """Return CIFAR-10: colour images of 32 by 32 pixels, 50,000 to train and 10,000 to test, of ten classes.

    Parameters
    ----------
    classes : sequence of str, optional
        Return the images of these alone, ``("bird", "airplane")`` say; their labels count from 0 in the order given.
    data_dir : path, optional
        The folder of the six files of the binary version (``data_batch_1.bin`` ... ``test_batch.bin``), or one with the folder
        ``cifar-10-batches-bin`` or ``cifar10/cifar-10-batches-bin``. Without it, ``$NNJIT_DATA/cifar10`` and `default_folder`
        are searched.
    download : bool
        Without ``data_dir``, download and unpack the archive into the default folder, which takes 350 MB at most.

    Returns
    -------
    Dataset
        The images are (N, 32, 32, 3) uint8.

    Raises
    ------
    TypeError, ValueError
        ``classes`` are not at least two different ones of the ten.
    DataError, NotFoundError
        As `load_mnist`.

    References
    ----------
    A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    chosen = _check_classes(CIFAR10.classes if classes is None else classes)
    tried = []
    for folder in _cifar10_places(data_dir):
        lacking = [name for name in CIFAR10_BATCHES if not (folder / name).is_file()]
        if not lacking:
            return _read_cifar10(folder, str(folder), chosen)
        tried.append(f"{folder}: lacks {', '.join(lacking) if folder.is_dir() else 'everything: no such folder'}")
    if data_dir is None and download:
        folder = default_folder(CIFAR10.folder)
        source, failures = _download_archive(folder)
        if source:
            return _read_cifar10(folder / CIFAR10_FOLDER, f"{source}, kept in {folder}", chosen)
        tried += failures
    error = DataError if data_dir is not None else NotFoundError
    raise error("\n    ".join(["CIFAR-10 was not found in any of these places:", *tried]) + (
        f"\nUnpack {next(iter(CIFAR10.files))}, the binary version, and name the folder as data_dir (--data-dir), or put its "
        f"folder {CIFAR10_FOLDER} into a folder cifar10 and set NNJIT_DATA to the parent of that."))


def load_digits():
    """Return the embedded UCI digits in MNIST's shape: 1,000 to train, 797 to test.

    The 8 × 8 pixels are scaled bilinearly to the middle 20 × 20 of the image, which is where MNIST has its ink.

    References
    ----------
    E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
    doi 10.24432/C50P49. Licence: CC BY 4.0.
    """
    path = _PACKAGE / "digits.npz"
    with np.load(path, allow_pickle=False) as file:
        x, y = _enlarged(file["images"]), file["labels"].astype(np.int64)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return Dataset("UCI digits", x[:1000], y[:1000], x[1000:], y[1000:],
                   source="embedded in the package", checksums={path.name: checksum})


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of measurements, a class for each, and where they came from."""

    name: str
    x: np.ndarray       # (N, D) float64
    y: np.ndarray       # (N,) int64: 0 .. K - 1
    columns: tuple      # the D names of what was measured, with the unit
    classes: tuple      # the K names of the classes
    source: str
    checksums: dict     # file name → sha256


def load_iris():
    """Return Fisher's 150 iris flowers, embedded in the package: 50 of each of three species, in that order.

    ``x`` is (150, 4): sepal length, sepal width, petal length, petal width, in centimetres. ``y`` is the species.

    References
    ----------
    R. A. Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7, 1936, table 1; UCI
    Machine Learning Repository, doi 10.24432/C56C76. Licence: CC BY 4.0.
    """
    path = _PACKAGE / "iris.npz"
    with np.load(path, allow_pickle=False) as file:
        x, y = file["measurements"] / 10, file["species"].astype(np.int64)    # from millimetres
    columns = tuple(f"{part} {size} (cm)" for part in ("sepal", "petal") for size in ("length", "width"))
    return Table("iris", x, y, columns, ("setosa", "versicolor", "virginica"), source="embedded in the package",
                 checksums={path.name: hashlib.sha256(path.read_bytes()).hexdigest()})


def _enlarged(small):
    """Return (N, 8, 8) images of 0..16 as (N, 28, 28) images of 0..255, in integers: the same on every machine."""
    # Output pixel i lies at 7 i / 19 of the source, and each neighbour's weight falls linearly to 0 one pixel away.
    weights = np.maximum(0, 19 - abs(7 * np.arange(20)[:, None] - 19 * np.arange(8)))    # (20, 8); a row adds up to 19
    values, whole = weights @ small.astype(np.int64) @ weights.T, 16 * 19 * 19
    large = (255 * values + whole // 2) // whole    # rounded to nearest
    return np.pad(large.astype(np.uint8), ((0, 0), (4, 4), (4, 4)))


def _load_idx(published, data_dir, download):
    """Return a data set of four IDX files. Errors as for `load_mnist`."""
    tried = []
    for folder in _places(published, data_dir):
        paths, fault = _look(published, folder)
        if not fault:
            return _read(published, paths, str(folder))
        tried.append(f"{folder}: {fault}")
    if data_dir is not None:
        raise DataError(_not_found(published, tried))
    if download:
        folder = default_folder(published.folder)
        source, failures = _download(published, folder)
        if source:
            return _read(published, _look(published, folder)[0], f"{source}, kept in {folder}")
        tried += failures
    raise NotFoundError(_not_found(published, tried))


def _read(published, paths, source):
    """Return the four files of ``paths``, {file name: Path}, as a `Dataset`."""
    contents = {name: _unpacked(paths[name]) for name in published.files}
    arrays = {name: _parse_idx(contents[name], paths[name]) for name in published.files}
    train_images, train_labels, test_images, test_labels = published.files
    for images, labels in [(train_images, train_labels), (test_images, test_labels)]:
        _check_pair(arrays[images], paths[images], arrays[labels], paths[labels])
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    foreign = [name for name in checksums if published.files[name][1] not in (checksums[name], None)]
    if foreign:
        source += f" (not the published {published.name}: {', '.join(foreign)})"
    return Dataset(published.name, arrays[train_images], arrays[train_labels].astype(np.int64),
                   arrays[test_images], arrays[test_labels].astype(np.int64), source, checksums, published.classes)


def _check_pair(images, images_path, labels, labels_path):
    if images.shape[1:] != (28, 28):
        raise DataError(f"{images_path}: got an array of shape {images.shape}, expected images, (N, 28, 28)")
    if labels.shape != (len(images),):
        raise DataError(f"{labels_path}: got an array of shape {labels.shape}, expected one label for each of the "
                        f"{len(images)} images in {images_path}")
    if labels.max() > 9:
        i = int(np.argmax(labels > 9))
        raise DataError(f"{labels_path}: got the label {labels[i]} at index {i}, expected 0 to 9")


# ---- made of other data ---------------------------------------------------------------------------------------------

def paste_pairs(images, labels, count, seed=0):
    """Paste images side by side in pairs, each of any two: which classes are present?

    Parameters
    ----------
    images : ndarray, (N, height, width)
    labels : (N,) class numbers 0 .. K - 1
    count : int
        How many pairs.
    seed : int
        From 0 to 2^32 - 1: the same seed gives the same pairs.

    Returns
    -------
    pairs : ndarray, (count, height, 2 width), of the images' dtype
    present : ndarray, (count, K) uint8
        1 for the classes that a pair shows, one or two of them.

    Raises
    ------
    TypeError, ValueError
        ``count`` is not a whole number of at least 1; ``images`` have another shape; ``labels`` are no class numbers.
    """
    count, K = check_count("count", count), count_classes("labels", labels)
    if np.ndim(images) != 3 or len(images) != len(labels):
        raise ValueError(f"images: got shape {np.shape(images)}, expected ({len(labels)}, height, width), one for each label")
    chosen = np.random.RandomState(seed).randint(len(images), size=(count, 2), dtype=np.int64)    # never another stream
    present = np.zeros((count, K), np.uint8)
    present[np.arange(count)[:, None], np.asarray(labels, np.int64)[chosen]] = 1
    return np.concatenate([images[chosen[:, 0]], images[chosen[:, 1]]], axis=2), present


def with_outliers(y, share=0.1, shift=5.0, seed=0):
    """Return a copy of the numbers ``y`` (N,), of which ``share`` are too large by ``shift``; the seed says which.

    They pull a mean away, and hardly a median. TypeError or ValueError where ``share`` is no number in [0, 1], or ``y``
    no array of numbers.
    """
    y = np.array(as_numbers("y", y), np.float64)
    wrong = np.random.RandomState(seed).permutation(len(y))[:round(check_real("share", share, 0, 1, "[]") * len(y))]
    y[wrong] += shift
    return y


# ---- finding --------------------------------------------------------------------------------------------------------

def default_folder(name="mnist"):
    """Return the folder where a data set is kept, a Path: ``data/`` of a source checkout, else the user's cache."""
    checkout = _PACKAGE.parent
    parent = checkout / "data" if (checkout / "setup.cfg").is_file() else pooch.os_cache("nnjit")
    return parent / name


def _places(published, data_dir):
    """Return the folders to search, in order."""
    if data_dir is not None:
        data_dir = Path(data_dir).expanduser()
        return [data_dir, data_dir / published.folder]
    chosen = os.environ.get("NNJIT_DATA")
    places = [Path(chosen).expanduser() / published.folder] if chosen else []
    return [*places, default_folder(published.folder)]


def _look(published, folder):
    """Return the files that a folder holds, {file name: Path}, and what is wrong with it, "" if nothing is."""
    try:
        present = set(os.listdir(folder))
    except OSError as error:
        return {}, error.strerror
    paths = {name: folder / entry for name in published.files for entry in (name + ".gz", name) if entry in present}
    lacking = [name for name in published.files if name not in paths]
    return paths, f"lacks {', '.join(lacking)}" if lacking else ""


def _not_found(published, tried):
    return "\n    ".join([f"{published.name} was not found in any of these places:", *tried]) + (
        f"\nPut the files {', '.join(published.files)}, raw or with .gz, into a folder and name it as data_dir "
        f"(--data-dir), or into a folder {published.folder} and set NNJIT_DATA to its parent.")


# ---- downloading ----------------------------------------------------------------------------------------------------

ANSWER_SECONDS = 4      # for a source to answer at all
SILENCE_SECONDS = 10    # between two pieces of a download


def _download(published, folder):
    """Fetch the files that a folder lacks; return the source that gave the last of them, or None, and the failures.

    A source that fails once is given up. DataError if the folder holds files of another data set: none are mixed.
    """
    for name, path in _look(published, folder)[0].items():
        if published.files[name][1] not in (hashlib.sha256(_unpacked(path)).hexdigest(), None):
            raise DataError(f"{path}: not the published {published.name}, whose other files are not downloaded beside "
                            "it; add the files that belong to it, or remove it")
    failures = []
    for source in published.sources:
        try:
            _fetch_missing(published, source, folder)
        except (OSError, ValueError) as error:    # the network and the disk; a checksum
            failures.append(f"{source}: {_reason(error)}")
        else:
            return source, failures
    return None, failures


def _fetch_missing(published, source, folder):
    held, _ = _look(published, folder)
    missing = [name for name in published.files if name not in held]
    if missing:    # else another process has fetched them meanwhile
        _check_answer(f"{source}{missing[0]}.gz")
    for name in missing:
        _fetch(f"{source}{name}.gz", folder / f"{name}.gz", published.files[name][0])


def _check_answer(url):
    """Raise an OSError unless ``url`` is offered, after `ANSWER_SECONDS` at most.

    A timeout of requests counts for one address of the host, and not for finding its addresses: hence a thread.
    """
    outcome = []

    def ask():
        try:
            head = pooch.HTTPDownloader(timeout=ANSWER_SECONDS)
            offered = head(url, None, None, check_only=True)
            outcome.append(None if offered else OSError(f"does not offer {url}"))
        except (OSError, ValueError) as error:
            outcome.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    error = outcome[0] if outcome else TimeoutError(f"no answer within {ANSWER_SECONDS} s")
    if error:
        raise error


def _fetch(url, path, sha256):
    """Download ``url`` to ``path``; pooch keeps no file that fails its check."""
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        with tqdm(total=1, desc=path.name, unit="B", unit_scale=True, leave=False, disable=None) as bar:
            get = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=(ANSWER_SECONDS, SILENCE_SECONDS))
            pooch.retrieve(url, f"sha256:{sha256}", path.name, path.parent, downloader=get)
    finally:
        logger.setLevel(level)


def _reason(error):
    """Return the message at the bottom of a chain: requests wraps "connection refused" in three lines of its own."""
    while error.__context__:
        error = error.__context__
    return str(error) or type(error).__name__


# ---- reading --------------------------------------------------------------------------------------------------------

def read_idx(path):
    """Return the array in an IDX file: uint8, with the shape that the header gives.

    The file may be gzipped, which is seen from its content and not from its name.

    Raises
    ------
    DataError
        The file cannot be read, its gzip stream is damaged, or its content is not what its header says.

    References
    ----------
    The format, in Y. LeCun, "The MNIST database of handwritten digits": two zero bytes, the elements' type (8: unsigned
    byte), the number of dimensions; the size of each, 4 bytes, big-endian; the elements.
    """
    return _parse_idx(_unpacked(path), path)


def _unpacked(path):
    """Return the bytes of a file, unpacked if it is gzipped."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); get it anew") from error


def _parse_idx(content, path):
    """Return the array in the bytes of an IDX file; ``path`` is for the errors."""
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not 1 <= content[3] <= 4:
        raise DataError(f"{path}: not an IDX file of bytes: starts with {content[:4].hex(' ') or 'nothing'}, "
                        "expected 00 00 08 and 01 to 04, the number of dimensions")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(f"{path}: truncated: got {len(content)} bytes, expected a header of {start}")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    expected = start + math.prod(shape)
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "trailing bytes"
        raise DataError(f"{path}: {fault}: got {len(content)} bytes, expected {expected} for the shape {shape}")
    if expected == start:
        raise DataError(f"{path}: got an empty array of shape {shape}, expected some elements")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()    # a copy can be written to


# ---- CIFAR-10 -------------------------------------------------------------------------------------------------------

def _check_classes(classes):
    if isinstance(classes, str) or not hasattr(classes, "__iter__"):
        raise TypeError(f"classes: got {classes!r}, expected a list of names")
    classes = tuple(classes)
    unknown = [name for name in classes if name not in CIFAR10.classes]
    if unknown or len(set(classes)) < max(2, len(classes)):
        raise ValueError(f"classes: got {', '.join(map(str, unknown or classes)) or 'none'}, expected two or more different ones "
                         f"of {', '.join(CIFAR10.classes)}")
    return classes


def _cifar10_places(data_dir):
    """Return the folders to search for the six files, in order."""
    if data_dir is None:
        return [folder / CIFAR10_FOLDER for folder in _places(CIFAR10, None)]
    data_dir = Path(data_dir).expanduser()
    return [data_dir, data_dir / CIFAR10_FOLDER, data_dir / CIFAR10.folder / CIFAR10_FOLDER]


def _read_cifar10(folder, source, classes):
    batches = {name: _read_batch(folder / name) for name in CIFAR10_BATCHES}
    checksums = {name: hashlib.sha256(records).hexdigest() for name, records in batches.items()}
    *train, test = batches.values()
    number = np.full(len(CIFAR10.classes), -1)    # of each label, -1 where it is not asked for
    number[[CIFAR10.classes.index(name) for name in classes]] = np.arange(len(classes))

    def images_and_labels(parts):
        numbers = [number[part[:, 0]] for part in parts]
        labels = np.concatenate(numbers)
        images = np.empty((np.count_nonzero(labels >= 0), 32, 32, 3), np.uint8)
        first = 0
        for part, of_part in zip(parts, numbers):    # one at a time, which takes less memory
            chosen = part[of_part >= 0, 1:].reshape(-1, 3, 32, 32)
            images[first:first + len(chosen)] = chosen.transpose(0, 2, 3, 1)
            first += len(chosen)
        return images, labels[labels >= 0]

    return Dataset(CIFAR10.name, *images_and_labels(train), *images_and_labels([test]), source, checksums, classes)


def _read_batch(path):
    """Return the records of a file, (N, 3073) uint8."""
    try:
        size = path.stat().st_size
        records = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if size != CIFAR10_RECORDS * _RECORD_BYTES:
        raise DataError(f"{path}: got {size:,} bytes, expected {CIFAR10_RECORDS:,} records of {_RECORD_BYTES:,} bytes")
    records = records.reshape(-1, _RECORD_BYTES)
    if records[:, 0].max() > 9:
        i = int(np.argmax(records[:, 0] > 9))
        raise DataError(f"{path}: got the label {records[i, 0]} in record {i}, expected 0 to 9")
    return records


def _download_archive(folder):
    """Fetch and unpack the archive; return its source, or None, and the failures. One that lies there is not fetched again."""
    (name, (sha256, _)), = CIFAR10.files.items()
    archive, failures = folder / name, []
    for source in CIFAR10.sources:
        try:
            if not archive.is_file():
                _check_answer(source + name)
            _fetch(source + name, archive, sha256)
            _unpack_batches(archive, folder / CIFAR10_FOLDER)
        except (OSError, ValueError) as error:    # the network and the disk; a checksum
            failures.append(f"{source}: {_reason(error)}")
        else:
            archive.unlink()
            return source, failures
    return None, failures


def _unpack_batches(archive, folder):
    """Write the six files of the archive into the folder: no others, under no other names, of no other size."""
    size, found = CIFAR10_RECORDS * _RECORD_BYTES, set()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as members:
            for member in members:
                place, _, name = member.name.rpartition("/")
                if place != CIFAR10_FOLDER or name not in CIFAR10_BATCHES:
                    continue
                if not member.isfile() or member.size != size:
                    raise DataError(f"{archive}: got {member.size:,} bytes as {member.name}, expected a file of {size:,}")
                partial = folder / f".{name}.{os.getpid()}"
                partial.write_bytes(members.extractfile(member).read(size))
                os.replace(partial, folder / name)
                found.add(name)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{archive}: damaged archive ({error}); get it anew") from error
    if len(found) < len(CIFAR10_BATCHES):
        raise DataError(f"{archive}: lacks {', '.join(name for name in CIFAR10_BATCHES if name not in found)}")
