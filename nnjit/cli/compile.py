"""``nnjit compile``: the kernels of a job, compiled ahead; and the help and news that a job itself gets."""
import argparse
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from .. import experiments
from .._numba import ahead, cache, jit
from ..training.progress import CompilationBar, compilation_shown
from . import options

# The kernels of each job, in the order in which it needs them. A test tells where they are not what it uses.
KERNELS = json.loads((Path(experiments.__file__).parent / "kernels.json").read_text(encoding="utf-8"))


def kernels_of(name: str, dtype: str | None = None) -> list[str]:
    """Return the kernels of a job, as texts of `ahead`, for networks of this dtype or of the job's own."""
    code = {None: None, "float32": "f4[", "float64": "f8["}[dtype]
    return [text.replace("f8[", code).replace("f4[", code) if code else text for text in KERNELS[name]]


def add_options(command: argparse.ArgumentParser) -> None:
    """Give the command its options."""
    command.add_argument("names", nargs="*", metavar="NAME",
                         help=f"what will be run, of {', '.join(KERNELS)} (default: all of them)")
    command.add_argument("--dtype", choices=("float32", "float64"),
                         help="of the networks (default: float64, for images float32)")
    command.add_argument("--processes", type=options.whole(1), default=options.core_count(), metavar="N",
                         help="(default: one for each core)")


def run(args: argparse.Namespace) -> None:
    """Compile the kernels of the jobs that are not on disk yet, in several processes."""
    unknown = [name for name in args.names if name not in KERNELS]
    if unknown:
        args.error(f"argument NAME: got {unknown[0]!r}, expected some of {', '.join(KERNELS)}")
    if jit.describe_compiler().startswith("none"):
        raise OSError("nothing is compiled: got NUMBA_DISABLE_JIT, expected it unset")
    if cache.folder() is None:
        raise OSError("the cache of compiled kernels is unusable, expected a folder to write in; set "
                      "NUMBA_CACHE_DIR to one")
    wanted = list(dict.fromkeys(text for name in args.names or KERNELS
                                for text in kernels_of(name, args.dtype)))
    missing = ahead.missing(wanted)
    if missing:
        with CompilationBar(len(missing)) as bar:
            for _ in ahead.compile_all(missing, args.processes):
                bar.add()
        print(bar)
    print(f"{len(wanted) - len(missing)} kernels were there; all are in {cache.folder()}")


@contextlib.contextmanager
def announced(args: argparse.Namespace, name: str | None) -> Iterator[None]:
    """The context in which a job runs: it is said that kernels compile, and another process helps.

    ``name`` is the job's among the `KERNELS`, None where it has none.
    """
    wanted = kernels_of(name, args.dtype) if name and jit.FASTER else []    # others keep theirs elsewhere
    missing = ahead.missing(wanted)
    shown = contextlib.nullcontext() if args.quiet else compilation_shown(len(missing))
    with ahead.helped(missing, options.core_count()), shown:
        yield
