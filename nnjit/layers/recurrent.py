"""Recurrent layers, which go through the steps of a sequence: GRU and LSTM."""
from collections.abc import Callable

import numpy as np

from ..inputs.checks import check_count
from ..kernels import affine, convolution
from ..kernels.recurrent import gru, lstm, reset_gru
from ..kernels.recurrent import steps as packing
from ..memory import Array, Shape
from .base import Context, Layer
from .initializers import initial_weights, orthogonal

_STEPS = "lengths", "first", "order", "places"


class _Recurrent(Layer):
    """What both share: the parameters W, U and b, the packing of the valid steps, the dense products.

    A class has ``gates``, how many there are, ``kept``, the names of what a step leaves besides them, and the
    methods `_recur` and `_recur_back`.
    """

    frees_output = True
    decayed = ("W", "U")
    input_kind = "sequences"
    gates = 0
    kept: tuple[str, ...] = ()
    _recur: Callable[..., None]
    _recur_back: Callable[..., None]

    def __init__(self, units: int, return_sequences: bool, bias: bool, go_backwards: bool):
        name = type(self).__name__
        self.units = check_count(f"{name} units", units)
        for option, value in (("return_sequences", return_sequences), ("bias", bias),
                              ("go_backwards", go_backwards)):
            _check_flag(f"{name} {option}", value)
        self.return_sequences, self.bias, self.go_backwards = return_sequences, bias, go_backwards

    @property
    def mask_use(self) -> str:    # type: ignore[override]    # follows from the arguments
        """Masked steps are left out; where there is an output for each step, it is 0 there."""
        return "uses" if self.return_sequences else "consumes"

    def build(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2:
            raise ValueError(f"{type(self).__name__}: got rows of shape {input_shape}, expected sequences "
                             "(T, D)")
        T, D = input_shape
        H, width = self.units, self.gates * self.units
        self.shapes = {"W": (D, width), "U": (H, width), "b": self._bias_shape() if self.bias else (0,)}
        self.scratch = {"packed": ((T, D), None), "gates": ((T, width), None),
                        **dict.fromkeys(self.kept, ((T, H), None)),
                        **dict.fromkeys(_STEPS, ((), np.int64)), "places": ((T,), np.int64)}
        self.multiply_adds = T * (D + H) * width
        return (T, H) if self.return_sequences else (H,)

    def _bias_shape(self) -> Shape:
        return (self.gates * self.units,)

    def initialise(self, rng: np.random.Generator) -> None:
        name = type(self).__name__
        self.parameters["W"][:] = initial_weights(name, "glorot_uniform", rng, self.shapes["W"])
        self.parameters["U"][:] = orthogonal(rng, self.shapes["U"])

    def forward(self, x: Array, out: Array, ctx: Context) -> Array:
        N, T, D = x.shape
        steps = tuple(ctx.scratch[name].reshape(-1) for name in _STEPS)
        mask = np.ones((N, T), bool) if ctx.mask is None else ctx.mask
        P = packing.pack_steps(mask, *steps)
        rows = self._packed(x, P, ctx)
        if P < N * T:
            packing.gather_steps(x.reshape(N * T, D), steps[3], rows)
        gates, kept = self._arrays(P, ctx)
        affine.product(rows, False, self.padded["W"], False, self._input_bias(), gates)
        if self.return_sequences and P < N * T:
            out[...] = 0
        self._recur(steps, gates, kept, out.reshape(-1, self.units))
        return out

    def _packed(self, x, P, ctx):
        """Return the valid steps (P, D): of x itself where all are, else an array for them."""
        rows = x if P == x.shape[0] * x.shape[1] else ctx.scratch["packed"]
        return rows.reshape(-1, x.shape[2])[:P]

    def _arrays(self, P, ctx):
        """Return the gates (P, gates H), and what is kept besides them, (P, H) each."""
        gates = ctx.scratch["gates"]
        return gates.reshape(-1, gates.shape[-1])[:P], tuple(
            ctx.scratch[name].reshape(-1, self.units)[:P] for name in self.kept)

    def backward(self, x: Array, a: Array, delta: Array, dx: Array | None, ctx: Context) -> Array | None:
        N, T, D = x.shape
        steps = tuple(ctx.scratch[name].reshape(-1) for name in _STEPS)
        P = int(steps[0].sum())
        gates, kept = self._arrays(P, ctx)
        rows, none = self._packed(x, P, ctx), self.parameters["b"].reshape(-1)[:0]
        self._recur_back(steps, gates, kept, delta.reshape(-1, self.units))
        affine.product(rows, True, gates, False, none, self.padded_gradients["W"])
        self._input_bias_gradient(gates)
        if dx is not None:
            slopes = dx.reshape(N * T, D)
            # packed rows have been used: what goes to them takes their place
            target = slopes if P == N * T else rows
            affine.product(gates, False, self.padded["W"], True, none, target)
            if P < N * T:
                packing.scatter_steps(rows, steps[3], slopes)
        self._recurrent_gradients(gates, kept, none)
        return dx

    def _input_bias(self):
        return self.parameters["b"]

    def _input_bias_gradient(self, gates):
        if self.bias:
            convolution.bias_gradient(gates, self.gradients["b"])

    def _recurrent_gradients(self, gates, kept, none):
        states = kept[self.kept.index("states")]
        affine.product(states, True, gates, False, none, self.padded_gradients["U"])

    def _options(self):
        flags = [("return_sequences", False), ("reset_after", True), ("bias", True), ("go_backwards", False)]
        return "".join(f", {name}={getattr(self, name)}" for name, default in flags
                       if getattr(self, name, default) != default)

    def __repr__(self):
        return f"{type(self).__name__}({self.units}{self._options()})"


def _check_flag(name, value):
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: got {value!r}, expected True or False")


class GRU(_Recurrent):
    """Gated recurrent units: a state h (H,) that each step changes as far as its gates let it.

    z = sigmoid(x W_z + h U_z + b_z), r = sigmoid(x W_r + h U_r + b_r),
    c = tanh(x W_c + b_c + r (h U_c + b'_c)), h' = z h + (1 - z) c. The state begins at 0, and masked steps
    leave it as it is. Takes sequences (N, T, D), and gives the last states (N, H), or those after each step.

    Parameters
    ----------
    units : int
        Width of the state, H.
    return_sequences : bool
        Whether there is an output for every step, (N, T, H), 0 where a step is masked.
    reset_after : bool
        Whether r multiplies h U_c, as above, or h before the product: c = tanh(x W_c + b_c + (r h) U_c).
    bias : bool
        Whether there are biases, which begin at 0.
    go_backwards : bool
        Whether a sequence is gone through from its last valid step to its first; outputs come in that order.

    The parameters are Keras's: W (D, 3 H), U (H, 3 H) and b, (2, 3 H) or, without ``reset_after``, (3 H,), in
    the order z, r, c. U begins orthogonal, W as of `Dense`.

    Raises
    ------
    TypeError, ValueError
        ``units`` is no whole number of at least 1; a flag is neither True nor False; rows are no sequences.

    Source: K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation", EMNLP 2014.
    """

    config = ("units", "return_sequences", "reset_after", "bias", "go_backwards")
    gates, kept = 3, ("candidates", "states")

    def __init__(self, units: int, return_sequences: bool = False, reset_after: bool = True,
                 bias: bool = True, go_backwards: bool = False):
        super().__init__(units, return_sequences, bias, go_backwards)
        _check_flag("GRU reset_after", reset_after)
        self.reset_after = reset_after

    def _bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def _biases(self, arrays):
        """Return the biases of the input's part and of the state's, or arrays of size 0."""
        b = arrays["b"]
        if not self.bias:
            return b, b
        return (b[0], b[1]) if self.reset_after else (b, b[:0])

    def _input_bias(self):
        return self._biases(self.parameters)[0]

    def _input_bias_gradient(self, gates):
        if self.bias:
            convolution.bias_gradient(gates, self._biases(self.gradients)[0])

    def _recur(self, steps, gates, kept, out):
        if self.reset_after:
            gru.gru_forward(self.padded["U"], self._biases(self.parameters)[1], steps,
                                  self.go_backwards, gates, *kept, out, self.return_sequences)
        else:
            reset_gru.reset_gru_forward(self.padded["U"], steps, self.go_backwards, gates, kept[1], out,
                                        self.return_sequences)

    def _recur_back(self, steps, gates, kept, delta):
        back = gru.gru_backward if self.reset_after else reset_gru.reset_gru_backward
        back(self.padded["U"], steps, self.go_backwards, gates, *kept, delta, self.return_sequences)

    def _recurrent_gradients(self, gates, kept, none):
        H, (candidates, states) = self.units, kept
        dU = self.padded_gradients["U"]
        if self.reset_after:
            gru.multiply_candidates(gates, candidates)    # by r: what goes to h U_c + b'_c
            affine.product(states, True, gates, False, none, dU)
            if self.bias:
                convolution.bias_gradient(gates, self._biases(self.gradients)[1])
        else:
            affine.product(candidates, True, gates, False, none, dU)    # of r h, for U_c
            of_candidate = dU[:, 2 * H:3 * H].copy()
            affine.product(states, True, gates, False, none, dU)
            dU[:, 2 * H:3 * H] = of_candidate


class LSTM(_Recurrent):
    """Long short-term memory: a state h (H,) and a cell c (H,), which a gate lets forget.

    i = sigmoid(x W_i + h U_i + b_i), f and o likewise, g = tanh(x W_g + h U_g + b_g), c' = f c + i g, h' = o
    tanh(c'). State and cell begin at 0, and masked steps leave them as they are. Takes sequences (N, T, D),
    and gives the last states (N, H), or those after each step.

    Parameters
    ----------
    units, return_sequences, bias, go_backwards
        As of `GRU`; the bias of f begins at 1, so that nothing is forgotten at first.

    The parameters are Keras's: W (D, 4 H), U (H, 4 H) and b (4 H,), in the order i, f, g, o. U begins
    orthogonal, W as of `Dense`.

    Raises
    ------
    TypeError, ValueError
        As of `GRU`.

    Sources: S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997; R.
    Jozefowicz, W. Zaremba, I. Sutskever, "An empirical exploration of recurrent network architectures", ICML
    2015 (the bias of f).
    """

    config = ("units", "return_sequences", "bias", "go_backwards")
    gates, kept = 4, ("tanh_cells", "states", "cells")

    def __init__(self, units: int, return_sequences: bool = False, bias: bool = True,
                 go_backwards: bool = False):
        super().__init__(units, return_sequences, bias, go_backwards)

    def initialise(self, rng: np.random.Generator) -> None:
        super().initialise(rng)
        if self.bias:
            self.parameters["b"][self.units:2 * self.units] = 1

    def _recur(self, steps, gates, kept, out):
        lstm.lstm_forward(self.padded["U"], steps, self.go_backwards, gates, *kept, out,
                               self.return_sequences)

    def _recur_back(self, steps, gates, kept, delta):
        tanh_cells, _, cells = kept
        lstm.lstm_backward(self.padded["U"], steps, self.go_backwards, gates, tanh_cells, cells, delta,
                                self.return_sequences)
