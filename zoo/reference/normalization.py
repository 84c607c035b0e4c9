"""Batch normalisation and local response normalisation, each followed by its gradient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from zoo.reference.losses import FloatArray


class Statistics(NamedTuple):
    """Mean and variance of each channel, shapes (C,)."""

    mean: FloatArray
    variance: FloatArray


class BatchNormalizationGradient(NamedTuple):
    """∂E/∂x, ∂E/∂γ and ∂E/∂β of a batch normalisation, in the shapes of x, γ and β."""

    inputs: FloatArray
    gamma: FloatArray
    beta: FloatArray


def batch_statistics(inputs: npt.ArrayLike) -> Statistics:
    """μ_c and v_c = mean (x - μ)² over all axes but the last; the variance divides by the count m, not by m - 1.

    Args:
        inputs: x, shape (..., C).

    Raises:
        ValueError: when there is no example to take the mean of.

    Examples:
        >>> batch_statistics([[1.0, 5.0], [3.0, 5.0]])
        Statistics(mean=array([2., 5.]), variance=array([1., 0.]))
    """
    x = np.asarray(inputs, dtype=np.float64)
    if x.ndim < 2 or not x.size:
        raise ValueError(f"Inputs must be (N, ..., C), with N of 1 or more. Received: inputs={x.shape}")
    axes = tuple(range(x.ndim - 1))
    return Statistics(x.mean(axis=axes), x.var(axis=axes))


def moving_statistics(moving: Statistics, batch: Statistics, momentum: float = 0.99) -> Statistics:
    """Moving averages: m ← momentum·m + (1 - momentum)·batch, for mean and variance. Source: `keras.layers.BatchNormalization`.

    PyTorch's momentum is 1 minus this one, and its moving variance takes the batch's with m - 1 in place of m.

    Args:
        moving: the moving averages so far; Keras starts with mean 0 and variance 1.
        batch: the batch's own statistics.
        momentum: how much of the old stays, in [0, 1].

    Raises:
        ValueError: when the momentum is out of range.
    """
    if not 0 <= momentum <= 1:
        raise ValueError(f"The momentum must lie in [0, 1]. Received: momentum={momentum}")
    mean, variance = (momentum * old + (1.0 - momentum) * new for old, new in zip(moving, batch, strict=True))
    return Statistics(mean, variance)


def batch_normalization(
    inputs: npt.ArrayLike,
    gamma: npt.ArrayLike,
    beta: npt.ArrayLike,
    *,
    statistics: Statistics | None = None,
    epsilon: float = 1e-3,
) -> FloatArray:
    """For each channel y = γ x̂ + β with x̂ = (x - μ) / √(v + ε).

    Source: Ioffe & Szegedy, Batch normalization, 2015, algorithm 1.

    Args:
        inputs: x, shape (N, ..., C).
        gamma: γ, shape (C,).
        beta: β, shape (C,).
        statistics: μ and v for inference, the moving averages. None for training: those of the inputs themselves.
        epsilon: ε, which keeps a constant channel from a division by 0.

    Returns:
        y, in the shape of x.

    Raises:
        ValueError: when γ or β has not the shape (C,), or inputs in training are empty.

    Examples:
        >>> batch_normalization([[1.0], [3.0]], [2.0], [5.0], epsilon=0.0).ravel()
        array([3., 7.])
    """
    x, g, b = _channels(inputs, gamma, beta)
    return g * _normalized(x, statistics or batch_statistics(x), epsilon) + b


def batch_normalization_gradient(
    inputs: npt.ArrayLike,
    gamma: npt.ArrayLike,
    delta: npt.ArrayLike,
    *,
    statistics: Statistics | None = None,
    epsilon: float = 1e-3,
) -> BatchNormalizationGradient:
    """The backward pass of `batch_normalization`, from δ = ∂E/∂y; ⟨·⟩ is the mean over all axes but the last.

    ∂E/∂β = Σ δ and ∂E/∂γ = Σ δ x̂. In training μ and v depend on x too: ∂E/∂x = γ (δ - ⟨δ⟩ - x̂ ⟨δ x̂⟩) / √(v + ε), so that no
    common shift of a channel counts. In inference they are constants: ∂E/∂x = γ δ / √(v + ε).
    Source: Ioffe & Szegedy, Batch normalization, 2015, section 3, with its six equations put into one.

    Args:
        inputs: x, shape (N, ..., C).
        gamma: γ, shape (C,).
        delta: δ, in the shape of x.
        statistics: as for `batch_normalization`.
        epsilon: as for `batch_normalization`.

    Raises:
        ValueError: as for `batch_normalization`, and when δ has not the shape of x.
    """
    x, g, _ = _channels(inputs, gamma, gamma)
    d = _delta(delta, x)
    axes, used = tuple(range(x.ndim - 1)), statistics or batch_statistics(x)
    normalized = _normalized(x, used, epsilon)
    to_normalized = d
    if statistics is None:
        to_normalized = d - d.mean(axis=axes) - normalized * (d * normalized).mean(axis=axes)
    to_inputs = g * to_normalized / np.sqrt(used.variance + epsilon)
    return BatchNormalizationGradient(to_inputs, (d * normalized).sum(axis=axes), d.sum(axis=axes))


def local_response_normalization(
    inputs: npt.ArrayLike, *, radius: int = 2, alpha: float = 2e-5, beta: float = 0.75, bias: float = 1.0
) -> FloatArray:
    """y_c = x_c / (k + α Σ_j x_j²)^β, where j runs over the channels from c - radius to c + radius that exist.

    Source: Krizhevsky, Sutskever & Hinton, ImageNet classification with deep convolutional neural networks, 2012, section
    3.3. Caffe and PyTorch write α / (2 radius + 1) for α: their 1e-4 is 2e-5 here.

    Args:
        inputs: x, shape (..., C).
        radius: channels on each side, 0 or more.
        alpha: α, weight of the sum.
        beta: β, the exponent.
        bias: k, what the sum is added to.

    Returns:
        y, shape (..., C).

    Raises:
        ValueError: when the radius is below 0 or the inputs are one number.

    Examples:
        >>> local_response_normalization([3.0, 4.0, 0.0], radius=1, alpha=1.0, beta=0.5, bias=0.0)
        array([0.6, 0.8, 0. ])
    """
    x = np.asarray(inputs, dtype=np.float64)
    return x / (bias + alpha * _sum_of_neighbours(x**2, radius)) ** beta


def local_response_normalization_gradient(
    inputs: npt.ArrayLike,
    delta: npt.ArrayLike,
    *,
    radius: int = 2,
    alpha: float = 2e-5,
    beta: float = 0.75,
    bias: float = 1.0,
) -> FloatArray:
    """The backward pass of `local_response_normalization`, from δ = ∂E/∂y.

    With D_c = k + α Σ_j x_j², ∂E/∂x_c = δ_c D_c^-β - 2αβ x_c Σ_j δ_j x_j D_j^(-β-1), where j runs over the same channels: c is a
    neighbour of j when j is one of c.

    Args:
        inputs: x, shape (..., C).
        delta: δ, in the shape of x.
        radius: as for `local_response_normalization`.
        alpha: as for `local_response_normalization`.
        beta: as for `local_response_normalization`.
        bias: as for `local_response_normalization`.

    Returns:
        ∂E/∂x, shape (..., C).

    Raises:
        ValueError: as for `local_response_normalization`, and when δ has not the shape of x.
    """
    x = np.asarray(inputs, dtype=np.float64)
    d = _delta(delta, x)
    energy = bias + alpha * _sum_of_neighbours(x**2, radius)
    through_energy = _sum_of_neighbours(d * x * energy ** (-beta - 1.0), radius)
    return d * energy**-beta - 2.0 * alpha * beta * x * through_energy


def _sum_of_neighbours(x: FloatArray, radius: int) -> FloatArray:
    """Σ_j x_j over the channels at a distance of `radius` or less, for each channel."""
    if radius < 0 or not x.ndim:
        raise ValueError(
            f"The radius must be 0 or more, the inputs (..., C). Received: radius={radius}, inputs={x.shape}"
        )
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(radius, radius)])
    sums: FloatArray = sliding_window_view(padded, 2 * radius + 1, axis=-1).sum(axis=-1)
    return sums


def _normalized(x: FloatArray, statistics: Statistics, epsilon: float) -> FloatArray:
    return (x - statistics.mean) / np.sqrt(statistics.variance + epsilon)


def _channels(
    inputs: npt.ArrayLike, gamma: npt.ArrayLike, beta: npt.ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    x, g, b = (np.asarray(array, dtype=np.float64) for array in (inputs, gamma, beta))
    if not g.shape == b.shape == x.shape[-1:]:
        raise ValueError(
            f"γ and β must have an entry for each channel. Received: inputs={x.shape}, gamma={g.shape}, beta={b.shape}"
        )
    return x, g, b


def _delta(delta: npt.ArrayLike, x: FloatArray) -> FloatArray:
    d = np.asarray(delta, dtype=np.float64)
    if d.shape != x.shape:
        raise ValueError(f"δ must have the shape of the inputs. Received: inputs={x.shape}, delta={d.shape}")
    return d
