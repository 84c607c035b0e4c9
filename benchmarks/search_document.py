"""Measurements of the searches -> one Markdown document."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from frame import opening, target_table
from search_race import Result
from search_targets import OURS, Measurements, growth, targets
from search_tasks import TASKS, Task
from table import NOTHING, markdown, number, percent, ratio, spread, times

_QUICK = "tiny searches on scikit-learn's digits, which only show that the benchmark works."
_HEADER = (
    "contestant",
    "precision",
    "seconds",
    "min to max",
    "times stock's speed",
    "this project / it",
    "trials",
    "epochs",
    "trials / s",
    "epochs / s",
    "best score",
    "mean score",
)
_INTRODUCTION = """\
Every repeat of every contestant is a fresh process, one at a time, forth and back through the list. Imports and loading come
before the clock starts; everything that a search does is timed: building, tracing, training, validation, its records, the
models it keeps, and the start of worker processes (this project's and Ray's, which import TensorFlow there). A table shows the
median of the repeats, smallest and largest value, and ratios of medians. *Times stock's speed* is Keras Tuner's float32 time
divided by the contestant's; *this project / it* is the time of this project, float32, inline, divided by the
contestant's. Nobody stops early. Every process has counted the epochs that it trained; one that trained more or fewer than
the task has is not shown. The score is the accuracy on the validation images after the last epoch, whatever an engine itself
keeps; *best* is the median of the repeats' best.

- **this project**: `tuning.search` on uint8 images, inline, which trains small dense models of one structure as members of one
  program; "2 at once" is `executor="processes", workers=2`; "one by one" has that stacking switched off for this benchmark.
- **Keras Tuner**: `GridSearch` and `Hyperband` with a build function, `search` on float32 arrays; keeps every trial's best epoch.
- **Optuna**: `GridSampler`, or TPE with `HyperbandPruner`; the objective clears the session, builds, compiles and fits on
  float32 arrays, and keeps no model.
- **Ray Tune**: `grid_search`, or `ASHAScheduler` over random samples; the same function as trainable, the arrays through
  `with_parameters` and `reuse_actors=True`; keeps no model. One trial at once has all cores, two have half of them each.
"""
_HYPERBAND = (
    " Keras Tuner and this project run the same brackets and rungs, each drawing its own values, and count a promoted trial once "
    "a rung; Optuna and Ray have no end of their own here and get the same number of epochs, which they divide as they like: "
    "compare their epochs a second."
)


def write(machine: Sequence[tuple[str, str]], found: Measurements, *, quick: bool, minutes: float) -> str:
    """The document.

    Args:
        machine: what `machine.describe` gives.
        found: what was measured.
        quick: whether the searches were shortened.
        minutes: how long it took.
    """
    shares = [share for results in found.races.values() for result in results for share in result.others]
    title = "Search speed beside its peers"
    parts = opening(title, machine, shares, _INTRODUCTION, quick=_QUICK if quick else None, minutes=minutes)
    for name, results in found.races.items():
        task = TASKS[name].shortened() if quick else TASKS[name]
        parts += _memory(task, results) if name == "memory" else _race(name, task, found)
    parts += [*_structures(found), *_spaces(found, quick), "## Targets", target_table(targets(found), quick)]
    return "\n\n".join(parts) + "\n"


def _race(name: str, task: Task, found: Measurements) -> list[str]:
    """One search: who took part, and how they compare."""
    results = found.races[name]
    ours = found.result(name, OURS)
    rows = []
    for result in results:
        is_known = result.median is not None
        mean = (
            [trial.score for one in result.found for trial in one.trials] if task.method == "grid" and is_known else []
        )
        rows.append(
            (
                result.entry.title,
                result.entry.precision,
                result.problem or number(result.median),
                spread(result.seconds) if is_known else NOTHING,
                times(found.faster(name, result.entry)),
                times(ratio(ours.median if ours else None, result.median)),
                f"{result.trials:.0f}" if result.trials is not None else NOTHING,
                f"{result.epochs:.0f}" if result.epochs is not None else NOTHING,
                number(ratio(result.trials, result.median)),
                number(ratio(result.epochs, result.median)),
                f"{result.best:.4f}" if result.best is not None else NOTHING,
                f"{sum(mean) / len(mean):.4f}" if mean else NOTHING,
            )
        )
    text = f"{task.trials} trials, {task.budget} epochs together.{_HYPERBAND if name == 'hyperband' else ''}"
    shares = [share for result in results for share in result.others]
    if shares:
        text += f" Other programs took {percent(sum(shares) / len(shares))} of the cores meanwhile."
    return [f"## {task.title}", text, markdown(_HEADER, rows), *_best_cells(task, results)]


def _best_cells(task: Task, results: Sequence[Result]) -> list[str]:
    """The best cell of a grid, for each contestant."""
    if task.method != "grid":
        return []
    rows = []
    for result in results:
        if result.median is not None:
            best, *others = result.cells()
            values = ", ".join(f"{k} {v:g}" for k, v in task.options(best.values).items())
            second = f"{others[0].score:.4f}" if others else NOTHING
            rows.append((result.entry.title, result.entry.precision, values, f"{best.score:.4f}", second))
    header = ("contestant", "precision", "best cell, by its mean over the repeats", "score", "the second's")
    return [markdown(header, rows, words=3)] if rows else []


def _memory(task: Task, results: Sequence[Result]) -> list[str]:
    """Resident memory along a search."""
    last = task.trials
    points = sorted({1, *(round(last * share) for share in (0.2, 0.4, 0.6, 0.8)), last})
    rows = []
    for result in results:
        curves = [found.curve for found in result.found if len(found.curve) == last]
        middle = [number(_median([curve[point - 1] for curve in curves])) for point in points]
        workers = _median([max(found.workers) for found in result.found if found.workers])
        title = result.entry.title
        rows.append((title, result.problem or number(growth(result)), *middle, number(workers)))
    header = ("contestant", "growth, MB", *(f"after {point}" for point in points), "largest worker, MB")
    text = (
        "Resident memory in MB of the process that searches, after so many trials; growth is from the first trial to the last. "
        "Of this project with two workers it is the process above them; the largest worker is the most that any of them ever had. "
        "Its trials run one by one here: those of one program all end at the same moment."
    )
    return [f"## {task.title}", text, markdown(header, rows)]


def _structures(found: Measurements) -> list[str]:
    """How often our searches traced, where they ran in one process and say so."""
    rows = [
        (name, result.entry.title, result.entry.precision, str(len(one.trials)), str(one.signatures), str(one.traces))
        for name, results in found.races.items()
        for result in results
        for one in result.found[:1]
        if one.traces is not None
    ]
    header = ("search", "contestant", "precision", "trials", "structures", "traces of a gradient step")
    text = "A structure that trained both as members of one program and by itself counts twice, and is traced for each."
    return ["## Structures and traces", text, markdown(header, rows, words=3)] if rows else []


def _spaces(found: Measurements, quick: bool) -> list[str]:
    """What was searched, as the tables of `search_tasks.py` have it."""
    rows = []
    for name in found.races:
        task = TASKS[name].shortened() if quick else TASKS[name]
        for parameter, given in task.space.items():
            rows.append((name, parameter, ", ".join(str(value) for value in given)))
        for index in task.space.get("combination", ()):
            values = ", ".join(f"{k} {v:g}" for k, v in task.combinations[index].items())
            rows.append((name, f"combination {index}", values))
        rows.append((name, "fixed", f"{task.optimizer}, batch {task.batch_size}, {task.data}, {task.epochs} epochs"))
    return ["## Spaces", markdown(("search", "hyper-parameter", "values"), rows, words=3)]


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
