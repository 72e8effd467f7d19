"""Images moved at random, each in its own way, at training steps; elsewhere the identity."""
import numpy as np

from ..inputs.checks import check_count
from ..kernels import augmentation, random
from ..memory import Array, Shape
from .base import Context, Elementwise
from .reshape import intensities
from .windows import check_images


class _RandomMove(Elementwise):
    """Draws from a hash of the seed, the layer, the step and the row: a step always does the same."""

    takes_bytes = True
    input_kind = "images"
    frees_output = True

    def build(self, input_shape: Shape) -> Shape:
        return check_images(type(self).__name__, input_shape)

    def moves(self, N: int, ctx: Context) -> tuple[Array, Array, Array]:
        """Return per image whether it is mirrored, and how far it goes down and right: (N,) int64."""
        raise NotImplementedError

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        if ctx.step is None:
            return intensities(x, out)
        augmentation.move(x, *self.moves(len(x), ctx), out)
        return out

    def backward(self, x: Array, a: Array, delta: Array, dx: Array, ctx: Context) -> Array:
        if ctx.step is None:
            return delta
        mirrored, down, right = self.moves(len(x), ctx)
        augmentation.move(delta.copy(), mirrored, -down, np.where(mirrored, right, -right), dx)
        return dx


def _draw(N, choices, many, ctx):
    """Return ``many`` arrays (N,) of whole numbers below ``choices``, a number of each for a row."""
    numbers = np.empty((N, many), np.int64)
    random.draw_integers(ctx.key, ctx.step, ctx.first_row, choices, numbers)
    return numbers.T


class RandomFlip(_RandomMove):
    """Mirror every other image, left to right, by chance, only at a training step."""

    def moves(self, N: int, ctx: Context) -> tuple[Array, Array, Array]:
        mirrored, = _draw(N, 2, 1, ctx)
        return mirrored, np.zeros_like(mirrored), np.zeros_like(mirrored)


class RandomShift(_RandomMove):
    """Shift each image by up to ``pixels`` up or down and left or right, by chance, only at a training step;
    0 comes in.

    Parameters
    ----------
    pixels : int
        At least 1; every shift of at most this is as likely as the others.

    Raises
    ------
    TypeError, ValueError
        ``pixels`` is not a whole number of at least 1.
    """

    config = ("pixels",)

    def __init__(self, pixels: int):
        self.pixels = check_count("RandomShift pixels", pixels, most=2**31)

    def moves(self, N: int, ctx: Context) -> tuple[Array, Array, Array]:
        down, right = _draw(N, 2 * self.pixels + 1, 2, ctx) - self.pixels
        return np.zeros_like(down), down, right

    def __repr__(self):
        return f"RandomShift({self.pixels})"
