"""The model that serves: raw inputs in, class probabilities out, and nothing in it that only training needs."""

from __future__ import annotations

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.data.split import Split
from zoo.models.fusing import fuse_model
from zoo.models.outputs import class_probabilities, known_output_kind
from zoo.models.response_normalization import LocalResponseNormalization, stock_equivalent

# They do nothing to an answer, but would be in the exported graph or file.
_IDLE = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.ActivityRegularization,
)


def serving_model(model: keras.Model, split: Split, dtype: str | None = None) -> keras.Model:
    """Scaling + model + (N, K) probabilities as one functional model of stock Keras layers around `model`.

    Args:
        model: the model; it stays as it is.
        split: what knows the inputs and how they are scaled.
        dtype: "float32" for a file whose runtime knows no other; by default the model's own.
    """
    inputs = keras.Input(split.input_shape, dtype=split.dtype.name, name="inputs")
    x = inputs
    if split.dtype == np.uint8:
        x = keras.layers.Rescaling(split.scaling.scale, split.scaling.offset, dtype="float32", name="scaling")(x)
    outputs = class_probabilities(_for_inference(model, dtype)(x, training=False), known_output_kind(model))
    return keras.Model(inputs, outputs, name=f"{model.name}_serving")


def serving_function(serving: keras.Model, split: Split) -> tf.Module:
    """A module whose `serve` maps `inputs` of any batch size to `probabilities`, and which holds the weights."""
    module = tf.Module()  # Keras's ExportArchive would write every weight twice
    module.weights = [variable.value for variable in serving.variables]
    inputs = tf.TensorSpec((None, *split.input_shape), tf.as_dtype(split.dtype), name="inputs")
    module.serve = tf.function(
        lambda inputs: {"probabilities": serving(inputs, training=False)}, input_signature=[inputs]
    )
    return module


def foreign_layers(model: keras.Model) -> list[str]:
    """Kinds of layers that are not Keras's and stay in a served model: without them no .keras file of it is loaded."""
    own = (LocalResponseNormalization, *_IDLE)
    kinds = {type(layer) for layer in model._flatten_layers() if not isinstance(layer, own)}
    return sorted(kind.__name__ for kind in kinds if not kind.__module__.startswith("keras."))


def _for_inference(model: keras.Model, dtype: str | None) -> keras.Model:
    """A model without dropout and without layers of ours, so that it loads where there is no zoo; itself if it is one."""
    layers = model._flatten_layers(include_self=False)
    if not any(isinstance(layer, (LocalResponseNormalization, *_IDLE)) or _differs(layer, dtype) for layer in layers):
        return model

    def replaced(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, LocalResponseNormalization):
            return stock_equivalent(layer, dtype)
        own = {} if dtype is None else {"dtype": dtype}
        if isinstance(layer, _IDLE):
            return keras.layers.Identity(name=layer.name, **own)
        return type(layer).from_config(layer.get_config() | own)

    start = None if dtype is None else keras.Input(model.input_shape[1:], dtype=dtype)
    copy = keras.models.clone_model(model, input_tensors=start, clone_function=replaced, recursive=True)
    copy.set_weights(model.get_weights())
    for layer in copy._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it computes with tensors made of its weights
    return fuse_model(copy)


def _differs(layer: keras.layers.Layer, dtype: str | None) -> bool:
    return dtype is not None and layer.compute_dtype != dtype
