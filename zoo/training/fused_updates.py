"""SGD and Adam steps in one operation a variable, on the stock Keras optimizers.

Keras writes an update as elementwise operations: a dozen passes over all weights and slots for Adam, which took a third of
the time of an MLP's gradient step. TensorFlow has one operation for each of these formulas.
"""

from __future__ import annotations

import zoo.startup  # noqa: F401  (before Keras)

import keras
import tensorflow as tf

_FUSED = (tf.float32, tf.float64)


def fuse_updates(optimizer: keras.Optimizer) -> keras.Optimizer:
    """Makes this one optimizer update float variables by TensorFlow's fused operations; returns it.

    `update_step` is the method that Keras lets optimizers define; it is set on the object, so class, slots and saved
    configuration remain the stock ones. Other optimizers than SGD, Adam and AdamW, Adam with `amsgrad`, and training on
    several devices at once keep Keras's arithmetic.
    """
    if type(optimizer) is keras.optimizers.SGD:
        update = _sgd_update
    elif type(optimizer) in (keras.optimizers.Adam, keras.optimizers.AdamW) and not optimizer.amsgrad:
        update = _adam_update
    else:
        return optimizer
    stock = optimizer.update_step

    def update_step(gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        if variable.dtype not in _FUSED or tf.distribute.get_strategy().num_replicas_in_sync > 1:
            stock(gradient, variable, learning_rate)
            return
        gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)
        update(optimizer, gradient, variable, tf.cast(learning_rate, variable.dtype))

    optimizer.update_step = update_step
    return optimizer


def forget_traces(optimizer: keras.Optimizer) -> keras.Optimizer:
    """Makes a trained model free its graph, weights and data when it is let go; returns this one optimizer.

    Keras sums gradients over devices by `all_reduce`, also where there is one device. That is a custom gradient, and
    TensorFlow keeps the closures of custom gradients, with all that their graph holds, for as long as the process lives.
    """
    stock = optimizer._all_reduce_sum_gradients

    def summed(grads_and_vars: list[tuple[tf.Tensor, tf.Variable]]) -> list[tuple[tf.Tensor, tf.Variable]]:
        alone = tf.distribute.get_strategy().num_replicas_in_sync == 1
        return grads_and_vars if alone else stock(grads_and_vars)

    optimizer._all_reduce_sum_gradients = summed
    return optimizer


def _sgd_update(optimizer: keras.optimizers.SGD, gradient: tf.Tensor, variable: tf.Variable, rate: tf.Tensor) -> None:
    """Plain: w <- w - rate·g. Momentum: v <- momentum·v - rate·g, w <- w + v; Nesterov: w <- w + momentum·v - rate·g."""
    if not optimizer.momentums:
        tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=rate, delta=gradient)
        return
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=variable.handle,
        accum=_slot(optimizer, optimizer.momentums, variable),
        lr=rate,
        grad=gradient,
        momentum=_constant(optimizer.momentum, variable),
        use_nesterov=optimizer.nesterov,
    )


def _adam_update(optimizer: keras.optimizers.Adam, gradient: tf.Tensor, variable: tf.Variable, rate: tf.Tensor) -> None:
    """Kingma and Ba (2015), as in Keras with epsilon beside sqrt(v) before its correction.

    m <- m + (1-b1)·(g-m), v <- v + (1-b2)·(g²-v), w <- w - rate·sqrt(1-b2^t)/(1-b1^t) · m/(sqrt(v)+epsilon).
    """
    step = tf.cast(tf.convert_to_tensor(optimizer.iterations) + 1, variable.dtype)
    beta_1, beta_2 = _constant(optimizer.beta_1, variable), _constant(optimizer.beta_2, variable)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=_slot(optimizer, optimizer._momentums, variable),
        v=_slot(optimizer, optimizer._velocities, variable),
        beta1_power=tf.pow(beta_1, step),
        beta2_power=tf.pow(beta_2, step),
        lr=rate,
        beta1=beta_1,
        beta2=beta_2,
        epsilon=_constant(optimizer.epsilon, variable),
        grad=gradient,
    )


def _constant(value: float | tf.Variable, variable: tf.Variable) -> tf.Tensor:
    if isinstance(value, tf.Variable):
        return tf.cast(value, variable.dtype)
    return tf.convert_to_tensor(value, variable.dtype)  # `tf.cast` would take a float through float32


def _slot(optimizer: keras.Optimizer, slots: list[keras.Variable], variable: tf.Variable) -> tf.Tensor:
    return slots[optimizer._get_variable_index(variable)].value.handle
