"""The networks that the command trains.

In reading order: `book`, the two experiments of *Grokking Deep Learning*; `questions`, what ``nnjit train``
can be asked of small data; `presets`, networks for images.
"""
