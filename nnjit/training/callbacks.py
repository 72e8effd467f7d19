"""Callbacks: what is done at certain moments of a training. Names and arguments are Keras's.

A callback is given the `TrainingState` and the logs, what was measured. It ends the training with
``state.stop = True``. What it remembers from one moment to the next is its `Callback.state`, a part of the
training's: a callback that has nothing else goes on after an interruption as if there had been none.
"""
import csv
import io
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..inputs.checks import check_count, check_real, shown
from ..replacing import append, replacing_text
from .history import Logs
from .state import TrainingState

MAXIMISED = ("accuracy", "auc", "precision", "recall", "f1", "r2", "kappa", "exact_match")


class Callback:
    """The base class of callbacks; each method does nothing by default.

    ``logs`` are ``{"loss": ..., "accuracy": ..., "val_loss": ...}`` after an epoch, those of one batch after
    a batch, and empty at a beginning. ``state.epoch`` is the number of the epoch that runs or has just
    ended, from 0.
    """

    def on_train_begin(self, state: TrainingState, logs: Logs) -> None:
        """Called before the first epoch; an exception here is raised before anything is trained."""

    def on_train_end(self, state: TrainingState, logs: Logs) -> None:
        """Called after the last epoch, with its logs; not where the training ends with an exception."""

    def on_epoch_begin(self, state: TrainingState, logs: Logs) -> None:
        """Called before an epoch."""

    def on_epoch_end(self, state: TrainingState, logs: Logs) -> None:
        """Called after an epoch and its validation."""

    def on_batch_end(self, state: TrainingState, logs: Logs) -> None:
        """Called after every step; a class that leaves this method as it is costs a batch nothing."""

    def state(self) -> dict[str, Any]:
        """Return what it remembers: plain values and arrays by name."""
        return {}

    def load_state(self, values: dict[str, Any]) -> None:
        """Remember what `state` returned."""
        for name, value in values.items():
            setattr(self, name, value)


# what `fit` takes: callbacks, and functions of (model, epoch, logs)
Callbacks = Sequence[Callback | Callable[[Any, int, Logs], Any]]


def as_callbacks(given: Callbacks) -> tuple[Callback, ...]:
    """Return callbacks, and functions of (model, epoch, logs) as such; TypeError for anything else."""
    expected = "a list of callbacks such as EarlyStopping(), or functions of (model, epoch, logs)"
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"callbacks: got {shown(given)}, expected {expected}")
    for one in given:
        if isinstance(one, type) or not (isinstance(one, Callback) or callable(one)):
            raise TypeError(f"callbacks: got {shown(one)} in the list, expected {expected}")
    found = tuple(one if isinstance(one, Callback) else _Function(one) for one in given)
    if len(set(map(id, found))) < len(found):
        raise ValueError("callbacks: got the same one twice, expected each once")
    return found


def call_all(callbacks: Sequence[Callback], moment: str, state: TrainingState, logs: Logs) -> None:
    """Call the method ``moment`` of all of them."""
    for callback in callbacks:
        getattr(callback, moment)(state, logs)


def of_batches(callbacks: Sequence[Callback]) -> list[Callback]:
    """Return those that have a method of their own for the end of a batch."""
    return [callback for callback in callbacks if "on_batch_end" in vars(callback)
            or type(callback).on_batch_end is not Callback.on_batch_end]


class _Function(Callback):
    """A plain function, called after every epoch, which ends the training by returning True."""

    def __init__(self, function):
        self.function = function

    def on_epoch_end(self, state: TrainingState, logs: Logs) -> None:
        answer = self.function(state.model, state.epoch, logs)
        state.stop |= isinstance(answer, (bool, np.bool_)) and bool(answer)


class LambdaCallback(Callback):
    """A callback made of functions: ``on_epoch_begin(epoch, logs)``, ``on_epoch_end(epoch, logs)``,
    ``on_batch_end(batch, logs)``, ``on_train_begin(logs)`` and ``on_train_end(logs)``.

    ``batch`` is the number of steps that have been taken.
    """

    def __init__(self, on_epoch_begin: Callable[[int, Logs], Any] | None = None,
                 on_epoch_end: Callable[[int, Logs], Any] | None = None,
                 on_train_begin: Callable[[Logs], Any] | None = None,
                 on_train_end: Callable[[Logs], Any] | None = None,
                 on_batch_end: Callable[[int, Logs], Any] | None = None):
        given = {"on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_batch_end": on_batch_end,
                 "on_train_begin": on_train_begin, "on_train_end": on_train_end}
        for name, function in given.items():
            if not (function is None or callable(function)):
                raise TypeError(f"LambdaCallback {name}: got {function!r}, expected a function or None")
        self._functions = {name: function for name, function in given.items() if function is not None}
        if on_batch_end is not None:    # else there is none, and a batch costs nothing
            self.on_batch_end = (    # type: ignore[method-assign]    # of this object
                lambda state, logs: on_batch_end(state.steps, logs))

    def on_train_begin(self, state: TrainingState, logs: Logs) -> None:
        self._call("on_train_begin", logs)

    def on_train_end(self, state: TrainingState, logs: Logs) -> None:
        self._call("on_train_end", logs)

    def on_epoch_begin(self, state: TrainingState, logs: Logs) -> None:
        self._call("on_epoch_begin", state.epoch, logs)

    def on_epoch_end(self, state: TrainingState, logs: Logs) -> None:
        self._call("on_epoch_end", state.epoch, logs)

    def _call(self, name, *arguments):
        if name in self._functions:
            self._functions[name](*arguments)


# ---- what watches a figure ---------------------------------------------------------------------------------

class Monitor(Callback):
    """What callbacks share that watch a figure of the logs: which it is, and whether one is better.

    Parameters
    ----------
    monitor : str
        Its name in the logs; what is not measured is a ValueError before the training, which lists what is.
    mode : "auto", "min" or "max"
        Whether less or more is better; "auto" takes more for what is known to be so, such as accuracy.
    min_delta : float
        An improvement is more than this.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float):
        if not isinstance(monitor, str):
            raise TypeError(f"monitor: got {monitor!r}, expected the name of a figure such as 'val_loss'")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode: got {mode!r}, expected 'auto', 'min' or 'max'")
        self.monitor, self.mode = monitor, mode
        self.min_delta = abs(check_real("min_delta", min_delta))
        self.reset()

    def on_train_begin(self, state: TrainingState, logs: Logs) -> None:
        if self.monitor not in state.measured:
            hint = "; give validation_data or validation_split" if self.monitor.startswith("val_") else ""
            raise ValueError(f"monitor: got {self.monitor!r}, expected one of {', '.join(state.measured)}"
                             f"{hint}")
        if not state.resumed:    # else it goes on with what it remembers
            self.reset()

    def reset(self) -> None:
        """Forget the trainings before."""
        self.best: float | None = None

    def improved(self, logs: Logs) -> bool | None:
        """Return whether the figure is better than the best so far, which it then is; None where this epoch
        has none.
        """
        value = logs.get(self.monitor)
        if value is None:
            return None
        if self.best is not None and not self._is_better(value, self.best):
            return False
        if math.isnan(value):
            return False
        self.best = float(value)
        return True

    def _is_better(self, value, best):
        return value > best + self.min_delta if self.maximises() else value < best - self.min_delta

    def maximises(self) -> bool:
        """Return whether more is better."""
        if self.mode != "auto":
            return self.mode == "max"
        return any(name in self.monitor for name in MAXIMISED)

    def state(self) -> dict[str, Any]:
        return {"best": self.best}


class EarlyStopping(Monitor):
    """Ends the training after ``patience`` epochs in a row in which the figure did not improve.

    With ``restore_best_weights`` the model ends with the parameters and the state of the best epoch; without,
    with the last ones.
    """

    def __init__(self, monitor: str = "val_loss", min_delta: float = 0.0, patience: int = 0,
                 mode: str = "auto", restore_best_weights: bool = False):
        super().__init__(monitor, mode, min_delta)
        self.patience = check_count("patience", patience, least=0)
        self.restore_best_weights = bool(restore_best_weights)

    def reset(self) -> None:
        super().reset()
        self.wait = 0
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self.best_weights: dict[str, np.ndarray] = {}

    def on_epoch_end(self, state: TrainingState, logs: Logs) -> None:
        better = self.improved(logs)
        if better:
            self.wait, self.best_epoch = 0, state.epoch
            if self.restore_best_weights:
                arrays = state.model.graph.arrays()
                self.best_weights = {name: array.copy() for name, array in arrays.items()}
        elif better is not None:
            self.wait += 1
            if self.wait >= max(1, self.patience):
                self.stopped_epoch, state.stop = state.epoch, True

    def on_train_end(self, state: TrainingState, logs: Logs) -> None:
        for name, array in state.model.graph.arrays().items():
            if name in self.best_weights:
                array[...] = self.best_weights[name]

    def state(self) -> dict[str, Any]:
        return {**super().state(), "wait": self.wait, "best_epoch": self.best_epoch,
                "stopped_epoch": self.stopped_epoch, "best_weights": dict(self.best_weights)}


class ReduceLROnPlateau(Monitor):
    """Multiplies the learning rate by ``factor`` after ``patience`` epochs in a row without an improvement.

    Then ``cooldown`` epochs do not count. It does not go below ``min_lr``.
    """

    def __init__(self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, mode: str = "auto",
                 min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0):
        super().__init__(monitor, mode, min_delta)
        self.factor = check_real("factor", factor)
        if not 0 < self.factor < 1:
            raise ValueError(f"factor: got {factor}, expected a number between 0 and 1")
        self.patience = check_count("patience", patience)
        self.cooldown = check_count("cooldown", cooldown, least=0)
        self.min_lr = check_real("min_lr", min_lr)

    def reset(self) -> None:
        super().reset()
        self.wait = self.cooling = 0

    def on_train_begin(self, state: TrainingState, logs: Logs) -> None:
        super().on_train_begin(state, logs)
        _check_number(state, "ReduceLROnPlateau")

    def on_epoch_end(self, state: TrainingState, logs: Logs) -> None:
        better = self.improved(logs)
        if better is None:
            return
        if self.cooling:
            self.cooling, self.wait = self.cooling - 1, 0
        if better:
            self.wait = 0
        elif not self.cooling:
            self.wait += 1
            rate: Any = state.optimizer.learning_rate    # a number: that has been checked
            if self.wait >= self.patience and rate > self.min_lr:
                state.optimizer.learning_rate = max(rate * self.factor, self.min_lr)
                self.cooling, self.wait = self.cooldown, 0

    def state(self) -> dict[str, Any]:
        return {**super().state(), "wait": self.wait, "cooling": self.cooling}


class ModelCheckpoint(Monitor):
    """Saves the model after every epoch, or with ``save_best_only`` where the figure has improved.

    ``filepath`` may name the epoch, from 1, and the figures: ``"digits-{epoch:02d}-{val_loss:.2f}.npz"``.
    """

    def __init__(self, filepath: str | Path, monitor: str = "val_loss", save_best_only: bool = False,
                 mode: str = "auto"):
        super().__init__(monitor, mode, 0.0)
        self.filepath, self.save_best_only = os.fspath(filepath), bool(save_best_only)

    def on_train_begin(self, state: TrainingState, logs: Logs) -> None:
        if self.save_best_only:
            super().on_train_begin(state, logs)
        try:
            self.filepath.format(epoch=1, **dict.fromkeys(state.measured, 0.5))
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"filepath: got {self.filepath!r}, expected a path with epoch and some of "
                             f"{', '.join(state.measured)} in braces ({error})") from None

    def on_epoch_end(self, state: TrainingState, logs: Logs) -> None:
        if self.improved(logs) or not self.save_best_only:
            figures = {**dict.fromkeys(state.measured, math.nan), **logs}
            state.model.save(self.filepath.format(epoch=state.epoch + 1, **figures))


# ---- the learning rate, files, trouble ---------------------------------------------------------------------

class LearningRateScheduler(Callback):
    """Sets the learning rate before every epoch to ``schedule(epoch, rate)``, from the one so far."""

    def __init__(self, schedule: Callable[[int, float], float]):
        if not callable(schedule):
            raise TypeError(f"schedule: got {schedule!r}, expected a function of (epoch, learning rate)")
        self.schedule = schedule

    def on_train_begin(self, state: TrainingState, logs: Logs) -> None:
        _check_number(state, "LearningRateScheduler")

    def on_epoch_begin(self, state: TrainingState, logs: Logs) -> None:
        rate: Any = state.optimizer.learning_rate    # a number: that has been checked
        state.optimizer.learning_rate = self.schedule(state.epoch, rate)


class CSVLogger(Callback):
    """Writes a row for every epoch into a CSV file: ``epoch`` and the logs, by name, NA where one is missing.

    A training that goes on writes on; another begins the file anew unless ``append`` says otherwise.
    """

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False):
        if not (isinstance(separator, str) and len(separator) == 1):
            raise ValueError(f"separator: got {separator!r}, expected one character")
        self.filename, self.separator, self.append = os.fspath(filename), separator, bool(append)

    def on_train_begin(self, state: TrainingState, logs: Logs) -> None:
        """Write the header, and the epochs that were trained before."""
        self._columns = ["epoch", *sorted({*state.measured, "seconds"})]
        fresh = not self.append or not os.path.exists(self.filename) or os.path.getsize(self.filename) == 0
        if fresh:
            with replacing_text(self.filename) as file:
                file.write(self._lines(self._columns, *map(self._cells, state.history.rows())))

    def on_epoch_end(self, state: TrainingState, logs: Logs) -> None:
        append(self.filename, self._lines(self._cells({"epoch": state.epoch, **logs})))

    def _cells(self, row):
        return [row.get(name, "NA") for name in self._columns]

    def _lines(self, *rows):
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self.separator).writerows(rows)
        return text.getvalue()


class TerminateOnNaN(Callback):
    """Ends the training at the first batch whose loss is not finite."""

    def on_batch_end(self, state: TrainingState, logs: Logs) -> None:
        state.stop |= not math.isfinite(logs["loss"])


def _check_number(state, name):
    rate = state.optimizer.learning_rate
    if callable(rate):
        raise TypeError(f"{name}: got the learning rate {rate!r}, expected a number, which it can set")
