"""The picture of a search. Uses a `Figure` of its own, never pyplot's global ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def search_figure(table: pd.DataFrame, objective: str, direction: str) -> Figure:
    """The objective of every completed trial, and the best so far, against trial number and cumulative cost.

    Args:
        table: see `SearchResult.table`.
        objective: name of the vertical axis.
        direction: "max" or "min".
    """
    from matplotlib.figure import Figure

    costs = {"trial": table["trial"], "seconds": table["seconds"].cumsum(), "epochs": table["epochs"].cumsum()}
    completed = table["status"] == "completed"
    scores = table["score"][completed].astype(float)
    best = scores.cummax() if direction == "max" else scores.cummin()
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    for axes, (name, cost) in zip(figure.subplots(1, len(costs), sharey=True), costs.items(), strict=True):
        axes.plot(cost[completed], scores, "o", markersize=4, alpha=0.6, label="trial")
        axes.step(cost[completed], best, where="post", label="best so far")
        axes.set_xlabel(name if name == "trial" else f"{name}, all trials so far")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=name != "seconds")
    figure.axes[0].set_ylabel(objective)
    figure.axes[-1].legend(loc="best")
    failed = int((~completed).sum())
    figure.suptitle(f"{len(table)} trials" + (f", {failed} failed" if failed else ""))
    return figure
