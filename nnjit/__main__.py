"""``python -m nnjit``."""
import sys

from .cli import main

if __name__ == "__main__":    # and not where multiprocessing imports it
    sys.exit(main())
