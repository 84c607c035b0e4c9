"""What fools a model side by side with its original."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.drawing import INK, TRAIN, VALIDATION, clipped
from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.evaluation.fooling import Fooling

_MAX_IMAGES = 6  # shown where nobody says which
_MAX_CLASSES = 5  # whose scores are shown
_MAX_NAME = 16  # characters of a class
_SHARP = 48  # pixels; smaller images are shown as the squares they are, larger ones smoothly


def plot_fooling(foolings: Fooling | Sequence[Fooling], images: Sequence[int] | None = None) -> Figure:
    """Original, perturbed, magnified difference and scores, a row each image and each way to fool.

    The difference is shown on grey, which is no change, times the factor above it. Scores are the class probabilities before
    and after, of the classes that have the largest in either.

    Args:
        foolings: what `zoo.fool` returned; several must be of the same images, and come below each other for each.
        images: places of the images in the data. By default the first six whose right answer each of the foolings changes.

    Raises:
        UsageError: inputs that are neither grey nor RGB images, an index out of range, several foolings of other images, or no
            image that was fooled where `images` does not say which.
    """
    several = list(foolings) if isinstance(foolings, Sequence) else [foolings]
    _check_images(several)
    if images is None:
        fooled = [f.table["correct"] & f.table["strength"].notna() for f in several]
        images = np.flatnonzero(np.logical_and.reduce(fooled))[:_MAX_IMAGES].tolist()
    count = len(several[0].table)
    places: list[int] = list(images)
    if not places or not all(isinstance(i, numbers.Integral) and 0 <= i < count for i in places):
        raise UsageError(f"images must be places of 0 to {count - 1}, one or more. Received: images={places!r}")
    shown = [(fooling, i) for i in places for fooling in several]
    height, width = several[0].originals.shape[1:3]
    cell = 1.55 * min(max(height / width, 0.4), 2.5)
    figure = Figure(figsize=(8.4, (cell + 0.42) * len(shown) + 0.3), dpi=110, layout="constrained")
    grid = figure.add_gridspec(len(shown), 4, width_ratios=(1.0, 1.0, 1.0, 1.35))
    for row, (fooling, i) in enumerate(shown):
        axes = [figure.add_subplot(grid[row, column]) for column in range(4)]
        _draw_images(axes[:3], fooling, i)
        _draw_scores(axes[3], fooling, i)
    handles, _ = figure.axes[3].get_legend_handles_labels()
    figure.legend(handles=handles, loc="outside lower right", ncols=2, frameon=False, fontsize=7, labelcolor=INK)
    return figure


def _check_images(foolings: list[Fooling]) -> None:
    if not foolings:
        raise UsageError("nothing to show. Received: no result of zoo.fool")
    first = foolings[0].originals
    if first.ndim != 4 or first.shape[-1] not in (1, 3):
        raise UsageError(f"only images, grey or RGB, can be shown. Received: inputs of shape {first.shape[1:]}")
    for other in foolings[1:]:
        if other.originals.shape != first.shape or (other.originals != first).any():
            raise UsageError("only foolings of the same images can be shown together")


def _draw_images(places: Sequence[Axes], fooling: Fooling, i: int) -> None:
    """The original, the perturbed image and their difference, with what the model answers above them."""
    row = fooling.table.iloc[i]
    low, high = fooling.input_range
    original, perturbed = (
        np.clip((pixels[i].astype(np.float64) - low) / (high - low), 0, 1)
        for pixels in (fooling.originals, fooling.perturbed)
    )
    change = perturbed - original
    most = np.abs(change).max()
    factor = float(f"{0.5 / most:.1g}") if most else 1.0
    strength = fooling.largest if np.isnan(row["strength"]) else row["strength"]
    unit = fooling.unit.removeprefix("share ")
    unit = unit.removesuffix("s") if abs(strength) == 1 else unit
    titles = (
        f"image {row['index']}: {clipped(row['true'], _MAX_NAME)}\nanswer: {clipped(row['before'], _MAX_NAME)}",
        f"{fooling.by} {strength:.3g} {unit}\nanswer: {clipped(row['after'], _MAX_NAME)}",
        f"difference\n× {factor:g}",
    )
    shown = (original, perturbed, np.clip(0.5 + factor * change, 0, 1))
    smooth = max(original.shape[:2]) > _SHARP
    for axes, image, title in zip(places, shown, titles, strict=True):
        pixels = image[..., 0] if image.shape[-1] == 1 else image
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="hanning" if smooth else "nearest")
        axes.set_axis_off()
        axes.set_title(title, fontsize=8, color=INK, pad=3, parse_math=False)


def _draw_scores(axes: Axes, fooling: Fooling, i: int) -> None:
    """Class probabilities before and after as pairs of bars, the classes with the largest, in their own order."""
    before, after = fooling.scores_before[i], fooling.scores_after[i]
    classes = np.sort(np.argsort(-np.maximum(before, after), kind="stable")[:_MAX_CLASSES])
    y = np.arange(len(classes))
    axes.barh(y - 0.2, before[classes], 0.36, color=TRAIN, label="before")
    axes.barh(y + 0.2, after[classes], 0.36, color=VALIDATION, label="after")
    axes.set_yticks(y, [clipped(fooling.class_names[k], _MAX_NAME) for k in classes], fontsize=7, parse_math=False)
    axes.set_ylim(len(classes) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_title("scores", fontsize=8, color=INK, pad=3)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=7)
    axes.tick_params(colors=INK, length=2)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
