"""What does an L2 penalty do to the weights and the accuracy of a softmax regression on MNIST?

Command:  python scripts/study.py run weight_decay [--dataset NAME]
Runtime:  about 35 s on 2 cores.
Expected: ‖w‖² about 0.36 and the worst accuracy at λ = 1; norms fall as λ grows; validation accuracy 0.917 at λ = 0.
Source:   coursework, softmax regression on the first 20,000 images of MNIST, penalty λ·Σw² with the bias penalised too.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies.options import StudyOptions

import zoo
from zoo.reporting.study import StudyReport

STRENGTHS = (0.0, 0.001, 0.01, 0.1, 1.0)
RECIPE = zoo.Recipe(optimizer="sgd", learning_rate=0.01, batch_size=128, epochs=50)


def run(options: StudyOptions) -> StudyReport:
    """Trains one model for every strength."""
    name = options.dataset or "mnist"
    limit, epochs = (2000, 2) if options.fast else (20_000, RECIPE.epochs)
    data = zoo.load_dataset(name, limit=limit, validation="test", input_range=(-1, 1))
    recipe = dataclasses.replace(RECIPE, epochs=epochs, seed=options.seed)
    report = StudyReport(
        "weight_decay",
        "What does an L2 penalty do to the weights and the accuracy of a softmax regression?",
        options.command("weight_decay"),
        {"dataset": name, "limit": limit, "strengths": STRENGTHS, "recipe": recipe.as_config()},
        options.seed,
    )
    runs = {strength: fit(data, strength, recipe) for strength in STRENGTHS}
    norms = {strength: squared_norm(run) for strength, run in runs.items()}
    accuracies = {strength: run.metrics["val_accuracy"] for strength, run in runs.items()}
    worst, falling = min(accuracies, key=lambda s: accuracies[s]), bool(np.all(np.diff(list(norms.values())) < 0))
    if name == "mnist" and not options.fast:
        report.check("squared_norm_1", "‖w‖² at λ = 1", norms[1.0], 0.36, 0.02)
        report.check("accuracy_0", "validation accuracy at λ = 0", accuracies[0.0], 0.917, 0.003)
        report.check("worst_strength", "λ with the worst accuracy", worst, 1.0, 0.0)
        report.check("norms_fall", "norms fall as λ grows (1: yes)", float(falling), 1.0, 0.0)
    for strength in STRENGTHS:
        report.value(f"squared_norm_at_{strength}", norms[strength], label=f"‖w‖² at λ = {strength:g}")
        report.value(
            f"val_accuracy_at_{strength}", accuracies[strength], label=f"validation accuracy at λ = {strength:g}"
        )
    report.table(
        "By strength",
        pd.DataFrame(
            {"strength": STRENGTHS, "squared_norm": list(norms.values()), "val_accuracy": list(accuracies.values())}
        ),
    )
    report.figure("accuracy", draw_accuracies(runs), "Validation accuracy against gradient step for every λ.")
    report.figure("norms", draw_norms(norms), "Squared norm of all weights, bias included, against λ.")
    if len(data.input_shape) == 3:
        report.figure(
            "weights", draw_weights(runs, data), "The weights of each class as an image: λ = 0 above, λ = 1 below."
        )
    report.figure("overfitting", draw_overfitting(runs[0.0]), "λ = 0: train and validation loss, and accuracy.")
    answer(report, runs, norms)
    return report


def fit(data: zoo.DataSplits, strength: float, recipe: zoo.Recipe) -> zoo.TrainingRun:
    """One training from zero weights."""
    model = zoo.build(
        "softmax", data.input_shape, data.num_classes, l2=strength, penalize_bias=True, kernel_initializer="zeros"
    )
    return zoo.train(model, data, recipe, verbose=False)


def squared_norm(run: zoo.TrainingRun) -> float:
    """‖w‖² over kernel and bias."""
    return float(sum(np.square(w).sum() for w in run.model.get_weights()))


def draw_accuracies(runs: dict[float, zoo.TrainingRun]) -> Figure:
    """Validation accuracy against gradient step."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for strength, run in runs.items():
        axes.plot(run.validations["step"], run.validations["val_accuracy"], label=f"λ = {strength:g}")
    axes.set(xlabel="gradient step", ylabel="validation accuracy")
    axes.legend()
    return figure


def draw_norms(norms: dict[float, float]) -> Figure:
    """‖w‖² against λ; the axis is linear below the smallest λ, so that 0 has a place."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(list(norms), list(norms.values()), "o-")
    axes.set(xlabel="λ", ylabel="‖w‖²", yscale="log")
    axes.set_xscale("symlog", linthresh=0.001)
    axes.set_xlim(left=-0.0002)
    return figure


def draw_weights(runs: dict[float, zoo.TrainingRun], data: zoo.DataSplits) -> Figure:
    """Kernels as images, red positive and blue negative; one scale for each row."""
    figure = Figure(figsize=(1.2 * data.num_classes, 3), layout="constrained")
    for row, strength in zip(figure.subplots(2, data.num_classes), (0.0, 1.0), strict=True):
        kernel = runs[strength].model.get_weights()[0]
        limit = np.abs(kernel).max()
        for k, axes in enumerate(row):
            image = kernel[:, k].reshape(data.input_shape).mean(axis=-1)
            axes.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit)
            axes.set(xticks=[], yticks=[], title=data.class_names[k])
        row[0].set_ylabel(f"λ = {strength:g}")
    return figure


def draw_overfitting(run: zoo.TrainingRun) -> Figure:
    """Losses and accuracies of one run by step."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    losses.plot(run.steps["step"], run.steps["data_loss"], linewidth=0.4, alpha=0.5, label="train, each step")
    losses.plot(run.validations["step"], run.validations["val_data_loss"], label="validation")
    losses.set(xlabel="gradient step", ylabel="cross entropy")
    accuracies.plot(run.validations["step"], run.history["accuracy"], label="train")
    accuracies.plot(run.validations["step"], run.validations["val_accuracy"], label="validation")
    accuracies.set(xlabel="gradient step", ylabel="accuracy")
    for axes in (losses, accuracies):
        axes.legend()
    return figure


def answer(report: StudyReport, runs: dict[float, zoo.TrainingRun], norms: dict[float, float]) -> None:
    """Answers the why-questions from the numbers."""
    plain, rows = runs[0.0], {s: r.metrics for s, r in runs.items()}
    gap = plain.metrics["accuracy"] - plain.metrics["val_accuracy"]
    lowest = plain.validations["val_data_loss"].min()
    last = plain.validations["val_data_loss"].iloc[-1]
    report.value("gap_at_0", gap, label="λ = 0: train minus validation accuracy")
    report.answer(
        "Is there any sign of overfitting without a penalty?",
        f"At λ = 0 the last train accuracy is {plain.metrics['accuracy']:.4f} and the validation accuracy {plain.metrics['val_accuracy']:.4f}, "
        f"a gap of {gap:+.4f}; the validation loss ends at {last:.4f}, its lowest value is {lowest:.4f}. "
        + (
            "It has risen from its minimum."
            if last > lowest * 1.001
            else "It is still at its minimum: no overfitting yet."
        ),
    )
    report.answer(
        "Why does the accuracy degrade under a penalty?",
        "A penalty helps a model that fits noise. This one does not: it has one weight for each pixel and class, few gradient steps and small "
        "steps, so it underfits if anything, and the penalty only pulls the weights away from the likelihood's optimum. "
        f"‖w‖² falls from {norms[0.0]:.3g} to {norms[1.0]:.3g} while the loss without penalty rises from "
        f"{rows[0.0]['val_data_loss']:.3f} to {rows[1.0]['val_data_loss']:.3f} and the accuracy falls from "
        f"{rows[0.0]['val_accuracy']:.4f} to {rows[1.0]['val_accuracy']:.4f}.",
    )
