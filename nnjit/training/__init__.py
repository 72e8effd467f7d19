"""Training: its state, the epoch loop, callbacks, the history and the progress that is shown."""
from .callbacks import Callbacks
from .history import History, Logs
from .loop import Evaluation, fit, make_plan
from .state import TrainingState

__all__ = ["Callbacks", "Evaluation", "History", "Logs", "TrainingState", "fit", "make_plan"]
