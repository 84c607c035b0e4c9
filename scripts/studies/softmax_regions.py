"""Where does softmax change its mind, and what does it say on its boundaries and deep inside a region?

Command:  python scripts/study.py run softmax_regions
Runtime:  about 5 s on 2 cores, 4 of them for TensorFlow to start.
Expected: a1 = 3x1 + x2 + 1, a2 = x1 + 3x2 + 2, a3 = -3x1 + 1.5x2 + 2 meet in (3/22, -4/11), where each class has the
          probability 1/3; 6 + 2x1² + 2x2² against the constant 8 changes its mind on the unit circle.
Source:   coursework, regions of a softmax over linear and quadratic activations.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import brentq
from studies.options import StudyOptions

import zoo
from zoo.drawing import INK, TRAIN, VALIDATION, finish_axes
from zoo.inspection import decision_regions, plot_decision_regions
from zoo.reference import Boundary, region_boundaries, softmax
from zoo.reporting.study import StudyReport

KERNEL, BIAS = np.array([[3.0, 1.0, -3.0], [1.0, 3.0, 1.5]]), np.array([1.0, 2.0, 2.0])
COMMON = np.array([3 / 22, -4 / 11])
DISTANCES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)


def run(options: StudyOptions, report: StudyReport) -> None:
    """Three planes, many planes, and a paraboloid against a constant."""
    report.settings.update(kernel=KERNEL.tolist(), bias=BIAS.tolist(), distances=DISTANCES)
    rays = region_boundaries(KERNEL, BIAS)
    ends = np.concatenate([ray.ends for ray in rays])
    point, on_rays, inside = ends.mean(axis=0), along_rays(rays), inside_regions(rays, ends.mean(axis=0))
    angles = np.linspace(0, 2 * np.pi, 90 if options.fast else 720, endpoint=False)
    radii = np.array([decision_radius(angle) for angle in angles.tolist()])
    checks = [
        ("common_x1", "common point, x1", point[0], COMMON[0], 1e-12),
        ("common_x2", "common point, x2", point[1], COMMON[1], 1e-12),
        ("ends_apart", "largest distance between the ends of the three rays", np.ptp(ends, axis=0).max(), 0, 1e-12),
        ("third_each", "largest |p - 1/3| in the common point", np.abs(probabilities(point) - 1 / 3).max(), 0, 1e-12),
    ]
    for ray, of_ray in on_rays.groupby("ray"):
        tie = np.abs(of_ray["p_first"] - of_ray["p_second"]).max()
        checks.append((f"tie_{ray}", f"ray {ray}: largest difference of the two tied probabilities", tie, 0, 1e-12))
        half = of_ray["p_first"].iloc[-1]
        checks.append((f"half_{ray}", f"ray {ray}: p of each, 10 from the common point", half, 0.5, 1e-3))
    for k, of_class in inside.groupby("class"):
        checks.append((f"deep_class_{k}", f"p of class {k}, 10 inside its region", of_class["p"].iloc[-1], 1, 1e-3))
    off = np.abs(radii - 1).max()
    checks.append(("circle", "quadratic against constant: largest |radius - 1| of the boundary", off, 0, 1e-12))
    for check in checks:
        report.check(*check)
    random = np.random.default_rng(options.seed)
    many = random.normal(size=(2, 6)), random.normal(size=6)
    count = len(region_boundaries(*many))
    report.value("boundaries_of_six", count, label="six random activations: boundaries that are left")
    report.table("Along the rays", on_rays)
    report.table("Inside the regions", inside)
    report.figure("regions", draw_regions(KERNEL, BIAS), "Three linear activations: rays meet where each has p = 1/3.")
    report.figure("six_regions", draw_regions(*many), "Six random linear activations: the regions are convex.")
    report.figure("quadratic", draw_quadratic(), "6 + 2x1² + 2x2² against 8: activations, and softmax along x2 = 0.")
    answer(report, on_rays, inside, radii)


def probabilities(points: np.ndarray) -> np.ndarray:
    """(..., 3) of the three linear activations at (..., 2) points."""
    return softmax(points @ KERNEL + BIAS)


def along_rays(rays: tuple[Boundary, ...]) -> pd.DataFrame:
    """Probabilities on each boundary, by distance from its end; classes are counted from 1."""
    rows = []
    for ray in rays:
        (first, second), other = ray.classes, 3 - sum(ray.classes)
        end, sign = (ray.low, 1) if np.isfinite(ray.low) else (ray.high, -1)
        for distance, p in zip(DISTANCES, probabilities(ray.at(end + sign * np.array(DISTANCES))), strict=True):
            rows.append((f"{first + 1}-{second + 1}", distance, p[first], p[second], p[other]))
    return pd.DataFrame(rows, columns=["ray", "distance", "p_first", "p_second", "p_third"])


def inside_regions(rays: tuple[Boundary, ...], point: np.ndarray) -> pd.DataFrame:
    """Probability of each class along the middle of its region, between its two rays, by distance from the common point."""
    outward = {ray.classes: ray.direction if np.isfinite(ray.low) else -ray.direction for ray in rays}
    rows = []
    for k in range(3):
        middle = np.sum([way for classes, way in outward.items() if k in classes], axis=0)
        middle /= np.linalg.norm(middle)
        margin = np.min([middle @ (KERNEL[:, k] - KERNEL[:, j]) for j in range(3) if j != k])
        p = probabilities(point + np.array(DISTANCES)[:, None] * middle)[:, k]
        rows += [(k + 1, distance, of_one, margin * distance) for distance, of_one in zip(DISTANCES, p, strict=True)]
    return pd.DataFrame(rows, columns=["class", "distance", "p", "margin"])


def quadratic_pair(points: np.ndarray) -> np.ndarray:
    """(..., 2) activations 6 + 2x1² + 2x2² and 8 at (..., 2) points."""
    first = 6 + 2 * np.square(points).sum(axis=-1)
    return np.stack([first, np.full_like(first, 8.0)], axis=-1)


def decision_radius(angle: float) -> float:
    """The distance from the origin, in one direction, at which the pair ties."""
    way = np.array([np.cos(angle), np.sin(angle)])
    return float(brentq(lambda radius: float(np.diff(quadratic_pair(radius * way))[0]), 0, 3, xtol=1e-14))


def draw_regions(kernel: np.ndarray, bias: np.ndarray) -> Figure:
    """The regions of any K linear activations in the plane, as those of a softmax regression, and where three meet."""
    meetings = np.concatenate([ray.ends for ray in region_boundaries(kernel, bias)]).round(9)
    middle, model = meetings.mean(axis=0), zoo.build("softmax", (2,), len(bias), dtype="float64")
    model.set_weights([kernel, bias])
    (left, bottom), (right, top) = (middle + sign * (3 + np.abs(meetings - middle).max()) for sign in (-1, 1))
    regions = decision_regions(model, np.unique(meetings, axis=0), bounds=(left, right, bottom, top))
    names = [str(k + 1) for k in range(len(bias))]
    figure = plot_decision_regions(regions, class_names=names, boundaries=True)
    for x, y in regions.points if len(bias) == 3 else ():
        figure.axes[0].annotate(f"({x:.4f}, {y:.4f})\np = 1/3 each", (x, y), (9, -12), textcoords="offset points")
    figure.axes[0].set_aspect("equal")
    return figure


def draw_quadratic() -> Figure:
    """Both surfaces, and a cut through the probability."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    surfaces, cut = figure.add_subplot(1, 2, 1, projection="3d"), figure.add_subplot(1, 2, 2)
    line, side, angle = np.linspace(-2, 2, 401), np.linspace(-1.6, 1.6, 41), np.linspace(0, 2 * np.pi, 200)
    points = np.stack(np.meshgrid(side, side), axis=-1)
    p = softmax(quadratic_pair(np.stack([line, np.zeros_like(line)], axis=-1)))
    for k, (colour, label) in enumerate(((TRAIN, "6 + 2x1² + 2x2²"), (VALIDATION, "8"))):
        surfaces.plot_surface(points[..., 0], points[..., 1], quadratic_pair(points)[..., k], color=colour, alpha=0.55)
        cut.plot(line, p[:, k], color=colour, label=label)
    surfaces.plot(np.cos(angle), np.sin(angle), np.full(200, 8.0), color=INK, linewidth=2)
    surfaces.set(xlabel="x1", ylabel="x2", zlabel="activation", xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    cut.vlines((-1, 1), 0, 1, color=INK, linestyle="--", linewidth=1, label="unit circle")
    finish_axes(cut, "x1", "probability")
    return figure


def answer(report: StudyReport, on_rays: pd.DataFrame, inside: pd.DataFrame, radii: np.ndarray) -> None:
    """Answers the why-questions from the numbers."""
    far, deep = on_rays[on_rays["distance"] == 2.0], inside[inside["distance"] == 2.0]
    thirds = ", ".join(f"{row.p_third:.2g} (ray {row.ray})" for row in far.itertuples())
    sure = ", ".join(f"{p:.6f} (class {k:.0f}, lead {lead:.2f})" for k, _, p, lead in deep.to_numpy())
    report.answer(
        "Why do the three boundaries meet in one point, and why is p = 1/3 there?",
        "Where a1 = a2 and a2 = a3 cross, a1 = a3 too, so the third boundary passes. Softmax sees differences of activations only; "
        "all are 0 there, and three equal numbers that sum to 1 are thirds.",
    )
    report.answer(
        "What are the probabilities along a boundary?",
        "The two neighbours stay equal and gain what the third class loses: from 1/3 each they go to 1/2, 1/2, 0. Two units from the "
        f"common point the third has {thirds}.",
    )
    report.answer(
        "What are they deep inside a region?",
        "The lead over the next activation grows linearly with the distance, the odds exponentially. Two units inside, the classes have "
        f"{sure}: a linear model is surest where it has seen nothing.",
    )
    report.answer(
        "Why are the regions of linear activations bounded by lines, and those of the quadratic pair by a circle?",
        "A boundary is where a difference of activations is zero: of two planes a line, of the pair 2(x1² + x2² - 1). The decision changed "
        f"at radii from {radii.min():.12f} to {radii.max():.12f} over {len(radii)} directions. The model is linear in x1² and x2²: other "
        "features, not another classifier, bend the boundary.",
    )
