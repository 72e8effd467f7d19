"""The question that a file's target asks: which output, which loss, and why, said in one sentence."""
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..experiments.questions import choose_loss
from ..inputs.checks import DataError
from ..inputs.columns import MISSING, as_texts
from ..inputs.targets import in_short

FEW = 20        # different whole numbers that are classes unless told otherwise
MOST = 1000     # classes
_IMPLIED = {"mae": "linear", "huber": "linear", "poisson": "poisson"}    # the output that a loss asks for
_HEADS = {    # output → how the answer to the sentence goes on
    "sigmoid": "Bernoulli: sigmoid, ", "softmax": "Categorical: softmax, ", "ordinal": "Ordinal: cumulative "
    "sigmoids, ", "linear": "linear output, ", "poisson": "Poisson: exponential output, ",
}
_LOSSES = {"crossentropy": "cross-entropy", "mse": "squared error, which predicts the mean",
           "mae": "absolute error, which predicts the median", "poisson": "Poisson's likelihood",
           "huber": "Huber's error, which predicts between mean and median"}


class Refused(ValueError):
    """A combination of options that makes no sense: its message begins with the option."""


@dataclass
class Target:
    """A question, and the answers to it in a file.

    Attributes
    ----------
    names : the columns
    out, loss : as of `experiments.questions`
    y : (N,) int64 class numbers, or (N,) or (N, K) float64
    rows : (N,) the rows of the file that have an answer, and one of the classes
    sentence : what was read from the target, and what follows from it
    classes : the names of the classes, or None
    """

    names: list[str]
    out: str
    loss: str
    y: np.ndarray
    rows: np.ndarray
    sentence: str
    make_head: Callable[..., Any] = field(repr=False)
    classes: list[str] | None = None

    @property
    def units(self) -> int:
        """Of the last layer."""
        if self.out == "softmax":
            return len(self.classes or ())
        return 1 if self.y.ndim == 1 else self.y.shape[1]

    @property
    def strata(self) -> np.ndarray | None:
        """What every part of the file shall have alike: the classes, or None."""
        return self.y if self.classes is not None else None

    def head(self, train: np.ndarray):
        """Return a new head; numbers have the unit of the training rows."""
        if self.classes is not None:
            return self.make_head(classes=self.classes)
        if self.out == "linear" and self.loss != "poisson":
            y = self.y[train]
            middle, scale = (np.median, np.std) if self.loss == "mae" else (np.mean, np.std)
            loc, scale = middle(y, axis=0), scale(y, axis=0)
            return self.make_head(loc=loc.tolist(), scale=np.where(scale > 0, scale, 1).tolist())
        return self.make_head()


def ask(frame, names: list[str], out: str | None = None, loss: str = "auto",
        classes: list[str] | None = None, whole_are_classes: bool = False) -> Target:
    """Return the `Target` that columns of a DataFrame ask for.

    Parameters
    ----------
    names : of the columns; several are labels, or numbers
    out, loss : what was asked for, None and "auto" for what follows from the columns
    classes : those that are wanted, in their order
    whole_are_classes : whether whole numbers are classes however many there are, as with images

    Raises
    ------
    Refused
        The columns can't answer what was asked for.
    DataError
        All rows have the same answer, or none.
    """
    out = out or _IMPLIED.get(loss)
    if len(names) > 1:
        return _ask_several(frame, names, out, loss, classes)
    name = names[0]
    rows, codes, values, numbers = _contents(name, frame[name])
    if len(values) == 1:
        raise DataError(f"target {name!r}: got {values[0]!r} in all {len(rows):,} rows, expected at least "
                        "two different values; there is nothing to learn")
    found, own = _read(name, len(rows), values, numbers, whole_are_classes)
    if classes is not None:
        out = out or ("sigmoid" if len(classes) == 2 else "softmax")
    out, asked = out or own, out is not None
    loss, make_head, _ = _chosen(out, loss)
    of_images = whole_are_classes and out == "softmax"    # whose classes are no ranks
    sentence = _sentence(found, out, loss, asked, None if of_images else numbers)
    if out in ("linear", "poisson"):
        _check_numbers(name, out, numbers, values, classes)
        return Target(names, out, loss, numbers, rows, sentence, make_head)
    classes = _classes(name, out, values, numbers, classes, len(rows))
    number = {value: k for k, value in enumerate(classes)}
    codes = np.array([number.get(value, -1) for value in values])[codes]
    kept = codes >= 0
    return Target(names, out, loss, codes[kept], rows[kept], sentence, make_head, classes)


def _contents(name, column):
    """Return the rows of a column where it has a value, and the number of it among the different values there
    are, these as text, and all of them as numbers or None.
    """
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf":
        numbers = column.to_numpy()
        rows = np.flatnonzero(np.isfinite(numbers))
        different, codes = np.unique(numbers[rows], return_inverse=True)
        values, numbers = as_texts(type(column)(different)), numbers[rows].astype(float)
    else:
        texts = as_texts(column)
        rows = np.flatnonzero([text is not MISSING for text in texts])
        different, codes = np.unique([texts[i] for i in rows], return_inverse=True)
        values, numbers = different.tolist(), _as_numbers(different)
        numbers = None if numbers is None else numbers[codes]
    if not len(rows):
        raise DataError(f"target {name!r}: got no row that has one, expected some")
    return rows, codes, values, numbers


def _as_numbers(texts):
    """Return text as finite numbers, or None where it is none."""
    try:
        numbers = texts.astype(float)
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _chosen(out, loss):
    try:
        return choose_loss(out, loss)
    except ValueError as error:
        raise Refused(str(error)) from None


# ---- what a column asks ------------------------------------------------------------------------------------

def _read(name, N, values, numbers, whole_are_classes):
    """Return what a column holds, in words, and the output of the question that it asks."""
    if len(values) == 2:
        return f"{name!r} has the values {' and '.join(values)}: a yes-or-no question", "sigmoid"
    if numbers is None:
        _check_repeats(name, values, N)
        found = f"{name!r} has {len(values)} different texts, {_some(values)}: one of several classes"
        return found, "softmax"
    low, high = (f"{number:.6g}" for number in (numbers.min(), numbers.max()))
    if (numbers == np.floor(numbers)).all():
        kind = f"{name!r} has {len(values)} different whole numbers from {low} to {high}"
        if whole_are_classes or (len(values) <= FEW and N >= 5 * len(values)):
            return f"{kind}: one of several classes", "softmax"
        return f"{kind}: a number", "linear"
    return f"{name!r} has {len(values):,} different numbers from {low} to {high}: a number", "linear"


def _sentence(found, out, loss, asked, numbers):
    """Return what was found, what follows, and what else there is."""
    binary = "binary " if out == "sigmoid" and loss == "crossentropy" else ""
    named = {"mse": "Gaussian: ", "mae": "Laplace: ", "huber": "Huber: "}[loss] if out == "linear" else ""
    follows = f"{named}{_HEADS[out]}{binary}{_LOSSES[loss]}"
    if asked:
        return f"{found}; {out} was asked for, so {follows}"
    others = "--out changes that"
    if out == "softmax" and numbers is not None:
        others = "if they are ranks, --out ordinal; if amounts, --out linear"
    elif out == "linear" and (numbers == np.floor(numbers)).all() and numbers.min() >= 0:
        others = "if they count events, --out poisson; --loss mae predicts the median"
    elif out == "linear":
        others = "--loss mae predicts the median"
    return f"{found}, so {follows}; {others}"


def _some(values):
    return f"{', '.join(values[:3])} ..." if len(values) > 4 else ", ".join(values)


def _check_repeats(name, values, N):
    if len(values) > max(2, N // 2) or len(values) > MOST:
        raise DataError(f"target {name!r}: got {len(values)} different texts in {N} rows, such as "
                        f"{values[0]!r}, expected classes that repeat, or numbers")


def _check_numbers(name, out, numbers, values, classes):
    if classes is not None:
        raise Refused(f"--classes: got {','.join(classes)} with --out {out}, expected none")
    if numbers is None:
        text = next(value for value in values if _as_numbers(np.array([value])) is None)
        raise Refused(f"--out: got {out} for {name!r}, which has texts such as {text!r}, expected sigmoid, "
                      "softmax or ordinal; linear and poisson are for numbers")
    if out == "poisson" and numbers.min() < 0:
        raise Refused(f"--out: got poisson for {name!r}, which goes down to {numbers.min():g}, expected "
                      "linear; poisson is for counts")


def _classes(name, out, values, numbers, wanted, N):
    """Return the names of the classes in the order of their numbers."""
    if numbers is not None:
        values = sorted(values, key=float)
        few = N >= 5 * len(values) and (numbers == np.floor(numbers)).all()
        if (len(values) > FEW and not few) or len(values) > MOST:
            raise Refused(f"--out: got {out} for {name!r}, which has {len(values):,} different numbers such "
                          f"as {values[len(values) // 2]}, expected linear; {out} is for classes")
    else:
        _check_repeats(name, values, N)
    if wanted is not None:
        unknown = [value for value in wanted if value not in values]
        if unknown or len(set(wanted)) < max(2, len(wanted)):
            raise Refused(f"--classes: got {','.join(wanted)}, expected at least two different ones of "
                          f"{in_short(values, 20)}, the values of {name!r}")
        values = list(wanted)
    elif out == "ordinal" and numbers is None:
        raise Refused(f"--out: got ordinal for {name!r}, whose order is not known, expected --classes "
                      f"with it, the values in their order, such as --classes {','.join(values)}")
    if out == "sigmoid" and len(values) != 2:
        raise Refused(f"--out: got sigmoid for {name!r}, which has {len(values)} values, {_some(values)}, "
                      "expected softmax; sigmoid is for two, or for several --target columns of 0 and 1")
    return values


# ---- several columns ---------------------------------------------------------------------------------------

def _ask_several(frame, names, out, loss, classes):
    """Return the `Target` of several columns: labels, each there or not, or numbers."""
    if classes is not None:
        raise Refused(f"--classes: got {','.join(classes)} with {len(names)} targets, expected none")
    columns = [frame[name] for name in names]
    rows = np.flatnonzero(~np.any([column.isna().to_numpy() for column in columns], axis=0))
    if not len(rows):
        raise DataError(f"targets {in_short(names)}: got no row that has all of them, expected some")
    texts = [np.array(as_texts(column.iloc[rows])) for column in columns]
    flags = [set(column) <= {"0", "1"} or set(column) <= {"True", "False"} for column in texts]
    if all(flags):
        own, found = "sigmoid", "have only the values 0 and 1: labels, of which any number can be there"
        y = np.stack([(column == "1") | (column == "True") for column in texts], axis=1).astype(float)
    else:
        numbers = [_as_numbers(column) for column in texts]
        if any(column is None for column in numbers):
            name = names[[column is None for column in numbers].index(True)]
            raise Refused(f"--target: got {len(names)} columns, of which {name!r} has text, expected labels, "
                          "columns of 0 and 1, or numbers; classes take one target")
        own, found, y = "linear", "are numbers", np.stack(numbers, axis=1)
    for name, column in zip(names, y.T):
        if column.min() == column.max():
            raise DataError(f"target {name!r}: got {column[0]:g} in all {len(rows)} rows, expected different "
                            "values; there is nothing to learn")
    if out is not None and out != own and not (own == "sigmoid" and out == "linear"):
        raise Refused(f"--out: got {out} for the {len(names)} targets, expected {own}: they {found}")
    asked, out = out is not None, out or own
    loss, make_head, _ = _chosen(out, loss)
    sentence = _sentence(f"{' and '.join([', '.join(names[:-1]), names[-1]])} {found}", out, loss, asked,
                         y)
    return Target(names, out, loss, y, rows, sentence, make_head)


# ---- answers in another file -------------------------------------------------------------------------------

def truths(head, frame, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the answers y that a file has to the question of a trained head, and the rows that have one.

    DataError for a class that the head does not know, or text where there were numbers.
    """
    columns = [as_texts(frame[name]) for name in names]
    rows = np.flatnonzero([all(text is not MISSING for text in row) for row in zip(*columns)])
    if not len(rows):
        raise DataError(f"got no row with a {in_short(names)}, expected some")
    texts = [np.array([column[i] for i in rows]) for column in columns]
    if head.names is not None:
        number = {value: k for k, value in enumerate(head.names)}
        for text in np.unique(texts[0]).tolist():
            if text not in number:
                raise DataError(f"column {names[0]!r}: got {text!r}, expected one of {in_short(head.names)}, "
                                "the classes of the training")
        return np.array([number[text] for text in texts[0].tolist()]), rows
    if head.answers == "labels":
        texts = [np.where(column == "True", "1", np.where(column == "False", "0", column))
                 for column in texts]
    numbers = [_as_numbers(column) for column in texts]
    for name, found in zip(names, numbers):
        if found is None:
            raise DataError(f"column {name!r}: got text, expected numbers as in training")
    return (numbers[0] if len(numbers) == 1 else np.stack(numbers, axis=1)), rows
