"""Do central differences confirm backpropagation, and which step ε is best?

Command:  python scripts/study.py run gradient_check [--dataset NAME]
Runtime:  about 6 s on 2 cores, 4 of them for TensorFlow to start.
Expected: |difference - gradient| <= ε² at ε = 1e-3 for logistic and softmax regression, with and without penalties, and an MLP,
          in float64; against N = 1/ε the largest difference falls with the log-log slope -2 until rounding wins.
Source:   coursework, checking a gradient numerically.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure
from studies.options import StudyOptions

import zoo
from zoo.drawing import INK, finish_axes
from zoo.inspection.calling import loss_of
from zoo.reference import DenseNetwork, difference_errors
from zoo.reporting.study import StudyReport

EPSILON = 1e-3
L1, L2 = 1 / 64, 1 / 32  # numbers that float32 holds: Keras keeps the strengths of penalties so
MODELS: dict[str, tuple[str, dict[str, Any], list[str], dict[str, Any]]] = {
    # key -> name, options of the builder, activations, penalties
    "logistic": ("logistic", {}, ["sigmoid"], {}),
    "logistic_penalties": ("logistic", {}, ["sigmoid"], {"l1": L1, "l2": L2}),
    "softmax": ("softmax", {}, ["softmax"], {}),
    "softmax_l1": ("softmax", {}, ["softmax"], {"l1": L1}),
    "softmax_l2": ("softmax", {}, ["softmax"], {"l2": L2}),
    "mlp": ("mlp", {"units": (5, 4), "activation": "tanh"}, ["tanh", "tanh", "softmax"], {}),
}
STEPS = tuple(k * 10**i for i in range(8) for k in (1, 5))
HIDDEN = 32
RECIPE = zoo.Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.9, batch_size=32, epochs=20)


def run(options: StudyOptions, report: StudyReport) -> None:
    """Checks the gradients of six objectives, then the step on a trained network."""
    name = options.dataset or "digits"
    limit, epochs = (400, 4) if options.fast else (None, RECIPE.epochs)
    recipe = dataclasses.replace(RECIPE, epochs=epochs, seed=options.seed)
    settings = {"epsilon": EPSILON, "steps": STEPS, "dataset": name, "limit": limit, "hidden": HIDDEN}
    report.settings.update(settings, recipe=recipe.as_config())
    rows = pd.DataFrame([check_model(report, key, options.seed) for key in MODELS])
    report.table("Gradients", rows)
    data = zoo.load_dataset(name, limit=limit, seed=options.seed)
    network, accuracy = trained(data, recipe)
    report.value("trained_accuracy", accuracy, label="train accuracy of the network whose gradient is swept")
    images, labels = next(iter(data.train.batches(1)))
    first, errors = (sweep(network, np.reshape(images, (1, -1)), np.asarray(labels), layer) for layer in (0, 1))
    report.value("first_layer_largest", first.max(), label="the first pixels' weights: largest difference at any N")
    slope, turn = fitted_slope(errors), STEPS[int(np.argmin(errors))]
    report.check("slope", f"log-log slope for N from 10 to {turn // 10:,}, a tenth of the best", slope, -2.0, 0.05)
    report.value("best_n", turn, label="N with the smallest difference")
    report.value("smallest_difference", errors.min(), label="the largest difference there")
    table = pd.DataFrame({"n": STEPS, "epsilon": 1 / np.array(STEPS), "difference": errors})
    report.table("Differences against N", table)
    report.figure("sweep", draw_sweep(errors, slope), "Largest difference of ten weights' gradients against N = 1/ε.")
    answer(report, rows, first, errors)


def check_model(report: StudyReport, key: str, seed: int) -> dict[str, Any]:
    """One objective at random weights: differences against backpropagation, by NumPy and by Keras."""
    name, settings, activations, penalties = MODELS[key]
    random, classes = np.random.default_rng(seed), 2 if name == "logistic" else 3
    inputs, labels = random.normal(size=(20, 6)), random.integers(classes, size=20)
    model = zoo.build(name, (6,), classes, dtype="float64", **settings, **penalties)
    model.set_weights([0.5 * random.normal(size=w.shape) for w in model.get_weights()])
    network = DenseNetwork.from_weights(model.get_weights(), activations)
    function = network.loss_and_gradient(inputs, labels, **penalties)
    gradient = function(network.weights)[1]
    difference = difference_errors(lambda w: function(w)[0], gradient, network.weights, epsilons=[EPSILON])[0]
    values = [tf.convert_to_tensor(v.value) for v in model.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(values)
        loss = loss_of(model, inputs, labels, values=zip(model.trainable_variables, values, strict=True))
    by_keras = np.concatenate([np.ravel(g) for g in tape.gradient(loss, values)])
    gap = np.abs(gradient - by_keras).max()
    report.check(f"{key}_difference", f"{key}: largest |difference - gradient|, at most ε²", difference, 0, EPSILON**2)
    report.check(f"{key}_keras", f"{key}: largest |gradient of NumPy - of Keras|", gap, 0, 1e-12)
    by_square = difference / EPSILON**2
    return {"objective": key, "weights": len(gradient), "difference": difference, "difference_by_epsilon2": by_square}


def trained(data: zoo.DataSplits, recipe: zoo.Recipe) -> tuple[DenseNetwork, float]:
    """An MLP with one hidden layer of tanh at the end of its training, in float64."""
    options: dict[str, Any] = {"units": HIDDEN, "num_layers": 1, "activation": "tanh", "dtype": "float64"}
    model = zoo.build("mlp", data.input_shape, data.num_classes, seed=recipe.seed, **options)
    run = zoo.train(model, dataclasses.replace(data, validation=None), recipe, verbose=False)
    return DenseNetwork.from_weights(model.get_weights(), ["tanh", "softmax"]), run.metrics["accuracy"]


def sweep(network: DenseNetwork, inputs: np.ndarray, labels: np.ndarray, layer: int) -> np.ndarray:
    """The largest difference of the first min(10, m) weights of a layer, for each N = 1/ε."""
    function = network.loss_and_gradient(inputs, labels)
    before = sum(array.size for array in network.arrays[: 2 * layer])
    entries = range(before, before + min(10, network.kernels[layer].size))
    gradient, epsilons = function(network.weights)[1], 1 / np.array(STEPS, np.float64)
    return difference_errors(lambda w: function(w)[0], gradient, network.weights, epsilons=epsilons, entries=entries)


def fitted_slope(errors: np.ndarray) -> float:
    """Of log difference over log N, by least squares, from N = 10 to a tenth of the N where rounding begins to win."""
    counts = np.array(STEPS, np.float64)
    chosen = (counts >= 10) & (counts <= counts[np.argmin(errors)] / 10)
    return float(np.polyfit(np.log(counts[chosen]), np.log(errors[chosen]), 1)[0])


def draw_sweep(errors: np.ndarray, slope: float) -> Figure:
    """Both axes logarithmic, beside N⁻² and N."""
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes, counts, low = figure.subplots(), np.array(STEPS, np.float64), int(np.argmin(errors))
    axes.loglog(counts, errors, "o-", label=f"measured, fitted slope {slope:.3f}")
    fall = errors[2] * (counts / counts[2]) ** -2
    axes.loglog(counts[: low + 2], fall[: low + 2], "--", color=INK, linewidth=1, label="N⁻²: the formula's error")
    rise = errors[-1] * counts / counts[-1]
    axes.loglog(counts[low - 2 :], rise[low - 2 :], ":", color=INK, linewidth=1.5, label="N: rounding")
    finish_axes(axes, "N = 1/ε", "largest |difference - gradient|")
    return figure


def answer(report: StudyReport, rows: pd.DataFrame, first: np.ndarray, errors: np.ndarray) -> None:
    """Answers the why-questions from the numbers."""
    worst, best = rows.iloc[rows["difference"].argmax()], STEPS[int(np.argmin(errors))]
    report.answer(
        "Why is the difference within ε²?",
        "Central differences cancel the second derivative: what is left is ε²/6 times the third one. The largest was "
        f"{worst.difference_by_epsilon2:.3f} ε² ({worst.objective}), a third derivative of about {6 * worst.difference_by_epsilon2:.2f}; one "
        "above 6 would break the bound. The L2 penalty is a parabola and adds nothing; L1 nothing while no weight is within ε of its kink.",
    )
    report.answer(
        "Why does the error fall with N⁻², and why does it rise again?",
        f"ε² is N⁻²: the fitted slope is {report.findings['slope'].measured:.3f}. The loss is rounded to some 16 digits, and dividing by 2ε "
        f"multiplies that by N/2: at N = {STEPS[-1]:.0e} the difference is off by {errors[-1]:.1e}. The two errors are alike near N = "
        f"{best:.0e}, where {errors.min():.1e} is the best that can be had.",
    )
    report.answer(
        "Why not check the first weights of the first layer?",
        f"They belong to corner pixels, which are 0: gradient and differences are 0 for every N (largest difference {first.max():.1e}), and a "
        "check of them passes whatever the backward pass does. So weights behind the hidden units are moved.",
    )
    report.answer(
        "Why tanh and not ReLU in the hidden layer?",
        "A step that crosses the kink of a ReLU is off by what the slope jumps, not by ε²: the error falls with no power of N until ε is too "
        "small to cross it.",
    )
