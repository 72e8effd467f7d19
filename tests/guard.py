"""Memory between guard pages, which nobody may touch: to read or write past its ends ends the process.

So what NUMBA_BOUNDSCHECK does not look at is caught, too: vectors that are loaded and stored at an address,
BLAS, and the arrays that kernels allocate for themselves.
"""
import collections
import ctypes
import mmap

import llvmlite.binding
import numpy as np
from numba.core.registry import cpu_target
from numba.core.runtime import _nrt_python, nrt

PAGE = mmap.PAGESIZE
_NO_ACCESS = 0    # PROT_NONE


class Pages:
    """Blocks of whole pages, each with a guard page before and one behind it.

    Parameters
    ----------
    at_end : bool
        Whether what is taken ends where the guard page behind it begins; otherwise it begins where the one
        before it ends.
    fill : int
        The byte that a block is full of when it is taken: memory that nobody has written yet.
    """

    def __init__(self, at_end: bool, fill: int):
        self.fill, self._at_end = fill, at_end
        self._free, self._taken = collections.defaultdict(list), {}

    def take(self, nbytes: int) -> np.ndarray:
        """Return memory, as uint8, that others do not get before it is given back."""
        count = max(1, -(-nbytes // PAGE))
        block = self._free[count].pop() if self._free[count] else _guarded(count)
        block[:] = self.fill
        memory = np.ndarray(nbytes, np.uint8, block, block.size - nbytes if self._at_end else 0)
        self._taken[memory.ctypes.data] = block
        return memory

    def give_back(self, address: int) -> None:
        """Give back the memory that begins at an address."""
        block = self._taken.pop(address)
        self._free[block.size // PAGE].append(block)

    def give_back_all(self) -> None:
        """Give back all that was taken."""
        for address in list(self._taken):
            self.give_back(address)


def _guarded(count):
    """Return so many new pages, as uint8, between two that nobody may touch."""
    memory = np.frombuffer(mmap.mmap(-1, (count + 2) * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    for page in (0, count + 1):
        address = ctypes.c_void_p(memory.ctypes.data + page * PAGE)
        if libc.mprotect(address, ctypes.c_size_t(PAGE), _NO_ACCESS):
            raise OSError(ctypes.get_errno(), "mprotect")
    return memory[PAGE:-PAGE]


class OwnArrays:
    """Where compiled code takes the memory of its own arrays: from ``pages``, which may be exchanged.

    It holds for code that is loaded or compiled later. The functions here have the GIL.
    """

    def __init__(self, pages: Pages):
        self.pages = pages
        get_api = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p))(_nrt_python.c_helpers["get_api"])
        manage_memory = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(get_api()[2])
        self._free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda address: self.pages.give_back(address))

        def allocate(nbytes, alignment):
            return manage_memory(self.pages.take(nbytes).ctypes.data, self._free)

        self._allocate = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32)(allocate)
        nrt.rtsys.initialize(cpu_target.target_context)    # it binds the name, too, the first time
        llvmlite.binding.add_symbol("NRT_MemInfo_alloc_aligned",
                                    ctypes.cast(self._allocate, ctypes.c_void_p).value)
