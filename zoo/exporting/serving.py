"""The model that serves: raw inputs in, class probabilities out."""

from __future__ import annotations

from pathlib import Path

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.data.split import Split
from zoo.models.fusing import fuse_model
from zoo.models.outputs import class_probabilities, known_output_kind
from zoo.models.response_normalization import LocalResponseNormalization, stock_equivalent


def serving_model(model: keras.Model, split: Split) -> keras.Model:
    """Scaling + model + (N, K) probabilities as one functional model of stock Keras layers around `model`."""
    inputs = keras.Input(split.input_shape, dtype=split.dtype.name, name="inputs")
    x = inputs
    if split.dtype == np.uint8:
        x = keras.layers.Rescaling(split.scaling.scale, split.scaling.offset, dtype="float32", name="scaling")(x)
    outputs = class_probabilities(_of_stock_layers(model)(x, training=False), known_output_kind(model))
    return keras.Model(inputs, outputs, name=f"{model.name}_serving")


def _of_stock_layers(model: keras.Model) -> keras.Model:
    """A model without layers of ours, so that it loads where there is no zoo; the model itself when it has none."""
    if not any(isinstance(layer, LocalResponseNormalization) for layer in model._flatten_layers()):
        return model

    def replaced(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, LocalResponseNormalization):
            return stock_equivalent(layer)
        return type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=replaced)
    copy.set_weights(model.get_weights())
    return fuse_model(copy)


def write_saved_model(serving: keras.Model, path: Path, split: Split) -> None:
    """Writes a SavedModel whose `serving_default` takes raw inputs of any batch size and names the class."""
    names = tf.constant(split.class_names)

    def serve(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = serving(inputs, training=False)
        index = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        return {"probabilities": probabilities, "class_index": index, "class_name": tf.gather(names, index)}

    module = tf.Module()  # Keras's ExportArchive would write every weight twice
    module.weights = [variable.value for variable in serving.variables]
    inputs = tf.TensorSpec((None, *split.input_shape), tf.as_dtype(split.dtype), name="inputs")
    module.serve = tf.function(serve, input_signature=[inputs])
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})
