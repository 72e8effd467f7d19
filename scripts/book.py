"""Reproduce the two experiments of the book: the same as ``nnjit book``."""
from _environment import run

run("book")
