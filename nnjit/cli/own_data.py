"""``nnjit train FILE --target COLUMN``: a network for a question of one's own."""
import argparse
import re
from pathlib import Path

import numpy as np

from .. import report
from ..callbacks import EarlyStopping
from ..optimizers import SGD, Adam
from ..own_data import compare, training
from ..own_data.target import Refused
from . import options
from .compile import KERNELS, announced
from .results import backup_in, ends_divergence, save


def image_size(text: str) -> tuple[int, ...]:
    """The argparse type of an image's size, such as 28x28 or 32x32x3."""
    found = re.fullmatch(r"(\d+)[x×](\d+)(?:[x×]([13]))?", text)
    if not found or "0" in (found[1], found[2]):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected HxW, such as 28x28, or 32x32x3 in colour")
    return tuple(int(number) for number in found.groups() if number)


def run(args: argparse.Namespace) -> int:
    """Train on a file, compare with simpler models, save all, and return the exit status."""
    comm = options.communicator(args)
    with options.together(comm):
        return _train(args, comm)


def _train(args, comm):
    say = options.say_to(args)
    options.use_threads(args)
    _check_options(args)
    data = _load(args)
    (X, y), (X_val, y_val), (X_test, y_test) = (data.parts[part] for part in ("train", "validation", "test"))
    if args.train_size is not None:
        if args.train_size > len(X):
            args.error(f"argument --train-size: got {args.train_size}, expected at most {len(X)}, the "
                       "rows to train on")
        X, y = X[:args.train_size], y[:args.train_size]
    _fill_in(args, data)
    args.train_size = len(X)
    folder = options.new_folder(args, f"{re.sub(r'[^A-Za-z0-9_]+', '-', Path(data.name).stem)}-{args.out}")
    model = training.new_network(data, args, data.new_head())
    model.preprocessing = data.preprocessing
    optimizer = {"sgd": SGD, "adam": Adam}[args.optimizer](args.lr)
    _say(say, args, data, model, optimizer, X)
    units = report.UnitsWatch(X_val)
    stop = EarlyStopping(patience=args.patience, restore_best_weights=True)
    interrupted = True
    job = f"table-{args.out}"
    try:
        with announced(args, job if job in KERNELS and not data.are_images else None):
            model.fit(X, y, optimizer, args.epochs, args.batch_size, validation_data=(X_val, y_val),
                      shuffle=args.shuffle, seed=args.seed, verbose=0 if args.quiet else "auto",
                      validate_every=args.eval_every,
                      callbacks=[ends_divergence, units, stop, backup_in(folder, args)], comm=comm)
        interrupted = False
    finally:
        found = None
        if not interrupted and np.isfinite(model.vector).all():
            how = {name: getattr(args, name) for name in ("epochs", "batch_size", "patience", "seed")}
            found = compare.compare(model, (X, y), (X_val, y_val), (X_test, y_test), data.new_head, how)
        status = save(args, folder, model, data, f"{data.target.out} with {data.target.loss}",
                      {"units": units, "x": X_test, "y": y_test}, part="validation", compared=found,
                      tested=_tested(data, X_test, y_test))
    return status


def _check_options(args):
    """Object to options that are for the data sets of the package."""
    for name in "data_dir", "outliers":
        if getattr(args, name):
            option = name.replace("_", "-")
            args.error(f"argument --{option}: got {getattr(args, name)} with a file, expected none; it is "
                       "for --data")
    if args.data != "auto":
        args.error(f"argument --data: got {args.data} with the file {args.file}, expected one of them")
    if args.gradient == "book":
        args.error("argument --gradient: got book with a file, expected exact")
    if args.model in ("gru", "resnet"):
        args.error(f"argument --model: got {args.model} with a file, expected mlp or cnn")


def _load(args):
    """Return the `OwnData` that the options name."""
    classes = None if args.classes is None else list(args.classes)
    try:
        data = training.load(Path(args.file), args.target, None if args.test is None else Path(args.test),
                             args.image, args.dtype, args.seed, args.quiet, out=args.out, loss=args.loss,
                             classes=classes)
    except Refused as error:
        args.error(f"argument {error}")
    if args.model == "cnn" and not data.are_images:
        args.error("argument --model: got cnn for a table, expected mlp; with --image HxW its columns are "
                   "pixels")
    return data


def _fill_in(args, data):
    """Give the options that were left out the values that suit the data."""
    args.out, args.loss, args.target = data.target.out, data.target.loss, data.target.names
    args.model = args.model or ("cnn" if data.are_images else "mlp")
    args.dtype = data.dtype
    args.shuffle = True if args.shuffle is None else args.shuffle
    for name, value in training.settings(data).items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def _tested(data, X, y):
    """Return what a classifier is shown with, or None."""
    if data.target.classes is None or data.target.out == "ordinal":
        return None
    return report.Tested(X, X if data.are_images else None, y, tuple(data.target.classes))


def _say(say, args, data, model, optimizer, X):
    """Say what was found and what will be done, before the first epoch."""
    sizes = {part: f"{len(data.parts[part][0]):,}" for part in ("validation", "test")}
    shape = "-".join(map(str, [*X.shape[1:], *args.hidden, data.target.units])) if X.ndim == 2 else None
    how = f", {args.act}{f', dropout {args.dropout:g}' * bool(args.dropout)}" if args.hidden else ""
    say(f"data     {data.name}: {data.said}")
    for note in data.notes:
        say(f"         {note}")
    say(f"asked    {data.target.sentence}\n"
        f"parts    {len(X):,} rows to train, {sizes['validation']} to validate, {sizes['test']} to test")
    if shape:
        say(f"network  {shape}{how}")
    else:
        say(model.build(X.shape[1:], args.seed).summary())
    say(f"training {optimizer}; at most {args.epochs} epochs, until {args.patience} in a row are no better; "
        f"batches of {args.batch_size}; {args.dtype}; {options.threads_in_words()}; seed {args.seed}")
