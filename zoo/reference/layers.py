"""The layers of a network: each maps inputs to outputs, and ∂E/∂outputs back to ∂E/∂inputs and its weights' gradients.

A layer holds its weights and never changes: `with_weights` gives another one. Examples are rows, as in Keras, whose layers
of the same names these are. The formulas stand in `zoo.reference.convolutions` and `zoo.reference.normalization`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from zoo.reference import calculus, losses, normalization
from zoo.reference.losses import FloatArray
from zoo.reference.normalization import Statistics

Arrays = dict[str, FloatArray]  # weights, or gradients, by the names of the weights

# f(z), and ∂E/∂z from z and δ = ∂E/∂f(z): f'(z) ∘ δ for all but softmax, each of whose outputs depends on every z.
_ACTIVATIONS: dict[str, tuple[Callable[[FloatArray], FloatArray], Callable[[FloatArray, FloatArray], FloatArray]]] = {
    "identity": (lambda z: z, lambda z, d: d),
    "relu": (calculus.relu, lambda z, d: calculus.relu_derivative(z) * d),
    "sigmoid": (losses.sigmoid, lambda z, d: calculus.sigmoid_derivative(z) * d),
    "softmax": (losses.softmax, calculus.softmax_vjp),
    "tanh": (np.tanh, lambda z, d: calculus.tanh_derivative(z) * d),
}


@dataclass(frozen=True, eq=False)
class Layer(ABC):
    """A function of its inputs and its weights, with the backward pass that belongs to it.

    Attributes:
        weight_names: the attributes that training changes, in Keras's order. One that is None is not there.
        state_names: the other attributes that are arrays.
    """

    weight_names: ClassVar[tuple[str, ...]] = ()
    state_names: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        # Copies: a layer does not change when the caller's arrays do.
        for name in (*self.weight_names, *self.state_names):
            if (array := getattr(self, name)) is not None:
                object.__setattr__(self, name, np.array(array, dtype=np.float64))

    @property
    def weights(self) -> Arrays:
        """What training changes, by name."""
        return {name: getattr(self, name) for name in self.weight_names if getattr(self, name) is not None}

    def with_weights(self, weights: Mapping[str, npt.ArrayLike]) -> Self:
        """The same layer with other weights, by name; those that are not named stay."""
        return replace(self, **dict(weights))

    def updated(self, inputs: FloatArray) -> Layer:
        """The same layer after a training pass with these inputs: another one only where it keeps moving statistics."""
        return self

    @abstractmethod
    def forward(self, inputs: FloatArray, *, training: bool = False) -> tuple[FloatArray, Any]:
        """The outputs, and what `backward` needs to know of this pass."""

    @abstractmethod
    def backward(self, delta: FloatArray, cache: Any) -> tuple[FloatArray, Arrays]:
        """∂E/∂inputs and the weights' gradients by name, from δ = ∂E/∂outputs and the cache of the forward pass."""


@dataclass(frozen=True, eq=False)
class Activation(Layer):
    """a = f(z), elementwise; softmax along the last axis.

    Attributes:
        name: `"identity"`, `"relu"`, `"sigmoid"`, `"softmax"` or `"tanh"`.

    Raises:
        ValueError: another name.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in _ACTIVATIONS:
            raise ValueError(f"Known activations are {sorted(_ACTIVATIONS)}. Received: name={self.name!r}")

    def forward(self, inputs: FloatArray, *, training: bool = False) -> tuple[FloatArray, Any]:  # noqa: D102
        return _ACTIVATIONS[self.name][0](inputs), inputs

    def backward(self, delta: FloatArray, cache: Any) -> tuple[FloatArray, Arrays]:  # noqa: D102
        return _ACTIVATIONS[self.name][1](cache, delta), {}


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """z = a W + b; backwards δ Wᵀ, ∂E/∂W = aᵀ δ and ∂E/∂b = Σ_n δ_n.

    Attributes:
        kernel: W, shape (inputs, units).
        bias: b, shape (units,); None for a layer without.

    Raises:
        ValueError: weights of other shapes; by `forward`, inputs that are not (N, inputs).
    """

    kernel: FloatArray
    bias: FloatArray | None = None
    weight_names: ClassVar[tuple[str, ...]] = ("kernel", "bias")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel.ndim != 2 or (self.bias is not None and self.bias.shape != self.kernel.shape[1:]):
            raise ValueError(
                "A dense layer needs a kernel (inputs, units) and a bias (units,). "
                f"Received: kernel={self.kernel.shape}, bias={None if self.bias is None else self.bias.shape}"
            )

    def forward(self, inputs: FloatArray, *, training: bool = False) -> tuple[FloatArray, Any]:  # noqa: D102
        if inputs.ndim != 2 or inputs.shape[1] != len(self.kernel):
            raise ValueError(f"Inputs must have the shape (N, {len(self.kernel)}). Received: inputs={inputs.shape}")
        z = inputs @ self.kernel
        return z if self.bias is None else z + self.bias, inputs

    def backward(self, delta: FloatArray, cache: Any) -> tuple[FloatArray, Arrays]:  # noqa: D102
        gradients = {"kernel": cache.T @ delta, "bias": delta.sum(axis=0)}
        return delta @ self.kernel.T, {name: gradients[name] for name in self.weights}


@dataclass(frozen=True, eq=False)
class Flatten(Layer):
    """(N, H, W, C) to (N, H·W·C) in row-major order: the channels of a pixel stay together."""

    def forward(self, inputs: FloatArray, *, training: bool = False) -> tuple[FloatArray, Any]:  # noqa: D102
        return inputs.reshape(len(inputs), -1), inputs.shape

    def backward(self, delta: FloatArray, cache: Any) -> tuple[FloatArray, Arrays]:  # noqa: D102
        return delta.reshape(cache), {}


@dataclass(frozen=True, eq=False)
class BatchNormalization(Layer):
    """`zoo.reference.batch_normalization`: in training with the batch's statistics, else with the moving ones.

    Attributes:
        gamma: γ, shape (C,).
        beta: β, shape (C,).
        moving_mean: shape (C,); None for zeros, where Keras starts.
        moving_variance: shape (C,); None for ones.
        momentum: how much of the moving statistics stays in `updated`.
        epsilon: added to the variance.
    """

    gamma: FloatArray
    beta: FloatArray
    moving_mean: FloatArray | None = None
    moving_variance: FloatArray | None = None
    momentum: float = 0.99
    epsilon: float = 1e-3
    weight_names: ClassVar[tuple[str, ...]] = ("gamma", "beta")
    state_names: ClassVar[tuple[str, ...]] = ("moving_mean", "moving_variance")

    @property
    def moving(self) -> Statistics:
        """The moving mean and variance."""
        mean = np.zeros_like(self.gamma) if self.moving_mean is None else self.moving_mean
        return Statistics(mean, np.ones_like(self.gamma) if self.moving_variance is None else self.moving_variance)

    def forward(self, inputs: FloatArray, *, training: bool = False) -> tuple[FloatArray, Any]:  # noqa: D102
        used = None if training else self.moving
        y = normalization.batch_normalization(inputs, self.gamma, self.beta, statistics=used, epsilon=self.epsilon)
        return y, (inputs, used)

    def backward(self, delta: FloatArray, cache: Any) -> tuple[FloatArray, Arrays]:  # noqa: D102
        inputs, used = cache
        gradient = normalization.batch_normalization_gradient(
            inputs, self.gamma, delta, statistics=used, epsilon=self.epsilon
        )
        return gradient.inputs, {"gamma": gradient.gamma, "beta": gradient.beta}

    def updated(self, inputs: FloatArray) -> BatchNormalization:
        """The same layer with moving statistics that have gone a step towards those of the inputs."""
        batch = normalization.batch_statistics(inputs)
        mean, variance = normalization.moving_statistics(self.moving, batch, self.momentum)
        return replace(self, moving_mean=mean, moving_variance=variance)


@dataclass(frozen=True, eq=False)
class Dropout(Layer):
    """Inverted dropout: y = m ∘ x / (1 - rate) in training, and y = x else, so that the mean of y is x in both.

    Source: Srivastava et al., Dropout, 2014, section 10, and `keras.layers.Dropout`.

    Attributes:
        rate: probability that an entry is dropped, in [0, 1).
        mask: m, with 0 for an entry to drop and 1 for one to keep, in the shape of the inputs; or the generator that draws
            a new one in each training pass.

    Raises:
        ValueError: a rate outside of [0, 1); by `forward` in training, a mask of another shape than the inputs.
    """

    rate: float
    mask: npt.ArrayLike | np.random.Generator

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise ValueError(f"The rate must lie in [0, 1). Received: rate={self.rate}")

    def forward(self, inputs: FloatArray, *, training: bool = False) -> tuple[FloatArray, Any]:  # noqa: D102
        if not training:
            return inputs, 1.0
        if isinstance(self.mask, np.random.Generator):
            mask = self.mask.random(inputs.shape) >= self.rate
        else:
            mask = np.asarray(self.mask)
        if mask.shape != inputs.shape:
            raise ValueError(f"The mask must have the shape of the inputs, {inputs.shape}. Received: mask={mask.shape}")
        factor = mask / (1.0 - self.rate)
        return inputs * factor, factor

    def backward(self, delta: FloatArray, cache: Any) -> tuple[FloatArray, Arrays]:  # noqa: D102
        return delta * cache, {}
