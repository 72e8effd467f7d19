"""Pooling of images (N, H, W, C): the maximum or the mean over windows of every channel, and the gradients;
and of sequences (N, T, D) over the valid steps, with their mask (N, T).

Tiles of a few windows by half a vector of channels are worked on in registers; channels left over go a number
at a time.
"""
from numba import prange

from .._numba.jit import kernel, parallel_kernel
from .._numba.simd import BYTES
from .._numba.tiles import load_tile, route_to_max, store_tile, tile_max

_HALF_VECTOR = BYTES // 2
_TILE_ROWS = 4    # windows of a tile


# A window is (rows, columns), steps (down, across); ``corner`` says how many rows and columns of the first
# window lie before the image. What lies outside counts for nothing.


@kernel
def _within(i, step, before, rows, size):
    """Return the first row of the image in the i-th window, and the one after the last."""
    first = i * step - before
    return max(0, first), min(size, first + rows)


# ---- maximum -----------------------------------------------------------------------------------------------

@kernel
def _max_pool_channels(x, out, window, steps, corner, first):
    """As `max_pool` for one image and the channels from ``first`` on, one number at a time."""
    height, width, C = out.shape
    for i in range(height):
        top, bottom = _within(i, steps[0], corner[0], window[0], x.shape[0])
        for j in range(width):
            left, right = _within(j, steps[1], corner[1], window[1], x.shape[1])
            for c in range(first, C):
                most = x[top, left, c]
                for y in range(top, bottom):
                    for k in range(left, right):
                        value = x[y, k, c]
                        most = value if not value <= most and most == most else most
                out[i, j, c] = most


@kernel
def _tile_max(tile, x, offset, window, line, C, step):
    """Return the maximum of the tile and the rest of its windows in the flat x, of lines of so many numbers.
    """
    for cell in range(1, window[0] * window[1]):
        tile = tile_max(tile, x, offset + cell // window[1] * line + cell % window[1] * C, step)
    return tile


@kernel
def _max_pool_image(x, out, window, steps, corner):
    """As `max_pool` for one image."""
    height, width, C = out.shape
    lanes = _HALF_VECTOR // out.itemsize
    line, pixel_step, flat, pooled = x.shape[1] * C, steps[1] * C, x.reshape(-1), out.reshape(-1)
    if not _all_within(x, height, width, window, steps, corner):
        _max_pool_channels(x, out, window, steps, corner, 0)
        return
    in_tiles = width // _TILE_ROWS * _TILE_ROWS
    for c in range(0, C - lanes + 1, lanes):
        for i in range(height):
            for j in range(0, in_tiles, _TILE_ROWS):
                offset = i * steps[0] * line + j * pixel_step + c
                tile = load_tile(flat, offset, pixel_step, _TILE_ROWS, _HALF_VECTOR)
                store_tile(_tile_max(tile, flat, offset, window, line, C, pixel_step), pooled,
                           (i * width + j) * C + c, C)
            for j in range(in_tiles, width):
                offset = i * steps[0] * line + j * pixel_step + c
                single = load_tile(flat, offset, 0, 1, _HALF_VECTOR)
                store_tile(_tile_max(single, flat, offset, window, line, C, 0), pooled,
                           (i * width + j) * C + c, 0)
    if C % lanes:
        _max_pool_channels(x, out, window, steps, corner, C // lanes * lanes)


@kernel
def _all_within(x, height, width, window, steps, corner):
    """Return whether all windows lie within the image."""
    bottom = (height - 1) * steps[0] - corner[0] + window[0]
    right = (width - 1) * steps[1] - corner[1] + window[1]
    return corner[0] <= 0 and corner[1] <= 0 and bottom <= x.shape[0] and right <= x.shape[1]


@parallel_kernel
def max_pool(x, window, steps, corner, out):
    """out[n, i, j, c] = the largest number of channel c in the window that begins at (i, j) steps - corner;
    NaN where one is NaN.
    """
    for n in prange(x.shape[0]):
        _max_pool_image(x[n], out[n], window, steps, corner)


@kernel
def _max_pool_backward_channels(x, delta, window, steps, corner, first, dx):
    """As `max_pool_backward` for one image and the channels from ``first`` on, one number at a time."""
    height, width, C = delta.shape
    for i in range(height):
        top, bottom = _within(i, steps[0], corner[0], window[0], x.shape[0])
        for j in range(width):
            left, right = _within(j, steps[1], corner[1], window[1], x.shape[1])
            for c in range(first, C):
                y, k = top, left
                for row in range(top, bottom):
                    for column in range(left, right):
                        value, most = x[row, column, c], x[y, k, c]
                        if not value <= most and most == most:
                            y, k = row, column
                dx[y, k, c] += delta[i, j, c]


@kernel
def _route_to_max(delta, tile, x, dx, offset, window, line, C, step):
    """Add the tile delta to dx at the first maximum of each window, where ``tile`` has the first number of
    each.
    """
    largest = _tile_max(tile, x, offset, window, line, C, step)
    for cell in range(window[0] * window[1]):
        delta = route_to_max(delta, largest, x, dx, offset + cell // window[1] * line + cell % window[1] * C,
                             step)


@kernel
def _max_pool_backward_image(x, delta, window, steps, corner, dx):
    """As `max_pool_backward` for one image."""
    height, width, C = delta.shape
    lanes = _HALF_VECTOR // delta.itemsize
    line, pixel_step = x.shape[1] * C, steps[1] * C
    flat, flat_delta, out = x.reshape(-1), delta.reshape(-1), dx.reshape(-1)
    for k in range(out.size):
        out[k] = 0
    if not _all_within(x, height, width, window, steps, corner):
        _max_pool_backward_channels(x, delta, window, steps, corner, 0, dx)
        return
    # A tile's windows must not overlap.
    in_tiles = width // _TILE_ROWS * _TILE_ROWS if steps[1] >= window[1] else 0
    for c in range(0, C - lanes + 1, lanes):
        for i in range(height):
            for j in range(0, in_tiles, _TILE_ROWS):
                offset, source = i * steps[0] * line + j * pixel_step + c, (i * width + j) * C + c
                given = load_tile(flat_delta, source, C, _TILE_ROWS, _HALF_VECTOR)
                tile = load_tile(flat, offset, pixel_step, _TILE_ROWS, _HALF_VECTOR)
                _route_to_max(given, tile, flat, out, offset, window, line, C, pixel_step)
            for j in range(in_tiles, width):
                offset, source = i * steps[0] * line + j * pixel_step + c, (i * width + j) * C + c
                single_delta = load_tile(flat_delta, source, 0, 1, _HALF_VECTOR)
                single = load_tile(flat, offset, 0, 1, _HALF_VECTOR)
                _route_to_max(single_delta, single, flat, out, offset, window, line, C, 0)
    if C % lanes:
        _max_pool_backward_channels(x, delta, window, steps, corner, C // lanes * lanes, dx)


@parallel_kernel
def max_pool_backward(x, delta, window, steps, corner, dx):
    """dx = delta at the first of the largest numbers of each window, and the sum where windows overlap."""
    for n in prange(x.shape[0]):
        _max_pool_backward_image(x[n], delta[n], window, steps, corner, dx[n])


# ---- mean --------------------------------------------------------------------------------------------------

@parallel_kernel
def average_pool(x, window, steps, corner, count_padding, out):
    """out[n, i, j, c] = the mean of channel c in the window that begins at (i, j) steps - corner: of what
    lies in the image, or with ``count_padding`` of the whole window, with zeros outside.
    """
    for n in prange(x.shape[0]):
        _average_image(x[n], window, steps, corner, count_padding, out[n])


@kernel
def _average_image(x, window, steps, corner, count_padding, out):
    height, width, C = out.shape
    for i in range(height):
        top, bottom = _within(i, steps[0], corner[0], window[0], x.shape[0])
        for j in range(width):
            left, right = _within(j, steps[1], corner[1], window[1], x.shape[1])
            count = window[0] * window[1] if count_padding else (bottom - top) * (right - left)
            fraction = out.dtype.type(1 / count)
            for c in range(C):
                out[i, j, c] = 0
            for y in range(top, bottom):
                for k in range(left, right):
                    for c in range(C):
                        out[i, j, c] += x[y, k, c]
            for c in range(C):
                out[i, j, c] *= fraction


@kernel
def _average_image_backward(delta, window, steps, corner, count_padding, dx):
    height, width, C = delta.shape
    dx[:] = 0
    for i in range(height):
        top, bottom = _within(i, steps[0], corner[0], window[0], dx.shape[0])
        for j in range(width):
            left, right = _within(j, steps[1], corner[1], window[1], dx.shape[1])
            count = window[0] * window[1] if count_padding else (bottom - top) * (right - left)
            fraction = dx.dtype.type(1 / count)
            for y in range(top, bottom):
                for k in range(left, right):
                    for c in range(C):
                        dx[y, k, c] += delta[i, j, c] * fraction


@parallel_kernel
def average_pool_backward(delta, window, steps, corner, count_padding, dx):
    """dx = each delta in equal shares to its window."""
    for n in prange(delta.shape[0]):
        _average_image_backward(delta[n], window, steps, corner, count_padding, dx[n])


# ---- over the valid steps of sequences ---------------------------------------------------------------------

@parallel_kernel
def average_steps(x, mask, out):
    """out[n] = the mean of x[n, t] over the valid steps t."""
    for n in prange(x.shape[0]):
        count, total = 0, out[n]
        total[:] = 0
        for t in range(x.shape[1]):
            if mask[n, t]:
                count += 1
                for k in range(total.size):
                    total[k] += x[n, t, k]
        for k in range(total.size):
            total[k] *= out.dtype.type(1 / count)


@parallel_kernel
def average_steps_backward(delta, mask, dx):
    """dx = each delta in equal shares to the valid steps, and 0 elsewhere."""
    for n in prange(dx.shape[0]):
        share = dx.dtype.type(1 / mask[n].sum())
        for t in range(dx.shape[1]):
            weight = share if mask[n, t] else dx.dtype.type(0)
            for k in range(dx.shape[2]):
                dx[n, t, k] = delta[n, k] * weight


@parallel_kernel
def largest_of_steps(x, mask, out):
    """out[n] = the largest x[n, t] of the valid steps t, number by number; NaN where one is NaN."""
    for n in prange(x.shape[0]):
        begun, largest = False, out[n]
        for t in range(x.shape[1]):
            if mask[n, t] and begun:
                for k in range(largest.size):
                    value = x[n, t, k]
                    largest[k] = value if value > largest[k] or value != value else largest[k]
            elif mask[n, t]:
                begun = True
                for k in range(largest.size):
                    largest[k] = x[n, t, k]


@parallel_kernel
def largest_of_steps_backward(x, mask, delta, dx):
    """dx = delta at the first valid step that has the largest number (or the first NaN), and 0 elsewhere."""
    for n in prange(x.shape[0]):
        dx[n, :, :] = 0
        for k in range(x.shape[2]):
            best = -1
            for t in range(x.shape[1]):
                if mask[n, t] and (best < 0 or x[n, t, k] > x[n, best, k]
                                   or (x[n, t, k] != x[n, t, k] and x[n, best, k] == x[n, best, k])):
                    best = t
            dx[n, best, k] = delta[n, k]
