"""Checks of what a user gives that have to take next to no time."""
import numpy as np

from .._numba.jit import kernel


@kernel
def exceeds(values, limit):
    """Return whether some absolute value of a vector is above the limit."""
    found = False    # one bit: LLVM compares whole vectors
    for p in range(values.size):
        found |= (values[p] > limit) | (values[p] < -limit)
    return found


CANONICAL, UNORDERED, DAMAGED = 0, 1, 2    # what `index_order` finds


@kernel
def index_order(indptr, indices, bound):
    """Return whether the indices of a compressed matrix ascend in every row, and whether all of them exist.

    Row i has indices[p], 0 <= indices[p] < bound, for indptr[i] <= p < indptr[i + 1]. Of ascending indices,
    only the first and the last are compared with the bounds.
    """
    order, begin = CANONICAL, 0
    for i in range(indptr.size - 1):
        first, last = indptr[i], indptr[i + 1]
        if first != begin or last < first or last > indices.size:
            return DAMAGED
        begin = last
        if last == first:
            continue
        ascending = True
        for p in range(np.uint64(first), np.uint64(last - 1)):
            ascending &= indices[p + np.uint64(1)] > indices[p]
        if ascending:
            if indices[first] < 0 or indices[last - 1] >= bound:
                return DAMAGED
            continue
        order = UNORDERED
        for p in range(first, last):
            if indices[p] < 0 or indices[p] >= bound:
                return DAMAGED
    return order
