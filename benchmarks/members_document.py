"""Measurements of the members -> one Markdown document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from frame import opening, target_table
from members_race import Result
from members_tasks import CONTESTANTS, TASKS
from table import NOTHING, markdown, number, percent, ratio, spread, times
from targets import Target

_QUICK = "few members on few of scikit-learn's digits, which only show that it works."
_MANY = 64  # members that targets are about
_HEADER = (
    "members",
    "contestant",
    "member-epochs / s",
    "min to max",
    "times ours one at a time",
    "times PyTorch one at a time",
    "accuracy",
)
_INTRODUCTION = """\
Members are models of one structure that differ in learning rate and in L2 or dropout. A turn trains so many of them from the
start to their last epoch, the validation after each epoch included, and is timed as a whole: making the members, loading their
initial weights, training, taking their weights out. Tracing is over before the first turn. Every contestant has a process of
its own and runs when it is its turn, forth and back, the others asleep; for each number of members all of them run in turn.
A table shows member-epochs a second: the median of the rounds, smallest and largest value, and ratios of medians, each to what
ran beside it. One at a time, four members stand for all where there are more: their number does not change the speed.
*Accuracy* is the mean validation accuracy of these four members after their last epoch, over the rounds.

- **this project, members of one program**: `SpaceRunner.run_together`, as `tuning.search` calls it, which trains 64 at once: 256
  are four groups.
- **this project, one at a time**: `SpaceRunner.run` for each member, on one program that is kept and traced once.
- **PyTorch, one at a time**: eager loop, one thread a core, index batches from a uint8 tensor, fused optimizer; L2 is its
  `weight_decay`, and is in no loss that it tells.
- **PyTorch, stacked by hand**: the members' weights as one tensor a layer, the first layer as one product for all members where
  they share the order of the images, the others as batched products; the optimizer written out, a rate for each member; also
  64 at once, since more were slower.
"""


def failed(races: Mapping[str, Sequence[Result]]) -> bool:
    """Whether anything failed. What is not installed or has no data has not."""
    return any(result.failed for results in races.values() for result in results)


def write(
    machine: Sequence[tuple[str, str]], races: Mapping[str, Sequence[Result]], *, quick: bool, minutes: float
) -> str:
    """The document.

    Args:
        machine: what `machine.describe` gives.
        races: results by the name of the task.
        quick: whether the tasks were shortened.
        minutes: how long it took.
    """
    shares = [share for results in races.values() for result in results for share in result.others]
    title = "Members of one program beside models one at a time"
    parts = opening(title, machine, shares, _INTRODUCTION, quick=_QUICK if quick else None, minutes=minutes)
    for name, results in races.items():
        parts += _race(name, results, quick)
    parts += ["## Targets", target_table(targets(races), quick)]
    return "\n\n".join(parts) + "\n"


def targets(races: Mapping[str, Sequence[Result]]) -> list[Target]:
    """All claims, in the order in which they are made."""
    return [
        Target(
            f"{name}: {_MANY} members of one program, times the member-epochs a second of one at a time",
            task.target,
            ratio(_rate(races.get(name, ()), "together", _MANY), _rate(races.get(name, ()), "ours", _MANY)),
            at_least=True,
        )
        for name, task in TASKS.items()
    ]


def _race(name: str, results: Sequence[Result], quick: bool) -> list[str]:
    """One task: who took part, and how they compare."""
    task = TASKS[name].shortened() if quick else TASKS[name]
    rows = []
    for count in task.sizes:
        ours, pytorch = (_rate(results, contestant, count) for contestant in ("ours", "pytorch"))
        for result in results:
            rate, accuracies = result.rate(count), result.accuracies.get(count, [])
            rows.append(
                (
                    str(count),
                    CONTESTANTS[result.contestant].title,
                    result.problem or number(rate),
                    spread(result.rates(count)),
                    times(ratio(rate, ours)),
                    times(ratio(rate, pytorch)),
                    f"{sum(accuracies) / len(accuracies):.4f}" if accuracies else NOTHING,
                )
            )
    shares = [share for result in results for share in result.others]
    text = f"{task.epochs} epochs each, validation after every one."
    if shares:
        text += f" Other programs took {percent(sum(shares) / len(shares))} of the cores meanwhile."
    return [f"## {task.title}", text, markdown(_HEADER, rows, words=2)]


def _rate(results: Sequence[Result], contestant: str, count: int) -> float | None:
    return next((result.rate(count) for result in results if result.contestant == contestant), None)
