"""A network of any depth: layers one after another, with the whole backward pass.

With a⁰ = x, layer l = 1 … L maps aˡ⁻¹ to aˡ. In a dense network every second layer is an activation, so that the outputs are,
in the textbook's letters, x, z¹, a¹, z², a² … zᴸ. Logistic and softmax regression are the dense networks of depth one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from zoo.reference import losses
from zoo.reference.layers import Activation, Arrays, Dense, Layer
from zoo.reference.losses import FloatArray, Loss


class ForwardPass(NamedTuple):
    """What a forward pass computes.

    Attributes:
        outputs: the inputs, then what each layer gives: L + 1 arrays, all (N, ...). The last one is z of the output.
        predictions: the output's activation of the last z, shape (N, units).
        caches: what the layers' backward passes need.
    """

    outputs: tuple[FloatArray, ...]
    predictions: FloatArray
    caches: tuple[Any, ...]


class BackwardPass(NamedTuple):
    """What a backward pass computes.

    Attributes:
        forward: the forward pass before it.
        loss: E, in its two terms.
        deltas: ∂E/∂(each of `forward.outputs`): first for the inputs, last δᴸ = ∂E/∂zᴸ. The 1/N of the mean is in them.
        gradients: for each layer ∂E/∂(its weights) by name, such as `gradients[0]["kernel"]`, penalties included.
    """

    forward: ForwardPass
    loss: Loss
    deltas: tuple[FloatArray, ...]
    gradients: tuple[Arrays, ...]


@dataclass(frozen=True, eq=False)
class Network:
    """Layers one after another. The output's activation, which the loss applies itself, decides the loss.

    `"softmax"` has the categorical cross entropy, `"sigmoid"` the binary one, `"identity"` the squared error. A network whose
    sigmoids are held against targets by the squared error ends with an `Activation("sigmoid")` and has the output `"identity"`.

    Attributes:
        layers: the layers, from the inputs on.
        output: `"identity"`, `"sigmoid"` or `"softmax"`.

    Raises:
        ValueError: when the output is none of these. Layers that do not fit each other are found by the first pass.

    Examples:
        >>> network = Network([Dense(np.ones((2, 1)), np.zeros(1))], "sigmoid")
        >>> network.forward([[1.0, -1.0]]).predictions
        array([[0.5]])
        >>> network.backward([[1.0, -1.0]], [1]).gradients[0]["kernel"].ravel()
        array([-0.5,  0.5])
    """

    layers: Sequence[Layer]
    output: str = "identity"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if self.output not in losses.OUTPUTS:
            raise ValueError(f"The output must be one of {sorted(losses.OUTPUTS)}. Received: output={self.output!r}")

    @property
    def weights(self) -> FloatArray:
        """All weights as one vector, in Keras's order: layer by layer, kernel (or γ) before bias (or β)."""
        return _flatten([layer.weights for layer in self.layers])

    def with_weights(self, weights: npt.ArrayLike) -> Self:
        """The same architecture with the weights of a vector, in the order of `weights`."""
        vector = np.asarray(weights, dtype=np.float64)
        sizes = [array.size for layer in self.layers for array in layer.weights.values()]
        if vector.shape != (sum(sizes),):
            raise ValueError(f"The weights must be a vector of {sum(sizes)} entries. Received: weights={vector.shape}")
        parts = iter(np.split(vector, np.cumsum(sizes, dtype=int)[:-1]))
        return self._with_layers(
            layer.with_weights({name: next(parts).reshape(array.shape) for name, array in layer.weights.items()})
            for layer in self.layers
        )

    def forward(self, inputs: npt.ArrayLike, *, training: bool = False) -> ForwardPass:
        """Every layer's outputs, for inputs of shape (N, ...).

        Args:
            inputs: x, what the first layer takes.
            training: whether dropout drops and batch normalisation takes the batch's statistics.
        """
        outputs, caches = [np.asarray(inputs, dtype=np.float64)], []
        for i, layer in enumerate(self.layers):
            try:
                a, cache = layer.forward(outputs[-1], training=training)
            except ValueError as error:
                raise ValueError(f"Layer {i} ({type(layer).__name__}): {error}") from None
            outputs.append(a)
            caches.append(cache)
        return ForwardPass(tuple(outputs), losses.OUTPUTS[self.output].activation(outputs[-1]), tuple(caches))

    def loss(
        self,
        inputs: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        training: bool = False,
        l1: float = 0.0,
        l2: float = 0.0,
        penalize_bias: bool = False,
    ) -> Loss:
        """The mean loss over the examples, and the penalty l1 Σ|w| + l2 Σw², which is not divided by N.

        Args:
            inputs: x, shape (N, ...).
            labels: y; integers (N,) for softmax, 0 or 1 (N,) for sigmoid, real numbers (N, units) for identity.
            training: as for `forward`.
            l1: strength of the L1 penalty on the kernels.
            l2: strength of the L2 penalty on the kernels.
            penalize_bias: whether the penalties fall on the biases too; on γ and β they never do.
        """
        z = self.forward(inputs, training=training).outputs[-1]
        return Loss(losses.OUTPUTS[self.output].loss(z, labels), self._penalty(l1, l2, penalize_bias))

    def backward(
        self,
        inputs: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        training: bool = False,
        l1: float = 0.0,
        l2: float = 0.0,
        penalize_bias: bool = False,
    ) -> BackwardPass:
        """The forward pass, then the backward pass for `loss(...).total`; arguments as for `loss`.

        δᴸ is the gradient of the loss; each layer turns its δˡ into δˡ⁻¹ and the gradients of its weights, to which those of
        the penalties are added. Source: Rumelhart, Hinton & Williams, Learning representations by back-propagating errors, 1986.
        """
        forward = self.forward(inputs, training=training)
        output, z = losses.OUTPUTS[self.output], forward.outputs[-1]
        loss = Loss(output.loss(z, labels), self._penalty(l1, l2, penalize_bias))
        deltas, gradients = [output.gradient(z, labels)], list[Arrays]()
        for layer, cache in zip(reversed(self.layers), reversed(forward.caches), strict=True):
            delta, of_layer = layer.backward(deltas[0], cache)
            for name, w in _penalized(layer, penalize_bias).items():
                of_layer[name] = of_layer[name] + losses.l1_penalty_gradient(w, l1) + losses.l2_penalty_gradient(w, l2)
            deltas.insert(0, delta)
            gradients.insert(0, of_layer)
        return BackwardPass(forward, loss, tuple(deltas), tuple(gradients))

    def loss_and_gradient(
        self, inputs: npt.ArrayLike, labels: npt.ArrayLike, **options: Any
    ) -> Callable[[FloatArray], tuple[float, FloatArray]]:
        """E and ∂E/∂w as a function of the weight vector: what `gradient_descent` takes. Arguments as for `loss`."""

        def function(weights: FloatArray) -> tuple[float, FloatArray]:
            found = self.with_weights(weights).backward(inputs, labels, **options)
            return found.loss.total, _flatten(found.gradients)

        return function

    def updated(self, forward: ForwardPass) -> Self:
        """The same network after a pass with `training=True`: batch normalisations have moved their moving statistics."""
        return self._with_layers(layer.updated(x) for layer, x in zip(self.layers, forward.outputs[:-1], strict=True))

    def _with_layers(self, layers: Iterable[Layer]) -> Self:
        other = copy(self)
        object.__setattr__(other, "layers", tuple(layers))
        return other

    def _penalty(self, l1: float, l2: float, penalize_bias: bool) -> float:
        penalized = [w for layer in self.layers for w in _penalized(layer, penalize_bias).values()]
        return sum(losses.l1_penalty(w, l1) + losses.l2_penalty(w, l2) for w in penalized)


class DenseNetwork(Network):
    """zˡ = aˡ⁻¹ Wˡ + bˡ and aˡ = fˡ(zˡ): a dense layer and an activation in turn, the last activation being the output's.

    Args:
        kernels: W¹ … Wᴸ, shapes (inputs, units).
        biases: b¹ … bᴸ, shapes (units,).
        activations: one name per layer: those of `Activation`, and for the last layer those of `Network.output`.

    Raises:
        ValueError: when there are not as many of each, or one of them cannot stand where it does.

    Examples:
        >>> network = DenseNetwork([np.ones((2, 3)), np.ones((3, 1))], [np.zeros(3), np.zeros(1)], ["tanh", "sigmoid"])
        >>> len(network.layers), len(network.weights)
        (3, 13)
    """

    def __init__(
        self, kernels: Sequence[npt.ArrayLike], biases: Sequence[npt.ArrayLike], activations: Sequence[str]
    ) -> None:
        if not 0 < len(kernels) == len(biases) == len(activations):
            raise ValueError(
                "Every layer needs a kernel, a bias and an activation. "
                f"Received: {len(kernels)} kernels, {len(biases)} biases, activations={list(activations)}"
            )
        layers: list[Layer] = []
        for kernel, bias, name in zip(kernels, biases, activations, strict=True):
            layers += [Dense(np.asarray(kernel, np.float64), np.asarray(bias, np.float64)), Activation(name)]
        super().__init__(layers[:-1], activations[-1])

    @classmethod
    def from_weights(cls, weights: Sequence[npt.ArrayLike], activations: Sequence[str]) -> Self:
        """The network with these kernels and biases in turn, as Keras's `model.get_weights()` gives them; see `arrays`.

        Args:
            weights: W¹, b¹ … Wᴸ, bᴸ.
            activations: one name per layer.

        Raises:
            ValueError: as the class itself.

        Examples:
            >>> network = DenseNetwork.from_weights([np.ones((2, 3)), np.zeros(3)], ["softmax"])
            >>> [array.shape for array in network.arrays]
            [(2, 3), (3,)]
        """
        return cls(weights[::2], weights[1::2], activations)

    @property
    def arrays(self) -> list[FloatArray]:
        """W¹, b¹ … Wᴸ, bᴸ: what Keras's `model.set_weights` takes."""
        return [array for layer in self.layers for array in layer.weights.values()]

    @property
    def kernels(self) -> tuple[FloatArray, ...]:
        """W¹ … Wᴸ."""
        return tuple(layer.weights["kernel"] for layer in self.layers[::2])

    @property
    def biases(self) -> tuple[FloatArray, ...]:
        """b¹ … bᴸ."""
        return tuple(layer.weights["bias"] for layer in self.layers[::2])

    @property
    def activations(self) -> tuple[str, ...]:
        """The names of f¹ … fᴸ."""
        return (*(layer.name for layer in self.layers if isinstance(layer, Activation)), self.output)


def logistic_regression(num_features: int) -> DenseNetwork:
    """p(y = 1 | x) = σ(x·w + b), at zero weights: the loss is convex, so any start will do."""
    return DenseNetwork([np.zeros((num_features, 1))], [np.zeros(1)], ["sigmoid"])


def softmax_regression(num_features: int, num_classes: int) -> DenseNetwork:
    """p(y = k | x) = softmax(x W + b)_k, at zero weights: the loss is convex, so any start will do."""
    return DenseNetwork([np.zeros((num_features, num_classes))], [np.zeros(num_classes)], ["softmax"])


def _flatten(arrays: Sequence[Arrays]) -> FloatArray:
    return np.concatenate([np.zeros(0), *(array.ravel() for layer in arrays for array in layer.values())])


def _penalized(layer: Layer, penalize_bias: bool) -> Arrays:
    return {name: w for name, w in layer.weights.items() if name == "kernel" or (penalize_bias and name == "bias")}
