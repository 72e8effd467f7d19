"""The command ``nnjit``: train, book, bench, figures, doctor.

Its exit status is 2 on bad usage, 1 on failure, 130 on Ctrl-C.
"""
import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Sequence

from .. import bench, report
from ..inputs.checks import DataError
from . import book, doctor, train


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` for None) and return the exit status."""
    args = _parser().parse_args(argv)
    try:
        with _warnings_in_a_line():
            return args.run(args) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:    # the reader has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())    # Python flushes it at its end
        return 1
    except (DataError, OSError, ImportError, MemoryError) as error:
        print(f"nnjit: error: {error}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def _warnings_in_a_line():
    """Print the package's warnings as lines, each once, also where warnings are errors."""
    def show(message, *where):
        print(f"nnjit: warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.filterwarnings("always", module=r"nnjit\.")
        warnings.showwarning = show
        yield


def _parser():
    parser = argparse.ArgumentParser(
        prog="nnjit", description="Train small neural networks on a multicore CPU.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, add_options, text in (
            ("train", train.run, train.add_options,
             "train a network on handwritten digits or iris; by default as the book does"),
            ("book", book.run, book.add_options,
             "run the two experiments of the book and compare with its tables"),
            ("bench", bench.run, bench.add_arguments, "measure nnjit against NumPy and the others"),
            ("figures", draw_figures, _add_figures_options,
             "draw what outputs and losses do, as in docs/outputs-and-losses.md"),
            ("doctor", doctor.run, _add_no_options, "print versions, processor, threads and folders")):
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        add_options(command)
        command.set_defaults(run=run, error=command.error)    # error() prints a line and exits 2
    return parser


def _add_no_options(command):
    pass


def _add_figures_options(command):
    command.add_argument("--out-dir", metavar="DIR", help="where to draw (default: a new folder in runs/)")


def draw_figures(args: argparse.Namespace) -> None:
    """Draw the figures of docs/outputs-and-losses.md."""
    from ..report import figures  # needs matplotlib
    folder = report.new_folder(args.out_dir, "figures")
    paths = figures.draw(folder)
    print(f"saved    {', '.join(path.name for path in paths)} in {folder}")
