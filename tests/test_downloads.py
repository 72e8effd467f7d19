"""Downloads from servers in bad moods take bounded time and memory; nothing bad is kept; the next is asked.

A mood is what a server does with a connection on which a file is asked for: a generator of bytes to send, of
seconds to wait, and of RESET.
"""
import contextlib
import gzip
import hashlib
import itertools
import re
import socket
import struct
import threading
import time
import tracemalloc

import pytest

from nnjit.datasets import files
from nnjit.datasets.files import Published

FILE = gzip.compress(bytes(range(256)) * 40, mtime=0)
LARGEST = 2**20
SOME = 65536 * b"x"
RESET, FOREVER = object(), 3600.0


def head(status="200 OK", **fields):
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def whole(body, status="200 OK", **fields):
    return head(status, Content_Length=len(body), **fields) + body


class Server:
    """A server of connections in a thread each, in one mood."""

    def __init__(self, mood):
        self.mood, self.asked, self.stopped = mood, 0, threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=self.socket.accept()[:1], daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(4096) or b"\r\n\r\n"
            self.asked += 1
            for part in self.mood(request.split()[1].decode()):
                if self.stopped.is_set():
                    return
                if part is RESET:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                if isinstance(part, bytes):
                    connection.sendall(part)
                else:
                    self.stopped.wait(part)

    def close(self):
        self.stopped.set()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def nowhere():
    """Return the URL of a server that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return f"http://127.0.0.1:{gone.getsockname()[1]}/"


# ---- moods -------------------------------------------------------------------------------------------------

def sends(*parts):
    return lambda path: iter(parts)


def endlessly(first, part):
    return lambda path: itertools.chain([first], itertools.repeat(part))


def drips(first, rest):
    def mood(path):
        yield first
        for i in range(len(rest)):
            yield from (rest[i:i + 1], 0.02)
    return mood


def redirects_on(path):
    """An endless way: each place is another one."""
    yield head("302 Found", Location=f"{path}x", Content_Length=0)


CHUNKED = head(Transfer_Encoding="chunked")
CHUNK = b"10000\r\n" + SOME + b"\r\n"
LOGIN = b"<!DOCTYPE html><title>Log in</title>"
# name: (mood, what is said of it); those in the second table are given up after a time
BAD = {
    "hangs up": (sends(), "Remote end closed connection|Connection"),
    "resets at once": (sends(RESET), "reset|aborted"),
    "resets halfway": (sends(head(Content_Length=len(FILE)) + FILE[:50], 0.1, RESET), "reset|aborted|broken"),
    "hangs up in the head": (sends(b"HTTP/1.1 200 OK\r\nContent-"), "something else|closed|0 bytes"),
    "no HTTP": (sends(b"220 ftp.example.org ready\r\n"), "220 ftp"),
    "a head of 1 MB": (sends(b"HTTP/1.1 200 OK\r\nA: ", 2**20 * b"x"), "got more than 65536 bytes"),
    "endless fields": (endlessly(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"), "got more than 100 headers"),
    "an endless body": (endlessly(head(), SOME), "got more than 1,048,576 bytes"),
    "an endless body in chunks": (endlessly(CHUNKED, CHUNK), "got more than 1,048,576 bytes"),
    "chunks of no size": (sends(CHUNKED, b"zz\r\n", SOME), "IncompleteRead|zz"),
    "a chunk that is cut": (sends(CHUNKED, CHUNK[:999]), "IncompleteRead|something else"),
    "a length of 10^18": (sends(head(Content_Length=10**18), SOME), "got more than 1,048,576 bytes"),
    "a length too long": (sends(head(Content_Length=len(FILE) + 1), FILE), "IncompleteRead"),
    "a length too short": (sends(head(Content_Length=len(FILE) - 1), FILE), "bytes that are something else"),
    "a length that is none": (sends(head(Content_Length="some"), FILE[:-1]), "bytes that are something else"),
    "two lengths": (sends(head(Content_Length=f"{len(FILE)}, 7"), FILE[:7]), "something else|multiple"),
    "another file": (sends(whole(gzip.compress(b"other"))), "got .* bytes that are something else"),
    "an empty body": (sends(whole(b"")), "got 0 bytes that are something else"),
    "a part": (sends(whole(FILE[:99], "206 Partial", Content_Range="bytes 0-98/999")), "got 206 Partial"),
    "nothing": (sends(head("204 No Content")), "got 204 No Content"),
    "not modified": (sends(head("304 Not Modified")), "got 304 Not Modified"),
    "not found": (sends(whole(b"gone", "404 Not Found")), "got 404 Not Found"),
    "forbidden": (sends(whole(b"no", "403 Forbidden")), "got 403 Forbidden"),
    "an error": (sends(whole(b"", "500 Internal Server Error")), "got 500 Internal Server Error"),
    "busy": (sends(whole(b"", "503 Service Unavailable", Retry_After=3600)), "got 503 Service Unavailable"),
    "an error with an endless body": (endlessly(head("500 Oh"), SOME), "got 500 Oh"),
    "a page to log in": (sends(whole(LOGIN, Content_Type="text/html")), r"got a web page \(HTML\), not data"),
    "a pointer": (sends(whole(b"version https://git-lfs.github.com/spec/v1\n")), "got a Git LFS pointer"),
    "gzip within gzip": (sends(whole(gzip.compress(FILE))), "got gzip within gzip"),
    "packed on the way": (sends(whole(gzip.compress(FILE), Content_Encoding="gzip")), "got gzip within gzip"),
    "much packed": (sends(whole(gzip.compress(bytes(2**26)), Content_Encoding="gzip")), "something else"),
    "redirects to itself": (sends(head("301 Moved", Location="/")), "got more than 5 redirects"),
    "redirects on and on": (redirects_on, "got more than 5 redirects"),
    "redirects to a file": (sends(head("302 Found", Location="file:///etc/passwd")), "expected one to http"),
    "redirects to no name": (sends(head("302 Found", Location="http://[")), "Invalid|IPv6"),
    "redirects without a place": (sends(head("302 Found")), "got 302 Found"),
    "redirects to nobody": (lambda path: iter([head("302 Found", Location=nowhere())]), "refused"),
    "redirects in an endless body": (endlessly(head("302 Found", Location="file:/"), SOME), "expected one"),
}
SLOW = {
    "never answers": (sends(FOREVER), "no answer within|timed out"),
    "stops in the head": (sends(b"HTTP/1.1 20", FOREVER), "no answer within|timed out"),
    "drips a head": (drips(b"", b"HTTP/1.1 200 OK\r\nA: " + SOME), "no answer within"),
    "continues for ever": (endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "no answer within"),
    "stops in the body": (sends(head(Content_Length=len(FILE)), FILE[:50], FOREVER), "timed out"),
    "drips a body": (drips(head(Content_Length=LARGEST), SOME), "not complete within"),
    "drips chunks": (drips(CHUNKED, 999 * b"1\r\nx\r\n"), "not complete within|timed out"),
}
GOOD = {
    "slow": drips(head(Content_Length=len(FILE)) + FILE[:-30], FILE[-30:]),
    "without a length": sends(head(), FILE),
    "in chunks": sends(CHUNKED, b"%x\r\n" % len(FILE) + FILE + b"\r\n0\r\n\r\n"),
    "as a page": sends(whole(FILE, Content_Type="text/html")),
    "said to be packed": sends(whole(FILE, Content_Encoding="gzip")),
    "elsewhere": lambda path: iter([whole(FILE) if path == "/other" else
                                    head("302 Found", Location="/other", Content_Length=0)]),
}


@pytest.fixture
def download(tmp_path, monkeypatch):
    """Return a function that downloads from servers in these moods, in turn, each with so many seconds of
    patience: the source that had the files, what is said of the others, and the servers.
    """
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    started = []

    def run(*moods):
        started.extend(mood if isinstance(mood, str) else Server(mood) for mood, _ in moods)

        def sources():
            for server, (_, seconds) in zip(started, moods):
                for name in ("ANSWER_SECONDS", "SILENCE_SECONDS", "FILE_SECONDS"):
                    monkeypatch.setattr(files, name, seconds)
                yield getattr(server, "url", server)

        published = Published("numbers", "numbers", sources(), {
            name: (hashlib.sha256(FILE).hexdigest(), None) for name in ("one", "two")}, LARGEST)
        return *files.download(published, tmp_path / "numbers"), started

    yield run
    for server in started:
        if isinstance(server, Server):
            server.close()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*")}


PATIENT, IMPATIENT = 60.0, 0.4


@pytest.mark.parametrize("name", [*BAD, *SLOW])
def test_after_a_bad_source_the_next_is_asked(download, tmp_path, name):
    mood, reason = (BAD | SLOW)[name]
    begin = time.monotonic()
    source, failures, (bad, good) = download((mood, IMPATIENT if name in SLOW else PATIENT),
                                             (GOOD["elsewhere"], PATIENT))
    assert time.monotonic() - begin < PATIENT
    assert source == good.url and len(failures) == 1
    assert re.search(f"^{bad.url}: .*({reason})", failures[0]) and len(failures[0]) < 400
    assert contents(tmp_path / "numbers") == {"one.gz": FILE, "two.gz": FILE}
    assert bad.asked <= 1 + 5    # it is left alone then, but for redirects


@pytest.mark.parametrize("name", GOOD)
def test_files_that_come_in_a_way_of_their_own(download, tmp_path, name):
    source, failures, (server,) = download((GOOD[name], PATIENT))
    assert (source, failures) == (server.url, [])
    assert contents(tmp_path / "numbers") == {"one.gz": FILE, "two.gz": FILE}


def test_where_no_source_is_good_nothing_is_left(download, tmp_path):
    """Also of those that broke off halfway."""
    names = ["resets halfway", "an endless body", "a length too long", "another file", "a page to log in"]
    refusing = nowhere()
    source, failures, servers = download((refusing, PATIENT), *((BAD[name][0], PATIENT) for name in names))
    assert source is None and contents(tmp_path / "numbers") == {}
    assert re.search(f"{refusing}: .*refused", failures[0])
    for failure, server, name in zip(failures[1:], servers[1:], names):
        assert re.search(f"^{server.url}: .*({BAD[name][1]})", failure) and "\n" not in failure


def test_a_file_that_lies_there_is_not_touched_by_a_bad_one(download, tmp_path):
    (tmp_path / "numbers").mkdir()
    (tmp_path / "numbers" / "one.gz").write_bytes(FILE)
    source, _, (server,) = download((BAD["another file"][0], PATIENT))
    assert source is None and server.asked == 1 and contents(tmp_path / "numbers") == {"one.gz": FILE}


@pytest.mark.parametrize("name", [name for name in BAD if "endless" in name or "much" in name])
def test_endless_answers_take_no_memory(download, name):
    tracemalloc.start()
    try:
        assert download((BAD[name][0], PATIENT))[0] is None
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20    # an import may be among it
    finally:
        tracemalloc.stop()
