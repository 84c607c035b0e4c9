"""A dense network of any depth, with its backward pass written by hand.

For layer l = 1 … L with a⁰ = x: zˡ = aˡ⁻¹ Wˡ + bˡ and aˡ = fˡ(zˡ). Examples are rows, as in Keras.
Logistic and softmax regression are the networks of depth one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from zoo.reference import losses
from zoo.reference.losses import FloatArray

# f(z)
_ACTIVATIONS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0.0),
    "sigmoid": losses.sigmoid,
    "softmax": losses.softmax,
    "tanh": np.tanh,
}
# f'(z) of a hidden layer. Softmax is none: each of its outputs depends on every z, so f' would be a matrix.
_DERIVATIVES: dict[str, Callable[[FloatArray], FloatArray]] = {
    "identity": np.ones_like,
    "relu": lambda z: (z > 0).astype(np.float64),  # relu'(0) = 0
    "sigmoid": lambda z: losses.sigmoid(z) * (1.0 - losses.sigmoid(z)),
    "tanh": lambda z: 1.0 - np.tanh(z) ** 2,
}
# The loss that belongs to an output activation, and its gradient: both are functions of the last z and the labels.
_LOSSES: dict[str, tuple[Callable[..., float], Callable[..., FloatArray]]] = {
    "identity": (losses.squared_error, losses.squared_error_gradient),
    "sigmoid": (losses.binary_cross_entropy, losses.binary_cross_entropy_gradient),
    "softmax": (losses.categorical_cross_entropy, losses.categorical_cross_entropy_gradient),
}


class ForwardPass(NamedTuple):
    """What a forward pass computes.

    Attributes:
        pre_activations: z¹ … zᴸ, shapes (N, units of the layer).
        activations: a⁰ … aᴸ, one more: the inputs come first, the network's output last.
    """

    pre_activations: tuple[FloatArray, ...]
    activations: tuple[FloatArray, ...]


class Loss(NamedTuple):
    """The two terms of the objective E = data + penalty."""

    data: float
    penalty: float

    @property
    def total(self) -> float:
        """E, what training minimises."""
        return self.data + self.penalty


class Gradients(NamedTuple):
    """What a backward pass computes; every tuple runs from the first layer to the last.

    Attributes:
        deltas: δˡ = ∂E/∂zˡ, shapes (N, units). The 1/N of the mean is in them.
        kernels: ∂E/∂Wˡ, in the shapes of the kernels, penalties included.
        biases: ∂E/∂bˡ, in the shapes of the biases, penalties included if they apply.
    """

    deltas: tuple[FloatArray, ...]
    kernels: tuple[FloatArray, ...]
    biases: tuple[FloatArray, ...]


@dataclass(frozen=True, eq=False)
class DenseNetwork:
    """A dense network. The output activation decides the loss.

    `"softmax"` has the categorical cross entropy, `"sigmoid"` (one unit) the binary one, `"identity"` the squared
    error. Hidden layers may have any activation but softmax.

    Attributes:
        kernels: W¹ … Wᴸ, shapes (inputs, units).
        biases: b¹ … bᴸ, shapes (units,).
        activations: one name per layer: `"identity"`, `"relu"`, `"sigmoid"`, `"tanh"`, and `"softmax"` for the last.

    Raises:
        ValueError: when the layers do not fit each other or an activation is not allowed where it stands.

    Example:
        >>> network = DenseNetwork([np.ones((2, 1))], [np.zeros(1)], ["sigmoid"])
        >>> network.forward([[1.0, -1.0]]).activations[-1]
        array([[0.5]])
    """

    kernels: Sequence[FloatArray]
    biases: Sequence[FloatArray]
    activations: Sequence[str]

    def __post_init__(self) -> None:
        # Copies: a network does not change when the caller's arrays do.
        object.__setattr__(self, "kernels", tuple(np.array(kernel, dtype=np.float64) for kernel in self.kernels))
        object.__setattr__(self, "biases", tuple(np.array(bias, dtype=np.float64) for bias in self.biases))
        object.__setattr__(self, "activations", tuple(self.activations))
        _check_shapes(self.kernels, self.biases)
        _check_activations(self.activations, self.kernels)

    @property
    def weights(self) -> FloatArray:
        """All weights as one vector, in Keras's order: W¹, b¹ … Wᴸ, bᴸ."""
        return _flatten(self.kernels, self.biases)

    def with_weights(self, weights: npt.ArrayLike) -> DenseNetwork:
        """The same architecture with the weights of a vector, in the order of `weights`."""
        vector = np.asarray(weights, dtype=np.float64)
        shapes = [array.shape for layer in zip(self.kernels, self.biases, strict=True) for array in layer]
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
        if vector.shape != (ends[-1],):
            raise ValueError(f"The weights must be a vector of {ends[-1]} entries. Received: weights={vector.shape}")
        arrays = [part.reshape(shape) for part, shape in zip(np.split(vector, ends[:-1]), shapes, strict=True)]
        return DenseNetwork(arrays[0::2], arrays[1::2], self.activations)

    def forward(self, inputs: npt.ArrayLike) -> ForwardPass:
        """Every zˡ = aˡ⁻¹ Wˡ + bˡ and aˡ = fˡ(zˡ), for inputs of shape (N, features)."""
        a = np.asarray(inputs, dtype=np.float64)
        features = len(self.kernels[0])
        if a.ndim != 2 or a.shape[1] != features:
            raise ValueError(f"Inputs must have the shape (N, {features}). Received: inputs={a.shape}")
        pre_activations, activations = [], [a]
        for kernel, bias, name in zip(self.kernels, self.biases, self.activations, strict=True):
            pre_activations.append(activations[-1] @ kernel + bias)
            activations.append(_ACTIVATIONS[name](pre_activations[-1]))
        return ForwardPass(tuple(pre_activations), tuple(activations))

    def loss(
        self,
        inputs: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        penalize_bias: bool = False,
    ) -> Loss:
        """The mean loss over the examples, and the penalty l1 Σ|w| + l2 Σw², which is not divided by N.

        Args:
            inputs: x, shape (N, features).
            labels: y; integers (N,) for softmax, 0 or 1 (N,) for sigmoid, real (N, units) for identity.
            l1: strength of the L1 penalty on the kernels.
            l2: strength of the L2 penalty on the kernels.
            penalize_bias: whether the penalties fall on the biases too.
        """
        data_loss, _ = _LOSSES[self.activations[-1]]
        penalized = [*self.kernels, *self.biases] if penalize_bias else self.kernels
        penalty = sum(losses.l1_penalty(w, l1) + losses.l2_penalty(w, l2) for w in penalized)
        return Loss(data_loss(self.forward(inputs).pre_activations[-1], labels), penalty)

    def gradients(
        self,
        inputs: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        penalize_bias: bool = False,
    ) -> Gradients:
        """The backward pass for `loss(...).total`, with the same arguments.

        δˡ⁻¹ = (δˡ Wˡᵀ) ∘ f'(zˡ⁻¹), ∂E/∂Wˡ = aˡ⁻¹ᵀ δˡ and ∂E/∂bˡ = Σ_n δˡ_n, then the penalties' gradients.
        Source: Rumelhart, Hinton & Williams, Learning representations by back-propagating errors, 1986.
        """
        pre_activations, activations = self.forward(inputs)
        _, loss_gradient = _LOSSES[self.activations[-1]]
        deltas = [loss_gradient(pre_activations[-1], labels)]
        for i in reversed(range(len(self.kernels) - 1)):  # the lists count from 0: from layer i + 1 back to layer i
            slope = _DERIVATIVES[self.activations[i]](pre_activations[i])
            deltas.insert(0, (deltas[0] @ self.kernels[i + 1].T) * slope)

        bias_l1, bias_l2 = (l1, l2) if penalize_bias else (0.0, 0.0)
        kernels = tuple(
            a.T @ delta + losses.l1_penalty_gradient(kernel, l1) + losses.l2_penalty_gradient(kernel, l2)
            for a, delta, kernel in zip(activations[:-1], deltas, self.kernels, strict=True)
        )
        biases = tuple(
            delta.sum(axis=0) + losses.l1_penalty_gradient(bias, bias_l1) + losses.l2_penalty_gradient(bias, bias_l2)
            for delta, bias in zip(deltas, self.biases, strict=True)
        )
        return Gradients(tuple(deltas), kernels, biases)

    def loss_and_gradient(
        self, inputs: npt.ArrayLike, labels: npt.ArrayLike, **penalties: Any
    ) -> Callable[[FloatArray], tuple[float, FloatArray]]:
        """E and ∂E/∂w as a function of the weight vector: what `gradient_descent` takes. Arguments as for `loss`."""

        def function(weights: FloatArray) -> tuple[float, FloatArray]:
            network = self.with_weights(weights)
            _, kernels, biases = network.gradients(inputs, labels, **penalties)
            return network.loss(inputs, labels, **penalties).total, _flatten(kernels, biases)

        return function


def logistic_regression(num_features: int) -> DenseNetwork:
    """p(y = 1 | x) = σ(x·w + b), at zero weights: the loss is convex, so any start will do."""
    return DenseNetwork([np.zeros((num_features, 1))], [np.zeros(1)], ["sigmoid"])


def softmax_regression(num_features: int, num_classes: int) -> DenseNetwork:
    """p(y = k | x) = softmax(x W + b)_k, at zero weights: the loss is convex, so any start will do."""
    return DenseNetwork([np.zeros((num_features, num_classes))], [np.zeros(num_classes)], ["softmax"])


def _flatten(kernels: Sequence[FloatArray], biases: Sequence[FloatArray]) -> FloatArray:
    return np.concatenate([array.ravel() for layer in zip(kernels, biases, strict=True) for array in layer])


def _check_shapes(kernels: Sequence[FloatArray], biases: Sequence[FloatArray]) -> None:
    fit = 0 < len(kernels) == len(biases) and all(kernel.ndim == 2 for kernel in kernels)
    fit = fit and all(bias.shape == kernel.shape[1:] for kernel, bias in zip(kernels, biases, strict=True))
    fit = fit and all(before.shape[1] == after.shape[0] for before, after in pairwise(kernels))
    if not fit:
        raise ValueError(
            "Every layer needs a kernel (inputs, units) and a bias (units,), its inputs being the units before it. "
            f"Received: kernels={[kernel.shape for kernel in kernels]}, biases={[bias.shape for bias in biases]}"
        )


def _check_activations(activations: Sequence[str], kernels: Sequence[FloatArray]) -> None:
    received = f"Received: activations={activations}"
    if len(activations) != len(kernels):
        raise ValueError(f"{len(kernels)} layers need as many activations. {received}")
    if unknown := set(activations[:-1]) - set(_DERIVATIVES):
        raise ValueError(f"No hidden layer can have {sorted(unknown)}; known are {sorted(_DERIVATIVES)}. {received}")
    if activations[-1] not in _LOSSES:
        raise ValueError(f"The output must be one of {sorted(_LOSSES)}, which have a loss. {received}")
    units = kernels[-1].shape[1]
    if (activations[-1] == "sigmoid" and units != 1) or (activations[-1] == "softmax" and units < 2):
        raise ValueError(f"A sigmoid output has one unit, a softmax output two or more. {received}, units={units}")
