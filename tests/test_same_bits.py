"""The same bits, whatever must not matter: threads, caches, compilers, interrupts, ranks, a busy machine.

`one_hash` trains a network of every kind and prints a hash of all that each training comes to. Here it runs
as a process under each condition.
"""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from llvmlite import binding
from one_hash import NETWORKS
from scale import TORTURE
from test_ranks import MPIEXEC, with_ranks
from test_threads import has_tbb

pytestmark = [pytest.mark.compiled, pytest.mark.torture]
SCRIPT = Path(__file__).with_name("one_hash.py")
torture_only = pytest.mark.skipif(not TORTURE, reason="compiles or trains for minutes: make torture")
with_tbb = pytest.mark.skipif(not has_tbb(), reason="TBB is not installed")


def hashes(*words, ranks=0, **environment):
    """Return what the script prints: a list of {threads: {name: hash}}, one of each rank."""
    command = [sys.executable, "-W", "error", str(SCRIPT), *words]
    if ranks:
        command = [MPIEXEC, "-n", str(ranks), *command, "--ranks"]
    done = subprocess.run(command, text=True, capture_output=True, timeout=1200, check=False,
                          env={**os.environ, "NUMBA_NUM_THREADS": "4", **environment})
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def alone():
    """The hashes with one thread, {name: hash}."""
    [found] = hashes("--threads", "1")
    assert set(found["1"]) == set(NETWORKS)
    # rows without zeros are the same from an array and from SciPy
    assert len(set(found["1"].values())) == len(NETWORKS) - 1
    return found["1"]


def check_same(found, expected):
    """Every outcome has the hashes of the networks that it trained."""
    outcomes = [outcome for line in found for outcome in line.values()]
    assert outcomes and all(outcomes)
    for outcome in outcomes:
        assert [name for name, value in outcome.items() if value != expected[name]] == []
    return sum(map(len, outcomes))


@pytest.mark.parametrize("layer, numbers", [
    ("omp", "2,3,4,auto" if TORTURE else "2,4,auto"),
    ("workqueue", "1,2,3,4,auto" if TORTURE else "3"),
    pytest.param("tbb", "1,2,3,4,auto" if TORTURE else "2", marks=with_tbb)])
def test_threads_and_their_layers(alone, layer, numbers, count):
    found = hashes("--threads", numbers, NUMBA_THREADING_LAYER=layer)
    count("trainings with the same bits", check_same(found, alone))


def test_interrupted_and_gone_on_from_a_backup(alone, count):
    """Twice, within an epoch each time; with another number of threads."""
    found = hashes("--threads", "2", "--resumed")
    count("trainings with the same bits", check_same(found, alone))


def test_a_busy_machine(alone, count):
    """Two processes beside it, while the number of threads is raced."""
    found = hashes("--busy", "2", "--threads", "auto,4" if TORTURE else "auto")
    count("trainings with the same bits", check_same(found, alone))


@with_ranks
@torture_only
def test_ranks(count):
    """Of every network; and shards of one process, with other threads."""
    [found] = hashes("--shards", "8", "--threads", "1,2")
    expected = found["1"]
    done = check_same([found], expected)
    for ranks in (1, 2, 4):
        given = hashes("--shards", "8", "--threads", "1", ranks=ranks)
        assert len(given) == ranks
        done += check_same(given, expected)
    count("trainings with the same bits", done)


@torture_only
def test_a_cold_cache_and_a_warm_one(alone, tmp_path, count):
    """Kernels that were compiled just now, and then those of the disk."""
    place = {"NUMBA_CACHE_DIR": str(tmp_path)}
    for networks in ("few", "few"):
        count("trainings with the same bits", check_same(hashes("--networks", networks, **place), alone))


@torture_only
def test_the_plain_compiler(alone, tmp_path, count):
    """With vectors as wide as those of the fast one: for some processors LLVM prefers half of AVX-512's."""
    features = binding.get_host_cpu_features()
    wide = {"NUMBA_CPU_FEATURES": features.flatten() + ",-prefer-256-bit"} if features.get("avx512f") else {}
    found = hashes("--networks", "few", NNJIT_PLAIN_NUMBA="1", NUMBA_CACHE_DIR=str(tmp_path), **wide)
    count("trainings with the same bits", check_same(found, alone))
