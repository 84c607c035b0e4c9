"""The files of a search beside its journal: the models of the best trials, and the states of trials that may go on.

A file is written before the record that counts on it, and deleted after the one that does without it: whatever a crash leaves
too much, the next start deletes.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from zoo.storage import remove_torn

_NAME = re.compile(r"trial-([0-9]+)(-[0-9]+\.npz|\.keras)")  # what we write; nothing else is deleted


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
        self.directory, self.keep_best = Path(directory), keep_best
        self._sign = -1.0 if direction == "max" else 1.0
        self._best: list[tuple[float, int]] = []  # (score with the sign of a loss, number), best first

    @property
    def best_score(self) -> float | None:
        """The best score so far; `None` while no trial was completed."""
        return self._sign * self._best[0][0] if self._best else None

    def count(self, record: dict[str, Any]) -> None:
        """Takes note of a trial that has ended."""
        if record["status"] == "completed":
            bisect.insort(self._best, (self._sign * record["score"], record["number"]))
            del self._best[self.keep_best :]

    def threshold(self) -> tuple[float, int] | None:
        """(score, number) of the trial that another must beat for its model to be kept; `None` while any will do."""
        if len(self._best) < self.keep_best:
            return None
        loss, number = self._best[-1]
        return self._sign * loss, number

    def forget(self, number: int) -> None:
        """Deletes the states of a trial that is to begin again."""
        self._remove("states", lambda of: of == number, FileNotFoundError, IsADirectoryError)  # else it would go on

    def prune(self, *, running: Collection[int], resumable: Collection[int]) -> None:
        """Deletes what nobody needs any more.

        Args:
            running: the trials that write files now, or will go on from those that they wrote.
            resumable: other trials whose states may be asked for: paused ones, and those that running ones continue.
        """
        best = {number for _, number in self._best}
        wanted = {"models": best.union(running), "states": {*running, *resumable}}
        for folder, numbers in wanted.items():
            self._remove(folder, lambda of, numbers=numbers: of not in numbers, OSError)  # type: ignore[misc]

    def remove_torn(self) -> None:
        """Deletes what a crash cut short."""
        for folder in ("", "models", "states"):
            remove_torn(self.directory / folder)

    def _remove(self, folder: str, is_of: Callable[[int], bool], *refusals: type[OSError]) -> None:
        """Deletes the files of some trials; what cannot be deleted for one of these reasons stays."""
        with contextlib.suppress(FileNotFoundError):  # not made yet
            for name in os.listdir(self.directory / folder):  # noqa: PTH208  (after every trial: a tenth of the time of paths)
                number = _number(name)
                if number is not None and is_of(number):
                    with contextlib.suppress(*refusals):
                        (self.directory / folder / name).unlink()


def _number(name: str) -> int | None:
    """The trial that a file's name says."""
    found = _NAME.fullmatch(name)
    return None if found is None else int(found.group(1))


def ranked(trials: dict[int, dict[str, Any]], direction: str) -> list[dict[str, Any]]:
    """The records of completed trials, best first, the first of equals before the others."""
    completed = [trials[number] for number in sorted(trials) if trials[number]["status"] == "completed"]
    sign = -1.0 if direction == "max" else 1.0
    return sorted(completed, key=lambda record: sign * record["score"])


def best_of(trials: dict[int, dict[str, Any]], direction: str) -> dict[str, Any] | None:
    """The record with the best score, the first of equals; `None` when no trial was completed."""
    best = ranked(trials, direction)
    return best[0] if best else None
