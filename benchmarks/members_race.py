"""The race of the members: each contestant in a process of its own, told to train so many of them in turn."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import machine
from child import SETTLE, Child, ChildError, Outcome, missing
from members_tasks import CONTESTANTS, TASKS, sample

_WORKER = Path(__file__).with_name("members_worker.py")


@dataclasses.dataclass
class Result(Outcome):
    """What became of a contestant.

    Attributes:
        contestant: a name of `members_tasks.CONTESTANTS`.
        epochs: of every member.
        seconds: number of members -> seconds of a turn, one value a round.
        accuracies: number of members -> mean validation accuracy of the sample, one value a round.
    """

    contestant: str
    epochs: int
    seconds: dict[int, list[float]] = dataclasses.field(default_factory=dict)
    accuracies: dict[int, list[float]] = dataclasses.field(default_factory=dict)

    def rates(self, count: int) -> list[float]:
        """Member-epochs a second in each round; nothing where there are no numbers."""
        trained = len(sample(count)) if CONTESTANTS[self.contestant].one_at_a_time else count
        return [] if self.problem else [trained * self.epochs / seconds for seconds in self.seconds.get(count, [])]

    def rate(self, count: int) -> float | None:
        """Their median, or `None`."""
        rates = self.rates(count)
        return statistics.median(rates) if rates else None


class _Runner:
    """A contestant while it runs. Its end is written down in its result and ends nothing else."""

    def __init__(self, result: Result, child: Child, tell: Callable[[str], None]) -> None:
        self._result, self._child, self._tell = result, child, tell
        self._title = CONTESTANTS[result.contestant].title

    def ask(self, *, go: bool = True) -> dict[str, Any]:
        """The next answer, after a "go"; nothing once the process has failed."""
        if self._result.failed:
            return {}
        try:
            if go:
                self._child.go()
            return self._child.answer()
        except ChildError as error:
            self._result.fail(error)
            self._tell(f"{self._title} {self._result.problem}")
            return {}

    def turn(self, count: int, stage: str) -> None:
        """Trains so many members."""
        time.sleep(SETTLE)
        others = machine.Others()
        answer = self.ask()
        if answer:
            self._result.others += others.share(answer["worked"])
            self._result.seconds.setdefault(count, []).append(answer["seconds"])
            self._tell(
                f"{stage} {self._result.rates(count)[-1]:9.1f} member-epochs/s  of {count:3} members, {self._title}"
            )

    def finish(self, counts: Sequence[int]) -> None:
        """Lets it tell the accuracies of its turns, and end."""
        for count, accuracy in zip(counts, self.ask().get("accuracies", ()), strict=False):
            self._result.accuracies.setdefault(count, []).append(accuracy)


def race(name: str, *, rounds: int, quick: bool, say: Callable[[str], None]) -> list[Result]:
    """Trains each number of members with every contestant, forth and back; a failure ends that contestant and nothing else.

    Args:
        name: of `members_tasks.TASKS`.
        rounds: repeats of each.
        quick: whether the task is shortened.
        say: takes lines of progress.
    """
    task = TASKS[name].shortened() if quick else TASKS[name]
    results = [
        Result(who, task.epochs, problem=missing(contestant.needs, data=task.data))
        for who, contestant in CONTESTANTS.items()
    ]
    counts = [count for _ in range(rounds) for count in task.sizes]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="members-benchmark-"))
        running = []
        for result in results:
            if result.problem:
                continue
            own = Path(folder, result.contestant)
            own.mkdir()
            spec = {"task": name, "contestant": result.contestant, "quick": quick, "counts": counts, "folder": str(own)}
            child = stack.enter_context(Child(spec, _WORKER))
            running.append(_Runner(result, child, lambda line: say(f"{name}: {line}")))
        for runner in running:
            runner.ask(go=False)  # it has loaded and traced
        for number, count in enumerate(counts):
            past = number // len(task.sizes)
            for runner in running if past % 2 == 0 else reversed(running):
                runner.turn(count, f"round {past + 1}/{rounds}")
        for runner in running:
            runner.finish(counts)
    return results
