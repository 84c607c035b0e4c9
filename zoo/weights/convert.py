"""Tensors of published files -> the variables of our models, by name and layout, all or nothing."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Mapping

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import WeightsError
from zoo.weights.fetch import WeightFile

_LOGGER = logging.getLogger("zoo")
_FLOATS = ("float32", "float16", "bfloat16", "float64")
_Convert = Callable[[np.ndarray], np.ndarray]
_BLOCK_BYTES = 2**24
_LISTED = 10  # names of each kind in an error

_TORCH_PARTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_CAFFE_PARTS = {"kernel": "weights", "bias": "biases"}


def _caffe_layer(name: str) -> str:
    return {"predictions": "fc8"}.get(name, name) + "/"


def _torchvision_alexnet_layer(name: str) -> str:
    convolutions = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}
    dense = {"fc6": 1, "fc7": 4, "predictions": 6}
    return f"features.{convolutions[name]}." if name in convolutions else f"classifier.{dense[name]}."


def _torch_resnet_layer(name: str) -> str:
    """`stage2_block1_conv1` -> `layer2.0.conv1.`, its normalisation -> `layer2.0.bn1.`, a shortcut -> `...downsample.0.`."""
    if name == "predictions":
        return "fc."
    convolution = name.removesuffix("_batch_normalization")
    is_normalization = convolution != name
    block = re.fullmatch(r"stage(\d+)_block(\d+)_(\w+)", convolution)
    prefix = f"layer{block[1]}.{int(block[2]) - 1}." if block else ""
    part = block[3] if block else convolution
    if part == "shortcut":
        return f"{prefix}downsample.{int(is_normalization)}."
    return prefix + (part.replace("conv", "bn") if is_normalization else part) + "."


_NAMINGS: dict[str, Callable[[str], str]] = {
    "alexnet": _caffe_layer,
    "alexnet_v2": _torchvision_alexnet_layer,
    **{f"resnet{depth}": _torch_resnet_layer for depth in (18, 20, 32, 34, 44, 50, 56)},
}


@dataclasses.dataclass(frozen=True)
class _Target:
    """Where a tensor goes."""

    variable: keras.Variable
    shape: tuple[int, ...]  # in the file
    convert: _Convert
    class_axis: int | None  # in the file, of the tensors of the last layer


def load_weights(model: keras.Model, file: WeightFile, kernel_initializer: str | keras.Initializer) -> None:
    """Gives a model of the catalog the weights of a published file.

    A file for another number of classes gives all layers but `predictions`, which keeps its initial weights; a line
    of the logger "zoo" says so.

    Args:
        model: a model that the catalog built, with its name.
        file: what `find_weights` found.
        kernel_initializer: what the hidden layers' configuration is to say of their initial weights.

    Raises:
        WeightsError: tensors are missing, superfluous or of another shape; they are listed, and no variable is changed.
    """
    tensors = _canonical(file.tensors)
    targets = _targets(model, file)
    head = [name for name, target in targets.items() if target.class_axis is not None]
    classes = _classes(tensors, targets, head)
    has_other_classes = classes not in (0, model.get_layer("predictions").units)
    if has_other_classes:
        for name in head:
            del targets[name], tensors[name]
    _check(model, file, tensors, targets)
    for name, target in targets.items():
        _assign(target.variable, target.convert(tensors.pop(name)[1]), file.tensors.forget_pages)
    model.zoo_weights = {"weights_sha256": file.sha256}  # `build` says it in the description of the model
    for layer in model.layers:
        if hasattr(layer, "kernel_initializer") and layer.name != "predictions":
            layer.kernel_initializer = keras.initializers.get(kernel_initializer)
    if has_other_classes:
        _LOGGER.warning(
            "%s: its %d classes are left out; the layer 'predictions' of %s has new weights for %d classes",
            file.path,
            classes,
            model.name,
            model.get_layer("predictions").units,
        )


def count_classes(model: str, file: WeightFile) -> int:
    """The number of classes that a file for a model of the catalog knows.

    Raises:
        WeightsError: the file has no last layer of that model.
    """
    naming = _NAMINGS[model]
    part = _CAFFE_PARTS["bias"] if naming is _caffe_layer else _TORCH_PARTS["bias"]
    name = naming("predictions") + part
    tensors = _canonical(file.tensors)
    if name not in tensors or tensors[name][1].ndim != 1:
        raise WeightsError(f"{file.path} does not fit {model}; missing: {name}")
    return len(tensors[name][1])


def _assign(variable: keras.Variable, array: np.ndarray, forget_pages: Callable[[], None]) -> None:
    """Assigns a few rows at a time: TensorFlow copies what it is given twice, and AlexNet has a kernel of 151 MB."""
    rows = max(1, _BLOCK_BYTES * len(array) // array.nbytes)
    if rows >= len(array) or tf.distribute.has_strategy():  # there a variable is several
        variable.assign(array.astype(variable.dtype, copy=False))
        return
    for start in range(0, len(array), rows):
        variable.value[start : start + rows].assign(array[start : start + rows].astype(variable.dtype, copy=False))
        forget_pages()


def _canonical(tensors: Mapping[str, np.ndarray]) -> dict[str, tuple[str, np.ndarray]]:
    """Canonical name -> (name in the file, array): torchvision's names for what the CIFAR repositories call otherwise."""
    canonical = {}
    is_parallel = all(name.startswith("module.") for name in tensors)  # saved from torch.nn.DataParallel
    for name, array in tensors.items():
        if name.endswith(".num_batches_tracked"):
            continue
        known = name.removeprefix("module.") if is_parallel else name
        known = re.sub(r"^linear\.", "fc.", known.replace(".shortcut.", ".downsample."))
        canonical[known if known not in canonical else name] = (name, array)
    return canonical


def _targets(model: keras.Model, file: WeightFile) -> dict[str, _Target]:
    """Canonical name -> where it goes, for every variable that a file has to give."""
    naming = _NAMINGS[model.name]
    is_caffe = naming is _caffe_layer
    parts = _CAFFE_PARTS if is_caffe else _TORCH_PARTS
    targets = {}
    for layer in model.layers:
        for variable in layer.weights:
            if variable.name not in parts:
                continue  # the state of a dropout's random numbers
            name = naming(layer.name) + parts[variable.name]
            shape = tuple(variable.shape)
            convert: _Convert
            if is_caffe:
                convert = _red_first if layer.name == "conv1" and variable.name == "kernel" else _as_it_is
            else:
                shape, convert = _torch_layout(model, layer, shape)
            class_axis = (len(shape) - 1 if is_caffe else 0) if layer.name == "predictions" else None
            targets[name] = _Target(variable, shape, convert, class_axis)
    return targets


def _as_it_is(array: np.ndarray) -> np.ndarray:
    return array


def _red_first(kernel: np.ndarray) -> np.ndarray:
    """Caffe's first layer takes blue, green, red; turned round, it takes what all other models take."""
    return kernel[:, :, ::-1]


def _torch_layout(
    model: keras.Model, layer: keras.layers.Layer, shape: tuple[int, ...]
) -> tuple[tuple[int, ...], _Convert]:
    """The shape in a Torch file of what has `shape` in Keras, and how it becomes that."""
    if len(shape) == 4:  # (out, in, height, width) -> (height, width, in, out)
        return (shape[3], shape[2], *shape[:2]), lambda kernel: kernel.transpose(2, 3, 1, 0)
    if len(shape) != 2:
        return shape, _as_it_is
    before = layer.input._keras_history.operation
    while isinstance(before, keras.layers.Dropout):
        before = before.input._keras_history.operation
    if not isinstance(before, keras.layers.Flatten):
        return shape[::-1], np.transpose
    height, width, channels = before.input.shape[1:]  # Torch flattens its channels first

    def convert(kernel: np.ndarray) -> np.ndarray:
        return kernel.reshape(-1, channels, height, width).transpose(2, 3, 1, 0).reshape(shape)

    return shape[::-1], convert


def _classes(tensors: Mapping[str, tuple[str, np.ndarray]], targets: Mapping[str, _Target], head: list[str]) -> int:
    """The number of classes that all tensors of the file's last layer are for; 0 where they do not fit but for that."""
    found = set()
    for name in head:
        axis, needs = targets[name].class_axis, list(targets[name].shape)
        has = list(tensors[name][1].shape) if name in tensors else []
        if axis is None or len(has) != len(needs):
            return 0
        found.add(has.pop(axis))
        needs.pop(axis)
        if has != needs:
            return 0
    return 0 if len(found) > 1 else int(found.pop())


def _check(
    model: keras.Model,
    file: WeightFile,
    tensors: Mapping[str, tuple[str, np.ndarray]],
    targets: Mapping[str, _Target],
) -> None:
    missing = [name for name in targets if name not in tensors]
    extra = [original for name, (original, _) in tensors.items() if name not in targets]
    shapes = {name: tensors[name][1].shape for name in targets if name in tensors}
    wrong = [
        f"{tensors[name][0]} is {_shape(shape)} and should be {_shape(targets[name].shape)}"
        for name, shape in shapes.items()
        if shape != targets[name].shape
    ]
    kinds = [
        f"{tensors[name][0]} has {tensors[name][1].dtype} numbers"
        for name in shapes
        if tensors[name][1].dtype not in _FLOATS
    ]
    faults = [
        f"{title} {_listed(names)}"
        for title, names in (
            ("missing:", missing),
            ("superfluous:", extra),
            ("of another shape:", wrong),
            ("of another kind:", kinds),
        )
        if names
    ]
    if faults:
        raise WeightsError(f"{file.path} does not fit {model.name}; {'; '.join(faults)}")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"
