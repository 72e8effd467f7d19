"""The recurrence of a GRU whose reset gate is behind the product, forward and backward."""
import numpy as np
from numba import prange

from ..._numba.jit import kernel, parallel_kernel
from .._chunks import _fraction
from .steps import (
    _add,
    _add_slope,
    _alive,
    _copy,
    _count_groups,
    _entry,
    _group_rows,
    _mix,
    _multiply,
    _multiply_by,
    _panels,
    _products,
    _sigmoid_of_sum,
    _tanh_of_gated_sum,
    _write_last,
)

_MULTIPLY_TASKS = 64


@kernel
def _gru_step(a, q, before, h, product, b, H):
    """A row's step: a = the input's part, then the gates z, r, c; q = h U_c + b_c; before = the old state."""
    _copy(h, before)
    recurrent = product[:3 * H]
    if b.size:
        _add(b, recurrent)
    _sigmoid_of_sum(a[:2 * H], recurrent[:2 * H])
    _copy(recurrent[2 * H:], q)
    _tanh_of_gated_sum(a[2 * H:], a[H:2 * H], q)
    _mix(a[:H], a[2 * H:], h)


@kernel
def _gru_group(group, groups, steps, backwards, panels, b, gates, candidates, states, out, at_every_step):
    lengths, first, order, places = steps
    N, H = lengths.size, states.shape[1]
    count, rows = _group_rows(N, group, groups)
    h = np.zeros((rows, H), states.dtype)
    product = _products(rows, panels)
    alive = count
    for j in range(lengths[order[group]]):
        alive = _alive(alive, j, group, groups, count, lengths, order)
        _multiply(h.reshape(-1), H, alive, panels, product)
        for i in range(alive):
            n = order[group + i * groups]
            e = _entry(n, j, backwards, lengths, first)
            _gru_step(gates[e], candidates[e], states[e], h[i], product[i], b, H)
            if at_every_step:
                _copy(h[i], out[places[first[n] + j]])
    if not at_every_step:
        _write_last(h, count, group, groups, order, out)


@parallel_kernel
def gru_forward(U, b, steps, backwards, gates, candidates, states, out, at_every_step):
    """The recurrence of a GRU with the reset gate behind the product: z = sigmoid(x_z + h U_z + b_z), r =
    sigmoid(x_r + h U_r + b_r), c = tanh(x_c + r (h U_c + b_c)), h' = z h + (1 - z) c.

    gates (P, 3 H) = x W, overwritten by z, r, c; candidates (P, H) = h U_c + b_c and states (P, H) = h are
    written. U may be padded; b: (3 H,) or (0,); steps = (lengths, first, order, places). out: (N T, H), whose
    masked rows are left alone, or (N, H), the last states.
    """
    panels = _panels(U, False, states.shape[1], 0, gates.shape[1])
    groups = _count_groups(steps[0].size)
    for group in prange(groups):
        _gru_group(group, groups, steps, backwards, panels, b, gates, candidates, states, out, at_every_step)


@kernel
def _gru_slopes(gate, q, before, dh, d, H):
    """From dL/dh' to those of the sums in the gates: of the input's part in ``gate`` and of the state's in
    ``d``, both (3 H,); q becomes r, and dh what goes to h by way of z.
    """
    z, r, c = gate[:H], gate[H:2 * H], gate[2 * H:]
    dz, dr, dq = d[:H], d[H:2 * H], d[2 * H:3 * H]
    one = gate.dtype.type(1)
    for k in range(H):
        dz[k] = dh[k] * (before[k] - c[k]) * (z[k] * (one - z[k]))
    for k in range(H):
        c[k] = dh[k] * (one - z[k]) * (one - c[k] * c[k])
    _multiply_by(z, dh)
    for k in range(H):
        dr[k] = c[k] * q[k] * (r[k] * (one - r[k]))
    for k in range(H):
        dq[k] = c[k] * r[k]
    _copy(r, q)
    _copy(d[:2 * H], gate[:2 * H])


@kernel
def _gru_group_backward(group, groups, steps, backwards, panels, gates, candidates, states, delta,
                        at_every_step):
    lengths, first, order, places = steps
    N, H = lengths.size, states.shape[1]
    count, rows = _group_rows(N, group, groups)
    dh, d = np.zeros((rows, H), states.dtype), np.zeros((rows, 3 * H), states.dtype)
    product = _products(rows, panels)
    alive = 0
    for j in range(lengths[order[group]] - 1, -1, -1):
        alive = _alive(alive, j, group, groups, count, lengths, order)
        for i in range(alive):
            n = order[group + i * groups]
            e = _entry(n, j, backwards, lengths, first)
            _add_slope(delta, n, j, lengths, first, places, at_every_step, dh[i])
            _gru_slopes(gates[e], candidates[e], states[e], dh[i], d[i], H)
        _multiply(d.reshape(-1), 3 * H, alive, panels, product)
        for i in range(alive):
            _add(product[i], dh[i])


@parallel_kernel
def gru_backward(U, steps, backwards, gates, candidates, states, delta, at_every_step):
    """The way back of `gru_forward`, from delta = dL/dout: gates = dL/d of the sums in z, r and c, and
    candidates = r, by which the slope of c is multiplied for what goes to h U_c + b_c.
    """
    panels = _panels(U, True, gates.shape[1], 0, states.shape[1])
    groups = _count_groups(steps[0].size)
    for group in prange(groups):
        _gru_group_backward(group, groups, steps, backwards, panels, gates, candidates, states, delta,
                            at_every_step)


@parallel_kernel
def multiply_candidates(gates, factors):
    """gates[:, 2 H:] *= factors (P, H)."""
    P, H = factors.shape
    parts = min(P, _MULTIPLY_TASKS)
    for part in prange(parts):
        first, last = _fraction(part, parts, P)
        for e in range(first, last):
            _multiply_by(factors[e], gates[e][2 * H:])
