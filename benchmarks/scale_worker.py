"""One measurement in a process of its own: `scale_worker.py JOB`, a JSON document. Started by `scale.py`, not by hand."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import scale_folder
import scale_report
import scale_search
from stopwatch import memory


def main(text: str) -> None:
    """Measures, and answers in one line on what was standard output; what libraries print goes to standard error."""
    job = json.loads(text)
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        answer = {**_measure(job.pop("what"), Path(job.pop("folder")), job), "peak": memory()["peak"]}
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    print(json.dumps(answer), file=channel, flush=True)
    os._exit(0)


def _measure(what: str, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    if what == "search":
        return scale_search.run(job["method"], job["trials"], folder, tuple(job["marks"]))
    if what == "pictures":
        scale_folder.make(folder, job["images"])
        return {}
    return scale_folder.measure(folder, **job) if what == "folder" else scale_report.measure(folder, **job)


if __name__ == "__main__":
    main(sys.argv[1])
