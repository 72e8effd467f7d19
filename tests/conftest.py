"""What the tests share: marks, real data, Python processes of their own."""
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

# Before a thread starts: those that wait for work must not spin. On a busy machine a barrier that spins costs
# far more than the kernel that it ends.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numba
import numpy as np
import pytest
from scale import TORTURE

import nnjit
from nnjit import datasets

COUNTS = "build/trust.jsonl"    # what the last run has counted, for docs/trust.md


def pytest_configure(config):
    config.addinivalue_line("markers",
                            "compiled: about compiled code; skipped where NUMBA_DISABLE_JIT is set")
    config.addinivalue_line("markers", "torture: a part of `make torture`, which repeats it more often")
    if TORTURE and not hasattr(config, "workerinput"):
        path = config.rootpath / COUNTS
        path.parent.mkdir(exist_ok=True)
        path.write_text("")


def pytest_terminal_summary(terminalreporter, config):
    if TORTURE:
        found = {}
        for line in (config.rootpath / COUNTS).read_text().splitlines():
            what, number = json.loads(line)
            found[what] = found.get(what, 0) + number
        for what, number in sorted(found.items()):
            terminalreporter.write_line(f"{what}: {number:,}")


@pytest.fixture
def count(request):
    """Return a function of (what, number) that keeps how much was checked, for the summary of a torture."""
    def keep(what, number=1):
        if TORTURE:
            with open(request.config.rootpath / COUNTS, "a") as file:
                file.write(json.dumps([what, number]) + "\n")
    return keep


def pytest_runtest_setup(item):
    if numba.config.DISABLE_JIT and item.get_closest_marker("compiled"):
        pytest.skip("about compiled code, and NUMBA_DISABLE_JIT is set")


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture(scope="session")
def mnist():
    """MNIST, as a Dataset."""
    if "NNJIT_DATA" not in os.environ:
        pytest.skip("needs MNIST: set NNJIT_DATA to the parent of its folder mnist")
    return datasets.load_mnist(download=False)


@pytest.fixture
def run_python(tmp_path):
    """Return a function that runs code in a new process, in a folder of its own, and returns the JSON of the
    last line that it prints.

    Warnings are errors there unless the code says otherwise. A copy of the package in the folder goes before
    this one.
    """
    def run(code, **environment):
        environment = {**os.environ, "PYTHONPATH": str(Path(nnjit.__file__).parents[1]), **environment}
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=False, cwd=tmp_path,
                              env=environment, text=True, capture_output=True, timeout=900)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def started(monkeypatch):
    """The list of the processes that are started."""
    found = []

    class Process(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            found.append(self)

    monkeypatch.setattr(subprocess, "Popen", Process)
    return found


@pytest.fixture
def on_terminal(tmp_path):
    """Return a function that runs ``nnjit`` on a terminal of so many columns, and returns what that shows."""
    import fcntl
    import pty
    import termios

    def run(line, columns):
        terminal, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))    # 24 rows
        with subprocess.Popen([sys.executable, "-m", "nnjit", *line.split()], cwd=tmp_path,
                              env={**os.environ, "PYTHONWARNINGS": "error"}, stdout=subprocess.DEVNULL,
                              stderr=end) as process:
            os.close(end)
            shown = b""
            try:
                while piece := os.read(terminal, 1 << 16):
                    shown += piece
            except OSError:    # Linux, at the end
                pass
        os.close(terminal)
        assert process.returncode == 0
        return shown

    return run
