"""Networks that compute the same, networks that pass through given points, and where softmax changes its mind."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zoo.reference.losses import FloatArray, softmax
from zoo.reference.networks import DenseNetwork


def tanh_network(network: DenseNetwork) -> DenseNetwork:
    """The same function with tanh in place of every hidden sigmoid, from σ(z) = ½ + ½ tanh(z/2).

    With one hidden layer: W¹/2, b¹/2, W²/2 and b² + ½ Σ_i W²_i, the sum over the hidden units. Deeper networks have this
    done at each sigmoid; the output's activation stays. Source: Bishop, Pattern Recognition and Machine Learning,
    exercise 5.1.

    Args:
        network: any; without a hidden sigmoid, it comes back as it is.

    Examples:
        >>> network = DenseNetwork([[[4.0]], [[2.0]]], [[0.0], [1.0]], ["sigmoid", "identity"])
        >>> [array.item() for array in (*tanh_network(network).kernels, *tanh_network(network).biases)]
        [2.0, 1.0, 0.0, 2.0]
    """
    kernels, biases, activations = list(network.kernels), list(network.biases), list(network.activations)
    for i, name in enumerate(activations[:-1]):
        if name == "sigmoid":
            biases[i + 1] = biases[i + 1] + 0.5 * kernels[i + 1].sum(axis=0)
            kernels[i], biases[i], kernels[i + 1] = kernels[i] / 2.0, biases[i] / 2.0, kernels[i + 1] / 2.0
            activations[i] = "tanh"
    return DenseNetwork(kernels, biases, activations)


# Softmax knows differences only: adding a number to all logits changes nothing, so one class can have the logit 0.


def reduce_softmax(kernel: npt.ArrayLike, bias: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The K - 1 columns w_k - w_K, b_k - b_K, which give `reduced_softmax` what K columns give softmax.

    Args:
        kernel: W, shape (features, K).
        bias: b, shape (K,).

    Returns:
        Shapes (features, K - 1) and (K - 1,).

    Raises:
        ValueError: when the shapes do not fit, or K is below 2.
    """
    w, b = _linear(kernel, bias)
    return w[:, :-1] - w[:, -1:], b[:-1] - b[-1]


def reduced_softmax(logits: npt.ArrayLike) -> FloatArray:
    """p_k = exp(z_k) / (1 + Σ_j exp(z_j)) for k < K, p_K = 1 / (1 + Σ_j exp(z_j)): softmax with z_K = 0.

    Args:
        logits: z_1 … z_{K-1}, shape (..., K - 1).

    Returns:
        Probabilities, shape (..., K).
    """
    z = np.asarray(logits, dtype=np.float64)
    return softmax(np.concatenate([z, np.zeros((*z.shape[:-1], 1))], axis=-1))


def sigmoid_from_softmax(network: DenseNetwork) -> DenseNetwork:
    """A softmax network with two classes as one with a sigmoid: p_1 = σ(z_1 - z_0), classes counted from 0.

    Losses agree too: both networks then have the same cross entropy for the same labels.

    Raises:
        ValueError: when the network does not end in a softmax of two classes.
    """
    if network.activations[-1] != "softmax" or network.kernels[-1].shape[1] != 2:
        raise ValueError(
            "The network must end in a softmax of two classes. "
            f"Received: activations={network.activations}, units={network.kernels[-1].shape[1]}"
        )
    kernel, bias = reduce_softmax(network.kernels[-1][:, ::-1], network.biases[-1][::-1])
    return DenseNetwork(
        [*network.kernels[:-1], kernel], [*network.biases[:-1], bias], [*network.activations[:-1], "sigmoid"]
    )


class Boundary(NamedTuple):
    """Where two classes tie and no third is above them: point + t · direction for low <= t <= high.

    Attributes:
        classes: the two, in ascending order.
        point: the line's point next to the origin, shape (2,).
        direction: of length 1, shape (2,).
        low: smallest t, -inf for none.
        high: largest t, inf for none. A ray has one finite end, a whole line none.
    """

    classes: tuple[int, int]
    point: FloatArray
    direction: FloatArray
    low: float
    high: float

    def at(self, t: npt.ArrayLike) -> FloatArray:
        """The points at t, shape (*t.shape, 2)."""
        return self.point + np.asarray(t, dtype=np.float64)[..., None] * self.direction

    @property
    def ends(self) -> FloatArray:
        """The finite ends, shape (0, 1 or 2, 2): there a third class ties too."""
        return self.at([t for t in (self.low, self.high) if np.isfinite(t)])


def region_boundaries(kernel: npt.ArrayLike, bias: npt.ArrayLike) -> tuple[Boundary, ...]:
    """The boundaries of the regions in which each of K linear activations a = x W + b of the plane is the largest.

    Args:
        kernel: W, shape (2, K).
        bias: b, shape (K,).

    Returns:
        One for each pair of classes that are neighbours along more than 1e-9. Softmax gives the two the same probability
        along it, and three that meet at an end 1/3 each there.

    Raises:
        ValueError: when the shapes do not fit, or K is below 2.

    Examples:
        >>> rays = region_boundaries([[3, 1, -3], [1, 3, 1.5]], [1, 2, 2])  # 3x+y+1, x+3y+2, -3x+1.5y+2
        >>> [ray.classes for ray in rays], np.allclose([ray.ends for ray in rays], [[3 / 22, -4 / 11]])
        ([(0, 1), (0, 2), (1, 2)], True)
    """
    w, b = _linear(kernel, bias)
    if len(w) != 2:
        raise ValueError(f"The plane has two coordinates: a kernel (2, K). Received: kernel={w.shape}")
    boundaries = []
    for j, k in combinations(range(len(b)), 2):
        normal, length = w[:, j] - w[:, k], float(np.linalg.norm(w[:, j] - w[:, k]))
        if not length:
            continue  # parallel activations tie nowhere, or everywhere
        point, direction = -(b[j] - b[k]) * normal / length**2, np.array([-normal[1], normal[0]]) / length
        # Ahead of class m where slope · t + margin >= 0.
        others = [m for m in range(len(b)) if m not in (j, k)]
        slopes, margins = direction @ (w[:, [j]] - w[:, others]), point @ (w[:, [j]] - w[:, others]) + b[j] - b[others]
        slopes[np.abs(slopes) <= 1e-12 * np.abs(w).max()] = 0.0  # parallel, but for rounding
        low = max((-m / s for s, m in zip(slopes, margins, strict=True) if s > 0), default=-np.inf)
        high = min((-m / s for s, m in zip(slopes, margins, strict=True) if s < 0), default=np.inf)
        rounding = 1e-12 * (np.abs(w).max() * (1.0 + np.abs(point).max()) + np.abs(b).max())
        if high - low > 1e-9 and all(margins[slopes == 0] >= -rounding):  # a third class may tie along all of it
            boundaries.append(Boundary((j, k), point, direction, float(low), float(high)))
    return tuple(boundaries)


# Two layers pass through any N points.


def interpolating_network(
    inputs: npt.ArrayLike, targets: npt.ArrayLike, *, activation: str = "relu", steepness: float = 40.0, seed: int = 0
) -> DenseNetwork:
    """N hidden units and a linear output that take N given values at N given points.

    All points are projected onto one direction, where they are z_1 < … < z_N. Hidden unit j starts between z_{j-1} and z_j,
    so that the hidden activations of the sorted points form a lower triangular matrix M (a sigmoid's is so for λ → ∞), and
    the output's weights c solve M c = y.

    - "relu": M_ij = max(z_i - z_{j-1}, 0), with z_0 = 2 z_1 - z_N. In one dimension it is the polyline through the points.
    - "sigmoid": M_ij = σ(λ (z_i - m_j)), where m_j is the middle of z_{j-1} and z_j: a staircase.

    Source: Zhang et al., Understanding deep learning requires rethinking generalization, 2017, theorem 1.

    Args:
        inputs: x, shape (N, features); no two alike.
        targets: y, shape (N,) or (N, outputs).
        activation: "relu" or "sigmoid".
        steepness: λ times the smallest gap of the z's, above 0. From about 80 on, M is triangular to the last digit.
        seed: of the directions that are tried when there are several features. The one with the largest gaps is taken.

    Returns:
        A network with the kernels (features, N) and (N, outputs).

    Raises:
        ValueError: when two points are alike, the shapes do not fit, or an option is out of range.

    Examples:
        >>> network = interpolating_network([[0.0], [1.0], [3.0]], [5.0, 7.0, 1.0])
        >>> network.forward([[0.0], [1.0], [2.0], [3.0]]).predictions.ravel().round(12)
        array([5., 7., 4., 1.])
    """
    x, y = np.asarray(inputs, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if x.ndim != 2 or not x.size or y.ndim not in (1, 2) or len(y) != len(x):
        raise ValueError(
            "Inputs must be (N, features) and targets (N,) or (N, outputs). "
            f"Received: inputs={x.shape}, targets={y.shape}"
        )
    if activation not in ("relu", "sigmoid") or not steepness > 0:
        raise ValueError(
            'The activation must be "relu" or "sigmoid", the steepness above 0. '
            f"Received: activation={activation!r}, steepness={steepness}"
        )
    direction, y = _separating_direction(x, seed), y.reshape(len(y), -1)
    z = np.sort(x @ direction)
    before = np.concatenate([[2.0 * z[0] - z[-1] if len(z) > 1 else z[0] - 1.0], z[:-1]])
    starts, slope = before, 1.0
    if activation == "sigmoid":
        starts, slope = (before + z) / 2.0, steepness / float(np.diff(z).min() if len(z) > 1 else 1.0)
    kernel, bias = slope * np.outer(direction, np.ones(len(z))), -slope * starts
    network = DenseNetwork([kernel, np.zeros_like(y)], [bias, np.zeros(y.shape[1])], [activation, "identity"])
    matrix = network.forward(x).outputs[2]
    return DenseNetwork([kernel, np.linalg.solve(matrix, y)], network.biases, network.activations)


def _separating_direction(x: FloatArray, seed: int) -> FloatArray:
    """The best of 100 directions of length 1: the smallest gap of the projected points is largest."""
    features = x.shape[1]
    if len(np.unique(x, axis=0)) < len(x):
        raise ValueError(f"No two points may be alike. Received: inputs={x}")
    if features == 1 or len(x) == 1:
        axis: FloatArray = np.eye(features)[0]
        return axis
    directions = np.random.default_rng(seed).normal(size=(100, features))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    gaps = np.diff(np.sort(x @ directions.T, axis=0), axis=0).min(axis=0)
    best: FloatArray = directions[gaps.argmax()]
    return best


def _linear(kernel: npt.ArrayLike, bias: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    w, b = np.asarray(kernel, dtype=np.float64), np.asarray(bias, dtype=np.float64)
    if w.ndim != 2 or w.shape[1] < 2 or b.shape != w.shape[1:]:
        raise ValueError(f"A kernel (features, K >= 2) and a bias (K,). Received: kernel={w.shape}, bias={b.shape}")
    return w, b
