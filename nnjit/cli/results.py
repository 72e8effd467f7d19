"""What a training leaves: the files of its folder, and the lines that sum it up."""
import argparse

import numpy as np

from .. import report
from ..datasets import Dataset, Table
from ..model import Sequential
from ..report import RunFolder
from .options import print_saved


def save(args: argparse.Namespace, folder: RunFolder, model: Sequential, data: Dataset | Table, title: str,
         **pictures) -> int:
    """Write the files of a training as `report.write` does, print its result, and return the exit status.

    It is 1 where the training diverged.
    """
    if model.history is None or not model.history.epochs:
        folder.discard()
        print("result   none: stopped before the first epoch was over")
        return 0
    left_out = ("run", "error", "quiet", "force")
    settings = {name: value for name, value in vars(args).items() if name not in left_out}
    title = f"{data.name}: {title}, seed {args.seed}"
    results = report.write(folder, model, settings, data, title, **pictures)
    metric = model.head.metric
    shown = {name.replace(f"_{metric}", ""): value for name, value in results.items()}
    best = "" if np.isnan(shown["best_test"]) else " (best {best_test:.4f} in epoch {best_epoch})"
    print(("result   epoch {epoch}: test {metric} {test:.4f}" + best
           + ", train {metric} {train:.4f}; "
           "{seconds:.1f} s, and {compile_seconds:.1f} s to compile").format(
               metric=report.METRICS[metric], **shown))
    diverged = ends_divergence(model, None, {"loss": results["train_loss"]})
    if diverged:
        print("diverged: the loss is no longer a finite number; try a smaller --lr")
    print_saved(folder)
    return int(diverged)


def ends_divergence(model: Sequential, epoch: int | None, logs: dict) -> bool:
    """The callback that ends a training whose loss is not finite."""
    return not np.isfinite(logs["loss"])
