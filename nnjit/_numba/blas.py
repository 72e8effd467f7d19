"""BLAS inside a kernel: one call that multiplies blocks of larger matrices.

Numba's ``np.dot`` takes only whole contiguous arrays, and compiles anew for every combination of layouts.
`multiply` is the same call of SciPy's BLAS (Numba's ``numba_xxgemm``) for any C-contiguous arrays, blocks of
them, and transposes of either.
"""
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import linalg

load_blas = linalg.ensure_blas    # SciPy's


@intrinsic
def multiply(typing, A, transpose_A, B, transpose_B, beta, C):
    """C = op(A) op(B) + beta C, where op transposes if told to. All of one dtype, with contiguous rows.

    The rows of op(B) may be more than the columns of op(A); those count for nothing.
    """
    load_blas()

    def generate(context, builder, signature, args):
        A, _, B, _, beta, C = args
        integer, char, pointer = ir.IntType(64), ir.IntType(8), ir.IntType(8).as_pointer()
        dtype = signature.args[5].dtype

        def matrix(position, value):
            array = context.make_array(signature.args[position])(context, builder, value)
            rows, columns = cgutils.unpack_tuple(builder, array.shape, 2)
            stride = cgutils.unpack_tuple(builder, array.strides, 2)[0]
            leading = builder.sdiv(stride, ir.Constant(integer, dtype.bitwidth // 8))
            return rows, columns, builder.bitcast(array.data, pointer), leading

        def letter(flag):
            return builder.select(flag, ir.Constant(char, ord("t")), ir.Constant(char, ord("n")))

        def slot(value):
            return builder.bitcast(cgutils.alloca_once_value(builder, value), pointer)

        rows_A, columns_A, data_A, leading_A = matrix(0, A)
        _, _, data_B, leading_B = matrix(2, B)
        rows, columns, data_C, leading_C = matrix(5, C)
        flag_A, flag_B = (context.cast(builder, args[i], signature.args[i], types.boolean) for i in (1, 3))
        flag_A, flag_B = (builder.trunc(flag, ir.IntType(1)) if flag.type.width > 1 else flag
                          for flag in (flag_A, flag_B))
        depth = builder.select(flag_A, rows_A, columns_A)
        one = slot(context.get_constant(dtype, 1.0))
        scale = slot(context.cast(builder, beta, signature.args[4], dtype))
        kind = ir.Constant(char, ord("d" if dtype == types.float64 else "s"))
        # BLAS counts by columns: it is given the transposes, so that op(B)' op(A)' = C'.
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.IntType(32), [char] * 3 + [integer] * 3 + [
                pointer, pointer, integer, pointer, integer, pointer, pointer, integer]), "numba_xxgemm")
        builder.call(function, [kind, letter(flag_B), letter(flag_A), columns, rows, depth, one,
                                data_B, leading_B, data_A, leading_A, scale, data_C, leading_C])
        return context.get_dummy_value()

    return types.none(A, transpose_A, B, transpose_B, beta, C), generate


if numba.config.DISABLE_JIT:    # the same in NumPy
    def multiply(A, transpose_A, B, transpose_B, beta, C):
        A, B = A.T if transpose_A else A, B.T if transpose_B else B
        C[:] = np.dot(A, B[:A.shape[1]]) + (beta * C if beta else 0)
