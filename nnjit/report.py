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

from ._numba.jit import compile_seconds
from ._numba.threads import get_threads, threading_layer
from .layers import Dropout
from .model import Sequential

METRICS = {"accuracy": "accuracy", "mae": "mean absolute error"}    # as the heads call them, and in words
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


def write(folder, model, configuration, dataset, title, image_shape=None, test=None, **book):
    """Write all files of a trained model and return the results, a dict.

    ``image_shape`` (rows, columns) is that of flat inputs that are images; ``test`` = (x, y), images and their labels, gives the
    pictures of `image_pictures`; ``book`` is as of `plots.learning_curves`.
    """
    results = _results(model.history, model.head.metric)
    _write_history(folder / "history.csv", model.history, model.head.metric)
    _write_run(folder / "run.json", configuration, dataset, results)
    _write_model(folder / "model.npz", model)
    if can_draw():
        _write_pictures(folder, model, title, image_shape, **book)
        if test is not None:
            image_pictures(folder, model, *test, dataset.classes, title)
    return results


def _results(history, metric):
    """Return the figures of the last evaluated iteration of a `training.History`, and the best on the test data."""
    log, i = history.history, history.epochs.index(history.validated[-1])
    tested = log[f"val_{metric}"]
    best = int(np.argmax(tested) if metric == "accuracy" else np.argmin(tested))
    return {"epochs": len(history.epochs), "iteration": history.validated[-1], f"test_{metric}": tested[-1],
            "test_loss": log["val_loss"][-1], f"train_{metric}": log[metric][i], "train_loss": log["loss"][i],
            "best_iteration": history.validated[best], f"best_test_{metric}": tested[best],
            "seconds": log["seconds"][-1], "compile_seconds": compile_seconds()}


def _write_history(path, history, metric):
    """Write a row for every evaluated iteration."""
    log = history.history
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["iteration", "train_loss", f"train_{metric}", f"test_{metric}", "seconds"])
        for epoch, tested in zip(history.validated, log[f"val_{metric}"]):
            i = history.epochs.index(epoch)
            rows.writerow([epoch, log["loss"][i], log[metric][i], tested, round(log["seconds"][i], 4)])


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


def _write_pictures(folder, model, title, image_shape, **book):
    from . import plots
    log, epochs, metric = model.history.history, model.history.validated, model.head.metric
    train = [log[metric][model.history.epochs.index(epoch)] for epoch in epochs]
    draw = plots.learning_curves if metric == "accuracy" else plots.error_curves
    if np.isfinite(log[f"val_{metric}"]).all() and np.isfinite(train).all():
        draw(folder / "curves.png", epochs, train, log[f"val_{metric}"], title, **book)
    W = model.parameters().get("0.W")
    if image_shape is not None and np.isfinite(W).all():
        plots.first_layer(folder / "weights.png", W, f"{title}: first-layer weights", image_shape)


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
