"""How a model is run here: without leaving a trace in it, with its layers tapped, with a loss."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.data.labels import checked_labels
from zoo.errors import UsageError, unknown_name
from zoo.models.outputs import output_kind

Loss = Callable[[Any, Any], Any]  # (labels, outputs) -> losses, whose mean is taken


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer: what it was given and what it gave."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: Any


def untouched(values: Iterable[tuple[keras.Variable, Any]] = ()) -> keras.StatelessScope:
    """A scope in which no variable of Keras changes: moving statistics and seeds stay what they are.

    So a dropout that is on has the same mask in each scope.

    Args:
        values: what variables are in its place, as (variable, tensor).
    """
    return keras.StatelessScope(state_mapping=list(values), collect_losses=True)


def check_built(model: keras.Model) -> None:
    """Raises a UsageError unless `model` is a Keras model that has its weights."""
    if not isinstance(model, keras.Model):
        raise UsageError(f"inspection is of Keras models. Received: {type(model).__name__}")
    if not model.built:
        raise UsageError(f"{model.name!r} has no weights yet; call it on a batch first. Received: an unbuilt model")


def as_inputs(model: keras.Model, inputs: Any) -> Any:
    """Inputs as tensors of the model's types: one, or those of a model that takes several in a list or dictionary.

    Raises:
        UsageError: the model is not built, or takes inputs of another shape, number or name; or there are no examples.
    """
    check_built(model)
    heads = getattr(model, "inputs", None) or []
    structure = getattr(model, "_inputs_struct", None)
    if not heads and _takes_several(model):
        return tf.nest.map_structure(lambda x: _as_input(model, x, None), inputs)
    if isinstance(structure, dict) or (heads and isinstance(inputs, dict)):
        expected = structure if isinstance(structure, dict) else {head.name: head for head in heads}
        named = inputs if isinstance(inputs, dict) or len(expected) > 1 else dict.fromkeys(expected, inputs)
        if not isinstance(named, dict) or set(named) != set(expected):
            got = sorted(named) if isinstance(named, dict) else type(named).__name__
            raise UsageError(f"{model.name!r} takes inputs by the names {sorted(expected)}. Received: {got}")
        found = {name: _as_input(model, named[name], head) for name, head in expected.items()}
        return found if isinstance(structure, dict) else [*found.values()] if len(found) > 1 else found.popitem()[1]
    if len(heads) > 1:
        if not isinstance(inputs, (list, tuple)) or len(inputs) != len(heads):
            got = f"{len(inputs)} inputs" if isinstance(inputs, (list, tuple)) else type(inputs).__name__
            raise UsageError(f"{model.name!r} takes a list of {len(heads)} inputs. Received: {got}")
        return [_as_input(model, array, head) for array, head in zip(inputs, heads, strict=True)]
    return _as_input(model, inputs, heads[0] if heads else None)


def as_one_input(model: keras.Model, inputs: Any, what: str) -> tf.Tensor:
    """`as_inputs` of a model with one input of floats; else a UsageError."""
    tensor = as_inputs(model, inputs)
    if not tf.is_tensor(tensor) or not tensor.dtype.is_floating:
        got = f"inputs of type {tensor.dtype.name}" if tf.is_tensor(tensor) else f"{len(tensor)} inputs"
        raise UsageError(f"{what} is of models with one input of floats. Received: {model.name!r}, {got}")
    return tensor


def _takes_several(model: keras.Model) -> bool:
    """Whether a subclassed model was built with a list or dictionary of inputs."""
    shapes = next(iter((getattr(model, "_build_shapes_dict", None) or {}).values()), ())
    return isinstance(shapes, dict) or any(isinstance(shape, (list, tuple)) for shape in shapes)


def _as_input(model: keras.Model, array: Any, head: keras.KerasTensor | None) -> tf.Tensor:
    try:
        tensor = tf.convert_to_tensor(array)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{model.name!r} takes arrays of numbers. Received: {type(array).__name__}") from error
    got, shape = tuple(tensor.shape), None if head is None else tuple(head.shape[1:])
    if shape is not None and (
        len(got) != len(shape) + 1 or any(n is not None and n != m for n, m in zip(shape, got[1:], strict=True))
    ):
        raise UsageError(f"{model.name!r} takes batches of inputs of shape {shape}. Received: {got}")
    if not got or not got[0]:
        raise UsageError(f"{model.name!r} needs one example or more. Received: inputs of shape {got}")
    if head is not None:
        return tf.cast(tensor, head.dtype)
    return tf.cast(tensor, "float64" if model.compute_dtype == "float64" else "float32")


def to_numpy(tensor: Any) -> np.ndarray:
    """A tensor as an array; bfloat16, which NumPy lacks, as float32."""
    array: np.ndarray = (tf.cast(tensor, tf.float32) if tensor.dtype in (tf.bfloat16, tf.float16) else tensor).numpy()
    return array


def named_layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Every layer by its name, those of nested models and layers too, outermost first, as they were added.

    A name that an earlier layer has is preceded by that of the layer around: "backbone/conv1".
    """
    found: dict[str, keras.layers.Layer] = {}
    seen: set[int] = set()

    def walk(parent: keras.layers.Layer) -> None:
        for layer in parent.layers if isinstance(parent, keras.Model) else parent._layers:
            if id(layer) in seen or isinstance(layer, keras.layers.InputLayer):
                continue
            seen.add(id(layer))
            found[f"{parent.name}/{layer.name}" if layer.name in found else layer.name] = layer
            walk(layer)

    walk(model)
    return found


def layer_named(model: keras.Model, name: str) -> keras.layers.Layer:
    """A layer by its name in `named_layers`, or a UsageError that names the nearest ones."""
    check_built(model)
    layers = named_layers(model)
    if name not in layers:
        raise unknown_name(f"layer of {model.name!r}", name, layers)
    return layers[name]


def owners(model: keras.Model) -> list[str]:
    """The name of the layer that each of the model's trainable variables belongs to."""
    owner = {id(v): model.name for v in model.trainable_variables}
    for name, layer in named_layers(model).items():  # what is inside comes later, and wins
        owner |= {id(v): name for v in layer.variables}
    return [owner[id(v)] for v in model.trainable_variables]


def trainable_weights(model: keras.Model) -> tuple[list[keras.Variable], list[tf.Tensor]]:
    """The trainable variables of a model and their values, or a UsageError where there is none."""
    variables = model.trainable_variables
    if not variables:
        raise UsageError(
            f"no weight of {model.name!r} is trainable, so there is no gradient; set trainable=True on a layer. "
            "Received: a frozen model"
        )
    return variables, [tf.convert_to_tensor(v.value) for v in variables]


@contextlib.contextmanager
def tapped(layers: Iterable[keras.layers.Layer]) -> Iterator[dict[int, list[Call]]]:
    """Notes the calls of layers, by `id(layer)`, while the context lasts; then each layer is as it was.

    Works for functional, nested and subclassed models alike, since it stands between a layer and its `call`.
    """
    calls: dict[int, list[Call]] = {}
    before = [(layer, vars(layer).get("call")) for layer in layers]
    for layer, _ in before:
        vars(layer)["call"] = _noting(layer, calls)
    try:
        yield calls
    finally:
        for layer, own in before:
            if own is None:
                del vars(layer)["call"]
            else:
                vars(layer)["call"] = own  # such as that of a fused batch normalisation


def _noting(layer: keras.layers.Layer, calls: dict[int, list[Call]]) -> Callable[..., Any]:
    stock = layer.call

    def call(*args: Any, **kwargs: Any) -> Any:
        outputs = stock(*args, **kwargs)
        calls.setdefault(id(layer), []).append(Call(args, kwargs, outputs))
        return outputs

    return call


def output_of(calls: dict[int, list[Call]], layer: keras.layers.Layer) -> tf.Tensor:
    """The tensor that a layer gave in its first call, or a UsageError where it cannot be had."""
    outputs = calls[id(layer)][0].outputs if id(layer) in calls else None
    if not isinstance(outputs, tf.Tensor) or (  # a tensor of a graph inside of the model's is out of reach
        tf.is_symbolic_tensor(outputs) and outputs.graph is not tf.compat.v1.get_default_graph()
    ):
        raise UsageError(f"the layer {layer.name!r} gives no single tensor when its model runs; choose another")
    return outputs


def run(function: Callable[..., Any], *args: Any) -> Any:
    """What a function of tensors gives; as a graph, which takes longer, where eager TensorFlow has no such gradient.

    On a CPU that is so for convolutions in groups.
    """
    try:
        return function(*args)
    except tf.errors.InvalidArgumentError:
        return tf.function(function, autograph=False)(*args)


def scores(outputs: tf.Tensor) -> tf.Tensor:
    """The logits behind a softmax or sigmoid where Keras tells them, else the outputs; at least float32."""
    logits = getattr(outputs, "_keras_logits", None)
    chosen = outputs if logits is None else logits
    return tf.cast(chosen, tf.float32) if chosen.dtype.size < 4 else chosen


def loss_of(
    model: keras.Model,
    inputs: Any,
    labels: Any,
    *,
    loss: Loss | None = None,
    training: bool = False,
    values: Iterable[tuple[keras.Variable, Any]] = (),
) -> tf.Tensor:
    """Mean loss of a batch and the model's penalties; the model stays as it is.

    Args:
        model: any built model.
        inputs: a batch, as `as_inputs` gives it.
        labels: (N,) class indices, or what `loss` takes.
        loss: function of (labels, outputs); by default the cross entropy (nats) of the model's kind of output.
        training: whether layers do what they do in training.
        values: what variables are in place of their values.
    """
    function = cross_entropy(model) if loss is None else loss
    with untouched(values):
        outputs = model(inputs, training=training)
        penalties = model.losses
    mean = tf.reduce_mean(function(labels, outputs))
    return tf.add_n([mean, *(tf.cast(p, mean.dtype) for p in penalties)])


def cross_entropy(model: keras.Model) -> Loss:
    """The cross entropy of each example, from the logits: no logarithm is clipped.

    Raises:
        UsageError: the output is neither softmax, one sigmoid unit nor logits.
        DataError: by the function that is returned, for labels that are no classes of the model.
    """
    kind = output_kind(model)
    if kind == "unknown":
        raise UsageError(
            f"the loss of {model.name!r} cannot be told from its output; give loss=, a function of (labels, outputs)"
        )

    def of_many(labels: Any, outputs: Any) -> tf.Tensor:
        values = logits(outputs, tf.math.log)
        classes = _class_indices(labels, values)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(classes, values)

    def of_one(labels: Any, outputs: Any) -> tf.Tensor:
        values = logits(outputs, lambda p: tf.math.log(p) - tf.math.log1p(-p))
        targets = tf.cast(_class_indices(labels, values)[:, np.newaxis], values.dtype)
        return tf.nn.sigmoid_cross_entropy_with_logits(targets, values)

    def logits(outputs: Any, inverse: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        is_known = kind in ("logit", "logits") or getattr(outputs, "_keras_logits", None) is not None
        return scores(outputs) if is_known else inverse(scores(outputs))

    return of_one if kind in ("sigmoid", "logit") else of_many


def _class_indices(labels: Any, scores: tf.Tensor) -> np.ndarray:
    """(N,) labels, or a DataError where they are no classes of (N, K) or (N, 1) scores."""
    return checked_labels(labels, scores.shape[0], classes=max(scores.shape[1], 2))
