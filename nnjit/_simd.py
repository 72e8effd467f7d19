"""Vectors in registers: the operations with which a kernel keeps a strip of sums out of memory.

LLVM vectorises a plain loop well as long as what it adds up lies in an array; sums over a few rows of a matrix then travel
to the cache and back for every row. A vector has 64 bytes, 16 float32 or 8 float64: one register of AVX-512, two of AVX. A
`Strip` is a few of them side by side. How many is known at compile time, as the length of the tuple ``width``.
"""
import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

BYTES = 64


class Strip(types.Type):
    """The Numba type of ``count`` vectors, each of ``BYTES / itemsize`` numbers of ``dtype``."""

    def __init__(self, dtype, count):
        self.dtype, self.count = dtype, count
        super().__init__(name=f"Strip({dtype}, {count})")


@register_model(Strip)
class _StripModel(models.PrimitiveModel):
    def __init__(self, manager, strip):
        number = manager.lookup(strip.dtype).get_value_type()
        super().__init__(manager, strip, ir.ArrayType(ir.VectorType(number, BYTES * 8 // strip.dtype.bitwidth), strip.count))


def _address(context, builder, signature, args):
    """Return the address of M[i, k] as a pointer to a vector, and the alignment of a number."""
    matrix, row, column = signature.args[:3]
    M = context.make_array(matrix)(context, builder, args[0])
    itemsize = matrix.dtype.bitwidth // 8
    row_stride = cgutils.unpack_tuple(builder, M.strides, 2)[0]
    offset = builder.mul(context.cast(builder, args[1], row, types.intp), row_stride)
    column = context.cast(builder, args[2], column, types.intp)
    offset = builder.add(offset, builder.mul(column, ir.Constant(column.type, itemsize)))
    vector = ir.VectorType(context.get_value_type(matrix.dtype), BYTES // itemsize)
    return builder.bitcast(cgutils.pointer_add(builder, M.data, offset), vector.as_pointer()), itemsize


def _places(builder, address, count):
    return [builder.gep(address, [ir.Constant(ir.IntType(64), j)]) for j in range(count)]


@intrinsic
def load(typing, M, i, k, width):
    """Return the strip of vectors that begins at M[i, k], as many as the tuple ``width`` is long; M's rows are contiguous."""
    def generate(context, builder, signature, args):
        address, align = _address(context, builder, signature, args)
        strip = ir.Constant(context.get_value_type(signature.return_type), ir.Undefined)
        for j, place in enumerate(_places(builder, address, len(width))):
            strip = builder.insert_value(strip, builder.load(place, align=align), j)
        return strip
    return Strip(M.dtype, len(width))(M, i, k, width), generate


@intrinsic
def store(typing, M, i, k, strip):
    """Write the strip to where M[i, k] begins."""
    def generate(context, builder, signature, args):
        address, align = _address(context, builder, signature, args)
        for j, place in enumerate(_places(builder, address, strip.count)):
            builder.store(builder.extract_value(args[3], j), place, align=align)
        return context.get_dummy_value()
    return types.none(M, i, k, strip), generate


@intrinsic
def add_scaled(typing, strip, x, other):
    """Return strip + x other, where x is a number."""
    def generate(context, builder, signature, args):
        total, x, other = args
        factor = _splat(builder, x, total.type.element)
        for j in range(total.type.count):
            product = builder.fmul(factor, builder.extract_value(other, j), flags=("contract",))
            total = builder.insert_value(total, builder.fadd(product, builder.extract_value(total, j), flags=("contract",)), j)
        return total
    return strip(strip, x, other), generate


def _splat(builder, x, vector):
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), x, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), lanes)


@intrinsic
def nonzero(typing, M, i, k):
    """Return, as a uint64, a bit for each number of the vector M[i, k:k + lanes]: whether it is not 0. M: of any dtype."""
    def generate(context, builder, signature, args):
        address, align = _address(context, builder, signature, args)
        vector = builder.load(address, align=align)
        zero = ir.Constant(vector.type, None)
        number = signature.args[0].dtype
        bits = (builder.fcmp_unordered("!=", vector, zero) if isinstance(number, types.Float)
                else builder.icmp_unsigned("!=", vector, zero))
        mask = builder.bitcast(bits, ir.IntType(vector.type.count))
        return builder.zext(mask, ir.IntType(64)) if vector.type.count < 64 else mask
    return types.uint64(M, i, k), generate


@intrinsic
def lowest_bit(typing, bits):
    """Return the number of the lowest bit of a uint64 that is 1."""
    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))
    return types.int64(types.uint64), generate


@intrinsic
def count_bits(typing, bits):
    """Return how many bits of a uint64 are 1."""
    def generate(context, builder, signature, args):
        return builder.ctpop(args[0])
    return types.int64(types.uint64), generate


if numba.config.DISABLE_JIT:    # the same in NumPy
    def nonzero(M, i, k):
        return sum(1 << lane for lane, number in enumerate(M[i, k:k + BYTES // M.itemsize]) if number != 0)

    def lowest_bit(bits):
        bits = int(bits)
        return (bits & -bits).bit_length() - 1

    def count_bits(bits):
        return int(bits).bit_count()

    def load(M, i, k, width):
        return M[i, k:k + len(width) * BYTES // M.itemsize].copy()

    def store(M, i, k, strip):
        M[i, k:k + strip.size] = strip

    def add_scaled(strip, x, other):
        return strip + x * other
