"""Saved models, and backups, become models again."""
from os import PathLike

from . import checkpoint
from .heads import Head
from .layers import Layer
from .model import Sequential
from .training.restoring import give_back


def load(path: str | PathLike[str], custom: dict[str, type[Layer | Head]] | None = None) -> Sequential:
    """Return the `Sequential` that `Sequential.save`, or a backup, wrote to ``path``.

    From a backup it has its ``optimizer`` and its ``history``: with them and the same ``seed``, `fit` goes
    on from ``initial_epoch=len(model.history.epochs)`` as if it had never stopped.

    Parameters
    ----------
    path : str or path
        A file of this version or an older one. No code in it is run.
    custom : dict of {name: class}, optional
        The classes of layers and heads of your own that the model has. Theirs is the only code that may run.

    Raises
    ------
    DataError
        There is no such file, or it is damaged, or not a saved model. Nothing is allocated for what a file
        merely says.
    ValueError
        The file has a layer or a head that is neither the package's nor in ``custom``; the message names it.
    """
    model = checkpoint.load(path, Sequential, custom)
    give_back(path, model)
    return model
