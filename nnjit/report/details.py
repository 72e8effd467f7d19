"""What the page of a run shows beside its curves, as plain values: ``details.json`` of its folder."""
import base64
import shlex

import numpy as np

from .. import analysis
from ..layers import Dropout
from ..model import Sequential
from .units import UnitsWatch

MISTAKES, SHOWN = 12, 100    # images of mistakes, and test images that the page can show
_POINTS = 1000               # of numbers, predicted against true
_LINE = 101                  # of a fitted line
_WORDS = {"Tanh": "saturated", "Sigmoid": "saturated", "ReLU": "dead"}


def details(model: Sequential, argv: list[str], units: UnitsWatch | None, tested, p: np.ndarray | None,
            x=None, y=None, label: str = "", part: str = "test") -> dict:
    """Return what there is to show of a trained model.

    Parameters
    ----------
    argv : the words of the command that repeats the training
    units : who has watched the hidden units
    tested, p : `report.Tested`, of a classifier, and its probabilities (N, K), or None
    x, y : test rows and targets of others
    label : what the run is called beside others, in place of its folder's name
    part : as of `report.write`
    """
    found = {"label": label, "part": part, "command": shlex.join(argv), "head": type(model.head).__name__,
             "summary": str(model.summary()), "metric": model.head.metric,
             "drops": any(isinstance(layer, Dropout) for layer in model.layers)}
    if units is not None and units.epochs:
        found["units"] = {"epochs": units.epochs, "layers": [
            {"name": f"{i} {model.layers[int(i)]!r}", "share": shares,
             "kind": _WORDS[type(model.layers[int(i)]).__name__]} for i, shares in units.shares.items()]}
    if not np.isfinite(model.vector).all():
        return found
    if tested is not None:
        found.update(_of_classes(tested, p))
    elif x is not None and model.head.answers == "numbers" and model.graph.shapes[-1] == (1,):
        found.update(_of_numbers(model, x, y))
    return found


def _of_classes(tested, p):
    answers, y, images = p.argmax(axis=1), tested.y, tested.images
    worst = analysis.surest_mistakes(p, y, MISTAKES)
    found = {"classes": list(map(str, tested.classes)), "accuracy": float((answers == y).mean()),
             "tested": len(y),
             "confusion": analysis.confusion_matrix(y, answers, len(tested.classes)).tolist(),
             "calibration": analysis.calibration(p.max(axis=1), answers == y),
             "wrong": int((answers != y).sum())}
    if images is None:
        return found
    return {**found, "image_shape": list(images.shape[1:]),
            "mistakes": [{"image": encoded(images[i]), "truth": int(y[i]), "answer": int(answers[i]),
                          "p": float(p[i, answers[i]]), "p_truth": float(p[i, y[i]])} for i in worst],
            "images": {"bytes": encoded(images[:SHOWN]), "labels": y[:SHOWN].tolist()}}


def _of_numbers(model, x, y):
    predicted, y = np.asarray(model.predict(x), float), np.asarray(y, float)
    found = {"true": y[:_POINTS].tolist(), "predicted": predicted[:_POINTS].tolist()}
    if x.shape[1:] == (1,):
        line = np.linspace(x.min(), x.max(), _LINE)
        found["input"] = np.asarray(x[:_POINTS, 0], float).tolist()
        found["line"] = [line.tolist(), np.asarray(model.predict(line[:, None]), float).tolist()]
    return {"numbers": found}


def encoded(array: np.ndarray) -> str:
    """Return the bytes of an array as text."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
