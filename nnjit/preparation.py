"""What a model makes of the data that it is given: checked and stored `Examples`."""
import math
import zlib

import numpy as np
import scipy.sparse

from .inputs.batches import Examples
from .inputs.checks import check_length, check_real, check_sparse, check_weights
from .inputs.rows import intensities, store, validate
from .inputs.scale import measure, warn_of_another
from .metrics import Metrics


def checksum(graph) -> int:
    """Return a number by which it is known whether the parameters of a built graph have changed."""
    return zlib.crc32(graph.vector)


def stored_rows(model, rows, sparse="auto", training: bool = True, single_pass: bool = False):
    """Return validated rows as the model's first layer takes them; arguments as of `inputs.rows.store`."""
    first, divisor = model.layers[0], _divisor(model, rows)
    sparse = check_sparse(sparse, first.takes_sparse)
    if not training:
        warn_of_another(rows, model.input_scale, divisor)
    if divisor > 1:
        return intensities(rows, model.dtype, first.takes_bytes)
    return store(rows, model.dtype, sparse, training, single_pass)


def _divisor(model, rows):
    """Return by what the first layer has validated rows divided: 255 where bytes are images."""
    if rows.dtype != np.uint8:
        return 1
    kind = next((layer.input_kind for layer in model.layers if layer.input_kind), "numbers")
    return 255 if kind == "images" else 1


def examples(model, rows, y, sample_weight=None, sparse="auto", training: bool = True,
             single_pass: bool = False, class_weight=None) -> Examples:
    """Return validated rows with their targets and weights, for a model that is built."""
    x = stored_rows(model, rows, sparse, training, single_pass)
    y = model.head.targets(y, len(x), model.graph.shapes[-1][0], model.dtype)
    w = check_weights(sample_weight, len(x), model.dtype)
    if class_weight is not None:
        y, w = model.head.weigh_classes(y, w, class_weight)
    return Examples(x, y, w, model.head.total_weight(y, w))


def training_examples(model, X, y, sample_weight, class_weight, validation, metrics, sparse, seed: int,
                      single_pass: bool) -> tuple:
    """Return the training `Examples`, those of the `validation`, or None, and the `Metrics`; the model is
    built for them.

    On an error the model is as it was. ``validation`` is what `check_validation` returned.
    """
    graph, fresh, scale = model.graph, model.input_shape is None, model.input_scale
    untouched = model.untouched is not None and model.untouched == checksum(graph)
    try:
        rows = validate(X, model.input_shape)
        if isinstance(validation, float):
            (rows, y, sample_weight), validation = _split(rows, y, sample_weight, validation)
        if fresh:
            model.head.infer_from_targets(y)
        if fresh or untouched:
            model.build(rows.shape[1:], seed)
        metrics = Metrics(model.head, graph.shapes[-1][0], metrics)
        data = examples(model, rows, y, sample_weight, sparse, True, single_pass, class_weight)
        model.input_scale = measure(rows, _divisor(model, rows)).merged(scale)
        if validation is None:
            return data, None, metrics
        # also for one epoch not in a single pass: it is to be refused before it is trained
        rows = validate(validation[0], model.input_shape)
        return data, examples(model, rows, *validation[1:], sparse=sparse, training=False), metrics
    except Exception:
        graph.input_shape, model.input_scale = None if fresh else model.input_shape, scale
        raise


# ---- validation --------------------------------------------------------------------------------------------

def check_validation(data, split):
    """Return the validation data, a tuple; or the fraction of the rows that they are, a float; or None."""
    split = check_real("validation_split", split)
    if not 0 <= split < 1:
        raise ValueError(f"validation_split: got {split:g}, expected a fraction from 0 to below 1")
    if data is None:
        return split or None
    if split:
        raise ValueError(f"validation_split: got {split:g} and validation_data, expected one of them")
    if not isinstance(data, (tuple, list)):
        raise TypeError(f"validation_data: got {type(data).__name__}, expected (X, y) or (X, y, "
                        "sample_weight)")
    if len(data) not in (2, 3):
        raise ValueError(f"validation_data: got {len(data)} parts, expected (X, y) or (X, y, sample_weight)")
    return tuple(data)


def _split(rows, y, w, fraction):
    """Return (rows, y, w) to train on, and those of the last rows, this fraction, to validate with."""
    N = rows.shape[0]
    first = math.floor(N * (1 - fraction))
    if not 0 < first < N:
        raise ValueError(f"validation_split: got {fraction:g} of {N} rows, expected at least one row to "
                         "train on, and one to validate with")
    for name, values in (y.items() if isinstance(y, dict) else [("y", y)]):
        check_length(name, values, N)
    if w is not None:
        check_length("sample_weight", w, N)
    parts = slice(0, first), slice(first, N)
    return [[_part(values, part) for values in (rows, y, w)] for part in parts]


def _part(values, part):
    if values is None:
        return None
    if isinstance(values, dict):
        return {name: _part(of_name, part) for name, of_name in values.items()}
    return (values if scipy.sparse.issparse(values) else np.asanyarray(values))[part]
