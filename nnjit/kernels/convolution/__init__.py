"""Convolution of images and its gradients.

Images are (N, H, W, C), weights (kh, kw, C / groups, K). In an image that lies in memory as a flat array, the
kw pixels below a row of weights are kw C numbers side by side, a *run*. So the convolution of a row of pixels
is kh matrix products, whose left factors need not be written down: their rows overlap, each beginning C
numbers after the one before. A tile of such a product, some pixels by a vector of filters, stays in registers
while all weights are summed up.

A vector has 16 lanes of float32. Where there are fewer filters, each has several lanes: for numbers of the
run side by side, whose products are summed up apart and added at the end. So 4, 8 or 16 filters fill one.

Every image is first copied into a *padded image* with zeros around it, so that no weight lies outside; it
fits into L2. A sample belongs to one chunk of samples, which is one task. Sums over samples are taken chunk
by chunk, and the chunks' sums in order.

`padded` has the padded images, `correlation` the forward pass and dx, `gradient` dW and db, `depthwise` the
same for a window a channel.
"""
from ..._numba.simd import BYTES
from .correlation import correlate_in_tiles
from .depthwise import correlate_channels, gradient_of_channels
from .gradient import bias_gradient, gradient_in_tiles

_THREES = (8, 4, 3, 2, 1)    # of numbers of a run, in a tile of dW


def _count(number):
    """Return a tuple of a length, which a kernel is compiled for."""
    return (0,) * number


def _lanes_a_filter(filters, run, itemsize):
    """Return how many lanes a filter has, 1, 2 or 4: those with which the fewest stay without use."""
    def lanes(taps):
        each = BYTES // itemsize // taps
        return -(-filters // each) * each * -(-run // taps) * taps

    return min((1, 2, 4), key=lanes)


def _parts_of_gradient(filters, itemsize):
    """Return into how many parts a vector of filters is cut for dW: 1, 2 or 4."""
    def cost(parts):
        lanes = BYTES // itemsize // parts
        vectors = -(-filters // lanes)
        return vectors, vectors * lanes > filters, parts

    return min((1, 2, 4), key=cost)


def correlate(x, W, flipped: bool, b, out, steps=(1, 1), spread=(1, 1), dilation=(1, 1), corner=(0, 0),
              groups: int = 1):
    """out[n, i, j, o] = b[o] + sum over ky, kx, c of W[ky, kx, c, o] f[n, i sy + ky dy, j sx + kx dx, c].

    Overwrites ``out``. (sy, sx) are the ``steps``, (dy, dx) the ``dilation``. The padded image f is x with
    its pixels ``spread`` apart and 0 elsewhere: pixel (i, j) lies at corner + spread (i, j); what lies
    outside is cut off. Bytes are divided by 255. b: (K,) or (0,). Of several ``groups``, the filters of each
    see its channels only; c counts within the group.

    If ``flipped``, the weight is W[kh - 1 - ky, kw - 1 - kx, o, c]. So a convolution's dx is the flipped
    correlation of its delta, with its steps as the spread and the window's size less 1 less its corner as the
    corner.
    """
    if W.shape[2] == 1 and groups == W.shape[3] > 1:
        correlate_channels(x, W, flipped, b, steps, spread, dilation, corner, out)
        return
    C, K = x.shape[3] // groups, out.shape[3] // groups
    run = C if dilation[1] > 1 else W.shape[1] * C
    taps = _lanes_a_filter(K, run, out.itemsize)
    correlate_in_tiles(x, W, flipped, b, steps, spread, dilation, corner, groups, _count(taps), out)


def gradients(x, delta, dW, db, steps=(1, 1), dilation=(1, 1), corner=(0, 0), groups: int = 1):
    """dW[ky, kx, c, o] = the sum over n, i, j of delta[n, i, j, o] f[n, i sy + ky dy, j sx + kx dx, c], and
    db[o] that of delta, where db is not empty. Both are overwritten.

    The padded image f is as in `correlate`, its pixels side by side. Samples are summed up in chunks, and
    these in order.
    """
    if dW.shape[2] == 1 and groups == dW.shape[3] > 1:
        gradient_of_channels(x, delta, steps, dilation, corner, dW, db)
        return
    run = dW.shape[2] if dilation[1] > 1 else dW.shape[1] * dW.shape[2]
    parts = _parts_of_gradient(dW.shape[3] // groups, dW.itemsize)
    threes = min(_THREES, key=lambda n: -(-run // (3 * n)) * n)
    gradient_in_tiles(x, delta, steps, dilation, corner, groups, _count(threes), _count(parts), dW, db)
