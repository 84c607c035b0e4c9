"""The files of a search beside its journal: the models of the best trials, and the states of trials that may go on.

A file is written before the record that counts on it, and deleted after the one that does without it: whatever a crash leaves
too much, the next start deletes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tuning.task import state_path

_NAME = re.compile(r"trial-(\d+)")


class Checkpoints:
    """The `models/` and `states/` of a search's folder.

    Args:
        directory: the search's folder.
        direction: "max" or "min".
        keep_best: how many models are kept.

    Attributes:
        directory: the search's folder.
        keep_best: how many models are kept.
    """

    def __init__(self, directory: str | os.PathLike[str], *, direction: str, keep_best: int) -> None:
        self.directory, self._direction, self.keep_best = Path(directory), direction, keep_best

    def threshold(self, trials: dict[int, dict[str, Any]]) -> tuple[float, int] | None:
        """(score, number) of the trial that another must beat for its model to be kept; `None` while any will do."""
        best = ranked(trials, self._direction)[: self.keep_best]
        return (best[-1]["score"], best[-1]["number"]) if len(best) == self.keep_best else None

    def forget(self, number: int) -> None:
        """Deletes the states of a trial that is to begin again."""
        for file in (self.directory / "states").glob(f"{state_path('', number, 0).stem[:-1]}*"):
            file.unlink(missing_ok=True)

    def prune(self, trials: dict[int, dict[str, Any]], *, running: Collection[int], resumable: Collection[int]) -> None:
        """Deletes what nobody needs any more.

        Args:
            trials: the journal's finished trials.
            running: the trials that write files now, or will go on from those that they wrote.
            resumable: other trials whose states may be asked for: paused ones, and those that running ones continue.
        """
        best = {record["number"] for record in ranked(trials, self._direction)[: self.keep_best]}
        wanted = {"models": best.union(running), "states": {*running, *resumable}}
        for folder, numbers in wanted.items():
            for file in (self.directory / folder).glob("trial-*"):
                name = _NAME.match(file.name)
                if name is None or int(name.group(1)) not in numbers:
                    file.unlink(missing_ok=True)

    def remove_torn(self) -> None:
        """Deletes what a crash cut short; only while nothing runs."""
        for folder in ("models", "states"):
            for file in (self.directory / folder).glob(".*"):
                file.unlink(missing_ok=True)


def ranked(trials: dict[int, dict[str, Any]], direction: str) -> list[dict[str, Any]]:
    """The records of completed trials, best first, the first of equals before the others."""
    completed = [trials[number] for number in sorted(trials) if trials[number]["status"] == "completed"]
    sign = -1.0 if direction == "max" else 1.0
    return sorted(completed, key=lambda record: sign * record["score"])


def best_of(trials: dict[int, dict[str, Any]], direction: str) -> dict[str, Any] | None:
    """The record with the best score, the first of equals; `None` when no trial was completed."""
    best = ranked(trials, direction)
    return best[0] if best else None
