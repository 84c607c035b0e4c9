"""What stands for data in a Matplotlib figure, and what a page's script needs to know of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter

from zoo.drawing import INK

if TYPE_CHECKING:
    from zoo.reporting.plots import Plot

_MAX_POINTS = 500  # of a series; more than a pointer can tell apart
_LINE_STYLES = {":": "dotted", "--": "dashed", "None": "dots"}
_DEFAULT_LABEL = re.compile(r"_(child\d+|container\d+|nolegend_)?$")
_NO_POINTS = np.empty((0, 2))


class Mark(NamedTuple):
    """What stands for data in a figure: a line, a scatter, the bars of a container, a band."""

    artists: Sequence[Artist]
    label: str  # in the legend, or that of the mark whose colour it has; "" for neither
    note: str  # a label with an underscore before it: told, but not in the legend
    colour: str | None  # "#rrggbbaa"; None where it has several
    points: np.ndarray  # (n, 2), in the axes' data coordinates
    look: str = "line"


def marks_of(axes: Axes) -> list[Mark]:
    """The marks of an axes; those without a label have that of the first labelled one of their colour."""
    found = [*_lines(axes), *_collections(axes), *_bars(axes)]
    series = {mark.colour[:7]: mark for mark in reversed(found) if mark.label and mark.colour}
    owners = [mark if mark.label else series.get((mark.colour or "")[:7], mark) for mark in found]
    return [mark._replace(label=o.label, colour=o.colour, look=o.look) for mark, o in zip(found, owners, strict=True)]


def _lines(axes: Axes) -> Iterator[Mark]:
    for line in axes.lines:
        label, note = _label_and_note(line)
        is_ink = to_hex(line.get_color()) == INK and not label and not note
        if line.get_transform() is axes.transData and not is_ink:  # and no axvline or axhline
            look = _LINE_STYLES.get(str(line.get_linestyle()), "line")
            points = np.asarray(line.get_xydata(), np.float64)
            yield Mark([line], label, note, _hex(line.get_color(), line.get_alpha()), points, look)


def _collections(axes: Axes) -> Iterator[Mark]:
    for collection in axes.collections:
        filled = collection.get_facecolor() if len(collection.get_facecolor()) else collection.get_edgecolor()
        colours = np.unique(np.atleast_2d(filled), axis=0)
        is_scatter = isinstance(collection, PathCollection)
        points = np.ma.filled(np.ma.asarray(collection.get_offsets(), float), np.nan) if is_scatter else _NO_POINTS
        colour = _hex(colours[0]) if len(colours) == 1 else None
        if is_scatter or (colour and colour[:7] != INK):
            yield Mark([collection], *_label_and_note(collection), colour, points, "dots" if is_scatter else "line")


def _bars(axes: Axes) -> Iterator[Mark]:
    for bars in axes.containers:
        if isinstance(bars, BarContainer) and len(bars):
            boxes = [(*bar.get_xy(), bar.get_width(), bar.get_height()) for bar in bars]
            is_flat = bars.orientation == "horizontal"
            ends = [(x + w, y + h / 2) if is_flat else (x + w / 2, y + h) for x, y, w, h in boxes]
            colour = _hex(bars[0].get_facecolor())
            yield Mark(list(bars), *_label_and_note(bars), colour, np.array(ends, np.float64), "dots")


def _label_and_note(artist: Any) -> tuple[str, str]:
    text = str(artist.get_label() or "")
    if not text.startswith("_"):
        return text, ""
    return "", "" if _DEFAULT_LABEL.match(text) else text[1:]


def _hex(colour: Any, alpha: Any = None) -> str:
    return to_hex((colour, alpha) if isinstance(alpha, int | float) else colour, keep_alpha=True)


def give_ids(artists: Sequence[Artist]) -> None:
    """Gives each artist that has no gid of its own one by its place: `s0`, `s1`, ..."""
    for i, artist in enumerate(artists):
        if re.fullmatch(r"s\d+", artist.get_gid() or "s0"):
            artist.set_gid(f"s{i}")


def axes_data(plot: Plot, axes: Axes, marks: Sequence[Mark], ids: Set[str]) -> dict[str, Any]:
    """What `plots.js` needs of an axes; `ids` are those that the page's SVG has."""
    figure = plot.figure
    points_a_dot, height = 72 / figure.dpi, 72 * figure.get_figheight()  # an SVG's unit is the point, y goes down

    def placed(dots: np.ndarray) -> np.ndarray:
        return np.round(dots * points_a_dot * [1, -1] + [0, height], 1)

    (left, bottom), (right, top) = placed(axes.bbox.corners()[[0, 3]])
    box = [left, top, right, bottom]
    shown = [_mark_data(axes, mark, box, placed, plot.name, ids) for mark in marks]
    y_labels = (other.get_ylabel() for other in [axes, *figure.axes])  # panels in a row say it once
    return {
        "is_parallel": _is_parallel(axes),
        "box": box,
        "xscale": axes.get_xscale(),
        "yscale": axes.get_yscale(),
        "x": axes.get_xlabel(),
        "y": "" if _names(axes.yaxis) else next(filter(None, y_labels), ""),
        "marks": [mark for mark in shown if mark["px"] or mark["label"]],
    }


def _mark_data(
    axes: Axes,
    mark: Mark,
    box: list[float],
    placed: Callable[[np.ndarray], np.ndarray],
    name: str,
    known: Set[str],
) -> dict[str, Any]:
    with np.errstate(divide="ignore", invalid="ignore"):  # a logarithmic axis has no place for what is not positive
        at = placed(axes.transData.transform(mark.points)) if len(mark.points) else _NO_POINTS
    inside = (at >= [box[0] - 1, box[1] - 1]) & (at <= [box[2] + 1, box[3] + 1])  # False for NaN
    kept = np.flatnonzero(inside.all(axis=1) & np.isfinite(mark.points).all(axis=1))
    kept = kept[np.unique(np.linspace(0, len(kept) - 1, _MAX_POINTS).astype(int))] if len(kept) else kept
    ids = [f"{name}-{artist.get_gid()}" for artist in mark.artists]
    trial = re.match(r"trial-(\d+)", mark.artists[0].get_gid() or "")
    if _is_parallel(axes):  # a trial's note has its values; a hundred bytes a trial
        x, y = [], []
    else:
        x = _values(axes.xaxis, axes.fmt_xdata, mark.points[kept, 0])
        y = _values(axes.yaxis, axes.fmt_ydata, mark.points[kept, 1])
    return {
        "label": mark.label,
        "note": mark.note,
        "trial": int(trial[1]) if trial else None,
        "ids": [one for one in ids if one in known],
        "colour": None if (mark.colour or "")[:7] in (INK, "#000000") else mark.colour,  # ink is the page's
        "look": mark.look,
        "px": at[kept, 0].tolist(),
        "py": at[kept, 1].tolist(),
        "x": x,
        "y": y,
    }


def _is_parallel(axes: Axes) -> bool:
    return bool(axes.get_gid() == "parallel-coordinates")


def _values(axis: Axis, written: Callable[[float], str] | None, values: np.ndarray) -> list[Any]:
    """Numbers of five digits, or texts where the axes know better."""
    if written is not None:
        return [written(value) for value in values.tolist()]
    names = _names(axis)
    if names:
        places = np.array(list(names))
        return [names[places[np.abs(places - value).argmin()]] for value in values.tolist()]
    return [int(value) if value.is_integer() else float(f"{value:.5g}") for value in values.tolist()]


def _names(axis: Axis) -> dict[float, str]:
    """Place -> name of an axis whose ticks were given names; empty for one of numbers."""
    locator, formatter = axis.get_major_locator(), axis.get_major_formatter()
    if not isinstance(locator, FixedLocator) or not isinstance(formatter, FixedFormatter | FuncFormatter):
        return {}
    places = np.asarray(locator(), np.float64).tolist()
    names = dict(zip(places, formatter.format_ticks(places), strict=True))
    return {} if all(text == f"{at:g}" for at, text in names.items()) else names
