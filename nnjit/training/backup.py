"""Backups of a training, from which it goes on as if it had never been stopped, to the bit.

A backup is a saved model (`checkpoint`) with all else that decides how the training goes on: the optimiser,
the history, where in which epoch it stands, what the callbacks remember. What is random follows from the
seed and the number of steps, and is not stored.
"""
import contextlib
import dataclasses
import inspect
import json
import os
import re
import signal
import threading
import time
import zlib
from pathlib import Path

import numpy as np

from .. import checkpoint, optimizers, schedules
from .._numba.warning import warn
from ..inputs.checks import DataError, check_count
from ..replacing import partial_of
from .callbacks import Callback
from .history import History
from .state import TrainingState


class BackupAndRestore(Callback):
    """Writes a backup now and then, and where there is one when the training begins, goes on from there.

    So a script that was stopped anywhere, also by ``kill -9`` or a power cut, is run once more, and ends with
    the bits of one that was not: parameters, state, optimiser, history but for the seconds, and what other
    callbacks decided. The number of threads may differ. When the training is over, the backup is removed.

    Parameters
    ----------
    path : str or Path
        The file; `nn.load` reads the model from it. The one before stays until the next is complete.
    every : int or str
        After so many epochs, or as ``"30s"`` after the first batch that ends so many seconds after the last
        backup, so also within an epoch. Then an interrupt waits for the end of the batch, and is preceded by
        a backup; a second one does not wait.
    notes : dict, optional
        Plain values of your own that the backup carries, see `read_notes`.

    Raises
    ------
    DataError
        When the training begins: the backup is damaged; or the model, the data or the settings differ from
        it, of which the message names the first. The number of epochs may be another.

    Warns
    -----
    RuntimeWarning
        Once, where a backup cannot be written: the training goes on, and the last backup is whole.
    """

    def __init__(self, path: str | Path, every: int | str = 1, notes: dict | None = None):
        self.path, self._failed, self._last = Path(os.fspath(path)), False, time.monotonic()
        self.notes, self._pending = dict(notes or {}), None
        given = re.fullmatch(r"(\d+(?:\.\d+)?)\s*s", every) if isinstance(every, str) else None
        if isinstance(every, str) and (given is None or float(given[1]) <= 0):
            raise ValueError(f"every: got {every!r}, expected a number of epochs, or of seconds as '30s'")
        self.epochs = None if given else check_count("every", every)
        self.seconds = float(given[1]) if given else None
        if given:    # else a batch costs nothing
            self.on_batch_end = self._after_batch

    # ---- the moments ---------------------------------------------------------------------------------------

    def begin(self, state: TrainingState, callbacks, settings: dict, data):
        """Take the training's settings and data; go on from the backup if there is one."""
        checkpoint.describe_model(state.model)    # a model that cannot be saved is refused now
        self._callbacks = [one for one in callbacks if one is not self]
        self._settings = {**settings, "optimizer": _described(state.optimizer),
                          "metrics": list(state.metrics.names),
                          "callbacks": [_described(one) for one in self._callbacks if _is_own(one)],
                          **{name: fingerprint(examples) for name, examples in data.items()}}
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial_of(self.path))    # of a process that was killed while it wrote
        self._last = time.monotonic()
        if self.path.exists():
            _restore(self.path, state, self._callbacks, self._settings)

    def between_epochs(self, state: TrainingState):
        """Write a backup if it is time, after all callbacks and with the number of the epoch that comes."""
        self._write_if(self.epochs is not None and state.epoch % self.epochs == 0, state)

    @contextlib.contextmanager
    def interrupts_deferred(self):
        """The context in which signals wait for the end of the batch, and for a backup."""
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        if self.seconds is None or threading.current_thread() is not threading.main_thread():
            numbers = []    # signals belong to the main thread
        before = {number: signal.getsignal(number) for number in numbers}
        before = {number: handler for number, handler in before.items() if callable(handler)}

        def defer(number, frame):
            if self._pending is not None:    # the second one
                before[number](number, frame)
            self._pending = lambda: before[number](number, frame)

        for number in before:
            signal.signal(number, defer)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            pending, self._pending = self._pending, None
        if pending is not None:    # it came after the last batch
            pending()

    def over(self):
        """Remove the backup: the training has come to its end."""
        for path in (self.path, partial_of(self.path)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _after_batch(self, state, logs):
        self._write_if(False, state)

    def _write_if(self, due, state):
        """Write a backup if one is due, or it is time, or before a signal that has waited for it."""
        if due or self._is_time() or self._pending is not None:
            self._write(state)
        if self._pending is not None:
            self._pending()

    def _is_time(self):
        return self.seconds is not None and time.monotonic() - self._last >= self.seconds

    def _write(self, state):
        self._last = time.monotonic()
        description, arrays = _snapshot(state, self._callbacks, self._settings)
        description["training"]["notes"] = self.notes
        try:
            checkpoint.write(self.path, description, arrays)
        except OSError as error:
            if not self._failed:
                self._failed = True
                warn(f"backup: got {error.strerror or error!s} for {self.path}, expected a file that can be "
                     "written; the training goes on without new backups", RuntimeWarning)


# ---- what is written ---------------------------------------------------------------------------------------

def fingerprint(examples) -> dict | None:
    """Return what tells `Examples` from others: shapes, dtypes, and a checksum of all numbers.

    Of a stream it is that of the first block.
    """
    if examples is None:
        return None
    examples = getattr(examples, "first", None) or examples    # of a stream the first block
    found, crc = [], 0
    for array in map(_arrays_of, (examples.x, examples.y, examples.w, examples.mask)):
        for one in array:
            found.append(f"{one.dtype.name} {one.shape}")
            crc = zlib.crc32(np.ascontiguousarray(one).view(np.uint8).reshape(-1), crc)
    return {"arrays": found, "checksum": crc}


def _arrays_of(values):
    """Return the arrays that rows or targets consist of."""
    if values is None:
        return []
    if isinstance(values, np.ndarray):
        return [values]
    if hasattr(values, "by_name"):    # of several heads
        arrays = [array for name in sorted(values.by_name) for array in _arrays_of(values.by_name[name])]
        return arrays + [values.factors[name] for name in sorted(values.factors)]
    if hasattr(values, "indptr"):
        return [np.diff(values.indptr), *_nonzeros(values)]
    return _arrays_of(values.values if hasattr(values, "values") else values.X)


def _nonzeros(rows):
    """Return the indices and the values of `SparseRows`, without the gaps that depend on the threads."""
    indptr = rows.indptr
    ends = np.append(np.flatnonzero(indptr[1:, 0] != indptr[:-1, -1]), len(indptr) - 1)
    begins = np.append(0, ends[:-1] + 1)
    parts = [slice(indptr[first, 0], indptr[last, -1]) for first, last in zip(begins, ends)]
    return [np.concatenate([array[part] for part in parts]) for array in (rows.indices, rows.data)]


def _snapshot(state, callbacks, settings):
    """Return the description and the arrays of a backup."""
    model, optimizer, history = state.model, state.optimizer, state.history
    arrays = {f"optimizer/{name}": array for name, array in optimizer.state(model.graph.layout).items()}
    arrays |= {f"history/{name}": np.array(values, float) for name, values in history.history.items()}
    arrays |= {"history.epochs": np.array(history.epochs, np.int64),
               "history.validated": np.array(history.validated, np.int64)}
    remembered = []
    for k, callback in enumerate(callbacks):
        plain = {}
        for name, value in callback.state().items():
            if isinstance(value, dict) and any(isinstance(one, np.ndarray) for one in value.values()):
                arrays |= {f"callbacks/{k}/{name}/{key}": array for key, array in value.items()}
            else:
                plain[name] = value
        remembered.append([type(callback).__name__, k, plain])
    sums, tally = state.sums.state() if state.sums is not None else (None, [])
    arrays |= {f"tally/{k}": part for k, part in enumerate(tally) if part is not None}
    training = {
        "settings": settings, "optimizer": _described(optimizer), "steps": optimizer.iterations,
        "epoch": state.epoch, "batch": state.batch, "stop": state.stop, "diverged": state.diverged,
        "sums": sums, "tally": len(tally), "callbacks": remembered,
        "compile_seconds": history.compile_seconds, "seconds": state.seconds(),
        "arrays": {name: [list(array.shape), array.dtype.name] for name, array in arrays.items()}}
    return {**checkpoint.describe_model(model), "training": training}, {**model.graph.arrays(), **arrays}


def _is_own(part):
    """Return whether a callback is the package's, and so compared; what functions do is the user's."""
    return type(part).__module__ == Callback.__module__ and type(part).__name__ not in _OF_FUNCTIONS


_OF_FUNCTIONS = "_Function", "LambdaCallback"


def _described(part):
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
    return getattr(module, plain["kind"])(**given)


def give_back(path, model):
    """Give a model that was loaded from a backup its optimiser and its history; others have none."""
    if not checkpoint.has_training(path):
        return
    description, arrays = checkpoint.read(path)
    training = description["training"]
    model.history, model.optimizer = History(), _remade(training["optimizer"], optimizers)
    _fill_history(model.history, training, arrays)
    model.graph.seed = training["settings"]["seed"]
    if model.optimizer is not None:
        _load_slots(model.optimizer, training, arrays, model)
        model.optimizer.claim(model.graph)


def _load_slots(optimizer, training, arrays, model):
    slots = {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith("optimizer/")}
    optimizer.load_state(slots, training["steps"], model.graph.layout)


def _fill_history(history, training, arrays):
    history.history.update({name.partition("/")[2]: array.tolist() for name, array in arrays.items()
                            if name.startswith("history/")})
    history.epochs[:] = arrays["history.epochs"].tolist()
    history.validated[:] = arrays["history.validated"].tolist()
    history.compile_seconds = training["compile_seconds"]


def read_notes(path: str | Path) -> dict:
    """Return the ``notes`` of a backup; DataError where there is none, or it is damaged."""
    if not os.path.exists(path):
        raise DataError(f"{path}: no such backup")
    return checkpoint.read(path)[0].get("training", {}).get("notes", {})


# ---- what is read ------------------------------------------------------------------------------------------

def _restore(path, state, callbacks, settings):
    """Let a training go on from a backup; see `BackupAndRestore` for the errors."""
    description, arrays = checkpoint.read(path)
    training = description.get("training")
    if training is None:
        raise DataError(f"{path}: got a saved model without a training, expected a backup; name another file")
    model = state.model
    _compare(path, {**training["settings"], **_outline(description)},
             {**settings, **_outline(checkpoint.describe_model(model))})
    for name, array in model.graph.arrays().items():
        array[...] = arrays[name]
    _load_slots(state.optimizer, training, arrays, model)
    for name, value in training["optimizer"].items():
        if isinstance(value, float) and name != "momentum":
            setattr(state.optimizer, name, value)    # such as a learning rate that a callback has changed
    _fill_history(state.history, training, arrays)
    state.epoch, state.batch, state.stop = training["epoch"], training["batch"], training["stop"]
    state.diverged, state.resumed = training["diverged"], True
    if training["sums"] is not None:
        tally = [arrays.get(f"tally/{k}") for k in range(training.get("tally", 0))]
        state.partial = training["sums"], tally
    state.seconds_before = training["seconds"]
    _remember(callbacks, training["callbacks"], arrays)


def _remember(callbacks, saved, arrays):
    """Give each callback what the first one of its class, which has not been given yet, remembered."""
    left = list(saved)
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
        callback.load_state(remembered)


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
