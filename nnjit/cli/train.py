"""``nnjit train``: its options, and one network, trained on a question of some data."""
import argparse
from functools import partial

import numpy as np

from .. import report
from ..experiments import book, questions
from ..inputs.checks import DataError
from ..layers import Dropout
from ..optimizers import SGD, Adam
from . import options, own_data, train_images
from .compile import announced
from .options import AUTO, check_data_dir, fraction, load, rate, say_to, threads_in_words, use_threads, whole
from .results import NOT_SAVED, OF_FILES, backup_in, ends_divergence, resumed, save

# ---- options -----------------------------------------------------------------------------------------------

def add_options(command: argparse.ArgumentParser) -> None:
    """Give the command its options."""
    add = command.add_argument
    add("file", nargs="?", metavar="FILE",
        help="your own data: a table (CSV, TSV, parquet) with --target, a folder of images with a sub-folder "
             "for each class, a folder of IDX files, or arrays (.npz). Settings that are not given follow "
             "from its size. Without it, --data is trained on")
    add("--target", action="append", metavar="COLUMN",
        help="of FILE: what to predict; the question follows from it. Several, given with commas or one by "
             "one, are labels or numbers")
    add("--test", metavar="FILE", help="rows to test with (default: a part of FILE, a fifth or a tenth)")
    add("--image", type=own_data.image_size, metavar="HxW",
        help="the size of the images that the rows of FILE are, 28x28 or 32x32x3, or to which the images of "
             "a folder are stretched")
    add("--patience", type=whole(1), metavar="N",
        help="of FILE: end the training when N epochs in a row were no better on the validation part, and "
             "keep the best (default: by the number of rows)")
    add("--out", choices=questions.OUTPUTS,
        help="what to predict. softmax: one class of several; sigmoid: yes or no, once or for each label; "
             "linear: a number; ordinal: a rank; poisson: a count (default: softmax; pairs sigmoid; iris "
             "linear; FILE: what the target asks)")
    add("--loss", choices=questions.LOSSES, default="auto",
        help="auto: the loss of the distribution that the output assumes; mse, mae and huber: squared, "
             "absolute and Huber's error (default: %(default)s)")
    add("--model", choices=("mlp", "cnn", "gru", "resnet"),
        help="cnn: a small convolutional network; resnet: one with shortcuts, for --data cifar10; gru: a "
             "recurrent one, which reads digits by rows (--data rows, mnist or digits); they, cifar10 and "
             "fashion have presets, to which --epochs, --batch-size, --lr and --train-size can be given "
             "(default: mlp, for images of FILE cnn)")
    add("--classes", type=lambda text: tuple(text.split(",")), metavar="A,B[,C...]",
        help="only these classes, digits or names (bird,airplane); with two, --out sigmoid asks: is it B? Of "
             "FILE, in this order for --out ordinal (default: all)")
    add("--outliers", type=fraction, default=0.0, metavar="RATE",
        help="fraction of iris's training targets that go wrong by 5 cm, to compare --loss mse and mae "
             "(default: %(default)g)")
    add("--act", choices=tuple(questions.ACTIVATIONS), help="hidden activation (default: tanh; iris linear)")
    add("--hidden", type=_widths, metavar="100[,100...]",
        help="widths of the hidden layers, or none (default: 100; iris 32)")
    add("--dropout", type=fraction, metavar="RATE",
        help="fraction of hidden units dropped, 0 <= RATE < 1 (default: 0.5; iris 0)")
    add("--optimizer", choices=("sgd", "adam"), help="(default: sgd for the book's network, else adam)")
    add("--lr", type=rate,
        help="learning rate (default: sgd 0.02 for tanh, 0.2 for relu and sigmoid, 0.001 for linear; adam "
             "0.001)")
    add("--epochs", type=whole(1),
        help="passes over the training examples (default: 300 for the book's network, with relu 100; else "
             "100; iris 50)")
    add("--batch-size", type=whole(1), help="(default: 100; iris 32)")
    add("--train-size", type=whole(1),
        help=f"first examples to train on (default: {questions.IMAGES} images; {questions.PAIRS} pairs; all "
             "of iris)")
    add("--gradient", choices=("exact", "book"), default="exact",
        help="exact: of the network; book: the book's literal one (default: %(default)s)")
    add("--eval-every", type=whole(1), default=1, metavar="N",
        help="epochs between two tests (default: %(default)s)")
    add("--shuffle", action=argparse.BooleanOptionalAction,
        help="a new order in every epoch (default: only where the network is not the book's)")
    add("--resume", metavar="RUN",
        help="go on with the run in this folder, from its backup, which is written every 30 seconds and at "
             "Ctrl-C; only --threads and --quiet go with it")
    add("--distributed", action="store_true",
        help="share every batch out among the ranks of mpiexec -n N nnjit train ... --distributed, N a power "
             "of two")
    options.add_run_options(command, (*questions.DATA, "rows", "cifar10", "fashion"),
                            f"{AUTO}; rows: the same, a sequence of 28 rows each, for --model gru; pairs: of "
                            "those digits, pasted side by side; iris: Fisher's flowers; cifar10, fashion: "
                            "images", dtype=None)


# ---- what follows from them --------------------------------------------------------------------------------


def _widths(text):
    if text == "none":
        return ()
    return tuple(whole(1)(width) for width in text.split(","))


def _class_numbers(args):
    """Return --classes, of digits, as numbers."""
    try:
        return None if args.classes is None else tuple(map(whole(0), args.classes))
    except argparse.ArgumentTypeError as error:
        args.error(f"argument --classes: {error}")


def decide(args: argparse.Namespace) -> tuple:
    """Fill in, in ``args``, the options that depend on others; return what makes the head, and why."""
    args.out, args.classes = args.out or questions.own_output(args.data), _class_numbers(args)
    try:
        questions.check_output(args.data, args.out, args.classes)
        args.loss, make_head, why = questions.choose_loss(args.out, args.loss)
    except ValueError as error:
        args.error(f"argument {error}")
    if args.outliers and (args.data, args.out) != ("iris", "linear"):
        args.error(f"argument --outliers: got {args.outliers:g}, expected --data iris --out linear with it, "
                   "whose numbers can go wrong")
    for name, value in _defaults(args).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.lr is None:
        plain = args.optimizer == "adam" or args.act == "linear"
        args.lr = 0.001 if plain else _experiment(args).learning_rate
    _check_gradient(args)
    return make_head, why


def _is_books_network(args):
    """Return whether the question is the book's, which of ten digits it is, with its output and loss."""
    return (args.data in ("auto", "mnist", "digits") and args.classes is None
            and (args.out, args.loss) == ("softmax", "crossentropy") and args.act != "linear")


def _experiment(args):
    return book.EXPERIMENTS.get(args.act, book.SIGMOID)


def _defaults(args):
    """Return the values of the options that were not given, which depend on others; --act is filled in."""
    if args.data == "iris":
        return {"act": "linear", "hidden": (32,), "dropout": 0.0, "optimizer": "adam", "epochs": 50,
                "batch_size": 32, "shuffle": True}
    args.act = args.act or "tanh"
    settings = {"hidden": (100,), "dropout": book.DROPOUT, "batch_size": book.BATCH_SIZE}
    if _is_books_network(args):
        return {**settings, "optimizer": "sgd", "epochs": _experiment(args).iterations, "shuffle": False}
    return {**settings, "optimizer": "adam", "epochs": 100, "shuffle": True}


def _check_gradient(args):
    """Object to the book's gradient of another network."""
    if args.gradient == "exact":
        return
    if not _is_books_network(args):
        args.error("argument --gradient: got book, expected exact for another network than the book's, which "
                   "is --out softmax --loss crossentropy on all ten digits")
    if args.dropout != book.DROPOUT:
        args.error(f"argument --dropout: got {args.dropout:g}, expected {book.DROPOUT} with --gradient book")


# ---- a question --------------------------------------------------------------------------------------------

def run(args: argparse.Namespace) -> int:
    """Train one network, save what it did, also where it was interrupted, and return the exit status."""
    if args.resume is not None:
        args = resumed(args)
    else:
        args.words = args.argv
    if args.file is not None:
        args.command = _as_saved(args)
        return own_data.run(args)
    for name in OF_FILES[1:]:
        if getattr(args, name) is not None:
            args.error(f"argument --{name}: got it without a FILE, expected one, such as nnjit train "
                       "titanic.csv --target survived")
    args.model, args.dtype = args.model or "mlp", args.dtype or "float64"
    args.command = _as_saved(args)
    if args.model == "cnn" and args.data in ("pairs", "iris"):
        args.error(f"argument --model: got cnn with --data {args.data}, expected mlp; convolutions are for "
                   "--data auto, mnist, digits, cifar10 or fashion")
    if args.distributed and args.gradient == "book":
        args.error("argument --distributed: got it with --gradient book, expected exact, whose dropout "
                   "follows from the row")
    if args.data == "rows" and args.model != "gru":
        args.error(f"argument --model: got {args.model} with --data rows, expected gru, which reads an image "
                   "row by row")
    if args.model == "resnet" and args.data != "cifar10":
        args.error(f"argument --model: got resnet with --data {args.data}, expected cnn; the network with "
                   "shortcuts is for --data cifar10")
    if args.model == "gru" and args.data not in ("rows", "auto", "mnist", "digits"):
        args.error(f"argument --model: got gru with --data {args.data}, expected mlp or cnn; it reads --data "
                   "rows, mnist or digits")
    if args.model != "mlp" or args.data in ("cifar10", "fashion"):
        return train_images.run(args)
    return _run_question(args)


def _as_saved(args):
    """Return the options as a backup keeps them."""
    return {name: value for name, value in vars(args).items()
            if name not in NOT_SAVED or name in ("words", "report", "pictures")}


def _run_question(args):
    comm = options.communicator(args)
    with options.together(comm):
        return _train(args, comm)


def _train(args, comm):
    say = say_to(args)
    use_threads(args)
    make_head, why = decide(args)
    question = _ask(args, say)
    args.train_size = len(question.train[0])
    folder = options.new_folder(args, f"{args.act}-{args.out}")
    (x, y), optimizer = question.train, {"sgd": SGD, "adam": Adam}[args.optimizer](args.lr)
    widths = "-".join(map(str, [x.shape[1], *args.hidden, question.units]))
    say(f"asked    {question.text}\n"
        f"network  {widths}, {args.act}, dropout {args.dropout:g}, {args.out}; {args.gradient} gradient\n"
        f"loss     {why}\n"
        f"training {optimizer}; {args.epochs} epochs of {len(x):,} examples in batches of {args.batch_size}; "
        f"{args.dtype}; {threads_in_words()}; seed {args.seed}")
    x_test, y_test = question.test
    units = report.UnitsWatch(x_test)
    model, callbacks = _network(args, question, make_head), [ends_divergence, units]
    if args.gradient == "exact":    # the book's own dropout draws from a stream that no file holds
        callbacks.append(backup_in(folder, args))
    job = {"iris": "iris"}.get(args.data, "train" if _is_books_network(args) else None)
    try:
        with announced(args, job):
            model.fit(x, y, optimizer, args.epochs, args.batch_size, validation_data=question.test,
                      shuffle=args.shuffle, seed=args.seed, verbose=0 if args.quiet else "auto",
                      validate_every=args.eval_every, callbacks=callbacks, comm=comm)
    finally:
        gradient = {"book": "literal"}.get(args.gradient, args.gradient)
        how = f"{gradient} gradient" if _is_books_network(args) else f"{args.out} with {args.loss}"
        tested = None if question.images is None else report.Tested(x_test, question.images, y_test,
                                                                    question.data.classes)
        status = save(args, folder, model, question.data, f"{args.act}, {how}",
                      {"units": units, "x": x_test, "y": y_test}, image_shape=question.image_shape,
                      tested=tested)
    return status


def _ask(args, say):
    """Return the `Question` of the options, and say of which data it is."""
    try:
        if args.data == "iris":
            check_data_dir(args)
            question = questions.of_iris(args.out, args.dtype, args.train_size, args.outliers)
            say(f"data     iris: {len(question.train[0])} flowers to train, {len(question.test[0])} to test "
                f"({question.data.source})")
            return question
        dataset = load(args, say, None if args.data == "pairs" else args.train_size)
        if args.data == "pairs":
            return questions.of_pairs(dataset, args.dtype, args.train_size)
        return questions.of_images(dataset, args.out, args.dtype, args.train_size, args.classes)
    except DataError:
        raise
    except ValueError as error:
        args.error(f"argument {error}")


def _network(args, question, make_head):
    """Return the network, unbuilt."""
    random_state = np.random.RandomState(args.seed)
    if args.gradient == "book":
        new_dropout = partial(book.literal_dropout, random_state)
    else:
        new_dropout = partial(Dropout, args.dropout)
    if _is_books_network(args):
        return book.network(_experiment(args), random_state, new_dropout, args.hidden, args.dtype)
    return questions.network(args.act, args.hidden, new_dropout if args.dropout else None, question.units,
                             make_head(**question.settings), args.dtype)
