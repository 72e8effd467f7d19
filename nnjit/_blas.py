"""BLAS inside a kernel: one call that multiplies blocks of larger matrices, and a limit on BLAS's own threads.

Numba's ``np.dot`` takes whole contiguous arrays alone, and compiles anew for every combination of layouts. `multiply` is the
same call of SciPy's BLAS (Numba's ``numba_xxgemm``) for any C-contiguous arrays, blocks of them, and transposes of either.
"""
import threading

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import linalg
from threadpoolctl import ThreadpoolController

from ._jit import turns


@intrinsic
def multiply(typing, A, transpose_A, B, transpose_B, beta, C):
    """C = op(A) op(B) + beta C, where op transposes if told to. All of one dtype, with contiguous rows.

    The rows of op(B) may be more than the columns of op(A); those count for nothing.
    """
    linalg.ensure_blas()

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
        flag_A, flag_B = (builder.trunc(flag, ir.IntType(1)) if flag.type.width > 1 else flag for flag in (flag_A, flag_B))
        depth = builder.select(flag_A, rows_A, columns_A)
        one = slot(context.get_constant(dtype, 1.0))
        scale = slot(context.cast(builder, beta, signature.args[4], dtype))
        kind = ir.Constant(char, ord("d" if dtype == types.float64 else "s"))
        # BLAS counts by columns: it is given the transposes, so that op(B)' op(A)' = C'.
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.IntType(32), [char] * 3 + [integer] * 3 + [
                pointer, pointer, integer, pointer, integer, pointer, pointer, integer]), "numba_xxgemm")
        builder.call(function, [kind, letter(flag_B), letter(flag_A), columns, rows, depth, one, data_B, leading_B,
                                data_A, leading_A, scale, data_C, leading_C])
        return context.get_dummy_value()

    return types.none(A, transpose_A, B, transpose_B, beta, C), generate


if numba.config.DISABLE_JIT:    # the same in NumPy
    def multiply(A, transpose_A, B, transpose_B, beta, C):
        A, B = A.T if transpose_A else A, B.T if transpose_B else B
        C[:] = np.dot(A, B[:A.shape[1]]) + (beta * C if beta else 0)


class _KernelThreads:
    """The context of `turns` in which BLAS uses one thread for each of the kernels', which share their work out themselves.

    Models may train in several Python threads at once: the first to come sets BLAS's limit, the last to go takes it back.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._inside, self._limit, self._controller = 0, None, None

    def __enter__(self):
        turns.__enter__()
        with self._lock:
            if self._inside == 0:
                self._limit = self._find().limit(limits=1)
            self._inside += 1

    def __exit__(self, *error):
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.restore_original_limits()
        turns.__exit__(*error)

    def libraries(self):
        """Return what threadpoolctl knows of the BLAS libraries that are loaded, a list of dicts."""
        return self._find().info()

    def _find(self):
        if self._controller is None:
            linalg.ensure_blas()    # loads the kernels' BLAS, which takes a while, so not before
            self._controller = ThreadpoolController().select(user_api="blas")
        return self._controller


kernel_threads = _KernelThreads()
