"""What a run leaves behind in its folder: ``history.csv``, ``run.json``, the model, the pictures."""
import contextlib
import copy
import csv
import datetime
import importlib.metadata
import importlib.util
import json
import math
import platform
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import __version__, analysis
from .._numba.threads import fixed_threads, get_threads, threading_layer
from ..datasets import Dataset, Table
from ..layers import Dropout
from ..model import Sequential
from ..replacing import replacing_text
from .details import details

METRICS = {"accuracy": "accuracy", "mae": "mean absolute error"}    # as the heads call them, and in words
PACKAGES = ("numba", "llvmlite", "numpy", "scipy")


class RunFolder:
    """The folder of a run's results, which knows what has been written there.

    Attributes
    ----------
    path : Path
    written : list of str
        The names of the files, and of the folders of parts of the run, in the order of writing.
    """

    def __init__(self, path: Path, made: bool = False, replaces: bool = False):
        self.path, self.written, self._made, self._replaces = path, [], made, replaces

    def __truediv__(self, name: str) -> Path:
        """Return the path of a file that is about to be written. Before the first, an old run is removed."""
        if self._replaces:
            _remove_run(self.path)
            self._replaces = False
        if name not in self.written:
            self.written.append(name)
        return self.path / name

    def part(self, name: str) -> "RunFolder":
        """Return the folder of a part of the run, made."""
        (self / name).mkdir(exist_ok=True)
        return RunFolder(self.path / name)

    def discard(self) -> None:
        """Remove the folder if it was made for this run, and nothing has been written."""
        if self._made and not self.written:
            with contextlib.suppress(OSError):    # a backup may lie there
                self.path.rmdir()

    def __str__(self):
        return str(self.path)


# What runs leave, by which one is known, and which is removed when another replaces it.
_MARKS = ("run.json", "history.csv", "model.npz", "figures.json")
_FILES = (*_MARKS, "details.json", "report.html", *(f"{name}.png" for name in (
    "curves", "loss", "weights", "answers", "confusion", "mistakes", "filters", "features", "fit", "regions",
    "predictions", "comparison", "speed", "scaling")))


def new_folder(out_dir: str | Path | None, name: str, force: bool = False) -> RunFolder:
    """Make ``out_dir``, or for None a new folder ``runs/<date>-<time>-<name>``.

    Raises
    ------
    ValueError
        ``out_dir`` holds a run, and ``force`` does not say that the new one replaces it.
    OSError
        The folder can't be made, or nothing can be written there.
    """
    if out_dir is not None:
        folder = Path(out_dir)
    else:
        stem = f"runs/{datetime.datetime.now():%Y%m%d-%H%M%S}-{name}"
        folder = next(path for path in _names(stem) if not path.exists())
    held = _run_in(folder)
    if held and not force:
        raise ValueError(f"--out-dir: got {folder}, which holds a run ({held}), expected a folder without "
                         "one; name another, or replace it with --force")
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"{folder}: got {error.strerror!r}, expected a folder to write in; name another as "
                      "--out-dir") from error
    return RunFolder(folder, made, replaces=bool(held))


def _names(stem):
    yield Path(stem)
    yield from (Path(f"{stem}-{i}") for i in range(2, 1000))


def _run_in(folder):
    """Return the name of a file by which a folder, or one within it, is known to hold a run, or ""."""
    found = [path for name in _MARKS for path in (*folder.glob(name), *folder.glob(f"*/{name}"))]
    return str(found[0].relative_to(folder)) if found else ""


def _remove_run(folder):
    """Remove the files of a run, and the folders of its parts where nothing else is in them."""
    for path in [path for name in _FILES for path in (*folder.glob(name), *folder.glob(f"*/{name}"))]:
        path.unlink()
        with contextlib.suppress(OSError):
            if path.parent != folder:
                path.parent.rmdir()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "nnjit": __version__, **packages}


class Tested(NamedTuple):
    """Rows that a classifier is shown with: what it is given, what is drawn, and the truth."""

    x: np.ndarray              # (N, ...) as the model takes them
    images: np.ndarray | None  # (N, H, W, C) uint8, the same as they look; None where they are no images
    y: np.ndarray              # (N,) class numbers
    classes: tuple[str, ...]   # the names of the classes


def write(folder: RunFolder | Path, model: Sequential, configuration: dict, dataset: Dataset | Table,
          title: str, image_shape: tuple[int, int] | None = None, tested: Tested | None = None,
          shown: dict | None = None, draws: bool = True, part: str = "test", compared=None, **book) -> dict:
    """Write all files of a trained model into a folder.

    Parameters
    ----------
    configuration : what the run was told, for ``run.json``
    dataset : whose name, source and checksums are for ``run.json``
    title : of the pictures
    image_shape : (rows, columns) of flat inputs that are images
    tested : for the pictures of a classifier
    shown : ``argv``, ``units``, ``x``, ``y`` and ``label`` as of `details.details`, for the page
    draws : whether pictures are drawn, where matplotlib is there
    part : what the validation data of the training were, "test" or "validation"
    compared : `own_data.compare.Comparison` of the network on test rows, where these are others
    book : ``printed``, ``spread`` and ``seeds`` as of `run_plots.learning_curves`

    Returns
    -------
    dict
        The results, as in ``run.json``.
    """
    results = _results(model.history, model.head.metric, part)
    if compared is not None:
        results |= compared.results()
    _write_history(folder / "history.csv", model.history, model.head.metric, part)
    _write_run(folder / "run.json", title, configuration, dataset, results, model.graph.raced())
    _write_model(folder / "model.npz", model)
    finite = np.isfinite(model.vector).all()
    # by kernels that the training has compiled
    p = None if tested is None or not finite else model.predict_proba(tested.x, sparse=False)
    for_page = details(model, tested=tested, p=p, **(shown or {"argv": [], "units": None}), part=part)
    if compared is not None:
        for_page["compared"] = compared.plain()
    _write_json(folder / "details.json", {**for_page, **({"book": book} if book else {})})
    if draws and can_draw():
        _draw_run(folder, model, title, image_shape, part, **book)
        if not finite:
            return results
        if tested is not None:
            draw_classifier(folder, model, tested, title, p)
        elif part != "test":
            _draw_numbers(folder, model, shown["x"], shown["y"], title)
        elif shown is not None and shown.get("x") is not None:
            _draw_examples(folder, model, shown["x"], shown["y"], image_shape, title)
    return results


def _results(history, metric, part):
    """Return the figures of a `training.History`'s last tested epoch, or of the last where none was, and the
    best on the ``part`` that it was tested on; of the epoch with the least validation loss where that stops
    the training.
    """
    log, tested = history.history, history.history.get(f"val_{metric}", [math.nan])
    validated = history.validated or history.epochs[-1:]
    losses = log.get("val_loss", tested)
    k = len(validated) - 1
    if part == "validation" and np.isfinite(losses).any():
        k = int(np.nanargmin(losses))
    i = history.epochs.index(validated[k])
    gains = np.array(tested) if metric == "accuracy" else -np.array(tested)
    best = int(np.argmax(np.nan_to_num(gains, nan=-np.inf)))
    return {"epochs": len(history.epochs), "epoch": validated[k], f"{part}_{metric}": tested[k],
            f"{part}_loss": losses[k], f"train_{metric}": log[metric][i],
            "train_loss": log["loss"][i], "best_epoch": validated[best],
            f"best_{part}_{metric}": tested[best], "seconds": log["seconds"][-1],
            "compile_seconds": history.compile_seconds}


def _write_history(path, history, metric, part):
    """Write a row for every epoch; where it was not tested, the columns of the test stay empty."""
    log = history.history
    tested = dict(zip(history.validated, zip(log.get("val_loss", ()), log.get(f"val_{metric}", ()))))
    with replacing_text(path) as file:
        rows = csv.writer(file)
        names = [f"{which}_{name}" for which in ("train", part) for name in ("loss", metric)]
        rows.writerow(["epoch", *names, "seconds"])
        for i, epoch in enumerate(history.epochs):
            rows.writerow([epoch, log["loss"][i], log[metric][i], *tested.get(epoch, ("", "")),
                           round(log["seconds"][i], 4)])


def _write_run(path, title, configuration, dataset, results, raced):
    """Write the configuration, the versions, the threads, the data and its checksums, the results.

    Of the threads: the most, what the user has set, what the training found best, and how often it changed.
    """
    chosen, changes = raced
    content = {"title": title, "configuration": configuration, "versions": versions(),
               "machine": platform.machine(),
               "threads": get_threads(), "threads_set": fixed_threads() or "auto", "threads_chosen": chosen,
               "threads_changed": changes, "threading_layer": threading_layer(),
               "data": {"name": dataset.name, "source": dataset.source, "sha256": dataset.checksums},
               # JSON knows neither NaN nor infinity, which a training that diverged comes to
               "results": {name: value if math.isfinite(value) else None for name, value in results.items()}}
    _write_json(path, content, indent=2)


def _write_json(path, content, **how):
    with replacing_text(path) as file:
        file.write(json.dumps(content, allow_nan=False, **how) + "\n")


def _write_model(path, model):
    """Save the model with the library's dropout in place of the book's: trained, the network is the same."""
    layers = [Dropout(layer.rate) if isinstance(layer, Dropout) else copy.copy(layer)
              for layer in model.layers]
    same = Sequential(layers, copy.copy(model.head), model.dtype).build(model.input_shape)
    same.copy_weights(model)
    same.input_scale, same.preprocessing = model.input_scale, model.preprocessing
    same.save(path)


def can_draw() -> bool:
    """Return whether matplotlib is installed, which the pictures need."""
    return importlib.util.find_spec("matplotlib") is not None


def _draw_run(folder, model, title, image_shape, part, **book):
    """Draw the metric and the loss by epoch, and the first layer's weights where its inputs are images."""
    from . import run_plots as plots
    log, epochs, metric = model.history.history, model.history.validated, model.head.metric
    if not epochs:    # it was stopped before the first test
        return
    drops = any(isinstance(layer, Dropout) for layer in model.layers)
    by_metric = partial(plots.learning_curves, **book) if metric == "accuracy" else plots.error_curves
    by_loss = partial(plots.error_curves, ylabel="loss")
    for draw, name, figure, heading in ((by_metric, "curves.png", metric, title),
                                        (by_loss, "loss.png", "loss", f"{title}: loss")):
        test = log[f"val_{figure}"]
        train = [log[figure][model.history.epochs.index(epoch)] for epoch in epochs]
        # The loss of a count may be negative.
        if np.isfinite([test, train]).all() and np.min([test, train]) >= 0:
            draw(folder / name, epochs, train, test, heading, drops=drops, part=part)
    W = model.parameters().get("0.W")
    if image_shape is not None and np.isfinite(W).all():
        plots.first_layer(folder / "weights.png", W, f"{title}: first-layer weights", image_shape)


# ---- a classifier of images --------------------------------------------------------------------------------

MISTAKES, ANSWERS = 12, 40    # numbers of images that are drawn
CLASSES = 40                  # of a confusion matrix, at most


def draw_classifier(folder: RunFolder | Path, model: Sequential, tested: Tested, title: str,
                    p: np.ndarray | None = None) -> None:
    """Draw what a classifier does with the rows of `Tested`.

    That is, how often each class is taken for each other; of images also the first with its answers, and the
    mistakes of which it is most certain; of a convolutional network also the first filters,
    and one image after each layer. ``p`` (N, K) are its probabilities, if they are known.
    """
    from . import image_plots as plots
    x, images, y, classes = tested
    p = model.predict_proba(x, sparse=False) if p is None else p
    answers = p.argmax(axis=1)
    named = [classes[k] for k in y[:ANSWERS]], [classes[k] for k in answers[:ANSWERS]]
    counts = analysis.confusion_matrix(y, answers, len(classes))
    if len(classes) <= CLASSES:
        plots.confusion(folder / "confusion.png", counts, classes, title)
    if images is None:
        return
    plots.answers(folder / "answers.png", images[:ANSWERS], *named,
                  f"{title}: the first test images, and the answers")
    worst = analysis.surest_mistakes(p, y, MISTAKES)
    if len(worst):
        ranked = [[(classes[k], p[i, k]) for k in np.argsort(-p[i], kind="stable")] for i in worst]
        plots.mistakes(folder / "mistakes.png", images[worst], [classes[k] for k in y[worst]], ranked,
                       f"Wrong, and most certain of it: {len(worst)} of {int((answers != y).sum())}")
    surest = int(np.argmax(np.where(answers == y, p.max(axis=1), 0)))
    _draw_layers(folder, model, x[surest:surest + 1], images[surest],
                 f"{classes[y[surest]].capitalize()}, {p[surest].max():.1%}")


def _draw_numbers(folder, model, x, y, title):
    """Draw predicted against true numbers of one target."""
    from ..plots import axes, drawing
    if model.head.answers == "numbers" and y.ndim == 1:
        drawing.save_axes(folder / "predictions.png", axes.predictions(y, model.predict(x)), title)


def _draw_examples(folder, model, x, y, image_shape, title):
    """Draw what a network answers that is no classifier of images: a line, regions, images with answers."""
    from ..plots import axes, drawing
    if image_shape is not None:
        from . import image_plots
        images = (x[:ANSWERS // 2].reshape(-1, *image_shape, 1) * 255).astype(np.uint8)
        truths, given = ([_in_words(answer) for answer in some[:len(images)]]
                         for some in (y, model.predict(x)))
        image_plots.answers(folder / "answers.png", images, truths, given,
                            f"{title}: test images and answers", columns=5, width=1.7)
    elif x.shape[1] == 1 and y.dtype.kind == "f":
        drawing.save_axes(folder / "fit.png", axes.fitted_line(model, x, y), f"{title}: predicted, and true")
    elif x.shape[1] >= 2 and model.head.classifies and y.ndim == 1:
        features = (x.shape[1] - 2, x.shape[1] - 1)
        drawing.save_axes(folder / "regions.png", axes.decision_regions(model, x, y, features=features),
                          f"{title}: answers by the last two features")


def _in_words(answer):
    """Return an answer as text; labels by the numbers of those that are present."""
    if np.ndim(answer):
        return ", ".join(map(str, np.flatnonzero(answer))) or "none"
    return f"{answer:.3g}"


def _draw_layers(folder, model, x, image, title):
    """Draw the first filters, and one image after each of the layers whose outputs are images."""
    from . import image_plots as plots
    outputs = zip(model.layers, model.activations(x))
    stages = [(type(layer).__name__, a[0]) for layer, a in outputs if a.ndim == 4]
    if stages:
        W = next(array for name, array in model.parameters().items() if array.ndim == 4)
        plots.filters(folder / "filters.png", W, "Filters of the first convolution")
        plots.feature_maps(folder / "features.png", image, stages, title)
