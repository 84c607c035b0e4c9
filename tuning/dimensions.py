"""The completed trials of a search on axes: where their hyper-parameters lie from 0 to 1, and how far scores reach."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

from tuning.parameters import decode

if TYPE_CHECKING:
    from tuning.results import SearchResult

_MOST = 1000  # trials that a picture has a line each of


@dataclasses.dataclass(frozen=True)
class Dimension:
    """A hyper-parameter as an axis from 0 to 1. A range of a few whole numbers is a choice among them.

    Attributes:
        name: of the hyper-parameter.
        scale: "linear", "log" or "choice".
        low: smallest value of a range.
        high: largest value of a range.
        choices: the values of a "choice", decoded: numbers by size, others as declared.
    """

    name: str
    scale: str
    low: float = 0.0
    high: float = 1.0
    choices: tuple[Any, ...] = ()

    @property
    def is_ordered(self) -> bool:
        """Whether positions that are near are values that are near."""
        return self.scale != "choice" or all(_is_number(value) for value in self.choices)

    def position(self, value: Any) -> float:
        """Where a value lies, from 0 to 1; NaN for `None` in a range: the parameter was inactive."""
        if self.scale == "choice":
            return (self._index(value) + 0.5) / len(self.choices)
        if not _is_number(value):
            return math.nan
        low, high, at = self.low, self.high, float(value)
        if self.scale == "log":
            low, high, at = math.log(low), math.log(high), math.log(max(at, self.low * 1e-9))
        return (at - low) / (high - low) if high > low else 0.5

    @property
    def jitter(self) -> float:
        """How far a trial may be drawn from its place, so that those of one choice do not cover each other."""
        return 0.22 / len(self.choices) if self.choices else 0.0

    def ticks(self) -> list[tuple[float, str]]:
        """Positions and what to write there: the choices, at most 16, or a few round numbers of a range."""
        if self.scale == "choice":
            return [(self.position(v), _written(v)) for v in self.choices[:: -(-len(self.choices) // 16)]]
        if self.scale == "log":
            is_narrow = self.high < 20 * self.low
            locate = LogLocator(numticks=6).tick_values
            found = np.geomspace(self.low, self.high, 4) if is_narrow else np.asarray(locate(self.low, self.high))
        else:
            is_whole = isinstance(self.low, int) and isinstance(self.high, int)
            found = np.asarray(MaxNLocator(5, integer=is_whole).tick_values(self.low, self.high))
        return [(self.position(at), f"{at:.3g}") for at in found.tolist() if -1e-9 <= self.position(at) <= 1 + 1e-9]

    def _index(self, value: Any) -> int:
        return [repr(choice) for choice in self.choices].index(repr(value))


def completed_trials(result: SearchResult) -> list[dict[str, Any]]:
    """The records of the completed trials, by number."""
    return [result.trials[n] for n in sorted(result.trials) if result.trials[n]["status"] == "completed"]


def best_trials(result: SearchResult) -> list[dict[str, Any]]:
    """The records of the 1,000 completed trials with the best scores, by number; the best trial and its ancestors among them."""
    records = completed_trials(result)
    if len(records) <= _MOST:
        return records
    scores = scores_of(records)
    order = np.argsort(-scores if result.direction == "max" else scores, kind="stable")
    chosen = {records[i]["number"] for i in order[:_MOST]} | set(ancestry(result))
    return [record for record in records if record["number"] in chosen]


def ancestry(result: SearchResult) -> list[int]:
    """The number of the best trial, of its parent, and so on."""
    line: list[int] = []
    number = result.best_trial["number"]
    while number in result.trials and number not in line:
        line.append(number)
        number = result.trials[number]["parent"]
    return line


def scores_of(records: list[dict[str, Any]]) -> np.ndarray:
    """Their scores, float64."""
    return np.array([record["score"] for record in records], np.float64)


def dimensions(result: SearchResult) -> list[Dimension]:
    """The hyper-parameters that differ among the completed trials, in the order of the space."""
    seen: dict[str, list[Any]] = {}
    records = completed_trials(result)
    for record in records:
        for name, value in record["values"].items():
            if not name.startswith("tuner/"):
                seen.setdefault(name, []).append(decode(value))
    space = result.header["space"]
    names = [name for name in space if name in seen] + [name for name in seen if name not in space]
    varied = [n for n in names if len(seen[n]) < len(records) or len({repr(value) for value in seen[n]}) > 1]
    return [_dimension(name, space, seen[name]) for name in varied]


def positions(dimension: Dimension, records: list[dict[str, Any]]) -> np.ndarray:
    """Where each trial lies on a dimension; NaN where it was inactive."""
    values = [record["values"] for record in records]
    return np.array(
        [dimension.position(decode(v[dimension.name])) if dimension.name in v else math.nan for v in values]
    )


def score_limits(result: SearchResult) -> tuple[float, float]:
    """From the worst score that is no outlier (Tukey's fence, three interquartile ranges off) to the best."""
    scores = scores_of(completed_trials(result))
    first, third = np.quantile(scores, [0.25, 0.75])
    reach = 3 * (third - first) or np.ptp(scores)
    low, high = scores.min(), scores.max()
    if result.direction == "max":
        low = max(low, first - reach)
    else:
        high = min(high, third + reach)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _dimension(name: str, space: dict[str, Any], seen: list[Any]) -> Dimension:
    """One axis for a parameter, however often it is declared (`describe` marks further declarations by "'")."""
    declared = [what for key, what in space.items() if key.rstrip("'") == name.rstrip("'")]
    ranges = [what for what in declared if "min_value" in what]
    if ranges and len(ranges) == len(declared) and all(_is_number(value) for value in seen):
        low = min([what["min_value"] for what in ranges] + seen)
        high = max([what["max_value"] for what in ranges] + seen)
        is_log = low > 0 and all(what.get("sampling") in ("log", "reverse_log") for what in ranges)
        steps = (high - low) / (ranges[0].get("step") or 1)
        if isinstance(low, int) and isinstance(high, int) and not is_log and steps <= 8:
            every = range(low, high + 1, ranges[0].get("step") or 1)
            return Dimension(name, "choice", choices=tuple(sorted({*every, *seen})))
        return Dimension(name, "log" if is_log else "linear", low, high)
    if not declared and all(_is_number(value) for value in seen):
        return Dimension(name, "linear", min(seen), max(seen))
    listed = [decode(value) for what in declared for value in what.get("values", ())]
    used = {repr(value) for value in seen}
    choices = list({repr(v): v for v in [*listed, *seen] if repr(v) in used}.values())
    if all(_is_number(value) for value in choices):
        choices.sort()
    return Dimension(name, "choice", choices=tuple(choices))


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(_written, value)) or "()"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
