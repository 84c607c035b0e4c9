"""Pictures of robustness: accuracy against strength, and what fools a model side by side with its original."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.errors import UsageError
from zoo.training.curves import BEST, INK, TRAIN, VALIDATION, finish_axes

if TYPE_CHECKING:
    from zoo.evaluation.fooling import Fooling
    from zoo.evaluation.robustness import Robustness

_COLOURS = (TRAIN, VALIDATION, BEST, "#9061f9", "#c81e1e", "#6b7280")
_MAX_COLUMNS = 3  # panels side by side
_MAX_IMAGES = 6  # shown where nobody says which
_MAX_CLASSES = 5  # whose scores are shown
_MAX_NAME = 16  # characters of a class
_SHARP = 48  # pixels; smaller images are shown as the squares they are, larger ones smoothly


def plot_robustness(results: Robustness | Mapping[str, Robustness]) -> Figure:
    """Accuracy against strength with its 95 % interval as a band, a panel each corruption.

    Args:
        results: of one model, or name -> result of up to six models, which share the panels.

    Raises:
        UsageError: no result, or more than six.
    """
    by_name = dict(results) if isinstance(results, Mapping) else {"model": results}
    if not 1 <= len(by_name) <= len(_COLOURS):
        raise UsageError(f"1 to {len(_COLOURS)} results can be shown. Received: {len(by_name)}")
    tables = {name: result.table for name, result in by_name.items()}
    units = {c: unit for table in tables.values() for c, unit in zip(table["corruption"], table["unit"], strict=True)}
    corruptions = list(dict.fromkeys(name for table in tables.values() for name in table["corruption"]))
    columns = min(len(corruptions), _MAX_COLUMNS)
    rows = math.ceil(len(corruptions) / columns)
    figure = Figure(figsize=(3.5 * columns + 0.4, 2.9 * rows), dpi=110, layout="constrained")
    for i, corruption in enumerate(corruptions):
        axes = figure.add_subplot(rows, columns, i + 1)
        for (name, table), colour in zip(tables.items(), _COLOURS, strict=False):
            _draw_curve(axes, table[table["corruption"] == corruption], name, colour)
        finish_axes(axes, f"{corruption} ({units[corruption]})", "accuracy" if i % columns == 0 else "")
        axes.set_ylim(0, 1.02)
        legend = axes.get_legend()
        if legend is not None and (i or len(tables) == 1):  # said once, where there is something to tell apart
            legend.remove()
    return figure


def _draw_curve(axes: Axes, table: pd.DataFrame, name: str, colour: str) -> None:
    strengths = table["strength"].to_numpy()
    axes.fill_between(strengths, table["low"], table["high"], color=colour, alpha=0.18, linewidth=0)
    axes.plot(strengths, table["accuracy"], color=colour, marker="o", markersize=3.5, linewidth=1.6, label=name)


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
    if not images or not all(0 <= i < count for i in images):
        raise UsageError(f"images must be places of 0 to {count - 1}, one or more. Received: images={images!r}")
    shown = [(fooling, i) for i in images for fooling in several]
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
        f"image {row['index']}: {_clipped(row['true'])}\nanswer: {_clipped(row['before'])}",
        f"{fooling.by} {strength:.3g} {unit}\nanswer: {_clipped(row['after'])}",
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
    axes.set_yticks(y, [_clipped(fooling.class_names[k]) for k in classes], fontsize=7, parse_math=False)
    axes.set_ylim(len(classes) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_title("scores", fontsize=8, color=INK, pad=3)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=7)
    axes.tick_params(colors=INK, length=2)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)


def _clipped(name: str) -> str:
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"
