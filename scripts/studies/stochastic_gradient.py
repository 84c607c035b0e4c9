"""What does one example a step buy against the full batch, at equal gradient evaluations?

Command:  python scripts/study.py run stochastic_gradient [--data FILE]     (FILE: lines `x1 x2 1 t`, t = 0 or 1)
Runtime:  about 40 s on 2 cores, 4 of them for TensorFlow to start.
Expected: Keras in float64 agrees with a NumPy descent over the same order of examples within 1e-5 at every step; one example a
          step is near the optimum after fewer passes than the full batch at the same rate, and then wanders about it.
Source:   coursework, logistic regression by stochastic gradient descent; Bottou & Bousquet (2008), The tradeoffs of large scale learning.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies.options import StudyOptions
from studies.points import START, default_points, largest_curvature, optimum, read_points

import zoo
from zoo.data.pipeline import shuffled
from zoo.inspection import StepWeightRecorder
from zoo.reference import add_bias_column, gradient_descent, logistic_regression, sigmoid
from zoo.reporting.study import StudyReport
from zoo.training.curves import INK, finish_axes

RATES = (0.1, 0.03, 0.01)
NEAR = 0.01  # nats above the optimum
LONGEST = 20_000  # passes of the full batch that are looked through for it


def run(options: StudyOptions) -> StudyReport:
    """Descends with each rate, one example a step in Keras and in NumPy, and with the full batch."""
    points, labels = read_points(options.data) if options.data else default_points(options.seed)
    rates, epochs = (RATES[:1], 2) if options.fast else (RATES, 60)
    report = StudyReport(
        "stochastic_gradient",
        "What does one example a step buy against the full batch, at equal gradient evaluations?",
        options.command("stochastic_gradient"),
        {"rates": rates, "start": START, "epochs": epochs, "near": NEAR, "points": len(points)},
        options.seed,
    )
    inputs = add_bias_column(points)
    best = optimum(points, labels)
    lowest = float(losses(inputs, labels, best[None])[0])
    report.value("optimum_nll", lowest, label="NLL at the optimum")
    paths, full, rows, order = {}, {}, [], orders(len(points), epochs, options.seed)
    for rate in rates:
        paths[rate] = path = descend_keras(points, labels, rate, epochs, options.seed)
        gap = np.abs(path - descend_numpy(inputs, labels, [rate] * epochs, order)).max()
        report.check(f"rate_{rate}_gap", f"η={rate}: largest |w - w of NumPy| over all steps", gap, 0.0, 1e-5)
        full[rate] = descend_full(points, labels, rate, 100 if options.fast else LONGEST, lowest + NEAR)
        rows.append(
            {"learning_rate": rate, **describe(losses(inputs, labels, path), full[rate], lowest, len(points), epochs)}
        )
        for key, number in rows[-1].items():
            if key != "learning_rate":
                report.value(f"rate_{rate}_{key}", number, label=f"η={rate}: {key.replace('_', ' ')}")
    falling = descend_numpy(inputs, labels, [rates[0] / (1 + epoch) ** 0.5 for epoch in range(epochs)], order)
    in_order = descend_numpy(inputs, labels, [rates[-1]] * epochs, [np.arange(len(points))] * epochs)
    for key, path, label in (
        ("falling_wander", falling, f"η = {rates[0]}/√(1 + epoch): mean NLL of the last epoch above the optimum"),
        ("file_order_wander", in_order, f"η = {rates[-1]}, in the file's order: the same"),
    ):
        report.value(key, pass_means(losses(inputs, labels, path), len(points))[-1] - lowest, label=label)
    noise = float(np.sqrt(np.square(gradients(inputs, labels, best)).sum(axis=1).mean()))
    report.value("gradient_noise", noise, label="root mean square of one example's gradient at the optimum")
    stable = 2 / largest_curvature(points, best)
    quickest = descend_full(points, labels, 0.9 * stable, 100 if options.fast else LONGEST, lowest + NEAR)
    report.value(
        "full_batch_fast_rate",
        0.9 * stable,
        label="0.9 · 2/λmax at the optimum: about the largest rate of the full batch",
    )
    report.value(
        "full_batch_fast_passes",
        first_below(quickest, lowest + NEAR),
        label="passes of the full batch with it until near",
    )
    table = pd.DataFrame(rows)
    table.attrs["quickest"] = first_below(quickest, lowest + NEAR)
    report.table("Every rate", table)
    curves = {rate: losses(inputs, labels, path) for rate, path in paths.items()}
    lines = {f"one by one, η = {rate}": pass_means(curve, len(points)) for rate, curve in curves.items()}
    lines[f"one by one, η = {rates[0]}/√(1 + epoch)"] = pass_means(losses(inputs, labels, falling), len(points))
    batches = {f"full batch, η = {rate}": curve[1:] for rate, curve in full.items()}
    batches[f"full batch, η = {0.9 * stable:.2f}"] = quickest[1:]
    report.figure("iterations", draw_iterations(curves, len(points), lowest), "NLL of all points by iteration.")
    report.figure("evaluations", draw_evaluations(lines, batches, lowest), "The same at equal gradient evaluations.")
    answer(report, table, noise, epochs)
    return report


def losses(inputs: np.ndarray, labels: np.ndarray, path: np.ndarray) -> np.ndarray:
    """(T,) mean negative log-likelihood of all points at (T, 3) weights."""
    logits = path @ inputs.T
    return (np.logaddexp(0, logits) - labels * logits).mean(axis=1)


def gradients(inputs: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N, 3) the gradient of each example's loss."""
    return (sigmoid(inputs @ weights) - labels)[:, None] * inputs


def descend_keras(points: np.ndarray, labels: np.ndarray, rate: float, epochs: int, seed: int) -> np.ndarray:
    """(T + 1, 3) weights after each step of `zoo.train` with batches of one example, in another order each epoch."""
    data = zoo.DataSplits.from_arrays((points, labels), validation=None)
    model = zoo.build("logistic", data.input_shape, 2, dtype="float64")
    model.set_weights([np.array(START[:2])[:, None], np.array(START[2:])])
    recorder = StepWeightRecorder()
    recipe = zoo.Recipe(optimizer="sgd", learning_rate=rate, batch_size=1, epochs=epochs, seed=seed)
    zoo.train(model, data, recipe, callbacks=[recorder], verbose=False)
    return recorder.weights


def orders(size: int, epochs: int, seed: int) -> list[np.ndarray]:
    """The order of the examples in each epoch of `zoo.train`."""
    return [shuffled(size, seed, epoch).numpy() for epoch in range(epochs)]


def descend_numpy(
    inputs: np.ndarray, labels: np.ndarray, rates: Sequence[float], order: list[np.ndarray]
) -> np.ndarray:
    """(T + 1, 3) weights by w ← w - η (σ(w·x) - t) x, with a rate and an order for each epoch."""
    path = [np.array(START)]
    for rate, of_epoch in zip(rates, order, strict=True):
        for i in of_epoch:
            path.append(path[-1] - rate * (sigmoid(inputs[i] @ path[-1]) - labels[i]) * inputs[i])
    return np.array(path)


def descend_full(points: np.ndarray, labels: np.ndarray, rate: float, passes: int, goal: float) -> np.ndarray:
    """NLL after each full-batch step, until it is below the goal for good or the passes are over."""
    function = logistic_regression(2).loss_and_gradient(points, labels)
    count = min(passes, 250)
    while True:
        found = gradient_descent(function, START, learning_rate=rate, epochs=count).losses
        if found[-1] <= goal or count >= passes:
            return found
        count = min(passes, 4 * count)


def describe(curve: np.ndarray, full: np.ndarray, lowest: float, size: int, epochs: int) -> dict[str, float]:
    """What both reach, and the passes that each takes to come near the optimum; NaN where it does not."""
    return {
        "nll_one_by_one": curve[-1],
        "nll_full_batch": full[epochs],
        "passes_one_by_one": first_below(curve, lowest + NEAR) / size,
        "passes_full_batch": first_below(full, lowest + NEAR),
        "wander": pass_means(curve, size)[-1] - lowest,
    }


def first_below(curve: np.ndarray, goal: float) -> float:
    """The first place at or below the goal; NaN without one."""
    found = np.flatnonzero(curve <= goal)
    return float(found[0]) if len(found) else float("nan")


def draw_iterations(curves: dict[float, np.ndarray], size: int, lowest: float) -> Figure:
    """One panel a rate: every iteration thin, the ends of epochs as dots."""
    figure = Figure(figsize=(4 * len(curves) + 1, 3.8), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for axes, (rate, curve) in zip(panels, curves.items(), strict=True):
        ends = np.arange(0, len(curve), size)
        axes.plot(curve, linewidth=0.4, alpha=0.45, label="after each example")
        axes.plot(ends, curve[ends], "o-", markersize=2.5, linewidth=0.8, label="after each epoch")
        axes.axhline(lowest, color=INK, linestyle="--", linewidth=1, label="optimum")
        axes.set_title(f"η = {rate}", fontsize=10)
        finish_axes(axes, "iteration (one example each)", "mean NLL of all points (nats)")
        axes.set_ylim(lowest * 0.9, 2.4 * lowest)
        axes.legend(frameon=True, framealpha=0.9, loc="upper right", fontsize="small")
    return figure


def pass_means(curve: np.ndarray, size: int) -> np.ndarray:
    """(epochs,) mean over the steps of each pass; the start is left out."""
    means: np.ndarray = curve[1:].reshape(-1, size).mean(axis=1)
    return means


def draw_evaluations(singles: dict[str, np.ndarray], batches: dict[str, np.ndarray], lowest: float) -> Figure:
    """NLL above the optimum against passes over the data, both axes logarithmic; one by one, the mean over each pass."""
    figure = Figure(figsize=(8.5, 4.2), layout="constrained")
    axes = figure.subplots()
    rates = dict.fromkeys(label.split(", ")[1] for label in (*singles, *batches))
    colours = {rate: f"C{place}" for place, rate in enumerate(rates)}
    for label, curve in {**singles, **batches}.items():
        style, colour = "-" if label in singles else "--", colours[label.split(", ")[1]]
        axes.loglog(np.arange(1, len(curve) + 1), curve - lowest, style, color=colour, label=label)
    axes.axhline(NEAR, color=INK, linewidth=0.8, linestyle=":", label=f"{NEAR} above the optimum")
    finish_axes(axes, "passes over the data (each as many gradients as points)", "NLL above the optimum (nats)")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small")
    return figure


def answer(report: StudyReport, table: pd.DataFrame, noise: float, epochs: int) -> None:
    """Answers the why-questions from the numbers."""
    found = {key: finding.measured for key, finding in report.findings.items()}
    passes = "; ".join(
        f"η = {rate:g}: {reached(single)} against {reached(batch)}"
        for rate, single, batch in table[["learning_rate", "passes_one_by_one", "passes_full_batch"]].to_numpy()
    )
    report.answer(
        "Why is one example a step ahead at first?",
        "A pass costs both the same number of gradients, but the full batch makes one step of it and the other as many as there are points, "
        "each in about the right direction while the optimum is far. Passes until the NLL is first within "
        f"{NEAR} of the optimum: {passes}. Even with 0.9 · 2/λmax, η = {found['full_batch_fast_rate']:.2f}, the full batch needs so many: "
        f"{reached(table.attrs['quickest'])}.",
    )
    wander = ", ".join(f"{row.wander:.4f} (η = {row.learning_rate})" for row in table.itertuples())
    report.answer(
        "Why does it not settle?",
        f"At the optimum the mean of the gradients is zero and each single one is not: their root mean square is {noise:.2f}, so each step of a "
        f"constant rate throws w about by η times that. In the last of {epochs} epochs the NLL is on average above the optimum by {wander}: less "
        "for a smaller rate, until it is too small to have arrived. A rate that falls from "
        f"{table['learning_rate'].iloc[0]} as 1/√(1 + epoch) ends {found['falling_wander']:.4f} above.",
    )
    report.answer(
        "Why reshuffle each epoch?",
        "In a fixed order the same examples follow each other every time, and their pull in sum is a bias that repeats; a new order makes it "
        f"noise that averages out. In the file's order (of the study's own points: one class after the other) the last epoch with η = {table['learning_rate'].iloc[-1]} is on average "
        f"{found['file_order_wander']:.4f} above the optimum, reshuffled {table['wander'].iloc[-1]:.4f}.",
    )


def reached(passes: float) -> str:
    """A number of passes, or that there was none."""
    return "not reached" if np.isnan(passes) else f"{passes:.4g}"
