"""Measure nnjit beside NumPy and the others: the same as ``nnjit bench``."""
from _environment import run

run("bench")
