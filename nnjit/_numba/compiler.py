"""A compiler that takes two thirds of the time of Numba's own, and whose loops fill AVX-512's registers.

It leans on Numba's insides, so it is used only in the versions that `jit.TESTED` names. The bits are those of
Numba's own compiler, if that fills them, too.
"""
import functools

import numba
import numpy as np
from numba.core import codegen, compiler, compiler_machinery, typed_passes


class _WideVectorLibrary(codegen.JITCodeLibrary):
    """The code of a kernel, whose loops LLVM vectorises for whole registers.

    By default LLVM takes half of AVX-512's, because the first processors that had them slowed down with all
    of them. Here strips and BLAS use all of them in any case.
    """

    def add_ir_module(self, module):
        for function in module.functions:
            if not function.is_declaration:    # llvmlite's own `add` knows no attributes with a value
                set.add(function.attributes, '"prefer-vector-width"="512"')
        super().add_ir_module(module)


class _InlineOnlyLibrary(_WideVectorLibrary):
    """The code of a private kernel, which becomes machine code only as a part of its callers'.

    Numba would write machine code for every kernel on the way from the innermost to the outermost, each with
    all within it: a tenth of the compilation.
    """

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True

    # Numba asks for the machine code, and gives it an environment; there is none.

    def get_pointer_to_function(self, name):
        return 0

    @property
    def codegen(self):
        return self

    def set_env(self, name, environment):
        pass


class _ParforLibrary(_InlineOnlyLibrary):
    """The body of a `prange` loop, or one of the two functions that Numba puts between it and the kernel.

    Each has the one before within it. They are optimised once, as parts of the kernel, where Numba would do
    it four times: a sixth of the compilation. There all have to be inlined, or the counts of references to
    arrays would remain in the loop, for which threads wait for each other.
    """

    def add_ir_module(self, module):
        for function in module.functions:
            if not function.is_declaration and not function.linkage:    # it has none of a part of a part
                function.attributes.add("alwaysinline")
        super().add_ir_module(module)

    def _optimize_final_module(self):
        pass


@compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
class _ParforLowering(typed_passes.NativeParforLowering):
    """Numba's lowering of a kernel with `prange` loops. What it makes of a loop is a `_ParforLibrary`."""

    _name = "nnjit_parfor_lowering"

    def run_pass(self, state):
        target = state.targetctx.codegen()
        target.create_library = functools.partial(_ParforLibrary, target)
        try:
            return super().run_pass(state)
        finally:
            del target.create_library


class PartCompiler(compiler.Compiler):
    """Numba's compiler with an `_InlineOnlyLibrary`: for private kernels."""

    def __init__(self, typing_context, target, library, *rest):
        super().__init__(typing_context, target, _InlineOnlyLibrary(target.codegen(), "part"), *rest)


class KernelCompiler(compiler.Compiler):
    """Numba's compiler with the `_ParforLowering` and a `_WideVectorLibrary`: for what Python calls."""

    def __init__(self, typing_context, target, library, *rest):
        library = _WideVectorLibrary(target.codegen(), "kernel")
        library.enable_object_caching()    # only what is cached from the beginning on is kept
        super().__init__(typing_context, target, library, *rest)

    def define_pipelines(self):
        [pipeline] = super().define_pipelines()
        pipeline.passes = [(_ParforLowering if step is typed_passes.NativeParforLowering else step, text)
                           for step, text in pipeline.passes]
        pipeline.finalize()
        return [pipeline]


def probe(**options):
    """Compile and run a small parallel kernel with a private one inside; raise an error if it is wrong."""
    @numba.njit(pipeline_class=PartCompiler, no_cpython_wrapper=True, forceinline=True, **options)
    def _double(i):
        return 2 * i

    @numba.njit(pipeline_class=KernelCompiler, parallel=True, **options)
    def double(out):
        for i in numba.prange(out.size):
            out[i] = _double(i)

    double(out := np.zeros(5, np.int64))
    if out.tolist() != [0, 2, 4, 6, 8]:
        raise ValueError(f"got {out.tolist()}, expected [0, 2, 4, 6, 8]")
