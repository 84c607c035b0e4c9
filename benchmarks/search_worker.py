"""A contestant's process: `search_worker.py JOB`, where JOB is a JSON document. Started by the race, not by hand."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
import traceback
from pathlib import Path

from search_tasks import CONTESTANTS, TASKS, Entry, Job
from stopwatch import Stopwatch


def main(text: str) -> None:
    """Loads, waits for "go", searches, and answers on what was standard output; what libraries print goes to standard error."""
    spec = json.loads(text)
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    watch = Stopwatch(channel, [1])
    try:
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
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # at once: threads and destructors that are left would only keep the others waiting


if __name__ == "__main__":
    main(sys.argv[1])
