"""What stands before a network that was trained on a file: plain values, kept in its own."""
from typing import Any

from .columns import Columns
from .pictures import Pictures


def remade(plain: dict[str, Any] | None) -> Columns | Pictures | None:
    """Return what a file's plain values say; ValueError where they say nothing."""
    if plain is None:
        return None
    kinds: dict[str, Any] = {"columns": Columns, "pictures": Pictures}
    if plain["kind"] not in kinds:
        raise ValueError(f"preprocessing: got {plain['kind']!r}, expected one of {', '.join(kinds)}")
    return kinds[plain["kind"]].remade(plain)
