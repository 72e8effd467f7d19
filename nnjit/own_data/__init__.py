"""Data of one's own: from a table, images or arrays to a question, parts, inputs and a comparison.

In reading order: `sources`, what files and folders hold; `target`, the question that a target asks;
`prepare`, into which parts the rows go, and what is learned of the inputs; `training`, all of that in a row,
and good settings; `compare`, whether a network is worth it. ``nnjit train FILE`` puts them together.
"""
from .prepare import learn

__all__ = ["learn"]
