"""Tiles: a few vectors in registers that are worked on together, each of 64 bytes or half of that.

Row p of a tile belongs to the place i + p step of a flat array M: it is M[i + p step:][:lanes], or is
multiplied by the number there.
"""
import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, models, register_model

from .simd import BYTES, lanes_of, splat


class Tile(types.Type):
    """The Numba type of ``rows`` vectors, each of ``lanes`` numbers of ``dtype``."""

    def __init__(self, dtype, lanes, rows):
        self.dtype, self.lanes, self.rows = dtype, lanes, rows
        super().__init__(name=f"Tile({dtype}, {lanes}, {rows})")


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager, tile):
        number = manager.lookup(tile.dtype).get_value_type()
        super().__init__(manager, tile, ir.ArrayType(ir.VectorType(number, tile.lanes), tile.rows))


class _Places:
    """Where a tile's rows lie in the array that is argument ``m`` of an operation; i and step follow it."""

    def __init__(self, context, builder, signature, args, m, kind):
        self.builder, self.vector = builder, kind.element.as_pointer()
        self.data = context.make_array(signature.args[m])(context, builder, args[m]).data
        self.i, self.step = (context.cast(builder, args[k], signature.args[k], types.intp)
                             for k in (m + 1, m + 2))
        self.align = signature.args[m].dtype.bitwidth // 8

    def number(self, p):
        offset = self.builder.mul(self.step, ir.Constant(self.step.type, p))
        return self.builder.gep(self.data, [self.builder.add(self.i, offset)])

    def load(self, p):
        return self.builder.load(self.builder.bitcast(self.number(p), self.vector), align=self.align)

    def store(self, p, row):
        self.builder.store(row, self.builder.bitcast(self.number(p), self.vector), align=self.align)


def _make_tile(builder, kind, row_of):
    """Return the tile whose row p is ``row_of(p)``."""
    tile = ir.Constant(kind, ir.Undefined)
    for p in range(kind.count):
        tile = builder.insert_value(tile, row_of(p), p)
    return tile


@intrinsic(prefer_literal=True)
def load_tile(typing, M, i, step, rows, size):
    """Return the tile of ``rows`` vectors of ``size`` bytes, both constants, that lies in M."""
    tile = Tile(M.dtype, lanes_of(M.dtype, size.literal_value), rows.literal_value)

    def generate(context, builder, signature, args):
        kind = context.get_value_type(tile)
        return _make_tile(builder, kind, _Places(context, builder, signature, args, 0, kind).load)
    return tile(M, i, step, rows, size), generate


@intrinsic
def load_tile_like(typing, tile, M, i, step):
    """Return a tile of the same kind that lies in M."""
    def generate(context, builder, signature, args):
        kind = args[0].type
        return _make_tile(builder, kind, _Places(context, builder, signature, args, 1, kind).load)
    return tile(tile, M, i, step), generate


@intrinsic
def store_tile(typing, tile, M, i, step):
    """Write the tile into M."""
    def generate(context, builder, signature, args):
        places = _Places(context, builder, signature, args, 1, args[0].type)
        for p in range(tile.rows):
            places.store(p, builder.extract_value(args[0], p))
        return context.get_dummy_value()
    return types.none(tile, M, i, step), generate


@intrinsic
def add_outer(typing, tile, x, i, step, M, k):
    """Return the tile with x[i + p step] M[k:k + lanes] added to every row p; x and M are flat."""
    def generate(context, builder, signature, args):
        kind = args[0].type
        places = _Places(context, builder, signature, args, 1, kind)
        k = context.cast(builder, args[5], signature.args[5], types.intp)
        first = builder.gep(context.make_array(M)(context, builder, args[4]).data, [k])
        vector = builder.load(builder.bitcast(first, kind.element.as_pointer()), align=places.align)

        def row_of(p):
            factor = splat(builder, builder.load(places.number(p)), kind.element)
            product = builder.fmul(factor, vector, flags=("contract",))
            return builder.fadd(product, builder.extract_value(args[0], p), flags=("contract",))
        return _make_tile(builder, kind, row_of)
    return tile(tile, x, i, step, M, k), generate


# The parts of a vector, threes and groups are counted by tuples, whose lengths are known when a kernel is
# compiled.

@intrinsic(prefer_literal=True)
def load_threes(typing, M, i, step, threes, parts, most, most_of_parts):
    """Return the tile of 3 len(threes) vectors, each one of len(parts) equal parts of 64 bytes, that lies in
    M; at most so many, constants, where they are whole or parts.
    """
    rows = min(3 * len(threes), (most if len(parts) == 1 else most_of_parts).literal_value)
    tile = Tile(M.dtype, lanes_of(M.dtype) // len(parts), rows)

    def generate(context, builder, signature, args):
        kind = context.get_value_type(tile)
        return _make_tile(builder, kind, _Places(context, builder, signature, args, 0, kind).load)
    return tile(M, i, step, threes, parts, most, most_of_parts), generate


@intrinsic
def add_groups(typing, tile, x, i, step, M, k, group):
    """Return the tile with M[k:k + lanes] times a group of numbers added to every row p: x[i + p step:], as
    many as ``group`` has, over and over. A group of one number is what `add_outer` adds.
    """
    def generate(context, builder, signature, args):
        kind = args[0].type
        places = _Places(context, builder, signature, args, 1, kind)
        k = context.cast(builder, args[5], signature.args[5], types.intp)
        first = builder.gep(context.make_array(M)(context, builder, args[4]).data, [k])
        vector = builder.load(builder.bitcast(first, kind.element.as_pointer()), align=places.align)

        def row_of(p):
            factors = _repeated(builder, places.number(p), len(group), kind.element, places.align)
            product = builder.fmul(factors, vector, flags=("contract",))
            return builder.fadd(product, builder.extract_value(args[0], p), flags=("contract",))
        return _make_tile(builder, kind, row_of)
    return tile(tile, x, i, step, M, k, group), generate


def _repeated(builder, place, count, vector, align):
    """Return a vector of the ``count`` numbers at a place, over and over."""
    if count == 1:
        return splat(builder, builder.load(place), vector)
    if count == 2 and vector.element == ir.FloatType():    # as one number of twice the size, for which there
        pair = builder.load(builder.bitcast(place, ir.DoubleType().as_pointer()), align=align)    # is a load
        pairs = splat(builder, pair, ir.VectorType(ir.DoubleType(), vector.count // 2))
        return builder.bitcast(pairs, vector)
    few = ir.VectorType(vector.element, count)
    numbers = builder.load(builder.bitcast(place, few.as_pointer()), align=align)
    order = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [n % count for n in range(vector.count)])
    return builder.shuffle_vector(numbers, ir.Constant(few, ir.Undefined), order)


@intrinsic
def sum_groups(typing, tile, group):
    """Return the tile of the sums of every so many numbers side by side, as ``group`` has: 1, 2 or 4."""
    count = len(group)
    summed = Tile(tile.dtype, tile.lanes // count, tile.rows)

    def halved(builder, row):
        kind, half = row.type, row.type.count // 2
        even, odd = (ir.Constant(ir.VectorType(ir.IntType(32), half), list(range(first, 2 * half, 2)))
                     for first in (0, 1))
        nothing = ir.Constant(kind, ir.Undefined)
        return builder.fadd(builder.shuffle_vector(row, nothing, even),
                            builder.shuffle_vector(row, nothing, odd))

    def generate(context, builder, signature, args):
        def row_of(p):
            row = builder.extract_value(args[0], p)
            for _ in range(count.bit_length() - 1):
                row = halved(builder, row)
            return row
        return _make_tile(builder, context.get_value_type(summed), row_of)
    return summed(tile, group), generate


@intrinsic
def tile_max(typing, tile, M, i, step):
    """Return, number by number, the larger one of the tile and M; NaN where either is NaN."""
    def generate(context, builder, signature, args):
        places = _Places(context, builder, signature, args, 1, args[0].type)

        def row_of(p):
            old, new = builder.extract_value(args[0], p), places.load(p)
            larger = builder.select(builder.fcmp_unordered(">", new, old), new, old)
            return builder.select(builder.fcmp_unordered("!=", old, old), old, larger)
        return _make_tile(builder, args[0].type, row_of)
    return tile(tile, M, i, step), generate


@intrinsic
def route_to_max(typing, tile, largest, x, M, i, step):
    """M += the tile where x equals ``largest``, a tile, or is NaN; return the rest, the tile with 0 there.

    x is a flat array of M's size, read at the same places.
    """
    def generate(context, builder, signature, args):
        kind = args[0].type
        here = _Places(context, builder, signature, args, 3, kind)
        of_x = signature.replace(args=(x, *signature.args[4:]))
        there = _Places(context, builder, of_x, (args[2], *args[4:]), 0, kind)
        zero = ir.Constant(kind.element, None)

        def row_of(p):
            rest = builder.extract_value(args[0], p)
            equal = builder.fcmp_unordered("==", there.load(p), builder.extract_value(args[1], p))
            here.store(p, builder.fadd(here.load(p), builder.select(equal, rest, zero)))
            return builder.select(equal, zero, rest)
        return _make_tile(builder, kind, row_of)
    return tile(tile, largest, x, M, i, step), generate


if numba.config.DISABLE_JIT:    # the same in NumPy
    def _rows(i, step, rows, lanes):
        """Return where a tile lies in the flat array M, an index."""
        return i + step * np.arange(rows)[:, None] + np.arange(lanes)

    def load_tile(M, i, step, rows, size):
        return M[_rows(i, step, rows, size // M.itemsize)]

    def load_tile_like(tile, M, i, step):
        return M[_rows(i, step, *tile.shape)]

    def store_tile(tile, M, i, step):
        for p, row in enumerate(tile):
            M[i + p * step:][:row.size] = row

    def add_outer(tile, x, i, step, M, k):
        rows, lanes = tile.shape
        return tile + np.outer(x[i + step * np.arange(rows)], M[k:k + lanes])

    def load_threes(M, i, step, threes, parts, most, most_of_parts):
        rows = min(3 * len(threes), most if len(parts) == 1 else most_of_parts)
        return M[_rows(i, step, rows, BYTES // M.itemsize // len(parts))]

    def add_groups(tile, x, i, step, M, k, group):
        rows, lanes = tile.shape
        factors = np.tile(x[_rows(i, step, rows, len(group))], lanes // len(group))
        return tile + factors * M[k:k + lanes]

    def sum_groups(tile, group):
        for _ in range(len(group).bit_length() - 1):
            tile = tile[:, ::2] + tile[:, 1::2]
        return tile

    def tile_max(tile, M, i, step):
        return np.maximum(tile, M[_rows(i, step, *tile.shape)])

    def route_to_max(tile, largest, x, M, i, step):
        places = _rows(i, step, *tile.shape)
        elsewhere = (x[places] < largest) | (x[places] > largest)
        M[places] += np.where(elsewhere, 0, tile)
        return np.where(elsewhere, tile, 0)
