"""From a file to what a network is trained on: the question, the parts, the inputs; and good settings."""
import argparse
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._numba.warning import warn
from ..experiments.questions import network as dense_network
from ..inputs.checks import DataError
from ..inputs.columns import Columns
from ..inputs.pictures import Pictures, as_bytes, is_dark_on_white
from ..layers import Conv2D, Dropout, Flatten, MaxPool2D, ReLU
from ..model import Sequential
from . import prepare, sources, target

MANY = 100000   # rows, from which on float32 will do
SMALLEST = 8    # pixels of a side, for convolutions


@dataclass
class OwnData:
    """A question of one's own, and the examples of it.

    Attributes
    ----------
    name, source, checksums : of the file, as of `datasets.Dataset`
    target : `target.Target`
    parts : {"train", "validation", "test": (X, y)}
    preprocessing : what was learned of the inputs
    said, notes : lines of what the file holds, and of what is left out or was noticed
    new_head : ``new_head()`` returns a new head for the question
    dtype : of the network: what was asked for, or else float32 for images and for many rows
    """

    name: str
    source: str
    checksums: dict[str, str]
    target: target.Target
    parts: dict[str, tuple[Any, ...]]
    preprocessing: Columns | Pictures
    said: str
    new_head: Callable[..., Any]
    dtype: str
    notes: list[str] = field(default_factory=list)

    @property
    def are_images(self) -> bool:
        """Whether the inputs are images."""
        return isinstance(self.preprocessing, Pictures)


def load(path: Path, targets: list[str] | None, test: Path | None, image: tuple[Any, ...] | None,
         dtype: str | None, seed: int, quiet: bool, **asked) -> OwnData:
    """Return the `OwnData` of a file; ``asked`` are ``out``, ``loss`` and ``classes`` as of `target.ask`.

    Errors are `target.Refused` for options, `DataError` for files.
    """
    given = sources.read(path, targets, image, quiet)
    others = dict(given.others)
    if test is not None:
        others["test"] = sources.read(test, None if test.is_dir() else given.names, image, quiet)
        others["test"] = others["test"].others.get("test", others["test"])
    table = hasattr(given.inputs, "columns")
    with _about(path):
        found = target.ask(given.answers, given.names, whole_are_classes=not table, **asked)
        rows = prepare.split(len(found.y), found.strata, seed, "test" not in others)
        if "validation" in others:
            rows["train"] = np.concatenate([rows["train"], rows.pop("validation")])
        train = rows["train"]
        if table:
            learned = prepare.learn(given.inputs, given.names, found.rows[train], found.y[train])
            notes = [f"{name!r} is left out: {why}" for name, why in learned.left_out.items()]
        else:
            learned, notes = _of_images(given)
        dtype = dtype or ("float64" if table and len(found.y) < MANY else "float32")
        parts = {part: (learned.transform(given.inputs, dtype, found.rows[own]), found.y[own])
                 for part, own in rows.items()}
    if len(found.y) < len(given.answers):
        notes.insert(0, f"{len(given.answers) - len(found.y):,} rows without "
                        f"{' or '.join(map(repr, given.names))}, or of other classes, are left out")
    for part, other in others.items():
        with _about(test if part == "test" and test is not None else path):
            parts[part] = _examples(other, found.head(train), learned, given.names, dtype)
    checksums = {name: digest for file in (path, test) if file is not None
                 for name, digest in sources.checksum(file).items()}
    return OwnData(path.name, str(path), checksums, found, parts, learned, given.said,
                   lambda: found.head(train), dtype, notes)


@contextlib.contextmanager
def _about(path):
    """The context in which the errors about data begin with the name of their file."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _of_images(given):
    """Return what is learned of images, and what was noticed."""
    H, W, C = given.inputs.shape[1:]
    if C not in (1, 3):
        raise DataError(f"got images with {C} channels, expected 1 (grey) or 3 (red, green, blue)")
    some = as_bytes(given.inputs[:1000], given.top)
    dark = is_dark_on_white(some)
    notes = ["the images are dark on white; they are inverted, so that ink is large and paper 0"] * dark
    return Pictures([H, W], C, dark, given.names, given.pixels, given.top), notes


def _examples(given, head, learned, names, dtype):
    """Return the (X, y) of a part that is kept apart."""
    if given.answers is None or any(name not in given.answers for name in names):
        raise DataError(f"got no {' or '.join(map(repr, names))}, expected the target")
    y, rows = target.truths(head, given.answers, names)
    if isinstance(learned, Pictures) and not hasattr(given.inputs, "columns"):
        warn_of_another_ground(given.inputs, learned)
    return learned.transform(given.inputs, dtype, rows), y


def warn_of_another_ground(images: np.ndarray, learned: Pictures):
    """Warn where grey images are dark on white, and those of the training were not, or the reverse."""
    dark = is_dark_on_white(as_bytes(images[:1000], learned.top))
    if images.shape[3:] == (1,) and dark != learned.inverted:
        warn(f"the images are {'light on black' if learned.inverted else 'dark on white'}, those of the "
             f"training were {'dark on white' if learned.inverted else 'light on black'}; invert them")


# ---- settings ----------------------------------------------------------------------------------------------

def settings(data: OwnData) -> dict[str, Any]:
    """Return good settings for the size of the training part, by the names of the options."""
    N, found = len(data.parts["train"][0]), {"act": "relu", "dropout": 0.1, "optimizer": "adam"}
    if data.are_images:
        by_size = {"batch_size": 32, "epochs": 50, "patience": 8, "lr": 0.001, "hidden": (64,)}
        if N >= 20000:
            by_size |= {"batch_size": 64, "epochs": 15, "patience": 3}
        return found | by_size
    by_size = {"batch_size": 32, "epochs": 300, "patience": 20, "lr": 0.003, "hidden": (64,)}
    if N >= 5000:
        by_size |= {"batch_size": 128, "epochs": 100, "patience": 10, "hidden": (128, 64)}
    if N >= 50000:
        by_size |= {"batch_size": 512, "epochs": 30, "patience": 5}
    return found | by_size


def new_network(data: OwnData, args: argparse.Namespace, head) -> Sequential:
    """Return the network, unbuilt, that the options describe."""
    size = data.preprocessing.size if isinstance(data.preprocessing, Pictures) else []
    drop = None if not args.dropout else lambda: Dropout(args.dropout)
    dense = dense_network(args.act, args.hidden, drop, data.target.units, head, args.dtype)
    if not data.are_images:
        return dense
    if args.model == "mlp" or min(size) < SMALLEST:
        return Sequential([Flatten(), *dense.layers], head, args.dtype)
    convolutions = [Conv2D(8, 3, padding="same"), ReLU(), MaxPool2D(2), Conv2D(16, 3, padding="same"), ReLU(),
                    MaxPool2D(2), Flatten()]
    return Sequential([*convolutions, *dense.layers], head, args.dtype)
