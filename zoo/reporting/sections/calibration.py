"""Whether the model is as often right as it says."""

from __future__ import annotations

from zoo.evaluation.calibration import measure_calibration
from zoo.evaluation.calibration_plot import plot_calibration
from zoo.reporting.formatting import format_percent
from zoo.reporting.inputs import EvaluationLike, accuracy_interval
from zoo.reporting.plots import Plot
from zoo.reporting.section import Section

_FAIR = 0.02  # confidence minus accuracy up to which nobody need act


def calibration_section(evaluation: EvaluationLike) -> Section | None:
    """The reliability diagram and what it says; None where no prediction has a finite confidence."""
    columns = evaluation.predictions.columns
    if not {"confidence", "correct"} <= set(columns) or not evaluation.predictions["confidence"].notna().any():
        return None
    found = measure_calibration(evaluation.predictions)
    sure, right = format_percent(found.mean_confidence, digits=1), format_percent(found.accuracy, digits=1)
    sentences = [
        f"On average the model is {sure} sure of its answers, and {right} of them are right.",
        f"Confidence and accuracy differ by {format_percent(found.expected_error, digits=1)} on average over 15 bins "
        f"(expected calibration error), and by {format_percent(found.largest_error, digits=1)} in the worst bin.",
    ]
    low, high = accuracy_interval(evaluation)
    if abs(found.overconfidence) > _FAIR and not low <= found.mean_confidence <= high:  # more than chance
        manner = "too sure" if found.overconfidence > 0 else "not sure enough"
        sentences.append(f"The model is {manner}: do not take its scores for probabilities of being right.")
    plot = Plot("calibration", "Accuracy against confidence", plot_calibration(found))
    return Section("calibration", "Calibration", {"sentences": sentences}, (plot,))
