"""Activations, their derivatives, Jacobians and products with them; derivatives of what has none, by quadrature.

`sigmoid`, `softmax` and `log_softmax` stand in `losses.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from zoo.reference.losses import FloatArray, sigmoid, softmax


def sigmoid_derivative(logits: npt.ArrayLike) -> FloatArray:
    """σ'(z) = σ(z) σ(-z), elementwise: at most 1/4, at 0. As σ (1 - σ) it would round to 0 from z = 37 on."""
    z = np.asarray(logits, dtype=np.float64)
    return sigmoid(z) * sigmoid(-z)


def tanh_derivative(values: npt.ArrayLike) -> FloatArray:
    """tanh'(x) = 1 - tanh(x)² = 4 σ'(2x), elementwise: at most 1, at 0."""
    return 4.0 * sigmoid_derivative(2.0 * np.asarray(values, dtype=np.float64))


def relu(values: npt.ArrayLike) -> FloatArray:
    """max(x, 0), elementwise. It is x H(x), and the integral of H from any point below 0 up to x."""
    return np.maximum(np.asarray(values, dtype=np.float64), 0.0)


def relu_derivative(values: npt.ArrayLike) -> FloatArray:
    """H(x) with H(0) = 0, the slope that Keras gives to the kink."""
    return heaviside(values, at_zero=0.0)


def heaviside(values: npt.ArrayLike, *, at_zero: float = 0.5) -> FloatArray:
    """H(x) = 0 below zero and 1 above, elementwise: the limit of σ(kx) for k → ∞, which has H(0) = ½.

    Args:
        values: x, of any shape.
        at_zero: H(0).
    """
    return np.heaviside(np.asarray(values, dtype=np.float64), at_zero)


# Softmax. For K outputs a Jacobian has K² entries, and its product with a vector needs none of them.


def softmax_jacobian(logits: npt.ArrayLike) -> FloatArray:
    """J_ij = ∂p_i/∂z_j = p_i ([i = j] - p_j), or diag(p) - p pᵀ: symmetric, and its rows sum to 0.

    Source: Bishop, Pattern Recognition and Machine Learning, eq. 4.106.

    Args:
        logits: z, shape (..., K).

    Returns:
        J, shape (..., K, K).

    Examples:
        >>> softmax_jacobian([0.0, 0.0])
        array([[ 0.25, -0.25],
               [-0.25,  0.25]])
    """
    p = softmax(logits)
    return p[..., :, None] * (np.eye(p.shape[-1]) - p[..., None, :])


def softmax_vjp(logits: npt.ArrayLike, vector: npt.ArrayLike) -> FloatArray:
    """Jᵀ v = p ∘ (v - p·v) for the Jacobian of softmax: K multiplications instead of K².

    Args:
        logits: z, shape (..., K).
        vector: v = ∂E/∂p, shape (..., K).

    Returns:
        ∂E/∂z, shape (..., K).

    Raises:
        ValueError: when the shapes differ.
    """
    p, v = _same_shape(softmax(logits), vector)
    product: FloatArray = p * (v - (p * v).sum(axis=-1, keepdims=True))
    return product


def log_softmax_jacobian(logits: npt.ArrayLike) -> FloatArray:
    """J_ij = ∂ log p_i / ∂z_j = [i = j] - p_j, of shape (..., K, K) for logits of shape (..., K)."""
    p = softmax(logits)
    return np.eye(p.shape[-1]) - p[..., None, :]


def log_softmax_vjp(logits: npt.ArrayLike, vector: npt.ArrayLike) -> FloatArray:
    """Jᵀ v = v - p Σ_k v_k for the Jacobian of log softmax. With v = -y, one-hot, it is the p - y of the cross entropy.

    Arguments, result and errors as for `softmax_vjp`, with v = ∂E/∂log p.
    """
    p, v = _same_shape(softmax(logits), vector)
    product: FloatArray = v - p * v.sum(axis=-1, keepdims=True)
    return product


def softmax_limit(logits: npt.ArrayLike) -> FloatArray:
    """The limit of softmax(k z) for k → ∞: the largest logits share the probability. For k → 0 all K get 1/K.

    Examples:
        >>> softmax_limit([3.0, 1.0, 3.0])
        array([0.5, 0. , 0.5])
    """
    z = np.asarray(logits, dtype=np.float64)
    largest = z == z.max(axis=-1, keepdims=True)
    shares: FloatArray = largest / largest.sum(axis=-1, keepdims=True)
    return shares


# Distributions. A function f without a derivative still has f', by what it does to a smooth φ that vanishes outside an
# interval: ∫ f' φ = -∫ f φ'. So ReLU' is H, and H' is δ, which gives φ(0).


@dataclass(frozen=True)
class Bump:
    """φ(x) = exp(-1 / (1 - u²)) with u = (x - center) / radius, and 0 for |u| >= 1: smooth, derivatives of all orders.

    Attributes:
        center: where φ is largest, 1/e.
        radius: half the width of the interval outside which φ is 0; above 0.

    Raises:
        ValueError: a radius of another size.
    """

    center: float = 0.0
    radius: float = 1.0

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise ValueError(f"A bump's radius must be above 0. Received: radius={self.radius}")

    def __call__(self, points: npt.ArrayLike) -> FloatArray:
        """φ(x), in the shape of the points."""
        room = self._room(points)
        return np.where(room > 0, np.exp(-1.0 / np.where(room > 0, room, 1.0)), 0.0)

    def derivative(self, points: npt.ArrayLike) -> FloatArray:
        """φ'(x) = -2u / (1 - u²)² · φ(x) / radius, in the shape of the points."""
        u, room = (np.asarray(points, dtype=np.float64) - self.center) / self.radius, self._room(points)
        slope: FloatArray = -2.0 * u / np.where(room > 0, room, 1.0) ** 2 * self(points) / self.radius
        return slope

    def _room(self, points: npt.ArrayLike) -> FloatArray:
        u = (np.asarray(points, dtype=np.float64) - self.center) / self.radius
        return 1.0 - u * u


def integral(
    function: Callable[[FloatArray], FloatArray],
    low: float,
    high: float,
    *,
    breaks: tuple[float, ...] = (0.0,),
    num_points: int = 200,
) -> float:
    """∫ f(x) dx from low to high, by Gauss's rule on each side of every break.

    The rule with n points is exact for polynomials up to the degree 2n - 1, and worthless across a kink or a jump: those
    are what the breaks are for.

    Args:
        function: f, from an array to one of its shape.
        low: the lower limit.
        high: the upper limit; below low, the integral has the other sign.
        breaks: where f has kinks or jumps. Those that do not lie between the limits are ignored.
        num_points: n, points in each part.

    Raises:
        ValueError: less than one point.

    Examples:
        >>> round(integral(heaviside, -2.0, 3.0), 12)
        3.0
    """
    if num_points < 1:
        raise ValueError(f"A quadrature needs at least one point. Received: num_points={num_points}")
    ends = sorted({low, high, *(b for b in breaks if min(low, high) < b < max(low, high))})
    nodes, weights = np.polynomial.legendre.leggauss(num_points)
    parts = [
        (b - a) / 2.0 * float(weights @ function((b - a) / 2.0 * nodes + (a + b) / 2.0)) for a, b in pairwise(ends)
    ]
    return float(np.sign(high - low)) * sum(parts)


def pairing(function: Callable[[FloatArray], FloatArray], test: Bump, *, breaks: tuple[float, ...] = (0.0,)) -> float:
    """⟨f, φ⟩ = ∫ f(x) φ(x) dx, by `integral`, whose breaks are those of f."""
    low, high = test.center - test.radius, test.center + test.radius
    return integral(lambda x: function(x) * test(x), low, high, breaks=breaks)


def derivative_pairing(
    function: Callable[[FloatArray], FloatArray], test: Bump, *, breaks: tuple[float, ...] = (0.0,)
) -> float:
    """⟨f', φ⟩ = -∫ f(x) φ'(x) dx: the derivative of f as a distribution, also where f has none as a function.

    Source: L. Schwartz, Théorie des distributions, 1950; Strichartz, A Guide to Distribution Theory, 1994, section 1.2.

    Args:
        function: f, from an array to one of its shape.
        test: φ.
        breaks: where f has kinks or jumps.

    Examples:
        >>> round(derivative_pairing(heaviside, Bump()) / float(Bump()(0.0)), 12)  # H' = δ
        1.0
    """
    low, high = test.center - test.radius, test.center + test.radius
    return -integral(lambda x: function(x) * test.derivative(x), low, high, breaks=breaks)


def _same_shape(probabilities: FloatArray, vector: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    v = np.asarray(vector, dtype=np.float64)
    if v.shape != probabilities.shape:
        raise ValueError(
            f"The vector must have the shape of the logits. Received: vector={v.shape}, logits={probabilities.shape}"
        )
    return probabilities, v
