"""Which hyper-parameters mattered: the space as numbers, and the permutation importance of a random forest on them."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, MaxNLocator

from tuning.parameters import decode
from zoo.errors import ZooError

if TYPE_CHECKING:
    from tuning.results import SearchResult

MIN_TRIALS = 8
_TREES, _REPEATS, _SEED = 300, 30, 0
_INACTIVE = -1.0  # below every position, so that one split of a tree tells active from inactive


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


def completed_trials(result: SearchResult) -> list[dict[str, Any]]:
    """The records of the completed trials, by number."""
    return [result.trials[n] for n in sorted(result.trials) if result.trials[n]["status"] == "completed"]


def positions(dimension: Dimension, records: list[dict[str, Any]]) -> np.ndarray:
    """Where each trial lies on a dimension; NaN where it was inactive."""
    values = [record["values"] for record in records]
    return np.array(
        [dimension.position(decode(v[dimension.name])) if dimension.name in v else math.nan for v in values]
    )


def scores_of(records: list[dict[str, Any]]) -> np.ndarray:
    """Their scores, float64."""
    return np.array([record["score"] for record in records], np.float64)


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


def permutation_importance(result: SearchResult) -> pd.DataFrame:
    """How much worse a random forest tells the order of the trials once one hyper-parameter is shuffled among them.

    Scores are replaced by their ranks, so that a diverged trial weighs no more than a bad one. A forest (scikit-learn's
    RandomForestRegressor, 300 trees, always the same seed) learns them from the values: ranges by their position, on a
    log scale where the space has one, names as one column each, inactive values as a value of their own. A trial is only
    ever predicted by the trees that did not learn from it (out of bag). The importance of a hyper-parameter is what R²
    loses when its values are shuffled, the mean and the standard deviation of 30 shuffles (Breiman, 2001, Random
    Forests, section 10). Where trials are promoted, each set of values counts once, by its first trial, ranked among
    those that were given the same epochs: the survivors of a rung are a selection and would be compared unfairly.

    What it is: a summary of these trials, good for seeing which hyper-parameters to look at first. What it is not: the
    effect of a hyper-parameter elsewhere, a test of significance, or the sign of an effect. It depends on the ranges that
    were searched (one that is wide enough to break the training matters most), it shares the effect of two that an
    oracle moved together in an arbitrary way, it shuffles a conditional one apart from what it depends on, and it says
    nothing when the forest explains nothing: look at `r2` first.

    Returns:
        One row a hyper-parameter, the greatest first: parameter, importance, spread. `frame.attrs["r2"]` is the share of
        the variance of the ranks that the forest explains out of bag, 1 at best, 0 or below where it explains nothing.

    Raises:
        ZooError: there are fewer than 8 different trials that completed, or nothing differs among them.
    """
    from sklearn.ensemble import RandomForestRegressor

    records = [record for record in completed_trials(result) if not _is_promoted(record)]
    if len(records) < MIN_TRIALS:
        raise ZooError(
            f"importance needs at least {MIN_TRIALS} completed trials, promoted ones counted once. Received: {len(records)}"
        )
    groups = _encoded(result, records)
    ranks = _ranks(records)
    if not groups or np.ptp(ranks) == 0:
        raise ZooError("importance needs trials that differ: all have the same values, or the same score")
    columns = np.concatenate(list(groups.values()), axis=1).astype(np.float32)
    forest = RandomForestRegressor(_TREES, min_samples_leaf=2, random_state=_SEED).fit(columns, ranks)
    r2 = _out_of_bag_r2(forest, columns[None], ranks)[0]
    rng = np.random.default_rng(_SEED)
    rows, first = [], 0
    for name, group in groups.items():
        shuffled = np.repeat(columns[None], _REPEATS, axis=0)
        for copy in shuffled:
            copy[:, first : first + group.shape[1]] = group[rng.permutation(len(group))]
        losses = r2 - _out_of_bag_r2(forest, shuffled, ranks)
        rows.append({"parameter": name, "importance": losses.mean(), "spread": losses.std(ddof=1)})
        first += group.shape[1]
    table = pd.DataFrame(rows).sort_values("importance", ascending=False, kind="stable", ignore_index=True)
    table.attrs["r2"] = float(r2)
    return table


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


def _is_promoted(record: dict[str, Any]) -> bool:
    """Whether a trial has the values of an earlier one: the same values twice would tell the forest the answer."""
    return record.get("parent") is not None or "tuner/trial_id" in record["values"]


def _ranks(records: list[dict[str, Any]]) -> np.ndarray:
    """Each score's rank, from 0 to 1, among the trials that were given the same epochs."""
    scores = pd.Series([record["score"] for record in records])
    epochs = pd.Series([record["values"].get("tuner/epochs", 0) for record in records])
    groups = scores.groupby(epochs)
    return ((groups.rank() - 0.5) / groups.transform("size")).to_numpy()


def _encoded(result: SearchResult, records: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Name -> its columns, (trials, 1), or (trials, choices) where there is no order."""
    groups = {}
    for dimension in dimensions(result):
        at = positions(dimension, records)
        if dimension.is_ordered:
            group = np.where(np.isnan(at), _INACTIVE, at)[:, None]
        else:
            index = np.where(np.isnan(at), -1, np.floor(np.nan_to_num(at) * len(dimension.choices)))
            group = (index[:, None] == np.arange(len(dimension.choices))).astype(float)
        if (group != group[0]).any():
            groups[dimension.name] = group
    return groups


def _out_of_bag_r2(forest: Any, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """R² of each of (copies, trials, columns), every trial predicted by the trees that did not learn from it."""
    copies, trials, _ = inputs.shape
    total, count = np.zeros((copies, trials)), np.zeros(trials)
    for tree, learned in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        left_out = np.setdiff1d(np.arange(trials), learned)
        if len(left_out):
            predicted = tree.predict(inputs[:, left_out].reshape(copies * len(left_out), -1))
            total[:, left_out] += predicted.reshape(copies, -1)
            count[left_out] += 1
    known = count > 0
    errors = total[:, known] / count[known] - targets[known]
    return 1 - (errors**2).mean(axis=1) / targets[known].var()
