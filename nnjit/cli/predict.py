"""``nnjit predict RUN FILE`` and ``nnjit evaluate RUN FILE``: a trained network and other rows."""
import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .. import analysis
from ..inputs.checks import DataError
from ..inputs.pictures import Pictures
from ..loading import load
from ..model import Sequential
from ..own_data import compare, sources, training
from ..own_data.target import Refused, truths

_ROWS = 10000     # that are predicted, and written, at a time
_CLASSES = 20     # of a confusion matrix that is printed
_METRICS = {"classes": ("balanced_accuracy", "f1_macro", "log_loss"), "labels": ("exact_match", "f1_macro"),
            "ranks": ("accuracy", "quadratic_kappa"), "numbers": ("rmse", "r2")}


def add_options(command: argparse.ArgumentParser) -> None:
    """Give both commands their options."""
    command.add_argument("run_folder", metavar="RUN",
                         help="the folder of a run that nnjit train FILE has left, or its model.npz")
    command.add_argument("file", metavar="FILE",
                         help="rows with the columns of the training, in any order; or images, or arrays")


# ---- predict -----------------------------------------------------------------------------------------------

def run(args: argparse.Namespace) -> None:
    """Print the answer to every row, and its probabilities where there are some, as CSV."""
    model, given = _model_and_rows(args, [])
    X = _inputs(args, model, given)
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow([*(["file"] if given.rows else []), *_answer_names(model), *_probability_names(model)])
    for first in range(0, len(X), _ROWS):
        block = X[first:first + _ROWS]
        names = given.rows[first:first + _ROWS] if given.rows else None
        for i, row in enumerate(_answers(model, block)):
            lines.writerow([*([names[i]] if names else []), *row])


def _answer_names(model):
    return list(model.preprocessing.targets)


def _probability_names(model):
    head = model.head
    if not head.classifies:
        return []
    return [f"p({name})" for name in (head.names or model.preprocessing.targets)]


def _answers(model, X) -> Iterator[list]:
    """Yield the answers and the probabilities of every row."""
    given = np.asarray(model.predict(X))
    p = model.predict_proba(X) if model.head.classifies else np.empty((len(X), 0))
    for answer, row in zip(given.reshape(len(X), -1).tolist(), p):
        yield [*answer, *(f"{value:.6g}" for value in row)]


def _model_and_rows(args, targets):
    """Return the network of a run, and what the file holds."""
    path = Path(args.run_folder)
    path = path / "model.npz" if path.is_dir() else path
    if not path.exists():
        raise DataError(f"{path}: got no such file, expected the folder of a run that nnjit train FILE "
                        "has left")
    model = load(path)
    if not isinstance(model, Sequential) or model.preprocessing is None:
        raise DataError(f"{path}: got a network that was not trained on a file, expected a run of nnjit "
                        "train FILE; use nnjit.load and predict in Python")
    try:
        given = sources.read(Path(args.file), targets or None, None, True, model.preprocessing)
    except Refused as error:
        raise DataError(str(error).partition(": ")[2]) from None
    return model, given


def _inputs(args, model, given, rows=slice(None)):
    before, inputs = model.preprocessing, given.inputs
    try:
        if isinstance(before, Pictures) and not hasattr(inputs, "columns"):
            training.warn_of_another_ground(inputs, before)
        return before.transform(inputs, model.dtype, rows)
    except DataError as error:
        raise DataError(f"{args.file}: {error}") from None


# ---- evaluate ----------------------------------------------------------------------------------------------

def evaluate(args: argparse.Namespace) -> None:
    """Print the loss, the metrics and which class is taken for which."""
    names = _targets(args)
    model, given = _model_and_rows(args, names)
    given = given.others.get("test", given)
    if given.answers is None or any(name not in given.answers for name in given.names):
        raise DataError(f"{args.file}: got no {' or '.join(map(repr, given.names))}, expected the target "
                        "beside the inputs; for inputs alone there is nnjit predict")
    try:
        y, rows = truths(model.head, given.answers, given.names)
    except DataError as error:
        raise DataError(f"{args.file}: {error}") from None
    X = _inputs(args, model, given, rows)
    left_out = len(given.answers) - len(rows)
    print(f"rows      {len(y):,} of {args.file}" + (f"; {left_out:,} have no target" if left_out else ""))
    for name, value in _measured(model, X, y).items():
        print(f"{name:9} {value:.4g}" if name != "accuracy" else f"accuracy  {value:.4f}")
    head = model.head
    if head.names is not None and len(head.names) <= _CLASSES:
        _print_confusion(head.names, analysis.confusion_matrix(y, compare.answers_of(model, X),
                                                               len(head.names)))


def _targets(args):
    """Return the names of the targets of a run, which its file has."""
    path = Path(args.run_folder)
    path = path / "model.npz" if path.is_dir() else path
    before = load(path).preprocessing if path.exists() else None
    return [] if before is None else before.targets


def _measured(model, X, y):
    metrics = _METRICS[model.head.answers]
    if model.head.answers == "classes" and len(model.head.names) == 2:
        metrics = (*metrics, "roc_auc")
    return model.evaluate(X, y, metrics=metrics)


def _print_confusion(names, counts):
    """Print how often each class (row) was taken for each other (column)."""
    width = max(len(str(counts.max())), *map(len, names), len("true"))
    print("\nWhich class (row) is taken for which:")
    print("  ".join([f"{'true':{width}}", *(f"{name:>{width}}" for name in names)]))
    for name, row in zip(names, counts.tolist()):
        print("  ".join([f"{name:{width}}", *(f"{count:>{width}}" for count in row)]))
