"""The machine that measures: what the figures depend on, and what it can do at most."""
import contextlib
import os
import platform
from importlib import metadata
from pathlib import Path

from . import limits
from .measure import cores

# Module → distribution.
PEERS = {"numpy": "numpy", "sklearn": "scikit-learn", "torch": "torch", "jax": "jax"}


def environment() -> dict:
    """Return what the figures depend on: processor, cores, versions, BLAS."""
    import numpy  # noqa: F401  (brings its BLAS)
    from threadpoolctl import threadpool_info
    packages = ["nnjit", "numba", "numpy", "scipy", *(name for name in PEERS.values() if name != "numpy")]
    blas = {f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}".strip()
            for pool in threadpool_info() if pool["user_api"] == "blas"}
    return {"cpu": cpu_model(), "cores": len(cores()), "system": platform.platform(),
            "python": platform.python_version(), "versions": ", ".join(filter(None, map(_version, packages))),
            "BLAS": ", ".join(sorted(blas)), "load": f"{os.getloadavg()[0]:.2f} at the start"}


def machine_limits() -> dict[str, tuple[float, str]]:
    """Return what the machine can do at most with all cores: {what: (a second, unit)}."""
    return {"float32": (limits.peak("float32"), "FLOP/s"), "float64": (limits.peak("float64"), "FLOP/s"),
            "memory": (limits.bandwidth(len(cores())), "B/s")}


def _version(distribution):
    try:
        return f"{distribution} {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    """Return the processor's name."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
