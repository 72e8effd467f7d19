"""Workspaces: the arrays that a batch passes through."""
import functools
from typing import Any

import numpy as np

from .kernels import random
from .layers.base import Context
from .memory import aligned


def scratch(layer, N, dtype):
    """Return the arrays for N rows that a layer declares as its scratch."""
    return {name: np.empty((N, *shape), own_dtype or dtype) for name,
            (shape, own_dtype) in layer.scratch.items()}


def _batch_scratch(layer, dtype):
    """Return the arrays for a batch as a whole that a layer declares."""
    return {name: np.empty(shape, own_dtype or dtype) for name,
            (shape, own_dtype) in layer.batch_scratch.items()}


class Workspaces(dict[int, "Workspace"]):
    """A `Workspace` for each number of rows."""

    def __init__(self, graph):
        super().__init__()
        self.graph = graph

    def __missing__(self, N):
        self[N] = workspace = Workspace(self.graph, N)
        return workspace


class Workspace:
    """The arrays that N rows pass through: what every layer gets and gives, its context, and the deltas on
    their way back.

    ``way`` has what each layer's forward pass takes: its output, None where it writes over its input.
    """

    def __init__(self, graph, N):
        self.graph, self.N = graph, N
        self.arrays: list[Any] = [None] * (len(graph.layers) + 1)
        outputs = [None if shape is None else aligned((N, *shape), graph.dtype) for shape in graph.outputs]
        self.contexts = [Context(random.layer_key(graph.seed, i), {
            **scratch(layer, N, graph.dtype), **_batch_scratch(layer, graph.dtype)})
            for i, layer in enumerate(graph.layers)]
        self.way = list(zip(graph.layers, outputs, self.contexts))

    def begin_at(self, row: int):
        """Let the rows that come be those from this one on of a batch, for what is random."""
        for context in self.contexts:
            context.first_row = row

    def first_nonfinite(self) -> int | None:
        """Return the number of the first layer whose output is not finite, or None."""
        return next((i for i, a in enumerate(self.arrays[1:]) if not np.isfinite(a).all()), None)

    @functools.cached_property
    def delta(self):
        """dL/dz, which the head writes."""
        return self._like(-1)

    @functools.cached_property
    def way_back(self):
        """What each layer's backward pass takes, from the last down to the lowest with parameters.

        dL/dx is written over dL/da by an elementwise layer; nobody asks the lowest for it.
        """
        layers, found = self.graph.layers, []
        lowest = next((i for i, layer in enumerate(layers) if layer.shapes), len(layers))
        for i in reversed(range(lowest, len(layers))):
            dx = None if i == lowest or layers[i].elementwise else self._like(i - 1)
            found.append((i, layers[i], layers[i].elementwise, dx, self.contexts[i]))
        return found

    def _like(self, i):
        return aligned((self.N, *self.graph.shapes[i]), self.graph.dtype)
