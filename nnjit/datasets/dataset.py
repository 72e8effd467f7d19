"""What a data set is in memory: images and labels, or a table of measurements."""
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike

Pair = tuple[np.ndarray, np.ndarray]    # inputs and targets


@dataclass(frozen=True, eq=False)    # arrays have no single truth value to compare by
class Dataset:
    """Images and labels, and where they came from.

    Attributes
    ----------
    name : "MNIST", "UCI digits", ...
    x_train, x_test : (N, 28, 28) uint8, 0 the paper, 255 the ink; in colour (N, 32, 32, 3), red, green, blue
    y_train, y_test : (N,) int64 class numbers, 0 .. K - 1
    source : one line: a folder, a URL, or the package; it says so if the content is not the published one
    checksums : {file name: sha256 of its unpacked content}
    classes : the names of the K classes
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    source: str
    checksums: dict[str, str]
    classes: tuple[str, ...] = tuple("0123456789")

    def __repr__(self):
        shape = " × ".join(map(str, self.x_train.shape[1:]))
        return (f"Dataset({self.name}, {self.source}: {len(self.x_train):,} images to train, "
                f"{len(self.x_test):,} to test, {shape})")

    def images(self, train_size: int | None = None) -> tuple[Pair, Pair]:
        """Return ``((x, y), (x_test, y_test))``, the images as they are, (N, H, W, C) uint8.

        ``train_size`` and the errors about it are as of `rows`.
        """
        def channels(images):
            return images[..., None] if images.ndim == 3 else images

        n = self._check_size(train_size)
        return (channels(self.x_train[:n]), self.y_train[:n]), (channels(self.x_test), self.y_test)

    def rows(self, dtype: DTypeLike = "float32", train_size: int | None = None) -> tuple[Pair, Pair]:
        """Return ``((x, y), (x_test, y_test))``, the images as rows, (N, 784), of pixels divided by 255.

        Parameters
        ----------
        dtype : {"float32", "float64"}
            Of the rows; a quotient is rounded once.
        train_size : int, optional
            Return the first ``train_size`` training images; by default all N.

        Raises
        ------
        TypeError
            ``train_size`` is not an integer.
        ValueError
            ``train_size`` is not within 1..N, or ``dtype`` is another one.
        """
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype: got {dtype}, expected float32 or float64")
        n = self._check_size(train_size)

        def scaled(images):
            return images.reshape(len(images), -1).astype(dtype) / dtype.type(255)

        return (scaled(self.x_train[:n]), self.y_train[:n]), (scaled(self.x_test), self.y_test)

    def _check_size(self, train_size):
        """Return how many training images are meant, all for None."""
        available = len(self.x_train)
        if train_size is None:
            return available
        if isinstance(train_size, bool) or not hasattr(train_size, "__index__"):
            raise TypeError(f"train_size: got {train_size!r}, expected an integer")
        if not 1 <= train_size <= available:
            raise ValueError(f"train_size: got {train_size}, expected 1 to {available}, the number of "
                             "training images")
        return train_size

    def only(self, *classes: int) -> "Dataset":
        """Return a Dataset of only these classes' images. The classes, at least 2, get the labels 0, 1, ...

        ``load_digits().only(3, 8)`` asks of every image: is it a 3 or an 8?
        ValueError for classes without images.
        """
        known = np.unique(self.y_train)
        if len(classes) < 2 or len(set(classes)) < len(classes) or not np.isin(classes, known).all():
            raise ValueError(f"classes: got {', '.join(map(str, classes)) or 'none'}, expected at least 2 "
                             f"different ones of {', '.join(map(str, known))}")

        def chosen(x, y):
            kept = np.isin(y, classes)
            return x[kept], np.argmax(y[kept, None] == np.array(classes), axis=1)

        x_train, y_train = chosen(self.x_train, self.y_train)
        x_test, y_test = chosen(self.x_test, self.y_test)
        name = f"{self.name}, {' or '.join(map(str, classes))}"
        return replace(self, name=name, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test,
                       classes=tuple(self.classes[label] for label in classes))


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of measurements, a class for each, and where they came from.

    Attributes
    ----------
    x : (N, D) float64
    y : (N,) int64 class numbers, 0 .. K - 1
    columns : the D names of what was measured, with the unit
    classes : the K names of the classes
    source, checksums : as of `Dataset`
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    source: str
    checksums: dict[str, str]

    def __repr__(self):
        return (f"Table({self.name}, {self.source}: {len(self.x)} rows of {self.x.shape[1]}, "
                f"{len(self.classes)} classes)")


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences of different lengths, a class for each, and where they came from.

    Attributes
    ----------
    x_train, x_test : lists of (T, D) float64
        As `Sequential.fit` takes them.
    y_train, y_test : (N,) int64 class numbers, 0 .. K - 1
    classes : the K names of the classes
    source, checksums : as of `Dataset`
    """

    name: str
    x_train: list[np.ndarray]
    y_train: np.ndarray
    x_test: list[np.ndarray]
    y_test: np.ndarray
    classes: tuple[str, ...]
    source: str
    checksums: dict[str, str]

    def __repr__(self):
        lengths = [len(x) for x in self.x_train + self.x_test]
        return (f"Sequences({self.name}, {self.source}: {len(self.x_train)} to train, {len(self.x_test)} to "
                f"test, of {min(lengths)} to {max(lengths)} steps of {self.x_train[0].shape[1]}, "
                f"{len(self.classes)} classes)")
