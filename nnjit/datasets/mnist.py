"""MNIST and Fashion-MNIST: four IDX files each, found or downloaded."""
from pathlib import Path

import numpy as np

from ..inputs.checks import DataError
from . import files
from .dataset import Dataset
from .files import NotFoundError, Published
from .idx import read_with_checksum

MNIST = Published(
    name="MNIST",
    folder="mnist",
    sources=("https://ossci-datasets.s3.amazonaws.com/mnist/",
             "https://storage.googleapis.com/cvdf-datasets/mnist/"),
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
    largest=2**24,
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
    largest=2**25,
    classes=("T-shirt", "trouser", "pullover", "dress", "coat",
             "sandal", "shirt", "sneaker", "bag", "ankle boot"),
)


def load_mnist(data_dir: str | Path | None = None, download: bool = True) -> Dataset:
    """Return MNIST: 60,000 handwritten digits to train, 10,000 to test.

    Parameters
    ----------
    data_dir : path, optional
        The folder of the four files, raw or gzipped, also with a dot in their names, as in
        ``train-images.idx3-ubyte``; or the parent of their folder ``mnist``. Without it,
        ``$NNJIT_DATA/mnist`` and `default_folder` are searched.
    download : bool
        Without ``data_dir``, download what the default folder lacks.

    Returns
    -------
    Dataset
        Files whose content is not the published one are accepted, and named in ``source``.

    Raises
    ------
    DataError
        ``data_dir`` does not hold the four files; or a file, wherever it was found, is damaged.
    NotFoundError
        No place holds the four files, and they could not be downloaded. It is a DataError, too.

    References
    ----------
    Y. LeCun, C. Cortes, "The MNIST database of handwritten digits". Licence: CC BY-SA 3.0.
    """
    return _load_idx(MNIST, data_dir, download)


def load_fashion_mnist(data_dir: str | Path | None = None, download: bool = True) -> Dataset:
    """Return Fashion-MNIST: images of ten kinds of clothes, in MNIST's shape and numbers.

    Parameters, result and errors are as of `load_mnist`; the folder's name is ``fashion-mnist``.

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms", arXiv 1708.07747, 2017. Licence: MIT.
    """
    return _load_idx(FASHION_MNIST, data_dir, download)


def _load_idx(published, data_dir, download):
    """Return a data set of four IDX files, found or downloaded; errors as for `load_mnist`."""
    remedy = (f"Put the files {', '.join(published.files)}, raw or with .gz, into a folder and name it as "
              f"data_dir (--data-dir), or into a folder {published.folder} and set NNJIT_DATA to its parent.")
    tried = []
    for folder in files.places(published, data_dir):
        paths, fault = files.look(published, folder)
        if not fault:
            return _read(published, paths, str(folder))
        tried.append(f"{folder}: {fault}")
    if data_dir is not None:
        raise DataError(files.not_found(published, tried, remedy))
    if download:
        folder = files.default_folder(published.folder)
        source, failures = files.download(published, folder)
        if source:
            return _read(published, files.look(published, folder)[0], f"{source}, kept in {folder}")
        tried += failures
    raise NotFoundError(files.not_found(published, tried, remedy))


def _read(published, paths, source):
    """Return the four files of ``paths``, {file name: Path}, as a `Dataset`."""
    arrays, checksums = {}, {}
    for name in published.files:
        arrays[name], checksums[name] = read_with_checksum(paths[name])
    train_images, train_labels, test_images, test_labels = published.files
    for images, labels in [(train_images, train_labels), (test_images, test_labels)]:
        _check_pair(arrays[images], paths[images], arrays[labels], paths[labels])
    foreign = [name for name in checksums if published.files[name][1] not in (checksums[name], None)]
    if foreign:
        source += f" (not the published {published.name}: {', '.join(foreign)})"
    return Dataset(published.name, arrays[train_images], arrays[train_labels].astype(np.int64),
                   arrays[test_images], arrays[test_labels].astype(np.int64),
                   source, checksums, published.classes)


def _check_pair(images, images_path, labels, labels_path):
    """Object to other images than (N, 28, 28) bytes, and to labels that are not N from 0 to 9."""
    for array, path in (images, images_path), (labels, labels_path):
        if array.dtype != np.uint8:
            raise DataError(f"{path}: got {array.dtype}, expected bytes (type 08)")
    if images.shape[1:] != (28, 28):
        raise DataError(f"{images_path}: got an array of shape {images.shape}, expected images, (N, 28, 28)")
    if labels.shape != (len(images),):
        raise DataError(f"{labels_path}: got an array of shape {labels.shape}, expected one label for each "
                        f"of the {len(images)} images in {images_path}")
    if labels.max() > 9:
        i = int(np.argmax(labels > 9))
        raise DataError(f"{labels_path}: got the label {labels[i]} at index {i}, expected 0 to 9")
