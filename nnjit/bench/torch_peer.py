"""PyTorch as a contender: eager, tensors made once, optimisers fused."""
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, conv2d, cross_entropy

from .process import Clock
from .tasks import (
    ConvolutionTask,
    ImageTask,
    NormalizationTask,
    RecurrentTask,
    Task,
    TwoConvolutionsTask,
)


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


def experiment(task: Task, clock: Clock, seed: int) -> dict:
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


def epoch(task: Task, clock: Clock, seed: int) -> dict:
    x, y, x_test, y_test = _tensors(task)
    model = _network(task, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=task.learning_rate, fused=True)
    with clock:
        for _ in range(task.epochs):
            loss = _train_epoch(model, optimizer, x, y, task.batch)
    return {"loss": loss, "accuracy": _accuracy(model, x_test, y_test)}


def time_to_accuracy(task: Task, clock: Clock, seed: int) -> dict:
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


def predict_one(task: Task, clock: Clock, seed: int) -> dict:
    model = _network(task, 0).eval()
    clock.scale = 1 / len(task.x)
    with clock, torch.inference_mode():
        predicted = [model(torch.from_numpy(x)).argmax().item() for x in task.x]
    return {"accuracy": np.mean(predicted == task.y)}


def predict_all(task: Task, clock: Clock, seed: int) -> dict:
    model = _network(task, 0).eval()
    with clock, torch.inference_mode():
        predicted = model(torch.from_numpy(task.x)).argmax(1).numpy()
    return {"accuracy": np.mean(predicted == task.y)}


# ---- images ------------------------------------------------------------------------------------------------
#
# In either layout of memory; the images become tensors of 0 to 1 once, outside what is timed.

def _image_network(task, seed, layout):
    layers, convolutions = [], len(task.filters)
    channels, pixels = task.filters[-1], [side // 2**convolutions for side in task.x.shape[1:3]]
    for i, W in enumerate(task.weights(seed)):
        if i < convolutions:
            layer = nn.Conv2d(*W.shape[2:], 3, padding=1, dtype=getattr(torch, task.dtype))
            own = W.transpose(3, 2, 0, 1)
        else:
            layer = nn.Linear(*W.shape, dtype=getattr(torch, task.dtype))
            if i == convolutions:    # the channels, last there, come first here
                W = W.reshape(*pixels, channels, -1).transpose(2, 0, 1, 3).reshape(W.shape)
                layers.append(nn.Flatten())
            own = W.T
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(own)))
            layer.bias.zero_()
        layers += [layer, nn.ReLU(), *([nn.MaxPool2d(2)] if i < convolutions else [])]
    return nn.Sequential(*layers[:-1]).to(memory_format=layout)


def _image_tensors(task, layout):
    def images(x):
        x = torch.from_numpy((x / 255).astype(task.dtype)).permute(0, 3, 1, 2)
        return x.contiguous(memory_format=layout)
    return images(task.x), torch.from_numpy(task.y), images(task.x_test), torch.from_numpy(task.y_test)


def _image_loss(z, y):
    return cross_entropy(z, y) if z.shape[1] > 1 else binary_cross_entropy_with_logits(z[:, 0], y.to(z.dtype))


def _image_accuracy(model, x, y, block=500):
    hits = 0
    with torch.inference_mode():
        for images, labels in zip(x.split(block), y.split(block)):
            z = model(images)
            hits += ((z.argmax(1) if z.shape[1] > 1 else z[:, 0] > 0) == labels).sum().item()
    return hits / len(y)


def _image_epoch(model, optimizer, schedule, x, y, batch):
    total = torch.zeros(())
    for rows in torch.randperm(len(x)).split(batch):
        loss = _image_loss(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        total += loss.detach() * len(rows)
    return total.item() / len(x)


def _image_training(task, seed, layout):
    torch.manual_seed(seed)
    model = _image_network(task, seed, layout)
    optimizer = torch.optim.Adam(model.parameters(), lr=task.learning_rate, fused=True)
    steps = task.epochs * -(-len(task.x) // task.batch)
    schedule = None
    if task.cosine:
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, task.learning_rate / 100)
    return model, partial(_image_epoch, model, optimizer, schedule)


def image_epoch(task: ImageTask, clock: Clock, seed: int, layout=torch.contiguous_format) -> dict:
    x, y, x_test, y_test = _image_tensors(task, layout)
    model, train = _image_training(task, seed, layout)
    with clock:
        loss = train(x, y, task.batch)
    return {"loss": loss, "accuracy": _image_accuracy(model, x_test, y_test)}


def image_time_to_accuracy(task: ImageTask, clock: Clock, seed: int, layout=torch.contiguous_format) -> dict:
    x, y, x_test, y_test = _image_tensors(task, layout)
    model, train = _image_training(task, seed, layout)
    with clock:
        for number in range(1, task.epochs + 1):
            loss = train(x, y, task.batch)
            accuracy = _image_accuracy(model, x_test, y_test)
            if accuracy >= task.target:
                break
    return {"loss": loss, "accuracy": accuracy, "epochs": number}


def image_predict(task: ImageTask, clock: Clock, seed: int, layout=torch.contiguous_format,
                  block: int = 500) -> dict:
    """In blocks, which are faster than all at once."""
    model = _image_network(task, 0, layout).eval()
    x, y, _, _ = _image_tensors(task, layout)
    with clock, torch.inference_mode():
        np.concatenate([model(images).argmax(1).numpy() for images in x.split(block)])
    with torch.inference_mode():
        return {"loss": sum(_image_loss(model(images), labels).item() * len(labels)
                            for images, labels in zip(x.split(block), y.split(block))) / len(y)}


def convolve(task: ConvolutionTask, clock: Clock, seed: int, layout=torch.contiguous_format) -> dict:
    x, delta = (torch.from_numpy(array).permute(0, 3, 1, 2).contiguous(memory_format=layout)
                for array in (task.x, task.delta))
    W = torch.from_numpy(task.W.transpose(3, 2, 0, 1).copy()).to(memory_format=layout)
    x.requires_grad_(), W.requires_grad_()
    with clock:
        a = conv2d(x, W, padding=1)
        a.backward(delta)
    return {"loss": np.prod([(values.detach()**2).mean().item() ** 0.5 for values in (a, W.grad, x.grad)])}


def convolve_twice(task: TwoConvolutionsTask, clock: Clock, seed: int,
                   layout=torch.contiguous_format) -> dict:
    x, delta = (torch.from_numpy(array).permute(0, 3, 1, 2).contiguous(memory_format=layout)
                for array in (task.x, task.delta))
    first, second = (torch.from_numpy(W.transpose(3, 2, 0, 1).copy()).to(memory_format=layout)
                     for W in task.weights)
    first.requires_grad_(), second.requires_grad_()
    with clock:
        a = conv2d(conv2d(x, first, padding=1).relu(), second, padding=1)
        a.backward(delta)
    found = a, first.grad, second.grad
    return {"loss": np.prod([(values.detach()**2).mean().item() ** 0.5 for values in found])}


def normalize(task: NormalizationTask, clock: Clock, seed: int, layout=torch.contiguous_format) -> dict:
    x, delta, channels = torch.from_numpy(task.x), torch.from_numpy(task.delta), task.x.shape[-1]
    if x.ndim == 4:
        x, delta = (array.permute(0, 3, 1, 2).contiguous(memory_format=layout) for array in (x, delta))
    make = nn.LayerNorm if task.layer == "LayerNormalization" else (
        nn.BatchNorm2d if x.ndim == 4 else nn.BatchNorm1d)
    layer = make(channels, eps=1e-3, dtype=x.dtype)
    x.requires_grad_()
    with clock:
        a = layer(x)
        a.backward(delta)
    found = a.detach(), x.grad, layer.weight.grad, layer.bias.grad
    return {"loss": np.prod([(values**2).mean().item() ** 0.5 for values in found]) ** 0.25}


def _recurrent_layer(task):
    """Return the layer with the task's weights, whose gates it has transposed and in another order."""
    order = [1, 0, 2] if task.kind == "GRU" else [0, 1, 2, 3]
    layer = getattr(nn, task.kind)(*task.x.shape[2:], task.delta.shape[2], batch_first=True,
                                   dtype=torch.from_numpy(task.W).dtype)
    with torch.no_grad():
        for name, array in (("weight_ih_l0", task.W), ("weight_hh_l0", task.U)):
            gates = np.split(array, len(order), axis=1)
            getattr(layer, name).copy_(torch.from_numpy(np.concatenate([gates[k].T for k in order])))
        layer.bias_ih_l0.zero_(), layer.bias_hh_l0.zero_()
    return layer


def recur(task: RecurrentTask, clock: Clock, seed: int, packed: bool = False) -> dict:
    """Padded: the steps behind the end of a sequence are computed, too, and delta is 0 there."""
    layer, x, delta = _recurrent_layer(task), torch.from_numpy(task.x), torch.from_numpy(task.delta)
    lengths = torch.from_numpy(task.lengths)
    x.requires_grad_()
    if packed:
        delta = nn.utils.rnn.pack_padded_sequence(delta, lengths, batch_first=True, enforce_sorted=False).data
    clock.scale = 1 / task.repeats
    with clock:
        for _ in range(task.repeats):
            layer.zero_grad()
            x.grad = None
            if packed:
                given = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
                layer(given)[0].data.backward(delta)
            else:
                layer(x)[0].backward(delta)
    found = layer.weight_ih_l0.grad, layer.weight_hh_l0.grad, x.grad
    return {"loss": np.prod([(values**2).mean().item() ** 0.5 for values in found]) ** (1 / 3)}


image_epoch_channels_last = partial(image_epoch, layout=torch.channels_last)
image_time_to_accuracy_channels_last = partial(image_time_to_accuracy, layout=torch.channels_last)
image_predict_channels_last = partial(image_predict, layout=torch.channels_last)
convolve_channels_last = partial(convolve, layout=torch.channels_last)
convolve_twice_channels_last = partial(convolve_twice, layout=torch.channels_last)
recur_packed = partial(recur, packed=True)
normalize_channels_last = partial(normalize, layout=torch.channels_last)
