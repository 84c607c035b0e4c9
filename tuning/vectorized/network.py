"""`Network`: the layers of a dense model as operations on all members at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import zoo.startup  # noqa: F401  (before Keras)

import keras
import tensorflow as tf

from zoo.models.outputs import output_kind

_LAYERS = (
    keras.layers.InputLayer,
    keras.layers.Flatten,
    keras.layers.Dense,
    keras.layers.Activation,
    keras.layers.Dropout,
)
_NARROW = 16  # outputs; with 10 the products of softmax regression take half of the time, with 32 more
_OUTPUTS = ("softmax", "logits", "sigmoid", "logit")

Read = Callable[[keras.Variable], tf.Tensor]  # a variable of the model -> its values for all members
DropOut = Callable[[keras.layers.Dropout, tf.Tensor], tf.Tensor]


class Network:
    """A chain of dense layers whose weights have a leading axis of members.

    Every product is a batched one, a member at a time, so a member's numbers do not depend on its neighbours, nor on how
    many there are.

    Args:
        model: a built Keras model for which `is_chain` holds. What is read of the kernel of a narrow layer is transposed.
    """

    def __init__(self, model: keras.Model) -> None:
        assert is_chain(model)
        self._layers = model.layers
        self._last = model.layers[-1]
        self._kind = output_kind(model)

    def logits(self, inputs: tf.Tensor, read: Read, dropout: DropOut | None = None) -> tf.Tensor:
        """(M, B, outputs) from (M or 1, B, ...) inputs; `dropout` is what dropout layers do, `None` nothing."""
        x = tf.cast(inputs, self._last.compute_dtype)
        for layer in self._layers:
            if isinstance(layer, keras.layers.Flatten):
                x = tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1], layer.output.shape[-1]])
            elif isinstance(layer, keras.layers.Dense):
                if is_narrow(layer):
                    x = tf.linalg.matrix_transpose(tf.matmul(read(layer.kernel), x, transpose_b=True))
                else:
                    x = tf.matmul(x, read(layer.kernel))
                if layer.use_bias:
                    # As a product, so that its gradient is one: the order of a sum over axes would depend on the group.
                    x += tf.matmul(tf.ones([1, tf.shape(x)[1], 1], x.dtype), read(layer.bias)[:, tf.newaxis])
                x = x if layer is self._last else layer.activation(x)
            elif isinstance(layer, keras.layers.Activation):
                x = layer.activation(x)
            elif isinstance(layer, keras.layers.Dropout) and dropout is not None:
                x = dropout(layer, x)
        return x

    def losses(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """(M, B) cross entropies in nats of (M, B, outputs) logits; labels are (M or 1, B)."""
        labels = tf.broadcast_to(labels, tf.shape(logits)[:2])
        if self._kind in ("softmax", "logits"):
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(labels, logits.dtype), logits[..., 0])

    def hits(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """(M, B) 1 where a member has an example right, 0 where it has not; float32."""
        if self._kind in ("softmax", "logits"):
            predicted = tf.argmax(logits, axis=-1, output_type=labels.dtype)
        elif self._kind == "sigmoid":
            predicted = tf.cast(tf.sigmoid(logits[..., 0]) > 0.5, labels.dtype)
        else:
            predicted = tf.cast(logits[..., 0] > 0, labels.dtype)
        return tf.cast(predicted == labels, tf.float32)


def is_narrow(layer: keras.layers.Layer) -> bool:
    """Whether a layer's kernel is kept as (outputs, inputs): products with few columns are slow, those with few rows are not."""
    return isinstance(layer, keras.layers.Dense) and layer.units <= _NARROW < layer.kernel.shape[0]


def is_chain(model: keras.Model) -> bool:
    """Whether a built model is one that `Network` computes: a chain of its layers, all in one precision."""
    layers = model.layers
    of_known_type = all(type(layer) in _LAYERS for layer in layers)
    return (
        of_known_type
        and isinstance(layers[0], keras.layers.InputLayer)
        and all(after.input is before.output for before, after in itertools.pairwise(layers))
        and type(layers[-1]) is keras.layers.Dense
        and output_kind(model) in _OUTPUTS
        and {layer.dtype_policy.name for layer in layers[1:]} <= {"float32", "float64"}
    )
