"""Training: its state, the epoch loop, the history and the progress that is shown."""
from .history import History
from .loop import evaluate, evaluation_rows, fit, make_plan
from .state import TrainingState
