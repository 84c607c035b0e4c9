"""Executors of processes that run stand-ins for trials."""

from __future__ import annotations

import functools
from typing import Any

from stand_in import make_executor

from tuning.executors.processes import ProcessExecutor
from tuning.task import TrialOutcome, TrialTask

SETTING = {"function": lambda number: number * 10}
make = functools.partial(make_executor, ProcessExecutor, setting=SETTING)


def run(executor: ProcessExecutor, *tasks: Any) -> dict[int, Any]:
    """Outcomes by number; at most `capacity` trials are submitted at once."""
    waiting, outcomes = list(tasks), {}
    running = 0
    while waiting or running:
        while waiting and running < executor.capacity:
            executor.submit([waiting.pop(0)])
            running += 1
        (task,), (outcome,) = executor.next_outcomes()
        outcomes[task.number] = outcome
        running -= 1
    return outcomes


def run_groups(executor: ProcessExecutor, *groups: list[TrialTask]) -> dict[int, list[TrialOutcome]]:
    """Outcomes of groups by their first number; no more groups than workers."""
    for group in groups:
        executor.submit(group)
    ended = [executor.next_outcomes() for _ in groups]
    assert all(group in groups for group, _ in ended)
    return {group[0].number: outcomes for group, outcomes in ended}
