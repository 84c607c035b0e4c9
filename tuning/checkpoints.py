"""The best model of a search, kept so that it always belongs to the best trial that the journal holds.

A new best is saved beside the old one, then its trial goes to the journal, and only then does it take the old one's
place. A crash between leaves a candidate, which the next opening promotes or removes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from zoo import storage
from zoo.errors import ZooError


class BestModel:
    """`best/model.keras` in a search's folder.

    Args:
        directory: the search's folder.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.folder = Path(directory) / "best"
        self.path = self.folder / "model.keras"

    def candidate(self, number: int) -> Path:
        """Where a trial saves its model when it is the best so far."""
        return self.folder / f"candidate-{number:04d}.keras"

    def promote(self, number: int) -> None:
        """Puts a trial's model in the place of the best; its trial is in the journal by now."""
        self.candidate(number).replace(self.path)

    def recover(self, best: dict[str, Any] | None) -> None:
        """Ends what a crash interrupted, given the journal's best trial."""
        if best is not None and _holds(self.candidate(best["number"]), best):
            self.promote(best["number"])
        for pattern in ("candidate-*.keras", ".*.keras"):  # whole ones, and those that a crash cut short
            for left_over in self.folder.glob(pattern):
                left_over.unlink()

    def file_of(self, best: dict[str, Any]) -> Path:
        """The file with the very model of the best trial.

        Raises:
            ZooError: there is none, or another model has taken its place.
        """
        for path in (self.path, self.candidate(best["number"])):
            if _holds(path, best):
                return path
        what = "is not the model of the best trial" if self.path.exists() else "is missing"
        raise ZooError(f"{self.path} {what} (trial {best['number'] + 1}); train again with best_values and best_recipe")


def best_of(trials: dict[int, dict[str, Any]], direction: str) -> dict[str, Any] | None:
    """The record with the best score, the first of equals; `None` when no trial was completed."""
    completed = [trials[number] for number in sorted(trials) if trials[number]["status"] == "completed"]
    if not completed:
        return None
    return (max if direction == "max" else min)(completed, key=lambda record: record["score"])


def _holds(path: Path, record: dict[str, Any]) -> bool:
    return path.is_file() and storage.sha256_of_file(path) == record["model_sha256"]
