"""How one run goes: sizes, rounds, data, and where progress is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tasks import TASKS, Entry, Task


class Prepared(NamedTuple):
    """Data that wait in a file.

    Attributes:
        file: what `samples.prepare` wrote.
        source: where they are from, in words.
        is_real: whether TFDS had them prepared.
    """

    file: Path
    source: str
    is_real: bool


@dataclasses.dataclass(frozen=True)
class Course:
    """How contestants are run.

    Attributes:
        rounds: turns of each that are measured.
        quick: whether the small sizes are used.
        say: takes lines of progress.
        data: what waits for each name of `samples.SHAPES` that is needed.
    """

    rounds: int
    quick: bool
    say: Callable[[str], None]
    data: dict[str, Prepared] = dataclasses.field(default_factory=dict)

    def images(self, task: Task) -> int:
        """Images an epoch."""
        return task.quick_images if self.quick else task.images

    def turns(self, task: Task) -> list[int]:
        """Epochs of each turn: one to compile, then the rounds."""
        return [1] + [1 if self.quick else task.epochs_per_turn] * self.rounds

    def spec(self, name: str, entry: Entry, turns: Sequence[int], images: int | None = None) -> dict[str, Any]:
        """What `worker.py` is told of a task and a contestant; `images` other than the task's where given."""
        task = TASKS[name]
        prepared = self.data[task.data]
        return {
            "task": name,
            "contestant": entry.contestant,
            "precision": entry.precision,
            "images": images or self.images(task),
            "turns": list(turns),
            "file": str(prepared.file),
            "is_mnist": task.data == "mnist" and prepared.is_real,
        }
