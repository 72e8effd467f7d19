"""``nnjit doctor``: what a result or a question may depend on."""
import os
import platform

from .. import datasets, report
from .._numba import cache, jit, threads


def run(args):
    """Print what a result or a question may depend on."""
    blas = ", ".join(f"{library['internal_api']} {library['version']} ({os.path.basename(library['filepath'])})"
                     for library in threads.parallel_region.libraries())
    rows = {**report.versions(), "processor": _processor(), "cores": os.cpu_count(), "threads": threads.get_threads(),
            "threading layer": threads.threading_layer(), "BLAS": blas,
            "compiler": jit.describe_compiler(), "kernel cache": cache.folder() or "none writable", "data folder": datasets.default_folder().parent}
    if os.environ.get("NNJIT_DATA"):
        rows["NNJIT_DATA"] = os.environ["NNJIT_DATA"]
    for name, value in rows.items():
        print(f"{name:<16} {value}")


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
