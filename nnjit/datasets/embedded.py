"""The data that come with the package, beside this file."""
import hashlib
from pathlib import Path

import numpy as np

from .dataset import Dataset, Table

_FOLDER = Path(__file__).parent


def load_digits():
    """Return the embedded UCI digits in MNIST's shape: 1,000 to train, 797 to test.

    The 8 × 8 pixels are scaled bilinearly to the middle 20 × 20 of the image, which is where MNIST has its ink.

    References
    ----------
    E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
    doi 10.24432/C50P49. Licence: CC BY 4.0.
    """
    path = _FOLDER / "digits.npz"
    with np.load(path, allow_pickle=False) as file:
        x, y = _enlarged(file["images"]), file["labels"].astype(np.int64)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return Dataset("UCI digits", x[:1000], y[:1000], x[1000:], y[1000:],
                   source="embedded in the package", checksums={path.name: checksum})


def _enlarged(small):
    """Return (N, 8, 8) images of 0..16 as (N, 28, 28) images of 0..255, in integers: the same on every machine."""
    # Output pixel i lies at 7 i / 19 of the source, and each neighbour's weight falls linearly to 0 one pixel away.
    weights = np.maximum(0, 19 - abs(7 * np.arange(20)[:, None] - 19 * np.arange(8)))    # (20, 8); a row adds up to 19
    values, whole = weights @ small.astype(np.int64) @ weights.T, 16 * 19 * 19
    large = (255 * values + whole // 2) // whole    # rounded to nearest
    return np.pad(large.astype(np.uint8), ((0, 0), (4, 4), (4, 4)))


def load_iris():
    """Return Fisher's 150 iris flowers, embedded in the package: 50 of each of three species, in that order.

    ``x`` is (150, 4): sepal length, sepal width, petal length, petal width, in centimetres. ``y`` is the species.

    References
    ----------
    R. A. Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7, 1936, table 1; UCI
    Machine Learning Repository, doi 10.24432/C56C76. Licence: CC BY 4.0.
    """
    path = _FOLDER / "iris.npz"
    with np.load(path, allow_pickle=False) as file:
        x, y = file["measurements"] / 10, file["species"].astype(np.int64)    # from millimetres
    columns = tuple(f"{part} {size} (cm)" for part in ("sepal", "petal") for size in ("length", "width"))
    return Table("iris", x, y, columns, ("setosa", "versicolor", "virginica"), source="embedded in the package",
                 checksums={path.name: hashlib.sha256(path.read_bytes()).hexdigest()})
