"""What a model's output means, and class probabilities from it."""

from __future__ import annotations

from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.errors import UsageError


def output_kind(model: keras.Model) -> str:
    """What the last layer gives: "softmax", "sigmoid" (one unit), "logits", "logit" (one unit), or "unknown".

    Decided by the activation of the layer that makes the output, and by its number of units.
    """
    try:
        layer = model.output._keras_history.operation
        units = model.output_shape[-1]
    except (AttributeError, TypeError):
        return "unknown"  # several outputs, or a subclassed model
    if isinstance(layer, keras.Model):
        return output_kind(layer)
    is_softmax = isinstance(layer, keras.layers.Softmax)
    activation = keras.activations.softmax if is_softmax else getattr(layer, "activation", None)
    single = units == 1
    if activation is keras.activations.linear:
        return "logit" if single else "logits"
    expected = keras.activations.sigmoid if single else keras.activations.softmax
    if activation is not expected:
        return "unknown"
    return "sigmoid" if single else "softmax"


def class_probabilities(outputs: Any, kind: str) -> Any:
    """(N, K) probabilities from a model's outputs; one sigmoid unit gives the two columns (1 - p, p).

    Args:
        outputs: (N, K) or (N, 1) tensor or KerasTensor.
        kind: what `output_kind` says.

    Raises:
        UsageError: the kind is unknown.
    """
    if kind in ("logit", "logits"):
        outputs = keras.ops.sigmoid(outputs) if kind == "logit" else keras.ops.softmax(outputs)
    elif kind not in ("softmax", "sigmoid"):
        raise UsageError(
            "the model's output is neither a softmax, one sigmoid unit nor logits; give it such a last layer"
        )
    if kind in ("logit", "sigmoid"):
        return keras.ops.concatenate([1 - outputs, outputs], axis=-1)
    return outputs
