"""The way that an optimizer takes: of a separator in the plane, and of many weights in a projection."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import UsageError, check_count
from zoo.inspection.calling import Loss, as_inputs, loss_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARGIN = 0.25  # of the path's extent, around it


@dataclasses.dataclass(frozen=True)
class OptimizerPath:
    """A path in two coordinates, and the loss around it.

    Attributes:
        points: (T, 2) the path.
        axes: names of the two coordinates.
        explained: (2,) share of the path's variance along each coordinate; NaN where it is no projection.
        x: (W,) coordinates of the losses, or `None` without data.
        y: (H,) the same.
        losses: (H, W) loss on the plane, or `None`.
        directions: (2, P) orthonormal directions of a projection, or `None`.
        origin: (P,) weights at (0, 0), which are the last of the path, or `None`.
    """

    points: np.ndarray
    axes: tuple[str, str]
    explained: np.ndarray
    x: np.ndarray | None = None
    y: np.ndarray | None = None
    losses: np.ndarray | None = None
    directions: np.ndarray | None = None
    origin: np.ndarray | None = None


def separator_path(weights: Any) -> OptimizerPath:
    """The separator x2 = slope·x1 + intercept of a logistic regression in the plane: slope -w1/w2, intercept -b/w2.

    Args:
        weights: (T, 3) weights (w1, w2, b) by time: `WeightRecorder.weights` of a `logistic` model with two inputs.

    Raises:
        UsageError: another shape. Where w2 is 0 the separator is vertical, and its point is infinite or NaN.
    """
    array = np.asarray(weights, np.float64)
    if array.ndim != 2 or array.shape[1] != 3:
        raise UsageError(f"a separator in the plane has weights (T, 3): w1, w2, b. Received: shape {array.shape}")
    with np.errstate(divide="ignore", invalid="ignore"):
        points = -array[:, [0, 2]] / array[:, [1]]
    return OptimizerPath(points, ("slope  -w1/w2", "intercept  -b/w2"), np.full(2, np.nan))


def optimizer_path(
    weights: Any,
    *,
    model: keras.Model | None = None,
    inputs: Any = None,
    labels: Any = None,
    loss: Loss | None = None,
    resolution: int = 25,
) -> OptimizerPath:
    """The path of the weights in the plane through its end along its two principal directions (Li et al., 2018, section 7).

    With two weights, these are the coordinates themselves. With data, the loss on the plane is given too; the model, which
    is only read for that, keeps its weights, and its other state (moving statistics) is that of now.

    Args:
        weights: (T, P) weights by time, T >= 2: `WeightRecorder.weights`.
        model: the model whose trainable weights these are; with `inputs` and `labels`, for the loss on the plane.
        inputs: (N, ...) examples, as the model takes them.
        labels: (N,) class indices, or what `loss` takes.
        loss: function of (labels, outputs); by default the cross entropy. Penalties are added.
        resolution: points in each direction, 2 or more, each of which costs one pass over the inputs.

    Raises:
        UsageError: fewer than two points or weights, weights that are not the model's, or a resolution below 2.
        DataError: labels that are no classes of the model.
    """
    check_count("resolution", resolution, least=2)
    array = np.asarray(weights, np.float64)
    if array.ndim != 2 or len(array) < 2 or array.shape[1] < 2 or not np.isfinite(array).all():
        raise UsageError(f"a path is (T, P) finite weights, T and P 2 or more. Received: shape {array.shape}")
    count = array.shape[1]
    if count == 2:
        origin, directions, names = np.zeros(2), np.eye(2), ("first weight", "second weight")
        explained = np.full(2, np.nan)
    else:
        origin = array[-1]
        singular, directions = np.linalg.svd(array - origin, full_matrices=False)[1:]
        if len(directions) < 2 or singular[1] == 0:
            directions = _completed(directions[0])
        directions = directions[:2]
        shares = np.append(singular, 0.0)[:2] ** 2 / (np.sum(singular**2) or 1.0)
        first, second = (f"principal direction {k} ({100 * s:.0f} %)" for k, s in enumerate(shares, 1))
        explained, names = shares, (first, second)
    path = OptimizerPath((array - origin) @ directions.T, names, explained, None, None, None, directions, origin)
    if model is None:
        return path
    x, y = (_around(path.points[:, k], resolution) for k in range(2))
    losses = _losses(model, as_inputs(model, inputs), labels, loss, path, x, y)
    return dataclasses.replace(path, x=x, y=y, losses=losses)


def _completed(direction: np.ndarray) -> np.ndarray:
    """A second direction for a path on a line."""
    other = np.zeros_like(direction)
    other[np.argmin(np.abs(direction))] = 1.0
    other -= (other @ direction) * direction
    return np.array([direction, other / np.linalg.norm(other)])


def _around(values: np.ndarray, resolution: int) -> np.ndarray:
    low, high = values.min(), values.max()
    margin = _MARGIN * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, resolution)


def _losses(
    model: keras.Model, inputs: Any, labels: Any, loss: Loss | None, path: OptimizerPath, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    variables = model.trainable_variables
    sizes = [int(np.prod(v.shape)) for v in variables]
    assert path.origin is not None
    assert path.directions is not None
    if sum(sizes) != len(path.origin):
        raise UsageError(
            f"{model.name!r} has {sum(sizes)} trainable weights. Received: a path of {len(path.origin)} weights"
        )

    @tf.function(autograph=False)
    def at(flat: tf.Tensor) -> tf.Tensor:
        parts = tf.split(flat, sizes)
        pairs = [(v, tf.cast(tf.reshape(p, v.shape), v.dtype)) for v, p in zip(variables, parts, strict=True)]
        return loss_of(model, inputs, labels, loss=loss, values=pairs)

    losses = np.empty((len(y), len(x)))
    for i, j in np.ndindex(losses.shape):
        losses[i, j] = float(at(tf.constant(path.origin + x[j] * path.directions[0] + y[i] * path.directions[1])))
    return losses


def plot_optimizer_path(path: OptimizerPath, *, title: str = "") -> Figure:
    """The path from its start to its end, over the contours of the loss where it is known.

    Raises:
        UsageError: no point of the path is finite.
    """
    from matplotlib.figure import Figure

    from zoo.drawing import BEST, INK, VALIDATION, finish_axes

    shown = path.points[np.isfinite(path.points).all(axis=1)]
    if not len(shown):
        raise UsageError(f"a path needs a finite point. Received: {len(path.points)} points, none of them finite")
    figure = Figure(figsize=(6.2, 4.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    if path.losses is not None:
        assert path.x is not None
        assert path.y is not None
        drawn = axes.contourf(path.x, path.y, path.losses, levels=20, cmap="Blues")
        axes.contour(path.x, path.y, path.losses, levels=20, colors=INK, linewidths=0.3, alpha=0.5)
        figure.colorbar(drawn, ax=axes, label="loss")
    axes.plot(shown[:, 0], shown[:, 1], "-", color=VALIDATION, marker=".", markersize=3, linewidth=1.2, label="path")
    axes.plot(*shown[0], "o", color=INK, markersize=6, label="start")
    axes.plot(*shown[-1], "*", color=BEST, markersize=12, label="end")
    axes.set_title(title or f"the optimizer's path, {len(path.points)} points", color=INK, fontsize=10)
    finish_axes(axes, *path.axes)
    axes.legend(frameon=path.losses is not None, facecolor="white", fontsize="small", labelcolor=INK)
    return figure
