"""A contestant's process: `inference_worker.py JOB`, where JOB is a JSON document. Started by the race, not by hand."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback

import machine
import numpy as np
from inference_tasks import CONTESTANTS, SHAPES


def main(text: str) -> None:
    """Times calls at each "go", and answers on what was standard output; what libraries print goes to standard error."""
    spec = json.loads(text)
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        run = importlib.import_module(CONTESTANTS[spec["contestant"]].module).contestant(
            spec["task"], spec["contestant"]
        )
        random = np.random.default_rng(1)
        images = {n: random.integers(0, 256, (n, *SHAPES[spec["task"]])).astype(np.uint8) for n in set(spec["sizes"])}
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
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # at once: threads and destructors that are left would only keep the others waiting


def _timed(run, images: np.ndarray, seconds: float) -> list[float]:  # type: ignore[no-untyped-def]
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
    main(sys.argv[1])
