"""What a model's output means, and class probabilities from it."""

from __future__ import annotations

from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import tensorflow as tf

from zoo.errors import UsageError

_TWO_COLUMNS = "two_columns"  # the layer by which an exported model turns one probability into two


def output_kind(model: keras.Model) -> str:
    """What the last layer gives: "softmax", "sigmoid" (one unit), "logits", "logit" (one unit), or "unknown".

    Decided by the activation of the layer that makes the output, and by its number of units.
    """
    outputs = getattr(model, "outputs", None) or []
    return _kind(outputs[0]) if len(outputs) == 1 and len(outputs[0].shape) == 2 else "unknown"


def _kind(output: keras.KerasTensor) -> str:
    layer, single = output._keras_history.operation, output.shape[-1] == 1
    if isinstance(layer, keras.Model):
        return output_kind(layer)
    if layer.name == _TWO_COLUMNS or (isinstance(layer, keras.layers.Softmax) and not single):
        return "softmax"
    activation = getattr(layer, "activation", None)
    if activation is keras.activations.linear:
        passed_on = isinstance(layer, keras.layers.Activation)  # it does nothing: what it is given decides
        return _kind(layer.input) if passed_on else "logit" if single else "logits"
    expected = keras.activations.sigmoid if single else keras.activations.softmax
    if activation is not expected:
        return "unknown"
    return "sigmoid" if single else "softmax"


def known_output_kind(model: keras.Model) -> str:
    """`output_kind`, or a UsageError when it is unknown."""
    kind = output_kind(model)
    if kind == "unknown":
        raise UsageError(_why_unknown(model))
    return kind


def _why_unknown(model: Any) -> str:
    """Why it cannot be told what a model's output means, and what to do."""
    if not isinstance(model, keras.Model):
        return f"model must be a Keras model, as zoo.build or keras.Sequential make one. Received: {model!r:.80}"
    outputs = getattr(model, "outputs", None) or []
    if not outputs and isinstance(model, keras.Sequential):
        return f"{model.name!r} is not built: let it begin with keras.Input(shape), or call it on an example"
    if not outputs:
        return (
            f"{model.name!r} is a subclass of keras.Model, whose layers Keras does not connect; "
            "write it as a functional or Sequential model"
        )
    if len(outputs) > 1:
        return (
            f"{model.name!r} has {len(outputs)} outputs; a classifier has one, as keras.Model(inputs, output) makes it"
        )
    if len(outputs[0].shape) != 2:
        return f"{model.name!r} gives outputs of shape {outputs[0].shape}; a classifier gives (None, classes)"
    return f"the output of {model.name!r} is neither a softmax, one sigmoid unit nor logits; give it such a last layer"


def check_shapes(model: keras.Model, shape: tuple[int, ...]) -> None:
    """Raises a UsageError unless a Keras model takes one input, of this shape, and gives one score or probability a class.

    What a subclass of `keras.Model` takes and gives is not known before it is called.
    """
    outputs = getattr(model, "outputs", None) or []
    if not isinstance(model, keras.Model) or len(outputs) > 1 or any(len(output.shape) != 2 for output in outputs):
        raise UsageError(_why_unknown(model))
    if (count := len(getattr(model, "inputs", None) or [])) > 1:
        raise UsageError(f"{model.name!r} takes {count} inputs; data have one input an example")
    expected = getattr(model, "input_shape", None)
    if not isinstance(expected, tuple):
        return
    if len(expected) != len(shape) + 1 or any(a not in (None, b) for a, b in zip(expected[1:], shape, strict=True)):
        raise UsageError(
            f"the model takes inputs of shape {expected[1:]}, the data have {shape}; "
            f"build the model with input_shape={shape}"
        )


def class_probabilities(outputs: Any, kind: str) -> Any:
    """(N, K) probabilities from a model's outputs; one sigmoid unit gives the two columns (1 - p, p).

    Args:
        outputs: (N, K) or (N, 1) tensor; or a KerasTensor, to which named stock layers are added.
        kind: what `known_output_kind` says.
    """
    if kind in ("logit", "logits"):
        activation = "sigmoid" if kind == "logit" else "softmax"
        outputs = keras.layers.Activation(activation, dtype=outputs.dtype, name="probabilities")(outputs)
    if kind in ("logit", "sigmoid"):
        complement = keras.layers.Rescaling(-1.0, 1.0, dtype=outputs.dtype, name="complement")(outputs)
        return keras.layers.Concatenate(dtype=outputs.dtype, name=_TWO_COLUMNS)([complement, outputs])
    return outputs


def operand_of(outputs: tf.Tensor, operation: str) -> tf.Tensor | None:
    """What an activation ("Softmax", "Sigmoid") was applied to, when `outputs` came straight out of it in this graph."""
    op = outputs.op if tf.is_symbolic_tensor(outputs) else None
    return op.inputs[0] if op is not None and op.type == operation else None
