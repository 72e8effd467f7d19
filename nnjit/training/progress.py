"""What is shown while a network is trained, and while kernels compile."""
import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from .._numba.jit import watched


def on_terminal() -> bool:
    """Return whether there is a terminal to show a bar on; some processes have no standard error at all."""
    return sys.stderr is not None and sys.stderr.isatty()


# ---- kernels -----------------------------------------------------------------------------------------------

NEWS = "compiling kernels for this processor, once"


class CompilationBar:
    """How many kernels are compiled: a bar on a terminal, elsewhere a line at the beginning."""

    def __init__(self, total: int | None = None):
        self.total, self.count, self.bar = total or None, 0, None

    def __enter__(self):
        self.begin = time.perf_counter()
        if on_terminal():
            self.bar = tqdm(total=self.total, desc=NEWS, unit="kernel", leave=False, file=sys.stderr,
                            bar_format="{desc}: {n_fmt}" + "/{total_fmt}" * bool(self.total) + ", {elapsed}")
        else:
            print(f"{NEWS} ...", file=sys.stderr, flush=True)
        return self

    def add(self):
        """Count a kernel."""
        self.count += 1
        if self.bar is not None:
            if self.total and self.count > self.total:
                self.total = self.bar.total = self.count
            self.bar.update()

    def __exit__(self, *error):
        self.seconds = time.perf_counter() - self.begin
        if self.bar is not None:
            self.bar.close()

    def __str__(self):
        return f"compiled {self.count} kernel{'s' * (self.count != 1)} in {self.seconds:.1f} s"


class _News:
    """Shows a `CompilationBar` from the first kernel that is compiled on, until `end`."""

    def __init__(self, total):
        self.total = total
        self.bar: Any = None

    def begun(self):
        if self.bar is None:
            self.bar = CompilationBar(self.total).__enter__()

    def ended(self):
        self.bar.add()

    def end(self):
        if self.bar is not None:
            self.bar.__exit__()
            print(self.bar, file=sys.stderr)
            self.bar = None


_news = _News(None)
_watching = False


@contextlib.contextmanager
def compilation_shown(total: int | None = None) -> Iterator[None]:
    """The context in which the user sees that kernels are compiled; ``total`` of them, if that is known."""
    global _watching
    if _watching or sys.stderr is None:
        yield
        return
    _watching, _news.total = True, total
    try:
        with watched(_news.begun, _news.ended):
            yield
    finally:
        _watching = False
        _news.end()


# ---- epochs ------------------------------------------------------------------------------------------------

class Progress:
    """A bar on a terminal, about ten plain lines elsewhere, nothing with ``verbose=0``."""

    def __init__(self, epochs, verbose, began=0):
        self.epochs, self.began, self.bar = epochs, began, None
        self.verbose = verbose and sys.stderr is not None
        self.last = 0.0    # the seconds at the end of the last epoch
        self.news = compilation_shown() if self.verbose else contextlib.nullcontext()

    def __enter__(self):
        self.news.__enter__()
        if self.verbose and on_terminal():
            # what was measured comes before the bar: on a narrow terminal the end is cut off
            form = "{n_fmt}/{total_fmt} epochs{postfix} |{bar}| {elapsed}<{remaining} {desc}"
            self.bar = tqdm(total=self.epochs, initial=self.began, file=sys.stderr, bar_format=form)
        return self

    def __exit__(self, *error):
        if self.bar is not None:
            self.bar.close()
        self.news.__exit__(*error)

    def show(self, epoch, logs, rows):
        """Show what was measured in an epoch of so many rows."""
        if not self.verbose:
            return
        _news.end()    # what compiles later begins another bar
        figures = {name: f"{value:.4g}" for name, value in logs.items() if name != "seconds"}
        digits = float(f"{rows / max(logs['seconds'] - self.last, 1e-9):.2g}")    # two of the speed
        speed, self.last = f"{digits:,.0f} rows/s", logs["seconds"]
        if self.bar is not None:
            self.bar.set_postfix(figures, refresh=False)
            self.bar.set_description_str(speed, refresh=False)
            self.bar.update()
        elif epoch % max(1, self.epochs // 10) == 0 or epoch == self.epochs - 1:
            text = "  ".join(f"{name} {value}" for name, value in figures.items())
            print(f"epoch {epoch + 1}/{self.epochs}  {text}  {logs['seconds']:.1f} s  {speed}",
                  file=sys.stderr)
