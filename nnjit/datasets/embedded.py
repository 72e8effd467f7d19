"""The data that come with the package, beside this file: the book's MNIST, the UCI digits, iris, vowels."""
import hashlib
from pathlib import Path

import numpy as np

from ..archives import read_arrays
from ..inputs.checks import DataError
from .dataset import Dataset, Sequences, Table

_FOLDER = Path(__file__).parent

# MNIST as *Grokking Deep Learning* uses it: the first 1,000 images to train, all 10,000 to test, in order.
BOOK_TRAIN_SIZE = 1000
# Of each array's bytes: (1000, 28, 28), (1000,), (10000, 28, 28) and (10000,) uint8.
BOOK_SHA256 = {
    "train_images": "2304e0137aea1f236247daacc2dcaf275996895e40c4bb0760c448434d361d1a",
    "train_labels": "b03ead2884240483d956c7feac7a9b39d28685062da0a980bb73d2196dc506b8",
    "test_images": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "test_labels": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}


def load_book_mnist() -> Dataset:
    """Return the book's part of MNIST, embedded in the package.

    The first 1,000 images are to train, all 10,000 of the test set to test.

    Raises
    ------
    DataError
        The file's content is not that of MNIST.

    References
    ----------
    Y. LeCun, C. Cortes, "The MNIST database of handwritten digits". Licence: CC BY-SA 3.0.
    """
    path = _FOLDER / "mnist.npz"
    try:
        found = read_arrays(path)
        arrays = {name: found[name] for name in BOOK_SHA256}
    except (DataError, KeyError) as error:
        raise DataError(f"{path}: damaged ({error}); install the package anew") from error
    checksums = {name: hashlib.sha256(array.data).hexdigest() for name, array in arrays.items()}
    if checksums != BOOK_SHA256:
        raise DataError(f"{path}: got other images than MNIST's; install the package anew")
    x_train, y_train, x_test, y_test = arrays.values()
    return Dataset("MNIST", x_train, y_train.astype(np.int64), x_test, y_test.astype(np.int64),
                   source="the book's 11,000 images, embedded", checksums=checksums)


def holds_the_books(data: Dataset) -> bool:
    """Return whether a data set begins with the book's 1,000 training images and has its 10,000 to test."""
    n = BOOK_TRAIN_SIZE
    arrays = data.x_train[:n], data.y_train[:n].astype(np.uint8), data.x_test, data.y_test.astype(np.uint8)
    found = (hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() for array in arrays)
    return all(own == expected for own, expected in zip(found, BOOK_SHA256.values()))


def load_digits() -> Dataset:
    """Return the embedded UCI digits in MNIST's shape: 1,000 to train, 797 to test.

    The 8 × 8 pixels are scaled bilinearly to the middle 20 × 20 of the image, where MNIST has its ink.

    References
    ----------
    E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
    1998, doi 10.24432/C50P49. Licence: CC BY 4.0.
    """
    path = _FOLDER / "digits.npz"
    with np.load(path, allow_pickle=False) as file:
        x, y = _enlarged(file["images"]), file["labels"].astype(np.int64)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return Dataset("UCI digits", x[:1000], y[:1000], x[1000:], y[1000:],
                   source="embedded in the package", checksums={path.name: checksum})


def _enlarged(small):
    """Return (N, 8, 8) images of 0..16 as (N, 28, 28) images of 0..255.

    It is computed in integers: the same on every machine.
    """
    # Output pixel i lies at 7 i / 19 of the source. A neighbour's weight falls linearly to 0 one pixel away.
    weights = np.maximum(0, 19 - abs(7 * np.arange(20)[:, None] - 19 * np.arange(8)))    # (20, 8), of sum 19
    values, whole = weights @ small.astype(np.int64) @ weights.T, 16 * 19 * 19
    large = (255 * values + whole // 2) // whole    # rounded to nearest
    return np.pad(large.astype(np.uint8), ((0, 0), (4, 4), (4, 4)))


def load_iris() -> Table:
    """Return Fisher's 150 iris flowers, embedded in the package: 50 of each of three species, in that order.

    ``x`` is (150, 4): sepal length, sepal width, petal length, petal width, in cm. ``y`` is the species.

    References
    ----------
    R. A. Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7, 1936,
    table 1; UCI Machine Learning Repository, doi 10.24432/C56C76. Licence: CC BY 4.0.
    """
    path = _FOLDER / "iris.npz"
    with np.load(path, allow_pickle=False) as file:
        x, y = file["measurements"] / 10, file["species"].astype(np.int64)    # from millimetres
    columns = tuple(f"{part} {size} (cm)" for part in ("sepal", "petal") for size in ("length", "width"))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return Table("iris", x, y, columns, ("setosa", "versicolor", "virginica"),
                 source="embedded in the package", checksums={path.name: checksum})


def load_vowels() -> Sequences:
    """Return 640 utterances of two Japanese vowels by nine men, embedded in the package: who speaks?

    Each is a sequence of 7 to 29 frames, 6.4 ms apart, of 12 numbers, the cepstrum coefficients of a linear
    prediction, rounded to 4 digits behind the point. 270 are to train, 30 of each speaker, and 370 to test.

    References
    ----------
    M. Kudo, J. Toyama, M. Shimbo, "Multidimensional curve classification using passing-through regions",
    Pattern Recognition Letters 20, 1999; "Japanese Vowels", UCI Machine Learning Repository, doi
    10.24432/C5NS47. Licence: CC BY 4.0.
    """
    path = _FOLDER / "vowels.npz"
    with np.load(path, allow_pickle=False) as file:
        frames, ends = file["frames"].T / 1e4, np.cumsum(file["lengths"], dtype=np.int64)
        speakers, n = file["speakers"].astype(np.int64), int(file["train"])
    x = np.split(np.ascontiguousarray(frames), ends[:-1])
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return Sequences("Japanese vowels", x[:n], speakers[:n], x[n:], speakers[n:],
                     tuple(f"speaker {k}" for k in range(1, 10)), source="embedded in the package",
                     checksums={path.name: checksum})
