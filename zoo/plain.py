"""Plain values: what JSON holds, and how two descriptions differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from zoo.errors import UsageError, one_line

_MISSING = "nothing"


def plain(value: Any) -> Any:
    """A number of NumPy as the plain one, which JSON holds, also in a list or a tuple; anything else as it is."""
    if type(value) in (list, tuple):
        return type(value)(plain(member) for member in value)
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def plain_list(value: Any) -> list[Any] | None:
    """The members of a list, a tuple, an array, a pandas Index or a shape, as plain Python values; `None` for anything else.

    Text, a mapping and a set are no lists: one has letters, the others no order that was meant.
    """
    if isinstance(value, str | bytes | Mapping | Set) or not hasattr(value, "__len__"):
        return None
    try:
        return [member.item() if isinstance(member, np.generic) else member for member in value]
    except (TypeError, ValueError):  # an array without an axis, a shape without a rank
        return None


def check_json(**values: Any) -> None:
    """Raises a UsageError naming the first value that JSON cannot hold."""
    for name, value in values.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"{name} must be plain values that JSON holds: {one_line(error)}") from None


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between two descriptions of plain values, e.g. `["recipe.epochs was 9 and is 8"]`."""
    before, now = _flat(old), _flat(new)
    found = []
    for name in dict.fromkeys([*before, *now]):
        there, here = before.get(name, _MISSING), now.get(name, _MISSING)
        if there != here:
            found.append(f"{name} was {_short(there)} and is {_short(here)}")
    return found


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, member in value.items():
        is_list = isinstance(member, list) and any(isinstance(m, dict) for m in member)
        parts = {str(i): m for i, m in enumerate(member)} if is_list else member
        if isinstance(parts, dict):
            flat |= _flat(parts, f"{prefix}{name}.")
        else:
            flat[prefix + name] = member
    return flat


def _short(value: Any) -> str:
    text = value if value == _MISSING else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
