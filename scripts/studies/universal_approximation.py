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

from zoo.drawing import INK, finish_axes
from zoo.inspection import plot_matrices
from zoo.reference import DenseNetwork, interpolating_network, tanh_network
from zoo.reporting.study import StudyReport

STEEPNESS = (1.0, 4.0, 20.0, 160.0)
SIZES = (4, 8, 16, 32, 64)


def run(options: StudyOptions, report: StudyReport) -> None:
    """Rewrites a network, passes through points, and approximates a function ever better."""
    points, features = (20, 3) if options.fast else (100, 5)
    report.settings.update(steepness=STEEPNESS, sizes=SIZES, points=points, features=features)
    random = np.random.default_rng(options.seed)
    of_tanh = tanh_difference(random)
    inputs, targets = random.normal(size=(points, features)), random.normal(size=points)
    many = interpolation_error(interpolating_network(inputs, targets, seed=options.seed), inputs, targets)
    x, y = (np.linspace(-3, 3, 8) + random.uniform(-0.3, 0.3, 8))[:, None], random.normal(size=8)
    relu, table = interpolating_network(x, y), by_steepness(x, y)
    above, steepest = np.abs(np.triu(hidden(relu, x), 1)).max(), table.iloc[-1]
    errors = pd.DataFrame([(n, *(approximation_error(f, n) for f in ("relu", "sigmoid"))) for n in SIZES])
    errors.columns = ["units", "relu", "sigmoid"]
    slopes = np.polyfit(np.log(SIZES[1:]), np.log(errors[["relu", "sigmoid"]][1:]), 1)[0]
    for check in (
        ("tanh_difference", "largest |σ network - tanh network|", of_tanh, 0.0, 1e-14),
        ("relu_many", f"ReLU through {points} points in {features} dimensions: largest error", many, 0.0, 1e-9),
        ("relu_error", "ReLU through 8 points: largest error", interpolation_error(relu, x, y), 0.0, 1e-12),
        ("relu_above_diagonal", "ReLU: largest |M| above the diagonal", above, 0.0, 0.0),
        ("sigmoid_error", "σ through 8 points, steepest: largest error", steepest["error"], 0.0, 1e-12),
        ("sigmoid_triangular", "σ, steepest: largest |M - triangle of ones|", steepest["off_triangular"], 0.0, 1e-12),
        ("relu_order", "ReLU: log-log slope of the error for sin against N", slopes[0], -2.0, 0.2),
        ("sigmoid_order", "σ: the same", slopes[1], -1.0, 0.2),
    ):
        report.check(*check)
    report.table("Steepness of the sigmoids", table)
    report.table("Approximating sin", errors)
    networks = {"ReLU": relu} | {f"σ, λ·gap = {s:g}": steep_network(x, y, s) for s in STEEPNESS if s != 20}
    report.figure("interpolation", draw_interpolation(networks, x, y), "Eight units through eight points.")
    matrices = plot_matrices({name: hidden(network, x) for name, network in networks.items()}, numbers=None)
    report.figure("matrices", matrices, "The hidden activations M: a row a point, sorted, a column a unit.")
    report.figure("approximation", draw_errors(errors), "Largest error for sin on [-3, 3] against the number of units.")
    answer(report, table, errors, slopes)


def tanh_difference(random: np.random.Generator) -> float:
    """Of a random network with 3 inputs, 16 sigmoids and 2 outputs, on 1,000 inputs."""
    shapes = ((3, 16), (16, 2), (16,), (2,))
    *kernels, first, second = (random.normal(size=shape) for shape in shapes)
    network = DenseNetwork(kernels, [first, second], ["sigmoid", "identity"])
    inputs = random.normal(size=(1000, 3))
    return float(np.abs(network.forward(inputs).predictions - tanh_network(network).forward(inputs).predictions).max())


def hidden(network: DenseNetwork, inputs: np.ndarray) -> np.ndarray:
    """M: (N, N) what the hidden units give."""
    return network.forward(inputs).outputs[2]


def interpolation_error(network: DenseNetwork, inputs: np.ndarray, targets: np.ndarray) -> float:
    """The largest error at the points themselves."""
    return float(np.abs(network.forward(inputs).predictions[:, 0] - targets).max())


def steep_network(x: np.ndarray, y: np.ndarray, steepness: float) -> DenseNetwork:
    """Sigmoids through the points."""
    return interpolating_network(x, y, activation="sigmoid", steepness=steepness)


def by_steepness(x: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    """How near M of sigmoids is to the triangle of ones, and how well it can be inverted."""
    rows = []
    for steepness in STEEPNESS:
        network = steep_network(x, y, steepness)
        matrix, largest = hidden(network, x), np.abs(network.kernels[1]).max()
        off = np.abs(matrix - np.tril(np.ones_like(matrix))).max()
        rows.append((steepness, interpolation_error(network, x, y), off, np.linalg.cond(matrix), largest))
    return pd.DataFrame(rows, columns=["steepness", "error", "off_triangular", "condition", "largest_weight"])


def approximation_error(activation: str, size: int) -> float:
    """The largest error between N equidistant points through which the network takes the values of sin."""
    x, fine = np.linspace(-3, 3, size)[:, None], np.linspace(-3, 3, 4001)[:, None]
    network = interpolating_network(x, np.sin(x[:, 0]), activation=activation, steepness=160.0)
    return float(np.abs(network.forward(fine).predictions[:, 0] - np.sin(fine[:, 0])).max())


def draw_interpolation(networks: dict[str, DenseNetwork], x: np.ndarray, y: np.ndarray) -> Figure:
    """Four networks through the same points."""
    figure, fine = Figure(figsize=(10, 6), layout="constrained"), np.linspace(-3.3, 3.3, 2000)[:, None]
    for axes, (name, network) in zip(figure.subplots(2, 2, sharex=True).ravel(), networks.items(), strict=True):
        axes.plot(fine, network.forward(fine).predictions, linewidth=1.2, label="network")
        axes.plot(x, y, "o", color=INK, markersize=5, label="the points")
        axes.set_title(name, fontsize=10)
        finish_axes(axes, "x", "y")
    return figure


def draw_errors(errors: pd.DataFrame) -> Figure:
    """Both axes logarithmic."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for name, label, power in (("relu", "ReLU: a polyline", -2.0), ("sigmoid", "steep σ: a staircase", -1.0)):
        axes.loglog(errors["units"], errors[name], "o-", label=label)
        line = errors[name].iloc[-1] * (errors["units"] / SIZES[-1]) ** power
        axes.loglog(errors["units"], line, ":", color=INK, label=f"N⁻{'²¹'[int(power) + 2]}")
    axes.set_xticks(SIZES, [str(s) for s in SIZES])
    axes.minorticks_off()
    finish_axes(axes, "hidden units N", "largest error for sin(x)")
    return figure


def answer(report: StudyReport, table: pd.DataFrame, errors: pd.DataFrame, slopes: np.ndarray) -> None:
    """Answers the why-questions from the numbers."""
    flat, steep, last = table.iloc[0], table.iloc[-1], errors.iloc[-1]
    report.answer(
        "Why is a σ network a tanh network?",
        "σ(z) = ½ + ½ tanh(z/2): halve what goes in, halve what goes out, and put the constant ½ of each unit into the next bias. The two "
        f"differ by {report.findings['tanh_difference'].measured:.1e}, which is rounding.",
    )
    report.answer(
        "Why do N units pass through any N points?",
        "Projected on a line and sorted, point i switches on the units 1 … i only, so M is triangular with a diagonal above 0 and M c = y has "
        "a solution, whatever y is: labels drawn at random too.",
    )
    report.answer(
        "Why does the sigmoid need λ → ∞?",
        f"At λ·gap = {flat.steepness:g}, M is off the triangle of ones by {flat.off_triangular:.2g}; here it can still be inverted, with the "
        f"condition {flat.condition:.3g} and weights up to {flat.largest_weight:.2g}, but nothing says so in general. At {steep.steepness:g} it "
        f"is off by {steep.off_triangular:.1g}, the condition {steep.condition:.3g}, and the weights are the differences of neighbouring targets.",
    )
    report.answer(
        "Which comes closer to a function between the points?",
        f"With {last.units:.0f} units the polyline is within {last.relu:.2g} of sin and the staircase within {last.sigmoid:.2g}; the slopes are "
        f"{slopes[0]:.2f} and {slopes[1]:.2f}: N⁻² for lines, N⁻¹ for steps. Passing through the points says nothing of what is between.",
    )
