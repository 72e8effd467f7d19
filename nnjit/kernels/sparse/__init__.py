"""The affine map z = x W + b for rows that are mostly zeros, and its weight gradient.

A batch is stored in CSR, cut into blocks of at most 112 columns, so that a block's rows of W stay in the L1
cache: in block c, row i holds the columns ``indices[p]`` and the numbers ``data[p]`` for ``extents[c, i, 0]
<= p < extents[c, i, 1]``, columns ascending. A kernel goes through one block with all the rows before it
begins the next.

- `format`: the batch itself. How it is made from dense rows or from a matrix, and its transpose.
- `product`: the products with W, forward and for the weight gradient.
- `partition`: which columns and rows a thread works on.

Shapes: x (N, D), extents (blocks, N, 2) int64, b (H,) or (0,), z (N, H). W is (D, H), its rows padded with
zeros to whole vectors; rows shorter than half a vector are not padded. How the work is split between threads
changes no number.
"""
