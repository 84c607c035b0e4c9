"""A contestant's process: `search_worker.py JOB`, where JOB is a JSON document. Started by the race, not by hand."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any, TextIO

from search_tasks import CONTESTANTS, TASKS, Entry, Job
from stopwatch import Stopwatch, work


def main(spec: dict[str, Any], channel: TextIO) -> None:
    """Loads, waits for "go", searches, and tells what was found."""
    watch = Stopwatch(channel, [1])
    task, entry = TASKS[spec["task"]], Entry(*spec["entry"])
    job = Job(task.shortened() if spec["quick"] else task, entry, spec["seed"], Path(spec["folder"]))
    module = importlib.import_module(CONTESTANTS[entry.contestant].module)
    data = module.load(job)
    watch.ready()
    try:
        found = module.search(job, data)
        watch.lap()
    finally:
        if hasattr(module, "close"):
            module.close()
    watch.send("end", **dataclasses.asdict(found))


if __name__ == "__main__":
    work(main)
