"""The layers as operators of ONNX: for each kind a function that adds them to a graph."""
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..layers import (
    ELU,
    GELU,
    GRU,
    LSTM,
    AveragePool2D,
    BatchNormalization,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    LayerNormalization,
    LeakyReLU,
    Masking,
    MaxPool2D,
    RandomFlip,
    RandomShift,
    ReLU,
    Residual,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
    ZeroPadding2D,
)


@dataclass
class Nodes:
    """The operators and the constants of a graph."""

    helper: Any    # onnx.helper
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes):
        """Add an operator; return the name of its output, or of several."""
        names = [f"{operator.lower()}_{len(self.nodes)}{f'_{k}' * (k > 0)}" for k in range(outputs)]
        self.nodes.append(self.helper.make_node(operator, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, values, dtype=np.float32) -> str:
        """Return the name of a constant."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(values, dtype)
        return name

    def integers(self, *values) -> str:
        """Return the name of a constant of whole numbers."""
        return self.constant(values, np.int64)

    def cast(self, name: str, kind: int) -> str:
        """Return a value as another type of ``onnx.TensorProto``."""
        return self.add("Cast", name, to=kind)


@dataclass(frozen=True)
class Value:
    """What flows through the graph.

    Attributes
    ----------
    name : of the value
    shape : of a row, as it is here
    channels_first : whether images or sequences lie as ONNX's convolutions take them
    mask : the name of which steps are valid, (N, T) of bool, or None
    """

    name: str
    shape: tuple[Any, ...]
    channels_first: bool = False
    mask: str | None = None


def add_layer(graph: Nodes, layer, value: Value, shape: tuple[Any, ...]) -> Value:
    """Add a layer, whose output has rows of a ``shape``; ValueError for one that has no operators."""
    function = LAYERS.get(type(layer))
    if function is None:
        raise ValueError(f"to_onnx: got {layer!r}, for which there is no operator, expected the library's "
                         "own layers")
    return replace(function(graph, layer, value, shape), shape=shape)


def channels_last(graph: Nodes, value: Value) -> Value:
    """Return the value as it is here."""
    if not value.channels_first:
        return value
    axes = [0, *range(2, len(value.shape) + 1), 1]
    return replace(value, name=graph.add("Transpose", value.name, perm=axes), channels_first=False)


def channels_first(graph: Nodes, value: Value) -> Value:
    """Return the value as ONNX's convolutions take it."""
    if value.channels_first:
        return value
    n = len(value.shape)
    axes = [0, n, *range(1, n)]
    return replace(value, name=graph.add("Transpose", value.name, perm=axes), channels_first=True)


# ---- elementwise, dense ------------------------------------------------------------------------------------

def _same(graph, layer, value, shape):
    return value


def _operator(name, *constants):
    """Return the function of an activation that is one operator, with attributes from the layer."""
    def add(graph, layer, value, shape):
        attributes = {onnx: float(getattr(layer, own)) for onnx, own in constants}
        return replace(value, name=graph.add(name, value.name, **attributes))
    return add


def _silu(graph, layer, value, shape):
    return replace(value, name=graph.add("Mul", value.name, graph.add("Sigmoid", value.name)))


def _gelu(graph, layer, value, shape):
    erf = graph.add("Erf", graph.add("Mul", value.name, graph.constant(np.sqrt(0.5))))
    half = graph.add("Mul", value.name, graph.constant(0.5))
    return replace(value, name=graph.add("Mul", half, graph.add("Add", erf, graph.constant(1.0))))


def _dense(graph, layer, value, shape):
    value = channels_last(graph, value)
    name = graph.add("MatMul", value.name, graph.constant(layer.parameters["W"]))
    if layer.bias:
        name = graph.add("Add", name, graph.constant(layer.parameters["b"]))
    return replace(value, name=name)


def _flatten(graph, layer, value, shape):
    return replace(value, name=graph.add("Flatten", channels_last(graph, value).name, axis=1),
                   channels_first=False)


def _masking(graph, layer, value, shape):
    """The mask, and what is masked as 0: it may hold anything."""
    if np.isnan(layer.mask_value):
        other = graph.add("Not", graph.add("IsNaN", value.name))
    else:
        other = graph.add("Not", graph.add("Equal", value.name, graph.constant(layer.mask_value)))
    count = graph.add("ReduceSum", graph.cast(other, _INT64), graph.integers(2), keepdims=0)
    valid = graph.add("Greater", count, graph.integers(0))
    valid = graph.add("And", valid, value.mask)
    zero = graph.constant(0.0)
    name = graph.add("Where", graph.add("Unsqueeze", valid, graph.integers(2)), value.name, zero)
    return replace(value, name=name, mask=valid)


# ---- windows -----------------------------------------------------------------------------------------------

def _pads(size, outputs, window, strides, dilation, corner):
    """Return ONNX's pads, (top, left, bottom, right), of windows with the first at ``corner`` before 0."""
    after = [max(0, (count - 1) * s + (k - 1) * d + 1 - n - before) for n, count, k, s, d, before in
             zip(size, outputs, window, strides, dilation, corner)]
    return [*corner, *after]


def _convolution(graph, layer, value, shape):
    """Of images, or of sequences with their valid steps only."""
    W, dimensions = layer.parameters["W"], len(shape) - 1
    if value.mask is not None:
        value = _only_valid(graph, value)
    value = channels_first(graph, value)
    strides, dilation = (pair[-dimensions:] for pair in layer._steps())
    corner = layer.corner[-dimensions:]
    pads = _pads(value.shape, shape, W.shape, strides, dilation, corner)
    weights = graph.constant(W.transpose(dimensions + 1, dimensions, *range(dimensions)))
    biases = [graph.constant(layer.parameters["b"])] * bool(layer.bias)
    name = graph.add("Conv", value.name, weights, *biases, strides=strides, dilations=dilation, pads=pads,
                     group=layer.groups, kernel_shape=W.shape[:dimensions])
    mask = value.mask and _mask_after(graph, layer, value.mask)
    return replace(value, name=name, mask=mask)


def _only_valid(graph, value):
    """Return sequences with 0 in masked steps."""
    value = channels_last(graph, value)
    shown = graph.add("Unsqueeze", value.mask, graph.integers(2))
    return replace(value, name=graph.add("Where", shown, value.name, graph.constant(0.0)))


def _mask_after(graph, layer, mask):
    """Return which steps a convolution of sequences leaves valid."""
    if layer.padding != "valid":
        if layer.strides == 1:
            return mask
        return graph.add("Slice", mask, graph.integers(0), graph.integers(2**31 - 1), graph.integers(1),
                         graph.integers(layer.strides))
    masked = graph.cast(graph.add("Unsqueeze", graph.add("Not", mask), graph.integers(1)), _FLOAT)
    any_masked = graph.add("MaxPool", masked, kernel_shape=[layer.kernel_size], strides=[layer.strides],
                           dilations=[layer.dilation])
    return graph.add("Less", graph.add("Squeeze", any_masked, graph.integers(1)), graph.constant(0.5))


def _transposed(graph, layer, value, shape):
    value = channels_first(graph, value)
    W = layer.parameters["W"]
    strides, dilation = layer._steps()
    pads, more = [], []
    for n, length, k, s, d, before in zip(value.shape, shape, W.shape, strides, dilation, layer.corner):
        after = (n - 1) * s + (k - 1) * d + 1 - length - before
        pads.append(max(after, 0))
        more.append(max(-after, 0))
    weights = graph.constant(W.transpose(3, 2, 0, 1))
    biases = [graph.constant(layer.parameters["b"])] * bool(layer.bias)
    name = graph.add("ConvTranspose", value.name, weights, *biases, strides=strides, dilations=dilation,
                     pads=[*layer.corner, *pads], output_padding=more, group=layer.groups,
                     kernel_shape=W.shape[:2])
    return replace(value, name=name)


def _pool(name):
    def add(graph, layer, value, shape):
        value = channels_first(graph, value)
        window, strides, corner = layer.windows
        pads = _pads(value.shape, shape, window, strides, (1, 1), corner)
        options = {"count_include_pad": int(layer.count_padding)} if name == "AveragePool" else {}
        pooled = graph.add(name, value.name, kernel_shape=window, strides=strides, pads=pads, **options)
        return replace(value, name=pooled)
    return add


def _over_pixels(operator):
    def add(graph, layer, value, shape):
        pooled = graph.add(operator, channels_first(graph, value).name)
        return replace(value, name=graph.add("Flatten", pooled, axis=1), channels_first=False)
    return add


def _zero_padding(graph, layer, value, shape):
    (top, bottom), (left, right) = layer.padding
    value = channels_last(graph, value)
    pads = graph.integers(0, top, left, 0, 0, bottom, right, 0)
    return replace(value, name=graph.add("Pad", value.name, pads))


# ---- normalisation, two ways -------------------------------------------------------------------------------

def _batch_normalization(graph, layer, value, shape):
    value = channels_first(graph, value) if len(shape) > 1 else value
    names = [graph.constant(array) for array in (layer.gamma, layer.beta, *layer.state.values())]
    return replace(value, name=graph.add("BatchNormalization", value.name, *names,
                                         epsilon=float(layer.epsilon)))


def _layer_normalization(graph, layer, value, shape):
    value = channels_last(graph, value)
    names = [graph.constant(layer.gamma), graph.constant(layer.beta)]
    return replace(value, name=graph.add("LayerNormalization", value.name, *names, axis=-1,
                                         epsilon=float(layer.epsilon)))


def _residual(graph, layer, value, shape):
    ends = []
    for way in layer.layers, layer.shortcut:
        end = value
        for inner, its_shape in zip(way, way.shapes):
            end = add_layer(graph, inner, end, its_shape)
        ends.append(channels_last(graph, end))
    return replace(ends[0], name=graph.add("Add", *(end.name for end in ends)))


# ---- sequences ---------------------------------------------------------------------------------------------

def _recurrent(graph, layer, value, shape):
    """GRU or LSTM over the valid steps: these are moved to the front, the outputs back to their places."""
    value = channels_last(graph, value)
    mask = value.mask
    count = graph.add("ReduceSum", graph.cast(mask, _INT64), graph.integers(1), keepdims=0)
    front = graph.add("Transpose", _moved_to_front(graph, value.name, mask), perm=[1, 0, 2])
    operator, weights = ("GRU" if type(layer) is GRU else "LSTM"), _recurrent_weights(layer)
    options = {"linear_before_reset": int(layer.reset_after)} if operator == "GRU" else {}
    outputs = graph.add(operator, front, *map(graph.constant, weights), graph.cast(count, _INT32), outputs=2,
                        hidden_size=layer.units, **options,
                        direction="reverse" if layer.go_backwards else "forward")
    if not layer.return_sequences:
        return replace(value, name=graph.add("Squeeze", outputs[1], graph.integers(0)), mask=None)
    every = graph.add("Transpose", graph.add("Squeeze", outputs[0], graph.integers(1)), perm=[1, 0, 2])
    numbered = graph.add("CumSum", graph.cast(mask, _INT64), graph.integers(1))
    rank = graph.add("Sub", numbered, graph.integers(1))
    if layer.go_backwards:    # the first output that was computed stands last
        last = graph.add("Unsqueeze", graph.add("Sub", count, graph.integers(1)), graph.integers(1))
        rank = graph.add("Sub", last, rank)
    rank = graph.add("Max", rank, graph.integers(0))
    placed = _gathered(graph, every, rank)
    shown = graph.add("Unsqueeze", mask, graph.integers(2))
    return replace(value, name=graph.add("Where", shown, placed, graph.constant(0.0)))


def _moved_to_front(graph, x, mask):
    """Return the steps of x (N, T, D) with the valid ones first, in their order."""
    steps = graph.add("CumSum", graph.add("ConstantOfShape", graph.add("Shape", mask), value=_one(graph)),
                      graph.integers(1))
    later = graph.add("Mul", graph.cast(graph.add("Not", mask), _INT64), graph.integers(2**31))
    length = graph.add("Slice", graph.add("Shape", mask), graph.integers(1), graph.integers(2))
    _, order = graph.add("TopK", graph.add("Add", steps, later), length, outputs=2, axis=1, largest=0,
                         sorted=1)
    return _gathered(graph, x, order)


def _one(graph):
    return graph.helper.make_tensor("one", _INT64, [1], [1])


def _gathered(graph, x, order):
    """Return x (N, T, D) with the steps ``order`` (N, T)."""
    places = graph.add("Expand", graph.add("Unsqueeze", order, graph.integers(2)), graph.add("Shape", x))
    return graph.add("GatherElements", x, places, axis=1)


def _recurrent_weights(layer):
    """Return ONNX's W (1, gates H, D), R (1, gates H, H) and B (1, 2 gates H); its LSTM's gates are i, o, f,
    c.
    """
    order = (0, 1, 2) if layer.gates == 3 else (0, 3, 1, 2)

    def gates_of(array):
        return np.concatenate([np.split(array, layer.gates, axis=-1)[k] for k in order], axis=-1)

    b = layer.parameters["b"]
    both = np.zeros((2, layer.gates * layer.units))
    if b.size:
        both[:b.reshape(-1, both.shape[1]).shape[0]] = b
    return (gates_of(layer.parameters["W"]).T[None], gates_of(layer.parameters["U"]).T[None],
            gates_of(both).reshape(1, -1))


def _average_of_steps(graph, layer, value, shape):
    value = _only_valid(graph, value)
    total = graph.add("ReduceSum", value.name, graph.integers(1), keepdims=0)
    count = graph.add("ReduceSum", graph.cast(value.mask, _FLOAT), graph.integers(1), keepdims=1)
    return replace(value, name=graph.add("Div", total, count), mask=None)


def _largest_of_steps(graph, layer, value, shape):
    value = channels_last(graph, value)
    shown = graph.add("Unsqueeze", value.mask, graph.integers(2))
    numbers = graph.add("Where", shown, value.name, graph.constant(-np.inf))
    return replace(value, name=graph.add("ReduceMax", numbers, axes=[1], keepdims=0), mask=None)


_FLOAT, _INT32, _INT64 = 1, 6, 7    # of onnx.TensorProto

LAYERS = {
    Dense: _dense, Flatten: _flatten, Dropout: _same, RandomFlip: _same, RandomShift: _same,
    Masking: _masking,
    Tanh: _operator("Tanh"), ReLU: _operator("Relu"), Sigmoid: _operator("Sigmoid"), SiLU: _silu, GELU: _gelu,
    Softplus: _operator("Softplus"), LeakyReLU: _operator("LeakyRelu", ("alpha", "negative_slope")),
    ELU: _operator("Elu", ("alpha", "alpha")), Conv1D: _convolution, Conv2D: _convolution,
    Conv2DTranspose: _transposed, MaxPool2D: _pool("MaxPool"), AveragePool2D: _pool("AveragePool"),
    GlobalAveragePool2D: _over_pixels("GlobalAveragePool"), GlobalMaxPool2D: _over_pixels("GlobalMaxPool"),
    ZeroPadding2D: _zero_padding, BatchNormalization: _batch_normalization,
    LayerNormalization: _layer_normalization, Residual: _residual, GRU: _recurrent, LSTM: _recurrent,
    GlobalAveragePool1D: _average_of_steps, GlobalMaxPool1D: _largest_of_steps,
}
