"""What the project claims about its speed, beside what was measured."""

from __future__ import annotations

import dataclasses

from sections import Memory, Timing
from table import difference, least, ratio
from tasks import Entry
from training_race import Result


@dataclasses.dataclass
class Measurements:
    """Everything that one run has measured.

    Attributes:
        races: results by the name of the task.
        startup: commands that were timed.
        memory: memory with all images and with few.
    """

    races: dict[str, list[Result]] = dataclasses.field(default_factory=dict)
    startup: list[Timing] = dataclasses.field(default_factory=list)
    memory: list[Memory] = dataclasses.field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether anything failed. What is not installed has not."""
        results = [result for race in self.races.values() for result in race]
        return any(failed for part in (results, self.startup, self.memory) for failed in (x.failed for x in part))

    def seconds(self, task: str, contestant: str, precision: str | None = None) -> float | None:
        """Median seconds of an epoch, in the best precision unless one is named; `None` where it was not measured."""
        return least(
            [
                result.median
                for result in self.races.get(task, [])
                if result.entry.contestant == contestant and precision in (None, result.entry.precision)
            ]
        )

    def rate(self, task: str, contestant: str, precision: str | None = None) -> float | None:
        """Images a second, in the best precision unless one is named."""
        results = self.races.get(task, [])
        return ratio(results[0].images, self.seconds(task, contestant, precision)) if results else None

    def growth(self, entry: Entry, peak: bool = False) -> float | None:
        """What all images take beyond few, in MB."""
        rows = [row for row in self.memory if row.entry == entry and not row.problem]
        sizes = [row.peak if peak else row.resident for row in sorted(rows, key=lambda row: row.images)]
        return difference(sizes[-1], sizes[0]) if len(sizes) == 2 else None


@dataclasses.dataclass(frozen=True)
class Target:
    """A claim.

    Attributes:
        claim: in words.
        limit: what it promises, or `None` for what is only reported.
        measured: what was measured, or `None`.
        at_least: whether more is better.
        aim: what would be better still, in words.
        unit: what stands behind the numbers: "", "%" or "MB".
    """

    claim: str
    limit: float | None
    measured: float | None
    at_least: bool = False
    aim: str = ""
    unit: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether it holds, or `None` where it cannot be told."""
        if self.measured is None or self.limit is None:
            return None
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


# task, precision, limit: seconds of an epoch against `fit` of stock layers on float32 arrays
_AGAINST_STOCK = (
    ("digits", "float32", 0.25),
    ("softmax", "float32", 0.35),
    ("mlp", "float32", 0.85),
    ("mlp", "bfloat16", 0.65),
    ("cnn", "float32", 0.70),
    ("cnn", "bfloat16", 0.50),
    ("resnet20", "bfloat16", 0.45),
)
# task, limit, aim: seconds against PyTorch, each in its best precision
_AGAINST_PYTORCH = (
    ("softmax", 1.0, ""),
    ("mlp", 1.0, ""),
    ("cnn", 1.0, ""),
    ("resnet20", 1.1, "0.9"),
    ("resnet20 forward", None, "1.5"),
)


def targets(found: Measurements) -> list[Target]:
    """All claims, in the order in which they are made."""
    rows = [
        Target(
            f"{task}, {precision}: epoch against stock `fit` in float32",
            limit,
            ratio(found.seconds(task, "ours", precision), found.seconds(task, "stock", "float32")),
        )
        for task, precision, limit in _AGAINST_STOCK
    ]
    against_tutorial = ratio(found.seconds("softmax", "ours", "float32"), found.seconds("softmax", "tutorial"))
    rows.append(Target("softmax, float32: epoch against the tutorial pipeline", 0.15, against_tutorial))
    rows += [
        Target(
            f"{task}: time against PyTorch, each in its best precision",
            limit,
            ratio(found.seconds(task, "ours"), pytorch_seconds(found, task)),
            aim=aim,
        )
        for task, limit, aim in _AGAINST_PYTORCH
    ]
    for precision in ("float32", "bfloat16"):
        share = ratio(found.seconds("mlp", "floor", precision), found.seconds("mlp", "ours", precision))
        claim = f"mlp, {precision}: share of the speed of its matrix products alone"
        rows.append(Target(claim, 75, None if share is None else 100 * share, at_least=True, unit="%"))
    supply = ratio(found.rate("pipeline", "pipeline", "plain"), found.rate("cnn", "ours"))
    rows.append(Target("the input pipeline alone against what the cnn takes", 3, supply, at_least=True))
    grown = found.growth(Entry("ours"))
    rows.append(Target("resident memory: 60,000 images minus 600", 70, grown, unit="MB"))
    return rows


def pytorch_seconds(found: Measurements, task: str) -> float | None:
    """PyTorch's best seconds: any precision, compiled or not."""
    return least([found.seconds(task, "pytorch"), found.seconds(task, "pytorch_compiled")])
