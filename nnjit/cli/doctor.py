"""``nnjit doctor``: what a result or a question may depend on."""
import argparse
import os

from .. import datasets, report
from .._numba import cache, jit, threads
from ..bench.machine import cpu_model


def run(args: argparse.Namespace) -> None:
    """Print what a result or a question may depend on."""
    blas = ", ".join(f"{library['internal_api']} {library['version']} "
                     f"({os.path.basename(library['filepath'])})"
                     for library in threads.parallel_region.libraries())
    rows = {**report.versions(), "processor": cpu_model(), "cores": os.cpu_count(),
            "threads": threads.get_threads(), "threading layer": threads.threading_layer(), "BLAS": blas,
            "compiler": jit.describe_compiler(), "kernel cache": cache.folder() or "none writable",
            "data folder": datasets.default_folder().parent}
    if os.environ.get("NNJIT_DATA"):
        rows["NNJIT_DATA"] = os.environ["NNJIT_DATA"]
    for name, value in rows.items():
        print(f"{name:<16} {value}")

