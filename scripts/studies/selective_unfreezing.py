"""What is gained by letting two early convolutions learn beside the last layer, and can one see it in the first filters?

Command:  python scripts/study.py run selective_unfreezing [--dataset NAME] [--weights FILE] [--set NAME=VALUE]
          --dataset: what is learned in place of the other five classes of CIFAR-10, a name or a folder of photographs.
          --weights resnet18-f37072fd.pth: the source's own case, ResNet-18 from ImageNet to CIFAR-10.
          --set images, validation, epochs, patience, learning_rate, seeds and image_size (of ResNet-18; 64).
Runtime:  5 min on 2 cores that had other work too.
          The five-class ResNet-20 takes 6 more where fine_tuning has not kept it.
Expected: 3,061 weights learn in the second phase; all others stay what they were, bit for bit. What that gains, and how far the
          filters move, the source does not say.
Source:   coursework: a new last layer with early stopping, then the first convolution and that of the first block beside it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies import five_classes
from studies.five_classes import Interval, gap, interval_of, record_interval
from studies.options import StudyOptions

import zoo
from zoo.evaluation.significance import mean_intervals
from zoo.inspection import filters, image_grid
from zoo.reporting.study import StudyReport
from zoo.training.histories import plot_histories

DEFAULTS = {"images": 2000, "validation": 1000, "epochs": 30, "patience": 5, "learning_rate": 0.01, "seeds": 3}
DEFAULTS |= {"image_size": 64}
CUT = {"images": 100, "validation": 50, "epochs": 1, "seeds": 1}
RECIPE = zoo.Recipe(optimizer="sgd", momentum=0.9, batch_size=64)
LONGER = 10  # times as many epochs for the last layer, which are cheap, so that it stops by itself
LAST, THREE = "last layer", "with two convolutions"
EARLY = (("conv1", "stage1_block1_conv1"), ("stage1_conv1", "stage2_conv1"))  # of a ResNet; of the CNN of a cut
ABSENT = "weights absent: give --weights resnet18-f37072fd.pth"
SCORE = "test accuracy (%)"


class Seed(NamedTuple):
    """What one seed gives.

    Attributes:
        phases: name of a phase -> its run.
        accuracies: name of a phase -> test accuracy in percent.
        kernels: the early convolutions before and after, by name: (filters, height, width, channels).
        drift: the largest change of a weight that was frozen in the second phase.
    """

    phases: dict[str, zoo.TrainingRun]
    accuracies: dict[str, float]
    kernels: dict[str, tuple[np.ndarray, np.ndarray]]
    drift: float


def run(options: StudyOptions, report: StudyReport) -> None:
    """Trains the last layer until it stops, then the two convolutions with it, for every seed."""
    settings = five_classes.settled(DEFAULTS | (CUT if options.fast else {}), options.settings)
    data = five_classes.target(options)
    report.settings.update(settings, dataset=data.config["name"], classes=data.class_names, recipe=RECIPE.as_config())
    start = five_classes.starting_point(options, report, published="resnet18", image_size=settings["image_size"])
    assert start is not None  # no backbone by name is asked for
    seeds = range(options.seed, options.seed + settings["seeds"])
    found = [train_both(start, data, settings, seed, verbose=not options.fast) for seed in seeds]
    phases = {name: [seed.phases[name].validations for seed in found] for name in (LAST, THREE)}
    columns = {"val_accuracy": "validation accuracy", "val_loss": "validation loss"}
    layers = tuple(found[0].kernels)
    caption = f"The filters of {layers[0]}, first seed. Left and middle have one scale; right is the change, stretched by itself."
    report.figure("filters", draw_filters(*found[0].kernels[layers[0]]), caption)
    caption = "Validation by epoch of each phase: mean, least and largest of the seeds. The second goes on where the first ended."
    report.figure("curves", plot_histories(phases, columns), caption)
    rows = [(name, seeds[k], seed.accuracies[name]) for k, seed in enumerate(found) for name in (LAST, THREE)]
    scores = pd.DataFrame(rows, columns=["phase", "seed", SCORE])
    compared = zoo.compare(scores, groups="phase", units="seed", score=SCORE)
    caption = "Test accuracy after each phase: mean, 95 % interval, and each seed."
    report.figure("accuracies", compared.figure(), caption)
    report.table("By seed", scores.pivot(index="seed", columns="phase", values=SCORE).reset_index())
    moved = record(report, found, compared, options)
    answer(report, found, gap(compared, THREE, LAST), moved)


def train_both(
    start: dict[str, Any], data: zoo.DataSplits, settings: dict[str, Any], seed: int, *, verbose: bool
) -> Seed:
    """The two phases on one model."""
    part = five_classes.drawn(data, settings["images"], settings["validation"], seed)
    model = zoo.build("transfer", data.input_shape, data.num_classes, seed=seed, **start)
    early = next(pair for pair in EARLY if {*pair} <= {layer.name for layer in model.layers})
    recipe = dataclasses.replace(
        RECIPE, seed=seed, patience=settings["patience"], learning_rate=settings["learning_rate"]
    )
    kernels = {layer: filters(model, layer) for layer in early}
    phases, accuracies, before = {}, {}, []
    for name, trainable, times in ((LAST, ("predictions",), LONGER), (THREE, (*early, "predictions"), 1)):
        before, epochs = model.get_weights(), times * settings["epochs"]
        phase = dataclasses.replace(recipe, trainable=trainable, epochs=epochs)
        phases[name] = zoo.train(model, part, phase, verbose=verbose)
        accuracies[name] = 100 * zoo.evaluate(model, data.test).accuracy
    learned = {id(variable) for variable in model.trainable_variables}
    changes = zip(model.weights, before, strict=True)
    drift = max(float(np.abs(np.array(w) - old).max()) for w, old in changes if id(w) not in learned)
    return Seed(phases, accuracies, {layer: (kernels[layer], filters(model, layer)) for layer in early}, drift)


def change(before: np.ndarray, after: np.ndarray) -> float:
    """The length of the change of a kernel, in percent of the kernel's own."""
    return 100 * float(np.linalg.norm(after - before) / np.linalg.norm(before))


def least_cosine(before: np.ndarray, after: np.ndarray) -> float:
    """The cosine between a filter before and after, of the filter that turned most."""
    a, b = (kernel.reshape(len(kernel), -1) for kernel in (before, after))
    return float(np.min((a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))))


def draw_filters(before: np.ndarray, after: np.ndarray) -> Figure:
    """Before, after and their difference, side by side; in colours where the filters are of RGB."""
    stacks = [k if k.shape[-1] == 3 else k[..., 0] for k in (before, after, after - before)]
    low, high = min(k.min() for k in stacks[:2]), max(k.max() for k in stacks[:2])
    most = float(np.abs(stacks[2]).max()) or 1.0
    limits = [(low, high), (low, high), (-most, most)]
    titles = ("before", "after", f"change, stretched {(high - low) / (2 * most):.0f} times")
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    for axes, stack, (least, largest), title in zip(figure.subplots(1, 3), stacks, limits, titles, strict=True):
        grid = image_grid((stack - least) / (largest - least), scale="joint")
        axes.imshow(np.nan_to_num(grid, nan=1.0), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(title)
        axes.set_axis_off()
    figure.set_layout_engine("constrained", wspace=0.12)
    return figure


def record(report: StudyReport, found: list[Seed], compared: zoo.Comparison, options: StudyOptions) -> list[float]:
    """The numbers; gives how far each early convolution moved, in percent, on average over the seeds."""
    for key, name in (("last_layer", LAST), ("three_layers", THREE)):
        record_interval(report, f"accuracy_{key}", f"{name}: {SCORE}", interval_of(compared, name))
        epochs = float(np.mean([seed.phases[name].metrics["epochs"] for seed in found]))
        report.value(f"epochs_{key}", epochs, label=f"{name}: epochs until it stopped, mean")
        if options.weights is None:
            report.not_run(f"resnet18_{key}", f"ResNet-18 from ImageNet, {name}: {SCORE}", ABSENT)
    record_interval(report, "added", f"{THREE} minus {LAST}, points", gap(compared, THREE, LAST))
    layers, learn = list(found[0].kernels), found[0].phases[THREE].phases[-1]["trainable"]
    report.expect("weights_that_learn", "weights that learn in the second phase", learn, 3061, 0)
    drift = max(seed.drift for seed in found)
    report.check("frozen_drift", "largest change of a frozen weight in the second phase", drift, 0.0, 0.0)
    moved = np.array([[change(*seed.kernels[layer]) for layer in layers] for seed in found])
    lows, highs = mean_intervals(moved, confidence=0.95, method="t", folds=1)
    for k, layer in enumerate(layers):
        interval = Interval(moved[:, k].mean(), lows[k], highs[k])
        record_interval(report, f"moved_{k}", f"{layer}: change in percent of its length", interval)
    turned = min(least_cosine(*seed.kernels[layers[0]]) for seed in found)
    report.value("least_cosine", turned, label=f"{layers[0]}: cosine of the filter that turned most, before and after")
    return [float(m) for m in moved.mean(axis=0)]


def answer(report: StudyReport, found: list[Seed], added: Interval, moved: list[float]) -> None:
    """Answers the questions from the numbers."""
    last, three = ([seed.phases[name] for seed in found] for name in (LAST, THREE))
    learn, alone = three[0].phases[-1]["trainable"], last[0].phases[-1]["trainable"]
    stopped = [sum(run.stopped_early for run in runs) for runs in (last, three)]
    report.answer(
        "What do the two convolutions add?",
        f"{added} on the test images: {added.verdict}. {learn:,} weights learn in place of {alone:,}. All layers between the "
        "convolutions and the last one are frozen, their batch normalisation with the statistics of the old classes, so what "
        "changes below must pass through them. "
        + ("" if stopped[0] == len(found) else "The last layer had not stopped everywhere, so a part may be its own."),
    )
    turned = min(least_cosine(*next(iter(seed.kernels.values()))) for seed in found)
    report.answer(
        "Can one see it in the first filters?",
        f"Their change is {moved[0]:.1f} % of their length, and the filter that turned most has a cosine of {turned:.3f} with what it "
        f"was: {'hardly, edges and colours stay edges and colours' if turned > 0.9 else 'yes, at least in that one'}. The convolution "
        f"of the first block moved by {moved[1]:.1f} %.",
    )
    rises = [run.validations["val_loss"].iloc[-1] - run.validations["val_loss"].min() for run in three]
    report.answer(
        "What does early stopping do here?",
        f"It ended {stopped[0]} of {len(last)} trainings of the last layer and {stopped[1]} of {len(three)} of the three layers before the "
        f"last epoch, and gave back the weights of the least validation loss; in the second phase that loss had risen by "
        f"{np.mean(rises):.3f} on average when training stopped.",
    )
