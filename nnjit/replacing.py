"""Files that are replaced as a whole: written beside the old one, synced and then renamed."""
import contextlib
import errno
import io
import os
import stat
from pathlib import Path

try:
    import fcntl
except ImportError:    # not on Windows
    fcntl = None    # type: ignore[assignment]


def partial_of(path) -> Path:
    """Return what a file is called while it is written: ``.name.partial``, beside the file itself."""
    path = Path(os.path.realpath(path))    # of a link, the file that it leads to
    return path.with_name(f".{path.name}.partial")


@contextlib.contextmanager
def replacing(path):
    """Give a binary file to write to, which takes the place of ``path`` when all is written and on the disk.

    It is ``.name.partial`` in the same folder. An exception removes it. One that a killed process has left is
    overwritten. While another process or thread is writing to it, this one waits. A file that was there hands
    its permissions on. An OSError, as of a full disk, names ``path``.
    """
    path = Path(os.path.realpath(path))    # of a link, the file that it leads to
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Is a folder, expected a file", str(path))
    try:
        with _written(path) as file:
            yield file
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(partial_of(path))):    # the system's own
            error.filename = str(path)
        raise
    _sync_folder(path.parent)


@contextlib.contextmanager
def replacing_text(path):
    """As `replacing`, with a file of text, which is written as UTF-8; its lines end as they are given."""
    text = io.StringIO(newline="")
    yield text
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def append(path, text):
    """Add lines to a file of text: all of them, or where that raises an OSError, nothing.

    A half line at its end, which a killed process has left, is removed.
    """
    content = memoryview(text.encode())
    with open(path, "a+b", buffering=0) as file:
        end = file.truncate(_end_of_lines(file))
        try:
            while content:
                content = content[file.write(content):]
        except BaseException as error:
            file.truncate(end)
            if isinstance(error, OSError):
                error.filename = str(path)
            raise


def _end_of_lines(file):
    """Return where the last whole line of a file ends."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 1))
    if file.read(1) in (b"", b"\n"):
        return size
    file.seek(0)
    return file.read().rfind(b"\n") + 1


@contextlib.contextmanager
def _written(path):
    """The context of `replacing`, up to the renaming."""
    partial = partial_of(path)
    try:
        there = os.stat(path)
    except FileNotFoundError:
        there = None
    if there is not None and not stat.S_ISREG(there.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    mode = 0o666 if there is None else stat.S_IMODE(there.st_mode)    # the system applies the umask
    with os.fdopen(_create(partial, mode), "wb") as file:
        try:
            if there is not None and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl is None:    # Windows renames no open file; elsewhere it stays locked until it is renamed
                file.close()
            os.replace(partial, path)
        except BaseException:
            if fcntl is None:
                file.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)
            raise


def _create(path, mode):
    """Return the descriptor of a new file, locked. One that was there is removed once nobody locks it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)    # O_EXCL follows no link
    while True:
        try:
            handle = os.open(path, flags, mode)
        except FileExistsError:
            _remove_abandoned(path)
            continue
        if _lock(handle, path):
            return handle
        os.close(handle)


def _lock(handle, path):
    """Wait for the lock of an open file; return whether it is still the one at ``path``."""
    if fcntl is None:
        return True
    with contextlib.suppress(OSError):    # some file systems have no locks
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _remove_abandoned(path):
    with contextlib.suppress(FileNotFoundError):
        if fcntl is None or not stat.S_ISREG(os.lstat(path).st_mode):
            os.unlink(path)
            return
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if _lock(handle, path):
                os.unlink(path)
        finally:
            os.close(handle)


def _sync_folder(folder):
    """Have the new name written to the disk, too, where the system can."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
