"""Figures of a report beside the learning curves: a search, and a confusion matrix of many classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from zoo.drawing import BEST, TRAIN, finish_axes
from zoo.reporting.inputs import SearchTable


def plot_search(search: SearchTable, *, against: Sequence[str] = ("trial",)) -> Figure:
    """Every trial's score and the best so far, in the table's order; trials without a finite score are left out.

    Args:
        search: its table, objective and direction are drawn.
        against: the horizontal axes, a panel each: "trial", and the costs "seconds" and "epochs", summed over all trials.
    """
    figure = Figure(figsize=(7.2 if len(against) == 1 else 4.2 * len(against), 3.2), layout="constrained")
    scores = pd.to_numeric(search.table["score"], errors="coerce").to_numpy(np.float64)
    kept = np.flatnonzero(np.isfinite(scores))
    best = (np.minimum if search.direction == "min" else np.maximum).accumulate(scores[kept])
    for axes, cost in zip(figure.subplots(1, len(against), squeeze=False, sharey=True)[0], against, strict=True):
        spent = _trial_numbers(search.table) if cost == "trial" else search.table[cost].cumsum().to_numpy(np.float64)
        axes.plot(spent[kept], scores[kept], "o", color=TRAIN, alpha=0.55, markersize=4, label="trial")
        axes.step(spent[kept], best, where="post", color=BEST, linewidth=2, label="best so far")
        finish_axes(axes, cost if cost == "trial" else f"{cost}, all trials so far", search.objective)
        # where the best so far is not; Matplotlib's search for room takes seconds among 10,000 trials
        axes.get_legend().set_loc("upper right" if search.direction == "min" else "lower right")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=cost != "seconds"))
    return figure


def _trial_numbers(table: pd.DataFrame) -> np.ndarray:
    numbers = pd.to_numeric(table["trial"], errors="coerce").to_numpy(np.float64)
    if (np.diff(numbers) > 0).all():
        return numbers
    return np.arange(1.0, len(table) + 1)  # names, or trials in another order: count the rows


def plot_confusion(matrix: np.ndarray) -> Figure:
    """A heat map of row shares, for more classes than a table can show."""
    figure = Figure(figsize=(6.4, 5.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="share of the true class")
    axes.set(xlabel="predicted class (number)", ylabel="true class (number)")
    return figure
