"""The trials of a search: what was tried, what was best, what mattered."""

from __future__ import annotations

import numpy as np

from zoo.errors import ZooError
from zoo.evaluation.comparison import Comparison
from zoo.reporting.formatting import frame_table, settings_table
from zoo.reporting.inputs import SearchLike, best_scores
from zoo.reporting.plots import Plot
from zoo.reporting.section import Section

_ROWS = 1000  # of more trials the table has the best


def search_section(search: SearchLike) -> Section:
    """Best so far, the search's own figures, the best values, and the trials as a table that can be sorted."""
    scores = best_scores(search).to_numpy(np.float64)
    finite = np.isfinite(scores)
    signed = np.where(finite, scores if search.direction != "min" else -scores, -np.inf)
    shown = np.sort(np.argsort(-signed, kind="stable")[:_ROWS])
    table = frame_table(search.table.iloc[shown])
    content = {
        "has_single_runs": search.num_models < 2 and len(search.table) > 1,
        "table": table,
        "trial_column": table.header.index("trial") if "trial" in table.header else -1,
        "best_row": int(signed[shown].argmax()) if finite.any() else -1,
        "left_out": len(signed) - len(shown),
        "best_values": settings_table({"value": search.best_values if finite.any() else {}}),
    }
    return Section("search", "Search", content, _plots(search) if finite.any() else ())


def _plots(search: SearchLike) -> tuple[Plot, ...]:
    return tuple(Plot(name, caption, figure) for name, (caption, figure) in search.figures().items())


def comparison_of_trials(search: SearchLike) -> Comparison | None:
    """The trials compared; None for one run a trial, or fewer than two trials to compare."""
    if search.num_models < 2:
        return None
    try:
        return search.compare()
    except ZooError:  # one trial, or none, was completed
        return None
