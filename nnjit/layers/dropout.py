"""Dropout."""
import numpy as np

from ..inputs.checks import check_real
from ..kernels import dropout
from ..memory import Array, Shape
from .base import Context, Elementwise, as_rows


class Dropout(Elementwise):
    """Drop each unit with probability ``rate`` at a training step and scale the others by 1 / (1 - rate).

    Without a step it is the identity (inverted dropout: Srivastava et al., JMLR 2014). The mask is a hash of
    the seed, the layer, the step, the row and the unit, so that the same step always has the same mask.

    Parameters
    ----------
    rate : float
        In [0, 1).

    Raises
    ------
    TypeError, ValueError
        ``rate`` is not a number of that range.
    """

    config = ("rate",)
    frees_output = only_trains = True
    effect_on_output = "drops outputs by chance"

    def __init__(self, rate: float):
        self.rate = check_real("Dropout rate", rate, 0.0, 1.0)
        self.keep = dropout.keep_digits(self.rate)

    def build(self, input_shape: Shape) -> Shape:
        units = int(np.prod(input_shape))
        self.scratch = {"mask": ((-(-units // dropout.WORD),), np.uint64)} if self.rate else {}
        return input_shape

    def draw(self, mask: Array, ctx: Context) -> None:
        """Write the mask of a step into ``mask`` (N, ceil(units / 64)) uint64, a bit a unit."""
        dropout.draw_mask(ctx.key, ctx.step, ctx.first_row, *self.keep, mask)

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        if ctx.step is None or self.rate == 0:
            return x
        mask = ctx.scratch["mask"]
        self.draw(mask, ctx)
        dropout.apply_mask(as_rows(x), mask, 1 / (1 - self.rate), as_rows(out))
        return out

    def backward(self, x: Array, a: Array, delta: Array, dx: Array, ctx: Context) -> Array:
        if ctx.step is None or self.rate == 0:
            return delta
        dropout.apply_mask(as_rows(delta), ctx.scratch["mask"], 1 / (1 - self.rate), as_rows(dx))
        return dx

    def __repr__(self):
        return f"Dropout({self.rate:g})"
