"""Matplotlib's SVG as a part of a page: ids of its own, a name for screen readers, half of the bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.reporting.marks import Mark

if TYPE_CHECKING:
    from zoo.reporting.plots import Plot


def raster_ids(svg: str, marks: Mapping[Axes, Sequence[Mark]]) -> dict[str, str]:
    """Id of a picture in the SVG -> gid of the rasterized artist that it shows, for which Matplotlib makes no group."""
    shown = [(axes, a) for axes, found in marks.items() for mark in found for a in mark.artists if a.get_rasterized()]
    images = re.findall(r'<image [^>]*id="(\w+)"', svg)
    one_each = len({axes for axes, _ in shown}) == len(shown) == len(images)  # neighbours would share a picture
    return {image: str(a.get_gid()) for image, (_, a) in zip(images, shown, strict=True)} if one_each else {}


def svg_for_page(svg: str, plot: Plot, renamed: dict[str, str]) -> Markup:
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
    least = f"min-width:{width}px;" if is_wide(plot.figure) else ""
    limits = f"{least}max-width:{1.5 * width:.0f}px"  # text of 10 to 15 pixels
    head = Markup('<svg role="img" aria-label="{}" stroke-linejoin="round" style="{}" ').format(plot.caption, limits)
    svg = svg.replace("<svg ", head, 1)
    scroll = Markup(' tabindex="0" role="region" aria-label="{}"').format(plot.caption)
    scroll = scroll if is_wide(plot.figure) else Markup("")
    return Markup('<div class="plot-view"{}>{}</div>').format(scroll, Markup(svg))  # noqa: S704 - Matplotlib escapes texts


def is_wide(figure: Figure) -> bool:
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
