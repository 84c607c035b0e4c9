"""What `transfer` builds on: a name or a model -> a model from images in [0, 1] to features."""

from __future__ import annotations

import os
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.errors import UsageError, WeightsError, one_line, unknown_name
from zoo.models import catalog, layers
from zoo.models.outputs import output_kind
from zoo.models.published import load_published
from zoo.weights.sources import SOURCES

DEFAULT_BACKBONE = "resnet20"
# network of keras.applications -> (what it wants done to pixels, size of ImageNet's images for it)
APPLICATIONS: dict[str, tuple[str, int]] = {
    **dict.fromkeys(("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152"), ("caffe", 224)),
    **dict.fromkeys(("DenseNet121", "DenseNet169", "DenseNet201"), ("torch", 224)),
    **dict.fromkeys(("MobileNet", "MobileNetV2", "ResNet50V2", "ResNet101V2", "ResNet152V2"), ("symmetric", 224)),
    **dict.fromkeys(("InceptionV3", "InceptionResNetV2", "Xception"), ("symmetric", 299)),
    **dict.fromkeys(("MobileNetV3Small", "MobileNetV3Large", "EfficientNetB0", "EfficientNetV2B0"), ("bytes", 224)),
    "ConvNeXtTiny": ("bytes", 224),
}


def features_of(
    backbone: str | keras.Model, weights: str | os.PathLike[str] | None, image_size: int | None, dtype: str
) -> keras.Model:
    """A functional model from RGB images in [0, 1] to (N, features); arguments as in `zoo.models.transfer.transfer`.

    Raises:
        UsageError: the backbone is unknown, is no functional model of one image, or has another size.
        WeightsError: the weights cannot be had, or do not fit.
    """
    if image_size is not None:
        layers.check_counts(image_size=image_size)
    if isinstance(backbone, keras.Model):
        if weights != "published" or image_size is not None:
            raise UsageError("weights and image_size are of named backbones; a Keras model brings its own")
        return _pooled(_without_classifier(backbone))
    if backbone in SOURCES:
        return _of_catalog(backbone, weights, image_size, dtype)
    if backbone in APPLICATIONS:
        return _of_applications(backbone, weights, image_size)
    raise unknown_name("backbone", backbone, [*SOURCES, *APPLICATIONS])


def image_size_of(backbone: str) -> int:
    """Height and width of the images that a named backbone was made for.

    Raises:
        UsageError: an unknown name.
    """
    if backbone in SOURCES:
        return next(iter(SOURCES[backbone].values())).image_size
    if backbone in APPLICATIONS:
        return APPLICATIONS[backbone][1]
    raise unknown_name("backbone", backbone, [*SOURCES, *APPLICATIONS])


def _of_catalog(name: str, weights: str | os.PathLike[str] | None, image_size: int | None, dtype: str) -> keras.Model:
    if weights is None:
        size = image_size or image_size_of(name)
        return _without_classifier(catalog.build(name, (size, size, 3), 2, dtype=dtype))
    published = load_published(name, None if weights == "published" else weights, image_size=image_size, dtype=dtype)
    features = _without_classifier(published.model)
    features.zoo_weights = published.model.zoo_weights
    return features


def _of_applications(name: str, weights: str | os.PathLike[str] | None, image_size: int | None) -> keras.Model:
    wants, size = APPLICATIONS[name]
    size = image_size or size
    chosen = "imagenet" if weights == "published" else None if weights is None else os.fspath(weights)
    make: Any = getattr(keras.applications, name)
    try:
        network = make(include_top=False, pooling="avg", weights=chosen, input_shape=(size, size, 3))
    except ValueError as error:  # Keras's words for a size or a file that does not fit
        raise UsageError(f"{name}: {one_line(error, 300)}") from error
    except Exception as error:  # and for what a network can do
        raise WeightsError(f"{name}: its weights cannot be had ({one_line(error)})") from error
    inputs = keras.Input((size, size, 3), name="inputs")
    outputs = network._run_through_graph(_prepared(inputs, wants), operation_fn=lambda layer: layer)
    return keras.Model(inputs, outputs, name=name)


def _prepared(x: keras.KerasTensor, wants: str) -> keras.KerasTensor:
    """[0, 1] -> what `preprocess_input` of a module of keras.applications makes of 0..255, in stock layers."""
    if wants == "bytes":
        return keras.layers.Rescaling(255.0, name="bytes")(x)
    if wants == "symmetric":
        return keras.layers.Rescaling(2.0, -1.0, name="symmetric")(x)
    if wants == "torch":
        mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    else:  # blue, green, red in 0..255, less the mean
        x, mean, std = keras.ops.flip(x, axis=-1), [m / 255 for m in (103.939, 116.779, 123.68)], [1 / 255] * 3
    return keras.layers.Normalization(mean=mean, variance=[s**2 for s in std], name="normalization")(x)


def _without_classifier(model: keras.Model) -> keras.Model:
    """What goes into the classifier at the end of a model; the model itself where it has none."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] != 3 or None in shape[1:]:
        raise UsageError(f"a backbone takes RGB images of one size. Received: {model.name!r} with input shape {shape}")
    if output_kind(model) == "unknown":
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    tensor, is_dense = model.outputs[0], False
    while not is_dense:  # activations behind it
        operation, place, _ = tensor._keras_history
        before = operation._inbound_nodes[place].input_tensors
        if isinstance(operation, keras.Model) or len(before) != 1:
            raise UsageError(f"{model.name!r} ends in a classifier, and not in a Dense layer; give it without its end")
        tensor, is_dense = before[0], isinstance(operation, keras.layers.Dense)
    return keras.Model(model.inputs[0], tensor, name=model.name)


def _pooled(model: keras.Model) -> keras.Model:
    """The mean of each map, where a model gives maps."""
    if len(model.output_shape) == 2:
        return model
    if len(model.output_shape) != 4:
        raise UsageError(f"a backbone gives features or maps. Received: {model.name!r} with {model.output_shape}")
    name, taken = "pool", {layer.name for layer in model.layers}
    while name in taken:
        name = f"backbone_{name}"
    x = keras.layers.GlobalAveragePooling2D(dtype=model.outputs[0].dtype, name=name)(model.outputs[0])
    return keras.Model(model.inputs[0], x, name=model.name)
