"""Do the textbook's identities of ReLU, the step, δ, σ and softmax hold in numbers?

Command:  python scripts/study.py run textbook_identities
Runtime:  about 6 s on 2 cores, 4 of them for TensorFlow to start.
Expected: ReLU' = H, ReLU = xH(x) = ∫H, σ(kx) → H(x), H' = δ by quadrature; softmax's Jacobian diag(s) - ssᵀ and its product in O(n);
          invariance under translation, limits under scaling; two classes are a sigmoid; K - 1 logits are enough.
Source:   coursework; Goodfellow, Bengio & Courville, Deep Learning, sections 3.10 and 6.2.2; Schwartz, Théorie des distributions.
"""

from __future__ import annotations

import timeit
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies.options import StudyOptions

from zoo.drawing import INK, finish_axes
from zoo.reference import (
    Bump,
    derivative_pairing,
    heaviside,
    integral,
    numerical_gradient,
    pairing,
    reduce_softmax,
    reduced_softmax,
    relu,
    relu_derivative,
    sigmoid,
    sigmoid_derivative,
    softmax,
    softmax_jacobian,
    softmax_limit,
    softmax_vjp,
)
from zoo.reporting.study import StudyReport
from zoo.training.histories import plot_histories

EXACT, QUADRATURE = 1e-14, 1e-10
STEEPNESS = (1, 3, 10, 30, 100, 300, 1000)
Identity = tuple[str, str, Any, Any, float]  # key, label, both sides, tolerance
BUMPS = (Bump(), Bump(0.3, 1.0), Bump(-0.5, 2.0), Bump(2.0, 1.0))  # the last one is 0 at 0


def run(options: StudyOptions, report: StudyReport) -> None:
    """Every identity as the largest difference of its two sides."""
    sizes = (10, 100, 300) if options.fast else (10, 30, 100, 300, 1000, 2000)
    report.settings.update(steepness=STEEPNESS, bumps=[(b.center, b.radius) for b in BUMPS], sizes=sizes)
    random = np.random.default_rng(options.seed)
    for key, label, left, right, tolerance in (*step_identities(random), *softmax_identities(random)):
        difference = np.abs(np.subtract(left, right)).max()
        report.check(key, f"{label}: largest difference", difference, 0.0, tolerance)
    delta = pd.DataFrame([{"k": k, "largest_difference": steep_delta(k)} for k in STEEPNESS])
    report.table("σ(kx)' as k grows, against δ", delta)
    slope = float(np.polyfit(np.log(delta["k"][3:]), np.log(delta["largest_difference"][3:]), 1)[0])
    report.check("steep_delta_order", "⟨σ(kx)', φ⟩ - φ(0): log-log slope in k", slope, -2.0, 0.1)
    times = timed(sizes, random)
    report.table("Products with the Jacobian of softmax", times)
    speedup, label = times["jacobian_s"].iloc[-1] / times["product_s"].iloc[-1], f"n = {sizes[-1]}: time of"
    report.value("product_speedup", speedup, label=f"{label} Jacobian and product over the O(n) product")
    report.figure("step", draw_step(), "ReLU, its slope H, and σ(kx) as k grows; on the right its slope: δ is left.")
    report.figure("softmax", draw_softmax(), "Softmax of the same logits: translated, and scaled by k.")
    names = {"jacobian_s": "diag(s) - ssᵀ, then Jᵀv: n² entries", "product_s": "s∘(v - s·v): n entries"}
    lines = {name: times.rename(columns={column: "seconds"}) for column, name in names.items()}
    drawn = plot_histories(lines, {"seconds": "time (s)"}, x="n", logarithmic=True)
    report.figure("times", drawn, "Time of Jᵀv with the Jacobian and without it.")
    answer(report, delta, times)


def step_identities(random: np.random.Generator) -> list[Identity]:
    """What is said of ReLU, H, σ and δ."""
    x, k = random.uniform(-3, 3, 100), STEEPNESS[-1]
    away, far = x[np.abs(x) > 1e-3], x[np.abs(x) >= 0.1]
    slopes = np.array([numerical_gradient(lambda p: float(relu(p)), point).item() for point in away])
    integrals = np.array([integral(heaviside, -4.0, float(point)) for point in x])
    weak = [derivative_pairing(relu, b) for b in BUMPS], [pairing(heaviside, b) for b in BUMPS]
    dirac = [derivative_pairing(heaviside, b) for b in BUMPS], [float(b(0.0)) for b in BUMPS]
    return [
        ("relu_slope", "ReLU' and H away from 0, by central differences", slopes, heaviside(away), 1e-9),
        ("relu_derivative", "ReLU' and H with H(0) = 0", relu_derivative(x), heaviside(x, at_zero=0.0), 0.0),
        ("relu_product", "ReLU and xH(x)", relu(x), x * heaviside(x), 0.0),
        ("relu_integral", "ReLU and ∫H", relu(x), integrals, 1e-12),
        ("relu_weak_derivative", "⟨ReLU', φ⟩ and ⟨H, φ⟩", *weak, QUADRATURE),
        ("heaviside_derivative", "⟨H', φ⟩ and φ(0): H' = δ", *dirac, QUADRATURE),
        ("steep_sigmoid", f"σ({k}x) and H for |x| >= 0.1", sigmoid(k * far), heaviside(far), 1e-12),
        ("sigmoid_at_zero", "σ(k·0) and ½", sigmoid(0.0), 0.5, 0.0),
        ("sigmoid_symmetry", "σ(-x) and 1 - σ(x)", sigmoid(-x), 1 - sigmoid(x), EXACT),
    ]


def softmax_identities(random: np.random.Generator) -> list[Identity]:
    """What is said of softmax, at random logits of seven classes."""
    z, v = 2 * random.normal(size=(50, 7)), random.normal(size=(50, 7))
    s, jacobian = softmax(z), softmax_jacobian(z)
    outer = np.stack([np.diag(p) - np.outer(p, p) for p in s])
    slopes = np.stack([numerical_gradient(partial(one_probability, i), z[0]) for i in range(7)])
    product = np.einsum("nij,ni->nj", jacobian, v)
    kernel, bias, x = random.normal(size=(4, 7)), random.normal(size=7), random.normal(size=(50, 4))
    fewer, rest = reduce_softmax(kernel, bias)
    reduced, of_two = reduced_softmax(x @ fewer + rest), sigmoid(z[:, 1] - z[:, 0])
    return [
        ("jacobian_outer", "softmax: J and diag(s) - ssᵀ", jacobian, outer, EXACT),
        ("jacobian_differences", "softmax: J and central differences", jacobian[0], slopes, 1e-9),
        ("jacobian_rows", "softmax: sums of J's rows and 0", jacobian.sum(axis=-1), 0.0, EXACT),
        ("product", "softmax: s∘(v - s·v) and Jᵀv", softmax_vjp(z, v), product, EXACT),
        ("translation", "softmax(z + c) and softmax(z), c = 100", softmax(z + 100), s, 1e-12),
        ("scaling_up", "softmax(10⁹ z) and the largest logit", softmax(1e9 * z), softmax_limit(z), 1e-6),
        ("scaling_down", "softmax(z/10⁹) and 1/K", softmax(z / 1e9), 1 / 7, 1e-8),
        ("two_classes", "softmax of two classes and σ(z1 - z0)", softmax(z[:, :2])[:, 1], of_two, EXACT),
        ("fewer_parameters", "softmax of K and of K - 1 columns", softmax(x @ kernel + bias), reduced, EXACT),
    ]


def one_probability(place: int, logits: np.ndarray) -> float:
    """softmax(z) at one place."""
    return float(softmax(logits)[place])


def steep_delta(k: int) -> float:
    """The largest |⟨σ(kx)', φ⟩ - φ(0)| over the bumps; the parts of the quadrature end where the slope does."""
    breaks = (0.0, *(side * width / k for side in (-1.0, 1.0) for width in (2.0, 5.0, 10.0, 20.0, 40.0)))
    found = [pairing(lambda x: k * sigmoid_derivative(k * x), bump, breaks=breaks) for bump in BUMPS[:3]]
    return max(abs(one - float(bump(0.0))) for one, bump in zip(found, BUMPS[:3], strict=True))


def product_by_jacobian(z: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Jᵀv from all n² entries of J."""
    product: np.ndarray = softmax_jacobian(z).T @ v
    return product


def timed(sizes: tuple[int, ...], random: np.random.Generator) -> pd.DataFrame:
    """Seconds of Jᵀv by the Jacobian, which has n² entries, and by the product, which needs none: the shortest of seven."""
    rows = []
    for n in sizes:
        z, v = random.normal(size=n), random.normal(size=n)
        ways = (partial(function, z, v) for function in (product_by_jacobian, softmax_vjp))
        rows.append((n, *(min(timeit.repeat(way, number=1, repeat=7)) for way in ways)))
    return pd.DataFrame(rows, columns=["n", "jacobian_s", "product_s"])


def draw_step() -> Figure:
    """ReLU and H; σ(kx); its slope."""
    figure = Figure(figsize=(10.5, 3.8), layout="constrained")
    panels, x = figure.subplots(1, 3), np.linspace(-2, 2, 1601)
    panels[0].plot(x, relu(x), label="ReLU(x) = x H(x)")
    panels[0].plot(x, heaviside(x), label="H(x) = ReLU'(x)")
    for k in (1, 3, 10, 100):
        panels[1].plot(x, sigmoid(k * x), label=f"σ({k}x)")
        panels[2].plot(x, k * sigmoid_derivative(k * x), label=f"{k}σ'({k}x), area 1")
    panels[1].plot(0, 0.5, "o", color=INK, label="½ for every k")
    panels[2].set_ylim(0, 6)
    for axes, name in zip(panels, ("value", "σ(kx)", "slope"), strict=True):
        finish_axes(axes, "x", name)
    return figure


def draw_softmax() -> Figure:
    """Bars of four classes."""
    figure, z = Figure(figsize=(11, 3.6), layout="constrained"), np.array([1.0, 2.0, 0.5, 1.8])
    panels = {"softmax(z)": z, "softmax(z + 100)": z + 100} | {f"softmax({k}z)": k * z for k in (0.1, 5, 100)}
    for axes, (title, logits) in zip(figure.subplots(1, 5, sharey=True), panels.items(), strict=True):
        axes.bar_label(axes.bar(range(1, 5), softmax(logits)), fmt="%.2f", fontsize=8)
        axes.set(xlabel="class", ylim=(0, 1.1), xticks=range(1, 5), title=title)
    figure.axes[0].set_ylabel("probability")
    return figure


def answer(report: StudyReport, delta: pd.DataFrame, times: pd.DataFrame) -> None:
    """Answers the why-questions from the numbers."""
    found, last = {key: finding.measured for key, finding in report.findings.items()}, times.iloc[-1]
    closer = ", ".join(f"{row.largest_difference:.1e} (k = {row.k})" for row in delta.iloc[::2].itertuples())
    report.answer(
        "How can H have a derivative, where it jumps?",
        "As a distribution: by parts, ⟨H', φ⟩ = -∫ H φ' = φ(0) for each smooth φ that vanishes outside an interval, and δ is what gives φ(0). "
        f"By quadrature with {len(BUMPS)} such φ the two differ by {found['heaviside_derivative']:.1e}. The slopes of σ(kx) come as close "
        f"with k⁻²: {closer}.",
    )
    report.answer(
        "Why is softmax unchanged by a translation, and what does scaling do?",
        f"exp(c) cancels (difference {found['translation']:.1e} for c = 100; this is how overflow is avoided). A factor k is an inverse "
        "temperature: k → ∞ gives all to the largest logit, k → 0 the same to all.",
    )
    report.answer(
        "Why are K - 1 columns of weights enough?",
        "Only differences of logits count, so one class can have the logit 0: subtract its column from all. With two classes what is left is "
        f"the sigmoid of z1 - z0 (difference {found['two_classes']:.1e}).",
    )
    report.answer(
        "Why does nobody build the Jacobian?",
        f"Backpropagation needs Jᵀv only, s∘(v - s·v): n numbers. For n = {last.n:.0f} building J first took {1e6 * last.jacobian_s:.0f} µs, "
        f"the product {1e6 * last.product_s:.1f} µs.",
    )
