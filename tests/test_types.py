"""What is public is listed and annotated, and a program runs that uses it all; `make types` checks its types.
"""
import ast
import importlib
import inspect
import re
import runpy
from pathlib import Path

import pytest

import nnjit as nn

PROGRAM = Path(__file__).with_name("typed_program.py")
PACKAGES = ["", "callbacks", "datasets", "estimators", "exchange", "heads", "layers", "metrics", "own_data",
            "page", "plots", "training"]
MODULES = [*PACKAGES, "experiments.book", "inputs.checks", "loading", "losses", "objects", "optimizers",
           "schedules", "sweep"]


def module_of(name):
    return importlib.import_module(f"nnjit.{name}".removesuffix("."))


def names_in(module):
    """Return the public names of a module: those that it lists, or else all that it defines."""
    defined = [name for name, thing in vars(module).items() if not name.startswith("_")
               and getattr(thing, "__module__", None) == module.__name__]
    return getattr(module, "__all__", defined)


def is_own(thing):
    """Return whether something was made in the package; kernels have the types that Numba finds."""
    return re.match(r"nnjit\b(?!\.kernels)", getattr(thing, "__module__", None) or "") is not None


# ---- names -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", PACKAGES)
def test_what_a_package_exports_is_listed(name):
    """All that it defines or takes from its own files, and nothing that is not there."""
    module = module_of(name)
    found = []
    for node in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            found += [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append(node.name)
    assert sorted(module.__all__) == sorted(name for name in found if not name.startswith("_"))
    assert all(hasattr(module, name) for name in module.__all__)


# ---- annotations -------------------------------------------------------------------------------------------

def public_functions(name):
    """Yield the functions of a module, and the methods of its classes, with those of their bases; by name."""
    module = module_of(name)
    for public in names_in(module):
        thing = getattr(module, public)
        if inspect.isclass(thing):
            for base in filter(is_own, thing.__mro__):
                for attribute, value in vars(base).items():
                    if attribute in ("__init__", "__call__") or not attribute.startswith("_"):
                        yield f"{base.__name__}.{attribute}", function_in(value)
        elif is_own(thing):
            yield public, function_in(thing)


def function_in(value):
    """Return the function of a method, a property or what is decorated; None where there is none."""
    for inner in "__func__", "fget", "fn":    # the last is scikit-learn's `available_if`
        value = getattr(value, inner, None) or value
    value = inspect.unwrap(value) if callable(value) else value
    return value if inspect.isfunction(value) and is_own(value) else None


@pytest.mark.parametrize("name", MODULES)
def test_public_functions_are_annotated(name):
    functions = {place: function for place, function in public_functions(name) if function is not None}
    bare = {}
    for place, function in functions.items():
        signature = inspect.signature(function)
        lacking = [each.name for each in signature.parameters.values()
                   if each.annotation is each.empty and each.name != "self" and not each.name.startswith("_")]
        if signature.return_annotation is signature.empty and function.__name__ != "__init__":
            lacking.append("return")
        if lacking:
            bare[place] = lacking
    assert not bare
    assert functions


# ---- the program -------------------------------------------------------------------------------------------

def test_the_program_uses_every_name():
    text = PROGRAM.read_text(encoding="utf-8")
    assert [name for name in nn.__all__ if not re.search(rf"\bnn\.{name}\b", text)] == []


@pytest.mark.compiled
def test_the_program_runs(capsys):
    runpy.run_path(str(PROGRAM), run_name="__main__")
    assert "no such file.csv" in capsys.readouterr().out
