"""What a network looks like: in a line, and the table of its layers; as text and in a notebook."""
import html
from collections.abc import Sequence

import numpy as np


class Summary(str):
    """A table as text, which a prompt and a notebook show as one."""

    rows: Sequence[tuple[str, ...]] = ()

    def __repr__(self):
        return str(self)

    def _repr_html_(self):
        (*heads, last), *rows = self.rows
        cells = "".join(f"<th>{html.escape(text)}</th>" for text in (*heads, last))
        lines = "".join("<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>"
                        for row in rows)
        return f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"


def in_a_line(model) -> str:
    """Return how a model is written."""
    layers = ", ".join(map(repr, model.layers))
    return f"Sequential([{layers}], head={model.head!r}, dtype={str(model.dtype)!r})"


def in_a_notebook(model) -> str:
    """Return the table of a built model, or how one that is not built is written."""
    if model.input_shape is None:
        return f"<code>{html.escape(in_a_line(model))}</code>"
    return summary(model.graph)._repr_html_()


def summary(graph) -> Summary:
    """Return a table of the layers of a built `Graph`, see `Sequential.summary`."""
    sequences = len(graph.input_shape) == 2
    last, column = ("mask", _mask_uses) if sequences else ("sees", _receptive_fields)
    rows = [("", "layer", "output", "parameters", "multiply-adds", last)]
    for i, (layer, shape, text) in enumerate(zip(graph.layers, graph.shapes, column(graph))):
        count = sum(map(np.size, layer.parameters.values()))
        rows.append((str(i), _shortened(repr(layer)), str(shape), f"{count:,}", f"{layer.multiply_adds:,}",
                     text))
    rows.append(("", repr(graph.head), "",
                 f"{sum(array.size for array in graph.named('parameters').values()):,}",
                 f"{sum(layer.multiply_adds for layer in graph.layers):,}", ""))
    widths = [max(map(len, column)) for column in zip(*rows)]
    aligned = "<<<>><" if sequences else "<<<>>>"
    found = Summary("\n".join("  ".join(f"{cell:{aligned[k]}{width}}" for k,
                                        (cell, width) in enumerate(zip(row, widths))).rstrip()
                              for row in rows))
    found.rows = rows
    return found


def _shortened(text, most=60):
    return text if len(text) <= most else text[:most - 1] + "…"


def _mask_uses(graph):
    """Return for each layer what it does with the mask of a sequence, as text."""
    uses, there = [], True
    for layer in graph.layers:
        use = layer.mask_use if there else ""
        uses.append(f"refuses: {layer.mask_reason}" if use == "refuses" else use)
        there = there and use not in ("consumes", "refuses")
    return uses


def _receptive_fields(graph):
    """Return for each layer what an output sees of the input, as text: height × width in pixels, or all."""
    size, stride, fields, whole = np.ones(2), np.ones(2), [], len(graph.input_shape) != 3
    for layer in graph.layers:
        whole = whole or layer.receptive_field is None
        if not whole:
            own_size, own_stride = layer.receptive_field
            size, stride = size + (np.array(own_size) - 1) * stride, stride * np.array(own_stride)
        fields.append("all" if whole
                      else " × ".join(f"{min(*pair):g}" for pair in zip(size, graph.input_shape[:2])))
    return fields
