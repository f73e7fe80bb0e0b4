"""Train on one split after another, and for longer, as far as held-out rows say that it helps."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skae._data.rows import Rows
from skae._fitting.candidates import Candidate, Split
from skae._fitting.schedule import WORTH_A_CYCLE, most_cycles
from skae._fitting.trials import (
    RULE,
    RULE_WITHOUT_SELECTION,
    Trial,
    clear_gain,
    compared,
    relative_gain,
)
from skae._framework import load_framework
from skae._threads import one_thread


class Turns(NamedTuple):
    """Trials of a candidate on one split after another, and what it gains over its plain start."""

    trials: list[Trial]
    gain: float  # 0 if it is not clear
    relative: float  # the gain of all turns as a part of the plain start's loss


class Ahead:
    """Trials that may be needed, by name.

    If there is a core to spare, two are made at the same time: the one that is asked for, and the
    next, which will probably be asked for.
    """

    def __init__(self, candidate: Candidate, rows: Rows) -> None:
        settings = candidate.settings
        # Lines of two runs would be mixed, and the user's noise may suit only one thread. Rows in
        # storage have one window.
        alone = settings.noise is not None or settings.progress.follows or rows.stored
        self._pairs = candidate.keeps_last and not alone
        self._to_come: dict[str, Callable[[], Trial | Exception]] = {}
        self._made: dict[str, Trial | Exception] = {}

    def add(self, candidate: Candidate, split: Split) -> None:
        self._to_come[candidate.name] = functools.partial(_trial, candidate, split)

    def get(self, name: str) -> Trial:
        if name not in self._made:
            load_framework()
            from skae._keras import spare_core, together

            n = 2 if self._pairs and spare_core() else 1
            names = [name, *(other for other in self._to_come if other != name)][:n]
            tasks = [self._to_come.pop(name) for name in names]
            self._made.update(zip(names, together(tasks), strict=True))
        made = self._made.pop(name)
        if isinstance(made, Exception):
            raise made
        return made


def _trial(candidate, split):
    """Return a trial, or the exception that ended it, since nobody may need the trial."""
    try:
        return Trial(candidate, split)
    except Exception as error:
        return error


def plan(candidate: Candidate, splits: list[Split]) -> list[Candidate]:
    """Return the candidate with a name for each turn."""
    n = len(splits)
    names = [f"turn {i + 1} of at most {n}" if n > 1 else "" for i in range(n)]
    return [candidate._replace(name=name) for name in names]


@one_thread()
def take_turns(
    turns: list[Candidate], plain: Candidate | None, splits: list[Split], ahead: Ahead
) -> Turns:
    """Train on one split after another until the gain over the plain start is clear."""
    trials: list[Trial] = []
    comparisons, gain, relative = [], 0.0, 0.0
    rule = RULE_WITHOUT_SELECTION if turns[0].keeps_last else RULE
    labelled = bool(turns[0].spec.label_kind)
    for turn, split in zip(turns, splits, strict=True):
        trials.append(ahead.get(turn.name))
        if plain is not None:
            comparisons.append(compared(Trial(plain, split), trials[-1]))
            last = len(trials) == len(splits) or turn.settings.progress.stopped
            gain = clear_gain(comparisons, last=last, rule=rule, labelled=labelled)
            relative = relative_gain(comparisons)
        if gain or turn.settings.progress.stopped:
            break
    return Turns(trials, gain, relative)


@one_thread()
def go_on(turns: Turns, plain: Candidate) -> Turns:
    """Train for further cycles, as long as each lowers the validation loss noticeably.

    This needs a gain that was clear at the first turn.
    """
    if len(turns.trials) > 1 or turns.gain <= 0:
        return turns
    trial = turns.trials[0]
    for _ in range(1, most_cycles(trial.candidate, len(trial.split.training))):
        if trial.candidate.settings.progress.stopped:
            break
        longer = trial.longer()
        before, after = trial.loss, longer.loss
        if not after < before:
            break
        trial = longer
        if before - after < WORTH_A_CYCLE * abs(before):
            break
    if trial is turns.trials[0]:
        return turns
    relative = relative_gain([compared(Trial(plain, trial.split), trial)])
    return Turns([trial], turns.gain, relative)


def pooled(curves: list[list[float]], splits: list[Split]) -> list[float]:
    """Return the mean of the validation losses over the splits, check by check."""
    length = min(map(len, curves))
    weights = [split.validation.total_weight() for split in splits if split.validation is not None]
    return np.average([curve[:length] for curve in curves], axis=0, weights=weights).tolist()
