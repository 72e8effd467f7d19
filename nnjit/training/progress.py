"""What is shown while a network is trained."""
import sys

from tqdm import tqdm


class Progress:
    """A bar on a terminal, about ten plain lines elsewhere, nothing with ``verbose=0``."""

    def __init__(self, epochs, verbose):
        self.epochs, self.verbose = epochs, verbose
        self.bar = None

    def __enter__(self):
        if self.verbose and sys.stderr.isatty():
            self.bar = tqdm(total=self.epochs, unit="epoch", leave=True)
        return self

    def __exit__(self, *error):
        if self.bar is not None:
            self.bar.close()

    def show(self, epoch, logs):
        figures = {name: f"{value:.4g}" for name, value in logs.items() if name != "seconds"}
        if self.bar is not None:
            self.bar.set_postfix(figures, refresh=False)
            self.bar.update()
        elif self.verbose and (epoch % max(1, self.epochs // 10) == 0 or epoch == self.epochs - 1):
            text = "  ".join(f"{name} {value}" for name, value in figures.items())
            print(f"epoch {epoch + 1}/{self.epochs}  {text}  {logs['seconds']:.1f} s", file=sys.stderr)
