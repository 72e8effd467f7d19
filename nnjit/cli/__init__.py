"""The command ``nnjit``.

In reading order: `main`, the parser and the exit status; `options`, what the commands share; `train`, ``nnjit
train`` on a question of some data, and `train_images`, the same with a preset for images; `results`, what
both leave; `book` and `doctor`, a command each. ``nnjit bench`` is in `nnjit.bench`.
"""
from .main import main

__all__ = ["main"]
