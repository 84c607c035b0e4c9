"""`Section`: what one part of a page shows, and which template shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from zoo.drawing import figure_png
from zoo.reporting.plots import Plot


class Picture(NamedTuple):
    """A figure that consists of images.

    Attributes:
        name: stem of its file: letters, digits and "-".
        caption: what it shows, for people.
        png: the picture, encoded.
    """

    name: str
    caption: str
    png: bytes

    @classmethod
    def of(cls, name: str, caption: str, figure: Figure) -> Picture:
        """Draws a figure now."""
        return cls(name, caption, figure_png(figure))


@dataclasses.dataclass(frozen=True)
class Section:
    """One part of a page.

    Attributes:
        name: its anchor, and the stem of its template in `templates/sections/`.
        title: its heading, and its entry in the navigation.
        content: what its template reads, plain values.
        plots: figures that are drawn as SVG, which a script makes interactive.
        pictures: figures that consist of images, shown as PNG.
    """

    name: str
    title: str
    content: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    plots: tuple[Plot, ...] = ()
    pictures: tuple[Picture, ...] = ()
