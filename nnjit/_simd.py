"""Vectors in registers: four operations with which a kernel keeps a strip of sums out of memory.

LLVM vectorises a plain loop well as long as what it adds up lies in an array; sums over a few rows of a matrix then travel
to the cache and back for every row. A `Vector` has 64 bytes, 16 float32 or 8 float64: one register of AVX-512, two of AVX.
"""
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

BYTES = 64


class Vector(types.Type):
    """The Numba type of a vector of ``BYTES / itemsize`` numbers of ``dtype``."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.lanes = BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype}, {self.lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        element = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


def _address(context, builder, signature, args):
    """Return the address of M[i, k] as a pointer to a vector, and the alignment of a number."""
    matrix = signature.args[0]
    M = context.make_array(matrix)(context, builder, args[0])
    row_stride = cgutils.unpack_tuple(builder, M.strides, 2)[0]
    offset = builder.mul(context.cast(builder, args[1], signature.args[1], types.intp), row_stride)
    column = context.cast(builder, args[2], signature.args[2], types.intp)
    itemsize = matrix.dtype.bitwidth // 8
    offset = builder.add(offset, builder.mul(column, ir.Constant(column.type, itemsize)))
    vector = context.get_value_type(Vector(matrix.dtype))
    return builder.bitcast(cgutils.pointer_add(builder, M.data, offset), vector.as_pointer()), itemsize


@intrinsic
def load(typing, M, i, k):
    """Return the vector M[i, k:k + lanes]; the rows of M are contiguous."""
    def generate(context, builder, signature, args):
        address, align = _address(context, builder, signature, args)
        return builder.load(address, align=align)
    return Vector(M.dtype)(M, i, k), generate


@intrinsic
def store(typing, M, i, k, vector):
    """M[i, k:k + lanes] = vector."""
    def generate(context, builder, signature, args):
        address, align = _address(context, builder, signature, args)
        builder.store(args[3], address, align=align)
        return context.get_dummy_value()
    return types.none(M, i, k, vector), generate


@intrinsic
def splat(typing, x):
    """Return the vector whose numbers are all ``x``."""
    def generate(context, builder, signature, args):
        vector = context.get_value_type(signature.return_type)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), args[0], ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
        return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), lanes)
    return Vector(x)(x), generate


@intrinsic
def fma(typing, a, b, c):
    """Return a b + c, number by number."""
    def generate(context, builder, signature, args):
        product = builder.fmul(args[0], args[1], flags=("contract",))
        return builder.fadd(product, args[2], flags=("contract",))
    return c(a, b, c), generate


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

    def load(M, i, k):
        return M[i, k:k + BYTES // M.itemsize].copy()

    def store(M, i, k, vector):
        M[i, k:k + vector.size] = vector

    def splat(x):
        return np.full(BYTES // x.itemsize, x)

    def fma(a, b, c):
        return a * b + c
