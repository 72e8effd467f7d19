"""The command ``nnjit``: train, book, bench, figures, doctor. Its exit status is 2 on bad usage, 1 on failure, 130 on Ctrl-C."""
import argparse
import os
import platform
import sys
import time
import warnings
from functools import partial

import numba
import numpy as np

from . import bench, book, datasets, presets, report, tasks
from ._numba import cache, jit, threads
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
            ("train", train, _add_train_options, "train a network on handwritten digits or iris; by default as the book does"),
            ("book", reproduce, _add_book_options, "run the two experiments of the book and compare with its tables"),
            ("bench", bench.run, bench.add_arguments, "measure nnjit against NumPy and the others"),
            ("figures", draw_figures, _add_figures_options, "draw what outputs and losses do, as in docs/outputs-and-losses.md"),
            ("doctor", doctor, _add_no_options, "print versions, processor, threads and folders")):
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        add_options(command)
        command.set_defaults(run=run, error=command.error)    # error() prints a line and exits 2
    return parser


def _add_no_options(command):
    pass


def _add_run_options(command, data, data_help):
    add = command.add_argument
    add("--data", choices=data, default="auto", help=data_help)
    add("--data-dir", metavar="DIR", help="folder of the images' files, of MNIST's four by default")
    add("--dtype", choices=("float32", "float64"), default="float64", help="(default: %(default)s)")
    add("--seed", type=_whole(0, 2**32 - 1), default=0, help="(default: %(default)s)")
    add("--threads", type=_whole(1, numba.config.NUMBA_NUM_THREADS), help="(default: all cores)")
    add("--out-dir", metavar="DIR", help="where to save the results (default: a new folder in runs/)")
    add("--quiet", action="store_true", help="print the results alone")


_AUTO = "auto: MNIST if it can be had within seconds, else the embedded digits (default: auto)"


def _add_figures_options(command):
    command.add_argument("--out-dir", metavar="DIR", help="where to draw (default: a new folder in runs/)")


def _add_book_options(command):
    _add_run_options(command, ("auto", "mnist", "digits"), _AUTO)


def _add_train_options(command):
    add = command.add_argument
    add("--out", choices=tasks.OUTPUTS,
        help="what to predict. softmax: one class of several; sigmoid: yes or no, once or for each label; linear: a "
             "number; ordinal: a rank; poisson: a count (default: softmax; pairs sigmoid; iris linear)")
    add("--loss", choices=tasks.LOSSES, default="auto",
        help="auto: the loss of the distribution that the output assumes; mse, mae and huber: squared, absolute and "
             "Huber's error (default: %(default)s)")
    add("--model", choices=("mlp", "cnn"), default="mlp",
        help="cnn: a small convolutional network; it, cifar10 and fashion have presets, to which --epochs, --batch-size, --lr "
             "and --train-size can be given (default: %(default)s)")
    add("--classes", type=lambda text: tuple(text.split(",")), metavar="A,B[,C...]",
        help="images of these classes alone, digits or names (bird,airplane); with two, --out sigmoid asks: is it B? (default: "
             "all)")
    add("--outliers", type=_share, default=0.0, metavar="RATE",
        help="share of iris's training targets that go wrong by 5 cm, to compare --loss mse and mae "
             "(default: %(default)g)")
    add("--act", choices=tuple(tasks.ACTIVATIONS), help="hidden activation (default: tanh; iris linear)")
    add("--hidden", type=_widths, metavar="100[,100...]", help="widths of the hidden layers (default: 100; iris 32)")
    add("--dropout", type=_share, metavar="RATE",
        help="share of hidden units dropped, 0 <= RATE < 1 (default: 0.5; iris 0)")
    add("--optimizer", choices=("sgd", "adam"), help="(default: sgd for the book's network, else adam)")
    add("--lr", type=_rate, help="learning rate (default: sgd 0.02 for tanh, 0.2 for relu and sigmoid, 0.001 for linear; adam "
         "0.001)")
    add("--epochs", type=_whole(1),
        help="passes over the training examples (default: 300 for the book's network, with relu 100; else 100; iris 50)")
    add("--batch-size", type=_whole(1), help="(default: 100; iris 32)")
    add("--train-size", type=_whole(1),
        help=f"first examples to train on (default: {tasks.IMAGES} images; {tasks.PAIRS} pairs; all of iris)")
    add("--gradient", choices=("exact", "book"), default="exact",
        help="exact: of the network; book: the book's literal one (default: %(default)s)")
    add("--eval-every", type=_whole(1), default=1, metavar="N", help="epochs between two tests (default: %(default)s)")
    add("--shuffle", action=argparse.BooleanOptionalAction,
        help="a new order in every epoch (default: only where the network is not the book's)")
    _add_run_options(command, (*tasks.DATA, "cifar10", "fashion"),
                     f"{_AUTO}; pairs: of those digits, pasted side by side; iris: Fisher's flowers; cifar10, fashion: images")


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


def _class_numbers(args):
    """Return --classes, of digits, as numbers."""
    try:
        return None if args.classes is None else tuple(map(_whole(0), args.classes))
    except argparse.ArgumentTypeError as error:
        args.error(f"argument --classes: {error}")


def _use_threads(args):
    if args.threads is not None:
        threads.set_threads(args.threads)


def _check_data_dir(args):
    if args.data in ("digits", "iris") and args.data_dir is not None:
        args.error(f"argument --data-dir: got {args.data_dir!r}, expected none with --data {args.data}, embedded in the "
                   "package")


def _load(args, say):
    _check_data_dir(args)
    name = "auto" if args.data == "pairs" else args.data
    dataset = datasets.load(name, args.data_dir, announce=partial(print, flush=True))
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
    say = _say(args)
    _use_threads(args)
    make_head, why = _decide(args)
    task = _examples(args, say)
    args.train_size = len(task.train[0])
    folder = report.new_folder(args.out_dir, f"{args.act}-{args.out}")
    (x, y), optimizer = task.train, {"sgd": SGD, "adam": Adam}[args.optimizer](args.lr)
    widths = "-".join(map(str, [x.shape[1], *args.hidden, task.units]))
    say(f"asked    {task.question}\n"
        f"network  {widths}, {args.act}, dropout {args.dropout:g}, {args.out}; {args.gradient} gradient\n"
        f"loss     {why}\n"
        f"training {optimizer}; {args.epochs} epochs of {len(x):,} examples in batches of {args.batch_size}; "
        f"{args.dtype}; {threads.get_threads()} threads; seed {args.seed}")
    model = _network(args, task, make_head)
    try:
        model.fit(x, y, optimizer, args.epochs, args.batch_size, validation_data=task.test, shuffle=args.shuffle,
                  seed=args.seed, verbose=0 if args.quiet else "auto", validate_every=args.eval_every)
    finally:
        how = f"{args.gradient} gradient" if _is_books_network(args) else f"{args.out} with {args.loss}"
        _save(args, folder, model, task.data, f"{args.act}, {how}", image_shape=task.image_shape)


def _decide(args):
    """Fill in the options that depend on others, in ``args``; return what makes the head, and why it is this one."""
    args.out, args.classes = args.out or tasks.own_output(args.data), _class_numbers(args)
    try:
        tasks.check_output(args.data, args.out, args.classes)
        args.loss, make_head, why = tasks.choose_loss(args.out, args.loss)
    except ValueError as error:
        args.error(f"argument {error}")
    if args.outliers and (args.data, args.out) != ("iris", "linear"):
        args.error(f"argument --outliers: got {args.outliers:g}, expected --data iris --out linear with it, whose numbers "
                   "can go wrong")
    for name, value in _defaults(args).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.lr is None:
        args.lr = 0.001 if args.optimizer == "adam" or args.act == "linear" else _experiment(args).learning_rate
    _check_gradient(args)
    return make_head, why


def _is_books_network(args):
    """Return whether the question is the book's, which of ten digits it is, and so are the output and the loss."""
    return (args.data in ("auto", "mnist", "digits") and args.classes is None
            and (args.out, args.loss) == ("softmax", "crossentropy") and args.act != "linear")


def _experiment(args):
    return book.EXPERIMENTS.get(args.act, book.SIGMOID)


def _defaults(args):
    if args.data == "iris":
        return {"act": "linear", "hidden": (32,), "dropout": 0.0, "optimizer": "adam", "epochs": 50, "batch_size": 32,
                "shuffle": True}
    args.act = args.act or "tanh"
    settings = {"hidden": (100,), "dropout": book.DROPOUT, "batch_size": book.BATCH_SIZE}
    if _is_books_network(args):
        return {**settings, "optimizer": "sgd", "epochs": _experiment(args).iterations, "shuffle": False}
    return {**settings, "optimizer": "adam", "epochs": 100, "shuffle": True}


def _check_gradient(args):
    if args.gradient == "exact":
        return
    if not _is_books_network(args):
        args.error("argument --gradient: got book, expected exact for another network than the book's, which is --out "
                   "softmax --loss crossentropy on all ten digits")
    if args.dropout != book.DROPOUT:
        args.error(f"argument --dropout: got {args.dropout:g}, expected {book.DROPOUT} with --gradient book")


def _examples(args, say):
    """Return the `tasks.Task` of the options."""
    try:
        if args.data == "iris":
            _check_data_dir(args)
            task = tasks.of_iris(args.out, args.dtype, args.train_size, args.outliers)
            say(f"data     iris: {len(task.train[0])} flowers to train, {len(task.test[0])} to test ({task.data.source})")
            return task
        dataset = _load(args, say)
        if args.data == "pairs":
            return tasks.of_pairs(dataset, args.dtype, args.train_size)
        return tasks.of_images(dataset, args.out, args.dtype, args.train_size, args.classes)
    except DataError:
        raise
    except ValueError as error:
        args.error(f"argument {error}")


def _network(args, task, make_head):
    draws = np.random.RandomState(args.seed)
    dropout = partial(book.literal_dropout, draws) if args.gradient == "book" else partial(Dropout, args.dropout)
    if _is_books_network(args):
        return book.network(_experiment(args), draws, dropout, args.hidden, args.dtype)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        head = make_head(**task.settings)
    for warning in caught:
        print(f"nnjit: warning: {warning.message}", file=sys.stderr)
    return tasks.network(args.act, args.hidden, dropout if args.dropout else None, task.units, head, args.dtype)


def _train_images(args):
    """As `train`, with the network and the settings of a preset, which --epochs, --batch-size, --lr and --train-size replace."""
    say = _say(args)
    _use_threads(args)
    _check_preset(args)
    preset = presets.PRESETS["cifar10" if args.data == "cifar10" else "mnist", args.model]
    args.epochs, args.batch_size = args.epochs or preset.epochs, args.batch_size or preset.batch_size
    dataset = _load_images(args, say)
    _check_preset_output(args, len(dataset.classes))
    if args.train_size is not None and args.train_size > len(dataset.x_train):
        args.error(f"argument --train-size: got {args.train_size}, expected at most {len(dataset.x_train)}")
    (x, y), test = dataset.images(args.train_size)
    args.train_size = len(x)
    folder = report.new_folder(args.out_dir, f"{args.data}-{args.model}")
    model = preset.network(len(dataset.classes), args.dtype).build(x.shape[1:], args.seed)
    optimizer = preset.optimizer(len(x), args.epochs, args.batch_size, args.lr)
    say(f"{model.summary()}\ntraining {optimizer}; {args.epochs} epochs of {len(x):,} images in batches of {args.batch_size}; "
        f"{args.dtype}; {threads.get_threads()} threads; seed {args.seed}")
    try:
        model.fit(x, y, optimizer, args.epochs, args.batch_size, validation_data=test, seed=args.seed,
                  verbose=0 if args.quiet else "auto", validate_every=args.eval_every)
    finally:
        _save(args, folder, model, dataset, args.model, test=test)


def _check_preset(args):
    given = {name: getattr(args, name) for name in ("act", "hidden", "dropout", "optimizer", "shuffle")}
    given["gradient"] = args.gradient if args.gradient != "exact" else None
    given["loss"] = args.loss if args.loss not in ("auto", "crossentropy") else None
    for name, value in given.items():
        if value is not None:
            got = ",".join(map(str, value)) if isinstance(value, tuple) else value
            args.error(f"argument --{name}: got {got}, expected none with --model cnn, --data cifar10 or fashion, whose "
                       "network is a preset")


def _check_preset_output(args, classes):
    own = "sigmoid" if classes == 2 else "softmax"
    if args.out not in (None, own):
        args.error(f"argument --out: got {args.out}, expected {own} for {classes} classes of images")
    args.out = own


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


def _save(args, folder, model, data, title, **pictures):
    if model.history is None or not model.history.validated:
        print("result   none: stopped before the first epoch was over")
        return
    settings = {name: value for name, value in vars(args).items() if name not in ("run", "error", "quiet")}
    results = report.write(folder, model, settings, data, f"{data.name}: {title}, seed {args.seed}", **pictures)
    metric = model.head.metric
    shown = {name.replace(f"_{metric}", ""): value for name, value in results.items()}
    print("result   iteration {iteration}: test {metric} {test:.4f} (best {best_test:.4f} in iteration {best_iteration}), "
          "train {metric} {train:.4f}; {seconds:.1f} s, of which {compile_seconds:.1f} s to compile".format(
              metric=report.METRICS[metric], **shown))
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
    total, compiling = time.perf_counter() - begin, jit.compile_seconds()
    print(f"total    {total - compiling:.1f} s, and {compiling:.1f} s to compile; {args.dtype}, {threads.get_threads()} "
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
    report.write(folder, run.model, settings, dataset, title, dataset.x_train.shape[1:3], **compared)
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


# ---- figures --------------------------------------------------------------------------------------------------------

def draw_figures(args):
    """Draw all figures of the explanation."""
    from . import figures  # needs matplotlib
    folder = report.new_folder(args.out_dir, "figures")
    paths = figures.draw(folder)
    print(f"saved    {', '.join(path.name for path in paths)} in {folder}")


# ---- doctor ---------------------------------------------------------------------------------------------------------

def doctor(args):
    """Print what a result or a question may depend on."""
    blas = ", ".join(f"{library['internal_api']} {library['version']} ({os.path.basename(library['filepath'])})"
                     for library in threads.parallel_region.libraries())
    rows = {**report.versions(), "processor": _processor(), "cores": os.cpu_count(), "threads": threads.get_threads(),
            "threading layer": threads.threading_layer(), "BLAS": blas,
            "compiler": jit.describe_compiler(), "kernel cache": cache.folder() or "none writable",
            "data folder": datasets.default_folder().parent}
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
