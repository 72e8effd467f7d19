"""Files of data sets: which folders are searched, how files are downloaded, what is checked of both.

A file is trusted for its content: its sha256 decides whether it is the published one.
"""
import gzip
import hashlib
import os
import re
import tempfile
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

import pooch
from tqdm import tqdm

from ..inputs.checks import DataError

_PACKAGE = Path(__file__).resolve().parents[1]


TWICE = "got a gzip file within a gzip file, expected one; unpack it once, with gunzip"


class NotFoundError(DataError):
    """No place holds the files, and they could not be downloaded."""


@dataclass(frozen=True)
class Published:
    """What the publishers of a data set offer.

    Attributes
    ----------
    folder : its own folder among the data
    sources : URLs that end in "/", in the order to be tried
    files : {file name: (sha256 of the download, sha256 of the unpacked content or None if not published)}
    classes : the names of the classes
    """

    name: str
    folder: str
    sources: tuple[str, ...]
    files: dict[str, tuple[str, str | None]]
    classes: tuple[str, ...] = tuple("0123456789")


# ---- finding -----------------------------------------------------------------------------------------------

def default_folder(name: str = "mnist") -> Path:
    """Return a data set's folder: in ``data/`` of a source checkout, else in the user's cache."""
    checkout = _PACKAGE.parent
    parent = checkout / "data" if (checkout / "setup.cfg").is_file() else pooch.os_cache("nnjit")
    return parent / name


def places(published: Published, data_dir: str | Path | None) -> list[Path]:
    """Return the folders to search, in order."""
    if data_dir is not None:
        data_dir = Path(data_dir).expanduser()
        return [data_dir, data_dir / published.folder]
    chosen = os.environ.get("NNJIT_DATA")
    named = [Path(chosen).expanduser() / published.folder] if chosen else []
    return [*named, default_folder(published.folder)]


def look(published: Published, folder: Path) -> tuple[dict[str, Path], str]:
    """Return the files that a folder holds, {file name: Path}, and what is wrong with it, "" for nothing."""
    try:
        present = set(os.listdir(folder))
    except OSError as error:
        return {}, error.strerror
    written = {standard_name(entry): entry for entry in sorted(present, key=lambda name: name.endswith(".gz"),
                                                               reverse=True)}
    paths = {name: folder / written[name] for name in published.files if name in written}
    lacking = [name for name in published.files if name not in paths]
    return paths, f"lacks {', '.join(lacking)}" if lacking else ""


def standard_name(name: str) -> str:
    """Return a file's name as the publishers of MNIST write it, with dashes and without ``.gz``."""
    return re.sub(r"\.(idx\d-\w+)$", r"-\1", name.removesuffix(".gz"))


def not_found(published: Published, tried: list[str], remedy: str) -> str:
    """Return the message that no place holds the files: a line for each that was tried, then the remedy."""
    return "\n    ".join([f"{published.name} was not found in any of these places:", *tried]) + "\n" + remedy


# ---- downloading -------------------------------------------------------------------------------------------

ANSWER_SECONDS = 4      # for a source to answer at all
SILENCE_SECONDS = 10    # between two pieces of a download
FILE_SECONDS = 900      # for a file, from the first byte to the last


def download(published: Published, folder: Path) -> tuple[str | None, list[str]]:
    """Fetch the files that a folder lacks, each with ".gz".

    Returns
    -------
    source, failures
        The source that gave the last of them, or None if none did; a line for each source that
        failed, which is not asked again.

    Raises
    ------
    DataError
        The folder holds files of another data set: the two are not mixed.
    """
    for name, path in look(published, folder)[0].items():
        if published.files[name][1] not in (hashlib.sha256(unpacked(path)).hexdigest(), None):
            raise DataError(f"{path}: not the published {published.name}, whose other files are not "
                            "downloaded beside it; add the files that belong to it, or remove it")
    failures = []
    for source in published.sources:
        try:
            _fetch_missing(published, source, folder)
        except (OSError, ValueError) as error:    # the network and the disk; a checksum
            failures.append(f"{source}: {reason(error)}")
        else:
            return source, failures
    return None, failures


def _fetch_missing(published, source, folder):
    held, _ = look(published, folder)
    missing = [name for name in published.files if name not in held]
    if missing:    # else another process has fetched them meanwhile
        check_answer(f"{source}{missing[0]}.gz")
    for name in missing:
        fetch(f"{source}{name}.gz", folder / f"{name}.gz", published.files[name][0])


def check_answer(url: str) -> None:
    """Raise an OSError unless ``url`` is offered, after `ANSWER_SECONDS` at most.

    A timeout of requests counts for one address of the host, and not for finding its addresses.
    """
    head = pooch.HTTPDownloader(timeout=ANSWER_SECONDS)
    offered = _within(ANSWER_SECONDS, "no answer", lambda: head(url, None, None, check_only=True))
    if not offered:
        raise OSError(f"does not offer {url}")


def _within(seconds, failure, function):
    """Return what ``function()`` returns; its error, or TimeoutError where that takes more than so long.

    It runs in a thread, which is left behind then.
    """
    outcome, errors = [], []

    def run():
        try:
            outcome.append(function())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        try:
            raise errors[0]
        finally:
            errors.clear()    # else it holds itself, and the connection, by way of this frame
    if not outcome:
        raise TimeoutError(f"{failure} within {seconds} s")
    return outcome[0]


def fetch(url: str, path: Path, sha256: str) -> None:
    """Download ``url`` to ``path``, in `FILE_SECONDS` at most.

    TimeoutError after that; ValueError, and no file, where its sha256 is another one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-",
                                     ignore_cleanup_errors=True) as beside:
        _within(FILE_SECONDS, "not complete", lambda: _retrieve(url, path.name, beside, sha256))
        os.replace(Path(beside, path.name), path)


def _retrieve(url, name, folder, sha256):
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        with tqdm(total=1, desc=name, unit="B", unit_scale=True, leave=False, disable=None) as bar:
            get = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16,
                                       timeout=(ANSWER_SECONDS, SILENCE_SECONDS))
            return pooch.retrieve(url, f"sha256:{sha256}", name, folder, downloader=get)
    finally:
        logger.setLevel(level)


def reason(error: BaseException) -> str:
    """Return the message at the bottom of a chain: requests wraps "connection refused" in three errors."""
    while error.__context__:
        error = error.__context__
    return str(error) or type(error).__name__


# ---- reading -----------------------------------------------------------------------------------------------

def unpacked(path: str | Path) -> bytes:
    """Return the bytes of a file, unpacked if it is gzipped; DataError if it is damaged or can't be read."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); get it anew") from error
    if content.startswith(b"\x1f\x8b"):
        raise DataError(f"{path}: {TWICE}")
    return content


# ---- what is no data ---------------------------------------------------------------------------------------

_PAGE = "a web page (HTML) in its place, expected data; download the file itself"
_FOREIGN = {    # how something begins that was saved in place of the data
    b"version https://git-lfs": "a Git LFS pointer, which stands for the file, expected data; get it with "
                                "git lfs pull",
    b"<!doctype html": _PAGE,
    b"<html": _PAGE,
    b"<?xml": "XML, expected data",
    b"%pdf": "a PDF document, expected data",
    b"pk\x03\x04": "a zip archive, or an Excel file, expected data; unpack it, or save it as CSV",
}


def refuse_foreign(path: str | Path, start: bytes) -> None:
    """Raise DataError where a file begins as something else than data: a web page, a Git LFS pointer."""
    head = start[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for mark, what in _FOREIGN.items():
        if head.startswith(mark):
            raise DataError(f"{path}: got {what}")
