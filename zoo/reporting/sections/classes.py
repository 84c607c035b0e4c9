"""How each class fares, and which are taken for which."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from zoo.reporting.figures import plot_confusion
from zoo.reporting.formatting import format_count, format_percent
from zoo.reporting.inputs import EvaluationLike
from zoo.reporting.section import Picture, Section

_MATRIX_CLASSES = 40  # a larger confusion matrix is drawn as a picture
_CONFUSED_PAIRS = 8


def classes_section(evaluation: EvaluationLike) -> Section:
    """Scores of each class, the confusion matrix (as buttons that filter the test examples), the most confused pairs."""
    names = [str(name) for name in evaluation.class_names]
    matrix = np.asarray(evaluation.confusion_matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    fits = len(names) <= _MATRIX_CLASSES
    content = {
        "names": names,
        "per_class": [_per_class_row(str(name), row) for name, row in evaluation.per_class.iterrows()],
        "matrix": _cells(matrix, shares) if fits else None,
        "confused": _most_confused(matrix, shares, names),
    }
    if fits:
        return Section("classes", "Classes", content)
    picture = Picture.of("confusion-matrix", "Confusion matrix: rows are true classes", plot_confusion(matrix))
    return Section("classes", "Classes", content, pictures=(picture,))


def _cells(matrix: np.ndarray, shares: np.ndarray) -> list[list[dict[str, Any]]]:
    return [
        [{"count": int(n), "share": float(s)} for n, s in zip(*row, strict=True)]
        for row in zip(matrix, shares, strict=True)
    ]


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
