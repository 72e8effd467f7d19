"""Archives of arrays, .npz and .npy: their sizes are compared before an array is read, and no code is run."""
import contextlib
import math
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .inputs.checks import DataError
from .reading import PIECE, named, opened, read_into, room, size_of

_DIRECTORY = 2**21      # bytes of the names and sizes in an archive, of which Python makes objects
_PACKED = "got a compressed or encrypted member, expected one stored as it is"
_HEADER = 2**12         # bytes before the numbers of an array
# as NumPy writes it; its own reader takes any Python literal, and warns of some
_FIELDS = re.compile(rb"\{\s*'descr':\s*'([<>|=]?[?biufcSUVmMO]\d*(?:\[\w+\])?)',\s*'fortran_order':\s*"
                     rb"(True|False),\s*'shape':\s*\(((?:\d{1,20}L?,?\s*)*)\),?\s*\}\s*")


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file by name, or that of an .npy file as ``"X"``.

    Raises
    ------
    DataError
        The file is missing, damaged, or something else; or has Python objects, or unpacks to more than there
        is room for.
    """
    what = "no archive of arrays"
    with opened(path, what, b"PK") as file:
        if file.peek(6).startswith(b"\x93NUMPY"):
            return {"X": _read_one(file)}
        with zipfile.ZipFile(_Careful(file)) as archive:
            members = members_of(archive)
            unpacked, most = sum(info.file_size for info in members.values()), room(size_of(file))
            if unpacked > most - 8 * PIECE:
                raise DataError(f"{named(path)}: got arrays that unpack to {unpacked:,} bytes in a file of "
                                f"{size_of(file):,}; save them with numpy.savez, not compressed")
            for name, info in members.items():
                header_of(archive, info)
            return {name: read_array(archive, info) for name, info in members.items()}


def _read_one(file):
    size = size_of(file)
    shape, dtype, order, begin = _parsed(file.read(_HEADER), size)
    file.seek(begin)
    return _filled(file, shape, dtype, order)


# ---- zip archives ------------------------------------------------------------------------------------------

@contextlib.contextmanager
def opened_archive(path, what: str) -> Iterator[tuple[zipfile.ZipFile, dict[str, Any]]]:
    """The context of an archive whose members are stored as they are, and those by name.

    So they can't take more memory than the file has bytes. DataError where the file is damaged.
    """
    with opened(path, what, b"PK") as file, zipfile.ZipFile(_Careful(file)) as archive:
        members = members_of(archive)
        for name, info in members.items():
            if info.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name[:80]}: {_PACKED}")
        if sum(info.file_size for info in members.values()) > size_of(file):
            raise ValueError("got members that are larger than the file")
        yield archive, members


class _Careful:
    """A file that is read in small pieces: zipfile takes the whole directory of an archive at once."""

    def __init__(self, file):
        self._file, self.seek, self.tell, self.seekable = file, file.seek, file.tell, file.seekable

    def read(self, size=-1):
        if size > _DIRECTORY:
            raise ValueError(f"got a directory of {size:,} bytes, expected at most {_DIRECTORY:,}")
        return self._file.read(_DIRECTORY if size < 0 else size)


def members_of(archive) -> dict[str, zipfile.ZipInfo]:
    """Return the members of an archive by name, without their suffix; ValueError for what can't be read."""
    members = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name in members or name == info.filename:
            raise ValueError(f"got the member {info.filename[:80]!r}, expected different names that end in "
                             ".npy")
        stored = info.compress_type == zipfile.ZIP_STORED and info.file_size == info.compress_size
        if info.flag_bits & 1 or not (stored or info.compress_type == zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name[:80]}: {_PACKED}")
        members[name] = info
    return members


# ---- arrays ------------------------------------------------------------------------------------------------

def header_of(archive, info) -> tuple[tuple[int, ...], np.dtype, str, int]:
    """Return the shape, dtype and order of a member, and where its numbers begin."""
    with archive.open(info) as member:
        return _parsed(member.read(_HEADER), info.file_size)


def read_array(archive, info) -> np.ndarray:
    """Return a member, in pieces, up to its checksum."""
    shape, dtype, order, begin = header_of(archive, info)
    with archive.open(info) as member:
        member.read(begin)
        return _filled(member, shape, dtype, order)


def _parsed(content, size):
    """Read the header with which ``content`` begins, of an array of ``size`` bytes in all."""
    width = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}.get(content[6:8]) if content[:6] == b"\x93NUMPY" else None
    if width is None:
        raise ValueError(f"got an array that begins with {content[:8].hex(' ')}, expected NumPy's mark")
    begin = 8 + width + int.from_bytes(content[8:8 + width], "little")
    found = _FIELDS.fullmatch(content[8 + width:begin])
    if found is None:
        structured = b"'descr': [" in content[:begin]
        raise ValueError(f"got {'an array of records' if structured else 'a damaged header'}, expected an "
                         "array of numbers")
    dtype = np.dtype(found[1].decode())
    shape = tuple(map(int, re.findall(rb"\d+", found[3])))
    if dtype.hasobject:
        raise ValueError("got Python objects, expected numbers or text; such a file can run code")
    if dtype.itemsize == 0 or math.prod(shape) * dtype.itemsize != size - begin or max((0, *shape)) >= 2**31:
        raise ValueError(f"got {size:,} bytes for {dtype} {shape}")
    return shape, dtype, "F" if found[2] == b"True" else "C", begin


def _filled(stream, shape, dtype, order):
    array = np.empty(math.prod(shape), dtype)
    if read_into(stream, array) < array.nbytes:
        raise ValueError("got too few bytes for an array")
    if dtype.kind == "U" and array.size and array.view(dtype.byteorder + "u4").max() > 0x10FFFF:
        raise ValueError("got bytes that are no text")
    if dtype.kind == "b":
        np.not_equal(array.view(np.uint8), 0, out=array)    # with other bytes than 0 and 1 none can compute
    return array.reshape(shape, order=order)
