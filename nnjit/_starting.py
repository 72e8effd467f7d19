"""Ctrl-C while the command is imported, and while it ends: the process ends at once, without a traceback.

Only where Python was started for the command: a program that imports the package decides for itself.
"""
import os
import signal
import sys
from pathlib import Path
from types import FrameType


def is_the_command() -> bool:
    """Return whether this process runs the command ``nnjit``, or is of a pool that it has started."""
    program = Path(sys.argv[0] if sys.argv else "")
    if program.name == "-m":    # Python looks for the module that this names
        return sys.orig_argv[sys.orig_argv.index("-m") + 1] == "nnjit"
    return program.stem == "nnjit" or program.parts[-2:] == ("nnjit", "__main__.py")


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


if is_the_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
