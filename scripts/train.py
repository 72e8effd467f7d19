"""Train a network: the same as ``nnjit train``."""
from _environment import run

run("train")
