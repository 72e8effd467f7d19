"""What a training leaves: the files of its folder, and the lines that sum it up."""
import argparse
from pathlib import Path

import numpy as np

from .. import report
from ..datasets import Dataset, Table
from ..model import Sequential
from .options import print_saved


def save(args: argparse.Namespace, folder: Path, model: Sequential, data: Dataset | Table, title: str,
         **pictures) -> None:
    """Write the files of a training as `report.write` does, and print its result."""
    if model.history is None or not model.history.validated:
        print("result   none: stopped before the first epoch was over")
        return
    settings = {name: value for name, value in vars(args).items() if name not in ("run", "error", "quiet")}
    title = f"{data.name}: {title}, seed {args.seed}"
    results = report.write(folder, model, settings, data, title, **pictures)
    metric = model.head.metric
    shown = {name.replace(f"_{metric}", ""): value for name, value in results.items()}
    print("result   iteration {iteration}: test {metric} {test:.4f} (best {best_test:.4f} in iteration "
          "{best_iteration}), train {metric} {train:.4f}; {seconds:.1f} s, of which {compile_seconds:.1f} s "
          "to compile".format(metric=report.METRICS[metric], **shown))
    if not np.isfinite(results["train_loss"]):
        print("diverged: the loss is no longer a finite number; try a smaller --lr")
    print_saved(folder)
