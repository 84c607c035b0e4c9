"""Images with what a model says of them: one answer each, or the most probable classes as bars."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.drawing import COLOURS, INK, TRAIN, clipped
from zoo.errors import UsageError
from zoo.inspection.grids import show_image

if TYPE_CHECKING:
    import numpy as np

    from zoo.evaluation.scoring import Evaluation

_CELL = 1.5  # inches
_SHARP = 48  # pixels; smaller images are shown as the squares they are, larger ones smoothly
_WRONG = COLOURS[4]  # red
_MAX_NAME = 14  # characters of a class


class Guess(Protocol):
    """A class and its probability, as `zoo.decode_predictions` gives them."""

    @property
    def name(self) -> str:
        """Of the class."""

    @property
    def probability(self) -> float:
        """From 0 to 1."""


def plot_predictions(evaluation: Evaluation, rows: Sequence[int], *, columns: int = 6) -> Figure:
    """Draws images in a grid, each under its true class and the class that the model answers, with its score; red where it is wrong.

    Args:
        evaluation: of `zoo.evaluate` on images.
        rows: places in `evaluation.predictions`, in the order in which they are drawn; one or more.
        columns: images in a row, 1 or more.

    Raises:
        UsageError: an evaluation without images, no row, or one that is not there.

    Examples:
        >>> scored = zoo.evaluate(model, data.test)  # doctest: +SKIP
        >>> wrong = scored.predictions.query("not correct").nlargest(12, "confidence")  # doctest: +SKIP
        >>> plot_predictions(scored, wrong.index).savefig("mistakes.png")  # doctest: +SKIP
    """
    places = list(rows)
    if evaluation.images is None:
        raise UsageError("only images can be shown, and the evaluation has none. Received: inputs of another kind")
    if not places or not all(isinstance(i, numbers.Integral) and 0 <= i < evaluation.num_examples for i in places):
        raise UsageError(
            f"rows must be places of 0 to {evaluation.num_examples - 1}, one or more. Received: {places!r}"
        )
    if columns < 1:
        raise UsageError(f"a grid has one column or more. Received: columns={columns}")
    columns = min(columns, len(places))
    lines = math.ceil(len(places) / columns)
    height, width = evaluation.images.shape[1:3]
    cell = _CELL * min(max(height / width, 0.4), 2.5)
    figure = Figure(figsize=(_CELL * columns, (cell + 0.42) * lines), dpi=110, layout="constrained")
    for place, axes in zip(places, figure.subplots(lines, columns, squeeze=False).flat, strict=False):
        _draw(axes, evaluation, int(place))
    for axes in figure.axes[len(places) :]:
        axes.remove()
    return figure


def plot_top_classes(images: np.ndarray, answers: Sequence[Sequence[Guess]]) -> Figure:
    """Draws images, three in a row, each above bars for the probabilities of its most probable classes.

    Args:
        images: (N, H, W, 1 or 3), of any range.
        answers: of each image what `zoo.decode_predictions` gives.

    Raises:
        UsageError: no image, or another number of answers.

    Examples:
        >>> images = zoo.load_images(["dog.png"], 224)  # doctest: +SKIP
        >>> plot_top_classes(images, zoo.decode_predictions(model.predict(images)))  # doctest: +SKIP
    """
    if not len(images) or len(images) != len(answers):
        raise UsageError(f"one answer an image, one or more. Received: {len(images)} images, {len(answers)} answers")
    columns = min(len(images), 3)
    lines = math.ceil(len(images) / columns)
    figure = Figure(figsize=(3.1 * columns, 3.9 * lines), dpi=110, layout="constrained")
    places = figure.subplots(2 * lines, columns, squeeze=False, height_ratios=(1.9, 1) * lines)
    for i in range(lines * columns):
        picture, bars = places[2 * (i // columns), i % columns], places[2 * (i // columns) + 1, i % columns]
        if i >= len(images):
            picture.remove()
            bars.remove()
            continue
        show_image(picture, images[i])
        names, heights = [clipped(p.name, 18) for p in answers[i]], [p.probability for p in answers[i]]
        bars.barh(range(len(names)), heights, color=TRAIN)
        bars.set_yticks(range(len(names)), names, fontsize=7, parse_math=False)
        bars.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6), xticks=[0, 0.5, 1])
        bars.tick_params(colors=INK, labelsize=7, length=2)
        for side, spine in bars.spines.items():
            spine.set_visible(side in ("left", "bottom"))
    return figure


def _draw(axes: Axes, evaluation: Evaluation, place: int) -> None:
    assert evaluation.images is not None
    image, row = evaluation.images[place], evaluation.predictions.iloc[place]
    smooth = max(image.shape[:2]) > _SHARP
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="hanning" if smooth else "nearest")
    axes.set_axis_off()
    title = (
        f"{clipped(row['true'], _MAX_NAME)}\nanswer: {clipped(row['predicted'], _MAX_NAME)} ({row['confidence']:.2f})"
    )
    axes.set_title(title, fontsize=7.5, color=INK if row["correct"] else _WRONG, pad=3, parse_math=False)
