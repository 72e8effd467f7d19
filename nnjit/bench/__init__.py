"""The benchmark: nnjit and its peers do the same work on the same machine, in turn.

A *work* (`works`) is done by *contenders* (`<peer>_peer.py`), each in a process of its own (`process`). The first run of
each, which compiles and warms up, is not counted; each is tried with one thread and with all, and keeps the better; then
they take turns, and their medians are compared.
"""
import argparse
import contextlib
import importlib.util
import json
import os
import platform
import statistics
import time
from importlib import metadata
from pathlib import Path

from . import limits
from .process import Contender, ContenderError
from .works import SCALES, WORKS, find, scale

PEERS = {"numpy": "numpy", "sklearn": "scikit-learn", "torch": "torch", "jax": "jax"}    # with their distributions
PAUSE = 0.1    # seconds between two runs: the last one's threads stop spinning
TRIAL_RUNS, TRIAL_SECONDS = 5, 1.0    # a number of threads is tried as long as neither is exceeded


# ---- the command ----------------------------------------------------------------------------------------------------

def add_arguments(parser):
    """Give an argparse parser the options of `run`."""
    parser.add_argument("--work", nargs="+", choices=WORKS, default=list(WORKS), metavar="NAME",
                        help="the works, by default all: " + ", ".join(WORKS))
    parser.add_argument("--against", type=_peers, default=list(PEERS), metavar="PEER,...",
                        help="the peers, by default " + ",".join(PEERS) + "; 'none' runs nnjit alone")
    parser.add_argument("--dtype", choices=("float32", "float64"), help="by default those of the work")
    parser.add_argument("--threads", type=_positive, metavar="N",
                        help="for every contender; by default each has the better of 1 and all cores")
    parser.add_argument("--repeat", type=_positive, default=5, metavar="N", help="counted rounds (5)")
    parser.add_argument("--json", type=_writable, metavar="FILE", help="write all figures there")
    parser.add_argument("--scaling", type=_picture, metavar="FILE",
                        help="in place of the works: draw the times of an epoch and of a convolution by " + ", ".join(SCALES))
    parser.add_argument("--list", action="store_true", help="list the works and end")


def run(args):
    """Measure what the parsed arguments name, print tables and write JSON.

    Returns
    -------
    int
        0; or 1 if a contender failed or did not do the same work, or 130 if interrupted. A peer that is not installed is
        left out, with a line that says so.
    """
    if args.list:
        for name, work in WORKS.items():
            print(f"{name:<12}{work.title} ({', '.join(work.dtypes)}; {'; '.join(work.contenders)})")
        return 0
    peers = ["nnjit", *_installed(args.against)]
    report = {"environment": environment(), "limits": machine_limits(), "repeat": args.repeat, "works": []}
    print("\n".join(f"{name + ':':<9} {value}" for name, value in report["environment"].items()))
    print("limits:   " + ", ".join(f"{name} {value / 1e9:.3g} G{unit}" for name, (value, unit) in report["limits"].items()))
    names = [scale(*point) for point in _points()] if args.scaling else args.work
    try:
        for name in names:
            for dtype in (args.dtype,) if args.dtype else find(name).dtypes:
                result = measure_work(name, dtype, peers, args.threads, args.repeat)
                peak, _ = report["limits"][dtype]
                for row in result["contenders"]:
                    row["of_peak"] = row["operations"] and row["operations"] / row["median"] / peak
                print(table(result), flush=True)
                report["works"].append(result)
                if args.json:
                    args.json.write_text(json.dumps(report, indent=1) + "\n")
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    if args.scaling:
        draw_scaling(args.scaling, report["works"])
    sound = all(not work["failed"] and all(row["same_work"] != "no" for row in work["contenders"])
                for work in report["works"])
    return 0 if sound else 1


def _points():
    return [(quantity, value) for quantity, values in SCALES.items() for value in values]


def draw_scaling(path, results):
    """Draw the seconds that `measure_work` found, by each quantity of `works.SCALES`, a line a contender."""
    from ..plots import scaling_curves
    found = {result["work"]: result["contenders"] for result in results}
    curves = {}
    for quantity, value in _points():
        for row in found[scale(quantity, value)]:
            line = curves.setdefault(quantity, {}).setdefault(row["contender"], ([], []))
            line[0].append(value), line[1].append(row["median"])
    print(f"\nsaved {scaling_curves(path, curves, f'Seconds on {len(_cores())} cores of {_cpu_model()}')}")


def _peers(text):
    names = [] if text == "none" else text.split(",")
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"got {unknown[0]!r}, expected some of {','.join(PEERS)}, or none")
    return names


def _positive(text):
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number from 1 on")
    return int(text)


def _writable(text):
    path = Path(text)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a file in a folder that can be written")
    return path


def _picture(text):
    if not text.lower().endswith((".png", ".svg")):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a name that ends in .png or .svg")
    return _writable(text)


def _installed(peers):
    """Return the peers that can be imported; say which cannot."""
    found = [peer for peer in peers if importlib.util.find_spec(peer)]
    for peer in peers:
        if peer not in found:
            print(f"{peer} is left out: not installed (pip install {PEERS[peer]})")
    return found


def environment():
    """Return what the figures depend on: processor, cores, versions, BLAS."""
    import numpy  # noqa: F401  (brings its BLAS)
    from threadpoolctl import threadpool_info
    packages = ["nnjit", "numba", "numpy", "scipy", *(name for name in PEERS.values() if name != "numpy")]
    blas = {f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}".strip()
            for pool in threadpool_info() if pool["user_api"] == "blas"}
    return {"cpu": _cpu_model(), "cores": len(_cores()), "system": platform.platform(),
            "python": platform.python_version(), "versions": ", ".join(filter(None, map(_version, packages))),
            "BLAS": ", ".join(sorted(blas)), "load": f"{os.getloadavg()[0]:.2f} at the start"}


def machine_limits():
    """Return what the machine can do at most with all cores: {what: (a second, unit)}."""
    return {"float32": (limits.peak("float32"), "FLOP/s"), "float64": (limits.peak("float64"), "FLOP/s"),
            "memory": (limits.bandwidth(len(_cores())), "B/s")}


def _version(distribution):
    try:
        return f"{distribution} {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        return None


def _cpu_model():
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores():
    """Return the cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())


# ---- measuring ------------------------------------------------------------------------------------------------------

def measure_work(name, dtype, peers, threads, repeat):
    """Let all contenders of a work take turns; return the dict that JSON and table show."""
    print(f"\n{name}, {dtype}: {find(name).title}", flush=True)
    counts = [threads] if threads else sorted({1, len(_cores())})
    chosen, failed = {}, {}
    with contextlib.ExitStack() as stack:
        for label, (peer, _) in find(name).contenders.items():
            if peer not in peers:
                continue
            candidates = [Contender(name, dtype, label, n) for n in counts]
            for candidate in candidates:
                stack.callback(candidate.close)
            try:
                best, preparation = try_threads(candidates)
                chosen[best] = {**preparation, "pools": best.pools()}
            except ContenderError as error:
                failed[label] = str(error)
        runs, errors = alternate(list(chosen), repeat)
    failed.update((contender.label, reason) for contender, reason in errors.items())
    rows = [summary(contender, chosen[contender], own) for contender, own in runs.items()]
    compare(rows, find(name).tolerance)
    return {"work": name, "dtype": dtype, "title": find(name).title, "contenders": rows, "failed": failed}


def try_threads(candidates):
    """Warm up each candidate, run it a little, and close all but the fastest.

    Returns
    -------
    best, preparation
        The fastest; its first run's ``first`` wall seconds, and the ``trials`` of all, {threads: seconds}.
    """
    first, trials = {}, {}
    for candidate in candidates:
        first[candidate] = candidate.run(seed=0)["wall"]
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


def alternate(contenders, rounds):
    """Run each contender once a round, in turn, with the round's number as its seed.

    Returns
    -------
    runs, errors
        {contender: [measurement of every round]} of those that did them all, and {contender: reason} of the others.
    """
    runs, errors = {contender: [] for contender in contenders}, {}
    for number in range(rounds):
        for contender in list(runs):
            time.sleep(PAUSE)
            try:
                runs[contender].append(contender.run(seed=number))
            except ContenderError as error:
                errors[contender] = str(error)
                del runs[contender]
    return runs, errors


def summary(contender, preparation, runs):
    """Return a contender's row: medians over its runs, in seconds."""
    def median(field):
        values = [run[field] for run in runs if field in run]
        return statistics.median(values) if values else None

    seconds = [run["seconds"] for run in runs]
    return {"contender": contender.label, "peer": contender.peer, "threads": contender.threads,
            "median": statistics.median(seconds), "min": min(seconds), "seconds": seconds,
            "compile": max(0.0, preparation["first"] - median("wall")), "trials": preparation["trials"],
            "pools": preparation["pools"], "loss": median("loss"), "accuracy": median("accuracy"),
            "epochs": median("epochs"), "operations": runs[0].get("operations"), "note": runs[0].get("note", "")}


def compare(rows, tolerance):
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


def _near(value, expected, tolerance, relative):
    """Return whether two figures agree, or None where there is nothing to compare."""
    if value is None or expected is None or tolerance is None:
        return None
    return abs(value - expected) <= tolerance * (expected if relative else 1.0)


# ---- showing --------------------------------------------------------------------------------------------------------

def table(result):
    """Return a work's result as text."""
    rows = sorted(result["contenders"], key=lambda row: row["median"])
    against = next((row["contender"] for row in rows if row["reference"]), "none")
    lines = [_line("contender", "threads", "(tried)", "median", "min", "x " + against, "compile", "loss", "accuracy",
                   "epochs", "of peak", "same work")]
    for row in rows:
        tried = " ".join(f"{n}: {_time(seconds)}" for n, seconds in row["trials"].items() if seconds)
        lines.append(_line(row["contender"], row["threads"], f"({tried})" if tried else "", _time(row["median"]),
                           _time(row["min"]), f"{row['ratio']:.2f}", _time(row["compile"]), _figure(row["loss"], ".4f"),
                           _figure(row["accuracy"], ".4f"), _figure(row["epochs"], ".0f"),
                           _figure(row.get("of_peak"), ".0%"),
                           row["same_work"] + (f" ({row['note']})" if row["note"] else "")))
    lines += [f"{label} is left out: {reason}" for label, reason in result["failed"].items()]
    return "\n".join(lines)


def _line(contender, threads, tried, *figures):
    *figures, last = figures
    return f"{contender:<20}{threads:>8} {tried:<25}" + "".join(f"{figure:>10}" for figure in figures) + f"  {last}"


def _time(seconds):
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def _figure(value, form):
    return "-" if value is None else format(value, form)
