"""``nnjit train`` with a preset: a network for the images of MNIST, Fashion-MNIST or CIFAR-10."""
import argparse

import numpy as np

from .. import datasets, report
from ..experiments import presets
from ..inputs.checks import DataError
from . import options
from .compile import announced
from .results import backup_in, ends_divergence, save

FULL = 60000    # images to train: MNIST is wanted, and not the part of it that comes with the package


def run(args: argparse.Namespace) -> int:
    """Train a preset's network; --epochs, --batch-size, --lr and --train-size replace its settings."""
    comm = options.communicator(args)
    with options.together(comm):
        return _train(args, comm)


def _train(args, comm):
    say = options.say_to(args)
    options.use_threads(args)
    _check_preset(args)
    preset = presets.PRESETS["cifar10" if args.data == "cifar10" else "mnist", args.model]
    args.epochs, args.batch_size = args.epochs or preset.epochs, args.batch_size or preset.batch_size
    dataset = _load_images(args, say)
    _check_preset_output(args, len(dataset.classes))
    if args.train_size is not None and args.train_size > len(dataset.x_train):
        args.error(f"argument --train-size: got {args.train_size}, expected at most {len(dataset.x_train)}")
    train, test = dataset.images(args.train_size)
    (x, y), (x_test, y_test) = train, test
    if args.model == "gru":    # which reads numbers, row by row
        x, x_test = _as_rows(x, args.dtype), _as_rows(x_test, args.dtype)
    args.train_size = len(x)
    folder = options.new_folder(args, f"{args.data}-{args.model}")
    model = preset.network(len(dataset.classes), args.dtype).build(x.shape[1:], args.seed)
    optimizer = preset.optimizer(len(x), args.epochs, args.batch_size, args.lr)
    say(f"{model.summary()}\ntraining {optimizer}; {args.epochs} epochs of {len(x):,} images in batches of "
        f"{args.batch_size}; {args.dtype}; {options.threads_in_words()}; seed {args.seed}")
    job, units = None, report.UnitsWatch(x_test)
    if args.model == "cnn":
        job = "cifar-birds" if args.out == "sigmoid" else "mnist-cnn"
    try:
        with announced(args, job):
            model.fit(x, y, optimizer, args.epochs, args.batch_size, validation_data=(x_test, y_test),
                      seed=args.seed, verbose=0 if args.quiet else "auto", validate_every=args.eval_every,
                      callbacks=[ends_divergence, units, backup_in(folder, args)], comm=comm)
    finally:
        tested = report.Tested(x_test, test[0], y_test, dataset.classes)
        status = save(args, folder, model, dataset, args.model, {"units": units}, tested=tested)
    return status


def _as_rows(images, dtype):
    """Return grey images (N, H, W, 1) as sequences (N, H, W) of numbers from 0 to 1."""
    return np.divide(images[..., 0], 255, dtype=dtype)


def _check_preset(args):
    """Object to options that a preset leaves no room for."""
    given = {name: getattr(args, name) for name in ("act", "hidden", "dropout", "optimizer", "shuffle")}
    given["gradient"] = args.gradient if args.gradient != "exact" else None
    given["loss"] = args.loss if args.loss not in ("auto", "crossentropy") else None
    for name, value in given.items():
        if value is not None:
            got = ",".join(map(str, value)) if isinstance(value, tuple) else value
            args.error(f"argument --{name}: got {got}, expected none with --model cnn or gru, --data cifar10 "
                       "or fashion, whose network is a preset")


def _check_preset_output(args, classes):
    """Object to an output that does not fit the number of classes; else fill it in."""
    own = "sigmoid" if classes == 2 else "softmax"
    if args.out not in (None, own):
        args.error(f"argument --out: got {args.out}, expected {own} for {classes} classes of images")
    args.out = own


def _load_images(args, say):
    """Return the data set that --data names, with --classes only; say which it is."""
    if args.data != "cifar10" and args.classes is not None:
        args.error(f"argument --classes: got {','.join(args.classes)}, expected none without --data cifar10")
    if args.data == "rows":
        return options.load(argparse.Namespace(**{**vars(args), "data": "auto"}), say, args.train_size)
    if args.data not in ("cifar10", "fashion"):
        return options.load(args, say, args.train_size or FULL)
    try:
        dataset = (datasets.load_cifar10(args.classes, args.data_dir) if args.data == "cifar10"
                   else datasets.load_fashion_mnist(args.data_dir))
    except DataError:
        raise
    except ValueError as error:    # unknown classes
        args.error(f"argument --classes: {error}")
    options.say_data(dataset, say)
    return dataset
