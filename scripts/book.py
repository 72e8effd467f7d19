"""Reproduce the two experiments of the book: the same as ``nnjit book``."""
import sys

from nnjit.cli import main

sys.exit(main(["book", *sys.argv[1:]]))
