"""What a run leaves behind: the files of its folder, the numbers and the pictures.

In reading order: `folder`, which writes all files of a run; `units`, which watches hidden units; `details`,
what the page shows; `run_plots`, `image_plots` and `bench_plots`, the pictures of a training run, of images
and of the benchmark; `figures`, those of docs/outputs-and-losses.md. Only the first three do without
matplotlib.
"""
from .folder import METRICS, RunFolder, Tested, can_draw, draw_classifier, new_folder, versions, write
from .units import UnitsWatch
