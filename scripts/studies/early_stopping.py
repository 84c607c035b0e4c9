"""When does early stopping end the training of "2" against "3", and what does shuffling change?

Command:  python scripts/study.py run early_stopping [--dataset NAME]
Runtime:  about 30 s on 2 cores.
Expected: 31 steps an epoch; in file order it stops in epoch 33 (0-based) at a validation accuracy of 0.979; shuffled, the
          epoch varies with the seed: mean about 24, standard deviation about 6.
Source:   coursework, logistic regression on two digits of MNIST with early stopping.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies.options import StudyOptions

import zoo
from zoo.drawing import finish_axes
from zoo.reporting.study import StudyReport
from zoo.training.histories import plot_histories

RECIPE = zoo.Recipe(
    optimizer="sgd",
    learning_rate=0.05,
    batch_size=128,
    drop_remainder=True,
    validate_every_steps=6,
    patience=10,
    epochs=500,
    shuffle=False,
)
SEEDS = 10


def run(options: StudyOptions, report: StudyReport) -> None:
    """Trains once in file order and ten times shuffled."""
    name = options.dataset_or("mnist")
    limit, seeds, epochs = (4000, 2, 4) if options.fast else (20_000, SEEDS, RECIPE.epochs)
    data = zoo.load_dataset(name, limit=limit, classes=(3, 2), validation="test", input_range=(-1, 1))
    recipe = dataclasses.replace(RECIPE, epochs=epochs)
    report.settings.update(dataset=name, limit=limit, classes=[3, 2], seeds=seeds, recipe=recipe.as_config())
    in_order = fit(data, recipe)
    shuffled = [fit(data, dataclasses.replace(recipe, shuffle=True, seed=options.seed + k)) for k in range(seeds)]
    last, accuracy = in_order.metrics["epochs"] - 1, in_order.metrics["val_accuracy"]
    ends = np.array([r.metrics["epochs"] - 1 for r in shuffled])
    report.expect("training_images", "training images of the two classes", len(data.train), 4005, 0)
    report.expect("validation_images", "validation images", len(data.validation or ()), 2042, 0)
    report.expect("last_epoch_in_order", "file order: stops in epoch", last, 33, 1)
    report.expect("accuracy_in_order", "file order: validation accuracy", accuracy, 0.979, 0.002)
    report.expect("mean_last_epoch_shuffled", "shuffled: mean epoch of the stop", ends.mean(), 24, 6)
    report.expect("sd_last_epoch_shuffled", "shuffled: standard deviation of that epoch", ends.std(ddof=1), 6, 3)
    accuracies = [r.metrics["val_accuracy"] for r in shuffled]
    report.value("mean_accuracy_shuffled", float(np.mean(accuracies)), label="shuffled: mean validation accuracy")
    report.table(
        "Shuffled, by seed",
        pd.DataFrame({"seed": options.seed + np.arange(seeds), "last_epoch": ends, "val_accuracy": accuracies}),
    )
    runs = {"file order": in_order, "shuffled": shuffled[0]}
    report.figure("losses", draw_losses(runs), "Train loss of every gradient step, and validation loss.")
    accuracies_figure = plot_histories(
        {name: run.validations for name, run in runs.items()}, {"val_accuracy": "validation accuracy"}, x="step"
    )
    report.figure("accuracies", accuracies_figure, "Validation accuracy against gradient step.")
    answer(report, data, in_order, shuffled[0])


def fit(data: zoo.DataSplits, recipe: zoo.Recipe) -> zoo.TrainingRun:
    """One training from zero weights; the bias starts at zero in any case."""
    model = zoo.build("logistic", data.input_shape, 2, kernel_initializer="zeros")
    return zoo.train(model, data, recipe, verbose=False)


def draw_losses(runs: dict[str, zoo.TrainingRun]) -> Figure:
    """A panel for each order."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    for axes, (name, run) in zip(figure.subplots(2, sharey=True, sharex=True), runs.items(), strict=True):
        axes.semilogy(run.steps["step"], run.steps["data_loss"], linewidth=0.6, alpha=0.7, label="train, each step")
        axes.plot(run.validations["step"], run.validations["val_data_loss"], label="validation")
        finish_axes(axes, "gradient step", f"cross entropy, {name}")
    return figure


def spike_share(run: zoo.TrainingRun, steps_per_epoch: int) -> float:
    """Share of the step losses' variance (after the first two epochs) that the position within the epoch explains."""
    losses = run.steps["data_loss"].to_numpy()
    whole = losses[: len(losses) // steps_per_epoch * steps_per_epoch].reshape(-1, steps_per_epoch)[2:]
    if len(whole) < 2:
        return float("nan")
    centred = whole - whole.mean(axis=1, keepdims=True)
    return float(centred.mean(axis=0).var() / centred.var())


def answer(report: StudyReport, data: zoo.DataSplits, in_order: zoo.TrainingRun, shuffled: zoo.TrainingRun) -> None:
    """Answers the why-questions from the numbers."""
    steps = len(data.train) // RECIPE.batch_size
    fixed, mixed = spike_share(in_order, steps), spike_share(shuffled, steps)
    report.expect("steps_per_epoch", "steps an epoch", steps, 31, 0)
    found = {key: finding.measured for key, finding in report.findings.items()}
    report.value("spikes_explained_in_order", fixed, label="file order: variance explained by the place in the epoch")
    report.answer(
        "What are the spikes in the train loss, and why do they repeat?",
        f"A step's loss is that of its own {RECIPE.batch_size} images. In file order the same images meet again every {steps} steps, so a "
        f"batch with hard images is a spike at the same place of every epoch: the place explains {fixed:.0%} of the variance within epochs, "
        f"against {mixed:.0%} shuffled, where the hard images are spread anew.",
    )
    report.answer(
        "Why does shuffling change when it stops?",
        "Early stopping waits for ten validations without a new minimum. Near the minimum the validation loss falls less from one "
        "validation to the next than the last few batches make it jump, so their order decides when ten such follow each other: in file order in "
        f"epoch {found['last_epoch_in_order']:.0f}, shuffled in epoch {found['mean_last_epoch_shuffled']:.1f} on average, with a standard deviation "
        f"of {found['sd_last_epoch_shuffled']:.1f} between seeds. The accuracies are {found['accuracy_in_order']:.4f} against "
        f"{found['mean_accuracy_shuffled']:.4f} on average.",
    )
