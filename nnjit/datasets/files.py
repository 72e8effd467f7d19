"""Files of data sets: which folders are searched, how files are downloaded, what is checked of both.

A file is trusted for its content: its sha256 decides whether it is the published one.
"""
import contextlib
import hashlib
import http.client
import os
import re
import threading
import time
import urllib.parse
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ..inputs.checks import DataError
from ..reading import PIECE, in_a_line, refuse_foreign, unpacked
from ..replacing import replacing
from ..training.progress import on_terminal

_PACKAGE = Path(__file__).resolve().parents[1]


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
    largest : bytes that no download exceeds
    classes : the names of the classes
    """

    name: str
    folder: str
    sources: tuple[str, ...]
    files: dict[str, tuple[str, str | None]]
    largest: int
    classes: tuple[str, ...] = tuple("0123456789")


# ---- finding -----------------------------------------------------------------------------------------------

def default_folder(name: str = "mnist") -> Path:
    """Return a data set's folder: in ``data/`` of a source checkout, else in the user's cache."""
    import pooch  # takes a while, as requests does
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
        return {}, error.strerror or str(error)
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
_REDIRECTS = 5


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
        if published.files[name][1] not in (checksum(path), None):
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
    for name in published.files:
        if name not in held:
            fetch(f"{source}{name}.gz", folder / f"{name}.gz", published.files[name][0], published.largest)


def fetch(url: str, path: Path, sha256: str, largest: int) -> None:
    """Download ``url`` to ``path``, in about `ANSWER_SECONDS` and `FILE_SECONDS` at most.

    OSError or ValueError, and no file, where it does not come, is larger than ``largest`` bytes, or its
    sha256 is another one.
    """
    import urllib3
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _answer(url) as response, replacing(path) as file, _progress(path.name, response) as bar:
            found, start, size = hashlib.sha256(), b"", 0
            for piece in _pieces(response, largest):
                file.write(piece)
                found.update(piece)
                bar.update(len(piece))
                start, size = start or piece, size + len(piece)
            if found.hexdigest() != sha256:
                refuse_foreign(url, start)
                raise ValueError(f"got {_what_came(start, size)} from {url}, expected the file with the "
                                 f"sha256 {sha256[:12]}...")
    except (urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
        raise OSError(reason(error)) from None


def _what_came(start, size):
    with contextlib.suppress(zlib.error):
        if zlib.decompressobj(31).decompress(start, 2) == b"\x1f\x8b":
            return "gzip within gzip"
    return f"{size:,} bytes that are something else"


def _answer(url):
    """Return the response of the server that has the file, at the end of `_REDIRECTS` redirects at most.

    A timeout of requests counts for one address of the host, and not for finding its addresses.
    """
    import requests

    def get():
        session = requests.Session()    # one of its own, which ends with it
        # it would read the whole answer that redirects
        session.get_redirect_target = lambda resp: None    # type: ignore[method-assign]
        return session.get(place, stream=True, timeout=(ANSWER_SECONDS, SILENCE_SECONDS),
                           headers={"Accept-Encoding": "identity"})    # the file is packed as it is

    place = url
    for _ in range(_REDIRECTS + 1):
        response = _within(ANSWER_SECONDS, "no answer", get)
        if response.status_code == 200:
            return response
        response.close()
        target = response.headers.get("Location")
        if response.status_code not in (301, 302, 303, 307, 308) or not target:
            raise OSError(f"got {response.status_code} {response.reason} for {url}, expected the file")
        place = urllib.parse.urljoin(place, target)
        if not place.startswith(("http://", "https://")):
            raise OSError(f"got a redirect from {url} to {place}, expected one to http or https")
    raise OSError(f"got more than {_REDIRECTS} redirects from {url}, expected the file")


def _pieces(response, largest) -> Iterator[bytes]:
    """Yield the bytes of a response as they come, in time and no more than they may be."""
    raw, end = response.raw, time.monotonic() + FILE_SECONDS
    read, size, declared = getattr(raw, "read1", raw.read), 0, _length(response) or 0    # read waits for all
    while piece := read(2**16, decode_content=False):
        size += len(piece)
        if size > largest or declared > largest:
            raise OSError(f"got more than {largest:,} bytes, expected a file of fewer")
        if time.monotonic() > end:
            raise TimeoutError(f"not complete within {FILE_SECONDS} s")
        yield piece


def _length(response):
    """Return how many bytes a response says to have, or None."""
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else None


def _progress(name, response):
    return tqdm(total=_length(response), desc=name, unit="B", unit_scale=True, leave=False,
                disable=not on_terminal())


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


def reason(error: BaseException) -> str:
    """Return the message at the bottom of a chain: requests wraps "connection refused" in three errors."""
    while error.__context__ and not isinstance(error, DataError):
        error = error.__context__
    return in_a_line(error)


def checksum(path: str | Path) -> str:
    """Return the sha256 of the content of a file, unpacked; DataError where it is damaged."""
    found = hashlib.sha256()
    with unpacked(path, "damaged") as (content, _, _):
        while piece := content.read(PIECE):
            found.update(piece)
    return found.hexdigest()
