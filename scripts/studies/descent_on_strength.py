"""Why gradient descent finds no λ, shown on a softmax regression in NumPy: a part of `search_methods`, no study itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import minimize

import zoo
from zoo import reference
from zoo.drawing import finish_axes
from zoo.evaluation.bands import draw_band, mean_interval
from zoo.reporting.study import StudyReport

CLASSES = 10
STRENGTHS = np.logspace(0, -5, 11)  # λ
STARTS, STEP_OF_STRENGTH = (0.1, 0.03, 0.01), 3e-4
WRONG_LABELS = 0.2
Points = tuple[np.ndarray, np.ndarray]  # inputs with a column of ones, labels


def load_points() -> tuple[Points, Points, Points]:
    """Digits to train on, to validate on and to test on, in float64."""
    data = zoo.load_dataset("digits", validation=0.35, seed=0)
    points = []
    for split in (data.train, data.validation, data.test):
        assert split is not None
        x = np.asarray(split.inputs, np.float64).reshape(len(split), -1) / 255
        points.append((reference.add_bias_column(x), np.asarray(split.labels)))
    return points[0], points[1], points[2]


def loss(kernel: np.ndarray, points: Points) -> float:
    """The cross entropy."""
    return reference.categorical_cross_entropy(points[0] @ kernel, points[1])


def with_wrong_labels(pool: Points, seed: int, *, count: int = 100) -> Points:
    """Some of the points, a fifth of which get a label at random: enough to need a penalty."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(pool[1]))[:count]
    labels = pool[1][chosen].copy()
    wrong = random.random(count) < WRONG_LABELS
    labels[wrong] = random.integers(0, CLASSES, wrong.sum())
    return pool[0][chosen], labels


def penalised(weights: np.ndarray, points: Points, strength: float) -> tuple[float, np.ndarray]:
    """E(w) + λ‖w‖², and its gradient by w; that by λ is ‖w‖²."""
    x, y = points
    kernel = weights.reshape(-1, CLASSES)
    gradient = x.T @ reference.categorical_cross_entropy_gradient(x @ kernel, y)
    gradient += reference.l2_penalty_gradient(kernel, strength)
    return loss(kernel, points) + reference.l2_penalty(kernel, strength), gradient.ravel()


def fit(points: Points, strength: float, start: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """The least E(w) + λ‖w‖², and where it is, by L-BFGS."""
    start = np.zeros(points[0].shape[1] * CLASSES) if start is None else start.ravel()
    options = {"maxiter": 2000, "maxfun": 4000, "gtol": 1e-8, "ftol": 1e-14}
    found = minimize(penalised, start, args=(points, strength), jac=True, method="L-BFGS-B", options=options)
    return float(found.fun), found.x.reshape(-1, CLASSES)


def follow_strength(points: Points, start: float, steps: int) -> np.ndarray:
    """Gradient descent on the training loss by weights and λ together, λ >= 0: the path of λ."""
    weights, path = np.zeros(points[0].shape[1] * CLASSES), [start]
    for _ in range(steps):
        slope = reference.l2_penalty(weights, 1.0)  # ∂(E + λ‖w‖²)/∂λ
        weights = weights - 0.5 * penalised(weights, points, path[-1])[1]
        path.append(max(0.0, path[-1] - STEP_OF_STRENGTH * slope))
    return np.array(path)


def paired(rows: list[tuple[int, str, float]], score: str) -> zoo.Comparison:
    """Two ways to choose a setting, by a loss, seed by seed."""
    table = pd.DataFrame(rows, columns=["seed", "setting", score])
    return zoo.compare(table, groups="setting", units="seed", score=score, direction="min")


class StrengthRuns(NamedTuple):
    """What every seed says of λ: paths of descents by their start, and losses of shape (seeds, strengths)."""

    paths: dict[float, np.ndarray]
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def measure_strength(seeds: range, steps: int) -> StrengthRuns:
    """Descends on λ by the training loss, and trains to the minimum for every λ."""
    pool, validation, test = load_points()
    paths: dict[float, list[np.ndarray]] = {start: [] for start in STARTS}
    curves = []
    for seed in seeds:
        points, kernel, curve = with_wrong_labels(pool, seed), None, []
        for strength in STRENGTHS:  # from strong to weak, each from the weights of the one before
            least, kernel = fit(points, strength, kernel)
            curve.append((least, loss(kernel, validation), loss(kernel, test)))
        curves.append(curve)
        for start in STARTS:
            paths[start].append(follow_strength(points, start, steps))
    return StrengthRuns(
        {start: np.stack(found) for start, found in paths.items()}, *np.array(curves).transpose(2, 0, 1)
    )


def slope_ratio(points: Points, strength: float = 0.01) -> float:
    """The central difference of the least training loss by λ, a hundredth to both sides, over ‖w‖² at the minimum."""
    (above, _), (below, _), (_, kernel) = (fit(points, strength * factor) for factor in (1.01, 0.99, 1.0))
    return (above - below) / (0.02 * strength) / reference.l2_penalty(kernel, 1.0)


def report_strength(report: StudyReport, seeds: range, steps: int) -> None:
    """λ by descent on the training loss, beside what the validation loss says of it."""
    runs, chosen, descent = measure_strength(seeds, steps), "λ of least validation loss", "λ of descent, towards 0"
    picked, ends = runs.validation.argmin(axis=1), np.stack([path[:, -1] for path in runs.paths.values()])
    scores = [(seed, chosen, runs.test[i, picked[i]]) for i, seed in enumerate(seeds)]
    found = paired(scores + [(seed, descent, runs.test[i, -1]) for i, seed in enumerate(seeds)], "test loss")
    small, best = int(np.argmin(np.abs(STRENGTHS - 1e-4))), 10 ** np.log10(STRENGTHS[picked]).mean()
    slope, low, high = mean_interval(runs.validation[:, small - 1] - runs.validation[:, small + 1])
    ratio = slope_ratio(with_wrong_labels(load_points()[0], seeds[0]))
    report.check(
        "strength_slope", "slope by λ of the least training loss (central difference), over ‖w‖²", ratio, 1, 1e-3
    )
    report.claim(
        "strength_ends_at_0", "descent on the training loss takes λ to 0 from every start and seed", not ends.any()
    )
    report.value("strength_by_validation", best, label="λ of least validation loss, geometric mean")
    report.claim("validation_wants_more", "at λ = 1e-4 the validation loss falls as λ grows (95 % interval)", high < 0)
    label = "towards λ = 0 the test loss is above that at the λ of least validation loss (p < 0.05)"
    report.claim("strength_0_is_worse", label, found.indistinguishable == [chosen])
    caption = (
        "Left: λ under gradient descent on the training loss. Right: the least training loss for each λ, and the "
        "validation loss of the weights where it is. Means and 95 % intervals."
    )
    report.figure("strength", draw_strength(runs), caption)
    told = "its slope has the other sign" if high < 0 else "the seeds do not agree on the sign of its slope"
    report.answer(
        "Why does gradient descent on λ fail?",
        "The training loss E(w) + λ‖w‖² has the slope ‖w‖² by λ, which is never negative: less penalty is always less training loss. From "
        f"{', '.join(map(str, STARTS))} descent takes λ to {'0' if not ends.any() else f'{ends.max():.2g} at most'} within {steps} steps. The validation loss is least near "
        f"λ = {best:.2g}; at 1e-4 ten times the λ changes it by {slope:.2g} (95 % interval {low:.2g} to {high:.2g}), so {told}. "
        f"{' '.join(found.sentences()[:-1])} The validation loss knows λ only through trained weights, so that each look at it is a training: that is a search.",
    )


def draw_strength(runs: StrengthRuns) -> Figure:
    """The paths of λ, and the two losses against λ."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, (start, paths) in enumerate(runs.paths.items()):
        draw_band(left, np.arange(paths.shape[1]), paths, label=f"from λ = {start:g}", colour=f"C{place}")
    draw_band(right, STRENGTHS, runs.train, label="training loss with penalty, at its minimum", colour="C0")
    draw_band(right, STRENGTHS, runs.validation, label="validation loss there", colour="C1")
    mean = runs.validation.mean(axis=0)
    right.plot(STRENGTHS[mean.argmin()], mean.min(), "o", color="C1", label="its least mean")
    right.set_xscale("log")
    finish_axes(left, "step of descent on w and λ", "λ")
    finish_axes(right, "λ", "loss")
    return figure
