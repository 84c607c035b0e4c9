"""The cells of a search space: whether there are finitely many, how many, and which.

A cell is one set of values, conditional parameters only where they are active. The values of a stepped range are computed
in decimal: Keras Tuner's own end before the maximum (`Float(0, 1, step=.1)` has no 1.0) and carry rounding dirt.
"""

from __future__ import annotations

import decimal
import functools
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError

if TYPE_CHECKING:
    import keras_tuner

Key = tuple[tuple[str, Any], ...]
_SLACK = Decimal("1e-9")  # what a maximum may be missed by, relative: a step like 10 ** 0.5 is not exact


def is_finite(hyperparameters: keras_tuner.HyperParameters) -> bool:
    """Whether the space has finitely many cells: no range of floats without a step."""
    return all(num_values(parameter) is not None for parameter in hyperparameters.space)


def check_cells(hyperparameters: keras_tuner.HyperParameters) -> None:
    """Refuses a range of floats without a step, of which Keras Tuner would silently take ten points.

    Raises:
        UsageError: naming the parameter.
    """
    for parameter in hyperparameters.space:
        if num_values(parameter) is None:
            raise UsageError(
                f"a grid needs finitely many values, and {parameter.name} is a range "
                f"({parameter.min_value}, {parameter.max_value}): give a list"
            )


def count_cells(hyperparameters: keras_tuner.HyperParameters) -> int:
    """The number of cells of a grid, conditional parameters counted only where they are active.

    Raises:
        UsageError: there are infinitely many.
    """
    check_cells(hyperparameters)
    space = list(hyperparameters.space)
    parents = {condition.name for parameter in space for condition in parameter.conditions}
    return _count(space, parents, {})


def iterate_cells(hyperparameters: keras_tuner.HyperParameters) -> Iterator[dict[str, Any]]:
    """All cells of a finite space in the declared order: the last parameter changes fastest, its first value first."""
    return _cells(list(hyperparameters.space), {})


def cell_key(values: Mapping[str, Any]) -> Key:
    """What identifies a cell: its values, in whatever order they were found."""
    return tuple(sorted(values.items()))


def num_values(parameter: Any) -> int | None:
    """The number of values of a parameter, or `None` for a range of floats without a step."""
    values = _values(parameter)
    return None if values is None else len(values)


def list_values(parameter: Any) -> Sequence[Any]:
    """The values of a parameter that has finitely many, in their order."""
    values = _values(parameter)
    assert values is not None
    return values


def value_at(parameter: Any, gene: float) -> Any:
    """The value at a place in [0, 1), as `prob_to_value`, but a stepped range has all its values, clean."""
    if getattr(parameter, "step", None) is None:
        return parameter.prob_to_value(gene)
    values = list_values(parameter)
    return values[min(int(gene * len(values)), len(values) - 1)]


def gene_of(parameter: Any, value: Any) -> float:
    """The place in [0, 1) of a value, the middle of its share: what `value_at` takes back to it."""
    if getattr(parameter, "step", None) is None:
        return float(parameter.value_to_prob(value))
    values = list_values(parameter)
    return (min(range(len(values)), key=lambda i: abs(values[i] - value)) + 0.5) / len(values)


def is_active(parameter: Any, values: Mapping[str, Any]) -> bool:
    """Whether the conditions of a parameter hold."""
    return not parameter.conditions or all(condition.is_active(values) for condition in parameter.conditions)


def is_ordered(parameter: Any) -> bool:
    """Whether the values of a parameter have an order: ranges, and lists of numbers that are not said to have none."""
    return hasattr(parameter, "min_value") or (getattr(parameter, "ordered", False) and len(parameter.values) > 1)


def _values(parameter: Any) -> Sequence[Any] | None:
    if not hasattr(parameter, "min_value"):
        return tuple(parameter.values)
    low, high, step = parameter.min_value, parameter.max_value, parameter.step
    if isinstance(low, int) and (step is None or parameter.sampling == "linear"):
        return range(low, high + 1, step or 1)
    return None if step is None else _steps(low, high, step, parameter.sampling)


@functools.lru_cache(maxsize=256)
def _steps(low: float, high: float, step: float, sampling: str) -> tuple[float, ...]:
    """The values of a stepped range, the maximum included where the steps meet it."""
    first, last, width = (Decimal(repr(number)) for number in (low, high, step))
    with decimal.localcontext(prec=17):
        if sampling == "linear":
            values = [min(first + i * width, last) for i in range(int((last - first) / width + _SLACK) + 1)]
        else:
            values = [first]
            while values[-1] * width <= last * (1 + _SLACK):
                values.append(min(values[-1] * width, last))
        if sampling == "reverse_log":
            values = [last + first - value for value in values]
    return tuple(map(type(low), values))


def _count(space: list[Any], parents: set[str], values: dict[str, Any]) -> int:
    if not space:
        return 1
    first, rest = space[0], space[1:]
    if first.name in values or not is_active(first, values):
        return _count(rest, parents, values)
    if first.name not in parents:
        # An entry of the same name under another condition is the same parameter.
        return (num_values(first) or 0) * _count(rest, parents, {**values, first.name: None})
    return sum(_count(rest, parents, {**values, first.name: value}) for value in list_values(first))


def _cells(space: list[Any], values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not space:
        yield values
        return
    first, rest = space[0], space[1:]
    if first.name in values or not is_active(first, values):
        yield from _cells(rest, values)
        return
    for value in list_values(first):
        yield from _cells(rest, {**values, first.name: value})
