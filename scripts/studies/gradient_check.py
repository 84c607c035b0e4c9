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

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure
from studies.options import StudyOptions

import zoo
from zoo.inspection.calling import loss_of
from zoo.reference import DenseNetwork, difference_errors
from zoo.reporting.study import StudyReport
from zoo.training.curves import INK, finish_axes

EPSILON = 1e-3
L1, L2 = 1 / 64, 1 / 32  # numbers that float32 holds: Keras keeps the strengths of penalties so
MODELS: dict[
    str, tuple[str, int, dict[str, Any], dict[str, Any]]
] = {  # key -> name, number of classes, options of the builder, penalties
    "logistic": ("logistic", 2, {}, {}),
    "logistic_penalties": ("logistic", 2, {}, {"l1": L1, "l2": L2}),
    "softmax": ("softmax", 3, {}, {}),
    "softmax_l1": ("softmax", 3, {}, {"l1": L1}),
    "softmax_l2": ("softmax", 3, {}, {"l2": L2}),
    "mlp": ("mlp", 3, {"units": (5, 4), "activation": "tanh"}, {}),
}
STEPS = tuple(k * 10**i for i in range(8) for k in (1, 5))
HIDDEN = 32


def run(options: StudyOptions) -> StudyReport:
    """Checks the gradients of six objectives, then the step on a trained network."""
    name = options.dataset or "digits"
    limit, epochs = (400, 4) if options.fast else (None, 20)
    recipe = zoo.Recipe(
        optimizer="sgd", learning_rate=0.1, momentum=0.9, batch_size=32, epochs=epochs, seed=options.seed
    )
    report = StudyReport(
        "gradient_check",
        "Do central differences confirm backpropagation, and which step ε is best?",
        options.command("gradient_check"),
        {
            "epsilon": EPSILON,
            "steps": STEPS,
            "dataset": name,
            "limit": limit,
            "hidden": HIDDEN,
            "recipe": recipe.as_config(),
        },
        options.seed,
    )
    rows = [check_model(report, key, options.seed) for key in MODELS]
    report.table("Gradients", pd.DataFrame(rows))
    data = zoo.load_dataset(name, limit=limit, seed=options.seed)
    network, accuracy = trained(data, recipe)
    report.value("trained_accuracy", accuracy, label="train accuracy of the network whose gradient is swept")
    inputs, labels = first_example(data)
    errors = {place: sweep(network, inputs, labels, place) for place in (0, 1)}
    report.value("first_layer_largest", errors[0].max(), label="the first pixels' weights: largest difference at any N")
    slope, turn = fitted_slope(errors[1]), STEPS[int(np.argmin(errors[1]))]
    report.check("slope", f"log-log slope for N from 10 to {turn // 10:,}, a tenth of the best", slope, -2.0, 0.05)
    report.value("best_n", turn, label="N with the smallest difference")
    report.value("smallest_difference", errors[1].min(), label="the largest difference there")
    report.table(
        "Differences against N", pd.DataFrame({"n": STEPS, "epsilon": 1 / np.array(STEPS), "difference": errors[1]})
    )
    report.figure(
        "sweep", draw_sweep(errors[1], slope), "Largest difference of ten weights' gradients against N = 1/ε."
    )
    answer(report, rows, errors, slope, turn)
    return report


def check_model(report: StudyReport, key: str, seed: int) -> dict[str, Any]:
    """One objective at random weights: differences against backpropagation, by NumPy and by Keras."""
    name, classes, settings, penalties = MODELS[key]
    random = np.random.default_rng(seed)
    inputs, labels = random.normal(size=(20, 6)), random.integers(classes, size=20)
    model = zoo.build(name, (6,), classes, dtype="float64", **settings, **penalties)
    model.set_weights([0.5 * random.normal(size=w.shape) for w in model.get_weights()])
    network = as_numpy(model)
    function = network.loss_and_gradient(inputs, labels, **penalties)
    gradient = function(network.weights)[1]
    difference = difference_errors(lambda w: function(w)[0], gradient, network.weights, epsilons=[EPSILON])[0]
    values = [tf.convert_to_tensor(v.value) for v in model.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(values)
        pairs = zip(model.trainable_variables, values, strict=True)
        loss = loss_of(model, tf.constant(inputs), labels, values=pairs)
    autodiff = np.concatenate([np.ravel(g) for g in tape.gradient(loss, values)])
    report.check(
        f"{key}_difference", f"{key}: largest |difference - gradient|, at most ε²", difference, 0.0, EPSILON**2
    )
    report.check(
        f"{key}_keras", f"{key}: largest |gradient of NumPy - of Keras|", np.abs(gradient - autodiff).max(), 0.0, 1e-12
    )
    return {
        "objective": key,
        "weights": len(gradient),
        "difference": difference,
        "difference_by_epsilon2": difference / EPSILON**2,
    }


def as_numpy(model: keras.Model) -> DenseNetwork:
    """A dense Keras model of the zoo as a network of `zoo.reference`."""
    weights = [w.astype(np.float64) for w in model.get_weights()]
    hidden = [layer.activation.__name__ for layer in model.layers if isinstance(layer, keras.layers.Activation)]
    return DenseNetwork(weights[::2], weights[1::2], [*hidden, model.layers[-1].activation.__name__])


def trained(data: zoo.DataSplits, recipe: zoo.Recipe) -> tuple[DenseNetwork, float]:
    """An MLP with one hidden layer of tanh at the end of its training, in float64."""
    options: dict[str, Any] = {"units": HIDDEN, "num_layers": 1, "activation": "tanh", "dtype": "float64"}
    model = zoo.build("mlp", data.input_shape, data.num_classes, seed=recipe.seed, **options)
    run = zoo.train(model, dataclasses.replace(data, validation=None), recipe, verbose=False)
    return as_numpy(model), run.metrics["accuracy"]


def first_example(data: zoo.DataSplits) -> tuple[np.ndarray, np.ndarray]:
    """(1, pixels) and (1,): the first training sample."""
    images, labels = next(iter(data.train.batches(1)))
    return np.asarray(images, np.float64).reshape(1, -1), np.asarray(labels)


def sweep(network: DenseNetwork, inputs: np.ndarray, labels: np.ndarray, layer: int) -> np.ndarray:
    """The largest difference of the first min(10, m) weights of a layer, for each N = 1/ε."""
    function = network.loss_and_gradient(inputs, labels)
    before = sum(k.size + b.size for k, b in zip(network.kernels[:layer], network.biases[:layer], strict=True))
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


def answer(
    report: StudyReport, rows: list[dict[str, Any]], errors: dict[int, np.ndarray], slope: float, best: int
) -> None:
    """Answers the why-questions from the numbers."""
    worst = max(rows, key=lambda row: row["difference"])
    report.answer(
        "Why is the difference within ε²?",
        "Central differences cancel the second derivative: what is left is ε²/6 times the third one. The largest was "
        f"{worst['difference_by_epsilon2']:.3f} ε² ({worst['objective']}), so a third derivative is about "
        f"{6 * worst['difference_by_epsilon2']:.2f} there; it would take one above 6 to break the bound. The L2 penalty is a parabola and adds "
        "nothing; L1 adds nothing while no weight is within ε of its kink at 0.",
    )
    report.answer(
        "Why does the error fall with N⁻², and why does it rise again?",
        f"ε = 1/N, so ε² is N⁻²: the fitted slope is {slope:.3f}. The loss itself is rounded to some 16 digits, and dividing by 2ε multiplies that "
        f"by N/2: at N = {STEPS[-1]:.0e} the difference is off by {errors[1][-1]:.1e}. The two errors are alike near N = {best:.0e}, where "
        f"{errors[1].min():.1e} is the best that can be had.",
    )
    report.answer(
        "Why not check the first weights of the first layer?",
        f"They belong to corner pixels, which are 0: gradient and differences are 0 for every N (largest difference {errors[0].max():.1e}), and "
        "a check of them would pass whatever the backward pass does. So weights behind the hidden units are moved.",
    )
    report.answer(
        "Why tanh and not ReLU in the hidden layer?",
        "A step that crosses the kink of a ReLU is off by what the slope jumps, not by ε²: the error falls with no power of N until ε is too "
        "small to cross it.",
    )
