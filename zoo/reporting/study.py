"""What a reproducible study writes: numbers under stable keys, expected beside measured, pictures, answers."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from zoo.errors import UsageError
from zoo.reporting.formatting import format_value, frame_table, json_ready, settings_table
from zoo.reporting.rendering import data_uri, render_template
from zoo.storage import read_json, remove_files, write_bytes, write_json, write_text
from zoo.tables import write_table
from zoo.training.curves import figure_png
from zoo.version import __version__

MET, NOT_MET, NOT_RUN = "met", "not met", "not run"
WITHIN, AT_LEAST, AT_MOST = "within", "at least", "at most"
_SIGNS = {AT_LEAST: "≥ ", AT_MOST: "≤ "}
_ROUNDING = 1e-9  # 0.92 lies within 0.90 ± 0.02, whatever the last bit says; a tolerance of 0 stays exact
_PAGE_ROWS = 200  # of a longer table the page shows the beginning, and the CSV has all
_PACKAGES = ("numpy", "tensorflow", "keras")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One number of a study.

    Attributes:
        key: its stable name in `result.json`.
        label: what it is, for people.
        measured: the number; None when it was not run.
        expected: the number that was to be reproduced; None without an expectation.
        relation: `"within"` the tolerance of it, `"at least"` it, `"at most"` it; None without an expectation.
        tolerance: how far off it may be; None where the relation is another.
        verdict: `"met"`, `"not met"`, `"not run"`; None without an expectation.
        why: the reason for not running, or for being off the expectation.
    """

    key: str
    label: str
    measured: float | None = None
    expected: float | None = None
    relation: str | None = None
    tolerance: float | None = None
    verdict: str | None = None
    why: str | None = None


class StudyReport:
    """Collects a study's results and writes them as `result.json`, pictures, tables and one page.

    Args:
        name: the study's short name, e.g. `"vanishing-gradients"`.
        question: what it asks, one sentence.
        command: the command line that reproduces it.
        settings: every setting that the result depends on, plain values.
        seed: the seed.
        full: whether this is the study as it is meant; of a cut (fewer examples, other data) the numbers of `expect` and
            `claim` are recorded without a verdict.

    Attributes:
        settings: as given; a study may add to them until it is written.
        seconds: how long the study took, to be set by who runs it.
        source: a hash of the study's code, to be set by who runs it.

    Example:
        >>> report = StudyReport("softmax", "How far does a linear model get?", "study.py softmax", {"epochs": 5}, 0)
        >>> report.check("test_accuracy", "test accuracy", 0.921, 0.92, 0.005)
        >>> report.write("runs/studies/softmax")
    """

    def __init__(
        self, name: str, question: str, command: str, settings: Mapping[str, Any], seed: int, *, full: bool = True
    ) -> None:
        self.name = name
        self.question = question
        self.command = command
        self.settings = dict(settings)
        self.seed = seed
        self.full = full
        self.seconds: float | None = None
        self.source: str | None = None
        self.findings: dict[str, Finding] = {}
        self._answers: list[tuple[str, str]] = []
        self._pictures: dict[str, tuple[bytes, str]] = {}
        self._tables: dict[str, tuple[str, pd.DataFrame]] = {}

    def check(self, key: str, label: str, measured: float, expected: float, tolerance: float) -> None:
        """Records a number that has an expectation: `"met"` when it lies within the tolerance, NaN never does.

        Raises:
            UsageError: when the key is taken or the tolerance is negative or NaN.
        """
        if not tolerance >= 0:
            raise UsageError(f"a tolerance is 0 or more. Received: tolerance={tolerance} for {key!r}")
        measured, expected, tolerance = float(measured), float(expected), float(tolerance)
        met = abs(measured - expected) <= tolerance * (1 + _ROUNDING)
        self._add(Finding(key, label, measured, expected, WITHIN, tolerance, MET if met else NOT_MET))

    def expect(self, key: str, label: str, measured: float, expected: float, tolerance: float) -> None:
        """As `check` in a full study; of a cut the number alone.

        Raises:
            UsageError: as `check`.
        """
        if self.full:
            self.check(key, label, measured, expected, tolerance)
        else:
            self.value(key, measured, label=label)

    def expect_at_least(self, key: str, label: str, measured: float, bound: float) -> None:
        """Records a number that should not be below a bound; of a cut the number alone.

        Raises:
            UsageError: when the key is taken.
        """
        self._expect_bound(key, label, measured, bound, AT_LEAST, measured >= bound)

    def expect_at_most(self, key: str, label: str, measured: float, bound: float) -> None:
        """Records a number that should not be above a bound; of a cut the number alone.

        Raises:
            UsageError: when the key is taken.
        """
        self._expect_bound(key, label, measured, bound, AT_MOST, measured <= bound)

    def claim(self, key: str, label: str, truth: bool) -> None:
        """Records whether something holds, as 1 or 0, where 1 is expected; of a cut the number alone.

        Raises:
            UsageError: when the key is taken.
        """
        self.expect(key, f"{label} (1: yes)", float(truth), 1.0, 0.0)

    def value(self, key: str, measured: float, *, label: str | None = None) -> None:
        """Records a number without an expectation.

        Args:
            key: its stable name.
            measured: the number.
            label: what it is, for people. The default is the key.

        Raises:
            UsageError: when the key is taken.
        """
        self._add(Finding(key, label or key, float(measured)))

    def not_run(self, key: str, label: str, why: str) -> None:
        """Records that a number was not measured, and why.

        Raises:
            UsageError: when the key is taken.
        """
        self._add(Finding(key, label, verdict=NOT_RUN, why=why))

    def explain(self, key: str, why: str) -> None:
        """Says why a number is off its expectation; without effect where it is not.

        Raises:
            UsageError: when there is no number under the key.
        """
        if key not in self.findings:
            raise UsageError(f"there is no number under {key!r} to explain")
        if self.findings[key].verdict == NOT_MET:
            self.findings[key] = dataclasses.replace(self.findings[key], why=why)

    def answer(self, question: str, text: str) -> None:
        """Records a question of the exercise and its answer in words."""
        self._answers.append((question, text))

    def figure(self, name: str, figure: Figure, caption: str) -> None:
        """Draws a figure now; `write` puts it down as `<name>.png`.

        Raises:
            UsageError: when the name is taken or cannot be a file's name.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
            raise UsageError(f"a figure's name is made of letters, digits, '.', '_' and '-'. Received: {name!r}")
        if name in self._pictures:
            raise UsageError(f"the study already has a figure {name!r}; choose another name")
        self._pictures[name] = (figure_png(figure), caption)

    def table(self, title: str, dataframe: pd.DataFrame) -> None:
        """Records a table; `write` puts its columns, without the index, down as CSV under a name made of the title."""
        stem = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "table"
        same = sum(re.fullmatch(rf"{stem}(-\d+)?", taken) is not None for taken in self._tables)
        self._tables[f"{stem}-{same + 1}" if same else stem] = (title, dataframe.copy())

    def summary_lines(self) -> list[str]:
        """Plain text, one line a number: `key: measured … expected … ± … met`."""
        return [_line(finding) for finding in self.findings.values()]

    def write(self, directory: str | os.PathLike[str]) -> Path:
        """Writes `<figure>.png`, `<table>.csv`, `index.html` and, last, `result.json`, each in one step.

        Args:
            directory: where to. It is made when missing. Pictures and tables that only an earlier result there names are
                deleted; other files stay.

        Returns:
            The path of `index.html`.
        """
        directory = Path(directory)
        before = _files_of(directory / "result.json")
        for name, (png, _) in self._pictures.items():
            write_bytes(directory / f"{name}.png", png)
        for stem, (_, frame) in self._tables.items():
            write_table(directory / f"{stem}.csv", frame)
        page = write_text(directory / "index.html", render_template("study.html", self._context()))
        result = self._result()
        write_json(directory / "result.json", result)
        remove_files(directory, before - {*result["figures"], *result["tables"]})  # which nothing names any more
        return page

    def _expect_bound(self, key: str, label: str, measured: float, bound: float, relation: str, met: bool) -> None:
        if self.full:
            self._add(
                Finding(key, label, float(measured), float(bound), relation, verdict=MET if met else NOT_MET)
            )  # NaN meets nothing
        else:
            self.value(key, measured, label=label)

    def _add(self, finding: Finding) -> None:
        if finding.key in self.findings:
            raise UsageError(f"the study already has a number under {finding.key!r}; choose another key")
        self.findings[finding.key] = finding

    def _result(self) -> dict[str, Any]:
        numbers = {
            finding.key: {
                k: v for k, v in dataclasses.asdict(finding).items() if k not in ("key", "why") or (k == "why" and v)
            }
            for finding in self.findings.values()
        }
        result: dict[str, Any] = json_ready(
            {
                "name": self.name,
                "question": self.question,
                "command": self.command,
                "seed": self.seed,
                "full": self.full,
                "seconds": self.seconds,
                "cores": os.cpu_count(),
                "source": self.source,
                "settings": self.settings,
                "numbers": numbers,
                "answers": [{"question": question, "answer": text} for question, text in self._answers],
                "figures": {f"{name}.png": caption for name, (_, caption) in self._pictures.items()},
                "tables": {f"{stem}.csv": title for stem, (title, _) in self._tables.items()},
                "versions": installed_versions(),
            }
        )
        return result

    def _context(self) -> dict[str, Any]:
        verdicts = [finding.verdict for finding in self.findings.values()]
        return {
            "title": self.name,
            "question": self.question,
            "command": self.command,
            "counts": {verdict: verdicts.count(verdict) for verdict in (MET, NOT_MET, NOT_RUN)},
            "findings": [_cells(finding) for finding in self.findings.values()],
            "answers": self._answers,
            "pictures": [
                {"name": name, "caption": caption, "uri": data_uri(png, "image/png")}
                for name, (png, caption) in self._pictures.items()
            ],
            "tables_given": [
                {
                    "title": title,
                    "file": f"{stem}.csv",
                    "num_rows": len(frame),
                    "table": frame_table(frame, max_rows=_PAGE_ROWS),
                }
                for stem, (title, frame) in self._tables.items()
            ],
            "settings": settings_table({"value": {**self.settings, "seed": self.seed}}),
            "versions": settings_table({"value": installed_versions()}),
        }


def installed_versions() -> dict[str, str | None]:
    """The versions that a number depends on: python, numpy, tensorflow, keras, keras-zoo; None when not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    try:
        versions["keras-zoo"] = importlib.metadata.version("keras-zoo")
    except importlib.metadata.PackageNotFoundError:
        versions["keras-zoo"] = __version__  # a checkout that nobody installed
    return versions


def expected_text(expected: float | None, relation: str | None) -> str:
    """An expectation for people: `0.92`, `≥ 0.98`."""
    return _SIGNS.get(relation or "", "") + number_text(expected)


def number_text(value: float | None) -> str:
    """A number of a study for people, six significant digits."""
    return format_value(value) if value is None or math.isnan(value) else f"{value:.6g}"


def _files_of(file: Path) -> set[str]:
    """The pictures and tables that an earlier `result.json` names, if it can be read."""
    try:
        result = read_json(file)
        pictures, tables = dict(result["figures"]), dict(result["tables"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {name for name in pictures if name.endswith(".png")} | {name for name in tables if name.endswith(".csv")}


def _cells(finding: Finding) -> dict[str, Any]:
    return {
        **dataclasses.asdict(finding),
        "measured": number_text(finding.measured),
        "expected": expected_text(finding.expected, finding.relation),
        "tolerance": number_text(finding.tolerance),
    }


def _line(finding: Finding) -> str:
    if finding.verdict == NOT_RUN:
        return f"{finding.key}: not run: {finding.why}"
    line = f"{finding.key}: measured {finding.measured:.6g}"
    if finding.verdict is None:
        return line
    expected = expected_text(finding.expected, finding.relation)
    within = "" if finding.tolerance is None else f" ± {finding.tolerance:.6g}"
    return f"{line} expected {expected}{within} {finding.verdict}"
