"""A layer that holds layers: `Residual`, the sum of two ways."""
import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernels import random
from ..memory import Array, Arrays, Shape
from .base import Context, Layer
from .checks import check_layers


class Residual(Layer):
    """The sum of two ways: a = f(x) + x, where f is some layers in a row; or f(x) + g(x).

    Parameters
    ----------
    layers : list of layers
        f. Their output has the shape of x, or of what ``shortcut`` makes of it.
    shortcut : list of layers
        g, such as ``[Conv2D(32, 1, strides=2)]`` where f changes the shape; by default x itself.

    Raises
    ------
    TypeError, ValueError
        Something is no layer, or given twice; the two ways give different shapes.

    Source: K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016.

    Examples
    --------
    >>> import nnjit as nn
    >>> block = nn.Residual([nn.Conv2D(16, 3, strides=2), nn.ReLU(), nn.Conv2D(16, 3)],
    ...                     shortcut=[nn.Conv2D(16, 1, strides=2)])
    >>> block.build((32, 32, 8))
    (16, 16, 16)
    """

    config = ("layers", "shortcut")
    input_kind, frees_output = None, True
    mask_reason = "one of its layers refuses masks, or leaves no steps"

    def __init__(self, layers: Sequence[Layer], shortcut: Sequence[Layer] = ()):
        self.layers, self.shortcut = (_Way(given) for given in (layers, shortcut or ()))
        if not self.layers:
            raise ValueError("Residual: got no layers, expected at least one")

    def _ways(self):
        return ("", self.layers), ("shortcut.", self.shortcut)

    def _parts(self):
        """Yield the name in the keys of arrays, and the layer, of all."""
        for prefix, way in self._ways():
            for i, layer in enumerate(way):
                yield f"{prefix}{i}.", layer

    # ---- arrays --------------------------------------------------------------------------------------------

    def build(self, input_shape: Shape) -> Shape:
        outputs = [way.build(input_shape) for _, way in self._ways()]
        if outputs[0] != outputs[1]:
            raise ValueError(f"Residual: got {outputs[0]} from its layers and {outputs[1]} from the "
                             "shortcut, expected the same shape; give shortcut=[Conv2D(filters, 1, strides)] "
                             "or the like")
        self.shapes, self.state_shapes, self.scratch, self.batch_scratch, self.decayed = {}, {}, {}, {}, ()
        for prefix, layer in self._parts():
            for own, its in ((self.shapes, layer.shapes), (self.state_shapes, layer.state_shapes),
                             (self.scratch, layer.scratch), (self.batch_scratch, layer.batch_scratch)):
                own.update({prefix + name: value for name, value in its.items()})
            self.decayed += tuple(prefix + name for name in layer.decayed)
        for prefix, way in self._ways():
            self.scratch.update({f"{prefix}{i}.output": (shape, None) for i, shape in enumerate(way.shapes)})
        self.multiply_adds = sum(layer.multiply_adds for _, layer in self._parts())
        self.receptive_field = self.layers.receptive_field()
        return outputs[0]

    def check_free(self, owner: object) -> None:
        super().check_free(owner)
        for _, layer in self._parts():
            layer.check_free(owner)

    def claim(self, owner: object) -> None:
        super().claim(owner)
        for _, layer in self._parts():
            layer.claim(owner)

    def attach(self, padded: Arrays, padded_gradients: Arrays, state: Arrays) -> None:
        super().attach(padded, padded_gradients, state)
        for prefix, layer in self._parts():
            kinds = (padded, layer.shapes), (padded_gradients, layer.shapes), (state, layer.state_shapes)
            layer.attach(*({name: arrays[prefix + name] for name in names} for arrays, names in kinds))

    def initialise(self, rng: np.random.Generator) -> None:
        for _, layer in self._parts():
            layer.initialise(rng)

    def __getstate__(self):
        """As of `Layer`: a copy has copies of the layers, too."""
        return {**super().__getstate__(), "layers": self.layers.copied(), "shortcut": self.shortcut.copied()}

    @property
    def trainable(self) -> bool:
        """Whether a training changes parameters of any of its layers; set, it is of all."""
        return any(layer.trainable for _, layer in self._parts())

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for _, layer in self._parts():
            layer.trainable = value

    def take_trainable(self, other: Any) -> None:
        for (_, own), (_, its) in zip(self._parts(), other._parts()):
            own.take_trainable(its)

    def frozen_names(self) -> list[str]:
        return [prefix + name for prefix, layer in self._parts() for name in layer.frozen_names()]

    def penalise(self, with_gradient: bool) -> float:
        return sum([layer.penalise(with_gradient) for _, layer in self._parts()])

    # ---- the passes ----------------------------------------------------------------------------------------

    @property
    def mask_use(self) -> str:    # type: ignore[override]    # follows from the arguments
        """It uses a mask if all its layers do with it what they should, and leave the steps."""
        uses = {layer.mask_use for _, layer in self._parts()}
        return "refuses" if uses & {"refuses", "consumes"} else "uses"

    def output_mask(self, mask: Array) -> Array | None:
        for layer in self.layers:
            mask = layer.output_mask(mask)    # type: ignore[assignment]    # none of them consumes it
        return mask

    def _contexts(self, ctx):
        """Return for each way (layer, its context, the name of its arrays), kept in the context ``ctx``."""
        if "contexts" not in ctx.scratch:
            ctx.scratch["contexts"] = [[self._context(f"{prefix}{i}.", layer, number * 2**20 + i, ctx)
                                        for i, layer in enumerate(way)]
                                       for number, (prefix, way) in enumerate(self._ways())]
        return ctx.scratch["contexts"]

    def _context(self, name, layer, number, ctx):
        own = {key.removeprefix(name): array for key, array in ctx.scratch.items() if key.startswith(name)}
        return layer, Context(np.uint64(random.absorb(ctx.key, np.uint64(number))), own), name

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        ends = []
        for way in self._contexts(ctx):
            a, mask = x, ctx.mask
            for layer, context, name in way:
                context.step, context.first_row, context.w = ctx.step, ctx.first_row, ctx.w
                context.mask = mask
                context.scratch["x"] = a
                a = layer.forward(a, context.scratch["output"], context)
                mask = None if mask is None else layer.output_mask(mask)
            ends.append(a)
        ctx.scratch["ends"] = ends
        return np.add(ends[0], ends[1], out=out)

    def backward(self, x: Array, a: Array, delta: Array, dx: Array | None, ctx: Context) -> Array | None:
        deltas = []
        for way, end in zip(self._contexts(ctx), ctx.scratch["ends"]):
            # a layer may write over its delta, which the other way needs, too
            deltas.append(_backward(way, end, delta.copy() if way else delta, dx is not None))
        return None if dx is None else np.add(deltas[0], deltas[1], out=dx)

    def commit(self, ctx: Context) -> None:
        for way in self._contexts(ctx):
            for layer, context, _ in way:
                layer.commit(context)

    def __repr__(self):
        ways = [repr(list(way)) for _, way in self._ways() if way]
        return f"Residual({', shortcut='.join(ways)})"


def _backward(way, a, delta, wants_dx):
    """Go back along a way, whose output is ``a``; return dL/dx where it is wanted."""
    lowest = 0 if wants_dx else next((i for i, (layer, _, _) in enumerate(way) if layer.shapes), len(way))
    for i in reversed(range(lowest, len(way))):
        layer, context, _ = way[i]
        x, dx = context.scratch["x"], delta
        if not layer.elementwise:
            dx = context.scratch.setdefault("dx", np.empty_like(x)) if i > lowest or wants_dx else None
        delta, a = layer.backward(x, a, delta, dx, context), x
    return delta


class _Way(list[Layer]):
    """Layers in a row."""

    def __init__(self, layers):
        given, shape = check_layers(list(layers)) if layers else ([], None)
        if shape is not None:
            raise ValueError("Residual: got an Input among its layers, expected it in front of the network")
        super().__init__(given)

    def build(self, shape):
        """Build the layers for rows of a shape; return that of the output. Those of all are in ``shapes``."""
        self.shapes = [shape := layer.build(shape) for layer in self]
        return shape

    def receptive_field(self):
        """Return (size, stride) of what an output sees, in rows and columns, or None for all."""
        size, stride = np.ones(2), np.ones(2)
        for layer in self:
            if layer.receptive_field is None:
                return None
            own_size, own_stride = layer.receptive_field
            size, stride = size + (np.array(own_size) - 1) * stride, stride * np.array(own_stride)
        return tuple(size.tolist()), tuple(stride.tolist())

    def copied(self):
        """Return copies of the layers, without their arrays."""
        found = _Way([copy.copy(layer) for layer in self])
        if hasattr(self, "shapes"):
            found.shapes = self.shapes
        return found
