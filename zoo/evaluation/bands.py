"""Means with their intervals, as numbers and as bands along a curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from zoo.evaluation.significance import mean_intervals

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def mean_interval(samples: npt.ArrayLike, *, confidence: float = 0.95) -> tuple[float, float, float]:
    """The mean of independent numbers, and Student's interval of it; NaN where nothing says how much they vary.

    Args:
        samples: (n,) numbers, one or more.
        confidence: between 0 and 1.

    Returns:
        (mean, low, high).

    Examples:
        >>> mean_interval([0.90, 0.91, 0.89])
        (0.9, 0.8751..., 0.9248...)
    """
    column = np.asarray(samples, np.float64).reshape(-1, 1)
    low, high = mean_intervals(column, confidence=confidence, method="t", folds=1)
    return float(column.mean()), float(low[0]), float(high[0])


def draw_band(
    axes: Axes, x: npt.ArrayLike, samples: npt.ArrayLike, *, label: str, colour: str, confidence: float = 0.95
) -> None:
    """A line of means with a band of Student's intervals, point by point: where the mean is, not where single curves are.

    Args:
        axes: where it is drawn.
        x: (m,) places.
        samples: (n, m), one curve a row, e.g. one for each seed. Of a single curve there is the line alone.
        label: for the legend.
        colour: of line and band.
        confidence: of the intervals.
    """
    rows, places = np.asarray(samples, np.float64), np.asarray(x)
    low, high = mean_intervals(rows, confidence=confidence, method="t", folds=1)
    axes.plot(places, rows.mean(axis=0), color=colour, linewidth=1.6, label=label)
    axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
