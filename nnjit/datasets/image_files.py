"""Images of one's own: folders of files, by Pillow."""
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..inputs.checks import DataError
from ..inputs.targets import in_short
from .files import refuse_foreign
from .tables import import_extra

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
    bar = tqdm(total=2 * len(files), desc=path.name, unit="", leave=False,
               disable=True if quiet or len(files) < _BAR else None)
    with bar, ThreadPoolExecutor() as pool:
        def each(function):
            def one(file):
                found = function(file)
                bar.update()
                return found
            return list(pool.map(one, files))

        kinds = each(_kind)
        shapes = [shape for shape, _ in kinds]
        if size is None:
            alike = len(set(shapes)) == 1 and max(shapes[0]) <= LARGEST
            size = shapes[0] if alike else (SIDE, SIDE)
        if channels is None:
            channels = 1 if all(grey for _, grey in kinds) else 3
        x = np.stack(each(lambda file: _pixels(file, size, channels)))
    below = path if path.is_dir() else path.parent
    sizes = {shape: shapes.count(shape) for shape in sorted(set(shapes))}
    return Images(x, classes, tuple(str(file.relative_to(below)) for file in files), sizes)


def _found(path):
    """Return the images' files, and the names of their classes (N,), or None."""
    if path.is_file():
        return [path], None
    if not path.is_dir():
        raise DataError(f"{path}: got nothing there, expected a folder of images")
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

def _opened(file):
    """Return a file's image, upright, in the mode L or RGB; DataError where it is none."""
    from PIL import Image, ImageOps
    try:
        with Image.open(file) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):    # 16 bits
                return Image.fromarray((np.asarray(image, float) / 257).round().astype(np.uint8))
            if image.mode in ("1", "L"):
                return image.convert("L")
            if image.mode == "RGB":
                return image.copy()
            over = image.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", image.size, "white"), over).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        with open(file, "rb") as content:
            refuse_foreign(file, content.read(200))
        raise DataError(f"{file}: no image, or damaged ({str(error).split(':')[0]}); remove it, or get it "
                        "anew") from error


def _kind(file):
    """Return an image's (H, W), and whether it is grey."""
    image = _opened(file)
    if image.mode == "L":
        return image.size[::-1], True
    pixels = np.asarray(image)
    return image.size[::-1], bool((pixels == pixels[..., :1]).all())


def _pixels(file, size, channels):
    """Return an image as (H, W, C) uint8."""
    from PIL import Image
    image = _opened(file).convert("L" if channels == 1 else "RGB")
    if image.size != size[::-1]:
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(*size, channels)


def sizes_in_words(sizes: Sequence[tuple[int, int]]) -> str:
    """Return sizes as text."""
    names = [f"{H} × {W}" for H, W in sizes]
    return names[0] if len(names) == 1 else in_short(names, 3).replace("'", "")
