"""Accuracy under corruptions of graded strengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from zoo.evaluation.robustness_plot import plot_robustness
from zoo.reporting.formatting import frame_table
from zoo.reporting.plots import Plot
from zoo.reporting.section import Section

if TYPE_CHECKING:
    from zoo.evaluation.robustness import Robustness


def robustness_section(robustness: Robustness | Mapping[str, Robustness]) -> Section:
    """The curves of one or several models, and their table."""
    by_name = dict(robustness) if isinstance(robustness, Mapping) else {"model": robustness}
    tables = [found.table.assign(model=name) for name, found in by_name.items()]
    columns = ["model", *(c for c in tables[0].columns if c != "model")]
    frame = pd.concat(tables)[columns if len(by_name) > 1 else columns[1:]]
    plot = Plot("robustness", "Accuracy against strength, with 95 % intervals", plot_robustness(robustness))
    return Section("robustness", "Robustness", {"table": frame_table(frame)}, (plot,))
