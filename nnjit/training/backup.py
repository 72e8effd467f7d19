"""Backups of a training, from which it goes on as if it had never been stopped, to the bit.

A backup is a saved model (`checkpoint`) with all else that decides how the training goes on: the optimiser,
the history, where in which epoch it stands, what the callbacks remember. What is random follows from the
seed and the number of steps, and is not stored.
"""
import contextlib
import os
import re
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint
from .._numba.warning import warn
from ..inputs.checks import check_count
from ..replacing import partial_of
from .callbacks import Callback
from .restoring import described, is_own, restore
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

    def __init__(self, path: str | Path, every: int | str = 1, notes: dict[str, Any] | None = None):
        self.path, self._failed, self._last = Path(os.fspath(path)), False, time.monotonic()
        self.notes = dict(notes or {})
        self._pending: Callable[[], Any] | None = None
        given = re.fullmatch(r"(\d+(?:\.\d+)?)\s*s", every) if isinstance(every, str) else None
        if isinstance(every, str) and (given is None or float(given[1]) <= 0):
            raise ValueError(f"every: got {every!r}, expected a number of epochs, or of seconds as '30s'")
        self.epochs = None if given else check_count("every", every)
        self.seconds = float(given[1]) if given else None
        if given:    # else a batch costs nothing
            self.on_batch_end = self._after_batch    # type: ignore[method-assign]    # of this object

    # ---- the moments ---------------------------------------------------------------------------------------

    def begin(self, state: TrainingState, callbacks: Sequence[Callback], settings: dict[str, Any],
              data: dict[str, Any]) -> None:
        """Take the training's settings and data; go on from the backup if there is one."""
        checkpoint.describe_model(state.model)    # a model that cannot be saved is refused now
        self._callbacks = [one for one in callbacks if one is not self]
        self._settings = {**settings, "optimizer": described(state.optimizer),
                          "metrics": list(state.metrics.names),
                          "callbacks": [described(one) for one in self._callbacks if is_own(one)],
                          **{name: fingerprint(examples) for name, examples in data.items()}}
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial_of(self.path))    # of a process that was killed while it wrote
        self._last = time.monotonic()
        if self.path.exists():
            restore(self.path, state, self._callbacks, self._settings)

    def between_epochs(self, state: TrainingState) -> None:
        """Write a backup if it is time, after all callbacks and with the number of the epoch that comes."""
        self._write_if(self.epochs is not None and state.epoch % self.epochs == 0, state)

    @contextlib.contextmanager
    def interrupts_deferred(self) -> Iterator[None]:
        """The context in which signals wait for the end of the batch, and for a backup."""
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        if self.seconds is None or threading.current_thread() is not threading.main_thread():
            numbers = []    # signals belong to the main thread
        before = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}

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

    def over(self) -> None:
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

def fingerprint(examples) -> dict[str, Any] | None:
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
            crc = zlib.crc32(np.ascontiguousarray(one).view(np.uint8).reshape(-1).data, crc)
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
        "settings": settings, "optimizer": described(optimizer), "steps": optimizer.iterations,
        "epoch": state.epoch, "batch": state.batch, "stop": state.stop, "diverged": state.diverged,
        "sums": sums, "tally": len(tally), "callbacks": remembered,
        "compile_seconds": history.compile_seconds, "seconds": state.seconds(),
        "arrays": {name: [list(array.shape), array.dtype.name] for name, array in arrays.items()}}
    return {**checkpoint.describe_model(model), "training": training}, {**model.graph.arrays(), **arrays}
