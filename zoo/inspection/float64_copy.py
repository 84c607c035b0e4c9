"""A copy of any model that computes in float64, and what in it does not."""

from __future__ import annotations

import collections
import contextlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf
from keras.src.saving.serialization_lib import SafeModeScope

from zoo.errors import UsageError, one_line
from zoo.inspection.calling import Call, named_layers, tapped, untouched
from zoo.models.catalog import seeded

_FLOATS = ("float", "bfloat", "mixed")


def float64_copy(model: keras.Model, inputs: Any, pinned: Collection[str] = ()) -> keras.Model:
    """The model made again from its configuration in float64, with its weights.

    It has Keras's own formulas: TensorFlow's fused batch normalisation knows no float64. Convolutions in groups are made of
    one convolution a group: TensorFlow's has no gradient in float64 on a CPU, and Keras compiles it anew in each call.

    Args:
        model: a built model whose layers can be made from their configurations.
        inputs: a batch in float64, to build a subclassed model with.
        pinned: names of layers that stay in float32.

    Raises:
        UsageError: a part of the model cannot be made from its configuration.
    """
    layers = named_layers(model)
    kinds = {type(part).__name__: type(part) for part in (model, *layers.values())}
    own_names = {layers[name].name for name in pinned}
    try:
        with _made_in_float64(kinds, layers.values()):
            copy = type(model).from_config(_in_float64(model.get_config(), own_names))
            if not copy.built:
                copy(inputs, training=False)
        copy.set_weights([np.asarray(w) for w in model.get_weights()])
    except Exception as error:  # whatever a layer of somebody's own does
        reason = one_line(error)
        raise UsageError(f"{model.name!r} cannot be made again in float64 from its configuration: {reason}") from error
    for mine, theirs in zip(named_layers(copy).values(), layers.values(), strict=True):
        mine.trainable = theirs.trainable
        if isinstance(mine, keras.layers.Conv2D) and mine.groups > 1:
            mine.convolution_op = _group_by_group(mine)
        if hasattr(mine, "finalize_state"):
            mine.finalize_state()  # a Normalization computes with tensors made of its weights
    return copy


def _group_by_group(layer: keras.layers.Conv2D) -> Callable[..., Any]:
    axis = -1 if layer.data_format == "channels_last" else 1
    options = {
        "strides": layer.strides,
        "padding": layer.padding,
        "dilation_rate": layer.dilation_rate,
        "data_format": layer.data_format,
    }

    def convolve(inputs: Any, kernel: Any) -> Any:
        kernels = keras.ops.split(keras.ops.convert_to_tensor(kernel), layer.groups, axis=-1)
        pairs = zip(keras.ops.split(inputs, layer.groups, axis=axis), kernels, strict=True)
        return keras.ops.concatenate([keras.ops.conv(x, k, **options) for x, k in pairs], axis=axis)

    return convolve


def without_float64(model: keras.Model, inputs: Any) -> list[str]:
    """Names of the layers that fail in float64: somebody's own, on an operation that TensorFlow has not for it."""
    own = {
        name: layer
        for name, layer in named_layers(model).items()
        if not type(layer).__module__.startswith("keras.") or isinstance(layer, keras.layers.Lambda)
        if not isinstance(layer, keras.Model)
    }
    if not own:
        return []
    with untouched(), tapped(own.values()) as calls:
        model(inputs, training=False)
    return [name for name, layer in own.items() if id(layer) in calls and not _runs(layer, calls[id(layer)][0])]


def _runs(layer: keras.layers.Layer, call: Call) -> bool:
    given = (call.args, call.kwargs)
    args, kwargs = tf.nest.map_structure(lambda x: tf.cast(x, tf.float64) if is_float(x) else x, given)
    try:
        with _made_in_float64({}, [layer]):
            type(layer).from_config(_in_float64(layer.get_config(), ()))(*args, **kwargs)
    except Exception:  # whatever a layer of somebody's own does
        return False
    return True


def is_float(value: Any) -> bool:
    """Whether a value is a tensor of floats."""
    return bool(tf.is_tensor(value) and value.dtype.is_floating)


@contextlib.contextmanager
def _made_in_float64(kinds: Mapping[str, type], layers: Iterable[keras.layers.Layer]) -> Iterator[None]:
    """What is made without a dtype, such as the layers of a subclassed model, is made in float64.

    Args:
        kinds: classes that configurations may name.
        layers: whose `Lambda`s have their own functions: one made of its bytecode knows no `tf` and no global of its file.
    """
    functions = {_function_name(lay.name): lay.function for lay in layers if isinstance(lay, keras.layers.Lambda)}
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        # Without a seed, what draws weights or numbers takes one from Python's `random`, which is the user's.
        with seeded(0), SafeModeScope(safe_mode=False), keras.saving.custom_object_scope({**kinds, **functions}):
            yield
    finally:
        keras.config.set_dtype_policy(policy)


def _function_name(layer: str) -> str:
    return f"the function of {layer}"


def _in_float64(value: Any, pinned: Collection[str]) -> Any:
    """A configuration in which each floating dtype is float64, and float32 in the layers that are pinned."""
    if isinstance(value, (list, tuple)):
        return type(value)(_in_float64(v, pinned) for v in value)
    if not isinstance(value, dict):
        return value
    function = value.get("function")
    if isinstance(function, dict) and function.get("class_name") in ("__lambda__", "function"):  # of a Lambda
        name = _function_name(value["name"])
        value = value | {
            "function": {"class_name": "function", "config": name, "registered_name": name, "module": None}
        }
    dtype = "float32" if value.get("name") in pinned else "float64"
    return {k: dtype if k == "dtype" and _is_floating(v) else _in_float64(v, pinned) for k, v in value.items()}


def _is_floating(dtype: Any) -> bool:
    name = dtype.get("config", {}).get("name", "") if isinstance(dtype, dict) else dtype
    return isinstance(name, str) and name.startswith(_FLOATS)


def float32_places(graph: tf.Graph, names: Collection[str]) -> dict[str, set[int]]:
    """Where a graph of float64 numbers goes through fewer digits.

    Args:
        graph: of a traced function.
        names: of the model's layers.

    Returns:
        Name of a layer (or of an operation outside of all) -> places of the function's inputs that it depends on.
    """
    places: dict[str, set[int]] = {}
    slots = {tensor.op.name: i for i, tensor in enumerate(graph.inputs)}
    for op in graph.get_operations():
        if _is_float64(op.inputs) and any(t.dtype.is_floating and t.dtype.size < 8 for t in op.outputs):
            places.setdefault(_layer_of(op, names), set()).update(_reached(op, slots))
    return places


def _is_float64(tensors: Any) -> bool:
    return any(t.dtype == tf.float64 for t in tensors)


def _layer_of(op: tf.Operation, names: Collection[str]) -> str:
    """The layer in whose scope an operation stands, or into which what it makes goes."""
    by_last = {name.split("/")[-1]: name for name in names}
    # Keras counts the names of operations through a process, the graph does not: "resize_7" is "resize" there.
    bases = collections.Counter(re.sub(r"_\d+$", "", last) for last in by_last)
    uncounted = {re.sub(r"_\d+$", "", last): name for last, name in by_last.items()}
    by_last = {base: name for base, name in uncounted.items() if bases[base] == 1} | by_last
    around = [op]
    for _ in range(8):
        for near in around:
            # A second use is "name_1".
            parts = [p if p in by_last else re.sub(r"_\d+$", "", p) for p in near.name.split("/")]
            inside = [part for part in parts if part in by_last]
            if inside:
                return by_last[inside[-1]]
        around = [user for near in around for output in near.outputs for user in output.consumers()]
    return str(op.name)


def _reached(op: tf.Operation, slots: dict[str, int]) -> set[int]:
    found, waiting, seen = set(), [op], {op.name}
    while waiting:
        current = waiting.pop()
        if current.name in slots:
            found.add(slots[current.name])
        for tensor in current.inputs:
            if tensor.op.name not in seen:
                seen.add(tensor.op.name)
                waiting.append(tensor.op)
    return found
