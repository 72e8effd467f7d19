"""How many small faults do the tests find? A random sample of them, always the same, each tried by itself.

``python tests/mutants.py [part or fault ...]`` copies the repository, changes one number, operator or
condition of a file there (with Cosmic Ray), and runs the tests about that file, uncompiled, until one fails.
It prints each fault that no test has found, under the name by which it can be tried again, and how many were
found. tests/survivors.txt has those that change nothing which a test could find, and why. What it does not
explain makes the run fail.
"""
import compileall
import difflib
import importlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from hashlib import sha256
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import NamedTuple

os.environ.update(NUMBA_DISABLE_JIT="1", OMP_WAIT_POLICY="passive", NNJIT_TORTURE="")

import pytest
import tqdm
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator, operator_names

# What takes long to import is there before the processes that test are forked; the package is not.
for name in "hypothesis", "mpmath", "numba", "pooch", "scipy.sparse", "scipy.special", "scipy.stats":
    importlib.import_module(name)

# Faults that somebody could make: a sum for a difference, and not a sum for a shift.
OPERATORS = [name for name in operator_names() if re.search(
    "Add_Sub|Sub_Add|Mul_Div|Div_Mul|FloorDiv_Mul|Mod_Add|Shift_.Shift|BitAnd_BitOr|"
    "_Eq_NotEq|NotEq_Eq|Lt_LtE|Lt_GtE|LtE_Lt|LtE_Gt$|Gt_GtE|Gt_LtE|GtE_Gt|GtE_Lt$|Is_IsNot|IsNot_Is|"
    "USub_UAdd|Delete_Not|AddNot|True|False|AndWith|OrWith|Break|Exception|Number|ZeroIter", name)]
# What changes speed and no result: the sizes into which work is cut, and what is fetched before it is needed.
SPEED = re.compile(r"(_(CHUNK|SERIAL|UNPACKED|PREFETCH|DEPTH|L2)\w* = |.*\n? +prefetch\()")
# Tests that are run though they are about compiled code: short enough without.
UNCOMPILED = "test_convolutions|window_for_each|gradients_with_a_mask|test_ranks"
FORMULAS = "elementary activations precision images -k (elementary|activation|precision|bytes) and not learns"
RECURRENT = ("recurrent layers -k (recurrent|LSTM|GRU|RNN) and not (with_a_mask and not True-True-shape0) "
             "and not (states and shape4 and not True-False-float64)")
SPARSE = "sparse inputs -k not shape4|float32-float64"
HEADS = ("heads_properties losses heads heads_mistakes class_names heads_training habits "
         "-k not habits|class_weights")
RANKS = "ranks -k not command and not ranks[1] and not ranks[4] and not sleep and not map"
# part: how many faults, and for its files the tests about them
PARTS = {
    "kernels": (150, {
        "kernels/_chunks.py": "normalization updates affine", "kernels/_tiles.py": "affine",
        "kernels/affine.py": "affine", "kernels/activations.py": "activation_pairs " + FORMULAS,
        "kernels/augmentation.py": "images -k flip|shift|moved|bytes", "kernels/checks.py": "inputs",
        "kernels/convolution/*.py": "images -k convolution|padding|pixel|vector|window|pairs",
        "kernels/dropout.py": "random layers -k random|Dropout|hash|word|draw",
        "kernels/elementary.py": FORMULAS,
        "kernels/losses.py":
            "loss_kernels losses categorical_kernel precision heads_properties -k not learns",
        "kernels/normalization.py": "normalization", "kernels/penalties.py": "penalties",
        "kernels/pooling.py": "images layers -k pool|Pool|largest|mean", "kernels/random.py": "random",
        "kernels/recurrent/*.py": RECURRENT,
        "kernels/softmax.py": "activations losses precision -k not learns", "kernels/sparse/*.py": SPARSE,
        "kernels/updates.py": "updates"}),
    "heads and losses": (60, {"heads/*.py": HEADS, "losses.py": HEADS}),
    "training": (40, {
        "training/loop.py": "training callbacks streams metrics backup ranks -k not test_ranks or goes_on",
        "training/callbacks.py": "callbacks training",
        "training/backup.py": "backup", "training/restoring.py": "backup",
        "training/history.py": "training callbacks habits",
        "training/progress.py": "callbacks training streams",
        "training/ranks.py": RANKS, "training/shards.py": RANKS,
        "training/state.py": "training callbacks backup"}),
    "checkpoint": (40, {"checkpoint.py": "checkpoint saved_files habits"}),
}


class Fault(NamedTuple):
    """One change of a file: the operator of Cosmic Ray, and which of the places that it finds there."""
    path: Path
    operator: str
    place: int

    def __str__(self):
        return f"{self.path}:{self.operator}:{self.place}".replace("core/", "")


def faults_of(path):
    """Return all faults of a file, and for each a random number that stays when other lines are edited."""
    lines, nodes = path.read_text().splitlines(), list(ast_nodes(get_ast_from_path(path)))
    numbers, seen = {}, Counter()
    for name in OPERATORS:
        operator = get_operator(name)()
        places = [(node, *begin) for node in nodes for begin, _ in operator.mutation_positions(node)]
        for place, (node, row, column) in enumerate(places):
            if "BinaryOperator" in name and node.parent.type == "parameters":
                continue    # the star of a signature
            if lines[row - 1][:column].endswith("reshape(-"):
                continue    # any number below 0 stands for what is left
            if SPEED.match("\n".join(lines[row - 1:row + 1])):
                continue
            key = f"{path} {name} {lines[row - 1].strip()}"
            seen[key] += 1
            numbers[Fault(path, name, place)] = sha256(f"{key} {seen[key]}".encode()).digest()
    return numbers


class Uncompiled:
    """What pytest does for the tests of `UNCOMPILED`: they are not skipped."""

    @staticmethod
    def pytest_collection_modifyitems(items):
        chosen = [item for item in items if re.search(UNCOMPILED, item.nodeid)]
        for node in {*chosen, *(item.parent for item in chosen)}:
            node.own_markers = [mark for mark in node.own_markers if mark.name != "compiled"]


def passes(tests, seconds):
    """Run tests in a process of their own, and return whether they pass within the time."""
    files, _, chosen = tests.partition(" -k ")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setsid()
            os.dup2(os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
            os.dup2(1, 2)
            names = [f"tests/test_{file}.py" for file in files.split()]
            code = pytest.main(["-x", "-W", "ignore::pytest.PytestAssertRewriteWarning", *names,
                                "-k", chosen.replace("|", " or ")], plugins=[Uncompiled])
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def survives(fault, tests, seconds):
    """Return the lines of a fault, without and with it, if the tests do not find it."""
    with use_mutation(fault.path, get_operator(fault.operator)(), fault.place) as (before, after):
        if passes(tests, seconds):
            lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))
            return "\n".join(line for line in lines[2:] if not line.startswith("@"))


def explained():
    """Return the reasons of tests/survivors.txt: {(path, the lines without and with the fault): reason}."""
    reasons = {}
    for block in Path("tests/survivors.txt").read_text().strip().split("\n\n")[1:]:
        path, *lines = block.splitlines()
        change = [line for line in lines if line.startswith(("-", "+"))]
        if change[0][1:] not in Path(path).read_text().splitlines():
            sys.exit(f"tests/survivors.txt: {path} has no longer the line {change[0][1:].strip()!r}")
        reasons[path, "\n".join(change)] = " ".join(lines[len(change):])
    return reasons


def try_all(faults, tests, reasons):
    """Return how many faults the tests find, and how many of the others have a reason."""
    limits, found, known = {}, 0, 0
    for fault in tqdm.tqdm(faults, disable=None):
        about = tests[fault.path]
        if about not in limits:
            begin = time.monotonic()
            assert passes(about, 900), Path("output.txt").read_text()    # without a fault
            limits[about] = 20 + 4 * (time.monotonic() - begin)
        if lines := survives(fault, about, limits[about]):
            reason = reasons.get((str(fault.path), lines))
            known += reason is not None
            print(fault, lines, reason or "NOT EXPLAINED", "", sep="\n", flush=True)
        else:
            found += 1
    return found, known


def main(wanted):
    reasons, good = explained(), True
    for part, (size, table) in PARTS.items():
        tests = {path: about for files, about in table.items() for path in sorted(Path("nnjit").glob(files))}
        numbers = {fault: number for path in tests for fault, number in faults_of(path).items()}
        sample = sorted(numbers, key=numbers.get)[:size] if part in wanted or not wanted else []
        if faults := sample + [fault for fault in numbers if str(fault) in wanted]:
            found, known = try_all(faults, tests, reasons)
            n = len(faults)
            print(f"{part}: {found} of {n} faults found, a sample of {len(numbers):,}; {known} of the others "
                  f"change nothing: {found / max(1, n - known):.1%} of the rest", flush=True)
            good &= found + known == n
    return good


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(Path(__file__).parents[1], folder, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns(".*", "build", "runs", "__pycache__"))
        os.chdir(folder)
        os.environ["PYTHONPATH"] = sys.path[0] = folder
        # By hashes: a fault may leave a file's time and size as they were.
        compileall.compile_dir("nnjit", quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        sys.exit(not main(sys.argv[1:]))
