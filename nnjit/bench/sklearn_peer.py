"""scikit-learn's MLPClassifier as a contender."""
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

warnings.simplefilter("ignore", ConvergenceWarning)    # one epoch at a time is meant


def _model(task, seed):
    """Return a classifier that holds the task's weights, and an Adam that is made anew at the first `fit`."""
    model = MLPClassifier(task.sizes[1:-1], alpha=0, batch_size=task.batch, learning_rate_init=task.learning_rate,
                          max_iter=1, random_state=np.random.RandomState(seed))
    few = min(task.batch, task.x.shape[0])
    model.partial_fit(task.x[:few], task.y[:few], classes=np.arange(task.sizes[-1]))
    for own, given in zip(model.coefs_, task.weights(seed)):
        own[...] = given
    for own in model.intercepts_:
        own[...] = 0
    return model.set_params(warm_start=True)


def epoch(task, clock, seed):
    model = _model(task, seed)
    with clock:
        model.fit(task.x, task.y)
        for _ in range(1, task.epochs):
            model.partial_fit(task.x, task.y)
    return {"loss": model.loss_, "accuracy": np.mean(model.predict(task.x_test) == task.y_test)}


def race(task, clock, seed):
    model = _model(task, seed)
    with clock:
        for number in range(1, task.epochs + 1):
            train = model.fit if number == 1 else model.partial_fit
            train(task.x, task.y)
            accuracy = np.mean(model.predict(task.x_test) == task.y_test)
            if accuracy >= task.target:
                break
    return {"loss": model.loss_, "accuracy": accuracy, "epochs": number}


def predict_one(task, clock, seed):
    model = _model(task, 0)
    clock.scale = 1 / len(task.x)
    with clock:
        predicted = [int(model.predict(task.x[i:i + 1])[0]) for i in range(len(task.x))]
    return {"accuracy": np.mean(predicted == task.y)}


def predict_all(task, clock, seed):
    model = _model(task, 0)
    with clock:
        predicted = model.predict(task.x)
    return {"accuracy": np.mean(predicted == task.y)}
