"""All that knows Numba and LLVM: compilation, its disk cache, threads, BLAS, vectors in registers."""
