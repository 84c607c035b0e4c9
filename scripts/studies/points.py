"""Points in the plane of two classes, for the studies of logistic regression; no study itself."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

import zoo
from zoo.errors import DataError, UsageError
from zoo.reference import sigmoid

START = (0.1, 0.0, 0.0)


def default_points(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping unit Gaussians, 100 points each, away from the origin as raw measurements are."""
    centres = np.repeat([[3.0, 2.0], [4.5, 3.5]], 100, axis=0)
    return centres + np.random.default_rng(seed).standard_normal((200, 2)), np.repeat([0, 1], 100).astype(np.int32)


def read_points(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points and classes of a text file with lines `x1 x2 1 t`."""
    if not file.is_file():
        raise UsageError(f"{file}: no such file; give a text file with lines `x1 x2 1 t`")
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            x1, x2, one, t = (float(word) for word in line.replace(",", " ").split())
        except ValueError:
            raise DataError(f"{file}, line {number}: expected `x1 x2 1 t`, found {line[:60]!r}") from None
        if one != 1 or t not in (0, 1) or not np.isfinite([x1, x2]).all():
            raise DataError(
                f"{file}, line {number}: the third number must be 1 and the fourth 0 or 1, found {line[:60]!r}"
            )
        rows.append((x1, x2, t))
    table = np.array(rows, np.float64).reshape(-1, 3)
    if len(np.unique(table[:, 2])) < 2:
        raise DataError(f"{file}: points of both classes are needed, t = 0 and t = 1")
    return table[:, :2], table[:, 2].astype(np.int32)


def starting_model() -> keras.Model:
    """A logistic regression of the plane in float64 at START."""
    model = zoo.build("logistic", (2,), 2, dtype="float64")
    model.set_weights([np.array(START[:2])[:, None], np.array(START[2:])])
    return model


def optimum(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The maximum-likelihood weights, by scikit-learn without a penalty (where classes separate: its last iterate)."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(points, labels)
    return np.concatenate([fitted.coef_[0], fitted.intercept_])


def largest_curvature(points: np.ndarray, weights: np.ndarray) -> float:
    """λmax of the Hessian XᵀSX/N, S = diag(p(1 - p)), X with a column of ones."""
    inputs = np.column_stack([points, np.ones(len(points))])
    p = sigmoid(inputs @ weights)
    return float(np.linalg.eigvalsh((inputs * (p * (1 - p))[:, None]).T @ inputs / len(points))[-1])
