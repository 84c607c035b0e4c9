"""What does an L2 penalty do to the weights and the accuracy of a softmax regression on MNIST?

Command:  python scripts/study.py run weight_decay [--dataset NAME]
Runtime:  2 min on 2 cores that had other work too.
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
from zoo.drawing import finish_axes
from zoo.inspection import plot_weight_images, weight_images
from zoo.reporting.study import StudyReport
from zoo.training.histories import plot_histories

STRENGTHS = (0.0, 0.001, 0.01, 0.1, 1.0)
RECIPE = zoo.Recipe(optimizer="sgd", learning_rate=0.01, batch_size=128, epochs=50)


def run(options: StudyOptions, report: StudyReport) -> None:
    """Trains one model for every strength."""
    name = options.dataset_or("mnist")
    limit, epochs = (2000, 2) if options.fast else (20_000, RECIPE.epochs)
    data = zoo.load_dataset(name, limit=limit, validation="test", input_range=(-1, 1))
    recipe = dataclasses.replace(RECIPE, epochs=epochs, seed=options.seed)
    report.settings.update(dataset=name, limit=limit, strengths=STRENGTHS, recipe=recipe.as_config())
    runs = {strength: fit(data, strength, recipe) for strength in STRENGTHS}
    norms = {strength: squared_norm(run) for strength, run in runs.items()}
    accuracies = {strength: run.metrics["val_accuracy"] for strength, run in runs.items()}
    worst, falling = min(accuracies, key=lambda s: accuracies[s]), bool(np.all(np.diff(list(norms.values())) < 0))
    report.expect("squared_norm_1", "‖w‖² at λ = 1", norms[1.0], 0.36, 0.02)
    report.expect("accuracy_0", "validation accuracy at λ = 0", accuracies[0.0], 0.917, 0.003)
    report.claim("worst_strength", "λ = 1 has the worst accuracy", worst == 1.0)
    report.claim("norms_fall", "norms fall as λ grows", falling)
    costs = all(accuracies[s] < accuracies[0.0] for s in STRENGTHS[1:])
    report.claim("every_penalty_costs", "every λ above 0 has a worse accuracy than λ = 0", costs)
    equal = [s for s in STRENGTHS[1:] if accuracies[s] >= accuracies[0.0]]
    report.explain(
        "every_penalty_costs",
        f"not worse at λ = {', '.join(map(str, equal))}, where the penalty is too small to matter",
    )
    for s in STRENGTHS:
        report.value(f"squared_norm_at_{s}", norms[s], label=f"‖w‖² at λ = {s:g}")
        report.value(f"val_accuracy_at_{s}", accuracies[s], label=f"validation accuracy at λ = {s:g}")
    table = {"strength": STRENGTHS, "squared_norm": norms.values(), "val_accuracy": accuracies.values()}
    report.table("By strength", pd.DataFrame({name: list(values) for name, values in table.items()}))
    if len(data.input_shape) == 3:
        report.figure("weights", draw_weights(runs), "Weights of the classes 0, 1, … as images: λ = 0 above, 1 below.")
    by_step = {f"λ = {strength:g}": run.validations for strength, run in runs.items()}
    accuracy = plot_histories(by_step, {"val_accuracy": "validation accuracy"}, x="step")
    report.figure("accuracy", accuracy, "Validation accuracy against gradient step for every λ.")
    report.figure("norms", draw_norms(norms), "Squared norm of all weights, bias included, against λ.")
    report.figure("overfitting", draw_overfitting(runs[0.0]), "λ = 0: loss and accuracy, train and validation.")
    answer(report, runs, norms)


def fit(data: zoo.DataSplits, strength: float, recipe: zoo.Recipe) -> zoo.TrainingRun:
    """One training from zero weights."""
    model = zoo.build(
        "softmax", data.input_shape, data.num_classes, l2=strength, penalize_bias=True, kernel_initializer="zeros"
    )
    return zoo.train(model, data, recipe, verbose=False)


def squared_norm(run: zoo.TrainingRun) -> float:
    """‖w‖² over kernel and bias."""
    return float(sum(np.square(w).sum() for w in run.model.get_weights()))


def draw_norms(norms: dict[float, float]) -> Figure:
    """‖w‖² against λ; the axis is linear below the smallest λ, so that 0 has a place."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(list(norms), list(norms.values()), "o-", label="after the last epoch")
    axes.set_yscale("log")
    axes.set_xscale("symlog", linthresh=0.001)
    axes.set_xlim(left=-0.0002)
    finish_axes(axes, "λ", "‖w‖²")
    return figure


def draw_weights(runs: dict[float, zoo.TrainingRun]) -> Figure:
    """Kernels as images, red positive and blue negative; each λ in units of its largest weight."""
    images = [weight_images(runs[strength].model) for strength in (0.0, 1.0)]
    scaled = np.concatenate([of_one / np.abs(of_one).max() for of_one in images])
    figure = plot_weight_images(
        scaled, columns=len(images[0]), title="weights of each class, by the largest of their λ"
    )
    figure.axes[0].set_yticks(figure.axes[0].get_yticks(), ["λ = 0", "λ = 1"])
    figure.axes[0].set(xlabel="class", ylabel="")
    return figure


def draw_overfitting(run: zoo.TrainingRun) -> Figure:
    """Losses and accuracies of one run by step."""
    validation = run.validations.rename(columns={"val_data_loss": "data_loss", "val_accuracy": "accuracy"})
    epochs = run.history[["data_loss", "accuracy"]].assign(step=run.validations["step"])
    measures = {"data_loss": "cross entropy", "accuracy": "accuracy"}
    return plot_histories({"train, mean of the epoch": epochs, "validation": validation}, measures, x="step")


def answer(report: StudyReport, runs: dict[float, zoo.TrainingRun], norms: dict[float, float]) -> None:
    """Answers the why-questions from the numbers."""
    plain, rows = runs[0.0], {s: r.metrics for s, r in runs.items()}
    gap = plain.metrics["accuracy"] - plain.metrics["val_accuracy"]
    lowest, last = plain.validations["val_data_loss"].min(), plain.validations["val_data_loss"].iloc[-1]
    risen = (
        "It has risen from its minimum." if last > lowest * 1.001 else "It is still at its minimum: no overfitting yet."
    )
    report.value("gap_at_0", gap, label="λ = 0: train minus validation accuracy")
    report.answer(
        "Is there any sign of overfitting without a penalty?",
        f"At λ = 0 the last train accuracy is {plain.metrics['accuracy']:.4f} and the validation accuracy {plain.metrics['val_accuracy']:.4f}, "
        f"a gap of {gap:+.4f}; the validation loss ends at {last:.4f}, its lowest value is {lowest:.4f}. {risen}",
    )
    report.answer(
        "Why does the accuracy degrade under a penalty that is large enough to matter?",
        "A penalty helps a model that fits noise. This one, with one weight for each pixel and class and few small steps, underfits if "
        "anything, and the penalty only pulls the weights away from the likelihood's optimum. "
        f"‖w‖² falls from {norms[0.0]:.3g} to {norms[1.0]:.3g}, the loss without penalty goes from {rows[0.0]['val_data_loss']:.3f} to "
        f"{rows[1.0]['val_data_loss']:.3f} and the accuracy from {rows[0.0]['val_accuracy']:.4f} to {rows[1.0]['val_accuracy']:.4f}.",
    )
