"""Accuracy against the strength of corruptions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.drawing import COLOURS, finish_axes
from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.evaluation.robustness import Robustness

_COLOURS = COLOURS[:6]  # of more models the bands could not be told apart
_MAX_COLUMNS = 3  # panels side by side


def plot_robustness(results: Robustness | Mapping[str, Robustness]) -> Figure:
    """Accuracy against strength with its 95 % interval as a band, a panel each corruption.

    Args:
        results: of one model, or name -> result of up to six models, which share the panels.

    Raises:
        UsageError: no result, or more than six.
    """
    by_name = dict(results) if isinstance(results, Mapping) else {"model": results}
    if not 1 <= len(by_name) <= len(_COLOURS):
        raise UsageError(f"1 to {len(_COLOURS)} results can be shown. Received: {len(by_name)}")
    tables = {name: result.table for name, result in by_name.items()}
    units = {c: unit for table in tables.values() for c, unit in zip(table["corruption"], table["unit"], strict=True)}
    corruptions = list(dict.fromkeys(name for table in tables.values() for name in table["corruption"]))
    columns = min(len(corruptions), _MAX_COLUMNS)
    rows = math.ceil(len(corruptions) / columns)
    figure = Figure(figsize=(3.5 * columns + 0.4, 2.9 * rows), dpi=110, layout="constrained")
    for i, corruption in enumerate(corruptions):
        axes = figure.add_subplot(rows, columns, i + 1)
        for (name, table), colour in zip(tables.items(), _COLOURS, strict=False):
            _draw_curve(axes, table[table["corruption"] == corruption], name, colour)
        finish_axes(axes, f"{corruption} ({units[corruption]})", "accuracy" if i % columns == 0 else "")
        axes.set_ylim(0, 1.02)
        legend = axes.get_legend()
        if legend is not None and (i or len(tables) == 1):  # said once, where there is something to tell apart
            legend.remove()
    return figure


def _draw_curve(axes: Axes, table: pd.DataFrame, name: str, colour: str) -> None:
    strengths = table["strength"].to_numpy()
    axes.fill_between(strengths, table["low"], table["high"], color=colour, alpha=0.18, linewidth=0)
    axes.plot(strengths, table["accuracy"], color=colour, marker="o", markersize=3.5, linewidth=1.6, label=name)
