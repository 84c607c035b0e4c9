"""Errors that a caller can act on. The message is one line: what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any


class ZooError(Exception):
    """Something failed although the request was well formed: a missing file, no network, a parity check."""


class UsageError(ZooError, ValueError):
    """The request itself was wrong: an unknown name, a value out of range, options that contradict each other."""


class DataError(ZooError):
    """The data cannot be read or do not fit: a corrupt image, one class only, labels out of range."""


class WeightsError(ZooError):
    """A weight file cannot be had or read, holds more than arrays, or does not fit the model."""


class ExportError(ZooError):
    """An export does not compute what the model computes, and was not put in place; or it was changed since."""


class SaveError(ZooError):
    """The disk did not take a file: it is full, or may not be written to."""


class LockedError(ZooError):
    """Another live process holds the directory."""


class DataWarning(UserWarning):
    """The data were read, but not as they lie there: copies of an image were left out."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UsageError:
    """The error for a name that is in no table, naming the nearest ones that are.

    Args:
        kind: what the name stands for, e.g. `"model"`.
        name: what was received.
        known: every accepted name.

    Example:
        >>> str(unknown_name("model", "cnnn", ["cnn", "mlp"]))
        "unknown model 'cnnn'; did you mean 'cnn'? Known: cnn, mlp"
    """
    known = sorted(known)
    lower = {n.lower(): n for n in known}
    near = [lower[n] for n in difflib.get_close_matches(str(name).lower(), lower, n=3, cutoff=0.6)]
    hint = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else "."
    return UsageError(f"unknown {kind} {str(name)!r}{hint} Known: {', '.join(known)}")


def one_line(error: BaseException, most: int = 200) -> str:
    """The message of an error from elsewhere, which may have pages, as at most `most` characters of one line."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between two descriptions of plain values, e.g. `["recipe.epochs was 9 and is 8"]`."""
    before, now = _flat(old), _flat(new)
    found = []
    for name in dict.fromkeys([*before, *now]):
        there, here = before.get(name, _MISSING), now.get(name, _MISSING)
        if there != here:
            found.append(f"{name} was {_short(there)} and is {_short(here)}")
    return found


_MISSING = "nothing"


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
