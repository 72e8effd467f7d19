"""Train a network: the same as ``nnjit train``."""
import sys

from nnjit.cli import main

sys.exit(main(["train", *sys.argv[1:]]))
