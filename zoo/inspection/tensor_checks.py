"""The gradient of the whole loss, one tensor of weights at a time: autodiff, differences, and a verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import UsageError
from zoo.inspection.calling import Loss, loss_of, run, trainable_weights

_KINK = 1e-2  # a difference of the two one-sided differences, relative to the gradient, that no step makes small
_OFF_ZERO = 0.01  # how far weights that are zero are moved, as standard deviation
ULPS = 4.0  # rounding errors of the loss that a difference may hold


@dataclasses.dataclass(frozen=True)
class TensorCheck:
    """The check of one tensor of weights.

    Attributes:
        layer: name of the layer that it belongs to.
        tensor: its name there, e.g. "kernel".
        entries: (E,) flat places of the weights that were moved; the first has the largest gradient.
        autodiff: (E,) their gradients by autodiff.
        differences: (E, S) their central differences, by step.
        errors: (S,) largest relative error of the entries by step; one that is a kink is not counted.
        error: largest relative error when each entry takes its best step.
        kinks: entries that no step judges: their differences agree at no two steps, since each step crosses kinks of a ReLU
            or a maximum, or forward and backward difference do not agree, since it has a kink there.
        in_float32: whether a layer that computes in float32 lies between it and the loss, so that it is checked to 2e-2.
        passed: whether `error` is within the tolerance.
    """

    layer: str
    tensor: str
    entries: np.ndarray
    autodiff: np.ndarray
    differences: np.ndarray
    errors: np.ndarray
    error: float
    kinks: int
    in_float32: bool
    passed: bool


def some_entries(gradient: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """The place of the largest gradient, and others by chance."""
    largest = int(np.argmax(np.abs(gradient)))
    others = random.choice(gradient.size, min(count, gradient.size), replace=False)
    return np.array([largest, *others[others != largest]][:count])


class LossOfWeights:
    """The loss as a function of the trainable weights, traced once."""

    def __init__(self, model: keras.Model, inputs: Any, labels: Any, loss: Loss | None, training: bool) -> None:
        variables, self.values = trainable_weights(model)

        def function(values: list[tf.Tensor]) -> tf.Tensor:
            pairs = zip(variables, values, strict=True)
            total = loss_of(model, inputs, labels, loss=loss, training=training, values=pairs)
            return tf.cast(total, tf.float64)

        self.eager: Callable[[list[tf.Tensor]], tf.Tensor] = function
        specs = [tf.TensorSpec(v.shape, v.dtype) for v in self.values]
        self.traced = tf.function(function, autograph=False, input_signature=[specs])
        self.graph = self.traced.get_concrete_function().graph
        if not np.isfinite(here := float(self.traced(self.values))):
            raise UsageError(
                f"the loss of {model.name!r} has no gradient to check. Received: examples with the loss {here}"
            )

    def move_off_zero(self) -> None:
        """Moves weights that are zero: with fresh biases, all blank pixels of an image lie in the kink of a ReLU."""
        for place, value in enumerate(self.values):
            moved = np.random.default_rng(place).normal(0, _OFF_ZERO, value.shape)
            self.values[place] = tf.where(value == 0, tf.cast(moved, value.dtype), value)

    def gradients(self) -> list[np.ndarray]:
        """Autodiff's gradient of each tensor, flat."""

        def function(values: list[tf.Tensor]) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(values)
                value = self.eager(values)
            gradients: list[tf.Tensor] = tape.gradient(value, values, unconnected_gradients="zero")
            return gradients

        gradients = run(function, self.values)
        return [np.asarray(tf.convert_to_tensor(g), np.float64).ravel() for g in gradients]

    def differences(self, place: int, entries: np.ndarray, steps: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss E(w), and (E, S, 2) values of E(w + ε) and E(w - ε)."""
        weights = self.values[place].numpy()
        found = np.empty((len(entries), len(steps), 2))
        for i, j, k in np.ndindex(found.shape):
            moved = weights.copy()
            moved.reshape(-1)[entries[i]] += steps[j] * (1 - 2 * k)
            found[i, j, k] = self._at(place, tf.constant(moved))
        return self._at(place, self.values[place]), found

    def _at(self, place: int, value: tf.Tensor) -> float:
        return float(self.traced([*self.values[:place], value, *self.values[place + 1 :]]))


def judged(
    layer: str,
    tensor: str,
    entries: np.ndarray,
    gradient: np.ndarray,
    measured: tuple[float, np.ndarray],
    steps: np.ndarray,
    tolerance: float,
    in_float32: bool,
) -> TensorCheck:
    """The verdict on one tensor.

    Args:
        layer: the name of its layer.
        tensor: its name there.
        entries: (E,) flat places.
        gradient: autodiff's, flat, of the whole tensor.
        measured: what `LossOfWeights.differences` gives.
        steps: (S,) steps.
        tolerance: largest relative error.
        in_float32: whether the loss is rounded to float32 behind the tensor.
    """
    here, values = measured
    autodiff = gradient[entries]
    differences = (values[..., 0] - values[..., 1]) / (2 * steps)
    ulp = np.finfo(np.float32 if in_float32 else np.float64).eps
    noise = ULPS * ulp * max(abs(here), 1e-3) / steps
    usual = np.maximum(max(np.abs(autodiff).max(), np.abs(differences).max(axis=0).min()), noise / tolerance)
    errors = np.abs(autodiff[:, np.newaxis] - differences) / usual
    # Of a smooth loss, the differences of two small steps agree, and so do forward and backward difference, which in the kink
    # itself differ by more than their mean is off.
    apart = np.abs(values.sum(axis=-1) - 2 * here) / steps / usual
    jumps = np.abs(np.diff(differences, axis=1)) / usual[1:]
    is_settled = (jumps <= tolerance).any(axis=1) if len(steps) > 1 else np.full(len(entries), True)
    is_kink = (errors > tolerance).all(axis=1) & (~is_settled | (errors <= apart).all(axis=1))
    judged = errors[~is_kink]
    by_step = judged.max(axis=0) if len(judged) else np.zeros(len(steps))
    error = float(judged.min(axis=1).max()) if len(judged) else 0.0
    return TensorCheck(
        layer,
        tensor,
        entries,
        autodiff,
        differences,
        by_step,
        error,
        int(is_kink.sum()),
        in_float32,
        error <= tolerance,
    )
