"""Where a model can be cut so that all that learns lies behind the cut."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras

# What computes something else in training than in inference, but only to regularise what learns before it or in it.
_QUIET_WHEN_FROZEN = (
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.MultiHeadAttention,  # its dropout
    keras.layers.GroupQueryAttention,
)
# Stock layers that take `training` and compute the same either way.
_SAME = (keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Resizing, keras.layers.CenterCrop)


@dataclasses.dataclass(frozen=True)
class Parts:
    """A model in two, which share its layers.

    Attributes:
        frozen: from the model's inputs to features; nothing in it learns.
        learning: from features to the model's outputs; all that learns.
        whole: one after the other, the frozen part always in inference mode: no dropout, and batch normalisation with its
            moving statistics.
    """

    frozen: keras.Model
    learning: keras.Model
    whole: keras.Model


def split_frozen(model: keras.Model) -> Parts | None:
    """The model cut behind the last layer before which nothing learns; `None` where there is no such place."""
    cut = find_cut(model)
    if cut is None:
        return None
    frozen = keras.Model(model.inputs[0], cut, name="frozen")
    learning = keras.Model(cut, model.outputs[0], name="learning")
    inputs = keras.Input(model.inputs[0].shape[1:], dtype=model.inputs[0].dtype)
    whole = keras.Model(inputs, learning(frozen(inputs, training=False)), name=model.name)
    return Parts(frozen, learning, whole)


def graph_of(model: Any) -> keras.Model | None:
    """The functional model that a model is, or that is in a `Sequential`; `None` of a layer or a model of another kind."""
    graph = model._functional if isinstance(model, keras.Sequential) else model
    return graph if hasattr(graph, "_nodes_by_depth") else None


def find_cut(model: keras.Model) -> keras.KerasTensor | None:
    """The last tensor through which all goes and before which nothing learns.

    Before it lies a layer with weights, or it would not be worth it; behind it, what regularises the layers that learn
    (their dropout). A layer that does something of its own in training, as augmentation does, is never before it.

    Args:
        model: a functional model with one input and one output; of any other, there is no cut.
    """
    graph = graph_of(model)
    if graph is None or len(graph.inputs) != 1 or len(graph.outputs) != 1:
        return None
    nodes = [node for depth in sorted(graph._nodes_by_depth, reverse=True) for node in graph._nodes_by_depth[depth]]
    if not any(_learns(node.operation) for node in nodes):
        return None
    last_use = {id(tensor): i for i, node in enumerate(nodes) for tensor in node.input_tensors}
    cut, passing, is_worth_it, is_settled = None, set[int](), False, True
    for i, node in enumerate(nodes):
        layer = node.operation
        if _learns(layer) or not _is_the_same_in_training(layer) or _is_forced_to_train(node):
            break
        if isinstance(layer, _QUIET_WHEN_FROZEN) and not layer.weights:
            is_settled = False  # whose dropout it is, the next layer with weights tells
        elif getattr(layer, "weights", ()):
            is_settled = True
            is_worth_it |= not isinstance(layer, keras.layers.Normalization)
        passing = {t for t in passing if last_use[t] > i} | {id(t) for t in node.outputs if id(t) in last_use}
        if (
            len(passing) == 1
            and len(node.outputs) == 1
            and is_settled
            and is_worth_it
            and id(node.outputs[0]) in passing
        ):
            cut = node.outputs[0]
    return cut


def _learns(layer: keras.layers.Layer | keras.Operation) -> bool:
    if not getattr(layer, "weights", ()):
        return False
    if layer.trainable_variables:
        return True
    normalizations = (x for x in layer._flatten_layers() if isinstance(x, keras.layers.BatchNormalization))
    return any(normalization.trainable for normalization in normalizations)  # its statistics, if nothing else


def _is_the_same_in_training(layer: keras.layers.Layer | keras.Operation) -> bool:
    """Whether a layer that is frozen may be computed in inference mode."""
    if not isinstance(layer, keras.layers.Layer):
        return True
    if getattr(layer, "activity_regularizer", None) is not None:
        return False
    is_ours = type(layer).__module__.split(".")[0] in ("keras", "zoo")  # a class of a user may do more than its base
    if is_ours and isinstance(layer, (*_QUIET_WHEN_FROZEN, *_SAME)):
        return True
    graph = graph_of(layer)
    if graph is not None:
        nodes = [node for of_depth in graph._nodes_by_depth.values() for node in of_depth]
        return all(map(_is_the_same_in_training, layer.layers)) and not any(map(_is_forced_to_train, nodes))
    if isinstance(layer, keras.layers.TimeDistributed):
        return _is_the_same_in_training(layer.layer)
    function = layer.function if isinstance(layer, keras.layers.Lambda) else layer.call
    return "training" not in inspect.signature(function).parameters


def _is_forced_to_train(node: Any) -> bool:
    """Whether a layer was called with `training=True`, which is the default of some that do not care."""
    is_forced = node.arguments is not None and node.arguments.kwargs.get("training") is True
    return is_forced and not isinstance(node.operation, _SAME)
