"""`compare`: scores of several groups over the same seeds or folds -> which differences they show, and which not."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from zoo.errors import UsageError, unknown_name
from zoo.evaluation.intervals import check_confidence
from zoo.evaluation.significance import holm, mean_intervals, spread, zero_mean_p_values
from zoo.evaluation.statements import comparison_sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROUNDING = 1e-12  # of the largest score: differences below it are of the arithmetic, not of the groups


class Pair(NamedTuple):
    """What paired scores show of one group minus another; NaN where one unit has no interval.

    Attributes:
        difference: the mean difference.
        low: low end of its interval.
        high: high end of its interval.
        p: of the paired test.
        p_holm: the same after Holm's correction over all pairs.
    """

    difference: float
    low: float
    high: float
    p: float
    p_holm: float


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """What paired scores show about groups.

    Attributes:
        groups: one row a group, the best first: group (its label), n, mean, std (with n - 1), low and high (of the mean),
            difference (mean minus the best one's, paired), difference_low, difference_high, p, p_holm (over all
            comparisons with the best), indistinguishable (p_holm >= 1 - confidence; the best itself is). Intervals hold one
            by one. The best row's difference is 0 and has no interval and no p.
        pairs: one row a pair: a, b (a stands before b in `groups`), difference (a minus b), low, high, p, p_holm (over
            all pairs).
        scores: one row a unit, one column a group, in the order of `groups`: the scores that were compared.
        score: the name of the score.
        direction: "max" or "min".
        confidence: of the intervals; 1 - confidence is the level of the tests.
        interval: "t" or "bootstrap".
        folds: of the cross-validation that the units are of; 1 for none.
        left_out: how many units were left out, because a group has no score there.
        notes: sentences on what else was left out.
    """

    groups: pd.DataFrame
    pairs: pd.DataFrame
    scores: pd.DataFrame
    score: str
    direction: str
    confidence: float
    interval: str
    folds: int
    left_out: int
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> str:
        """The label of the group with the best mean; of equals the first one by its label."""
        return str(self.groups["group"].iloc[0])

    @property
    def indistinguishable(self) -> list[str]:
        """The labels of the groups that cannot be told from the best, itself the first."""
        return list(self.groups.loc[self.groups["indistinguishable"], "group"])

    def pair(self, a: str, b: str) -> Pair:
        """Group `a` minus group `b`, whichever of them is the better one.

        Raises:
            UsageError: a label that is none of the groups, or twice the same.
        """
        known = list(self.groups["group"])
        for name in (a, b):
            if name not in known:
                raise unknown_name("group", name, known)
        if a == b:
            raise UsageError(f"a pair has two groups. Received: {a!r} twice")
        is_turned = known.index(a) > known.index(b)
        first, second = (b, a) if is_turned else (a, b)
        row = self.pairs[(self.pairs["a"] == first) & (self.pairs["b"] == second)].iloc[0]
        difference, low, high, p, p_holm = (float(row[name]) for name in Pair._fields)
        return Pair(-difference, -high, -low, p, p_holm) if is_turned else Pair(difference, low, high, p, p_holm)

    def sentences(self) -> list[str]:
        """What the scores show and what they do not, in a few plain sentences; long lists become counts."""
        return comparison_sentences(self)

    def figure(self) -> Figure:
        """A row a group: mean, interval and single scores; see `zoo.evaluation.comparison_plot`."""
        from zoo.evaluation.comparison_plot import plot_comparison  # loads Matplotlib

        return plot_comparison(self)

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Writes `figure()` as .png, .svg or .pdf, and returns the path."""
        from zoo.drawing import save_figure  # loads Matplotlib

        return save_figure(self.figure(), path)


def compare(
    table: pd.DataFrame,
    *,
    groups: str | Sequence[str],
    units: str | Sequence[str],
    score: str = "score",
    direction: str = "max",
    folds: int = 1,
    interval: str = "t",
    confidence: float = 0.95,
) -> Comparison:
    """Compares groups by their scores on the same units: seeds, folds, or both.

    Each group is compared with the one that has the best mean, and with every other one, by the differences on the same
    unit. That takes out what a unit does to all groups alike. P values are adjusted by Holm's method (1979).

    Cross-validation: the training data of the folds overlap, so plain intervals are too narrow. With `folds` = k the
    variance of a mean is taken as s² (1/n + 1/(k - 1)) in place of s²/n: the corrected resampled t test (Nadeau and Bengio,
    2003). That holds for k folds, and for r repeats that each divide the data anew (n = k r). Average the scores of several
    seeds on one division first, fold by fold.

    What it does not do: the best group is chosen on the scores that it is then compared by, so its mean is too good and its
    lead somewhat too large; `pairs`, adjusted over all pairs, does not depend on that choice. Scores over seeds on one
    validation set tell what the seeds do, not what other examples would.

    Args:
        table: one row a group and unit; other columns are ignored.
        groups: the column, or columns, that say what is compared.
        units: the column, or columns, that say which rows belong together. Only units on which every group has a finite
            score are compared; groups without any are left out.
        score: the column of scores.
        direction: "max" if greater scores are better, or "min".
        folds: folds of the cross-validation that the units are of; 1 for none.
        interval: "t" (Student's intervals of means, which may reach beyond 0 and 1, and paired t tests) or "bootstrap" (BCa
            intervals, and sign-flip permutation tests, which cannot give a p below 2 / 2^n; for 8 units or more).
        confidence: of the intervals, between 0 and 1; 1 - confidence is the level of the tests.

    Returns:
        The comparison. With a single unit intervals and p values are NaN, and no group is told from another.

    Raises:
        UsageError: unknown columns or settings, fewer than two groups with scores, no unit that all of them have, a group
            twice on one unit, or the bootstrap with folds, for which no correction is known.

    Examples:
        >>> runs = pd.DataFrame({"optimizer": ["sgd"] * 3 + ["adam"] * 3, "seed": [0, 1, 2] * 2,
        ...                      "score": [0.90, 0.91, 0.89, 0.95, 0.97, 0.95]})
        >>> compare(runs, groups="optimizer", units="seed").best
        'adam'
    """
    _check(direction=direction, interval=interval, confidence=confidence, folds=folds)
    scores, left_out, notes = _paired_scores(table, _columns(groups), _columns(units), score)
    order = np.argsort(scores.mean(axis=0).to_numpy() * (-1 if direction == "max" else 1), kind="stable")
    scores = scores.iloc[:, order]
    pairs = _pairs(scores, interval=interval, confidence=confidence, folds=folds)
    return Comparison(
        groups=_groups(scores, pairs, interval=interval, confidence=confidence, folds=folds),
        pairs=pairs,
        scores=scores,
        score=score,
        direction=direction,
        confidence=confidence,
        interval=interval,
        folds=folds,
        left_out=left_out,
        notes=notes,
    )


def _check(*, direction: str, interval: str, confidence: float, folds: int) -> None:
    if direction not in ("max", "min"):
        raise unknown_name("direction", direction, ("max", "min"))
    if interval not in ("t", "bootstrap"):
        raise unknown_name("interval", interval, ("t", "bootstrap"))
    check_confidence(confidence)
    if folds < 1:
        raise UsageError(f"folds must be 1 (no cross-validation) or more. Received: folds={folds}")
    if folds > 1 and interval == "bootstrap":
        raise UsageError(
            f"the bootstrap has no correction for overlapping folds; use interval='t'. Received: folds={folds}"
        )


def _columns(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _paired_scores(
    table: pd.DataFrame, groups: list[str], units: list[str], score: str
) -> tuple[pd.DataFrame, int, tuple[str, ...]]:
    """One row a unit that all groups have, one column a group; how many units were left out, and a note on groups."""
    if not groups or not units:
        raise UsageError(f"groups and units need a column each. Received: groups={groups}, units={units}")
    for name in [*groups, *units, score]:
        if name not in table.columns:
            raise unknown_name("column", name, map(str, table.columns))
    long = pd.DataFrame({"group": _labels(table, groups), "unit": _labels(table, units)})
    long["score"] = pd.to_numeric(table[score], errors="coerce").astype(float).to_numpy()
    twice = long[long.duplicated(["group", "unit"])]
    if len(twice):
        what = f"{twice['group'].iloc[0]!r} at {twice['unit'].iloc[0]!r}"
        raise UsageError(f"each group needs one row a unit, and some have several. Received: {what}")
    wide = long.pivot(index="unit", columns="group", values="score").rename_axis(index=None, columns=None)
    wide = wide.where(np.isfinite(wide)).loc[sorted(wide.index, key=natural), sorted(wide.columns, key=natural)]
    scored = wide.dropna(axis=1, how="all")
    if scored.shape[1] < 2:
        raise UsageError(
            f"a comparison needs two or more groups with scores. Received: {list(map(str, scored.columns))}"
        )
    common = scored.dropna()
    if common.empty:
        raise UsageError(f"no unit has a score of every group, so nothing is paired. Received: units={units}")
    lost = wide.shape[1] - scored.shape[1]
    note = f"{lost} group{' has' if lost == 1 else 's have'} no score and {'is' if lost == 1 else 'are'} left out."
    return common, len(wide) - len(common), (note,) if lost else ()


def _labels(table: pd.DataFrame, columns: list[str]) -> list[str]:
    """A row's value, or its values with their names where there are several columns."""
    if len(columns) == 1:
        return [str(value) for value in table[columns[0]].tolist()]
    rows = zip(*(table[name].tolist() for name in columns), strict=True)
    return [", ".join(f"{name}={value}" for name, value in zip(columns, row, strict=True)) for row in rows]


def natural(label: str) -> list[str | int]:
    """A key to sort labels by, with whole numbers in them by size: trial 2 before trial 10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", label))]


def _pairs(scores: pd.DataFrame, *, interval: str, confidence: float, folds: int) -> pd.DataFrame:
    values = scores.to_numpy()
    first, second = map(list, zip(*itertools.combinations(range(values.shape[1]), 2), strict=True))
    differences = values[:, first] - values[:, second]
    noise = _ROUNDING * np.abs(values).max()
    differences[np.abs(differences) <= noise] = 0
    constant = np.ptp(differences, axis=0) <= noise
    differences[:, constant] = differences[:1, constant]
    low, high = mean_intervals(differences, confidence=confidence, method=interval, folds=folds)
    p = zero_mean_p_values(differences, method=interval, folds=folds)
    names = scores.columns.to_numpy()
    columns = {"a": names[first], "b": names[second], "difference": differences.mean(axis=0), "low": low, "high": high}
    return pd.DataFrame({**columns, "p": p, "p_holm": holm(p)})


def _groups(scores: pd.DataFrame, pairs: pd.DataFrame, *, interval: str, confidence: float, folds: int) -> pd.DataFrame:
    values = scores.to_numpy()
    low, high = mean_intervals(values, confidence=confidence, method=interval, folds=folds)
    against = pairs.iloc[: values.shape[1] - 1]  # those with the best, which stands first, in the order of the groups
    p_holm = holm(against["p"].to_numpy())
    told_apart = p_holm < 1 - confidence  # never where p is NaN
    return pd.DataFrame(
        {
            "group": scores.columns,
            "n": len(values),
            "mean": values.mean(axis=0),
            "std": spread(values),
            "low": low,
            "high": high,
            "difference": np.append(0.0, -against["difference"]),
            "difference_low": np.append(np.nan, -against["high"]),
            "difference_high": np.append(np.nan, -against["low"]),
            "p": np.append(np.nan, against["p"]),
            "p_holm": np.append(np.nan, p_holm),
            "indistinguishable": np.append(True, ~told_apart),
        }
    )
