"""One HTML page that holds everything about a run: summary, settings, curves, errors, every test image, the search."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup

from zoo.errors import UsageError
from zoo.evaluation.intervals import wilson_interval
from zoo.reporting.comparison_section import comparison_context
from zoo.reporting.figures import plot_confusion, plot_search
from zoo.reporting.formatting import (
    format_count,
    format_percent,
    format_seconds,
    format_value,
    frame_table,
    settings_table,
)
from zoo.reporting.gallery import gallery_context
from zoo.reporting.inputs import EvaluationLike, RunLike, SearchLike
from zoo.reporting.rendering import data_uri, render_template
from zoo.storage import write_text
from zoo.training.curves import curve_figures, figure_png, figure_svg

_MATRIX_CLASSES = 40  # a larger confusion matrix is drawn as a picture
_CONFUSED_PAIRS = 8


class Tile(NamedTuple):
    """One figure of the summary."""

    label: str
    value: str
    note: str = ""


def write_report(
    path: str | os.PathLike[str],
    *,
    run: RunLike | None = None,
    evaluation: EvaluationLike | None = None,
    search: SearchLike | None = None,
    title: str | None = None,
) -> Path:
    """Writes one self-contained HTML file and returns its path; each part that is given becomes sections.

    The file loads nothing from anywhere. Ten thousand test images fit in about 25 MB.

    Args:
        path: the file to write, replaced in one step. Missing parent folders are made.
        run: a training run: summary, recipe, versions, curves.
        evaluation: a model's results on the test split: accuracy, per-class table, confusion matrix, every image.
        search: a hyper-parameter search: its trials, its best values and, where a trial has several runs, which trials can
            be told from the best one.
        title: the heading. The default names the model and the data where `run` tells them.

    Raises:
        UsageError: when none of run, evaluation and search is given.
        DataError: when the predictions or the images do not fit together.

    Example:
        >>> write_report("runs/cnn/report.html", run=run, evaluation=score)
    """
    if run is None and evaluation is None and search is None:
        raise UsageError("a report needs a run, an evaluation or a search. Received: none of them")
    gallery = None if evaluation is None else gallery_context(evaluation)
    context = {
        "title": title or _default_title(run),
        "summary": _summary(run, evaluation, search, has_images=gallery is not None and gallery["has_images"]),
        "interval": _interval(evaluation),
        "settings": _settings(run),
        "curves": _curves(run),
        "classes": None if evaluation is None else _classes(evaluation),
        "gallery": gallery,
        "search": None if search is None else _search(search),
        "comparison": None if search is None else comparison_context(search),
    }
    return write_text(path, render_template("report.html", context))


def _part(run: RunLike, name: str) -> Mapping[str, Any]:
    part = run.config.get(name)
    return part if isinstance(part, Mapping) else {}


def _model_name(run: RunLike) -> str:
    return str(_part(run, "model").get("name") or getattr(getattr(run, "model", None), "name", "") or "")


def _default_title(run: RunLike | None) -> str:
    names = [] if run is None else [_model_name(run), Path(str(_part(run, "data").get("name") or "")).name]
    return " on ".join(name for name in names if name) or "Report"


def _accuracy_interval(evaluation: EvaluationLike) -> tuple[float, float]:
    if evaluation.num_examples < 1 or not math.isfinite(evaluation.accuracy):
        return math.nan, math.nan
    return wilson_interval(round(evaluation.accuracy * evaluation.num_examples), evaluation.num_examples)


def _interval(evaluation: EvaluationLike | None) -> dict[str, str] | None:
    """Where the accuracy and its interval lie on a line from 0 to 1, as CSS percentages."""
    if evaluation is None or not math.isfinite(evaluation.accuracy) or evaluation.num_examples < 1:
        return None
    low, high = _accuracy_interval(evaluation)
    return {
        "low": f"{100 * low:.3f}%",
        "width": f"{100 * (high - low):.3f}%",
        "accuracy": f"{100 * evaluation.accuracy:.3f}%",
    }


def _summary(
    run: RunLike | None, evaluation: EvaluationLike | None, search: SearchLike | None, *, has_images: bool
) -> list[Tile]:
    tiles = []
    if evaluation is not None:
        low, high = _accuracy_interval(evaluation)
        note = f"95 % interval {format_percent(low)} to {format_percent(high)} (Wilson)"
        errors = round((1 - evaluation.accuracy) * evaluation.num_examples) if math.isfinite(evaluation.accuracy) else 0
        tiles += [
            Tile("Test accuracy", format_percent(evaluation.accuracy), note),
            Tile("Test loss", format_value(float(evaluation.loss))),
            Tile(
                "Test images" if has_images else "Test examples",
                format_count(evaluation.num_examples),
            ),
            Tile("Errors", format_count(errors)),
        ]
    if run is not None:
        tiles += _run_tiles(run)
    if search is not None:
        scores = pd.to_numeric(search.table["score"], errors="coerce")
        best = scores.min() if search.direction == "min" else scores.max()
        tiles.append(Tile(f"Best {search.objective}", format_value(float(best)), f"{len(scores)} trials"))
    return tiles


def _run_tiles(run: RunLike) -> list[Tile]:
    tiles = []
    if _model_name(run):
        tiles.append(Tile("Model", _model_name(run)))
    parameters = _num_parameters(run)
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


def _num_parameters(run: RunLike) -> int | None:
    recorded = _part(run, "model").get("num_parameters")
    count_params = getattr(getattr(run, "model", None), "count_params", None)
    return int(recorded) if recorded is not None else None if count_params is None else int(count_params())


def _settings(run: RunLike | None) -> list[dict[str, Any]]:
    """The tables of the recipe section, with their captions."""
    if run is None:
        return []
    recipes = [r for r in run.config.get("recipes") or [] if isinstance(r, Mapping)]
    phases = {f"phase {i + 1}" if len(recipes) > 1 else "value": recipe for i, recipe in enumerate(recipes)}
    columns: dict[str, Mapping[str, Mapping[str, Any]]] = {
        "Recipe": phases,
        "Model": {"value": {k: v for k, v in _part(run, "model").items() if k != "keras"}},  # a whole serialized model
        "Data": {"value": _part(run, "data")},
        "Versions": {"value": _part(run, "versions")},
    }
    tables = {caption: settings_table(values) for caption, values in columns.items()}
    return [{"caption": caption, "table": table} for caption, table in tables.items() if table.rows]


def _curves(run: RunLike | None) -> list[dict[str, Any]]:
    figures = {} if run is None else curve_figures(run)
    return [{"caption": caption, "svg": _trusted(figure_svg(figure))} for caption, figure in figures.items()]


def _trusted(svg: str) -> Markup:
    return Markup(svg)  # noqa: S704 - Matplotlib wrote it and escapes the texts in it


def _classes(evaluation: EvaluationLike) -> dict[str, Any]:
    names = [str(name) for name in evaluation.class_names]
    matrix = np.asarray(evaluation.confusion_matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    fits = len(names) <= _MATRIX_CLASSES
    heat_map = None if fits else data_uri(figure_png(plot_confusion(matrix)), "image/png")
    cells = [
        [{"count": int(n), "share": float(s)} for n, s in zip(*row, strict=True)]
        for row in zip(matrix, shares, strict=True)
    ]
    return {
        "names": names,
        "per_class": [_per_class_row(str(name), row) for name, row in evaluation.per_class.iterrows()],
        "matrix": cells if fits else None,
        "heat_map": heat_map,
        "confused": _most_confused(matrix, shares, names),
    }


def _per_class_row(name: str, row: pd.Series) -> dict[str, Any]:
    shares = [float(row[column]) for column in ("precision", "recall", "f1")]
    bars = [{"text": format_percent(s, digits=1), "share": s if math.isfinite(s) else 0.0} for s in shares]
    return {"name": name, "bars": bars, "support": format_count(int(row["support"]))}


def _most_confused(matrix: np.ndarray, shares: np.ndarray, names: list[str]) -> list[list[str]]:
    wrong = matrix * (1 - np.eye(len(matrix), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSED_PAIRS]
    pairs = [np.unravel_index(k, wrong.shape) for k in order]
    return [
        [names[t], names[p], format_count(wrong[t, p]), format_percent(float(shares[t, p]), digits=1)]
        for t, p in pairs
        if wrong[t, p] > 0
    ]


def _search(search: SearchLike) -> dict[str, Any]:
    scores = pd.to_numeric(search.table["score"], errors="coerce").to_numpy(np.float64)
    finite = np.isfinite(scores)
    signed = np.where(finite, scores if search.direction != "min" else -scores, -np.inf)
    return {
        "objective": search.objective,
        "has_single_runs": search.num_models < 2 and len(search.table) > 1,
        "table": frame_table(search.table),
        "best_row": int(signed.argmax()) if finite.any() else -1,
        "best_values": settings_table({"value": search.best_values}),
        "svg": _trusted(figure_svg(plot_search(search))) if finite.any() else None,
    }
