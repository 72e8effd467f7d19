"""A network as an ONNX file, for onnxruntime and others."""
import json
from pathlib import Path
from typing import Any

import numpy as np

from ..habits import import_extra
from ..heads import Heads
from ..model import Sequential
from ..replacing import replacing
from .onnx_heads import add_head
from .onnx_layers import Nodes, Value, add_layer, channels_last

OPSET, IR_VERSION = 17, 8


def to_onnx(model: Sequential, path: str | Path) -> None:
    """Write a built model as an ONNX file (opset 17), checked by onnx's own checker.

    Its input ``X`` is float32 (N, ...), rows as `Sequential.predict` takes them: images (N, H, W, C) of 0 to
    1, sequences (N, T, D), with any N and T. Sequences have a second input ``mask``, (N, T) of bool. The
    outputs are ``decision`` and ``probabilities`` as `predict` and `predict_proba` return them, the decision
    text where classes have names; or for numbers ``prediction``. Those of `Heads` begin with the head's name
    and an underscore. The names of the classes lie in the metadata as JSON, under ``classes``.

    What stands before the network, `Sequential.preprocessing`, is not written. A float64 network computes in
    float32 there.

    Raises
    ------
    ValueError
        The model is not built, or has a layer or a head of your own; the message names it.
    OSError
        The file can't be written.
    ImportError
        There is no onnx.
    """
    onnx = import_extra("onnx", "onnx")
    model._check_built()
    graph = Nodes(onnx.helper)
    shape: Any = model.input_shape    # which is built
    sequences = len(shape) == 2
    value = Value("X", shape, mask="mask" if sequences else None)
    for layer, its_shape in zip(model.layers, model.graph.shapes):
        value = add_layer(graph, layer, value, its_shape)
    outputs = add_head(graph, model.head, channels_last(graph, value).name)
    content = _finished(onnx, graph, model, sequences, outputs).SerializeToString()
    with replacing(path) as file:
        file.write(content)


def _finished(onnx, graph, model, sequences, outputs):
    """Return the checked model: the graph with its inputs and outputs."""
    helper, tensor = onnx.helper, onnx.TensorProto
    free = ["N", *(["T", model.input_shape[1]] if sequences else model.input_shape)]
    inputs = [helper.make_tensor_value_info("X", tensor.FLOAT, free)]
    if sequences:
        inputs.append(helper.make_tensor_value_info("mask", tensor.BOOL, ["N", "T"]))
    named = [helper.make_node("Identity", [value], [name]) for name, value in outputs.items()]
    infos = [helper.make_tensor_value_info(name, _kind(tensor, model, name), _shape_of(model, name))
             for name in outputs]
    constants = [_tensor(onnx, name, array) for name, array in graph.constants.items()]
    made = helper.make_model(
        helper.make_graph([*graph.nodes, *named], "nnjit", inputs, infos, constants),
        opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="nnjit")
    heads = model.head.heads if isinstance(model.head, Heads) else {"": model.head}
    names = {name: head.names for name, head in heads.items() if head.names is not None}
    if names:
        helper.set_model_props(made, {"classes": json.dumps(names.get("", names))})
    onnx.checker.check_model(made, full_check=True)
    return made


def _tensor(onnx, name, array):
    if array.dtype != object:
        return onnx.numpy_helper.from_array(array, name)
    return onnx.helper.make_tensor(name, onnx.TensorProto.STRING, array.shape,
                                   [str(text).encode() for text in array.ravel()])


def _head_of(model, name):
    """Return the head of an output, how many units it has, and which of its outputs it is."""
    if not isinstance(model.head, Heads):
        return model.head, model.graph.shapes[-1][-1], name
    owner = next(key for key in sorted(model.head.heads, key=len, reverse=True) if name.startswith(f"{key}_"))
    units: Any = model.head.units    # known once it is built
    return model.head.heads[owner], units[owner], name.removeprefix(f"{owner}_")


def _kind(tensor, model, name):
    head, _, which = _head_of(model, name)
    if which != "decision":
        return tensor.FLOAT
    return tensor.INT64 if head.names is None else tensor.STRING


def _shape_of(model, name):
    """Return the shape of an output, with names for what is free."""
    head, units, which = _head_of(model, name)
    steps = ["S"] if model.graph.per_step else []
    if which == "probabilities":
        K = getattr(head, "K", None) or (2 if head.answers == "classes" and units == 1 else units)
        return ["N", *steps, int(np.int64(K))]
    single = units == 1 or head.answers in ("classes", "ranks")
    return ["N", *steps, *([] if single else [units])]
