"""``nnjit book``: the two experiments of the book with both gradients, beside the book's tables."""
import argparse
import time

from .. import datasets, report
from .._numba import jit
from ..experiments import book
from ..inputs.checks import DataError
from . import options

GRADIENTS = {"book": "literal", "exact": "exact"}    # gradient of `book.run` → what the tables call it


def add_options(command: argparse.ArgumentParser) -> None:
    """Give the command its options."""
    options.add_run_options(command, ("auto", "mnist", "digits"), options.AUTO)


def run(args: argparse.Namespace) -> None:
    """Run both experiments with both gradients and print them beside the book's tables."""
    say = options.say_to(args)
    options.use_threads(args)
    dataset = options.load(args, say)
    if len(dataset.x_train) < book.TRAIN_SIZE:
        raise DataError(f"{dataset.source}: got {len(dataset.x_train)} images to train, expected "
                        f"{book.TRAIN_SIZE}")
    with_book = datasets.holds_the_books(dataset)
    folder = report.new_folder(args.out_dir, "book")
    begin, compared = time.perf_counter(), {}
    for name, experiment in book.EXPERIMENTS.items():
        table = book.published()[experiment.key] if with_book else None
        runs = {key: _run_and_save(args, name, gradient, dataset, table, folder, say)
                for gradient, key in GRADIENTS.items()}
        _print_table(name, runs, table)
        compared[name] = {"printed": table and table["printed"], **runs}
    if report.can_draw():
        from ..report import plots
        plots.comparison(folder / "comparison.png", compared,
                         f"{dataset.name}: the book, and nnjit with seed {args.seed}")
    print(book.DIFFERENCE)
    total, compiling = time.perf_counter() - begin, jit.compile_seconds()
    print(f"total    {total - compiling:.1f} s, and {compiling:.1f} s to compile; {args.dtype}, "
          f"{options.threads_in_words()}")
    options.print_saved(folder)


def _run_and_save(args, name, gradient, dataset, table, folder, say):
    """Write a run's files and return the `book.Run`; ``table`` is the book's, None for other data."""
    say(f"running  {name}, {GRADIENTS[gradient]} gradient")
    experiment = book.EXPERIMENTS[name]
    run = book.run(name, gradient, args.seed, args.dtype, data=dataset, verbose=0 if args.quiet else "auto")
    settings = {"act": name, "dropout": book.DROPOUT, "lr": experiment.learning_rate,
                "epochs": experiment.iterations, "batch_size": book.BATCH_SIZE, "train_size": book.TRAIN_SIZE,
                "gradient": gradient, "data": args.data, "dtype": args.dtype, "seed": args.seed}
    compared = {}
    if table:
        over_seeds = table[GRADIENTS[gradient]]
        compared = {"printed": table["printed"], "spread": over_seeds["rows"], "seeds": over_seeds["seeds"]}
    folder = folder / f"{name}-{gradient}"
    folder.mkdir(exist_ok=True)
    title = f"{dataset.name}: {name}, {gradient} gradient, seed {args.seed}"
    _, (images, _) = dataset.images(1)
    _, (x, y) = dataset.rows(args.dtype, 1)
    report.write(folder, run.model, settings, dataset, title, dataset.x_train.shape[1:3],
                 report.Tested(x, images, y, dataset.classes), **compared)
    return run


def _print_table(name, runs, table):
    """Print the book's rows beside ours; only ours where it has none for the data."""
    experiment = book.EXPERIMENTS[name]
    printed = book.published()[experiment.key]["printed"]
    with_book = table is not None
    columns = ["iteration"]
    for part in ("test", "train"):
        columns += [f"book {part}"] * with_book + [f"our {part}, {key}" for key in runs]
    print(f"\n{name}: {experiment.iterations} iterations, accuracy\n" + "  ".join(columns))
    for row in printed:
        i = row["iteration"]
        cells = [f"{i:9d}"]
        for part in ("test", "train"):
            ours = [getattr(run, f"{part}_accuracy")[i] for run in runs.values()]
            cells += [f"{value:.4f}" for value in [row[part]] * with_book + ours]
        print("  ".join(f"{cell:>{len(column)}}" for cell, column in zip(cells, columns)))
    print()
