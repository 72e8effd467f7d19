"""Warnings at the line of the user's that called into this package, however deep in it they arise."""
import sys
import warnings

PACKAGE = f"{__name__.partition('.')[0]}."
# What stands between frames of the package, or around the outermost: contexts, kernels, imports, the fit of
# an estimator.
_BETWEEN = "contextlib.", "functools.", "importlib.", "numba.", "sklearn.base."


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Give a warning at the line that called into this package, or at the one of its command."""
    frame = sys._getframe(1)
    while frame.f_back and _is_inside(f"{frame.f_globals.get('__name__', '')}."):
        frame = frame.f_back
    names = frame.f_globals
    warnings.warn_explicit(message, category, frame.f_code.co_filename, frame.f_lineno, names.get("__name__"),
                           names.setdefault("__warningregistry__", {}))


def _is_inside(module):
    return module.startswith((PACKAGE, *_BETWEEN)) and not module.startswith(f"{PACKAGE}cli.")
