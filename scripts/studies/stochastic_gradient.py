"""What does one example a step buy against the full batch, at equal gradient evaluations?

Command:  python scripts/study.py run stochastic_gradient [--data FILE]     (FILE: lines `x1 x2 1 t`, t = 0 or 1)
Runtime:  5 min on 2 cores that had other work too.
Expected: Keras in float64 agrees with a NumPy descent over the same order of examples within 1e-5 at every step; after
          as many passes one example a step has a lower loss than the full batch at the same rate.
Source:   coursework, logistic regression by stochastic gradient descent; Bottou & Bousquet (2008), The tradeoffs of large scale learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies.options import StudyOptions
from studies.points import START, default_points, largest_curvature, optimum, read_points, starting_model

import zoo
from zoo.data.pipeline import shuffled
from zoo.drawing import INK, finish_axes
from zoo.inspection import StepWeightRecorder
from zoo.reference import add_bias_column, gradient_descent, logistic_regression, sigmoid
from zoo.reporting.study import StudyReport
from zoo.training.histories import plot_histories

RATES = (0.1, 0.03, 0.01)
NEAR = 0.01  # nats above the optimum
LONGEST = 20_000  # passes of the full batch that are looked through for it


class Problem(NamedTuple):
    """Logistic regression in the plane.

    Attributes:
        points: (N, 2).
        labels: (N,) 0 or 1.
        order: of the examples in each epoch of `zoo.train`.
    """

    points: np.ndarray
    labels: np.ndarray
    order: list[np.ndarray]

    def losses(self, path: np.ndarray) -> np.ndarray:
        """(T,) mean negative log-likelihood of all points at (T, 3) weights."""
        logits = path @ add_bias_column(self.points).T
        means: np.ndarray = (np.logaddexp(0, logits) - self.labels * logits).mean(axis=1)
        return means

    def descend(self, rates: Sequence[float], order: Sequence[np.ndarray]) -> np.ndarray:
        """(T + 1, 3) weights by w ← w - η (σ(w·x) - t) x, with a rate and an order for each epoch."""
        path, inputs = [np.array(START)], add_bias_column(self.points)
        for rate, of_epoch in zip(rates, order, strict=True):
            for i in of_epoch:
                path.append(path[-1] - rate * (sigmoid(inputs[i] @ path[-1]) - self.labels[i]) * inputs[i])
        return np.array(path)

    def descend_full(self, rate: float, passes: int) -> np.ndarray:
        """(passes + 1,) losses of the full batch."""
        function = logistic_regression(2).loss_and_gradient(self.points, self.labels)
        return gradient_descent(function, START, learning_rate=rate, epochs=passes).losses

    def descend_keras(self, rate: float, seed: int) -> np.ndarray:
        """(T + 1, 3) weights after each step of `zoo.train` with batches of one example."""
        recorder, data = StepWeightRecorder(), zoo.DataSplits.from_arrays((self.points, self.labels), validation=None)
        recipe = zoo.Recipe(optimizer="sgd", learning_rate=rate, batch_size=1, epochs=len(self.order), seed=seed)
        zoo.train(starting_model(), data, recipe, callbacks=[recorder], verbose=False)
        return recorder.weights


def run(options: StudyOptions, report: StudyReport) -> None:
    """Descends with each rate, one example a step in Keras and in NumPy, and with the full batch."""
    points, labels = read_points(options.data) if options.data else default_points(options.seed)
    rates, epochs, longest = (RATES[:1], 2, 100) if options.fast else (RATES, 60, LONGEST)
    report.settings.update(rates=rates, start=START, epochs=epochs, near=NEAR, points=len(points))
    size, best = len(points), optimum(points, labels)
    problem = Problem(points, labels, [shuffled(size, options.seed, epoch).numpy() for epoch in range(epochs)])
    lowest = float(problem.losses(best[None])[0])
    report.value("optimum_nll", lowest, label="NLL at the optimum")
    singles, batches, rows = {}, {}, []
    for rate in rates:
        path = problem.descend_keras(rate, options.seed)
        gap = np.abs(path - problem.descend([rate] * epochs, problem.order)).max()
        report.check(f"rate_{rate}_gap", f"η={rate}: largest |w - w of NumPy| over all steps", gap, 0.0, 1e-5)
        singles[rate], batches[rate] = problem.losses(path), problem.descend_full(rate, longest)
        rows.append(describe(singles[rate], batches[rate], lowest, size, epochs))
        lower = rows[-1]["nll_one_by_one"] < rows[-1]["nll_full_batch"]
        report.claim(f"rate_{rate}_lower", f"η={rate}: after {epochs} passes a lower NLL than the full batch", lower)
        for key, number in rows[-1].items():
            report.value(f"rate_{rate}_{key}", number, label=f"η={rate}: {key.replace('_', ' ')}")
    fast = 1.8 / largest_curvature(points, best)
    batches[fast] = problem.descend_full(fast, longest)
    reached = first_below(batches[fast], lowest + NEAR)
    report.value("full_batch_fast_rate", fast, label="0.9 · 2/λmax at the optimum: about the full batch's largest rate")
    report.value("full_batch_fast_passes", reached, label="passes of the full batch with it until near")
    gradients = (sigmoid(add_bias_column(points) @ best) - labels)[:, None] * add_bias_column(points)
    noise = np.sqrt(np.square(gradients).sum(axis=1).mean())
    report.value("gradient_noise", noise, label="root mean square of one example's gradient at the optimum")
    lines = {f"one by one, η = {rate}": pass_means(curve, size) for rate, curve in singles.items()}
    falling, in_order = [rates[0] / (1 + epoch) ** 0.5 for epoch in range(epochs)], [np.arange(size)] * epochs
    for key, name, of_epochs, order in (
        ("falling_wander", f"η = {rates[0]}/√(1 + epoch)", falling, problem.order),
        ("file_order_wander", f"η = {rates[-1]} in the file's order", [rates[-1]] * epochs, in_order),
    ):
        curve = lines[f"one by one, {name}"] = pass_means(problem.losses(problem.descend(of_epochs, order)), size)
        report.value(key, curve[-1] - lowest, label=f"{name}: mean NLL of the last epoch above the optimum")
    lines |= {f"full batch, η = {rate:.2g}": curve[1:] for rate, curve in batches.items()}
    table = pd.DataFrame(rows, index=pd.Index(rates, name="learning_rate")).reset_index()
    report.table("Every rate", table)
    report.figure("evaluations", draw_evaluations(lines, lowest), "At equal gradient evaluations.")
    report.figure("iterations", draw_iterations(singles, size, lowest), "NLL by iteration; dashed: optimum.")
    answer(report, table, epochs)


def describe(single: np.ndarray, batch: np.ndarray, lowest: float, size: int, epochs: int) -> dict[str, float]:
    """What both reach, and the passes that each takes to come near the optimum; NaN where it does not."""
    return {
        "nll_one_by_one": single[-1],
        "nll_full_batch": batch[epochs],
        "passes_one_by_one": first_below(single, lowest + NEAR) / size,
        "passes_full_batch": first_below(batch, lowest + NEAR),
        "wander": pass_means(single, size)[-1] - lowest,
    }


def first_below(curve: np.ndarray, goal: float) -> float:
    """The first place at or below the goal; NaN without one."""
    return float(np.argmax(curve <= goal)) if (curve <= goal).any() else float("nan")


def pass_means(curve: np.ndarray, size: int) -> np.ndarray:
    """(epochs,) mean over the steps of each pass; the start is left out."""
    means: np.ndarray = curve[1:].reshape(-1, size).mean(axis=1)
    return means


def draw_iterations(curves: dict[float, np.ndarray], size: int, lowest: float) -> Figure:
    """One panel a rate: every iteration, and the ends of epochs."""
    table = pd.DataFrame({f"η = {rate}": curve for rate, curve in curves.items()})
    table = table.rename_axis("iteration").reset_index()
    panels = {name: f"mean NLL with {name}" for name in table.columns[1:]}
    figure = plot_histories({"after each example": table, "after each epoch": table[::size]}, panels, x="iteration")
    for axes in figure.axes:
        axes.axhline(lowest, color=INK, linestyle="--", linewidth=1)
        axes.set_ylim(lowest * 0.9, 2.4 * lowest)
    return figure


def draw_evaluations(lines: dict[str, np.ndarray], lowest: float) -> Figure:
    """NLL above the optimum against passes over the data; one by one (solid), the mean over each pass."""
    figure = Figure(figsize=(8.5, 4.2), layout="constrained")
    axes = figure.subplots()
    colours = {rate: f"C{place}" for place, rate in enumerate(dict.fromkeys(name.split(", ")[1] for name in lines))}
    for name, curve in lines.items():
        style, colour = "-" if name.startswith("one") else "--", colours[name.split(", ")[1]]
        axes.loglog(np.arange(1, len(curve) + 1), curve - lowest, style, color=colour, label=name)
    axes.axhline(NEAR, color=INK, linewidth=0.8, linestyle=":", label=f"{NEAR} above the optimum")
    axes.set_ylim(bottom=NEAR / 100)
    finish_axes(axes, "passes over the data (each as many gradients as points)", "NLL above the optimum (nats)")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small")
    return figure


def answer(report: StudyReport, table: pd.DataFrame, epochs: int) -> None:
    """Answers the why-questions from the numbers."""

    def reached(passes: Any) -> str:
        return "not reached" if np.isnan(passes) else f"{passes:.4g}"

    found = {key: finding.measured for key, finding in report.findings.items()}
    rates, first, last = list(table.itertuples()), table.iloc[0], table.iloc[-1]
    passes = "; ".join(
        f"η = {row.learning_rate:g}: {reached(row.passes_one_by_one)} against {reached(row.passes_full_batch)}"
        for row in rates
    )
    report.answer(
        "Why is one example a step ahead at first?",
        "A pass costs both the same number of gradients, but the full batch makes one step of it and the other as many as there are points, "
        f"each in about the right direction while the optimum is far. Passes until the NLL is first within {NEAR} of the optimum: {passes}. "
        f"Even with 0.9 · 2/λmax, η = {found['full_batch_fast_rate']:.2f}, the full batch needs {reached(found['full_batch_fast_passes'])}.",
    )
    wander = ", ".join(f"{row.wander:.4f} (η = {row.learning_rate:g})" for row in rates)
    report.answer(
        "Why does it not settle?",
        "At the optimum the mean of the gradients is zero and each single one is not: their root mean square is "
        f"{found['gradient_noise']:.2f}, and each step of a constant rate throws w about by η times that. In the last of {epochs} epochs the "
        f"NLL is on average above the optimum by {wander}: less for a smaller rate, until it is too small to have arrived. A rate that falls "
        f"from {first.learning_rate:g} as 1/√(1 + epoch) ends {found['falling_wander']:.4f} above.",
    )
    report.answer(
        "Why reshuffle each epoch?",
        "In a fixed order the same examples follow each other every time, and their pull in sum is a bias that repeats; a new order makes it "
        "noise that averages out. In the file's order (of the study's own points: one class after the other) the last epoch with "
        f"η = {last.learning_rate:g} is on average {found['file_order_wander']:.4f} above the optimum, reshuffled {last.wander:.4f}.",
    )
