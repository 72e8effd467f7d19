"""``nnjit export RUN --to onnx``: the network of a run as a file for other libraries."""
import argparse
from pathlib import Path

from .. import exchange
from ..inputs.checks import DataError
from ..loading import load

_WRITERS = {"onnx": exchange.to_onnx, "safetensors": exchange.to_safetensors}


def add_options(command: argparse.ArgumentParser) -> None:
    """Give the command its options."""
    command.add_argument("run_folder", metavar="RUN", help="the folder of a run, or a saved model (.npz)")
    command.add_argument("--to", choices=tuple(_WRITERS), required=True,
                         help="onnx: the network, for onnxruntime and others; safetensors: arrays by name")
    command.add_argument("--out", metavar="FILE", help="(default: model.onnx or model.safetensors in RUN)")


def run(args: argparse.Namespace) -> None:
    """Write the file."""
    path = Path(args.run_folder)
    path = path / "model.npz" if path.is_dir() else path
    if not path.exists():
        raise DataError(f"{path}: got no such file, expected the folder of a run, or a saved model")
    model, out = load(path), Path(args.out or path.with_suffix(f".{args.to}"))
    try:
        _WRITERS[args.to](model, out)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    if model.preprocessing is not None:
        print("note     the file has the network only: prepare its inputs with the model's preprocessing")
    print(f"saved    {out}")
