"""The layers of a model: what they give, how many weights they have, and which of these learn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from zoo.reporting.formatting import format_count
from zoo.reporting.section import Section

_INDENT = "\u2003"


def model_section(model: Any) -> Section | None:
    """A row a layer, those of nested models indented; None for what has no layers.

    Args:
        model: a built Keras model; nothing of it is computed.
    """
    if not getattr(model, "layers", None):
        return None
    rows = list(_rows(model, 0))
    total = sum(_size(w) for w in model.weights)
    learning = sum(_size(w) for w in model.trainable_weights)
    content = {"rows": rows, "total": format_count(total), "learning": format_count(learning)}
    return Section("model", "Model", content)


def _rows(model: Any, depth: int) -> Iterator[dict[str, str]]:
    for layer in model.layers:
        nested = bool(getattr(layer, "layers", None))
        count = sum(_size(w) for w in layer.weights)
        yield {
            "name": _INDENT * depth + layer.name,
            "kind": type(layer).__name__,
            "shape": _shape_of(layer),
            "parameters": "" if nested or not count else format_count(count),
            "state": " and ".join(_states(layer)),
        }
        if nested:
            yield from _rows(layer, depth + 1)


def _states(layer: Any) -> list[str]:
    """Whether the weights of a layer learn, of nested models those of all their layers; none where there are no weights.

    Batch normalisation learns, although its moving statistics are no weights that the optimizer changes.
    """
    parts = getattr(layer, "layers", None)
    if parts:
        return sorted({state for part in parts for state in _states(part)}, reverse=True)
    return [] if not layer.weights else ["learns"] if layer.trainable_weights else ["frozen"]


def _shape_of(layer: Any) -> str:
    """The shape of what a layer gives, without the batch; "" where it is not known."""
    try:
        shape = layer.output.shape
    except (AttributeError, ValueError):  # several outputs, or a layer that was never called on symbolic inputs
        return ""
    return "\u00a0×\u00a0".join("?" if n is None else str(n) for n in shape[1:])


def _size(weight: Any) -> int:
    return math.prod(weight.shape)
