"""What was learned of a table's columns, as plain values, and the numbers that a row becomes by it."""
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .checks import DataError
from .targets import in_short

MISSING = None    # among the values of a category


@dataclass
class Number:
    """A column of numbers: standardised, where it is missing the median, with a 1 in another column.

    Attributes
    ----------
    median, mean, scale : of the training rows; ``scale`` is their standard deviation
    indicator : whether there is that other column, because some were missing
    """

    name: str
    median: float
    mean: float
    scale: float
    indicator: bool

    @property
    def names(self):
        """Those of the columns that it becomes."""
        return [self.name, f"{self.name} is missing"][:1 + self.indicator]

    def write(self, column, rows: np.ndarray):
        """Write the numbers (N, 1 or 2) of a column of a frame into ``rows``."""
        values = _as_numbers(self.name, column)
        missing = ~np.isfinite(values)
        if missing.any():
            values[missing] = self.median
        values -= self.mean
        values /= self.scale
        rows[:, 0] = values
        if self.indicator:
            rows[:, 1] = missing


@dataclass
class Flag:
    """A column of booleans, 0 and 1 as they are; where one is missing, the more frequent."""

    name: str
    usual: bool

    @property
    def names(self):
        """That of the column that it becomes."""
        return [self.name]

    def write(self, column, rows: np.ndarray):
        """Write the numbers (N, 1) of a column of a frame into ``rows``."""
        words = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
        for i, text in enumerate(as_texts(column)):
            found = float(self.usual) if text is MISSING else words.get(text.lower())
            if found is None:
                raise DataError(f"column {self.name!r}: got {text!r}, expected true or false as in training")
            rows[i, 0] = found


@dataclass
class Category:
    """A column of text, a number for each value: 1 where it has that, else 0; all are 0 for unknown ones.

    Attributes
    ----------
    values : the values that have a column; None where it is missing
    other : whether there is a column for all other values, because they were many and rare
    """

    name: str
    values: list[Any]
    other: bool

    @property
    def names(self):
        """Those of the columns that it becomes."""
        named = [f"{self.name} is {'missing' if value is MISSING else value}" for value in self.values]
        return named + [f"{self.name} is another"] * self.other

    def write(self, column, rows: np.ndarray):
        """Write the numbers (N, values) of a column of a frame into ``rows``."""
        place = {value: k for k, value in enumerate(self.values)}
        unknown = len(self.values) if self.other else -1
        rows[...] = 0
        places = np.array([place.get(text, unknown) for text in as_texts(column)])
        known = np.flatnonzero(places >= 0)
        rows[known, places[known]] = 1


_KINDS = {"number": Number, "flag": Flag, "category": Category}


@dataclass
class Columns:
    """How the rows of a table become numbers, (N, D): what was learned from the training rows.

    Attributes
    ----------
    columns : list of Number, Flag and Category
    targets : the names of the columns that are predicted
    names : of the D numbers
    left_out : {name of a column: why it is left out}, while it is fresh; files do not keep it
    """

    columns: list[Any]
    targets: list[str]
    left_out: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    names: list[str] = field(init=False, repr=False)

    def __post_init__(self):
        self.names = [name for column in self.columns for name in column.names]

    def transform(self, frame, dtype="float64", rows=slice(None)) -> np.ndarray:
        """Return the numbers (N, D) of a DataFrame, or of these ``rows`` of it.

        Other columns, and their order, make no difference.

        Raises
        ------
        DataError
            A column is missing, or has text where there were numbers; the message names it.
        """
        if not hasattr(frame, "columns"):
            raise DataError("got images, expected a table as in training")
        missing = [column.name for column in self.columns if column.name not in frame]
        if missing:
            raise DataError(f"got no column {in_short(missing, 5)}, expected "
                            f"{in_short([column.name for column in self.columns], 20)}, as in training")
        N = len(range(len(frame))[rows]) if isinstance(rows, slice) else len(rows)
        X, first = np.empty((N, len(self.names)), dtype), 0
        for column in self.columns:
            width = len(column.names)
            column.write(frame[column.name].iloc[rows], X[:, first:first + width])
            first += width
        return X

    def plain(self) -> dict[str, Any]:
        """Return it as plain values, from which `remade` makes it again."""
        kinds = {kind: name for name, kind in _KINDS.items()}
        return {"kind": "columns", "targets": self.targets,
                "columns": [{"kind": kinds[type(column)], **asdict(column)} for column in self.columns]}

    @classmethod
    def remade(cls, plain: dict[str, Any]) -> "Columns":
        """Return what `plain` returned as it was."""
        columns = [_KINDS[one["kind"]](**{name: value for name, value in one.items() if name != "kind"})
                   for one in plain["columns"]]
        return cls(columns, [str(name) for name in plain["targets"]])


# ---- columns of a frame ------------------------------------------------------------------------------------

def _as_numbers(name, column):
    """Return a column as new float64 numbers, NaN where one is missing; DataError for text."""
    if column.dtype.kind in "biuf" and isinstance(column.dtype, np.dtype):
        return column.to_numpy().astype(np.float64)
    found = np.empty(len(column))
    for i, text in enumerate(as_texts(column)):
        try:
            found[i] = np.nan if text is MISSING else float(text)
        except ValueError:
            raise DataError(f"column {name!r}: got {text!r}, expected a number as in training") from None
    return found


def as_texts(column) -> list[Any]:
    """Return the values of a column of a frame as text, None where one is missing; whole numbers without a
    point, as in a file where none is missing.
    """
    if column.dtype.kind == "f" and isinstance(column.dtype, np.dtype):
        return [MISSING if value != value else _number_as_text(value) for value in column.tolist()]
    gone = column.isna().to_numpy()
    return [MISSING if is_gone else _number_as_text(value) if isinstance(value, float) else str(value)
            for value, is_gone in zip(column.tolist(), gone)]


def _number_as_text(value):
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
