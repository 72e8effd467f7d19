"""PyTorch as a contender: eager, tensors made once, optimisers fused."""
import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy


def _tensors(task):
    return tuple(torch.from_numpy(array) for array in (task.x, task.y, task.x_test, task.y_test))


def _network(task, seed, activation=nn.ReLU, bias=True, dropout=()):
    torch.manual_seed(seed)
    layers = []
    for W in task.weights(seed):
        linear = nn.Linear(*W.shape, bias=bias, dtype=torch.from_numpy(W).dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W.T))
            if bias:
                linear.bias.zero_()
        layers += [linear, activation(), *dropout]
    return nn.Sequential(*layers[:-1 - len(dropout)])


def experiment(task, clock, seed):
    x, y, x_test, y_test = _tensors(task)
    batches = list(zip(x.split(task.batch), y.split(task.batch)))
    model = _network(task, seed, nn.Tanh, bias=False, dropout=[nn.Dropout(task.dropout)])
    optimizer = torch.optim.SGD(model.parameters(), lr=task.learning_rate, fused=True)
    with clock:
        for _ in range(task.epochs):
            model.train()
            total, hits = torch.zeros(()), torch.zeros((), dtype=torch.int64)
            for images, labels in batches:
                z = model(images)
                loss = cross_entropy(z, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.detach()
                hits += (z.argmax(1) == labels).sum()
            loss, train_accuracy = total.item() / len(batches), hits.item() / len(x)
            accuracy = _accuracy(model, x_test, y_test)
    return {"loss": loss, "accuracy": accuracy, "train_accuracy": train_accuracy}


def _accuracy(model, x, y):
    model.eval()
    with torch.inference_mode():
        return (model(x).argmax(1) == y).sum().item() / len(y)


def _train_epoch(model, optimizer, x, y, batch):
    model.train()
    total = torch.zeros(())
    for rows in torch.randperm(len(x)).split(batch):
        loss = cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(rows)
    return total.item() / len(x)


def epoch(task, clock, seed):
    x, y, x_test, y_test = _tensors(task)
    model = _network(task, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=task.learning_rate, fused=True)
    with clock:
        for _ in range(task.epochs):
            loss = _train_epoch(model, optimizer, x, y, task.batch)
    return {"loss": loss, "accuracy": _accuracy(model, x_test, y_test)}


def race(task, clock, seed):
    x, y, x_test, y_test = _tensors(task)
    model = _network(task, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=task.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, task.decay)
    with clock:
        for number in range(1, task.epochs + 1):
            loss = _train_epoch(model, optimizer, x, y, task.batch)
            accuracy = _accuracy(model, x_test, y_test)
            if accuracy >= task.target:
                break
            schedule.step()
    return {"loss": loss, "accuracy": accuracy, "epochs": number}


def predict_one(task, clock, seed):
    model = _network(task, 0).eval()
    clock.scale = 1 / len(task.x)
    with clock, torch.inference_mode():
        predicted = [model(torch.from_numpy(x)).argmax().item() for x in task.x]
    return {"accuracy": np.mean(predicted == task.y)}


def predict_all(task, clock, seed):
    model = _network(task, 0).eval()
    with clock, torch.inference_mode():
        predicted = model(torch.from_numpy(task.x)).argmax(1).numpy()
    return {"accuracy": np.mean(predicted == task.y)}
