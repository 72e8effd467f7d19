"""Vectors in registers: the operations with which a kernel keeps its sums out of memory.

LLVM vectorises a plain loop well as long as what it adds up lies in an array; sums over a few rows of a
matrix then travel to the cache and back for every row. A vector has 64 bytes, 16 float32 or 8 float64: one
register of AVX-512, two of AVX; or half of that. A `Strip` is a few vectors that lie side by side in a row of
a matrix.
"""
import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

BYTES = 64


class Strip(types.Type):
    """The Numba type of ``halves`` halves of a vector of ``dtype``: whole vectors, then the odd half."""

    def __init__(self, dtype, halves):
        self.dtype = dtype
        self.lanes = halves // 2 * [lanes_of(dtype)] + halves % 2 * [lanes_of(dtype, BYTES // 2)]
        super().__init__(name=f"Strip({dtype}, {halves})")


@register_model(Strip)
class _StripModel(models.PrimitiveModel):
    def __init__(self, manager, strip):
        number = manager.lookup(strip.dtype).get_value_type()
        vectors = [ir.VectorType(number, lanes) for lanes in strip.lanes]
        super().__init__(manager, strip, ir.LiteralStructType(vectors))


def lanes_of(dtype, size=BYTES):
    return size * 8 // dtype.bitwidth


def splat(builder, x, vector):
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), x, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), lanes)


# ---- strips of a matrix ------------------------------------------------------------------------------------
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
    """Return the strip at M[i, k], of as many halves as the tuple ``width`` has. M's rows are contiguous."""
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
    """Return the strip at M[i, k], as `load` does, with 0 for what lies behind the end of the row."""
    def generate(context, builder, signature, args):
        address, align = _address(context, builder, signature, args)
        left = _left(context, builder, signature, args)
        kind = context.get_value_type(signature.return_type)
        strip, first = ir.Constant(kind, ir.Undefined), 0
        for j, place in enumerate(_places(builder, address, kind.elements)):
            vector = _load_some(builder, place, align, kind.elements[j], first, left)
            strip = builder.insert_value(strip, vector, j)
            first += kind.elements[j].count
        return strip
    return Strip(M.dtype, len(width))(M, i, k, width), generate


def _load_some(builder, place, align, vector, first, left):
    """Return the vector at an address, of the numbers from ``first`` on, but 0 for those from ``left`` on."""
    there = _before(builder, left, first, vector.count)
    name = f"llvm.masked.load.v{vector.count}{vector.element.intrinsic_name}.p0"
    kind = ir.FunctionType(vector, [place.type, ir.IntType(32), there.type, vector])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    zero = ir.Constant(vector, None)
    return builder.call(function, [place, ir.Constant(ir.IntType(32), align), there, zero])


def _before(builder, left, first, count):
    """Return which of the numbers from ``first`` on, so many, are less than ``left``: a vector of bits."""
    lanes = ir.VectorType(left.type, count)
    numbers = ir.Constant(lanes, list(range(first, first + count)))
    return builder.icmp_signed("<", numbers, splat(builder, left, lanes))


@intrinsic
def store(typing, M, i, k, strip):
    """Write the strip to M[i, k] and what follows."""
    def generate(context, builder, signature, args):
        address, align = _address(context, builder, signature, args)
        for j, place in enumerate(_places(builder, address, args[3].type.elements)):
            builder.store(builder.extract_value(args[3], j), place, align=align)
        return context.get_dummy_value()
    return types.none(M, i, k, strip), generate


@intrinsic
def store_within(typing, M, i, k, strip):
    """Write the strip to M[i, k], but for what of its last vector would lie behind the end of the row."""
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
    """Write the vector of the numbers from ``first`` on to an address, but for those from ``left`` on."""
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
            factor, old = builder.extract_value(other, j), builder.extract_value(total, j)
            product = builder.fmul(splat(builder, x, vector), factor, flags=("contract",))
            total = builder.insert_value(total, builder.fadd(product, old, flags=("contract",)), j)
        return total
    return strip(strip, x, other), generate


@intrinsic
def prefetch(typing, array, place):
    """Fetch the cache line in which array[place] lies, needed soon, whether there is such a place or not."""
    def generate(context, builder, signature, args):
        place = context.cast(builder, args[1], signature.args[1], types.intp)
        address = builder.gep(context.make_array(array)(context, builder, args[0]).data, [place])
        kinds = [ir.IntType(8).as_pointer()] + [ir.IntType(32)] * 3
        kind = ir.FunctionType(ir.VoidType(), kinds)
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        to_read, closest, data = (ir.Constant(ir.IntType(32), value) for value in (0, 3, 1))
        builder.call(function, [builder.bitcast(address, kinds[0]), to_read, closest, data])
        return context.get_dummy_value()
    return types.none(array, place), generate


@intrinsic
def no_unroll(typing):
    """Keep the loop in which this stands as it is written: LLVM may not repeat this statement within it.

    LLVM unrolls a short loop twice or four times; the rounds left over are then one more branch that cannot
    be foreseen.
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


# ---- compressed stores -------------------------------------------------------------------------------------

def _compiles_for(feature):
    """Return whether the processor has a feature, and Numba is not told to do without."""
    if numba.config.DISABLE_JIT or not numba.config.ENABLE_AVX:
        return False
    if numba.config.CPU_FEATURES is not None:    # NUMBA_CPU_FEATURES
        return f"+{feature}" in numba.config.CPU_FEATURES.split(",")
    try:
        return bool(binding.get_host_cpu_features().get(feature))
    except RuntimeError:    # LLVM cannot tell
        return False


# Whether there is an instruction for it. Without one, `compress_store` is right, but slower than a number at
# a time.
HAS_COMPRESS = _compiles_for("avx512f")


@intrinsic
def compress_store(typing, M, i, k, bits, columns, values, place):
    """For every bit j of 64 that is 1, write k + j and M[i, k + j] into two arrays, from ``place`` on.

    Returns the place after the last number.
    Of what is behind, up to a vector is overwritten. M: of any dtype; its numbers become those of ``values``.
    """
    def generate(context, builder, signature, args):
        address, align = _address(context, builder, signature, args)
        k, bits, place = (context.cast(builder, args[n], signature.args[n], kind)
                          for n, kind in ((2, columns.dtype), (3, types.uint64), (6, types.intp)))
        number, lanes = context.get_value_type(values.dtype), lanes_of(values.dtype)
        vectors = [ir.VectorType(context.get_value_type(M.dtype), lanes)] * (64 // lanes)
        for first, source in zip(range(0, 64, lanes), _places(builder, address, vectors)):
            part = builder.trunc(builder.lshr(bits, ir.Constant(bits.type, first)), ir.IntType(lanes))
            chosen = builder.bitcast(part, ir.VectorType(ir.IntType(1), lanes))
            kind = ir.VectorType(k.type, lanes)
            here = builder.add(splat(builder, k, kind), ir.Constant(kind, list(range(first, first + lanes))))
            row = _convert(builder, builder.load(source, align=align), M.dtype, number)
            for array, n, vector in ((columns, 4, here), (values, 5, row)):
                start = builder.gep(context.make_array(array)(context, builder, args[n]).data, [place])
                together = _move_together(builder, vector, chosen)
                start = builder.bitcast(start, vector.type.as_pointer())
                builder.store(together, start, align=array.dtype.bitwidth // 8)
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


if numba.config.DISABLE_JIT:    # the same in NumPy
    def prefetch(array, place):
        pass

    def no_unroll():
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
