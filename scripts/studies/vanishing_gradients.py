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
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure
from studies.options import StudyOptions

import zoo
from zoo import reference
from zoo.drawing import INK, finish_axes
from zoo.inspection import dead_units, gradient_norms, live_paths, plot_live_paths
from zoo.reporting.study import StudyReport
from zoo.training.histories import plot_histories

DEPTHS = (2, 5, 10, 20, 35, 50)
CHAINS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {  # activation and derivative
    "sigmoid": (reference.sigmoid, reference.sigmoid_derivative),
    "tanh": (np.tanh, reference.tanh_derivative),
    "relu": (reference.relu, reference.relu_derivative),
    "steep": (lambda z: reference.sigmoid(8 * z - 4), lambda z: 8 * reference.sigmoid_derivative(8 * z - 4)),
}
TAPED = {"sigmoid": tf.sigmoid, "tanh": tf.tanh, "relu": tf.nn.relu, "steep": lambda z: tf.sigmoid(8 * z - 4)}
NAMES = {"sigmoid": "σ(x)", "tanh": "tanh(x)", "relu": "ReLU(x)", "steep": "σ(8x - 4)"}
LAYERS = ("sigmoid", "tanh", "relu")  # the activations of the MLPs
ALIVE = {  # which units of the layers live
    "all alive": np.ones((3, 3), bool),
    "every layer has a live unit": np.array([[0, 1, 0], [1, 0, 1], [0, 0, 1]], bool),
    "a dead layer": np.array([[1, 1, 1], [0, 0, 0], [1, 1, 1]], bool),
    "a chain, one dead": np.array([[1], [0], [1]], bool),
}


def run(options: StudyOptions, report: StudyReport) -> None:
    """Chains by depth, layers by depth, dead paths, and the bound on saturation."""
    depths, draws, layers = (DEPTHS[:3], 20, (5,)) if options.fast else (DEPTHS, 200, (5, 20, 50))
    report.settings.update(depths=depths, random_chains=draws, width=3, start=0.5, weight=1.0)
    table = report_chains(report, depths, draws, options.seed)
    report_layers(report, layers, options.seed)
    report_dead_paths(report, options.seed)
    weight, width = reference.widest_saturation()
    report.check("widest_weight", "|w| with the widest interval on which |wσ'(wa + b)| >= 1", weight, 6.894, 5e-4)
    report.check("widest_interval", "its width", width, 0.447743, 5e-7)
    report.check("least_weight", "max |wσ'| at |w| = 4", float(4 * reference.sigmoid_derivative(0.0)), 1.0, 0.0)
    report.figure("saturation", draw_saturation(weight, width), "Where a sigmoid unit does not shrink the gradient.")
    answer(report, table, layers[-1])


def report_chains(report: StudyReport, depths: tuple[int, ...], draws: int, seed: int) -> pd.DataFrame:
    """The first layer of chains by depth, every layer of the deepest, and the bound; returns the first layer's table."""
    random, deepest = np.random.default_rng(seed), depths[-1]
    every, lines = np.arange(1, deepest + 1), {}
    for name, label in NAMES.items():
        first = [abs(chain(name, depth).weights[0]) for depth in every.tolist()]
        lines[label] = pd.DataFrame({"depth": every, "first": first, "of_layer": np.abs(chain(name, deepest).weights)})
        report.value(f"{name}_depth_{deepest}", first[-1], label=f"{label}: |∂a_L/∂w_1| in a chain of {deepest}")
    lines["0.25^L, the bound for σ"] = pd.DataFrame({"depth": every, "first": 0.25**every})
    firsts = {name: line["first"] for name, line in zip((*CHAINS, "bound"), lines.values(), strict=True)}
    table = pd.DataFrame({"depth": every, **firsts})[np.isin(every, depths)]
    report.table("First layer of a chain by depth", table)
    ratio = max(bound_ratio(random, depth) for depth in depths * draws)
    report.value("bound_ratio", ratio, label="σ: largest |∂a_L/∂z_l| over its bound, in random chains with |w| <= 1")
    report.check("bound_exceeded", "by how much that exceeds 1", max(ratio - 1, 0.0), 0.0, 1e-12)
    off = max(tape_difference(name, 10) for name in CHAINS)
    report.check("autodiff", "chains: largest relative difference from TensorFlow's gradients", off, 0.0, 1e-12)
    titles = {"first": "|∂a_L/∂w₁|, L = depth", "of_layer": f"|∂a_L/∂w_l|, L = {deepest}, l = depth"}
    figure = plot_histories(lines, titles, x="depth", logarithmic=True)
    figure.axes[1].set_xlabel("layer l")
    report.figure("chains", figure, "The first layer's gradient by the chain's depth; every layer's of the deepest.")
    return table


def chain(name: str, depth: int) -> reference.ChainGradients:
    """Gradients of a chain from 0.5, with weights 1 and biases 0; the steep one stays at 0.5, where its derivative is 2."""
    return reference.chain_gradients(np.ones(depth), np.zeros(depth), 0.5, *CHAINS[name])


def bound_ratio(random: np.random.Generator, depth: int) -> float:
    """The largest share of its bound that a delta reaches in a random chain of sigmoids."""
    weights, biases = random.uniform(-1, 1, depth), random.normal(size=depth)
    deltas = reference.chain_gradients(weights, biases, random.normal(), *CHAINS["sigmoid"]).deltas
    return float(np.max(np.abs(deltas) / reference.sigmoid_gradient_bounds(weights)))


def tape_difference(name: str, depth: int) -> float:
    """∂a_L/∂w of a chain by TensorFlow, against `chain_gradients`."""
    w, a = tf.Variable(np.ones(depth)), tf.constant(0.5, tf.float64)
    with tf.GradientTape() as tape:
        for i in range(depth):
            a = TAPED[name](w[i] * a)
    return float(np.abs(tape.gradient(a, w).numpy() / chain(name, depth).weights - 1).max())


def report_layers(report: StudyReport, depths: tuple[int, ...], seed: int) -> None:
    """‖∂E/∂w‖ of each layer of Keras MLPs at their initial weights, on 64 random inputs."""
    random = np.random.default_rng(seed)
    inputs, labels = random.normal(size=(64, 32)), random.integers(10, size=64)
    options: dict[str, Any] = {"units": 32, "seed": seed, "dtype": "float64"}
    lines = {}
    for name in LAYERS:
        options |= {"activation": name, "kernel_initializer": "he_uniform" if name == "relu" else "glorot_uniform"}
        models = {depth: zoo.build("mlp", (32,), 10, num_layers=depth, **options) for depth in depths}
        norms = {depth: gradient_norms(model, inputs, labels).norms for depth, model in models.items()}
        for depth, of_layers in norms.items():
            label = f"MLP, {name}, {depth} layers: ‖∂E/∂w‖ of the first over the last"
            report.value(f"mlp_{name}_{depth}_first_by_last", of_layers[0] / of_layers[-1], label=label)
        columns = {str(depth): pd.Series(of_layers) for depth, of_layers in norms.items()}
        lines[name] = pd.DataFrame(columns).assign(layer=lambda table: table.index + 1)
    panels = {str(depth): f"‖∂E/∂w‖, {depth} hidden layers" for depth in depths}
    figure = plot_histories(lines, panels, x="layer", logarithmic=True)
    report.figure("layers", figure, "MLPs with 32 units a layer: the gradient of each layer at the start.")


def relu_network(alive: np.ndarray, seed: int) -> reference.DenseNetwork:
    """(layers, width) which units live: small random weights and a bias of 10, or of -100 for a dead one."""
    random, width = np.random.default_rng(seed), alive.shape[1]
    kernels = [random.uniform(0.1, 0.3, (width, width)) for _ in alive] + [np.ones((width, 1))]
    biases = [np.where(row, 10.0, -100.0) for row in alive] + [np.zeros(1)]
    return reference.DenseNetwork(kernels, biases, ["relu"] * len(alive) + ["identity"])


def report_dead_paths(report: StudyReport, seed: int) -> None:
    """The rule over every pattern of dead units in three layers of three, and `dead_units` on Keras models."""
    agree, patterns = 0, [np.array(bits).reshape(3, 3) for bits in product([False, True], repeat=9)]
    for alive in patterns:
        gradient = relu_network(alive, seed).backward(np.ones((1, 3)), np.zeros((1, 1))).deltas[0]
        agree += bool((gradient == 0).all()) == (live_paths(alive) == 0)
    report.check("dead_rule", "patterns with gradient 0 exactly where every path is dead", agree, len(patterns), 0)
    rows = []
    for name, alive in ALIVE.items():
        sizes, logits = (alive.shape[1],), {"classifier_activation": None}
        model = zoo.build("mlp", sizes, 2, units=sizes[0], num_layers=3, seed=seed, dtype="float64", **logits)
        model.set_weights([*relu_network(alive, seed).arrays[:-2], *model.get_weights()[-2:]])
        inputs = np.random.default_rng(seed).random((8, *sizes))
        dead, first = dead_units(model, inputs).dead_paths, gradient_norms(model, inputs, np.arange(8) % 2).norms[0]
        right = (first == 0) == bool(dead) == (live_paths(alive) == 0)
        rows.append((name, live_paths(alive), ", ".join(dead) or "none", first, right))
    table = pd.DataFrame(rows, columns=["case", "live_paths", "dead_paths", "first_layer_gradient", "right"])
    report.check("dead_detected", "Keras: dead_paths says where it vanishes", table["right"].mean(), 1.0, 0.0)
    report.table("Dead paths found in Keras models", table)
    report.figure("dead_paths", plot_live_paths(ALIVE), "A path needs a live unit in each layer; crosses are dead.")


def draw_saturation(weight: float, width: float) -> Figure:
    """|wσ'(wa)| for four weights, and the width of the interval against |w|."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    a, sizes = np.linspace(-1, 1, 801), np.linspace(2, 40, 761)
    for w in (2.0, 4.0, weight, 20.0):
        left.plot(a, w * reference.sigmoid_derivative(w * a), label=f"w = {w:.4g}")
    left.axhline(1, color=INK, linestyle="--", linewidth=1, label="1: nothing is lost")
    right.plot(sizes, reference.saturation_width(sizes), label="interval with |wσ'| ≥ 1")
    right.plot(weight, width, "o", color=INK, label=f"widest: {width:.6f} at {weight:.3f}")
    finish_axes(left, "a, for b = 0", "|w σ'(wa + b)|")
    finish_axes(right, "|w|", "width of the interval of a")
    return figure


def answer(report: StudyReport, table: pd.DataFrame, deep: int) -> None:
    """Answers the why-questions from the numbers."""
    last, found = table.iloc[-1], {key: finding.measured for key, finding in report.findings.items()}
    shares = {name: found[f"mlp_{name}_{deep}_first_by_last"] for name in LAYERS}
    report.answer(
        "Why does the gradient vanish?",
        "∂a_L/∂w_1 is a product of L derivatives f'(z) and L - 1 weights. σ' is at most 1/4, so a chain of "
        f"{last.depth:.0f} with weights 1 is left with {last.sigmoid:.1e} (the bound on ∂a_L/∂z_1 is {last.bound:.1e}); tanh' is 1 at 0 only: "
        f"{last.tanh:.1e}; ReLU' is 1 on all that is above 0: {last.relu:.2g}.",
    )
    report.answer(
        "Can it explode instead?",
        f"Where |w f'| stays above 1: σ(8x - 4) stays at ½, where its derivative is 2, and the chain multiplies by {last.steep:.1e}.",
    )
    report.answer(
        "Is it so in layers too?",
        f"In an MLP with {deep} hidden layers of 32 units the first layer's gradient is, relative to the last one's, {shares['sigmoid']:.1e} "
        f"with σ, {shares['tanh']:.2g} with tanh (Glorot's weights) and {shares['relu']:.2g} with ReLU (He's, whose variance keeps the sizes).",
    )
    report.answer(
        "When is the gradient of ReLU layers exactly zero?",
        "A path contributes the product of its weights if all its units are above 0, else 0. Between complete layers it needs a live unit in "
        f"each, so all paths are dead exactly when some layer is: true in {found['dead_rule']:.0f} of 512 patterns. A chain is one path, which one dead unit kills.",
    )
    report.answer(
        "Why do large weights not save the sigmoid?",
        "|wσ'| >= 1 needs |w| >= 4, but a large w saturates: z = wa + b leaves the middle sooner. The interval of a is at most "
        f"{found['widest_interval']:.6f} wide, for |w| = {found['widest_weight']:.3f}, and narrower for every other weight.",
    )
