"""Pictures of a search as Matplotlib figures, without pyplot's global state."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tuning.importance import (
    Dimension,
    completed_trials,
    dimensions,
    permutation_importance,
    positions,
    score_limits,
    scores_of,
)
from zoo import storage
from zoo.errors import ZooError
from zoo.reporting import figures
from zoo.training.curves import BEST, INK, TRAIN, VALIDATION, finish_axes

if TYPE_CHECKING:
    from tuning.results import SearchResult

_BY_SCORE = LinearSegmentedColormap.from_list("score", ["#e3e6ea", "#a9c4f5", TRAIN, "#123a7d"])  # pale is bad
_PALE = "#c3c8cf"
_RUNGS = LinearSegmentedColormap.from_list("rung", ["#b9bfc7", TRAIN, "#5b3fb8", VALIDATION])


@dataclasses.dataclass(frozen=True)
class _InOrderOfEnd:
    """A search as `plot_search` reads it, its trials as they ended: parallel trials share the wall time."""

    table: pd.DataFrame
    objective: str
    direction: str
    best_values: Mapping[str, Any]


def best_so_far(result: SearchResult, *, against: str | Sequence[str] = "trial") -> Figure:
    """Every trial's score and the best so far.

    Args:
        result: the search.
        against: "trial", "epochs" (of all trials so far) or "seconds" (of wall time; of a journal that does not have
            it, of all trials so far), or several of them, a panel each.

    Raises:
        ZooError: no trial was completed.
    """
    _ = result.best_trial  # raises when there is none
    costs, table = (against,) if isinstance(against, str) else tuple(against), result.table
    ended = pd.Series([result.trials[number].get("ended") for number in sorted(result.trials)], dtype=float)
    has_wall_time = bool(np.isfinite(ended).all())
    if has_wall_time:
        order = ended.sort_values(kind="stable").index
        table = table.loc[order].assign(seconds=np.diff(ended[order].to_numpy(), prepend=0.0))
    figure = figures.plot_search(_InOrderOfEnd(table, result.objective, result.direction, {}), against=costs)
    for axes, cost in zip(figure.axes, costs, strict=True):
        low, high = score_limits(result)
        axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
        if cost == "trial" and not table["trial"].is_monotonic_increasing:
            axes.set_xlabel("trials, as they ended", color=INK)
        if cost == "seconds" and has_wall_time:
            axes.set_xlabel("seconds of wall time", color=INK)
        if axes is not figure.axes[0]:
            axes.set_ylabel("")
    return figure


def parallel_coordinates(result: SearchResult) -> Figure:
    """One line a completed trial across the axes of its hyper-parameters to its score; the best one on top.

    The worst scores, where they lie far from the rest, are drawn at the end of the axis. A line passes below the axis of
    a hyper-parameter that was inactive.

    Raises:
        ZooError: no trial was completed, or nothing differs among them.
    """
    shown, records = _dimensions(result), completed_trials(result)
    low, high = score_limits(result)
    score = Dimension(result.objective, "linear", low, high)
    at = np.stack([positions(dimension, records) for dimension in shown], axis=1)
    scores = np.clip(scores_of(records), low, high)
    inactive_at = -0.16 if np.isnan(at).any() else 0.0
    placed = np.where(np.isnan(at), inactive_at, at)
    placed += np.random.default_rng(0).uniform(-1, 1, at.shape) * [0.5 * dimension.jitter for dimension in shown]
    lines = np.column_stack([placed, [score.position(s) for s in scores]])
    figure = Figure(figsize=(min(24.0, 2.2 + 1.55 * len(shown)), 4.6), layout="constrained")
    axes = figure.add_subplot()
    colours = _score_colours(result)
    order = np.argsort(scores if result.direction == "max" else -scores, kind="stable")
    faint = 0.45 + 0.45 * min(1.0, 25 / len(records))
    for i in order:
        axes.plot(lines[i], color=colours.to_rgba(scores[i]), linewidth=1.0, alpha=faint)
    best = records.index(result.best_trial)
    axes.plot(lines[best], color=BEST, linewidth=2.6, zorder=5, label=f"best, trial {result.best_trial['number'] + 1}")
    for i, dimension in enumerate([*shown, score]):
        _draw_scale(axes, i, dimension, has_inactive=i < len(shown) and bool(np.isnan(at[:, i]).any()))
    axes.set(xlim=(-0.45, len(shown) + 0.25), ylim=(min(-0.04, inactive_at - 0.05), 1.04))
    axes.axis("off")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), frameon=False, fontsize="small", labelcolor=INK)
    _add_colour_bar(figure, axes, colours, result.objective)
    return figure


def objective_against(result: SearchResult) -> Figure:
    """The score against each hyper-parameter, a panel each; logarithmic where the space is.

    Names, lists of numbers and a few whole numbers stand side by side, with a jitter that is always the same and a bar at
    each one's median; colours are rungs, where there are any.
    The worst scores, where they lie far from the rest, are triangles at the edge.

    Raises:
        ZooError: no trial was completed, or nothing differs among them.
    """
    shown, records = _dimensions(result), completed_trials(result)
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(3.1 * columns + 0.6, 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    rungs = _rungs(records)
    colours = [rungs.get(record["values"].get("tuner/epochs"), to_rgba(TRAIN)) for record in records]
    for i, (axes, dimension) in enumerate(zip(panels, shown, strict=False)):
        _draw_against(axes, result, dimension, records, colours)
        _finish_without_legend(axes, _short(dimension.name), result.objective if i % columns == 0 else "")
    for axes in panels[len(shown) :]:
        axes.axis("off")
    handles = [
        Line2D([], [], color=c, marker="o", linestyle="none", label=f"rung at epoch {e}") for e, c in rungs.items()
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=8, frameon=False, labelcolor=INK)
    return figure


def learning_curves(result: SearchResult) -> Figure:
    """The objective by epoch, one line a trial; a promoted trial goes on where its parent paused.

    Colours are rungs (the epochs that a rung ends at, across brackets; dotted lines mark them), or scores where there are
    no rungs. With folds or repeats a line is the mean of the runs. Failed trials are left out.

    Raises:
        ZooError: no trial was completed, or the journal has no values of the objective by epoch.
    """
    _ = result.best_trial  # raises when there is none
    records = completed_trials(result)
    curves = _curves(result)
    if not curves:
        raise ZooError(f"there are no learning curves: the journal has no {result.objective} by epoch")
    rungs = _rungs(records)
    colours = _score_colours(result)
    figure = Figure(figsize=(8.0, 4.4), layout="constrained")
    axes = figure.add_subplot()
    faint = 0.35 + 0.5 * min(1.0, 15 / len(curves))
    best_line = _ancestry(result)
    for record in records:
        number, rung = record["number"], record["values"].get("tuner/epochs")
        if number not in curves:
            continue
        colour = colours.to_rgba(record["score"]) if rung is None else rungs[rung]
        style: dict[str, Any] = {"color": colour, "alpha": faint, "linewidth": 1.1}
        if number in best_line:
            style = {"color": BEST, "linewidth": 2.4, "zorder": 5}
        epochs, values = curves[number]
        axes.plot(epochs, values, marker="o" if len(epochs) == 1 else None, markersize=3, **style)
    axes.plot([], [], color=BEST, linewidth=2.4, label=f"best, trial {best_line[0] + 1}")
    for rung, colour in rungs.items():
        axes.axvline(rung, color=INK, linewidth=0.8, linestyle=":", alpha=0.5, zorder=0)
        axes.plot([], [], color=colour, label=f"rung at epoch {rung}")
    finish_axes(axes, "epoch", result.objective)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(*_curve_limits(result, curves))
    if not rungs:
        _add_colour_bar(figure, axes, colours, result.objective)
    return figure


def importance(result: SearchResult) -> Figure:
    """Bars of `tuning.importance.permutation_importance`, with the spread of the shuffles.

    Raises:
        ZooError: fewer than 8 different trials completed, or nothing differs among them.
    """
    table = permutation_importance(result).iloc[::-1]
    r2 = table.attrs["r2"]
    says_little = r2 < 0.2
    figure = Figure(figsize=(6.4, 1.6 + 0.34 * len(table)), layout="constrained")
    axes = figure.add_subplot()
    names = [_short(name) for name in table["parameter"]]
    colour = _PALE if says_little else TRAIN
    axes.barh(names, table["importance"], xerr=table["spread"], color=colour, ecolor=INK, capsize=3, height=0.62)
    axes.axvline(0, color=INK, linewidth=0.8)
    _finish_without_legend(axes, "R² lost when shuffled among the trials", "")
    trust = "too little to tell what matters" if says_little else "out of bag"
    title = f"a forest explains {max(0.0, r2):.0%} of the variance\nof the ranks of {result.objective}: {trust}"
    axes.set_title(title, fontsize=9, color=INK, parse_math=False)
    return figure


PLOTS: dict[str, Callable[["SearchResult"], Figure]] = {
    "best_so_far": lambda result: best_so_far(result, against=("trial", "seconds", "epochs")),
    "parallel_coordinates": parallel_coordinates,
    "objective_against": objective_against,
    "learning_curves": learning_curves,
    "importance": importance,
}


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes a figure as .png, .svg or .pdf, atomically."""
    with storage.atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, facecolor="white")
    return Path(path)


def save_all(result: SearchResult, directory: Path) -> list[Path]:
    """Writes each picture of `PLOTS` that the search has something for, as `<name>.png`; returns the paths."""
    written = []
    for name, draw in PLOTS.items():
        with contextlib.suppress(ZooError):  # too few trials for it, or none that tells something
            written.append(save(draw(result), directory / f"{name}.png"))
    return written


def _dimensions(result: SearchResult) -> list[Dimension]:
    _ = result.best_trial  # raises when there is none
    found = dimensions(result)
    if not found:
        raise ZooError(f"the completed trials of {result.directory} all have the same values")
    return found


def _score_colours(result: SearchResult) -> ScalarMappable:
    colours = _BY_SCORE if result.direction == "max" else _BY_SCORE.reversed()
    return ScalarMappable(Normalize(*score_limits(result), clip=True), colours)


def _add_colour_bar(figure: Figure, axes: Axes, colours: ScalarMappable, label: str) -> None:
    bar = figure.colorbar(colours, ax=axes, pad=0.01, aspect=30)
    bar.set_label(label, color=INK, parse_math=False)
    bar.ax.tick_params(colors=INK, labelsize="small")
    bar.outline.set_visible(False)


def _draw_scale(axes: Axes, x: int, dimension: Dimension, *, has_inactive: bool) -> None:
    """One vertical axis of the parallel coordinates, its labels to the left of it."""
    axes.plot([x, x], [0, 1], color=INK, linewidth=1.2, zorder=3)
    ticks = [*dimension.ticks(), *([(-0.16, "inactive")] if has_inactive else [])]
    for at, text in ticks:
        axes.plot([x - 0.025, x], [at, at], color=INK, linewidth=1, zorder=3)
        box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}
        shown: dict[str, Any] = {"fontsize": 7.5, "color": INK, "bbox": box, "zorder": 6, "parse_math": False}
        axes.text(x - 0.045, at, _short(text, 14), ha="right", va="center", **shown)
    axes.text(x, 1.045, _short(dimension.name, 18), ha="center", va="bottom", fontsize=9, color=INK, parse_math=False)


def _draw_against(
    axes: Axes, result: SearchResult, dimension: Dimension, records: list[dict[str, Any]], colours: list[Any]
) -> None:
    low, high = score_limits(result)
    at, scores = positions(dimension, records), scores_of(records)
    placed = at + np.random.default_rng(0).uniform(-1, 1, len(at)) * dimension.jitter
    shown, is_outside = np.clip(scores, low, high), (scores < low) | (scores > high)
    for marker, chosen in (("o", ~is_outside), ("v" if result.direction == "max" else "^", is_outside)):
        where = np.flatnonzero(chosen & ~np.isnan(at))
        axes.scatter(placed[where], shown[where], s=16, color=[colours[i] for i in where], marker=marker, alpha=0.6)
    is_one_rung = len({*map(tuple, colours)}) == 1  # a median over rungs would compare different epochs
    for column in np.unique(at[~np.isnan(at)]) if dimension.jitter and is_one_rung else ():
        bar = [column - 1.4 * dimension.jitter, column + 1.4 * dimension.jitter]
        axes.plot(bar, [np.median(shown[at == column])] * 2, color=VALIDATION, linewidth=2, zorder=3)
    best = records.index(result.best_trial)
    axes.plot(placed[best], shown[best], "o", color=BEST, markersize=7, zorder=4)  # nowhere if it was inactive
    ticks = dimension.ticks()
    axes.set(xlim=(-0.05, 1.05), ylim=(low - 0.06 * (high - low), high + 0.06 * (high - low)))
    axes.set_xticks([p for p, _ in ticks], [_short(t, 14) for _, t in ticks], fontsize=8, parse_math=False)
    if sum(len(text) + 2 for _, text in ticks) > 34:
        axes.tick_params(axis="x", labelrotation=35)


def _rungs(records: list[dict[str, Any]]) -> dict[int, Any]:
    """Epochs at which a rung ends -> its colour; across brackets."""
    rungs = sorted({record["values"]["tuner/epochs"] for record in records if "tuner/epochs" in record["values"]})
    return {rung: _RUNGS(i / max(1, len(rungs) - 1)) for i, rung in enumerate(rungs)}


def _curves(result: SearchResult) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Trial number -> (epochs done, objective), mean over the runs; from where the parent paused, if it has one."""
    table = result.epochs
    if result.objective not in table:
        return {}
    curves = {}
    for trial in table["trial"].unique().tolist():
        rows = table[table["trial"] == trial]
        runs = rows["fold"].astype(str) + "/" + rows["repeat"].astype(str)
        means = rows.groupby("epoch")[result.objective].agg(["mean", "size"])
        means = means[(means["size"] == runs.nunique()) & np.isfinite(means["mean"])]  # no run that ended early
        if len(means):
            curves[trial - 1] = (means.index.to_numpy(np.float64) + 1, means["mean"].to_numpy(np.float64))
    joined = {}
    for number, (epochs, values) in curves.items():
        parent = curves.get(result.trials[number].get("parent", -1))
        before = ([], []) if parent is None else (parent[0][-1:], parent[1][-1:])
        joined[number] = (np.concatenate([before[0], epochs]), np.concatenate([before[1], values]))
    return joined


def _curve_limits(result: SearchResult, curves: dict[int, tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """All values of the trials whose score is no outlier: one that diverged would flatten everything else."""
    worst, best = score_limits(result)
    usual = [values for number, (_, values) in curves.items() if worst <= result.trials[number]["score"] <= best]
    values = np.concatenate(usual or [values for _, values in curves.values()])
    low, high = values.min(), values.max()
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin


def _ancestry(result: SearchResult) -> list[int]:
    """The number of the best trial, of its parent, and so on."""
    line: list[int] = []
    number = result.best_trial["number"]
    while number in result.trials and number not in line:
        line.append(number)
        number = result.trials[number].get("parent")
    return line


def _short(text: str, limit: int = 24) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _finish_without_legend(axes: Axes, xlabel: str, ylabel: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Matplotlib warns of a legend without entries
        finish_axes(axes, xlabel, ylabel)
