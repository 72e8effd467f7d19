"""What looks on while an estimator is fitted: callbacks, and rows whose loss is noted after every epoch."""
from collections.abc import Sequence
from typing import Any

from .._numba.jit import Stopwatch
from ..inputs.batches import Examples
from ..metrics import Metrics
from ..model import Sequential
from ..optimizers import Optimizer
from ..training.backup import BackupAndRestore
from ..training.callbacks import as_callbacks, call_all, of_batches
from ..training.loop import Evaluation
from ..training.state import TrainingState
from .solvers import Objective


class Watch:
    """Callbacks of a fit, and its validation rows.

    Attributes
    ----------
    losses : list of float
        Of the validation rows, epoch by epoch, in the units of the ``loss_curve_``, without alpha's part.
    """

    def __init__(self, model: Sequential, optimizer: Optimizer, objective: Objective,
                 callbacks: Sequence[Any], validation: Examples | None, scores: bool):
        self._callbacks, self._objective = as_callbacks(callbacks), objective
        self.losses: list[float] = []
        if any(isinstance(callback, BackupAndRestore) for callback in self._callbacks):
            raise TypeError("callbacks: got BackupAndRestore, expected others: it is for Sequential.fit; an "
                            "estimator goes on with warm_start or partial_fit")
        self._of_batches = of_batches(self._callbacks)
        metrics = Metrics(model.head, model.graph.shapes[-1][-1])
        self._validation = validation
        self._evaluation = None if validation is None else Evaluation(validation, metrics, repeated=True)
        measured = ("loss", *["val_loss"] * (validation is not None), *["validation_score"] * scores)
        self.state = TrainingState(optimizer, model.graph.seed, model, metrics, measured, watch=Stopwatch())

    def begin(self):
        """Call the callbacks before the first epoch."""
        call_all(self._callbacks, "on_train_begin", self.state, {})

    def epoch_begins(self):
        """Call the callbacks before an epoch."""
        call_all(self._callbacks, "on_epoch_begin", self.state, {})

    def batch_ends(self, loss: float) -> bool:
        """Call those that ask for it after a batch; return whether the training shall end."""
        if self._of_batches:
            call_all(self._of_batches, "on_batch_end", self.state, {"loss": loss})
        return self.state.stop

    def measure(self) -> dict[str, Any]:
        """Return ``{"val_loss": ...}`` after an epoch, where there are rows for it."""
        data = self._validation
        if self._evaluation is None or data is None:
            return {}
        mean = self._evaluation.run()["loss"]
        self.losses.append(float(self._objective.in_its_units(mean, data.y, data.w)))
        return {"val_loss": self.losses[-1]}

    def epoch_ends(self, logs: dict[str, Any]) -> bool:
        """Call the callbacks after an epoch; return whether the training shall end."""
        if not self._callbacks:    # which is most often so, and epochs may be short
            return False
        self.state.history.add(self.state.epoch, {**logs, "seconds": self.state.seconds()})
        call_all(self._callbacks, "on_epoch_end", self.state, logs)
        self.state.epoch += 1
        return self.state.stop

    def end(self):
        """Call the callbacks after the last epoch."""
        logs = {name: values[-1] for name, values in self.state.history.history.items()}
        call_all(self._callbacks, "on_train_end", self.state, logs)
