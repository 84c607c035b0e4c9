"""What a report reads from a run, an evaluation and a search: attributes only, so any object with them will do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from zoo.evaluation.intervals import wilson_interval
from zoo.training.curves import RunTables

if TYPE_CHECKING:
    from zoo.evaluation.comparison import Comparison


class RunLike(RunTables, Protocol):
    """A finished training run.

    A run may also carry `model`, a Keras model, which the report asks for its name and its number of parameters when
    `config["model"]` does not say; and `metrics`, name -> value, of which a comparison of runs shows `val_accuracy`.
    """

    @property
    def config(self) -> Mapping[str, Any]:
        """`{"data": {...}, "model": {...}, "recipes": [{...}], "versions": {...}}`; each part may be absent."""


class EvaluationLike(Protocol):
    """A model's outputs on one split and what they score."""

    @property
    def accuracy(self) -> float:
        """The share of correct predictions, 0 to 1."""

    @property
    def loss(self) -> float:
        """The mean loss without penalties."""

    @property
    def num_examples(self) -> int:
        """How many examples were scored."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the model's outputs."""

    @property
    def predictions(self) -> pd.DataFrame:
        """One row an example: index, true, predicted, correct, confidence, loss, `p(<class>)` a class; perhaps file."""

    @property
    def per_class(self) -> pd.DataFrame:
        """One row a class, indexed by its name: precision, recall, f1, support."""

    @property
    def confusion_matrix(self) -> np.ndarray:
        """Counts, (classes, classes); a row is a true class."""

    @property
    def images(self) -> np.ndarray | None:
        """uint8, (N, height, width, 1 or 3), in the order of `predictions`; None when the inputs are not images."""


class SearchTable(Protocol):
    """The trials of a search, as `plot_search` draws them."""

    @property
    def table(self) -> pd.DataFrame:
        """One row a trial: trial, status, score, epochs, seconds, then its hyper-parameters."""

    @property
    def objective(self) -> str:
        """The name of the score, e.g. `"val_accuracy"`."""

    @property
    def direction(self) -> str:
        """`"max"` or `"min"`."""


class SearchLike(SearchTable, Protocol):
    """A finished hyper-parameter search.

    A search may also carry `model_name` and `data_config`, by which the page is named where no run is given.
    """

    @property
    def best_values(self) -> Mapping[str, Any]:
        """The hyper-parameters of the best trial."""

    @property
    def num_models(self) -> int:
        """How many runs a trial's score is the mean of."""

    def figures(self) -> Mapping[str, tuple[str, Figure]]:
        """Name -> (caption, figure): its pictures; asked where a trial has a score."""

    def compare(self) -> Comparison:
        """The trials compared over their runs; asked where there are several runs a trial."""


def accuracy_interval(evaluation: EvaluationLike) -> tuple[float, float]:
    """The 95 % Wilson interval of the accuracy, NaN where nothing was scored."""
    if evaluation.num_examples < 1 or not math.isfinite(evaluation.accuracy):
        return math.nan, math.nan
    return wilson_interval(round(evaluation.accuracy * evaluation.num_examples), evaluation.num_examples)


def num_parameters(run: RunLike) -> int | None:
    """How many parameters a run's model has, where the run or the model says so."""
    recorded = run_part(run, "model").get("num_parameters")
    count_params = getattr(getattr(run, "model", None), "count_params", None)
    return int(recorded) if recorded is not None else None if count_params is None else int(count_params())


def model_name(run: RunLike) -> str:
    """The name of a run's model, or ""."""
    return str(run_part(run, "model").get("name") or getattr(getattr(run, "model", None), "name", "") or "")


def best_scores(search: SearchLike) -> pd.Series:
    """The score of each trial, or that of its fine-tuning where this is better; NaN without one."""
    shown = [name for name in ("score", "fine_tuned") if name in search.table.columns]
    scores = search.table[shown].apply(pd.to_numeric, errors="coerce")
    best: pd.Series = scores.min(axis=1) if search.direction == "min" else scores.max(axis=1)
    return best


def run_part(run: RunLike, name: str) -> dict[str, Any]:
    """One part of a run's configuration, empty where it is missing."""
    part = run.config.get(name)
    return dict(part) if isinstance(part, dict) else {}
