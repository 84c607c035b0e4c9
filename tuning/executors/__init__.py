"""Where trials run: one table. The loop of a search is the same for all of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from tuning.task import Setting, TrialOutcome, TrialProgress, TrialTask
from zoo.errors import UsageError, check_count, unknown_name

OnProgress = Callable[[TrialProgress], None]


class Executor(Protocol):
    """Runs trials of one search; a context manager that leaves nothing running behind.

    What it is given is a group: one trial, or several that train as one program.

    Attributes:
        capacity: groups at once.
    """

    capacity: int

    def submit(self, group: list[TrialTask]) -> None:
        """Starts a group; at most `capacity` are submitted and not yet returned."""
        ...

    def next_outcomes(self) -> tuple[list[TrialTask], list[TrialOutcome]]:
        """Waits until one of the submitted groups has ended; calls `on_progress` while it waits."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


# name -> (module, class); a class takes (setting, workers=, address=, on_progress=)
EXECUTORS = {
    "inline": ("tuning.executors.inline", "InlineExecutor"),
    "processes": ("tuning.executors.processes", "ProcessExecutor"),
    "ray": ("tuning.executors.ray_cluster", "RayExecutor"),
}


def check_executor(name: str, *, workers: int, address: str | None) -> None:
    """Raises a UsageError for a name that is not in `EXECUTORS`, and for options that it does not take."""
    if name not in EXECUTORS:
        raise unknown_name("executor", name, EXECUTORS)
    check_count("workers", workers)
    if name == "inline" and workers != 1:
        raise UsageError(f"the inline executor has one worker; use executor='processes'. Received: workers={workers}")
    if address is not None and name != "ray":
        raise UsageError(f"address= is for executor='ray'. Received: executor={name!r}")


def make_executor(
    name: str, setting: Setting, *, workers: int, address: str | None, on_progress: OnProgress
) -> Executor:
    """The executor of a name, ready for the trials of one search."""
    module, class_name = EXECUTORS[name]
    executor: Executor = getattr(importlib.import_module(module), class_name)(
        setting, workers=workers, address=address, on_progress=on_progress
    )
    return executor
