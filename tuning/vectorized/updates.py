"""The optimizers' formulas with a rate for each member: those of the stock Keras optimizers, which take one for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import zoo.startup  # noqa: F401  (before Keras)

import keras
import tensorflow as tf

_SLOTS = {  # optimizer of a recipe -> attributes of the Keras optimizer: lists with a variable for each weight
    "sgd": ("momentums",),
    "nesterov": ("momentums",),
    "adagrad": ("_accumulators",),
    "adam": ("_momentums", "_velocities"),
    "adamw": ("_momentums", "_velocities"),
}
OPTIMIZERS = tuple(_SLOTS)

TIMES_RATE = ("sgd", "nesterov")  # whose gradients are to come multiplied by the rate: that costs nothing further up

Update = Callable[[tf.Variable, Sequence[tf.Variable], tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], None]


def slots_of(name: str, optimizer: keras.Optimizer) -> list[list[keras.Variable]]:
    """The slots of each weight of a built optimizer."""
    lists = [getattr(optimizer, attribute) for attribute in _SLOTS[name]]
    return [[slots[i] for slots in lists if slots] for i in range(len(optimizer._trainable_variables))]


def make_update(name: str, optimizer: keras.Optimizer) -> Update:
    """The step of an optimizer, `update(weight, slots, gradient, rate, momentum, step)`.

    `weight`, `slots` and `gradient` have a leading axis of members; rate and momentum are (M, 1, ..., 1), and step, counted
    from 1, is one number; all of the weight's dtype. Passes over the weights are what a step of small models costs, so there
    are few.
    """

    def sgd(weight, slots, change, rate, momentum, step):  # type: ignore[no-untyped-def]
        if not slots:
            weight.assign_sub(change)
            return
        (velocity,) = slots
        new = velocity.assign(momentum * velocity - change)
        weight.assign_add(momentum * new - change if name == "nesterov" else new)

    def adagrad(weight, slots, gradient, rate, momentum, step):  # type: ignore[no-untyped-def]
        (accumulator,) = slots
        total = accumulator.assign_add(tf.square(gradient))
        root = tf.sqrt(total + tf.cast(optimizer.epsilon, total.dtype))
        # The maximum changes nothing; without it the division becomes an approximate inverse root, which rounds by place.
        weight.assign_sub(rate * gradient / tf.maximum(root, tf.zeros([], root.dtype)))

    def adam(weight, slots, gradient, rate, momentum, step):  # type: ignore[no-untyped-def]
        first, second = slots
        beta_1, beta_2, epsilon = (
            tf.constant(number, gradient.dtype) for number in (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon)
        )
        m = first.assign_add((gradient - first) * (1 - beta_1))
        v = second.assign_add((tf.square(gradient) - second) * (1 - beta_2))
        corrected = rate * (tf.sqrt(1 - tf.pow(beta_2, step)) / (1 - tf.pow(beta_1, step)))
        weight.assign_sub(corrected * m / (tf.sqrt(v) + epsilon))

    return {"sgd": sgd, "nesterov": sgd, "adagrad": adagrad}.get(name, adam)
