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


@kernel
def _max_pool_channels(x, out, size, stride, first):
    """As `max_pool` for one image and the channels from ``first`` on, one number at a time."""
    height, width, C = out.shape
    for i in range(height):
        for j in range(width):
            for c in range(first, C):
                most = x[i * stride, j * stride, c]
                for cell in range(1, size * size):
                    value = x[i * stride + cell // size, j * stride + cell % size, c]
                    most = value if not value <= most and most == most else most
                out[i, j, c] = most


@kernel
def _tile_max(tile, x, offset, window, step):
    """Return the maximum of the tile and the rest of its windows in the flat x; window = (size, numbers in a
    line, C).
    """
    size, line, C = window
    for cell in range(1, size * size):
        tile = tile_max(tile, x, offset + cell // size * line + cell % size * C, step)
    return tile


@kernel
def _max_pool_image(x, out, size, stride):
    """As `max_pool` for one image."""
    height, width, C = out.shape
    lanes = _HALF_VECTOR // out.itemsize
    line, pixel_step, flat, pooled = x.shape[1] * C, stride * C, x.reshape(-1), out.reshape(-1)
    window, in_tiles = (size, line, C), width // _TILE_ROWS * _TILE_ROWS
    for c in range(0, C - lanes + 1, lanes):
        for i in range(height):
            for j in range(0, in_tiles, _TILE_ROWS):
                offset = i * stride * line + j * pixel_step + c
                tile = load_tile(flat, offset, pixel_step, _TILE_ROWS, _HALF_VECTOR)
                store_tile(_tile_max(tile, flat, offset, window, pixel_step), pooled, (i * width + j) * C + c,
                           C)
            for j in range(in_tiles, width):
                offset = i * stride * line + j * pixel_step + c
                single = load_tile(flat, offset, 0, 1, _HALF_VECTOR)
                store_tile(_tile_max(single, flat, offset, window, 0), pooled, (i * width + j) * C + c, 0)
    if C % lanes:
        _max_pool_channels(x, out, size, stride, C // lanes * lanes)


@parallel_kernel
def max_pool(x, size, stride, out):
    """out[n, i, j, c] = the largest x[n, i stride + ky, j stride + kx, c] with ky, kx < size; NaN where one
    is NaN.
    """
    for n in prange(x.shape[0]):
        _max_pool_image(x[n], out[n], size, stride)


@kernel
def _max_pool_backward_channels(x, delta, size, stride, first, dx):
    """As `max_pool_backward` for one image and the channels from ``first`` on, one number at a time."""
    height, width, C = delta.shape
    for i in range(height):
        for j in range(width):
            for c in range(first, C):
                y, k = i * stride, j * stride
                for cell in range(1, size * size):
                    value, most = x[i * stride + cell // size, j * stride + cell % size, c], x[y, k, c]
                    if not value <= most and most == most:
                        y, k = i * stride + cell // size, j * stride + cell % size
                dx[y, k, c] += delta[i, j, c]


@kernel
def _route_to_max(delta, tile, x, dx, offset, window, step):
    """Add the tile delta to dx at the first maximum of each window, where ``tile`` has the first number of
    each.
    """
    size, line, C = window
    largest = _tile_max(tile, x, offset, window, step)
    for cell in range(size * size):
        delta = route_to_max(delta, largest, x, dx, offset + cell // size * line + cell % size * C, step)


@kernel
def _max_pool_backward_image(x, delta, size, stride, dx):
    """As `max_pool_backward` for one image."""
    height, width, C = delta.shape
    lanes = _HALF_VECTOR // delta.itemsize
    line, pixel_step = x.shape[1] * C, stride * C
    window, flat, flat_delta, out = (size, line, C), x.reshape(-1), delta.reshape(-1), dx.reshape(-1)
    # A tile's windows must not overlap.
    in_tiles = width // _TILE_ROWS * _TILE_ROWS if stride >= size else 0
    for k in range(out.size):
        out[k] = 0
    for c in range(0, C - lanes + 1, lanes):
        for i in range(height):
            for j in range(0, in_tiles, _TILE_ROWS):
                offset, source = i * stride * line + j * pixel_step + c, (i * width + j) * C + c
                given = load_tile(flat_delta, source, C, _TILE_ROWS, _HALF_VECTOR)
                tile = load_tile(flat, offset, pixel_step, _TILE_ROWS, _HALF_VECTOR)
                _route_to_max(given, tile, flat, out, offset, window, pixel_step)
            for j in range(in_tiles, width):
                offset, source = i * stride * line + j * pixel_step + c, (i * width + j) * C + c
                single_delta = load_tile(flat_delta, source, 0, 1, _HALF_VECTOR)
                single = load_tile(flat, offset, 0, 1, _HALF_VECTOR)
                _route_to_max(single_delta, single, flat, out, offset, window, 0)
    if C % lanes:
        _max_pool_backward_channels(x, delta, size, stride, C // lanes * lanes, dx)


@parallel_kernel
def max_pool_backward(x, delta, size, stride, dx):
    """dx = delta at the first of the largest numbers of each window, and the sum where windows overlap."""
    for n in prange(x.shape[0]):
        _max_pool_backward_image(x[n], delta[n], size, stride, dx[n])


@parallel_kernel
def average_pool(x, height, width, stride, out):
    """out[n, i, j, c] = the mean of x[n, i stride + ky, j stride + kx, c] over ky < height, kx < width."""
    for n in prange(x.shape[0]):
        _average_image(x[n], height, width, stride, out[n])


@kernel
def _average_image(x, height, width, stride, out):
    rows, columns, C = out.shape
    fraction = out.dtype.type(1 / (height * width))
    for i in range(rows):
        for j in range(columns):
            for c in range(C):
                out[i, j, c] = 0
            for y in range(i * stride, i * stride + height):
                for k in range(j * stride, j * stride + width):
                    for c in range(C):
                        out[i, j, c] += x[y, k, c]
            for c in range(C):
                out[i, j, c] *= fraction


@kernel
def _average_image_backward(delta, height, width, stride, dx):
    rows, columns, C = delta.shape
    fraction = dx.dtype.type(1 / (height * width))
    dx[:] = 0
    for i in range(rows):
        for j in range(columns):
            for y in range(i * stride, i * stride + height):
                for k in range(j * stride, j * stride + width):
                    for c in range(C):
                        dx[y, k, c] += delta[i, j, c] * fraction


@parallel_kernel
def average_pool_backward(delta, height, width, stride, dx):
    """dx = each delta in equal shares to its window."""
    for n in prange(delta.shape[0]):
        _average_image_backward(delta[n], height, width, stride, dx[n])


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
