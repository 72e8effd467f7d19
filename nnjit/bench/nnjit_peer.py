"""nnjit itself, as its users would write it."""
import numpy as np

import nnjit as nn

from .._numba.threads import parallel_region
from ..graph import Graph
from .estimators import EstimatorTask
from .process import Clock
from .tasks import (
    ConvolutionTask,
    ImageTask,
    NormalizationTask,
    RecurrentTask,
    Task,
    TwoConvolutionsTask,
)


def _model(task, seed, bias=True, dropout=()):
    activation, layers = {"relu": nn.ReLU, "tanh": nn.Tanh}[task.activation], []
    for units in task.sizes[1:]:
        layers += [nn.Dense(units, bias=bias), activation(), *dropout]
    model = nn.Sequential(layers[:-1 - len(dropout)], head=nn.Categorical(), dtype=task.x.dtype)
    return _with_weights(model.build(task.sizes[0], seed), task, seed)


def _with_weights(model, task, seed):
    """Give a built model the task's initial weights, and return it."""
    matrices = (array for name, array in model.parameters().items() if name.endswith(".W"))
    for own, given in zip(matrices, task.weights(seed)):
        own[...] = given
    return model


def experiment(task: Task, clock: Clock, seed: int) -> dict:
    model = _model(task, seed, bias=False, dropout=[nn.Dropout(task.dropout)])
    clock.scale = task.scale
    with clock:
        history = model.fit(task.x, task.y, optimizer=nn.SGD(task.learning_rate), epochs=task.epochs,
                            batch_size=task.batch, validation_data=(task.x_test, task.y_test), shuffle=False,
                            seed=seed, verbose=0).history
    return {"loss": history["loss"][-1], "accuracy": history["val_accuracy"][-1],
            "train_accuracy": history["accuracy"][-1]}


def epoch(task: Task, clock: Clock, seed: int) -> dict:
    model = _model(task, seed)
    with clock:
        history = model.fit(task.x, task.y, optimizer=nn.Adam(task.learning_rate), epochs=task.epochs,
                            batch_size=task.batch, seed=seed, verbose=0).history
    return {"loss": history["loss"][-1], "accuracy": model.evaluate(task.x_test, task.y_test)["accuracy"]}


def time_to_accuracy(task: Task, clock: Clock, seed: int) -> dict:
    model, optimizer = _model(task, seed), nn.Adam(task.learning_rate)

    def after_epoch(model, epoch, logs):
        optimizer.learning_rate *= task.decay
        return logs["val_accuracy"] >= task.target

    with clock:
        history = model.fit(task.x, task.y, optimizer=optimizer, epochs=task.epochs, batch_size=task.batch,
                            validation_data=(task.x_test, task.y_test), seed=seed, callbacks=[after_epoch],
                            verbose=0).history
    return {"loss": history["loss"][-1], "accuracy": history["val_accuracy"][-1],
            "epochs": len(history["loss"])}


def predict_one(task: Task, clock: Clock, seed: int) -> dict:
    model = _model(task, 0)
    clock.scale = 1 / len(task.x)
    with clock:
        predicted = [int(model.predict(task.x[i:i + 1])[0]) for i in range(len(task.x))]
    return {"accuracy": np.mean(predicted == task.y)}


def predict_all(task: Task, clock: Clock, seed: int) -> dict:
    model = _model(task, 0)
    with clock:
        predicted = model.predict(task.x)
    return {"accuracy": np.mean(predicted == task.y)}


def estimate(task: EstimatorTask, clock: Clock, seed: int) -> dict:
    from ..estimators import MLPClassifier  # which needs scikit-learn
    return task.run(MLPClassifier, clock, seed)


# ---- images ------------------------------------------------------------------------------------------------

def _image_model(task, seed):
    layers = []
    for filters in task.filters:
        layers += [nn.Conv2D(filters, 3), nn.ReLU(), nn.MaxPool2D(2)]
    layers.append(nn.Flatten())
    for units in task.units[:-1]:
        layers += [nn.Dense(units), nn.ReLU()]
    layers.append(nn.Dense(task.units[-1]))
    head = nn.Bernoulli() if task.units[-1] == 1 else nn.Categorical()
    return _with_weights(nn.Sequential(layers, head, task.dtype).build(task.x.shape[1:], seed), task, seed)


def _image_optimizer(task):
    steps = task.epochs * -(-len(task.x) // task.batch)
    return nn.Adam(nn.schedules.cosine(task.learning_rate, steps) if task.cosine else task.learning_rate)


def image_epoch(task: ImageTask, clock: Clock, seed: int) -> dict:
    model, optimizer = _image_model(task, seed), _image_optimizer(task)
    with clock:
        history = model.fit(task.x, task.y, optimizer, batch_size=task.batch, seed=seed, verbose=0).history
    return {"loss": history["loss"][-1], "accuracy": model.evaluate(task.x_test, task.y_test)["accuracy"]}


def image_time_to_accuracy(task: ImageTask, clock: Clock, seed: int) -> dict:
    model, optimizer = _image_model(task, seed), _image_optimizer(task)

    def after_epoch(model, epoch, logs):
        return logs["val_accuracy"] >= task.target

    with clock:
        history = model.fit(task.x, task.y, optimizer, epochs=task.epochs, batch_size=task.batch,
                            validation_data=(task.x_test, task.y_test), seed=seed, callbacks=[after_epoch],
                            verbose=0).history
    return {"loss": history["loss"][-1], "accuracy": history["val_accuracy"][-1],
            "epochs": len(history["loss"])}


def image_predict(task: ImageTask, clock: Clock, seed: int) -> dict:
    model = _image_model(task, 0)
    x = (task.x / 255).astype(task.dtype)
    with clock:
        model.predict(x)
    return {"loss": model.evaluate(task.x, task.y)["loss"]}


def convolve(task: ConvolutionTask, clock: Clock, seed: int) -> dict:
    """Return as its loss the root mean squares of the output and of both gradients, multiplied."""
    from nnjit.kernels import convolution
    none, a, dx, dW = task.W.ravel()[:0], np.empty_like(task.x), np.empty_like(task.x), np.empty_like(task.W)
    with clock:
        convolution.correlate(task.x, task.W, False, none, a, corner=(1, 1))
        convolution.gradients(task.x, task.delta, dW, none, corner=(1, 1))
        convolution.correlate(task.delta, task.W, True, none, dx, corner=(1, 1))
    return {"loss": (a**2).mean() ** 0.5 * (dW**2).mean() ** 0.5 * (dx**2).mean() ** 0.5}


def convolve_twice(task: TwoConvolutionsTask, clock: Clock, seed: int) -> dict:
    """Return as its loss the root mean squares of the output and of both gradients, multiplied."""
    layers = [nn.Conv2D(task.delta.shape[-1], 3, bias=False), nn.ReLU(),
              nn.Conv2D(task.delta.shape[-1], 3, bias=False), nn.Flatten()]
    graph = Graph(layers, nn.Gaussian(), task.x.dtype)
    graph.build(task.x.shape[1:], seed)
    for layer, W in zip((layers[0], layers[2]), task.weights):
        layer.parameters["W"][...] = W
    workspace, delta = graph.workspaces()[len(task.x)], task.delta.reshape(len(task.x), -1).copy()
    with clock:
        a = graph.forward(task.x, workspace, 0)
        graph.backward(delta, workspace)
    found = [a, layers[0].gradients["W"], layers[2].gradients["W"]]
    return {"loss": float(np.prod([(values**2).mean() ** 0.5 for values in found]))}


def normalize(task: NormalizationTask, clock: Clock, seed: int) -> dict:
    """Return as its loss the geometric mean of the root mean squares of the output and of all gradients."""
    layer = getattr(nn, task.layer)()
    graph = Graph([layer, nn.Flatten()], nn.Gaussian(), task.x.dtype)
    graph.build(task.x.shape[1:], seed)
    context = graph.workspaces()[len(task.x)].contexts[0]
    context.step, context.w = 0, np.ones(len(task.x), task.x.dtype)
    a, dx = np.empty_like(task.x), np.empty_like(task.x)
    with clock:
        layer.forward(task.x, a, context)
        layer.backward(task.x, a, task.delta, dx, context)
    found = [a, dx, *layer.gradients.values()]
    return {"loss": float(np.prod([(values**2).mean() ** 0.5 for values in found])) ** 0.25}


def recur(task: RecurrentTask, clock: Clock, seed: int) -> dict:
    """Return as its loss the geometric mean of the root mean squares of dL/dW, dL/dU and dL/dx."""
    layer = getattr(nn, task.kind)(task.delta.shape[2], return_sequences=True)
    graph = Graph([layer], nn.Gaussian(), task.x.dtype)
    graph.build(task.x.shape[1:], seed)
    layer.parameters["W"][:], layer.parameters["U"][:], layer.parameters["b"][:] = task.W, task.U, 0
    context = graph.workspaces()[len(task.x)].contexts[0]
    context.mask = None if (task.lengths == task.x.shape[1]).all() else task.mask
    a, dx = np.empty_like(task.delta), np.empty_like(task.x)
    clock.scale = 1 / task.repeats
    with parallel_region(), clock:
        for _ in range(task.repeats):
            layer.forward(task.x, a, context)
            layer.backward(task.x, a, task.delta, dx, context)
    found = layer.gradients["W"], layer.gradients["U"], dx
    return {"loss": float(np.prod([(values**2).mean() ** 0.5 for values in found])) ** (1 / 3)}
