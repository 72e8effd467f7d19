"""Sequences (N, T, D): which of their steps are valid, lists of different lengths, values of every step."""
import numpy as np

from .checks import as_array, as_numbers, check_length, refuse_masked


def is_ragged(X) -> bool:
    """Return whether X is a list of arrays (T, D) whose lengths differ."""
    if not isinstance(X, (list, tuple)) or not X:
        return False
    shapes = [np.shape(one) for one in X if isinstance(one, np.ndarray)]
    return len(shapes) == len(X) and len(shapes[0]) == 2 and len(set(shapes)) > 1


def padded(X, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a list of arrays (T_n, D) as (N, T, D), with zeros behind each, and their lengths (N,).

    T is ``steps``, or the longest one's where that is more. ValueError where one has another D.
    """
    arrays = [as_numbers(f"X[{n}]", one) for n, one in enumerate(X)]
    for n, one in enumerate(arrays):
        if one.ndim != 2 or one.shape[1] != arrays[0].shape[1]:
            raise ValueError(f"X[{n}]: got shape {one.shape}, expected (steps, {arrays[0].shape[1]}) as of "
                             "the first")
    lengths = np.array([len(one) for one in arrays])
    T = max(steps, int(lengths.max()))
    found = np.zeros((len(arrays), T, arrays[0].shape[1]), np.result_type(*arrays))
    for row, one in zip(found, arrays):
        row[:len(one)] = one
    return found, lengths


def check_mask(mask, N: int, T: int) -> np.ndarray:
    """Return ``mask`` as (N, T) bool, from such an array or from lengths (N,) of whole numbers.

    TypeError or ValueError for anything else, and where a sequence has no valid step.
    """
    refuse_masked("mask", mask)
    mask = as_array("mask", mask)
    if mask.dtype.kind not in "bui":
        raise TypeError(f"mask: got {mask.dtype}, expected ({N}, {T}) of True and False, or lengths ({N},)")
    if mask.ndim == 1 and mask.dtype.kind != "b":
        check_length("mask", mask, N)
        if mask.max(initial=0) > T:
            raise ValueError(f"mask: got a length of {mask.max()}, expected at most {T}")
        mask = np.arange(T) < mask[:, None]
    if mask.shape != (N, T) or mask.dtype.kind != "b":
        raise ValueError(f"mask: got {mask.dtype} of shape {mask.shape}, expected ({N}, {T}) of True and "
                         f"False, or lengths ({N},)")
    empty = np.flatnonzero(~mask.any(axis=1))
    if empty.size:
        raise ValueError(f"mask: got sequence {empty[0]} without a valid step, expected at least one in each")
    return np.ascontiguousarray(mask)


def without_padding(rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return rows (N, T, D) with 0 in every masked step, whatever it held; a copy if there is one."""
    return rows if mask.all() else np.where(mask[..., None], rows, rows.dtype.type(0))


class PerStep:
    """Values of every step of N sequences, (N T, ...), of which those of some sequences are taken."""

    def __init__(self, values, T: int):
        self.values, self.T = values, T

    def __getitem__(self, rows):
        if isinstance(rows, slice):
            first, last, _ = rows.indices(2**62)
            return self.values[first * self.T:last * self.T]
        return self.values[(np.asarray(rows)[:, None] * self.T + np.arange(self.T)).reshape(-1)]


def flat_steps(name: str, values, valid: np.ndarray):
    """Return ``values`` (N, T) or (N, T, K), or a dict of such, with a row for every step: (N T,), (N T, K).

    What is not ``valid`` (N, T) is replaced by what the first valid step has. ValueError for other shapes.
    """
    if isinstance(values, dict):
        return {key: flat_steps(f"{name} of {key}", one, valid) for key, one in values.items()}
    N, T = valid.shape
    refuse_masked(name, values)
    if isinstance(values, (list, tuple)) and len({np.shape(one)[:1] for one in values}) > 1:
        values = _padded_values(name, values, T)
    values = as_array(name, values)
    if values.shape[:2] != (N, T):
        raise ValueError(f"{name}: got shape {values.shape}, expected ({N}, {T}, ...), a value for each "
                         "step, because the last layer gives an output at every step; for one a sequence let "
                         "GRU, GlobalAveragePool1D or Flatten be before it")
    flat, flags = values.reshape(N * T, *values.shape[2:]), valid.reshape(-1)
    if flags.all():
        return flat
    flat = flat.copy()
    flat[~flags] = flat[flags.argmax()]
    return flat


def _padded_values(name, values, T):
    arrays = [as_array(name, one) for one in values]
    if max(map(len, arrays)) > T:
        raise ValueError(f"{name}: got {max(map(len, arrays))} steps, expected at most {T}")
    found = np.zeros((len(arrays), T, *arrays[0].shape[1:]), np.result_type(*arrays))
    for row, one in zip(found, arrays):
        row[:len(one)] = one
    return found


def step_weights(sample_weight, valid: np.ndarray) -> np.ndarray | None:
    """Return weights (N,) or (N, T), or None for ones, as (N T,), with 0 for what is not ``valid`` (N, T)."""
    N, T = valid.shape
    w = np.ones(N) if sample_weight is None else as_numbers("sample_weight", sample_weight)
    check_length("sample_weight", w, N)
    if w.shape not in ((N,), (N, T)):
        raise ValueError(f"sample_weight: got shape {w.shape}, expected ({N},) or ({N}, {T})")
    w = np.broadcast_to(w.reshape(N, -1), valid.shape)
    return np.where(valid, w, w.dtype.type(0)).reshape(-1)
