"""A contestant's process: `worker.py JOB`, where JOB is a JSON document. Started by the race, not by hand."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, TextIO

import samples
from stopwatch import Job, Stopwatch, work
from tasks import CONTESTANTS, TASKS


def main(spec: dict[str, Any], channel: TextIO) -> None:
    """Prepares data, or trains at each "go"."""
    watch = Stopwatch(channel, spec.get("turns", []))
    if "prepare" in spec:
        source, is_real = samples.prepare(**spec["prepare"])
        watch.send("end", source=source, is_real=is_real)
    else:
        watch.send("end", accuracy=_contest(spec, watch))


def _contest(spec: dict[str, Any], watch: Stopwatch) -> float | None:
    name, task = spec["contestant"], TASKS[spec["task"]]
    job = Job(task, spec["precision"], spec["images"], Path(spec["file"]), spec["is_mnist"])
    function = name if task.kind == "train" else f"{name}_{task.kind}"
    accuracy: float | None = getattr(importlib.import_module(CONTESTANTS[name].module), function)(job, watch)
    return accuracy


if __name__ == "__main__":
    work(main)
