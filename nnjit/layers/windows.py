"""What layers whose windows slide over images take: sizes, strides and padding, in rows and columns."""
from .._numba.warning import warn
from ..inputs.checks import check_count
from ..memory import Shape

PADDINGS = "same", "valid"
Pair = int | tuple[int, int]    # for rows and columns
Padding = str | Pair | tuple[tuple[int, int], tuple[int, int]]


def check_images(layer: str, shape: Shape) -> Shape:
    """Return a row's shape; ValueError unless it is that of images (H, W, C).

    Warns of images whose channels seem to come first.
    """
    if len(shape) != 3:
        hint = "; give grey images as X[..., None]" if len(shape) == 2 else ""
        raise ValueError(f"{layer}: got rows of shape {shape}, expected images (H, W, C){hint}")
    H, W, C = shape
    if H in (1, 3) and W == C > 4:
        warn(f"{layer}: got rows of shape {shape}, which are taken for {H} × {W} pixels with {C} channels; "
             f"if they are {W} × {C} pixels with {H} channels, as PyTorch has them, give X.transpose(0, 2, "
             "3, 1)")
    return shape


def check_pair(name: str, given, least: int = 1) -> Pair:
    """Return a size as it was given, an int for both directions, or (rows, columns); equal ones as an int.

    TypeError or ValueError where it is none of at least ``least``.
    """
    if not isinstance(given, (tuple, list)):
        return check_count(name, given, least)
    if len(given) != 2:
        raise ValueError(f"{name}: got {given!r}, expected a whole number or two, (rows, columns)")
    rows, columns = (check_count(name, number, least) for number in given)
    return rows if rows == columns else (rows, columns)


def as_pair(size: Pair) -> tuple[int, int]:
    """Return (rows, columns) of what `check_pair` returned."""
    return size if isinstance(size, tuple) else (size, size)


def check_padding(name: str, given, words=PADDINGS):
    """Return a padding: one of the ``words``, or ((top, bottom), (left, right)).

    A whole number stands for all four sides, (rows, columns) for top and bottom, left and right.
    """
    if isinstance(given, str) and given in words:
        return given
    if isinstance(given, str) or given is None:
        raise ValueError(f"{name}: got {given!r}, expected {', '.join(map(repr, words))} or ((top, bottom), "
                         "(left, right))")
    sides = given if isinstance(given, (tuple, list)) else (given, given)
    if len(sides) != 2:
        raise ValueError(f"{name}: got {given!r}, expected ((top, bottom), (left, right))")
    return tuple(_two_sides(name, side) for side in sides)


def _two_sides(name, side):
    if not isinstance(side, (tuple, list)):
        side = side, side
    if len(side) != 2:
        raise ValueError(f"{name}: got {side!r}, expected two whole numbers")
    return tuple(check_count(name, number, least=0) for number in side)


def slide(layer: str, shape: Shape, window, strides, padding, dilation=(1, 1)) -> tuple[Shape, Shape]:
    """Return how many windows there are, (rows, columns), and the corner: how many rows and columns lie
    before the image in the first.

    "same": ceil(size / stride) windows, with half of the padding, rounded down, at the top and the left (as
    in Keras). Else those that lie within the padded image. ValueError where there is none.
    """
    counts, corner = [], []
    for size, k, s, d, side in zip(shape, as_pair(window), as_pair(strides), as_pair(dilation),
                                   padding if isinstance(padding, tuple) else (padding, padding)):
        reach = (k - 1) * d + 1
        if side == "same":
            count = -(-size // s)
            before = max((count - 1) * s + reach - size, 0) // 2
        else:
            before, after = (0, 0) if side == "valid" else side
            count = (size + before + after - reach) // s + 1
        if count < 1:
            rows, columns = ((k - 1) * d + 1 for k, d in zip(as_pair(window), as_pair(dilation)))
            raise ValueError(f"{layer}: got images of {shape[0]} by {shape[1]}, expected at least {rows} by "
                             f"{columns} with padding {padding!r}")
        counts.append(count)
        corner.append(before)
    return tuple(counts), tuple(corner)
