"""The picture of a comparison: a row a group, with its mean, its interval and its single scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from zoo.drawing import BEST, INK, TRAIN, clipped, finish_axes

if TYPE_CHECKING:
    from zoo.evaluation.comparison import Comparison

MAX_ROWS = 40
_MAX_LABEL = 48  # characters


def plot_comparison(comparison: Comparison) -> Figure:
    """One row a group, the best at the top and at most 40: mean, interval of the mean, and single scores as faint dots.

    Filled green means cannot be told from the best one. That is a matter of paired differences: intervals of means may
    overlap where the differences are clear.
    """
    groups = comparison.groups.head(MAX_ROWS)
    figure = Figure(figsize=(7.2, 1.3 + 0.27 * len(groups)), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    rows, alike = np.arange(len(groups)), groups["indistinguishable"].to_numpy(bool)
    scores = comparison.scores.to_numpy()[:, : len(groups)]
    offsets = np.linspace(-0.22, 0.22, len(scores)) if len(scores) > 1 else np.zeros(1)  # equal scores stay visible
    means = groups["mean"].to_numpy()
    for kind, colour, filled, label in (
        (alike, BEST, True, "best, and not distinguishable from it"),
        (~alike, TRAIN, False, "worse"),
    ):
        if not kind.any():
            continue
        y = rows[kind]
        axes.plot(scores[:, kind], y + offsets[:, None], "o", color=colour, alpha=0.4, markersize=3, markeredgewidth=0)
        axes.hlines(y, groups["low"][kind], groups["high"][kind], color=colour, linewidth=2.2)
        inside = colour if filled else "white"
        axes.plot(means[kind], y, "o", color=colour, markerfacecolor=inside, markersize=6.5, label=label, zorder=4)
    axes.axvline(means[0], color=BEST, linewidth=0.9, linestyle=":", zorder=0)
    axes.set_yticks(rows, [clipped(str(name), _MAX_LABEL) for name in groups["group"]], parse_math=False)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    finish_axes(axes, "", "")
    axes.set_xlabel(_x_label(comparison), color=INK, parse_math=False)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0, labelsize="small")
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=2,
        borderaxespad=0.2,
        frameon=False,
        fontsize="small",
        labelcolor=INK,
    )
    return figure


def _x_label(comparison: Comparison) -> str:
    n, total = len(comparison.scores), len(comparison.groups)
    has_intervals = f", {100 * comparison.confidence:g} % interval" if n > 1 else ""
    shown = f"; the best {MAX_ROWS} of {total}" if total > MAX_ROWS else ""
    return f"{comparison.score}: mean{has_intervals}, and {n} score{'s' if n > 1 else ''} a row{shown}"
