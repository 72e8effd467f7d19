"""Files and folders of one's own, of whichever kind, as inputs and answers."""
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..archives import read_arrays
from ..datasets import read_images, read_table
from ..datasets.idx import find_pairs, lies_on_its_side, read_pair
from ..datasets.image_files import SUFFIXES, has_images, sizes_in_words
from ..datasets.tables import import_extra
from ..inputs.checks import DataError
from ..inputs.columns import Columns
from ..inputs.pictures import Pictures, top_of
from ..inputs.targets import in_short
from .target import Refused

_PARTS = {"train": ("train", "training"), "validation": ("val", "valid", "validation", "dev"),
          "test": ("test", "testing")}
# of an archive of arrays: what inputs and answers are called, after or before the name of a part
_INPUTS = "x", "images", "data", "features", "inputs"
_ANSWERS = "y", "labels", "label", "target", "targets"


@dataclass
class Given:
    """What a file holds.

    Attributes
    ----------
    inputs : a DataFrame, or images (N, H, W, C)
    answers : a DataFrame with the targets, or None
    names : of the targets
    said : what it is, in words
    rows : the names of the rows, where they have some: those of files
    others : {"validation": Given, "test": Given}, where they are kept apart
    pixels : the names of the columns of a table that became images
    top : the largest value of a pixel
    """

    inputs: Any
    answers: Any
    names: list[str]
    said: str
    rows: tuple[str, ...] | None = None
    others: dict[str, Any] = field(default_factory=dict)
    pixels: list[str] | None = None
    top: float = 255.0


def read(path: Path, targets: list[str] | None, image: tuple[Any, ...] | None, quiet: bool,
         as_trained: Columns | Pictures | None = None) -> Given:
    """Return what a file or folder holds.

    Parameters
    ----------
    targets : the names of the columns of a table, or of the array of an archive, or None
    image : (H, W) or (H, W, C) of images, or None
    as_trained : what was learned when it was trained, if it was: of a table then only those columns are read

    Raises
    ------
    Refused
        Targets or an image's size that do not fit.
    DataError
        A file that is missing, damaged or not what its name says.
    """
    if path.is_dir():
        if targets and as_trained is None:
            raise Refused(f"--target: got {','.join(targets)} with the folder {path}, expected none; its "
                          "sub-folders, or its files of labels, are the classes")
        return _read_folder(path, targets, image, quiet, as_trained)
    suffix = path.suffix.lower()
    if suffix in (".npz", ".npy"):
        return _read_arrays(path, targets, image, as_trained)
    if suffix in SUFFIXES:
        size, channels = _size(image, as_trained)
        return _of_files(read_images(path, size, channels, quiet), None)
    if suffix == ".idx" or "-ubyte" in path.name:
        raise DataError(f"{path}: got one IDX file, expected the folder where images and labels lie")
    return _read_table(path, targets, image, quiet, as_trained)


def checksum(path: Path) -> dict[str, str]:
    """Return {name: sha256} of a file, or of all files of a folder in one."""
    found = hashlib.sha256()
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        if path.is_dir():
            found.update(str(file.relative_to(path)).encode())
        with open(file, "rb") as content:
            while piece := content.read(2**20):
                found.update(piece)
    return {path.name: found.hexdigest()}


def _size(image, as_trained):
    """Return the size and the channels that are asked for, or those of the training."""
    if isinstance(as_trained, Pictures):
        return tuple(as_trained.size), as_trained.channels
    return (None, None) if image is None else (image[:2], image[2] if len(image) == 3 else None)


# ---- tables ------------------------------------------------------------------------------------------------

def _read_table(path, targets, image, quiet, as_trained):
    if isinstance(as_trained, Pictures) and as_trained.columns is None:
        raise DataError(f"{path}: got a table, expected images as in training")
    wanted = None
    if as_trained is not None:
        known: Any = (as_trained.columns if isinstance(as_trained, Pictures)
                      else [column.name for column in as_trained.columns])
        wanted = known + (targets or [])
    frame = read_table(path, wanted, quiet)
    columns = list(frame.columns)
    if as_trained is None:
        targets = _targets_of(path, columns, targets)
    if as_trained is None and image is not None:
        frame, pixels = frame[targets], frame.drop(columns=targets)
        return _of_pixels(path, pixels, frame, targets, image)
    said = f"{len(frame):,} rows of {len(columns)} columns"
    return Given(frame, frame, targets, said)


def _targets_of(path, columns, targets):
    """Return the names of the targets; one text may be several names, with commas."""
    if not targets:
        raise Refused(f"--target: got none, expected a column of {path}: {in_short(columns, 20)}")
    names = [part for name in targets for part in ([name] if name in columns else name.split(","))]
    for name in names:
        if name not in columns:
            from ..datasets.tables import missing_column
            raise Refused(f"--target: {missing_column(path, name, columns)}")
    if len(set(names)) < len(names):
        raise Refused(f"--target: got {names}, expected each column once")
    return names


def _of_pixels(path, pixels, answers, targets, image):
    """Return the images that the columns of a table hold, row by row."""
    shape = (*image, 1)[:3]
    numbers = [name for name in pixels if pixels[name].dtype.kind in "biuf"]
    if len(numbers) != np.prod(shape):
        raise Refused(f"--image: got {' × '.join(map(str, image))}, {np.prod(shape)} numbers, expected as "
                      f"many as {path} has columns of numbers beside the target, {len(numbers)}")
    values = pixels[numbers].to_numpy()
    if not np.isfinite(values).all():
        raise DataError(f"{path}: got missing pixels, expected a number in every column of the image")
    images = values.reshape(-1, *shape)
    said = f"{len(images):,} images of {sizes_in_words([shape[:2]])} in {len(numbers)} columns"
    return Given(images, answers, targets, said, pixels=numbers, top=top_of(images))


# ---- folders -----------------------------------------------------------------------------------------------

def _read_folder(path, targets, image, quiet, as_trained):
    pairs = find_pairs(path)
    if pairs:
        return _of_pairs(path, pairs)
    parts = {part: folder for part, names in _PARTS.items() for folder in path.iterdir()
             if folder.is_dir() and folder.name.lower() in names}
    if "train" in parts:
        given = {part: _read_images(folder, image, quiet, as_trained) for part, folder in parts.items()}
        size = given["train"].inputs.shape[1:]
        for part, one in given.items():
            if one.inputs.shape[1:] != size:
                given[part] = _read_images(parts[part], size, quiet, as_trained)
        given["train"].others = {part: one for part, one in given.items() if part != "train"}
        return given["train"]
    if not has_images(path):
        raise DataError(f"{path}: got a folder without images or IDX files, expected a sub-folder of images "
                        "for each class, or the name of a file")
    return _read_images(path, image, quiet, as_trained)


def _read_images(folder, image, quiet, as_trained):
    size, channels = _size(image, as_trained)
    found = read_images(folder, size, channels, quiet)
    if found.y is None and as_trained is None:
        raise DataError(f"{folder}: got images without sub-folders, expected a sub-folder for each class")
    return _of_files(found, None if found.y is None else {"class": found.y})


def _of_files(found, answers):
    N, H, W, C = found.x.shape
    said = f"{N:,} images, {'colour' if C == 3 else 'grey'}, {sizes_in_words(list(found.sizes))}"
    if list(found.sizes) != [(H, W)]:
        said += f"; all stretched to {H} × {W}, which --image changes"
    return Given(found.x, _frame(answers), ["class"], said, found.files)


def _of_pairs(path, pairs):
    """Return the images of IDX files."""
    turned = ""
    if any(lies_on_its_side(images) for images, _ in pairs.values()):
        turned = ", turned upright: those of EMNIST lie on their side"

    def of(images, labels):
        x, y = read_pair(images, labels)
        x = x[..., None] if x.ndim == 3 else x
        return Given(x, _frame({"label": y}), ["label"],
                     f"{len(x):,} images of {sizes_in_words([x.shape[1:3]])}{turned}", top=top_of(x))

    given = {part: of(*files) for part, files in pairs.items()}
    first = given.pop("train", None) or given.pop("test")
    first.others = given
    return first


# ---- arrays ------------------------------------------------------------------------------------------------

def _read_arrays(path, targets, image, as_trained):
    arrays, parts = read_arrays(path), {}
    answers = [*(targets or ()), *(_ANSWERS if as_trained is not None or not targets else ())]
    for part in ("", *_PARTS):
        x, y = (_named(arrays, names, part) for names in (_INPUTS, answers))
        if x is not None:
            parts[part] = _of_arrays(path, x, y, targets[0] if targets else "y", image, as_trained)
    whole = parts.pop("", None) or parts.pop("train", None)
    if whole is None and as_trained is not None and parts:
        whole = parts.pop(min(parts))
    if whole is None or (whole.answers is None and as_trained is None):
        raise DataError(f"{path}: got the arrays {in_short(list(arrays))}, expected X and y, or x_train, "
                        "y_train, x_test and y_test")
    whole.others = parts
    return whole


def _named(arrays, names, part):
    """Return the array that has one of these names, with that of a part before or after it."""
    lower = {name.lower(): array for name, array in arrays.items()}
    for name in map(str.lower, names):
        for other in _PARTS.get(part, ("",)):
            for key in ([f"{name}_{other}", f"{other}_{name}"] if other else [name]):
                if key in lower:
                    return lower[key]
    return None


def _of_arrays(path, x, y, name, image, as_trained):
    pandas = import_extra("pandas")
    if x.dtype.kind not in "biuf" or x.ndim not in (1, 2, 3, 4):
        raise DataError(f"{path}: got inputs of shape {x.shape} and type {x.dtype}, expected numbers, (N, "
                        "D), or images, (N, H, W) or (N, H, W, C)")
    answers, names = _answers_of(path, y, name, len(x))
    pictures = isinstance(as_trained, Pictures)
    if x.ndim > 2 or (x.ndim == 2 and (image is not None or pictures)):
        shape = (*as_trained.size, as_trained.channels) if pictures else (*(image or x.shape[1:]), 1)[:3]
        if np.prod(shape) != np.prod(x.shape[1:]):
            raise Refused(f"--image: got {' × '.join(map(str, shape[:2]))}, expected "
                          f"{np.prod(x.shape[1:])} pixels, as {path} has")
        x = x.reshape(len(x), *shape)
        said = f"{len(x):,} images of {sizes_in_words([shape[:2]])}"
        return Given(x, answers, names, said, top=as_trained.top if pictures else top_of(x))
    x = x[:, None] if x.ndim == 1 else x
    frame = pandas.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])], copy=False)
    return Given(frame, answers, names, f"{len(x):,} rows of {x.shape[1]} numbers")


def _answers_of(path, y, name, N):
    """Return the answers as a frame, and the names of its columns; one-hot rows become classes."""
    if y is None:
        return None, [name]
    if len(y) != N or y.ndim > 2:
        raise DataError(f"{path}: got answers of shape {y.shape}, expected one for each of {N:,} rows")
    if y.ndim == 2 and y.shape[1] > 1 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        y = y.argmax(axis=1)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim == 1:
        return _frame({name: y}), [name]
    names = [f"{name}{i}" for i in range(y.shape[1])]
    return _frame(dict(zip(names, y.T))), names


def _frame(columns):
    return None if columns is None else import_extra("pandas").DataFrame(columns)
