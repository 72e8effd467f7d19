"""The command ``nnjit``: train, predict, evaluate, export, book, sweep, compile, bench, figures, report,
doctor.

Its exit status is 2 on bad usage, 1 on failure, 130 on Ctrl-C, 143 where it was terminated, 129 where its
terminal was closed.
"""
import argparse
import contextlib
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from functools import partial

from .. import __version__, bench
from ..inputs.checks import DataError
from . import book, compile, doctor, export, options, predict, sweep, train


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` for None) and return the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    with _forgiving_output():
        try:
            with _warnings_in_a_line(), _signals_as_interrupts():
                return _run(argv)
        except KeyboardInterrupt as interrupt:
            number = getattr(interrupt, "number", signal.SIGINT)
            print({signal.SIGINT: "interrupted"}.get(number, "terminated"), file=sys.stderr)
            return 128 + number
        except (DataError, OSError, ImportError, MemoryError) as error:
            print(f"nnjit: error: {error}", file=sys.stderr)
            return 1


def _run(argv):
    if not argv:
        _parser().print_help()
        return 0
    args, rest = _parser().parse_known_args(argv)
    args.argv = argv[1:]
    if args.run is sweep.run:    # the options of train, with several values each
        args.run = partial(sweep.run, words=rest)
    elif rest:
        args.error(f"unrecognized arguments: {' '.join(rest)}")
    return args.run(args) or 0


# ---- signals, pipes, warnings ------------------------------------------------------------------------------

class _Signal(KeyboardInterrupt):
    """A signal that ends the command as Ctrl-C does: what runs is saved."""

    def __init__(self, number):
        super().__init__()
        self.number = number


@contextlib.contextmanager
def _signals_as_interrupts():
    """The context in which Ctrl-C, SIGTERM and SIGHUP interrupt what runs; outside, they act as before."""
    def interrupt(number, frame):
        raise _Signal(number)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # signals belong to the main thread; one that is ignored, as by nohup, stays so
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Output:
    """A stream that goes on without a word when its reader has gone, as `| head` does, or there is none, and
    keeps the error of a full disk for the end: what runs is saved first.

    A letter that the stream's encoding lacks is written as Python writes it, ``\\xd7``.
    """

    def __init__(self, stream):
        self._stream, self.error = io.StringIO() if stream is None else stream, None

    def write(self, text):
        try:
            return self._tolerantly("write", text) or 0
        except UnicodeEncodeError:
            code = self._stream.encoding
            return self._tolerantly("write", text.encode(code, "backslashreplace").decode(code)) or 0

    def flush(self):
        self._tolerantly("flush")

    def _tolerantly(self, method, *arguments):
        try:
            return getattr(self._stream, method)(*arguments)
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.error = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())    # also what is not flushed yet
            os.close(nowhere)
            return None

    def __getattr__(self, name):
        return getattr(self._stream, name)


@contextlib.contextmanager
def _forgiving_output():
    """The context in which a run goes on, and is saved, though nobody reads what it prints, or it cannot be
    written; that ends the command with the status 1, if it is not only the news of its progress.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = output, news = [_Output(stream) for stream in before]
    try:
        yield
    finally:
        output.flush()
        if output.error is not None:
            print(f"nnjit: error: standard output: {output.error.strerror}", file=sys.stderr)
        news.flush()
        sys.stdout, sys.stderr = before
        if output.error is not None:
            raise SystemExit(1)


@contextlib.contextmanager
def _warnings_in_a_line():
    """Print the package's warnings as lines, each once, also where warnings are errors."""
    def show(message, *where):
        print(f"nnjit: warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.filterwarnings("always", module=r"nnjit\.")
        warnings.showwarning = show
        yield


# ---- the parser --------------------------------------------------------------------------------------------

class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the page of usage."""

    def error(self, message):
        """Print the message and end with the status 2."""
        self.exit(2, f"{self.prog}: error: {message} ({self.prog} --help lists the options)\n")


def _parser():
    parser = _Parser(prog="nnjit", description="Train small neural networks on a multicore CPU.")
    parser.add_argument("--version", action="version", version=f"nnjit {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    for name, run, add_options, text in (
            ("train", train.run, train.add_options,
             "train a network on a file of yours, or on digits or iris; by default as the book does"),
            ("predict", predict.run, predict.add_options,
             "print what a network that was trained on a file answers to the rows of another, as CSV"),
            ("evaluate", predict.evaluate, predict.add_options,
             "measure a network that was trained on a file on the rows of another"),
            ("export", export.run, export.add_options,
             "write the network of a run as an ONNX or a safetensors file"),
            ("book", book.run, book.add_options,
             "run the two experiments of the book and compare with its tables"),
            ("sweep", sweep.run, sweep.add_options,
             "train many networks: options of train with several values, and several seeds"),
            ("compile", compile.run, compile.add_options,
             "compile kernels ahead, on all cores, for what will be run later"),
            ("bench", bench.run, bench.add_arguments, "measure nnjit against NumPy and the others"),
            ("figures", draw_figures, options.add_folder_options,
             "draw what outputs and losses do, as in docs/outputs-and-losses.md"),
            ("report", write_report, _add_report_options,
             "make one page of a run, or of several side by side"),
            ("doctor", doctor.run, _add_no_options, "print versions, processor, threads and folders")):
        # of a sweep, --seed would else stand for --seeds
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".",
                                      allow_abbrev=name != "sweep")
        add_options(command)
        command.set_defaults(run=run, error=command.error)    # error() prints a line and exits 2
    return parser


def _add_no_options(command):
    pass


def _add_report_options(command):
    command.add_argument("runs", nargs="+", metavar="RUN",
                         help="the folder of a run, such as those in runs/")
    command.add_argument("--out", metavar="FILE",
                         help="where the page goes (default: report.html in the first RUN)")


def write_report(args: argparse.Namespace) -> None:
    """Write the page of some runs."""
    from .. import page
    print(f"saved    {page.write(args.out or os.path.join(args.runs[0], 'report.html'), args.runs)}")


def draw_figures(args: argparse.Namespace) -> None:
    """Draw the figures of docs/outputs-and-losses.md."""
    from ..report import figures  # needs matplotlib
    folder = options.new_folder(args, "figures")
    paths = figures.draw(folder.path)
    print(f"saved    {', '.join(path.name for path in paths)} in {folder}")

