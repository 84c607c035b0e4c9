"""A contestant's process: `inference_worker.py JOB`, where JOB is a JSON document. Started by the race, not by hand."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import machine
import numpy as np
from inference_tasks import CONTESTANTS, SHAPES
from stopwatch import work


def main(spec: dict[str, Any], channel: TextIO) -> None:
    """Times calls at each "go"."""
    name, task = spec["contestant"], spec["task"]
    run = importlib.import_module(CONTESTANTS[name].module).contestant(task, name)
    random = np.random.default_rng(1)
    images = {n: random.integers(0, 256, (n, *SHAPES[task])).astype(np.uint8) for n in set(spec["sizes"])}
    for given in images.values():
        if run(given).shape != (len(given), 10):
            raise ValueError("not the probabilities of ten classes")
    print(json.dumps({"event": "ready"}), file=channel, flush=True)
    for size in spec["sizes"]:
        if not sys.stdin.readline():
            os._exit(1)  # the race has ended, however it did
        worked = machine.worked_seconds()
        times = _timed(run, images[size], spec["seconds"])
        answer = {"milliseconds": times, "worked": machine.worked_seconds() - worked}
        print(json.dumps(answer), file=channel, flush=True)


def _timed(run: Callable[[np.ndarray], np.ndarray], images: np.ndarray, seconds: float) -> list[float]:
    """Milliseconds of each call, for so long; the first ones, which wake threads and caches, are not counted."""
    for _ in range(3):
        run(images)
    times: list[float] = []
    started = time.perf_counter()
    while time.perf_counter() - started < seconds or len(times) < 5:
        before = time.perf_counter()
        run(images)
        times.append(1000 * (time.perf_counter() - before))
    return times if len(times) <= 1000 else np.quantile(times, np.linspace(0, 1, 1000)).tolist()


if __name__ == "__main__":
    work(main)
