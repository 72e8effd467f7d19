"""Data sets: found in folders, downloaded and verified, or embedded in the package."""
from .cifar10 import load_cifar10
from .dataset import Dataset, Table
from .embedded import load_digits, load_iris
from .files import NotFoundError, default_folder
from .made import paste_pairs, with_outliers
from .mnist import load_fashion_mnist, load_mnist, read_idx


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
