"""The command ``nnjit``: train, book, bench, doctor. Its exit status is 2 on bad usage, 1 on failure, 130 on Ctrl-C."""
import argparse
import os
import platform
import sys
import time
from functools import partial

import numba
import numpy as np

from . import _blas, _jit, bench, book, datasets, presets, report
from .arrays import DataError
from .layers import Dropout
from .optimizers import SGD, Adam


def main(argv=None):
    """Run the command line ``argv`` (``sys.argv`` for None) and return the exit status."""
    args = _parser().parse_args(argv)
    try:
        return args.run(args) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:    # the reader has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())    # Python flushes it at its end
        return 1
    except (DataError, OSError, ImportError, MemoryError) as error:
        print(f"nnjit: error: {error}", file=sys.stderr)
        return 1


# ---- options --------------------------------------------------------------------------------------------------------

def _parser():
    parser = argparse.ArgumentParser(prog="nnjit", description="Train small neural networks on a multicore CPU.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, add_options, text in (
            ("train", train, _add_train_options, "train a network on handwritten digits; by default as the book does"),
            ("book", reproduce, _add_book_options, "run the two experiments of the book and compare with its tables"),
            ("bench", bench.run, bench.add_arguments, "measure nnjit against NumPy and the others"),
            ("doctor", doctor, _add_no_options, "print versions, processor, threads and folders")):
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        add_options(command)
        command.set_defaults(run=run, error=command.error)    # error() prints a line and exits 2
    return parser


def _add_no_options(command):
    pass


def _add_book_options(command, more_data=()):
    command.add_argument("--data", choices=("auto", "mnist", "digits", *more_data), default="auto",
                         help="auto: MNIST if it can be had within seconds, else the embedded digits (default: auto)")
    command.add_argument("--data-dir", metavar="DIR", help="folder of MNIST's four files")
    command.add_argument("--dtype", choices=("float32", "float64"), default="float64", help="(default: %(default)s)")
    command.add_argument("--seed", type=_whole(0, 2**32 - 1), default=0, help="(default: %(default)s)")
    command.add_argument("--threads", type=_whole(1, numba.config.NUMBA_NUM_THREADS), help="(default: all cores)")
    command.add_argument("--out-dir", metavar="DIR", help="where to save the results (default: a new folder in runs/)")
    command.add_argument("--quiet", action="store_true", help="print the results alone")


def _add_train_options(command):
    add = command.add_argument
    add("--act", choices=("tanh", "relu", "sigmoid"), default="tanh", help="hidden activation (default: %(default)s)")
    add("--out", choices=("softmax",), default="softmax", help="output activation (default: %(default)s)")
    add("--hidden", type=_widths, default=(100,), metavar="100[,100...]",
        help="widths of the hidden layers (default: 100)")
    add("--dropout", type=_share, metavar="RATE",
        help=f"share of hidden units dropped, 0 <= RATE < 1 (default: {book.DROPOUT})")
    add("--optimizer", choices=("sgd", "adam"), default="sgd", help="(default: %(default)s)")
    add("--lr", type=_rate, help="learning rate (default: sgd 0.02 for tanh, 0.2 for relu and sigmoid; adam 0.001)")
    add("--epochs", type=_whole(1), help="passes over the training images (default: 300; relu 100)")
    add("--batch-size", type=_whole(1), help=f"(default: {book.BATCH_SIZE}, or the preset's)")
    add("--train-size", type=_whole(1), help=f"first images to train on (default: {book.TRAIN_SIZE}, or all)")
    add("--gradient", choices=("exact", "book"), default="exact",
        help="exact: of the network; book: the book's literal one (default: %(default)s)")
    add("--eval-every", type=_whole(1), default=1, metavar="N", help="epochs between two tests (default: %(default)s)")
    add("--shuffle", action="store_true", help="a new order in every epoch (default: as the images lie)")
    add("--model", choices=("mlp", "cnn"), default="mlp",
        help="cnn: a small convolutional network; with it and for cifar10 the preset's settings hold (default: %(default)s)")
    add("--classes", type=lambda text: tuple(text.split(",")), metavar="NAME,NAME[,...]",
        help="of CIFAR-10, bird,airplane say (default: all ten)")
    _add_book_options(command, ("cifar10", "fashion"))


def _whole(least, most=np.inf):
    def whole(text):
        try:
            value = int(text)
        except ValueError:
            value = -1
        if not least <= value <= most:
            expected = f"of at least {least}" if most == np.inf else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number {expected}")
        return value
    return whole


def _rate(text):
    return _number(text, lambda value: 0 < value < np.inf, "above 0")


def _share(text):
    return _number(text, lambda value: 0 <= value < 1, "from 0 to below 1")


def _number(text, fits, expected):
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not fits(value):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number {expected}")
    return value


def _widths(text):
    return tuple(_whole(1)(width) for width in text.split(","))


def _use_threads(args):
    if args.threads is not None:
        _jit.set_threads(args.threads)


def _load(args, say):
    if args.data == "digits" and args.data_dir is not None:
        args.error(f"argument --data-dir: got {args.data_dir!r}, expected none with --data digits, which are embedded")
    dataset = datasets.load(args.data, args.data_dir, announce=partial(print, flush=True))
    say(f"data     {dataset.name}: {len(dataset.x_train):,} images to train, {len(dataset.x_test):,} to test "
        f"({dataset.source})")
    return dataset


def _say(args):
    return (lambda *text: None) if args.quiet else partial(print, flush=True)


# ---- train ----------------------------------------------------------------------------------------------------------

def train(args):
    """Train one network and save what it did, also where it was interrupted."""
    if args.model == "cnn" or args.data in ("cifar10", "fashion"):
        return _train_images(args)
    if args.classes is not None:
        args.error(f"argument --classes: got {','.join(args.classes)}, expected none without --data cifar10")
    say = _say(args)
    _use_threads(args)
    model, optimizer = _prepare(args)
    dataset = _load(args, say)
    if args.train_size > len(dataset.x_train):
        args.error(f"argument --train-size: got {args.train_size}, expected at most {len(dataset.x_train)}, as many as "
                   f"{dataset.name} has")
    folder = report.new_folder(args.out_dir, args.act)
    (x, y), test = dataset.rows(args.dtype, args.train_size)
    say(f"network  784-{'-'.join(map(str, args.hidden))}-10, {args.act}, dropout {args.dropout:g}, {args.out}; "
        f"{args.gradient} gradient\ntraining {optimizer}; {args.epochs} epochs of {len(x):,} images in batches of "
        f"{args.batch_size}; {args.dtype}; {_jit.get_threads()} threads; seed {args.seed}")
    try:
        model.fit(x, y, optimizer, args.epochs, args.batch_size, validation_data=test, shuffle=args.shuffle,
                  seed=args.seed, verbose=0 if args.quiet else "auto", validate_every=args.eval_every)
    finally:
        _save(args, folder, model, dataset)


def _prepare(args):
    """Fill in the defaults that depend on other options, in ``args``; return the network and the optimiser."""
    experiment = book.EXPERIMENTS.get(args.act, book.SIGMOID)
    args.batch_size, args.train_size = args.batch_size or book.BATCH_SIZE, args.train_size or book.TRAIN_SIZE
    args.dropout = book.DROPOUT if args.dropout is None else args.dropout
    args.epochs = args.epochs or experiment.iterations
    args.lr = args.lr or (0.001 if args.optimizer == "adam" else experiment.learning_rate)
    draws = np.random.RandomState(args.seed)
    if args.gradient == "exact":
        new_dropout = partial(Dropout, args.dropout)
    elif args.dropout == book.DROPOUT:
        new_dropout = partial(book.literal_dropout, draws)
    else:
        args.error(f"argument --dropout: got {args.dropout:g}, expected {book.DROPOUT} with --gradient book")
    optimizer = {"sgd": SGD, "adam": Adam}[args.optimizer](args.lr)
    return book.network(experiment, draws, new_dropout, args.hidden, args.dtype), optimizer


def _train_images(args):
    """As `train`, with the network and the settings of a preset, which --epochs, --batch-size, --lr and --train-size replace."""
    say = _say(args)
    _use_threads(args)
    preset = presets.PRESETS["cifar10" if args.data == "cifar10" else "mnist", args.model]
    args.epochs, args.batch_size = args.epochs or preset.epochs, args.batch_size or preset.batch_size
    args.act, args.optimizer, args.shuffle = args.model, "adam", True
    dataset = _load_images(args, say)
    if args.train_size is not None and args.train_size > len(dataset.x_train):
        args.error(f"argument --train-size: got {args.train_size}, expected at most {len(dataset.x_train)}")
    (x, y), test = dataset.images(args.train_size)
    args.train_size = len(x)
    folder = report.new_folder(args.out_dir, f"{args.data}-{args.model}")
    model = preset.network(len(dataset.classes), args.dtype).build(x.shape[1:], args.seed)
    optimizer = preset.optimizer(len(x), args.epochs, args.batch_size, args.lr)
    say(f"{model.summary()}\ntraining {optimizer}; {args.epochs} epochs of {len(x):,} images in batches of {args.batch_size}; "
        f"{args.dtype}; {_jit.get_threads()} threads; seed {args.seed}")
    try:
        model.fit(x, y, optimizer, args.epochs, args.batch_size, validation_data=test, seed=args.seed,
                  verbose=0 if args.quiet else "auto", validate_every=args.eval_every)
    finally:
        _save(args, folder, model, dataset, test)


def _load_images(args, say):
    if args.data != "cifar10" and args.classes is not None:
        args.error(f"argument --classes: got {','.join(args.classes)}, expected none without --data cifar10")
    if args.data not in ("cifar10", "fashion"):
        return _load(args, say)
    try:
        dataset = (datasets.load_cifar10(args.classes, args.data_dir) if args.data == "cifar10"
                   else datasets.load_fashion_mnist(args.data_dir))
    except DataError:
        raise
    except ValueError as error:    # unknown classes
        args.error(f"argument --classes: {error}")
    say(f"data     {dataset.name}: {len(dataset.x_train):,} images to train, {len(dataset.x_test):,} to test ({dataset.source})")
    return dataset


def _save(args, folder, model, dataset, test=None):
    if model.history is None or not model.history.validated:
        print("result   none: stopped before the first epoch was over")
        return
    settings = {name: value for name, value in vars(args).items() if name not in ("run", "error", "quiet")}
    title = f"{dataset.name}: {args.act}, {args.gradient} gradient, seed {args.seed}"
    if test is not None:
        title = f"{dataset.name}: {args.model}, seed {args.seed}"
    results = report.write(folder, model, settings, dataset, title, test)
    print("result   iteration {iteration}: test accuracy {test_accuracy:.4f} (best {best_test_accuracy:.4f} in "
          "iteration {best_iteration}), train accuracy {train_accuracy:.4f}; {seconds:.1f} s, of which "
          "{compile_seconds:.1f} s to compile".format(**results))
    if not np.isfinite(results["train_loss"]):
        print("diverged: the loss is no longer a finite number; try a smaller --lr")
    _print_saved(folder)


def _print_saved(folder):
    missing = "" if report.can_draw() else "; no pictures without matplotlib"
    print(f"saved    {', '.join(sorted(path.name for path in folder.iterdir()))} in {folder}{missing}")


# ---- book -----------------------------------------------------------------------------------------------------------

def reproduce(args):
    """Run both experiments with both gradients and print them beside the book's tables."""
    say = _say(args)
    _use_threads(args)
    dataset = _load(args, say)
    if len(dataset.x_train) < book.TRAIN_SIZE:
        raise DataError(f"{dataset.source}: got {len(dataset.x_train)} images to train, expected {book.TRAIN_SIZE}")
    folder = report.new_folder(args.out_dir, "book")
    begin = time.perf_counter()
    for name in book.EXPERIMENTS:
        runs = {gradient: _run_and_save(args, name, gradient, dataset, folder, say) for gradient in ("book", "exact")}
        _print_table(name, runs, dataset)
    print(book.DIFFERENCE)
    total, compiling = time.perf_counter() - begin, _jit.compile_seconds()
    print(f"total    {total - compiling:.1f} s, and {compiling:.1f} s to compile; {args.dtype}, {_jit.get_threads()} "
          "threads")
    _print_saved(folder)


def _run_and_save(args, name, gradient, dataset, folder, say):
    say(f"running  {name}, {'literal' if gradient == 'book' else 'exact'} gradient")
    experiment = book.EXPERIMENTS[name]
    run = book.run(name, gradient, args.seed, args.dtype, data=dataset, verbose=0 if args.quiet else "auto")
    settings = {"act": name, "dropout": book.DROPOUT, "lr": experiment.learning_rate, "epochs": experiment.iterations,
                "batch_size": book.BATCH_SIZE, "train_size": book.TRAIN_SIZE, "gradient": gradient, "data": args.data,
                "dtype": args.dtype, "seed": args.seed}
    compared = {}
    if _is_the_books(dataset):
        table = book.published()[experiment.key]
        over_seeds = table["literal" if gradient == "book" else "exact"]
        compared = {"printed": table["printed"], "spread": over_seeds["rows"], "seeds": over_seeds["seeds"]}
    folder = folder / f"{name}-{gradient}"
    folder.mkdir(exist_ok=True)
    title = f"{dataset.name}: {name}, {gradient} gradient, seed {args.seed}"
    report.write(folder, run.model, settings, dataset, title, **compared)
    return run


def _is_the_books(dataset):
    return dataset.checksums == {name: unpacked for name, (_, unpacked) in datasets.MNIST.files.items()}


def _print_table(name, runs, dataset):
    """Print the book's rows beside ours; of other data than the book's, ours alone."""
    experiment = book.EXPERIMENTS[name]
    printed = book.published()[experiment.key]["printed"]
    with_book = _is_the_books(dataset)
    columns = ["iteration"]
    for part in ("test", "train"):
        columns += [f"book {part}"] * with_book + [f"our {part}, literal", f"our {part}, exact"]
    print(f"\n{name}: {experiment.iterations} iterations, accuracy\n" + "  ".join(columns))
    for row in printed:
        i = row["iteration"]
        cells = [f"{i:9d}"]
        for part in ("test", "train"):
            ours = [getattr(run, f"{part}_accuracy")[i] for run in runs.values()]
            cells += [f"{value:.4f}" for value in [row[part]] * with_book + ours]
        print("  ".join(f"{cell:>{len(column)}}" for cell, column in zip(cells, columns)))
    print()


# ---- doctor ---------------------------------------------------------------------------------------------------------

def doctor(args):
    """Print what a result or a question may depend on."""
    blas = ", ".join(f"{library['internal_api']} {library['version']} ({os.path.basename(library['filepath'])})"
                     for library in _blas.kernel_threads.libraries())
    rows = {**report.versions(), "processor": _processor(), "cores": os.cpu_count(), "threads": _jit.get_threads(),
            "threading layer": _jit.threading_layer(), "BLAS": blas,
            "kernel cache": _jit.cache_folder() or "none writable", "data folder": datasets.default_folder().parent}
    if os.environ.get("NNJIT_DATA"):
        rows["NNJIT_DATA"] = os.environ["NNJIT_DATA"]
    for name, value in rows.items():
        print(f"{name:<16} {value}")


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
