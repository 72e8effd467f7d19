"""CIFAR-10: six files of records, found, or unpacked from a downloaded archive."""
import hashlib
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import reading
from ..inputs.checks import DataError
from ..replacing import replacing
from . import files
from .dataset import Dataset
from .files import NotFoundError, Published

CIFAR10 = Published(
    name="CIFAR-10",
    folder="cifar10",
    sources=("https://www.cs.toronto.edu/~kriz/",),
    files={
        "cifar-10-binary.tar.gz": ("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", None),
    },
    largest=2**28,
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)
# What the archive has in its one folder: files of as many records each. A record is a label and 1,024 bytes
# each of red, green and blue, row by row.
CIFAR10_FOLDER = "cifar-10-batches-bin"
CIFAR10_BATCHES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
CIFAR10_RECORDS, _RECORD_BYTES = 10000, 1 + 3 * 32 * 32


def load_cifar10(classes: Sequence[str] | None = None, data_dir: str | Path | None = None,
                 download: bool = True) -> Dataset:
    """Return CIFAR-10: colour images of 32 by 32 pixels, 50,000 to train and 10,000 to test, of ten classes.

    Parameters
    ----------
    classes : sequence of str, optional
        Return only the images of these classes, ``("bird", "airplane")`` say. Their labels
        count from 0 in the order given.
    data_dir : path, optional
        The folder of the six files of the binary version (``data_batch_1.bin`` ... ``test_batch.bin``), or
        one with the folder ``cifar-10-batches-bin`` or ``cifar10/cifar-10-batches-bin``. Without it,
        ``$NNJIT_DATA/cifar10`` and `default_folder` are searched.
    download : bool
        Without ``data_dir``, download and unpack the archive into the default
        folder, which takes at most 350 MB.

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
    for folder in _places(data_dir):
        lacking = [name for name in CIFAR10_BATCHES if not (folder / name).is_file()]
        if not lacking:
            return _read(folder, str(folder), chosen)
        what = ", ".join(lacking) if folder.is_dir() else "everything: no such folder"
        tried.append(f"{folder}: lacks {what}")
    if data_dir is None and download:
        folder = files.default_folder(CIFAR10.folder)
        source, failures = _download_archive(folder)
        if source:
            return _read(folder / CIFAR10_FOLDER, f"{source}, kept in {folder}", chosen)
        tried += failures
    error = DataError if data_dir is not None else NotFoundError
    raise error(files.not_found(CIFAR10, tried, (
        f"Unpack {next(iter(CIFAR10.files))}, the binary version, and name the folder as data_dir "
        f"(--data-dir), or put its folder {CIFAR10_FOLDER} into a folder cifar10 and set NNJIT_DATA to the "
        "parent of that.")))


def _check_classes(classes):
    """Return the names as a tuple; TypeError or ValueError unless they are at least two different ones."""
    if isinstance(classes, str) or not hasattr(classes, "__iter__"):
        raise TypeError(f"classes: got {classes!r}, expected a list of names")
    classes = tuple(classes)
    unknown = [name for name in classes if name not in CIFAR10.classes]
    if unknown or len(set(classes)) < max(2, len(classes)):
        raise ValueError(f"classes: got {', '.join(map(str, unknown or classes)) or 'none'}, expected two or "
                         f"more different ones of {', '.join(CIFAR10.classes)}")
    return classes


def _places(data_dir):
    """Return the folders to search for the six files, in order."""
    if data_dir is None:
        return [folder / CIFAR10_FOLDER for folder in files.places(CIFAR10, None)]
    data_dir = Path(data_dir).expanduser()
    return [data_dir, data_dir / CIFAR10_FOLDER, data_dir / CIFAR10.folder / CIFAR10_FOLDER]


# ---- reading -----------------------------------------------------------------------------------------------

def _read(folder, source, classes):
    """Return the images of these classes in the six files of a folder, as a `Dataset`."""
    batches = {name: _read_batch(folder / name) for name in CIFAR10_BATCHES}
    checksums = {name: hashlib.sha256(records).hexdigest() for name, records in batches.items()}
    *train, test = batches.values()
    x_train, y_train = _images_and_labels(train, classes)
    x_test, y_test = _images_and_labels([test], classes)
    return Dataset(CIFAR10.name, x_train, y_train, x_test, y_test, source, checksums, classes)


def _images_and_labels(batches, classes):
    """Return these classes' records: images (N, 32, 32, 3) uint8, and labels (N,), places in ``classes``."""
    new_label = np.full(len(CIFAR10.classes), -1)    # -1 for a class that is left out
    new_label[[CIFAR10.classes.index(name) for name in classes]] = np.arange(len(classes))
    labels = [new_label[records[:, 0]] for records in batches]
    y = np.concatenate(labels)
    x = np.empty((np.count_nonzero(y >= 0), 32, 32, 3), np.uint8)
    first = 0
    for records, of_batch in zip(batches, labels):    # one at a time, which takes less memory
        chosen = records[of_batch >= 0, 1:].reshape(-1, 3, 32, 32)
        x[first:first + len(chosen)] = chosen.transpose(0, 2, 3, 1)
        first += len(chosen)
    return x, y[y >= 0]


def _read_batch(path):
    """Return the records of a file, (N, 3073) uint8."""
    with reading.opened(path, "no file of CIFAR-10", b"") as file:
        size = reading.size_of(file)
        if size != CIFAR10_RECORDS * _RECORD_BYTES:
            reading.refuse_foreign(path, file.peek(200))
            raise DataError(f"{path}: got {size:,} bytes, expected {CIFAR10_RECORDS:,} records of "
                            f"{_RECORD_BYTES:,} bytes")
        records = np.empty((CIFAR10_RECORDS, _RECORD_BYTES), np.uint8)
        if reading.read_into(file, records) < size:
            raise DataError(f"{path}: truncated while it was read, expected {size:,} bytes")
    if records[:, 0].max() > 9:
        i = int(np.argmax(records[:, 0] > 9))
        raise DataError(f"{path}: got the label {records[i, 0]} in record {i}, expected 0 to 9")
    return records


# ---- downloading -------------------------------------------------------------------------------------------

def _download_archive(folder):
    """Fetch the archive unless it lies there, and unpack it; return its source or None, and the failures."""
    (name, (sha256, _)), = CIFAR10.files.items()
    archive, failures = folder / name, []
    for source in CIFAR10.sources:
        try:
            if not archive.is_file() or _sha256(archive) != sha256:
                files.fetch(source + name, archive, sha256, CIFAR10.largest)
            _unpack_batches(archive, folder / CIFAR10_FOLDER)
        except (OSError, ValueError) as error:    # the network and the disk; a checksum
            failures.append(f"{source}: {files.reason(error)}")
        else:
            archive.unlink()
            return source, failures
    return None, failures


def _sha256(path):
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(reading.PIECE):
            found.update(piece)
    return found.hexdigest()


def _unpack_batches(archive, folder):
    """Write the archive's six files into the folder: no others, under no other names, of no other size."""
    size, found = CIFAR10_RECORDS * _RECORD_BYTES, set()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with reading.unpacked(archive, "damaged archive") as (content, _, _), \
                tarfile.open(fileobj=content, mode="r|") as members:
            for member in members:
                place, _, name = member.name.rpartition("/")
                if place != CIFAR10_FOLDER or name not in CIFAR10_BATCHES:
                    continue
                if not member.isfile() or member.size != size:
                    raise DataError(f"{archive}: got {member.size:,} bytes as {member.name}, expected a file "
                                    f"of {size:,}")
                with replacing(folder / name) as file:
                    content_of_it: Any = members.extractfile(member)
                    shutil.copyfileobj(content_of_it, file, reading.PIECE)
                found.add(name)
    except tarfile.TarError as error:
        raise DataError(f"{archive}: damaged archive ({error}); get it anew") from error
    if len(found) < len(CIFAR10_BATCHES):
        lacking = [name for name in CIFAR10_BATCHES if name not in found]
        raise DataError(f"{archive}: lacks {', '.join(lacking)}")
