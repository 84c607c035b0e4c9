"""The pictures of a search as Matplotlib figures, without pyplot's global state; here those of scores and curves."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tuning import parameter_plots
from tuning.colours import add_colour_bar, rung_colours, score_colours
from tuning.dimensions import ancestry, best_trials, completed_trials, score_limits
from zoo.drawing import BEST, INK, finish_axes, save_figure
from zoo.errors import ZooError
from zoo.reporting import figures

if TYPE_CHECKING:
    from tuning.results import SearchResult


@dataclasses.dataclass(frozen=True)
class _InOrderOfEnd:
    """A search as `plot_search` reads it, its trials as they ended: parallel trials share the wall time."""

    table: pd.DataFrame
    objective: str
    direction: str


def best_so_far(result: SearchResult, *, against: str | Sequence[str] = "trial") -> Figure:
    """Every trial's score and the best so far.

    Args:
        result: the search.
        against: "trial", "epochs" (of all trials so far) or "seconds" (of wall time), or several of them, a panel each.

    Raises:
        ZooError: no trial was completed.
    """
    _ = result.best_trial  # raises when there is none
    costs, table = (against,) if isinstance(against, str) else tuple(against), result.table
    ended = pd.Series([result.trials[number]["ended"] for number in sorted(result.trials)])
    order = ended.sort_values(kind="stable").index
    table = table.loc[order].assign(seconds=np.diff(ended[order], prepend=0.0))
    figure = figures.plot_search(_InOrderOfEnd(table, result.objective, result.direction), against=costs)
    for axes, cost in zip(figure.axes, costs, strict=True):
        low, high = score_limits(result)
        axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        if cost == "trial" and not table["trial"].is_monotonic_increasing:
            axes.set_xlabel("trials, as they ended", color=INK)
        if cost == "seconds":
            axes.set_xlabel("seconds of wall time", color=INK)
        if axes is not figure.axes[0]:
            axes.set_ylabel("")
    return figure


def learning_curves(result: SearchResult) -> Figure:
    """The objective by epoch, one line a trial; a promoted trial goes on where its parent paused.

    Colours are rungs (the epochs that a rung ends at, across brackets; dotted lines mark them), or scores where there are
    no rungs. With folds or repeats a line is the mean of the runs. Failed trials are left out, and of more than 1,000 all but
    the best 1,000.

    Raises:
        ZooError: no trial was completed, or the journal has no values of the objective by epoch.
    """
    _ = result.best_trial  # raises when there is none
    records = best_trials(result)
    curves = _curves(result)
    if not curves:
        raise ZooError(f"there are no learning curves: the journal has no {result.objective} by epoch")
    rungs = rung_colours(records)
    by_score = score_colours(result)
    figure = Figure(figsize=(8.0, 4.4), layout="constrained")
    axes = figure.add_subplot()
    colours = {}
    for record in records:
        rung = record["values"].get("tuner/epochs")
        colours[record["number"]] = by_score.to_rgba(record["score"]) if rung is None else rungs[rung]
    _draw_curves(axes, curves, colours, ancestry(result))
    for rung, colour in rungs.items():
        axes.axvline(rung, color=INK, linewidth=0.8, linestyle=":", alpha=0.5, zorder=0)
        axes.plot([], [], color=colour, label=f"rung at epoch {rung}")
    finish_axes(axes, "epoch", result.objective)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(*_curve_limits(result, curves))
    if not rungs:
        add_colour_bar(figure, axes, by_score, result.objective)
    return figure


PLOTS: dict[str, Callable[["SearchResult"], Figure]] = {
    "best_so_far": lambda result: best_so_far(result, against=("trial", "seconds", "epochs")),
    "parallel_coordinates": parameter_plots.parallel_coordinates,
    "objective_against": parameter_plots.objective_against,
    "learning_curves": learning_curves,
    "importance": parameter_plots.importance,
}
CAPTIONS = {
    "best_so_far": "Every trial, and the best so far",
    "parallel_coordinates": "Values and score of each trial",
    "objective_against": "Score against each hyper-parameter",
    "learning_curves": "Learning curves",
    "importance": "Which hyper-parameters mattered",
}


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes a figure as .png, .svg or .pdf, atomically."""
    return save_figure(figure, path, dpi=120)


def drawn(result: SearchResult) -> dict[str, Figure]:
    """Name -> each picture of `PLOTS` that the search has something for."""
    figures = {}
    for name, draw in PLOTS.items():
        with contextlib.suppress(ZooError):  # too few trials for it, or none that tells something
            figures[name] = draw(result)
    return figures


def save_all(result: SearchResult, directory: Path) -> list[Path]:
    """Writes each picture of `PLOTS` that the search has something for, as `<name>.png`; returns the paths."""
    return [save(figure, directory / f"{name}.png") for name, figure in drawn(result).items()]


def _curves(result: SearchResult) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Trial number -> (epochs done, objective), mean over the runs; from where the parent paused, if it has one."""
    table = result.epochs
    if result.objective not in table:
        return {}
    runs = table[["trial", "fold", "repeat"]].drop_duplicates().groupby("trial").size()
    means = table.groupby(["trial", "epoch"])[result.objective].agg(["mean", "size"]).reset_index()
    means = means[(means["size"] == means["trial"].map(runs)) & np.isfinite(means["mean"])]  # no run that ended early
    curves = {
        int(trial) - 1: (rows["epoch"].to_numpy(np.float64) + 1, rows["mean"].to_numpy(np.float64))
        for trial, rows in means.groupby("trial")
    }
    joined = {}
    for number, (epochs, values) in curves.items():
        parent = curves.get(result.trials[number]["parent"])
        before = ([], []) if parent is None else (parent[0][-1:], parent[1][-1:])
        joined[number] = (np.concatenate([before[0], epochs]), np.concatenate([before[1], values]))
    return joined


def _draw_curves(
    axes: Axes, curves: dict[int, tuple[np.ndarray, np.ndarray]], colours: Mapping[int, Any], best_line: list[int]
) -> None:
    """A line a trial that has a colour, with those that led to the best one on top."""
    faint = 0.35 + 0.5 * min(1.0, 15 / len(curves))
    for number, colour in colours.items():
        if number not in curves:
            continue
        style: dict[str, Any] = {"color": colour, "alpha": faint, "linewidth": 1.1}
        if number in best_line:
            style = {"color": BEST, "linewidth": 2.4, "zorder": 5}
        epochs, values = curves[number]
        style |= {"gid": f"trial-{number + 1}", "label": f"_trial {number + 1}"}  # for a page; not in the legend
        axes.plot(epochs, values, marker="o" if len(epochs) == 1 else None, markersize=3, **style)
    axes.plot([], [], color=BEST, linewidth=2.4, label=f"best, trial {best_line[0] + 1}")


def _curve_limits(result: SearchResult, curves: dict[int, tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """All values of the trials whose score is no outlier: one that diverged would flatten everything else."""
    worst, best = score_limits(result)
    completed = {record["number"]: record["score"] for record in completed_trials(result)}
    usual = [values for n, (_, values) in curves.items() if n in completed and worst <= completed[n] <= best]
    values = np.concatenate(usual or [values for _, values in curves.values()])
    low, high = values.min(), values.max()
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin
