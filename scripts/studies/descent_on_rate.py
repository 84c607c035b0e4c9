"""Why gradient descent finds no η, shown on a softmax regression in NumPy: a part of `search_methods`, no study itself."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from studies.descent_on_strength import CLASSES, Points, load_points, loss, paired

from zoo import reference
from zoo.drawing import finish_axes
from zoo.evaluation.bands import draw_band, mean_interval
from zoo.reporting.study import StudyReport

RATES = np.logspace(-2, 2.5, 46)  # η


def follow_rates(
    points: Points, rates: np.ndarray, horizons: tuple[int, ...], seed: int, batch_size: int = 32
) -> dict[int, np.ndarray]:
    """Mini-batch descent from zero weights with every rate at once: horizon -> kernels, shape (rates, inputs, classes)."""
    kernels, found, step = np.zeros((len(rates), points[0].shape[1], CLASSES)), {}, 0
    for epoch in range(max(horizons)):
        for x, y in reference.mini_batches(points, batch_size, seed=seed, epoch=epoch, drop_remainder=True):
            errors = reference.softmax(x @ kernels) - reference.one_hot(y, CLASSES)
            kernels = kernels - rates[:, None, None] * (x.T @ errors) / len(x)
            step += 1
            if step in horizons:
                found[step] = kernels
            if step == max(horizons):
                return found
    return found


def descend_on_rate(points: Points, seed: int, start: float = 0.02, steps: int = 100) -> float:
    """Gradient descent on log η by the training loss after one step, its slope by central differences."""
    place = np.log(start)
    for _ in range(steps):
        kernels = follow_rates(points, np.exp(place + np.array([1e-3, -1e-3])), (1,), seed)[1]
        place -= 5 * (loss(kernels[0], points) - loss(kernels[1], points)) / 2e-3
    return float(np.exp(place))


def measure_rates(seeds: range, horizons: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Training loss by (horizon, seed, rate), and how often the accuracies of rates 0.1 % apart are equal."""
    points, validation, _ = load_points()
    losses = []
    for seed in seeds:
        kernels = follow_rates(points, RATES, horizons, seed)
        losses.append([[loss(kernel, points) for kernel in kernels[horizon]] for horizon in horizons])
    close = follow_rates(points, 1.001 ** np.arange(40), (10,), seeds[0])[10]
    accuracies = [(np.argmax(validation[0] @ kernel, axis=1) == validation[1]).mean() for kernel in close]
    return np.array(losses).swapaxes(0, 1), float(np.mean(np.diff(accuracies) == 0))


def report_rates(report: StudyReport, seeds: range, horizons: tuple[int, ...]) -> None:
    """The rate that is best for one step, and the one that is best for many."""
    losses, flat = measure_rates(seeds, horizons)
    best, last = losses.argmin(axis=2), horizons[-1]
    short, long = (np.exp(np.log(RATES[places]).mean()) for places in (best[0], best[-1]))
    ended = np.array([descend_on_rate(load_points()[0], seed) for seed in seeds])
    ratio, low, high = np.exp(mean_interval(np.log(RATES[best[-1]] / RATES[best[0]])))
    greedy, patient = "η best for one step", f"η best for {last} steps"
    after = [(i, (i + 1) % len(losses[-1])) for i in range(len(losses[-1]))]  # chosen in one order, scored in the next
    scores = [(i, greedy, losses[-1][j, best[0][i]]) for i, j in after]
    found = paired(scores + [(i, patient, losses[-1][j, best[-1][i]]) for i, j in after], "training loss")
    curves = losses[1]
    valleys = ((curves[:, 1:-1] < curves[:, :-2]) & (curves[:, 1:-1] < curves[:, 2:])).sum(axis=1).mean()
    report.value("rate_short", short, label="η of least training loss after one step, geometric mean")
    report.value("rate_long", long, label=f"η of least training loss after {last} steps, geometric mean")
    off = np.abs(np.log(ended / RATES[best[0]])).max() / np.log(RATES[1] / RATES[0])
    report.claim(
        "descent_finds_the_short_rate", "descent on the loss after one step ends within a grid step of it", off <= 1
    )
    report.claim("rate_is_short_sighted", "the ratio of the two is not 1 (95 % interval)", not low <= 1 <= high)
    label = f"after {last} steps the η best for one step has more training loss (p < 0.05)"
    report.claim("rate_short_is_worse", label, found.indistinguishable == [patient])
    report.value("equal_neighbours", flat, label="rates 0.1 % apart with exactly equal validation accuracy, share")
    caption = (
        "Training loss after so many steps of mini-batch descent against η; dots: the least. Means and 95 % intervals."
    )
    report.figure("rate", draw_rates(losses, horizons), caption)
    report.answer(
        "Why does gradient descent on η fail?",
        "η is not in the loss of given weights: that slope is 0. It is in the loss after a step, E(w - η∇E), and descent on that ends at "
        f"{np.exp(np.log(ended).mean()):.2g} (the best η for one step is {short:.2g}), as a line search does. For {last} steps the best is {long:.2g}, {ratio:.2g} times that (95 % interval {low:.2g} to {high:.2g}). "
        f"{' '.join(found.sentences()[:-1])} Nor is the loss after many steps a friend of descent: after {horizons[1]} it has {valleys:.2g} local minima along η on average, "
        f"each slope costs a training, and the accuracy is a staircase: {flat:.0%} of rates 0.1 % apart have exactly the same one.",
    )


def draw_rates(losses: np.ndarray, horizons: tuple[int, ...]) -> Figure:
    """A curve a horizon, with its minimum."""
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots()
    for place, (samples, horizon) in enumerate(zip(losses, horizons, strict=True)):
        mean = samples.mean(axis=0)
        draw_band(axes, RATES, samples, label=f"{horizon} step{'s' if horizon > 1 else ''}", colour=f"C{place}")
        axes.plot(RATES[mean.argmin()], mean.min(), "o", color=f"C{place}")
    axes.set(xscale="log", yscale="log", ylim=(losses.mean(axis=1).min() / 2, 10))
    finish_axes(axes, "η", "training loss")
    return figure
