"""Do the textbook's identities of ReLU, the step, δ, σ and softmax hold in numbers?

Command:  python scripts/study.py run textbook_identities
Runtime:  about 6 s on 2 cores, 4 of them for TensorFlow to start.
Expected: ReLU' = H, ReLU = xH(x) = ∫H, σ(kx) → H(x), H' = δ by quadrature; softmax's Jacobian diag(s) - ssᵀ and its product in O(n);
          invariance under translation, limits under scaling; two classes are a sigmoid; K - 1 logits are enough.
Source:   coursework; Goodfellow, Bengio & Courville, Deep Learning, sections 3.10 and 6.2.2; Schwartz, Théorie des distributions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies.options import StudyOptions

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
from zoo.training.curves import INK, finish_axes

EXACT, QUADRATURE = 1e-14, 1e-10
STEEPNESS = (1, 3, 10, 30, 100, 300, 1000)
BUMPS = (Bump(), Bump(0.3, 1.0), Bump(-0.5, 2.0), Bump(2.0, 1.0))  # the last one is 0 at 0


def run(options: StudyOptions) -> StudyReport:
    """Every identity as the largest difference of its two sides."""
    sizes = (10, 100, 300) if options.fast else (10, 30, 100, 300, 1000, 2000)
    report = StudyReport(
        "textbook_identities",
        "Do the textbook's identities of ReLU, the step, δ, σ and softmax hold in numbers?",
        options.command("textbook_identities"),
        {"steepness": STEEPNESS, "bumps": [(b.center, b.radius) for b in BUMPS], "sizes": sizes},
        options.seed,
    )
    random = np.random.default_rng(options.seed)
    for key, (label, difference, tolerance) in {**step_identities(random), **softmax_identities(random)}.items():
        report.check(key, f"{label}: largest difference", difference, 0.0, tolerance)
    delta = pd.DataFrame([{"k": k, "largest_difference": steep_delta(k)} for k in STEEPNESS])
    report.table("σ(kx)' as k grows, against δ", delta)
    slope = float(np.polyfit(np.log(delta["k"][3:]), np.log(delta["largest_difference"][3:]), 1)[0])
    report.check("steep_delta_order", "⟨σ(kx)', φ⟩ - φ(0): log-log slope in k", slope, -2.0, 0.1)
    times = timed(sizes, random)
    report.table("Products with the Jacobian of softmax", times)
    last = times.iloc[-1]
    report.value(
        "product_speedup",
        last["jacobian_s"] / last["product_s"],
        label=f"n = {last['n']:.0f}: Jacobian and product over the O(n) product, time",
    )
    report.figure(
        "step", draw_step(), "ReLU, its slope H, and σ(kx) as k grows; on the right what is left of its slope: δ."
    )
    report.figure("softmax", draw_softmax(), "Softmax of the same logits: translated, and scaled by k.")
    report.figure("times", draw_times(times), "Time of Jᵀv with the Jacobian and without it.")
    answer(report, delta, times)
    return report


def step_identities(random: np.random.Generator) -> dict[str, tuple[str, float, float]]:
    """Key -> (label, largest difference, tolerance) of what is said of ReLU, H, σ and δ."""
    x = random.uniform(-3, 3, 100)
    away = x[np.abs(x) > 1e-3]
    slopes = np.array([numerical_gradient(lambda p: float(relu(p)), point).item() for point in away])
    integrals = np.array([integral(heaviside, -4.0, float(point)) for point in x])
    far = np.abs(x) >= 0.1
    weak = max(abs(derivative_pairing(relu, b) - pairing(heaviside, b)) for b in BUMPS)
    dirac = max(abs(derivative_pairing(heaviside, b) - float(b(0.0))) for b in BUMPS)
    steep = np.abs(sigmoid(STEEPNESS[-1] * x[far]) - heaviside(x[far])).max()
    return {
        "relu_slope": ("ReLU' and H away from 0, by central differences", np.abs(slopes - heaviside(away)).max(), 1e-9),
        "relu_derivative": (
            "ReLU' as the library has it, and H with H(0) = 0",
            np.abs(relu_derivative(x) - heaviside(x, at_zero=0.0)).max(),
            0.0,
        ),
        "relu_product": ("ReLU and xH(x)", np.abs(relu(x) - x * heaviside(x)).max(), 0.0),
        "relu_integral": ("ReLU and ∫H", np.abs(relu(x) - integrals).max(), 1e-12),
        "relu_weak_derivative": ("⟨ReLU', φ⟩ and ⟨H, φ⟩", weak, QUADRATURE),
        "heaviside_derivative": ("⟨H', φ⟩ and φ(0): H' = δ", dirac, QUADRATURE),
        "steep_sigmoid": (f"σ({STEEPNESS[-1]}x) and H for |x| >= 0.1", float(steep), 1e-12),
        "sigmoid_at_zero": ("σ(k·0) and ½", float(abs(sigmoid(0.0) - 0.5)), 0.0),
        "sigmoid_symmetry": ("σ(-x) and 1 - σ(x)", np.abs(sigmoid(-x) - (1 - sigmoid(x))).max(), EXACT),
    }


def softmax_identities(random: np.random.Generator) -> dict[str, tuple[str, float, float]]:
    """The same of softmax, at random logits of seven classes."""
    z, v = 2 * random.normal(size=(50, 7)), random.normal(size=(50, 7))
    s, jacobian = softmax(z), softmax_jacobian(z)
    outer = np.stack([np.diag(p) - np.outer(p, p) for p in s])
    differences = np.stack([numerical_gradient(partial(one_probability, i), z[0]) for i in range(7)])
    product = np.einsum("nij,ni->nj", jacobian, v)
    kernel, bias, x = random.normal(size=(4, 7)), random.normal(size=7), random.normal(size=(50, 4))
    fewer = reduced_softmax(np.add(x @ reduce_softmax(kernel, bias)[0], reduce_softmax(kernel, bias)[1]))
    return {
        "jacobian_outer": ("softmax: J and diag(s) - ssᵀ", np.abs(jacobian - outer).max(), EXACT),
        "jacobian_differences": ("softmax: J and central differences", np.abs(jacobian[0] - differences).max(), 1e-9),
        "jacobian_rows": ("softmax: sums of J's rows and 0", np.abs(jacobian.sum(axis=-1)).max(), EXACT),
        "product": ("softmax: s∘(v - s·v) and Jᵀv", np.abs(softmax_vjp(z, v) - product).max(), EXACT),
        "translation": ("softmax(z + c) and softmax(z), c = 100", np.abs(softmax(z + 100) - s).max(), 1e-12),
        "scaling_up": (
            "softmax(10⁹ z) and the largest logit",
            np.abs(softmax(1e9 * z) - softmax_limit(z)).max(),
            1e-6,
        ),
        "scaling_down": ("softmax(z/10⁹) and 1/K", np.abs(softmax(z / 1e9) - 1 / 7).max(), 1e-8),
        "two_classes": (
            "softmax of two classes and σ(z1 - z0)",
            np.abs(softmax(z[:, :2])[:, 1] - sigmoid(z[:, 1] - z[:, 0])).max(),
            EXACT,
        ),
        "fewer_parameters": (
            "softmax regression with K and with K - 1 columns",
            np.abs(softmax(x @ kernel + bias) - fewer).max(),
            EXACT,
        ),
    }


def one_probability(place: int, logits: np.ndarray) -> float:
    """softmax(z) at one place."""
    return float(softmax(logits)[place])


def product_by_jacobian(z: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Jᵀv from all n² entries of J."""
    return softmax_jacobian(z).T @ v


def steep_delta(k: int) -> float:
    """The largest |⟨σ(kx)', φ⟩ - φ(0)| over the bumps; the parts of the quadrature end where the slope does."""
    breaks = (0.0, *(side * width / k for side in (-1.0, 1.0) for width in (2.0, 5.0, 10.0, 20.0, 40.0)))
    return max(
        abs(pairing(lambda x: k * sigmoid_derivative(k * x), bump, breaks=breaks) - float(bump(0.0)))
        for bump in BUMPS[:3]
    )


def timed(sizes: tuple[int, ...], random: np.random.Generator) -> pd.DataFrame:
    """Seconds of Jᵀv by the Jacobian, which has n² entries, and by the product, which needs none of them."""
    rows = []
    for n in sizes:
        z, v = random.normal(size=n), random.normal(size=n)
        rows.append((n, shortest(partial(product_by_jacobian, z, v)), shortest(partial(softmax_vjp, z, v))))
    return pd.DataFrame(rows, columns=["n", "jacobian_s", "product_s"])


def shortest(function: Callable[[], np.ndarray]) -> float:
    """The shortest of several runs: what else runs on the machine only makes one longer."""
    found = []
    for _ in range(7):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def draw_step() -> Figure:
    """ReLU and H; σ(kx); its slope."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
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
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    z = np.array([1.0, 2.0, 0.5, 1.8])
    panels = [("z", z), ("z + 100", z + 100), ("k = 0.1", 0.1 * z), ("k = 5", 5 * z), ("k = 100", 100 * z)]
    for axes, (title, logits) in zip(figure.subplots(1, 5, sharey=True), panels, strict=True):
        p = softmax(logits)
        axes.bar(range(1, 5), p)
        for place, share in enumerate(p, 1):
            axes.text(place, share + 0.02, f"{share:.2f}", ha="center", fontsize=8)
        axes.set(xlabel="class", ylim=(0, 1.1), xticks=range(1, 5))
        axes.set_title(f"softmax({title})" if "k" not in title else f"softmax(kz), {title}", fontsize=9)
    figure.axes[0].set_ylabel("probability")
    return figure


def draw_times(times: pd.DataFrame) -> Figure:
    """Both axes logarithmic."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    axes.loglog(times["n"], 1e6 * times["jacobian_s"], "o-", label="diag(s) - ssᵀ, then Jᵀv: n² entries")
    axes.loglog(times["n"], 1e6 * times["product_s"], "o-", label="s∘(v - s·v): n entries")
    finish_axes(axes, "number of classes n", "time (µs)")
    return figure


def answer(report: StudyReport, delta: pd.DataFrame, times: pd.DataFrame) -> None:
    """Answers the why-questions from the numbers."""
    last = times.iloc[-1]
    report.answer(
        "How can H have a derivative, where it jumps?",
        "As a distribution: by parts, ⟨H', φ⟩ = -∫ H φ' = φ(0) for each smooth φ that vanishes outside an interval, and δ is what gives φ(0). By quadrature with "
        f"{len(BUMPS)} such φ the two differ by {report.findings['heaviside_derivative'].measured:.1e}. The slopes of σ(kx) come as close with k⁻²: "
        + ", ".join(f"{row.largest_difference:.1e} (k = {row.k:.0f})" for row in delta.iloc[::2].itertuples())
        + ".",
    )
    report.answer(
        "Why is softmax unchanged by a translation, and what does scaling do?",
        f"exp(c) cancels (difference {report.findings['translation'].measured:.1e} for c = 100; this is how overflow is avoided). A factor k is an inverse temperature: k → ∞ "
        "gives all to the largest logit, k → 0 the same to all.",
    )
    report.answer(
        "Why are K - 1 columns of weights enough?",
        "Since only differences of logits count, one class can have the logit 0: subtract its column from all. With two classes what is left is the sigmoid of "
        f"z1 - z0 (difference {report.findings['two_classes'].measured:.1e}).",
    )
    report.answer(
        "Why does nobody build the Jacobian?",
        f"Backpropagation needs Jᵀv only, s∘(v - s·v): n numbers. For n = {last.n:.0f} building J first took {1e6 * last.jacobian_s:.0f} µs, the product "
        f"{1e6 * last.product_s:.1f} µs.",
    )
