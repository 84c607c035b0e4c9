"""What a reproducible study writes: numbers under stable keys, expected beside measured, pictures, answers."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from zoo.errors import UsageError
from zoo.reporting.findings import AT_LEAST, AT_MOST, MET, NOT_MET, NOT_RUN, WITHIN, Finding
from zoo.reporting.formatting import frame_table, json_ready, settings_table
from zoo.reporting.rendering import render_template
from zoo.reporting.section import Picture
from zoo.storage import read_json, remove_files, write_bytes, write_json, write_text
from zoo.tables import write_table
from zoo.version import versions

_ROUNDING = 1e-9  # 0.92 lies within 0.90 ± 0.02, whatever the last bit says; a tolerance of 0 stays exact
_PAGE_ROWS = 200  # of a longer table the page shows the beginning, and the CSV has all


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

    Examples:
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
        self._pictures: dict[str, Picture] = {}
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
        self._pictures[name] = Picture.of(name, caption, figure)

    def table(self, title: str, dataframe: pd.DataFrame) -> None:
        """Records a table; `write` puts its columns, without the index, down as CSV under a name made of the title."""
        stem = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "table"
        names = itertools.chain([stem], (f"{stem}-{i}" for i in itertools.count(2)))
        self._tables[next(name for name in names if name not in self._tables)] = (title, dataframe.copy())

    def summary_lines(self) -> list[str]:
        """Plain text, one line a number: `key: measured … expected … ± … met`."""
        return [finding.line() for finding in self.findings.values()]

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
        for picture in self._pictures.values():
            write_bytes(directory / f"{picture.name}.png", picture.png)
        for stem, (_, frame) in self._tables.items():
            write_table(directory / f"{stem}.csv", frame)
        page = write_text(directory / "index.html", render_template("study.html", self._context()))
        result = self._result()
        write_json(directory / "result.json", result)
        remove_files(directory, before - {*result["figures"], *result["tables"]})  # which nothing names any more
        return page

    def _expect_bound(self, key: str, label: str, measured: float, bound: float, relation: str, met: bool) -> None:
        if self.full:
            verdict = MET if met else NOT_MET  # NaN meets nothing
            self._add(Finding(key, label, float(measured), float(bound), relation, verdict=verdict))
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
                "figures": {f"{picture.name}.png": picture.caption for picture in self._pictures.values()},
                "tables": {f"{stem}.csv": title for stem, (title, _) in self._tables.items()},
                "versions": versions(),
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
            "findings": [finding.cells() for finding in self.findings.values()],
            "answers": self._answers,
            "pictures": list(self._pictures.values()),
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
            "versions": settings_table({"value": versions()}),
        }


def _files_of(file: Path) -> set[str]:
    """The pictures and tables that an earlier `result.json` names, if it can be read."""
    try:
        result = read_json(file)
        pictures, tables = dict(result["figures"]), dict(result["tables"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {name for name in pictures if name.endswith(".png")} | {name for name in tables if name.endswith(".csv")}
