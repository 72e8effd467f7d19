"""Images of one's own: folders of files, by Pillow."""
import contextlib
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..inputs.checks import DataError
from ..inputs.targets import in_short
from ..reading import named, opened, room, size_of
from ..training.progress import on_terminal
from .tables import import_extra

_FORMATS = "PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"    # others start programs, such as Ghostscript
_PIXEL = {"1": 2, "L": 1, "P": 5, "RGB": 4, "I;16": 3}    # bytes that Pillow has for one
_ORIENTATION = 0x0112    # of an image, in its EXIF data
SUFFIXES = ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"
LARGEST = 96       # pixels of a side, up to which images that are all alike keep their size
SIDE = 32          # of the others
_BAR = 1000        # images from which on their reading is shown


@dataclass(frozen=True, eq=False)
class Images:
    """Images from files.

    Attributes
    ----------
    x : (N, H, W, C) uint8, with C = 1 for grey and 3 for red, green, blue
    y : (N,) text, the names of their folders; None where they lie in no folders
    files : the N paths, below the folder
    sizes : {(H, W): how many files have it}
    """

    x: np.ndarray
    y: np.ndarray | None
    files: tuple[str, ...]
    sizes: dict[tuple[int, int], int]

    def __repr__(self):
        N, H, W, C = self.x.shape
        classes = "" if self.y is None else f", {len(np.unique(self.y))} classes"
        return f"Images({N:,} of {H} × {W}, {'colour' if C == 3 else 'grey'}{classes})"


def read_images(path: str | Path, size: tuple[int, int] | None = None, channels: int | None = None,
                quiet: bool = True) -> Images:
    """Return the images of a folder, whose sub-folders are their classes; or of one file.

    Parameters
    ----------
    path : path
        A folder of folders, one a class, or a folder of images, or an image: PNG, JPEG, GIF, BMP, TIFF, WebP,
        PGM or PPM. What else lies there is passed over, and so are names that begin with a dot.
    size : (H, W), optional
        To which all are stretched. By default that of the images if all are alike and at most 96 pixels high
        and wide, else (32, 32).
    channels : 1 or 3, optional
        Grey, or red, green and blue; by default grey if all images are. What is transparent becomes white.
    quiet : bool
        Leave out the progress bar, which 1,000 images and more get on a terminal.

    Raises
    ------
    DataError
        There is no such folder, or no image in it; a file is damaged, or something else under the name of an
        image.
    ImportError
        There is no Pillow.
    """
    import_extra("PIL.Image")
    path = Path(path)
    files, classes = _found(path)
    decoder = _Decoder(files)
    bar = tqdm(total=2 * len(files), desc=path.name, unit="", leave=False,
               disable=quiet or len(files) < _BAR or not on_terminal())
    with bar, ThreadPoolExecutor() as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")    # of Pillow, of what does no harm

        def each(function):
            def one(file):
                with decoder.image(file) as (image, shape):
                    found = function(image, shape)
                bar.update()
                return found
            return list(pool.map(one, files))

        kinds = each(lambda image, shape: (shape, _is_grey(image)))
        shapes = [shape for shape, _ in kinds]
        if size is None:
            alike = len(set(shapes)) == 1 and max(shapes[0]) <= LARGEST
            size = shapes[0] if alike else (SIDE, SIDE)
        if channels is None:
            channels = 1 if all(grey for _, grey in kinds) else 3
        x = np.stack(each(lambda image, _: _pixels(image, size, channels)))
    below = path if path.is_dir() else path.parent
    sizes = {shape: shapes.count(shape) for shape in sorted(set(shapes))}
    return Images(x, classes, tuple(str(file.relative_to(below)) for file in files), sizes)


def _found(path):
    """Return the images' files, and the names of their classes (N,), or None."""
    if not path.is_dir():
        if not path.exists():
            raise DataError(f"{named(path)}: got nothing there, expected a folder of images")
        with opened(path, "no image"):    # a pipe is none
            return [path], None
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and not _is_hidden(folder))
    files, classes = [], []
    for folder in folders:
        own = _images_in(folder)
        files += own
        classes += [folder.name] * len(own)
    if files:
        return files, np.array(classes)
    files = _images_in(path)
    if not files:
        raise DataError(f"{path}: got no images, expected a folder of them for each class; they end in "
                        f"{', '.join(SUFFIXES)}")
    return files, None


def _is_hidden(path):
    return path.name.startswith((".", "__MACOSX"))


def _images_in(folder):
    return sorted(file for file in folder.iterdir()
                  if file.suffix.lower() in SUFFIXES and not _is_hidden(file) and file.is_file())


def has_images(path: Path) -> bool:
    """Return whether a folder, or one of its sub-folders, holds images."""
    return any(_images_in(folder) for folder in [path, *filter(Path.is_dir, path.iterdir())])


# ---- a file ------------------------------------------------------------------------------------------------

class _Decoder:
    """Decodes images in several threads, which hold no more memory at a time than their files suggest."""

    def __init__(self, files):
        self._left = self._most = room(sum(file.stat().st_size for file in files))
        self._freed = threading.Condition()

    @contextlib.contextmanager
    def image(self, file) -> Iterator[tuple[Any, ...]]:
        """The context of a file's image, upright, in the mode L or RGB, and its (H, W)."""
        from PIL import ImageOps
        with opened(file, "no image") as content, _parsed(content) as image:
            H, W = _fitted(file, image, size_of(content))
            with self._taking(_bytes_of(image, _is_turned(image))):
                ImageOps.exif_transpose(image, in_place=True)
                upright = (H, W) if (image.height > image.width) == (H > W) else (W, H)
                yield _as_grey_or_rgb(image), upright

    @contextlib.contextmanager
    def _taking(self, size):
        """The context in which so much memory is taken; it waits for others that have too much."""
        size = min(size, self._most)
        with self._freed:
            self._freed.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._freed:
                self._left += size
                self._freed.notify_all()


def _parsed(content):
    """Return the image of an open file, of which no more than the header is read yet."""
    from PIL import Image, UnidentifiedImageError
    try:
        return Image.open(content, formats=_FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"got something else than {', '.join(_FORMATS)}") from None


def _is_turned(image):
    return image.getexif().get(_ORIENTATION, 1) != 1


def _bytes_of(image, turned):
    """Return how many bytes an image takes while it is made upright, grey or coloured."""
    return image.width * image.height * _PIXEL.get(image.mode, 8) * (2 if turned else 1)


def _fitted(file, image, size):
    """Return the (H, W) of an image that there is room for; a JPEG that is too large is decoded smaller.

    DataError for others that are larger than their file of ``size`` bytes suggests.
    """
    H, W, scale = image.height, image.width, 1
    scaled = image.format in ("JPEG", "MPO")
    taken = _bytes_of(image, turned=False)
    if scaled or taken <= room(size):    # a PNG is decoded for the question whether it is turned
        taken = _bytes_of(image, _is_turned(image))
    if scaled:
        while taken > scale**2 * room(size) and scale < 8:
            scale *= 2
        image.draft(None, (W // scale, H // scale))
    if taken > scale**2 * room(size):
        raise DataError(f"{named(file)}: got an image of {H:,} × {W:,} pixels in {size:,} bytes, expected "
                        "fewer; make it smaller")
    return H, W


def _as_grey_or_rgb(image):
    from PIL import Image
    if image.mode.startswith("I"):    # 16 bits
        deep = np.asarray(image)
        rows = [np.rint(deep[i:i + 64] / 257).clip(0, 255).astype(np.uint8) for i in range(0, len(deep), 64)]
        return Image.fromarray(np.concatenate(rows))
    if image.mode in ("L", "RGB"):
        image.load()
        return image
    if image.mode == "1":
        return image.convert("L")
    image.load()
    whole = Image.new("RGB", image.size)
    for strip in _strips(image):
        over = image.crop(strip).convert("RGBA")
        white = Image.new("RGBA", over.size, "white")
        whole.paste(Image.alpha_composite(white, over).convert("RGB"), strip[:2])
    return whole


def _strips(image):
    """Return the boxes of an image's strips, of 64 rows each."""
    return [(0, y, image.width, min(y + 64, image.height)) for y in range(0, image.height, 64)]


def _is_grey(image):
    """Return whether an image shows grey only."""
    if image.mode == "L":
        return True
    strips = (np.asarray(image.crop(strip)) for strip in _strips(image))
    return all((strip == strip[..., :1]).all() for strip in strips)


def _pixels(image, size, channels):
    """Return an image as (H, W, C) uint8."""
    from PIL import Image
    mode = "L" if channels == 1 else "RGB"
    if image.size != size[::-1]:
        image = image if image.mode == mode else image.convert(mode)
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(image.convert(mode), np.uint8).reshape(*size, channels)


def sizes_in_words(sizes: Sequence[tuple[int, int]]) -> str:
    """Return sizes as text."""
    names = [f"{H} × {W}" for H, W in sizes]
    return names[0] if len(names) == 1 else in_short(names, 3).replace("'", "")
