"""Vectors in registers: the operations with which a kernel keeps its sums out of memory.

LLVM vectorises a plain loop well as long as what it adds up lies in an array; sums over a few rows of a matrix then travel
to the cache and back for every row. A vector has 64 bytes, 16 float32 or 8 float64: one register of AVX-512, two of AVX; or
half of that. A `Tile` is a few of them that are worked on together, a `Strip` a few that lie side by side.
"""
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, codegen, types
from numba.extending import intrinsic, models, register_model

BYTES = 64


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


class Strip(types.Type):
    """The Numba type of the numbers of ``dtype`` in ``halves`` halves of a vector: whole ones, and the odd half after them."""

    def __init__(self, dtype, halves):
        self.dtype = dtype
        self.lanes = halves // 2 * [_lanes(dtype)] + halves % 2 * [_lanes(dtype, BYTES // 2)]
        super().__init__(name=f"Strip({dtype}, {halves})")


@register_model(Strip)
class _StripModel(models.PrimitiveModel):
    def __init__(self, manager, strip):
        number = manager.lookup(strip.dtype).get_value_type()
        super().__init__(manager, strip, ir.LiteralStructType([ir.VectorType(number, lanes) for lanes in strip.lanes]))


def _lanes(dtype, size=BYTES):
    return size * 8 // dtype.bitwidth


def _splat(builder, x, vector):
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), x, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), lanes)


# ---- strips of a matrix ---------------------------------------------------------------------------------------------
#
# How many halves of a vector a strip has is known at compile time, as the length of the tuple ``width``.


def _address(context, builder, signature, args):
    """Return the address of M[i, k], and the alignment of a number."""
    matrix, row, column = signature.args[:3]
    M = context.make_array(matrix)(context, builder, args[0])
    itemsize = matrix.dtype.bitwidth // 8
    row_stride = cgutils.unpack_tuple(builder, M.strides, 2)[0]
    offset = builder.mul(context.cast(builder, args[1], row, types.intp), row_stride)
    column = context.cast(builder, args[2], column, types.intp)
    offset = builder.add(offset, builder.mul(column, ir.Constant(column.type, itemsize)))
    return cgutils.pointer_add(builder, M.data, offset), itemsize


def _left(context, builder, signature, args):
    """Return how many numbers the row M[i] has from M[i, k] on."""
    matrix, _, column = signature.args[:3]
    columns = cgutils.unpack_tuple(builder, context.make_array(matrix)(context, builder, args[0]).shape, 2)[1]
    return builder.sub(columns, context.cast(builder, args[2], column, types.intp))


def _places(builder, address, vectors):
    """Return where each of the vectors that lie side by side from an address on begins."""
    places, first = [], 0
    for vector in vectors:
        number = builder.gep(address, [ir.Constant(ir.IntType(64), first)])
        places.append(builder.bitcast(number, vector.as_pointer()))
        first += vector.count
    return places


@intrinsic
def load(typing, M, i, k, width):
    """Return the strip that begins at M[i, k], of as many halves as the tuple ``width`` is long; M's rows are contiguous."""
    def generate(context, builder, signature, args):
        address, align = _address(context, builder, signature, args)
        kind = context.get_value_type(signature.return_type)
        strip = ir.Constant(kind, ir.Undefined)
        for j, place in enumerate(_places(builder, address, kind.elements)):
            strip = builder.insert_value(strip, builder.load(place, align=align), j)
        return strip
    return Strip(M.dtype, len(width))(M, i, k, width), generate


@intrinsic
def load_within(typing, M, i, k, width):
    """Return the strip that begins at M[i, k], as `load` does, with 0 for what lies behind the end of the row."""
    def generate(context, builder, signature, args):
        address, align = _address(context, builder, signature, args)
        left = _left(context, builder, signature, args)
        kind = context.get_value_type(signature.return_type)
        strip, first = ir.Constant(kind, ir.Undefined), 0
        for j, place in enumerate(_places(builder, address, kind.elements)):
            strip = builder.insert_value(strip, _load_some(builder, place, align, kind.elements[j], first, left), j)
            first += kind.elements[j].count
        return strip
    return Strip(M.dtype, len(width))(M, i, k, width), generate


def _load_some(builder, place, align, vector, first, left):
    """Return the vector at an address, which holds the numbers from ``first`` on, with 0 for those from ``left`` on."""
    there = _before(builder, left, first, vector.count)
    name = f"llvm.masked.load.v{vector.count}{vector.element.intrinsic_name}.p0"
    kind = ir.FunctionType(vector, [place.type, ir.IntType(32), there.type, vector])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [place, ir.Constant(ir.IntType(32), align), there, ir.Constant(vector, None)])


def _before(builder, left, first, count):
    """Return which of the numbers from ``first`` on, so many, are less than ``left``: a vector of bits."""
    lanes = ir.VectorType(left.type, count)
    return builder.icmp_signed("<", ir.Constant(lanes, list(range(first, first + count))), _splat(builder, left, lanes))


@intrinsic
def store(typing, M, i, k, strip):
    """Write the strip to where M[i, k] begins."""
    def generate(context, builder, signature, args):
        address, align = _address(context, builder, signature, args)
        for j, place in enumerate(_places(builder, address, args[3].type.elements)):
            builder.store(builder.extract_value(args[3], j), place, align=align)
        return context.get_dummy_value()
    return types.none(M, i, k, strip), generate


@intrinsic
def store_within(typing, M, i, k, strip):
    """Write the strip to where M[i, k] begins, but for what of its last vector would lie behind the end of the row."""
    def generate(context, builder, signature, args):
        address, align = _address(context, builder, signature, args)
        left = _left(context, builder, signature, args)
        *whole, last = enumerate(_places(builder, address, args[3].type.elements))
        for j, place in whole:
            builder.store(builder.extract_value(args[3], j), place, align=align)
        first = sum(vector.count for vector in args[3].type.elements[:-1])
        _store_some(builder, builder.extract_value(args[3], last[0]), last[1], align, first, left)
        return context.get_dummy_value()
    return types.none(M, i, k, strip), generate


def _store_some(builder, vector, place, align, first, left):
    """Write the vector, which holds the numbers from ``first`` on, to an address, but for those from ``left`` on."""
    there = _before(builder, left, first, vector.type.count)
    name = f"llvm.masked.store.v{vector.type.count}{vector.type.element.intrinsic_name}.p0"
    kind = ir.FunctionType(ir.VoidType(), [vector.type, place.type, ir.IntType(32), there.type])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    builder.call(function, [vector, place, ir.Constant(ir.IntType(32), align), there])


@intrinsic
def add_scaled(typing, strip, x, other):
    """Return strip + x other, where x is a number."""
    def generate(context, builder, signature, args):
        total, x, other = args
        for j, vector in enumerate(total.type.elements):
            product = builder.fmul(_splat(builder, x, vector), builder.extract_value(other, j), flags=("contract",))
            total = builder.insert_value(total, builder.fadd(product, builder.extract_value(total, j), flags=("contract",)), j)
        return total
    return strip(strip, x, other), generate


@intrinsic
def prefetch(typing, array, place):
    """Ask for the cache line in which array[place] lies, whether there is such a place or not: it will be needed soon."""
    def generate(context, builder, signature, args):
        place = context.cast(builder, args[1], signature.args[1], types.intp)
        address = builder.gep(context.make_array(array)(context, builder, args[0]).data, [place])
        kinds = [ir.IntType(8).as_pointer()] + [ir.IntType(32)] * 3
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), kinds), "llvm.prefetch.p0")
        to_read, closest, data = (ir.Constant(ir.IntType(32), value) for value in (0, 3, 1))
        builder.call(function, [builder.bitcast(address, kinds[0]), to_read, closest, data])
        return context.get_dummy_value()
    return types.none(array, place), generate


@intrinsic
def keep_rolled(typing):
    """Keep the loop in which this stands as it is written: a statement that may be repeated only as the loop repeats it.

    LLVM unrolls a short loop twice or four times; the rounds left over are then one more branch that cannot be foreseen.
    """
    def generate(context, builder, signature, args):
        nothing = ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), "", "", side_effect=True)
        builder.call(nothing, [], attrs=("convergent", "readnone", "nounwind"))
        return context.get_dummy_value()
    return types.none(), generate


@intrinsic
def nonzero(typing, M, i, k):
    """Return, as a uint64, a bit for each number of M[i, k:k + 64]: whether it is not 0. M: of any dtype."""
    def generate(context, builder, signature, args):
        address, align = _address(context, builder, signature, args)
        number = signature.args[0].dtype
        kind = ir.VectorType(context.get_value_type(number), 64)
        vector = builder.load(builder.bitcast(address, kind.as_pointer()), align=align)
        zero = ir.Constant(kind, None)
        bits = (builder.fcmp_unordered("!=", vector, zero) if isinstance(number, types.Float)
                else builder.icmp_unsigned("!=", vector, zero))
        return builder.bitcast(bits, ir.IntType(64))
    return types.uint64(M, i, k), generate


@intrinsic
def lowest_bit(typing, bits):
    """Return the number of the lowest bit of a uint64 that is 1."""
    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))
    return types.uint64(types.uint64), generate


# ---- numbers that are moved together --------------------------------------------------------------------------------

_features = codegen.get_host_cpu_features() if numba.config.CPU_FEATURES is None else numba.config.CPU_FEATURES
# Whether Numba compiles for an instruction that does it. Without one, `squeeze` is right, but slower than a number at a time.
SQUEEZES = not numba.config.DISABLE_JIT and "+avx512f" in _features.split(",")


@intrinsic
def squeeze(typing, M, i, k, bits, columns, values, place):
    """For every bit j of 64 that is 1, write k + j and M[i, k + j] into two arrays, from ``place`` on; return where they end.

    Of what is behind, up to a vector is overwritten. M: of any dtype; its numbers become those of ``values``.
    """
    def generate(context, builder, signature, args):
        address, align = _address(context, builder, signature, args)
        k, bits, place = (context.cast(builder, args[n], signature.args[n], kind)
                          for n, kind in ((2, columns.dtype), (3, types.uint64), (6, types.intp)))
        number, lanes = context.get_value_type(values.dtype), _lanes(values.dtype)
        vectors = [ir.VectorType(context.get_value_type(M.dtype), lanes)] * (64 // lanes)
        for first, source in zip(range(0, 64, lanes), _places(builder, address, vectors)):
            part = builder.trunc(builder.lshr(bits, ir.Constant(bits.type, first)), ir.IntType(lanes))
            chosen = builder.bitcast(part, ir.VectorType(ir.IntType(1), lanes))
            kind = ir.VectorType(k.type, lanes)
            here = builder.add(_splat(builder, k, kind), ir.Constant(kind, list(range(first, first + lanes))))
            row = _convert(builder, builder.load(source, align=align), M.dtype, number)
            for array, n, vector in ((columns, 4, here), (values, 5, row)):
                start = builder.gep(context.make_array(array)(context, builder, args[n]).data, [place])
                together = _move_together(builder, vector, chosen)
                builder.store(together, builder.bitcast(start, vector.type.as_pointer()), align=array.dtype.bitwidth // 8)
            place = builder.add(place, builder.zext(builder.ctpop(part), place.type))
        return place
    return types.intp(M, i, k, bits, columns, values, place), generate


def _move_together(builder, vector, chosen):
    """Return a vector that begins with the numbers that are chosen, and has anything behind them."""
    name = f"llvm.experimental.vector.compress.v{vector.type.count}{vector.type.element.intrinsic_name}"
    kind = ir.FunctionType(vector.type, [vector.type, chosen.type, vector.type])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [vector, chosen, ir.Constant(vector.type, ir.Undefined)])


def _convert(builder, vector, dtype, number):
    """Return the vector of numbers of ``dtype`` as one of the LLVM type ``number``, float or double."""
    kind = ir.VectorType(number, vector.type.count)
    if not isinstance(dtype, types.Float):
        return (builder.sitofp if dtype.signed else builder.uitofp)(vector, kind)
    if vector.type == kind:
        return vector
    return (builder.fptrunc if dtype.bitwidth == 64 else builder.fpext)(vector, kind)


# ---- tiles ----------------------------------------------------------------------------------------------------------
#
# Row p of a tile belongs to the place i + p step of a flat array M: it is M[i + p step:][:lanes], or is multiplied by the
# number there.

class _Places:
    """The places of a tile's rows in the array that is the argument ``m`` of an operation, with i and step after it."""

    def __init__(self, context, builder, signature, args, m, kind):
        self.builder, self.vector = builder, kind.element.as_pointer()
        self.data = context.make_array(signature.args[m])(context, builder, args[m]).data
        self.i, self.step = (context.cast(builder, args[k], signature.args[k], types.intp) for k in (m + 1, m + 2))
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
def take(typing, M, i, step, rows, size):
    """Return the tile of ``rows`` vectors of ``size`` bytes, both constants, that lies in M."""
    tile = Tile(M.dtype, _lanes(M.dtype, size.literal_value), rows.literal_value)

    def generate(context, builder, signature, args):
        kind = context.get_value_type(tile)
        return _make_tile(builder, kind, _Places(context, builder, signature, args, 0, kind).load)
    return tile(M, i, step, rows, size), generate


@intrinsic
def take_like(typing, tile, M, i, step):
    """Return a tile of the same kind that lies in M."""
    def generate(context, builder, signature, args):
        kind = args[0].type
        return _make_tile(builder, kind, _Places(context, builder, signature, args, 1, kind).load)
    return tile(tile, M, i, step), generate


@intrinsic
def put(typing, tile, M, i, step):
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
            factor = _splat(builder, builder.load(places.number(p)), kind.element)
            product = builder.fmul(factor, vector, flags=("contract",))
            return builder.fadd(product, builder.extract_value(args[0], p), flags=("contract",))
        return _make_tile(builder, kind, row_of)
    return tile(tile, x, i, step, M, k), generate


@intrinsic
def larger(typing, tile, M, i, step):
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
def hand_over(typing, tile, largest, x, M, i, step):
    """M += the tile where x equals ``largest``, a tile, or is NaN; return what is left: the tile with 0 there.

    x is a flat array of M's size, read at the same places.
    """
    def generate(context, builder, signature, args):
        kind = args[0].type
        here = _Places(context, builder, signature, args, 3, kind)
        there = _Places(context, builder, signature.replace(args=(x, *signature.args[4:])), (args[2], *args[4:]), 0, kind)
        zero = ir.Constant(kind.element, None)

        def row_of(p):
            rest = builder.extract_value(args[0], p)
            equal = builder.fcmp_unordered("==", there.load(p), builder.extract_value(args[1], p))
            here.store(p, builder.fadd(here.load(p), builder.select(equal, rest, zero)))
            return builder.select(equal, zero, rest)
        return _make_tile(builder, kind, row_of)
    return tile(tile, largest, x, M, i, step), generate


if numba.config.DISABLE_JIT:    # the same in NumPy
    def prefetch(array, place):
        pass

    def keep_rolled():
        pass

    def nonzero(M, i, k):
        return sum(1 << lane for lane, number in enumerate(M[i, k:k + 64]) if number != 0)

    def lowest_bit(bits):
        bits = int(bits)
        return (bits & -bits).bit_length() - 1

    def load(M, i, k, width):
        return M[i, k:k + len(width) * BYTES // 2 // M.itemsize].copy()

    def load_within(M, i, k, width):
        strip = np.zeros(len(width) * BYTES // 2 // M.itemsize, M.dtype)
        row = M[i, k:k + strip.size]
        strip[:row.size] = row
        return strip

    def store(M, i, k, strip):
        M[i, k:k + strip.size] = strip

    def store_within(M, i, k, strip):
        row = M[i, k:k + strip.size]
        row[:] = strip[:row.size]

    def add_scaled(strip, x, other):
        return strip + x * other

    def _rows(i, step, rows, lanes):
        """Return where a tile lies in the flat array M, an index."""
        return i + step * np.arange(rows)[:, None] + np.arange(lanes)

    def take(M, i, step, rows, size):
        return M[_rows(i, step, rows, size // M.itemsize)]

    def take_like(tile, M, i, step):
        return M[_rows(i, step, *tile.shape)]

    def put(tile, M, i, step):
        for p, row in enumerate(tile):
            M[i + p * step:][:row.size] = row

    def add_outer(tile, x, i, step, M, k):
        rows, lanes = tile.shape
        return tile + np.outer(x[i + step * np.arange(rows)], M[k:k + lanes])

    def larger(tile, M, i, step):
        return np.maximum(tile, M[_rows(i, step, *tile.shape)])

    def hand_over(tile, largest, x, M, i, step):
        places = _rows(i, step, *tile.shape)
        elsewhere = (x[places] < largest) | (x[places] > largest)
        M[places] += np.where(elsewhere, 0, tile)
        return np.where(elsewhere, tile, 0)
