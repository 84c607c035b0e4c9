"""Several trainings in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from zoo.drawing import finish_axes
from zoo.errors import UsageError

_STYLES = ("-", "--", ":", "-.")  # the next one for every ten lines, which is how many colours there are
_FEW = 30  # so few points are marked


def plot_histories(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    columns: Mapping[str, str],
    *,
    x: str = "epoch",
    logarithmic: bool = False,
) -> Figure:
    """Draws a panel for each measure, with a line for each name; rows without a number, as of epochs that had no validation, are left out.

    Args:
        tables: name -> `history`, `validations` or `steps` of a `zoo.TrainingRun`, or any table; or several of them, e.g. one for
            each seed: their mean is a line, and from the least to the largest of them there is a band. Where one is longer
            than another, the line ends with the last point that all have.
        columns: column -> its label, e.g. `{"val_accuracy": "validation accuracy"}`. A name without it has no line there.
        x: the column to draw against. The epochs of a run, which its tables count from 0, are counted from 1, as in `plot_curves`.
        logarithmic: whether the measures have a logarithmic axis.

    Raises:
        UsageError: when no column is named, no table has one of them, or the tables of one name were not measured at the same
            places.
    """
    if not columns:
        raise UsageError("name the columns to draw, e.g. {'val_accuracy': 'validation accuracy'}. Received: columns={}")
    several = {name: [table] if isinstance(table, pd.DataFrame) else list(table) for name, table in tables.items()}
    figure = Figure(figsize=(1 + 4.6 * len(columns), 4.0), layout="constrained")
    for axes, (column, label) in zip(figure.subplots(1, len(columns), squeeze=False)[0], columns.items(), strict=True):
        lines = {name: [t for t in of_name if {x, column} <= set(t.columns)] for name, of_name in several.items()}
        if not any(lines.values()):
            raise UsageError(f"no table has the columns {x!r} and {column!r}. Received: tables of {list(tables)}")
        for place, (name, of_name) in enumerate(lines.items()):
            if of_name:
                _draw(axes, of_name, x, column, name, place)
        if logarithmic:
            axes.set_yscale("log")
        finish_axes(axes, x.replace("_", " "), label)
        if x == "epoch":
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _draw(axes: Axes, tables: Sequence[pd.DataFrame], x: str, column: str, name: str, place: int) -> None:
    measured = [table[pd.to_numeric(table[column], errors="coerce").notna()] for table in tables]
    length = min(map(len, measured))
    places = np.stack([_places(table, x)[:length] for table in measured])
    if (places != places[0]).any():
        raise UsageError(
            f"the tables of {name!r} were not measured at the same places, so that they have no mean: {x!r}"
        )
    values = np.stack([table[column].to_numpy(float)[:length] for table in measured])
    colour, marker = f"C{place % 10}", "o" if length <= _FEW else None
    style = _STYLES[place // 10 % len(_STYLES)]
    axes.plot(
        places[0],
        values.mean(axis=0),
        style,
        color=colour,
        linewidth=1.4,
        marker=marker,
        markersize=3,
        label=name,
    )
    if len(values) > 1:
        axes.fill_between(places[0], values.min(axis=0), values.max(axis=0), color=colour, alpha=0.18, linewidth=0)


def _places(table: pd.DataFrame, x: str) -> np.ndarray:
    from_zero = x == "epoch" and "phase" in table.columns  # as the tables of a run have it
    return table[x].to_numpy() + from_zero
