"""What `study.py run` passes to every study."""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class StudyOptions:
    """Options of a study run.

    Attributes:
        fast: a cut of a few seconds, for tests; its numbers meet no expectation of the full study.
        seed: decides everything that is random.
        dataset: another data set than the study's own.
        data: a file of points, for studies that take one.
    """

    fast: bool = False
    seed: int = 0
    dataset: str | None = None
    data: Path | None = None

    def command(self, name: str) -> str:
        """The command line that repeats the study."""
        parts = [f"python scripts/study.py run {name}", f"--seed {self.seed}"]
        parts += ["--fast"] if self.fast else []
        parts += [f"--dataset {self.dataset}"] if self.dataset else []
        parts += [f"--data {self.data}"] if self.data else []
        return " ".join(parts)
