"""Files of data sets: the folders searched, downloads, what is checked of both.

A file is trusted for its content: its sha256 decides whether it is the published one.
"""
import gzip
import hashlib
import os
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

import pooch
from tqdm import tqdm

from ..arrays import DataError

_PACKAGE = Path(__file__).resolve().parents[1]


class NotFoundError(DataError):
    """No place holds the files, and they could not be downloaded."""


@dataclass(frozen=True)
class Published:
    """What the publishers of a data set offer."""

    name: str
    folder: str       # its own folder among the data
    sources: tuple    # URLs that end in "/", in the order to be tried; each offers every file with ".gz"
    files: dict       # file name → (sha256 of the .gz, sha256 of the unpacked content, None where that is not published)
    classes: tuple = tuple("0123456789")


# ---- finding -----------------------------------------------------------------------------------------------

def default_folder(name="mnist"):
    """Return the folder where a data set is kept, a Path: ``data/`` of a source checkout, else the user's cache."""
    checkout = _PACKAGE.parent
    parent = checkout / "data" if (checkout / "setup.cfg").is_file() else pooch.os_cache("nnjit")
    return parent / name


def places(published, data_dir):
    """Return the folders to search, in order."""
    if data_dir is not None:
        data_dir = Path(data_dir).expanduser()
        return [data_dir, data_dir / published.folder]
    chosen = os.environ.get("NNJIT_DATA")
    places = [Path(chosen).expanduser() / published.folder] if chosen else []
    return [*places, default_folder(published.folder)]


def look(published, folder):
    """Return the files that a folder holds, {file name: Path}, and what is wrong with it, "" if nothing is."""
    try:
        present = set(os.listdir(folder))
    except OSError as error:
        return {}, error.strerror
    paths = {name: folder / entry for name in published.files for entry in (name + ".gz", name) if entry in present}
    lacking = [name for name in published.files if name not in paths]
    return paths, f"lacks {', '.join(lacking)}" if lacking else ""


def not_found(published, tried):
    return "\n    ".join([f"{published.name} was not found in any of these places:", *tried]) + (
        f"\nPut the files {', '.join(published.files)}, raw or with .gz, into a folder and name it as data_dir "
        f"(--data-dir), or into a folder {published.folder} and set NNJIT_DATA to its parent.")


# ---- downloading -------------------------------------------------------------------------------------------

ANSWER_SECONDS = 4      # for a source to answer at all
SILENCE_SECONDS = 10    # between two pieces of a download


def download(published, folder):
    """Fetch the files that a folder lacks; return the source that gave the last of them, or None, and the failures.

    A source that fails once is given up. DataError if the folder holds files of
    another data set: none are mixed.
    """
    for name, path in look(published, folder)[0].items():
        if published.files[name][1] not in (hashlib.sha256(unpacked(path)).hexdigest(), None):
            raise DataError(f"{path}: not the published {published.name}, whose other files are not downloaded beside "
                            "it; add the files that belong to it, or remove it")
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


def check_answer(url):
    """Raise an OSError unless ``url`` is offered, after `ANSWER_SECONDS` at most.

    A timeout of requests counts for one address of the host, and not for finding
    its addresses: hence a thread.
    """
    outcome = []

    def ask():
        try:
            head = pooch.HTTPDownloader(timeout=ANSWER_SECONDS)
            offered = head(url, None, None, check_only=True)
            outcome.append(None if offered else OSError(f"does not offer {url}"))
        except (OSError, ValueError) as error:
            outcome.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    error = outcome[0] if outcome else TimeoutError(f"no answer within {ANSWER_SECONDS} s")
    if error:
        raise error


def fetch(url, path, sha256):
    """Download ``url`` to ``path``; pooch keeps no file that fails its check."""
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        with tqdm(total=1, desc=path.name, unit="B", unit_scale=True, leave=False, disable=None) as bar:
            get = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=(ANSWER_SECONDS, SILENCE_SECONDS))
            pooch.retrieve(url, f"sha256:{sha256}", path.name, path.parent, downloader=get)
    finally:
        logger.setLevel(level)


def reason(error):
    """Return the message at the bottom of a chain: requests wraps "connection refused" in three lines of its own."""
    while error.__context__:
        error = error.__context__
    return str(error) or type(error).__name__


# ---- reading -----------------------------------------------------------------------------------------------

def unpacked(path):
    """Return the bytes of a file, unpacked if it is gzipped."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); get it anew") from error
