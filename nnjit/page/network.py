"""A trained network as plain values, which network.js runs in the page."""
from typing import Any

import numpy as np

from ..heads import Bernoulli, Categorical
from ..layers import (
    ELU,
    GELU,
    AveragePool2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePool2D,
    GlobalMaxPool2D,
    LeakyReLU,
    MaxPool2D,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from ..layers.windows import as_pair, slide
from ..model import Sequential
from ..report.details import encoded

_ELEMENTWISE = (ReLU, Tanh, Sigmoid, SiLU, Softplus, GELU, LeakyReLU, ELU)


def describe(model: Sequential) -> dict[str, Any] | None:
    """Return the layers and the head, or None where the page can't run one of them."""
    if type(model.head) not in (Categorical, Bernoulli) or len(model.graph.shapes[-1]) != 1:
        return None
    if type(model.head) is Bernoulli and model.graph.shapes[-1] != (1,):
        return None
    layers, shape = [], model.input_shape
    for layer, output in zip(model.layers, model.graph.shapes):
        found = None if layer.only_trains or isinstance(layer, Flatten) else _layer(layer, shape, output)
        if found == {}:
            return None
        if found:
            layers.append(found)
        shape = output
    return {"layers": layers, "head": type(model.head).__name__, "input": list(model.input_shape),
            "temperature": float(getattr(model.head, "temperature", 1.0))}


def _layer(layer, shape, output):
    """Return a layer's description, {} where there is none."""
    kind = type(layer)
    if kind is Dense:
        return {"kind": "Dense", "shape": list(layer.shapes["W"]), **_weights(layer)}
    if kind is Conv2D and layer.groups > 1:
        return {}
    if kind is Conv2D:
        return {"kind": "Conv2D", **_weights(layer), **_window(layer, layer.kernel_size, shape, output)}
    if kind is AveragePool2D and layer.count_padding:
        return {}
    if kind in (MaxPool2D, AveragePool2D):
        return {"kind": kind.__name__, **_window(layer, layer.pool_size, shape, output)}
    if kind in (GlobalAveragePool2D, GlobalMaxPool2D):
        return {"kind": "AveragePool2D" if kind is GlobalAveragePool2D else "MaxPool2D",
                "input": list(shape), "output": [1, 1, shape[2]], "window": list(shape[:2]),
                "strides": [1, 1], "dilation": [1, 1], "top": 0, "left": 0}
    if kind is BatchNormalization:
        scale, shift = _affine(layer)
        return {"kind": "Scale", "scale": _text(scale), "shift": _text(shift)}
    if kind in _ELEMENTWISE:
        slope = getattr(layer, "negative_slope", getattr(layer, "alpha", None))
        return {"kind": kind.__name__, **({} if slope is None else {"slope": float(slope)})}
    return {}


def _weights(layer):
    W, b = layer.parameters["W"], layer.parameters["b"]
    return {"W": _text(W), **({"b": _text(b)} if b.size else {})}


def _window(layer, size, shape, output):
    """Return where a window slides over an image, with what of its padding lies above and on the left."""
    dilation = as_pair(getattr(layer, "dilation", 1))
    _, corner = slide(type(layer).__name__, shape[:2], size, layer.strides, layer.padding, dilation)
    return {"input": list(shape), "output": list(output), "window": list(as_pair(size)),
            "strides": list(as_pair(layer.strides)), "dilation": list(dilation), "top": corner[0],
            "left": corner[1]}


def _affine(layer):
    """Return scale and shift of the channels of a trained BatchNormalization."""
    arrays = {**layer.parameters, **layer.state}
    inverse = 1 / np.sqrt(np.asarray(arrays["moving_variance"], float) + layer.epsilon)
    gamma = np.asarray(arrays["gamma"], float) if arrays.get("gamma", inverse[:0]).size else 1.0
    beta = np.asarray(arrays["beta"], float) if arrays.get("beta", inverse[:0]).size else 0.0
    return gamma * inverse, beta - gamma * inverse * arrays["moving_mean"]


def _text(array):
    return encoded(np.asarray(array, np.float32))
