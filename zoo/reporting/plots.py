"""A Matplotlib figure on a page: inline SVG that reads well by itself, and the data that `plots.js` answers with."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter

from zoo.errors import UsageError
from zoo.reporting.formatting import script_json
from zoo.storage import write_bytes
from zoo.training.curves import INK, figure_png, figure_svg

_MAX_POINTS = 500  # of a series; more than a pointer can tell apart
_LINE_STYLES = {":": "dotted", "--": "dashed", "None": "dots"}
_DEFAULT_LABEL = re.compile(r"_(child\d+|container\d+|nolegend_)?$")
_NO_POINTS = np.empty((0, 2))


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


class _Mark(NamedTuple):
    """What stands for data in a figure: a line, a scatter, the bars of a container, a band."""

    artists: Sequence[Artist]
    label: str  # in the legend, or that of the mark whose colour it has; "" for neither
    note: str  # a label with an underscore before it: told, but not in the legend
    colour: str | None  # "#rrggbbaa"; None where it has several
    points: np.ndarray  # (n, 2), in the axes' data coordinates
    look: str = "line"


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
    marks = {axes: _marks(axes) for axes in plot.figure.axes}
    _give_ids([artist for found in marks.values() for mark in found for artist in mark.artists])
    drawn = figure_svg(plot.figure)  # lays the figure out, which places are read from
    plot.figure.set_layout_engine("none")  # once: its PNG has the same places
    svg = _for_page(drawn, plot, _raster_ids(drawn, marks))
    data = [_axes_data(plot, axes, found, svg) for axes, found in marks.items()]
    return Markup(
        '<figure class="plot{}" id="plot-{}"><figcaption>{}</figcaption>\n{}\n'
        '<script type="application/json">{}</script></figure>'
    ).format(
        " plot-wide" if _is_wide(plot.figure) else "",
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


# From the figure


def _marks(axes: Axes) -> list[_Mark]:
    """The marks of an axes; those without a label have that of the first labelled one of their colour."""
    found = [*_lines(axes), *_collections(axes), *_bars(axes)]
    series = {mark.colour[:7]: mark for mark in reversed(found) if mark.label and mark.colour}
    owners = [mark if mark.label else series.get((mark.colour or "")[:7], mark) for mark in found]
    return [mark._replace(label=o.label, colour=o.colour, look=o.look) for mark, o in zip(found, owners, strict=True)]


def _lines(axes: Axes) -> Iterator[_Mark]:
    for line in axes.lines:
        label, note = _label_and_note(line)
        is_ink = to_hex(line.get_color()) == INK and not label and not note
        if line.get_transform() is axes.transData and not is_ink:  # and no axvline or axhline
            look = _LINE_STYLES.get(str(line.get_linestyle()), "line")
            points = np.asarray(line.get_xydata(), np.float64)
            yield _Mark([line], label, note, _hex(line.get_color(), line.get_alpha()), points, look)


def _collections(axes: Axes) -> Iterator[_Mark]:
    for collection in axes.collections:
        filled = collection.get_facecolor() if len(collection.get_facecolor()) else collection.get_edgecolor()
        colours = np.unique(np.atleast_2d(filled), axis=0)
        is_scatter = isinstance(collection, PathCollection)
        points = np.ma.filled(np.ma.asarray(collection.get_offsets(), float), np.nan) if is_scatter else _NO_POINTS
        colour = _hex(colours[0]) if len(colours) == 1 else None
        if is_scatter or (colour and colour[:7] != INK):
            yield _Mark([collection], *_label_and_note(collection), colour, points, "dots" if is_scatter else "line")


def _bars(axes: Axes) -> Iterator[_Mark]:
    for bars in axes.containers:
        if isinstance(bars, BarContainer) and len(bars):
            boxes = [(*bar.get_xy(), bar.get_width(), bar.get_height()) for bar in bars]
            is_flat = bars.orientation == "horizontal"
            ends = [(x + w, y + h / 2) if is_flat else (x + w / 2, y + h) for x, y, w, h in boxes]
            colour = _hex(bars[0].get_facecolor())
            yield _Mark(list(bars), *_label_and_note(bars), colour, np.array(ends, np.float64), "dots")


def _label_and_note(artist: Any) -> tuple[str, str]:
    text = str(artist.get_label() or "")
    if not text.startswith("_"):
        return text, ""
    return "", "" if _DEFAULT_LABEL.match(text) else text[1:]


def _hex(colour: Any, alpha: Any = None) -> str:
    return to_hex((colour, alpha) if isinstance(alpha, int | float) else colour, keep_alpha=True)


def _give_ids(artists: Sequence[Artist]) -> None:
    for i, artist in enumerate(artists):
        if re.fullmatch(r"s\d+", artist.get_gid() or "s0"):
            artist.set_gid(f"s{i}")


def _axes_data(plot: Plot, axes: Axes, marks: Sequence[_Mark], svg: str) -> dict[str, Any]:
    figure = plot.figure
    points_a_dot, height = 72 / figure.dpi, 72 * figure.get_figheight()  # an SVG's unit is the point, y goes down

    def placed(dots: np.ndarray) -> np.ndarray:
        return np.round(dots * points_a_dot * [1, -1] + [0, height], 1)

    (left, bottom), (right, top) = placed(axes.bbox.corners()[[0, 3]])
    box = [left, top, right, bottom]
    shown = [_mark_data(axes, mark, box, placed, plot.name, svg) for mark in marks]
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
    axes: Axes, mark: _Mark, box: list[float], placed: Callable[[np.ndarray], np.ndarray], name: str, svg: str
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
        "ids": [one for one in ids if f'id="{one}"' in svg],
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


# Into the page


def _raster_ids(svg: str, marks: dict[Axes, list[_Mark]]) -> dict[str, str]:
    """Id of a picture in the SVG -> gid of the rasterized artist that it shows, for which Matplotlib makes no group."""
    shown = [(axes, a) for axes, found in marks.items() for mark in found for a in mark.artists if a.get_rasterized()]
    images = re.findall(r'<image [^>]*id="(\w+)"', svg)
    one_each = len({axes for axes, _ in shown}) == len(shown) == len(images)  # neighbours would share a picture
    return {image: str(a.get_gid()) for image, (_, a) in zip(images, shown, strict=True)} if one_each else {}


def _for_page(svg: str, plot: Plot, renamed: dict[str, str]) -> Markup:
    """The SVG with a name for screen readers, ids of its own, and half of the bytes."""
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r">\s+<", "><", svg)
    used = set(re.findall(r'(?:url\(|href=")#(\w+)', svg))

    def with_id(found: re.Match[str]) -> str:
        one = renamed.get(found[1], found[1])
        if one.startswith("legend_"):
            return ' class="plot-legend"'
        is_kept = found[1] in used or re.fullmatch(r"s\d+|trial-\d+.*", one)
        return f' id="{plot.name}-{one}"' if is_kept else ""

    def rewritten(tag: re.Match[str]) -> str:
        text = re.sub(r' id="([^"]*)"', with_id, tag[0])
        text = re.sub(r'xlink:href="(#?)', lambda m: f'href="{m[1]}{plot.name + "-" if m[1] else ""}', text)
        text = text.replace("url(#", f"url(#{plot.name}-").replace(' transform="rotate(-0 ', ' transform="rotate(0 ')
        text = re.sub(r' transform="rotate\(0 [^"]*"| xmlns:xlink="[^"]*"|font-family: [^;"]*;? ?', "", text)
        if text.startswith("<image"):
            return text
        return re.sub(r"\s*\n", " ", re.sub(r"(\.\d\d)\d+", r"\1", text)).replace("; ", ";")

    svg = _grouped(re.sub(r"<[^<>]+>", rewritten, svg))  # tags alone: texts come from outside
    width = round(72 * plot.figure.get_figwidth())
    least = f"min-width:{width}px;" if _is_wide(plot.figure) else ""
    limits = f"{least}max-width:{1.5 * width:.0f}px"  # text of 10 to 15 pixels
    head = Markup('<svg role="img" aria-label="{}" stroke-linejoin="round" style="{}" ').format(plot.caption, limits)
    svg = svg.replace("<svg ", head, 1)
    scroll = Markup(' tabindex="0" role="region" aria-label="{}"').format(plot.caption)
    scroll = scroll if _is_wide(plot.figure) else Markup("")
    return Markup('<div class="plot-view"{}>{}</div>').format(scroll, Markup(svg))  # noqa: S704 - Matplotlib escapes texts


def _is_wide(figure: Figure) -> bool:
    """Whether it takes the page's width, and scrolls on a phone."""
    return bool(figure.get_figwidth() > 6.25)


def _grouped(svg: str) -> str:
    """Markers that look alike share one style: a search has thousands of them."""
    clip = r'<g clip-path="([^"]*)">(<use [^>]*/>)</g>(?:<g clip-path="\1"><use [^>]*/></g>)+'

    def joined(found: re.Match[str]) -> str:
        uses = "".join(re.findall(r"<use [^>]*/>", found[0]))
        return f'<g clip-path="{found[1]}">{uses}</g>'

    def hoisted(found: re.Match[str]) -> str:
        styles = set(re.findall(r' style="([^"]*)"', found[2]))
        if len(styles) != 1 or found[2].count("<use") < 3:
            return found[0]
        (style,) = styles  # opacity is not inherited
        shared = re.sub(r"(?<![\w-])opacity: ([\d.]+)", r"fill-opacity: \1;stroke-opacity: \1", style)
        uses = found[2].replace(f' style="{style}"', "")
        return f'{found[1]} style="{shared}">{uses}</g>'

    return re.sub(r'(<g clip-path="[^"]*")>((?:<use [^>]*/>)+)</g>', hoisted, re.sub(clip, joined, svg))
