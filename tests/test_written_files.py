"""Every file that the package writes, when the disk is full, the process is killed or the power fails."""
import ast
import contextlib
import functools
import hashlib
import http.server
import importlib.util
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from numba.np.ufunc import parallel
from scale import times
from tqdm import tqdm

import nnjit as nn
from nnjit import callbacks, cli, exchange, page, replacing, report
from nnjit._numba import jit
from nnjit.callbacks import BackupAndRestore
from nnjit.datasets import cifar10, files

pytestmark = pytest.mark.compiled    # no kernel is looked at
PACKAGE = Path(nn.__file__).parent
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX processes and limits")


# ---- the writers -------------------------------------------------------------------------------------------

# What writes files, and which file of the package does it.
WRITERS = {
    "a model": "checkpoint.py", "safetensors": "exchange/tensors.py", "ONNX": "exchange/onnx_writer.py",
    "a picture": "plots/drawing.py", "a run": "report/folder.py", "a page": "page/content.py",
    "a table of a sweep": "sweep.py", "a run of a sweep": "sweep.py", "a log": "training/callbacks.py",
    "a download": "datasets/files.py", "an archive": "datasets/cifar10.py",
}
MISSING = {name for name, module in (("safetensors", "safetensors"), ("ONNX", "onnx"),
                                     ("a picture", "matplotlib")) if not importlib.util.find_spec(module)}


class Writer(NamedTuple):
    """What writes files: `write` of a folder and a version, 0 or 1, always the same bytes of a version."""

    files: tuple[str, ...]
    write: Callable[[Path, int], None]
    content: Callable[[bytes], object] = bytes    # what has to be the same of a file's bytes


def trained(seed):
    X, y = np.random.default_rng(0).normal(size=(40, 6)), np.arange(40) % 2
    model = nn.Sequential([nn.Dense(50), nn.Tanh(), nn.Dense(2)], nn.Categorical())
    model.fit(X, y, nn.SGD(0.1), 2, seed=seed, validation_data=(X, y), verbose=0)
    model.history.history["seconds"], model.history.compile_seconds = [0.25, 0.5], 0.0
    return model


def save_picture(folder, version):
    from nnjit.plots import drawing
    ax = drawing.Figure().subplots()
    ax.plot([0, version])
    drawing.save_axes(folder / "picture.png", ax, "a line")


def tensors(content):
    """Return the arrays of safetensors, whose order of metadata is random."""
    from safetensors.numpy import load
    return {name: array.tobytes() for name, array in load(content).items()}


def write_run(folder, model):
    data = SimpleNamespace(name="made", source="numpy", checksums={})
    report.write(folder, model, {"seed": 0, "dtype": "float32"}, data, "a run", draws=False)


def archive_of_batches(path, version):
    """Write an archive as that of CIFAR-10, of few images, and return it."""
    batch = bytes([version]) * cifar10.CIFAR10_RECORDS * 3073
    with tarfile.open(path, "w:gz") as archive:
        for name in cifar10.CIFAR10_BATCHES:
            member = tarfile.TarInfo(f"{cifar10.CIFAR10_FOLDER}/{name}")
            member.size = len(batch)
            archive.addfile(member, io.BytesIO(batch))
    return path


@contextlib.contextmanager
def served(contents):
    """The context of a server on this machine; gives the address of each of some contents."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = contents[int(self.path[1:])]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):    # of a process that was killed
                self.wfile.write(content)

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield [f"http://127.0.0.1:{server.server_port}/{k}" for k in range(len(contents))]
        server.shutdown()


def writers(folder, addresses, contents):
    """Return the table of writers."""
    sweep = sys.modules["nnjit.sweep"]    # a function has its name
    models = [trained(seed) for seed in (0, 1)]
    runs = [Path(folder, f"run-{k}") for k in (0, 1)]
    archives = [archive_of_batches(Path(folder, f"{k}.tar.gz"), k) for k in (0, 1)]
    for run, model in zip(runs, models):
        run.mkdir()
        write_run(run, model)
    found = [{"setting": {"rate": 0.1}, "seed": k, "results": {"accuracy": k / 3}} for k in range(300)]
    sums = [hashlib.sha256(content).hexdigest() for content in contents]

    def log(folder, version):
        logger = callbacks.CSVLogger(folder / "log.csv")
        rows = [{"epoch": k, "loss": 0.1 * k + version, "seconds": 0.5} for k in range(20)]
        logger.on_train_begin(SimpleNamespace(measured=["loss"], history=SimpleNamespace(rows=lambda: rows)),
                              {})

    run_files = "history.csv", "run.json", "details.json", "model.npz"
    table = {
        "a model": Writer(("model.npz",),
                          lambda folder, version: models[version].save(folder / "model.npz")),
        "safetensors": Writer(("model.safetensors",), lambda folder, version:
                              exchange.to_safetensors(models[version], folder / "model.safetensors"),
                              tensors),
        "ONNX": Writer(("model.onnx",), lambda folder, version:
                       exchange.to_onnx(models[version], folder / "model.onnx")),
        "a picture": Writer(("picture.png",), save_picture),
        "a run": Writer(run_files, lambda folder, version:
                        write_run(folder, models[version])),
        "a page": Writer(("report.html",), lambda folder, version:
                         page.write(folder / "report.html", [runs[version]])),
        "a table of a sweep": Writer(("sweep.csv",), lambda folder, version:
                                     sweep.Sweep(found[version:], "accuracy").csv(folder / "sweep.csv")),
        "a run of a sweep": Writer(("key.json",), lambda folder, version:
                                   sweep._keep(folder, "key", found[version])),
        "a log": Writer(("log.csv",), log),
        "a download": Writer(("data.gz",), lambda folder, version: files.fetch(
            addresses[version], folder / "data.gz", sums[version], 2**20)),
        "an archive": Writer(cifar10.CIFAR10_BATCHES, lambda folder, version:
                             cifar10._unpack_batches(archives[version], folder)),
    }
    assert table.keys() == WRITERS.keys()
    return {name: writer for name, writer in table.items() if name not in MISSING}


# ---- what is done to them, in a process of their own -------------------------------------------------------

def in_child(function):
    """Fork a process that calls a function and ends, with 0 or, after an error, with 1; return its number."""
    child = os.fork()
    if child:
        return child
    try:
        function()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def check_ended(child):
    assert os.waitpid(child, 0)[1] == 0, "see above"


class Tried:
    """A writer, the bytes of its two versions, and a folder in which it has written the first."""

    def __init__(self, place, writer):
        self.writer, self.whole, self.seconds = writer, [], []
        for version in (0, 1):
            folder = place / str(version)
            folder.mkdir(parents=True)
            begin = time.perf_counter()
            writer.write(folder, version)
            self.seconds.append(time.perf_counter() - begin)
            self.folder = folder
            self.whole.append(self.look())
        assert set(self.whole[0]) == set(writer.files) and self.whole[0] != self.whole[1]

    def look(self):
        """Return what is in the folder, {name: content}."""
        return {path.name: self.writer.content(path.read_bytes()) if path.name in self.writer.files else None
                for path in self.folder.iterdir()}

    def check_whole(self, others=frozenset()):
        """Every file is as it was or as it is to be, and there are no others but these."""
        for name, content in self.look().items():
            if content is not None:
                assert content in (self.whole[0][name], self.whole[1][name]), f"{name}: a half"
            else:
                assert name in others, f"left behind: {name}"
        assert set(self.writer.files) <= set(os.listdir(self.folder))

    def killed(self, kills, draw):
        """Kill it so often while it writes; return how often it was met between beginning and renaming."""
        partial = {replacing.partial_of(self.folder / name).name for name in self.writer.files}
        met = 0
        for kill in range(kills):
            begun, ready = os.pipe()
            child = in_child(functools.partial(self._write_for_ever, ready))
            os.read(begun, 1)
            if kill % 2:    # the others at any moment
                self._wait_for_a_half(partial)
            time.sleep(draw.uniform(0, 0.002 if kill % 2 else 2 * self.seconds[1]))
            os.kill(child, signal.SIGKILL)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
            os.close(begun), os.close(ready)
            self.check_whole(partial)
            met += len(os.listdir(self.folder)) > len(self.writer.files)
        self.writer.write(self.folder, 0)    # what stays is removed by the next that writes
        assert self.look() == self.whole[0]
        return met

    def _wait_for_a_half(self, partial):
        end = time.monotonic() + 5
        while time.monotonic() < end and not partial & set(os.listdir(self.folder)):
            pass

    def _write_for_ever(self, ready):
        os.write(ready, b"!")
        for version in range(1, 10**9):
            self.writer.write(self.folder, version % 2)

    def full(self, draw):
        """Let it write no more than a part of its largest file; return how often."""
        largest = max(path.stat().st_size for path in self.folder.iterdir())
        limits = [0, 1, largest - 1, *(draw.randrange(largest) for _ in range(3))]
        for limit in limits:
            check_ended(in_child(lambda limit=limit: self._refused(limit)))
            self.check_whole()
        check_ended(in_child(lambda: self._limited(10 * largest, lambda: self.writer.write(self.folder, 1))))
        assert self.look() == self.whole[1]
        return len(limits)

    def _limited(self, limit, function):
        import resource
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        function()

    def _refused(self, limit):
        error = self._error(lambda: self._limited(limit, lambda: self.writer.write(self.folder, 1)))
        self._check_error(error, "File too large")

    def _error(self, function):
        try:
            function()
        except OSError as error:
            return str(error)
        raise AssertionError("written, though there was no room")

    def _check_error(self, error, reason):
        assert reason in error and "\n" not in error, error
        assert any(str(self.folder / name) in error for name in self.writer.files), error

    def failing(self):
        """Let the system refuse to sync, and to rename."""
        for name in ("fsync", "replace"):
            check_ended(in_child(lambda name=name: self._failing(name)))
            self.check_whole()

    def _failing(self, name):
        def fail(*given):
            raise OSError(28, "No space left on device")
        setattr(os, name, fail)
        self._check_error(self._error(lambda: self.writer.write(self.folder, 1)), "No space left on device")

    def synced(self):
        """Every file is on the disk before it is renamed, and its new name afterwards."""
        check_ended(in_child(self._synced))

    def _synced(self):
        calls, sync, rename = [], os.fsync, os.replace

        def note_sync(handle):
            sync(handle)
            status = os.fstat(handle)
            calls.append(("synced", status.st_ino, status.st_size))

        def note_rename(source, target):
            calls.append(("renamed", os.stat(source).st_ino, Path(target).name))
            rename(source, target)

        os.fsync, os.replace = note_sync, note_rename
        self.writer.write(self.folder, 1)
        renamed = [k for k, call in enumerate(calls) if call[0] == "renamed"]
        assert {calls[k][2] for k in renamed} == set(self.writer.files)
        for k in renamed:
            _, number, name = calls[k]
            assert calls[k - 1] == ("synced", number, (self.folder / name).stat().st_size), name
            assert calls[k + 1][:2] == ("synced", os.stat(self.folder).st_ino), name


def try_all(kills):
    """Try every writer in this folder; print {name: [error, kills that met a half file, refusals]}."""
    found, draw, place = {}, random.Random(1), Path.cwd()
    cifar10.CIFAR10_RECORDS = 20
    # Their locks are shared by all forked processes, also by one that is killed while it holds them.
    parallel._backend_init_process_lock = threading.RLock()
    tqdm.set_lock(threading.RLock())
    contents = [bytes([version]) * 200_000 for version in (0, 1)]
    with served(contents) as addresses:
        for name, writer in writers(place, addresses, contents).items():
            error, met, refused = "", 0, 0
            try:
                tried = Tried(place / name, writer)
                tried.failing()
                refused = 2 + tried.full(draw)
                met = tried.killed(kills, draw)
                tried.synced()
            except Exception:
                error = traceback.format_exc()
            found[name] = [error, met, refused]
    print(json.dumps(found))


KILLS = times(2, 50)


def run_here(call, folder):
    """Call a function of this file in a process whose forks can go on (see `nnjit._numba.threads.LAYERS`).

    Return the JSON that it prints, and what it says of errors.
    """
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_written_files as t; "
    environment = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", f"{code}t.{call}"], env=environment, text=True, cwd=folder,
                          capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """What `try_all` has found, and the errors of its processes."""
    found, said = run_here(f"try_all({KILLS})", tmp_path_factory.mktemp("written"))
    return {name: (*rest, said) for name, rest in found.items()}


@posix
@pytest.mark.torture
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_a_kill_and_a_power_cut_leave_whole_files(name, tried, count):
    """An OSError names the file, and nothing stays beside it; after a kill what stays goes with the next."""
    if name in MISSING:
        pytest.skip(f"no package for {name}")
    error, met, refused, said = tried[name]
    assert not error, f"{error}\n{said}"
    assert sum(of_one[1] for of_one in tried.values()) >= KILLS    # while a file was half written
    count("kills while a file was half written", met)
    count("kills of a process that writes a file", KILLS)
    count("writings to a full disk", refused)


# ---- no writer is missing ----------------------------------------------------------------------------------

REPLACING = "replacing", "replacing_text"
# What else opens a file to write, or renames one: {file of the package: names}.
OTHERS = {
    "_numba/cache.py": {"NamedTemporaryFile", "TemporaryFile", "os.replace"},    # compiled kernels, see below
    "bench/process.py": {"os.fdopen"},              # the standard output
    "checkpoint.py": {"np.savez"},                  # to what `replacing` gives
    "exchange/tensors.py": {"writer.save"},         # to memory
    "cli/main.py": {"os.open"},                     # nothing
    "plots/drawing.py": {"figure.savefig"},         # to what `replacing` gives
    "reading.py": {"os.open"},                      # to read
    "report/folder.py": {"TemporaryFile"},          # without a name, to see whether there can be files
}
BY_NAME = {"write_text", "write_bytes", "savefig", "savez", "savez_compressed", "tofile", "to_csv", "to_json",
           "to_parquet", "to_pickle", "copyfile", "copy2", "copytree", "mkstemp", "NamedTemporaryFile",
           "TemporaryFile", "TemporaryDirectory", "dump", "memmap", "open_memmap", "touch", "symlink_to",
           "hardlink_to", "rename", "extract", "extractall", "retrieve", "FileHandler", "fdopen"}


def written_by(tree):
    """Yield the calls of a file that write files, as they are named there."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        name = called.rpartition(".")[2]
        modes = [*node.args[:2], *(word.value for word in node.keywords if word.arg == "mode")]
        modes = [mode.value for mode in modes
                 if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
        if name in BY_NAME or called in ("os.open", "os.replace", "writer.save", "np.save"):
            yield called.removeprefix("tempfile.")
        elif name == "open" and any(set(mode) & set("wax+") and set(mode) <= set("rwaxbt+|:gzx")
                                    for mode in modes):
            yield called


def calls_of(tree):
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)}


TREES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
         for path in sorted(PACKAGE.rglob("*.py"))}


def test_files_are_written_in_one_place():
    found = {path: set(written_by(tree)) for path, tree in TREES.items() if path != "replacing.py"}
    assert {path: names for path, names in found.items() if names} == OTHERS
    example = ast.parse("open(path, 'w'); path.open('ab'); open(path, mode='r+'); open(path); np.save(p, x)")
    assert list(written_by(example)) == ["open", "path.open", "open", "np.save"]


def test_every_writer_is_in_the_table():
    """The figures of ``nnjit bench`` are written as those of a run are; they take minutes."""
    found = {path for path, tree in TREES.items() if calls_of(tree) & {*REPLACING, "append"}}
    assert found - {"replacing.py", "bench/main.py"} == set(WRITERS.values())


# ---- logs, to which lines are added ------------------------------------------------------------------------

def log_rows(path, first, last):
    logger = callbacks.CSVLogger(path, append=True)
    logger.on_train_begin(SimpleNamespace(measured=["loss"], history=SimpleNamespace(rows=list)), {})
    for epoch in range(first, last):
        logger.on_epoch_end(SimpleNamespace(epoch=epoch), {"loss": 1 / (1 + epoch), "seconds": 0.5})


def test_a_log_takes_whole_lines_or_none(tmp_path):
    path = tmp_path / "log.csv"
    log_rows(path, 0, 3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])    # as a killed process leaves it
    log_rows(path, 2, 3)
    assert path.read_bytes() == whole
    path.write_bytes(b"no line at all")
    replacing.append(path, "a line\n")
    assert path.read_bytes() == b"a line\n"


class Full(io.FileIO):
    """A file on a disk with room for five bytes."""

    def __init__(self, path, mode, buffering):
        super().__init__(path, mode)
        self._room = 5

    def write(self, content):
        if not self._room:
            raise OSError(28, "No space left on device")
        written = super().write(content[:self._room])
        self._room -= written
        return written


def test_a_full_disk_leaves_the_lines_of_a_log(tmp_path, monkeypatch):
    path = tmp_path / "log.csv"
    log_rows(path, 0, 3)
    whole = path.read_bytes()
    monkeypatch.setattr(replacing, "open", Full, raising=False)
    with pytest.raises(OSError, match="No space left") as caught:
        log_rows(path, 3, 4)
    assert str(path) in str(caught.value) and path.read_bytes() == whole


# ---- compiled kernels --------------------------------------------------------------------------------------

KERNEL = """
import json, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from nnjit.kernels.losses import poisson_rate
    value = poisson_rate(0.0)
print(json.dumps([value, sum(poisson_rate.stats.cache_hits.values()), [str(one.message) for one in caught]]))
"""


@pytest.mark.compiled
@pytest.mark.skipif(jit.FASTER is None, reason="Numba's own cache has no checksums")
def test_zeros_in_a_compiled_kernel_are_never_run(run_python, tmp_path):
    """A power cut leaves them where a file was renamed before its content was on the disk."""
    place = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert run_python(KERNEL, **place) == [1, 0, []]
    for path in (tmp_path / "cache").glob("nnjit-*/*"):
        content = path.read_bytes()
        path.write_bytes(content[:len(content) // 3].ljust(len(content), b"\0"))
    value, hits, said = run_python(KERNEL, **place)
    assert (value, hits, len(said)) == (1, 0, 1) and "unusable (a damaged file" in said[0]


# ---- the command -------------------------------------------------------------------------------------------

def run_command(line, room, before=lambda: None):
    """Run ``nnjit`` in a forked process whose files may have so many bytes; return its status and errors."""
    reading, writing = os.pipe()

    def command():
        import resource
        os.dup2(writing, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        before()
        status = cli.main(line.split())
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)

    child = in_child(command)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text.splitlines()]


PLENTY = 10**9
IRIS = "train --data iris --epochs 3 --quiet --no-pictures --no-report --out-dir"
# Commands, the bytes that there is room for, and the file that the error names.
FULL = [(f"{IRIS} out", 100, "out/history.csv"), (f"{IRIS} out", 1000, "out/run.json"),
        ("report run", 1000, "run/report.html"), ("export run --to onnx", 100, "run/model.onnx"),
        ("export run --to safetensors --out a.st", 100, "a.st"),
        ("sweep --data iris --epochs 1 --quiet --no-report --out-dir all --lr 0.1,0.2", 100, "")]


def try_commands():
    """Print what the commands say where the disk is full, and what becomes of a run then."""
    found = [run_command(f"{IRIS} run", PLENTY)]
    found += [run_command(line, room) for line, room, _ in FULL]

    def refuse(*given, **named):
        raise OSError(28, "No space left on device", "x")

    def no_room():
        BackupAndRestore._is_time = lambda self: self.seconds is not None    # after every batch
        report.write = refuse

    refused = run_command(f"{IRIS} kept", PLENTY, no_room)
    kept = os.listdir("kept")
    resumed = run_command("train --resume kept --quiet", PLENTY)
    same = bool((nn.load("kept/model.npz").vector == nn.load("run/model.npz").vector).all())
    print(json.dumps([found, [refused, kept, resumed, sorted(os.listdir("kept")), same]]))


@posix
@pytest.mark.compiled
def test_a_full_disk_is_one_line_of_the_command_and_no_training_is_lost(tmp_path):
    [(well, *found), (refused, kept, resumed, names, same)], _ = run_here("try_commands()", tmp_path)
    assert well == [0, []]
    for (line, _, name), (status, said) in zip(FULL, found):
        assert status == 1 and len(said) == 1, (line, said)
        assert said[0].startswith("nnjit: error: ") and f"{name}'" in said[0], (line, said)
    assert refused == [1, ["nnjit: error: [Errno 28] No space left on device: 'x'"]]
    assert kept == ["backup.npz"] and resumed == [0, []] and "backup.npz" not in names and same
