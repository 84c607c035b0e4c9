"""What a model decides in a plane: of points, or through three examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import UsageError, check_count
from zoo.inspection.calling import as_inputs, check_built, to_numpy, untouched
from zoo.inspection.grids import show_image
from zoo.models.outputs import class_probabilities, known_output_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARGIN = 0.15  # of the extent, around points
_BATCH = 256


@dataclasses.dataclass(frozen=True)
class DecisionRegions:
    """Class and probabilities on a grid in a plane.

    Attributes:
        x: (W,) first coordinate.
        y: (H,) second coordinate.
        classes: (H, W) most probable class.
        probabilities: (H, W, K) of all classes.
        points: (N, 2) coordinates of examples in this plane.
        examples: (3, ...) examples that span it, at (0, 0), (1, 0) and (0, 1), or `None` in the plane of the inputs.
    """

    x: np.ndarray
    y: np.ndarray
    classes: np.ndarray
    probabilities: np.ndarray
    points: np.ndarray
    examples: np.ndarray | None = None


def decision_regions(
    model: keras.Model,
    points: Any = None,
    *,
    bounds: tuple[float, float, float, float] | None = None,
    resolution: int = 200,
) -> DecisionRegions:
    """What a model of two inputs decides everywhere.

    Args:
        model: a built model that takes (N, 2) and gives probabilities or logits.
        points: (N, 2) examples, which decide the bounds (with a margin) and are drawn.
        bounds: (left, right, bottom, top) in place of those.
        resolution: points of the grid in each direction.

    Raises:
        UsageError: a model of other inputs, neither points nor bounds, points that are not finite, or a resolution below 1.
    """
    check_built(model)
    known = np.empty((0, 2)) if points is None else np.asarray(points, np.float64)
    if known.ndim != 2 or known.shape[1] != 2 or (bounds is None and not len(known)):
        raise UsageError(f"give points (N, 2) or bounds=(left, right, bottom, top). Received: shape {known.shape}")
    _check_grid(known, resolution)
    if bounds is None:
        low, high = known.min(axis=0), known.max(axis=0)
        margin = np.where(high > low, _MARGIN * (high - low), 1.0)
        (left, bottom), (right, top) = low - margin, high + margin
    else:
        left, right, bottom, top = bounds
    x, y = np.linspace(left, right, resolution), np.linspace(bottom, top, resolution)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    probabilities = _probabilities(model, grid.reshape(-1, 2)).reshape(*grid.shape[:2], -1)
    return DecisionRegions(x, y, probabilities.argmax(axis=-1), probabilities, known)


def decision_plane(
    model: keras.Model, examples: Any, *, bounds: Sequence[float] = (-0.5, 1.5, -0.5, 1.5), resolution: int = 40
) -> DecisionRegions:
    """What a model decides in the plane through three examples (Somepalli et al., 2022, draw such planes).

    The point (u, v) is the input a + u·(b - a) + v·(c - a): the examples a, b, c are at (0, 0), (1, 0) and (0, 1). Outside of
    their triangle values may leave the range of the data.

    Args:
        model: any built model that gives probabilities or logits.
        examples: (3, ...) inputs, as the model takes them.
        bounds: (left, right, bottom, top) of u and v.
        resolution: points of the grid in each direction.

    Raises:
        UsageError: other than three finite examples, or a resolution below 1.
    """
    corners = np.asarray(examples, np.float64)
    if corners.ndim < 2 or len(corners) != 3:
        raise UsageError(f"a plane goes through three examples. Received: shape {corners.shape}")
    _check_grid(corners, resolution)
    left, right, bottom, top = bounds
    x, y = np.linspace(left, right, resolution), np.linspace(bottom, top, resolution)
    a, b, c = corners
    rows = []
    for v in y:
        row = a + x.reshape(-1, *[1] * a.ndim) * (b - a) + v * (c - a)
        rows.append(_probabilities(model, row))
    probabilities = np.array(rows)
    known = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    return DecisionRegions(x, y, probabilities.argmax(axis=-1), probabilities, known, corners)


def _check_grid(points: np.ndarray, resolution: int) -> None:
    check_count("resolution", resolution)
    if not np.isfinite(points).all():
        raise UsageError("regions need finite points. Received: NaN or infinity")


def _probabilities(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    """(N, K) probabilities of all classes, two of one sigmoid unit."""
    kind = known_output_kind(model)
    given = []
    for start in range(0, len(inputs), _BATCH):
        with untouched():
            given.append(to_numpy(model(as_inputs(model, inputs[start : start + _BATCH]), training=False)))
    outputs = np.concatenate(given).astype(np.float64)
    return np.asarray(class_probabilities(tf.constant(outputs), kind))


def plot_decision_regions(
    regions: DecisionRegions,
    *,
    labels: Any = None,
    class_names: Sequence[str] | None = None,
    boundaries: bool = False,
    title: str = "",
) -> Figure:
    """Each class in its colour, paler where it is less sure; the examples on top, small images where they are images.

    Args:
        regions: what `decision_regions` or `decision_plane` gives.
        labels: (N,) true classes of its points, which colour them.
        class_names: one name a class; by default their numbers.
        boundaries: whether there are lines where the decision changes; those of linear logits are straight.
        title: what is above.

    Raises:
        UsageError: labels that are not one class a point, or another number of names than of classes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from zoo.drawing import INK, finish_axes

    count = regions.probabilities.shape[-1]
    _check_classes(labels, len(regions.points), class_names, count)
    colours = mpl.colormaps["tab10" if count <= 10 else "gist_ncar"](np.linspace(0, 0.99, max(count, 10)))[:, :3]
    sure = regions.probabilities.max(axis=-1)
    strength = 0.15 + 0.55 * np.clip((sure - 1 / count) / (1 - 1 / count), 0, 1)[..., np.newaxis]
    figure = Figure(figsize=(6.6, 4.8), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    extent = (regions.x[0], regions.x[-1], regions.y[0], regions.y[-1])
    mixed = strength * colours[regions.classes] + 1 - strength
    axes.imshow(mixed, origin="lower", extent=extent, aspect="auto", interpolation="nearest")
    if boundaries:
        _draw_boundaries(axes, regions)
    names = list(class_names) if class_names is not None else [str(k) for k in range(count)]
    found = np.unique(regions.classes if labels is None else np.append(regions.classes.ravel(), labels))
    places = regions.points
    if regions.examples is not None:
        _show_examples(axes, regions.examples)
        axes.plot(places[:, 0], places[:, 1], "+", color=INK, markersize=7)
    elif len(places):
        fill = INK if labels is None else colours[np.asarray(labels, int)]
        axes.scatter(places[:, 0], places[:, 1], s=14, c=fill, edgecolors="white", linewidths=0.4)
    for k in found:
        axes.scatter([], [], marker="s", s=40, color=colours[k], alpha=0.7, label=names[k])
    axes.set(xlim=extent[:2], ylim=extent[2:])
    plane = regions.examples is not None
    finish_axes(
        axes, "u: from the first to the second example" if plane else "x1", "v: to the third" if plane else "x2"
    )
    axes.grid(visible=False)
    axes.legend(title="class", loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize="small")
    axes.set_title(title or "predicted class, paler where less sure", color=INK, fontsize=10)
    return figure


def _draw_boundaries(axes: Axes, regions: DecisionRegions) -> None:
    """Lines along which the log-probability of a class equals the next one's: that of linear logits is linear, as contours are."""
    from zoo.drawing import INK

    logs = np.log(np.maximum(regions.probabilities, np.finfo(np.float64).tiny))
    first, second = np.sort(logs, axis=-1)[..., -1], np.sort(logs, axis=-1)[..., -2]
    present = np.unique(regions.classes)
    for k in present if len(present) > 1 else ():
        lead = np.where(regions.classes == k, first - second, logs[..., k] - first)
        axes.contour(regions.x, regions.y, lead, levels=[0], colors=INK, linewidths=1.2)


def _check_classes(labels: Any, points: int, class_names: Sequence[str] | None, count: int) -> None:
    known = np.arange(count)
    if labels is not None and (np.shape(labels) != (points,) or not np.isin(labels, known).all()):
        raise UsageError(f"labels must be {points} classes from 0 to {count - 1}. Received: labels={labels!r}")
    if class_names is not None and len(class_names) != count:
        raise UsageError(f"give a name to each of {count} classes. Received: class_names={class_names!r}")


def _show_examples(axes: Axes, examples: np.ndarray) -> None:
    """Thumbnails outside of the corners of the triangle."""
    if examples.ndim != 4 or examples.shape[-1] not in (1, 3):
        return
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for (u, v), shift, image in zip([(0, 0), (1, 0), (0, 1)], [(-1, -1), (1, -1), (-1, 1)], examples, strict=True):
        x, y = (u - left) / (right - left), (v - bottom) / (top - bottom)
        place = (x + 0.10 * shift[0] - 0.08, y + 0.11 * shift[1] - 0.09, 0.16, 0.18)
        show_image(axes.inset_axes(place), image)
