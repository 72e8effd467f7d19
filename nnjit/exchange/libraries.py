"""The weights of PyTorch and Keras, by order and shape, as those of a network here."""
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..inputs.checks import as_numbers, narrowed
from ..layers import (
    GRU,
    LSTM,
    BatchNormalization,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Flatten,
    LayerNormalization,
    Residual,
)
from ..model import Sequential

_IGNORED = ("num_batches_tracked",)    # of PyTorch's state


@dataclass
class _Place:
    """An array of a network, and how another library stores it.

    Attributes
    ----------
    name : as in `Sequential.parameters`
    array : the array itself
    shape : of the other library's
    to, back : from the other library's array to this one, and the reverse
    """

    name: str
    array: np.ndarray
    shape: tuple[Any, ...]
    to: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray] = field(repr=False)


def from_torch(model: Sequential, state: Mapping[str, Any]) -> Sequential:
    """Set the weights of a built model to those of a PyTorch module of the same layers; return the model.

    Parameters
    ----------
    state : ``module.state_dict()``, of tensors or arrays, in the order of the layers. Those of Linear,
        Conv1d, Conv2d, ConvTranspose2d, BatchNorm, LayerNorm, GRU and LSTM are transposed as they have to be,
        and the rows of a Dense layer after `Flatten` come from channels first to channels last. Of a
        `Residual` the layers come first, then the shortcut.

    GRU layers need ``reset_after=True``; LSTM's two biases are added.

    Raises
    ------
    TypeError
        Something holds no real numbers.
    ValueError
        An array fits no place, one is missing, or one is left over; the message names it. The model is as it
        was.
    """
    given = {name: _as_array(name, array) for name, array in state.items() if not name.endswith(_IGNORED)}
    _take("state", given, _torch_places(model))
    model.untouched = None
    return model


def to_torch_state(model: Sequential) -> dict[str, np.ndarray]:
    """Return the weights of a built model as PyTorch has them, by names such as ``"0.weight"``, counted as in
    a ``torch.nn.Sequential`` of the layers here: arrays for ``torch.from_numpy``, in the order that
    `from_torch` takes.
    """
    return {place.name: np.ascontiguousarray(place.back(place.array)) for place in _torch_places(model)}


def from_keras(model: Sequential, weights: Any) -> Sequential:
    """Set the weights of a built model to those of a Keras model of the same layers; return the model.

    Parameters
    ----------
    weights : a Keras model, or what its ``get_weights()`` returns: arrays in the order of the layers

    Raises
    ------
    TypeError, ValueError
        As of `from_torch`.
    """
    if hasattr(weights, "get_weights"):
        weights = weights.get_weights()
    given = {f"weights[{i}]": array for i, array in enumerate(weights)}
    _take("weights", {name: _as_array(name, array) for name, array in given.items()}, _keras_places(model))
    model.untouched = None
    return model


def _as_array(name, array):
    return as_numbers(name, array.detach().cpu() if hasattr(array, "detach") else array)


def _take(what, given, places):
    """Set the arrays of the places, in their order, to those given; all are compared before one is set."""
    names, found = list(given), []
    for i, place in enumerate(places):
        if i == len(names):
            raise ValueError(f"{what}: got {len(names)} arrays, expected one of shape {place.shape} for "
                             f"{place.name}, and {len(places)} in all")
        array = given[names[i]]
        if array.shape != place.shape:
            raise ValueError(f"{what}: got {names[i]} of shape {array.shape}, expected {place.shape} for "
                             f"{place.name}")
        found.append(narrowed(names[i], place.to(array), place.array.dtype))
    if len(names) > len(places):
        raise ValueError(f"{what}: got {names[len(places)]} of shape {given[names[len(places)]].shape}, for "
                         f"which there is no layer left; expected {len(places)} arrays")
    for place, array in zip(places, found):
        place.array[...] = array


def _walk(layers, shapes, prefix="") -> Iterator[tuple[Any, ...]]:
    """Yield (name, layer, shape of a row of images that a Flatten before it has laid flat, or None)."""
    flattened = None
    for i, (layer, shape) in enumerate(zip(layers, shapes)):
        if isinstance(layer, Residual):
            yield from _walk(layer.layers, [shape, *layer.layers.shapes], f"{prefix}{i}.")
            yield from _walk(layer.shortcut, [shape, *layer.shortcut.shapes], f"{prefix}{i}.shortcut.")
        else:
            yield f"{prefix}{i}", layer, flattened
        if isinstance(layer, Flatten):
            flattened = shape
        elif layer.shapes:
            flattened = None


def _layers_of(model):
    model._check_built()
    return _walk(model.layers, [model.input_shape, *model.graph.shapes])


# ---- PyTorch -----------------------------------------------------------------------------------------------

def _torch_places(model):
    return [place for name, layer, flattened in _layers_of(model)
            for place in _torch_layer(name, layer, flattened)]


def _torch_layer(name, layer, flattened):
    """Return the places of a layer's arrays in the order of PyTorch's state."""
    arrays, kind = {**layer.parameters, **layer.state}, type(layer)
    if kind is Dense:
        return _with_bias(name, arrays, *_linear(arrays["W"].shape, flattened))
    if kind in (Conv2D, Conv1D):
        return _with_bias(name, arrays, *_moved(arrays["W"].shape))
    if kind is Conv2DTranspose:
        return _with_bias(name, arrays, *_moved(arrays["W"].shape))
    if kind is BatchNormalization:
        names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
                 "moving_variance": "running_var"}
        return [_plain(f"{name}.{names[key]}", array) for key, array in arrays.items() if array.size]
    if kind is LayerNormalization:
        return [_plain(f"{name}.{new}", arrays[key]) for key, new in (("gamma", "weight"), ("beta", "bias"))
                if arrays[key].size]
    if kind in (GRU, LSTM):
        return _torch_recurrent(name, layer, arrays)
    if layer.shapes:
        raise ValueError(f"layer {name}: got {layer!r}, of which PyTorch has none, expected Dense, "
                         "convolutions, normalisations, GRU or LSTM")
    return []


def _plain(name, array):
    return _Place(name, array, array.shape, lambda a: a, lambda a: a)


def _with_bias(name, arrays, shape, to, back):
    found = [_Place(f"{name}.weight", arrays["W"], shape, to, back)]
    return found + [_plain(f"{name}.bias", arrays["b"])] * (arrays["b"].size > 0)


def _linear(shape, flattened):
    """Return (out, in), and the ways between it and W (in, out), whose rows may be pixels channels last."""
    D, K = shape
    order = np.arange(D)
    if flattened is not None and len(flattened) == 3:
        H, W, C = flattened
        order = order.reshape(C, H, W).transpose(1, 2, 0).ravel()    # of ours the place in theirs
    elif flattened is not None and len(flattened) == 2:
        T, C = flattened
        order = order.reshape(C, T).T.ravel()
    inverse = np.argsort(order)
    return (K, D), lambda a: a.T[order], lambda a: a[inverse].T


def _moved(shape):
    """Return the shape with its last two axes first, the last one before, and the ways there and back."""
    axes = (len(shape) - 1, len(shape) - 2, *range(len(shape) - 2))
    return (tuple(shape[axis] for axis in axes), lambda a: a.transpose(np.argsort(axes)),
            lambda a: a.transpose(axes))


def _torch_recurrent(name, layer, arrays):
    """PyTorch's weights are (gates H, D), (gates H, H), and two biases; its GRU's gates r, z, n stand for z,
    r, c here, its LSTM's are in the same order.
    """
    H, gates = layer.units, layer.gates
    order = (1, 0, 2) if gates == 3 else (0, 1, 2, 3)
    if gates == 3 and not layer.reset_after:
        raise ValueError(f"layer {name}: got {layer!r}, expected reset_after=True, as PyTorch's GRU has it")

    def ways(axis_last):
        def to(a):
            blocks = np.split(a, gates)
            return np.concatenate([blocks[k] for k in order]).T if axis_last else np.concatenate(
                [blocks[k] for k in order])

        def back(a):
            blocks = np.split(a.T if axis_last else a, gates)
            return np.concatenate([blocks[k] for k in np.argsort(order)])
        return to, back

    D = arrays["W"].shape[0]
    found = [_Place(f"{name}.weight_ih_l0", arrays["W"], (gates * H, D), *ways(True)),
             _Place(f"{name}.weight_hh_l0", arrays["U"], (gates * H, H), *ways(True))]
    if arrays["b"].size == 0:
        return found
    to, back = ways(False)
    if gates == 3:
        return found + [_Place(f"{name}.bias_{kind}_l0", arrays["b"][k], (3 * H,), to, back)
                        for k, kind in enumerate(("ih", "hh"))]
    return found + _two_biases(name, arrays["b"], to, back)


def _two_biases(name, b, to, back):
    """PyTorch's LSTM has two biases that are added: the first is set, and the second added to it."""
    first = np.zeros_like(b)

    def keep(a):
        first[...] = to(a)
        return first

    return [_Place(f"{name}.bias_ih_l0", b, b.shape, keep, back),
            _Place(f"{name}.bias_hh_l0", b, b.shape, lambda a: first + to(a), lambda a: np.zeros_like(a))]


# ---- Keras -------------------------------------------------------------------------------------------------

def _keras_places(model):
    return [place for name, layer, _ in _layers_of(model) for place in _keras_layer(name, layer)]


def _keras_layer(name, layer):
    """Return the places of a layer's arrays in the order of Keras's, whose shapes are those here."""
    known = Dense, Conv1D, Conv2D, Conv2DTranspose, BatchNormalization, LayerNormalization, GRU, LSTM
    if type(layer) not in known and layer.shapes:
        raise ValueError(f"layer {name}: got {layer!r}, of which Keras has none, expected Dense, "
                         "convolutions, normalisations, GRU or LSTM")
    arrays = {**layer.parameters, **layer.state}
    return [_plain(f"{name}.{key}", array) for key, array in arrays.items() if array.size]
