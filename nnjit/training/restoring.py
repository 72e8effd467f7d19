"""Backups are read: whole, compared with the training that is to go on, and only then taken."""
import copy
import dataclasses
import inspect
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint, optimizers, schedules
from ..inputs.checks import DataError, check_count, check_real
from ..reading import named, refusing
from .callbacks import Callback
from .history import History
from .state import SUMS

_WHAT = "not a backup"    # what is said of a damaged one


# ---- optimisers and callbacks as plain values --------------------------------------------------------------

def is_own(part):
    """Return whether a callback is the package's, and so compared; what functions do is the user's."""
    return type(part).__module__ == Callback.__module__ and type(part).__name__ not in _OF_FUNCTIONS


_OF_FUNCTIONS = "_Function", "LambdaCallback"


def described(part):
    """Return an optimiser or a callback of the package as plain values: its class and its arguments.

    Of what is no plain value, such as a schedule of the user's own, it is said that it is a function.
    """
    kind = type(part)
    names = [name for name in inspect.signature(kind).parameters if hasattr(part, name)]
    return {"kind": kind.__name__, **{name: _plain(getattr(part, name)) for name in names}}


def _plain(value):
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if type(value).__module__ == schedules.__name__:
        return {"kind": type(value).__name__, **{field.name: _plain(getattr(value, field.name))
                                                 for field in dataclasses.fields(value)}}
    return "a function"


def _remade(plain, module):
    """Return the optimiser or the schedule that was described; None where it has a function of the user's."""
    given = {name: _remade(value, schedules) if isinstance(value, dict) else value
             for name, value in plain.items() if name != "kind"}
    if "a function" in given.values() or None in (given.get("learning_rate", 0), given.get("schedule", 0)):
        return None
    kind = vars(module).get(plain["kind"])
    if not (isinstance(kind, type) and kind.__module__ == module.__name__):
        raise ValueError(f"got {plain['kind']!r}, expected an optimiser or a schedule")
    return kind(**given)


def give_back(path, model):
    """Give a model that was loaded from a backup its optimiser and its history; others have none.

    DataError where these are damaged.
    """
    if not checkpoint.has_training(path):
        return
    description, arrays = checkpoint.read(path)
    with refusing(path, _WHAT):
        training = description["training"]
        model.history = _history_of(training, arrays)
        model.optimizer = _remade(training["optimizer"], optimizers)
        model.graph.seed = check_count("seed", training["settings"]["seed"], 0)
        if model.optimizer is not None:
            _load_slots(model.optimizer, training, arrays, model.graph.layout)
            model.optimizer.claim(model.graph)


def _load_slots(optimizer, training, arrays, layout):
    """Give an optimiser its slots, all of which are compared before."""
    slots = {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith("optimizer/")}
    like = layout.views(layout.zeros())
    expected = {f"{slot}/{name}": array for slot in optimizer.slot_names for name, array in like.items()
                if array.size}
    if expected.keys() != slots.keys() and (slots or training["steps"]):
        raise ValueError(f"got the optimiser's arrays {sorted(slots)}, expected {sorted(expected)}")
    for name, array in slots.items():
        if (array.shape, array.dtype) != (expected[name].shape, expected[name].dtype):
            raise ValueError(f"optimizer/{name}: got {array.dtype} {array.shape}, expected "
                             f"{expected[name].dtype} {expected[name].shape}")
    optimizer.load_state(slots or expected, check_count("steps", training["steps"], 0), layout)


def _history_of(training, arrays):
    """Return the history of a backup."""
    found = History()
    found.history.update({name.partition("/")[2]: array.tolist() for name, array in arrays.items()
                          if name.startswith("history/")})
    found.epochs, found.validated = arrays["history.epochs"].tolist(), arrays["history.validated"].tolist()
    found.compile_seconds = check_real("compile_seconds", training["compile_seconds"])
    for name, column in [("epochs", found.epochs), ("validated", found.validated), *found.history.items()]:
        length = len(found.validated if name == "validated" or name.startswith("val_") else found.epochs)
        kind = int if name in ("epochs", "validated") else float
        if not isinstance(column, list) or len(column) != length or {*map(type, column)} - {kind}:
            raise ValueError(f"history/{name}: got another length or type, expected {length} numbers")
    return found


def read_notes(path: str | Path) -> dict[str, Any]:
    """Return the ``notes`` of a backup; DataError where there is none, or it is damaged."""
    if not os.path.exists(path):
        raise DataError(f"{named(path)}: no such backup")
    description, _ = checkpoint.read(path)
    with refusing(path, _WHAT):
        return dict(description.get("training", {}).get("notes", {}))


# ---- what is read ------------------------------------------------------------------------------------------

def restore(path, state, callbacks, settings):
    """Let a training go on from a backup; errors as of `BackupAndRestore`, after which it is as it was."""
    description, arrays = checkpoint.read(path)
    training = description.get("training")
    if training is None:
        raise DataError(f"{path}: got a saved model without a training, expected a backup; name another file")
    model = state.model
    with refusing(path, _WHAT):
        _compare(path, {**training["settings"], **_outline(description)},
                 {**settings, **_outline(checkpoint.describe_model(model))})
        history, own = _history_of(training, arrays), model.graph.arrays()
        for name, array in own.items():
            if (arrays[name].shape, arrays[name].dtype) != (array.shape, array.dtype):
                raise ValueError(f"{name}: got {arrays[name].dtype} {arrays[name].shape}, expected "
                                 f"{array.dtype} {array.shape}")
        numbers = [check_count(name, training[name], 0) for name in ("epoch", "batch")]
        flags = [_check_flag(name, training[name]) for name in ("stop", "diverged")]
        seconds, rates = check_real("seconds", training["seconds"]), _rates(state.optimizer, training)
        partial, remembered = _partial(state, training, arrays), _remembered(callbacks, training, arrays)
        _load_slots(state.optimizer, training, arrays, model.graph.layout)
    for name, array in own.items():
        array[...] = arrays[name]
    for name, value in rates.items():
        setattr(state.optimizer, name, value)    # such as a learning rate that a callback has changed
    for callback, values in remembered:
        callback.load_state(values)
    vars(state.history).update(vars(history))
    state.epoch, state.batch = numbers
    state.stop, state.diverged = flags
    state.resumed, state.partial, state.seconds_before = True, partial, seconds


def _check_flag(name, value):
    if not isinstance(value, bool):
        raise TypeError(f"{name}: got {value!r}, expected true or false")
    return value


def _rates(optimizer, training):
    """Return the numbers of an optimiser that may have changed during a training, checked by a copy."""
    copied, found = copy.copy(optimizer), {}
    for name in described(optimizer):
        value = training["optimizer"].get(name)
        if isinstance(value, float) and name not in ("kind", "momentum"):
            setattr(copied, name, value)
            found[name] = value
    return found


def _partial(state, training, arrays):
    """Return the sums of an epoch that goes on, None between epochs."""
    if training["sums"] is None:
        return None
    heads = state.model.head.members(0)
    each = 0 if "" in heads else len(heads)    # a head that consists of others has the sums of each
    for name in SUMS:
        _check_sum(name, training["sums"][name], 0 if name in ("penalty", "rows") else each)
    parts = len(state.metrics.tally().sums())
    check_count("tally", training["tally"], parts, parts)
    return training["sums"], [arrays.get(f"tally/{k}") for k in range(parts)]


def _check_sum(name, value, heads):
    numbers = value if isinstance(value, list) and len(value) == heads else [value]
    if {*map(type, numbers)} - {int, float}:
        expected = f"{heads} numbers" if heads else "a number"
        raise ValueError(f"sums: got {name} {_short(value)}, expected {expected}")


def _remembered(callbacks, training, arrays):
    """Return for each callback what the first one of its class, which has not been given yet, remembered."""
    left, given = list(training["callbacks"]), []
    for callback in callbacks:
        found = next((one for one in left if one[0] == type(callback).__name__), None)
        if found is None:
            continue
        left.remove(found)
        _, k, plain = found
        remembered, prefix = dict(plain), f"callbacks/{k}/"
        for name, array in arrays.items():
            if name.startswith(prefix):
                outer, _, key = name.removeprefix(prefix).partition("/")
                remembered.setdefault(outer, {})[key] = array
        if is_own(callback):
            _check_memory(callback, remembered, arrays)
        given.append((callback, remembered))
    return given


def _check_memory(callback, remembered, arrays):
    """Object to what a callback of the package would not have remembered."""
    kind = type(callback).__name__
    if remembered.keys() != callback.state().keys():
        raise ValueError(f"got {sorted(remembered)} of {kind}, expected {sorted(callback.state())}")
    for name, value in remembered.items():
        of_model = isinstance(value, dict) and all(
            key in arrays and (arrays[key].shape, arrays[key].dtype) == (array.shape, array.dtype)
            for key, array in value.items() if isinstance(array, np.ndarray))
        if not (of_model or value is None or isinstance(value, (bool, int, float))):
            raise ValueError(f"got {name} of {kind} of another kind, expected a number or the model's arrays")


def _outline(description):
    """Return what has to be the same of a model: layer by layer, the head, the dtype, the shape of a row."""
    layers = {f"layer {i}": layer for i, layer in enumerate(description["layers"])}
    return {**layers, "head": description["head"], "dtype": description["dtype"],
            "input_shape": list(description["input_shape"])}


def _compare(path, saved, given):
    """Raise DataError with the first thing that is not as it was."""
    given = json.loads(json.dumps(given))
    for name in [*given, *(saved.keys() - given.keys())]:
        if saved.get(name) != given.get(name):
            raise DataError(f"{path}: got {name} {_short(given.get(name))}, expected "
                            f"{_short(saved.get(name))} as in the backup; go on with what it was, or remove "
                            "the file to begin anew")


def _short(value):
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}..."
