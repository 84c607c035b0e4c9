"""The race of the searches: each repeat of each contestant in a fresh process, one after the other."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import machine
from child import Child, ChildError, Outcome, missing
from search_tasks import CONTESTANTS, TASKS, Entry, Found, Task, Trial

_WORKER = Path(__file__).with_name("search_worker.py")


@dataclasses.dataclass
class Result(Outcome):
    """What became of a contestant.

    Attributes:
        entry: who.
        seconds: of the whole search, one value a repeat.
        found: what each repeat left.
        resident: resident memory of the searching process in MB at the end of each repeat, its workers not counted.
    """

    entry: Entry
    seconds: list[float] = dataclasses.field(default_factory=list)
    found: list[Found] = dataclasses.field(default_factory=list)
    resident: list[float] = dataclasses.field(default_factory=list)

    @property
    def median(self) -> float | None:
        """Median seconds, or `None`."""
        return statistics.median(self.seconds) if self.seconds and not self.problem else None

    @property
    def trials(self) -> float | None:
        """Median number of trials, or `None`."""
        return None if self.median is None else statistics.median(len(found.trials) for found in self.found)

    @property
    def epochs(self) -> float | None:
        """Median number of epochs of all trials, or `None`."""
        if self.median is None:
            return None
        return statistics.median(sum(trial.epochs for trial in found.trials) for found in self.found)

    @property
    def best(self) -> float | None:
        """Median of the best scores, or `None`."""
        if self.median is None:
            return None
        return statistics.median(max(trial.score for trial in found.trials) for found in self.found)

    def cells(self) -> list[Trial]:
        """Each cell of a grid with its mean score over the repeats, the best first."""
        scores: dict[tuple[object, ...], list[Trial]] = {}
        for found in self.found:
            for trial in found.trials:
                scores.setdefault(tuple(trial.values[name] for name in sorted(trial.values)), []).append(trial)
        cells = [
            Trial(trials[0].values, statistics.fmean(trial.score for trial in trials), trials[0].epochs)
            for trials in scores.values()
        ]
        return sorted(cells, key=lambda trial: -trial.score)


def race(name: str, *, rounds: int, quick: bool, engines: Sequence[str], say: Callable[[str], None]) -> list[Result]:
    """Runs the contestants of a task forth and back; a failure ends that contestant and nothing else.

    Args:
        name: of `search_tasks.TASKS`.
        rounds: repeats of each.
        quick: whether the search is shortened.
        engines: who takes part, names of `search_tasks.CONTESTANTS`.
        say: takes lines of progress.
    """
    task = TASKS[name].shortened() if quick else TASKS[name]
    results = [
        Result(entry, problem=missing(*CONTESTANTS[entry.contestant].needs, data=task.data))
        for entry in task.entries
        if entry.contestant in engines
    ]
    for number in range(rounds):
        for result in results if number % 2 == 0 else reversed(results):
            if result.problem:
                continue
            try:
                _turn(name, task, result, seed=number, quick=quick)
                say(f"{name}: round {number + 1}/{rounds} {result.seconds[-1]:9.3f} s  {label(result.entry)}")
            except ChildError as error:
                result.fail(error)
                say(f"{name}: {label(result.entry)} {result.problem}")
    return results


def label(entry: Entry) -> str:
    """A contestant's name in a line of progress."""
    return f"{entry.title}, {entry.precision}"


def check(task: Task, entry: Entry, found: Found) -> None:
    """Refuses a search that did less, or more, than it was asked for.

    Raises:
        ChildError: another number of epochs, or of the cells of a grid.
    """
    epochs = sum(trial.epochs for trial in found.trials)
    if epochs != task.budget:
        raise ChildError(f"{epochs} epochs were trained, not {task.budget}")
    if task.method == "grid" or entry.contestant in ("ours", "stock"):
        different = len({str(sorted(trial.values.items())) for trial in found.trials})
        if len(found.trials) != task.trials or (task.method == "grid" and different != task.cells):
            raise ChildError(f"{len(found.trials)} trials with {different} combinations were run, not {task.trials}")


def _turn(name: str, task: Task, result: Result, *, seed: int, quick: bool) -> None:
    """One search in a fresh process; what it did is added to the result."""
    with tempfile.TemporaryDirectory(prefix="search-benchmark-", ignore_cleanup_errors=True) as folder:
        spec = {"task": name, "entry": result.entry, "seed": seed, "quick": quick, "folder": folder}
        with Child(spec, _WORKER) as child:
            child.answer()  # it has imported and loaded
            others = machine.Others()
            child.go()
            turn = child.answer()
            shares = others.share(turn["worked"])
            child.go()
            end = child.answer()
    end.pop("event")
    found = Found(trials=[Trial(**trial) for trial in end.pop("trials")], **end)
    check(task, result.entry, found)
    result.seconds.append(turn["seconds"])
    result.found.append(found)
    if CONTESTANTS[result.entry.contestant].is_accountable:
        result.others += shares
    if turn["resident"] is not None:
        result.resident.append(turn["resident"])
