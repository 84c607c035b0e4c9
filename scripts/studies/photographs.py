"""What does a trained backbone give to somebody with a few hundred photographs, and what does fine-tuning add to it?

Command:  python scripts/study.py run photographs [--dataset NAME], a folder with one folder a class
Runtime:  5 min on 2 cores that had other work too.
Expected: on 1,000 photographs of dogs and cats at 32x32 a new head on ResNet-20 has more of them right than an MLP on pixels
          (McNemar p < 0.05). The backbone's CIFAR-10 weights know cats and dogs: classes that it never saw gain less.
Source:   Donahue et al. (2014), DeCAF: features of a network trained for other classes beat what is learned from few images.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from studies.options import StudyOptions, local_folder

import zoo
from zoo.data.folds import stratified_folds
from zoo.evaluation.paired_models import mcnemar
from zoo.reporting.study import StudyReport

FULL: dict[str, Any] = {"folds": 5, "limit": None, "image_size": 32}
CUT: dict[str, Any] = {"folds": 2, "limit": 100, "image_size": None}
HEAD = zoo.Recipe(trainable="head", epochs=30, batch_size=32, learning_rate=0.003)
FINE = zoo.Recipe(trainable="all", epochs=5, batch_size=32, learning_rate=1e-4, augment="flip")
PIXELS = zoo.Recipe(epochs=60, batch_size=32, patience=10)
NAMES = ("MLP on pixels", "new head", "fine-tuned")


def run(options: StudyOptions, report: StudyReport) -> None:
    """Trains three models in each of five folds; the test split is never touched."""
    size = CUT if options.fast else FULL
    name, folds = options.dataset_or(str(local_folder("dogs_vs_cats") or "cats_vs_dogs")), size["folds"]
    data = zoo.load_dataset(name, seed=options.seed, limit=size["limit"], image_size=size["image_size"])
    report.settings.update({"dataset": name, "folds": folds, "recipes": [r.as_config() for r in (PIXELS, HEAD, FINE)]})
    parts = stratified_folds(data, folds, seed=options.seed)
    correct = [correct_in_fold(part, options) for part in parts]
    pooled = {name: np.concatenate([fold[name] for fold in correct]) for name in NAMES}
    scores = pd.DataFrame(
        [{"fold": k, "model": n, "score": fold[n].mean()} for k, fold in enumerate(correct) for n in NAMES]
    )
    report.value("images", len(pooled[NAMES[0]]), label="photographs, each scored once by a model that never saw it")
    for key, name in zip(("accuracy_mlp", "accuracy_head", "accuracy_fine_tuned"), NAMES, strict=True):
        report.value(key, float(pooled[name].mean()), label=f"{name}: accuracy over the folds")
    test = mcnemar(pooled["new head"], pooled["MLP on pixels"])
    report.expect_at_most("mcnemar_p", "head against MLP: p of McNemar's test", test.p, 0.05)
    found = zoo.compare(scores, groups="model", units="fold", folds=folds)
    report.table("Accuracy by fold", scores.pivot(index="fold", columns="model", values="score").reset_index())
    report.figure("models", found.figure(), "Accuracy in each fold, mean and 95 % interval.")
    answer(report, found, test.difference)


def correct_in_fold(data: zoo.DataSplits, options: StudyOptions) -> dict[str, np.ndarray]:
    """Name of a model -> which validation examples it has right."""
    assert data.validation is not None
    pixels = zoo.build("mlp", data.input_shape, data.num_classes, seed=options.seed)
    shape, few = (*data.input_shape[:2], 3), {"num_stages": 1, "filters": 4, "units": 8}
    start = {"backbone": zoo.build("cnn", shape, data.num_classes, seed=options.seed, **few)} if options.fast else {}
    photographs = zoo.build("transfer", data.input_shape, data.num_classes, seed=options.seed, **start)
    found = {}
    steps = ((pixels, PIXELS), (photographs, HEAD), (photographs, FINE))  # fine-tuning goes on from the head
    for name, (model, recipe) in zip(NAMES, steps, strict=True):
        epochs = 1 if options.fast else recipe.epochs
        zoo.train(model, data, dataclasses.replace(recipe, seed=options.seed, epochs=epochs), verbose=False)
        found[name] = zoo.evaluate(model, data.validation).predictions["correct"].to_numpy(bool)
    return found


def answer(report: StudyReport, found: zoo.Comparison, lead: float) -> None:
    """Answers the questions from the numbers."""
    added, low, high = found.pair("fine-tuned", "new head")[:3]
    for key, number in (("fine_tuning_adds", added), ("fine_tuning_low", low), ("fine_tuning_high", high)):
        report.value(key, float(number))
    report.answer(
        "What does the backbone give?",
        f"A new last layer on frozen features has {100 * lead:+.1f} points of all photographs right against an MLP on pixels. "
        "It has a few hundred weights to learn where the MLP has hundreds of thousands, and its features were learned from "
        "tens of thousands of labelled images. Those of CIFAR-10 had cats and dogs among them, so this is a friendly case.",
    )
    verdict = "no sign" if low <= 0 <= high else "a gain" if added > 0 else "a loss"
    report.answer(
        "What does fine-tuning add?",
        f"{100 * added:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f}, which allows for the overlap of the "
        f"folds' training data; Nadeau and Bengio, 2003): {verdict} beyond what the choice of the examples does.",
    )
