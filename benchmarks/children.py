"""The race: each contestant in a process of its own, told to run in turn."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import machine
from course import Course
from tasks import CONTESTANTS, Entry, Task

import zoo

_WORKER = Path(__file__).with_name("worker.py")
_SETTLE = 0.2  # seconds of rest before a turn, in which spinning threads of the one before fall asleep


@dataclasses.dataclass
class Result:
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
        others: share of the machine's cores that other programs took, one value a turn.
        problem: why there are no numbers: not installed, not available, or the last words of a process that failed.
        failed: whether that is an error.
    """

    entry: Entry
    images: int
    seconds: list[float] = dataclasses.field(default_factory=list)
    first: float | None = None
    accuracy: float | None = None
    weights: int | None = None
    resident: float | None = None
    peak: float | None = None
    others: list[float] = dataclasses.field(default_factory=list)
    problem: str | None = None
    failed: bool = False

    @property
    def median(self) -> float | None:
        """Median seconds of an epoch, or `None`."""
        return statistics.median(self.seconds) if self.seconds and not self.problem else None


class ChildError(Exception):
    """A contestant's process ended before its work did; the message is the last line of its standard error."""


class Child:
    """A contestant's process.

    Args:
        spec: the JSON document that the worker takes.
        worker: the script that it runs; `worker.py` by default.
    """

    def __init__(self, spec: Mapping[str, Any], worker: Path | None = None) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        self._process = subprocess.Popen(  # noqa: S603  (this interpreter, a file of this folder)
            [sys.executable, str(worker or _WORKER), json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,  # a Ctrl-C reaches the race alone, which then ends its children
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        below = machine.processes_below(self._process.pid)  # some of Ray's have groups of their own
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for number in below:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    def go(self) -> None:
        """Tells it to run the next turn; after the last one, to come to its end."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it died of is found when its answer is read
            print("go", file=self._process.stdin, flush=True)

    def answer(self) -> dict[str, Any]:
        """Its next answer.

        Raises:
            ChildError: it ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = self._process.wait()
        self._errors.seek(0)
        words = self._errors.read().decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(words) if line.strip()), None)
        if code < 0:  # its last words were about something else
            raise ChildError(f"killed by signal {-code}")
        raise ChildError(last or f"ended with exit code {code}")


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
                time.sleep(_SETTLE)
                self._child.go()
            return self._child.answer()
        except ChildError as error:
            self.result.problem, self.result.failed = f"failed: {error}", True
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
    results = [Result(entry, course.images(task), problem=_missing(task, entry)) for entry in task.entries]
    with contextlib.ExitStack() as stack:
        running = []
        course.say(f"{name}: starting {sum(not r.problem for r in results)} processes")
        for result in results:
            if not result.problem:
                child = stack.enter_context(Child(course.spec(name, result.entry, course.turns(task))))
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


def _missing(task: Task, entry: Entry) -> str | None:
    """Why a contestant cannot take part, or `None`."""
    package = CONTESTANTS[entry.contestant].needs
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    if entry.contestant == "ours" and task.model not in zoo.list_models():
        return f"not available: zoo.list_models() has no {task.model!r}"
    return None
