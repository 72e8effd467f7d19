"""scikit-learn's MLPClassifier as a contender."""
import numpy as np
from sklearn.neural_network import MLPClassifier

from .estimators import EstimatorTask
from .process import Clock
from .tasks import Task


def _model(task, seed):
    """Return a classifier that holds the task's weights; every `partial_fit` is an epoch of Adam."""
    model = MLPClassifier(task.sizes[1:-1], alpha=0, batch_size=task.batch,
                          learning_rate_init=task.learning_rate, random_state=np.random.RandomState(seed))
    few = min(task.batch, task.x.shape[0])
    model.partial_fit(task.x[:few], task.y[:few], classes=np.arange(task.sizes[-1]))
    for own, given in zip(model.coefs_, task.weights(seed)):
        own[...] = given
    for own in model.intercepts_:
        own[...] = 0
    del model._optimizer    # the next epoch begins with a new one
    return model


def epoch(task: Task, clock: Clock, seed: int) -> dict:
    model = _model(task, seed)
    with clock:
        for _ in range(task.epochs):
            model.partial_fit(task.x, task.y)
    return {"loss": model.loss_, "accuracy": np.mean(model.predict(task.x_test) == task.y_test)}


def time_to_accuracy(task: Task, clock: Clock, seed: int) -> dict:
    model = _model(task, seed)
    with clock:
        for number in range(1, task.epochs + 1):
            model.partial_fit(task.x, task.y)
            accuracy = np.mean(model.predict(task.x_test) == task.y_test)
            if accuracy >= task.target:
                break
            model._optimizer.learning_rate_init *= task.decay    # it has no public schedule for Adam
    return {"loss": model.loss_, "accuracy": accuracy, "epochs": number}


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
    return task.run(MLPClassifier, clock, seed)
