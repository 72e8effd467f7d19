"""Training: its state, the epoch loop, the history and the progress that is shown."""
from .history import History
from .loop import Plan, evaluate, evaluation_rows, fit
from .state import TrainingState
