"""How little noise, turning, shifting or gradient-sign stepping changes a network's right answer?

Command:  python scripts/study.py run fooling [--dataset NAME]
Runtime:  5 min on 2 cores that had other work too.
Expected: ResNet-20 has 0.9173 of CIFAR-10's test images right (its publisher, on the original images); a gradient-sign step
          fools with less than random noise of the same size.
Source:   Goodfellow, Shlens and Szegedy (2015), Explaining and harnessing adversarial examples (arXiv:1412.6572).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies.options import StudyOptions

import zoo
from zoo import inspection
from zoo.drawing import TRAIN, VALIDATION, finish_axes
from zoo.evaluation.intervals import median_interval, wilson_interval
from zoo.reporting.study import StudyReport

if TYPE_CHECKING:
    import keras

PUBLISHED = 0.9173
STEP = "gradient_sign"
KINDS = (STEP, "noise", "rotation", "shift_x", "crop", "brightness")
SHOWN = KINDS[:3]  # below each other in the first picture; the others in the second
SIZES = (1 / 255, 2 / 255, 4 / 255, 8 / 255)
FULL: dict[str, Any] = {"kinds": KINDS, "images": 300, "many": 1000, "points": 32, "epochs": 30}
CUT: dict[str, Any] = {"kinds": SHOWN, "images": 20, "many": 50, "points": 8, "epochs": 5}


def run(options: StudyOptions, report: StudyReport) -> None:
    """Looks for the smallest change of each kind on images that the model has right."""
    name = options.dataset_or("cifar10")
    data = zoo.load_dataset(name, seed=options.seed, image_size=32 if Path(name).is_dir() else None)
    extent = CUT if options.fast else FULL
    kinds, points = extent["kinds"], extent["points"]
    classes = zoo.plot_examples(data)
    model, origin = known_model(name, data, options, report)
    assert data.test is not None
    tested = zoo.evaluate(model, data.test)
    right = np.flatnonzero(tested.predictions["correct"])[: extent["images"]]
    if not len(right):
        raise zoo.DataError(f"{name}: the model has no test image right, so there is none to fool it with")
    split = data.test.subset(right)
    report.settings.update({"dataset": name, "model": origin, "images": len(split), "grid_points": points})
    if origin.startswith("resnet20"):
        report.expect("test_accuracy", "accuracy on all test images", tested.accuracy, PUBLISHED, 0.001)
        report.explain(
            "test_accuracy", "of images that were compressed anew, as strong JPEG, it is known to have 0.81 right"
        )
    else:
        report.value("test_accuracy", tested.accuracy, label="accuracy on all test images")
    seed, verbose = options.seed, not options.fast
    found = {kind: zoo.fool(model, split, kind, num_steps=points, seed=seed, verbose=verbose) for kind in kinds}
    draw_examples(report, found)
    report.figure("classes", classes, "One image of each class.")
    table = smallest_changes(found)
    for _, row in table.iterrows():
        report.value(
            f"median_{row['change']}", row["median"], label=f"{row['change']}: median strength ({row['unit']})"
        )
    report.table("Smallest change that fools, median over images that the model has right", table)
    sizes = at_same_size(model, split, options.seed)
    report.table("Accuracy after a step and after noise of the same size", sizes)
    report.figure("step_and_noise", draw_shares(found), "Images fooled by a step, and by noise of the same size.")
    first = data.test.subset(np.arange(min(extent["many"], len(data.test))))
    robust = zoo.measure_robustness(model, first, kinds[1:], seed=seed, verbose=verbose)
    report.figure("robustness", robust.figure(), "Accuracy against the strength of a change, with its 95 % interval.")
    answer(report, model, found, table, sizes)


def known_model(name: str, data: zoo.DataSplits, options: StudyOptions, report: StudyReport) -> tuple[keras.Model, str]:
    """ResNet-20 with its published weights on CIFAR-10 where these are at hand; else a CNN that is trained now."""
    if name == "cifar10":
        try:
            return zoo.build("resnet20", data.input_shape, 10, weights="cifar10"), "resnet20, published weights"
        except zoo.WeightsError as error:
            label = f"ResNet-20 with published weights: its accuracy ({PUBLISHED:g}) and what fools it"
            report.not_run("published", label, f"weights absent: {error}; a CNN that is trained here takes its place")
    epochs = min((CUT if options.fast else FULL)["epochs"], max(3, 40_000 // len(data.train)))
    recipe = zoo.Recipe(epochs=epochs, batch_size=32, seed=options.seed)
    model = zoo.build("cnn", data.input_shape, data.num_classes, filters=16, seed=options.seed)
    zoo.train(model, data, recipe, verbose=not options.fast)
    return model, f"cnn, {epochs} epochs"


def smallest_changes(found: dict[str, zoo.Fooling]) -> pd.DataFrame:
    """A row a kind: images fooled, the median size of the strength that suffices with its 95 % interval, the scores."""
    rows = []
    for kind, fooling in found.items():
        sizes = fooling.table["strength"].abs().fillna(np.inf).to_numpy()
        low, high = median_interval(sizes)
        rows.append(
            {
                "change": kind,
                "unit": fooling.unit,
                "images": len(sizes),
                "fooled": int(np.isfinite(sizes).sum()),
                "median": float(np.median(sizes)),
                "low": low,
                "high": high,
                "searched_to": fooling.largest,
            }
        )
    return pd.DataFrame(rows)


def at_same_size(model: keras.Model, split: zoo.Split, seed: int) -> pd.DataFrame:
    """A row a size: accuracy after a gradient-sign step, and after Gaussian noise whose standard deviation is the step."""
    images, labels = (batch.numpy() for batch in next(iter(split.batches(len(split)))))
    changed = [zoo.gradient_sign_step(model, images, labels, size) for size in SIZES]
    changed += [zoo.corrupt(images, "noise", size, seed=seed) for size in SIZES]
    scored = zoo.evaluate(model, (np.concatenate(changed), np.tile(labels, len(changed)))).predictions
    rows: list[dict[str, float]] = [{"size_in_255ths": 255 * size} for size in SIZES]
    for i in range(len(changed)):
        part, row = scored[i * len(labels) : (i + 1) * len(labels)], rows[i % len(SIZES)]
        kind, correct = ("step", "noise")[i // len(SIZES)], part["correct"]
        low, high = wilson_interval(int(correct.sum()), len(part))
        row |= {f"after_{kind}": correct.mean(), f"{kind}_low": low, f"{kind}_high": high}
        row[f"wrong_confidence_{kind}"] = part.loc[~correct, "confidence"].mean()
    return pd.DataFrame(rows)


def draw_examples(report: StudyReport, found: dict[str, zoo.Fooling]) -> None:
    """All kinds on the image that most of them fool and whose step is the median one of these."""
    fooled = np.sum([fooling.table["strength"].notna() for fooling in found.values()], axis=0)
    candidates = np.flatnonzero(fooled == fooled.max())
    steps = found[STEP].table["strength"].fillna(found[STEP].largest).to_numpy()[candidates]
    place = int(candidates[np.argsort(steps)[(len(steps) - 1) // 2]])
    for name, kinds in (("fooled", list(found)[: len(SHOWN)]), ("fooled_otherwise", list(found)[len(SHOWN) :])):
        if kinds:
            figure = zoo.plot_fooling([found[kind] for kind in kinds], [place])
            report.figure(name, figure, f"The smallest change that fools the model: {', '.join(kinds)}.")


def draw_shares(found: dict[str, zoo.Fooling]) -> Figure:
    """Share of the images whose smallest strength is at most this, for the two kinds whose strengths are alike."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for kind, colour in ((STEP, TRAIN), ("noise", VALIDATION)):
        sizes = np.sort(found[kind].table["strength"].dropna())
        axes.step(sizes, np.arange(1, len(sizes) + 1) / len(found[kind].table), where="post", color=colour, label=kind)
    axes.set(xscale="log", ylim=(0, 1.02))
    finish_axes(axes, "root mean square of the change, share of the range", "images fooled")
    return figure


def gradient_spread(model: keras.Model, found: zoo.Fooling) -> np.ndarray:
    """‖g‖₁/‖g‖₂ of each image that was fooled; g is the gradient of the new class's score minus that of the old one."""
    fooled = found.table["strength"].notna().to_numpy()
    before, after = found.scores_before[fooled].argmax(axis=1), found.scores_after[fooled].argmax(axis=1)
    images = found.originals[fooled]
    gradients = inspection.saliency(model, images, classes=after) - inspection.saliency(model, images, classes=before)
    flat = gradients.reshape(len(images), -1)
    spread: np.ndarray = np.abs(flat).sum(axis=1) / np.linalg.norm(flat, axis=1)
    return spread


def answer(
    report: StudyReport, model: keras.Model, found: dict[str, zoo.Fooling], table: pd.DataFrame, sizes: pd.DataFrame
) -> None:
    """Answers the questions from the numbers."""
    rows = table.set_index("change")
    step, noise = rows.loc[STEP], rows.loc["noise"]
    ratios = (found["noise"].table["strength"].fillna(np.inf) / found[STEP].table["strength"]).dropna().to_numpy()
    low, high = median_interval(ratios)
    report.claim(
        "step_beats_noise", "the step's median is below the noise's, intervals apart", bool(step["high"] < noise["low"])
    )
    report.value("noise_over_step", float(np.median(ratios)), label="noise over step, same image: median")
    spread = float(np.median(gradient_spread(model, found[STEP])))
    report.value("gradient_spread", spread, label="‖g‖₁ / ‖g‖₂: median")
    last = sizes.iloc[-1]
    alike = 0.2 < np.median(ratios) / spread < 5
    nearly = ", the order of a linear model" if alike else ", another order: linearity alone does not explain it"
    report.answer(
        "How little is enough?",
        f"Half of {step['images']} images that the model has right are fooled by "
        + "; ".join(
            f"{kind} {row['median']:.3g} {row['unit'].removeprefix('share ')} ({row['low']:.3g} to {row['high']:.3g})"
            for kind, row in rows.iterrows()
        )
        + f". The step is {255 * step['median']:.2g} of 255 grey levels. Each change is the least found for its own image, where two "
        "classes have almost the same score; intervals are 95 % ones of the median over images.",
    )
    report.answer(
        "Why does a gradient-sign step need so much less than noise?",
        f"On the same image noise has to be {np.median(ratios):.3g} times as large ({low:.3g} to {high:.3g}). A small change d moves the difference of "
        "two scores by g·d, where g is its gradient. A step of ε moves it by ε‖g‖₁, as every pixel pushes the same way; noise of standard deviation ε "
        f"by a random number of standard deviation ε‖g‖₂, as most pixels cancel. ‖g‖₁/‖g‖₂ is {spread:.3g} here, at most √{found[STEP].originals[0].size} "
        f"= {np.sqrt(found[STEP].originals[0].size):.3g}. The measured ratio is {np.median(ratios) / spread:.2g} times that{nearly}.",
    )
    report.answer(
        "Does the model doubt when it is fooled?",
        f"A step of {last['size_in_255ths']:.0f}/255 leaves {last['after_step']:.1%} right ({last['step_low']:.1%} to {last['step_high']:.1%}), noise of that size "
        f"{last['after_noise']:.1%} ({last['noise_low']:.1%} to {last['noise_high']:.1%}). Where it is wrong after the step its mean confidence is "
        f"{last['wrong_confidence_step']:.1%}, on the unchanged images {found[STEP].table['confidence_before'].mean():.1%}.",
    )
