"""What was measured, in a line of large figures."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from zoo.reporting.formatting import format_count, format_percent, format_seconds, format_value
from zoo.reporting.inputs import (
    EvaluationLike,
    RunLike,
    SearchLike,
    accuracy_interval,
    best_scores,
    model_name,
    num_parameters,
)
from zoo.reporting.section import Section


class Tile(NamedTuple):
    """One figure of the summary."""

    label: str
    value: str
    note: str = ""


def summary_section(run: RunLike | None, evaluation: EvaluationLike | None, search: SearchLike | None) -> Section:
    """The summary: accuracy with its interval and what guessing would give, loss, errors, model, costs, best trial."""
    tiles: list[Tile] = []
    if evaluation is not None:
        tiles += _evaluation_tiles(evaluation)
    if run is not None:
        tiles += _run_tiles(run)
    if search is not None:
        tiles += _search_tiles(search)
    return Section("summary", "Summary", {"tiles": tiles, "interval": _interval(evaluation)})


def _evaluation_tiles(evaluation: EvaluationLike) -> list[Tile]:
    low, high = accuracy_interval(evaluation)
    note = f"95 % interval {format_percent(low)} to {format_percent(high)} (Wilson)"
    support = np.asarray(evaluation.confusion_matrix).sum(axis=1)
    if support.sum():
        guessing = format_percent(float(support.max() / support.sum()), digits=1)
        note += f"; always naming the most frequent class gives {guessing}"
    errors = round((1 - evaluation.accuracy) * evaluation.num_examples) if math.isfinite(evaluation.accuracy) else 0
    return [
        Tile("Test accuracy", format_percent(evaluation.accuracy), note),
        Tile("Test loss", format_value(float(evaluation.loss)), "cross entropy, in nats"),
        Tile("Test examples", format_count(evaluation.num_examples)),
        Tile("Errors", format_count(errors)),
    ]


def _run_tiles(run: RunLike) -> list[Tile]:
    tiles = []
    if model_name(run):
        tiles.append(Tile("Model", model_name(run)))
    parameters = num_parameters(run)
    if parameters is not None:
        tiles.append(Tile("Parameters", format_count(parameters)))
    checks = run.validations
    if "val_accuracy" in checks.columns and checks["val_accuracy"].notna().any():
        best = format_percent(float(checks["val_accuracy"].max()))
        tiles.append(Tile("Best validation accuracy", best))
    tiles.append(Tile("Epochs run", format_count(len(run.history))))
    if "seconds" in run.history.columns:
        tiles.append(Tile("Training time", format_seconds(float(run.history["seconds"].sum()))))
    return tiles


def _search_tiles(search: SearchLike) -> list[Tile]:
    table, scores = search.table, best_scores(search)
    best = scores.min() if search.direction == "min" else scores.max()
    failed = len(scores) - int(scores.notna().sum())
    tiles = [
        Tile(f"Best {search.objective}", format_value(float(best))),
        Tile("Trials", format_count(len(scores)), f"{failed} without a score" if failed else ""),
    ]
    if "seconds" in table.columns:
        tiles.append(Tile("Time of all trials", format_seconds(float(table["seconds"].sum()))))
    return tiles


def _interval(evaluation: EvaluationLike | None) -> dict[str, str] | None:
    """Where the accuracy and its interval lie on a line from 0 to 1, as CSS percentages."""
    if evaluation is None or not math.isfinite(evaluation.accuracy) or evaluation.num_examples < 1:
        return None
    low, high = accuracy_interval(evaluation)
    return {
        "low": f"{100 * low:.3f}%",
        "width": f"{100 * (high - low):.3f}%",
        "accuracy": f"{100 * evaluation.accuracy:.3f}%",
    }
