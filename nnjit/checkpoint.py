"""The file of a saved model: an ``.npz`` archive of arrays and of one JSON text. Reading it can run no code."""
import json
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from .inputs.checks import DataError

_TEXT = "description"    # the archive's member that holds the JSON text


def write(path, description, arrays):
    """Write ``description`` (plain values) and ``arrays`` (a dict) to ``path``.

    A file that was there is replaced only when the new one is complete. OSError where it cannot be written.
    """
    path = Path(path)
    text = np.frombuffer(json.dumps(description).encode(), np.uint8)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **{_TEXT: text}, **arrays)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read(path):
    """Return the ``(description, arrays)`` of a file. DataError where there is none, or not one that `write` wrote."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return json.loads(arrays.pop(_TEXT).tobytes()), arrays
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (AttributeError, KeyError, TypeError, ValueError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a saved model, or damaged: {error}") from error
