"""Errors that a caller can act on. The message is one line: what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Iterable
from typing import Any

_MOST_OF_A_NAME, _MOST_OF_A_MESSAGE = 80, 1000  # characters


class ZooError(Exception):
    """Something failed although the request was well formed: a missing file, no network, a parity check.

    Its message is one line of text, whatever names from outside are in it: see `visible`. A very long one is cut in the
    middle, because it begins with what was wrong and ends with the remedy.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*(_cut(visible(arg)) if isinstance(arg, str) else arg for arg in args))


class UsageError(ZooError, ValueError):
    """The request itself was wrong: an unknown name, a value out of range, options that contradict each other."""


class DataError(ZooError):
    """The data cannot be read or do not fit: a corrupt image, one class only, labels out of range."""


class WeightsError(ZooError):
    """A weight file cannot be had or read, holds more than arrays, or does not fit the model."""


class ExportError(ZooError):
    """An export does not compute what the model computes, and was not put in place; or it was changed since."""


class SaveError(ZooError, OSError):
    """The disk did not take a file: it is full, or may not be written to. The message names the file."""


class LockedError(ZooError):
    """Another live process holds the directory."""


class DataWarning(UserWarning):
    """The data were read, but not as they lie there, or do not look like what a model takes."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UsageError:
    """The error for a name that is in no table, naming the nearest ones that are.

    Args:
        kind: what the name stands for, e.g. `"model"`.
        name: what was received.
        known: every accepted name.

    Examples:
        >>> str(unknown_name("model", "cnnn", ["cnn", "mlp"]))
        "unknown model 'cnnn'; did you mean 'cnn'? Known: cnn, mlp"
    """
    known = sorted(known)
    lower = {n.lower(): n for n in known}
    near = [lower[n] for n in difflib.get_close_matches(str(name).lower(), lower, n=3, cutoff=0.6)]
    hint = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else "."
    text = str(name) if len(str(name)) <= _MOST_OF_A_NAME else f"{str(name)[: _MOST_OF_A_NAME - 3]}..."
    return UsageError(f"unknown {kind} {text!r}{hint} Known: {', '.join(known)}")


def check_count(name: str, value: object, *, least: int = 1, below: float = float("inf")) -> None:
    """Raises a UsageError, naming the option, unless a value is a whole number from `least` up and below `below`."""
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_whole or not least <= value < below:  # type: ignore[operator]
        above = "" if below == float("inf") else f" and below {below:,}"
        raise UsageError(f"{name} must be a whole number of at least {least}{above}. Received: {name}={value!r:.80}")


def check_seed(value: object) -> None:
    """Raises a UsageError unless a seed is a whole number that TensorFlow takes, from 0 to 2**63 - 1."""
    check_count("seed", value, least=0, below=2**63)


def visible(thing: object) -> str:
    """Its text as a terminal takes it: line ends, control characters and broken encodings are written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(thing))


def one_line(error: BaseException, most: int = 200) -> str:
    """The message of an error from elsewhere, which may have pages, as at most `most` characters of one line."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def _cut(message: str) -> str:
    if len(message) <= _MOST_OF_A_MESSAGE:
        return message
    half = (_MOST_OF_A_MESSAGE - 5) // 2
    return f"{message[:half]} ... {message[-half:]}"
