"""The race of the trainings: each contestant in a process of its own, told to run in turn."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import machine
from child import SETTLE, Child, ChildError, Outcome, missing
from course import Course
from tasks import CONTESTANTS, Entry, Task

_WORKER = Path(__file__).with_name("worker.py")


@dataclasses.dataclass
class Result(Outcome):
    """What became of a contestant.

    Attributes:
        entry: contestant and precision.
        images: images an epoch.
        seconds: of one epoch, one value a round.
        first: seconds of the first epoch, with tracing and compilation.
        accuracy: on the test images, after all epochs.
        weights: trainable weights of its network.
        resident: resident memory in MB at the end of the last epoch.
        peak: the largest it ever was.
    """

    entry: Entry
    images: int
    seconds: list[float] = dataclasses.field(default_factory=list)
    first: float | None = None
    accuracy: float | None = None
    weights: int | None = None
    resident: float | None = None
    peak: float | None = None

    @property
    def median(self) -> float | None:
        """Median seconds of an epoch, or `None`."""
        return statistics.median(self.seconds) if self.seconds and not self.problem else None


def start(spec: Mapping[str, Any]) -> Child:
    """A process that trains, or prepares data, as `worker.py` is told."""
    return Child(spec, _WORKER)


class Runner:
    """A contestant while it runs. Its end is written down in its result and ends nothing else."""

    def __init__(self, result: Result, child: Child, say: Callable[[str], None]) -> None:
        self.result, self._child, self._say = result, child, say

    def ask(self, *, go: bool = True) -> dict[str, Any]:
        """The next answer, after a "go"; nothing once the process has failed."""
        if self.result.failed:
            return {}
        try:
            if go:
                time.sleep(SETTLE)
                self._child.go()
            return self._child.answer()
        except ChildError as error:
            self.result.fail(error)
            self._say(f"{label(self.result.entry)} {self.result.problem}")
            return {}

    def build(self) -> None:
        """Waits until the model is built."""
        self.result.weights = self.ask(go=False).get("weights")

    def turn(self) -> float | None:
        """Seconds of an epoch, or `None` after a failure."""
        others = machine.Others()
        answer = self.ask()
        if "worked" in answer:
            self.result.others += others.share(answer["worked"])
        self.result.resident, self.result.peak = answer.get("resident"), answer.get("peak")
        return answer.get("seconds")

    def finish(self) -> None:
        """Lets it score the test images and end."""
        self.result.accuracy = self.ask().get("accuracy")


def race(course: Course, name: str, task: Task) -> list[Result]:
    """Runs the contestants of a task round robin, forth and back; all have compiled before the first round."""
    results = [
        Result(entry, course.images(task), problem=missing(CONTESTANTS[entry.contestant].needs))
        for entry in task.entries
    ]
    with contextlib.ExitStack() as stack:
        running = []
        course.say(f"{name}: starting {sum(not r.problem for r in results)} processes")
        for result in results:
            if not result.problem:
                child = stack.enter_context(start(course.spec(name, result.entry, course.turns(task))))
                running.append(Runner(result, child, course.say))
        for runner in running:
            runner.build()
        for number in range(course.rounds + 1):
            for runner in running if number % 2 == 0 else reversed(running):
                seconds = runner.turn()
                if seconds is None:
                    continue
                if number == 0:
                    runner.result.first = seconds
                else:
                    runner.result.seconds.append(seconds)
                stage = f"round {number}/{course.rounds}" if number else "first epoch"
                course.say(f"{name}: {stage} {seconds:9.3f} s  {label(runner.result.entry)}")
        for runner in running:
            runner.finish()
    return results


def label(entry: Entry) -> str:
    """A contestant's name in a line of progress."""
    return f"{CONTESTANTS[entry.contestant].title}, {entry.precision}"
