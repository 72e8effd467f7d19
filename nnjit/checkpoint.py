"""The file of a saved model: an ``.npz`` archive of arrays and of one JSON text. Reading it can run no code.

Members of format 2:

``description``
    The JSON text as uint8: format, dtype, input shape, every layer and head as its class and configuration.
``parameters/0.W``, ``parameters/head.b``, ``state/1.mean``, ...
    The arrays, under the keys of `Sequential.parameters` and `Sequential.state`.

A file is written beside the old one, synced and then renamed. A reader compares the sizes that the archive
declares with those that the description implies, before it reads an array, allocates a parameter or draws a
weight. Nothing in the archive is compressed, so that it can't take more memory than the file has bytes.
"""
import contextlib
import inspect
import json
from typing import Any

import numpy as np

from . import archives, heads, layers
from .inputs import preprocessing
from .inputs.checks import check_count, check_real
from .inputs.scale import Scale
from .objects import Part
from .reading import room
from .replacing import replacing

FORMAT = 2
WHAT = "not a saved model"    # what is said of a damaged one
_TEXT = "description"       # the member that holds the JSON text
_MOST_TEXT = 2**24          # bytes of it
_MOST_HEADER = 2**12        # bytes before it
_MOST_PARTS = 2**14         # layers and heads in it
_VALUE = 64                 # bytes that a value of it takes in memory


# ---- models ------------------------------------------------------------------------------------------------

def save(path, model):
    """Write a built model; see `Sequential.save`."""
    write(path, describe_model(model), model.graph.arrays())


def describe_model(model) -> dict[str, Any]:
    """Return the description of a built model."""
    before = model.preprocessing
    return {"format": FORMAT, "dtype": model.dtype.name, "input_shape": model.input_shape,
            "input_scale": model.input_scale, "layers": [describe(layer) for layer in model.layers],
            "head": describe(model.head), **({} if before is None else {"preprocessing": before.plain()})}


def load(path, make, custom=None):
    """Return the model that `save` wrote: ``make(layers, head, dtype)``, built, with its parameters.

    ``custom`` has the user's own classes by name. Errors as of `loading.load`.
    """
    custom = _check_custom({} if custom is None else custom)
    with _opened(path) as (archive, members, description):
        own = {str(part["kind"]) for part in _parts(description) if part.get("custom")}
        missing = sorted(own - set(custom))
        if not missing:
            parts = [remake(layer, custom) for layer in description["layers"]]
            model = make(parts, remake(description["head"], custom), description["dtype"])
            input_shape = tuple(check_count("input_shape", size) for size in description["input_shape"])
            scale = description.get("input_scale")
            before = preprocessing.remade(description.get("preprocessing"))
            scale = None if scale is None else Scale(*(check_real("input_scale", number) for number in scale))
            shapes = model.graph.infer_shapes(input_shape)
            expected = {name: (shape, model.dtype) for name, shape in shapes.items()}
            others = description.get("training", {}).get("arrays", {})    # of a backup
            members = {name: info for name, info in members.items() if name not in others}
            arrays = _read_arrays(archive, members, expected)
    if missing:
        raise ValueError(f"custom: got no class for {missing[0]!r}, expected the one saved in {path}; "
                         f"give custom={{{missing[0]!r}: {missing[0]}}}")
    model.build(input_shape)
    model.input_scale, model.preprocessing = scale, before
    for name, array in model.graph.arrays().items():
        array[...] = arrays[name]
    return model


def has_training(path) -> bool:
    """Return whether a file is a backup of a training."""
    with _opened(path) as (_, _, description):
        return "training" in description


def read(path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the description and all arrays of a file, which is checked as a whole; errors as of `load`."""
    with _opened(path) as (archive, members, description):
        headers = {name: archives.header_of(archive, info)[:2] for name, info in members.items()
                   if name != _TEXT}
        return description, _read_arrays(archive, members, headers)


# ---- layers and heads as plain values ----------------------------------------------------------------------

def config_names(part):
    """Return the names of the attributes that a layer or a head is made from; None for what is neither."""
    return getattr(part, "config", None)


def _kinds():
    """Return the package's classes of layers and heads by name."""
    return {name: kind for module in (layers, heads) for name, kind in vars(module).items()
            if isinstance(kind, type) and f"{kind.__module__}.".startswith(f"{module.__name__}.")
            and config_names(kind) is not None and not name.startswith("_")}


def describe(part) -> dict[str, Any]:
    """Return a layer or a head as plain values: its class and what it is made from.

    An initialiser that is a function is left out. ValueError where something else is no plain value: a
    number, a string, None, a list or dict of these, or another layer or head.
    """
    kind, names = type(part), config_names(part)
    if names is None:
        raise ValueError(f"save: got {part!r}, expected a layer or a head with a configuration")
    missing = [name for name in names if not hasattr(part, name)]
    if missing:
        raise ValueError(f"save: got {part!r} without an attribute {missing[0]!r}, expected one for each "
                         f"name of its config {tuple(names)}")
    given = {name: getattr(part, name) for name in names}
    own = _kinds().get(kind.__name__) is kind
    config = {name: _as_plain(f"{kind.__name__} {name}", value, (str, int) if own else str)
              for name, value in given.items() if not (name == "init" and callable(value))}
    frozen = {} if getattr(part, "trainable", True) else {"trainable": False}
    if own:
        return {"kind": kind.__name__, "config": config, **frozen}
    try:
        inspect.signature(kind).bind(**config)
    except TypeError as error:
        raise ValueError(f"save: got {part!r}, expected a class that is made from its configuration "
                         f"{tuple(config)}; its arguments: {error}") from None
    return {"kind": kind.__name__, "config": config, "custom": True, **frozen}


def _as_plain(name, value, keys):
    """Return a value as JSON has it; ``keys`` are the types that a dict's keys may have."""
    if not isinstance(value, type) and config_names(value) is not None:
        return describe(value)
    if isinstance(value, dict) and not _is_part(value) and all(isinstance(key, keys) for key in value):
        return {key: _as_plain(name, item, keys) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_plain(name, item, keys) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    got = " ".join(repr(value).split())[:100]
    raise ValueError(f"save: got {name}={got}, expected a number, a string, a list, a dict "
                     "with strings as keys, or a layer")


def _is_part(value):
    return isinstance(value, dict) and {"kind", "config"} <= value.keys()


def remake(description: dict[str, Any], custom: dict[str, Any]):
    """Return the layer or head that `describe` described; ``custom`` has the user's own classes."""
    kinds = custom if description.get("custom") else _kinds()

    def value_of(value):
        if _is_part(value):
            return remake(value, custom)
        if isinstance(value, dict):
            return {name: value_of(item) for name, item in value.items()}
        return [value_of(item) for item in value] if isinstance(value, list) else value

    config = {name: value_of(value) for name, value in description["config"].items()}
    part = kinds[description["kind"]](**config)
    if not description.get("trainable", True):
        part.trainable = False
    return part


def _parts(description):
    """Yield the descriptions of all layers and heads in a description."""
    if isinstance(description, dict):
        if _is_part(description):
            yield description
        for value in description.values():
            yield from _parts(value)
    elif isinstance(description, list):
        for value in description:
            yield from _parts(value)


def _check_custom(custom):
    if not isinstance(custom, dict) or not all(isinstance(kind, type) and issubclass(kind, Part)
                                               for kind in custom.values()):
        raise TypeError(f"custom: got {custom!r}, expected classes of layers and heads by name, such as "
                        "{'Swish': Swish}")
    return custom


# ---- writing -----------------------------------------------------------------------------------------------

def write(path, description: dict[str, Any], arrays: dict[str, Any]):
    """Write ``description`` (plain values) and ``arrays`` to ``path``; OSError where that is impossible."""
    text = np.frombuffer(json.dumps(description).encode(), np.uint8)
    if text.size > _MOST_TEXT:
        raise ValueError(f"save: got a description of {text.size:,} bytes, expected at most {_MOST_TEXT:,}")
    with replacing(path) as file:
        np.savez(file, **{_TEXT: text}, **arrays)


# ---- reading -----------------------------------------------------------------------------------------------

@contextlib.contextmanager
def _opened(path):
    """Give the archive of a file, its members by name, and its description; a DataError if it is damaged."""
    with archives.opened_archive(path, WHAT) as (archive, members):
        yield archive, members, _read_description(archive, members)


def _read_description(archive, members):
    """Return the description, of whichever format, as one of format 2."""
    size = members[_TEXT].file_size
    if size > _MOST_TEXT + _MOST_HEADER:
        raise ValueError(f"{_TEXT}: got {size:,} bytes, expected at most {_MOST_TEXT:,}")
    text = archives.read_array(archive, members[_TEXT])
    if (text.dtype, text.ndim) != (np.uint8, 1):
        raise ValueError(f"{_TEXT}: got {text.dtype} {text.shape}, expected a text as uint8")
    text = text.tobytes()
    values = sum(map(text.count, (b",", b"[", b"{")))    # at least as many as Python makes objects of
    if _VALUE * values > room(len(text)):
        raise ValueError(f"{_TEXT}: got {values:,} values in {len(text):,} bytes, expected fewer")
    description = json.loads(text)
    if sum(1 for _ in _parts(description)) > _MOST_PARTS:
        raise ValueError(f"{_TEXT}: got more than {_MOST_PARTS:,} layers and heads, expected fewer")
    if description["format"] == 1:
        for name in [name for name in members if name != _TEXT]:
            members[f"parameters/{name}"] = members.pop(name)
        parts = {"layers": list(map(_upgrade, description["layers"])), "head": _upgrade(description["head"])}
        return {**description, **parts, "format": FORMAT}
    if description["format"] != FORMAT:
        raise ValueError(f"got format {description['format']!r}, expected 1 or {FORMAT}")
    return description


def _upgrade(part):
    """Return the description of a layer or a head of format 1 as in format 2."""
    config = dict(part)
    kind = config.pop("kind")
    if "heads" in config:
        config["heads"] = {name: _upgrade(head) for name, head in config["heads"].items()}
    return {"kind": kind, "config": config}


def _read_arrays(archive, members, expected):
    """Return the arrays of an archive; ``expected`` has the (shape, dtype) of each.

    All are compared before the first is read.
    """
    found = members.keys() - {_TEXT}
    if found != expected.keys():
        raise ValueError(f"got the arrays {sorted(found)}, expected {sorted(expected)}")
    for name, (shape, dtype) in expected.items():
        got_shape, got_dtype = archives.header_of(archive, members[name])[:2]
        if (got_shape, got_dtype) != (shape, dtype):
            raise ValueError(f"{name}: got {got_dtype} {got_shape}, expected {dtype} {shape}")
    return {name: archives.read_array(archive, members[name]) for name in expected}
