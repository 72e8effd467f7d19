"""The benchmark's command: its options, and what is measured, printed and drawn."""
import argparse
import importlib.util
import json
import os
from pathlib import Path

from .. import report
from ..replacing import replacing_text
from .machine import PEERS, cpu_model, environment, machine_limits
from .measure import cores, measure_workload, other_work
from .table import table
from .workloads import SCALES, WORKLOADS, find, missing_data, scale

DEFAULT_WORKLOADS, DEFAULT_PEERS = ("tanh", "relu"), ("numpy",)
BUSY = 0.5    # processes a core, from which on a machine is busy


# ---- the command -------------------------------------------------------------------------------------------

def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give an argparse parser the options of `run`."""
    add = parser.add_argument
    add("--work", nargs="+", choices=[*WORKLOADS, "all"], default=list(DEFAULT_WORKLOADS), metavar="NAME",
        help=f"the workloads, by default the book's experiments, {' '.join(DEFAULT_WORKLOADS)}; all, or some "
             "of "
             + ", ".join(WORKLOADS))
    add("--against", type=_peers, default=list(DEFAULT_PEERS), metavar="PEER,...",
        help=f"the peers, by default {','.join(DEFAULT_PEERS)}; all, none, or some of {','.join(PEERS)}")
    add("--dtype", choices=("float32", "float64"), help="by default those of the workload")
    add("--threads", type=_positive, metavar="N",
        help="for every contender; by default each has the better of 1 and all cores")
    add("--repeat", type=_positive, default=3, metavar="N", help="counted rounds (default: %(default)s)")
    add("--beside", type=_positive, default=0, metavar="N",
        help="while N other processes keep a core busy each, as people's machines are")
    add("--after-blas", action="store_true",
        help="right after a matrix product of NumPy, whose threads then still look for work")
    add("--out-dir", metavar="DIR", help="where figures.json and the picture go (default: a new folder in "
                                         "runs/)")
    add("--force", action="store_true", help="replace the figures that --out-dir holds")
    add("--ranks", type=_counts, metavar="1,2,4",
        help="in place of the workloads: the time of a training step by the number of ranks of an MPI job, "
             "and that of the exchange of gradients")
    add("--scaling", action="store_true",
        help="in place of the workloads: draw the times of an epoch and of a convolution by "
             + ", ".join(SCALES))
    add("--list", action="store_true", help="list the workloads and end")


def run(args: argparse.Namespace) -> int:
    """Measure what the parsed arguments name; print tables, and write the figures and a picture of them.

    Returns
    -------
    int
        0; or 1 if a contender failed or did not do the same work. A peer that is not
        installed, and a workload whose data can't be had, is left out with a line that says so.
    """
    if args.list:
        for name, workload in WORKLOADS.items():
            peers = "; ".join(workload.contenders)
            print(f"{name:<20}{workload.title} ({', '.join(workload.dtypes)}; {peers})")
        return 0
    if args.ranks:
        from . import ranks
        print(ranks.table(ranks.measure(args.ranks, args.repeat)))
        return 0
    try:
        folder = report.new_folder(args.out_dir, "bench", args.force)
    except ValueError as error:
        args.error(f"argument {error}")
    peers = ["nnjit", *_installed(args.against)]
    found = {"environment": environment(), "limits": machine_limits(), "repeat": args.repeat,
             "beside": args.beside, "after_blas": args.after_blas, "workloads": []}
    _print_conditions(found)
    try:
        for name in _names(args):
            for dtype in (args.dtype,) if args.dtype else find(name).dtypes:
                found["workloads"].append(_measure(name, dtype, peers, args, found["limits"]))
                with replacing_text(folder / "figures.json") as file:
                    file.write(json.dumps(found, indent=1) + "\n")
    finally:
        folder.discard()
    if not found["workloads"]:
        print("\nnothing was measured")
        return 0
    if report.can_draw():
        (draw_scaling if args.scaling else draw_speeds)(folder, found["workloads"])
    print(f"\nsaved    {', '.join(sorted(folder.written))} in {folder}")
    return 0 if all(_is_sound(result) for result in found["workloads"]) else 1


def _print_conditions(found):
    """Print on what machine, and how, is measured."""
    print("\n".join(f"{name + ':':<9} {value}" for name, value in found["environment"].items()))
    limits = [f"{name} {value / 1e9:.3g} G{unit}" for name, (value, unit) in found["limits"].items()]
    print("limits:   " + ", ".join(limits))
    rounds = f"{found['repeat']} round{'s' * (found['repeat'] > 1)}"
    print(f"measured: the seconds of a workload, contenders taking turns for {rounds}, medians; compilation "
          "and the loading of data apart")
    if found["beside"]:
        count = found["beside"]
        print(f"beside:   {count} process{'es' * (count > 1)}, each of which keeps a core busy")
    if found["after_blas"]:
        print("after:    a matrix product of NumPy, right before each measurement")
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > BUSY * len(cores()):
        print("note:     the machine is busy, which the figures will show")


def _names(args):
    """Yield the workloads to be measured; say of the others why they are not."""
    if args.scaling:
        names = [scale(*point) for point in _points()]
    else:
        names = WORKLOADS if "all" in args.work else args.work
    for name in names:
        if reason := missing_data(find(name)):
            data = find(name).needs[0].removeprefix("load_")
            print(f"\n{name} is left out: {reason}; `nnjit train --data {data}` says where it is looked for")
        else:
            yield name


def _measure(name, dtype, peers, args, limits):
    """Return what `measure_workload` found, which is printed."""
    result = measure_workload(name, dtype, peers, args.threads, args.repeat, args.beside, args.after_blas)
    peak, _ = limits[dtype]
    for row in result["contenders"]:
        row["of_peak"] = row["operations"] and row["operations"] / row["median"] / peak
    print("\n".join([table(result), *other_work(result, find(name).tolerance)]), flush=True)
    return result


def _is_sound(result):
    return not result["failed"] and all(row["same_work"] != "no" for row in result["contenders"])


def _points():
    """Return all (quantity, value) of `workloads.SCALES`."""
    return [(quantity, value) for quantity, values in SCALES.items() for value in values]


# ---- pictures ----------------------------------------------------------------------------------------------

def draw_scaling(folder: report.RunFolder | Path, results: list[dict]) -> None:
    """Draw the seconds that `measure_workload` found by each quantity of `workloads.SCALES`."""
    from ..report.bench_plots import scaling_curves
    found = {result["workload"]: result["contenders"] for result in results}
    curves = {}
    for quantity, value in _points():
        for row in found[scale(quantity, value)]:
            values, seconds = curves.setdefault(quantity, {}).setdefault(row["contender"], ([], []))
            values.append(value)
            seconds.append(row["median"])
    scaling_curves(folder / "scaling.png", curves, f"Seconds on {len(cores())} cores of {cpu_model()}")


def draw_speeds(folder: report.RunFolder | Path, results: list[dict]) -> None:
    """Draw how many times as fast as NumPy the contenders are, of each workload in which it took part."""
    from ..report.bench_plots import speed_bars
    speeds = {}
    for result in results:
        medians = {row["contender"]: row["median"] for row in result["contenders"]}
        if "numpy" in medians:
            ranked = sorted(medians.items(), key=lambda item: item[1])
            of_each = {name: (medians["numpy"] / seconds, seconds) for name, seconds in ranked}
            speeds[f"{result['title'].split(',')[0]}, {result['dtype']}"] = of_each
    if speeds:
        speed_bars(folder / "speed.png", speeds, "How many times as fast as vectorised NumPy: longer is "
                   f"faster\n{len(cores())} cores of {cpu_model()}")


# ---- options -----------------------------------------------------------------------------------------------

def _peers(text):
    names = {"none": [], "all": list(PEERS)}.get(text, text.split(","))
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"got {unknown[0]!r}, expected some of {','.join(PEERS)}, all or "
                                         "none")
    return names


def _counts(text):
    return [_positive(count) for count in text.split(",")]


def _positive(text):
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number of at least 1")
    return int(text)


def _installed(peers):
    """Return the peers that can be imported; say which cannot."""
    found = [peer for peer in peers if importlib.util.find_spec(peer)]
    for peer in peers:
        if peer not in found:
            print(f"{peer} is left out: not installed (pip install {PEERS[peer]})")
    return found
