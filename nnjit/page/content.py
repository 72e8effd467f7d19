"""What a page says of runs, from the files of their folders; and the page itself."""
import base64
import csv
import hashlib
import html
import importlib.resources
import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from string import Template

import numpy as np

from ..experiments import book
from ..explain import explain
from ..heads import Categorical
from ..inputs.checks import DataError
from ..layers import Dense, Tanh
from ..loading import load
from ..model import Sequential
from ..optimizers import SGD
from ..replacing import replacing_text
from . import network

_SCRIPTS = "network.js", "charts.js", "pad.js", "page.js"
_POINTS = 1000    # of a curve, at most


def write(path: str | Path, runs: Sequence[str | Path]) -> Path:
    """Write the page of the runs in these folders; return its path.

    Parameters
    ----------
    path : where it goes
    runs : folders that `report.write` has filled, or that hold such folders, as ``nnjit book`` leaves them

    Raises
    ------
    DataError
        A folder holds no run, or its files are damaged.
    OSError
        The page can't be written.
    """
    folders = [folder for run in runs for folder in _folders(Path(run))]
    found = [_of_run(folder) for folder in folders]
    for run, name in zip(found, _names(found, folders)):
        run["name"] = name
    shared = _share(found)
    title = found[0]["title"] if len(found) == 1 else f"{found[0]['data']['name']}: {len(found)} runs"
    steps, lead = _explained(found[0]["configuration"].get("dtype", "float64"))
    data = {"runs": found, "shared": shared, "lead": _lead(found), "explained": steps, "explained_lead": lead,
            "difference": book.DIFFERENCE if any("book" in run for run in found) else ""}
    path = Path(path)
    with replacing_text(path) as file:
        file.write(_page(title, data))
    return path


def _share(runs):
    """Return the different sets of test images, which several runs may have; each run gets its number."""
    shared = []
    for run in runs:
        if "images" in run:
            if run["images"] not in shared:
                shared.append(run["images"])
            run["images"] = shared.index(run["images"])
    return shared


def _folders(run):
    """Return the folder of a run, or those of its parts."""
    if (run / "run.json").exists():
        return [run]
    parts = sorted(part.parent for part in run.glob("*/run.json"))
    if not parts:
        raise DataError(f"{run}: got no run.json, expected the folder of a run, such as those in runs/")
    return parts


def _names(runs, folders):
    names = [run.get("label") or folder.name for run, folder in zip(runs, folders)]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


# ---- a run -------------------------------------------------------------------------------------------------

def _of_run(folder):
    """Return what a folder tells of its run."""
    told = _json(folder / "run.json")
    details = _json(folder / "details.json") if (folder / "details.json").exists() else {}
    try:
        metric = details.get("metric") or next(name.removeprefix("train_") for name in told["results"]
                                               if name.startswith("train_") and name != "train_loss")
        found = {**details, "metric": metric, "results": told["results"], "versions": told["versions"],
                 "configuration": told["configuration"], "data": told["data"],
                 "title": told.get("title", told["data"]["name"]), "part": details.get("part", "test"),
                 "history": _history(folder, metric, details.get("part", "test"))}
    except (KeyError, StopIteration, TypeError, AttributeError) as error:
        raise DataError(f"{folder / 'run.json'}: damaged ({type(error).__name__}: {error})") from None
    if "classes" in details and (folder / "model.npz").exists():
        with warnings.catch_warnings():    # of what the training has warned of
            warnings.simplefilter("ignore")
            model = load(folder / "model.npz")
        found["network"] = network.describe(model) if _is_small(details) else None
    return found


def _is_small(details):
    """Return whether images are small enough to be drawn by hand, pixel by pixel."""
    return "image_shape" in details and max(details["image_shape"][:2]) <= 64


def _json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: damaged ({error})") from None


def _history(folder, metric, part):
    """Return the curves of history.csv, thinned to `_POINTS`; ``part`` is the one that is no training."""
    path = folder / "history.csv"
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        wanted = {"epoch": "epoch", "test": f"{part}_{metric}", "train": f"train_{metric}",
                  "test_loss": f"{part}_loss", "train_loss": "train_loss"}
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _POINTS)).round().astype(int))
        return {name: [_number(rows[i][column]) for i in chosen] for name, column in wanted.items()}
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: damaged ({error})") from None


def _number(text):
    value = float(text) if text else math.nan
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and "." not in text else value


def _lead(runs):
    """Return in a sentence what was trained on what, and how far it came."""
    if len(runs) > 1:
        return f"{len(runs)} trainings on {runs[0]['data']['name']}, side by side."
    run, = runs
    results, metric = run["results"], run["metric"]
    value = results.get(f"test_{metric}")
    reached = ""
    if value is not None:
        reached = (f" On the test data: {value:.1%} right." if metric == "accuracy" else
                   f" On the test data: a mean absolute error of {value:.4g}.")
    data = run["data"]
    return f"Trained on {data['name']} ({data['source']}) for {results['epochs']} epochs.{reached}"


# ---- the step that is explained ----------------------------------------------------------------------------

def _explained(dtype):
    """Return the steps of a small network, and a sentence about it.

    In the dtype of a run, whose kernels have been compiled for it.
    """
    layers = [Dense(3), Tanh(), Dense(2)]
    model = Sequential(layers, Categorical(), dtype).build(2, seed=1)
    found = explain(model, [[1.0, 0.5]], [1], SGD(0.1))
    steps = [{"part": step.part, "title": step.title, "formula": step.formula,
              "arrays": [[name, _rows(array)] for name, array in step.arrays.items()]}
             for step in found.steps]
    return steps, ("A network with 2 inputs, 3 tanh units and 2 classes takes one step on one example. The "
                   "numbers are those of the kernels that train; nnjit.explain(model, X, y) shows them for "
                   "any network.")


def _rows(array):
    rows = np.asarray(array).reshape(1, -1) if np.ndim(array) < 2 else np.asarray(array)
    return [[f"{value:.4g}" for value in row] for row in rows]


# ---- the page ----------------------------------------------------------------------------------------------

def _page(title, data):
    """Return the page. Its policy allows these scripts and this style, and nothing from a network."""
    script, style = "\n".join(map(_template, _SCRIPTS)), _template("page.css")
    policy = (f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
              "style-src-attr 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'")
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Template(_template("page.html")).substitute(
        title=html.escape(title), policy=policy, style=style, script=script, data=safe)


def _template(name):
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(text):
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
