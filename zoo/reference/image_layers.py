"""The layers that take images, (N, height, width, channels), and what else AlexNet has.

Examples:
    >>> from zoo.reference import Activation, Dense, Flatten, Network
    >>> random = np.random.default_rng(0)
    >>> convolution = Convolution(random.normal(size=(3, 3, 1, 4)), np.zeros(4), padding="same")
    >>> dense = Dense(random.normal(size=(36, 10)), np.zeros(10))
    >>> network = Network([convolution, Activation("relu"), MaxPooling(3, 2), Flatten(), dense], "softmax")
    >>> found = network.backward(random.normal(size=(5, 8, 8, 1)), [3, 1, 4, 1, 5])
    >>> [delta.shape for delta in found.deltas]
    [(5, 8, 8, 1), (5, 8, 8, 4), (5, 8, 8, 4), (5, 3, 3, 4), (5, 36), (5, 10)]
    >>> found.gradients[0]["kernel"].shape
    (3, 3, 1, 4)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from zoo.reference import convolutions, normalization
from zoo.reference.layers import Arrays, Layer
from zoo.reference.losses import FloatArray


@dataclass(frozen=True, eq=False)
class Convolution(Layer):
    """`zoo.reference.convolution`, Keras's `Conv2D`.

    Attributes:
        kernel: K, shape (h, w, C / groups, F).
        bias: b, shape (F,); None for a layer without.
        strides: pixels from one window to the next, in both directions.
        padding: rows and columns of zeros on each side; or `"valid"` (0), or `"same"`.
        groups: runs of channels that do not see each other.
    """

    kernel: FloatArray
    bias: FloatArray | None = None
    strides: int = 1
    padding: int | str = 0
    groups: int = 1
    weight_names: ClassVar[tuple[str, ...]] = ("kernel", "bias")

    @property
    def _options(self) -> dict[str, Any]:
        return {"strides": self.strides, "padding": self.padding, "groups": self.groups}

    def forward(self, inputs: FloatArray, *, training: bool = False) -> tuple[FloatArray, Any]:  # noqa: D102
        return convolutions.convolution(inputs, self.kernel, self.bias, **self._options), inputs

    def backward(self, delta: FloatArray, cache: Any) -> tuple[FloatArray, Arrays]:  # noqa: D102
        gradient = convolutions.convolution_gradient(cache, self.kernel, delta, **self._options)
        return gradient.inputs, {name: getattr(gradient, name) for name in self.weights}


@dataclass(frozen=True, eq=False)
class MaxPooling(Layer):
    """`zoo.reference.max_pooling`, Keras's `MaxPooling2D`; among equals the first one receives δ.

    Attributes:
        size: height and width of a window.
        strides: pixels from one window to the next, in both directions; below the size, windows overlap.
    """

    size: int
    strides: int

    def forward(self, inputs: FloatArray, *, training: bool = False) -> tuple[FloatArray, Any]:  # noqa: D102
        return convolutions.max_pooling(inputs, self.size, self.strides), inputs

    def backward(self, delta: FloatArray, cache: Any) -> tuple[FloatArray, Arrays]:  # noqa: D102
        return convolutions.max_pooling_gradient(cache, delta, self.size, self.strides), {}


@dataclass(frozen=True, eq=False)
class GlobalAveragePooling(Layer):
    """y_nc = mean_ij x_nijc; backwards each of the H·W pixels receives δ / (H·W)."""

    def forward(self, inputs: FloatArray, *, training: bool = False) -> tuple[FloatArray, Any]:  # noqa: D102
        return inputs.mean(axis=(1, 2)), inputs.shape

    def backward(self, delta: FloatArray, cache: Any) -> tuple[FloatArray, Arrays]:  # noqa: D102
        return np.broadcast_to(delta[:, None, None, :], cache) / (cache[1] * cache[2]), {}


@dataclass(frozen=True, eq=False)
class LocalResponseNormalization(Layer):
    """`zoo.reference.local_response_normalization`, with its attributes."""

    radius: int = 2
    alpha: float = 2e-5
    beta: float = 0.75
    bias: float = 1.0

    def forward(self, inputs: FloatArray, *, training: bool = False) -> tuple[FloatArray, Any]:  # noqa: D102
        return normalization.local_response_normalization(inputs, **asdict(self)), inputs

    def backward(self, delta: FloatArray, cache: Any) -> tuple[FloatArray, Arrays]:  # noqa: D102
        return normalization.local_response_normalization_gradient(cache, delta, **asdict(self)), {}
