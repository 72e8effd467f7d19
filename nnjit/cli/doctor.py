"""``nnjit doctor``: what a result or a question may depend on."""
import argparse
import os
import time

import numpy as np

from .. import datasets, report
from .._numba import cache, jit, threads
from ..bench.machine import cpu_model
from ..experiments import book
from ..layers import Dropout
from ..optimizers import SGD

TRIAL_SECONDS = 1.0    # of training, which shows how many threads are chosen now


def run(args: argparse.Namespace) -> None:
    """Print what a result or a question may depend on."""
    blas = ", ".join(f"{library['internal_api']} {library['version']} "
                     f"({os.path.basename(library['filepath'])})"
                     for library in threads.blas_libraries())
    layer = threads.threading_layer()
    rows = {**report.versions(), "processor": cpu_model(), "cores": os.cpu_count(),
            "threads": threads.get_threads(), "threads set": threads.fixed_threads() or "auto",
            "threads chosen": _chosen_threads(), "threading layer": layer,
            "layer allows": _allowed(threads.LAYERS[layer]), "BLAS": blas,
            "compiler": jit.describe_compiler(), "kernel cache": cache.folder() or "none writable",
            "data folder": datasets.default_folder().parent}
    if os.environ.get("NNJIT_DATA"):
        rows["NNJIT_DATA"] = os.environ["NNJIT_DATA"]
    for name, value in rows.items():
        print(f"{name:<16} {value}")


def _allowed(layer):
    """Return in words what a threading layer allows."""
    fork = "training in a forked process" if layer.survives_fork else "no training in a forked process"
    twice = "several Python threads at once" if layer.entered_twice else "one Python thread at a time"
    return f"{twice}, {fork}; its schedule is {layer.schedule}"


def _chosen_threads():
    """Return in words how many threads a short training of the book's network has taken."""
    rng, seconds = np.random.default_rng(0), time.perf_counter
    x, y = rng.random((1000, 784)) * (rng.random((1000, 784)) < 0.2), rng.integers(10, size=1000)
    model = book.network(book.EXPERIMENTS["tanh"], np.random.RandomState(0), lambda: Dropout(book.DROPOUT))
    model.fit(x, y, SGD(0.02), batch_size=book.BATCH_SIZE, verbose=0)
    end = seconds() + TRIAL_SECONDS
    model.fit(x, y, SGD(0.02), epochs=10**6, batch_size=book.BATCH_SIZE, verbose=0,
              callbacks=[lambda model, epoch, logs: seconds() > end])
    chosen, changes = model.graph.raced()
    return (f"{chosen}, in {TRIAL_SECONDS:g} s of training 784-100-10 in batches of {book.BATCH_SIZE}; "
            f"changed {changes} time{'s' * (changes != 1)}")
