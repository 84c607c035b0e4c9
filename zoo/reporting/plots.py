"""A Matplotlib figure on a page: inline SVG that reads well by itself, and the data that `plots.js` answers with."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup
from matplotlib.figure import Figure

from zoo.drawing import figure_png, figure_svg
from zoo.errors import UsageError
from zoo.reporting.formatting import script_json
from zoo.reporting.marks import axes_data, give_ids, marks_of
from zoo.reporting.page_svg import is_wide, raster_ids, svg_for_page
from zoo.storage import write_bytes


class Plot(NamedTuple):
    """A figure of a report.

    Attributes:
        name: stem of its files, and its id on the page: letters, digits, "-" and "_".
        caption: what it shows, for people.
        figure: the picture. Its artists with data are given gids.
    """

    name: str
    caption: str
    figure: Figure


def plot_markup(plot: Plot) -> Markup:
    """The `<figure id="plot-NAME">` of a plot: caption, SVG, and as JSON what `plots.js` needs.

    Each series with a label gets the points' places and values (at most 500, evenly thinned), found in the figure alone:

    - a label that begins with an underscore is told by the pointer and has no place in the legend, as in Matplotlib;
    - what has no label belongs to the labelled series of its colour (bands, single scores); ink tells nothing;
    - `Axes.fmt_xdata` and `fmt_ydata` write the values where they are set, and fixed tick labels are names;
    - a gid `trial-N` makes a line that of a trial, and the axes' gid `parallel-coordinates` lets its axes be brushed.

    Raises:
        UsageError: the name cannot be an id.
    """
    _check_name(plot.name)
    marks = {axes: marks_of(axes) for axes in plot.figure.axes}
    give_ids([artist for found in marks.values() for mark in found for artist in mark.artists])
    drawn = figure_svg(plot.figure)  # lays the figure out, which places are read from
    plot.figure.set_layout_engine("none")  # once: its PNG has the same places
    svg = svg_for_page(drawn, plot, raster_ids(drawn, marks))
    ids = set(re.findall(r' id="([^"]*)"', svg))
    data = [axes_data(plot, axes, found, ids) for axes, found in marks.items()]
    return Markup(
        '<figure class="plot{}" id="plot-{}"><figcaption>{}</figcaption>\n{}\n'
        '<script type="application/json">{}</script></figure>'
    ).format(
        " plot-wide" if is_wide(plot.figure) else "",
        plot.name,
        plot.caption,
        svg,
        Markup(script_json([one for one in data if one["marks"]])),  # noqa: S704 - it cannot end the script element
    )


def write_pngs(plots: Sequence[Plot], directory: str | os.PathLike[str]) -> list[Path]:
    """Writes each plot as `NAME.png`, in one step each, and returns the paths.

    Raises:
        UsageError: a name cannot be a file's name.
    """
    paths = []
    for plot in plots:
        _check_name(plot.name)
        paths.append(Path(directory) / f"{plot.name}.png")
        write_bytes(paths[-1], figure_png(plot.figure))
    return paths


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise UsageError(f"a plot's name is a letter, then letters, digits, '_' and '-'. Received: {name!r}")
