"""Can a network with one hidden layer pass through any points, and does it matter whether its units are σ, tanh or ReLU?

Command:  python scripts/study.py run universal_approximation
Runtime:  about 5 s on 2 cores, 4 of them for TensorFlow to start.
Expected: a σ network rewritten with tanh (W1/2, b1/2, W2/2, b2 + ½ΣW2) differs by at most 1e-14; N hidden units take any N values
          at N points, with ReLU (triangular M) and with σ for a steepness λ → ∞.
Source:   coursework; Bishop, Pattern Recognition and Machine Learning, exercise 5.1; Zhang et al. (2017), Understanding deep
          learning requires rethinking generalization, theorem 1.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies.options import StudyOptions

from zoo.reference import DenseNetwork, interpolating_network, tanh_network
from zoo.reporting.study import StudyReport
from zoo.training.curves import INK, finish_axes

STEEPNESS = (1.0, 4.0, 20.0, 160.0)
SIZES = (4, 8, 16, 32, 64)


def run(options: StudyOptions) -> StudyReport:
    """Rewrites a network, passes through points, and approximates a function ever better."""
    points, features = (20, 3) if options.fast else (100, 5)
    report = StudyReport(
        "universal_approximation",
        "Can a network with one hidden layer pass through any points, and does it matter whether its units are σ, tanh or ReLU?",
        options.command("universal_approximation"),
        {"steepness": STEEPNESS, "sizes": SIZES, "points": points, "features": features},
        options.seed,
    )
    random = np.random.default_rng(options.seed)
    report.check("tanh_difference", "largest |σ network - tanh network|", tanh_difference(random), 0.0, 1e-14)
    inputs, targets = random.normal(size=(points, features)), random.normal(size=points)
    error = interpolation_error(interpolating_network(inputs, targets, seed=options.seed), inputs, targets)
    report.check(
        "relu_many", f"ReLU through {points} random points in {features} dimensions: largest error", error, 0.0, 1e-9
    )
    x, y = (np.linspace(-3, 3, 8) + random.uniform(-0.3, 0.3, 8))[:, None], random.normal(size=8)
    relu, rows = interpolating_network(x, y), []
    report.check("relu_error", "ReLU through 8 points: largest error", interpolation_error(relu, x, y), 0.0, 1e-12)
    report.check(
        "relu_above_diagonal",
        "ReLU: largest |M| above the diagonal",
        np.abs(np.triu(hidden(relu, x), 1)).max(),
        0.0,
        0.0,
    )
    for steepness in STEEPNESS:
        network = interpolating_network(x, y, activation="sigmoid", steepness=steepness)
        matrix = hidden(network, x)
        off = np.abs(matrix - np.tril(np.ones_like(matrix))).max()
        rows.append(
            (
                steepness,
                interpolation_error(network, x, y),
                off,
                np.linalg.cond(matrix),
                np.abs(network.kernels[1]).max(),
            )
        )
    table = pd.DataFrame(rows, columns=["steepness", "error", "off_triangular", "condition", "largest_weight"])
    report.check("sigmoid_error", "σ through 8 points, steepest: largest error", table["error"].iloc[-1], 0.0, 1e-12)
    report.check(
        "sigmoid_triangular",
        "σ, steepest: largest |M - triangle of ones|",
        table["off_triangular"].iloc[-1],
        0.0,
        1e-12,
    )
    report.table("Steepness of the sigmoids", table)
    errors = {name: [approximation_error(name, size) for size in SIZES] for name in ("relu", "sigmoid")}
    slopes = {name: float(np.polyfit(np.log(SIZES[1:]), np.log(of_name[1:]), 1)[0]) for name, of_name in errors.items()}
    report.check("relu_order", "ReLU: log-log slope of the error for sin against N", slopes["relu"], -2.0, 0.2)
    report.check("sigmoid_order", "σ: the same", slopes["sigmoid"], -1.0, 0.2)
    report.table("Approximating sin", pd.DataFrame({"units": SIZES, **errors}))
    report.figure(
        "interpolation", draw_interpolation(x, y), "Eight units through eight points: a polyline and staircases."
    )
    report.figure("matrices", draw_matrices(x, y), "The hidden activations M of the sorted points.")
    report.figure("approximation", draw_errors(errors), "Largest error for sin on [-3, 3] against the number of units.")
    answer(report, table, errors, slopes)
    return report


def tanh_difference(random: np.random.Generator) -> float:
    """Of a random network with 3 inputs, 16 sigmoids and 2 outputs, on 1,000 inputs."""
    kernels, biases = (
        [random.normal(size=(3, 16)), random.normal(size=(16, 2))],
        [random.normal(size=16), random.normal(size=2)],
    )
    network = DenseNetwork(kernels, biases, ["sigmoid", "identity"])
    inputs = random.normal(size=(1000, 3))
    return float(np.abs(network.forward(inputs).predictions - tanh_network(network).forward(inputs).predictions).max())


def hidden(network: DenseNetwork, inputs: np.ndarray) -> np.ndarray:
    """M: (N, N) what the hidden units give."""
    return network.forward(inputs).outputs[2]


def interpolation_error(network: DenseNetwork, inputs: np.ndarray, targets: np.ndarray) -> float:
    """The largest error at the points themselves."""
    return float(np.abs(network.forward(inputs).predictions[:, 0] - targets).max())


def approximation_error(activation: str, size: int) -> float:
    """The largest error between N equidistant points through which the network takes the values of sin."""
    x, fine = np.linspace(-3, 3, size)[:, None], np.linspace(-3, 3, 4001)[:, None]
    network = interpolating_network(x, np.sin(x[:, 0]), activation=activation, steepness=160.0)
    return float(np.abs(network.forward(fine).predictions[:, 0] - np.sin(fine[:, 0])).max())


def draw_interpolation(x: np.ndarray, y: np.ndarray) -> Figure:
    """Four networks through the same points."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    fine = np.linspace(-3.3, 3.3, 2000)[:, None]
    panels = [("relu", 40.0), *(("sigmoid", s) for s in STEEPNESS if s != 20)]
    for axes, (activation, steepness) in zip(figure.subplots(2, 2, sharex=True).ravel(), panels, strict=True):
        network = interpolating_network(x, y, activation=activation, steepness=steepness)
        axes.plot(fine, network.forward(fine).predictions, linewidth=1.2, label="network")
        axes.plot(x, y, "o", color=INK, markersize=5, label="the points")
        axes.set_title("ReLU" if activation == "relu" else f"σ, λ·gap = {steepness:g}", fontsize=10)
        finish_axes(axes, "x", "y")
    return figure


def draw_matrices(x: np.ndarray, y: np.ndarray) -> Figure:
    """M for ReLU, and for σ as it gets steeper."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    panels = [("relu", 40.0, "ReLU"), *(("sigmoid", s, f"σ, λ·gap = {s:g}") for s in STEEPNESS if s != 20)]
    for axes, (activation, steepness, title) in zip(figure.subplots(1, 4), panels, strict=True):
        image = axes.imshow(
            hidden(interpolating_network(x, y, activation=activation, steepness=steepness), x), cmap="Blues"
        )
        axes.set_title(title, fontsize=10)
        axes.set(xlabel="hidden unit", ylabel="point, sorted", xticks=[], yticks=[])
        figure.colorbar(image, ax=axes, shrink=0.8)
    return figure


def draw_errors(errors: dict[str, list[float]]) -> Figure:
    """Both axes logarithmic."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for name, label in (("relu", "ReLU: a polyline"), ("sigmoid", "steep σ: a staircase")):
        axes.loglog(SIZES, errors[name], "o-", label=label)
    counts = np.array(SIZES, np.float64)
    for power in (1, 2):
        axes.loglog(
            counts,
            errors["relu" if power == 2 else "sigmoid"][-1] * (counts / counts[-1]) ** -power,
            ":",
            color=INK,
            label=f"N⁻{'¹²'[power - 1]}",
        )
    axes.set_xticks(SIZES, [str(s) for s in SIZES])
    axes.minorticks_off()
    finish_axes(axes, "hidden units N", "largest error for sin(x)")
    return figure


def answer(report: StudyReport, table: pd.DataFrame, errors: dict[str, list[float]], slopes: dict[str, float]) -> None:
    """Answers the why-questions from the numbers."""
    flat, steep = table.iloc[0], table.iloc[-1]
    report.answer(
        "Why is a σ network a tanh network?",
        "σ(z) = ½ + ½ tanh(z/2): halve what goes in, halve what goes out, and put the constant ½ of each unit into the next bias. The two differ by "
        f"{report.findings['tanh_difference'].measured:.1e}, which is rounding.",
    )
    report.answer(
        "Why do N units pass through any N points?",
        "Projected on a line and sorted, point i switches on the units 1 … i only, so M is triangular with a diagonal above 0 and M c = y has a solution, "
        "whatever y is: labels drawn at random too.",
    )
    report.answer(
        "Why does the sigmoid need λ → ∞?",
        f"At λ·gap = {flat.steepness:g}, M is off the triangle of ones by {flat.off_triangular:.2g}; here it can still be inverted, with the condition "
        f"{flat.condition:.3g} and weights up to {flat.largest_weight:.2g}, but nothing says so in general. At {steep.steepness:g} it is off by "
        f"{steep.off_triangular:.1g}, the condition {steep.condition:.3g}, and the weights are the differences of neighbouring targets.",
    )
    report.answer(
        "Which comes closer to a function between the points?",
        f"With {SIZES[-1]} units the polyline is within {errors['relu'][-1]:.2g} of sin and the staircase within {errors['sigmoid'][-1]:.2g}; the slopes are "
        f"{slopes['relu']:.2f} and {slopes['sigmoid']:.2f}: N⁻² for lines, N⁻¹ for steps. Passing through the points says nothing of what is between.",
    )
