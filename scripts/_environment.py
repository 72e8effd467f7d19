"""What the scripts share: they run in the checkout's own environment, whichever Python starts them."""
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"


def run(*words: str) -> None:
    """Run ``nnjit`` with these words and the command line's, and end with its exit status.

    Where this Python lacks nnjit or a package that it needs, the one of the
    checkout's ``.venv`` runs it, if any.
    """
    words = [*words, *sys.argv[1:]]
    try:
        from nnjit.cli import main
    except ModuleNotFoundError as error:
        sys.exit(_run_in_venv(words, error.name))
    sys.exit(main(words))


def _run_in_venv(words, missing):
    """Return the exit status of the ``.venv``'s ``nnjit``; 1 and a line of advice where there is none."""
    paths = VENV / "bin" / "python", VENV / "Scripts" / "python.exe"
    python = next((path for path in paths if path.exists()), None)
    if python is None or Path(sys.prefix).resolve() == VENV:
        print(f"nnjit: error: {sys.executable} lacks the package {missing}; run `make mnist`, which sets up "
              f".venv, or `pip install -e {ROOT}`", file=sys.stderr)
        return 1
    command = [str(python), "-m", "nnjit", *words]
    if os.name == "posix":    # no process between the terminal and the command
        os.execv(command[0], command)
    return subprocess.call(command)
