"""What the studies of transfer share: a ResNet-20 that knows five classes of CIFAR-10, the data it is taken to, and words.

No study of its own. The network is trained once for a seed and kept as a run folder; under --fast it is a small CNN on digits.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from studies.options import StudyOptions

import zoo
from zoo.errors import unknown_name
from zoo.reporting.study import StudyReport
from zoo.storage import sha256_of_file
from zoo.weights.sources import SOURCES

SOURCE = "cifar10"
CIFAR100 = SOURCES["resnet20"]["cifar100"]  # which the source of fine_tuning begins with
KNOWN, OTHERS = range(5), range(5, 10)  # classes: those that the network learns, and those it is taken to
RECIPE = zoo.Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    momentum=0.9,
    schedule="cosine",
    batch_size=128,
    epochs=8,
    augment=("flip", "crop"),
    validation_freq=8,  # once, at the end: nothing is chosen by it
)
_SMALL = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100")  # whose images are left as they are
_SIZE = 32


class Interval(NamedTuple):
    """A mean over seeds and its 95 % interval (NaN for one seed); in words, a difference of accuracies in points."""

    mean: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether zero lies outside of the interval."""
        return self.low > 0 or self.high < 0

    @property
    def verdict(self) -> str:
        """What the interval lets say."""
        if not self.is_clear:
            return "not to be told from what the seeds do"
        return f"a {'gain' if self.mean > 0 else 'loss'} beyond what the seeds do"

    def __str__(self) -> str:
        interval = (
            "one seed, no interval" if np.isnan(self.low) else f"95 % interval {self.low:+.2f} to {self.high:+.2f}"
        )
        return f"{self.mean:+.2f} points ({interval})"


def pretrained(options: StudyOptions) -> zoo.TrainingRun:
    """The network that knows five classes: trained, gone on with, or loaded from its folder.

    Raises:
        UsageError: the folder holds a network of other settings.
    """
    network, source = ("cnn", "digits") if options.fast else ("resnet20", SOURCE)
    epochs = 1 if options.fast else RECIPE.epochs
    recipe = dataclasses.replace(RECIPE, epochs=epochs, validation_freq=epochs, seed=options.seed)
    folder = options.output / "five_classes" / f"{network}-{source}-seed{options.seed}"
    if (folder / "result.json").exists() and (run := zoo.load_run(folder)).recipes == (recipe,):
        return run
    data = zoo.load_dataset(source, classes=KNOWN, validation="test", color_mode="rgb")
    small = {"filters": (8, 8), "units": 16} if options.fast else {}
    model = zoo.build(network, data.input_shape, data.num_classes, seed=options.seed, dtype=dtype(options), **small)
    return zoo.train(model, data, recipe, output_dir=folder, verbose=not options.fast)


def starting_point(
    options: StudyOptions, report: StudyReport, *, published: str = "resnet20", image_size: int | None = None
) -> dict[str, Any] | None:
    """The options of `transfer` that bring the backbone; `None` where published weights are absent, which the report says.

    Args:
        options: with weights or a backbone of the user's, or without.
        report: is told how well the network knows its own five classes.
        published: the network that a file of weights is for, unless a backbone is named.
        image_size: what such a backbone sees; by default what it was made for.
    """
    start: dict[str, Any] = {"dtype": dtype(options)}
    if not options.backbone and not options.weights:
        known = pretrained(options)
        label = "the backbone on the five classes that it knows: test accuracy (%)"
        report.value("source_accuracy", 100 * known.metrics["val_accuracy"], label=label)
        return start | {"backbone": known.model}
    start |= {"backbone": options.backbone or published, "weights": options.weights or "published"}
    start |= {"image_size": image_size}
    if options.fast:  # small, and without a download
        start |= {"image_size": _SIZE, "weights": options.weights}
    try:
        zoo.build("transfer", (_SIZE, _SIZE, 3), 2, **start)
    except zoo.WeightsError as error:
        if options.weights:
            raise
        report.not_run("published", f"heads on {options.backbone}", f"weights absent: {error}")
        return None
    return start


def has_cifar100(options: StudyOptions) -> bool:
    """Whether a study is run in full from the published weights of CIFAR-100, with nothing else changed."""
    is_theirs = options.weights is not None and sha256_of_file(options.weights) == CIFAR100.sha256
    return is_theirs and options.given.keys() == {"weights"} and not options.fast


def dtype(options: StudyOptions) -> str:
    """bfloat16 is 1.8 times as fast for ResNet-20; a cut is over before that counts."""
    return "float32" if options.fast else "mixed_bfloat16"


def target(options: StudyOptions) -> zoo.DataSplits:
    """What the network is taken to: the other five classes of its own data set, or all classes of another one.

    With weights or a backbone of the user's, all classes of CIFAR-10 (of digits under --fast).
    """
    source, own = options.dataset_or(SOURCE), "digits" if options.fast else SOURCE
    classes = OTHERS if source == own and not options.weights and not options.backbone else None
    return zoo.load_dataset(source, classes=classes, validation=None, image_size=None if source in _SMALL else _SIZE)


def drawn(data: zoo.DataSplits, images: int, validation: int, seed: int) -> zoo.DataSplits:
    """Training and validation images drawn at random; of few images a fifth is for validation."""
    order = np.random.default_rng(seed).permutation(len(data.train))
    validation = min(validation, len(order) // 5)
    images = min(images, len(order) - validation)
    config = {**data.config, "drawn": [images, validation, seed]}
    training, held_out = order[:images], order[images : images + validation]
    return zoo.DataSplits(data.train.subset(training), data.train.subset(held_out), data.test, config)


def settled(defaults: Mapping[str, float], given: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults with what `--set` gives: positive numbers, whole where the default is.

    Raises:
        UsageError: an unknown name, or a value that is none.
    """
    for name, value in given.items():
        if name not in defaults:
            raise unknown_name("setting", name, defaults)
        kind, wanted = (
            (numbers.Integral, "a whole number") if isinstance(defaults[name], int) else (numbers.Real, "a number")
        )
        if isinstance(value, bool) or not isinstance(value, kind) or not 0 < float(value) < float("inf"):
            raise zoo.UsageError(f"--set {name}= takes {wanted} above 0. Received: {value!r}")
    return {**defaults, **given}


def interval_of(found: zoo.Comparison, name: str) -> Interval:
    """The mean score of a group."""
    row = found.groups[found.groups["group"] == name].iloc[0]
    return Interval(float(row["mean"]), float(row["low"]), float(row["high"]))


def gap(found: zoo.Comparison, a: str, b: str) -> Interval:
    """Mean accuracy of `a` minus that of `b`, where the scores are in percent."""
    return Interval(*found.pair(a, b)[:3])


def record_interval(report: StudyReport, key: str, label: str, interval: Interval) -> None:
    """A mean and the ends of its interval, under `key`, `key_low` and `key_high`."""
    for end, name, number in zip(
        ("", "_low", "_high"), ("mean", "low end of 95 %", "high end of 95 %"), interval, strict=True
    ):
        report.value(f"{key}{end}", number, label=f"{label}: {name}")
