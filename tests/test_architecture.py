"""How the package is built: the order of its files, and that all kernels compile in one way."""
import ast
import importlib
import inspect
from pathlib import Path

import numba
import pytest
from numba.core.dispatcher import Dispatcher

import nnjit as nn
from nnjit._numba import jit
from nnjit._numba.cache import KernelCache

PACKAGE = Path(nn.__file__).parent
# From the ground up. A file imports only from those above it; the files of a folder may import each other.
ORDER = ["_starting", "_numba", "kernels", "memory", "habits", "objects", "replacing", "inputs", "reading",
         "archives", "layers", "heads", "metrics", "losses", "schedules", "optimizers", "workspaces", "graph",
         "inference", "checkpoint", "training", "callbacks", "sweep", "summary", "preparation", "model",
         "loading", "explain", "estimators", "exchange", "datasets", "experiments", "own_data", "analysis",
         "plots", "report", "page", "bench", "cli", "__main__"]
FILES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
         for path in sorted(PACKAGE.rglob("*.py"))}
KERNEL_FILES = [path for path in FILES if path.startswith("kernels/") and not path.endswith("__init__.py")]


# ---- the order of the files --------------------------------------------------------------------------------

def part_of(path):
    """Return the entry of ``ORDER`` to which a file belongs."""
    return Path(path).parts[0].removesuffix(".py")


def imported_parts(path):
    """Return the parts of the package that a file imports from, wherever in the file it does."""
    package = ["nnjit", *Path(path).parts[:-1]]
    found = set()
    for node in ast.walk(FILES[path]):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[:len(package) - node.level + 1] if node.level else []
            module = start + (node.module.split(".") if node.module else [])
            names = [module + [alias.name] for alias in node.names]
        else:
            continue
        found |= {name[1] for name in names if name[0] == "nnjit" and len(name) > 1}
    return found


@pytest.mark.parametrize("path", FILES)
def test_a_file_imports_only_from_above(path):
    if path == "__init__.py":    # the roof
        return
    assert part_of(path) in ORDER, "a new file has its place in ORDER"
    above = ORDER[:ORDER.index(part_of(path))]
    allowed = above + [part_of(path)] * ("/" in path)
    assert imported_parts(path) <= {*allowed, "__version__"}


def test_the_imports_are_seen():
    assert imported_parts("kernels/losses.py") == {"_numba", "kernels"}
    assert {"inputs", "training"} <= imported_parts("model.py")
    assert "cli" in imported_parts("__main__.py") and "datasets" in imported_parts("__init__.py")


# ---- kernels -----------------------------------------------------------------------------------------------

COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "stencil", "cfunc"}


@pytest.mark.parametrize("path", FILES)
def test_only_one_folder_compiles(path):
    used = set()
    for node in ast.walk(FILES[path]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "numba":
            used |= {alias.name for alias in node.names} & COMPILERS
        elif (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
              and node.value.id in ("numba", "nb")):
            used |= {node.attr} & COMPILERS
    assert used == ({"njit"} if path in ("_numba/jit.py", "_numba/compiler.py") else set())


def kernels():
    """Yield every function at the top of a kernel file, and its name; and the kernels of pairs."""
    for path in KERNEL_FILES:
        module = importlib.import_module("nnjit." + path.removesuffix(".py").replace("/", "."))
        for node in FILES[path].body:
            if isinstance(node, ast.FunctionDef):
                yield f"{path}: {node.name}", getattr(module, node.name)
        for name, function in vars(module).items():
            if hasattr(function, "serial"):
                yield f"{path}: {name}", function.serial
                yield f"{path}: {name}_in_chunks", function.parallel


@pytest.mark.compiled
def test_kernels_are_compiled_in_one_way():
    plain = {name for name, function in kernels() if not isinstance(function, Dispatcher)}
    templates = ("_forward", "_forward_in_chunks", "_backward", "_backward_in_chunks", "_bind", "_by_size",
                 "elementwise")
    assert plain == {"kernels/dropout.py: keep_digits", "kernels/random.py: layer_key",
                     "kernels/random.py: generator",
                     *(f"kernels/activations.py: {name}" for name in templates)}
    for name, function in kernels():
        if name in plain:
            continue
        options = function.targetoptions
        assert options["nogil"] and options["error_model"] == "numpy", name
        fastmath = options["fastmath"]
        assert isinstance(fastmath, set) and not fastmath & {"nnan", "ninf", "fast"}, name
        if jit.FASTER is not None:
            assert isinstance(function._cache, KernelCache) != function.__name__.startswith("_"), name
    assert not (jit.FASTMATH | jit.FORMULA_MATH) & {"nnan", "ninf", "fast"}


def test_kernels_are_python_where_compilation_is_off():
    if numba.config.DISABLE_JIT:
        assert all(inspect.isfunction(function) for _, function in kernels())
