"""The section of a report that says which trials of a search can be told from the best one."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from zoo.errors import ZooError
from zoo.evaluation.statements import number, p_value
from zoo.reporting.formatting import MISSING, Table
from zoo.reporting.inputs import SearchLike
from zoo.training.curves import figure_svg

_MAX_ROWS = 20


def comparison_context(search: SearchLike) -> dict[str, Any] | None:
    """What the template shows; None for one run a trial, or fewer than two trials to compare."""
    if search.num_models < 2:
        return None
    try:
        found = search.compare()
    except ZooError:  # one trial, or none, was completed
        return None
    header = ["group", "n", "mean", f"{100 * found.confidence:g} % interval", "difference", "p (Holm)", ""]
    rows = [_row(row, is_best=i == 0) for i, (_, row) in enumerate(found.groups.head(_MAX_ROWS).iterrows())]
    return {
        "sentences": found.sentences(),
        "table": Table(header, rows, [False, True, True, True, True, True, False]),
        "more": f"The table has the best {_MAX_ROWS} of {len(found.groups)}." if len(found.groups) > _MAX_ROWS else "",
        "svg": Markup(figure_svg(found.figure())),  # noqa: S704 - Matplotlib wrote it and escapes the texts in it
    }


def _row(row: pd.Series, *, is_best: bool) -> list[str]:
    mark = "best" if is_best else "indistinguishable from the best" if row["indistinguishable"] else "worse"
    interval = f"{number(row['low'])} to {number(row['high'])}" if pd.notna(row["low"]) else MISSING
    difference = MISSING if is_best else f"{row['difference']:#.2g}"
    p = MISSING if pd.isna(row["p_holm"]) else p_value(row["p_holm"]).removeprefix("p ").removeprefix("= ")
    return [str(row["group"]), str(row["n"]), number(row["mean"]), interval, difference, p, mark]
