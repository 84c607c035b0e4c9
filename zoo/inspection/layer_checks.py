"""One layer at a time: its own gradient against differences, and its own arithmetic against float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.inspection.calling import Call, run, untouched
from zoo.inspection.float64_copy import is_float
from zoo.inspection.tensor_checks import ULPS

_STEPS = (1e-5, 1e-7, 1e-9)  # of the size of what is moved; the small ones cross no kink
_STEPS_IN_FLOAT32 = (1e-1, 1e-2, 1e-3)
_NOISE = 1e-3  # of the size of the inputs: parts the ties of a maximum and leaves the kink of a ReLU
# relative errors; of a layer that is kept in float32, and of the model's own arithmetic by its type
TOLERANCE, TOLERANCE_IN_FLOAT32 = 1e-4, 2e-2
OWN_TOLERANCE = {"float64": 1e-6, "float32": 1e-2, "bfloat16": 0.1, "float16": 0.1}


@dataclasses.dataclass(frozen=True)
class LayerCheck:
    """The check of one layer by itself, on what it is given in the model.

    Attributes:
        layer: its name.
        error: relative error of its gradient with respect to inputs and weights, in float64, against central
            differences along random directions; the best of several steps; infinite where it is NaN or infinite although
            the outputs are not; NaN where these are not finite near by.
        own_error: largest relative difference of output and gradients between the model's own layer, as it is
            (its dtype, its fused operation), and its copy in float64; NaN where they cannot be compared (random in
            training; no gradient in this dtype).
        passed: whether both are within their tolerances.
    """

    layer: str
    error: float
    own_error: float
    passed: bool


def check_layers(
    copies: Mapping[str, keras.layers.Layer],
    own: Mapping[str, keras.layers.Layer],
    calls: Mapping[int, Sequence[Call]],
    *,
    training: bool,
    in_float32: Sequence[str],
    seed: int,
) -> list[LayerCheck]:
    """Checks each layer that was called.

    Args:
        copies: layers in float64 by name.
        own: the model's layers by name.
        calls: the calls of the copies; the first of each counts.
        training: whether these were made in training.
        in_float32: names of layers that compute in float32 in the copy too.
        seed: decides directions and noise.
    """
    checks = []
    for name, copy in copies.items():
        if id(copy) not in calls:
            continue
        random = np.random.default_rng(seed)
        dtype = str(own[name].compute_dtype)
        call = _generic(calls[id(copy)][0], random)
        problem = _Problem(copy, call, random)
        if not problem.moved:  # nothing flows through it: integers, or no weights
            continue
        is_narrow = name in in_float32
        precision, steps = (np.float32, _STEPS_IN_FLOAT32) if is_narrow else (np.float64, _STEPS)
        limit = TOLERANCE_IN_FLOAT32 if is_narrow else TOLERANCE
        error = problem.error(steps, precision, limit)
        is_random = training and bool(copy._seed_generators)
        own_error = float("nan") if is_random else _Problem(copy, _rounded(call, dtype), random).distance(own[name])
        passed = not error > limit and not own_error > OWN_TOLERANCE.get(dtype, 1e-2)
        checks.append(LayerCheck(name, error, own_error, passed))
    return checks


def _generic(call: Call, random: np.random.Generator) -> Call:
    """The call at a point near by that has no ties."""

    def moved(value: Any) -> Any:
        if not is_float(value):
            return value
        noise = _NOISE * _size(value) * random.standard_normal(value.shape)
        return value + tf.cast(noise, value.dtype)

    return _changed(call, moved)


def _rounded(call: Call, dtype: str) -> Call:
    """The call with inputs that a layer of this dtype can be given; in bfloat16 some become equal, in both layers alike."""

    def rounded(value: Any) -> Any:
        return tf.cast(tf.cast(value, dtype), value.dtype) if is_float(value) else value

    return _changed(call, rounded)


def _changed(call: Call, change: Callable[[Any], Any]) -> Call:
    args, kwargs = tf.nest.map_structure(change, (call.args, call.kwargs))
    return dataclasses.replace(call, args=args, kwargs=kwargs)


def _size(tensor: Any) -> float:
    """The root mean square, or 1 of zeros."""
    value = np.asarray(tensor, np.float64)
    return float(np.sqrt(np.mean(value**2))) or 1.0 if value.size else 1.0


class _Problem:
    """The function <c, layer(inputs; weights)> with random c, and its gradients."""

    def __init__(self, layer: keras.layers.Layer, call: Call, random: np.random.Generator) -> None:
        self.call = call
        self.random = random
        self.layer = layer
        flat = [x for x in tf.nest.flatten((call.args, call.kwargs)) if is_float(x)]
        weights = [tf.convert_to_tensor(v.value) for v in layer.trainable_variables]
        self.moved = [*flat, *weights]
        outputs = [y for y in tf.nest.flatten(call.outputs) if is_float(y)]
        self.cotangents = [random.standard_normal(y.shape) for y in outputs]
        if not outputs:
            self.moved = []

    def _value(self, layer: keras.layers.Layer, moved: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        rest = iter(moved)
        given = (self.call.args, self.call.kwargs)
        args, kwargs = tf.nest.map_structure(lambda x: next(rest) if is_float(x) else x, given)
        with untouched(zip(layer.trainable_variables, rest, strict=True)):
            outputs = [y for y in tf.nest.flatten(layer(*args, **kwargs)) if is_float(y)]
        wide = [tf.cast(y, tf.float64) for y in outputs]
        return tf.add_n([tf.reduce_sum(c * y) for c, y in zip(self.cotangents, wide, strict=True)]), wide

    def _gradients(self, layer: keras.layers.Layer, moved: Sequence[tf.Tensor]) -> list[np.ndarray]:
        """Outputs, then the gradient of each tensor that is moved."""

        def function(moved: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(moved)
                value, outputs = self._value(layer, moved)
            gradients = tape.gradient(value, moved, unconnected_gradients="zero")
            return [tf.cast(tf.convert_to_tensor(t), tf.float64) for t in (*outputs, *gradients)]

        return [np.asarray(tensor) for tensor in run(function, moved)]

    def error(self, steps: Sequence[float], precision: type, tolerance: float) -> float:
        """Largest over the tensors that are moved: differences along a random direction against the gradient.

        It is relative to the gradient, or to what rounding in this precision can make of none, within the tolerance.
        """
        found = self._gradients(self.layer, self.moved)
        outputs, gradients = found[: len(self.cotangents)], found[len(self.cotangents) :]
        if _are_finite(outputs) and not _are_finite(gradients):
            return float("inf")
        size = np.sqrt(sum(_norm(c * y) ** 2 for c, y in zip(self.cotangents, outputs, strict=True)))
        noise = ULPS * np.finfo(precision).eps * size / tolerance
        worst = 0.0
        for i, (tensor, gradient) in enumerate(zip(self.moved, gradients, strict=True)):
            direction = _size(tensor) * self.random.standard_normal(tensor.shape)
            slope = float(np.sum(gradient * direction))
            errors = []
            for step in steps:
                ends = [self._at(i, sign * step * direction) for sign in (1, -1)]
                difference = (ends[0] - ends[1]) / (2 * step)
                usual = max(abs(difference), _norm(gradient) * _size(direction), noise / step)
                errors.append(abs(slope - difference) / usual if usual else 0.0)
            worst = np.maximum(worst, np.fmin.reduce(errors))  # NaN only where each step gives it
        return float(worst)

    def _at(self, place: int, shift: np.ndarray) -> float:
        moved = list(self.moved)
        moved[place] = moved[place] + tf.cast(shift, moved[place].dtype)
        return float(self._value(self.layer, moved)[0])

    def distance(self, own: keras.layers.Layer) -> float:
        """Largest relative difference between this layer's outputs and gradients and those of another one."""
        mine = self._gradients(self.layer, self.moved)
        inputs = len(self.moved) - len(own.trainable_variables)
        dtype = own.compute_dtype if own.autocast else own.variable_dtype
        given = [tf.cast(t, dtype if i < inputs else own.variable_dtype) for i, t in enumerate(self.moved)]
        try:
            theirs = self._gradients(own, given)
        except tf.errors.InvalidArgumentError:  # a convolution in groups in float64, on a CPU
            return float("nan")
        if not _are_finite(mine) or not _are_finite(theirs):
            return float("inf" if _are_finite(mine) else "nan")
        outputs = len(self.cotangents)
        # What cancels (the gradient of a normalisation) is held against what does not: the cotangent times the layer's gain.
        cotangent = max(map(_norm, self.cotangents))
        gain = max(map(_norm, mine[:outputs])) / max(map(_size, self.moved))
        typical: float = cotangent * gain / np.sqrt(max(map(np.size, self.cotangents)))
        usual = [0.0] * outputs + [typical] * len(self.moved)
        return max(_norm(a - b) / max(_norm(a), least, 1e-30) for a, b, least in zip(mine, theirs, usual, strict=True))


def _norm(array: np.ndarray) -> float:
    return float(np.linalg.norm(array))


def _are_finite(arrays: Sequence[np.ndarray]) -> bool:
    return all(np.isfinite(array).all() for array in arrays)
