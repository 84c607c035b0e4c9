"""Trials in this process: one by one, or those of a group together."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tuning.executors import OnProgress
from tuning.task import Setting, TrialOutcome, TrialTask
from tuning.trial import TrialRunner


class InlineExecutor:
    """Runs one group of trials after the other in this process; see `Executor`."""

    capacity = 1

    def __init__(self, setting: Setting, *, workers: int, address: str | None, on_progress: OnProgress) -> None:
        self._runner = TrialRunner(setting)
        self._on_progress = on_progress
        self._groups: list[list[TrialTask]] = []

    def submit(self, group: list[TrialTask]) -> None:
        """Remembers trials; `next_outcomes` runs them."""
        self._groups.append(group)

    def next_outcomes(self) -> tuple[list[TrialTask], list[TrialOutcome]]:
        """Runs the trials."""
        group = self._groups.pop(0)
        return group, self._runner.run(group, self._on_progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.close()
