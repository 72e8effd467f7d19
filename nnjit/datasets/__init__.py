"""Data sets: found in folders, downloaded and verified, or embedded in the package.

In reading order: `dataset`, what a data set is in memory; `embedded`, those that come with the package;
`files`, how the files of the others are found, downloaded and verified; `mnist` and `cifar10`, which read
them, and `idx`, their format; `tables` and `image_files`, files of one's own; `made`, data made of other
data. `load` chooses by a name.
"""
from pathlib import Path

from .cifar10 import load_cifar10
from .dataset import Dataset, Sequences, Table
from .embedded import (
    BOOK_TRAIN_SIZE,
    holds_the_books,
    load_book_mnist,
    load_digits,
    load_iris,
    load_vowels,
)
from .files import NotFoundError, default_folder
from .idx import read_idx
from .image_files import Images, read_images
from .made import paste_pairs, with_outliers
from .mnist import load_fashion_mnist, load_mnist
from .tables import read_table

__all__ = ["BOOK_TRAIN_SIZE", "Dataset", "Images", "NotFoundError", "Sequences", "Table", "default_folder",
           "holds_the_books", "load", "load_book_mnist", "load_cifar10", "load_digits", "load_fashion_mnist",
           "load_iris", "load_mnist", "load_vowels", "paste_pairs", "read_idx", "read_images", "read_table",
           "with_outliers"]


def load(name: str = "auto", data_dir: str | Path | None = None) -> Dataset:
    """Return a `Dataset` by its name.

    Parameters
    ----------
    name : {"auto", "mnist", "digits"}
        ``"auto"`` downloads nothing: it is the full MNIST where that lies in a folder, else the book's part
        of it, which comes with the package. ``"mnist"`` is the full one, downloaded where it has to be.
        ``"digits"`` are the embedded UCI digits.
    data_dir : path, optional
        The folder of MNIST, see `load_mnist`.

    Raises
    ------
    ValueError
        Another ``name``.
    DataError
        As `load_mnist`. For ``"auto"`` too, a damaged file is an error, and so is a
        ``data_dir`` without the files.
    """
    if name not in ("auto", "mnist", "digits"):
        raise ValueError(f"data set: got {name!r}, expected 'auto', 'mnist' or 'digits'")
    if name == "digits":
        return load_digits()
    if name == "mnist":
        return load_mnist(data_dir)
    try:
        return load_mnist(data_dir, download=False)
    except NotFoundError:
        return load_book_mnist()
