"""Measuring: contenders are tried with one thread and with all, take turns, and are compared by medians."""
import contextlib
import os
import statistics
import time
from collections.abc import Collection

from .process import Contender, ContenderError, busy
from .workloads import find

COMPILING = ("nnjit", "jax", "torch")    # of the peers, those of which a first run may compile
PAUSE = 0.1    # seconds between two runs: the last one's threads stop spinning
TRIAL_RUNS, TRIAL_SECONDS = 5, 1.0    # a number of threads is tried as long as neither is exceeded


def measure_workload(name: str, dtype: str, peers: list[str], threads: int | None, repeat: int,
                     beside: int = 0, after_blas: bool = False) -> dict:
    """Let a workload's contenders of these peers take turns; return the dict that JSON and table show.

    ``beside`` that many busy processes, from the trials on, or ``after_blas``, see `Contender`.
    """
    workload = find(name)
    print(f"\n{name}, {dtype}: {workload.title}", flush=True)
    counts = [threads] if threads else sorted({1, len(cores())})
    chosen, failed = {}, {}
    with contextlib.ExitStack() as stack:
        for label, (peer, _) in workload.contenders.items():
            if peer not in peers:
                continue
            candidates = [Contender(name, dtype, label, n, after_blas) for n in counts]
            for candidate in candidates:
                stack.callback(candidate.close)
            try:
                best, preparation = try_threads(candidates, beside)
                chosen[best] = {**preparation, "pools": best.pools()}
                print(f"  {label}: ready, with {best.threads} thread{'s' * (best.threads > 1)}", flush=True)
            except ContenderError as error:
                failed[label] = str(error)
        with busy(beside):
            runs, errors = alternate(list(chosen), repeat)
    failed.update((contender.label, reason) for contender, reason in errors.items())
    rows = [summary(contender, chosen[contender], own) for contender, own in runs.items()]
    compare(rows, workload.tolerance)
    return {"workload": name, "dtype": dtype, "title": workload.title, "contenders": rows, "failed": failed}


def try_threads(candidates: list[Contender], beside: int = 0) -> tuple[Contender, dict]:
    """Warm up each candidate, run it a little (``beside`` busy processes), and close all but the fastest.

    Returns
    -------
    best, preparation
        The fastest; its first run's ``first`` wall seconds, and the ``trials`` of all, {threads: seconds}.
    """
    first, trials = {}, {}
    for candidate in candidates:
        first[candidate] = candidate.run(seed=0)["wall"]
        with busy(beside):
            trials[candidate] = _trial(candidate) if len(candidates) > 1 else 0.0
    best = min(candidates, key=trials.get)
    for candidate in candidates:
        if candidate is not best:
            candidate.close()
    return best, {"first": first[best], "trials": {str(each.threads): trials[each] for each in candidates}}


def _trial(candidate):
    """Return the least seconds of a few runs."""
    runs = [candidate.run(seed=0)]
    while len(runs) < TRIAL_RUNS and sum(run["wall"] for run in runs) < TRIAL_SECONDS:
        runs.append(candidate.run(seed=0))
    return min(run["seconds"] for run in runs)


def alternate(contenders: list[Contender], rounds: int) -> tuple[dict, dict]:
    """Run each contender once a round, in turn, with the round's number as its seed.

    Returns
    -------
    runs, errors
        {contender: [measurement of every round]} of those that did them all, and
        {contender: reason} of the others.
    """
    runs, errors = {contender: [] for contender in contenders}, {}
    for number in range(rounds):
        print(f"  round {number + 1} of {rounds}", flush=True)
        for contender in list(runs):
            time.sleep(PAUSE)
            try:
                runs[contender].append(contender.run(seed=number))
            except ContenderError as error:
                errors[contender] = str(error)
                del runs[contender]
    return runs, errors


def summary(contender: Contender, preparation: dict, runs: list[dict]) -> dict:
    """Return a contender's row: medians over its runs, in seconds."""
    def median(field):
        values = [run[field] for run in runs if field in run]
        return statistics.median(values) if values else None

    seconds = [run["seconds"] for run in runs]
    compiled = max(0.0, preparation["first"] - median("wall")) if contender.peer in COMPILING else None
    return {"contender": contender.label, "peer": contender.peer, "threads": contender.threads,
            "median": statistics.median(seconds), "min": min(seconds), "seconds": seconds,
            "compile": compiled, "trials": preparation["trials"],
            "pools": preparation["pools"], "loss": median("loss"), "accuracy": median("accuracy"),
            "epochs": median("epochs"), "operations": runs[0].get("operations"),
            "note": runs[0].get("note", "")}


def compare(rows: list[dict], tolerance: dict[str, float]) -> None:
    """Give every row its ``ratio`` of medians and ``same_work``, against nnjit's or else the fastest row."""
    if not rows:
        return
    reference = min(rows, key=lambda row: (row["peer"] != "nnjit", row["median"]))
    for row in rows:
        row["ratio"] = row["median"] / reference["median"]
        row["reference"] = row is reference
        near = [_near(row[field], reference[field], tolerance.get(field), relative=field == "loss")
                for field in ("loss", "accuracy")]
        row["same_work"] = "no" if False in near else "yes" if True in near else "unknown"


def other_work(result: dict, tolerance: dict[str, float]) -> list[str]:
    """Return a line for each contender that came to another loss or accuracy than the reference."""
    reference = next((row for row in result["contenders"] if row["reference"]), None)
    return [f"{result['workload']}, {row['contender']}: got the {field} {row[field]:.4g}, expected "
            f"{reference[field]:.4g} ± {tolerance[field]:g}{' of it' * (field == 'loss')}, as of "
            f"{reference['contender']}; more rounds (--repeat) differ less"
            for row in result["contenders"] for field in ("loss", "accuracy")
            if _near(row[field], reference[field], tolerance.get(field), field == "loss") is False]


def _near(value, expected, tolerance, relative):
    """Return whether two figures agree, or None where there is nothing to compare."""
    if value is None or expected is None or tolerance is None:
        return None
    return abs(value - expected) <= tolerance * (expected if relative else 1.0)


def cores() -> Collection[int]:
    """Return the cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
