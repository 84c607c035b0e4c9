"""How does the learning rate change full-batch gradient descent of a logistic regression?

Command:  python scripts/study.py run learning_rates [--data FILE]     (FILE: lines `x1 x2 1 t`, t = 0 or 1)
Runtime:  about 2 minutes on 2 cores.
Expected: Keras in float64 agrees with a NumPy descent within 1e-5 for every rate; a rate above 2/λmax of the Hessian at the
          optimum cannot settle there.
Source:   coursework, logistic regression by gradient descent from w = (0.1, 0, 0) with the mean gradient.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies.options import StudyOptions
from studies.points import START, default_points, largest_curvature, optimum, read_points

import zoo
from zoo.reference import gradient_descent, logistic_regression
from zoo.reporting.study import StudyReport

RATES = (0.5, 0.3, 0.1, 0.05, 0.01)
TOLERANCE = 1e-5


def run(options: StudyOptions) -> StudyReport:
    """Descends with every rate, in Keras and in NumPy."""
    points, labels = read_points(options.data) if options.data else default_points(options.seed)
    epochs = 30 if options.fast else 500
    report = StudyReport(
        "learning_rates",
        "How does the learning rate change full-batch gradient descent of a logistic regression?",
        options.command("learning_rates"),
        {"rates": RATES, "start": START, "epochs": epochs, "stop_below": TOLERANCE, "points": len(points)},
        options.seed,
    )
    network = logistic_regression(points.shape[1])
    descents, rows = {}, []
    for rate in RATES:
        path, losses = descend_keras(points, labels, rate, epochs)
        expected = gradient_descent(
            network.loss_and_gradient(points, labels), START, learning_rate=rate, epochs=epochs, tolerance=TOLERANCE
        )
        same_length = len(losses) == len(expected.losses)
        gap = float(np.abs(path - expected.weights).max()) if same_length else float("inf")
        report.check(f"rate_{rate}_gap", f"η={rate}: largest |w - w of NumPy| on the path", gap, 0.0, 1e-5)
        descents[rate] = path, losses
        rows.append({"learning_rate": rate, **describe(path, losses)})
        for key, number in rows[-1].items():
            if key != "learning_rate":
                report.value(f"rate_{rate}_{key}", number)
    limits = {
        "start": 2 / largest_curvature(points, np.array(START)),
        "optimum": 2 / largest_curvature(points, optimum(points, labels)),
    }
    for where, limit in limits.items():
        report.value(f"stable_below_at_{where}", limit, label=f"2/λmax of the Hessian at the {where}")
    report.table("Every rate", pd.DataFrame(rows))
    report.figure("nll", draw_losses(descents), "Mean negative log-likelihood against epoch for every rate.")
    report.figure("separators", draw_separators(descents), "The separator's path: slope -w1/w2, intercept -w3/w2.")
    answer(report, rows, limits)
    return report


class Path3(keras.callbacks.Callback):
    """Keeps w = (w1, w2, w3) and the loss after every epoch, and stops when the loss changes by less than TOLERANCE."""

    def __init__(self, first_loss: float) -> None:
        super().__init__()
        self.weights, self.losses = [np.array(START)], [first_loss]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self.weights.append(np.concatenate([w.ravel() for w in self.model.get_weights()]))
        self.losses.append((logs or {})["val_data_loss"])
        if abs(self.losses[-1] - self.losses[-2]) < TOLERANCE:
            self.model.stop_training = True


def descend_keras(points: np.ndarray, labels: np.ndarray, rate: float, epochs: int) -> tuple[np.ndarray, np.ndarray]:
    """(T + 1, 3) weights and (T + 1,) losses of `zoo.train` with the whole data as one batch."""
    data = zoo.DataSplits.from_arrays((points, labels), validation=(points, labels))
    model = zoo.build("logistic", data.input_shape, 2, dtype="float64")
    model.set_weights([np.array(START[:2])[:, None], np.array(START[2:])])
    path = Path3(zoo.evaluate(model, data.train).loss)
    recipe = zoo.Recipe(optimizer="sgd", learning_rate=rate, batch_size=len(points), epochs=epochs, shuffle=False)
    zoo.train(model, data, recipe, callbacks=[path], verbose=False)
    return np.array(path.weights), np.array(path.losses)


def describe(path: np.ndarray, losses: np.ndarray) -> dict[str, float]:
    """The numbers that the exercise asks for."""
    return {
        "last_epoch": len(losses) - 1,
        "final_nll": losses[-1],
        "largest_nll": losses.max(),
        "largest_nll_epoch": int(losses.argmax()),
        "rises": int((np.diff(losses) > 0).sum()),
        "final_slope": -path[-1, 0] / path[-1, 1],
        "final_intercept": -path[-1, 2] / path[-1, 1],
    }


def draw_losses(descents: dict[float, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """NLL against epoch."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for rate, (_, losses) in descents.items():
        axes.plot(losses, label=f"η = {rate}")
    axes.set(xlabel="epoch", ylabel="mean negative log-likelihood")
    axes.legend()
    return figure


def draw_separators(descents: dict[float, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Paths in the plane of slope and intercept, without the start, whose slope is infinite.

    A separator that turns through the vertical leaves the picture: the axes show the middle 90 % of all points.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for rate, (path, _) in descents.items():
        slope, intercept = -path[1:, 0] / path[1:, 1], -path[1:, 2] / path[1:, 1]
        (line,) = axes.plot(slope, intercept, ".-", markersize=3, linewidth=0.8, label=f"η = {rate}")
        axes.plot(slope[-1], intercept[-1], "o", color=line.get_color())
    slopes = np.concatenate([-path[1:, 0] / path[1:, 1] for path, _ in descents.values()])
    intercepts = np.concatenate([-path[1:, 2] / path[1:, 1] for path, _ in descents.values()])
    axes.set(xlabel="slope -w1/w2", ylabel="intercept -w3/w2")
    axes.set(xlim=middle(slopes), ylim=middle(intercepts))
    axes.legend(title="dot: the end")
    return figure


def middle(values: np.ndarray) -> tuple[float, float]:
    """The range of the middle 90 %, with a margin."""
    low, high = np.quantile(values, [0.05, 0.95])
    margin = 0.15 * (high - low)
    return low - margin, high + margin


def answer(report: StudyReport, rows: list[dict[str, Any]], limits: dict[str, float]) -> None:
    """Answers the why-questions from the numbers."""
    rising = [row["learning_rate"] for row in rows if row["rises"]]
    limit = limits["optimum"]
    listed = {where: [rate for rate in RATES if rate > bound] for where, bound in limits.items()}
    words = {where: ", ".join(map(str, rates)) or "no rate" for where, rates in listed.items()}
    report.answer(
        "Why does a large rate oscillate?",
        "Where the loss is nearly a parabola, a step multiplies the distance along an eigenvector of its Hessian by 1 - η·λ: for the "
        "steepest one it changes sign above 1/λmax and grows above 2/λmax. That limit is "
        f"{limits['start']:.3f} at the start, exceeded by {words['start']}, and {limit:.3f} at the optimum, exceeded by {words['optimum']}. "
        f"The loss rose with {', '.join(map(str, rising)) or 'no rate'}: a rate above the first limit only is thrown out of the flat "
        "start and settles where the sigmoid saturates and the Hessian is smaller.",
    )
    slowest, best = rows[-1], min(rows, key=lambda row: row["final_nll"])
    report.answer(
        "What does a small rate cost?",
        f"Epochs: a step that is ten times smaller goes about a tenth as far, and the rule that stops below a change of "
        f"{TOLERANCE:g} an epoch may end it far from the optimum. "
        f"η = {slowest['learning_rate']} ended at {slowest['final_nll']:.5f} after {slowest['last_epoch']} epochs; the lowest loss, "
        f"{best['final_nll']:.5f}, was reached with η = {best['learning_rate']} after {best['last_epoch']}.",
    )
