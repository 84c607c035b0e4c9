"""Learning curves of a run as figures, without pyplot's global state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from zoo.drawing import BEST, INK, TRAIN, VALIDATION, finish_axes

_SMOOTHED_POINTS = 50


class RunTables(Protocol):
    """The tables of a run; `zoo.TrainingRun` says what their columns are."""

    @property
    def steps(self) -> pd.DataFrame:
        """One row a gradient step."""

    @property
    def validations(self) -> pd.DataFrame:
        """One row a validation."""

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch."""


def plot_curves(run: RunTables) -> Figure:
    """Loss by step, accuracy by epoch and learning rate by epoch, side by side; what a run lacks is left out.

    Args:
        run: its `steps`, `validations` and `history` are read. `val_*` may be absent or NaN.
    """
    panels = _panels(run)
    figure = Figure(figsize=(4.8 * max(1, len(panels)), 3.6), dpi=110, layout="constrained")
    for i, draw in enumerate(panels.values()):
        draw(figure.add_subplot(1, len(panels), i + 1), run)
    if not panels:
        figure.text(0.5, 0.5, "nothing was recorded", ha="center", va="center", color=INK)
    return figure


def curve_figures(run: RunTables) -> dict[str, Figure]:
    """The panels of `plot_curves` as figures of their own, by caption, so that a narrow page can stack them."""
    figures = {}
    for caption, draw in _panels(run).items():
        figure = Figure(figsize=(4.8, 3.2), layout="constrained")
        draw(figure.add_subplot(), run)
        figures[caption] = figure
    return figures


def _panels(run: RunTables) -> dict[str, Callable[[Axes, RunTables], None]]:
    """The panels that have something to show, by caption."""
    panels: dict[str, Callable[[Axes, RunTables], None]] = {}
    if _has(run.steps, "loss") or _has(run.validations, "val_loss"):
        panels["Loss by step"] = _draw_loss
    if _has(run.history, "accuracy") or _has(run.history, "val_accuracy"):
        panels["Accuracy by epoch"] = _draw_accuracy
    if _has(run.history, "learning_rate"):
        panels["Learning rate by epoch"] = _draw_learning_rate
    return panels


def _has(frame: pd.DataFrame, column: str) -> bool:
    return column in frame.columns and bool(np.isfinite(pd.to_numeric(frame[column], errors="coerce").to_numpy()).any())


def _draw_loss(axes: Axes, run: RunTables) -> None:
    steps, checks = run.steps, run.validations
    if _has(steps, "loss"):
        window = max(1, len(steps) // _SMOOTHED_POINTS)
        # Rasterized: a hundred thousand steps would make megabytes of SVG.
        axes.plot(
            steps["step"],
            steps["loss"],
            color=TRAIN,
            alpha=0.3 if window > 1 else 1,  # behind the mean, or alone
            linewidth=0.8,
            rasterized=True,
            label="train, each step",
        )
        if window > 1:
            smooth = steps["loss"].rolling(window, min_periods=1).mean()
            axes.plot(steps["step"], smooth, color=TRAIN, linewidth=1.6, label=f"train, mean of {window} steps")
    if _has(checks, "val_loss"):
        axes.plot(checks["step"], checks["val_loss"], color=VALIDATION, marker="o", markersize=3, label="validation")
    if _has(checks, "val_data_loss") and not np.allclose(
        checks["val_loss"], checks["val_data_loss"], 1e-2, equal_nan=True
    ):
        axes.plot(
            checks["step"],
            checks["val_data_loss"],
            color=VALIDATION,
            linestyle=":",
            label="validation, without penalties",
        )
    _limit_to_finite(axes)
    finish_axes(axes, "step", "loss")


def _draw_accuracy(axes: Axes, run: RunTables) -> None:
    epochs = _epochs(run.history)
    for column, colour, label in (("accuracy", TRAIN, "train"), ("val_accuracy", VALIDATION, "validation")):
        if _has(run.history, column):
            axes.plot(epochs, run.history[column], color=colour, marker="o", markersize=3, label=label)
    _mark_phases(axes, run.history)
    finish_axes(axes, "epoch", "accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_learning_rate(axes: Axes, run: RunTables) -> None:
    axes.plot(
        _epochs(run.history), run.history["learning_rate"], color=BEST, marker="o", markersize=3, label="learning rate"
    )
    _mark_phases(axes, run.history)
    finish_axes(axes, "epoch", "learning rate")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _epochs(history: pd.DataFrame) -> np.ndarray:
    return np.arange(1, len(history) + 1)  # counted across the phases, each of which may begin at 0 again


def _mark_phases(axes: Axes, history: pd.DataFrame) -> None:
    if "phase" not in history.columns:
        return
    phases = history["phase"].to_numpy()
    for first in np.flatnonzero(phases[1:] != phases[:-1]) + 1:
        axes.axvline(first + 0.5, color=INK, linewidth=0.8, linestyle=":", alpha=0.6)


def _limit_to_finite(axes: Axes) -> None:
    """Keeps one exploding step from flattening everything else."""
    values = np.concatenate([np.asarray(line.get_ydata(), np.float64) for line in axes.get_lines()])
    values = values[np.isfinite(values)]
    if len(values) and values.min() >= 0:
        top, usual = values.max(), np.quantile(values, 0.98)
        axes.set_ylim(0, 1.05 * (2 * usual if usual > 0 and top > 4 * usual else top) or 1)
