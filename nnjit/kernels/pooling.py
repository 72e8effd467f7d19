"""Pooling of images (N, H, W, C): the largest or the mean of windows of each channel."""
from numba import prange

from .._numba.jit import kernel, parallel_kernel
from .._numba.simd import BYTES
from .._numba.tiles import load_tile, route_to_max, store_tile, tile_max

_HALF = BYTES // 2     # a vector for few channels: half of one
_FEW = 4               # rows of a tile


@kernel
def _largest_of_channels(x, out, size, stride, first):
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
def _largest_of_tile(tile, x, place, size, row, C, step):
    for cell in range(1, size * size):
        tile = tile_max(tile, x, place + cell // size * row + cell % size * C, step)
    return tile


@kernel
def _max_pool_image(x, out, size, stride):
    height, width, C = out.shape
    lanes = _HALF // out.itemsize
    row, across, flat, pooled = x.shape[1] * C, stride * C, x.reshape(-1), out.reshape(-1)
    even = width // _FEW * _FEW
    for c in range(0, C - lanes + 1, lanes):
        for i in range(height):
            for j in range(0, even, _FEW):
                place = i * stride * row + j * across + c
                tile = _largest_of_tile(load_tile(flat, place, across, _FEW, _HALF), flat, place, size, row, C, across)
                store_tile(tile, pooled, (i * width + j) * C + c, C)
            for j in range(even, width):
                place = i * stride * row + j * across + c
                tile = _largest_of_tile(load_tile(flat, place, 0, 1, _HALF), flat, place, size, row, C, 0)
                store_tile(tile, pooled, (i * width + j) * C + c, 0)
    if C % lanes:
        _largest_of_channels(x, out, size, stride, C // lanes * lanes)


@parallel_kernel
def max_pool(x, size, stride, out):
    """out[n, i, j, c] = the largest x[n, i stride + ky, j stride + kx, c] with ky, kx < size; NaN where one is NaN."""
    for n in prange(x.shape[0]):
        _max_pool_image(x[n], out[n], size, stride)


@kernel
def _max_unpool_channels(x, delta, size, stride, first, dx):
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
def _hand_over_tile(rest, largest, x, dx, place, size, row, C, step):
    largest = _largest_of_tile(largest, x, place, size, row, C, step)
    for cell in range(size * size):
        rest = route_to_max(rest, largest, x, dx, place + cell // size * row + cell % size * C, step)


@kernel
def _max_unpool_image(x, delta, size, stride, dx):
    height, width, C = delta.shape
    lanes = _HALF // delta.itemsize
    row, across, inputs, given, out = x.shape[1] * C, stride * C, x.reshape(-1), delta.reshape(-1), dx.reshape(-1)
    apart = width // _FEW * _FEW if stride >= size else 0    # a tile's windows must not share numbers
    for k in range(out.size):
        out[k] = 0
    for c in range(0, C - lanes + 1, lanes):
        for i in range(height):
            for j in range(0, apart, _FEW):
                place, here = i * stride * row + j * across + c, (i * width + j) * C + c
                _hand_over_tile(load_tile(given, here, C, _FEW, _HALF), load_tile(inputs, place, across, _FEW, _HALF), inputs, out, place,
                                size, row, C, across)
            for j in range(apart, width):
                place, here = i * stride * row + j * across + c, (i * width + j) * C + c
                _hand_over_tile(load_tile(given, here, 0, 1, _HALF), load_tile(inputs, place, 0, 1, _HALF), inputs, out, place, size, row,
                                C, 0)
    if C % lanes:
        _max_unpool_channels(x, delta, size, stride, C // lanes * lanes, dx)


@parallel_kernel
def max_pool_backward(x, delta, size, stride, dx):
    """dx = delta at the first of the largest numbers of each window, and the sum where windows share it."""
    for n in prange(x.shape[0]):
        _max_unpool_image(x[n], delta[n], size, stride, dx[n])


@parallel_kernel
def average_pool(x, height, width, stride, out):
    """out[n, i, j, c] = the mean of x[n, i stride + ky, j stride + kx, c] over ky < height, kx < width."""
    for n in prange(x.shape[0]):
        _average_image(x[n], height, width, stride, out[n])


@kernel
def _average_image(x, height, width, stride, out):
    rows, columns, C = out.shape
    share = out.dtype.type(1 / (height * width))
    for i in range(rows):
        for j in range(columns):
            for c in range(C):
                out[i, j, c] = 0
            for y in range(i * stride, i * stride + height):
                for k in range(j * stride, j * stride + width):
                    for c in range(C):
                        out[i, j, c] += x[y, k, c]
            for c in range(C):
                out[i, j, c] *= share


@kernel
def _spread_image(delta, height, width, stride, dx):
    rows, columns, C = delta.shape
    share = dx.dtype.type(1 / (height * width))
    dx[:] = 0
    for i in range(rows):
        for j in range(columns):
            for y in range(i * stride, i * stride + height):
                for k in range(j * stride, j * stride + width):
                    for c in range(C):
                        dx[y, k, c] += delta[i, j, c] * share


@parallel_kernel
def average_pool_backward(delta, height, width, stride, dx):
    """dx = each delta in equal shares to its window."""
    for n in prange(delta.shape[0]):
        _spread_image(delta[n], height, width, stride, dx[n])
