"""What is measured beside the races: the data, start-up and memory."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import subprocess
import sys
import time
from pathlib import Path

from child import missing
from course import Course, Prepared
from tasks import TASKS, Entry
from training_race import Result, Runner, label, race, start

_ROOT = Path(__file__).resolve().parents[1]
_FEW = 600  # images of the process whose memory is subtracted

# (what, arguments of the interpreter, the package that it needs)
_COMMANDS = (
    ('python -c "import zoo"', ("-c", "import zoo"), "zoo"),
    ('python -c "import tensorflow"', ("-c", "import tensorflow"), "tensorflow"),
    ('python -c "import torch"', ("-c", "import torch"), "torch"),
    ("python scripts/train.py --help", ("scripts/train.py", "--help"), "zoo"),
)


@dataclasses.dataclass
class Timing:
    """Seconds of a command, one value a repeat, or why there are none."""

    what: str
    seconds: list[float] = dataclasses.field(default_factory=list)
    problem: str | None = None
    failed: bool = False

    @property
    def median(self) -> float | None:
        """Median seconds, or `None`."""
        return statistics.median(self.seconds) if self.seconds and not self.problem else None


@dataclasses.dataclass
class Memory:
    """Memory of a contestant with so many images: a result a repeat."""

    entry: Entry
    images: int
    results: list[Result] = dataclasses.field(default_factory=list)

    @property
    def problem(self) -> str | None:
        """Why there are no numbers, or `None`."""
        return next((r.problem for r in self.results if r.problem), None)

    @property
    def failed(self) -> bool:
        """Whether that is an error."""
        return any(r.failed for r in self.results)

    @property
    def resident(self) -> float | None:
        """Median resident memory in MB at the end of the second epoch."""
        return _median([r.resident for r in self.results])

    @property
    def peak(self) -> float | None:
        """Median of the largest resident memory in MB."""
        return _median([r.peak for r in self.results])


def prepare(course: Course, kinds: set[str], folder: Path) -> None:
    """Writes the data of these kinds into a folder, each in a process of its own, and tells the course of them.

    Raises:
        ChildError: that failed; nothing can be measured without data.
    """
    for kind in sorted(kinds):
        images = max(course.images(task) for task in TASKS.values() if task.data == kind)
        path = folder / f"{kind}.npz"
        with start({"prepare": {"name": kind, "images": images, "path": str(path)}}) as child:
            answer = child.answer()
        course.data[kind] = Prepared(path, answer["source"], answer["is_real"])
        course.say(f"data: {kind}-shaped, {answer['source']}")


def time_commands(course: Course) -> list[Timing]:
    """Seconds of the commands that a user waits for, round robin; a first run of each fills the disk's cache."""
    timings = [Timing(what, problem=missing(package)) for what, _, package in _COMMANDS]
    for number in range(course.rounds + 1):
        for timing, (what, arguments, _) in zip(timings, _COMMANDS, strict=True):
            if timing.problem:
                continue
            started = time.perf_counter()
            done = subprocess.run(  # noqa: S603  (this interpreter, arguments of the table)
                [sys.executable, *arguments], cwd=_ROOT, capture_output=True, text=True, check=False
            )
            seconds = time.perf_counter() - started
            if done.returncode:
                timing.failed = True
                timing.problem = f"failed: {(done.stderr.strip().splitlines() or [f'exit code {done.returncode}'])[-1]}"
            elif number:
                timing.seconds.append(seconds)
                course.say(f"startup: round {number}/{course.rounds} {seconds:9.3f} s  {what}")
    return timings


def time_first_epochs(course: Course) -> list[Result]:
    """First and second epochs of the mlp, in fresh processes for each round.

    `first` is the median over the rounds, `seconds` one value a round.
    """
    once = dataclasses.replace(course, rounds=1)
    rounds = [race(once, "first epoch", TASKS["first epoch"]) for _ in range(course.rounds)]
    merged = []
    for results in zip(*rounds, strict=True):
        whole = next((r for r in results if r.problem), results[0])
        if not whole.problem:
            whole.first = statistics.median(r.first for r in results if r.first is not None)
            whole.seconds = [seconds for r in results for seconds in r.seconds]
        merged.append(whole)
    return merged


def weigh(course: Course) -> list[Memory]:
    """Memory of each contestant with all images and with few. Nothing is timed, so these processes share their time."""
    task = TASKS["memory"]
    rows = [Memory(entry, images) for entry in task.entries for images in (course.images(task), _FEW)]
    for number in range(course.rounds):
        with contextlib.ExitStack() as stack:
            runners = []
            for row in rows:
                result = Result(row.entry, row.images)
                row.results.append(result)
                child = stack.enter_context(start(course.spec("memory", row.entry, [2], row.images)))
                runners.append(Runner(result, child, course.say))
            for step in (Runner.build, Runner.turn, Runner.finish):
                for runner in runners:
                    step(runner)
        for row in rows:
            resident = row.results[-1].resident
            if resident is not None:
                course.say(
                    f"memory: round {number + 1}/{course.rounds} {resident:8.0f} MB  {label(row.entry)}, {row.images} images"
                )
    return rows


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
