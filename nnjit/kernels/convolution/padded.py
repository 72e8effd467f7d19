"""Padded images, the windows that slide over them, and the chunks in which samples are summed up."""
import numpy as np

from ..._numba.jit import kernel
from .._chunks import _count_chunks, _fraction
from ..elementary import intensity

_MAX_CHUNKS = 16    # of samples; sums over samples have as many parts


@kernel
def _count_sample_chunks(N):
    return min(N, _MAX_CHUNKS)


@kernel
def _samples(k, N):
    """Return the first of the samples of chunk k, and the one after the last."""
    return _fraction(k, _count_sample_chunks(N), N)


@kernel
def _inside(corner, spread, size, room):
    """Return the first pixel of ``size`` that lies in the padded image, and the one after the last: pixel i
    lies at corner + spread i, of ``room``.
    """
    first = max(0, _count_chunks(-corner, spread))
    return first, max(first, min(size, _count_chunks(room - corner, spread)))


@kernel
def _fill_padded(image, channel, corner, spread, padded):
    """Copy some channels of image (H, W, ...), from ``channel`` on, into the zeros of padded (PH, PW, C).

    Pixel (i, j) comes to corner + spread (i, j), those that come to lie outside are left out.
    """
    H, W, all_channels = image.shape
    rows, columns, C = padded.shape
    (top, left), (down, across) = corner, spread
    i0, i1 = _inside(top, down, H, rows)
    j0, j1 = _inside(left, across, W, columns)
    zero = padded.dtype.type(0)
    for i in range(i0, i1):
        if across == 1 and C == all_channels:
            source, target = image[i].reshape(-1)[j0 * C:j1 * C], padded[top + i * down].reshape(-1)
            begin = (left + j0) * C
            for k in range(source.size):
                target[begin + k] = intensity(source[k], zero)
        else:
            for j in range(j0, j1):
                for c in range(C):
                    padded[top + i * down, left + j * across, c] = intensity(image[i, j, channel + c], zero)


@kernel
def _padded_size(shape, window, steps, dilation):
    """Return the rows and columns of a padded image over which windows slide to outputs of this shape."""
    return ((shape[0] - 1) * steps[0] + (window[0] - 1) * dilation[0] + 1,
            (shape[1] - 1) * steps[1] + (window[1] - 1) * dilation[1] + 1)


@kernel
def _new_padded(size, C, slack, like):
    """Return zeros of shape (rows, columns, C), and the same flat with ``slack`` more: a tile may read past
    the end.
    """
    count = size[0] * size[1] * C
    memory = np.zeros(count + slack, like.dtype)
    return memory[:count].reshape(size[0], size[1], C), memory


@kernel
def _runs(window, C, dilation):
    """Return how many runs a window has in one of its lines, and how many numbers side by side each has."""
    return (1, window[1] * C) if dilation[1] == 1 else (window[1], C)


@kernel
def _geometry(columns, C, window, steps, dilation):
    """Return the geometry of a flat padded image with so many columns of C channels: ``(pixel_step, row_step,
    starts, run)``.

    The first two are the numbers between the windows of neighbouring outputs. The runs of a window begin at
    ``starts`` from its first number, and have so many numbers.
    """
    across, run = _runs(window, C, dilation)
    line = columns * C
    starts = np.empty(window[0] * across, np.int64)
    for r in range(starts.size):
        starts[r] = r // across * dilation[0] * line + r % across * dilation[1] * C
    return steps[1] * C, steps[0] * line, starts, run
