"""What the project claims about its searches, beside what was measured."""

from __future__ import annotations

import dataclasses
import statistics

from search_race import Result
from search_tasks import TASKS, Entry
from table import difference, ratio
from targets import Target

_GROWTH = 20  # MB that a process may gain from its first trial to its last
OURS, ONE_BY_ONE, STOCK = Entry("ours"), Entry("ours", stacked=False), Entry("stock")


@dataclasses.dataclass
class Measurements:
    """Results by the name of the task."""

    races: dict[str, list[Result]] = dataclasses.field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether anything failed. What is not installed or has no data has not."""
        return any(result.failed for results in self.races.values() for result in results)

    def result(self, task: str, entry: Entry) -> Result | None:
        """What became of a contestant, if it has numbers."""
        return next((r for r in self.races.get(task, []) if r.entry == entry and r.median is not None), None)

    def faster(self, task: str, entry: Entry, reference: Entry = STOCK) -> float | None:
        """How many times a contestant's seconds fit into a reference's, stock's in float32 by default, or `None`."""
        other, one = self.result(task, reference), self.result(task, entry)
        return ratio(other.median if other else None, one.median if one else None)

    def rank_of_best(self, task: str, reference: Entry) -> float | None:
        """The place, among the cells of our grid, of the cell that is a reference's best; 1 is the same. By means over the repeats."""
        ours, other = self.result(task, OURS), self.result(task, reference)
        if ours is None or other is None:
            return None
        best, cells = other.cells()[0].values, ours.cells()
        score = next(cell.score for cell in cells if cell.values == best)
        return 1 + sum(cell.score > score for cell in cells)

    def farthest_cell(self, task: str, reference: Entry) -> float | None:
        """Points by which the score of a grid's cell differs most between us and a reference. By means over the repeats."""
        ours, other = self.result(task, OURS), self.result(task, reference)
        if ours is None or other is None:
            return None
        scores = {str(sorted(cell.values.items())): cell.score for cell in other.cells()}
        return 100 * max(abs(cell.score - scores[str(sorted(cell.values.items()))]) for cell in ours.cells())

    def shortfall(self, task: str) -> float | None:
        """Points by which our best score is below stock's; 0 when it is not, or when the same cell is best."""
        ours, stock = self.result(task, OURS), self.result(task, STOCK)
        if ours is None or stock is None:
            return None
        best, reference = ours.best, stock.best
        if TASKS[task].method == "grid":  # by means over the repeats: one repeat of 20 cells has a lucky one
            cell, stock_cell = ours.cells()[0], stock.cells()[0]
            if cell.values == stock_cell.values:
                return 0.0
            best, reference = cell.score, stock_cell.score
        below = difference(reference, best)
        return None if below is None else 100 * max(0.0, below)


def growth(result: Result | None) -> float | None:
    """Median MB that a process gained from its first trial to its last, or `None` where no curve was seen."""
    if result is None:
        return None
    gained = [found.curve[-1] - found.curve[0] for found in result.found if found.curve]
    return statistics.median(gained) if gained else None


def extra_traces(found: Measurements) -> int | None:
    """Most traces beyond one a structure in any search of ours that counts them, or `None`."""
    known = [
        one.traces - one.signatures
        for results in found.races.values()
        for result in results
        for one in result.found
        if one.traces is not None and one.signatures is not None
    ]
    return max(known, default=None)


def targets(found: Measurements) -> list[Target]:
    """All claims, in the order in which they are made."""
    rows = [
        Target(f"{claim}: times as fast as Keras Tuner", limit, found.faster(task, entry), at_least=True, aim=aim)
        for claim, task, entry, limit, aim in (
            ("Hyperband on digits", "hyperband", OURS, 8, "15"),
            ("Hyperband on digits, trials one by one", "hyperband", ONE_BY_ONE, 8, "15"),
            ("softmax grid", "softmax", OURS, 15, ""),
            ("softmax grid, trials one by one", "softmax", ONE_BY_ONE, 5, "8"),
            ("cnn, float32", "cnn", OURS, 1.3, ""),
            ("cnn, bfloat16 against float32", "cnn", Entry("ours", "bfloat16"), 1.8, ""),
        )
    ]
    both = found.faster("cnn", Entry("ours", "bfloat16"), Entry("stock", "bfloat16"))
    rows.append(Target("cnn, both in bfloat16: times as fast as Keras Tuner", None, both))
    rows += [
        Target(f"softmax grid: rank among our cells of the one that is best {where}", 1, rank)
        for where, rank in (
            ("one by one", found.rank_of_best("softmax", ONE_BY_ONE)),
            ("in Keras Tuner", found.rank_of_best("softmax", STOCK)),
        )
    ]
    rows += [
        Target(f"softmax grid: points by which a cell's accuracy differs at most from {where}", limit, points)
        for where, limit, points in (
            ("the one trained by itself", 0.2, found.farthest_cell("softmax", ONE_BY_ONE)),
            ("Keras Tuner's", None, found.farthest_cell("softmax", STOCK)),
        )
    ]
    rows += [
        Target(f"memory: {what} from the first to the last of 50 trials", _GROWTH, growth(result), unit="MB")
        for what, result in (
            ("the one process", found.result("memory", ONE_BY_ONE)),
            ("the process above two workers", found.result("memory", ONE_BY_ONE._replace(at_once=2))),
        )
    ]
    rows.append(Target("traces beyond one for each structure of models", 0, extra_traces(found)))
    rows += [
        Target(f"{name}: points of our best score below Keras Tuner's, unless the best cell is the same", limit, below)
        for name, limit, below in (
            (name, TASKS[name].tolerance, found.shortfall(name)) for name in ("softmax", "cnn", "hyperband")
        )
    ]
    return rows
