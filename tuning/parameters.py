"""What a hyper-parameter may be, and how it is declared to Keras Tuner.

A parameter is a list of values, `(low, high)` or `(low, high, "log")`. Keras Tuner's `Choice` holds values of one type
among int, float and str only; other lists travel through it as marked JSON strings.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError

if TYPE_CHECKING:
    import keras_tuner

MOST_STEPS = 1_000_000  # of a range; they are listed
_JSON = "json:"  # how a value that `Choice` cannot hold begins


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole numbers when both bounds are ints.

    Attributes:
        low: smallest value.
        high: largest value.
        step: distance of neighbouring values; `None`: 1 for ints on a linear scale, else any number.
        log: whether equal ratios, not equal differences, are equally likely.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False


@dataclasses.dataclass(frozen=True)
class Choices:
    """One of a few values, as Keras Tuner holds them (see `decode`)."""

    values: tuple[Any, ...]


def parameter(name: str, given: Any) -> Range | Choices:
    """Reads and checks what a caller gave for one hyper-parameter.

    Args:
        name: its name, for the error.
        given: a list of values, `(low, high)`, `(low, high, "log")`, or a `Range`.

    Raises:
        UsageError: an empty list, the same value twice, `low >= high`, a log range from zero or below, or no number.
    """
    if isinstance(given, Range):
        low, high, step = (_plain(value) for value in (given.low, given.high, given.step))
        return _checked_range(name, Range(low, high, step, given.log))
    if isinstance(given, list):
        return _choices(name, [_plain(value) for value in given])
    if isinstance(given, tuple) and (len(given) == 2 or (len(given) == 3 and given[2] == "log")):
        low, high = (_plain(value) for value in given[:2])
        return _checked_range(name, Range(low, high, log=len(given) == 3))
    raise UsageError(f'{name} must be a list of values, (low, high) or (low, high, "log"). Received: {given!r}')


def named_sets(name: str, given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Reads what a caller gave as label -> {name: value}: a choice of one of several sets of values.

    Raises:
        UsageError: no labels, a label that is no text, a set that is no dictionary, or a value that is not plain.
    """
    if name.startswith("tuner/"):
        raise UsageError(f"names that begin with tuner/ are Keras Tuner's own. Received: {name!r}")
    if not given or not all(isinstance(k, str) and isinstance(v, Mapping) and v for k, v in given.items()):
        raise UsageError(f"{name} must be a dictionary of named sets, label -> {{name: value}}. Received: {given!r}")
    sets = {label: {inner: _plain(value) for inner, value in one.items()} for label, one in given.items()}
    for label, one in sets.items():
        for inner, value in one.items():
            _encode(f"{inner} of {label}", value)
    return {label: {inner: _tuples(value) for inner, value in one.items()} for label, one in sets.items()}


def expanded(values: Mapping[str, Any], named: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Values with what labels of named sets stand for in the place of the labels."""
    chosen = {name: value for name, value in values.items() if name not in named}
    for name, sets in named.items():
        if name in values:
            chosen |= {inner: _tuples(value) for inner, value in sets[values[name]].items()}
    return chosen


def declare(hp: keras_tuner.HyperParameters, name: str, given: Range | Choices) -> Any:
    """Declares a parameter to Keras Tuner and returns the value that `hp` holds for it, decoded."""
    if isinstance(given, Choices):
        return decode(hp.Choice(name, list(given.values)))  # numbers have an order, names have none
    sampling = "log" if given.log else "linear"
    if isinstance(given.low, int) and isinstance(given.high, int):
        return hp.Int(name, given.low, given.high, step=given.step, sampling=sampling)
    return hp.Float(name, given.low, given.high, step=given.step, sampling=sampling)


def decode(value: Any) -> Any:
    """The value that a hyper-parameter stands for; sequences come back as tuples."""
    if isinstance(value, str) and value.startswith(_JSON):
        return _tuples(json.loads(value.removeprefix(_JSON)))
    return value


def _checked_range(name: str, given: Range) -> Range:
    for bound in (given.low, given.high):
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
            raise UsageError(f"the bounds of {name} must be finite numbers. Received: {given.low!r}, {given.high!r}")
    if not given.low < given.high:
        raise UsageError(f"{name} needs low < high. Received: ({given.low}, {given.high})")
    if given.log and given.low <= 0:
        raise UsageError(f"{name} needs low > 0 on a log scale. Received: ({given.low}, {given.high})")
    if given.step is not None:
        _check_step(name, given, given.step)
    return given


def _check_step(name: str, given: Range, step: Any) -> None:
    is_whole = isinstance(given.low, int) and isinstance(given.high, int)
    kinds, least = (int, "whole") if is_whole else (int | float, "finite")
    if isinstance(step, bool) or not isinstance(step, kinds) or not (1 if given.log else 0) < step < math.inf:
        above = "above 1, by which values are multiplied" if given.log else "above 0"
        raise UsageError(f"the step of {name} must be a {least} number {above}. Received: step={step!r:.80}")
    check_steps(name, given.low, given.high, step, is_log=given.log)


def check_steps(name: str, low: float, high: float, step: float, *, is_log: bool) -> None:
    """Raises a UsageError for a range of more steps than can be listed."""
    count = math.log(high / low, step) if is_log else (high - low) / step
    if count > MOST_STEPS:
        raise UsageError(f"{name} has {count:,.0f} steps, the most is {MOST_STEPS:,}; give a greater step, or none")


def _choices(name: str, values: list[Any]) -> Choices:
    if not values:
        raise UsageError(f"{name} has an empty list of values")
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        raise UsageError(f"the values of {name} must be finite. Received: {values}")
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        values = [float(value) for value in values]
    elif len(kinds) > 1 or not kinds <= {int, float, str} or any(str(value).startswith(_JSON) for value in values):
        values = [_encode(name, value) for value in values]
    repeated = [value for i, value in enumerate(values) if value in values[:i]]
    if repeated:
        raise UsageError(f"{name} lists {decode(repeated[0])!r} more than once")
    return Choices(tuple(values))


def _encode(name: str, value: Any) -> str:
    try:
        return _JSON + json.dumps(value)
    except TypeError:
        raise UsageError(f"{name} needs plain values: numbers, strings, None, tuples. Received: {value!r}") from None


def _plain(value: Any) -> Any:
    """A NumPy scalar as the Python number it is; sequences as lists of such."""
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(member) for member in value) if isinstance(value, list) else value
