"""Figures of a report beside the learning curves: a search, and a confusion matrix of many classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from zoo.reporting.inputs import SearchLike
from zoo.training.curves import BEST, TRAIN, finish_axes


def plot_search(search: SearchLike) -> Figure:
    """Every trial's score and the best so far, in the table's order; trials without a finite score are left out."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    scores = pd.to_numeric(search.table["score"], errors="coerce").to_numpy(np.float64)
    kept = np.flatnonzero(np.isfinite(scores))
    best = (np.minimum if search.direction == "min" else np.maximum).accumulate(scores[kept])
    number = pd.to_numeric(search.table["trial"], errors="coerce").to_numpy(np.float64)
    if not (np.diff(number) > 0).all():
        number = np.arange(1.0, len(scores) + 1)  # names, or trials in another order: count the rows
    axes.plot(number[kept], scores[kept], "o", color=TRAIN, alpha=0.55, markersize=4, label="trial")
    axes.step(number[kept], best, where="post", color=BEST, linewidth=2, label="best so far")
    finish_axes(axes, "trial", search.objective)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def plot_confusion(matrix: np.ndarray) -> Figure:
    """A heat map of row shares, for more classes than a table can show."""
    figure = Figure(figsize=(6.4, 5.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="share of the true class")
    axes.set(xlabel="predicted class (number)", ylabel="true class (number)")
    return figure
