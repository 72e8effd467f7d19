"""The graph: layers in a row and a head, the arrays that it attaches, and the two passes of a batch."""
import copy
import math
from typing import Any

import numpy as np

from ._numba.race import Race
from ._numba.threads import fixed_threads, get_threads
from .inputs.batches import Batch
from .kernels import random
from .layers.base import INFERENCE, Context, Layer
from .layers.masking import Masking
from .layers.reshape import Flatten
from .memory import Layout, Shape, check_fits
from .workspaces import Workspaces, scratch

_MOST_OTHERS = 8    # graphs for sequences of other lengths that are kept


class Graph:
    """Layers, each fed by the one before, and a head.

    All parameters lie in one flat vector, all gradients in another.

    Attributes
    ----------
    vector, gradient_vector, state_vector : (P,), (P,), (S,) arrays
        After `build`; those of the layers and the head are views of them.
    decayed : int
        The first so many parameters are those on which ``weight_decay`` acts.
    shapes : list of tuple
        Of a row of every layer's output.
    """

    def __init__(self, layers: list[Any], head, dtype: np.dtype):
        self.layers, self.head, self.dtype = layers, head, dtype
        self.input_shape: Any = None    # a tuple, once it is built
        self.seed = 0
        self.races: dict[tuple[str, int], Race] = {}
        self.others: dict[int, Graph] = {}
        self.check_free()

    def check_free(self):
        """Raise ValueError where a layer or the head belongs to another graph."""
        for _, part in self.parts():
            part.check_free(self)

    def parts(self) -> list[Any]:
        """Return the layers and the head, each after its name in the keys of `parameters`."""
        return [*((str(i), layer) for i, layer in enumerate(self.layers)), ("head", self.head)]

    # ---- the arrays ----------------------------------------------------------------------------------------

    def output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the shape of a row of the last layer's output; `shapes` are those of all layers."""
        shape = input_shape
        self.shapes = [shape := _built(layer, shape) for layer in self.layers]
        return shape

    def infer_shapes(self, input_shape: tuple[Any, ...]) -> dict[str, Any]:
        """Return the shapes of parameters and state for rows of ``input_shape``; nothing is allocated.

        Their names are those of a saved model's arrays: ``{"parameters/0.W": (in, out), ...}``.
        """
        shape = self.output_shape(input_shape)
        if len(shape) > 2:
            raise ValueError(f"layers: got an output of shape {shape}, expected flat rows, or (steps, "
                             "units); put Flatten() after the last")
        self.per_step = len(shape) == 2
        if isinstance(self.layers[0], Masking):
            self.check_takes_mask()
        self.outputs = _outputs(self.layers, self.shapes)
        self.inferring = [(layer, shape) for layer, shape in zip(self.layers, self.outputs)
                          if not layer.only_trains]
        self.most_multiply_adds = max(layer.multiply_adds for layer in self.layers)
        self.penalised = [layer for layer in self.layers if type(layer).penalise is not Layer.penalise]
        self.committing = [i for i, layer in enumerate(self.layers)
                           if type(layer).commit is not Layer.commit]
        # Flatten changes nothing about the numbers
        self.head.check_last_layer(next((layer for layer in reversed(self.layers)
                                         if not isinstance(layer, Flatten)), self.layers[-1]))
        self.head.build(shape[-1:])
        check_fits("parameters and gradients", 2 * sum(math.prod(shape) for _, part in self.parts()
                                                       for shape in part.shapes.values()), self.dtype)
        check_fits("outputs of the layers", sum(map(math.prod, self.shapes)), self.dtype)
        return {f"{kind}/{key}.{name}": shape for key, part in self.parts()
                for kind, shapes in (("parameters", part.shapes), ("state", part.state_shapes))
                for name, shape in shapes.items() if math.prod(shape)}

    def arrays(self) -> dict[str, Any]:
        """Return the arrays themselves, parameters and state, under the names of `infer_shapes`."""
        return {f"{kind}/{name}": array for kind in ("parameters", "state")
                for name, array in self.named(kind).items()}

    def build(self, input_shape: tuple[Any, ...], seed: int):
        """Make the arrays for rows of ``input_shape`` and initialise them.

        What was built before stays so where the layers or the head do not go with the shape.
        """
        self.check_free()
        try:
            self.infer_shapes(input_shape)
        except Exception:
            if self.input_shape is not None:
                self.infer_shapes(self.input_shape)
            raise
        self.input_shape, self.seed, self.others = None, seed, {}    # not built until all has gone well
        for _, part in self.parts():
            part.claim(self)
        self._attach()
        for index, (_, part) in enumerate(self.parts()):
            part.initialise(random.generator(random.INITIAL_WEIGHTS, seed, index))
        self.input_shape = input_shape

    def _attach(self):
        """Make the vectors, and give the layers and the head their views; padding stays 0."""
        decayed: dict[str, Shape] = {}
        others: dict[str, Shape] = {}
        state: dict[str, Shape] = {}
        for key, part in self.parts():
            for name, shape in part.shapes.items():
                (decayed if name in part.decayed else others)[f"{key}.{name}"] = shape
            state.update({f"{key}.{name}": shape for name, shape in part.state_shapes.items()})
        self.layout, self.state_layout = Layout({**decayed, **others}, self.dtype), Layout(state, self.dtype)
        self.decayed = Layout(decayed, self.dtype).size
        self.vector, self.gradient_vector = self.layout.zeros(), self.layout.zeros()
        self.state_vector = self.state_layout.zeros()
        stored = [self.layout.stored(self.vector), self.layout.stored(self.gradient_vector),
                  self.state_layout.views(self.state_vector)]
        for key, part in self.parts():
            part.attach(*({name: arrays[f"{key}.{name}"] for name in names}
                          for names, arrays in zip((part.shapes, part.shapes, part.state_shapes), stored)))

    def frozen(self) -> list[Any]:
        """Return (parameter, gradient) of the layers that are not trainable, arrays with their padding."""
        return [(layer.padded[name], layer.padded_gradients[name]) for layer in self.layers
                for name in layer.frozen_names()]

    def named(self, kind: str) -> dict[str, Any]:
        """Return ``{"0.W": array, ...}`` of "parameters", "gradients" or "state": the arrays themselves."""
        return {f"{key}.{name}": array for key, part in self.parts() for name,
                array in getattr(part, kind).items() if array.size}

    def copy_arrays(self, other: "Graph", layers=None):
        """Copy parameters and state from another built graph, see `Sequential.copy_weights`."""
        own, given = ({name.partition("/")[2]: array for name, array in graph.arrays().items()}
                      for graph in (self, other))
        names = self._chosen_names(layers, sorted({*own, *given}))
        for name in names:
            if name not in own and name not in given:
                raise ValueError(f"copy_weights: got the name {name!r}, expected some of {', '.join(own)}")
            if name not in own or name not in given or own[name].shape != given[name].shape:
                here, there = (arrays[name].shape if name in arrays else "nothing" for arrays in (own, given))
                raise ValueError(f"copy_weights: got {there} for {name}, expected {here}; name the layers "
                                 "that are alike, such as layers=slice(0, 1)")
        for name in names:
            own[name][...] = given[name]

    def _chosen_names(self, layers, names):
        """Return those of the arrays' names that belong to ``layers``: a slice of numbers, names, or None."""
        if layers is None:
            return names
        if isinstance(layers, slice):
            numbers = set(map(str, range(*layers.indices(len(self.layers)))))
            chosen = [name for name in names if name.partition(".")[0] in numbers]
        elif isinstance(layers, (list, tuple, set)) and all(isinstance(name, str) for name in layers):
            chosen = list(layers)
        else:
            raise TypeError(f"layers: got {layers!r}, expected a slice of layer numbers, or a list of names "
                            "such as '0.W'")
        if not chosen:
            raise ValueError(f"layers: got {layers!r}, which has no parameters, expected some of "
                             f"{', '.join(names)}")
        return chosen

    def __getstate__(self):
        """Return what a copy is made from: the arrays are copied, and the parts come without theirs."""
        left_out = ("gradient_vector", "layout", "state_layout", "races", "others")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __setstate__(self, state):
        self.__dict__.update(state, races={}, others={})
        if self.input_shape is None:
            return
        for _, part in self.parts():
            part.claim(self)
        self._attach()
        self.vector[:], self.state_vector[:] = state["vector"], state["state_vector"]

    def for_steps(self, T: int) -> "Graph":
        """Return the graph for sequences of T steps: this one, or another one with the same arrays.

        ValueError where the network has weights for each step.
        """
        other = self if self.input_shape[0] == T else self.others.get(T)
        if other is None:
            other = Graph([copy.copy(layer) for layer in self.layers], copy.copy(self.head), self.dtype)
            shape = T, *self.input_shape[1:]
            if other.infer_shapes(shape) != {name: array.shape for name, array in self.arrays().items()}:
                raise ValueError(f"X: got sequences of {T} steps, expected {self.input_shape[0]}: the "
                                 "network has weights for each step")
            for (_, own), (_, copied) in zip(self.parts(), other.parts()):
                copied.attach(own.padded, own.padded_gradients, own.state)
            other.input_shape, other.decayed = shape, self.decayed
            other.vector, other.gradient_vector = self.vector, self.gradient_vector
            if len(self.others) == _MOST_OTHERS:
                del self.others[next(iter(self.others))]
            self.others[T] = other
        other.seed = self.seed
        for own, copied in zip(self.layers, other.layers):
            copied.take_trainable(own)
        return other

    # ---- the passes ----------------------------------------------------------------------------------------

    def workspaces(self) -> Workspaces:
        """Return the arrays that batches pass through: ``workspaces[N]`` is made when first N rows come."""
        return Workspaces(self)

    def race(self, purpose: str, rows: int, *how) -> Race:
        """Return the race of batches of so many rows, within a `parallel_region`; see `Race`."""
        race, most = self.races.get((purpose, rows)), get_threads()
        if race is None or race.numbers[-1] != most:
            race = self.races[purpose, rows] = Race(most, *how)
        return race

    def raced(self) -> tuple[Any, ...]:
        """Return the number of threads that the last training found best, and how often it changed."""
        races = [race for (purpose, _), race in self.races.items() if purpose == "training"]
        if fixed_threads() is not None or not races:
            return get_threads(), 0
        return races[-1].best or races[-1].threads, races[-1].changes

    def forward(self, x, workspace, step: int | None = None, batch: Batch | None = None):
        """Return the logits of the checked rows ``x``, an array of the ``workspace``."""
        w, mask = (None, None) if batch is None else (batch.w, batch.mask)
        arrays = workspace.arrays
        arrays[0] = a = x
        for i, (layer, out, context) in enumerate(workspace.way, 1):
            context.step, context.w, context.mask = step, w, mask
            arrays[i] = a = layer.forward(a, a if out is None else out, context)
            if mask is not None:
                mask = layer.output_mask(mask)
        return a

    def backward(self, delta, workspace):
        """Write the gradients from ``delta`` = dL/dz, overwritten, after `forward` in this workspace."""
        arrays = workspace.arrays
        for i, layer, elementwise, dx, context in workspace.way_back:
            delta = layer.backward(arrays[i], arrays[i + 1], delta, delta if elementwise else dx, context)

    def loss(self, batch: Batch, workspace, step: int | None = None):
        """Return the head's sums (w l, w metric, w) over a batch."""
        z = self.as_head_rows(self.forward(batch.x, workspace, step, batch))
        return self.head.loss(z, batch.y, batch.w, self.as_head_rows(workspace.delta))

    def as_head_rows(self, z):
        """Return an array like the last layer's output as the head sees it: a step is a row of its own."""
        return z.reshape(-1, z.shape[-1]) if self.per_step else z

    def output_mask(self, mask):
        """Return which steps of the output are valid, (N, T'), from ``mask`` (N, T) of the input; None where
        there are no steps.
        """
        for layer in self.layers:
            mask = None if mask is None else layer.output_mask(mask)
        return mask

    def check_takes_mask(self):
        """Raise ValueError where a layer cannot do with a mask what it should."""
        for i, layer in enumerate(self.layers):
            if layer.mask_use == "refuses":
                raise ValueError(f"mask: got one for layer {i}, {layer!r}, expected layers that use it or "
                                 f"pass it on: {layer.mask_reason}")
            if layer.mask_use == "consumes":
                return

    def loss_and_gradient(self, batch: Batch, total, workspace, step: int | None = None,
                          penalised: bool = True):
        """Leave the gradient of L = sum w l / ``total`` + penalty in ``gradient_vector``.

        Return the sums (w l, w metric, w) of the head, and the penalty, 0 unless it is ``penalised``.
        """
        z, delta = self.forward(batch.x, workspace, step, batch), workspace.delta
        if self.per_step:
            z, delta_rows = self.as_head_rows(z), self.as_head_rows(delta)
        else:
            delta_rows = delta
        loss, metric, weight = self.head.loss_and_delta(z, batch.y, batch.w, total, delta_rows)
        self.backward(delta, workspace)
        with_penalty = penalised and self.penalised
        return loss, metric, weight, self.penalise(with_gradient=True) if with_penalty else 0.0

    def penalise(self, with_gradient: bool = False) -> float:
        """Return the sum of the layers' penalties, and add its derivative to the gradient if told to."""
        return sum([layer.penalise(with_gradient) for layer in self.penalised])

    def commit(self, workspace):
        """Let the layers change their state, after a training step of this workspace's batch."""
        for i in self.committing:
            self.layers[i].commit(workspace.contexts[i])

    def forward_once(self, a, mask=None):
        """Return the logits of the checked rows ``a``, without a workspace: for a few rows."""
        N = len(a)
        for layer, shape in self.inferring:
            out = a if shape is None else np.empty((N, *shape), self.dtype)
            a = layer.forward(a, out, self._inference(layer, N, mask))
            if mask is not None:
                mask = layer.output_mask(mask)
        return a

    def activations(self, a, mask=None) -> list[Any]:
        """Return every layer's output for the checked rows ``a``, each an array of its own."""
        found = []
        for layer, shape in zip(self.layers, self.shapes):
            out = np.empty((len(a), *shape), self.dtype)
            a = layer.forward(a, out, self._inference(layer, len(a), mask))
            mask = None if mask is None else layer.output_mask(mask)
            found.append(a if a is out else a.copy())
        return found

    def _inference(self, layer, N, mask):
        """Return the context in which a layer is used once."""
        if mask is None and not layer.scratch:
            return INFERENCE
        return Context(scratch=scratch(layer, N, self.dtype), mask=mask)


def _built(layer, input_shape):
    """Return the shape of a row of the layer's output; TypeError where it gives none."""
    shape = layer.build(input_shape)
    if not isinstance(shape, tuple):
        raise TypeError(f"{type(layer).__name__}.build: got {shape!r}, expected the shape of a row of the "
                        "output, a tuple")
    return shape


def _outputs(layers, shapes):
    """Return the shapes of the layers' outputs, None where a layer writes over its input."""
    outputs, free = [], False
    for layer, shape in zip(layers, shapes):
        outputs.append(None if layer.in_place and free else shape)
        # an elementwise layer may return its input
        free = layer.frees_output and (free or not layer.elementwise)
    return outputs
