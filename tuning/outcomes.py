"""What became of a trial, from what its runs left behind."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tuning.task import Setting, TrialOutcome

if TYPE_CHECKING:
    from tuning.runs import RunResult


def outcome_of(results: Sequence[RunResult], setting: Setting, *, first_seed: int) -> TrialOutcome:
    """The mean over the runs of a trial, which are counted by fold and then by repeat; a failure, if the last one failed."""
    objective, repeats = setting.objective, setting.repeats
    runs = [
        {
            "fold": number // repeats,
            "repeat": number % repeats,
            "seed": first_seed + number % repeats,
            "score": result.metrics.get(objective),
            "metrics": result.metrics,
            "epochs": result.epochs,
            "seconds": result.seconds,
            "curve": result.curve,
        }
        for number, result in enumerate(results)
    ]
    problem = problem_of(results[-1].metrics, objective)
    shared = [name for name in results[0].metrics if all(name in result.metrics for result in results)]
    metrics = {name: math.fsum(result.metrics[name] for result in results) / len(results) for name in shared}
    return TrialOutcome(
        status="completed" if problem is None else "failed",
        score=metrics[objective] if problem is None else None,
        metrics=metrics,
        runs=runs,
        epochs=sum(result.epochs for result in results),
        reason=problem,
    )


def problem_of(metrics: Mapping[str, float], objective: str) -> str | None:
    """Why the metrics hold no score, if they hold none."""
    if objective not in metrics:
        return f"there is no {objective} among the metrics: {', '.join(metrics)}"
    for name in (objective, "loss", "val_loss"):
        if not math.isfinite(metrics.get(name, 0.0)):
            return f"{name} is {metrics[name]}"  # also where an accuracy hides it: NaN outputs are all of class 0
    return None


def failure_of(error: Exception) -> TrialOutcome:
    """The failed trial that an exception makes."""
    message = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
    return TrialOutcome(status="failed", reason=reason, traceback="".join(traceback.format_exception(error)))
