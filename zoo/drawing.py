"""The look that all figures share, and figures as PNG, SVG and files; without pyplot's global state."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.storage import write_bytes

INK = "#22262b"  # text and axes; an inline SVG takes the page's own text colour in its place
TRAIN, VALIDATION, BEST = "#3f83f8", "#e8710a", "#0e9f6e"
# Of lines that have to be told apart, the first three those above.
COLOURS = (
    TRAIN,
    VALIDATION,
    BEST,
    "#9061f9",
    "#c81e1e",
    "#6b7280",
    "#b45309",
    "#0891b2",
    "#be185d",
    "#4d7c0f",
)
_PAGE_COLOURS = {INK: "currentColor", "#000000": "currentColor", "#ffffff": "var(--card, #ffffff)"}


def figure_png(figure: Figure) -> bytes:
    """The figure as PNG, on white, 144 dots an inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=144, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def save_figure(figure: Figure, path: str | os.PathLike[str], *, dpi: int = 144) -> Path:
    """Writes a figure in one step, in the format of the name's end (.png, .svg, .pdf; without one PNG); returns the path.

    Raises:
        SaveError: the disk does not take it.
    """
    buffer = io.BytesIO()  # drawn before, so that a font that is missing is not blamed on the disk
    figure.savefig(buffer, format=Path(path).suffix[1:] or "png", dpi=dpi, facecolor="white")
    return write_bytes(path, buffer.getvalue())


def figure_svg(figure: Figure) -> str:
    """The figure as an `<svg>` element for a page: transparent, text as text.

    Ink and black take the page's text colour, white takes its `--card`, so that the figure follows a dark page.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "zoo"}):
        plain = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, dpi=144, metadata=plain)
    svg = buffer.getvalue().replace("<svg ", '<svg fill="currentColor" ', 1)  # Matplotlib does not write black fills
    colours = re.compile("|".join(_PAGE_COLOURS))
    return re.sub(  # only in tags: a text may name a colour
        "<[^<>]+>", lambda tag: colours.sub(lambda c: _PAGE_COLOURS[c[0]], tag[0]), svg[svg.index("<svg") :]
    )


def finish_axes(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Labels, a light grid, no box, and a legend."""
    axes.set_xlabel(xlabel, color=INK, parse_math=False)
    axes.set_ylabel(ylabel, color=INK, parse_math=False)  # an objective's name may hold a dollar sign
    axes.tick_params(colors=INK)
    axes.grid(color=INK, alpha=0.12, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
    for text in axes.legend(frameon=False, fontsize="small", labelcolor=INK).get_texts():
        text.set_parse_math(False)  # a model's or a class's name may hold one too


def clipped(text: str, most: int) -> str:
    """A text of at most so many characters; one that was longer ends in an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
