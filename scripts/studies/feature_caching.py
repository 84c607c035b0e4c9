"""What does it change to run a frozen backbone once, in place of in every step: logits, weights, seconds, bytes?

Command:  python scripts/study.py run feature_caching [--dataset NAME] [--backbone NAME] [--weights FILE]
Runtime:  7 min on 2 cores that had other work too.
Expected: the same logits and weights (within 1e-4, what float32 leaves of a deep network); an epoch of the head many times as
          fast. The caching pass costs about one epoch that runs the backbone, so it has paid by the second one.
Source:   Donahue et al. (2014), DeCAF: a new classifier on fixed features of a trained network.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
import pandas as pd
from studies.options import StudyOptions

import zoo
from zoo.evaluation.bands import mean_interval
from zoo.features.cutting import split_frozen
from zoo.features.extraction import extract_features
from zoo.reporting.study import StudyReport
from zoo.training.compiling import set_trainable
from zoo.training.histories import plot_histories
from zoo.training.phase import PhaseRun
from zoo.training.program import Program
from zoo.training.records import EpochRecords

FIRST, AGAIN = "features, computed first", "features, found in their file"
LIVE, STOCK = "backbone in every step", "backbone in every step, Keras fit"
WAYS = (FIRST, AGAIN, LIVE, STOCK)
SAME = 1e-4  # what float32 leaves of a deep network, as for exports
LOSS = "sparse_categorical_crossentropy_from_logits"
HEAD = zoo.Recipe(trainable="head", optimizer="sgd", momentum=0.9, learning_rate=0.01, batch_size=64, loss=LOSS)


def run(options: StudyOptions, report: StudyReport) -> None:
    """Trains the same head in four ways, some times over."""
    name = options.dataset_or("cifar10")
    limit, epochs, repeats = (200, 2, 1) if options.fast else (5000, 6, 3)
    size = 32 if Path(name).is_dir() else None
    data = zoo.load_dataset(name, limit=limit, validation=0.1, image_size=size, seed=options.seed)
    recipe = dataclasses.replace(HEAD, epochs=epochs, seed=options.seed)
    model, backbone = build(options, report, data)
    report.settings.update(dataset=name, limit=limit, backbone=backbone, repeats=repeats, recipe=recipe.as_config())
    model(next(iter(data.train.batches(recipe.batch_size)))[0])  # TensorFlow's own start belongs to no way
    tables: dict[str, list[pd.DataFrame]] = {way: [] for way in WAYS}
    initial, weights = model.get_weights(), {}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, ZOO_CACHE_DIR=folder):
            for way in WAYS:
                model.set_weights(initial)
                seconds, weights[way] = timed(way, model, data, recipe)
                tables[way].append(seconds)
            model.set_weights(weights[FIRST])
            apart = logits_apart(model, data)
            kept = sum(file.stat().st_size for file in Path(folder).rglob("*.npy"))
    report_sameness(report, weights, apart)
    report_seconds(report, tables)
    report_bytes(report, model, data, kept)


def build(options: StudyOptions, report: StudyReport, data: zoo.DataSplits) -> tuple[keras.Model, str]:
    """A new head on a backbone, giving logits; on random weights where the published ones cannot be had."""
    name: Any = options.backbone or "resnet20"
    weights, said = options.weights or "published", str(name)
    if options.fast and not options.given:  # a deep one takes seconds to trace
        name = zoo.build("cnn", (*data.input_shape[:2], 3), data.num_classes, num_stages=2, seed=options.seed)
        said = "a small cnn, random weights"
    shared: dict[str, Any] = {"backbone": name, "classifier_activation": None, "seed": options.seed}
    try:
        return zoo.build("transfer", data.input_shape, data.num_classes, weights=weights, **shared), said
    except zoo.WeightsError as error:
        if options.weights is not None:
            raise
        report.not_run("pretrained", "with pretrained weights", f"weights absent: {error}; random ones are used")
        return zoo.build(
            "transfer", data.input_shape, data.num_classes, weights=None, **shared
        ), f"{name}, random weights"


def timed(way: str, model: keras.Model, data: zoo.DataSplits, recipe: zoo.Recipe) -> tuple[pd.DataFrame, list[Any]]:
    """Trains in one way: the seconds at the end of each epoch, features and tracing included, and the weights."""
    ends, start = [0.0], time.perf_counter()
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter() - start))
    if way in (FIRST, AGAIN):
        zoo.train(model, data, recipe, callbacks=[watch], verbose=False)
    elif way == LIVE:
        with Program(model, data, recipe, keeps_features=False) as program:
            PhaseRun(program, data, recipe, EpochRecords()).fit([watch], until=recipe.epochs)
    else:
        model = fit_with_keras(model, data, recipe, watch)
    table = pd.DataFrame({"since_start": ends[1:], "of_epoch": np.diff(ends)})
    return table.assign(epoch=table.index + 1), model.get_weights()


def fit_with_keras(
    model: keras.Model, data: zoo.DataSplits, recipe: zoo.Recipe, watch: keras.callbacks.Callback
) -> keras.Model:
    """Keras's own layers, optimizer and `fit`, on a copy and on the same batches in the same order."""
    stock = keras.models.clone_model(model)
    stock.set_weights(model.get_weights())
    set_trainable(stock, recipe.trainable)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(recipe.learning_rate, recipe.momentum)
    stock.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    batches = data.train.batches(recipe.batch_size, shuffle=True, seed=recipe.seed)
    validation = data.validation.batches(512) if data.validation else None
    stock.fit(batches, validation_data=validation, epochs=recipe.epochs, callbacks=[watch], shuffle=False, verbose=0)
    return stock


def logits_apart(model: keras.Model, data: zoo.DataSplits) -> float:
    """The largest difference of logits on validation data: the head on kept features, and the whole model on images."""
    parts = split_frozen(model)
    features = None if parts is None else extract_features(parts.frozen, data)
    if parts is None or features is None or features.validation is None or data.validation is None:
        raise zoo.UsageError("no features can be kept of this --backbone: it has no fixed size, or there is no room")
    from_features = parts.learning.predict(features.validation.batches(512), verbose=0)
    return float(np.abs(from_features - model.predict(data.validation.batches(64), verbose=0)).max())


def report_sameness(report: StudyReport, weights: dict[str, list[Any]], logits: float) -> None:
    """Features change nothing but the time."""
    flat = {way: np.concatenate([array.ravel() for array in arrays]) for way, arrays in weights.items()}
    live, stock = (float(np.abs(flat[FIRST] - flat[way]).max()) for way in (LIVE, STOCK))
    report.check("logits", "logits: largest difference, head on features against whole model", logits, 0, SAME)
    report.check("weights_live", "trained weights: largest difference, features against backbone", live, 0, SAME)
    report.check("weights_keras", "trained weights: largest difference, features against Keras fit", stock, 0, SAME)
    report.answer(
        "Why are logits and weights the same?",
        "A frozen backbone is a fixed function of the image: its weights stay, its batch normalisation uses moving statistics, its dropout is "
        "off. The head sees the same numbers whether they are computed again or read from a file. "
        f"Logits differ by {logits:.2g} at most; trained weights by {live:.2g} from the same loop with the backbone in every step, and by "
        f"{stock:.2g} from Keras's fit, whose arithmetic rounds in another order.",
    )


def report_seconds(report: StudyReport, tables: dict[str, list[pd.DataFrame]]) -> None:
    """Seconds an epoch and in all, and when the caching pass has paid."""
    epoch = {way: np.array([t["of_epoch"][1:].median() for t in of_way]) for way, of_way in tables.items()}
    whole = {way: np.mean([t["since_start"] for t in of_way], axis=0) for way, of_way in tables.items()}
    caching, live = whole[FIRST][0] - whole[AGAIN][0], epoch[LIVE].mean()
    ahead = [*np.flatnonzero(whole[FIRST] <= whole[LIVE]) + 1, np.nan][0]
    told = {}
    for key, way in (("ratio", LIVE), ("keras_ratio", STOCK)):
        ratio, low, high = np.exp(mean_interval(np.log(epoch[way] / epoch[AGAIN])))
        bounds = f" (95 % interval {low:.3g} to {high:.3g})" if np.isfinite(low) else ""
        told[way] = f"{ratio:.3g} times{bounds} that"
        report.value(key, ratio, label=f"{way}: its epoch, in epochs on features")
        report.claim(f"{key}_above_1", "the 95 % interval of that ratio is above 1", low > 1)
    total, count = whole[LIVE][-1] / whole[FIRST][-1], len(whole[LIVE])
    report.value("total_ratio", total, label=f"{LIVE}: {count} epochs, in those on features, caching included")
    report.value("caching_in_epochs", caching / live, label="the caching pass, in epochs with the backbone")
    label = "first epoch at whose end the training with the caching pass is ahead"
    report.expect_at_most("ahead_from", label, ahead, 2)
    rows = [(way, whole[way][0], epoch[way].mean(), whole[way][-1]) for way in WAYS]
    report.table("Seconds", pd.DataFrame(rows, columns=["way", "first_epoch", "later_epoch", "all_epochs"]))
    figure = plot_histories(tables, {"since_start": "seconds since the start", "of_epoch": "seconds of the epoch"})
    caption = "Mean, least and most of the repeats. The first epoch has the caching pass and the tracing of graphs."
    report.figure("seconds", figure, caption)
    when = "in none of these epochs" if np.isnan(ahead) else f"from the end of epoch {ahead:.0f} on"
    report.answer(
        "When does the caching pass pay?",
        f"It takes {caching:.2g} s, as long as {caching / live:.2g} epochs with the backbone: one pass through it, and the tracing of its graph. "
        f"Then an epoch takes {1000 * epoch[AGAIN].mean():.3g} ms; with the backbone it takes {told[LIVE]}. The first training is ahead {when}: "
        f"{count} epochs take {whole[FIRST][-1]:.3g} s in place of {whole[LIVE][-1]:.3g}, and the next head on the same features {whole[AGAIN][-1]:.2g} s. "
        f"An epoch of Keras's fit takes {told[STOCK]}: what lies between the two is the library's loop inside the graph and its fused layers, no caching.",
    )
    report.answer(
        "When can features not be kept?",
        "When the backbone's input is new in every epoch, as with augmentation; then it runs in every step. With k fixed draws of each image "
        f"(augment_draws=k) pass and file are k times as large: 4 draws cost at most {4 * caching:.2g} s once (the graph is traced once for all), in place of {live:.2g} s in every epoch.",
    )


def report_bytes(report: StudyReport, model: keras.Model, data: zoo.DataSplits, kept: int) -> None:
    """What features weigh, behind the backbone and, where more of it learns, farther in front."""
    examples = len(data.train) + len(data.validation or ())
    pixels = data.train.dtype.itemsize * int(np.prod(data.input_shape))
    stages, rows = sorted({x.name.split("_")[0] for x in model.layers if x.name.startswith("stage")}), []
    for first in range(len(stages), 0, -1):
        set_trainable(model, [*(f"{stage}_*" for stage in stages[first:]), "predictions"])
        if parts := split_frozen(model):
            shape = parts.frozen.output_shape[1:]
            row = {"learning": ", ".join([*stages[first:], "head"]), "features": "x".join(map(str, shape))}
            rows.append({**row, "bytes": 4 * np.prod(shape), "times_the_pixels": 4 * np.prod(shape) / pixels})
    report.value("bytes_an_example", kept / examples, label=f"bytes of features an example; of pixels: {pixels:,}")
    report.table("What the features of an example weigh, by what learns", pd.DataFrame(rows))
    text = f"{kept / 1e6:.3g} MB for {examples:,} examples, {kept / examples:.0f} bytes each; their pixels have {pixels:,}."
    if len(rows) > 1:
        learning, shape, _, times = rows[-1].values()
        text += f" If more learns ({learning}), features lie farther in front: {shape}, {times:.3g} times the pixels."
    report.answer("What does it cost in memory and on disk?", text)
