"""Small results with the types that training, evaluation and search give."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from zoo.errors import ZooError
from zoo.evaluation.comparison import Comparison, compare
from zoo.reporting.figures import plot_search


@dataclasses.dataclass(frozen=True)
class Run:
    config: dict[str, Any]
    steps: pd.DataFrame
    validations: pd.DataFrame
    history: pd.DataFrame


@dataclasses.dataclass(frozen=True)
class Evaluation:
    accuracy: float
    loss: float
    num_examples: int
    class_names: tuple[str, ...]
    predictions: pd.DataFrame
    per_class: pd.DataFrame
    confusion_matrix: np.ndarray
    images: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Search:
    table: pd.DataFrame
    objective: str
    best_values: dict[str, Any]
    direction: str
    runs: pd.DataFrame | None = None

    @property
    def num_models(self) -> int:
        return 1 if self.runs is None else int(self.runs["repeat"].nunique())

    def figures(self) -> dict[str, tuple[str, Figure]]:
        return {"best_so_far": (f"Best {self.objective} so far", plot_search(self))}

    def compare(self) -> Comparison:
        if self.runs is None:
            raise ZooError("not with one run a trial")
        return compare(self.runs, groups="trial", units="repeat", direction=self.direction)


def make_run(*, num_epochs: int = 4, validation: bool = True) -> Run:
    step = np.arange(num_epochs * 30)
    loss = 2 * np.exp(-step / 40) + 0.1
    epoch = np.arange(num_epochs)
    last = (epoch + 1) * 30 - 1
    history = pd.DataFrame({"phase": epoch // 2, "epoch": epoch % 2, "loss": loss[last], "data_loss": loss[last]})
    history = history.assign(accuracy=1 - loss[last] / 3, learning_rate=0.1, seconds=1.5)
    checks = pd.DataFrame({"step": last, "epoch": epoch, "val_loss": loss[last] + 0.1, "val_data_loss": loss[last]})
    checks["val_accuracy"] = 0.8 - loss[last] / 4
    if validation:
        history["val_accuracy"] = checks["val_accuracy"].where(epoch > 0)  # NaN where no validation took place
    config = {
        "data": {"name": "digits", "seed": 0, "classes": None},
        "model": {"name": "softmax", "num_parameters": 1650, "options": {"l2": 1e-4}},
        "recipes": [{"optimizer": "sgd", "learning_rate": 0.1}, {"optimizer": "adam", "learning_rate": 0.01}],
        "versions": {"keras": "3.15.1"},
    }
    steps = pd.DataFrame({"step": step, "loss": loss, "data_loss": loss})
    return Run(config, steps, checks if validation else checks.head(0), history)


def make_evaluation(
    *,
    num_examples: int = 40,
    class_names: tuple[str, ...] = ("0", "1", "2"),
    image_shape: tuple[int, int, int] | None = (8, 8, 1),
) -> Evaluation:
    rng = np.random.default_rng(0)
    true = np.arange(num_examples) % len(class_names)
    logits = rng.normal(size=(num_examples, len(class_names)))
    logits[np.arange(num_examples), true] += 2
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    predicted = scores.argmax(axis=1)
    names = np.array(class_names)
    predictions = pd.DataFrame({"index": np.arange(num_examples), "true": names[true], "predicted": names[predicted]})
    predictions["correct"] = predicted == true
    predictions["confidence"] = scores.max(axis=1)
    predictions["loss"] = -np.log(scores[np.arange(num_examples), true])
    predictions = pd.concat([predictions, pd.DataFrame(scores, columns=[f"p({n})" for n in class_names])], axis=1)
    matrix = np.zeros((len(class_names), len(class_names)), int)
    np.add.at(matrix, (true, predicted), 1)
    per_class = pd.DataFrame({"precision": 0.9, "recall": 0.8, "f1": 0.85, "support": matrix.sum(axis=1)}, index=names)
    images = None if image_shape is None else rng.integers(0, 256, (num_examples, *image_shape), dtype=np.uint8)
    loss = float(predictions["loss"].mean())
    accuracy = float(predictions["correct"].mean())
    return Evaluation(accuracy, loss, num_examples, class_names, predictions, per_class, matrix, images)


def make_search(*, direction: str = "max") -> Search:
    columns = {"trial": range(4), "status": ["completed"] * 3 + ["failed"], "score": [0.5, 0.9, 0.7, np.nan]}
    table = pd.DataFrame({**columns, "epochs": 3, "seconds": 1.25, "l2": [0.0, 1e-4, 1e-3, 1e-2]})
    return Search(table, "val_accuracy", {"l2": 1e-4}, direction)


def make_repeated_search(*, trials: int = 4, repeats: int = 5) -> Search:
    """Trial 1 is the best, trial 2 as good but for chance, the others are worse by 0.1 each."""
    rng = np.random.default_rng(0)
    level = 0.9 - 0.1 * np.maximum(np.arange(trials) - 1, 0)
    scores = level[:, None] + rng.normal(0, 0.01, (trials, repeats))
    scores[0] += 0.004
    trial, repeat = np.divmod(np.arange(trials * repeats), repeats)
    runs = pd.DataFrame({"trial": trial + 1, "repeat": repeat, "score": scores.ravel()})
    table = pd.DataFrame({"trial": range(1, trials + 1), "status": "completed", "score": scores.mean(axis=1)})
    return Search(table.assign(epochs=3, seconds=1.0), "val_accuracy", {"l2": 0.0}, "max", runs)
