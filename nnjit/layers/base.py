"""The base of the layers: what a layer declares, what it is given, and what each of its methods does.

A layer owns nothing but what it was given. In `build` it declares the shapes of its parameters, of its state
that is not trained, and of the scratch arrays that its backward pass needs. The graph attaches the arrays. A
call gets everything else in a `Context`, so nothing of a call stays on the layer.
"""
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..memory import Array, Shape
from ..objects import NOTHING, Part

_NO_KEY = np.uint64(0)


class Context:
    """What a layer's methods are given beside the arrays of the batch.

    Attributes
    ----------
    step : int or None
        The number of the training step; None where nothing is trained: dropout is then the identity. A
        backward pass may follow also then, see `Sequential.gradients`.
    key : np.uint64
        A hash of the seed and the layer's place in the network. What is random at a step is a hash of the
        key, the step, the row and the unit, so that the same step always draws the same.
    first_row : int
        The number of the batch's first row within the whole batch, for the same purpose.
    w : (N,) array or None
        The weights of the rows; None stands for 1.
    mask : array or None
        Which steps of a sequence are valid; None is all.
    scratch : dict of arrays
        Those that `Layer.scratch` declares, (N, ...), in every call: what `forward` writes into them is there
        in `backward`, and in `commit`. At a training step also those of `Layer.batch_scratch`.
    """

    __slots__ = "first_row", "key", "mask", "scratch", "step", "w"

    def __init__(self, key: np.uint64 = _NO_KEY, scratch: dict[str, Any] = NOTHING,
                 step: int | None = None, first_row: int = 0, w: Array | None = None,
                 mask: Array | None = None):
        self.key, self.scratch = key, scratch
        self.step, self.first_row, self.w, self.mask = step, first_row, w, mask


INFERENCE = Context()    # of a prediction: there is no step, and nothing goes back


class Layer(Part):
    """What every layer has. A layer of your own derives from it, and must have `forward` and `backward`.

    Sizes: a batch has N rows; x (N, ...) is the layer's input, a (N, ...) its output.

    Attributes
    ----------
    config, shapes, state_shapes, parameters, gradients, state
        As of every `Part`.
    scratch : dict of {name: (shape of a row, dtype)}
        Arrays that a batch keeps from `forward` to `backward`, in ``ctx.scratch``. The dtype None is the
        model's.
    batch_scratch : dict of {name: (shape, dtype)}
        The same for arrays of the batch as a whole, at a training step.
    elementwise : bool
        Whether there is an output for each input. ``dx`` is then ``delta`` itself.
    in_place : bool
        Whether an elementwise layer takes its derivative from its output alone. ``out`` is then ``x`` itself.
    frees_output : bool
        Whether the layer after it may write over its output: `forward` has written all of it into ``out``,
        and `backward` does not read ``a``.
    only_trains : bool
        Whether it is the identity where there is no step.
    effect_on_output : str or None
        What it does to logits that it should leave alone, such as "saturates": heads refuse it as the last
        layer.
    takes_sparse, takes_bytes : bool
        As a first layer: whether ``x`` may be a batch without its zeros (`inputs.rows`), and images of uint8,
        which it divides by 255.
    input_kind : "numbers", "images" or None
        As a first layer: what its input is, None what the next layer's is. Images of bytes stand for 0 ... 1.
    mask_use, mask_reason : str
        What it does with the mask of a sequence: "uses", "passes on", "consumes" where the output has no
        steps, or "refuses", and why.
    trainable : bool
        Whether a training changes its parameters; may be set at any time, and holds from the next epoch on.
    multiply_adds : int
        A row's, in the forward pass.
    receptive_field : (size, stride) or None
        In pixels, each a number or (rows, columns), of what an output sees of the layer's input; None is all
        of it.
    """

    scratch: dict[str, tuple[Shape, DTypeLike | None]] = NOTHING
    batch_scratch: dict[str, tuple[Shape, DTypeLike | None]] = NOTHING
    elementwise = in_place = frees_output = only_trains = takes_sparse = takes_bytes = False
    effect_on_output: str | None = None
    input_kind: str | None = "numbers"
    mask_use, mask_reason = "refuses", "it says nothing about masks (mask_use)"
    trainable = True
    multiply_adds = 0
    receptive_field: tuple[Any, Any] | None = None
    _declared = (*Part._declared, "scratch", "batch_scratch")

    def build(self, input_shape: Shape) -> Shape:
        """Take the shape of a row, and return that of an output row; declare `shapes` and the like.

        ValueError where the layer can't work with it. Here: no arrays, and the shape that comes in.
        """
        return input_shape

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        """Write the output for the rows ``x`` into ``out`` and return it, or another array that holds it."""
        raise NotImplementedError(f"{type(self).__name__}: got no method forward, expected forward(self, x, "
                                  "out, ctx)")

    def backward(self, x: Array, a: Array, delta: Array, dx: Array | Any, ctx: Context) -> Array | None:
        """From ``delta`` = dL/da, write dL/dx into ``dx`` and return it, and fill ``gradients``.

        ``x`` and ``a`` are the input and the output of `forward`, ``dx`` is None where nobody asks for dL/dx:
        of the lowest layer with parameters. ``delta`` may be overwritten.
        """
        raise NotImplementedError(f"{type(self).__name__}: got no method backward, expected backward(self, "
                                  "x, a, delta, dx, ctx)")

    def output_mask(self, mask: Array) -> Array | None:
        """Return which steps of the output are valid, (N, T'), from those of the input (N, T)."""
        return None if self.mask_use == "consumes" else mask

    def commit(self, ctx: Context) -> None:
        """Change the state after a training step.

        Only the training loop calls it, so looking at a gradient moves nothing.
        """

    def take_trainable(self, other: "Layer") -> None:
        """Be as trainable as a layer of the same kind."""
        self.trainable = other.trainable

    def frozen_names(self) -> list[str]:
        """Return the names of the parameters that a training leaves as they are."""
        return [] if self.trainable else list(self.shapes)

    def penalise(self, with_gradient: bool) -> float:
        """Return the penalty on the parameters, a part of the loss.

        Add its derivative to ``gradients`` if told to.
        """
        return 0.0

    def __repr__(self):
        return f"{type(self).__name__}()"


class Elementwise(Layer):
    """A layer without parameters whose output has the shape of its input."""

    elementwise = True
    mask_use = "passes on"
    input_kind: str | None = None
    receptive_field = (1, 1)


def as_rows(x: Array) -> Array:
    """Return an array (N, ...) as rows (N, D), without a copy."""
    return x if x.ndim == 2 else x.reshape(len(x), -1)
