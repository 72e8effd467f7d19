"""The IDX format, in which MNIST and its relatives come: arrays of any type and shape."""
import math
import re
import struct
from pathlib import Path

import numpy as np

from ..inputs.checks import DataError
from . import files

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
    return parse_idx(files.unpacked(path), path)


def parse_idx(content: bytes, path: str | Path) -> np.ndarray:
    """Return the array in the bytes of an IDX file; ``path`` is for the errors."""
    files.refuse_foreign(path, content)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES or content[3] < 1:
        raise DataError(f"{path}: not an IDX file: starts with {content[:4].hex(' ') or 'nothing'}, expected "
                        f"00 00, a type ({_CODES}) and the number of dimensions")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(f"{path}: truncated: got {len(content)} bytes, expected a header of {start}")
    shape, dtype = struct.unpack(f">{content[3]}I", content[4:start]), np.dtype(TYPES[content[2]])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        fault = "truncated" if len(content) < expected else "trailing bytes"
        raise DataError(f"{path}: {fault}: got {len(content)} bytes, expected {expected} for the shape "
                        f"{shape}")
    if expected == start:
        raise DataError(f"{path}: got an empty array of shape {shape}, expected some elements")
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="))    # a copy can be written to


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
