"""Several runs beside each other: what differs, what came of it, and whether that is more than chance."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from zoo.drawing import COLOURS, finish_axes
from zoo.errors import UsageError
from zoo.evaluation.comparison import Comparison, compare
from zoo.evaluation.statements import number
from zoo.reporting.formatting import MISSING, Table, flatten, format_count, format_value
from zoo.reporting.inputs import EvaluationLike, RunLike, accuracy_interval, num_parameters
from zoo.reporting.plots import Plot
from zoo.reporting.section import Section
from zoo.reporting.sections.comparison import p_cell, verdict_of

if TYPE_CHECKING:
    from zoo.evaluation.paired_models import ModelComparison

_NAMES = ("data.name", "model.name")  # said first where they differ


def runs_section(
    runs: Mapping[str, RunLike], evaluations: Mapping[str, EvaluationLike], notes: Sequence[str] = ()
) -> Section:
    """A row a run: the settings that differ, accuracy with its interval, loss, size and cost; and the curves of all.

    Args:
        runs: name -> run.
        evaluations: name -> results of some of them.
        notes: sentences on what the page leaves out.
    """
    differing = differing_settings(runs)
    header = ["run", *differing, "test accuracy", "95 % interval", "test loss", "validation accuracy"]
    header += ["parameters", "epochs", "training seconds"]
    rows = [_row(name, run, evaluations.get(name), differing) for name, run in runs.items()]
    numeric = [False] * (1 + len(differing)) + [True] * (len(header) - 1 - len(differing))
    scores = [evaluations[name].accuracy if name in evaluations else -math.inf for name in runs]
    best = int(np.argmax(scores)) if max(scores) > -math.inf else -1
    content = {"table": Table(header, rows, numeric), "best_row": best, "is_same": not differing, "notes": notes}
    return Section("runs", "Runs", content, _curves(runs))


def differing_settings(runs: Mapping[str, RunLike]) -> list[str]:
    """The dotted names of the settings that not all runs share; versions apart."""
    flat = [_settings(run) for run in runs.values()]
    names = list(dict.fromkeys(name for settings in flat for name in settings))
    found = [n for n in names if len({repr(settings.get(n)) for settings in flat}) > 1]
    return sorted(found, key=lambda name: (name not in _NAMES, _is_seed(name)))  # stable


def compare_seeds(runs: Mapping[str, RunLike], evaluations: Mapping[str, EvaluationLike]) -> Comparison | None:
    """The settings compared over seeds, where runs differ in both; None where they do not, or are not all evaluated."""
    groups = _groups(runs)
    if groups is None or set(evaluations) != set(runs):
        return None
    seeds = [name for name in differing_settings(runs) if _is_seed(name)]
    rows = []
    for name, run in runs.items():
        unit = ", ".join(format_value(_settings(run).get(seed)) for seed in seeds)
        rows.append({"settings": groups[name], "seed": unit, "test accuracy": evaluations[name].accuracy})
    try:
        return compare(pd.DataFrame(rows), groups="settings", units="seed", score="test accuracy")
    except UsageError:  # seeds that not every group has, or a group twice on one
        return None


def _groups(runs: Mapping[str, RunLike]) -> dict[str, str] | None:
    """Run -> what it shares with those that differ in their seeds alone; None where there is no such division."""
    differing = differing_settings(runs)
    others = [name for name in differing if not _is_seed(name)]
    if not others or len(others) == len(differing):
        return None
    short = [_short(name) for name in others]
    titles = [s if short.count(s) == 1 else name for s, name in zip(short, others, strict=True)]
    return {
        name: ", ".join(
            f"{title}={_exact(_settings(run).get(other))}" for other, title in zip(others, titles, strict=True)
        )
        for name, run in runs.items()
    }


def paired_section(found: ModelComparison) -> Section:
    """Accuracies on the same examples, and McNemar's tests."""
    header = ["run", "right", "of", "accuracy", f"{100 * found.confidence:g} % interval", "p (Holm)", "verdict"]
    rows = []
    for i, (_, row) in enumerate(found.models.iterrows()):
        interval = f"{number(row['low'])} to {number(row['high'])}"
        cells = [str(row["model"]), str(row["correct"]), str(row["n"]), number(row["accuracy"]), interval]
        rows.append([*cells, p_cell(row["p_holm"]), verdict_of(row, is_best=i == 0)])
    content = {
        "sentences": found.sentences(),
        "table": Table(header, rows, [False, True, True, True, True, True, False]),
    }
    return Section("paired", "On the same examples", content)


def f1_section(evaluations: Mapping[str, EvaluationLike]) -> Section | None:
    """F1 of each class, a column a run; None where the classes differ."""
    classes = {tuple(map(str, e.class_names)) for e in evaluations.values()}
    if len(classes) != 1:
        return None
    frames = {name: evaluation.per_class["f1"] for name, evaluation in evaluations.items()}
    rows = [
        [str(name), *(format_value(float(column.iloc[k])) for column in frames.values())]
        for k, name in enumerate(classes.pop())
    ]
    return Section("f1", "F1 of each class", {"table": Table(["class", *frames], rows, [False] + [True] * len(frames))})


def _settings(run: RunLike) -> dict[str, Any]:
    """Data, model and recipes with dotted names; the phases of a recipe by their numbers, if there are several."""
    parts: dict[str, Any] = {}
    for part in ("data", "model"):
        values = run.config.get(part)
        parts[part] = {k: v for k, v in values.items() if k != "keras"} if isinstance(values, Mapping) else {}
    recipes: Sequence[Any] = run.config.get("recipes") or []
    phases = {"recipe": recipes[0]} if len(recipes) == 1 else {f"phase {i + 1}": r for i, r in enumerate(recipes)}
    return dict(flatten({**parts, **phases}))


def _is_seed(name: str) -> bool:
    return _short(name) == "seed"


def _exact(value: Any) -> str:
    """All digits: settings that differ must not become one group."""
    return repr(value) if isinstance(value, float) else format_value(value)


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _row(name: str, run: RunLike, evaluation: EvaluationLike | None, differing: Sequence[str]) -> list[str]:
    settings = _settings(run)
    low, high = accuracy_interval(evaluation) if evaluation is not None else (math.nan, math.nan)
    validation = getattr(run, "metrics", {}).get("val_accuracy", math.nan)
    seconds = float(run.history["seconds"].sum()) if "seconds" in run.history.columns else math.nan
    parameters = num_parameters(run)
    return [
        name,
        *(format_value(settings.get(key)) for key in differing),
        MISSING if evaluation is None else format_value(float(evaluation.accuracy)),
        MISSING if math.isnan(low) else f"{number(low)} to {number(high)}",
        MISSING if evaluation is None else format_value(float(evaluation.loss)),
        format_value(float(validation)),
        MISSING if parameters is None else format_count(parameters),
        format_count(len(run.history)),
        MISSING if math.isnan(seconds) else f"{seconds:.1f}",
    ]


def _curves(runs: Mapping[str, RunLike]) -> tuple[Plot, ...]:
    """Training loss, validation loss and validation accuracy by epoch, a line a run."""
    plots = []
    for column, label in (
        ("loss", "Training loss"),
        ("val_loss", "Validation loss"),
        ("val_accuracy", "Validation accuracy"),
    ):
        shown = {name: run for name, run in runs.items() if column in run.history.columns}
        if shown:
            figure = _curve_figure(shown, column, label.lower())
            plots.append(Plot(f"runs-{column.replace('_', '-')}", f"{label} by epoch", figure))
    return tuple(plots)


def _curve_figure(runs: Mapping[str, RunLike], column: str, label: str) -> Figure:
    """Runs that differ in their seeds alone have one colour; more than ten without such groups have no legend."""
    groups = _groups(runs) or dict(zip(runs, runs, strict=True))
    colour_of = {group: COLOURS[i % len(COLOURS)] for i, group in enumerate(dict.fromkeys(groups.values()))}
    figure = Figure(figsize=(4.8, 3.4), layout="constrained")
    axes = figure.add_subplot()
    named: set[str] = set()
    for name, run in runs.items():
        values = pd.to_numeric(run.history[column], errors="coerce").to_numpy(np.float64)
        known = np.flatnonzero(np.isfinite(values))
        group = groups[name]
        is_first = group not in named and len(colour_of) <= len(COLOURS)
        named.add(group)
        title = group.lstrip("_") or "run" if is_first else f"_{name}"  # with an underscore: for the pointer alone
        axes.plot(known + 1, values[known], color=colour_of[group], linewidth=1.2, alpha=0.85, label=title)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Matplotlib warns of a legend without entries
        finish_axes(axes, "epoch", label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
