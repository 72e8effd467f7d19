"""What a run leaves behind: the files of its folder, the numbers and the pictures."""
from .folder import METRICS, Tested, can_draw, draw_classifier, new_folder, versions, write
