"""The recurrence of an LSTM, forward and backward."""
import numpy as np
from numba import prange

from ..._numba.jit import kernel, parallel_kernel
from ..elementary import tanh
from .steps import (
    _add_slope,
    _alive,
    _copy,
    _count_groups,
    _entry,
    _group_rows,
    _multiply,
    _multiply_by,
    _panels,
    _products,
    _sigmoid_of_sum,
    _tanh_of_sum,
    _write_last,
)


@kernel
def _lstm_step(gate, tanh_cell, before, cell_before, h, c, product, H):
    """A row's step: gate = the input's part, then i, f, g, o; h and c are its states."""
    _copy(h, before)
    _copy(c, cell_before)
    _sigmoid_of_sum(gate[:2 * H], product[:2 * H])
    _tanh_of_sum(gate[2 * H:3 * H], product[2 * H:3 * H])
    _sigmoid_of_sum(gate[3 * H:], product[3 * H:4 * H])
    f, g = gate[H:2 * H], gate[2 * H:3 * H]
    _multiply_by(f, c)
    for k in range(H):
        c[k] += gate[k] * g[k]
    for k in range(H):
        tanh_cell[k] = tanh(c[k])
    _copy(gate[3 * H:], h)
    _multiply_by(tanh_cell, h)


@kernel
def _lstm_group(group, groups, steps, backwards, panels, gates, tanh_cells, states, cells, out,
                at_every_step):
    lengths, first, order, places = steps
    N, H = lengths.size, states.shape[1]
    count, rows = _group_rows(N, group, groups)
    h, c = np.zeros((rows, H), states.dtype), np.zeros((rows, H), states.dtype)
    product = _products(rows, panels)
    alive = count
    for j in range(lengths[order[group]]):
        alive = _alive(alive, j, group, groups, count, lengths, order)
        _multiply(h.reshape(-1), H, alive, panels, product)
        for i in range(alive):
            n = order[group + i * groups]
            e = _entry(n, j, backwards, lengths, first)
            _lstm_step(gates[e], tanh_cells[e], states[e], cells[e], h[i], c[i], product[i], H)
            if at_every_step:
                _copy(h[i], out[places[first[n] + j]])
    if not at_every_step:
        _write_last(h, count, group, groups, order, out)


@parallel_kernel
def lstm_forward(U, steps, backwards, gates, tanh_cells, states, cells, out, at_every_step):
    """The recurrence of an LSTM: i, f, o = sigmoid(x_i + h U_i) and so on, g = tanh(x_g + h U_g), c' = f c +
    i g, h' = o tanh(c').

    gates (P, 4 H) = x W + b, overwritten by i, f, g, o; tanh_cells = tanh(c'), states = h and cells = c, (P,
    H), are written. U may be padded; steps, out and ``at_every_step`` as of `gru_forward`.
    """
    panels = _panels(U, False, states.shape[1], 0, gates.shape[1])
    groups = _count_groups(steps[0].size)
    for group in prange(groups):
        _lstm_group(group, groups, steps, backwards, panels, gates, tanh_cells, states, cells, out,
                    at_every_step)


@kernel
def _lstm_slopes(gate, tanh_cell, cell, dh, dc, d, H):
    """From dL/dh' and dL/dc' (dc, what comes from later) to the slopes of the sums in the gates, written to
    ``gate`` and ``d``, (4 H,); dc becomes dL/dc.
    """
    i, f, g, o = gate[:H], gate[H:2 * H], gate[2 * H:3 * H], gate[3 * H:]
    di, df, dg, do = d[:H], d[H:2 * H], d[2 * H:3 * H], d[3 * H:4 * H]
    one = gate.dtype.type(1)
    for k in range(H):
        do[k] = dh[k] * tanh_cell[k] * (o[k] * (one - o[k]))
    for k in range(H):
        dc[k] += dh[k] * o[k] * (one - tanh_cell[k] * tanh_cell[k])
    for k in range(H):
        di[k] = dc[k] * g[k] * (i[k] * (one - i[k]))
    for k in range(H):
        dg[k] = dc[k] * i[k] * (one - g[k] * g[k])
    for k in range(H):
        df[k] = dc[k] * cell[k] * (f[k] * (one - f[k]))
    _multiply_by(f, dc)
    _copy(d, gate)


@kernel
def _lstm_group_backward(group, groups, steps, backwards, panels, gates, tanh_cells, cells, delta,
                         at_every_step):
    lengths, first, order, places = steps
    N, H = lengths.size, cells.shape[1]
    count, rows = _group_rows(N, group, groups)
    dh, dc = np.zeros((rows, H), cells.dtype), np.zeros((rows, H), cells.dtype)
    d = np.zeros((rows, 4 * H), cells.dtype)
    product = _products(rows, panels)
    alive = 0
    for j in range(lengths[order[group]] - 1, -1, -1):
        alive = _alive(alive, j, group, groups, count, lengths, order)
        for i in range(alive):
            n = order[group + i * groups]
            e = _entry(n, j, backwards, lengths, first)
            _add_slope(delta, n, j, lengths, first, places, at_every_step, dh[i])
            _lstm_slopes(gates[e], tanh_cells[e], cells[e], dh[i], dc[i], d[i], H)
        _multiply(d.reshape(-1), 4 * H, alive, panels, product)
        for i in range(alive):
            _copy(product[i], dh[i])


@parallel_kernel
def lstm_backward(U, steps, backwards, gates, tanh_cells, cells, delta, at_every_step):
    """The way back of `lstm_forward`, from delta = dL/dout: gates = dL/d of the sums in them."""
    panels = _panels(U, True, gates.shape[1], 0, cells.shape[1])
    groups = _count_groups(steps[0].size)
    for group in prange(groups):
        _lstm_group_backward(group, groups, steps, backwards, panels, gates, tanh_cells, cells, delta,
                             at_every_step)
