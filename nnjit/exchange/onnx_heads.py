"""The heads as operators of ONNX: decision and probabilities, as predict and predict_proba give them."""
import numpy as np

from ..heads import (
    Bernoulli,
    Categorical,
    Gaussian,
    Heads,
    Huber,
    Laplace,
    Ordinal,
    Poisson,
    SquaredError,
)
from .onnx_layers import Nodes

_FLOAT, _INT64 = 1, 7


def add_head(graph: Nodes, head, z: str) -> dict[str, str]:
    """Return {name of an output: name of its value} of a head, from the logits z (..., K)."""
    if type(head) is Heads:
        found: dict[str, str] = {}
        for name, one in head.heads.items():
            part = graph.add("Slice", z, graph.integers(head.columns[name].start),
                             graph.integers(head.columns[name].stop), graph.integers(-1))
            found |= {f"{name}_{output}": value for output, value in add_head(graph, one, part).items()}
        return found
    function = HEADS.get(type(head))
    if function is None:
        raise ValueError(f"to_onnx: got the head {head!r}, for which there are no operators, expected the "
                         "library's own heads")
    found = function(graph, head, z)
    if head.names is not None and "decision" in found:
        found["decision"] = graph.add("Gather", graph.constant(head.names, object), found["decision"])
    return found


def _flat(graph, head, name):
    """Return (..., 1) as (...), as a single unit answers."""
    return graph.add("Squeeze", name, graph.integers(-1)) if head.units == 1 else name


def _categorical(graph, head, z):
    scaled = graph.add("Mul", z, graph.constant(1 / head.temperature))
    return {"decision": graph.add("ArgMax", z, axis=-1, keepdims=0),
            "probabilities": graph.add("Softmax", scaled, axis=-1)}


def _bernoulli(graph, head, z):
    yes = graph.add("Greater", z, graph.constant(head.logit_threshold))
    decision = _flat(graph, head, graph.cast(yes, _INT64))
    p = graph.add("Sigmoid", z)
    if head.units == 1:
        p = graph.add("Concat", graph.add("Sigmoid", graph.add("Neg", z)), p, axis=-1)
    return {"decision": decision, "probabilities": p}


def _ordinal(graph, head, z):
    b, _ = head._cut_points()
    t = graph.add("Add", z, graph.constant(b))
    count = graph.cast(graph.add("Greater", t, graph.constant(0.0)), _INT64)
    above, below = graph.add("Sigmoid", t), graph.add("Sigmoid", graph.add("Neg", t))
    certain = graph.add("Add", graph.add("Mul", z, graph.constant(0.0)), graph.constant(1.0))
    apart = np.concatenate([[1.0], -np.expm1(np.diff(b.astype(float))), [1.0]])
    product = graph.add("Mul", graph.add("Concat", certain, above, axis=-1),
                        graph.add("Concat", below, certain, axis=-1))
    return {"decision": graph.add("ReduceSum", count, graph.integers(-1), keepdims=0),
            "probabilities": graph.add("Mul", product, graph.constant(apart))}


def _location_scale(graph, head, z):
    scaled = graph.add("Mul", z, graph.constant(head.scale))
    return {"prediction": _flat(graph, head, graph.add("Add", scaled, graph.constant(head.loc)))}


def _poisson(graph, head, z):
    held = graph.add("Min", z, graph.constant(80.0))
    return {"prediction": _flat(graph, head, graph.add("Exp", held))}


def _squared_error(graph, head, z):
    return HEADS[type(head.base_head)](graph, head.base_head, z)


HEADS = {Categorical: _categorical, Bernoulli: _bernoulli, Ordinal: _ordinal, Gaussian: _location_scale,
         Laplace: _location_scale, Huber: _location_scale, Poisson: _poisson, SquaredError: _squared_error}
