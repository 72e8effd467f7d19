"""Weights as safetensors: arrays by name, with a checksum of all of them."""
import hashlib
import json
from pathlib import Path

import numpy as np

from .. import checkpoint, reading
from ..habits import import_extra
from ..inputs.checks import DataError
from ..model import Sequential
from ..replacing import replacing

_CHECKSUM, _DESCRIPTION = "sha256", "nnjit"    # what the file's metadata hold
_HEADER = 20    # as many times a header's size is what becomes of it in memory


def to_safetensors(model: Sequential, path: str | Path) -> None:
    """Write the arrays of a built model, parameters and state, under the names of `Sequential.parameters`.

    The metadata have the configuration of the network, as JSON, and the sha256 of all arrays.

    Raises
    ------
    ValueError
        The model is not built, or a part of it is no plain value.
    OSError
        The file can't be written.
    ImportError
        There is no safetensors.
    """
    writer = import_extra("safetensors.numpy", "safetensors")
    arrays = _arrays_of(model)
    metadata = {"format": "np", _DESCRIPTION: json.dumps(checkpoint.describe_model(model)),
                _CHECKSUM: _checksum(arrays)}
    content = writer.save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata)
    with replacing(path) as file:
        file.write(content)


def from_safetensors(model: Sequential, path: str | Path) -> Sequential:
    """Set the arrays of a built model to those of a file, and return the model.

    Raises
    ------
    DataError
        There is no such file, or it is damaged; an array is missing, is there without a place, or has another
        shape or dtype; the arrays are not those of the checksum. The model is as it was.
    """
    library = import_extra("safetensors", "safetensors")
    own = _arrays_of(model)
    with reading.opened(path, "no safetensors file") as content:
        size, header = reading.size_of(content), int.from_bytes(content.read(8), "little")
        if header > reading.room(size) // _HEADER:
            raise ValueError(f"got a header of {header:,} bytes in a file of {size:,}")
        with library.safe_open(path, framework="np") as file:
            metadata, names = file.metadata() or {}, set(file.keys())
            _check_names(path, names, set(own))
            for name, array in own.items():
                part = file.get_slice(name)
                got = tuple(part.get_shape()), np.dtype(_DTYPES.get(part.get_dtype(), "V1"))
                if got != (array.shape, array.dtype):
                    raise DataError(f"{path}: got {name} of {part.get_dtype()} {got[0]}, expected "
                                    f"{array.dtype} {array.shape}")
            arrays = {name: file.get_tensor(name) for name in own}
    if _CHECKSUM in metadata and metadata[_CHECKSUM] != _checksum(arrays):
        raise DataError(f"{path}: damaged: the arrays are not those of its checksum; get it anew")
    for name, array in own.items():
        array[...] = arrays[name]
    model.untouched = None
    return model


_DTYPES = {"F32": "f4", "F64": "f8"}


def _arrays_of(model):
    """Return the arrays of a built model by name; ValueError for one that is not."""
    return {**model.parameters(), **model.state()}


def _check_names(path, got, expected):
    for names, what in (expected - got, "lacks"), (got - expected, "has, and the model has not,"):
        if names:
            raise DataError(f"{reading.named(path)}: {what} {_in_short(names, 3)}; expected the arrays "
                            f"{_in_short(expected, 8)}")


def _in_short(names, most):
    return ", ".join(ascii(name[:30])[1:-1] for name in sorted(names)[:most])


def _checksum(arrays):
    found = hashlib.sha256()
    for name in sorted(arrays):
        found.update(name.encode())
        found.update(np.ascontiguousarray(arrays[name]).tobytes())
    return found.hexdigest()
