"""Training: its state, the epoch loop, callbacks, the history and the progress that is shown."""
from .history import History
from .loop import Evaluation, fit, make_plan
from .state import TrainingState

__all__ = ["Evaluation", "History", "TrainingState", "fit", "make_plan"]
