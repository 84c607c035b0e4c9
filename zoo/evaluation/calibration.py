"""`measure_calibration`: whether a model that is 80 % sure is right in 80 of 100 cases."""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from zoo.errors import UsageError
from zoo.evaluation.intervals import wilson_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """How well the confidence of a model agrees with its accuracy.

    Attributes:
        table: one row a bin of confidence: low, high (its ends), n, confidence (mean), accuracy, accuracy_low and
            accuracy_high (95 % Wilson interval). Of an empty bin all but low, high and n are NaN.
        expected_error: expected calibration error: |accuracy - confidence| of the bins, weighed by their examples (Naeini,
            Cooper and Hauskrecht, 2015, Obtaining well calibrated probabilities using Bayesian binning).
        largest_error: the same of the worst bin that has examples.
        mean_confidence: over all examples.
        accuracy: over all examples.
    """

    table: pd.DataFrame
    expected_error: float
    largest_error: float
    mean_confidence: float
    accuracy: float

    @property
    def overconfidence(self) -> float:
        """Mean confidence minus accuracy: above 0 the model is surer than it should be."""
        return self.mean_confidence - self.accuracy

    def figure(self) -> Figure:
        """The reliability diagram; see `plot_calibration`."""
        from zoo.evaluation.calibration_plot import plot_calibration  # loads Matplotlib

        return plot_calibration(self)

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Writes `figure()` as .png, .svg or .pdf, and returns the path."""
        from zoo.drawing import save_figure  # loads Matplotlib

        return save_figure(self.figure(), path)


def measure_calibration(predictions: pd.DataFrame, *, bins: int = 15) -> Calibration:
    """Compares confidence with accuracy in bins of equal width (Guo et al., 2017, On calibration of modern neural networks).

    The confidence is the largest class probability, so for K classes no bin below 1/K has examples. Examples without a finite
    confidence are left out.

    Args:
        predictions: `zoo.evaluate(...).predictions`; the columns confidence and correct are read.
        bins: how many divide 0 to 1; a bin holds its upper end.

    Raises:
        UsageError: no such columns, no example with a finite confidence, or fewer than 1 bin.

    Examples:
        >>> table = pd.DataFrame({"confidence": [0.8] * 5, "correct": [True, True, True, True, False]})
        >>> measure_calibration(table).expected_error
        0.0
    """
    if not isinstance(bins, numbers.Integral) or isinstance(bins, bool) or bins < 1:
        raise UsageError(f"bins must be a whole number of 1 or more. Received: bins={bins!r}")
    if missing := {"confidence", "correct"} - set(predictions.columns):
        raise UsageError(f"calibration needs the column {min(missing)!r}. Received: {list(predictions.columns)[:8]}")
    confidence = predictions["confidence"].to_numpy(np.float64)
    known = np.isfinite(confidence)
    confidence, correct = confidence[known], predictions["correct"].to_numpy(bool)[known]
    if not len(confidence):
        raise UsageError("calibration needs examples with a finite confidence. Received: none")
    ends = np.linspace(0, 1, bins + 1)
    bin_of = np.clip(np.searchsorted(ends, confidence, side="left") - 1, 0, bins - 1)
    rows = [_row(ends[k], ends[k + 1], confidence[bin_of == k], correct[bin_of == k]) for k in range(bins)]
    table = pd.DataFrame(rows)
    filled = table[table["n"] > 0]
    errors = (filled["accuracy"] - filled["confidence"]).abs()
    return Calibration(
        table=table,
        expected_error=float((errors * filled["n"]).sum() / len(confidence)),
        largest_error=float(errors.max()),
        mean_confidence=float(confidence.mean()),
        accuracy=float(correct.mean()),
    )


def _row(low: float, high: float, confidence: np.ndarray, correct: np.ndarray) -> dict[str, float]:
    n = len(confidence)
    interval = wilson_interval(int(correct.sum()), n)
    return {
        "low": float(low),
        "high": float(high),
        "n": n,
        "confidence": float(confidence.mean()) if n else math.nan,
        "accuracy": float(correct.mean()) if n else math.nan,
        "accuracy_low": interval[0],
        "accuracy_high": interval[1],
    }
