"""Random flips and shifts of images (N, H, W, C): how an image is moved; what is drawn is in `random`."""
from numba import prange

from .._numba.jit import kernel, parallel_kernel
from .elementary import intensity


@kernel
def _move_image(image, mirrored, down, right, out):
    H, W, C = out.shape
    zero = out.dtype.type(0)
    for i in range(H):
        for j in range(W):
            y, x = i - down, j - right
            inside = 0 <= y < H and 0 <= x < W
            if mirrored:
                x = W - 1 - x
            for c in range(C):
                out[i, j, c] = intensity(image[y, x, c], zero) if inside else zero


@parallel_kernel
def move(x, mirrored, down, right, out):
    """out[n] = x[n], mirrored left to right or not, and shifted by so many pixels; 0 comes in. Bytes are
    divided by 255.

    mirrored, down, right: (N,) int64.
    """
    for n in prange(x.shape[0]):
        _move_image(x[n], mirrored[n], down[n], right[n], out[n])
