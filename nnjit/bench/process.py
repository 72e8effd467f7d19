"""A contender in a process of its own, and both ends of the pipe to it.

Thread pools (OpenMP, OpenBLAS, XLA) do not meet when each contender has a process, and each begins with the
number of threads that it is told: XLA cannot change its own later.
"""
import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .workloads import find

# NPROC is for XLA's thread pool.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
                    "NPROC")
LEAST = 1.0    # seconds that a measurement takes: a processor that was idle is slow at first


class ContenderError(RuntimeError):
    """A contender could not do its work."""


class Contender:
    """A peer's function for a workload, ready to be run in its process.

    Attributes
    ----------
    label : what the tables call it
    peer, threads : whose it is, and how many threads it may use
    after_blas : whether a product of NumPy comes right before each measurement, whose threads still look for
        work then
    """

    def __init__(self, workload: str, dtype: str, label: str, threads: int, after_blas: bool = False):
        self.label, self.threads = label, threads
        self.peer, function = find(workload).contenders[label]
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]
        limits = dict.fromkeys(THREAD_VARIABLES, str(threads))
        program = f"from {__name__} import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, workload, dtype, self.peer, function, "1" * after_blas],
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, **limits, "PYTHONPATH": os.pathsep.join(filter(None, paths))})

    def run(self, seed: int | str) -> dict:
        """Do the work once; return ``seconds``, ``wall`` (unscaled) and what the function returned.

        Raises
        ------
        ContenderError
            It failed, with the reason in one line.
        """
        try:
            print(seed, file=self._process.stdin, flush=True)
            answer = json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            raise ContenderError(f"the process ended with code {self._process.wait()}") from None
        if "error" in answer:
            raise ContenderError(answer["error"])
        return answer

    def pools(self) -> list[str]:
        """Return the thread pools in use, as short texts."""
        return self.run("pools")["pools"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """The context in which this many processes keep a core busy each."""
    running = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


class Clock:
    """Times what happens within ``with clock:``; ``scale`` turns that into the seconds of the workload.

    ``before()`` is called right before it begins.
    """

    def __init__(self, before: Callable = lambda: None):
        self.scale, self.before = 1.0, before

    def __enter__(self):
        self.before()
        self._begin = time.perf_counter()
        return self

    def __exit__(self, *error):
        self.wall = time.perf_counter() - self._begin


def measure(function: Callable, task: object, seed: int, before: Callable = lambda: None) -> dict:
    """Run a peer's function, a short one again until `LEAST`; return the median run as plain values."""
    runs, begin = [], time.perf_counter()
    while not runs or time.perf_counter() - begin < LEAST:
        runs.append(_run(function, task, seed, before))
    return sorted(runs, key=lambda run: run["seconds"])[len(runs) // 2]


def _run(function, task, seed, before):
    clock = Clock(before)
    outcome = function(task, clock, seed)
    plain = {name: value if isinstance(value, str) else float(value) for name, value in outcome.items()}
    return {"seconds": clock.wall * clock.scale, "wall": clock.wall, **plain}


def _pools():
    from threadpoolctl import threadpool_info
    found = {f"{pool['internal_api']} {pool['version'] or ''}".strip() + f" ({pool['num_threads']})"
             for pool in threadpool_info()}
    numba = sys.modules.get("numba")
    if numba is not None:
        try:
            found.add(f"numba {numba.threading_layer()} ({numba.get_num_threads()})")
        except ValueError:    # no parallel kernel has run
            pass
    return sorted(found)


def main() -> None:
    """Run the workload that the command line names for every seed on the standard input, until that ends.

    A line is answered by a line of JSON; ``pools`` asks for the thread pools.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)    # whoever started this process ends it
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)    # whatever a library prints goes elsewhere
    prepared, before = None, _numpy_product() if sys.argv[5:] == ["1"] else lambda: None
    for line in sys.stdin:
        try:
            if line.strip() == "pools":
                answer = {"pools": _pools()}
            else:
                prepared = prepared or _prepare(*sys.argv[1:5])
                function, task, operations = prepared
                answer = {**measure(function, task, int(line), before), "operations": operations}
        except Exception as error:    # whatever it is, it is the answer
            answer = {"error": f"{type(error).__name__}: {error}".partition("\n")[0]}
        print(json.dumps(answer), file=answers, flush=True)


def _numpy_product():
    """Return a function that multiplies two matrices with NumPy, for about 0.1 s."""
    import numpy as np
    A = np.ones((1500, 1500))
    return lambda: A @ A


def _prepare(workload, dtype, peer, function):
    """Return the peer's function, its task, and the operations that are measured."""
    module = importlib.import_module(f".{peer}_peer", __package__)
    task = find(workload).task(dtype)
    return getattr(module, function), task, find(workload).operations(task)
