"""Gradient descent, as the textbook writes it and as Keras's SGD does."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zoo.reference.losses import FloatArray


class DescentPath(NamedTuple):
    """Where a descent went, in T steps.

    Attributes:
        weights: w₀ … w_T, shape (T + 1, *shape of the weights). The start comes first.
        losses: E(w₀) … E(w_T), shape (T + 1,).
    """

    weights: FloatArray
    losses: FloatArray


def gradient_descent(
    loss_and_gradient: Callable[[FloatArray], tuple[float, FloatArray]],
    weights: npt.ArrayLike,
    *,
    learning_rate: float,
    epochs: int,
    tolerance: float | None = None,
) -> DescentPath:
    """Full-batch descent, w ← w - η ∂E/∂w, once per epoch.

    Args:
        loss_and_gradient: w -> E(w) and ∂E/∂w, e.g. `DenseNetwork.loss_and_gradient(inputs, labels)`.
        weights: the start w₀, of any shape.
        learning_rate: η, above 0.
        epochs: the greatest number of steps.
        tolerance: stop after the first step that changes the loss by less. None takes every step.

    Returns:
        Every point and its loss, the start included.

    Raises:
        ValueError: when an option is out of range, or the gradient has not the shape of the weights.

    Example:
        >>> gradient_descent(lambda w: (w @ w, 2 * w), [8.0], learning_rate=0.25, epochs=2).weights.ravel()
        array([8., 4., 2.])
    """
    _check_options(learning_rate, epochs=epochs, tolerance=tolerance)
    path = [np.array(weights, dtype=np.float64)]
    loss, gradient = loss_and_gradient(path[0])
    losses = [loss]
    for _ in range(epochs):
        _check_same_shape(path[-1], gradient=gradient)
        path.append(path[-1] - learning_rate * gradient)
        loss, gradient = loss_and_gradient(path[-1])
        losses.append(loss)
        if tolerance is not None and abs(losses[-1] - losses[-2]) < tolerance:
            break
    return DescentPath(np.stack(path), np.array(losses, dtype=np.float64))


def momentum_step(
    weights: npt.ArrayLike,
    velocity: npt.ArrayLike,
    gradient: npt.ArrayLike,
    *,
    learning_rate: float,
    momentum: float,
) -> tuple[FloatArray, FloatArray]:
    """One step with momentum: v ← μ v - η g, then w ← w + v. Source: `keras.optimizers.SGD`, `nesterov=False`.

    Args:
        weights: w, of any shape.
        velocity: v, of the same shape; zeros before the first step.
        gradient: g = ∂E/∂w, of the same shape.
        learning_rate: η, above 0.
        momentum: μ in [0, 1]; 0 is plain gradient descent.

    Returns:
        The new weights and the new velocity.

    Raises:
        ValueError: when an option is out of range or the shapes differ.
    """
    _check_options(learning_rate, momentum=momentum)
    w, v, g = (np.asarray(array, dtype=np.float64) for array in (weights, velocity, gradient))
    _check_same_shape(w, velocity=v, gradient=g)
    v = momentum * v - learning_rate * g
    return w + v, v


def _check_options(
    learning_rate: float, *, epochs: int = 0, tolerance: float | None = None, momentum: float = 0.0
) -> None:
    # Each condition is written so that NaN fails too.
    if not learning_rate > 0:
        raise ValueError(f"The learning rate must be above 0. Received: learning_rate={learning_rate}")
    if not epochs >= 0:
        raise ValueError(f"The number of epochs must be at least 0. Received: epochs={epochs}")
    if tolerance is not None and not tolerance > 0:
        raise ValueError(f"The tolerance must be above 0, or None. Received: tolerance={tolerance}")
    if not 0 <= momentum <= 1:
        raise ValueError(f"The momentum must lie in [0, 1]. Received: momentum={momentum}")


def _check_same_shape(weights: FloatArray, **others: FloatArray) -> None:
    """Left alone, NumPy would broadcast (n,) - (n, 1) to (n, n) in silence."""
    for name, array in others.items():
        if np.shape(array) != weights.shape:
            raise ValueError(
                f"The {name} must have the shape of the weights. "
                f"Received: weights={weights.shape}, {name}={np.shape(array)}"
            )
