"""The CNN that the study `cnn_grid_search` chose, and what the studies of it share; this is no study."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from studies.options import StudyOptions

import zoo

if TYPE_CHECKING:
    import keras

STAGES: dict[str, Any] = {"filters": 16, "num_stages": 2, "units": 64, "dtype": "mixed_bfloat16"}
SMALL: dict[str, Any] = {"filters": 4, "num_stages": 1, "units": 8, "dropout": 0.0}  # of a cut: quick to trace
WINNER: dict[str, Any] = {"dropout": 0.3, "l2": 1e-5, "learning_rate": 0.3, "schedule": "cosine"}  # of the grid
RECIPE = zoo.Recipe(optimizer="sgd", batch_size=32, epochs=4)
IMAGES, HELD_OUT = 15_000, 1 / 3  # 10,000 images to learn from, 5,000 to choose by


def load(options: StudyOptions) -> zoo.DataSplits:
    """The images of a search: the first of the training split; the same ones in all studies of this network."""
    limit = 450 if options.fast else IMAGES
    return zoo.load_dataset(options.dataset_or("mnist"), limit=limit, validation=HELD_OUT, seed=options.seed)


def stages(options: StudyOptions) -> dict[str, Any]:
    """What of the network is not searched."""
    return SMALL if options.fast else STAGES


def winner(options: StudyOptions, *, epochs: int = RECIPE.epochs) -> tuple[dict[str, Any], zoo.Recipe]:
    """The winner's options for `zoo.build("cnn", ...)`, and its recipe; in a cut one epoch of a smaller network."""
    chosen = {name: WINNER[name] for name in ("learning_rate", "schedule")}
    recipe = dataclasses.replace(RECIPE, seed=options.seed, epochs=1 if options.fast else epochs, **chosen)
    given = stages(options)
    return given | {name: given.get(name, WINNER[name]) for name in ("dropout", "l2")}, recipe


def fixed(options: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Options as a search takes what it does not vary: a list of one each."""
    return {name: [value] for name, value in options.items()}


def fit(
    data: zoo.DataSplits,
    options: Mapping[str, Any],
    recipe: zoo.Recipe,
    *,
    start: Sequence[np.ndarray] | None = None,
    verbose: bool = False,
) -> zoo.TrainingRun:
    """One training; `start` are weights to begin with, else the recipe's seed decides them."""
    model = zoo.build("cnn", data.input_shape, data.num_classes, seed=recipe.seed, **options)
    if start is not None:
        model.set_weights(list(start))
    return zoo.train(model, data, recipe, verbose=verbose)


def scored(data: zoo.DataSplits, model: keras.Model, group: str, seed: int) -> dict[str, Any]:
    """A row for `zoo.compare`: what was trained, its seed, its test accuracy."""
    assert data.test is not None
    return {"group": group, "seed": seed, "test_accuracy": zoo.evaluate(model, data.test).accuracy}


def difference(found: zoo.Comparison, a: str, b: str) -> tuple[str, float, float, float]:
    """What the seeds say about a minus b: a sentence, the mean difference, and the ends of its interval."""
    mean, low, high = found.pair(a, b)[:3]
    points = f"{a} against {b}: {100 * mean:+.2f} points"
    if len(found.scores) == 1:
        return f"{points} with one seed, which tells nothing.", mean, low, high
    verdict = f"{a if mean > 0 else b} is better" if low * high > 0 else "they cannot be told apart"
    interval = f"95 % interval {100 * low:+.2f} to {100 * high:+.2f}, {len(found.scores)} seeds"
    return f"{points} ({interval}); {verdict}.", mean, low, high
