"""Ranks: the processes of an MPI job that train one model together.

What they exchange goes through calls that wait with a limit: a rank that stalls, raises or is gone ends the
job, and no rank waits for ever.
"""
import contextlib
import os
import pickle
import sys
import time
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import __version__
from .._numba.threads import fixed_threads, get_threads, set_threads

STALL_SECONDS = float(os.environ.get("NNJIT_STALL_SECONDS", "60"))    # that a rank waits for another
_SPIN = 0.002    # seconds of waiting without a pause
_READING = 0.2    # seconds in which mpiexec reads what a process has said; after an abort it may not


class Stalled(RuntimeError):
    """Another rank has not answered in time."""


class Ranks:
    """The ranks of a communicator of mpi4py.

    Attributes
    ----------
    size, rank : int
        How many there are, a power of two, and which one this is.
    """

    def __init__(self, comm):
        for name in ("Get_size", "Get_rank", "Isend", "Irecv", "Iallgather", "Abort"):
            if not hasattr(comm, name):
                raise TypeError(f"comm: got {comm!r}, expected a communicator of mpi4py such as "
                                "MPI.COMM_WORLD")
        self.comm, self.size, self.rank = comm, comm.Get_size(), comm.Get_rank()
        if self.size & (self.size - 1):
            raise ValueError(f"comm: got {self.size} ranks, expected a power of two")

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which prints and writes files."""
        return self.rank == 0

    def sum(self, vector: np.ndarray) -> np.ndarray:
        """Return the sum over the ranks, the same bits on all: in log2(size) exchanges of a whole vector.

        In each a rank adds the sum of as many neighbours to its own. A sum of two does not depend on their
        order, and so the tree is that of the shards.
        """
        vector, reach = np.ascontiguousarray(vector), 1
        while reach < self.size:
            other, partner = np.empty_like(vector), self.rank ^ reach
            self._wait([self.comm.Irecv(other, partner, 7), self.comm.Isend(vector, partner, 7)])
            vector = vector + other
            reach *= 2
        return vector

    def gathered(self, value) -> list[Any]:
        """Return the values of all ranks in their order, on every rank."""
        own = np.frombuffer(pickle.dumps(value), np.uint8)
        sizes = np.empty(self.size, np.int64)
        self._wait([self.comm.Iallgather(np.array([own.size], np.int64), sizes)])
        most = int(sizes.max())
        mine, found = np.zeros(most, np.uint8), np.empty((self.size, most), np.uint8)
        mine[:own.size] = own
        self._wait([self.comm.Iallgather(mine, found)])
        return [pickle.loads(row[:size].tobytes()) for row, size in zip(found, sizes)]

    def of_leader(self, value):
        """Return rank 0's value, on every rank."""
        return self.gathered(value if self.leads else None)[0]

    def check_same(self, facts: dict[str, Any]):
        """Raise ValueError on every rank where one has other facts than rank 0, and name the first."""
        given = self.gathered({"version of nnjit": __version__, "version of NumPy": np.__version__, **facts})
        for rank, found in enumerate(given):
            for name, value in given[0].items():
                if found.get(name) != value:
                    raise ValueError(f"comm: got another {name} on rank {rank} than on rank 0, expected the "
                                     "same on all ranks")

    def _wait(self, requests):
        begin = time.perf_counter()
        while requests := [request for request in requests if not request.Test()]:
            waited = time.perf_counter() - begin
            if waited > STALL_SECONDS:
                raise Stalled(f"waited {waited:.0f} s for another rank, which has not answered; "
                              "NNJIT_STALL_SECONDS sets the limit")
            time.sleep(0 if waited < _SPIN else 5e-5)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """The context in which an exception ends the whole job, with its message, whatever the others do.

        The ranks of a machine share its cores, unless a number of threads is set.
        """
        here = self._ranks_here()
        free = fixed_threads() is None and here > 1
        if free:
            set_threads(max(1, get_threads() // here))
        try:
            yield
        except BaseException as error:
            if self.size == 1 or isinstance(error, SystemExit):    # of bad usage all ranks end alike
                raise
            status = 130 if isinstance(error, KeyboardInterrupt) else 1
            print(f"nnjit: rank {self.rank} of {self.size}: {type(error).__name__}: {error}", file=sys.stderr,
                  flush=True)
            time.sleep(_READING)
            self.comm.Abort(status)
            raise
        finally:
            if free:
                set_threads("auto")

    def _ranks_here(self):
        """Return how many ranks run on this machine."""
        from mpi4py import MPI
        here = self.comm.Split_type(MPI.COMM_TYPE_SHARED)
        count = here.Get_size()
        here.Free()
        return count


def sample_of(X, y) -> str:
    """Return the shape of X, checksums of some of its rows, and of y: what tells data from others."""
    X = X if hasattr(X, "shape") else np.asarray(X, dtype=object if _is_ragged(X) else None)
    rows = np.unique(np.linspace(0, X.shape[0] - 1, min(X.shape[0], 64)).astype(int))
    some = X.iloc[rows] if hasattr(X, "iloc") else X[rows]
    some = some.toarray() if hasattr(some, "toarray") else np.asarray(some)
    return f"{X.shape} {_checksum(some)} {_checksum(y)}"


def _is_ragged(X):
    return len({np.shape(row) for row in X}) > 1


def _checksum(values):
    if isinstance(values, dict):
        return {name: _checksum(value) for name, value in values.items()}
    array = np.asarray(values)
    if array.dtype == object:
        return zlib.crc32(repr(array.tolist()).encode())
    return zlib.crc32(np.ascontiguousarray(array).tobytes())
