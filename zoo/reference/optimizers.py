"""Optimizers with the conventions of `keras.optimizers`, their state in the caller's hands.

An optimizer is its options. `start(weights)` gives the state before the first step, `step(weights, state, gradient)` the
weights and the state after it; nothing is changed in place. With float64 variables Keras takes the same steps, to 1e-12 where
float32 holds the options (0.125, 0.875): Keras rounds them to float32, whatever the variables are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from zoo.reference.losses import FloatArray


class Optimizer(Protocol):
    """What `gradient_descent` takes; `SGD`, `Adagrad` and `Adam` are such."""

    def start(self, weights: npt.ArrayLike) -> Any:
        """The state before the first step."""

    def step(self, weights: npt.ArrayLike, state: Any, gradient: npt.ArrayLike) -> tuple[FloatArray, Any]:
        """The weights after one step, and the state."""


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
    w, v, g = _same_shape(weights, velocity=velocity, gradient=gradient)
    v = momentum * v - learning_rate * g
    return w + v, v


@dataclass(frozen=True)
class SGD:
    """v ← μ v - η g, w ← w + v: see `momentum_step`. The state is v; without momentum it plays no part.

    Attributes:
        learning_rate: η, above 0.
        momentum: μ in [0, 1].

    Raises:
        ValueError: when an option is out of range, here and below; in a step, when the shapes differ.
    """

    learning_rate: float
    momentum: float = 0.0

    def __post_init__(self) -> None:
        _check_options(self.learning_rate, momentum=self.momentum)

    def start(self, weights: npt.ArrayLike) -> FloatArray:
        """Zeros."""
        return np.zeros(np.shape(weights))

    def step(self, weights: npt.ArrayLike, state: FloatArray, gradient: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """The new weights and v."""
        return momentum_step(weights, state, gradient, learning_rate=self.learning_rate, momentum=self.momentum)


@dataclass(frozen=True)
class Adagrad:
    """s ← s + g², w ← w - η g / √(s + ε): the rate of each weight falls with the gradients that it has seen.

    Source: Duchi, Hazan & Singer, Adaptive subgradient methods, 2011; as `keras.optimizers.Adagrad`, which has ε within the
    root and begins with s = 0.1 (the paper with 0).

    Attributes:
        learning_rate: η, above 0.
        initial_accumulator: s before the first step, 0 or more.
        epsilon: ε, above 0.

    Examples:
        >>> adagrad = Adagrad(1.0, initial_accumulator=7.0, epsilon=1e-7)
        >>> adagrad.step([0.0], adagrad.start([0.0]), [3.0])[0].round(6)
        array([-0.75])
    """

    learning_rate: float
    initial_accumulator: float = 0.1
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        _check_options(self.learning_rate, epsilon=self.epsilon)
        if not self.initial_accumulator >= 0:
            raise ValueError(
                f"The accumulator must start at 0 or above. Received: initial_accumulator={self.initial_accumulator}"
            )

    def start(self, weights: npt.ArrayLike) -> FloatArray:
        """s, the same for all."""
        return np.full(np.shape(weights), float(self.initial_accumulator))

    def step(self, weights: npt.ArrayLike, state: FloatArray, gradient: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """The new weights and s."""
        w, s, g = _same_shape(weights, accumulator=state, gradient=gradient)
        s = s + g**2
        return w - self.learning_rate * g / np.sqrt(s + self.epsilon), s


class AdamState(NamedTuple):
    """What Adam remembers.

    Attributes:
        mean: m, the running mean of the gradients, in their shape.
        square: v, the running mean of their squares.
        steps: t, steps that were taken.
    """

    mean: FloatArray
    square: FloatArray
    steps: int


@dataclass(frozen=True)
class Adam:
    """m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², w ← w - η √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε), t from 1.

    Source: Kingma & Ba, Adam, 2015, in the order that section 2 gives for efficiency, as `keras.optimizers.Adam` has it: ε
    stands outside the root and is not corrected for the bias. Algorithm 1 of the paper, and PyTorch, write
    m̂ / (√v̂ + ε), which is this with ε √(1 - β₂ᵗ).

    Attributes:
        learning_rate: η, above 0.
        beta_1: β₁ in [0, 1).
        beta_2: β₂ in [0, 1).
        epsilon: ε, above 0.

    Examples:
        >>> adam = Adam(0.5)  # the first step has the length η, whatever the gradient's
        >>> adam.step([0.0, 0.0], adam.start([0.0, 0.0]), [100.0, -3.0])[0].round(5)
        array([-0.5,  0.5])
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        _check_options(self.learning_rate, epsilon=self.epsilon)
        if not (0 <= self.beta_1 < 1 and 0 <= self.beta_2 < 1):
            raise ValueError(f"Both must lie in [0, 1). Received: beta_1={self.beta_1}, beta_2={self.beta_2}")

    def start(self, weights: npt.ArrayLike) -> AdamState:
        """Zeros, and t = 0."""
        return AdamState(np.zeros(np.shape(weights)), np.zeros(np.shape(weights)), 0)

    def step(self, weights: npt.ArrayLike, state: AdamState, gradient: npt.ArrayLike) -> tuple[FloatArray, AdamState]:
        """The new weights, m, v and t."""
        w, m, v, g = _same_shape(weights, mean=state.mean, square=state.square, gradient=gradient)
        m = self.beta_1 * m + (1.0 - self.beta_1) * g
        v = self.beta_2 * v + (1.0 - self.beta_2) * g**2
        t = state.steps + 1
        rate = self.learning_rate * np.sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t)
        return w - rate * m / (np.sqrt(v) + self.epsilon), AdamState(m, v, t)


def _check_options(learning_rate: float, *, momentum: float = 0.0, epsilon: float = 1.0) -> None:
    # Each condition is written so that NaN fails too.
    if not learning_rate > 0:
        raise ValueError(f"The learning rate must be above 0. Received: learning_rate={learning_rate}")
    if not 0 <= momentum <= 1:
        raise ValueError(f"The momentum must lie in [0, 1]. Received: momentum={momentum}")
    if not epsilon > 0:
        raise ValueError(f"Epsilon must be above 0. Received: epsilon={epsilon}")


def _same_shape(weights: npt.ArrayLike, **others: npt.ArrayLike) -> list[FloatArray]:
    """All as float64 arrays. Left alone, NumPy would broadcast (n,) - (n, 1) to (n, n) in silence."""
    w = np.asarray(weights, dtype=np.float64)
    arrays = [np.asarray(array, dtype=np.float64) for array in others.values()]
    for name, array in zip(others, arrays, strict=True):
        if array.shape != w.shape:
            raise ValueError(
                f"The {name} must have the shape of the weights. Received: weights={w.shape}, {name}={array.shape}"
            )
    return [w, *arrays]
