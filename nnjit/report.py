"""What a run leaves behind in its folder: ``history.csv``, ``run.json``, the model, the pictures."""
import copy
import csv
import datetime
import importlib.metadata
import importlib.util
import json
import math
import platform
import tempfile
from pathlib import Path

import numpy as np

from ._jit import compile_seconds, get_threads, threading_layer
from .layers import Dropout
from .model import Sequential

PACKAGES = ("nnjit", "numba", "llvmlite", "numpy", "scipy")


def new_folder(out_dir, name):
    """Make and return ``out_dir``, or for None a new folder ``runs/<date>-<time>-<name>``, a Path.

    OSError where it can't be made, or nothing can be written there.
    """
    stem = f"runs/{datetime.datetime.now():%Y%m%d-%H%M%S}-{name}"
    folder = Path(out_dir) if out_dir is not None else next(path for path in _names(stem) if not path.exists())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"{folder}: got {error.strerror!r}, expected a folder to write in; name another as "
                      "--out-dir") from error
    return folder


def _names(stem):
    yield Path(stem)
    yield from (Path(f"{stem}-{i}") for i in range(2, 1000))


def versions():
    """Return the versions of Python and of the packages that decide a result."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}


def write(folder, model, configuration, dataset, title, test=None, **book):
    """Write all files of a trained model and return the results, a dict.

    ``book`` is as of `plots.learning_curves`; ``test`` = (x, y), images and their labels, gives the pictures of `image_pictures`.
    """
    results = _results(model.history)
    _write_history(folder / "history.csv", model.history)
    _write_run(folder / "run.json", configuration, dataset, results)
    _write_model(folder / "model.npz", model)
    if can_draw():
        _write_pictures(folder, model, title, **book)
        if test is not None:
            image_pictures(folder, model, *test, dataset.classes, title)
    return results


def _results(history):
    """Return the figures of the last evaluated iteration of a `training.History`, and the best test accuracy."""
    log, i = history.history, history.epochs.index(history.validated[-1])
    best = int(np.argmax(log["val_accuracy"]))
    return {"epochs": len(history.epochs), "iteration": history.validated[-1], "test_accuracy": log["val_accuracy"][-1],
            "test_loss": log["val_loss"][-1], "train_accuracy": log["accuracy"][i], "train_loss": log["loss"][i],
            "best_iteration": history.validated[best], "best_test_accuracy": log["val_accuracy"][best],
            "seconds": log["seconds"][-1], "compile_seconds": compile_seconds()}


def _write_history(path, history):
    """Write a row for every evaluated iteration."""
    log = history.history
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["iteration", "train_loss", "train_accuracy", "test_accuracy", "seconds"])
        for epoch, test_accuracy in zip(history.validated, log["val_accuracy"]):
            i = history.epochs.index(epoch)
            rows.writerow([epoch, log["loss"][i], log["accuracy"][i], test_accuracy, round(log["seconds"][i], 4)])


def _write_run(path, configuration, dataset, results):
    """Write the configuration, the versions, the threads, the data and its checksums, the results."""
    content = {"configuration": configuration, "versions": versions(), "threads": get_threads(),
               "threading_layer": threading_layer(), "machine": platform.machine(),
               "data": {"name": dataset.name, "source": dataset.source, "sha256": dataset.checksums},
               # JSON knows neither NaN nor infinity, which a training that diverged comes to
               "results": {name: value if math.isfinite(value) else None for name, value in results.items()}}
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _write_model(path, model):
    """Save the model with the library's dropout in the place of the book's: trained, the network is the same."""
    layers = [Dropout(layer.rate) if isinstance(layer, Dropout) else copy.copy(layer) for layer in model.layers]
    same = Sequential(layers, copy.copy(model.head), model.dtype).build(model.input_shape)
    same.vector[:] = model.vector
    same.save(path)


def can_draw():
    """Return whether matplotlib is installed, which the pictures need."""
    return importlib.util.find_spec("matplotlib") is not None


def _write_pictures(folder, model, title, **book):
    from . import plots
    history, W = model.history, model.parameters().get("0.W")
    train_accuracy = [history.history["accuracy"][history.epochs.index(epoch)] for epoch in history.validated]
    plots.learning_curves(folder / "curves.png", history.validated, train_accuracy, history.history["val_accuracy"],
                          title, **book)
    if W is not None and W.ndim == 2 and np.isfinite(W).all():
        plots.first_layer(folder / "weights.png", W, f"{title}: first-layer weights")


# ---- images ---------------------------------------------------------------------------------------------------------

MISTAKES = 12    # drawn


def image_pictures(folder, model, x, y, classes, title):
    """Draw what a network for images does with x (N, H, W, C), of the labels y (N,).

    The filters of the first convolution, one image on its way through the layers, how often each class is taken for each other,
    and the mistakes of which the network is most certain.
    """
    from . import plots
    p = model.predict_proba(x)
    p = np.column_stack([1 - p, p]) if p.shape[1] == 1 else p
    answers = p.argmax(axis=1)
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (y, answers), 1)
    plots.confusion(folder / "confusion.png", counts, classes, title)
    wrong = np.flatnonzero(answers != y)
    worst = wrong[np.argsort(-p[wrong, answers[wrong]], kind="stable")[:MISTAKES]]
    if len(worst):
        ranked = [[(classes[k], p[i, k]) for k in np.argsort(-p[i], kind="stable")] for i in worst]
        plots.mistakes(folder / "mistakes.png", x[worst], [classes[k] for k in y[worst]], ranked,
                       "Wrong, and most certain of it")
    shown = int(np.argmax(np.where(answers == y, p.max(axis=1), 0)))
    activations = model.activations(x[shown:shown + 1])
    stages = [(type(layer).__name__, a[0]) for layer, a in zip(model.layers, activations) if a.ndim == 4]
    W = model.parameters().get("0.W")
    if stages and np.isfinite(model.vector).all():
        plots.filters(folder / "filters.png", W, "Filters of the first convolution")
        plots.feature_maps(folder / "features.png", x[shown], stages, f"{classes[y[shown]].capitalize()}, {p[shown].max():.1%}")
