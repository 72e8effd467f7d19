"""The callbacks of `Sequential.fit`, by Keras's names; `Callback` is the base class of your own."""
from .training.backup import BackupAndRestore
from .training.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    Monitor,
    ReduceLROnPlateau,
    TerminateOnNaN,
)

__all__ = ["BackupAndRestore", "CSVLogger", "Callback", "EarlyStopping", "LambdaCallback",
           "LearningRateScheduler", "ModelCheckpoint", "Monitor", "ReduceLROnPlateau", "TerminateOnNaN"]
