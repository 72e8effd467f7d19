"""GRU and LSTM, a sequence and a step at a time, as their papers (and Keras) write them."""
import numpy as np


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(x, W, U, b, reset_after=True):
    """Return the states (T, H) after each step of one sequence x (T, D)."""
    H = U.shape[0]
    h, states = np.zeros(H), []
    given, own = (b[0], b[1]) if reset_after and b.size else (b if b.size else 0, np.zeros(3 * H))
    for step in x:
        from_x = step @ W + given
        from_h = h @ U + own
        z = _sigmoid(from_x[:H] + from_h[:H])
        r = _sigmoid(from_x[H:2 * H] + from_h[H:2 * H])
        recurrent = r * from_h[2 * H:] if reset_after else (r * h) @ U[:, 2 * H:]
        h = z * h + (1 - z) * np.tanh(from_x[2 * H:] + recurrent)
        states.append(h)
    return np.array(states)


def lstm(x, W, U, b):
    """Return the states (T, H) after each step of one sequence x (T, D)."""
    H = U.shape[0]
    h, c, states = np.zeros(H), np.zeros(H), []
    for step in x:
        i, f, g, o = np.split(step @ W + h @ U + (b if b.size else 0), 4)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states)
