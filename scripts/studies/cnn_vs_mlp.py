"""How much better is a convolutional network than an MLP of as many parameters, after ten epochs of MNIST?

Command:  python scripts/study.py run cnn_vs_mlp [--dataset NAME]
Runtime:  7 min on 2 cores that had other work too.
Expected: a validation error of about 1 % (taken as 0.8 to 1.2) for the CNN and of about 1.7 to 2 % (1.6 to 2.1) for the MLP.
Source:   coursework, both networks on MNIST; LeCun et al. (1998), Gradient-based learning applied to document recognition.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import pandas as pd
from studies.options import StudyOptions

import zoo
from zoo.reporting.study import StudyReport
from zoo.training.histories import plot_histories
from zoo.training.split_recorder import SplitRecorder

CNN, MLP = "CNN", "MLP"
STAGES: dict[str, Any] = {"filters": 16, "num_stages": 2, "units": 256, "dtype": "mixed_bfloat16"}
SMALL_STAGES: dict[str, Any] = {"filters": 4, "num_stages": 2, "units": 16}
RECIPE = zoo.Recipe(optimizer="adam", learning_rate=0.001, batch_size=128, epochs=10)
SEEDS, SHIFTS = 3, (1, 2, 3)  # pixels


def run(options: StudyOptions, report: StudyReport) -> None:
    """Trains both by the same recipe with the same seeds."""
    name, seeds = options.dataset_or("mnist"), 1 if options.fast else SEEDS
    recipe = dataclasses.replace(RECIPE, epochs=2) if options.fast else RECIPE
    stages, validation = SMALL_STAGES if options.fast else STAGES, 10_000 if report.full else 1 / 6
    data = zoo.load_dataset(name, limit=1000 if options.fast else None, validation=validation, seed=options.seed)
    budget = zoo.build("cnn", data.input_shape, data.num_classes, **stages).count_params()
    models = {CNN: ("cnn", stages), MLP: ("mlp", {"parameter_budget": budget})}
    report.settings.update(dataset=name, validation=validation, models=models, seeds=seeds, recipe=recipe.as_config())
    curves: dict[str, list[pd.DataFrame]] = {CNN: [], MLP: []}
    trained, rows, shifted = {}, [], []
    for seed in range(options.seed, options.seed + seeds):
        for label, (builder, given) in models.items():
            model = zoo.build(builder, data.input_shape, data.num_classes, seed=seed, **given)
            curve = fit(model, data, dataclasses.replace(recipe, seed=seed), verbose=not options.fast)
            curves[label].append(curve)
            shifts = zoo.measure_robustness(model, data.test, {"shift_x": SHIFTS}, verbose=False).table
            shifted.append(shifts.assign(model=label, seed=seed, error=1 - shifts["accuracy"]))
            last = curve.iloc[-1]
            test = shifted[-1]["error"][shifts["strength"] == 0].iloc[0]
            errors = {name: last[name] for name in ("train_error", "val_error")}
            rows.append({"model": label, "seed": seed, **errors, "test_error": test})
            trained[label] = model
    scores = pd.DataFrame(rows)
    state_errors(report, scores, trained)
    errors = {"train_error": "error on the training set", "val_error": "validation error"}
    report.figure(
        "errors",
        plot_histories(curves, errors, logarithmic=True),
        "Error on the whole training set and on validation images after each epoch; means over seeds, bands from least to most.",
    )
    found = zoo.compare(scores, groups="model", units="seed", score="val_error", direction="min")
    report.figure(
        "comparison", found.figure(), "Validation error after the last epoch: each seed, mean and 95 % interval."
    )
    report.table("By seed, after the last epoch", scores)
    every = [
        t.assign(model=label, seed=options.seed + i) for label, several in curves.items() for i, t in enumerate(several)
    ]
    report.table("By epoch", pd.concat(every))
    answer_lead(report, found, scores)
    answer_fit(report, curves)
    answer_shifts(report, trained[CNN], pd.concat(shifted))


def fit(model: keras.Model, data: zoo.DataSplits, recipe: zoo.Recipe, *, verbose: bool) -> pd.DataFrame:
    """One training: epoch (from 1), error on the whole training set and on the validation images after it."""
    recorder = SplitRecorder(data.train)
    history = zoo.train(model, data, recipe, callbacks=[recorder], verbose=verbose).history
    after = recorder.table.iloc[1:].reset_index(drop=True)
    return pd.DataFrame(
        {"epoch": after["epoch"], "train_error": 1 - after["accuracy"], "val_error": 1 - history["val_accuracy"]}
    )


def state_errors(report: StudyReport, scores: pd.DataFrame, trained: dict[str, keras.Model]) -> None:
    """Expected beside measured, means over the seeds."""
    means = {column: scores.groupby("model")[column].mean() for column in ("val_error", "train_error", "test_error")}
    spread = scores.groupby("model")["val_error"].agg(lambda errors: errors.max() - errors.min())
    val = {label: float(means["val_error"][label]) for label in (CNN, MLP)}
    report.expect("val_error_cnn", "CNN: validation error after ten epochs", val[CNN], 0.01, 0.002)
    report.expect("val_error_mlp", "MLP: validation error after ten epochs", val[MLP], 0.0185, 0.0025)
    for label in (CNN, MLP):
        which = (
            f"the source does not say on which images; of the test images {means['test_error'][label]:.2%} are wrong"
        )
        report.explain(f"val_error_{label.lower()}", f"{which}, and the seeds lie {spread[label]:.2%} apart")
    for label in (CNN, MLP):
        for column, what in (("train_error", "error on the training set"), ("test_error", "test error")):
            report.value(f"{column}_{label.lower()}", float(means[column][label]), label=f"{label}: {what}")
    counts = {label: model.count_params() for label, model in trained.items()}
    for label, count in counts.items():
        report.value(f"parameters_{label.lower()}", count, label=f"{label}: parameters")
    report.claim("as_many", "the parameters differ by less than 1 %", abs(counts[MLP] / counts[CNN] - 1) < 0.01)


def answer_lead(report: StudyReport, found: zoo.Comparison, scores: pd.DataFrame) -> None:
    """Which is better, on which evidence."""
    lead, low, high = found.pair(MLP, CNN)[:3]
    report.value("lead", lead, label="validation error of the MLP minus the CNN's")
    interval = "one seed, which gives no interval"
    if len(found.scores) > 1:
        report.value("lead_low", low, label="low end of its 95 % interval over the seeds")
        report.value("lead_high", high, label="high end of its 95 % interval over the seeds")
        seeds = f"{len(found.scores)} seeds, paired"
        interval = f"95 % interval {100 * low:+.2f} to {100 * high:+.2f}, {seeds}"
    verdict = (
        "the CNN is better" if low > 0 else "the MLP is better" if high < 0 else "the seeds do not tell them apart"
    )
    test = scores.groupby("model")["test_error"].mean()
    report.answer(
        "Which is better, and by how much?",
        f"The MLP's validation error minus the CNN's is {100 * lead:+.2f} points ({interval}): {verdict}. On the test images they have {test[CNN]:.2%} (CNN) and "
        f"{test[MLP]:.2%} (MLP) wrong. Seeds tell what other runs would do on these images, not what other images would.",
    )


def answer_fit(report: StudyReport, curves: dict[str, list[pd.DataFrame]]) -> None:
    """Whether the difference is one of fitting or of generalising."""
    means = {label: pd.concat(several).groupby("epoch").mean() for label, several in curves.items()}
    first, last = ({label: mean.iloc[i] for label, mean in means.items()} for i in (0, -1))
    gaps = {label: row["val_error"] - row["train_error"] for label, row in last.items()}
    best = {label: 1 + int(mean["val_error"].to_numpy().argmin()) for label, mean in means.items()}
    fits = (
        "Both fit the training images nearly completely, so the difference is one of generalising"
        if max(row["train_error"] for row in last.values()) < 0.01
        else "Not both have fitted the training images, so a part of the difference is one of fitting"
    )
    report.answer(
        "Does either of them overfit?",
        f"After the last epoch the CNN has {last[CNN]['train_error']:.2%} of the training images wrong and {last[CNN]['val_error']:.2%} of the "
        f"validation images, a gap of {100 * gaps[CNN]:.2f} points; the MLP {last[MLP]['train_error']:.2%} and {last[MLP]['val_error']:.2%}, "
        f"a gap of {100 * gaps[MLP]:.2f}. {fits}. The mean validation error was least after epoch {best[CNN]} (CNN) and {best[MLP]} "
        f"(MLP) of {len(means[CNN])}. After the first epoch it was {first[CNN]['val_error']:.2%} and {first[MLP]['val_error']:.2%}.",
    )


def answer_shifts(report: StudyReport, cnn: keras.Model, shifted: pd.DataFrame) -> None:
    """What convolution and pooling bring, as far as it can be measured: shifted test images."""
    table = shifted.pivot_table(index="strength", columns="model", values="error").reset_index()
    report.table(
        "Test error by shift to the right (pixels), mean over seeds", table.rename(columns={"strength": "shift"})
    )
    tables = {str(label): [t for _, t in of.groupby("seed")] for label, of in shifted.groupby("model")}
    drawn = plot_histories(tables, {"error": "test error"}, x="strength")
    drawn.axes[0].set(xlabel="shift to the right, pixels", xticks=[0, *SHIFTS])
    report.figure(
        "shifts", drawn, "Test error of images shifted to the right; neither network was trained on shifted ones."
    )
    at = {label: {n: float(table[label][n]) for n in (0, *SHIFTS)} for label in (CNN, MLP)}  # a row is a shift, from 0
    for label in (CNN, MLP):
        report.value(f"error_shift_2_{label.lower()}", at[label][2], label=f"{label}: test error, shifted by 2 pixels")
    convolutions = sum(layer.count_params() for layer in cnn.layers if isinstance(layer, keras.layers.Conv2D))
    suffers = {label: at[label][2] - at[label][0] for label in (CNN, MLP)}
    report.answer(
        "Why, with as many parameters?",
        f"Only {convolutions:,} of the CNN's {cnn.count_params():,} parameters are in its convolutions. Each is used at every place of the image, "
        "so what is learned of a stroke here holds there, and max-pooling forgets small displacements. An MLP has a weight of its own for "
        f"each pixel. Images moved by two pixels, which neither has seen, show it: {at[CNN][0]:.2%} wrong become {at[CNN][2]:.2%} (CNN), "
        f"{at[MLP][0]:.2%} become {at[MLP][2]:.2%} (MLP). "
        + (
            "The MLP suffers more."
            if suffers[MLP] > suffers[CNN]
            else "Here the CNN suffers as much or more, which speaks against it."
        ),
    )
