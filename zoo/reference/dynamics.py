"""Where iterations go: momentum on a parabola, sigmoids that saturate, gradients through chains of units."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zoo.reference.losses import FloatArray

# Momentum. On E = ½ λ x² with the learning rate η, a step is v ← μ v - r x and then x ← x + v, where r = ηλ.


class MomentumPath(NamedTuple):
    """Where T steps went; the start comes first.

    Attributes:
        positions: x₀ … x_T, shape (T + 1,).
        velocities: v₀ … v_T, shape (T + 1,).
    """

    positions: FloatArray
    velocities: FloatArray


def momentum_matrix(momentum: float, *, rate: float = 0.1) -> FloatArray:
    """The step (x, v) ← A (x, v) as a matrix, A = [[1 - r, μ], [-r, μ]], with the determinant μ.

    Its eigenvalues say what the iteration does: it converges when both are below 1 in size, |μ| < 1 and
    0 < r < 2 (1 + μ). Where they are complex, x swings round 0 and shrinks by √μ a step. For μ < 0 they are real and one is
    negative: v changes its sign at each step and brakes, so that x shrinks more slowly than without momentum.

    Args:
        momentum: μ, any number.
        rate: r, the learning rate times the curvature.

    Examples:
        >>> sizes = {mu: np.abs(np.linalg.eigvals(momentum_matrix(mu))).max() for mu in (0.9, 0.0, -0.5)}
        >>> {mu: round(float(size), 3) for mu, size in sizes.items()}
        {0.9: 0.949, 0.0: 0.9, -0.5: 0.935}
    """
    return np.array([[1.0 - rate, momentum], [-rate, momentum]])


def momentum_path(
    steps: int, *, momentum: float, rate: float = 0.1, position: float = 1.0, velocity: float = 0.0
) -> MomentumPath:
    """Semi-implicit steps, v ← μ v - r x and then x ← x + v with the new v: `momentum_step` on the parabola ½ x².

    Args:
        steps: T, 0 or more.
        momentum: μ, any number; from |μ| = 1 on, x does not go to 0.
        rate: r, the learning rate times the curvature.
        position: x₀.
        velocity: v₀.

    Raises:
        ValueError: when the number of steps is below 0.

    Examples:
        >>> [round(float(abs(momentum_path(100, momentum=mu).positions[-1])), 4) for mu in (0.9, 1.0, 1.1)]
        [0.0037, 0.8893, 109.0984]
    """
    if steps < 0:
        raise ValueError(f"The number of steps must be at least 0. Received: steps={steps}")
    matrix, states = momentum_matrix(momentum, rate=rate), [np.array([position, velocity], dtype=np.float64)]
    for _ in range(steps):
        states.append(matrix @ states[-1])
    positions, velocities = np.stack(states, axis=1)
    return MomentumPath(positions, velocities)


def momentum_velocity(
    steps: npt.ArrayLike, *, momentum: float, learning_rate: float, gradient: float = 1.0
) -> FloatArray:
    """v_t = -η g (1 - μᵗ) / (1 - μ), after t steps from rest on a slope g that stays the same.

    It tends to -η g / (1 - μ): a momentum of 0.9 ends up with ten times the learning rate. For μ = 1, v_t = -η g t.

    Args:
        steps: t, 0 or more, of any shape; `numpy.inf` gives the limit.
        momentum: μ in [0, 1].
        learning_rate: η.
        gradient: g.

    Raises:
        ValueError: when the momentum or a number of steps is out of range.

    Examples:
        >>> momentum_velocity([1, 2, np.inf], momentum=0.5, learning_rate=1.0)
        array([-1. , -1.5, -2. ])
    """
    t = np.asarray(steps, dtype=np.float64)
    if not 0 <= momentum <= 1 or not np.all(t >= 0):
        raise ValueError(
            f"The momentum must lie in [0, 1], steps be 0 or more. Received: momentum={momentum}, steps={t}"
        )
    rates = t if momentum == 1 else (1.0 - momentum**t) / (1.0 - momentum)
    return -learning_rate * gradient * rates


# Saturation. A sigmoid unit hands back w σ'(wa + b) of the gradient that it is given, and σ' is at most ¼.


def saturation_width(weights: npt.ArrayLike) -> FloatArray:
    """How wide the interval of a is on which |w σ'(wa + b)| >= 1: (2/|w|) ln(|w| (1 + √(1 - 4/|w|)) / 2 - 1).

    It takes |w| >= 4, and then a unit that does not shrink the gradient has to find its input in less than half a unit of
    length (see `widest_saturation`). Source: Nielsen, Neural Networks and Deep Learning, 2015, chapter 5.

    Args:
        weights: w, of any shape.

    Returns:
        Widths, of the same shape; 0 for |w| <= 4.

    Examples:
        >>> saturation_width([4.0, -6.894, 100.0]).round(6)
        array([0.      , 0.447743, 0.091697])
    """
    size = np.maximum(np.abs(np.asarray(weights, dtype=np.float64)), 4.0)
    return 2.0 / size * np.log(size * (1.0 + np.sqrt(1.0 - 4.0 / size)) / 2.0 - 1.0)


def saturation_interval(weight: float, bias: float = 0.0) -> tuple[float, float] | None:
    """The interval of a on which |w σ'(wa + b)| >= 1, round -b/w and `saturation_width` wide; `None` for |w| < 4."""
    if not abs(weight) >= 4:
        return None
    middle, half = -bias / weight, float(saturation_width(weight)) / 2.0
    return middle - half, middle + half


def widest_saturation() -> tuple[float, float]:
    """The |w| that has the widest interval, and its width: about 6.894 and 0.447743, by golden section.

    Examples:
        >>> [round(number, 3) for number in widest_saturation()]
        [6.894, 0.448]
    """
    low, high, shrink = 4.0, 20.0, (5.0**0.5 - 1.0) / 2.0
    while high - low > 1e-9:
        left, right = high - shrink * (high - low), low + shrink * (high - low)
        if saturation_width(left) < saturation_width(right):
            low = left
        else:
            high = right
    return (low + high) / 2.0, float(saturation_width((low + high) / 2.0))


# Chains: one unit a layer, z_l = w_l a_{l-1} + b_l and a_l = f(z_l) for l = 1 … L.


class ChainGradients(NamedTuple):
    """What a chain hands back, from the first layer to the last.

    Attributes:
        deltas: ∂a_L/∂z_l, shape (L,).
        weights: ∂a_L/∂w_l, shape (L,).
    """

    deltas: FloatArray
    weights: FloatArray


def chain_gradients(
    weights: npt.ArrayLike,
    biases: npt.ArrayLike,
    value: float,
    function: Callable[[FloatArray], FloatArray],
    derivative: Callable[[FloatArray], FloatArray],
) -> ChainGradients:
    """∂a_L/∂z_l = f'(z_l) Π_{k>l} w_k f'(z_k), and ∂a_L/∂w_l = a_{l-1} times that.

    With σ and weights of size 1 it vanishes (see `sigmoid_gradient_bounds`); with a derivative above 1, as x ↦ σ(8x) has at
    0, it explodes.

    Args:
        weights: w_1 … w_L, shape (L,).
        biases: b_1 … b_L, shape (L,).
        value: a_0.
        function: f, elementwise, e.g. `sigmoid`.
        derivative: f', e.g. `sigmoid_derivative`.

    Raises:
        ValueError: when weights and biases are not vectors of the same length.

    Examples:
        >>> chain_gradients([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], 5.0, np.tanh, np.ones_like).deltas  # f' = 1
        array([6., 3., 1.])
    """
    w, b = np.asarray(weights, dtype=np.float64), np.asarray(biases, dtype=np.float64)
    if w.ndim != 1 or not w.size or b.shape != w.shape:
        raise ValueError(f"Weights and biases must be (L,). Received: weights={w.shape}, biases={b.shape}")
    a, z = [np.asarray(value, dtype=np.float64)], []
    for weight, bias in zip(w, b, strict=True):
        z.append(weight * a[-1] + bias)
        a.append(np.asarray(function(z[-1])))
    slopes = np.array([derivative(number) for number in z], dtype=np.float64)
    deltas = slopes * _products_behind(w * slopes)
    return ChainGradients(deltas, np.array(a[:-1]) * deltas)


def sigmoid_gradient_bounds(weights: npt.ArrayLike) -> FloatArray:
    """|∂a_L/∂z_l| <= ¼ Π_{k>l} |w_k|/4 in a chain of sigmoids: 0.25^(L-l+1) for weights of size 1, 0.25^L in the first layer.

    Args:
        weights: w_1 … w_L, shape (L,).

    Returns:
        The bounds from the first layer to the last, shape (L,).

    Examples:
        >>> sigmoid_gradient_bounds([1.0, -1.0, 1.0])
        array([0.015625, 0.0625  , 0.25    ])
    """
    return 0.25 * _products_behind(np.abs(np.asarray(weights, dtype=np.float64)) / 4.0)


def _products_behind(factors: FloatArray) -> FloatArray:
    """Π_{k>l} of the factors, for each l; 1 for the last."""
    return np.append(np.cumprod(factors[:0:-1])[::-1], 1.0)
