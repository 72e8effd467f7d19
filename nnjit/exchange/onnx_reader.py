"""Networks from ONNX files that are made of what the library has."""
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import reading
from ..habits import import_extra
from ..heads import Bernoulli, Categorical, Gaussian, Head
from ..inputs.checks import DataError
from ..layers import (
    ELU,
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
    Softplus,
    Tanh,
)
from ..model import Sequential

_LARGEST = 2**31        # bytes of a file
_MOST_PARTS = 100_000   # of its operators, attributes and the like


def from_onnx(path: str | Path, dtype: str = "float32") -> Sequential:
    """Return the network of an ONNX file, built.

    One way from one input to one output, of Gemm, MatMul and Add, Conv and pools of images,
    BatchNormalization, Relu, LeakyRelu, Elu, Tanh, Sigmoid, Softplus, Dropout, Flatten, Reshape to rows, and
    Softmax or Sigmoid at the end, for which the head is `Categorical` or `Bernoulli`; else it is `Gaussian`.
    Images that come channels first there, (N, C, H, W), come channels last here, (N, H, W, C), and the
    weights behind Flatten are put in that order. Images that are the output are laid flat, channels last.

    Raises
    ------
    DataError
        There is no such file, or it is damaged; or it has something else: the message names the first
        operator that the library lacks.
    ImportError
        There is no onnx.
    """
    onnx = import_extra("onnx", "onnx")
    with reading.opened(path, "no ONNX file") as file:
        size = reading.size_of(file)
        if size > _LARGEST:
            raise DataError(f"{path}: got more than {_LARGEST:,} bytes, expected a small network")
        made = _parsed(onnx, file.read())
        try:
            with np.errstate(over="ignore", invalid="ignore"):    # what comes of it is looked at in the end
                reader = _Reader(onnx, made.graph)
                for node in made.graph.node:
                    reader.read(node)
                return reader.network(dtype)
        except _Lacking as error:
            raise DataError(f"{reading.named(path)}: {reading.in_a_line(error)}") from None


def _parsed(onnx, content):
    """Return the checked model of a file's content, which is not allowed to refer to other files."""
    parts = _parts_of(content)
    if parts > _MOST_PARTS + len(content) // 100:
        raise ValueError(f"got {parts:,} parts in {len(content):,} bytes, expected fewer")
    onnx.checker.check_model(content)
    return onnx.load_model_from_string(content)


# Of the messages in an ONNX file, by the numbers of their parts: which are messages in turn, or bytes (None).
# Of those that are not listed every two bytes may be one.
_TEXTS = {1: None, 2: None}
_WITHIN: dict[str, Any] = {
    "model": {2: None, 3: None, 4: None, 6: None, 7: "graph", 14: "texts"},
    "graph": {1: "node", 2: None, 5: "tensor", 10: None, 11: "value", 12: "value", 13: "value", 16: "texts"},
    "node": {**_TEXTS, 3: None, 4: None, 5: "attribute", 6: None, 7: None, 9: "texts"},
    "attribute": {1: None, 4: None, 5: "tensor", 6: "graph", 7: None, 8: None, 13: None},
    "tensor": {1: None, 4: None, 5: None, 7: None, 8: None, 9: None, 10: None, 11: None, 12: None},
    "value": {1: None, 3: None, 4: "texts"}, "texts": _TEXTS}
_FIXED = {1: 8, 5: 4}    # bytes of a part of these kinds; 0 is a number, 2 has its length before it


def _parts_of(content):
    """Return how many objects a file's content becomes at most, of which one of two bytes takes 300 bytes."""
    count, left = 0, [("model", 0, len(content))]
    while left:
        message, at, end = left.pop()
        while at < end:
            key, at = _number(content, at)
            number, kind, count = key >> 3, key & 7, count + 1
            if kind != 2:
                at = _number(content, at)[1] if kind == 0 else at + _FIXED.get(kind, end)
                continue
            length, begin = _number(content, at)
            at = begin + length
            if number not in _WITHIN[message]:
                count += length // 2
            elif _WITHIN[message][number]:
                left.append((_WITHIN[message][number], begin, min(at, end)))
    return count


def _number(content, at):
    """Return the number of 7 bits a byte at a place, and where it ends."""
    found = shift = 0
    while at < len(content):
        found |= (content[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if content[at - 1] < 128 or shift > 63:
            break
    return found, at


class _Lacking(ValueError):
    """Something that the library has not."""


@dataclass
class _Reader:
    """The layers, one after the other, as the operators are read.

    Attributes
    ----------
    constants : {name: array}
    value : the name of what has been computed so far
    shape : of a row of it, as it is there, images (C, H, W)
    layers : with a function that sets the arrays of each, or None
    flattened : the (C, H, W) of images that have been laid flat, None where the order is that of here
    """

    onnx: Any
    graph: Any
    constants: dict[str, Any] = field(default_factory=dict)
    layers: list[Any] = field(default_factory=list)
    flattened: tuple[Any, ...] | None = None
    head: Head | None = None

    def __post_init__(self):
        self.constants = {tensor.name: self._array(tensor) for tensor in self.graph.initializer}
        inputs = [one for one in self.graph.input if one.name not in self.constants]
        if len(inputs) != 1 or len(self.graph.output) != 1:
            raise _Lacking(f"got {len(inputs)} inputs and {len(self.graph.output)} outputs, expected one of "
                           "each")
        sizes = [one.dim_value for one in inputs[0].type.tensor_type.shape.dim]
        if len(sizes) not in (2, 3, 4) or not all(size > 0 for size in sizes[1:]):
            raise _Lacking(f"got an input of shape {sizes}, expected (N, D) or images (N, C, H, W), of which "
                           "N only may be free")
        self.value, self.shape = inputs[0].name, tuple(sizes[1:])
        self.input_shape = self._as_here(self.shape)

    def _array(self, tensor):
        if tensor.HasField("data_location") and tensor.data_location == self.onnx.TensorProto.EXTERNAL:
            raise _Lacking("got weights in other files, expected all in this one")
        return self.onnx.numpy_helper.to_array(tensor)

    @staticmethod
    def _as_here(shape):
        return (*shape[1:], shape[0]) if len(shape) == 3 else shape

    def read(self, node):
        """Take an operator: a constant, or the next layer."""
        if node.op_type == "Constant":
            attributes = self._attributes(node)
            if list(attributes) != ["value"]:
                raise _Lacking(f"got Constant with {', '.join(attributes)}, expected value")
            self.constants[node.output[0]] = self._array(attributes["value"])
            return
        function = _OPERATORS.get(node.op_type)
        if function is None or node.domain not in ("", "ai.onnx"):
            raise _Lacking(f"got the operator {node.op_type}, which the library lacks, expected "
                           f"{', '.join(sorted(_OPERATORS))}")
        if self.head is not None:
            raise _Lacking(f"got {node.op_type} behind the output's activation, expected nothing")
        given = [name for name in node.input if name]
        if self.value not in given or any(name not in self.constants for name in given if name != self.value):
            raise _Lacking(f"got {node.op_type} of {', '.join(given)}, expected a row of operators, each of "
                           "the one before and of constants")
        arrays = [self.constants[name] for name in given if name != self.value]
        function(self, node, self._attributes(node), arrays)
        self.value = node.output[0]

    def _attributes(self, node):
        return {one.name: self.onnx.helper.get_attribute_value(one) for one in node.attribute}

    def add(self, layer, shape=None, **arrays):
        """Add a layer, its arrays, and the shape of a row of its output there."""
        self.layers.append((layer, arrays))
        self.shape = self.shape if shape is None else shape

    def rows_as_here(self, W):
        """Return W (D, K), whose rows are numbers of images laid flat there, in the order of here."""
        if self.flattened is None:
            return W
        C, H, width = self.flattened
        order = np.arange(C * H * width).reshape(C, H, width).transpose(1, 2, 0).ravel()
        self.flattened = None
        return W[order]

    def network(self, dtype):
        if self.value != self.graph.output[0].name:
            raise _Lacking(f"got the output {self.graph.output[0].name}, expected that of the last operator")
        if self.flattened is not None:
            raise _Lacking("got images laid flat as the output, expected Gemm or MatMul behind Flatten")
        layers = [layer for layer, _ in self.layers]
        if len(self.shape) == 3 or not layers:
            layers.append(Flatten())
        model = Sequential(layers, self.head or Gaussian(), dtype).build(self.input_shape)
        for layer, arrays in self.layers:
            for name, array in arrays.items():
                {**layer.parameters, **layer.state}[name][...] = array
        model.untouched = None
        arrays = (*model.parameters().values(), *model.state().values())
        if not all(np.isfinite(array).all() for array in arrays):
            raise _Lacking(f"got weights that are no numbers, infinite, or too large for {dtype}")
        return model


# ---- dense -------------------------------------------------------------------------------------------------

def _gemm(reader, node, attributes, arrays):
    if attributes.get("transA", 0) or node.input[0] != reader.value or len(reader.shape) != 1:
        raise _Lacking("got Gemm of a transposed or constant first factor, expected rows times weights")
    W = arrays[0].T if attributes.get("transB", 0) else arrays[0]
    W = attributes.get("alpha", 1.0) * W
    b = attributes.get("beta", 1.0) * arrays[1] if len(arrays) > 1 else np.zeros(1)
    if b.size not in (1, W.shape[1]):
        raise _Lacking(f"got Gemm with biases of shape {b.shape}, expected one for each of {W.shape[1]} "
                       "units")
    _add_dense(reader, W, np.broadcast_to(b.ravel(), W.shape[1:]))


def _matmul(reader, node, attributes, arrays):
    if node.input[0] != reader.value or arrays[0].ndim != 2 or len(reader.shape) > 2:
        raise _Lacking("got MatMul of other factors, expected rows times weights (D, K)")
    _add_dense(reader, arrays[0], None)


def _add_dense(reader, W, b):
    if W.ndim != 2 or W.shape[0] != reader.shape[-1]:
        raise _Lacking(f"got weights of shape {W.shape} for rows of {reader.shape[-1]} numbers, expected "
                       f"({reader.shape[-1]}, K)")
    arrays = {"W": reader.rows_as_here(W)} | ({} if b is None else {"b": b})
    reader.add(Dense(W.shape[1], bias=b is not None), (*reader.shape[:-1], W.shape[1]), **arrays)


def _plus(reader, node, attributes, arrays):
    """A bias behind a product without one."""
    layer, own = reader.layers[-1] if reader.layers else (None, {})
    if type(layer) is not Dense or layer.bias or arrays[0].size != layer.units:
        raise _Lacking("got Add, expected biases behind MatMul")
    reader.layers[-1] = (Dense(layer.units), {**own, "b": arrays[0].ravel()})


# ---- images ------------------------------------------------------------------------------------------------

def _window(reader, node, attributes, window):
    """Return strides, padding and dilation of an operator over images, and the shape (H, W) that it gives."""
    if len(reader.shape) != 3 or len(window) != 2:
        raise _Lacking(f"got {node.op_type} of rows of shape {reader.shape}, expected images (C, H, W)")
    strides, dilation = (tuple(attributes.get(name, (1, 1))) for name in ("strides", "dilations"))
    pads = list(attributes.get("pads", (0, 0, 0, 0)))
    kind = attributes.get("auto_pad", b"NOTSET").decode()
    reach = [(k - 1) * d + 1 for k, d in zip(window, dilation)]
    if kind.startswith("SAME"):
        for i, (n, s) in enumerate(zip(reader.shape[1:], strides)):
            lacking = max((-(-n // s) - 1) * s + reach[i] - n, 0)
            halves = lacking // 2, lacking - lacking // 2
            pads[i], pads[2 + i] = halves[::-1] if kind == "SAME_LOWER" else halves
    sizes = []
    for i, (n, s) in enumerate(zip(reader.shape[1:], strides)):
        room = n + pads[i] + pads[2 + i] - reach[i]
        if attributes.get("ceil_mode", 0) and room % s and (room // s + 1) * s < n + pads[i]:
            if attributes.get("count_include_pad", 0):
                raise _Lacking("got AveragePool with ceil_mode that counts its padding, expected one of both")
            pads[2 + i] += s - room % s    # of which the pools take no notice
            room += s - room % s
        sizes.append(room // s + 1)
    return strides, ((pads[0], pads[2]), (pads[1], pads[3])), dilation, tuple(sizes)


def _convolution(reader, node, attributes, arrays):
    W = arrays[0]
    if W.ndim != 4:
        raise _Lacking(f"got Conv with weights of shape {W.shape}, expected images, (K, C, kh, kw)")
    if W.shape[1] * attributes.get("group", 1) != reader.shape[0]:
        raise _Lacking(f"got Conv with weights of shape {W.shape} for images of {reader.shape[0]} channels, "
                       "expected as many")
    strides, padding, dilation, sizes = _window(reader, node, attributes, W.shape[2:])
    layer = Conv2D(W.shape[0], W.shape[2:], strides, padding, bias=len(arrays) > 1, dilation=dilation,
                   groups=attributes.get("group", 1))
    reader.add(layer, (W.shape[0], *sizes), W=W.transpose(2, 3, 1, 0),
               **({"b": arrays[1]} if len(arrays) > 1 else {}))


def _pool(kind):
    def read(reader, node, attributes, arrays):
        window = tuple(attributes["kernel_shape"])
        strides, padding, dilation, sizes = _window(reader, node, attributes, window)
        if dilation != (1, 1) or attributes.get("storage_order", 0) or len(node.output) > 1:
            raise _Lacking(f"got {node.op_type} with dilation or indices, expected neither")
        options = {"count_padding": True} if attributes.get("count_include_pad", 0) else {}
        reader.add(kind(window, strides, padding, **options), (reader.shape[0], *sizes))
    return read


def _global_pool(kind):
    def read(reader, node, attributes, arrays):
        if len(reader.shape) != 3:
            raise _Lacking(f"got {node.op_type} of rows of shape {reader.shape}, expected images (C, H, W)")
        reader.add(kind(), reader.shape[:1])
    return read


def _flatten(reader, node, attributes, arrays):
    if attributes.get("axis", 1) != 1:
        raise _Lacking(f"got Flatten with axis {attributes['axis']}, expected 1, of which each row is one")
    _to_rows(reader)


def _reshape(reader, node, attributes, arrays):
    shape = arrays[0].ravel().tolist()
    if len(shape) != 2 or shape[1] not in (-1, int(np.prod(reader.shape))):
        raise _Lacking(f"got Reshape to {shape}, expected rows, (N, -1)")
    _to_rows(reader)


def _to_rows(reader):
    if len(reader.shape) > 1:
        reader.flattened = reader.shape if len(reader.shape) == 3 else None
        reader.add(Flatten(), (int(np.prod(reader.shape)),))


def _batch_normalization(reader, node, attributes, arrays):
    names = "gamma", "beta", "moving_mean", "moving_variance"
    if reader.flattened is not None:
        order = reader.flattened
        arrays = [reader.rows_as_here(array) for array in arrays]
        reader.flattened = order
    if attributes.get("training_mode", 0) or len(reader.shape) == 2:
        raise _Lacking("got BatchNormalization of sequences, or as in training, expected rows or images")
    if any(array.shape != reader.shape[:1] for array in arrays):
        raise _Lacking(f"got BatchNormalization with arrays of shape {arrays[0].shape}, expected "
                       f"{reader.shape[:1]}")
    reader.add(BatchNormalization(epsilon=attributes.get("epsilon", 1e-5)), **dict(zip(names, arrays)))


# ---- activations -------------------------------------------------------------------------------------------

def _activation(make):
    def read(reader, node, attributes, arrays):
        reader.add(make(attributes))
    return read


def _same(reader, node, attributes, arrays):
    """Nothing, where nothing is trained."""
    if len(arrays) > 1 and arrays[1].any():
        raise _Lacking("got Dropout as in training, expected none")


def _sigmoid(reader, node, attributes, arrays):
    """At the end it is the head's."""
    if node.output[0] == reader.graph.output[0].name and len(reader.shape) == 1 and reader.layers:
        reader.head = Bernoulli()
    else:
        reader.add(Sigmoid())


def _softmax(reader, node, attributes, arrays):
    if len(reader.shape) == 3 or attributes.get("axis", -1) not in (len(reader.shape), -1):
        raise _Lacking("got Softmax of something else than the last axis of rows, expected it at the end")
    if len(reader.shape) == 2 and not reader.layers:
        raise _Lacking("got Softmax of the input's steps, expected a layer before it")
    reader.head = Categorical()


_OPERATORS = {
    "Gemm": _gemm, "MatMul": _matmul, "Add": _plus, "Conv": _convolution, "MaxPool": _pool(MaxPool2D),
    "AveragePool": _pool(AveragePool2D), "GlobalAveragePool": _global_pool(GlobalAveragePool2D),
    "GlobalMaxPool": _global_pool(GlobalMaxPool2D), "Flatten": _flatten, "Reshape": _reshape,
    "BatchNormalization": _batch_normalization, "Relu": _activation(lambda _: ReLU()),
    "Tanh": _activation(lambda _: Tanh()), "Softplus": _activation(lambda _: Softplus()),
    "LeakyRelu": _activation(lambda given: LeakyReLU(given.get("alpha", 0.01))),
    "Elu": _activation(lambda given: ELU(given.get("alpha", 1.0))), "Sigmoid": _sigmoid, "Softmax": _softmax,
    "Identity": _same, "Dropout": _same,
}
