"""Report the course of a fit: a line for the user, and tasks for scikit-learn's callbacks."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

from skae._fitting.candidates import Fitted

NAME = "[AutoencoderTransformer]"
# Seconds between two lines where the output is a file, which can't replace a line.
FILE_INTERVAL = 10.0
EPOCHS = "{l_bar}{bar}| {n:.4g}/{total} epochs [{elapsed}<{remaining}{postfix}]"


class Progress:
    """Follow all runs of one fit.

    `task` stands for the fit among the tasks of scikit-learn's callbacks, or is None. With
    ``verbose=1`` one line is kept up to date, and with 2 there is a line for each validation.
    """

    def __init__(self, verbose: int = 0, task: Any = None) -> None:
        self.verbose = int(verbose)
        self.stopped = False  # whether a callback has asked to end the fit
        # Set by those who know the user's rows: networks for these rows, and fitted attributes.
        self.translate: Callable[[Fitted], Fitted] = lambda fitted: fitted
        self.attributes: Callable[[Fitted], dict] = lambda fitted: {}
        self._task = task
        self._bar: Any = None

    @property
    def follows(self) -> bool:
        """Whether somebody looks at the runs, so that they have to come one after another."""
        return bool(self.verbose) or self._task is not None

    @contextlib.contextmanager
    def run(self, name: str, n_epochs: int, n_checks: int) -> Iterator[Callable]:
        """Announce a run, and yield the function that follows it and says whether to stop it."""
        name = name or "training"
        self.show(name, n_epochs)
        task = None if self._task is None else self._task.begin(name, n_checks)
        yield functools.partial(self._follow, task, name)
        if task is not None:
            task.end()
        self.close()

    def show(self, name: str, n_epochs: int | None = None) -> None:
        """Say what is being computed, in the line that is kept up to date."""
        self.close()
        if self.verbose != 1:
            return
        from tqdm import tqdm

        replaced = sys.stdout.isatty() or "ipykernel" in sys.modules
        interval = 0.0 if replaced else FILE_INTERVAL
        self._bar = tqdm(
            desc=f"{NAME} {name}",
            total=n_epochs,
            bar_format="{desc}" if n_epochs is None else EPOCHS,
            file=sys.stdout,
            leave=False,
            delay=interval,
            mininterval=max(0.1, interval),
            dynamic_ncols=True,
        )

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.close()
        print(f"{NAME} {text}")

    def advance(self, n_epochs: float) -> None:
        """Show how many epochs of a run are done, of which the last may not be complete."""
        if self._bar is not None:
            self._bar.update(n_epochs - self._bar.n)

    def close(self) -> None:
        """Take away the line that is kept up to date."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def _follow(self, task, name, losses, checks, fitted):
        """Follow a run after some epochs; `fitted` returns what it has trained so far."""
        found = f"loss {losses[-1]:.6g}"
        if checks:
            found += f", validation loss {checks[-1]:.6g}"
        if self.verbose > 1:
            self.say(f"{name}, epoch {len(losses)}: {found}")
        if self._bar is not None:
            self._bar.set_postfix_str(found, refresh=False)
        self.advance(len(losses))
        if task is not None:
            self.stopped |= bool(task.check(lambda: self.attributes(self.translate(fitted()))))
        return self.stopped
