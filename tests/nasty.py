"""Inputs of every kind that people have: the same numbers in another form, and what are no such numbers.

`FORMS` is a table of functions of an array of float64; `PLACES` (in `nasty_places`) are where they are given.
"""
import array
import datetime
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas
import pytest
from scipy import sparse

INTEGERS = "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"
FORMATS = [f"{name}_{kind}" for name in ("csr", "csc", "coo", "bsr", "dia", "dok", "lil")
           for kind in ("matrix", "array")]


@dataclass(frozen=True)
class Form:
    """A form of numbers.

    Attributes
    ----------
    of : a function of an array of whole numbers, float64, which returns them in this form
    kind : "dense" and "frame" are taken everywhere for the numbers that they are, "sparse" and "text" where a
        place says so; "bad" is refused, and "object" may be either
    dimensions : of the arrays that have such a form
    numbers : a function of the array that returns the numbers which the form stands for
    """

    of: Callable
    kind: str = "dense"
    dimensions: tuple = (1, 2, 3, 4)
    numbers: Callable = lambda values: values


class Subclass(np.ndarray):
    """An array of somebody's own."""


class Tensor:
    """What turns itself into an array, as PyTorch's tensors do, unless they require a gradient."""

    def __init__(self, values, requires_grad=False):
        self.values, self.requires_grad = values, requires_grad
        self.shape, self.ndim, self.dtype = values.shape, values.ndim, values.dtype

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        return Tensor(self.values[rows], self.requires_grad)

    def __array__(self, dtype=None, copy=None):
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() "
                               "instead.")
        return np.array(self.values, dtype)


def _strided(values):
    spread = np.full([2 * size for size in values.shape], -1.0)
    every_other = spread[(slice(1, None, 2),) * values.ndim]
    every_other[...] = values
    return every_other


def _read_only(values):
    values = values.copy()
    values.flags.writeable = False
    return values


def _mapped(values):
    with tempfile.TemporaryFile() as file:
        found = np.memmap(file, np.float64, "w+", shape=values.shape)
        found[...] = values
        return found


def _matrix(values):
    with pytest.warns(PendingDeprecationWarning):
        return np.matrix(values)


def _frame(values, dtype=None, index=None):
    if values.ndim == 1:
        return pandas.Series(values, index=index, dtype=dtype, name="y")
    frame = pandas.DataFrame(values, index=index, columns=[f"column {k}" for k in range(values.shape[1])])
    return frame if dtype is None else frame.astype(dtype)


def _several_dtypes(values):
    frame = _frame(values)
    return frame.astype(dict(zip(frame.columns, ("int16", "float32"))))


def _polars(values):
    polars = pytest.importorskip("polars")
    if values.ndim == 1:
        return polars.Series("y", values)
    return polars.DataFrame(values, [f"column {k}" for k in range(values.shape[1])])


def _polars_with_text(values):
    polars = pytest.importorskip("polars")
    return _polars(values).with_columns(town=polars.lit("Rome"), day=polars.lit(datetime.date(2020, 1, 1)))


def _torch(values):
    return pytest.importorskip("torch").from_numpy(values.copy())


def _put(values, number, dtype=np.float64):
    values = values.astype(dtype)
    values.flat[values.size // 2] = number
    return values


def _without_one(values, dtype):
    """Return a frame in which a number is missing."""
    frame = _frame(values, dtype)
    if values.ndim == 1:
        frame.iloc[-1] = pandas.NA
    else:
        frame.iloc[-1, 0] = pandas.NA
    return frame


def _with_text(values):
    frame = _frame(values)
    if values.ndim == 1:
        return frame.astype(str)
    return frame.assign(town="Rome", day=pandas.Timestamp("2020-01-01"))


def _object_without(values):
    found = values.astype(object)
    found.flat[0] = None
    return found


# ---- matrices ----------------------------------------------------------------------------------------------

def _explicit_zeros(values):
    rows, columns = map(np.ravel, np.indices(values.shape))
    return sparse.csr_array((values.ravel(), (rows, columns)), values.shape)


def _duplicates(values):
    rows, columns = np.nonzero(values)
    data = values[rows, columns]
    twice = np.concatenate([data - 1, np.ones_like(data)])
    return sparse.coo_array((twice, (np.tile(rows, 2), np.tile(columns, 2))), values.shape)


def _unsorted(values):
    matrix = sparse.csr_array(values)
    for first, last in zip(matrix.indptr[:-1], matrix.indptr[1:]):
        for part in (matrix.indices, matrix.data):
            part[first:last] = part[first:last][::-1].copy()
    matrix.has_sorted_indices = False
    return matrix


def _wide(values):
    matrix = sparse.csr_array(values)
    matrix.indptr, matrix.indices = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
    return matrix


# ---- the table ---------------------------------------------------------------------------------------------

def _as(dtype):
    return Form(lambda values: values.astype(dtype))


DENSE = {
    "itself": Form(np.copy),
    **{dtype: _as(dtype) for dtype in ("float16", "float32", "longdouble", *INTEGERS)},
    "bool": Form(lambda values: values > 0, numbers=lambda values: (values > 0).astype(float)),
    "big-endian": _as(">f8"), "big-endian float32": _as(">f4"), "big-endian int": _as(">i4"),
    "Fortran order": Form(lambda values: np.asarray(values, order="F")),
    "strided": Form(_strided),
    "backwards": Form(lambda values: values[::-1].copy()[::-1]),
    "mirrored": Form(lambda values: values[:, ::-1].copy()[:, ::-1], dimensions=(2,)),
    "read-only": Form(_read_only), "mapped": Form(_mapped),
    "a subclass": Form(lambda values: values.view(Subclass)),
    "a matrix": Form(_matrix, dimensions=(2,)),
    "a list": Form(lambda values: values.tolist()), "a tuple": Form(lambda values: tuple(values.tolist())),
    "a list of arrays": Form(list), "a list of tuples": Form(lambda values: list(map(tuple, values)),
                                                             dimensions=(2,)),
    "an array of Python": Form(lambda values: array.array("d", values), dimensions=(1,)),
    "a memoryview": Form(memoryview),
    "a tensor": Form(Tensor), "a tensor of torch": Form(_torch),
    "all alike": Form(np.ones_like, numbers=np.ones_like),
    "negative zeros": Form(lambda values: np.where(values == 0, -0.0, values)),
    "subnormals for zeros": Form(lambda values: np.where(values == 0, 5e-324, values)),
}

FRAMES = {
    "a frame": Form(_frame, dimensions=(1, 2)),
    "an index of its own": Form(lambda values: _frame(values, index=np.arange(len(values))[::-1] * 3 + 7),
                                dimensions=(1, 2)),
    "text as the index": Form(lambda values: _frame(values, index=[f"row {i}" for i in range(len(values))]),
                              dimensions=(1, 2)),
    **{f"a frame of {dtype}": Form(lambda values, dtype=dtype: _frame(values, dtype), dimensions=(1, 2))
       for dtype in ("Int64", "Float64", "Float32", "int8", "float32")},
    "a frame of boolean": Form(lambda values: _frame(values > 0, "boolean"), dimensions=(1, 2),
                               numbers=DENSE["bool"].numbers),
    "several dtypes": Form(_several_dtypes, dimensions=(2,)),
    "polars": Form(_polars, dimensions=(1, 2)),
}

SPARSE = {
    **{name: Form(make, "sparse", (2,)) for name, make in {
        **{name: getattr(sparse, name) for name in FORMATS},
        "explicit zeros": _explicit_zeros, "duplicates": _duplicates, "unsorted indices": _unsorted,
        "64-bit indices": _wide}.items()},
    "csr of int8": Form(lambda values: sparse.csr_array(values.astype(np.int8)), "sparse", (2,)),
    "csr of longdouble": Form(lambda values: sparse.csr_array(values.astype(np.longdouble)), "sparse", (2,)),
}

BAD = {
    "complex": lambda values: values + 1j, "datetime64": lambda values: values.astype("M8[s]"),
    "timedelta64": lambda values: values.astype("m8[s]"),
    "bytes": lambda values: np.full(values.shape, b"one"),
    "structured": lambda values: np.zeros(values.shape, [("a", float), ("b", int)]),
    "masked": lambda values: np.ma.masked_array(values, values == values.max()),
    "NaN": lambda values: _put(values, np.nan), "infinity": lambda values: _put(values, np.inf),
    "minus infinity": lambda values: _put(values, -np.inf),
    "NaN of float32": lambda values: _put(values, np.nan, np.float32),
    "infinity of float16": lambda values: _put(values, np.inf, np.float16),
    "too large for float64": lambda values: _put(values, np.longdouble("1e4000"), np.longdouble),
    "nothing": lambda values: values[:0], "an empty list": lambda values: [],
    "0-d": lambda values: np.array(1.0), "a number": lambda values: 3.5,
    "ragged": lambda values: [[1.0]] + [[1.0, 2.0]] * (len(values) - 1),
    "a generator": lambda values: (row for row in values), "a set": lambda values: set(range(len(values))),
    "a dict": lambda values: {1: 2}, "None": lambda values: None, "a function": lambda values: print,
    "a class": lambda values: Tensor, "a word": lambda values: "numbers",
    "a tensor that requires a gradient": lambda values: Tensor(values, True),
    "one row too many": lambda values: np.concatenate([values, values[:1]]),
    "a dimension too many": lambda values: values[..., None, None],
    "objects and None": _object_without,
}
BAD = {name: Form(make, "bad") for name, make in BAD.items()}
BAD.update({
    "a frame with NA": Form(lambda values: _without_one(values, "Int64"), "bad", (1, 2)),
    "a frame with text and dates": Form(_with_text, "bad", (2,)),
    "polars with text and dates": Form(_polars_with_text, "bad", (2,)),
    "a matrix of NaN": Form(lambda values: sparse.csr_array(_put(values, np.nan)), "bad", (2,)),
    "a complex matrix": Form(lambda values: sparse.csr_array(values + 1j), "bad", (2,)),
    "NaN, masked": Form(lambda values: np.ma.masked_invalid(_put(values, np.nan)), "bad"),
})

TEXT = {
    "text": lambda values: np.array([f"no. {value:g}" for value in values.flat]).reshape(values.shape),
    "objects of text": lambda values: TEXT["text"].of(values).astype(object),
    "lists of text": lambda values: TEXT["text"].of(values).tolist(),
    "a frame of text": lambda values: _frame(TEXT["text"].of(values).astype(object)),
    "a category": lambda values: pandas.Series(pandas.Categorical(TEXT["text"].of(values))),
}
TEXT = {name: Form(make, "text", (1,) if name == "a category" else (1, 2)) for name, make in TEXT.items()}

OBJECTS = {
    "objects": Form(lambda values: values.astype(object), "object"),
    "whole numbers as objects": Form(lambda values: values.astype(int).astype(object), "object"),
    "a frame of objects": Form(lambda values: _frame(values.astype(object)), "object", (1, 2)),
    "nothing masked": Form(np.ma.array, "object"),
    "a frame of categories": Form(lambda values: pandas.Series(pandas.Categorical(values)), "object", (1,)),
}

FORMS = {**DENSE, **FRAMES, **SPARSE, **BAD, **TEXT, **OBJECTS}
