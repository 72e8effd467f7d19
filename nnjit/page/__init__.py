"""The page of a run, or of several: one file that opens anywhere, without a network.

`write` makes it of what runs left in their folders (`content`, `network`) and of templates: ``page.html``,
``page.css``, and the scripts ``network.js`` (the trained network), ``charts.js``, ``pad.js`` and ``page.js``.
"""
from .content import write

__all__ = ["write"]
