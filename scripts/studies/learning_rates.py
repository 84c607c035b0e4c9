"""How does the learning rate change full-batch gradient descent of a logistic regression?

Command:  python scripts/study.py run learning_rates [--data FILE]     (FILE: lines `x1 x2 1 t`, t = 0 or 1)
Runtime:  2 min on 2 cores that had other work too.
Expected: Keras in float64 agrees with a NumPy descent within 1e-5 for every rate; a rate of 0.8 times 2/λmax of the Hessian
          at the optimum settles there, one of 1.2 times that does not.
Source:   coursework, logistic regression by gradient descent from w = (0.1, 0, 0) with the mean gradient.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies.options import StudyOptions
from studies.points import START, default_points, largest_curvature, optimum, read_points, starting_model

import zoo
from zoo.drawing import finish_axes
from zoo.inspection import WeightRecorder, separator_path
from zoo.reference import gradient_descent, logistic_regression
from zoo.reporting.study import StudyReport
from zoo.training.histories import plot_histories

RATES = (0.5, 0.3, 0.1, 0.05, 0.01)
TOLERANCE = 1e-5


def run(options: StudyOptions, report: StudyReport) -> None:
    """Descends with every rate, in Keras and in NumPy."""
    points, labels = read_points(options.data) if options.data else default_points(options.seed)
    epochs = 30 if options.fast else 500
    report.settings.update(rates=RATES, start=START, epochs=epochs, stop_below=TOLERANCE, points=len(points))
    function, rows = logistic_regression(points.shape[1]).loss_and_gradient(points, labels), []
    paths, curves = {}, {}
    for rate in RATES:
        path, losses = descend_keras(points, labels, rate, epochs)
        expected = gradient_descent(function, START, learning_rate=rate, epochs=epochs, tolerance=TOLERANCE)
        gap = np.abs(path - expected.weights).max() if len(path) == len(expected.weights) else np.inf
        report.check(f"rate_{rate}_gap", f"η={rate}: largest |w - w of NumPy| on the path", gap, 0.0, 1e-5)
        paths[f"η = {rate}"] = separator_path(path).points
        curves[f"η = {rate}"] = pd.DataFrame({"epoch": np.arange(len(losses)), "nll": losses})
        rows.append(describe(paths[f"η = {rate}"], losses))
        for key, number in rows[-1].items():
            report.value(f"rate_{rate}_{key}", number, label=f"η={rate}: {key.replace('_', ' ')}")
    limits = {"start": np.array(START), "optimum": optimum(points, labels)}
    stable = {where: 2 / largest_curvature(points, weights) for where, weights in limits.items()}
    for where, limit in stable.items():
        report.value(f"stable_below_at_{where}", limit, label=f"2/λmax of the Hessian at the {where}")
    for factor in (0.8, 1.2):
        longer = gradient_descent(function, START, learning_rate=factor * stable["optimum"], epochs=10 * epochs).losses
        ends = bool(np.ptp(longer[-100:]) < TOLERANCE)
        label = f"{factor} · 2/λmax at the optimum: the loss {'settles' if factor < 1 else 'does not settle'}"
        report.claim(f"settles_at_{factor}", label, ends == (factor < 1))
    table = pd.DataFrame(rows, index=pd.Index(RATES, name="learning_rate")).reset_index()
    report.table("Every rate", table)
    losses_figure = plot_histories(curves, {"nll": "mean negative log-likelihood"})
    report.figure("nll", losses_figure, "Mean negative log-likelihood against epoch for every rate.")
    report.figure("separators", draw_separators(paths), "The separator's path: slope -w1/w2, intercept -w3/w2.")
    answer(report, table, stable)


class Stop(keras.callbacks.Callback):
    """Keeps the loss after every epoch, and stops when it changes by less than TOLERANCE."""

    def __init__(self, first_loss: float) -> None:
        super().__init__()
        self.losses = [first_loss]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self.losses.append((logs or {})["val_data_loss"])
        if abs(self.losses[-1] - self.losses[-2]) < TOLERANCE:
            self.model.stop_training = True


def descend_keras(points: np.ndarray, labels: np.ndarray, rate: float, epochs: int) -> tuple[np.ndarray, np.ndarray]:
    """(T + 1, 3) weights and (T + 1,) losses of `zoo.train` with the whole data as one batch."""
    data = zoo.DataSplits.from_arrays((points, labels), validation=(points, labels))
    model, recorder = starting_model(), WeightRecorder()
    stop = Stop(zoo.evaluate(model, data.train).loss)
    recipe = zoo.Recipe(optimizer="sgd", learning_rate=rate, batch_size=len(points), epochs=epochs, shuffle=False)
    zoo.train(model, data, recipe, callbacks=[recorder, stop], verbose=False)
    return recorder.weights, np.array(stop.losses)


def describe(separators: np.ndarray, losses: np.ndarray) -> dict[str, float]:
    """The numbers that the exercise asks for."""
    return {
        "last_epoch": len(losses) - 1,
        "final_nll": losses[-1],
        "largest_nll": losses.max(),
        "largest_nll_epoch": int(losses.argmax()),
        "rises": int((np.diff(losses) > 0).sum()),
        "final_slope": separators[-1, 0],
        "final_intercept": separators[-1, 1],
    }


def draw_separators(paths: dict[str, np.ndarray]) -> Figure:
    """Paths in the plane of slope and intercept, without the start, whose slope is infinite.

    A separator that turns through the vertical leaves the picture: the axes show the middle 90 % of all points.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for place, (name, path) in enumerate(paths.items()):
        axes.plot(*path[1:].T, ".-", color=f"C{place}", markersize=3, linewidth=0.8, label=name)
        axes.plot(*path[-1], "o", color=f"C{place}")
    low, high = np.quantile(np.concatenate([path[1:] for path in paths.values()]), [0.05, 0.95], axis=0)
    (left, bottom), (right, top) = low - 0.15 * (high - low), high + 0.15 * (high - low)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    finish_axes(axes, "slope -w1/w2", "intercept -w3/w2 (dot: the end)")
    return figure


def answer(report: StudyReport, table: pd.DataFrame, stable: dict[str, float]) -> None:
    """Answers the why-questions from the numbers."""

    def named(rates: pd.Series) -> str:
        return ", ".join(map(str, rates)) or "no rate"

    rates = table["learning_rate"]
    over = {where: named(rates[rates > limit]) for where, limit in stable.items()}
    between = rates[(rates > stable["start"]) & (rates <= stable["optimum"])]
    thrown = (
        f" η = {named(between)} lies between: it is thrown about at first and settles where the Hessian is smaller."
    )
    report.answer(
        "Why does a large rate oscillate?",
        "Where the loss is nearly a parabola, a step multiplies the distance along an eigenvector of its Hessian by 1 - η·λ: for the "
        "steepest one it changes sign above 1/λmax and grows above 2/λmax. That limit is "
        f"{stable['start']:.3f} at the start, exceeded by {over['start']}, and {stable['optimum']:.3f} at the optimum, exceeded by "
        f"{over['optimum']}. The loss rose with {named(rates[table['rises'] > 0])}.{thrown if len(between) else ''}",
    )
    slowest, best = table.iloc[-1], table.iloc[table["final_nll"].argmin()]
    report.answer(
        "What does a small rate cost?",
        f"Epochs: a tenth of the step goes about a tenth as far, and the rule that stops below a change of {TOLERANCE:g} an epoch may end it "
        f"far from the optimum. η = {slowest.learning_rate:g} ended at {slowest.final_nll:.5f} after {slowest.last_epoch:.0f} epochs; the "
        f"lowest loss, {best.final_nll:.5f}, was reached with η = {best.learning_rate:g} after {best.last_epoch:.0f}.",
    )
