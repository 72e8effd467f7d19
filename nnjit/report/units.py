"""How the hidden units fare while a network is trained: saturated tanh and sigmoid units, dead ReLU units."""
import numpy as np

from ..callbacks import Callback
from ..layers import ReLU, Sigmoid, Tanh

_ROWS = 200          # on which units are looked at
_SATURATED = 0.95    # of its range: beyond it the derivative of tanh is below 0.1


class UnitsWatch(Callback):
    """Notes after an epoch which share of a layer's units is saturated or dead, on some rows.

    Attributes
    ----------
    shares : dict of {layer number: list of float}
        Of tanh and sigmoid layers the share of (row, unit) that is saturated; of ReLU layers that of units
        which are 0 for all the rows. An entry an epoch of `epochs`.
    """

    def __init__(self, rows):
        self.rows, self.epochs, self.shares = rows[:_ROWS], [], {}

    def on_train_begin(self, state, logs):
        if not state.resumed:
            self.epochs, self.shares = [], {}

    def on_epoch_end(self, state, logs):
        watched = [i for i, layer in enumerate(state.model.layers)
                   if isinstance(layer, (ReLU, Sigmoid, Tanh))]
        if not watched or "val_loss" not in logs:
            return
        outputs = state.model.activations(self.rows)
        self.epochs.append(state.epoch)
        for i in watched:
            self.shares.setdefault(str(i), []).append(share(state.model.layers[i], outputs[i]))

    def state(self):
        return {"epochs": list(self.epochs), "shares": {i: list(values) for i, values in self.shares.items()}}


def share(layer, a: np.ndarray) -> float:
    """Return the share of units that are saturated, or dead, in the output ``a`` (N, ...) of a layer."""
    if isinstance(layer, ReLU):
        return float((a.reshape(len(a), -1).max(axis=0) <= 0).mean())
    low = -_SATURATED if isinstance(layer, Tanh) else (1 - _SATURATED) / 2
    high = _SATURATED if isinstance(layer, Tanh) else (1 + _SATURATED) / 2
    return float(((a <= low) | (a >= high)).mean())
