"""What a model makes of the data that it is given: checked and stored `Examples`."""
import math
import zlib
from typing import Any

import numpy as np
import scipy.sparse

from .inputs.batches import Examples
from .inputs.checks import (
    as_array,
    check_length,
    check_real,
    check_sparse,
    check_weights,
    refuse_masked,
    shown,
)
from .inputs.rows import intensities, leave_out_zeros, store, store_block, validate
from .inputs.scale import measure, warn_of_another
from .inputs.sequences import (
    PerStep,
    check_mask,
    flat_steps,
    is_ragged,
    padded,
    step_weights,
    without_padding,
)
from .inputs.stream import Source, Stream, is_stream
from .kernels.losses import total_weight
from .layers import Masking
from .metrics import Metrics


def checksum(graph) -> int:
    """Return a number by which it is known whether the parameters of a built graph have changed."""
    return zlib.crc32(graph.vector)


def stored_rows(model, rows, sparse="auto", training: bool = True, single_pass: bool = False, share=(0, 1)):
    """Return validated rows as the model's first layer takes them; arguments as of `inputs.rows.store`."""
    first, divisor = model.layers[0], _divisor(model, rows)
    sparse = check_sparse(sparse, first.takes_sparse and len(rows.shape) == 2)
    if not training:
        warn_of_another(rows, model.input_scale, divisor)
    if divisor > 1:
        return intensities(rows, model.dtype, first.takes_bytes)
    return store(rows, model.dtype, sparse, training, single_pass, share)


def count_rows(X) -> int:
    """Return how many rows something has that is given as X; 0 where it is none."""
    try:
        return X.shape[0] if hasattr(X, "shape") else len(X)
    except (TypeError, IndexError):
        return 0


def rows_to_use(model, X, mask, sparse) -> tuple[Any, ...]:
    """Return what a prediction is made from, as the first layer takes it, the mask of `sequences_of`, and the
    graph.
    """
    rows, mask = sequences_of(model, X, mask)
    x, graph = stored_rows(model, rows, sparse, False, single_pass=True), _graph_for(model, rows, mask)
    return x, mask, graph


def _graph_for(model, rows, mask):
    """Return the graph that takes these rows; ValueError where none can, or a layer would ignore the mask."""
    graph = model.graph if rows.shape[1:] == model.input_shape else model.graph.for_steps(rows.shape[1])
    if mask is not None:
        graph.check_takes_mask()
    return graph


def _divisor(model, rows):
    """Return by what the first layer has validated rows divided: 255 where bytes are images."""
    if rows.dtype != np.uint8:
        return 1
    kind = next((layer.input_kind for layer in model.layers if layer.input_kind), "numbers")
    return 255 if kind == "images" else 1


def examples(model, rows, y, sample_weight=None, sparse="auto", training: bool = True,
             single_pass: bool = False, class_weight=None, mask=None, share=(0, 1)) -> Examples:
    """Return validated rows with their targets and weights, for a model that is built.

    ``rows`` and ``mask`` are what `sequences_of` returned.
    """
    graph = _graph_for(model, rows, mask)
    x = stored_rows(model, rows, sparse, training, single_pass, share)
    y, w, counts = _targets(graph, len(x), y, sample_weight, class_weight, mask)
    return _examples(graph, x, y, w, mask, counts, graph.head.total_weight(y, w))


def _examples(graph, x, y, w, mask, counts, total_weight):
    """Return the `Examples` of what `_targets` returned."""
    if counts is not None:
        T = graph.shapes[-1][0]
        y, w = PerStep(y, T), PerStep(w, T)
    return Examples(x, y, w, total_weight, graph, mask, counts)


def _targets(graph, N, y, sample_weight, class_weight, mask, some_positive=True):
    """Return the targets and weights of N rows as the head takes them.

    Where the last layer gives an output at every step, each step is a row to the head, of weight w times
    mask; then also how many steps of each row are valid, else None.
    """
    head, dtype, counts = graph.head, graph.dtype, None
    flags: Any = slice(None)
    if graph.per_step:
        T = graph.shapes[-1][0]
        valid = np.ones((N, T), bool) if mask is None else np.ascontiguousarray(graph.output_mask(mask))
        y, sample_weight = flat_steps("y", y, valid), step_weights(sample_weight, valid)
        counts, flags, N = valid.sum(axis=1), valid.reshape(-1), N * T
    y = head.targets(y, N, graph.shapes[-1][-1], dtype)
    w = check_weights(sample_weight, N, dtype, some_positive)
    if class_weight is not None:    # by the classes of what is valid
        w = w.copy()    # it may be the user's
        of_valid, w[flags] = head.weigh_classes(y[flags], w[flags], class_weight)
        if getattr(of_valid, "factors", None):    # several heads: each weighs its own
            y = of_valid if counts is None else of_valid.spread(y, flags)
    return y, w, counts


def sequences_of(model, X, mask=None) -> tuple[Any, ...]:
    """Return X as validated rows, and for sequences their mask (N, T), or None where all steps are valid.

    Lists of arrays of different lengths are padded; what is masked, here or by a `Masking` layer, is 0.
    """
    shape = model.input_shape
    sequences = shape is not None and len(shape) == 2
    if is_ragged(X):
        X, lengths = padded(X, shape[0] if sequences else 0)
        mask = lengths if mask is None else check_mask(mask, *X.shape[:2]) & check_mask(lengths, *X.shape[:2])
    if sequences and len(given := getattr(X, "shape", None) or np.shape(X)) == 3:
        shape = given[1], shape[1]    # they may have other numbers of steps
    rows, first = validate(X, shape), model.layers[0]
    if mask is None and not isinstance(first, Masking):
        return rows, None
    if rows.ndim != 3:
        raise ValueError(f"mask: got one for X of shape {rows.shape}, expected sequences (N, T, D)")
    valid = np.ones(rows.shape[:2], bool) if mask is None else check_mask(mask, *rows.shape[:2])
    if isinstance(first, Masking):
        valid = check_mask(valid & first.mask_of(rows), *valid.shape)
    return without_padding(rows, valid), valid


def evaluated_examples(model, X, y, sample_weight, sparse, mask):
    """Return what `Sequential.evaluate` was given as `Examples`, or as a `Stream`."""
    source = _as_source(X, y, sample_weight, mask, epochs=1)
    if source is not None:
        return _stream(model, source, sparse, training=False)
    rows, mask = sequences_of(model, X, mask)
    return examples(model, rows, y, sample_weight, sparse, training=False, single_pass=True, mask=mask)


def training_examples(model, X, y, sample_weight, class_weight, mask, validation, metrics, sparse, seed: int,
                      epochs: int, share: tuple[int, int] = (0, 1)) -> tuple[Any, ...]:
    """Return the training `Examples`, or a `Stream`, those of the validation, or None, and the `Metrics`; the
    model is built for them.

    On an error the model is as it was. ``validation`` is (validation_data, validation_split), ``share`` as of
    `inputs.rows.store`.
    """
    single_pass, validation = epochs == 1, _check_validation(*validation, epochs)
    X = _as_source(X, y, sample_weight, mask, epochs) or X
    if isinstance(X, Source) and isinstance(validation, float):
        raise ValueError(f"validation_split: got {validation:g} for a stream, whose last rows are not known, "
                         "expected validation_data")
    graph, fresh, scale = model.graph, model.input_shape is None, model.input_scale
    untouched = model.untouched is not None and model.untouched == checksum(graph)
    streams = isinstance(X, Source)
    try:
        if streams:
            rows, y, _, mask = X.first
            rows, mask = _in_block(0, sequences_of, model, rows, mask)
        else:
            rows, mask = sequences_of(model, X, mask)
        if isinstance(validation, float):
            (rows, y, sample_weight, mask), validation = _split(rows, y, sample_weight, mask, validation)
        if fresh or untouched:
            _infer_from_targets(model, rows, y, mask)
        if fresh or untouched:
            model.build(rows.shape[1:], seed)
        metrics = Metrics(model.head, graph.shapes[-1][-1], metrics)
        if streams:
            data = _stream(model, X, sparse, class_weight=class_weight)
        else:
            data = examples(model, rows, y, sample_weight, sparse, True, single_pass, class_weight, mask,
                            share)
        model.input_scale = measure(rows, _divisor(model, rows)).merged(scale)
        if validation is None:
            return data, None, metrics
        if isinstance(validation, Source):
            return data, _stream(model, validation, sparse, training=False), metrics
        # also for one epoch not in a single pass: it is to be refused before it is trained
        X, y, sample_weight, mask = validation
        rows, mask = sequences_of(model, X, mask)
        return data, examples(model, rows, y, sample_weight, sparse, training=False, mask=mask), metrics
    except Exception:
        graph.input_shape, model.input_scale = None if fresh else model.input_shape, scale
        raise


def _infer_from_targets(model, rows, y, mask):
    """Let the head take from the targets what it is not told; where every step has one, from valid steps."""
    *steps, _ = model.graph.output_shape(rows.shape[1:])
    if len(steps) == 1:
        valid = np.ones((len(rows), *steps), bool) if mask is None else model.graph.output_mask(mask)
        y = flat_steps("y", y, np.ascontiguousarray(valid))
    model.head.infer_from_targets(y)


# ---- streams -----------------------------------------------------------------------------------------------

def _as_source(X, y, sample_weight, mask, epochs: int) -> Source | None:
    """Return what gives the blocks of ``epochs`` passes where X does so, or None where it has rows.

    TypeError or ValueError where targets are missing, or given beside the blocks, or passes are impossible.
    """
    if y is not None:
        return None
    if not is_stream(X):
        raise TypeError("y: got None, expected the targets of the rows of X; or X that gives blocks (X, y)")
    for name, given in ("sample_weight", sample_weight), ("mask", mask):
        if given is not None:
            raise ValueError(f"{name}: got one beside a stream, expected it in its blocks, (X, y, "
                             "sample_weight, mask)")
    return _repeating(Source(X), "X", epochs)


def _repeating(source, name, epochs):
    if epochs > 1 and not source.repeats:
        raise ValueError(f"{name}: got an iterator for {epochs} epochs, which can be read once, expected a "
                         "list, or a function that returns a new one")
    return source


def _stream(model, source: Source, sparse="auto", training: bool = True, class_weight=None) -> Stream:
    """Return the examples of a source, for a model that is built.

    Whether zeros are left out follows from the first block. The mean weight is that of all rows; of an
    iterator, which can be read only once, it is that of the first block's.
    """
    if isinstance(class_weight, str):
        raise ValueError(f"class_weight: got {shown(class_weight)} for a stream, of which not all classes "
                         "are known before, expected a dict of {class: weight}")
    X, _, given, mask = source.first
    rows, mask = _in_block(0, sequences_of, model, X, mask)
    graph = _in_block(0, _graph_for, model, rows, mask)
    if not training:
        warn_of_another(rows, model.input_scale, _divisor(model, rows))
    sparse = leave_out_zeros(rows, check_sparse(sparse, model.layers[0].takes_sparse))

    def targets(N, y, w, mask):
        if (w is None) != (given is None):
            raise ValueError(f"sample_weight: got {'none' if w is None else 'some'} in this block, expected "
                             f"{'some' if w is None else 'none'} as in the first")
        y, w = _copied("y", y), _copied("sample_weight", w)
        return _targets(graph, N, y, w, class_weight, mask, some_positive=False)

    def prepared(block):
        X, y, w, mask = block
        rows, mask = sequences_of(model, X, mask)
        if rows.shape[1:] != graph.input_shape:
            raise ValueError(f"X: got rows of shape {rows.shape[1:]}, expected {graph.input_shape} as in the "
                             "first block")
        if _divisor(model, rows) > 1:
            x = intensities(_copied("X", rows), model.dtype, model.layers[0].takes_bytes)
        else:
            x = store_block(rows, model.dtype, sparse, training)
        y, w, counts = targets(len(x), y, w, mask)
        return y, w, _examples(graph, x, y, w, mask, counts, None)

    def prepare(number, block):
        return _in_block(number, prepared, block)[2]

    y, w, first = _in_block(0, prepared, source.first)
    parts, counts = [model.head.weights_of_members(y, w)], [first.targets]
    weighted = not (given is None and class_weight is None and all(one is w for one in parts[0]))
    if training and weighted and source.repeats:
        parts, counts = [], []
        for number, (X, y, w, mask) in source:
            rows, mask = _in_block(number, sequences_of, model, X, mask)
            y, w, found = _in_block(number, targets, rows.shape[0], y, w, mask)
            parts.append(model.head.weights_of_members(y, w))
            counts.append(rows.shape[0] if found is None else int(found.sum()))
    return Stream(source, prepare, first, _total_weight(parts), sum(counts), graph)


def _total_weight(parts):
    """Return the total weight of the rows, or for several heads an array.

    ``parts`` are what `Head.weights_of_members` returned for each block. The sum has the bits of one over an
    array of all.
    """
    totals = [total_weight(np.concatenate(weights)) for weights in zip(*parts)]
    if not all(totals):
        raise ValueError("sample_weight: got 0 for every row, expected at least one row of positive weight")
    return np.array(totals) if len(totals) > 1 else totals[0]


def _in_block(number, check, *arguments):
    """Return what a check returns; its objections name the block."""
    try:
        return check(*arguments)
    except (TypeError, ValueError) as error:
        if type(error) not in (TypeError, ValueError):
            raise
        raise type(error)(f"block {number}: {error}") from None


def _copied(name, values):
    """Return arrays as copies: whoever gives blocks may write the next one over the last."""
    if isinstance(values, dict):
        return {key: _copied(f"{name} of {key}", one) for key, one in values.items()}
    if values is None or isinstance(values, (list, tuple)):
        return values
    return values.copy() if isinstance(values, np.ndarray) else as_array(name, values).copy()


# ---- validation --------------------------------------------------------------------------------------------

def _check_validation(data, split, epochs: int):
    """Return the validation data, a tuple or a `Source`; or the fraction of the rows that they are, a float;
    or None.
    """
    split = check_real("validation_split", split)
    if not 0 <= split < 1:
        raise ValueError(f"validation_split: got {split:g}, expected a fraction from 0 to below 1")
    if data is None:
        return split or None
    if split:
        raise ValueError(f"validation_split: got {split:g} and validation_data, expected one of them")
    if not isinstance(data, tuple) and is_stream(data) and not _is_pair(data):
        return _repeating(Source(data), "validation_data", epochs)
    if not isinstance(data, (tuple, list)):
        raise TypeError(f"validation_data: got {type(data).__name__}, expected (X, y) or (X, y, "
                        "sample_weight)")
    if len(data) not in (2, 3, 4):
        raise ValueError(f"validation_data: got {len(data)} parts, expected (X, y), (X, y, sample_weight) or "
                         "(X, y, sample_weight, mask)")
    return (*data, None, None)[:4]


def _is_pair(data):
    """Return whether a list is (X, y) or (X, y, w), and none of blocks: these are tuples or lists each."""
    return isinstance(data, list) and len(data) in (2, 3) and not all(
        isinstance(part, (tuple, list)) and len(part) in (2, 3) for part in data)


def _split(rows, y, w, mask, fraction):
    """Return (rows, y, w, mask) to train on, and those of the last rows, this fraction, to validate with."""
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
    given = ("X", rows), ("y", y), ("sample_weight", w), ("mask", mask)
    return [[_part(name, values, part) for name, values in given] for part in parts]


def _part(name, values, part):
    if values is None:
        return None
    if isinstance(values, dict):
        return {key: _part(f"{name} of {key}", one, part) for key, one in values.items()}
    refuse_masked(name, values)
    taken = scipy.sparse.issparse(values) or isinstance(values, (list, tuple))
    return (values if taken else as_array(name, values))[part]
