"""What layers, heads and optimisers share: strict attributes, and arrays that are attached."""
import functools
import weakref

import numpy as np


def _completing(init):
    """Let an object be complete when its outermost ``__init__`` has returned."""
    @functools.wraps(init)
    def completed(self, *args, **kwargs):
        outermost = "_complete" not in self.__dict__
        if outermost:
            self.__dict__["_complete"] = False
        init(self, *args, **kwargs)
        if outermost:
            self.__dict__["_complete"] = True
    return completed


class Strict:
    """An object that refuses an attribute which it does not have: ``layer.trainable = False`` would do
    nothing, silently.

    All attributes are there when ``__init__`` returns. A copy, and a pickled object, is without those that
    are attached.
    """

    _attached = ()    # the names of what others attach

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _completing(cls.__init__)

    @_completing
    def __init__(self):
        pass

    def __setattr__(self, name, value):
        if self.__dict__.get("_complete") and not hasattr(self, name):
            known = ", ".join(key for key in vars(self) if not key.startswith("_")) or "no attributes"
            raise AttributeError(f"{type(self).__name__}: got the unknown attribute {name!r}, which would do "
                                 f"nothing, expected one of {known}")
        object.__setattr__(self, name, value)

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name not in self._attached}


def _adding(build):
    """Let the method ``build`` add attributes."""
    @functools.wraps(build)
    def opened(self, *args, **kwargs):
        complete, self.__dict__["_complete"] = self.__dict__["_complete"], False
        try:
            return build(self, *args, **kwargs)
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

    config = ()
    shapes, state_shapes = {}, {}
    decayed = ("W",)
    parameters, gradients, state = {}, {}, {}
    # parameters and gradients as they are stored, see `memory.padded_shape`
    padded, padded_gradients = {}, {}
    owner = None    # a weak reference to the graph whose arrays they are
    _attached = ("parameters", "gradients", "state", "padded", "padded_gradients", "owner")

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "build" in vars(cls):
            cls.build = _adding(cls.build)

    def claim(self, owner):
        """Let the graph ``owner`` attach its arrays; ValueError where they would take the place of another's.

        The reference is weak: what belonged to a model that is gone is free.
        """
        self.check_free(owner)
        self.owner = weakref.ref(owner)

    def check_free(self, owner):
        """Raise ValueError where this belongs to another graph than ``owner``."""
        holder = self.owner and self.owner()
        if holder is not None and holder is not owner:
            raise ValueError(f"{self!r}: got one that belongs to another model, which would lose its "
                             "parameters, expected a new one; make one, and take over trained weights with "
                             "model.copy_weights(other_model)")

    def attach(self, padded: dict, padded_gradients: dict, state: dict):
        """Take the arrays under the names of `shapes` and `state_shapes`; parameters and state as stored."""
        self.padded, self.padded_gradients, self.state = padded, padded_gradients, state
        self.parameters, self.gradients = ({name: array[..., :self.shapes[name][-1]] for name,
                                            array in arrays.items()}
                                           for arrays in (padded, padded_gradients))

    def initialise(self, rng: np.random.Generator):
        """Fill the parameters and the state. They are 0 when it is called."""
