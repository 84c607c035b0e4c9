"""Trials one by one, in this process."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tuning.executors import OnProgress
from tuning.task import Setting, TrialOutcome, TrialTask
from tuning.trial import TrialRunner


class InlineExecutor:
    """Runs trials one by one in this process; see `Executor`."""

    capacity = 1

    def __init__(self, setting: Setting, *, workers: int, address: str | None, on_progress: OnProgress) -> None:
        self._runner = TrialRunner(setting)
        self._on_progress = on_progress
        self._tasks: list[TrialTask] = []

    def submit(self, task: TrialTask) -> None:
        """Remembers a trial; `next_outcome` runs it."""
        self._tasks.append(task)

    def next_outcome(self) -> tuple[TrialTask, TrialOutcome]:
        """Runs the trial."""
        task = self._tasks.pop(0)
        return task, self._runner.run(task, self._on_progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.close()
