"""One model over ranks: the seconds of a training step by the number of ranks, and those of the exchange.

``measure`` starts ``mpiexec -n N python -m nnjit.bench.ranks NETWORK``, which prints what rank 0 measured.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import nnjit as nn

from ..experiments import presets
from ..training.ranks import Ranks
from .measure import cores

NETWORKS = {"wide": 200, "image": 64}    # batch sizes
_ROWS = 4000


def network(name: str) -> tuple:
    """Return a model, rows and targets: 784-1024-1024-10, or the preset for images of digits."""
    rng = np.random.default_rng(0)
    y = rng.integers(10, size=_ROWS)
    if name == "image":
        x = rng.integers(256, size=(_ROWS, 28, 28, 1), dtype=np.uint8)
        return presets.PRESETS["mnist", "cnn"].network(10, "float32"), x, y
    x = (rng.random((_ROWS, 784)) * (rng.random((_ROWS, 784)) < 0.2)).astype(np.float32)
    layers = [nn.Dense(1024), nn.ReLU(), nn.Dense(1024), nn.ReLU(), nn.Dense(10)]
    return nn.Sequential(layers, nn.Categorical()), x, y


def work(name: str) -> dict:
    """Train on this rank; return the seconds of a step, and of the exchange of a gradient."""
    from mpi4py import MPI
    model, x, y = network(name)
    ranks, batch, optimizer = Ranks(MPI.COMM_WORLD), NETWORKS[name], nn.SGD(0.01)
    epochs = []

    def clock(model, epoch, logs):
        epochs.append(time.perf_counter())

    model.fit(x, y, optimizer, 5, batch, verbose=0, callbacks=[clock], comm=MPI.COMM_WORLD)
    step = statistics.median(np.diff(epochs)) / -(-len(y) // batch)
    vector, exchanges = np.ones(model.vector.size, np.float32), []
    for _ in range(30):
        begin = time.perf_counter()
        ranks.sum(vector)
        exchanges.append(time.perf_counter() - begin)
    return {"step": step, "exchange": statistics.median(exchanges), "parameters": int(model.vector.size)}


def measure(counts: list[int], repeat: int) -> list[dict]:
    """Return a row for each network and number of ranks: medians of rounds in which the numbers take turns.

    ImportError without mpi4py, OSError without mpiexec.
    """
    mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if mpiexec is None:
        raise OSError("--ranks: got no mpiexec, expected an MPI; pip install nnjit[mpi] mpich")
    rows = []
    for name in NETWORKS:
        found = {count: [] for count in counts}
        for _ in range(repeat):
            for count in counts:
                found[count].append(_run(mpiexec, count, name))
        for count, runs in found.items():
            row = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            rows.append({"network": name, "ranks": count, "threads": max(1, len(cores()) // count), **row})
    return rows


def _run(mpiexec, count, name):
    done = subprocess.run([mpiexec, "-n", str(count), sys.executable, "-m", "nnjit.bench.ranks", name],
                          capture_output=True, text=True, env=dict(os.environ))
    if done.returncode:
        raise OSError(f"--ranks: {count} ranks ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(rows: list[dict]) -> str:
    """Return what was measured as text; the speed is that of one rank's step over this one's."""
    lines = [f"{'network':<8}{'ranks':>6}{'threads each':>14}{'step':>11}{'of it exchange':>16}{'speed':>8}"]
    alone = {row["network"]: row["step"] for row in rows if row["ranks"] == 1}
    for row in rows:
        speed = f"{alone[row['network']] / row['step']:.2f}" if row["network"] in alone else ""
        lines.append(f"{row['network']:<8}{row['ranks']:>6}{row['threads']:>14}{1e3 * row['step']:>8.2f} ms"
                     f"{1e3 * row['exchange']:>13.2f} ms{speed:>8}")
    return "\n".join(lines)


if __name__ == "__main__":
    found = work(sys.argv[1])
    from mpi4py import MPI
    if MPI.COMM_WORLD.Get_rank() == 0:
        print(json.dumps(found))
