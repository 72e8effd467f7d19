"""How the package is built: the order of its files, how kernels compile, their disk cache, the threads."""
import ast
import importlib
import inspect
import shutil
from pathlib import Path

import numba
import pytest
from numba.core.dispatcher import Dispatcher

import nnjit as nn
from nnjit import _jit

PACKAGE = Path(nn.__file__).parent
# From the ground up. A file imports only from those above it; the files of a folder may import each other.
ORDER = ["_jit", "_simd", "_blas", "kernels", "arrays", "targets", "layers", "heads", "losses", "schedules", "optimizers",
         "training", "checkpoint", "model", "datasets", "book", "presets", "tasks", "estimators", "plots", "figures", "report",
         "bench", "cli", "__main__"]
FILES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
         for path in sorted(PACKAGE.rglob("*.py"))}
KERNEL_FILES = [path for path in FILES if path.startswith("kernels/") and not path.endswith("__init__.py")]


# ---- the order of the files -----------------------------------------------------------------------------------------

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
    assert imported_parts("kernels/likelihoods.py") == {"_jit", "kernels"}
    assert {"arrays", "training"} <= imported_parts("model.py")
    assert "cli" in imported_parts("__main__.py") and "datasets" in imported_parts("__init__.py")


# ---- kernels --------------------------------------------------------------------------------------------------------

COMPILERS = {"njit", "jit", "vectorize", "guvectorize", "stencil", "cfunc"}


@pytest.mark.parametrize("path", FILES)
def test_only_one_file_compiles(path):
    used = set()
    for node in ast.walk(FILES[path]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "numba":
            used |= {alias.name for alias in node.names} & COMPILERS
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("numba", "nb"):
            used |= {node.attr} & COMPILERS
    assert used == ({"njit"} if path == "_jit.py" else set())


def kernels():
    """Yield every function that is defined at the top of a kernel file, and its name; and the kernels of pairs."""
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
    templates = ("_forward", "_forward_in_chunks", "_backward", "_backward_in_chunks", "_bind", "_by_size", "elementwise")
    assert plain == {"kernels/dropout.py: keep_digits", "kernels/random.py: layer_key",
                     *(f"kernels/activations.py: {name}" for name in templates)}
    for name, function in kernels():
        if name in plain:
            continue
        options = function.targetoptions
        assert options["nogil"] and options["error_model"] == "numpy", name
        assert isinstance(options["fastmath"], set) and not options["fastmath"] & {"nnan", "ninf", "fast"}, name
        assert isinstance(function._cache, _jit._KernelCache) != function.__name__.startswith("_"), name
    assert not (_jit.FASTMATH | _jit.FORMULA_MATH) & {"nnan", "ninf", "fast"}


def test_kernels_are_python_where_compilation_is_off():
    if numba.config.DISABLE_JIT:
        assert all(inspect.isfunction(function) for _, function in kernels())


# ---- the disk cache -------------------------------------------------------------------------------------------------

@pytest.fixture
def copied(tmp_path):
    """A copy of the package in the folder where `run_python` runs."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "nnjit", ignore=shutil.ignore_patterns("__pycache__")))


# A small formula that inlines one of another file.
POISSON_RATE = """
import json, warnings
import numpy as np
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from nnjit.kernels.likelihoods import poisson_rate
    total = 3 * poisson_rate(0.0)
print(json.dumps({"total": total, "hits": sum(poisson_rate.stats.cache_hits.values()),
                  "warnings": [f"{w.category.__name__}: {w.message}" for w in caught],
                  "path": __import__("nnjit").__file__}))
"""


@pytest.fixture
def run_kernel(run_python, copied, tmp_path):
    """Return a function that runs the kernel of the copied package in a new process, with a cache of its own."""
    def run(cache=tmp_path / "cache", prepare="", **environment):
        found = run_python(prepare + POISSON_RATE, NUMBA_CACHE_DIR=str(cache), **environment)
        assert Path(found["path"]).parent == copied
        return found["total"], found["hits"], found["warnings"]

    return run


@pytest.mark.compiled
def test_an_edit_to_a_formula_reaches_the_kernels_of_other_files(run_kernel, copied):
    assert run_kernel() == (3, 0, [])
    assert run_kernel() == (3, 1, [])    # from the cache
    path = copied / "kernels" / "elementary.py"
    text = path.read_text(encoding="utf-8")
    edited = text.replace('    """e^x."""\n', '    """e^x."""\n    return x + 7\n')
    assert edited != text
    path.write_text(edited, encoding="utf-8")
    assert run_kernel() == (21, 0, [])


def test_an_edit_to_any_file_that_kernels_use_is_seen(copied, monkeypatch):
    monkeypatch.setattr(_jit, "__file__", str(copied / "_jit.py"))
    stamps = {_jit._sources_stamp()}
    used = sorted({f"{part}.py" for path in KERNEL_FILES for part in imported_parts(path)} - {"kernels.py"})
    assert "_jit.py" in used
    for path in [*used, *KERNEL_FILES]:
        with open(copied / path, "a", encoding="utf-8") as file:
            file.write("# edited\n")
        stamp = _jit._sources_stamp()
        assert stamp not in stamps, path
        stamps.add(stamp)


UNUSABLE = "RuntimeWarning: nnjit: the cache of compiled kernels is unusable"


def check_warned_once(found):
    total, hits, warned = found
    assert (total, hits) == (3, 0)
    assert len(warned) == 1 and warned[0].startswith(UNUSABLE) and "\n" not in warned[0]


@pytest.mark.compiled
def test_truncated_cache_files_cost_a_compilation_and_one_warning(run_kernel, copied):
    """In the package's own folder, where they lie unless told otherwise."""
    run_kernel(cache="")
    files = [path for path in (copied / "kernels" / "__pycache__").iterdir() if path.suffix in (".nbi", ".nbc")]
    assert {path.name.partition("-")[0] for path in files} >= {"likelihoods.poisson_rate", "elementary.exp"}
    for damaged, length in [(files, 0), ([path for path in files if path.suffix == ".nbc"], 100)]:
        for path in damaged:
            path.write_bytes(path.read_bytes()[:length])
        check_warned_once(run_kernel(cache=""))
    assert run_kernel(cache="") == (3, 1, [])    # it has mended itself


@pytest.mark.compiled
def test_a_full_disk_costs_one_warning(run_kernel):
    """As seen by a process that may write no more than 1,000 bytes into a file."""
    pytest.importorskip("resource")
    check_warned_once(run_kernel(prepare="import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"))


@pytest.mark.compiled
def test_no_writable_folder_costs_one_warning(run_kernel, copied, tmp_path):
    """Not the chosen one, the package's or the user's: each lies below a file, where even root can make no folder."""
    blocked = tmp_path / "file"
    blocked.touch()
    (copied / "kernels" / "__pycache__").touch()
    check_warned_once(run_kernel(cache=blocked / "cache", XDG_CACHE_HOME=str(blocked), HOME=str(blocked),
                                 PYTHONDONTWRITEBYTECODE="1"))


# ---- the threads ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("threads", [1.0, "2", None, True])
def test_threads_that_are_no_number(threads):
    with pytest.raises(TypeError, match="threads: got .*, expected an integer"):
        nn.set_threads(threads)


THREADS = """
import json
import nnjit as nn
found = []
for n in NUMBERS:
    try:
        nn.set_threads(n)
        found.append(nn.get_threads())
    except ValueError as error:
        found.append(str(error))
print(json.dumps(found))
"""


def test_the_number_of_threads(run_python):
    """Any at first; once they run, no more than were started."""
    code = THREADS.replace("NUMBERS", "(3, 0, -1, 2, 4)")
    above, low, negative, below, after = run_python(code, NUMBA_NUM_THREADS="2")
    assert (above, below) == (3, 2)
    for got, message in [(0, low), (-1, negative), (4, after)]:
        assert message == (f"threads: got {got}, expected 1 to 3; to allow more, set the environment variable "
                           "NUMBA_NUM_THREADS before Python starts")


@pytest.mark.compiled
def test_a_cached_program_gives_the_bits_of_a_compiled_one(run_python, tmp_path):
    """The same code is inlined in both, so that LLVM adds up in the same order."""
    code = """
import hashlib, json
import numpy as np
import nnjit as nn
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 50)) * (rng.random((300, 50)) < 0.3)
y = rng.integers(10, size=300)
model = nn.Sequential([nn.Dense(21), nn.Dense(10)], head=nn.Categorical())
model.fit(X, y, nn.SGD(0.1), epochs=5, batch_size=100, verbose=0)
print(json.dumps(hashlib.sha256(model.vector.tobytes()).hexdigest()))
"""
    compiled, cached = (run_python(code, NUMBA_CACHE_DIR=str(tmp_path / "cache")) for _ in range(2))
    assert cached == compiled


@pytest.mark.compiled
def test_a_loop_counts_no_references(run_python, tmp_path):
    """Threads would wait for each other at every count. (A task of a product allocates its sums, which is counted once.)"""
    code = """
import json
import numpy as np
import nnjit as nn
from nnjit.kernels.sparse import format, product
X, y = np.eye(9), np.arange(9)
for units in (3, 300):
    model = nn.Sequential([nn.Dense(units)], head=nn.Categorical(), dtype="float64").build(9)
    for epochs in (1, 2):
        for shuffle in (False, True):
            model.fit(X, y % 3, nn.SGD(), epochs, shuffle=shuffle, verbose=0)
kernels = format.gather_rows, format.compress_rows, format.transpose, product.weight_gradient
print(json.dumps(["NRT_incref" in assembly for kernel in kernels for assembly in kernel.inspect_asm().values()]))
"""
    assert run_python(code, NUMBA_CACHE_DIR=str(tmp_path / "cache")) == [False] * 4
