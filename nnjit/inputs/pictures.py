"""What was learned of images, as plain values, and the bytes that a network gets by it."""
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .checks import DataError

_DARK_ON_WHITE = 160    # mean of the pixels along the edges, from which on grey images count as that


@dataclass
class Pictures:
    """How images become those that a network takes, (N, H, W, C) uint8.

    Attributes
    ----------
    size : [H, W]
    channels : 1 for grey, 3 for red, green, blue
    inverted : whether dark ink on white paper becomes white on black
    targets : [the name of what is predicted]
    columns : the names of the columns of a table that hold the pixels, row by row; None of image files
    top : the largest value of a pixel in that table, or array, which becomes 255
    """

    size: list[int]
    channels: int
    inverted: bool
    targets: list[str]
    columns: list[str] | None = None
    top: float = 255.0

    def transform(self, images, dtype=None, rows=slice(None)) -> np.ndarray:
        """Return images (N, H, W, C), or a table of their pixels, or some ``rows`` of them, as bytes.

        Raises
        ------
        DataError
            Images of another shape, a missing column, or numbers that are no pixels.
        """
        if hasattr(images, "columns"):
            images = self._of_table(images)
        images = np.asarray(images)[rows]
        shape = (*self.size, self.channels)
        if images.shape[1:] == tuple(self.size) and self.channels == 1:
            images = images[..., None]
        if images.shape[1:] != shape:
            raise DataError(f"got images of shape {images.shape[1:]}, expected {shape} as in training")
        return self._inverted(as_bytes(images, self.top))

    def _of_table(self, frame):
        missing = [name for name in self.columns or () if name not in frame]
        if self.columns is None or missing:
            raise DataError(f"got a table without {repr(missing[0]) if missing else 'pixels'}, expected "
                            f"{'images' if self.columns is None else 'its column'} as in training")
        pixels = frame[self.columns].to_numpy()
        if pixels.dtype.kind not in "biuf":
            raise DataError("got text among the pixels, expected numbers")
        return pixels.reshape(-1, *self.size, self.channels)

    def _inverted(self, images):
        return 255 - images if self.inverted else images

    def plain(self) -> dict[str, Any]:
        """Return it as plain values, from which `remade` makes it again."""
        return {"kind": "pictures", **asdict(self)}

    @classmethod
    def remade(cls, plain: dict[str, Any]) -> "Pictures":
        """Return what `plain` returned as it was."""
        return cls(**{name: value for name, value in plain.items() if name != "kind"})


def as_bytes(images: np.ndarray, top: float) -> np.ndarray:
    """Return pixels from 0 to ``top`` as bytes from 0 to 255; DataError where one is out of range."""
    if images.dtype == np.uint8 and top == 255:
        return images
    low, high = images.min(initial=0), images.max(initial=0)
    if not (low >= 0 and high <= top):
        raise DataError(f"got pixels from {low:g} to {high:g}, expected 0 to {top:g}")
    return np.rint(images * (255 / top)).astype(np.uint8)


def top_of(images: np.ndarray) -> float:
    """Return what stands for white in these pixels: 1, 255, or the largest value; DataError for others."""
    if images.dtype == np.uint8 and images.max() > 127:
        return 255.0
    low, high = float(images.min()), float(images.max())
    if not (0 <= low and high <= 65535):
        raise DataError(f"got pixels from {low:g} to {high:g}, expected 0 to 1, or 0 to 255; for numbers of "
                        "either sign add what is missing to 0 and divide by the largest")
    return 1.0 if high <= 1 else 255.0 if 127 < high <= 255 else high


def is_dark_on_white(images: np.ndarray) -> bool:
    """Return whether grey images (N, H, W, 1) show dark ink on white paper, by their edges."""
    if images.shape[3] != 1:
        return False
    edges = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    return float(np.mean([edge.mean() for edge in edges])) > _DARK_ON_WHITE
