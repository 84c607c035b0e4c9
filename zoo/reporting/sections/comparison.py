"""Which of several groups can be told from the best one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from zoo.evaluation.comparison_plot import plot_comparison
from zoo.evaluation.statements import number, p_value
from zoo.reporting.formatting import MISSING, Table
from zoo.reporting.plots import Plot
from zoo.reporting.section import Section

if TYPE_CHECKING:
    from zoo.evaluation.comparison import Comparison

_MAX_ROWS = 20


def comparison_section(found: Comparison) -> Section:
    """Means with their intervals, sentences, and the table of the best groups."""
    header = ["group", "n", "mean", f"{100 * found.confidence:g} % interval", "difference", "p (Holm)", "verdict"]
    rows = [_row(row, is_best=i == 0) for i, (_, row) in enumerate(found.groups.head(_MAX_ROWS).iterrows())]
    content = {
        "sentences": found.sentences(),
        "table": Table(header, rows, [False, True, True, True, True, True, False]),
        "more": f"The table has the best {_MAX_ROWS} of {len(found.groups)}." if len(found.groups) > _MAX_ROWS else "",
    }
    plot = Plot("comparison", "Means and their intervals", plot_comparison(found))
    return Section("comparison", "Comparison", content, (plot,))


def verdict_of(row: pd.Series, *, is_best: bool) -> str:
    """What a row of a comparison's table is to the best one."""
    return "best" if is_best else "indistinguishable from the best" if row["indistinguishable"] else "worse"


def p_cell(p: float) -> str:
    """A p value for a column whose heading says that it is one."""
    return MISSING if pd.isna(p) else p_value(p).removeprefix("p ").removeprefix("= ")


def _row(row: pd.Series, *, is_best: bool) -> list[str]:
    interval = f"{number(row['low'])} to {number(row['high'])}" if pd.notna(row["low"]) else MISSING
    difference = MISSING if is_best else f"{row['difference']:#.2g}"
    cells = [str(row["group"]), str(row["n"]), number(row["mean"]), interval, difference]
    return [*cells, p_cell(row["p_holm"]), verdict_of(row, is_best=is_best)]
