"""What a training leaves: the files of its folder, and the lines that sum it up."""
import argparse
from pathlib import Path

import numpy as np

from .. import report
from ..callbacks import BackupAndRestore
from ..datasets import Dataset, Table
from ..inputs.checks import DataError
from ..model import Sequential
from ..own_data.training import OwnData
from ..report import RunFolder
from ..training.restoring import read_notes
from .options import print_saved

BACKUP = "backup.npz"
# of the options, in run.json
NOT_SAVED = "run", "error", "quiet", "force", "resume", "argv", "command", "words", "report", "pictures"
NOT_SAVED += "until", "dataset", "writes", "backup"
OF_FILES = "file", "target", "test", "image", "patience"       # options for one's own data
OF_PACKAGE = "data", "data_dir", "outliers", "gradient"        # and for those of the package
# of the words of the command, in the page
_NOT_REPEATED = "--out-dir", "--force", "--quiet", "--no-report", "--no-pictures"


def save(args: argparse.Namespace, folder: RunFolder, model: Sequential, data: Dataset | Table | OwnData,
         title: str, shown: dict | None = None, **pictures) -> int:
    """Write the files of a training as `report.write` does, print its result, and return the exit status.

    It is 1 where the training diverged.
    """
    if not getattr(args, "writes", True):    # a rank that is not the first
        return 0
    if model.history is None or not model.history.epochs:
        folder.discard()
        print("result   none: stopped before the first epoch was over")
        _print_how_to_go_on(folder)
        return 0
    unused = OF_FILES if args.file is None else OF_PACKAGE
    settings = {name: value for name, value in vars(args).items() if name not in (*NOT_SAVED, *unused)}
    title = f"{data.name}: {title}, seed {args.seed}"
    shown = {"argv": repeated("train", args.words), **(shown or {"units": None})}
    results = report.write(folder, model, settings, data, title, shown=shown, draws=args.pictures, **pictures)
    if getattr(args, "backup", None) is not None:
        args.backup.remove()
    _print_result(results, model.head.metric, pictures.get("part", "test"))
    if pictures.get("compared") is not None:
        print(pictures["compared"])
    diverged = ends_divergence(model, None, {"loss": results["train_loss"]})
    if diverged:
        print("diverged: the loss is no longer a finite number; try a smaller --lr")
    _print_how_to_go_on(folder)
    write_page(args, folder)
    print_saved(folder)
    return int(diverged)


def _print_result(results, metric, part):
    """Print the line that sums a training up."""
    name = report.METRICS[metric]
    found, best = (results[f"{which}_{metric}"] for which in (part, f"best_{part}"))
    among = "" if np.isnan(best) else f" (best {best:.4f} in epoch {results['best_epoch']})"
    print(f"result   epoch {results['epoch']}: {part} {name} {found:.4f}{among}, train {name} "
          f"{results[f'train_{metric}']:.4f}; {results['seconds']:.1f} s, and "
          f"{results['compile_seconds']:.1f} s to compile")


def repeated(command: str, words: list[str]) -> list[str]:
    """Return the words of the command that repeats a run, without where its results went."""
    return ["nnjit", command, *without(words, _NOT_REPEATED)]


def without(words: list[str], options: tuple[str, ...]) -> list[str]:
    """Return the words of a command without some options, and without the value of --out-dir."""
    found, skipped = [], False
    for word in words:
        name = word.partition("=")[0]
        if not skipped and name not in options:
            found.append(word)
        skipped = name in options and word == "--out-dir"
    return found


def write_page(args: argparse.Namespace, folder: RunFolder) -> None:
    """Write the page of a run into its folder, unless --no-report is given."""
    if args.report:
        from .. import page
        page.write(folder / "report.html", [folder.path])


# ---- going on ----------------------------------------------------------------------------------------------

def backup_in(folder: RunFolder, args: argparse.Namespace) -> BackupAndRestore:
    """Return the callback that writes the backups of a run into its folder, with the command's options."""
    if getattr(args, "until", None) is not None:
        from .sweep import PausingBackup
        return PausingBackup(folder.path / BACKUP, args.until, {"command": args.command})
    args.backup = _BackupUntilSaved(folder.path / BACKUP, "30s", {"command": args.command})
    return args.backup


class _BackupUntilSaved(BackupAndRestore):
    """Keeps the last backup until the results are saved, which may find the disk full, or be killed."""

    ended = False

    def over(self):
        """Keep the backup at the end of the training, for now."""
        self.ended = True

    def remove(self):
        """Remove the backup if the training has ended; one that was interrupted goes on from it."""
        if self.ended:
            super().over()


def resumed(args: argparse.Namespace) -> argparse.Namespace:
    """Return the options of the run that --resume names, whose results are to be replaced."""
    allowed = "--resume", "--threads", "--quiet"
    names = [word.partition("=")[0] for word in args.argv if word.startswith("-")]
    others = [name for name in names if name not in allowed]
    if others:
        args.error(f"argument --resume: got {others[0]} with it, expected only --threads and --quiet; the "
                   "run goes on as it began")
    backup = Path(args.resume) / BACKUP
    if not backup.exists():
        raise DataError(f"{backup}: no such backup; a run that has come to its end has none, nor have nnjit "
                        "book and --gradient book, whose dropout draws from a stream that no file holds")
    command = read_notes(backup).get("command", {})
    lists = {name: tuple(value) for name, value in command.items() if isinstance(value, list)}
    return argparse.Namespace(**{**vars(args), **command, **lists, "out_dir": args.resume, "force": True,
                                 "resume": None, "threads": args.threads})


def _print_how_to_go_on(folder):
    if (folder.path / BACKUP).exists():
        print(f"go on    nnjit train --resume {folder}")


def ends_divergence(model: Sequential, epoch: int | None, logs: dict) -> bool:
    """The callback that ends a training whose loss is not finite."""
    return not np.isfinite(logs["loss"])
