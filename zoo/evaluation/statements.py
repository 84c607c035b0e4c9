"""Sentences on comparisons: what is shown, what is not, and why to be careful."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from zoo.evaluation.comparison import Comparison

_LISTED, _LISTED_CHARACTERS = 5, 120  # a longer list becomes a count
CHOSEN = "The best was chosen on these scores, so its mean is too good: score it on other data."


def comparison_sentences(comparison: Comparison) -> list[str]:
    """See `Comparison.sentences`."""
    groups, best = comparison.groups, comparison.groups.iloc[0]
    n, percent = int(best["n"]), f"{100 * comparison.confidence:g} %"
    lead = f"{best['group']} has the best mean {comparison.score}, {number(best['mean'])}"
    if n == 1:
        told = [f"{lead}.", "One run a group does not tell groups apart: repeat them with other seeds."]
    else:
        interval = f"{percent} interval {number(best['low'])} to {number(best['high'])}, "
        lead += f" ({interval if best['low'] <= best['high'] else ''}n = {n})."  # none where all scores are equal
        told = [lead, indistinguishable_sentence(groups["group"].tolist(), comparison.indistinguishable)]
        told += _worse_sentences(comparison)
    if comparison.folds > 1:
        told.append(
            "Intervals and p values allow for the overlap of the folds' training data (Nadeau and Bengio, 2003)."
        )
    smallest = 2 / 2**n
    if comparison.interval == "bootstrap" and n > 1 and smallest * (len(groups) - 1) >= 1 - comparison.confidence:
        told.append(
            f"With {n} units the test by sign flips cannot give p below {smallest:.2g} before Holm's correction: it shows "
            "nothing here."
        )
    if comparison.left_out:
        was = "unit was" if comparison.left_out == 1 else "units were"
        told.append(f"{comparison.left_out} {was} left out, because not every group has a score there.")
    return [*told, *comparison.notes, CHOSEN]


def indistinguishable_sentence(names: Sequence[str], alike: Sequence[str]) -> str:
    """Which of the groups cannot be told from the best; `alike` begins with the best."""
    others, total = list(alike[1:]), len(names) - 1
    if not others:
        return "It is distinguishable from all others." if total > 1 else "The two are distinguishable."
    listed = ", ".join(others)
    if len(others) > _LISTED or (len(others) > 1 and len(listed) > _LISTED_CHARACTERS):
        return f"Not distinguishable from it: {len(others)} of the {total} others."
    return f"Not distinguishable from it: {listed}."


def number(value: float) -> str:
    """Four significant digits, trailing zeros kept."""
    return f"{value:#.4g}".rstrip(".")


def p_value(p: float) -> str:
    """`p = 0.012`, or a bound where it is tiny."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"


def _worse_sentences(comparison: Comparison) -> list[str]:
    """Those that are worse: each of two, or their number and the nearest."""
    worse = comparison.groups[~comparison.groups["indistinguishable"]]
    if len(worse) <= 2:
        return [f"{row['group']} is worse by {_amount(row, comparison)}." for _, row in worse.iterrows()]
    return [
        f"{len(worse)} are worse, the nearest of them, {worse.iloc[0]['group']}, by {_amount(worse.iloc[0], comparison)}."
    ]


def _amount(row: pd.Series, comparison: Comparison) -> str:
    ends = row["difference_low"], row["difference_high"]
    low, high = (-ends[1], -ends[0]) if comparison.direction == "max" else ends
    interval = f" ({low:#.2g} to {high:#.2g})" if low <= high else ""
    size = f"{abs(row['difference']):#.2g}{interval}"
    return f"{size}, {p_value(row['p_holm'])} after Holm's correction"
