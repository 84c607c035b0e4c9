"""What does momentum do on a parabola, and what would a negative one do?

Command:  python scripts/study.py run momentum
Runtime:  about 5 s on 2 cores, 4 of them for TensorFlow to start.
Expected: with v ← μv - 0.1x, then x ← x + v, from x = 1, v = 0, |x| after 100 steps is 0.0037 for μ = 0.9, 0.89 for μ = 1 and
          109 for μ = 1.1.
Source:   coursework, momentum as a ball in a bowl; Goodfellow, Bengio & Courville, Deep Learning, section 8.3.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies.options import StudyOptions

from zoo.drawing import INK, finish_axes
from zoo.reference import momentum_matrix, momentum_path
from zoo.reporting.study import StudyReport

RATE, STEPS = 0.1, 100
EXPECTED = {0.9: (0.0037, 5e-5), 1.0: (0.89, 0.005), 1.1: (109.0, 0.5)}
OTHERS = (0.5, 0.0, -0.5, -0.9, -1.0)


def run(options: StudyOptions, report: StudyReport) -> None:
    """Follows the ball for every μ; the study is exact and takes no cut."""
    report.settings.update(rate=RATE, steps=STEPS, momenta=[*EXPECTED, *OTHERS], start=[1.0, 0.0])
    paths = {mu: momentum_path(STEPS, momentum=mu, rate=RATE).positions for mu in (*EXPECTED, *OTHERS)}
    for mu, path in paths.items():
        key, label = f"x_after_{STEPS}_at_{mu}", f"μ = {mu}: |x| after {STEPS} steps"
        if mu in EXPECTED:
            report.check(key, label, abs(path[-1]), *EXPECTED[mu])
        else:
            report.value(key, abs(path[-1]), label=label)
    determinants = [abs(np.linalg.det(momentum_matrix(mu, rate=RATE)) - mu) for mu in paths]
    report.check("determinant", "largest |det A - μ| of the step's matrix A", max(determinants), 0.0, 1e-12)
    limit, grid = RATE / 2 - 1, np.linspace(-1.2, 1.2, 481)
    report.check("radius_at_limit", f"spectral radius at μ = r/2 - 1 = {limit:g}", radius(limit), 1.0, 1e-9)
    best = grid[np.argmin([radius(mu) for mu in grid])]
    report.check("best_momentum", "μ that forgets the start soonest: (1 - √r)²", best, (1 - RATE**0.5) ** 2, 0.005)
    table = pd.DataFrame([describe(mu, path) for mu, path in paths.items()]).sort_values("momentum", ascending=False)
    report.table("Every momentum", table)
    report.figure("paths", draw_paths(paths), "x against the step, and its size on a logarithmic axis.")
    report.figure("plane", draw_plane(), "The same in the plane of place and velocity.")
    report.figure("radius", draw_radius(grid), "The larger |eigenvalue| of a step: below 1 the ball comes to rest.")
    answer(report, table.set_index("momentum"), best)


def radius(mu: float) -> float:
    """The larger of the sizes of the two eigenvalues of a step."""
    return float(np.abs(np.linalg.eigvals(momentum_matrix(mu, rate=RATE))).max())


def describe(mu: float, path: np.ndarray) -> dict[str, float]:
    """How it goes, with the number of swings through 0 and of changes of direction."""
    return {
        "momentum": mu,
        "x_after_100": path[-1],
        "largest_x": np.abs(path).max(),
        "spectral_radius": radius(mu),
        "swings": int((np.diff(np.sign(path)) != 0).sum()),
        "turns": int((np.diff(np.sign(np.diff(path))) != 0).sum()),
    }


def draw_paths(paths: dict[float, np.ndarray]) -> Figure:
    """Swinging on the left, sizes on the right; each μ has one colour."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, (mu, path) in enumerate(sorted(paths.items(), reverse=True)):
        style: dict[str, Any] = {"color": f"C{place}", "linewidth": 1.2, "label": f"μ = {mu:g}"}
        left.plot(path if -1 < mu <= 1 else [], "-" if mu >= 0 else "--", **style)
        right.semilogy(np.abs(path), "-" if mu >= 0 else "--", **style)
    right.set_ylim(1e-6, 1e3)
    finish_axes(left, "step", "x (μ from -0.9 to 1)")
    left.get_legend().remove()  # the one on the right has every μ
    finish_axes(right, "step", "|x|")
    right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def draw_plane() -> Figure:
    """Three spirals: in, round, out."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    for axes, mu in zip(figure.subplots(1, 3), (0.9, 1.0, 1.1), strict=True):
        path = momentum_path(60, momentum=mu, rate=RATE)
        axes.plot(path.positions, path.velocities, ".-", linewidth=0.7, markersize=4, label="a step")
        axes.plot(1, 0, "o", color=INK, label="start")
        axes.set_title(f"μ = {mu}", fontsize=10)
        finish_axes(axes, "place x", "velocity v")
    return figure


def draw_radius(grid: np.ndarray) -> Figure:
    """Where the iteration converges."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(grid, [radius(mu) for mu in grid], label=f"spectral radius, r = {RATE}")
    axes.axhline(1, color=INK, linewidth=1, linestyle="--", label="above: diverges")
    axes.axvspan((1 - RATE**0.5) ** 2, grid[-1], alpha=0.12, label="complex eigenvalues: it swings")  # to (1 + √r)²
    finish_axes(axes, "momentum μ", "larger |eigenvalue| of a step")
    return figure


def answer(report: StudyReport, table: pd.DataFrame, best: float) -> None:
    """Answers the why-questions from the numbers."""
    radii, x, after = table["spectral_radius"], table["x_after_100"].abs(), (1 - RATE**0.5) ** 2
    report.answer(
        "Why does it come to rest for μ = 0.9, swing for ever for μ = 1 and fly away for μ = 1.1?",
        "A step is a linear map of (x, v) with the determinant μ. Where its eigenvalues are complex, both have the size √μ: "
        f"{radii[0.9]:.4f}, {radii[1.0]:.4f} and {radii[1.1]:.4f} a step, so over 100 steps {radii[0.9] ** 100:.4g}, {radii[1.0] ** 100:.3g} "
        f"and {radii[1.1] ** 100:.4g}. 1 - μ is friction: none at 1, and above it the ball is pushed.",
    )
    report.answer(
        "What does a negative momentum do?",
        f"It takes back a part of the last step. x does not swing ({table['swings'][-0.5]:.0f} changes of sign for μ = -0.5, "
        f"{table['swings'][0.9]:.0f} for 0.9) and is slower than without momentum: |x| after 100 steps is {x[-0.5]:.2g} for μ = -0.5 and "
        f"{x[-0.9]:.2g} for μ = -0.9, against {x[0.0]:.2g} for 0. At μ = -0.9 the step turns round {table['turns'][-0.9]:.0f} times; below "
        f"r/2 - 1 = {RATE / 2 - 1:g} it diverges: {x[-1.0]:.3g} for μ = -1.",
    )
    report.answer(
        "Which μ is best here?",
        f"The one at which the eigenvalues become complex, (1 - √r)² = {after:.4f}; on the grid {best:.3f}, where a step multiplies by "
        f"{radius(best):.4f} instead of {radii[0.0]:.4f}. Less is slow, more swings.",
    )
