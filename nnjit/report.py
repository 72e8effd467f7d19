"""What a run leaves behind in its folder: ``history.csv``, ``run.json``, the pictures, the model."""
import csv
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
from pathlib import Path

import numba

from ._jit import get_threads

PACKAGES = ("nnjit", "numba", "llvmlite", "numpy", "scipy")


def new_folder(out_dir, name):
    """Make and return ``out_dir``, or for None a new folder ``runs/<date>-<time>-<name>``, a Path; OSError if it can't be."""
    if out_dir is not None:
        folder = Path(out_dir)
        folder.mkdir(parents=True, exist_ok=True)
    else:
        stem = f"runs/{datetime.datetime.now():%Y%m%d-%H%M%S}-{name}"
        folder = next(path for path in _names(stem) if not path.exists())
        folder.mkdir(parents=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(13, "no permission to write", str(folder))
    return folder


def _names(stem):
    yield Path(stem)
    yield from (Path(f"{stem}-{i}") for i in range(2, 1000))


def versions():
    """Return the versions of Python and of the packages that decide a result."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}


def write_history(folder, history):
    """Write ``history.csv``: a row for every evaluated iteration of a `training.History`."""
    log, epochs = history.history, history.epochs
    with open(Path(folder) / "history.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["iteration", "train_loss", "train_accuracy", "test_accuracy", "seconds"])
        for epoch, test_accuracy in zip(history.validated, log.get("val_accuracy", ())):
            i = epochs.index(epoch)
            rows.writerow([epoch, log["loss"][i], log["accuracy"][i], test_accuracy, round(log["seconds"][i], 4)])


def write_run(folder, configuration, dataset, results):
    """Write ``run.json``: the configuration, the versions, the threads, the data and its checksums, the results."""
    content = {"configuration": configuration, "versions": versions(), "threads": get_threads(),
               "threading_layer": numba.threading_layer(), "machine": platform.machine(),
               "data": {"name": dataset.name, "source": dataset.source, "sha256": dataset.checksums},
               "results": results}
    text = json.dumps(content, indent=2)
    (Path(folder) / "run.json").write_text(text + "\n", encoding="utf-8")


def write_pictures(folder, model, history, title, printed=None, spread=None, seeds=None):
    """Draw ``curves.png`` and ``weights.png``; without matplotlib, nothing. Return the names of the files."""
    if importlib.util.find_spec("matplotlib") is None:
        return []
    from . import plots    # noqa: PLC0415   matplotlib is an optional dependency, and slow to load
    log = history.history
    train_accuracy = [log["accuracy"][history.epochs.index(epoch)] for epoch in history.validated]
    plots.learning_curves(Path(folder) / "curves.png", history.validated, train_accuracy, log["val_accuracy"], title,
                          printed, spread, seeds)
    plots.first_layer(Path(folder) / "weights.png", model.parameters()["0.W"], f"{title}: first-layer weights")
    return ["curves.png", "weights.png"]
