"""The model that serves: raw inputs in, class probabilities out."""

from __future__ import annotations

from pathlib import Path

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.data.split import Split
from zoo.models.outputs import class_probabilities, known_output_kind


def serving_model(model: keras.Model, split: Split) -> keras.Model:
    """Scaling + model + (N, K) probabilities as one functional model of stock Keras layers around `model`."""
    inputs = keras.Input(split.input_shape, dtype=split.dtype.name, name="inputs")
    x = inputs
    if split.dtype == np.uint8:
        x = keras.layers.Rescaling(split.scaling.scale, split.scaling.offset, dtype="float32", name="scaling")(x)
    outputs = class_probabilities(model(x, training=False), known_output_kind(model))
    return keras.Model(inputs, outputs, name=f"{model.name}_serving")


def write_saved_model(serving: keras.Model, path: Path, split: Split) -> None:
    """Writes a SavedModel whose `serving_default` takes raw inputs of any batch size and names the class."""
    names = tf.constant(split.class_names)

    def serve(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = serving(inputs, training=False)
        index = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        return {"probabilities": probabilities, "class_index": index, "class_name": tf.gather(names, index)}

    signature = [tf.TensorSpec((None, *split.input_shape), tf.as_dtype(split.dtype), name="inputs")]
    archive = keras.export.ExportArchive()
    archive.track(serving)
    archive.add_endpoint("serving_default", serve, input_signature=signature)
    archive.write_out(str(path), verbose=False)
