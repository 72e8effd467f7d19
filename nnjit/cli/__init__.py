"""The command ``nnjit``."""
from .main import main
