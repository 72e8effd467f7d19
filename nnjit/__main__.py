"""``python -m nnjit``."""
import sys

from .cli import main

sys.exit(main())
