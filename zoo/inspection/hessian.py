"""How curved the loss is: the largest eigenvalue of its Hessian, and the learning rate that it allows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import UsageError, check_count
from zoo.inspection.calling import Loss, as_inputs, loss_of, trainable_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Curvature:
    """The top of the spectrum of the Hessian of the loss.

    Attributes:
        eigenvalue: λmax, the largest eigenvalue (not the largest absolute one).
        stable_rate: 2/λmax: along this direction gradient descent without momentum diverges at a larger rate; infinite
            where λmax is not above 0.
        smallest: smallest eigenvalue as far as the iteration has found it; below 0 where the loss is not convex.
        residual: ‖Hv - λmax v‖ of the unit eigenvector; some eigenvalue is within this distance.
        vector: (P,) unit eigenvector, over the trainable weights in the model's order.
        estimates: (I,) estimate of λmax after each product with the Hessian; it grows towards λmax.
        converged: whether `residual` is within the tolerance.
    """

    eigenvalue: float
    stable_rate: float
    smallest: float
    residual: float
    vector: np.ndarray
    estimates: np.ndarray
    converged: bool


def curvature(
    model: keras.Model,
    inputs: Any,
    labels: Any,
    *,
    loss: Loss | None = None,
    training: bool = False,
    iterations: int = 50,
    tolerance: float = 1e-4,
    seed: int = 0,
) -> Curvature:
    """The largest eigenvalue of the Hessian of the loss by Lanczos's method with full reorthogonalisation.

    The Hessian is never made: its products with vectors are gradients of gradients (Pearlmutter, 1994), each some four times
    the cost of a gradient. It is that of the mean loss of these inputs and of the penalties, with respect to all trainable
    weights, at the model's weights and in its dtype: a float64 model gives it to many digits. The model is not changed.

    Args:
        model: any built model whose operations have second derivatives.
        inputs: (N, ...) examples, as the model takes them.
        labels: (N,) class indices, or what `loss` takes.
        loss: function of (labels, outputs), of which the mean is taken; by default the cross entropy.
        training: whether layers do what they do in training (batch statistics).
        iterations: most products with the Hessian.
        tolerance: the residual, relative to |λmax|, at which it stops.
        seed: decides the first vector.

    Raises:
        UsageError: nothing is trainable, a value is out of range, or the Hessian is not finite.
        DataError: labels that are no classes of the model.
    """
    check_count("iterations", iterations)
    if not tolerance > 0:
        raise UsageError(f"the tolerance must be above 0. Received: tolerance={tolerance}")
    product = _HessianProduct(model, as_inputs(model, inputs), labels, loss, training)
    random = np.random.default_rng(seed)
    basis = [_unit(random.standard_normal(product.size))]
    diagonal: list[float] = []
    beside: list[float] = []
    estimates: list[float] = []
    while True:
        image = product(basis[-1])
        diagonal.append(float(basis[-1] @ image))
        rest = image
        for _ in range(2):  # once leaves what rounding has left
            for vector in basis:
                rest = rest - (vector @ rest) * vector
        length = float(np.linalg.norm(rest))
        values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
        estimates.append(float(values[-1]))
        residual = length * abs(float(vectors[-1, -1]))
        size = max(abs(float(values[0])), abs(float(values[-1])))
        is_done = residual <= tolerance * abs(estimates[-1]) or length <= 1e-12 * size
        if is_done or len(basis) >= min(iterations, product.size):
            break
        beside.append(length)
        basis.append(rest / length)
    top = estimates[-1]
    return Curvature(
        eigenvalue=top,
        stable_rate=2 / top if top > 0 else float("inf"),
        smallest=float(values[0]),
        residual=residual,
        vector=_unit(np.array(basis).T @ vectors[:, -1]),
        estimates=np.array(estimates),
        converged=bool(is_done),
    )


def _unit(vector: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vector / np.linalg.norm(vector)
    return unit


class _HessianProduct:
    """v -> Hv."""

    def __init__(self, model: keras.Model, inputs: Any, labels: Any, loss: Loss | None, training: bool) -> None:
        variables, values = trainable_weights(model)
        self.name = model.name
        self.sizes = [int(np.prod(v.shape)) for v in variables]
        self.size = sum(self.sizes)

        @tf.function(autograph=False)
        def product(directions: list[tf.Tensor]) -> list[tf.Tensor]:
            with tf.GradientTape() as outer:
                outer.watch(values)
                with tf.GradientTape() as inner:
                    inner.watch(values)
                    pairs = zip(variables, values, strict=True)
                    total = loss_of(model, inputs, labels, loss=loss, training=training, values=pairs)
                gradients = inner.gradient(total, values, unconnected_gradients="zero")
                dense = map(tf.convert_to_tensor, gradients)  # that of an embedding is sparse
                slope = tf.add_n([tf.reduce_sum(g * d) for g, d in zip(dense, directions, strict=True)])
            products: list[tf.Tensor] = outer.gradient(slope, values, unconnected_gradients="zero")
            return products

        self.values = values
        self.product = product

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        parts = np.split(vector, np.cumsum(self.sizes)[:-1])
        directions = [
            tf.constant(part.reshape(value.shape), value.dtype) for part, value in zip(parts, self.values, strict=True)
        ]
        found = [tf.convert_to_tensor(part) for part in self.product(directions)]
        image = np.concatenate([np.asarray(part, np.float64).ravel() for part in found])
        if not np.isfinite(image).all():
            raise UsageError(f"the Hessian of {self.name!r} is not finite at its weights on these examples")
        return image


def plot_curvature(found: Curvature, *, title: str = "") -> Figure:
    """The estimate of the largest eigenvalue after each product with the Hessian."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from zoo.drawing import INK, TRAIN, VALIDATION, finish_axes

    figure = Figure(figsize=(5.6, 3.8), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(1, len(found.estimates) + 1)
    axes.plot(places, found.estimates, "o-", color=TRAIN, markersize=3, label="largest eigenvalue so far")
    label = f"λmax = {found.eigenvalue:.4g}, 2/λmax = {found.stable_rate:.4g}"
    axes.axhline(found.eigenvalue, color=VALIDATION, linestyle="--", linewidth=1, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title or "curvature of the loss", color=INK, fontsize=10)
    finish_axes(axes, "products with the Hessian", "eigenvalue")
    return figure
