"""The disk cache of kernels: a folder for each state of the sources, a file for each kernel and signature.

Numba's own cache sees an edit only of the file that a function stands in, but a kernel has code of other
files inlined. So the folder's name has a hash of all that decides the machine code. Two versions of the
sources do not share a folder, and no file is shared by two signatures, so that processes do not get into each
other's way.
"""
import contextlib
import functools
import hashlib
import os
import pickle
import shutil
import sys
import tempfile
import zlib
from pathlib import Path

import llvmlite
import numba
from numba.core import compiler, serialize

from .warning import warn

PACKAGE = Path(__file__).parents[1]
KEPT_FOLDERS = 8    # those used last; a new one removes the others
# Numba's settings that change the machine code, but for the processor, which a file's name tells.
SETTINGS = "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "DISABLE_INTEL_SVML", "LOOP_VECTORIZE", "OPT", "SLP_VECTORIZE"


def _stamp():
    """Return a hash of what decides the machine code: `_numba`, the kernels, the compilers' versions and
    settings.
    """
    settings = [str(getattr(numba.config, name, None)) for name in SETTINGS]
    digest = hashlib.sha256(repr((sys.version, numba.__version__, llvmlite.__version__, settings)).encode())
    for path in sorted([*(PACKAGE / "_numba").glob("*.py"), *(PACKAGE / "kernels").rglob("*.py")]):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _parents():
    """Yield where the folder may lie, the best place first."""
    if numba.config.CACHE_DIR:    # NUMBA_CACHE_DIR
        yield Path(numba.config.CACHE_DIR)
    yield PACKAGE / "__pycache__"
    import pooch  # for a package that lies where its user cannot write
    yield Path(pooch.os_cache("nnjit"))


@functools.cache
def _found():
    """Return the folder to write in, or None, those better ones that can only be read, and the last error."""
    name, readable, reason = f"nnjit-{_stamp()}", [], None
    for parent in _parents():
        path = parent / name
        try:
            path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path).close()
            os.utime(path)    # the one used last
        except OSError as error:
            reason = error
            if os.access(path, os.R_OK | os.X_OK):    # kernels that somebody else has compiled
                readable.append(path)
            continue
        _sweep(parent)
        return path, readable, reason
    return None, readable, reason


def folder():
    """Return the folder in which compiled kernels are kept, a Path, or None where none can be written."""
    return _found()[0]


def _sweep(parent):
    """Remove the folders of older sources, but for those used last."""
    with contextlib.suppress(OSError):    # another process may do the same
        folders = sorted(parent.glob("nnjit-" + 16 * "[0-9a-f]"), key=os.path.getmtime)
        for path in folders[:-KEPT_FOLDERS]:
            shutil.rmtree(path)


_warned = False


def _warn_unusable(error):
    global _warned
    if not _warned:
        _warned = True
        warn(f"nnjit: the cache of compiled kernels is unusable ({error}); compiling for this process only. "
             "Set NUMBA_CACHE_DIR to a writable folder.", RuntimeWarning)


def knows(function):
    """Return whether the folder's name tells of every edit of a function: it stands in a kernel file."""
    return function.__module__.startswith("nnjit.kernels.") and function.__closure__ is None


kernels = {}    # those that are kept on disk, by name, "updates.sgd": dispatcher


def name_of(function) -> str:
    """Return the name of a kernel among the files: its file's and its own."""
    return f"{function.__module__.partition('.kernels.')[2]}.{function.__qualname__}"


# ---- the files ---------------------------------------------------------------------------------------------

class KernelCache:
    """The files of one kernel. One that cannot be read or written costs a compilation and one warning.

    It stands where Numba's dispatcher has its own cache, and has the methods that the dispatcher calls.
    """

    def __init__(self, function):
        self.cache_path, self._name = folder(), name_of(function)

    def _file(self, signature, codegen):
        key = repr((signature, codegen.magic_tuple()))    # and the processor
        return f"{self._name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"

    def _paths(self, signature, target):
        """Return where the code for these types of arguments may lie."""
        written, readable, _ = _found()
        return [path / self._file(signature, target.codegen()) for path in [written, *readable] if path]

    def holds(self, signature, target):
        """Return whether the code for these types of arguments is on disk."""
        return any(path.exists() for path in self._paths(signature, target))

    def load_overload(self, signature, target):
        target.refresh()
        for path in self._paths(signature, target):
            try:
                return compiler.CompileResult._rebuild(target, *pickle.loads(_checked(path.read_bytes())))
            except FileNotFoundError:
                continue
            except Exception as error:    # a truncated file can raise anything that unpickling can
                _warn_unusable(error)
                with contextlib.suppress(OSError):
                    path.unlink()
        return None

    def save_overload(self, signature, compiled):
        if compiled.library.has_dynamic_globals:    # addresses of this process
            return
        try:
            if self.cache_path is None:
                raise _found()[2]
            path = self.cache_path / self._file(signature, compiled.codegen)
            self._write(path, _with_sum(serialize.dumps(compiled._reduce())))
        except Exception as error:
            _warn_unusable(error)

    def _write(self, path, content):
        self.cache_path.mkdir(exist_ok=True)    # it may have been swept
        with tempfile.NamedTemporaryFile(dir=self.cache_path, delete=False) as file:
            try:
                file.write(content)
                file.close()
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise


def _with_sum(content):
    return zlib.crc32(content).to_bytes(4, "big") + content


def _checked(content):
    """Return what follows the checksum. After a power cut a file may have its size, and zeros in it: unlike a
    truncated one it could be read, and would be run.
    """
    if zlib.crc32(content[4:]) != int.from_bytes(content[:4], "big"):
        raise ValueError("a damaged file, which is removed")
    return content[4:]


def enable(dispatcher):
    """Keep the code of a kernel on disk."""
    dispatcher._cache = KernelCache(dispatcher.py_func)


@contextlib.contextmanager
def numba_folder():
    """The context in which Numba's own cache takes a place in the folder; says whether there is one."""
    (path, _, reason), chosen = _found(), numba.config.CACHE_DIR
    if path is not None:
        numba.config.CACHE_DIR = str(path / "plain")
    else:
        _warn_unusable(reason)
    try:
        yield path is not None
    finally:
        numba.config.CACHE_DIR = chosen
