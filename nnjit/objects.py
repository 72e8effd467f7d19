"""What layers, heads and optimisers share: strict attributes, and arrays that are attached."""
import functools
import types
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .habits import ARGUMENTS, hint
from .memory import Arrays, Shape, unpadded

NOTHING: Any = types.MappingProxyType({})    # in place of a dict that all objects of a class would share


def _completing(init):
    """Let an object be complete when its outermost ``__init__`` has returned."""
    @functools.wraps(init)
    def completed(self, *args, **kwargs):
        outermost = "_complete" not in self.__dict__
        if outermost:
            self.__dict__["_complete"] = False
        try:
            init(self, *args, **kwargs)
        except TypeError as error:
            names = [name for name in kwargs
                     if name in ARGUMENTS and f"keyword argument {name!r}" in str(error)]
            if not names:
                raise
            raise TypeError(f"{type(self).__name__}: got the unknown argument {names[0]!r}"
                            f"{hint(ARGUMENTS, names[0])}") from None
        if outermost:
            self.__dict__["_complete"] = True
    return completed


class Strict:
    """An object that refuses an attribute which it does not have: ``layer.frozen = True`` would do
    nothing, silently.

    All attributes are there when ``__init__`` returns. Those of `_settled` are not set again: what follows
    from them would stay as it was. A copy, and a pickled object, is without those that are attached.
    """

    _attached: tuple[str, ...] = ()    # the names of what others attach
    _habits: Mapping[str, str] = NOTHING    # what stands for attributes that other libraries have

    @property
    def _settled(self) -> tuple[str, ...]:
        return ()

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _completing(cls.__init__)    # type: ignore[method-assign]

    @_completing
    def __init__(self):
        pass

    if not TYPE_CHECKING:    # to which the two say that any attribute is there
        def __setattr__(self, name, value):
            if self.__dict__.get("_complete"):
                self._check_attribute(name)
            object.__setattr__(self, name, value)

        def __getattr__(self, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}"
                                 f"{hint(self._habits, name)}")

    def _check_attribute(self, name):
        kind = type(self).__name__
        if not hasattr(self, name):
            known = ", ".join(key for key in vars(self) if not key.startswith("_")) or "no attributes"
            raise AttributeError(f"{kind}: got the unknown attribute {name!r}, which would do nothing, "
                                 f"expected one of {known}")
        if name in self._settled:
            raise AttributeError(f"{kind}: got another {name}, expected it where the {kind} is made: what "
                                 f"follows from it is there; make a new one, {kind}({name}=...)")

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name not in self._attached}


def _opening(method):
    """Let a method set any attribute, and add to the dicts that a class declares with `NOTHING`."""
    @functools.wraps(method)
    def opened(self, *args, **kwargs):
        complete, self.__dict__["_complete"] = self.__dict__.get("_complete", False), False
        for name in self._declared:
            if getattr(self, name) is NOTHING:
                setattr(self, name, {})
        try:
            return method(self, *args, **kwargs)
        finally:
            self.__dict__["_complete"] = complete
    return opened


class Part(Strict):
    """A layer or a head: it declares the shapes of its arrays, and is given them.

    Attributes
    ----------
    config : tuple of str
        The names of the arguments of ``__init__``, each also an attribute: a saved part is made from them
        again.
    shapes, state_shapes : dict of {name: shape}
        Of the parameters, and of arrays that are saved but not trained, such as running means. Known after
        ``build``.
    decayed : tuple of str
        The parameters on which an optimiser's ``weight_decay`` acts: those called W. It leaves biases alone,
        and cut points.
    parameters, gradients, state : dict of {name: array}
        The arrays, once a model is built with it.
    """

    config: tuple[str, ...] = ()
    shapes: dict[str, Shape] = NOTHING
    state_shapes: dict[str, Shape] = NOTHING
    decayed: tuple[str, ...] = ("W",)
    parameters: Arrays = NOTHING
    gradients: Arrays = NOTHING
    state: Arrays = NOTHING
    # parameters and gradients as they are stored, see `memory.padded_shape`
    padded: Arrays = NOTHING
    padded_gradients: Arrays = NOTHING
    owner: weakref.ref[Any] | None = None    # to the graph whose arrays they are
    _attached = ("parameters", "gradients", "state", "padded", "padded_gradients", "owner")
    _declared: tuple[str, ...] = ("shapes", "state_shapes")    # the names of what `build` declares

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        for name in {"build", "initialise", "infer_from_targets"} & vars(cls).keys():
            setattr(cls, name, _opening(getattr(cls, name)))

    @property
    def _settled(self) -> tuple[str, ...]:
        return self.config

    def claim(self, owner: object) -> None:
        """Let the graph ``owner`` attach its arrays; ValueError where they would take the place of another's.

        The reference is weak: what belonged to a model that is gone is free.
        """
        self.check_free(owner)
        self.owner = weakref.ref(owner)

    def check_free(self, owner: object) -> None:
        """Raise ValueError where this belongs to another graph than ``owner``."""
        holder = self.owner and self.owner()
        if holder is not None and holder is not owner:
            raise ValueError(f"{self!r}: got one that belongs to another model, which would lose its "
                             "parameters, expected a new one; make one, and take over trained weights with "
                             "model.copy_weights(other_model)")

    def attach(self, padded: Arrays, padded_gradients: Arrays, state: Arrays) -> None:
        """Take the arrays under the names of `shapes` and `state_shapes`; parameters and state as stored."""
        self.padded, self.padded_gradients, self.state = padded, padded_gradients, state
        self.parameters, self.gradients = ({name: unpadded(array, self.shapes[name]) for name,
                                            array in arrays.items()}
                                           for arrays in (padded, padded_gradients))

    def initialise(self, rng: np.random.Generator) -> None:
        """Fill the parameters and the state. They are 0 when it is called."""
