"""The colours of trials in pictures: by their scores, or by the rungs at which they ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from tuning.dimensions import score_limits
from zoo.drawing import INK, TRAIN, VALIDATION

if TYPE_CHECKING:
    from tuning.results import SearchResult

# on white and on black
_BY_SCORE = LinearSegmentedColormap.from_list("score", ["#b9bfc7", "#7ea6ee", TRAIN, "#7a3ff2"])
_BY_RUNG = LinearSegmentedColormap.from_list("rung", ["#b9bfc7", TRAIN, "#5b3fb8", VALIDATION])


def score_colours(result: SearchResult) -> ScalarMappable:
    """From a score to its colour, pale where it is bad; outliers have that of the worst usual one."""
    colours = _BY_SCORE if result.direction == "max" else _BY_SCORE.reversed()
    return ScalarMappable(Normalize(*score_limits(result), clip=True), colours)


def add_colour_bar(figure: Figure, axes: Axes, colours: ScalarMappable, label: str) -> None:
    """The scale of colours at the side of a figure."""
    bar = figure.colorbar(colours, ax=axes, pad=0.01, aspect=30)
    bar.set_label(label, color=INK, parse_math=False)
    bar.ax.tick_params(colors=INK, labelsize="small")
    bar.outline.set_visible(False)


def rung_colours(records: list[dict[str, Any]]) -> dict[int, Any]:
    """Epochs at which a rung ends -> its colour; across brackets."""
    rungs = sorted({record["values"]["tuner/epochs"] for record in records if "tuner/epochs" in record["values"]})
    return {rung: _BY_RUNG(i / max(1, len(rungs) - 1)) for i, rung in enumerate(rungs)}
