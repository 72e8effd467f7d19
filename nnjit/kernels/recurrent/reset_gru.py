"""The recurrence of a GRU whose reset gate is before the product, forward and backward."""
import numpy as np
from numba import prange

from ..._numba.jit import kernel, parallel_kernel
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
    _tanh_of_sum,
    _write_last,
)


@kernel
def _reset_group(group, groups, steps, backwards, panels, candidate_panels, gates, states, out,
                 at_every_step):
    lengths, first, order, places = steps
    N, H = lengths.size, states.shape[1]
    count, rows = _group_rows(N, group, groups)
    h, reset = np.zeros((rows, H), states.dtype), np.zeros((rows, H), states.dtype)
    product = _products(rows, panels)
    candidate = _products(rows, candidate_panels)
    alive = count
    for j in range(lengths[order[group]]):
        alive = _alive(alive, j, group, groups, count, lengths, order)
        _multiply(h.reshape(-1), H, alive, panels, product)
        for i in range(alive):
            e = _entry(order[group + i * groups], j, backwards, lengths, first)
            _copy(h[i], states[e])
            _sigmoid_of_sum(gates[e][:2 * H], product[i])
            _copy(h[i], reset[i])
            _multiply_by(gates[e][H:2 * H], reset[i])
        _multiply(reset.reshape(-1), H, alive, candidate_panels, candidate)
        for i in range(alive):
            n = order[group + i * groups]
            e = _entry(n, j, backwards, lengths, first)
            _tanh_of_sum(gates[e][2 * H:], candidate[i])
            _mix(gates[e][:H], gates[e][2 * H:], h[i])
            if at_every_step:
                _copy(h[i], out[places[first[n] + j]])
    if not at_every_step:
        _write_last(h, count, group, groups, order, out)


@parallel_kernel
def reset_gru_forward(U, steps, backwards, gates, states, out, at_every_step):
    """As `gru_forward`, with the reset gate before the product: c = tanh(x_c + (r h) U_c)."""
    H = states.shape[1]
    panels, candidate_panels = _panels(U, False, H, 0, 2 * H), _panels(U, False, H, 2 * H, 3 * H)
    groups = _count_groups(steps[0].size)
    for group in prange(groups):
        _reset_group(group, groups, steps, backwards, panels, candidate_panels, gates, states, out,
                     at_every_step)


@kernel
def _reset_slopes(gate, before, dh, d, H):
    """From dL/dh' to the slopes of the sums in z, which goes to d (2 H,), and in c, which takes its place."""
    z, c, dz, one = gate[:H], gate[2 * H:], d[:H], gate.dtype.type(1)
    for k in range(H):
        dz[k] = dh[k] * (before[k] - c[k]) * (z[k] * (one - z[k]))
    for k in range(H):
        c[k] = dh[k] * (one - z[k]) * (one - c[k] * c[k])
    _multiply_by(z, dh)


@kernel
def _reset_slopes_of_r(gate, reset, before, dh, slope, d, H):
    """The same for the sum in r, from ``slope`` = dL/d(r h); reset = r h."""
    r, dr, one = gate[H:2 * H], d[H:2 * H], gate.dtype.type(1)
    for k in range(H):
        dr[k] = slope[k] * before[k] * (r[k] * (one - r[k]))
    for k in range(H):
        dh[k] += slope[k] * r[k]
    for k in range(H):
        reset[k] = before[k] * r[k]
    _copy(d[:2 * H], gate[:2 * H])


@kernel
def _reset_group_backward(group, groups, steps, backwards, panels, candidate_panels, gates, resets, states,
                          delta, at_every_step):
    lengths, first, order, places = steps
    N, H = lengths.size, states.shape[1]
    count, rows = _group_rows(N, group, groups)
    dh, dc = np.zeros((rows, H), states.dtype), np.zeros((rows, H), states.dtype)
    d = np.zeros((rows, 2 * H), states.dtype)
    product = _products(rows, panels)
    alive = 0
    for j in range(lengths[order[group]] - 1, -1, -1):
        alive = _alive(alive, j, group, groups, count, lengths, order)
        for i in range(alive):
            n = order[group + i * groups]
            e = _entry(n, j, backwards, lengths, first)
            _add_slope(delta, n, j, lengths, first, places, at_every_step, dh[i])
            _reset_slopes(gates[e], states[e], dh[i], d[i], H)
            _copy(gates[e][2 * H:], dc[i])
        _multiply(dc.reshape(-1), H, alive, candidate_panels, product)
        for i in range(alive):
            e = _entry(order[group + i * groups], j, backwards, lengths, first)
            _reset_slopes_of_r(gates[e], resets[e], states[e], dh[i], product[i], d[i], H)
        _multiply(d.reshape(-1), 2 * H, alive, panels, product)
        for i in range(alive):
            _add(product[i], dh[i])


@parallel_kernel
def reset_gru_backward(U, steps, backwards, gates, resets, states, delta, at_every_step):
    """The way back of `reset_gru_forward`: gates = dL/d of the sums, resets (P, H) = r h."""
    H = states.shape[1]
    panels, candidate_panels = _panels(U, True, 2 * H, 0, H), _panels(U[:, 2 * H:], True, H, 0, H)
    groups = _count_groups(steps[0].size)
    for group in prange(groups):
        _reset_group_backward(group, groups, steps, backwards, panels, candidate_panels, gates, resets,
                              states, delta, at_every_step)
