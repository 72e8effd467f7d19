"""The benchmark's command: its options, and what is measured, printed and drawn."""
import argparse
import importlib.util
import json

from .. import report
from .machine import PEERS, cpu_model, environment, machine_limits
from .measure import cores, measure_work
from .table import table
from .workloads import SCALES, WORKLOADS, find, missing_data, scale

DEFAULT_WORK, DEFAULT_PEERS = ("tanh", "relu"), ("numpy",)


def add_arguments(parser):
    """Give an argparse parser the options of `run`."""
    parser.add_argument("--work", nargs="+", choices=[*WORKLOADS, "all"], default=list(DEFAULT_WORK), metavar="NAME",
                        help=f"the works, by default the book's experiments, {' '.join(DEFAULT_WORK)}; all, or some of "
                             + ", ".join(WORKLOADS))
    parser.add_argument("--against", type=_peers, default=list(DEFAULT_PEERS), metavar="PEER,...",
                        help=f"the peers, by default {','.join(DEFAULT_PEERS)}; all, none, or some of {','.join(PEERS)}")
    parser.add_argument("--dtype", choices=("float32", "float64"), help="by default those of the work")
    parser.add_argument("--threads", type=_positive, metavar="N",
                        help="for every contender; by default each has the better of 1 and all cores")
    parser.add_argument("--repeat", type=_positive, default=3, metavar="N", help="counted rounds (default: %(default)s)")
    parser.add_argument("--out-dir", metavar="DIR", help="where figures.json and the picture go (default: a new folder in runs/)")
    parser.add_argument("--scaling", action="store_true",
                        help="in place of the works: draw the times of an epoch and of a convolution by " + ", ".join(SCALES))
    parser.add_argument("--list", action="store_true", help="list the works and end")


def run(args):
    """Measure what the parsed arguments name; print tables, and write the figures and a picture of them.

    Returns
    -------
    int
        0; or 1 if a contender failed or did not do the same work, or 130 if interrupted. A peer that is not
        installed, and a work whose data can't be had, is left out with a line that says so.
    """
    if args.list:
        for name, work in WORKLOADS.items():
            print(f"{name:<12}{work.title} ({', '.join(work.dtypes)}; {'; '.join(work.contenders)})")
        return 0
    peers, folder = ["nnjit", *_installed(args.against)], report.new_folder(args.out_dir, "bench")
    found = {"environment": environment(), "limits": machine_limits(), "repeat": args.repeat, "works": []}
    print("\n".join(f"{name + ':':<9} {value}" for name, value in found["environment"].items()))
    print("limits:   " + ", ".join(f"{name} {value / 1e9:.3g} G{unit}" for name, (value, unit) in found["limits"].items()))
    print(f"measured: the seconds of a work, contenders taking turns for {args.repeat} rounds, medians; compilation and the "
          "loading of data apart")
    try:
        for name in _names(args):
            for dtype in (args.dtype,) if args.dtype else find(name).dtypes:
                found["works"].append(_measure(name, dtype, peers, args, found["limits"]))
                (folder / "figures.json").write_text(json.dumps(found, indent=1) + "\n")
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    if report.can_draw() and found["works"]:
        (draw_scaling if args.scaling else draw_speeds)(folder, found["works"])
    print(f"\nsaved    {', '.join(sorted(path.name for path in folder.iterdir()))} in {folder}")
    return 0 if all(_is_sound(work) for work in found["works"]) else 1


def _names(args):
    """Yield the works to be measured; say of the others why they are not."""
    names = [scale(*point) for point in _points()] if args.scaling else WORKLOADS if "all" in args.work else args.work
    for name in names:
        if reason := missing_data(find(name)):
            print(f"\n{name} is left out: {reason}; `nnjit train --data {find(name).needs[0][5:]}` says where it is looked for")
        else:
            yield name


def _measure(name, dtype, peers, args, limits):
    """Return what `measure_work` found, which is printed."""
    result = measure_work(name, dtype, peers, args.threads, args.repeat)
    peak, _ = limits[dtype]
    for row in result["contenders"]:
        row["of_peak"] = row["operations"] and row["operations"] / row["median"] / peak
    print(table(result), flush=True)
    return result


def _is_sound(work):
    return not work["failed"] and all(row["same_work"] != "no" for row in work["contenders"])


def _points():
    return [(quantity, value) for quantity, values in SCALES.items() for value in values]


def draw_scaling(folder, results):
    """Draw the seconds that `measure_work` found, by each quantity of `workloads.SCALES`, a line a contender."""
    from ..report.bench_plots import scaling_curves
    found = {result["work"]: result["contenders"] for result in results}
    curves = {}
    for quantity, value in _points():
        for row in found[scale(quantity, value)]:
            line = curves.setdefault(quantity, {}).setdefault(row["contender"], ([], []))
            line[0].append(value), line[1].append(row["median"])
    scaling_curves(folder / "scaling.png", curves, f"Seconds on {len(cores())} cores of {cpu_model()}")


def draw_speeds(folder, results):
    """Draw how many times as fast as NumPy the contenders of each work are in which it took part."""
    from ..report.bench_plots import speed_bars
    speeds = {}
    for result in results:
        medians = {row["contender"]: row["median"] for row in result["contenders"]}
        if "numpy" in medians:
            ranked = sorted(medians.items(), key=lambda item: item[1])
            speeds[f"{result['work']}, {result['dtype']}"] = {name: (medians["numpy"] / s, s) for name, s in ranked}
    if speeds:
        speed_bars(folder / "speed.png", speeds, f"Times NumPy, on {len(cores())} cores of {cpu_model()}")


def _peers(text):
    names = {"none": [], "all": list(PEERS)}.get(text, text.split(","))
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"got {unknown[0]!r}, expected some of {','.join(PEERS)}, all or none")
    return names


def _positive(text):
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number from 1 on")
    return int(text)


def _installed(peers):
    """Return the peers that can be imported; say which cannot."""
    found = [peer for peer in peers if importlib.util.find_spec(peer)]
    for peer in peers:
        if peer not in found:
            print(f"{peer} is left out: not installed (pip install {PEERS[peer]})")
    return found
