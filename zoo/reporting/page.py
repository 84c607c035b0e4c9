"""`write_report`: one HTML page that holds everything about a run, a search or a comparison."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError
from zoo.reporting.inputs import EvaluationLike, RunLike, SearchLike, model_name, run_part
from zoo.reporting.plots import write_pngs
from zoo.reporting.rendering import render_template
from zoo.reporting.section import Section
from zoo.reporting.sections.calibration import calibration_section
from zoo.reporting.sections.certificate import certificate_section
from zoo.reporting.sections.classes import classes_section
from zoo.reporting.sections.comparison import comparison_section
from zoo.reporting.sections.curves import curves_section
from zoo.reporting.sections.dataset import dataset_section
from zoo.reporting.sections.gallery import gallery_section
from zoo.reporting.sections.inside import inside_section
from zoo.reporting.sections.model import model_section
from zoo.reporting.sections.recipe import recipe_section
from zoo.reporting.sections.robustness import robustness_section
from zoo.reporting.sections.search import comparison_of_trials, search_section
from zoo.reporting.sections.summary import summary_section
from zoo.storage import write_bytes, write_text

if TYPE_CHECKING:
    from zoo.data.splits import DataSplits
    from zoo.evaluation.comparison import Comparison
    from zoo.evaluation.robustness import Robustness


def write_report(
    path: str | os.PathLike[str],
    *,
    run: RunLike | None = None,
    data: DataSplits | None = None,
    evaluation: EvaluationLike | None = None,
    robustness: Robustness | Mapping[str, Robustness] | None = None,
    search: SearchLike | None = None,
    comparison: Comparison | None = None,
    certificate: Any = None,
    title: str | None = None,
    plots: str | os.PathLike[str] | None = None,
) -> Path:
    """Writes one self-contained HTML file and returns its path; each part that is given becomes sections.

    The file loads nothing from anywhere. Ten thousand test images fit in about 25 MB.

    Args:
        path: the file to write, replaced in one step. Missing parent folders are made.
        run: a training run: summary, model, curves, recipe and versions.
        data: the data of the run: class counts, one image of each class, duplicates and leaks; with `run` and `evaluation`
            also pictures from inside the model, for which its test split is run through it.
        evaluation: a model's results on the test split: accuracy, per-class table, confusion matrix, calibration, every image.
        robustness: what `zoo.measure_robustness` gives, or name -> result of several models.
        search: a hyper-parameter search: its trials, its figures, its best values and, where a trial has several runs, which
            trials can be told from the best one.
        comparison: what `zoo.compare` gives; in place of the search's own.
        certificate: what `zoo.export` gives, or the content of its certificate.json.
        title: the heading. The default names the model and the data where `run` tells them.
        plots: a folder for a PNG of every figure on the page, for papers and slides. By default none is written.

    Raises:
        UsageError: when nothing is given.
        DataError: when the predictions or the images do not fit together.

    Examples:
        >>> write_report("runs/cnn/report.html", run=run, data=data, evaluation=score)
    """
    sections: list[Section | None] = []
    if run is not None or evaluation is not None or search is not None:
        sections.append(summary_section(run, evaluation, search))
    if run is not None:
        sections.append(curves_section(run))
    if evaluation is not None:
        sections += [classes_section(evaluation), gallery_section(evaluation), calibration_section(evaluation)]
    sections += _data_and_model(run, data, evaluation)
    if robustness is not None:
        sections.append(robustness_section(robustness))
    if search is not None:
        sections.append(search_section(search))
        comparison = comparison or comparison_of_trials(search)
    if comparison is not None:
        sections.append(comparison_section(comparison))
    if certificate is not None:
        sections.append(certificate_section(certificate))
    if run is not None:
        sections.append(recipe_section(run))
    shown = [section for section in sections if section is not None]
    if not shown:
        raise UsageError("a report needs a run, data, an evaluation, a search or a comparison. Received: none of them")
    return write_page(path, title or _default_title(run, search), shown, plots)


def write_page(
    path: str | os.PathLike[str], title: str, sections: Sequence[Section], plots: str | os.PathLike[str] | None
) -> Path:
    """Renders the sections into one file, and where `plots` names a folder, writes their figures there as PNG."""
    page = write_text(path, render_template("report.html", {"title": title, "sections": sections}))
    if plots is not None:
        write_pngs([plot for section in sections for plot in section.plots], Path(plots))
        for picture in (picture for section in sections for picture in section.pictures):
            write_bytes(Path(plots) / f"{picture.name}.png", picture.png)
    return page


def _data_and_model(
    run: RunLike | None, data: DataSplits | None, evaluation: EvaluationLike | None
) -> list[Section | None]:
    model = getattr(run, "model", None)
    sections = [None if data is None else dataset_section(data), None if model is None else model_section(model)]
    if model is not None and data is not None and data.test is not None and evaluation is not None:
        sections.append(inside_section(model, data.test, evaluation))
    return sections


def _default_title(run: RunLike | None, search: SearchLike | None) -> str:
    names = ["", ""]
    if run is not None:
        names = [model_name(run), str(run_part(run, "data").get("name") or "")]
    elif search is not None:
        names = [getattr(search, "model_name", ""), str(getattr(search, "data_config", {}).get("name") or "")]
    title = " on ".join(name for name in (names[0], Path(names[1]).name) if name)
    return (f"Search: {title}" if run is None else title) if title else "Report"
