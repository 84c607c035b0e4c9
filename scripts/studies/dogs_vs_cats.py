"""How well does a small VGG-style network tell dogs from cats, and what do batch normalisation, dropout and Adam bring it?

Command:  python scripts/study.py run dogs_vs_cats [--dataset NAME] [--data FOLDER] [--set NAME=VALUE]
          --dataset: a folder with one folder a class; --data: images without labels, answered in predictions.csv;
          --set: one net only, e.g. batch_normalization=true dropout=0.3 optimizer=adam augment=false
Runtime:  8 min on 2 cores that had other work too.
Expected: better than chance by its interval. On all 25,000 photographs such nets reach 83 to 92 %; here are 1,000.
Source:   coursework on Kaggle's "Dogs vs. Cats"; Simonyan and Zisserman (2015), Very deep convolutional networks (arXiv:1409.1556).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from studies.options import StudyOptions, local_folder

import zoo
from zoo import inspection
from zoo.data.folder import image_files
from zoo.drawing import TRAIN, VALIDATION, finish_axes
from zoo.errors import unknown_name
from zoo.evaluation.files import score_files
from zoo.evaluation.paired_models import mcnemar
from zoo.evaluation.statements import p_value
from zoo.reporting.prediction_plots import plot_predictions
from zoo.reporting.study import StudyReport
from zoo.tables import write_table
from zoo.training.histories import plot_histories
from zoo.training.statistics import measure_statistics

if TYPE_CHECKING:
    import keras

SIZE, ENDS = 64, (-1, 1)
NET: dict[str, Any] = {
    "filters": 16,
    "convolutions_per_stage": 2,
    "kernel_initializer": "he_normal",
    "dtype": "mixed_bfloat16",
}
RATES = {"sgd": {"learning_rate": 0.01, "momentum": 0.9}, "adam": {"learning_rate": 0.001}}
PLAIN: dict[str, Any] = {"batch_normalization": False, "dropout": 0.0, "optimizer": "sgd", "augment": True}
ADDED: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch normalisation": {"batch_normalization": True},
    "dropout": {"dropout": 0.3},
    "Adam": {"optimizer": "adam"},
    "all three": {"batch_normalization": True, "dropout": 0.3, "optimizer": "adam"},
    "no augmentation": {"augment": False},
}
DRAWN = ("plain", "all three", "no augmentation")  # by epoch, where there are many nets
FULL: dict[str, Any] = {"rows": tuple(ADDED), "limit": None, "epochs": 40, "stages": 4, "net": NET, "shown": 12}
CUT: dict[str, Any] = {"rows": ("plain", "all three"), "limit": 300, "epochs": 1, "stages": 1, "shown": 4}
CUT |= {"net": NET | {"filters": 4, "dtype": "float32"}}
Runs = dict[str, zoo.TrainingRun]
Scored = dict[str, zoo.Evaluation]


def run(options: StudyOptions, report: StudyReport) -> None:
    """Trains a net for each row of the settings, and looks into the first."""
    files = image_files(options.data) if options.data else []
    name = options.dataset_or(str(local_folder("dogs_vs_cats") or "cats_vs_dogs"))
    size = SIZE if name == "cats_vs_dogs" or Path(name).is_dir() else None
    extent, rows = CUT if options.fast else FULL, chosen_rows(options)
    images: dict[str, Any] = {"image_size": size, "limit": extent["limit"], "input_range": ENDS, "in_memory": True}
    data = zoo.load_dataset(name, seed=options.seed, validation=0.2, **images)
    unseen = unseen_images(data)
    report.settings.update(dataset=name, net=extent["net"], rates=RATES, rows=rows, epochs=extent["epochs"])
    report.settings.update(trained_on=len(data.train))
    runs = {label: fit(data, row, extent, options) for label, row in rows.items()}
    scored = {label: zoo.evaluate(run.model, unseen) for label, run in runs.items()}
    first = next(iter(rows))  # the net that nothing chose
    record(report, runs, scored)
    measures = {"accuracy": "accuracy on training images", "val_accuracy": "accuracy on validation images"}
    drawn = {k: run.history for k, run in runs.items() if k in DRAWN or len(runs) == 1}
    caption = "Accuracy by epoch. Training images are scored while they are learned: augmented where they are, with dropout on."
    report.figure("curves", plot_histories(drawn, measures), caption)
    draw_predictions(report, scored[first], first, extent["shown"])
    draw_inside(report, runs[first].model, data, first)
    answer(report, scored, first, len(data.train))
    if files:
        write_table(options.folder(report.name) / "predictions.csv", predict_files(runs[first].model, data, files))
        report.value("predicted_files", len(files), label=f"images of {options.data} classified, in predictions.csv")
        named = ", ".join(f"{k} is {class_name}" for k, class_name in enumerate(data.class_names))
        report.answer("What stands in predictions.csv?", f"A line an image: id, its file's name, and label: {named}.")
    noisy = {k: run for k, run in runs.items() if rows[k]["batch_normalization"] or rows[k]["dropout"]}
    answer_shift(report, data.train, unseen, noisy, scored)


def chosen_rows(options: StudyOptions) -> dict[str, dict[str, Any]]:
    """Label -> what a net is trained with: the one that --set names, or all of the table."""
    for name, value in options.settings.items():
        if name not in PLAIN:
            raise unknown_name("setting", name, PLAIN)
        if isinstance(PLAIN[name], bool) and not isinstance(value, bool):
            raise zoo.UsageError(f"--set {name} is true or false. Received: {name}={value}")
    if options.settings:
        return {", ".join(f"{k}={v}" for k, v in options.settings.items()): {**PLAIN, **options.settings}}
    return {label: {**PLAIN, **ADDED[label]} for label in (CUT if options.fast else FULL)["rows"]}


def fit(data: zoo.DataSplits, row: dict[str, Any], extent: dict[str, Any], options: StudyOptions) -> zoo.TrainingRun:
    """One training; the weights of the last epoch are kept, so that no validation image chooses anything."""
    net = extent["net"] | {name: row[name] for name in ("batch_normalization", "dropout")}
    stages = min(extent["stages"], min(data.input_shape[:2]).bit_length() - 1)
    model = zoo.build("cnn", data.input_shape, data.num_classes, seed=options.seed, num_stages=stages, **net)
    recipe = {"optimizer": row["optimizer"], "augment": ("flip", "crop") if row["augment"] else ()}
    recipe |= {"epochs": extent["epochs"], **RATES.get(row["optimizer"], {}), "batch_size": 32, "seed": options.seed}
    return zoo.train(model, data, zoo.Recipe(**recipe), verbose=not options.fast)


def unseen_images(data: zoo.DataSplits) -> zoo.Split:
    """Validation and test images together: training saw neither."""
    inputs, labels = zip(*((s.inputs, s.labels) for s in (data.validation, data.test) if s is not None), strict=True)
    joined = np.concatenate(inputs), np.concatenate(labels)
    return zoo.Split.from_arrays(*joined, class_names=data.train.class_names, input_range=ENDS)


def record(report: StudyReport, runs: Runs, scored: Scored) -> None:
    """The numbers, and the table of settings."""
    rows = []
    for label, evaluation in scored.items():
        low, high = evaluation.accuracy_interval
        train = runs[label].history["accuracy"].iloc[-1]
        rows.append({"net": label, "accuracy": evaluation.accuracy, "low": low, "high": high, "train_accuracy": train})
        commonest = evaluation.predictions["predicted"].value_counts(normalize=True).max()
        rows[-1] |= {"commonest_answer": commonest, "loss": evaluation.loss, "seconds": runs[label].seconds}
    table = pd.DataFrame(rows)
    first = next(iter(scored.values()))
    chance = float(first.predictions["true"].value_counts(normalize=True).max())
    report.value("unseen_images", first.num_examples, label="images of validation and test, unseen by the training")
    for _, row in table.iterrows():
        report.value(f"accuracy_{str(row['net']).replace(' ', '_')}", row["accuracy"], label=f"{row['net']}: accuracy")
    net, low = table["net"].iloc[0], table["low"].iloc[0]
    caption = "Accuracy on unseen images with Wilson's 95 % interval, and on training images in the last epoch."
    report.figure("accuracies", draw_accuracies(table), caption)
    report.claim("above_chance", f"{net}: interval above chance, {chance:.3g}", low > chance)
    report.table("Settings: accuracy on unseen images with Wilson's 95 % interval", table)


def draw_accuracies(table: pd.DataFrame) -> Figure:
    """A row a net, the first on top."""
    figure = Figure(figsize=(7, 1.4 + 0.4 * len(table)), layout="constrained")
    axes, reach = figure.subplots(), (table["accuracy"] - table["low"], table["high"] - table["accuracy"])
    axes.errorbar(
        table["accuracy"], table["net"], xerr=reach, fmt="o", color=VALIDATION, capsize=3, label="unseen images"
    )
    axes.plot(table["train_accuracy"], table["net"], "x", color=TRAIN, label="training images")
    axes.invert_yaxis()
    finish_axes(axes, "accuracy", "")
    return figure


def draw_predictions(report: StudyReport, scored: zoo.Evaluation, label: str, shown: int) -> None:
    """Galleries of what is surely wrong, and of what the net cannot decide."""
    found = scored.predictions
    wrong = found[~found["correct"]].sort_values("confidence", ascending=False).head(shown).index.tolist()
    unsure = found.sort_values("confidence").head(shown).index.tolist()
    if wrong:
        report.figure("mistakes", plot_predictions(scored, wrong), f"{label}: mistakes with the highest scores.")
    report.figure("unsure", plot_predictions(scored, unsure), f"{label}: images with the lowest scores, about 50 %.")


def draw_inside(report: StudyReport, model: keras.Model, data: zoo.DataSplits, label: str) -> None:
    """Kernels of the first layer, and maps of one image at the beginning and the end."""
    assert data.test is not None
    images, labels = next(iter(data.test.batches(1)))
    what = data.class_names[int(labels[0])]
    last = max(layer.name for layer in model.layers if layer.name.endswith("_conv2_activation"))
    kernels = inspection.plot_filters(inspection.filters(model))
    report.figure("kernels", kernels, f"{label}: kernels of the first layer.")
    for name, layer in (("maps_first", "stage1_conv1_activation"), ("maps_last", last)):
        maps = inspection.activations(model, images, layer)[0]
        report.figure(name, inspection.plot_activations(maps), f"{label}: maps of {layer} for a test image, {what}.")


def predict_files(model: keras.Model, data: zoo.DataSplits, files: Sequence[Path]) -> pd.DataFrame:
    """Table of id (the file's name without its ending, as a number where it is one) and label (place of the class)."""
    ids = [int(file.stem) if file.stem.isdecimal() else file.stem for file in files]
    table = pd.DataFrame({"id": ids, "label": score_files(model, files, data.train).argmax(axis=1)})
    return table.sort_values("id", key=lambda column: column.astype(str).str.zfill(20))


def answer(report: StudyReport, scored: Scored, net: str, trained_on: int) -> None:
    """Answers the questions from the numbers."""
    found, (low, high) = scored[net], scored[net].accuracy_interval
    verdict = "The interval ends below, with far fewer to learn from" if high < 0.83 else "The interval reaches that"
    report.answer(
        f"How far does such a net get with {trained_on:,} photographs to learn from?",
        f"{net}: {found.accuracy:.1%} of {found.num_examples} unseen images are right, 95 % interval {low:.1%} to {high:.1%}. On all 25,000 photographs of "
        f"Kaggle's set such nets reach 83 to 92 %. {verdict}. The study `photographs` shows the other way to more images: a network trained elsewhere.",
    )
    if len(scored) > 1:
        question = "What do batch normalisation, dropout, Adam and augmentation bring?"
        first, *others = scored
        points = [f"{name} {100 * (scored[name].accuracy - scored[first].accuracy):+.1f}" for name in others]
        told = [*zoo.compare_models(scored).sentences(), f"Points against {first}: {', '.join(points)}."]
        report.answer(question, " ".join(told))
    bins = pd.cut(found.predictions["confidence"], (0, 0.6, 0.9, 1))
    right = found.predictions.groupby(bins, observed=True)["correct"].agg(["size", "mean"])
    told = [f"{row['size']:.0f} with a score in {span}, {row['mean']:.1%} right" for span, row in right.iterrows()]
    report.answer("Does the score tell how sure one can be?", f"{net}: {'; '.join(told)}.")


def answer_shift(report: StudyReport, train: zoo.Split, unseen: zoo.Split, runs: Runs, scored: Scored) -> None:
    """What nets with noise in their training say when inference is more like it; the models are not used after it."""
    told = []
    for label, run in runs.items():
        is_drawn = all("batch_normalization" not in layer.name for layer in run.model.layers)
        if not is_drawn:
            measure_statistics(run.model, train)
        scores = [run.model(x, training=is_drawn) for _ in range(16 if is_drawn else 1) for x, _ in unseen.batches(256)]
        mean = np.concatenate(scores).reshape(-1, len(unseen), unseen.num_classes).mean(axis=0)
        right = mean.argmax(axis=1) == unseen.labels
        test = mcnemar(right, scored[label].predictions["correct"].to_numpy())
        report.value(f"anew_{label.replace(' ', '_')}", right.mean(), label=f"{label}: accuracy, noise accounted for")
        told.append(f"{label}: {right.mean():.1%} instead of {scored[label].accuracy:.1%} ({p_value(test.p)})")
    if told:
        report.answer(
            "How much of that is noise which is there in training and not in inference?",
            "Dropout's noise raises what ReLU and max-pooling let through, and the variances that batch normalisation stores (the variance shift of Li "
            "et al., 2019, arXiv:1801.05134). With these statistics measured anew on the training images without dropout, or the scores of a net "
            f"without them averaged over 16 draws of dropout, all weights as they are: {'; '.join(told)}.",
        )
