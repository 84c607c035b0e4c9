"""The reliability diagram: accuracy against confidence, and how many examples stand behind each point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from zoo.drawing import INK, TRAIN, finish_axes

if TYPE_CHECKING:
    from zoo.evaluation.calibration import Calibration


def plot_calibration(calibration: Calibration) -> Figure:
    """Accuracy with its 95 % interval against mean confidence, a point a bin that has examples; below, their numbers.

    On the diagonal confidence is accuracy; below it the model is too sure of itself.
    """
    filled = calibration.table[calibration.table["n"] > 0]
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    points, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    points.plot([0, 1], [0, 1], color=INK, linewidth=0.9, linestyle=":", label="_diagonal")
    points.vlines(filled["confidence"], filled["accuracy_low"], filled["accuracy_high"], color=TRAIN, linewidth=1.6)
    points.plot(filled["confidence"], filled["accuracy"], color=TRAIN, marker="o", markersize=5, label="accuracy")
    points.set(xlim=(0, 1), ylim=(0, 1.02))
    width = calibration.table["high"].iloc[0] - calibration.table["low"].iloc[0]
    counts.bar(filled["low"], filled["n"], width=0.94 * width, align="edge", color=TRAIN, alpha=0.55, label="examples")
    counts.set_yscale("log")
    for axes, xlabel, ylabel in ((points, "", "accuracy"), (counts, "confidence", "examples")):
        finish_axes(axes, xlabel, ylabel)
        axes.get_legend().remove()
    return figure
