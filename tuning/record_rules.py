"""What a record of a journal can say: a journal is a file that anybody may have written."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tuning.parameters import MOST_STEPS, decode
from zoo.storage import is_deep
from zoo.training.recipe import Recipe

Rule = Callable[[Any], bool]
_TYPES = ("Boolean", "Choice", "Fixed", "Float", "Int")  # Keras Tuner's hyper-parameters


def check_record(record: Any, *, first: bool) -> None:
    """Raises a ValueError unless a record is one that a search writes; the first one is a header.

    Whoever can write a journal can write its checksums. What cannot be would else show as some error of another kind where
    it is read, or as the name of a file elsewhere.
    """
    kind = record.get("kind") if isinstance(record, dict) else None
    if not isinstance(kind, str) or kind not in _RULES or (first and kind != "header") or is_deep(record):
        raise ValueError("it is no record")
    for name, is_possible in _RULES[kind].items():
        try:
            fits = is_possible(record[name]) if name in record else name == "fine_tune"
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
            fits = False
        if not fits:
            raise ValueError(f"a record of kind {kind!r} has no such {name!r}")
    if record.get("status") == "completed" and record["score"] is None:
        raise ValueError("a trial was completed without a score")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**1000)


def _is_finite(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value)


def _are_measures(values: Collection[Any]) -> bool:
    """Numbers or nothing; curves are most of a journal, so floats are looked at all at once."""
    return set(map(type, values)) == {float} or all(value is None or _is_number(value) for value in values)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _or_none(rule: Rule) -> Rule:
    return lambda value: value is None or rule(value)


def _all(rule: Rule) -> Rule:
    """Of a list."""
    return lambda value: isinstance(value, list) and all(map(rule, value))


def _values(rule: Rule) -> Rule:
    """Of a dictionary."""
    return lambda value: isinstance(value, dict) and all(map(rule, value.values()))


def _are_hyperparameters(values: Any) -> bool:
    """Plain values, of which those that stand for a sequence can be decoded, and Keras Tuner's own are what it writes."""
    if any(is_deep(decode(value)) for value in values.values() if isinstance(value, str)):
        return False
    own = [value for name, value in values.items() if name.startswith("tuner/") and name != "tuner/trial_id"]
    parent = values.get("tuner/trial_id")
    return all(map(_is_count, own)) and (parent is None or str(parent).isdecimal())


def _is_recipe(values: Any) -> bool:
    return isinstance(values, dict) and isinstance(Recipe(**values), Recipe)


def _is_declared(parameter: Any) -> bool:
    """One entry of a space."""
    bounds = [parameter[name] for name in ("min_value", "max_value", "step") if parameter.get(name) is not None]
    return all(map(_is_number, bounds)) and isinstance(parameter.get("values", []), list) and _has_few_steps(parameter)


def _has_few_steps(parameter: dict[str, Any]) -> bool:
    """Steps between floats are listed when a search goes on."""
    if parameter.get("step") is None:
        return True
    low, high, step = (parameter[name] for name in ("min_value", "max_value", "step"))
    if isinstance(low, int):
        return bool(step > 0)
    count = (high - low) / step if parameter["sampling"] == "linear" else math.log(high / low, step)
    return bool(0 <= count <= MOST_STEPS)


def _is_config(config: Any) -> bool:
    """A space with values, as Keras Tuner writes it."""
    return _are_hyperparameters(config["values"]) and all(
        declared["class_name"] in _TYPES
        and _is_text(declared["config"]["name"])
        and _is_declared(declared["config"])
        and all(condition["class_name"] == "Parent" for condition in declared["config"]["conditions"])
        for declared in config["space"]
    )


def _is_run(run: Any) -> bool:
    return all(is_possible(run[name]) for name, is_possible in _RUN.items())


def _is_asked(trial: Any) -> bool:
    return _is_count(trial["number"]) and _are_hyperparameters(trial["values"]) and isinstance(trial["together"], bool)


_RUN: dict[str, Rule] = {
    "fold": _is_count,
    "repeat": _is_count,
    "seed": _is_count,
    "score": _or_none(_is_number),  # of a run that failed it may be NaN
    "metrics": lambda metrics: _are_measures(metrics.values()),
    "epochs": _is_count,
    "seconds": _is_finite,
    "curve": _values(lambda values: isinstance(values, list) and _are_measures(values)),
}
_OUTCOME: dict[str, Rule] = {
    "number": _is_count,
    "values": _are_hyperparameters,
    "status": lambda status: status in ("completed", "failed"),
    "score": _or_none(_is_finite),
    "metrics": lambda metrics: _are_measures(metrics.values()),
    "runs": _all(_is_run),
    "epochs": _is_count,
    "seconds": _is_finite,
    "reason": _or_none(_is_text),
    "traceback": _or_none(_is_text),
    "hyperparameters": _or_none(_is_config),
    "model_sha256": _or_none(_is_text),
    "attempts": _is_count,
}
# kind -> what a record of it has (a header may lack `fine_tune`): name -> whether a value can be
_RULES: Mapping[str, dict[str, Rule]] = {
    "header": {
        "model": _is_text,
        "space": _values(_is_declared),
        "recipe_fields": _all(_is_text),
        "named": _values(_values(_is_dict)),
        "method": _is_text,
        "objective": _is_text,
        "direction": lambda direction: direction in ("max", "min"),
        "data": _is_dict,
        "recipe": _is_recipe,
        "folds": lambda folds: _is_count(folds) and folds > 0,
        "repeats": lambda repeats: _is_count(repeats) and repeats > 0,
        "max_trials": _or_none(_is_count),
        "max_epochs": _or_none(_is_count),
        "fine_tune": _is_recipe,
    },
    "asked": {"trials": _all(_is_asked)},
    "retried": {"number": _is_count},
    "trial": {**_OUTCOME, "asked": _are_hyperparameters, "parent": _or_none(_is_count), "ended": _is_finite},
    "fine_tuned": _OUTCOME,
}
