"""The state of a training: all that decides how it goes on."""
from dataclasses import dataclass, field
from typing import Any

from ..metrics import Metrics
from ..optimizers import Optimizer
from .history import History

SUMS = "loss", "metric", "weight", "penalty", "rows"    # of an epoch, over its batches so far


@dataclass
class TrainingState:
    """Where a training stands, between two batches.

    With the model's parameters and state it is all that the next step depends on: what is random follows from
    the seed, the epoch and the step.
    """

    optimizer: Optimizer    # its hyperparameters, slots and number of steps
    seed: int
    model: Any              # the `Sequential` that is trained
    metrics: Metrics        # those that were asked for
    measured: tuple[str, ...] = ()    # the names of the figures of the logs, without the seconds
    began: int = 0          # the epoch with which this training began
    epoch: int = 0          # the one that is running, or comes next, from 0
    history: History = field(default_factory=History)
    stop: bool = False      # whether the training ends after this batch, or this epoch
    batch: int = 0          # how many batches of the running epoch are done
    sums: Any = None        # what they came to, while they run
    partial: tuple[Any, ...] | None = None    # the same of an epoch that goes on from a backup, until it does
    resumed: bool = False   # whether this training goes on from a backup
    seconds_before: float = 0.0    # those of a training that goes on
    watch: Any = None       # a `Stopwatch`
    diverged: bool = False  # whether a loss was not finite, of which a warning was given

    def seconds(self) -> float:
        """Return the seconds so far, without those in which kernels were compiled."""
        return self.seconds_before + self.watch.seconds

    @property
    def steps(self) -> int:
        """The number of steps that have been taken."""
        return self.optimizer.iterations
