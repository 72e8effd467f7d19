"""``nnjit sweep``: any options of ``nnjit train`` with several values, several seeds each."""
import argparse
import contextlib
import csv
import io
import json
import math
import re
import shlex
from pathlib import Path

import numpy as np

from .. import report
from ..callbacks import BackupAndRestore
from ..inputs.checks import DataError
from ..sweep import Sweep, sweep
from . import options, train
from .results import BACKUP, without

_RANGE = re.compile(r"([-+.\deE]+):([-+.\deE]+):(log|lin)(\d*)")
# whose values have commas: several of them are set apart by a slash
_LISTS = "--hidden", "--classes", "--target"
# which the sweep gives
_OWN = "--distributed", "--seed", "--out-dir", "--force", "--quiet", "--resume", "--threads"
_KEPT = 3          # of which successive halving keeps one
_PANELS = 24       # of the picture
_ON_PAGE = 6       # runs, of the best settings


def add_options(command: argparse.ArgumentParser) -> None:
    """Give the command its options; all others are those of train."""
    add = command.add_argument
    add("--seeds", type=options.whole(1), default=1, metavar="N",
        help="seeds of every setting, 0 to N - 1 (default: %(default)s)")
    add("--jobs", type=options.whole(1), default=1, metavar="N",
        help="trainings at a time, with one thread each (default: 1, with all threads)")
    add("--samples", type=options.whole(1), metavar="N",
        help="N settings drawn at random, in place of all combinations: of lists one value each, of ranges "
             "0.01:1:log any number between")
    add("--halving", action="store_true",
        help="train all settings for a part of the epochs, and only the better third of them on")
    add("--metric",
        help="the number in the results by which settings are ranked (default: the test accuracy, or what is "
             "measured in its place)")
    add("--dask", metavar="ADDRESS", help="send the trainings to a Dask cluster")
    add("--ray", metavar="ADDRESS", help="send them to a Ray cluster; auto starts one here")
    options.add_folder_options(command)
    add("--no-report", dest="report", action="store_false", help="leave out the page, report.html")
    add("--quiet", action="store_true", help="print only the table")
    command.epilog = ("All other options are those of nnjit train, and may have several values: --act "
                      "tanh,relu --lr 0.01:1:log5 --hidden 100/100,50")


# ---- settings ----------------------------------------------------------------------------------------------

def _read(args, words):
    """Return the words that stay the same, and {option: values} of those with several."""
    fixed, varied, words = [], {}, list(words)
    parser = _train_parser()
    kinds = {option: action for action in parser._actions for option in action.option_strings}
    while words:
        name, equals, value = words.pop(0).partition("=")
        if not name.startswith("-") and not fixed:    # the file
            fixed.append(name + equals + value)
            continue
        if name not in kinds:
            args.error(f"unrecognized arguments: {name}")
        if name in _OWN:
            args.error(f"argument {name}: expected none, a sweep gives it; see --seeds and --jobs")
        if kinds[name].nargs == 0:
            fixed.append(name)
            continue
        if not equals:
            if not words:
                args.error(f"argument {name}: expected one argument")
            value = words.pop(0)
        values = _values(args, name, value)
        if len(values) > 1 or isinstance(values, tuple):
            varied[name.removeprefix("--")] = values
        else:
            fixed += [name, *values]
    return fixed, varied


def _values(args, name, text):
    """Return the values that a word stands for, a list; or (low, high, kind) of a range to draw from."""
    found = _RANGE.fullmatch(text)
    if not found:
        return text.split("/" if name in _LISTS else ",")
    low, high = float(found[1]), float(found[2])
    if found[3] == "log" and not (low > 0 and high > 0):
        args.error(f"argument {name}: got {text}, expected numbers above 0 with log")
    if not found[4]:
        if args.samples is None:
            args.error(f"argument {name}: got {text}, expected --samples with it, or a number of values such "
                       f"as {text}5")
        return low, high, found[3]
    spaced = np.geomspace if found[3] == "log" else np.linspace
    return [f"{value:.6g}" for value in spaced(low, high, int(found[4]))]


def _settings(args, varied):
    """Return the settings: all combinations, or so many that are drawn."""
    if args.samples is None:
        found = [{}]
        for name, values in varied.items():
            found = [{**setting, name: value} for setting in found for value in values]
        return found
    rng = np.random.default_rng(0)    # the same draws when the sweep goes on
    return [{name: _drawn(rng, values) for name, values in varied.items()} for _ in range(args.samples)]


def _drawn(rng, values):
    if isinstance(values, list):
        return values[rng.integers(len(values))]
    low, high, kind = values
    number = math.exp(rng.uniform(math.log(low), math.log(high))) if kind == "log" else rng.uniform(low, high)
    return f"{number:.6g}"


def _words(fixed, setting):
    return [*fixed, *(word for name, value in setting.items() for word in (f"--{name}", value))]


class _Refusal(Exception):
    """What a parser would print before it ends the process."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise _Refusal(message)


def _train_parser():
    parser = _Parser(prog="nnjit sweep", add_help=False)
    train.add_options(parser)
    return parser


def _parsed(words):
    """Return the options of a training; `_Refusal` where one is wrong."""
    parser = _train_parser()
    args = parser.parse_args(words)
    args.error, args.argv, args.until, args.dataset = parser.error, list(words), None, None
    return args


# ---- a training --------------------------------------------------------------------------------------------

def train_once(seed: int, fixed: list, folder: str, dataset, until: int | None = None, **setting) -> dict:
    """Train one network as ``nnjit train`` does, without pictures and page, and return its results.

    With ``until`` it stops after so many epochs, and goes on from there when it is called with more.
    """
    place = Path(folder) / _name(setting, seed)
    words = [*_words(fixed, setting), "--seed", str(seed), "--out-dir", str(place), "--force", "--quiet",
             "--no-report", "--no-pictures"]
    args = _parsed(["--resume", str(place), "--quiet"] if (place / BACKUP).exists() else words)
    args.dataset, args.until = dataset, until
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(Paused):
        if train.run(args):
            raise ValueError("the training diverged; try a smaller --lr")
    results = json.loads((place / "run.json").read_text(encoding="utf-8"))["results"]
    return {name: value for name, value in results.items()
            if "epoch" not in name and name not in ("compile_seconds", "train_loss")}


def _name(setting, seed):
    """Return the name of a run's folder."""
    return f"{_setting_name(setting)}-seed-{seed}"


def _setting_name(setting):
    text = "-".join(f"{name}-{value}" for name, value in setting.items()) or "run"
    return re.sub(r"[^A-Za-z0-9.+,-]", "_", text)


class Paused(KeyboardInterrupt):
    """Ends a training that will go on."""


class PausingBackup(BackupAndRestore):
    """Ends the training after so many epochs, with a backup from which it goes on."""

    def between_epochs(self, state):
        """Write the backup, and end the training, if it is time."""
        super().between_epochs(state)
        if state.epoch == self.epochs:
            raise Paused


# ---- all of them -------------------------------------------------------------------------------------------

def run(args: argparse.Namespace, words: list[str]) -> int:
    """Train every setting with every seed, and print a table of them; return the exit status."""
    fixed, varied = _read(args, words)
    if args.halving and fixed and not fixed[0].startswith("-") and "--epochs" not in [*fixed, *varied]:
        args.error("argument --halving: got a file without --epochs, expected it, the epochs at the end")
    if args.halving and args.samples is None and not varied:
        args.error("argument --halving: got a single setting, expected several to choose from")
    settings = _settings(args, varied)
    parsed = _checked(args, fixed, settings)
    folder = _folder(args)
    backend = _connected(args)
    data = {"fixed": fixed, "folder": str(folder.path / "trainings"),
            "dataset": _shared(parsed)}
    print(f"sweep    {len(settings)} settings, {args.seeds} seeds, in {folder}", flush=True)
    try:
        if args.halving:
            epochs = max(one.epochs or 1 for one in parsed)
            found = _halved(args, settings, epochs, data, folder, backend)
        else:
            found = sweep(train_once, settings, args.seeds, args.jobs, data=data, metric=args.metric,
                          out_dir=folder.path / "runs", backend=backend, verbose=0 if args.quiet else "auto")
    except KeyboardInterrupt:
        words = without(args.argv, ("--out-dir", "--force"))    # which would remove what is finished
        print(f"go on    nnjit sweep {shlex.join(words)} --out-dir {folder}", flush=True)
        raise
    return _leave(args, found, folder)


def _checked(args, fixed, settings):
    """Return the options of every setting, with their defaults; a mistake ends the command."""
    try:
        found = [_parsed(_words(fixed, setting)) for setting in settings]
        for parsed in found:
            fixed_set = parsed.file is None and parsed.data not in ("cifar10", "fashion")
            if fixed_set and parsed.model in (None, "mlp"):
                train.decide(parsed)
    except _Refusal as refusal:
        args.error(str(refusal))
    return found


def _folder(args):
    """Return the folder of a sweep: a new one, or one that holds a sweep, which goes on."""
    if args.out_dir and (Path(args.out_dir) / "runs").is_dir() and not args.force:
        return report.RunFolder(Path(args.out_dir))
    return options.new_folder(args, "sweep")


def _shared(parsed):
    """Return the data set of all trainings, which processes share; None where they differ."""
    kinds = {(one.data, one.train_size, one.model, one.data_dir) for one in parsed}
    (data, size, model, _), *others = kinds
    own = parsed[0].file is not None
    if own or others or data in ("iris", "cifar10", "fashion") or model not in (None, "mlp"):
        return None
    return options.load(parsed[0], lambda *text: None, None if data == "pairs" else size)


def _connected(args):
    """Connect joblib to a cluster, and return the backend's name, or None."""
    if args.dask and args.ray:
        args.error("argument --ray: not allowed with argument --dask")
    try:
        if args.dask:
            from dask.distributed import Client
            args.client = Client(args.dask, timeout="20s")    # it is connected as long as it is there
            return "dask"
        if args.ray:
            import ray
            from ray.util.joblib import register_ray
            ray.init(address=None if args.ray == "auto" else args.ray)
            register_ray()
            return "ray"
    except ImportError as error:
        kind = "dask" if args.dask else "ray"
        raise ImportError(f"--{kind}: got {error}, expected the package; pip install nnjit[{kind}]") from None
    except (OSError, TimeoutError) as error:
        raise DataError(f"--dask: no scheduler at {args.dask} ({error}); start one with dask "
                        "scheduler") from None
    return None


def _halved(args, settings, epochs, data, folder, backend):
    """Train all settings for a part of the epochs, and the better ones of them on."""
    rounds = max(1, math.ceil(math.log(len(settings), _KEPT) - 1e-9))
    ends = [max(1, round(epochs / _KEPT**(rounds - k))) for k in range(rounds)] + [None]
    ends = [end for i, end in enumerate(ends) if end is None or end not in ends[:i]]
    runs, left = {}, settings
    for level, until in enumerate(ends):
        print(f"halving  {len(left)} settings for {until or epochs} of {epochs} epochs", flush=True)
        found = sweep(train_once, left, args.seeds, args.jobs, data={**data, "until": until},
                      metric=args.metric, out_dir=folder.path / "runs" / f"level-{level}", backend=backend,
                      verbose=0 if args.quiet else "auto")
        runs.update({(json.dumps(run["setting"]), run["seed"]): run for run in found.runs})
        left = [row["setting"] for row in found.rows()][:max(1, math.ceil(len(left) / _KEPT))]
        if not left:
            break
    return Sweep(list(runs.values()), args.metric)


def _leave(args, found, folder):
    """Print the table, and write the files of the sweep; return the exit status."""
    print(found)
    found.csv(folder / "sweep.csv")
    trainings = folder.path / "trainings"
    rows = found.rows()
    if report.can_draw() and rows:
        from ..report import run_plots
        panels = {_setting_name(row["setting"]): curves for row in rows[:_PANELS]
                  if (curves := _curves(trainings, row["setting"], args.seeds))}
        run_plots.small_multiples(folder / "sweep.png", panels,
                                  f"{len(rows)} settings, best first: the test by epoch, a line a seed")
    if args.report and rows:
        from .. import page
        best = [trainings / _name(row["setting"], 0) for row in rows[:_ON_PAGE]]
        page.write(folder / "report.html", [path for path in best if (path / "run.json").exists()])
    if rows:
        best = " ".join(f"--{name} {value}" for name, value in found.best().items())
        print(f"best     {best or 'the only setting'}")
    options.print_saved(folder)
    return int(not rows)


def _curves(trainings, setting, seeds):
    """Return [(epochs, values)] of the test's metric, a curve a seed."""
    curves = []
    for seed in range(seeds):
        path = trainings / _name(setting, seed) / "history.csv"
        if path.exists():
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            name = next(name for name in rows[0] if name.startswith(("test_", "validation_"))
                        and not name.endswith("_loss"))
            tested = [(int(row["epoch"]), float(row[name])) for row in rows if row[name]]
            curves.append(tuple(zip(*tested)))
    return [curve for curve in curves if curve]
