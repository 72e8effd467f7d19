"""The IDX format, in which MNIST and its relatives come: arrays of any type and shape."""
import hashlib
import math
import re
import struct
from pathlib import Path

import numpy as np

from .. import reading
from ..inputs.checks import DataError

# the third byte of a file → the type of the elements, as they are stored
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = ", ".join(f"{code:02x}" for code in TYPES)


def read_idx(path: str | Path) -> np.ndarray:
    """Return the array in an IDX file, of the type and the shape that the header gives.

    The file may be gzipped, which is seen from its content and not from its name.

    Raises
    ------
    DataError
        The file cannot be read, its gzip stream is damaged, or its content is not what its header says.

    References
    ----------
    The format, in Y. LeCun, "The MNIST database of handwritten digits": two zero bytes, the elements' type
    (8: unsigned byte, 9: signed, b: int16, c: int32, d: float32, e: float64), the number of dimensions; the
    size of each, 4 bytes, big-endian; the elements, big-endian.
    """
    return read_with_checksum(path)[0]


def read_with_checksum(path: str | Path) -> tuple[np.ndarray, str]:
    """Return the array in an IDX file, and the sha256 of the file's content, unpacked."""
    with reading.unpacked(path, "not an IDX file") as (content, size, packed):
        header, shape, dtype = _header(content, reading.named(path))
        expected = len(header) + math.prod(shape) * dtype.itemsize
        if packed and expected > size:
            raise reading.too_large(path, size)
        if not packed and size != expected:
            raise _of_another_size(path, f"{size}", size < expected, expected, shape)
        if expected == len(header):
            raise DataError(f"{reading.named(path)}: got an empty array of shape {shape[:8]}, expected some "
                            "elements")
        array, found = np.empty(shape, dtype), hashlib.sha256(header)
        done = reading.read_into(content, array, found.update)
        if done < array.nbytes or content.read(1):
            got = f"{len(header) + done}" if done < array.nbytes else f"{expected + 1} or more"
            raise _of_another_size(path, got, done < array.nbytes, expected, shape)
    if not dtype.isnative:
        array = array.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return array, found.hexdigest()


def _header(content, path):
    """Return the bytes of a header, and the shape and the type that it gives."""
    header = content.read(4)
    if len(header) < 4 or header[:2] != b"\0\0" or header[2] not in TYPES or header[3] < 1:
        raise DataError(f"{path}: not an IDX file: starts with {header.hex(' ') or 'nothing'}, expected 00 "
                        f"00, a type ({_CODES}) and the number of dimensions")
    start = 4 + 4 * header[3]
    header += content.read(start - 4)
    if len(header) < start:
        raise DataError(f"{path}: truncated: got {len(header)} bytes, expected a header of {start}")
    return header, struct.unpack(f">{header[3]}I", header[4:]), np.dtype(TYPES[header[2]])


def _of_another_size(path, got, truncated, expected, shape):
    fault = "truncated" if truncated else "trailing bytes"
    more = "" if len(shape) <= 8 else f" and {len(shape) - 8} more"
    return DataError(f"{reading.named(path)}: {fault}: got {got} bytes, expected {expected} for "
                     f"the shape {shape[:8]}{more}")


# ---- pairs of files ----------------------------------------------------------------------------------------

# train-images-idx3-ubyte, t10k-images.idx3-ubyte, emnist-letters-train-images-idx3-ubyte.gz
_NAME = re.compile(r"(.*?)(train|t10k|test)-(images|labels)[-.]idx\d-\w+(\.gz)?")


def find_pairs(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return the IDX files of a folder, {"train": (images, labels), "test": ...}; {} where it has none.

    DataError where one of a pair is missing, or several data sets lie there.
    """
    found, prefixes = {}, set()
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match:
            prefixes.add(match[1])
            found["train" if match[2] == "train" else "test", match[3]] = path
    if len(prefixes) > 1:
        raise DataError(f"{folder}: got the IDX files of {len(prefixes)} data sets, "
                        f"{', '.join(sorted(prefixes))}, expected those of one; put each into its own folder")
    pairs = {}
    for part in dict.fromkeys(part for part, _ in found):
        for kind in "images", "labels":
            if (part, kind) not in found:
                raise DataError(f"{folder}: got no {kind} of the {part} part, expected them beside "
                                f"{found[part, 'labels' if kind == 'images' else 'images'].name}")
        pairs[part] = found[part, "images"], found[part, "labels"]
    return pairs


def read_pair(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, H, W, ...) and their labels (N,); those of EMNIST, on their side, upright."""
    x, y = read_idx(images), read_idx(labels)
    if x.ndim < 3:
        raise DataError(f"{images}: got an array of shape {x.shape}, expected images, (N, H, W)")
    if y.shape != (len(x),):
        raise DataError(f"{labels}: got an array of shape {y.shape}, expected one label for each of the "
                        f"{len(x)} images in {images}")
    return (x.swapaxes(1, 2) if lies_on_its_side(images) else x), y


def lies_on_its_side(images: Path) -> bool:
    """Return whether a file is one of EMNIST's, whose images have rows and columns exchanged."""
    return images.name.startswith("emnist")
