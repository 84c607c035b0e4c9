"""One number of a study: what was measured, what was expected, and the verdict."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from zoo.reporting.formatting import format_value

MET, NOT_MET, NOT_RUN = "met", "not met", "not run"
WITHIN, AT_LEAST, AT_MOST = "within", "at least", "at most"
_SIGNS = {AT_LEAST: "≥ ", AT_MOST: "≤ "}


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

    def cells(self) -> dict[str, Any]:
        """Its attributes for a page, numbers as text."""
        return {
            **dataclasses.asdict(self),
            "measured": number_text(self.measured),
            "expected": expected_text(self.expected, self.relation),
            "tolerance": number_text(self.tolerance),
        }

    def line(self) -> str:
        """Plain text: `key: measured … expected … ± … met`."""
        if self.verdict == NOT_RUN:
            return f"{self.key}: not run: {self.why}"
        line = f"{self.key}: measured {self.measured:.6g}"
        if self.verdict is None:
            return line
        expected = expected_text(self.expected, self.relation)
        within = "" if self.tolerance is None else f" ± {self.tolerance:.6g}"
        return f"{line} expected {expected}{within} {self.verdict}"


def expected_text(expected: float | None, relation: str | None) -> str:
    """An expectation for people: `0.92`, `≥ 0.98`."""
    return _SIGNS.get(relation or "", "") + number_text(expected)


def number_text(value: float | None) -> str:
    """A number of a study for people, six significant digits."""
    return format_value(value) if value is None or math.isnan(value) else f"{value:.6g}"
