"""JAX as a contender: the arrays on the device, a whole epoch under ``lax.scan`` inside one ``jit``."""
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .process import Clock
from .tasks import RecurrentTask, Task

jax.config.update("jax_enable_x64", True)    # arrays keep the dtype they are given; Python's numbers adapt


def _device(task):
    return tuple(jnp.asarray(array) for array in (task.x, task.y, task.x_test, task.y_test))


def _mean_loss(z, y):
    """Mean cross-entropy of logits z (B, K) and class numbers y (B,)."""
    return -jnp.mean(jnp.sum(jax.nn.one_hot(y, z.shape[1], dtype=z.dtype) * jax.nn.log_softmax(z), axis=1))


def _batches(x, y, batch):
    return x.reshape(-1, batch, x.shape[1]), y.reshape(-1, batch)


# ---- the experiment ----------------------------------------------------------------------------------------

def _iteration(weights, key, x, y, x_test, y_test, batch, learning_rate, dropout):
    """Train on every batch in order, then evaluate: (weights, (loss, train accuracy, test accuracy))."""
    def loss_of(weights, x, y, kept):
        h = jnp.tanh(x @ weights[0]) * kept / (1 - dropout)
        z = h @ weights[1]
        return _mean_loss(z, y), jnp.mean(z.argmax(1) == y)

    def step(weights, item):
        (loss, hits), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights, *item)
        return [W - learning_rate * dW for W, dW in zip(weights, gradients)], (loss, hits)

    kept = jax.random.bernoulli(key, 1 - dropout, (len(x) // batch, batch, weights[0].shape[1]))
    weights, (losses, hits) = lax.scan(step, weights, (*_batches(x, y, batch), kept))
    z_test = jnp.tanh(x_test @ weights[0]) @ weights[1]
    return weights, (losses.mean(), hits.mean(), jnp.mean(z_test.argmax(1) == y_test))


_SETTINGS = ("batch", "learning_rate", "dropout")
_one_iteration = jax.jit(_iteration, static_argnames=_SETTINGS, donate_argnums=0)


@partial(jax.jit, static_argnames=_SETTINGS)
def _all_iterations(weights, keys, *data, **settings):
    return lax.scan(lambda weights, key: _iteration(weights, key, *data, **settings), weights, keys)


def _prepared(task, seed):
    keys = jax.random.split(jax.random.key(seed), task.epochs)
    weights = [jnp.array(W) for W in task.weights(seed)]
    settings = {"batch": task.batch, "learning_rate": task.learning_rate, "dropout": task.dropout}
    return weights, keys, _device(task), settings


def experiment(task: Task, clock: Clock, seed: int) -> dict:
    """One call for each iteration, whose figures the user sees as they come."""
    weights, keys, data, settings = _prepared(task, seed)
    with clock:
        for key in keys:
            weights, figures = _one_iteration(weights, key, *data, **settings)
            loss, train_accuracy, accuracy = map(float, figures)
    return {"loss": loss, "accuracy": accuracy, "train_accuracy": train_accuracy}


def experiment_in_one_scan(task: Task, clock: Clock, seed: int) -> dict:
    """All iterations in one call: nothing is seen until the end."""
    weights, keys, data, settings = _prepared(task, seed)
    with clock:
        figures = jax.block_until_ready(_all_iterations(weights, keys, *data, **settings))[1]
    loss, train_accuracy, accuracy = (float(figure[-1]) for figure in figures)
    return {"loss": loss, "accuracy": accuracy, "train_accuracy": train_accuracy}


# ---- Adam --------------------------------------------------------------------------------------------------

def _logits(layers, x):
    for W, b in layers[:-1]:
        x = jax.nn.relu(x @ W + b)
    W, b = layers[-1]
    return x @ W + b


def _layers(task, seed):
    return [(jnp.array(W), jnp.zeros(W.shape[1], W.dtype)) for W in task.weights(seed)]


@partial(jax.jit, static_argnames="batch", donate_argnums=0)
def _train_epoch(state, key, x, y, batch, learning_rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Train a shuffled epoch with Adam; return the state, (layers, m, v, steps), and the mean loss."""
    def step(state, rows):
        layers, m, v, t = state
        loss, g = jax.value_and_grad(lambda layers: _mean_loss(_logits(layers, x[rows]), y[rows]))(layers)
        t = t + 1
        m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, g)
        v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, g)
        rate = (learning_rate * jnp.sqrt(1 - beta2 ** t) / (1 - beta1 ** t)).astype(x.dtype)
        layers = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + epsilon), layers, m, v)
        return (layers, m, v, t), loss

    order = jax.random.permutation(key, len(x)).reshape(-1, batch)
    state, losses = lax.scan(step, state, order)
    return state, losses.mean()


@jax.jit
def _predict(layers, x):
    return _logits(layers, x).argmax(1)


@jax.jit
def _accuracy(layers, x, y):
    return jnp.mean(_predict(layers, x) == y)


def _adam_state(task, seed):
    zeros = partial(jax.tree.map, jnp.zeros_like)
    layers = _layers(task, seed)
    return layers, zeros(layers), zeros(layers), jnp.zeros((), jnp.float32)


def epoch(task: Task, clock: Clock, seed: int) -> dict:
    x, y, x_test, y_test = _device(task)
    state = _adam_state(task, seed)
    with clock:
        for key in jax.random.split(jax.random.key(seed), task.epochs):
            state, loss = _train_epoch(state, key, x, y, task.batch, task.learning_rate)
        jax.block_until_ready((state, loss))
    return {"loss": float(loss), "accuracy": float(_accuracy(state[0], x_test, y_test))}


def time_to_accuracy(task: Task, clock: Clock, seed: int) -> dict:
    x, y, x_test, y_test = _device(task)
    state = _adam_state(task, seed)
    keys = jax.random.split(jax.random.key(seed), task.epochs)
    with clock:
        for number, key in enumerate(keys, start=1):
            rate = task.learning_rate * task.decay ** (number - 1)
            state, loss = _train_epoch(state, key, x, y, task.batch, rate)
            accuracy = float(_accuracy(state[0], x_test, y_test))
            if accuracy >= task.target:
                break
    return {"loss": float(loss), "accuracy": accuracy, "epochs": number}


# ---- prediction --------------------------------------------------------------------------------------------

def predict_one(task: Task, clock: Clock, seed: int) -> dict:
    layers = _layers(task, 0)
    clock.scale = 1 / len(task.x)
    with clock:
        predicted = [int(np.asarray(_predict(layers, task.x[i:i + 1]))[0]) for i in range(len(task.x))]
    return {"accuracy": np.mean(predicted == task.y)}


def predict_all(task: Task, clock: Clock, seed: int) -> dict:
    layers = _layers(task, 0)
    with clock:
        predicted = np.asarray(_predict(layers, task.x))
    return {"accuracy": np.mean(predicted == task.y)}


# ---- recurrent layers --------------------------------------------------------------------------------------

def _gru_step(U, states, item):
    given, valid = item
    h, = states
    H = h.shape[1]
    own = h @ U
    z, r = jnp.split(jax.nn.sigmoid(given[:, :2 * H] + own[:, :2 * H]), 2, axis=1)
    new = z * h + (1 - z) * jnp.tanh(given[:, 2 * H:] + r * own[:, 2 * H:])
    h = jnp.where(valid[:, None], new, h)
    return (h,), h


def _lstm_step(U, states, item):
    given, valid = item
    h, c = states
    i, f, g, o = jnp.split(given + h @ U, 4, axis=1)
    new = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    c = jnp.where(valid[:, None], new, c)
    h = jnp.where(valid[:, None], jax.nn.sigmoid(o) * jnp.tanh(new), h)
    return (h, c), h


@partial(jax.jit, static_argnames="kind")
def _recurrent_gradients(x, W, U, mask, delta, kind):
    def loss(x, W, U):
        step, states = (_gru_step, 1) if kind == "GRU" else (_lstm_step, 2)
        begin = (jnp.zeros((x.shape[0], U.shape[0]), x.dtype),) * states
        given = jnp.swapaxes(x @ W, 0, 1), mask.T
        return jnp.sum(jnp.swapaxes(lax.scan(partial(step, U), begin, given)[1], 0, 1) * delta)
    return jax.grad(loss, argnums=(0, 1, 2))(x, W, U)


def recur(task: RecurrentTask, clock: Clock, seed: int) -> dict:
    arrays = [jnp.asarray(array) for array in (task.x, task.W, task.U, task.mask, task.delta)]
    clock.scale = 1 / task.repeats
    with clock:
        for _ in range(task.repeats):
            found = jax.block_until_ready(_recurrent_gradients(*arrays, kind=task.kind))
    return {"loss": float(np.prod([float((values**2).mean()) ** 0.5 for values in found])) ** (1 / 3)}
