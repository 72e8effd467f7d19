"""Memory: arrays that begin at a cache line, rows padded to whole lines, named arrays in one flat vector."""
import math
import os

import numpy as np
from numpy.typing import DTypeLike

Array = np.ndarray    # of any shape and dtype
Arrays = dict[str, Array]
Shape = tuple[int, ...]
CACHE_LINE = 64    # bytes
_SMALL = 64 * CACHE_LINE    # bytes of an array for which finding the line takes longer than it saves


def check_fits(what: str, count: int, dtype: DTypeLike) -> None:
    """Raise ValueError where so many numbers are more than the machine's memory holds."""
    needed, there = count * np.dtype(dtype).itemsize, _physical_memory()
    if needed > there:
        raise ValueError(f"{what}: got {count:.4g} numbers, which take {needed / 2**30:.3g} GiB, expected at "
                         f"most the {there / 2**30:.3g} GiB of this machine's memory; give smaller sizes")


def _physical_memory():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):    # not there to be asked, as on Windows
        return 2**44


_NORMAL = {np.dtype(one): (float(np.finfo(one).tiny), float(np.finfo(one).max) / 4)
           for one in (np.float32, np.float64)}


def as_normal(epsilon: float, dtype: np.dtype) -> float:
    """Return what guards a division within the normal numbers of a dtype: 0 / 0 would come of one that is
    0 there.
    """
    least, most = _NORMAL[dtype]
    return min(max(epsilon, least), most)


def aligned(shape: int | Shape, dtype: DTypeLike) -> Array:
    """Return an array of zeros that begins at a cache line, so that no vector of a kernel lies across two.

    Small arrays begin anywhere.
    """
    array = np.zeros(shape, dtype)
    if array.nbytes < _SMALL:
        return array
    memory = np.zeros(array.nbytes + CACHE_LINE, np.uint8)
    first = -memory.ctypes.data % CACHE_LINE
    return memory[first:first + array.nbytes].view(dtype).reshape(shape)


def padded_shape(shape: Shape, dtype: DTypeLike) -> Shape:
    """Return the shape with which a matrix is stored: its rows padded to whole cache lines.

    Rows shorter than half a line stay as they are. From eight lines on their number is odd:
    a column of many rows would otherwise fall into few sets of the cache.
    """
    line = CACHE_LINE // np.dtype(dtype).itemsize
    if len(shape) != 2 or 2 * shape[1] < line:
        return shape
    lines = -(-shape[1] // line)
    return shape[0], (lines + (lines >= 8 and lines % 2 == 0)) * line


def unpadded(stored: Array, shape: Shape) -> Array:
    """Return the array of ``shape`` that is ``stored`` with `padded_shape`, a view."""
    return stored[..., :shape[-1]] if shape else stored


class Layout:
    """Where named arrays lie in a flat vector: one after the other, each padded and from a cache line on.

    Several vectors of one layout hold, for instance, parameters and gradients.

    Attributes
    ----------
    size : int
        Length of such a vector.
    places : dict of {name: (offset, stored shape, shape)}
        The stored shape is that of `padded_shape`.

    Examples
    --------
    >>> layout = Layout({"W": (3, 10), "b": (10,)}, "float64")
    >>> layout.places
    {'W': (0, (3, 16), (3, 10)), 'b': (48, (10,), (10,))}
    >>> vector = layout.zeros()
    >>> layout.views(vector)["W"][:] = 1
    >>> vector.shape, vector.sum().item()
    ((64,), 30.0)
    """

    def __init__(self, shapes: dict[str, Shape], dtype: DTypeLike):
        self.dtype, self.size = np.dtype(dtype), 0
        self.places: dict[str, tuple[int, Shape, Shape]] = {}
        line = CACHE_LINE // self.dtype.itemsize
        for name, shape in shapes.items():
            stored = padded_shape(shape, self.dtype)
            self.places[name] = self.size, stored, shape
            self.size += -(-math.prod(stored) // line) * line

    def zeros(self) -> Array:
        """Return a vector of zeros."""
        return aligned(self.size, self.dtype)

    def stored(self, vector: Array) -> Arrays:
        """Return ``{name: view}`` of the arrays in ``vector``, with their padding, which has to stay zero."""
        return {name: vector[offset:offset + math.prod(stored)].reshape(stored)
                for name, (offset, stored, _) in self.places.items()}

    def views(self, vector: Array) -> Arrays:
        """Return ``{name: view}`` of the arrays in ``vector``, without their padding."""
        return {name: unpadded(array, self.places[name][2]) for name, array in self.stored(vector).items()}
