"""The shape of the rows, given with the layers."""
from ..inputs.checks import check_count


class Input:
    """The shape of a row, in front of a `Sequential`'s layers: the network is built at once.

    So `Sequential.summary` and `Sequential.parameters` need no data. It is no layer, and has no number among
    them.

    Parameters
    ----------
    shape : int or tuple of int
        D for flat rows, (T, D) for sequences, (H, W, C) for images.

    Raises
    ------
    TypeError, ValueError
        Something else.
    """

    def __init__(self, shape: int | tuple[int, ...]):
        shape = tuple(shape) if isinstance(shape, (list, tuple)) else (shape,)
        if not shape:
            raise ValueError("Input: got the shape (), expected at least one size, such as Input(784)")
        self.shape = tuple(check_count("Input shape", size) for size in shape)

    def __repr__(self):
        return f"Input({self.shape})"
