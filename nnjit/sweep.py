"""Many trainings of one kind: a grid of settings, several seeds each, in processes or on a cluster.

Every job's result is a file of its own, written whole. A sweep that was stopped, or whose workers died, goes
on where it was.
"""
import contextlib
import csv
import hashlib
import html
import itertools
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ._numba.threads import fixed_threads, set_threads
from .inputs.checks import DataError, check_count
from .replacing import replacing, replacing_text
from .training.callbacks import MAXIMISED
from .training.history import History
from .training.progress import on_terminal

_ROUNDS = 3    # that end with a dead worker and without a result, until jobs run one at a time
_RANKED_BY = ("val_accuracy", "validation_accuracy", "test_accuracy", "accuracy", "val_loss",
              "validation_loss", "test_loss", "loss")

Grid = dict[str, Any] | Sequence[dict[str, Any]]    # {name: list of values}, or settings


# ---- what was found ----------------------------------------------------------------------------------------

class Sweep:
    """What a sweep found.

    Attributes
    ----------
    runs : list of dict
        Of every job ``"setting"``, ``"seed"``, and ``"results"``, a dict of numbers, or ``"error"``.
    metric : str
        By which settings are ranked.
    """

    def __init__(self, runs: list[dict[str, Any]], metric: str | None = None):
        self.runs, self.metric = runs, metric
        done = [run for run in runs if "results" in run]
        names = list(dict.fromkeys(name for run in done for name in run["results"]))
        if metric is None:
            self.metric = next((name for name in _RANKED_BY if name in names), names[0] if names else None)
        elif done and metric not in names:
            raise ValueError(f"metric: got {metric!r}, expected one of {', '.join(names)}")

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The runs that ended with an error."""
        return [run for run in self.runs if "error" in run]

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each setting, best first: ``"setting"``, ``"runs"``, how many, and for each number
        ``(mean, standard deviation over seeds)``, NaN of a single one.
        """
        groups: dict[str, list[dict[str, Any]]] = {}
        for run in self.runs:
            if "results" in run:
                groups.setdefault(json.dumps(run["setting"], sort_keys=True), []).append(run)
        rows = [_row(runs) for runs in groups.values()]
        more = any(name in (self.metric or "") for name in MAXIMISED)

        def order(row):
            mean = row.get(self.metric, (math.nan,))[0]
            return math.inf if math.isnan(mean) else -mean if more else mean
        return sorted(rows, key=order)

    def best(self) -> dict[str, Any]:
        """Return the setting that is best; ValueError where no run has ended well."""
        rows = self.rows()
        if not rows:
            raise ValueError(f"sweep: got {len(self.failed)} failed runs, expected one that ended well")
        return rows[0]["setting"]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the heads and the rows of a table of text."""
        rows = self.rows()
        settings = list(dict.fromkeys(name for row in rows for name in row["setting"]))
        numbers = [name for name in dict.fromkeys(name for row in rows for name in row)
                   if name not in ("setting", "runs")]
        numbers.sort(key=lambda name: name != self.metric)
        lines = [[*(_text(row["setting"].get(name, "")) for name in settings), str(row["runs"]),
                  *(_mean_and_sd(*row[name]) if name in row else "" for name in numbers)] for row in rows]
        return [*settings, "runs", *numbers], lines

    def csv(self, path: str | Path) -> None:
        """Write a row for every run into a CSV file: its setting, its seed, its numbers, its error."""
        settings = list(dict.fromkeys(name for run in self.runs for name in run["setting"]))
        numbers = list(dict.fromkeys(name for run in self.runs for name in run.get("results", ())))
        with replacing_text(path) as file:
            rows = csv.writer(file)
            rows.writerow([*settings, "seed", *numbers, "error"])
            for run in self.runs:
                rows.writerow([*(_text(run["setting"].get(name, "")) for name in settings), run["seed"],
                               *(run.get("results", {}).get(name, "") for name in numbers),
                               run.get("error", "")])

    def __str__(self):
        heads, lines = self.table()
        widths = [max(map(len, column)) for column in zip(heads, *lines)]
        text = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths)).rstrip()
                for line in (heads, *lines)]
        text += [f"failed: {run['setting']}, seed {run['seed']}: {run['error']}" for run in self.failed]
        return "\n".join(text)

    __repr__ = __str__

    def _repr_html_(self):
        heads, lines = self.table()
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>"
                       for line in lines)
        return ("<table><thead><tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in heads)
                + f"</tr></thead><tbody>{body}</tbody></table>")


def _row(runs):
    row = {"setting": runs[0]["setting"], "runs": len(runs)}
    for name in dict.fromkeys(name for run in runs for name in run["results"]):
        values = [run["results"][name] for run in runs if name in run["results"]]
        values = [math.nan if value is None else value for value in values]
        row[name] = statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else math.nan
    return row


def _text(value):
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _mean_and_sd(mean, sd):
    return f"{mean:.4g}" if math.isnan(sd) else f"{mean:.4g} ± {sd:.2g}"


# ---- the sweep ---------------------------------------------------------------------------------------------

def sweep(function: Callable[..., Any], grid: Grid, seeds: int | Sequence[int] = 1, jobs: int = 1, *,
          data: dict[str, Any] | None = None, out_dir: str | Path | None = None, metric: str | None = None,
          backend: str | None = None, verbose: str | int = "auto") -> Sweep:
    """Call ``function(seed=..., **data, **setting)`` for every setting and seed; return what it found.

    Parameters
    ----------
    function : function
        It trains and returns a dict of numbers, or a `History`, whose last values count, or a number. With
        several jobs it is called in other processes.
    grid : dict of {name: list of values}, or list of settings
        All combinations; or the settings themselves, dicts of plain values.
    seeds : int or sequence of int
        So many, from 0; or these.
    jobs : int
        Processes, each of which computes with one thread. 1: in this process, with all threads.
    data : dict of arrays, optional
        Handed to every call. Processes share it by a memory map.
    out_dir : path, optional
        Where every run's result goes, a file each. What is there already is not computed again, but for runs
        that failed.
    metric : str, optional
        By which settings are ranked; by default the accuracy or the loss of the validation.
    backend : str, optional
        Of joblib, where ``jobs`` go to: "loky", processes of this machine; "dask" or "ray", a cluster that
        joblib has been connected to.
    verbose : "auto" or 0
        A progress bar on a terminal, or nothing.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.
    DataError
        A result's file is damaged.
    KeyboardInterrupt
        At Ctrl-C; what has ended is kept in ``out_dir``.
    """
    if not callable(function):
        raise TypeError(f"function: got {function!r}, expected a function of seed and the settings")
    todo = {_identity(setting, seed): (setting, seed) for setting in settings_of(grid)
            for seed in _seeds(seeds)}
    folder = None if out_dir is None else Path(out_dir)
    found = {} if folder is None else _kept(folder, todo)
    pending = {key: job for key, job in todo.items() if key not in found}
    shown = verbose == "auto" and on_terminal()
    with tqdm(total=len(todo), initial=len(found), disable=not shown, unit="run", file=sys.stderr) as bar:
        for key, result in _executed(function, pending, check_count("jobs", jobs), data or {}, backend):
            found[key] = result
            if folder is not None:
                _keep(folder, key, result)
            bar.update()
    return Sweep([found[key] for key in todo], metric)


def settings_of(grid: Grid) -> list[dict[str, Any]]:
    """Return the settings of a grid, all combinations of its values; or those that are listed."""
    if isinstance(grid, dict):
        wrong = [name for name, values in grid.items()
                 if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__") or not len(values)]
        if wrong:
            raise TypeError(f"grid: got {grid[wrong[0]]!r} for {wrong[0]!r}, expected a list of values")
        return [dict(zip(grid, map(_plain, values))) for values in itertools.product(*grid.values())]
    if isinstance(grid, (list, tuple)) and all(isinstance(one, dict) for one in grid):
        return [{name: _plain(value) for name, value in one.items()} for one in grid]
    raise TypeError(f"grid: got {grid!r}, expected a dict of {{name: list of values}}, or a list of dicts")


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value


def _seeds(seeds):
    if isinstance(seeds, int):
        return list(range(check_count("seeds", seeds)))
    return [check_count("seeds", seed, least=0) for seed in seeds]


def _identity(setting, seed):
    """Return the name of a job's file."""
    text = json.dumps([setting, seed], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


# ---- files -------------------------------------------------------------------------------------------------

def _kept(folder, todo):
    """Return the results that are in the folder, but those of runs that failed."""
    found = {}
    for key in todo:
        path = folder / f"{key}.json"
        if not path.exists():
            continue
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            if "results" in run and {"setting", "seed"} <= set(run):
                found[key] = run
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}: damaged ({error}); remove it, and its run is done again") from None
    return found


def _keep(folder, key, run):
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / f"{key}.json") as file:
        file.write(json.dumps(run, default=repr).encode())


# ---- execution ---------------------------------------------------------------------------------------------

def _executed(function, pending: dict[str, tuple[Any, int]], jobs, data,
              backend) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (key, run) as the jobs end."""
    if jobs == 1 and backend is None:
        for key, job in pending.items():
            yield key, _run(function, *job, data, None)
        return
    pending, rounds = dict(pending), 0
    while pending:
        before = len(pending)
        try:
            # one that may have killed its worker is found when it runs alone
            chosen = dict(list(pending.items())[:1]) if rounds >= _ROUNDS else pending
            for key, run in _in_processes(function, dict(chosen), jobs, data, backend):
                del pending[key]
                yield key, run
            rounds = 0 if rounds < _ROUNDS else rounds
        except _dead_workers() as error:
            if rounds >= _ROUNDS:
                key, (setting, seed) = next(iter(pending.items()))
                del pending[key]
                yield key, {"setting": setting, "seed": seed,
                            "error": f"its process died ({type(error).__name__})"}
            else:
                rounds = rounds + 1 if len(pending) == before else 0


def _dead_workers():
    from concurrent.futures import BrokenExecutor

    from joblib.externals.loky.process_executor import TerminatedWorkerError
    return TerminatedWorkerError, BrokenExecutor


def _in_processes(function, jobs_, workers, data, backend):
    """Yield (key, run) as they end, from joblib's workers."""
    try:
        import joblib
    except ImportError as error:
        raise ImportError("sweep: got no joblib, expected it for several jobs; install it, pip install "
                          "nnjit[sweep]") from error
    context = contextlib.nullcontext() if backend is None else joblib.parallel_config(backend)
    with context:
        streams = backend in (None, "loky")
        parallel = joblib.Parallel(n_jobs=workers, max_nbytes=2**16,
                                   return_as="generator_unordered" if streams else "list")
        yield from parallel(joblib.delayed(_keyed)(key, function, *job, data) for key, job in jobs_.items())


def _keyed(key, function, setting, seed, data):
    return key, _run(function, setting, seed, data, 1)


def _run(function, setting, seed, data, threads):
    """Return what came of a job, a dict of plain values; an error is a result, too."""
    begin, before = time.perf_counter(), fixed_threads()
    try:
        if threads is not None:
            set_threads(threads)
        results = _numbers(function(seed=seed, **data, **setting))
    except Exception as error:
        text = " ".join(str(error).split())
        return {"setting": setting, "seed": seed, "error": f"{type(error).__name__}: {text}"}
    finally:
        if threads is not None:
            set_threads(before or "auto")
    return {"setting": setting, "seed": seed, "results": results, "took": time.perf_counter() - begin}


def _numbers(returned):
    """Return what a function returned as a dict of numbers."""
    if isinstance(returned, History):
        returned = {name: values[-1] for name, values in returned.history.items() if values}
    if isinstance(returned, (int, float, np.generic)):
        returned = {"value": returned}
    if not isinstance(returned, dict):
        raise TypeError(f"got {type(returned).__name__} from the function, expected a dict of numbers, a "
                        "History or a number")
    found = {name: _plain(value) for name, value in returned.items()}
    wrong = [name for name, value in found.items() if not isinstance(value, (int, float, type(None)))]
    if wrong:
        raise TypeError(f"got {found[wrong[0]]!r} for {wrong[0]!r} from the function, expected a number")
    return {name: None if value is None or math.isnan(value) else value for name, value in found.items()}
