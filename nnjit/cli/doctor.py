"""``nnjit doctor``: what a result or a question may depend on."""
import argparse
import os

from .. import _blas, _jit, datasets, report
from ..bench.machine import cpu_model


def run(args: argparse.Namespace) -> None:
    """Print what a result or a question may depend on."""
    blas = ", ".join(f"{library['internal_api']} {library['version']} "
                     f"({os.path.basename(library['filepath'])})"
                     for library in _blas.kernel_threads.libraries())
    rows = {**report.versions(), "processor": cpu_model(), "cores": os.cpu_count(),
            "threads": _jit.get_threads(), "threading layer": _jit.threading_layer(), "BLAS": blas,
            "kernel cache": _jit.cache_folder() or "none writable",
            "data folder": datasets.default_folder().parent}
    if os.environ.get("NNJIT_DATA"):
        rows["NNJIT_DATA"] = os.environ["NNJIT_DATA"]
    for name, value in rows.items():
        print(f"{name:<16} {value}")

