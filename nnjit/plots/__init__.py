"""Pictures of trainings and of what networks do, drawn into an ``ax`` that is given or a new one.

They need matplotlib, an extra: ``pip install nnjit[plots]``. `axes` has them; `drawing` what all share.
"""
from .axes import calibration, confusion, curves, decision_regions, fitted_line, predictions, weights

__all__ = ["calibration", "confusion", "curves", "decision_regions", "fitted_line", "predictions", "weights"]
