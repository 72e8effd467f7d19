"""The networks that the command trains: the book's two experiments, the questions of ``nnjit train``, presets for images."""
