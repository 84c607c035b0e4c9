"""One measurement in a process of its own: `scale_worker.py JOB`, a JSON document. Started by `scale.py`, not by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

import scale_folder
import scale_report
import scale_search
from stopwatch import memory, work


def main(job: dict[str, Any], channel: TextIO) -> None:
    """Measures, and answers in one line."""
    answer = {**_measure(job.pop("what"), Path(job.pop("folder")), job), "peak": memory()["peak"]}
    print(json.dumps(answer), file=channel, flush=True)


def _measure(what: str, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    if what == "search":
        return scale_search.run(job["method"], job["trials"], folder, tuple(job["marks"]))
    if what == "pictures":
        scale_folder.make(folder, job["images"])
        return {}
    return scale_folder.measure(folder, **job) if what == "folder" else scale_report.measure(folder, **job)


if __name__ == "__main__":
    work(main)
