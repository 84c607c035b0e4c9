"""Small matrices with their numbers in them: maps, gradients, tables of sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIDE = 3.0  # inches of a panel


def plot_matrices(matrices: Mapping[str, Any], *, columns: int | None = None, numbers: str | None = ".2g") -> Figure:
    """Draws each matrix as coloured cells, blue below 0, white at 0 and red above it; each has its own scale.

    Args:
        matrices: what is above -> (rows, columns) numbers; a data frame brings the ticks, and the names of its index and
            columns are those of the axes.
        columns: panels in a row; by default all.
        numbers: how the numbers in the cells are written, e.g. `".2g"` or `"d"`; `None` writes none and draws a colour bar.

    Raises:
        UsageError: nothing to draw, or something that is no matrix of finite numbers.
    """
    from matplotlib.figure import Figure

    from zoo.drawing import INK

    arrays = {name: np.asarray(matrix) for name, matrix in matrices.items()}
    for name, array in arrays.items():
        if array.ndim != 2 or not array.size or array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise UsageError(f"{name!r} is no matrix of finite numbers. Received: {array.dtype}, shape {array.shape}")
    if not arrays or (columns is not None and columns < 1):
        raise UsageError(f"give a matrix or more, and a column or more. Received: {len(arrays)}, columns={columns}")
    across = min(columns or len(arrays), len(arrays))
    down = -(-len(arrays) // across)
    width = max(_SIDE, 0.55 * max(a.shape[1] for a in arrays.values()) if numbers else 0)
    figure = Figure(figsize=(width * across, _SIDE * down), dpi=110, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, (name, matrix) in zip(panels, matrices.items(), strict=False):
        _draw(axes, arrays[name], numbers)
        _tick(axes, matrix)
        axes.set_title(name, fontsize=10, color=INK)
    for axes in panels[len(arrays) :]:
        axes.axis("off")
    return figure


def _draw(axes: Axes, array: np.ndarray, numbers: str | None) -> None:
    from zoo.drawing import INK

    largest = float(np.abs(array).max()) or 1.0
    limit = largest if numbers is None else 1.6 * largest  # paler, so that the numbers can be read
    drawn = axes.imshow(array, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    if numbers is None:
        bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.8)
        bar.ax.set_ylim(min(0.0, float(array.min())), max(0.0, float(array.max())) or None)
        return
    for (i, j), number in np.ndenumerate(array):
        text = "0" if number == 0 else f"{number:{numbers}}"
        axes.text(j, i, text, ha="center", va="center", fontsize=8, color=INK)


def _tick(axes: Axes, matrix: Any) -> None:
    """The names of a data frame; without them no ticks."""
    from zoo.drawing import INK

    axes.set(xticks=[], yticks=[])
    if hasattr(matrix, "columns"):
        axes.set_xticks(range(matrix.shape[1]), [str(name) for name in matrix.columns], color=INK)
        axes.set_yticks(range(matrix.shape[0]), [str(name) for name in matrix.index], color=INK)
        axes.set_xlabel(str(matrix.columns.name or ""), color=INK)
        axes.set_ylabel(str(matrix.index.name or ""), color=INK)
