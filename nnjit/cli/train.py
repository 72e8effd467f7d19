"""``nnjit train``: one network, trained on a question of some data."""
import argparse
import sys
import warnings
from functools import partial

import numpy as np

from .. import datasets, report
from .._numba import threads
from ..inputs.checks import DataError
from ..experiments import book, presets, questions
from ..layers import Dropout
from ..optimizers import SGD, Adam
from . import options
from .options import AUTO, check_data_dir, fraction, load, print_saved, rate, say_to, use_threads, whole

# ---- options -----------------------------------------------------------------------------------------------

def add_options(command):
    add = command.add_argument
    add("--out", choices=questions.OUTPUTS,
        help="what to predict. softmax: one class of several; sigmoid: yes or no, once or for each label; linear: a "
             "number; ordinal: a rank; poisson: a count (default: softmax; pairs sigmoid; iris linear)")
    add("--loss", choices=questions.LOSSES, default="auto",
        help="auto: the loss of the distribution that the output assumes; mse, mae and huber: squared, absolute and "
             "Huber's error (default: %(default)s)")
    add("--model", choices=("mlp", "cnn"), default="mlp",
        help="cnn: a small convolutional network; it, cifar10 and fashion have presets, to which --epochs, --batch-size, --lr "
             "and --train-size can be given (default: %(default)s)")
    add("--classes", type=lambda text: tuple(text.split(",")), metavar="A,B[,C...]",
        help="images of these classes alone, digits or names (bird,airplane); with two, --out sigmoid asks: is it B? (default: "
             "all)")
    add("--outliers", type=fraction, default=0.0, metavar="RATE",
        help="share of iris's training targets that go wrong by 5 cm, to compare --loss mse and mae "
             "(default: %(default)g)")
    add("--act", choices=tuple(questions.ACTIVATIONS), help="hidden activation (default: tanh; iris linear)")
    add("--hidden", type=_widths, metavar="100[,100...]", help="widths of the hidden layers (default: 100; iris 32)")
    add("--dropout", type=fraction, metavar="RATE",
        help="share of hidden units dropped, 0 <= RATE < 1 (default: 0.5; iris 0)")
    add("--optimizer", choices=("sgd", "adam"), help="(default: sgd for the book's network, else adam)")
    add("--lr", type=rate, help="learning rate (default: sgd 0.02 for tanh, 0.2 for relu and sigmoid, 0.001 for linear; adam "
         "0.001)")
    add("--epochs", type=whole(1),
        help="passes over the training examples (default: 300 for the book's network, with relu 100; else 100; iris 50)")
    add("--batch-size", type=whole(1), help="(default: 100; iris 32)")
    add("--train-size", type=whole(1),
        help=f"first examples to train on (default: {questions.IMAGES} images; {questions.PAIRS} pairs; all of iris)")
    add("--gradient", choices=("exact", "book"), default="exact",
        help="exact: of the network; book: the book's literal one (default: %(default)s)")
    add("--eval-every", type=whole(1), default=1, metavar="N", help="epochs between two tests (default: %(default)s)")
    add("--shuffle", action=argparse.BooleanOptionalAction,
        help="a new order in every epoch (default: only where the network is not the book's)")
    options.add_run_options(command, (*questions.DATA, "cifar10", "fashion"),
                            f"{AUTO}; pairs: of those digits, pasted side by side; iris: Fisher's flowers; cifar10, fashion: "
                            "images")


def _widths(text):
    return tuple(whole(1)(width) for width in text.split(","))


def _class_numbers(args):
    """Return --classes, of digits, as numbers."""
    try:
        return None if args.classes is None else tuple(map(whole(0), args.classes))
    except argparse.ArgumentTypeError as error:
        args.error(f"argument --classes: {error}")


def _decide(args):
    """Fill in the options that depend on others, in ``args``; return what makes the head, and why it is this one."""
    args.out, args.classes = args.out or questions.own_output(args.data), _class_numbers(args)
    try:
        questions.check_output(args.data, args.out, args.classes)
        args.loss, make_head, why = questions.choose_loss(args.out, args.loss)
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


# ---- a question --------------------------------------------------------------------------------------------

def run(args):
    """Train one network and save what it did, also where it was interrupted."""
    if args.model == "cnn" or args.data in ("cifar10", "fashion"):
        return _train_images(args)
    say = say_to(args)
    use_threads(args)
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
        tested = None if task.images is None else report.Tested(task.test[0], task.images, task.test[1], task.data.classes)
        _save(args, folder, model, task.data, f"{args.act}, {how}", image_shape=task.image_shape, tested=tested)


def _examples(args, say):
    """Return the `Question` of the options."""
    try:
        if args.data == "iris":
            check_data_dir(args)
            task = questions.of_iris(args.out, args.dtype, args.train_size, args.outliers)
            say(f"data     iris: {len(task.train[0])} flowers to train, {len(task.test[0])} to test ({task.data.source})")
            return task
        dataset = load(args, say, None if args.data == "pairs" else args.train_size)
        if args.data == "pairs":
            return questions.of_pairs(dataset, args.dtype, args.train_size)
        return questions.of_images(dataset, args.out, args.dtype, args.train_size, args.classes)
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
    return questions.network(args.act, args.hidden, dropout if args.dropout else None, task.units, head, args.dtype)


FULL = 60000    # images to train: MNIST is wanted, and not the part of it that comes with the package


# ---- images ------------------------------------------------------------------------------------------------

def _train_images(args):
    """As `train`, with the network and the settings of a preset, which --epochs, --batch-size, --lr and --train-size replace."""
    say = say_to(args)
    use_threads(args)
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
        x_test, y_test = test
        _save(args, folder, model, dataset, args.model, tested=report.Tested(x_test, x_test, y_test, dataset.classes))


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
        return load(args, say, args.train_size or FULL)
    try:
        dataset = (datasets.load_cifar10(args.classes, args.data_dir) if args.data == "cifar10"
                   else datasets.load_fashion_mnist(args.data_dir))
    except DataError:
        raise
    except ValueError as error:    # unknown classes
        args.error(f"argument --classes: {error}")
    return options.said(dataset, say)


# ---- results -----------------------------------------------------------------------------------------------

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
    print_saved(folder)
