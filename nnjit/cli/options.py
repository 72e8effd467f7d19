"""What the commands share: options and their types, the data that they name, what is printed."""
import argparse
import contextlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numba
import numpy as np

from .. import datasets, report
from .._numba import threads
from ..bench.measure import cores
from ..datasets import Dataset
from ..report import RunFolder
from ..training.ranks import Ranks

AUTO = ("auto: MNIST where its files lie in a folder, else the book's 11,000 images of it, embedded; mnist: "
        "downloaded where it has to be (default: auto)")


# ---- options -----------------------------------------------------------------------------------------------

def add_run_options(command: argparse.ArgumentParser, data: Sequence[str], data_help: str,
                    dtype: str | None = "float64") -> None:
    """Give a command the options that train and book have in common; ``dtype`` is the default."""
    add = command.add_argument
    add("--data", choices=data, default="auto", help=data_help)
    add("--data-dir", metavar="DIR", help="folder of the images' files, of MNIST's four by default")
    add("--dtype", choices=("float32", "float64"), default=dtype,
        help="(default: float64)" if dtype else
             "(default: float64; images of FILE, and 100,000 rows and more, float32)")
    add("--seed", type=whole(0, 2**32 - 1), default=0, help="(default: %(default)s)")
    add("--threads", type=thread_number, default="auto", metavar="N",
        help="auto: at most one for each core, as many as turn out to be fastest (default: %(default)s)")
    add_folder_options(command)
    add("--no-pictures", dest="pictures", action="store_false", help="leave out the pictures")
    add("--no-report", dest="report", action="store_false", help="leave out the page, report.html")
    add("--quiet", action="store_true", help="print only the results")


def add_folder_options(command: argparse.ArgumentParser) -> None:
    """Give a command the options that say where its results go."""
    command.add_argument("--out-dir", metavar="DIR",
                         help="where to save the results (default: a new folder in runs/)")
    command.add_argument("--force", action="store_true",
                         help="replace the run that --out-dir holds")


def whole(least: int, most: float = np.inf) -> Callable[[str], int]:
    """Return the argparse type of a whole number from ``least`` to ``most``."""
    def whole(text):
        try:
            value = int(text)
        except ValueError:
            value = -1
        if not least <= value <= most:
            expected = f"of at least {least}" if most == np.inf else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number {expected}")
        return value
    return whole


def thread_number(text: str) -> int | str:
    """The argparse type of a number of threads, or "auto"."""
    return text if text == "auto" else whole(1, numba.config.NUMBA_NUM_THREADS)(text)


def rate(text: str) -> float:
    """The argparse type of a learning rate."""
    return _number(text, lambda value: 0 < value < np.inf, "above 0")


def fraction(text: str) -> float:
    """The argparse type of a number from 0 to below 1."""
    return _number(text, lambda value: 0 <= value < 1, "from 0 to below 1")


def _number(text, fits, expected):
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not fits(value):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number {expected}")
    return value


def core_count() -> int:
    """Return the number of cores that this process may use."""
    return len(cores())


# ---- what they mean ----------------------------------------------------------------------------------------

def use_threads(args: argparse.Namespace) -> None:
    """Use as many threads as --threads says."""
    threads.set_threads(args.threads)


def threads_in_words() -> str:
    """Return how many threads are used."""
    n = threads.get_threads()
    return f"{'up to ' * (threads.fixed_threads() is None and n > 1)}{n} thread{'s' * (n > 1)}"


def check_data_dir(args: argparse.Namespace) -> None:
    """Object to a folder for data that come with the package."""
    if args.data in ("digits", "iris") and args.data_dir is not None:
        args.error(f"argument --data-dir: got {args.data_dir!r}, expected none with --data {args.data}, "
                   "embedded in the package")


def communicator(args: argparse.Namespace):
    """Return the communicator of --distributed, or None; ranks but the first print and write nothing."""
    if not args.distributed:
        return None
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise ImportError(f"--distributed: got {error}, expected mpi4py and an MPI; pip install nnjit[mpi]"
                          ) from None
    if MPI.COMM_WORLD.Get_rank():
        args.quiet, args.report, args.pictures, args.writes = True, False, False, False
    return MPI.COMM_WORLD


def together(comm):
    """Return the context in which an error on one rank ends the job."""
    return contextlib.nullcontext() if comm is None else Ranks(comm).together()


def load(args: argparse.Namespace, say: Callable, train_size: int | None = None) -> Dataset:
    """Return the data set that --data names, and say which it is.

    "auto" becomes the full MNIST where ``train_size`` images are more than are embedded.
    """
    if getattr(args, "dataset", None) is not None:    # that a sweep shares among its trainings
        return args.dataset
    check_data_dir(args)
    name = "auto" if args.data == "pairs" else args.data
    if name == "auto" and train_size is not None and train_size > datasets.BOOK_TRAIN_SIZE:
        name = "mnist"
    dataset = datasets.load(name, args.data_dir)
    say_data(dataset, say)
    return dataset


# ---- what is printed ---------------------------------------------------------------------------------------

def say_to(args: argparse.Namespace) -> Callable:
    """Return the function that prints what --quiet leaves out."""
    return (lambda *text: None) if args.quiet else partial(print, flush=True)


def say_data(dataset: Dataset, say: Callable) -> None:
    """Say which data set it is."""
    say(f"data     {dataset.name}, {dataset.source}: {len(dataset.x_train):,} images to train, "
        f"{len(dataset.x_test):,} to test")


def new_folder(args: argparse.Namespace, name: str) -> RunFolder:
    """Return the folder of the results, which --out-dir names, or ``name`` in part; it is made.

    On a rank that writes nothing it is one that is not there.
    """
    if not getattr(args, "writes", True):
        return RunFolder(Path(os.devnull))
    try:
        return report.new_folder(args.out_dir, name, args.force)
    except ValueError as error:
        args.error(f"argument {error}")


def print_saved(folder: RunFolder) -> None:
    """Say which files this run has written, and where."""
    missing = "" if report.can_draw() else "; no pictures without matplotlib"
    print(f"saved    {', '.join(sorted(folder.written))} in {folder}{missing}")
