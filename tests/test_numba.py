"""How kernels are compiled: by which compiler, the disk cache of their code, the number of threads."""
import configparser
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest
from llvmlite import binding
from scale import TORTURE

import nnjit as nn
from nnjit._numba import cache, jit

PACKAGE = Path(nn.__file__).parent


# ---- the versions ------------------------------------------------------------------------------------------

def requirements():
    """Return what setup.cfg says is needed, a list of str."""
    setup = configparser.ConfigParser()
    setup.read(PACKAGE.parent / "setup.cfg", encoding="utf-8")
    return setup["options"]["install_requires"].split("\n")[1:]


def test_the_oldest_versions_are_tested():
    """`make test-oldest` installs the lower bounds."""
    lines = (PACKAGE.parent / "tests" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    oldest = [line.replace("==", ">=") for line in lines if not line.startswith("#")]
    assert oldest == [line.replace(",<0.70", "") for line in requirements()]


# ---- the compiler ------------------------------------------------------------------------------------------

def test_the_compiler_is_described(monkeypatch):
    found = jit.describe_compiler()
    if numba.config.DISABLE_JIT:
        assert found == "none, because NUMBA_DISABLE_JIT is set"
    else:
        assert found == "fast" or found.startswith("plain, because ")
    monkeypatch.setenv("NNJIT_PLAIN_NUMBA", "1")
    assert jit._find_faster() == (None, "NNJIT_PLAIN_NUMBA is set")
    monkeypatch.setenv("NNJIT_PLAIN_NUMBA", "0")
    monkeypatch.setattr(jit, "TESTED", ((0, 20), (0, 30)))
    reason = f"Numba {numba.__version__} is not one of the tested versions, 0.20 to 0.30"
    assert jit._find_faster() == (None, reason)


def test_one_release_more_than_the_tested_ones_is_let_in():
    """It gets Numba's own compiler until it has been tested."""
    (major, first), (_, last) = jit.TESTED
    assert f"numba>={major}.{first},<{major}.{last + 2}" in requirements()


# What a process does before it imports nnjit, and why it then has no faster compiler.
WITHOUT_A_NAME = "from numba.core import typed_passes; del typed_passes.NativeParforLowering\n"
WITHOUT_SUCCESS = """
from nnjit._numba import jit
def fails(**options):
    raise TypeError("no such\\nargument")
jit.FASTER.probe = fails
"""
COMPILED = """
import json
import numpy as np
from nnjit._numba import jit
from nnjit.kernels.activations import tanh_forward
z = np.linspace(-9, 9, 7).reshape(1, 7)
tanh_forward(z, a := np.empty_like(z))
print(json.dumps([jit.describe_compiler(), a.tolist()]))
"""


@pytest.mark.compiled
@pytest.mark.skipif(jit.FASTER is None, reason="needs the faster compiler")
def test_where_numba_is_built_otherwise_its_own_compiler_is_used(run_python, tmp_path):
    place = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    name, expected = run_python(COMPILED, **place)
    assert name == "fast"
    without_name = run_python(WITHOUT_A_NAME + COMPILED, **place)
    assert without_name[0].startswith("plain, because Numba is not built as expected: AttributeError: ")
    assert "NativeParforLowering" in without_name[0]
    shutil.rmtree(tmp_path / "cache")
    failed = run_python(WITHOUT_SUCCESS + COMPILED, **place)
    assert failed[0] == "plain, because a small kernel could not be compiled: TypeError: no such"
    assert without_name[1] == failed[1] == expected
    assert np.allclose(expected, np.tanh(np.linspace(-9, 9, 7)), rtol=1e-14)


SAME_BITS = """
import hashlib, json
import numpy as np
import nnjit as nn
from nnjit._numba import jit
rng = np.random.default_rng(0)
found = []
def train(layers, X, dtype):
    model = nn.Sequential([*layers, nn.Dense(3)], head=nn.Categorical(), dtype=dtype)
    model.fit(X, rng.integers(3, size=len(X)), nn.Adam(0.01), epochs=2, batch_size=100, verbose=0)
    found.append(hashlib.sha256(b"".join(a.tobytes() for a in model.parameters().values())).hexdigest())
for density in (1, 0.2):
    X = rng.normal(size=(250, 300)) * (rng.random((250, 300)) < density)
    train([nn.Dense(33), nn.Tanh(), nn.Dropout(0.4), nn.Dense(17), nn.ReLU()], X, "float64")
images = rng.normal(size=(60, 10, 10, 3))
train([nn.Conv2D(8, 3), nn.ReLU(), nn.MaxPool2D(2), nn.Flatten()], images, "float32")
print(json.dumps([jit.describe_compiler(), found]))
"""


@pytest.mark.compiled
@pytest.mark.torture
@pytest.mark.skipif(not TORTURE, reason="compiles much twice")
def test_both_compilers_give_the_same_bits(run_python):
    """With vectors as wide in both: for some processors, LLVM prefers half of AVX-512's registers."""
    features = binding.get_host_cpu_features()
    wide = {"NUMBA_CPU_FEATURES": features.flatten() + ",-prefer-256-bit"} if features.get("avx512f") else {}
    fast = run_python(SAME_BITS, NNJIT_PLAIN_NUMBA="0")
    plain = run_python(SAME_BITS, NNJIT_PLAIN_NUMBA="1", **wide)
    assert plain[0] == "plain, because NNJIT_PLAIN_NUMBA is set"
    assert fast[0] == "fast" or "is not one of the tested versions" in fast[0]
    assert fast[1] == plain[1] and len(set(fast[1])) == 3


# ---- the disk cache ----------------------------------------------------------------------------------------

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
    from nnjit.kernels.losses import poisson_rate
    total = 3 * poisson_rate(0.0)
print(json.dumps({"total": total, "hits": sum(poisson_rate.stats.cache_hits.values()),
                  "warnings": [f"{w.category.__name__}: {w.message}" for w in caught],
                  "path": __import__("nnjit").__file__}))
"""


@pytest.fixture
def run_kernel(run_python, copied, tmp_path):
    """Return a function that runs the copied package's kernel in a new process, with a cache of its own."""
    def run(cache=tmp_path / "cache", prepare="", **environment):
        found = run_python(prepare + POISSON_RATE, NUMBA_CACHE_DIR=str(cache), **environment)
        assert Path(found["path"]).parent == copied
        return found["total"], found["hits"], found["warnings"]

    return run


# Numba's own compiler has Numba's own cache, in a folder of ours.
COMPILERS = pytest.mark.parametrize("compiler", [{}, {"NNJIT_PLAIN_NUMBA": "1"}], ids=["fast", "plain"])


@pytest.mark.compiled
@COMPILERS
def test_an_edit_to_a_formula_reaches_the_kernels_of_other_files(run_kernel, copied, compiler):
    assert run_kernel(**compiler) == (3, 0, [])
    assert run_kernel(**compiler) == (3, 1, [])    # from the cache
    path = copied / "kernels" / "elementary.py"
    text = path.read_text(encoding="utf-8")
    edited = text.replace('    """e^x."""\n', '    """e^x."""\n    return x + 7\n')
    assert edited != text
    path.write_text(edited, encoding="utf-8")
    assert run_kernel(**compiler) == (21, 0, [])
    path.write_text(text, encoding="utf-8")
    assert run_kernel(**compiler) == (3, 1, [])    # both states of the sources have their code


def test_an_edit_to_any_file_that_kernels_use_is_seen(copied, monkeypatch):
    """Kernels import only from these two folders."""
    monkeypatch.setattr(cache, "PACKAGE", copied)
    stamps = {cache._stamp()}
    paths = [path for folder in ("_numba", "kernels") for path in (copied / folder).rglob("*.py")]
    assert len(paths) > 12
    for path in paths:
        with open(path, "a", encoding="utf-8") as file:
            file.write("# edited\n")
        stamp = cache._stamp()
        assert stamp not in stamps, path
        stamps.add(stamp)


@pytest.mark.parametrize("setting", cache.SETTINGS)
def test_a_setting_that_changes_machine_code_has_a_folder_of_its_own(monkeypatch, setting):
    """Or NUMBA_BOUNDSCHECK=1 would find kernels that check nothing."""
    default = cache._stamp()
    monkeypatch.setattr(numba.config, setting, 2)
    assert cache._stamp() != default


UNUSABLE = "RuntimeWarning: nnjit: the cache of compiled kernels is unusable"


def check_warned_once(found):
    total, hits, warned = found
    assert (total, hits) == (3, 0)
    assert len(warned) == 1 and warned[0].startswith(UNUSABLE) and "\n" not in warned[0]


OURS = pytest.mark.skipif(jit.FASTER is None, reason="Numba's own cache raises errors")


@pytest.mark.compiled
@OURS
def test_truncated_cache_files_cost_a_compilation_and_one_warning(run_kernel, copied):
    """In the package's own folder, where they lie unless told otherwise."""
    run_kernel(cache="")
    files = list((copied / "__pycache__").glob("nnjit-*/*"))
    assert {path.name.partition("-")[0] for path in files} == {"losses.poisson_rate", "elementary.exp"}
    for length in (0, 100):
        for path in files:
            path.write_bytes(path.read_bytes()[:length])
        check_warned_once(run_kernel(cache=""))
    assert run_kernel(cache="") == (3, 1, [])    # it has mended itself


@pytest.mark.compiled
@OURS
def test_a_full_disk_costs_one_warning(run_kernel):
    """As seen by a process that may write no more than 1,000 bytes into a file."""
    pytest.importorskip("resource")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    check_warned_once(run_kernel(prepare=limit))


@pytest.mark.compiled
@COMPILERS
def test_no_writable_folder_costs_one_warning(run_kernel, copied, tmp_path, compiler):
    """The chosen one, the package's and the user's lie below a file, where even root can make no folder."""
    blocked = tmp_path / "file"
    blocked.touch()
    (copied / "__pycache__").touch()
    check_warned_once(run_kernel(cache=blocked / "cache", XDG_CACHE_HOME=str(blocked), HOME=str(blocked),
                                 PYTHONDONTWRITEBYTECODE="1", **compiler))


RELU = """
import json
import numpy as np
from nnjit.kernels.activations import relu_forward
z = np.array([[-1, 2.0]], {dtype!r})
relu_forward(z, z)
print(json.dumps([z.tolist(), sum(relu_forward.serial.stats.cache_hits.values())]))
"""


@pytest.mark.compiled
@OURS
def test_two_processes_may_compile_a_kernel_at_once(run_python, tmp_path):
    """For two signatures, of which both are kept."""
    place = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    codes = [RELU.format(dtype=dtype) for dtype in ("float32", "float64")]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda code: run_python(code, **place), codes)) == 2 * [[[[0, 2]], 0]]
    assert [run_python(code, **place) for code in codes] == 2 * [[[[0, 2]], 1]]
    assert not list((tmp_path / "cache").glob("nnjit-*/tmp*"))


def test_old_folders_are_swept(tmp_path):
    folders = [tmp_path / f"nnjit-{number:016x}" for number in range(12)]
    others = [tmp_path / "nnjit-mine", tmp_path / "mnist"]
    for age, path in enumerate([*folders, *others]):
        path.mkdir()
        (path / "file").touch()
        os.utime(path, (1e9 - age, 1e9 - age))
    cache._sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {*folders[:cache.KEPT_FOLDERS], *others}


def test_only_what_stands_in_kernel_files_is_kept():
    """The name of the folder tells of no other edit."""
    def make(factor):
        def product(x):
            return factor * x
        return product

    def double(x):
        return 2 * x

    assert not cache.knows(double)
    double.__module__ = "nnjit.kernels.activations"
    assert cache.knows(double)
    made = make(3)
    made.__module__ = "nnjit.kernels.activations"
    assert not cache.knows(made)


# ---- the threads -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("threads", [1.0, "2", None, True])
def test_threads_that_are_no_number(threads):
    with pytest.raises(TypeError, match="threads: got .*, expected an integer"):
        nn.set_threads(threads)


TOO_MANY = ("threads: got {}, expected 1 to {}; to allow more, set the environment variable "
            "NUMBA_NUM_THREADS before Python starts")
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
    more, low, negative, below, after = run_python(code, NUMBA_NUM_THREADS="2")
    most = 3 if jit.FASTER else 2
    assert (more, below) == (3 if jit.FASTER else TOO_MANY.format(3, 2), 2)
    for got, message in [(0, low), (-1, negative), (4, after)]:
        assert message == TOO_MANY.format(got, most)


def test_the_number_of_threads_with_public_options(run_python):
    """No more than Numba starts by itself."""
    code = THREADS.replace("NUMBERS", "(2, 3, 1)")
    assert run_python(code, NUMBA_NUM_THREADS="2", NNJIT_PLAIN_NUMBA="1") == [2, TOO_MANY.format(3, 2), 1]


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
@pytest.mark.skipif(jit.FASTER is None, reason="Numba's own compiler leaves some")
def test_a_loop_counts_no_references(run_python, tmp_path):
    """Threads would wait for each other at every count.

    A task of a product allocates its sums, which is counted once.
    """
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
assemblies = [assembly for kernel in kernels for assembly in kernel.inspect_asm().values()]
print(json.dumps(["NRT_incref" in assembly for assembly in assemblies]))
"""
    assert run_python(code, NUMBA_CACHE_DIR=str(tmp_path / "cache")) == [False] * 4
