"""The history of a training: what was measured, epoch by epoch."""
import html
from collections.abc import Iterator

Logs = dict[str, float]    # what was measured, by name


class History:
    """What happened in `Sequential.fit`.

    Attributes
    ----------
    history : dict of list
        An entry an epoch: ``"loss"`` and the head's metric over the training rows, counted during the epoch,
        and ``"seconds"`` since the beginning, without those in which kernels were compiled. An entry for
        every validated epoch: ``"val_loss"`` and the like.
    epochs : list of int
        The numbers of the epochs, from 0.
    validated : list of int
        Those after which the validation data was evaluated.
    compile_seconds : float
        In which kernels were compiled for it.
    """

    def __init__(self):
        self.history: dict[str, list[float]] = {}
        self.epochs: list[int] = []
        self.validated: list[int] = []
        self.compile_seconds = 0.0

    def __repr__(self):
        if not self.epochs:
            return "History(no epochs)"
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items() if values)
        return f"History({len(self.epochs)} epochs, at last {last})"

    def _repr_html_(self):
        rows = list(self.rows())
        names = list(dict.fromkeys(name for row in rows for name in row))
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        lines = "".join("<tr>" + "".join(f"<td>{row[name]:.4g}</td>" if name in row else "<td></td>"
                                         for name in names) + "</tr>" for row in rows)
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"

    def rows(self) -> Iterator[Logs]:
        """Yield what was measured in every epoch, ``{"epoch": 0, "loss": ..., ...}``."""
        for i, epoch in enumerate(self.epochs):
            tested = self.validated.index(epoch) if epoch in self.validated else None
            places = {name: tested if name.startswith("val_") else i for name in self.history}
            yield {"epoch": epoch, **{name: self.history[name][place] for name, place in places.items()
                                      if place is not None}}

    def add(self, epoch: int, logs: Logs) -> None:
        """Add what was measured in an epoch."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
        self.epochs.append(epoch)
        if any(name.startswith("val_") for name in logs):
            self.validated.append(epoch)
