"""``nnjit book``: the two experiments of the book with both gradients, beside the book's tables."""
import argparse

from .. import datasets, report
from .._numba import jit
from ..experiments import book
from ..inputs.checks import DataError
from . import options
from .compile import announced
from .results import repeated, write_page

GRADIENTS = {"book": "literal", "exact": "exact"}    # gradient of `book.run` → what the tables call it


def add_options(command: argparse.ArgumentParser) -> None:
    """Give the command its options."""
    command.add_argument("--epochs", type=options.whole(1),
                         help="of each experiment (default: the book's 300 for tanh, 100 for ReLU)")
    options.add_run_options(command, ("auto", "mnist", "digits"), options.AUTO)


def run(args: argparse.Namespace) -> None:
    """Run both experiments with both gradients and print them beside the book's tables.

    What is interrupted is saved as far as it has come.
    """
    say = options.say_to(args)
    options.use_threads(args)
    dataset = options.load(args, say)
    if len(dataset.x_train) < book.TRAIN_SIZE:
        raise DataError(f"{dataset.source}: got {len(dataset.x_train)} images to train, expected "
                        f"{book.TRAIN_SIZE}")
    folder, watch, compared = options.new_folder(args, "book"), jit.Stopwatch(), {}
    try:
        with announced(args, "book"):
            for name in book.EXPERIMENTS:
                compared[name] = _compare_gradients(args, name, dataset, folder, say)
    except KeyboardInterrupt:
        folder.discard()
        if folder.written:
            options.print_saved(folder)
        raise
    if args.pictures and report.can_draw():
        from ..report import run_plots
        run_plots.comparison(folder / "comparison.png", compared,
                         f"{dataset.name}: the book, and nnjit with seed {args.seed}")
    write_page(args, folder)
    print(book.DIFFERENCE)
    print(f"total    {watch.seconds:.1f} s, and {watch.compile_seconds:.1f} s to compile; {args.dtype}, "
          f"{options.threads_in_words()}")
    options.print_saved(folder)


def _compare_gradients(args, name, dataset, folder, say):
    """Run an experiment with each gradient, print the table, and return the book's rows and the runs."""
    table, epochs = None, args.epochs or book.EXPERIMENTS[name].iterations
    if datasets.holds_the_books(dataset):
        table = {key: _up_to(epochs, value) for key, value in
                 book.published()[book.EXPERIMENTS[name].key].items()}
    runs = {key: _run_and_save(args, name, gradient, dataset, table, folder, say)
            for gradient, key in GRADIENTS.items()}
    _print_table(name, runs, table)
    return {"printed": table and table["printed"], **runs}


def _up_to(epochs, value):
    """Return the rows of a table of the book, or of a part of it, up to a number of epochs."""
    if isinstance(value, list):
        return [row for row in value if row["iteration"] < epochs]
    return {**value, "rows": _up_to(epochs, value["rows"])} if isinstance(value, dict) else value


def _run_and_save(args, name, gradient, dataset, table, folder, say):
    """Run an experiment and write its files, also where it is interrupted; return the `book.Run`.

    ``table`` is the book's, None for other data.
    """
    say(f"running  {name}, {GRADIENTS[gradient]} gradient")
    model, train = book.prepare(name, gradient, args.seed, args.dtype, args.epochs, dataset)
    _, (x, _) = dataset.rows(args.dtype, 1)
    units = report.UnitsWatch(x)
    try:
        train(0 if args.quiet else "auto", [units])
    finally:
        if model.history is not None and model.history.validated:
            _save(args, name, gradient, dataset, table, folder, model, units)
    return book.outcome(model)


def _save(args, name, gradient, dataset, table, folder, model, units):
    experiment = book.EXPERIMENTS[name]
    settings = {"act": name, "dropout": book.DROPOUT, "lr": experiment.learning_rate,
                "epochs": args.epochs or experiment.iterations, "batch_size": book.BATCH_SIZE,
                "train_size": book.TRAIN_SIZE, "gradient": gradient, "data": args.data, "dtype": args.dtype,
                "seed": args.seed}
    compared = {}
    if table:
        over_seeds = table[GRADIENTS[gradient]]
        compared = {"printed": table["printed"], "spread": over_seeds["rows"], "seeds": over_seeds["seeds"]}
    title = f"{dataset.name}: {name}, {GRADIENTS[gradient]} gradient, seed {args.seed}"
    _, (images, _) = dataset.images(1)
    _, (x, y) = dataset.rows(args.dtype, 1)
    report.write(folder.part(f"{name}-{gradient}"), model, settings, dataset, title,
                 dataset.x_train.shape[1:3], report.Tested(x, images, y, dataset.classes),
                 {"argv": repeated("book", args.argv), "units": units,
                  "label": f"{name}, {GRADIENTS[gradient]} gradient"}, args.pictures, **compared)


def _print_table(name, runs, table):
    """Print the book's rows beside ours; only ours where it has none for the data."""
    printed = (table or book.published()[book.EXPERIMENTS[name].key])["printed"]
    epochs = len(runs["exact"].iteration)
    columns = ["epoch"]
    for part in ("test", "train"):
        columns += [f"book {part}"] * bool(table) + [f"our {part}, {key}" for key in runs]
    print(f"\n{name}: {epochs} epoch{'s' * (epochs > 1)}, accuracy\n" + "  ".join(columns))
    for row in _up_to(epochs, printed):
        i = row["iteration"]
        cells = [f"{i:5d}"]
        for part in ("test", "train"):
            ours = [getattr(run, f"{part}_accuracy")[i] for run in runs.values()]
            cells += [f"{value:.4f}" for value in [row[part]] * bool(table) + ours]
        print("  ".join(f"{cell:>{len(column)}}" for cell, column in zip(cells, columns)))
    print()
