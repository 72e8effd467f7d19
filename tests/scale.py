"""How often a test repeats: a few times in `make test`, often in `make torture`."""
import os

TORTURE = os.environ.get("NNJIT_TORTURE", "") not in ("", "0")


def times(quick: int, torture: int) -> int:
    """Return how often a test repeats what it does."""
    return torture if TORTURE else quick
