"""How does the gradient of the first layer depend on depth, which ReLU paths are dead, and when does a sigmoid not shrink it?

Command:  python scripts/study.py run vanishing_gradients
Runtime:  about 7 s on 2 cores, 4 of them for TensorFlow to start.
Expected: in a chain of sigmoids with |w| <= 1, |∂a_L/∂z_1| <= 0.25^L; with ReLU it is 0 exactly where every path is dead;
          |wσ'(wa + b)| >= 1 needs |w| >= 4, on an interval of at most 0.447743, for |w| = 6.894.
Source:   coursework; Nielsen, Neural Networks and Deep Learning, chapter 5; Glorot & Bengio (2010).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure
from studies.options import StudyOptions

import zoo
from zoo.inspection import dead_units, gradient_norms
from zoo.reference import (
    DenseNetwork,
    chain_gradients,
    relu,
    relu_derivative,
    saturation_width,
    sigmoid,
    sigmoid_derivative,
    sigmoid_gradient_bounds,
    tanh_derivative,
    widest_saturation,
)
from zoo.reporting.study import StudyReport
from zoo.training.curves import INK, finish_axes

DEPTHS = (2, 5, 10, 20, 35, 50)
CHAINS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "sigmoid": (sigmoid, sigmoid_derivative),
    "tanh": (np.tanh, tanh_derivative),
    "relu": (relu, relu_derivative),
    "steep": (lambda x: sigmoid(8 * x), lambda x: 8 * sigmoid_derivative(8 * x)),
}
NAMES = {"sigmoid": "σ(x)", "tanh": "tanh(x)", "relu": "ReLU(x)", "steep": "σ(8x), b = -½"}
WIDTH = 3


def run(options: StudyOptions) -> StudyReport:
    """Chains by depth, layers by depth, dead paths, and the bound on saturation."""
    depths, draws = (DEPTHS[:3], 20) if options.fast else (DEPTHS, 200)
    report = StudyReport(
        "vanishing_gradients",
        "How does the gradient of the first layer depend on depth, which ReLU paths are dead, and when does a sigmoid not shrink it?",
        options.command("vanishing_gradients"),
        {"depths": depths, "random_chains": draws, "width": WIDTH, "start": 0.5, "weight": 1.0},
        options.seed,
    )
    random = np.random.default_rng(options.seed)
    table = by_depth(depths)
    report.table("First layer of a chain by depth", table)
    deepest = table.iloc[-1]
    for name in CHAINS:
        report.value(
            f"{name}_depth_{depths[-1]}", deepest[name], label=f"{NAMES[name]}: |∂a_L/∂w_1| in a chain of {depths[-1]}"
        )
    ratio = max(bound_ratio(random, depths) for _ in range(draws))
    report.value("bound_ratio", ratio, label="σ: largest |∂a_L/∂z_l| over its bound, in random chains with |w| <= 1")
    report.check("bound_exceeded", "by how much that exceeds 1", max(ratio - 1, 0.0), 0.0, 1e-12)
    report.check(
        "autodiff",
        "chains: largest relative difference from TensorFlow's gradients",
        max(tape_difference(n, 10) for n in CHAINS),
        0.0,
        1e-12,
    )
    norms = layer_norms((5,) if options.fast else (5, 20, 50), options.seed)
    for (name, depth), of_layers in norms.items():
        report.value(
            f"mlp_{name}_{depth}_first_by_last",
            of_layers[0] / of_layers[-1],
            label=f"MLP, {name}, {depth} layers: ‖∂E/∂w‖ of the first over the last",
        )
    agree, patterns = dead_patterns(options.seed)
    report.check(
        "dead_rule",
        f"of {patterns} patterns of dead units: gradient 0 exactly where every path is dead",
        agree,
        patterns,
        0,
    )
    detected, shown = detected_paths(options.seed)
    report.check(
        "dead_detected",
        "Keras: dead_paths is right about whether the gradient vanishes",
        detected["right"].mean(),
        1.0,
        0.0,
    )
    report.table("Dead paths found in Keras models", detected)
    weight, width = widest_saturation()
    report.check("widest_weight", "|w| with the widest interval on which |wσ'(wa + b)| >= 1", weight, 6.894, 5e-4)
    report.check("widest_interval", "its width", width, 0.447743, 5e-7)
    report.check("least_weight", "max |wσ'| at |w| = 4", float(4 * sigmoid_derivative(0.0)), 1.0, 0.0)
    report.figure("chains", draw_chains(depths), "∂a_L/∂w_1 against depth; and every layer of the deepest chain.")
    report.figure("layers", draw_layers(norms), "MLPs with 32 units a layer: the gradient of each layer at the start.")
    report.figure(
        "dead_paths",
        draw_paths(shown),
        "Complete layers of ReLU units: dead ones are crossed out; a path needs a live unit in each layer.",
    )
    report.figure(
        "saturation",
        draw_saturation(weight, width),
        "How wide the interval is on which a sigmoid unit does not shrink the gradient.",
    )
    answer(report, table, norms, weight, width)
    return report


def chain(name: str, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights 1 and biases 0; for the steep activation biases that keep z at 0, where its derivative is 2."""
    return np.ones(depth), np.full(depth, -0.5 if name == "steep" else 0.0)


def by_depth(depths: tuple[int, ...]) -> pd.DataFrame:
    """|∂a_L/∂w_1| of each chain, and the bound 0.25^L on |∂a_L/∂z_1| of sigmoids."""
    rows = [
        {
            "depth": d,
            **{n: abs(chain_gradients(*chain(n, d), 0.5, *CHAINS[n]).weights[0]) for n in CHAINS},
            "bound": 0.25**d,
        }
        for d in depths
    ]
    return pd.DataFrame(rows)


def bound_ratio(random: np.random.Generator, depths: tuple[int, ...]) -> float:
    """The largest share of its bound that a delta reaches in random chains of sigmoids."""
    ratios = []
    for depth in depths:
        weights, biases = random.uniform(-1, 1, depth), random.normal(size=depth)
        deltas = chain_gradients(weights, biases, random.normal(), *CHAINS["sigmoid"]).deltas
        ratios.append(np.max(np.abs(deltas) / sigmoid_gradient_bounds(weights)))
    return float(max(ratios))


def tape_difference(name: str, depth: int) -> float:
    """∂a_L/∂w of a chain by TensorFlow, against `chain_gradients`."""
    functions = {"sigmoid": tf.sigmoid, "tanh": tf.tanh, "relu": tf.nn.relu, "steep": lambda z: tf.sigmoid(8 * z)}
    weights, biases = chain(name, depth)
    w, a = tf.constant(weights), tf.constant(0.5, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(w)
        for i in range(depth):
            a = functions[name](w[i] * a + biases[i])
    expected = chain_gradients(weights, biases, 0.5, *CHAINS[name]).weights
    return float(np.abs(tape.gradient(a, w).numpy() / expected - 1).max())


def layer_norms(depths: tuple[int, ...], seed: int) -> dict[tuple[str, int], np.ndarray]:
    """‖∂E/∂w‖ of each layer of Keras MLPs at their initial weights, on 64 random inputs."""
    random, found = np.random.default_rng(seed), {}
    inputs, labels = random.normal(size=(64, 32)), random.integers(10, size=64)
    for name in ("sigmoid", "tanh", "relu"):
        for depth in depths:
            initializer = "he_uniform" if name == "relu" else "glorot_uniform"
            model = zoo.build(
                "mlp",
                (32,),
                10,
                units=32,
                num_layers=depth,
                activation=name,
                kernel_initializer=initializer,
                seed=seed,
                dtype="float64",
            )
            found[name, depth] = gradient_norms(model, inputs, labels).norms
    return found


def relu_network(alive: np.ndarray, seed: int) -> DenseNetwork:
    """(layers, width) which units live: small random weights and a bias of 10, or of -10 for a dead one."""
    random = np.random.default_rng(seed)
    width = alive.shape[1]
    kernels = [random.uniform(0.1, 0.3, (width, width)) for _ in alive] + [np.ones((width, 1))]
    biases = [np.where(row, 10.0, -100.0) for row in alive] + [np.zeros(1)]
    return DenseNetwork(kernels, biases, ["relu"] * len(alive) + ["identity"])


def dead_patterns(seed: int) -> tuple[int, int]:
    """Over every pattern of dead units in three layers: how often the gradient is 0 exactly where no path lives, of how many."""
    agree = 0
    patterns = [np.array(bits).reshape(3, WIDTH) for bits in product([False, True], repeat=3 * WIDTH)]
    for alive in patterns:
        gradient = relu_network(alive, seed).backward(np.ones((1, WIDTH)), np.zeros((1, 1))).deltas[0]
        paths = alive.sum(axis=1).prod()  # a path takes one unit of each layer
        agree += bool((gradient == 0).all()) == (paths == 0)
    return agree, len(patterns)


def detected_paths(seed: int) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """`dead_units` on Keras models with known dead units, beside the gradient with respect to the inputs."""
    cases = {"all alive": np.ones((3, WIDTH), bool)}
    for name, dead in (
        ("every layer has a live unit", [(0, 0), (0, 2), (1, 1), (2, 0), (2, 1)]),
        ("a dead layer", [(1, 0), (1, 1), (1, 2)]),
    ):
        cases[name] = np.ones((3, WIDTH), bool)
        cases[name][tuple(zip(*dead, strict=True))] = False
    cases["a chain, one dead"] = np.array([[True], [False], [True]])
    rows = []
    for name, alive in cases.items():
        width = alive.shape[1]
        model = zoo.build(
            "mlp", (width,), 2, units=width, num_layers=3, classifier_activation=None, seed=seed, dtype="float64"
        )
        network = relu_network(alive, seed)
        hidden = [w for pair in zip(network.kernels, network.biases, strict=True) for w in pair][:-2]
        model.set_weights([*hidden, *model.get_weights()[-2:]])
        inputs = np.random.default_rng(seed).random((8, width))
        found = dead_units(model, inputs)
        first = gradient_norms(model, inputs, np.arange(8) % 2).norms[0]
        paths = int(alive.sum(axis=1).prod())
        rows.append(
            (
                name,
                paths,
                ", ".join(found.dead_paths) or "none",
                first,
                (first == 0) == bool(found.dead_paths) == (paths == 0),
            )
        )
    return pd.DataFrame(rows, columns=["case", "live_paths", "dead_paths", "first_layer_gradient", "right"]), cases


def draw_chains(depths: tuple[int, ...]) -> Figure:
    """The first layer against depth, and all layers of the deepest chain."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    lengths, deepest = np.arange(2, depths[-1] + 1), depths[-1]
    for name, functions in CHAINS.items():
        first = [abs(chain_gradients(*chain(name, d), 0.5, *functions).weights[0]) for d in lengths.tolist()]
        left.semilogy(lengths, first, label=NAMES[name])
        right.semilogy(
            np.arange(1, deepest + 1),
            np.abs(chain_gradients(*chain(name, deepest), 0.5, *functions).weights),
            label=NAMES[name],
        )
    left.semilogy(lengths, 0.25**lengths, ":", color=INK, label="0.25^L, the bound for σ")
    finish_axes(left, "depth L of the chain", "|∂a_L/∂w₁|")
    finish_axes(right, f"layer l of the chain with L = {deepest}", "|∂a_L/∂w_l|")
    right.get_legend().remove()
    return figure


def draw_layers(norms: dict[tuple[str, int], np.ndarray]) -> Figure:
    """One panel a depth."""
    depths = sorted({depth for _, depth in norms})
    figure = Figure(figsize=(4 * len(depths), 3.8), layout="constrained")
    for axes, depth in zip(figure.subplots(1, len(depths), sharey=True, squeeze=False)[0], depths, strict=True):
        for name in ("sigmoid", "tanh", "relu"):
            axes.semilogy(np.arange(1, depth + 2), norms[name, depth], "o-", markersize=3, label=name)
        axes.set_title(f"{depth} hidden layers", fontsize=10)
        finish_axes(axes, "layer, the output's last", "‖∂E/∂w‖")
    return figure


def draw_paths(cases: dict[str, np.ndarray]) -> Figure:
    """Live units filled, connections of live paths dark."""
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    for axes, (name, alive) in zip(figure.subplots(1, len(cases)), cases.items(), strict=True):
        count = int(alive.sum(axis=1).prod())
        height = np.arange(alive.shape[1]) - (alive.shape[1] - 1) / 2
        for layer in range(len(alive) - 1):
            for i, j in np.ndindex(alive.shape[1], alive.shape[1]):
                lives = count and alive[layer, i] and alive[layer + 1, j]
                axes.plot(
                    [layer, layer + 1],
                    [height[i], height[j]],
                    color="C0" if lives else "0.8",
                    linewidth=1.6 if lives else 0.8,
                    zorder=1 + bool(lives),
                )
        for layer, unit in np.ndindex(alive.shape):
            lives = alive[layer, unit]
            axes.plot(
                layer, height[unit], "o" if lives else "X", color="C0" if lives else "C3", markersize=13, zorder=4
            )
        axes.set_title(f"{name}\nlive paths: {count}", fontsize=10)
        axes.set(xlim=(-0.4, 2.4), ylim=(-1.5, 1.5))
        axes.axis("off")
    return figure


def draw_saturation(weight: float, width: float) -> Figure:
    """|wσ'(wa)| for four weights, and the width of the interval against |w|."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    a, sizes = np.linspace(-1, 1, 801), np.linspace(2, 40, 761)
    for w in (2.0, 4.0, weight, 20.0):
        left.plot(a, w * sigmoid_derivative(w * a), label=f"w = {w:.4g}")
    left.axhline(1, color=INK, linestyle="--", linewidth=1, label="1: nothing is lost")
    right.plot(sizes, saturation_width(sizes), label="interval with |wσ'| ≥ 1")
    right.plot(weight, width, "o", color=INK, label=f"widest: {width:.6f} at {weight:.3f}")
    finish_axes(left, "a, for b = 0", "|w σ'(wa + b)|")
    finish_axes(right, "|w|", "width of the interval of a")
    return figure


def answer(
    report: StudyReport, table: pd.DataFrame, norms: dict[tuple[str, int], np.ndarray], weight: float, width: float
) -> None:
    """Answers the why-questions from the numbers."""
    last, deep = table.iloc[-1], max(depth for _, depth in norms)
    shares = {name: norms[name, deep][0] / norms[name, deep][-1] for name in ("sigmoid", "tanh", "relu")}
    report.answer(
        "Why does the gradient vanish?",
        f"∂a_L/∂w_1 is a product of L derivatives f'(z) and L - 1 weights. σ' is at most 1/4, so a chain of {last.depth:.0f} with weights 1 is left with "
        f"{last.sigmoid:.1e} (the bound on ∂a_L/∂z_1 is {last.bound:.1e}); tanh' is 1 at 0 only: {last.tanh:.1e}; ReLU' is 1 on all that is above 0: {last.relu:.2g}.",
    )
    report.answer(
        "Can it explode instead?",
        f"Where |w f'| stays above 1. σ(8x) has the derivative 2 at 0; biases of -1/2 keep each z there, and the chain of {last.depth:.0f} multiplies by "
        f"{last.steep:.1e}.",
    )
    report.answer(
        "Is it so in layers too?",
        f"In an MLP with {deep} hidden layers of 32 units the first layer's gradient is, relative to the last one's, {shares['sigmoid']:.1e} with σ, "
        f"{shares['tanh']:.2g} with tanh (Glorot's weights) and {shares['relu']:.2g} with ReLU (He's, whose variance keeps the sizes).",
    )
    report.answer(
        "When is the gradient of ReLU layers exactly zero?",
        "Each path contributes the product of its weights if all its units are above 0, and 0 otherwise. Between complete layers a live path needs one live unit in "
        f"each, so all paths are dead exactly when some layer is: true in all {report.findings['dead_rule'].measured:.0f} patterns. A chain has one path, and one dead unit kills it.",
    )
    report.answer(
        "Why do large weights not save the sigmoid?",
        f"|wσ'| >= 1 needs |w| >= 4, but a large w saturates: z = wa + b leaves the middle sooner. The interval of a is at most {width:.6f} wide, for |w| = "
        f"{weight:.3f}, and narrower for every other weight.",
    )
