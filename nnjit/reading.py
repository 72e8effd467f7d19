"""Files are opened with care: what is none, or lies in place of one, is refused in one line.

Whatever a file says of itself, `room` is what reading it may take: sizes that it declares are compared before
anything is allocated, and what is packed is unpacked in pieces.
"""
import contextlib
import errno
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

from .inputs.checks import DataError

TWICE = "got gzip within gzip, expected one gzip file; unpack it once, with gunzip"
PIECE = 2**20        # bytes that are read and unpacked at a time
_LONGEST = 250       # characters of a reason
_PAGE = "a web page (HTML), not data; download the file itself"
_FOREIGN = {    # how something begins that was saved in place of the data
    b"version https://git-lfs": "a Git LFS pointer, which stands for the file; get it with git lfs pull",
    b"<!doctype html": _PAGE,
    b"<html": _PAGE,
    b"<?xml": "XML, not data",
    b"%pdf": "a PDF document, not data",
    b"pk\x03\x04": "a zip archive, or an Excel file, expected data; unpack it, or save it as CSV",
}


def room(size: int) -> int:
    """Return how many bytes of memory reading a file of so many bytes may take."""
    return 4 * size + 50 * 2**20


def named(path) -> str:
    """Return a path for a message of one line: as it is, quoted where it has line breaks or the like."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def in_a_line(error: BaseException) -> str:
    """Return the message of an error in one short line."""
    return " ".join(str(error).split())[:_LONGEST] or type(error).__name__


@contextlib.contextmanager
def refusing(path, what: str) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into a DataError: a damaged one can fail anywhere.

    ``what`` says that it is none, such as "not a saved model".
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename not in (None, path, str(path)):
            raise    # of another file, which is written
        if isinstance(error, OSError) and error.strerror:    # of the system, not of a library
            raise DataError(f"{named(path)}: cannot be read: {error.strerror}") from error
        raise DataError(f"{named(path)}: {what}, or damaged: {in_a_line(error)}") from error


@contextlib.contextmanager
def opened(path, what: str, begins: bytes | None = None) -> Iterator[io.BufferedReader]:
    """The context of a file that is open; within it `refusing` is in force.

    Parameters
    ----------
    what : as of `refusing`
    begins : the bytes with which such a file may begin although something else does, too

    Raises
    ------
    DataError
        There is no such file; it is a folder, a pipe or a device; or a web page or the like in place of data.
    """
    path = os.fspath(path)
    with refusing(path, what):
        if "\0" in os.fsdecode(path):
            raise OSError(errno.EINVAL, "Got a name with a NUL in it")
        with open(path, "rb", opener=_open_regular) as file:
            start = file.peek(200)[:200]
            if begins is None or not start.startswith(begins):
                refuse_foreign(path, start)
            yield file


def size_of(file) -> int:
    """Return the size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


def _open_regular(path, flags):
    """Open a regular file. Others are refused: before they are opened, and never waiting for a writer."""
    def check(status):
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "Is a folder, a device or a pipe, expected a file")

    check(os.stat(path))
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    try:
        check(os.fstat(handle))
    except BaseException:
        os.close(handle)
        raise
    return handle


def refuse_foreign(path, start: bytes) -> None:
    """Raise DataError where a file begins as something else than data: a web page, a Git LFS pointer."""
    head = start[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for mark, found in _FOREIGN.items():
        if head.startswith(mark):
            raise DataError(f"{named(path)}: got {found}")


# ---- gzip --------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def unpacked(path: str | Path, what: str,
             watched=lambda file: file) -> Iterator[tuple[io.BufferedReader, int, bool]]:
    """The context of a file's content, unpacked if it is gzipped; its size, or what it has at most then; and
    whether it is gzipped.

    The errors are as of `opened`; DataError also where it is damaged or was packed twice, and, once it has
    been read so far, where it unpacks to more than there is `room` for. ``watched`` is put around the file.
    """
    with opened(path, what) as file:
        if not file.peek(2).startswith(b"\x1f\x8b"):
            yield watched(file), size_of(file), False
            return
        most = room(size_of(file)) - 8 * PIECE    # the rest is for the pieces
        with io.BufferedReader(_Unpacking(path, watched(file), most), PIECE) as content:
            start = content.peek(200)[:200]
            if start.startswith(b"\x1f\x8b"):
                raise DataError(f"{named(path)}: {TWICE}")
            refuse_foreign(path, start)
            yield content, most, True


class _Unpacking(io.RawIOBase):
    """The content of a gzip file, as long as it is no more than so many bytes."""

    def __init__(self, path, file, most):
        self._path, self._most, self._read, self._gzip = path, most, 0, gzip.GzipFile(fileobj=file)

    def readable(self):
        return True

    def readinto(self, buffer):
        try:
            piece = self._gzip.read(min(len(buffer), PIECE))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{named(self._path)}: damaged gzip file ({in_a_line(error)}); get it "
                            "anew") from error
        self._read += len(piece)
        if self._read > self._most:
            raise too_large(self._path, self._most)
        buffer[:len(piece)] = piece
        return len(piece)


def too_large(path, most: int) -> DataError:
    """Return the error of a gzip file that there is no room for."""
    return DataError(f"{named(path)}: got a gzip file that unpacks to more than {most:,} bytes, which its "
                     "size does not suggest; unpack it with gunzip first")


def read_into(stream, array, passed=lambda piece: None) -> int:
    """Fill a C-contiguous array with the bytes that follow; return how many came. ``passed`` is called with
    each piece.
    """
    view, done = memoryview(array.reshape(-1).view("u1")), 0
    while piece := stream.read(min(PIECE, len(view) - done)):
        view[done:done + len(piece)] = piece
        passed(piece)
        done += len(piece)
    return done
