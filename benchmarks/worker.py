"""A contestant's process: `worker.py JOB`, where JOB is a JSON document of `children.Child`. Started by the race, not by hand."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import samples
from stopwatch import Job, Stopwatch
from tasks import CONTESTANTS, TASKS


def main(text: str) -> None:
    """Does the job and answers on what was standard output; what libraries print goes to standard error."""
    spec = json.loads(text)
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    watch = Stopwatch(channel, spec.get("turns", []))
    try:
        if "prepare" in spec:
            source, is_real = samples.prepare(**spec["prepare"])
            watch.send("end", source=source, is_real=is_real)
        else:
            watch.send("end", accuracy=_contest(spec, watch))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # at once: threads and destructors that are left would only keep the others waiting


def _contest(spec: dict[str, Any], watch: Stopwatch) -> float | None:
    name, task = spec["contestant"], TASKS[spec["task"]]
    job = Job(task, spec["precision"], spec["images"], Path(spec["file"]), spec["is_mnist"])
    function = name if task.kind == "train" else f"{name}_{task.kind}"
    accuracy: float | None = getattr(importlib.import_module(CONTESTANTS[name].module), function)(job, watch)
    return accuracy


if __name__ == "__main__":
    main(sys.argv[1])
