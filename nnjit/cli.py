"""The command: ``nnjit train``, ``book``, ``bench``, ``doctor``. It exits 2 on bad usage, 1 on failure, 130 on Ctrl-C."""
import argparse
import os
import platform
import sys
import time
from functools import partial

import numba
import numpy as np

from . import _jit, bench, book, datasets, report
from .arrays import DataError
from .layers import Dropout
from .optimizers import SGD, Adam


class UsageError(Exception):
    """Options that contradict each other."""


def main(argv=None):
    """Run the command line ``argv`` (``sys.argv`` for None) and return the exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        return args.run(args) or 0
    except UsageError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:    # the reader has gone, as `| head` does
        sys.stdout = open(os.devnull, "w")    # noqa: SIM115   Python flushes it at its end
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
            ("book", reproduce, _add_book_options, "reproduce the two experiments of the book and compare with its tables"),
            ("bench", bench.run, bench.add_arguments, "measure nnjit against NumPy and the others"),
            ("doctor", doctor, _add_no_options, "print versions, processor, threads and folders")):
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        add_options(command)
        command.set_defaults(run=run)
    return parser


def _add_no_options(command):
    pass


def _add_book_options(command):
    command.add_argument("--data", choices=("auto", "mnist", "digits"), default="auto",
                         help="auto: MNIST if it can be had within seconds, else the embedded digits (default: %(default)s)")
    command.add_argument("--data-dir", metavar="DIR", help="folder of MNIST's four files")
    command.add_argument("--dtype", choices=("float32", "float64"), default="float64", help="(default: %(default)s)")
    command.add_argument("--seed", type=_whole(0), default=0, help="(default: %(default)s)")
    command.add_argument("--threads", type=_whole(1), help="(default: all cores)")
    command.add_argument("--out-dir", metavar="DIR", help="where to save the results (default: a new folder in runs/)")
    command.add_argument("--quiet", action="store_true", help="print the results alone")


def _add_train_options(command):
    add = command.add_argument
    add("--act", choices=("tanh", "relu", "sigmoid"), default="tanh", help="hidden activation (default: %(default)s)")
    add("--out", choices=("softmax",), default="softmax", help="output activation (default: %(default)s)")
    add("--hidden", type=_widths, default=(100,), metavar="100[,100...]", help="widths of the hidden layers (default: 100)")
    add("--dropout", type=_number(0, 1), default=book.DROPOUT, metavar="RATE",
        help="share of hidden units dropped, 0 <= RATE < 1 (default: %(default)s)")
    add("--optimizer", choices=("sgd", "adam"), default="sgd", help="(default: %(default)s)")
    add("--lr", type=_number(0), help="learning rate (default: sgd 0.02 for tanh, 0.2 for relu and sigmoid; adam 0.001)")
    add("--epochs", type=_whole(1), help="passes over the training images (default: 300; relu 100)")
    add("--batch-size", type=_whole(1), default=book.BATCH_SIZE, help="(default: %(default)s)")
    add("--train-size", type=_whole(1), default=book.TRAIN_SIZE, help="first images to train on (default: %(default)s)")
    add("--gradient", choices=("exact", "book"), default="exact",
        help="exact: of the network; book: the book's literal one (default: %(default)s)")
    add("--eval-every", type=_whole(1), default=1, metavar="N", help="epochs between two tests (default: %(default)s)")
    add("--shuffle", action="store_true", help="a new order in every epoch (default: as the images lie)")
    _add_book_options(command)


def _whole(least):
    def whole(text):
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or value < least:
            raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number of at least {least}")
        return value
    return whole


def _number(low, high=None):
    def number(text):
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        inside = low < value < np.inf if high is None else low <= value < high
        if not inside:
            expected = f"above {low}" if high is None else f"from {low} to below {high}"
            raise argparse.ArgumentTypeError(f"got {text!r}, expected a number {expected}")
        return value
    return number


def _widths(text):
    return tuple(_whole(1)(width) for width in text.split(","))


def _use_threads(args):
    if args.threads is not None:
        _jit.set_threads(args.threads)


def _load(args, say):
    dataset = datasets.load(args.data, args.data_dir, announce=partial(print, flush=True))
    say(f"data     {dataset.name}: {len(dataset.x_train):,} images to train, {len(dataset.x_test):,} to test "
        f"({dataset.source})")
    return dataset


def _say(args):
    return (lambda *text: None) if args.quiet else partial(print, flush=True)


# ---- train ----------------------------------------------------------------------------------------------------------

def train(args):
    """Train one network and save what it did."""
    say = _say(args)
    _use_threads(args)
    experiment = book.EXPERIMENTS.get(args.act, book.SIGMOID)
    epochs = args.epochs or experiment.iterations
    model, optimizer = _network(args, experiment), _optimizer(args, experiment)
    dataset = _load(args, say)
    if args.train_size > len(dataset.x_train):
        raise UsageError(f"--train-size: got {args.train_size}, expected at most {len(dataset.x_train)}, as many as "
                         f"{dataset.name} has")
    folder = report.new_folder(args.out_dir, args.act)
    (x, y), test = dataset.rows(args.dtype, args.train_size)
    say(f"network  784-{'-'.join(map(str, args.hidden))}-10, {args.act}, dropout {args.dropout:g}, {args.out}; "
        f"{args.gradient} gradient\ntraining {optimizer}; {epochs} epochs of {len(x):,} images in batches of "
        f"{args.batch_size}; {args.dtype}; {_jit.get_threads()} threads; seed {args.seed}")
    try:
        model.fit(x, y, optimizer, epochs, args.batch_size, validation_data=test, shuffle=args.shuffle, seed=args.seed,
                  verbose=0 if args.quiet else "auto", validate_every=args.eval_every)
    finally:
        _save(args, folder, model, dataset)
    return 0


def _network(args, experiment):
    draws = np.random.RandomState(args.seed % 2**32)
    if args.gradient == "exact":
        return book.network(experiment, draws, partial(Dropout, args.dropout), args.hidden, args.dtype)
    if args.dropout != book.DROPOUT:
        raise UsageError(f"--gradient book: got --dropout {args.dropout:g}, expected 0.5, as in the book")
    return book.network(experiment, draws, partial(book.literal_dropout, draws), args.hidden, args.dtype)


def _optimizer(args, experiment):
    if args.optimizer == "adam":
        return Adam(args.lr or 0.001)
    return SGD(args.lr or experiment.learning_rate)


def _save(args, folder, model, dataset):
    """Save and print what has been done, also of a training that was interrupted."""
    history = model.history
    if history is None or not history.validated:
        print("result   none: stopped before the first epoch was over")
        return
    log = history.history
    best = int(np.argmax(log["val_accuracy"]))
    results = {"epochs": len(history.epochs), "test_accuracy": log["val_accuracy"][-1], "test_loss": log["val_loss"][-1],
               "best_test_accuracy": log["val_accuracy"][best], "best_epoch": history.validated[best],
               "train_accuracy": log["accuracy"][-1], "train_loss": log["loss"][-1], "seconds": log["seconds"][-1],
               "of_which_compiling": _jit.compile_seconds()}
    print(f"result   test accuracy {results['test_accuracy']:.4f} after {results['epochs']} epochs (best "
          f"{results['best_test_accuracy']:.4f} in epoch {results['best_epoch'] + 1}), train accuracy "
          f"{results['train_accuracy']:.4f}; {results['seconds']:.1f} s, of which {_jit.compile_seconds():.1f} s to compile")
    configuration = {name: value for name, value in vars(args).items() if name not in ("run", "quiet")}
    report.write_history(folder, history)
    report.write_run(folder, configuration, dataset, results)
    if args.gradient == "exact":    # the book's own layers are no part of the library
        model.save(folder / "model.npz")
    report.write_pictures(folder, model, history, f"{args.act}, {args.gradient} gradient, seed {args.seed}")
    print(f"saved    {', '.join(sorted(path.name for path in folder.iterdir()))} in {folder}")


# ---- book -----------------------------------------------------------------------------------------------------------

def reproduce(args):
    """Run both experiments with both gradients and print them beside the book's tables."""
    say = _say(args)
    _use_threads(args)
    dataset = _load(args, say)
    folder = report.new_folder(args.out_dir, "book")
    begin = time.perf_counter()
    for name in book.EXPERIMENTS:
        runs = {gradient: _run_and_save(args, name, gradient, dataset, folder, say) for gradient in ("book", "exact")}
        _print_table(name, runs, dataset)
    print(book.DIFFERENCE)
    total, compiling = time.perf_counter() - begin, _jit.compile_seconds()
    print(f"total    {total - compiling:.1f} s, and {compiling:.1f} s to compile; {args.dtype}, {_jit.get_threads()} threads\n"
          f"saved    {folder}")
    return 0


def _run_and_save(args, name, gradient, dataset, folder, say):
    say(f"running  {name}, {'literal' if gradient == 'book' else 'exact'} gradient")
    experiment, published = book.EXPERIMENTS[name], book.published()
    run = book.run(name, gradient, args.seed, args.dtype, data=dataset, verbose=0 if args.quiet else "auto")
    folder = folder / f"{name}-{gradient}"
    folder.mkdir(exist_ok=True)
    report.write_history(folder, run.model.history)
    report.write_run(folder, {"experiment": name, "gradient": gradient, "seed": args.seed, "dtype": args.dtype}, dataset,
                     {"test_accuracy": run.test_accuracy[-1], "train_accuracy": run.train_accuracy[-1],
                      "seconds": run.seconds[-1]})
    over_seeds = published[experiment.key]["literal" if gradient == "book" else "exact"]
    compared = {"printed": published[experiment.key]["printed"], "spread": over_seeds["rows"], "seeds": over_seeds["seeds"]}
    report.write_pictures(folder, run.model, run.model.history, f"{name}, {gradient} gradient, seed {args.seed}",
                          **(compared if dataset.name == "MNIST" else {}))
    return run


def _print_table(name, runs, dataset):
    """Print the book's rows beside ours; without MNIST, ours alone."""
    experiment = book.EXPERIMENTS[name]
    printed = book.published()[experiment.key]["printed"]
    with_book = dataset.name == "MNIST"
    columns = ["iteration"]
    for part in ("test", "train"):
        columns += [f"book {part}"] * with_book + [f"our {part}, literal", f"our {part}, exact"]
    print(f"\n{name}: {experiment.iterations} iterations, accuracy\n" + "  ".join(columns))
    for row in printed:
        i = row["iteration"]
        cells = [f"{i:9d}"]
        for part in ("test", "train"):
            values = [row[part]] * with_book + [getattr(runs[gradient], f"{part}_accuracy")[i] for gradient in ("book", "exact")]
            cells += [f"{value:.4f}" for value in values]
        print("  ".join(f"{cell:>{len(column)}}" for cell, column in zip(cells, columns)))
    print()


# ---- doctor ---------------------------------------------------------------------------------------------------------

def doctor(args):
    """Print what a result or a question may depend on."""
    numba.set_num_threads(numba.get_num_threads())    # starts the threading layer
    blas = ", ".join(f"{library['internal_api']} {library['version']} ({os.path.basename(library['filepath'])})"
                     for library in _jit.one_blas_thread.libraries())
    rows = {**report.versions(), "processor": _processor(), "cores": os.cpu_count(), "threads": _jit.get_threads(),
            "threading layer": numba.threading_layer(), "BLAS": blas, "kernel cache": _jit.cache_folder() or "none writable",
            "data folder": datasets.default_folder().parent}
    if os.environ.get("NNJIT_DATA"):
        rows["NNJIT_DATA"] = os.environ["NNJIT_DATA"]
    for name, value in rows.items():
        print(f"{name:<16} {value}")
    return 0


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
