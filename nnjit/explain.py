"""One training step, explained: every number of the forward pass, the loss, the backward pass and the update.

The numbers are those of the kernels that train: the step is taken, by a copy of the model.
"""
import copy
import html
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ._numba.threads import parallel_region
from .layers import Dense, Dropout, Flatten
from .memory import Arrays
from .model import Sequential
from .optimizers import SGD, Optimizer
from .preparation import examples, sequences_of

# of layers: what the forward pass computes, what the backward pass does
_FORMULAS = {"Dense": ("z = x W + b", "dW = xᵀ δ, db = sum of δ over rows, and passed on δ Wᵀ"),
             "Dropout": ("a = x mask", "δ mask"), "Flatten": ("the same numbers, in a row", "the same"),
             "Tanh": ("a = tanh(z)", "δ (1 − a²)"), "ReLU": ("a = max(z, 0)", "δ where a > 0, else 0"),
             "Sigmoid": ("a = 1 / (1 + e^−z)", "δ a (1 − a)")}
# of heads: the output, the loss l of a row, and its derivative by the logits
_HEADS = {"Categorical": ("p = e^z / sum of e^z", "l = −log p of the true class",
                          "p − 1 at the true class, p elsewhere"),
          "Bernoulli": ("p = 1 / (1 + e^−z)", "l = −log p of the true answer", "p − y"),
          "Gaussian": ("the output is z", "l = (z − y)²", "2 (z − y)"),
          "Laplace": ("the output is z", "l = |z − y|", "the sign of z − y"),
          "Poisson": ("the rate is e^z", "l = e^z − y z", "e^z − y")}
_MOST_NUMBERS = 8    # of a row, and rows of an array, that a text shows


@dataclass(frozen=True)
class Step:
    """One thing that happens, and its numbers.

    Attributes
    ----------
    part : "input", "forward", "loss", "backward" or "update"
    title, formula : str
    arrays : dict of {name: array}
    """

    part: str
    title: str
    formula: str
    arrays: Arrays = field(default_factory=dict)


class Explanation:
    """The steps of a training step, in order; as a text, or in a notebook as a page.

    Attributes
    ----------
    steps : list of `Step`
    """

    def __init__(self, steps: list[Step]):
        self.steps = steps

    def __str__(self):
        return "\n\n".join(f"{number}. {step.part}: {step.title}\n   {step.formula}" + "".join(
            f"\n   {name} =\n{_indented(array)}" for name, array in step.arrays.items())
            for number, step in enumerate(self.steps, 1))

    __repr__ = __str__

    def _repr_html_(self):
        return "".join(f"<details open><summary><b>{number}. {html.escape(step.part)}</b>: "
                       f"{html.escape(step.title)}: <code>{html.escape(step.formula)}</code></summary>"
                       + "".join(_table(name, array) for name, array in step.arrays.items()) + "</details>"
                       for number, step in enumerate(self.steps, 1))


def explain(model: Sequential, X: ArrayLike, y: ArrayLike, optimizer: Optimizer | None = None,
            step: int | None = None) -> Explanation:
    """Return what a training step does with these rows: `Explanation`, which prints well.

    The model and the optimiser stay as they are: copies take the step.

    Parameters
    ----------
    X, y : rows and targets, few of them, as of `Sequential.fit`
    optimizer : Optimizer, optional
        By default the one that the model was trained with, else ``SGD(0.1)``.
    step : int, optional
        The number of the step, from which dropout masks follow; None drops nothing.

    Raises
    ------
    TypeError, ValueError
        X or y are not what the model takes, or it is not built yet.
    """
    model._check_built()
    optimizer = optimizer or model.optimizer or SGD(0.1)
    model, optimizer = copy.deepcopy(model), copy.deepcopy(optimizer)
    rows, mask = sequences_of(model, X, None)
    data = examples(model, rows, y, mask=mask, sparse=False)
    graph, N = data.graph, len(data)
    with parallel_region():
        batch, = data.batches(N)
        workspace = graph.workspaces()[N]
        steps = [Step("input", f"{N} row{'s' * (N > 1)} and what is true of them", "x, y",
                      {"x": np.array(batch.x), "y": np.array(batch.y)})]
        steps += _forward(graph, batch, workspace, step)
        steps += _loss(graph, batch, data.divisor(batch.rows), workspace)
        steps += _backward(graph, workspace)
        if graph.penalised:
            graph.penalise(with_gradient=True)
        steps.append(_update(graph, optimizer))
    return Explanation(steps)


def _forward(graph, batch, workspace, step):
    """Return a step for each layer. A copy of each output is kept: some layers write over their input."""
    found, a = [], batch.x
    workspace.arrays[0] = a
    for i, (layer, out, context) in enumerate(workspace.way, 1):
        context.step, context.w, context.mask = step, batch.w, batch.mask
        workspace.arrays[i] = a = layer.forward(a, a if out is None else out, context)
        arrays = {name: array.copy() for name, array in layer.parameters.items() if array.size}
        if isinstance(layer, Dropout) and step is not None:    # what it does with ones
            arrays["mask"] = layer.backward(a, a, np.ones_like(a), np.empty_like(a), context)
        name = "z" if isinstance(layer, Dense) else "a"
        found.append(Step("forward", f"layer {i - 1}, {layer!r}", _formula(layer, 0),
                          {**arrays, name: a.copy()}))
    return found


def _formula(layer, which):
    known = _FORMULAS.get(type(layer).__name__)
    return known[which] if known else ("forward", "backward")[which] + f" of {type(layer).__name__}"


def _loss(graph, batch, total, workspace):
    z, delta = graph.as_head_rows(workspace.arrays[-1]), graph.as_head_rows(workspace.delta)
    head, name = graph.head, type(graph.head).__name__
    sums = head.loss_and_delta(z, batch.y, batch.w, total, delta)
    output, loss, slope = _HEADS.get(name, ("the output", "the loss of a row", "its derivative"))
    if getattr(head, "temperature", 1.0) != 1:
        output, slope = f"{output}, where z is divided by {head.temperature:g}", f"{slope}, divided by it"
    mean = head.means(*sums[:3])["loss"]
    return [Step("loss", f"{head!r}: the output", output, {"output": np.array(head.activate(z.copy()))}),
            Step("loss", f"the mean over {batch.rows} row{'s' * (batch.rows > 1)}", loss,
                 {"loss": np.array(mean)}),
            Step("loss", "its derivative by the logits", f"δ = dl/dz / {batch.rows}: {slope}",
                 {"δ": delta.copy()})]


def _backward(graph, workspace):
    found, delta = [], workspace.delta
    for i, layer, elementwise, dx, context in workspace.way_back:
        delta = layer.backward(workspace.arrays[i], workspace.arrays[i + 1], delta,
                               delta if elementwise else dx, context)
        arrays = {f"d{name}": array.copy() for name, array in layer.gradients.items() if array.size}
        if delta is not None:
            arrays["δ"] = delta.copy()
        if not isinstance(layer, Flatten) and arrays:
            first = delta is None and isinstance(layer, Dense)
            formula = "dW = xᵀ δ, db = sum of δ over rows" if first else _formula(layer, 1)
            found.append(Step("backward", f"layer {i}, {layer!r}", formula, arrays))
    return found


def _update(graph, optimizer):
    before = {name: array.copy() for name, array in graph.named("parameters").items()}
    optimizer.step(graph.vector, graph.gradient_vector, graph.decayed)
    arrays = {}
    for name, array in graph.named("parameters").items():
        arrays[f"{name} before"], arrays[f"{name} after"] = before[name], array.copy()
    plain = isinstance(optimizer, SGD) and not optimizer.momentum
    return Step("update", repr(optimizer), "W − lr dW" if plain else "a step against the gradient", arrays)


# ---- text --------------------------------------------------------------------------------------------------

def _indented(array):
    text = np.array2string(np.asarray(array), precision=4, suppress_small=True, threshold=64, edgeitems=3,
                           max_line_width=100)
    return "\n".join(f"      {line}" for line in text.splitlines())


def _table(name, array):
    array = np.asarray(array)
    rows = array.reshape(1, -1) if array.ndim < 2 else array.reshape(-1, array.shape[-1])
    cells = "".join("<tr>" + "".join(f"<td>{value:.4g}</td>" for value in row[:_MOST_NUMBERS])
                    + "<td>…</td>" * (len(row) > _MOST_NUMBERS) + "</tr>" for row in rows[:_MOST_NUMBERS])
    more = "<tr><td>…</td></tr>" * (len(rows) > _MOST_NUMBERS)
    shape = " × ".join(map(str, array.shape))
    return f"<p>{html.escape(name)} {f'({shape})' if shape else ''}</p><table>{cells}{more}</table>"
