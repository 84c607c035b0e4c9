"""Pictures of a search's hyper-parameters: what was tried, how the score depends on each, which of them mattered."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tuning.colours import add_colour_bar, rung_colours, score_colours
from tuning.dimensions import (
    Dimension,
    best_trials,
    completed_trials,
    dimensions,
    positions,
    score_limits,
    scores_of,
)
from tuning.importance import permutation_importance
from tuning.parameters import decode
from zoo.drawing import BEST, INK, TRAIN, VALIDATION, clipped, finish_axes
from zoo.errors import ZooError
from zoo.reporting.formatting import format_value

if TYPE_CHECKING:
    from tuning.results import SearchResult

_PALE = "#c3c8cf"
_MAX_NAME = 24  # characters of a hyper-parameter


def parallel_coordinates(result: SearchResult) -> Figure:
    """One line a completed trial across the axes of its hyper-parameters to its score; the best one on top.

    Of more than 1,000 trials the best 1,000 have a line.

    The worst scores, where they lie far from the rest, are drawn at the end of the axis. A line passes below the axis of
    a hyper-parameter that was inactive. For a page, a line's gid is "trial-N", N as in the table of trials, and its
    hidden label tells the trial's values.

    Raises:
        ZooError: no trial was completed, or nothing differs among them.
    """
    shown, records = _dimensions(result), best_trials(result)
    low, high = score_limits(result)
    score = Dimension(result.objective, "linear", low, high)
    at = np.stack([positions(dimension, records) for dimension in shown], axis=1)
    scores = np.clip(scores_of(records), low, high)
    inactive_at = -0.16 if np.isnan(at).any() else 0.0
    placed = np.where(np.isnan(at), inactive_at, at)
    placed += np.random.default_rng(0).uniform(-1, 1, at.shape) * [0.5 * dimension.jitter for dimension in shown]
    lines = np.column_stack([placed, [score.position(s) for s in scores]])
    figure = Figure(figsize=(min(24.0, 2.2 + 1.55 * len(shown)), 4.6), layout="constrained")
    axes = figure.add_subplot(gid="parallel-coordinates")
    colours = score_colours(result)
    order = np.argsort(scores if result.direction == "max" else -scores, kind="stable")
    faint = 0.45 + 0.45 * min(1.0, 25 / len(records))
    for i in order:
        (line,) = axes.plot(lines[i], color=colours.to_rgba(scores[i]), linewidth=1.0, alpha=faint)
        line.set(gid=f"trial-{records[i]['number'] + 1}", label=_told(records[i], shown, result.objective))
    best = records.index(result.best_trial)
    number = result.best_trial["number"] + 1
    (line,) = axes.plot(lines[best], color=BEST, linewidth=2.6, zorder=5, label=f"best, trial {number}")
    line.set_gid(f"trial-{number}-best")
    for i, dimension in enumerate([*shown, score]):
        _draw_scale(axes, i, dimension, has_inactive=i < len(shown) and bool(np.isnan(at[:, i]).any()))
    axes.set(xlim=(-0.45, len(shown) + 0.25), ylim=(min(-0.04, inactive_at - 0.05), 1.04))
    axes.axis("off")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), frameon=False, fontsize="small", labelcolor=INK)
    add_colour_bar(figure, axes, colours, result.objective)
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
    rungs = rung_colours(records)
    colours = [rungs.get(record["values"].get("tuner/epochs"), to_rgba(TRAIN)) for record in records]
    for i, (axes, dimension) in enumerate(zip(panels, shown, strict=False)):
        _draw_against(axes, result, dimension, records, colours)
        _finish_without_legend(axes, clipped(dimension.name, _MAX_NAME), result.objective if i % columns == 0 else "")
    for axes in panels[len(shown) :]:
        axes.axis("off")
    handles = [
        Line2D([], [], color=c, marker="o", linestyle="none", label=f"rung at epoch {e}") for e, c in rungs.items()
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=8, frameon=False, labelcolor=INK)
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
    names = [clipped(name, _MAX_NAME) for name in table["parameter"]]
    colour = _PALE if says_little else TRAIN
    rows = np.arange(len(names))
    axes.barh(rows, table["importance"], xerr=table["spread"], color=colour, ecolor=INK, capsize=3, height=0.62)
    axes.set_yticks(rows, names, parse_math=False)
    axes.axvline(0, color=INK, linewidth=0.8)
    _finish_without_legend(axes, "R² lost when shuffled among the trials", "")
    trust = "too little to tell what matters" if says_little else "out of bag"
    title = f"a forest explains {max(0.0, r2):.0%} of the variance\nof the ranks of {result.objective}: {trust}"
    axes.set_title(title, fontsize=9, color=INK, parse_math=False)
    return figure


def _dimensions(result: SearchResult) -> list[Dimension]:
    _ = result.best_trial  # raises when there is none
    found = dimensions(result)
    if not found:
        raise ZooError(f"the completed trials of {result.directory} all have the same values")
    return found


def _told(record: dict[str, Any], shown: list[Dimension], objective: str) -> str:
    """What a page says of a trial; the underscore keeps it out of the legend."""
    values = [(d.name, decode(record["values"][d.name])) for d in shown if d.name in record["values"]]
    told = [f"{name} {format_value(value)}" for name, value in [*values, (objective, record["score"])]]
    return "\n".join([f"_trial {record['number'] + 1}", *told])


def _draw_scale(axes: Axes, x: int, dimension: Dimension, *, has_inactive: bool) -> None:
    """One vertical axis of the parallel coordinates, its labels to the left of it."""
    axes.plot([x, x], [0, 1], color=INK, linewidth=1.2, zorder=3)
    ticks = [*dimension.ticks(), *([(-0.16, "inactive")] if has_inactive else [])]
    for at, text in ticks:
        axes.plot([x - 0.025, x], [at, at], color=INK, linewidth=1, zorder=3)
        box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}
        shown: dict[str, Any] = {"fontsize": 7.5, "color": INK, "bbox": box, "zorder": 6, "parse_math": False}
        axes.text(x - 0.045, at, clipped(text, 14), ha="right", va="center", **shown)
    axes.text(x, 1.045, clipped(dimension.name, 18), ha="center", va="bottom", fontsize=9, color=INK, parse_math=False)


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
        axes.plot(bar, [np.median(shown[at == column])] * 2, color=VALIDATION, linewidth=2, zorder=3, label="_median")
    best = records.index(result.best_trial)
    style: dict[str, Any] = {"color": BEST, "markersize": 7, "zorder": 4, "label": "_best"}
    axes.plot(placed[best], shown[best], "o", **style)  # nowhere if it was inactive
    axes.fmt_xdata = lambda x: format_value(_value_at(dimension, x))
    ticks = dimension.ticks()
    axes.set(xlim=(-0.05, 1.05), ylim=(low - 0.06 * (high - low), high + 0.06 * (high - low)))
    axes.set_xticks([p for p, _ in ticks], [clipped(t, 14) for _, t in ticks], fontsize=8, parse_math=False)
    if sum(len(text) + 2 for _, text in ticks) > 34:
        axes.tick_params(axis="x", labelrotation=35)


def _value_at(dimension: Dimension, x: float) -> Any:
    """The value that lies at a position, or whose column the position is in."""
    if dimension.scale == "choice":
        return dimension.choices[min(max(0, int(x * len(dimension.choices))), len(dimension.choices) - 1)]
    low, high = dimension.low, dimension.high
    value = low * (high / low) ** x if dimension.scale == "log" else low + x * (high - low)
    return round(value) if isinstance(low, int) and isinstance(high, int) else value


def _finish_without_legend(axes: Axes, xlabel: str, ylabel: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Matplotlib warns of a legend without entries
        finish_axes(axes, xlabel, ylabel)
