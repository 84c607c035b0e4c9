"""Where does softmax change its mind, and what does it say on its boundaries and deep inside a region?

Command:  python scripts/study.py run softmax_regions
Runtime:  about 5 s on 2 cores, 4 of them for TensorFlow to start.
Expected: a1 = 3x1 + x2 + 1, a2 = x1 + 3x2 + 2, a3 = -3x1 + 1.5x2 + 2 meet in (3/22, -4/11), where each class has the
          probability 1/3; 6 + 2x1² + 2x2² against the constant 8 changes its mind on the unit circle.
Source:   coursework, regions of a softmax over linear and quadratic activations.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies.options import StudyOptions

from zoo.inspection.regions import DecisionRegions, plot_decision_regions
from zoo.reference import Boundary, region_boundaries, softmax
from zoo.reporting.study import StudyReport
from zoo.training.curves import INK, TRAIN, VALIDATION, finish_axes

KERNEL, BIAS = np.array([[3.0, 1.0, -3.0], [1.0, 3.0, 1.5]]), np.array([1.0, 2.0, 2.0])
COMMON = np.array([3 / 22, -4 / 11])
DISTANCES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
ALIKE = "largest difference of the two tied probabilities"


def run(options: StudyOptions) -> StudyReport:
    """Three planes, many planes, and a paraboloid against a constant."""
    report = StudyReport(
        "softmax_regions",
        "Where does softmax change its mind, and what does it say on its boundaries and deep inside a region?",
        options.command("softmax_regions"),
        {"kernel": KERNEL.tolist(), "bias": BIAS.tolist(), "distances": DISTANCES},
        options.seed,
    )
    rays = region_boundaries(KERNEL, BIAS)
    ends = np.concatenate([ray.ends for ray in rays])
    point = ends.mean(axis=0)
    report.check("common_x1", "common point, x1", point[0], COMMON[0], 1e-12)
    report.check("common_x2", "common point, x2", point[1], COMMON[1], 1e-12)
    report.check(
        "ends_apart", "largest distance between the ends of the three rays", np.ptp(ends, axis=0).max(), 0, 1e-12
    )
    third = np.abs(probabilities(point) - 1 / 3).max()
    report.check("third_each", "largest |p - 1/3| in the common point", third, 0, 1e-12)
    on_rays, inside = along_rays(rays), inside_regions(rays, point)
    for ray, frame in on_rays.groupby("ray"):
        report.check(f"tie_{ray}", f"ray {ray}: {ALIKE}", np.abs(frame["p_first"] - frame["p_second"]).max(), 0, 1e-12)
        report.check(
            f"half_{ray}", f"ray {ray}: p of each, 10 from the common point", frame["p_first"].iloc[-1], 0.5, 1e-3
        )
    for name, frame in inside.groupby("class"):
        report.check(f"deep_class_{name}", f"p of class {name}, 10 inside its region", frame["p"].iloc[-1], 1, 1e-3)
    report.table("Along the rays", on_rays)
    report.table("Inside the regions", inside)
    radii = decision_radii(quadratic_pair, 90 if options.fast else 720)
    report.check(
        "circle", "quadratic against constant: largest |radius - 1| of the boundary", np.abs(radii - 1).max(), 0, 1e-12
    )
    report.figure(
        "regions",
        draw_regions(KERNEL, BIAS, "three linear activations"),
        "Three regions; three rays meet where p = 1/3.",
    )
    random = np.random.default_rng(options.seed)
    many = random.normal(size=(2, 6)), random.normal(size=6)
    report.value(
        "boundaries_of_six", len(region_boundaries(*many)), label="six random activations: boundaries that are left"
    )
    report.figure(
        "six_regions", draw_regions(*many, "six random linear activations"), "Regions of linear activations are convex."
    )
    report.figure(
        "quadratic", draw_quadratic(), "6 + 2x1² + 2x2² against 8: the activations, and the probability of the first."
    )
    answer(report, on_rays, inside, radii)
    return report


def probabilities(points: np.ndarray) -> np.ndarray:
    """(..., 3) of the three linear activations at (..., 2) points."""
    return softmax(points @ KERNEL + BIAS)


def along_rays(rays: tuple[Boundary, ...]) -> pd.DataFrame:
    """Probabilities on each boundary, by distance from its end; classes are counted from 1."""
    rows = []
    for ray in rays:
        end, sign = (ray.low, 1) if np.isfinite(ray.low) else (ray.high, -1)
        first, second = ray.classes
        other = 3 - first - second
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


def decision_radii(activations: Callable[[np.ndarray], np.ndarray], angles: int) -> np.ndarray:
    """(angles,) the distance from the origin at which the larger activation changes, by bisection between 0 and 3."""
    angle = np.linspace(0, 2 * np.pi, angles, endpoint=False)
    ways = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    low, high = np.zeros(angles), np.full(angles, 3.0)
    for _ in range(60):
        middle = (low + high) / 2
        is_inside = activations(middle[:, None] * ways).argmax(axis=-1) == 1
        low, high = np.where(is_inside, middle, low), np.where(is_inside, high, middle)
    return (low + high) / 2


def draw_regions(kernel: np.ndarray, bias: np.ndarray, title: str) -> Figure:
    """The regions of any K linear activations in the plane, with their boundaries and the points where three meet."""
    rays = region_boundaries(kernel, bias)
    meetings = np.concatenate([ray.ends for ray in rays])
    middle = meetings.mean(axis=0) if len(meetings) else np.zeros(2)
    reach = 3.0 + (np.abs(meetings - middle).max() if len(meetings) else 0.0)
    x, y = (np.linspace(centre - reach, centre + reach, 240) for centre in middle)
    p = softmax(np.stack(np.meshgrid(x, y), axis=-1) @ kernel + bias)
    names = [f"{k + 1}" for k in range(len(bias))]
    figure = plot_decision_regions(
        DecisionRegions(x, y, p.argmax(axis=-1), p, np.empty((0, 2))),
        class_names=names,
        title=f"{title}: paler where less sure",
    )
    axes = figure.axes[0]
    for ray in rays:
        line = ray.at(np.clip([ray.low, ray.high], -4 * reach, 4 * reach))
        axes.plot(line[:, 0], line[:, 1], color=INK, linewidth=1.4)
    for place in np.unique(meetings.round(9), axis=0):
        axes.plot(*place, "o", color=INK, markersize=5)
    if len(bias) == 3 and len(meetings):
        label = f"({middle[0]:.4f}, {middle[1]:.4f})\np = 1/3 each"
        axes.annotate(label, tuple(middle), (9, -12), textcoords="offset points", fontsize=9, color=INK)
    axes.set_aspect("equal")
    return figure


def draw_quadratic() -> Figure:
    """Both surfaces, and a cut through the probability."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    surfaces, cut = figure.add_subplot(1, 2, 1, projection="3d"), figure.add_subplot(1, 2, 2)
    side = np.linspace(-1.6, 1.6, 41)
    points = np.stack(np.meshgrid(side, side), axis=-1)
    both = quadratic_pair(points)
    for k, colour in enumerate((TRAIN, VALIDATION)):
        surfaces.plot_surface(points[..., 0], points[..., 1], both[..., k], color=colour, alpha=0.55)
    angle = np.linspace(0, 2 * np.pi, 200)
    surfaces.plot(np.cos(angle), np.sin(angle), np.full(200, 8.0), color=INK, linewidth=2)
    surfaces.set(xlabel="x1", ylabel="x2", zlabel="activation", xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    surfaces.set_title("6 + 2x1² + 2x2² (blue) against 8 (orange)", fontsize=10)
    line = np.linspace(-2, 2, 401)
    p = softmax(quadratic_pair(np.stack([line, np.zeros_like(line)], axis=-1)))
    cut.plot(line, p[:, 0], color=TRAIN, label="6 + 2x1² + 2x2²")
    cut.plot(line, p[:, 1], color=VALIDATION, label="8")
    for edge in (-1, 1):
        cut.axvline(edge, color=INK, linestyle="--", linewidth=1, label="unit circle" if edge < 0 else None)
    cut.set_title("softmax along x2 = 0", fontsize=10)
    finish_axes(cut, "x1", "probability")
    return figure


def answer(report: StudyReport, on_rays: pd.DataFrame, inside: pd.DataFrame, radii: np.ndarray) -> None:
    """Answers the why-questions from the numbers."""
    far, deep = on_rays[on_rays["distance"] == 2.0], inside[inside["distance"] == 2.0]
    report.answer(
        "Why do the three boundaries meet in one point, and why is p = 1/3 there?",
        "On two of them a1 = a2 and a2 = a3, so where they cross a1 = a3 too, and the third one passes. Softmax sees differences of "
        "activations only; all are 0 there, and three equal numbers that sum to 1 are thirds.",
    )
    report.answer(
        "What are the probabilities along a boundary?",
        "The two neighbours stay equal, and the third class loses what they gain: from 1/3 each they go to 1/2, 1/2, 0. Two units from the "
        "common point the third has "
        + ", ".join(f"{p:.2g} (ray {r})" for r, p in zip(far["ray"], far["p_third"], strict=True))
        + ".",
    )
    report.answer(
        "What are they deep inside a region?",
        "The lead over the next activation grows linearly with the distance and the odds exponentially. Two units inside, the classes have "
        + ", ".join(
            f"{p:.6f} (class {k}, lead {m:.2f})"
            for k, p, m in zip(deep["class"], deep["p"], deep["margin"], strict=True)
        )
        + ": a linear model is surest where it has seen nothing.",
    )
    report.answer(
        "Why are the regions of linear activations bounded by lines, and those of the quadratic pair by a circle?",
        "A boundary is where a difference of activations is zero: of two planes a line, of the pair 2(x1² + x2² - 1). The decision changed "
        f"at radii from {radii.min():.12f} to {radii.max():.12f} over {len(radii)} directions. The model is linear in x1² and x2²: other "
        "features, not another classifier, bend the boundary.",
    )
