"""Manners: what an import changes, Ctrl-C at any moment, streams, terminals and folders of every kind, and
where warnings point.
"""
import ast
import contextlib
import io
import os
import random
import signal
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas
import pytest
from scale import TORTURE, times

import nnjit as nn
from nnjit import checkpoint, cli, datasets, losses, own_data
from nnjit._numba import cache, jit
from nnjit.estimators import MLPClassifier, MLPRegressor
from nnjit.inputs.pictures import Pictures
from nnjit.kernels.losses import poisson_rate
from nnjit.own_data import training

PACKAGE = Path(nn.__file__).parent
IRIS = "train --data iris --epochs 2 --no-pictures --no-report --out-dir out --force"
torture = pytest.mark.skipif(not TORTURE, reason="a part of `make torture`")
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals, terminals and devices")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- importing ---------------------------------------------------------------------------------------------

STATE = """
import gc, hashlib, json, locale, logging, multiprocessing, os, random, signal, sys, threading, warnings
import numpy as np
import numba, scipy.sparse, threadpoolctl, tqdm
from numba import config

def state():
    loggers = [logging.root, *map(logging.getLogger, sorted(logging.root.manager.loggerDict))]
    return {"warnings": [warnings.filters, warnings.showwarning, warnings.formatwarning],
            "NumPy": [np.geterr(), np.geterrcall(), np.get_printoptions()],
            "random numbers": [random.getstate(), np.random.get_state()],
            "logging": [(logger.name, logger.level, logger.handlers, logger.propagate) for logger in loggers],
            "signals": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
            "the process": [os.getcwd(), dict(os.environ), locale.setlocale(locale.LC_ALL), sys.path],
            "processes": multiprocessing.get_start_method(True),
            "Python": [sys.excepthook, sys.displayhook, sys.getrecursionlimit(), sys.getswitchinterval(),
                       sys.meta_path, sys.path_hooks, gc.isenabled(), gc.get_threshold(), sys.stdout],
            "threads": threading.enumerate(),
            "Numba": [(name, getattr(config, name)) for name in dir(config) if name.isupper()]}

def changed():
    return [name for name, found in state().items() if repr(found) != before[name]]

def packages():
    return {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)

before, known = {name: repr(found) for name, found in state().items()}, packages()
import nnjit as nn
imported, brought = changed(), sorted(packages() - known)
model = nn.Sequential([nn.Dense(3), nn.Tanh(), nn.Dropout(0.5), nn.Dense(2)], nn.Categorical())
X, y = np.eye(40), np.arange(40) % 2
model.fit(X, y, nn.Adam(), epochs=2, validation_data=(X, y), verbose=0)
model.predict(X), model.save("model.npz"), nn.load("model.npz")
print(json.dumps([imported, changed(), brought]))
"""


def test_an_import_and_a_training_change_nothing_global(run_python):
    """Beyond what NumPy, SciPy and Numba do. An import brings no other package, as matplotlib or pandas."""
    imported, trained, brought = run_python(STATE)
    assert imported == [] and set(brought) <= {"nnjit", "_csparsetools"}
    assert trained in ([], ["processes"])    # Numba decides how they start when it starts its threads


# ---- Ctrl-C ------------------------------------------------------------------------------------------------

# A module that Python imports before all others. Ctrl-C comes when so many more are looked for, once the
# first file of the package is there: at the same moment on every machine.
AT_A_MODULE = """
import os, signal, sys

class Finder:
    left = None

    def find_spec(self, name, path=None, target=None):
        if name == "nnjit.callbacks":
            self.left = int(os.environ["MODULES"])
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
"""
MODULES = 600    # which the package and what it needs have at least


def interrupted(words, modules, folder):
    """Run Python with a Ctrl-C; return the process's status, and what it says."""
    (folder / "sitecustomize.py").write_text(AT_A_MODULE)
    path = os.pathsep.join([str(folder), str(PACKAGE.parent)])
    done = subprocess.run([sys.executable, *words], check=False, cwd=folder, text=True, capture_output=True,
                          env={**os.environ, "PYTHONPATH": path, "MODULES": str(modules)}, timeout=300,
                          preexec_fn=heed_interrupts)
    return done.returncode, done.stderr


def heed_interrupts():
    """Also where this process ignores Ctrl-C, as a shell's background job does, and all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@posix
@pytest.mark.torture
@pytest.mark.parametrize("line", ["--version", IRIS])
def test_ctrl_c_while_the_command_is_imported_is_quiet(line, tmp_path, count):
    draw = random.Random(line)
    for _ in range(times(1, 40)):
        modules = draw.randrange(1, MODULES)
        assert interrupted(["-m", "nnjit", *line.split()], modules, tmp_path) == (130, ""), modules
        count("imports of the command that Ctrl-C has ended without a word")
    assert not (tmp_path / "out").exists()


@posix
@pytest.mark.torture
def test_ctrl_c_while_the_package_is_imported_is_the_programs(tmp_path, count):
    """Python ends it as it ends all programs; nothing in between takes the interrupt for something else."""
    draw = random.Random(0)
    for _ in range(times(1, 20)):
        modules = draw.randrange(1, MODULES)
        status, said = interrupted(["-c", "import nnjit"], modules, tmp_path)
        assert status == -signal.SIGINT and said.endswith("\nKeyboardInterrupt\n"), modules
        assert said.count("Traceback") == 1 and "ignored" not in said
        count("imports of the package that Ctrl-C has ended")


# ---- streams -----------------------------------------------------------------------------------------------

def no_reader():
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w")


def full_disk():
    return os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")


STREAMS = {"closed": lambda: None, "gone": no_reader, "full": full_disk}


@pytest.fixture
def streams(monkeypatch):
    """Return a function that puts streams of some kinds in the place of the process's own."""
    opened = []

    def put(**kinds):
        for name, kind in kinds.items():
            opened.append(STREAMS[kind]())
            monkeypatch.setattr(sys, name, opened[-1])

    yield put
    monkeypatch.undo()
    for stream in opened:
        with contextlib.suppress(AttributeError, OSError):
            stream.close()


@posix
@pytest.mark.parametrize("kinds, status", [
    ({"stdout": "closed"}, 0), ({"stderr": "closed"}, 0),
    ({"stdin": "closed", "stdout": "closed", "stderr": "closed"}, 0),
    ({"stdout": "gone"}, 0), ({"stderr": "gone"}, 0), ({"stdout": "gone", "stderr": "gone"}, 0),
    ({"stderr": "full"}, 0), ({"stdout": "full"}, 1), ({"stdout": "full", "stderr": "full"}, 1)], ids=str)
@pytest.mark.parametrize("line", [IRIS, "--version", "train --help", "train --epochs x"])
def test_a_run_is_saved_whatever_becomes_of_the_streams(line, kinds, status, here, streams, capfd):
    """Only results that cannot be written are an error, of one line."""
    expected = {"train --epochs x": 2}.get(line, status)    # which prints no results
    streams(**kinds)
    try:
        found = cli.main(line.split())
    except SystemExit as ended:
        found = ended.code
    assert found == expected
    assert line != IRIS or nn.load(here / "out" / "model.npz").input_shape == (1,)
    said = capfd.readouterr()
    assert said.out == "" or "stdout" not in kinds
    assert said.err.count("error: ") == ("stderr" not in kinds and expected > 0)


def test_a_program_without_streams_trains_and_reads(here, streams, monkeypatch):
    """As one without a console: what would be shown is not."""
    (here / "table.csv").write_text("a,b\n" + 1000 * "1,2\n")
    monkeypatch.setattr(datasets.tables, "_BAR", 1)
    streams(stdin="closed", stdout="closed", stderr="closed")
    fit(verbose="auto")
    assert len(datasets.read_table("table.csv")) == 1000
    assert len(nn.sweep(lambda seed: {"score": seed}, {}, seeds=3).runs) == 3


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437"])
def test_letters_that_an_encoding_lacks_are_spelled(encoding, here, monkeypatch):
    rows = [f"{k % 7},{name}" for k, name in enumerate(["Märchen", "Ελλάς"] * 30)]
    Path("words.csv").write_text("\n".join(["größe,wort", *rows]) + "\n", encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    for line in ("train words.csv --target wort --epochs 1 --no-pictures --no-report --out-dir out",
                 "predict out words.csv", "evaluate out words.csv"):
        assert cli.main(line.split()) == 0
    said = sys.stdout.buffer.getvalue().decode(encoding)
    spelled = "Ελλάς".encode(encoding, "backslashreplace").decode(encoding)
    assert f"p({spelled})" in said


# ---- terminals ---------------------------------------------------------------------------------------------

@posix
@pytest.mark.compiled
@pytest.mark.parametrize("columns, variables", [
    (20, {"TERM": "dumb"}), (40, {"NO_COLOR": "1"}),
    pytest.param(0, {}, marks=torture), pytest.param(1, {}, marks=torture)], ids=str)
def test_terminals_of_every_kind(columns, variables, on_terminal, monkeypatch):
    """No line is longer than the terminal, and none has a colour."""
    for name in ("FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    shown = on_terminal(IRIS.replace("--epochs 2", "--epochs 200"), columns).decode()
    assert "200/200" in shown and "\x1b[3" not in shown and "\x1b[9" not in shown
    if columns:
        assert max(map(len, shown.replace("\n", "\r").split("\r"))) <= columns


@pytest.mark.parametrize("columns", ["1", "20", "40", "none"])
def test_help_on_narrow_terminals(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", "1")    # newer versions of Python colour the help
    for words in ([], ["train"], ["predict"], ["sweep"], ["compile"]):
        with pytest.raises(SystemExit) as ended:
            cli.main([*words, "--help"])
        assert ended.value.code == 0 and capsys.readouterr().out.startswith("usage: nnjit")


# ---- folders -----------------------------------------------------------------------------------------------

COMMANDS = """
import contextlib, io, json, os, sys
from nnjit import cli
found = []
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    for line in {lines!r}:
        try:
            found.append(cli.main(line.split()))
        except SystemExit as ended:
            found.append(ended.code)
print(json.dumps(found))
"""


def tree(*folders):
    return {path for folder in folders for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.compiled
def test_nothing_is_written_but_what_the_user_named(run_python, tmp_path, monkeypatch):
    """Nor left in the folder of temporary files, or of the package; pictures fill matplotlib's own cache."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir(), temporary.mkdir()
    for name in [name for name in os.environ if name.startswith(("XDG_", "MPL"))]:
        monkeypatch.delenv(name)
    before = tree(PACKAGE, home, temporary)
    (tmp_path / "iris.csv").write_text("a,b,kind\n" + "".join(f"{k % 5},{k % 3},{'xy'[k % 2]}\n"
                                                           for k in range(60)))
    lines = ["--version", "doctor", "train --data iris --epochs 2 --out-dir out/data",
             "train iris.csv --target kind --epochs 2 --out-dir out/file", "predict out/file iris.csv",
             "evaluate out/file iris.csv", "export out/file --to safetensors --out out/net.safetensors",
             "report out/data out/file --out out/both.html", "train --data iris --epochs x",
             "sweep --data iris --epochs 1 --seeds 2 --out-dir out/sweep"]
    lines = [line.replace("--epochs", f"{times('--no-pictures', '')} --epochs") for line in lines]
    found = run_python(COMMANDS.format(lines=lines), HOME=str(home), TMPDIR=str(temporary))
    assert found == [0] * 8 + [2, 0]
    left = tree(PACKAGE, home, temporary) - before
    assert {path for path in left if "matplotlib" not in str(path.relative_to(tmp_path))} <= {
        home / ".config", home / ".cache"}
    assert {path.name for path in tmp_path.iterdir()} == {"home", "tmp", "iris.csv", "out"}


@posix
def test_without_a_home_or_a_folder(run_python, tmp_path):
    """A folder that is removed can hold no run; another can."""
    line = IRIS.replace(" out ", f" {tmp_path}/out ")
    steps = ["del os.environ['HOME']", "os.environ['HOME'] = '/proc/none'",
             "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')"]
    code = COMMANDS.replace("cli.main(line", "exec(line) if line in {steps!r} else cli.main(line")
    lines = [*(word for step in steps for word in (step, line)), IRIS]
    found = run_python(code.format(lines=lines, steps=steps))
    assert found == [None, 0, None, 0, None, 0, 1]


# ---- warnings ----------------------------------------------------------------------------------------------

X, y = np.linspace(0, 1, 80).reshape(40, 2), np.arange(40) % 2


def fit(optimizer=None, **options):
    model = nn.Sequential([nn.Dense(1)], nn.Gaussian())
    model.fit(X, y, optimizer or nn.SGD(0.1), **{"verbose": 0, **options})


def back_up_on_a_full_disk(tmp_path, monkeypatch):
    def write(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write", write)
    fit(callbacks=[nn.callbacks.BackupAndRestore(tmp_path / "backup.npz", 1)])


def interrupt(model, epoch, logs):
    raise KeyboardInterrupt


def read_latin(tmp_path, monkeypatch):
    (tmp_path / "x.csv").write_bytes("name,b\ncafé,2\n".encode("latin-1"))
    datasets.read_table(tmp_path / "x.csv")


def estimate(kind=MLPClassifier, method="fit", **settings):
    settings = {"hidden_layer_sizes": (2,), "max_iter": 2, "random_state": 0, **settings}
    return lambda *_: getattr(kind(**settings), method)(X, y)


def write_no_kernel(tmp_path, monkeypatch):
    def write(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_warned", False)
    monkeypatch.setattr(cache.KernelCache, "_paths", lambda *arguments: [])
    monkeypatch.setattr(cache.KernelCache, "_write", write)
    poisson_rate(np.True_)    # for which no other test has compiled it


# Each warning of the package: its file, its words, and what gives it, a function of (folder, monkeypatch).
WARNINGS = [
    ("training/loop.py", "a loss that is not finite", lambda *_: fit(nn.SGD(1e300), epochs=3)),
    ("training/loop.py", "a validation loss that is not finite", lambda *_: fit(
        validation_data=(X * 3e38, y))),
    ("training/backup.py", "without new backups", back_up_on_a_full_disk),
    ("heads/base.py", "the Tanh layer before it", lambda *_: nn.Sequential(
        [nn.Dense(2), nn.Tanh()], nn.Gaussian()).build(2)),
    ("heads/squared_error.py", "the sigmoid saturates", lambda *_: nn.heads.SquaredError("sigmoid")),
    ("layers/windows.py", "pixels with 3 channels", lambda *_: nn.Sequential(
        [nn.Conv2D(2, 1), nn.Flatten()], nn.Gaussian()).build((3, 8, 8))),
    ("inputs/scale.py", "numbers up to 255", lambda *_: fit(validation_data=(X * 255, y))),
    ("datasets/tables.py", "the text is not UTF-8", read_latin),
    ("own_data/training.py", "images are dark on white", lambda *_: training.warn_of_another_ground(
        np.full((2, 4, 4, 1), 255, np.uint8), Pictures([4, 4], 1, False, ["kind"]))),
    ("own_data/prepare.py", "says what", lambda *_: own_data.learn(
        pandas.DataFrame({"a": X[:, 0], "b": y, "t": y}), ["t"], np.arange(40), y)),
    ("losses.py", "the logits are in 0 .. 1", lambda *_: losses.categorical_crossentropy(
        np.eye(2), np.full((2, 2), 0.5), from_logits=True)),
    ("estimators/base.py", "lbfgs failed to converge", estimate(MLPRegressor, solver="lbfgs", max_iter=1)),
    ("estimators/base.py", "interrupted by user", estimate(callbacks=[interrupt])),
    ("estimators/base.py", "Maximum iterations", estimate()),
    ("estimators/base.py", "less than 1 or larger", estimate(batch_size=1000)),
    pytest.param("_numba/cache.py", "No space left on device", write_no_kernel, marks=pytest.mark.compiled)]


@pytest.mark.parametrize("file, words, give", WARNINGS)
def test_a_warning_points_at_the_callers_line(file, words, give, tmp_path, monkeypatch):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        give(tmp_path, monkeypatch)
    found = [warning for warning in caught if words in str(warning.message)]
    assert len(found) == 1 and "\n" not in str(found[0].message)
    assert {warning.filename for warning in caught} == {__file__}


def test_every_warning_is_tested():
    given = Counter()
    for path in PACKAGE.rglob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                 if isinstance(node, ast.Call)]
        names = [call.id if isinstance(call, ast.Name) else getattr(call, "attr", None) for call in calls]
        given[path.relative_to(PACKAGE).as_posix()] += names.count("warn")
    tested = Counter(getattr(row, "values", row)[0] for row in WARNINGS)
    assert +given == tested


# ---- kernels of somebody else ------------------------------------------------------------------------------

KERNELS = """
import json, os, tempfile, warnings
create = tempfile.TemporaryFile
def refuse(*arguments, dir=None, **options):
    if not str(dir).startswith(os.environ["HOME"]):
        raise PermissionError(13, "Permission denied", str(dir))
    return create(*arguments, dir=dir, **options)
tempfile.TemporaryFile = refuse    # also where the tests run as root, who may write anywhere
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from nnjit._numba import cache
    from nnjit.kernels.losses import poisson_rate
    poisson_rate(1.0), poisson_rate(True)
print(json.dumps([str(cache.folder()), sum(poisson_rate.stats.cache_hits.values()),
                  [str(warning.message) for warning in caught]]))
"""


@pytest.mark.compiled
@pytest.mark.skipif(jit.FASTER is None, reason="Numba's own cache reads only where it can write")
@pytest.mark.parametrize("own, hits", [(True, [1, 2]), (False, [1])])
def test_kernels_of_a_folder_that_cannot_be_written_are_read(own, hits, run_python, tmp_path):
    """What is missing there is kept in a folder of one's own; a warning comes where none can be written."""
    poisson_rate(1.0)    # is in the folder now
    home = tmp_path / "home"
    home.mkdir() if own else home.touch()
    for expected in hits:
        folder, found, warned = run_python(KERNELS, HOME=str(home), XDG_CACHE_HOME=str(home / ".cache"))
        assert folder == (str(home / ".cache/nnjit" / cache.folder().name) if own else "None")
        assert found == expected
        assert [text.partition(" (")[0] for text in warned] == (
            [] if own else ["nnjit: the cache of compiled kernels is unusable"])
