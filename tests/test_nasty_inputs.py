"""Every argument for data, given inputs of every kind: right against dense float64, or one clear line."""
import contextlib
import inspect
import pickle
import re
import traceback
import types
import typing
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas
import pytest
from nasty import FORMS, Tensor
from nasty_places import PLACES
from scale import times
from scipy import sparse
from test_types import MODULES, function_in, is_own, module_of, names_in

import nnjit as nn
from nnjit import objects, optimizers

PACKAGE = Path(nn.__file__).parent


# ---- the check ---------------------------------------------------------------------------------------------

def numbers_from(place, given):
    """Return what a call returns, as a list of arrays."""
    with warnings.catch_warnings():
        if place.theirs:    # that a training was short, or y a column
            warnings.simplefilter("ignore", UserWarning)
        found = place.call(given)
    found = list(found.values()) if isinstance(found, dict) else found
    return [np.asarray(one, float) for one in (found if isinstance(found, list) else [found])]


def snapshot(given):
    """Return all that an input holds."""
    if isinstance(given, Tensor):
        return given.values.tobytes()
    if sparse.issparse(given):
        return pickle.dumps({name: part for name, part in vars(given).items() if not name.startswith("_has")})
    if isinstance(given, (pandas.DataFrame, pandas.Series)):
        return given.to_csv()
    if isinstance(given, (np.ndarray, list, tuple, dict)):
        return pickle.dumps(given)
    return repr(given) if not isinstance(given, types.GeneratorType) else None


def objection_to(error, theirs):
    """Return what is wrong with how something was refused, or None."""
    text, frame = str(error), traceback.extract_tb(error.__traceback__)[-1]
    ours = Path(frame.filename).is_relative_to(PACKAGE)
    where = f"{Path(frame.filename).name}:{frame.lineno}, {frame.line!r}"
    if not isinstance(error, (ValueError, TypeError)):
        return f"{type(error).__name__}: {text} ({where})"
    if theirs and not ours and "sklearn" in frame.filename:
        return None
    if not (ours and frame.line.startswith("raise ")):
        return f"raised deep inside, {type(error).__name__}: {text} ({where})"
    if "\n" in text or len(text) > 400 or "got " not in text:
        return f"not one clear line: {text} ({where})"
    return None


def check(place, name):
    """Return what is wrong with a form of input at a place, or None."""
    form = FORMS[name]
    given = form.of(place.values)
    before, error = snapshot(given), None
    try:
        found = numbers_from(place, given)
    except Exception as caught:
        error = caught
    if snapshot(given) != before:
        return "it was changed"
    if error:
        taken = (form.kind in ("dense", "frame", *place.takes) and name not in (*place.refuses, *place.either)
                 and place.takes_dtype_of(given))
        return f"refused: {error!r}" if taken else objection_to(error, place.theirs)
    if name in place.either:
        return None
    if form.kind == "bad" or name in place.refuses or not place.takes_dtype_of(given):
        return "not refused"
    if form.kind == "object":
        return None
    expected = numbers_from(place, form.numbers(place.values).astype(place.dtype))
    rtol, atol = (1e-6, 1e-6) if place.rounds and np.asarray(given).dtype == np.float32 else (1e-9, 1e-12)
    same = len(found) == len(expected) and all(
        np.allclose(*pair, rtol, atol, equal_nan=True) for pair in zip(found, expected))
    return None if same else f"other numbers than of float64: {found} and {expected}"


@pytest.mark.compiled    # what is checked is Python
@pytest.mark.torture
@pytest.mark.parametrize("place", PLACES)
def test_inputs_of_every_kind(place, count):
    wrong, forms = {}, [name for name, form in FORMS.items() if PLACES[place].values.ndim in form.dimensions]
    some = times(6, 1) if PLACES[place].slow else 1
    for name in forms[len(place) % some::some]:
        with contextlib.suppress(pytest.skip.Exception):    # a library is not there
            wrong[name] = check(PLACES[place], name)
    count("inputs of every kind", len(wrong))
    assert not any(wrong.values()), "".join(
        f"\n{name}: {found[:500]}" for name, found in wrong.items() if found)


# ---- the names ---------------------------------------------------------------------------------------------

NO_PLACES = {    # arguments, by a pattern, that are not such, and why
    r".* dtype": "names a dtype",
    r"inputs\.checks\..*": "the checks, to which all that is given comes",
    r"(Context|Evaluation|Metrics|TrainingState|training\.fit|BackupAndRestore)\b.*": "was checked before",
    r".*\.load_state values": "what a backup keeps of a callback",
    r"(Dataset|Images|Sequences|Table)\.__init__ .*": "holds what was read, which then is given to a network",
    r"own_data\.learn .*": "a table that was read, of which mistakes are errors about files",
    r"(sweep|sweep\.\w+|Sweep\.__init__) \w+": "settings, and data for a function of the user's",
    r"\w+\.__init__ class_weight": "a dict or a word, of scikit-learn's",
    r"estimators\.from_sklearn fitted": "an estimator", r"Sequential\.fit comm": "a communicator",
}


def holds_data(annotation):
    """Return whether an annotation allows an array, or anything at all."""
    if annotation in (typing.Any, np.ndarray, Sequence[float]):
        return True
    arguments = typing.get_args(annotation)
    return typing.get_origin(annotation) is not Callable and any(map(holds_data, arguments))


def arguments_of_data():
    """Yield the arguments for data of all public functions and methods, as ``PLACES`` call them."""
    for module in MODULES:
        for name in names_in(module_of(module)):
            thing = getattr(module_of(module), name)
            functions = methods_of(thing) if inspect.isclass(thing) else {f"{module}.{name}": thing}
            for place, function in functions.items():
                function = function_in(function) if is_own(thing) else None
                for argument in inspect.signature(function).parameters.values() if function else ():
                    if holds_data(argument.annotation):
                        yield f"{place} {argument.name}".removeprefix(".")


def methods_of(kind):
    """Return the public methods of a class; of a layer, head or optimizer, which a network calls, how one is
    made.
    """
    own = issubclass(kind, (objects.Part, optimizers.Optimizer))
    names = ["__init__", *(name for name in dir(kind) if not (own or name.startswith("_")))]
    return {f"{kind.__name__}.{name}": inspect.getattr_static(kind, name) for name in names}


def test_every_argument_for_data_has_a_place():
    found, places = set(arguments_of_data()), {place.partition(",")[0] for place in PLACES}
    excused = {pattern: {name for name in found if re.fullmatch(pattern, name)} for pattern in NO_PLACES}
    assert found - places - set().union(*excused.values()) == set(), "rows in PLACES are missing"
    assert places - found == set(), "rows in PLACES are of no public argument"
    assert all(names - places for names in excused.values())
