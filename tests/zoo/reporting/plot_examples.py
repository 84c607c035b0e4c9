"""A recorded search for the tests of plots, without any training."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tuning.results import SearchResult

sys.path.append(str(Path(__file__).parents[2] / "tuning"))

from search_records import header, record, run

_SPACE = {
    "learning_rate": {"type": "Float", "min_value": 1e-4, "max_value": 1.0, "sampling": "log", "conditions": []},
    "optimizer": {"type": "Choice", "values": ["sgd", "adam", "adagrad"], "conditions": []},
    "momentum": {"type": "Float", "min_value": 0.0, "max_value": 0.9, "sampling": "linear", "conditions": []},
    "layers": {"type": "Int", "min_value": 1, "max_value": 3, "step": 1, "sampling": "linear", "conditions": []},
    "units": {"type": "Choice", "values": ["json:[8, 4]", "json:[4]"], "conditions": []},
}


def make_tuned(directory: Path, count: int = 70, *, rename: Mapping[str, str] | None = None) -> SearchResult:
    """A search in which the learning rate decides; every seventh trial failed, momentum is active with SGD alone."""
    rng, records, names = np.random.default_rng(0), {}, {name: name for name in _SPACE} | dict(rename or {})
    for number in range(count):
        values = {
            "learning_rate": float(10 ** rng.uniform(-4, 0)),
            "optimizer": str(rng.choice(["sgd", "adam", "adagrad"])),
            "layers": int(rng.integers(1, 4)),
            "units": str(rng.choice(["json:[8, 4]", "json:[4]"])),
        }
        if values["optimizer"] == "sgd":
            values["momentum"] = float(rng.uniform(0, 0.9))
        score = float(0.9 - 0.1 * abs(math.log10(values["learning_rate"]) + 2) + rng.normal(0, 0.005))
        told = {names[name]: value for name, value in values.items()}
        is_failed = number % 7 == 6
        runs = [] if is_failed else [run(score, epochs=4)]
        records[number] = record(number, None if is_failed else score, told, runs=runs)
    return SearchResult(directory, header(space={names[name]: what for name, what in _SPACE.items()}), records)
