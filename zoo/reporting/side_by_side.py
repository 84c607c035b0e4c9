"""`write_comparison_report`: several runs on one page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import UsageError
from zoo.evaluation.paired_models import compare_models
from zoo.reporting.inputs import EvaluationLike, RunLike
from zoo.reporting.page import write_page
from zoo.reporting.section import Section
from zoo.reporting.sections.comparison import comparison_section
from zoo.reporting.sections.robustness import robustness_section
from zoo.reporting.sections.runs import compare_seeds, f1_section, paired_section, runs_section

if TYPE_CHECKING:
    from zoo.evaluation.robustness import Robustness

_MAX_COLUMNS = 12  # runs in the table of classes, and models that are tested against each other
_MAX_ROBUST = 6  # models that share a panel


def write_comparison_report(
    path: str | os.PathLike[str],
    runs: Mapping[str, RunLike],
    evaluations: Mapping[str, EvaluationLike] | None = None,
    *,
    robustness: Mapping[str, Robustness] | None = None,
    title: str | None = None,
    plots: str | os.PathLike[str] | None = None,
) -> Path:
    """Writes one self-contained HTML file that shows several runs side by side, and returns its path.

    A row a run has the settings that differ and what came of them. Where runs differ in their seeds and in other settings,
    the settings are compared over the seeds (`zoo.compare`); up to 12 models that were evaluated on the same examples are
    compared example by example (`zoo.compare_models`). Of more models, or more than six with their robustness, the page says
    that they are not.

    Args:
        path: the file to write, replaced in one step.
        runs: name -> run, two or more.
        evaluations: name -> results on the test split, of all runs or of some.
        robustness: name -> robustness of up to six of the models.
        title: the heading.
        plots: a folder for a PNG of every figure on the page. By default none is written.

    Raises:
        UsageError: fewer than two runs, or an evaluation of none of them.

    Examples:
        >>> write_comparison_report("runs/both.html", {"sgd": run_a, "adam": run_b}, {"sgd": score_a, "adam": score_b})
    """
    scores = dict(evaluations or {})
    if len(runs) < 2:
        raise UsageError(f"a comparison needs two runs or more. Received: {list(runs)}")
    if unknown := [name for name in (*scores, *(robustness or {})) if name not in runs]:
        raise UsageError(f"every evaluation needs the run of its name. Received: {unknown[0]!r}, runs {list(runs)}")
    notes = []
    if len(scores) > _MAX_COLUMNS:
        notes.append(
            f"At most {_MAX_COLUMNS} models are compared example by example and class by class, not {len(scores)}."
        )
    if robustness and len(robustness) > _MAX_ROBUST:
        notes.append(f"The robustness of at most {_MAX_ROBUST} models is shown, not of {len(robustness)}.")
    sections: list[Section | None] = [runs_section(runs, scores, notes)]
    by_seed = compare_seeds(runs, scores)
    if by_seed is not None:
        sections.append(comparison_section(by_seed))
    if 2 <= len(scores) <= _MAX_COLUMNS:
        sections += [_paired(scores), f1_section(scores)]
    if robustness and len(robustness) <= _MAX_ROBUST:
        sections.append(robustness_section(robustness))
    shown = [section for section in sections if section is not None]
    return write_page(path, title or f"{len(runs)} runs", shown, plots)


def _paired(evaluations: Mapping[str, EvaluationLike]) -> Section | None:
    try:
        return paired_section(compare_models(evaluations))
    except UsageError:  # they were not evaluated on the same examples
        return None
