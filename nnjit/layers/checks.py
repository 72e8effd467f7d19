"""What the list of a network's layers may be."""
from collections.abc import Sequence

from ..memory import Shape
from .base import Layer
from .input import Input
from .masking import Masking


def check_layers(layers: Sequence[Layer | Input]) -> tuple[list[Layer], Shape | None]:
    """Return the layers, with those that ``activation=`` stands for, and the shape of an `Input`, or None."""
    if not isinstance(layers, (list, tuple)):
        raise TypeError(f"layers: got {layers!r}, expected a list of layers")
    shape = None
    if layers and isinstance(layers[0], Input):
        shape, layers = layers[0].shape, layers[1:]
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(f"layers: got {layer!r}, expected layers such as Dense(100), or of a class that "
                            "derives from nn.Layer")
    if not layers:
        raise ValueError("layers: got none, expected at least one layer")
    if any(isinstance(layer, Masking) for layer in layers[1:]):
        raise ValueError("layers: got Masking behind another layer, expected it as the first: it looks at "
                         "the inputs")
    if len(set(map(id, layers))) < len(layers):
        raise ValueError("layers: got the same layer twice, expected a new one at each place")
    found = []
    for layer in layers:
        found.append(layer)
        if getattr(layer, "activation", None) is not None:
            found.append(layer.activation)
            layer.activation = None
    return found, shape
