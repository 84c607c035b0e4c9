"""Small dense networks as units and connections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import UsageError
from zoo.inspection.units import live_paths

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}


def plot_network(
    units: Sequence[Sequence[str]], connections: Sequence[Any], *, layers: Sequence[str] = (), title: str = ""
) -> Figure:
    """Draws what stands in the units of a small dense network, and a number on each connection.

    Connections are red where their number is positive, blue where it is negative, and the thicker the larger it is.

    Args:
        units: for each layer, from the inputs on, a text for each unit, e.g. its activation and its delta.
        connections: for each pair of neighbouring layers the numbers (units before, units behind), e.g. weights or ∂E/∂w.
        layers: a name for each layer.
        title: what is above.

    Raises:
        UsageError: no layer, one without a unit, or connections or names that do not fit the units.
    """
    from matplotlib.figure import Figure

    from zoo.drawing import INK

    sizes = [len(layer) for layer in units]
    arrays = [np.asarray(between, np.float64) for between in connections]
    if not sizes or not min(sizes):
        raise UsageError(f"a network has layers of one unit or more. Received: layers of {sizes} units")
    if [a.shape for a in arrays] != list(pairwise(sizes)) or len(layers) not in (0, len(units)):
        raise UsageError(
            f"layers of {sizes} units need connections between each two of them, and as many names or none. "
            f"Received: connections={[a.shape for a in arrays]}, layers={list(layers)}"
        )
    figure = Figure(figsize=(2.6 * len(units), 1.0 + 1.2 * max(sizes)), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    heights = [_heights(size) for size in sizes]
    largest = max((float(np.abs(a).max()) for a in arrays), default=0.0) or 1.0
    for layer, array in enumerate(arrays):
        for (i, j), number in np.ndenumerate(array):
            start, end = heights[layer][i], heights[layer + 1][j]
            colour, at = "C3" if number > 0 else "C0", 0.25 + 0.18 * (i % 3)  # numbers on crossing lines stand apart
            width = 0.5 + 5 * abs(number) / largest
            axes.plot([layer, layer + 1], [start, end], color=colour, linewidth=width, alpha=0.5, zorder=1)
            place = layer + at, start + at * (end - start)
            axes.text(*place, f"{number:+.3f}", fontsize=8, ha="center", va="center", color=INK, bbox=_PAPER)
    box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": INK}
    for layer, texts in enumerate(units):
        for height, text in zip(heights[layer], texts, strict=True):
            axes.text(layer, height, text, ha="center", va="center", fontsize=9, color=INK, zorder=3, bbox=box)
    for layer, name in enumerate(layers):
        axes.text(layer, max(sizes) / 2 + 0.1, name, ha="center", color=INK)
    _frame(axes, sizes, title)
    return figure


def plot_live_paths(cases: Mapping[str, Iterable[Any]]) -> Figure:
    """Draws which units of complete layers live, and the ways through live units alone; dead units are crossed out.

    Args:
        cases: what is above -> for each layer (units,) which of them live: `[~dead for dead in dead_units(...).dead]`.

    Raises:
        UsageError: nothing to draw, or a layer without a unit.
    """
    from matplotlib.figure import Figure

    if not cases:
        raise UsageError("there is nothing to draw. Received: no case")
    figure = Figure(figsize=(3.0 * len(cases), 3.2), dpi=110, layout="constrained")
    for axes, (name, alive) in zip(figure.subplots(1, len(cases), squeeze=False)[0], cases.items(), strict=True):
        layers = [np.asarray(layer, bool) for layer in alive]
        count = live_paths(layers)
        heights = [_heights(len(layer)) for layer in layers]
        for k, (before, behind) in enumerate(pairwise(layers)):
            for i, j in np.ndindex(len(before), len(behind)):
                lives = bool(count and before[i] and behind[j])
                colour, width = ("C0", 1.6) if lives else ("0.8", 0.8)
                axes.plot(
                    [k, k + 1], [heights[k][i], heights[k + 1][j]], color=colour, linewidth=width, zorder=1 + lives
                )
        for k, layer in enumerate(layers):
            for height, lives in zip(heights[k], layer, strict=True):
                axes.plot(k, height, "o" if lives else "X", color="C0" if lives else "C3", markersize=13, zorder=4)
        _frame(axes, [len(layer) for layer in layers], f"{name}\nlive paths: {count}")
    return figure


def _heights(count: int) -> np.ndarray:
    return (count - 1) / 2 - np.arange(count)


def _frame(axes: Axes, sizes: Sequence[int], title: str) -> None:
    from zoo.drawing import INK

    axes.set(xlim=(-0.4, len(sizes) - 0.6), ylim=(-max(sizes) / 2, max(sizes) / 2 + 0.3))
    axes.set_title(title, fontsize=10, color=INK)
    axes.axis("off")
