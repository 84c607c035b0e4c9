"""`measure_robustness`: the accuracy of a model under corruptions of graded strengths."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from zoo.data.pipeline import scale
from zoo.data.split import Split, checked_range
from zoo.data.streaming import naming_files
from zoo.errors import UsageError, check_count, check_seed
from zoo.evaluation.corruptions import CORRUPTIONS, checked_strengths, corrupted
from zoo.evaluation.intervals import wilson_interval
from zoo.evaluation.scoring import class_scores, fitting_split
from zoo.training.progress import ProgressBar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

USUAL = ("noise", "blur", "crop", "rotation", "brightness")
_BAR_AFTER = 2.0  # seconds


@dataclasses.dataclass(frozen=True, eq=False)
class Robustness:
    """Accuracies under corruptions.

    Attributes:
        table: one row a corruption and strength, in the order of strengths: corruption, strength, unit, n, correct, accuracy,
            low and high (95 % Wilson interval). The rows of strength 0 are the clean accuracy.
        seed: that decided the noise.
    """

    table: pd.DataFrame
    seed: int

    @property
    def clean_accuracy(self) -> float:
        """Share of the unchanged examples that are right, as `zoo.evaluate` has it."""
        return float(self.table.loc[self.table["strength"] == 0, "accuracy"].iloc[0])

    def figure(self) -> Figure:
        """Accuracy against strength with its interval, a panel each corruption; of several models see `plot_robustness`."""
        from zoo.evaluation.robustness_plot import plot_robustness

        return plot_robustness(self)

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Writes `figure()` as .png, .svg or .pdf, and returns the path."""
        from zoo.drawing import save_figure  # loads Matplotlib

        return save_figure(self.figure(), path)


@naming_files()
def measure_robustness(
    model: keras.Model,
    data: Split | tuple[Any, Any] | Any,
    corruptions: str | Sequence[str] | Mapping[str, Sequence[float]] = USUAL,
    *,
    seed: int = 0,
    batch_size: int = 512,
    input_range: tuple[float, float] | None = None,
    verbose: bool = True,
) -> Robustness:
    """Runs a model over corrupted examples. The model need not be compiled and is not changed.

    An example has the same noise pattern at every strength, a function of the seed and of its place, so that neighbouring
    strengths, and models, are compared on the same images. The idea of graded corruptions: Hendrycks and Dietterich, 2019,
    Benchmarking neural network robustness to common corruptions and perturbations (arXiv:1903.12261).

    Args:
        model: a Keras model that gives class probabilities, one sigmoid unit, or logits.
        data: a `Split`, an (inputs, labels) pair, or a batched `tf.data.Dataset`, whose examples must come in the same order
            in every pass for the seed to decide their noise.
        corruptions: names, or name -> strengths; `zoo.corrupt` says what they are and their units. Without strengths those
            of `zoo.evaluation.corruptions.CORRUPTIONS` are taken. Strength 0 is always added.
        seed: decides the noise.
        batch_size: examples a forward pass.
        input_range: least and greatest value of float inputs, at which they are clipped. By default (0, 1), widened to what
            the data hold, for which they are read once more. uint8 data know theirs.
        verbose: whether a bar is shown after two seconds.

    Raises:
        UsageError: an unknown corruption, a strength out of range, or a model or inputs that do not fit.

    Examples:
        >>> found = measure_robustness(model, data.test, {"noise": [0.1, 0.2], "rotation": [-30, 30]})  # doctest: +SKIP
        >>> found.table, found.plot("robustness.png")  # doctest: +SKIP
    """
    check_seed(seed)
    check_count("batch_size", batch_size)
    split = fitting_split(model, data)
    grades = _grades(corruptions, split.input_shape)
    bounds, probabilities = value_range(split, input_range), class_scores(model, split)
    clean = ("", 0.0)
    cases = [clean, *((name, strength) for name, strengths in grades.items() for strength in strengths if strength)]
    correct, count, total = dict.fromkeys(cases, 0), 0, split.num_batches(batch_size) * len(cases)
    with late_progress("robustness", verbose) as on_progress:
        for b, (stored, labels) in enumerate(split.stored_batches(batch_size)):
            images = scale(stored, split.scaling)
            examples = np.arange(count, count + len(labels))
            count += len(labels)
            for c, (name, strength) in enumerate(cases):
                changed = images
                if strength:
                    changed = corrupted(images, name, np.full(len(labels), strength), examples, seed, bounds)
                correct[name, strength] += int((probabilities(changed).argmax(axis=1) == labels.numpy()).sum())
                on_progress(b * len(cases) + c + 1, total)
    rows = []
    for name, strengths in grades.items():
        for strength in strengths:
            hits = correct[(name, strength) if strength else clean]
            interval = wilson_interval(hits, count)
            rows.append((name, strength, CORRUPTIONS[name].unit, count, hits, hits / count, *interval))
    columns = ["corruption", "strength", "unit", "n", "correct", "accuracy", "low", "high"]
    return Robustness(pd.DataFrame(rows, columns=columns), seed)


def _grades(corruptions: Any, shape: tuple[int, ...]) -> dict[str, list[float]]:
    """Name -> strengths, 0 among them, ascending."""
    if not isinstance(corruptions, Mapping):
        names = [corruptions] if isinstance(corruptions, str) or not isinstance(corruptions, Iterable) else corruptions
        corruptions = {name: CORRUPTIONS[name].strengths if name in CORRUPTIONS else () for name in names}
    if not corruptions:
        raise UsageError(f"name one or more corruptions. Received: corruptions={corruptions!r}")
    for name, values in corruptions.items():
        if not isinstance(values, Iterable) or isinstance(values, str):
            raise UsageError(f"the strengths of {name} must be several numbers. Received: {values!r}")
    return {name: sorted({0.0, *checked_strengths(name, values, shape)}) for name, values in corruptions.items()}


def value_range(split: Split, input_range: tuple[float, float] | None) -> tuple[float, float]:
    """Least and greatest value that a model's input may have; see `measure_robustness`."""
    if split.dtype == np.uint8:
        return split.scaling.offset, split.scaling.offset + 255 * split.scaling.scale
    if input_range is not None:
        return checked_range(input_range)
    low, high = 0.0, 1.0
    for inputs, _ in split.stored_batches(512):
        low, high = min(low, float(tf.reduce_min(inputs))), max(high, float(tf.reduce_max(inputs)))
    return low, high


@contextlib.contextmanager
def late_progress(label: str, verbose: bool) -> Iterator[Callable[[int, int], None]]:
    """A function that is told (done, all) and shows it, once two seconds have passed."""
    bar, start = ProgressBar(1, label) if verbose else None, time.monotonic()

    def on_progress(done: int, total: int) -> None:
        if bar is not None and time.monotonic() - start > _BAR_AFTER:
            bar.on_train_begin()  # a bar that is shown already stays as it is
            bar.on_steps(done, total)

    try:
        yield on_progress
    finally:
        if bar is not None:
            bar.close()
