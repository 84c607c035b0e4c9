"""Latencies -> one Markdown document."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from frame import opening, target_table
from inference_tasks import BATCH, CONTESTANTS, FLOAT_FORMATS, SHAPES, SIZES
from table import least, markdown, number, ratio, spread, times
from targets import Target

if TYPE_CHECKING:
    from inference import Result

_QUICK = "a few calls, which only show that it works."
_HEADER = (
    "contestant",
    "median, ms",
    "95 %, ms",
    "medians of the rounds",
    "times faster than predict",
    "vs PyTorch's best",
)
_INTRODUCTION = f"""\
A call takes uint8 images as NumPy has them and gives probabilities as NumPy takes them: conversion, scaling and softmax are inside.
Every contestant has a process of its own with all cores and its defaults, has made its first calls before the first turn, and is
called for a second when it is its turn, forth and back, the others asleep. A table shows the median of the rounds' medians, the
median of their 95 % quantiles, smallest and largest median, and ratios of medians to what ran beside it (the last column: below
1.00 is faster than PyTorch). All have the same network with random weights. A batch is {BATCH} images.

- **`model.predict`**, **`model(x)`**, **`tf.function`**: a model of `zoo.build`.
- **exported ...**: what `zoo.export` writes and `zoo.load_exported` calls.
- **PyTorch**: `inference_mode`, channels last; *traced and frozen* through `torch.jit`, which folds normalisations into convolutions.
"""


def write(
    machine: Sequence[tuple[str, str]], races: Mapping[str, Sequence[Result]], *, quick: bool, minutes: float
) -> str:
    """The document.

    Args:
        machine: what `machine.describe` gives.
        races: results by the name of the task.
        quick: whether the turns were shortened.
        minutes: how long it took.
    """
    shares = [share for results in races.values() for result in results for share in result.others]
    title = "Latency of the exported formats beside Keras and PyTorch"
    parts = opening(title, machine, shares, _INTRODUCTION, quick=_QUICK if quick else None, minutes=minutes)
    for name, results in races.items():
        parts.append(f"## {name}: {'x'.join(map(str, SHAPES[name]))}")
        for size in SIZES:
            parts.append("One image" if size == 1 else f"{size} images")
            parts.append(markdown(_HEADER, [_row(result, results, size) for result in results]))
    parts += ["## Targets", target_table(targets(races), quick)]
    return "\n\n".join(parts) + "\n"


def targets(races: Mapping[str, Sequence[Result]]) -> list[Target]:
    """All claims, in the order in which they are made."""
    rows = []
    for name in ("cnn", "resnet20"):
        results = races.get(name, ())
        best = least([median(results, kind, 1) for kind in FLOAT_FORMATS])
        claim = f"{name}: one image, times that the best format is faster than"
        rows.append(Target(f"{claim} `model.predict`", 20, ratio(median(results, "predict", 1), best), at_least=True))
        claim = f"{name}: one image, the best format's time against PyTorch's best"
        rows.append(Target(claim, 1.0, ratio(best, _pytorch(results, 1))))
    return rows


def median(results: Sequence[Result], contestant: str, size: int) -> float | None:
    """Median milliseconds of a call, over the rounds."""
    for result in results:
        if result.contestant == contestant and not result.problem and size in result.milliseconds:
            return statistics.median(statistics.median(calls) for calls in result.milliseconds[size])
    return None


def _pytorch(results: Sequence[Result], size: int) -> float | None:
    return least([median(results, name, size) for name in ("pytorch", "pytorch_traced")])


def _row(result: Result, results: Sequence[Result], size: int) -> tuple[str, ...]:
    title, own = CONTESTANTS[result.contestant].title, median(results, result.contestant, size)
    rounds = result.milliseconds.get(size, [])
    slow = statistics.median(float(np.quantile(calls, 0.95)) for calls in rounds) if rounds else None
    return (
        title,
        result.problem or number(own),
        number(slow),
        spread([statistics.median(calls) for calls in rounds]),
        times(ratio(median(results, "predict", size), own)),
        times(ratio(own, _pytorch(results, size))),
    )
