"""Where trials run. So far in this process; the loop knows nothing but `run`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tuning.trial import Setting, TrialOutcome, TrialTask, run_trial
from zoo.errors import unknown_name


class Executor(Protocol):
    """Runs trials of one search."""

    def run(self, task: TrialTask) -> TrialOutcome:
        """Runs one trial to its end."""
        ...


class InlineExecutor:
    """Runs trials one by one in this process.

    Args:
        setting: what all trials of the search share.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def run(self, task: TrialTask) -> TrialOutcome:
        """Runs one trial to its end."""
        return run_trial(self.setting, task)


EXECUTORS: dict[str, Callable[[Setting], Executor]] = {"inline": InlineExecutor}


def check_executor(name: str) -> None:
    """Raises a UsageError for a name that is not in `EXECUTORS`."""
    if name not in EXECUTORS:
        raise unknown_name("executor", name, EXECUTORS)


def make_executor(name: str, setting: Setting) -> Executor:
    """The executor of a name, ready for the trials of one search."""
    check_executor(name)
    return EXECUTORS[name](setting)
