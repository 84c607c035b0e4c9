"""Keras Tuner's parameters in Optuna's terms.

Values with an order travel as their place in that order, so that a stepped or listed scale is as even as it was meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tuning.oracles.cells import is_ordered, list_values

if TYPE_CHECKING:
    import optuna


def suggested(parameter: Any, asked: optuna.Trial, name: str) -> Any:
    """The value that a study's trial suggests for a parameter, which the study knows by `name`."""
    places = _places(parameter)
    if places is not None:
        return places[asked.suggest_int(name, 0, len(places) - 1)]
    if not is_ordered(parameter):
        return asked.suggest_categorical(name, list_values(parameter))
    low, high = parameter.min_value, parameter.max_value
    if _is_reversed(parameter):
        return parameter.prob_to_value(asked.suggest_float(name, 0, 1))
    if isinstance(low, int):
        return asked.suggest_int(name, low, high, log=True)
    return asked.suggest_float(name, low, high, log=parameter.sampling == "log")


def encoded(parameter: Any, value: Any) -> Any:
    """The code of a value."""
    places = _places(parameter)
    if places is not None:
        return min(range(len(places)), key=lambda place: abs(places[place] - value))  # a default may lie between
    return parameter.value_to_prob(value) if _is_reversed(parameter) else value


def _places(parameter: Any) -> Sequence[Any] | None:
    """The values in their order, where they have one and are finitely many."""
    if not is_ordered(parameter):
        return None
    if not hasattr(parameter, "min_value"):
        return sorted(parameter.values)
    if parameter.step is None:
        # Whole numbers on a reversed scale have none in Optuna.
        return list_values(parameter) if _is_reversed(parameter) and isinstance(parameter.min_value, int) else None
    return list_values(parameter)


def _is_reversed(parameter: Any) -> bool:
    return getattr(parameter, "sampling", None) == "reverse_log" and parameter.step is None
