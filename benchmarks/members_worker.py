"""A contestant's process: `members_worker.py JOB`, where JOB is a JSON document. Started by the race, not by hand."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, TextIO

from members_tasks import CONTESTANTS, TASKS, sample
from stopwatch import Stopwatch, work


def main(spec: dict[str, Any], channel: TextIO) -> None:
    """Trains so many members at each "go", and tells their accuracies at the end."""
    watch = Stopwatch(channel, [1] * len(spec["counts"]))
    whole = TASKS[spec["task"]]
    task, name = whole.shortened() if spec["quick"] else whole, spec["contestant"]
    train = importlib.import_module(CONTESTANTS[name].module).contestant(task, name, Path(spec["folder"]))
    watch.ready()
    told = []
    for count in spec["counts"]:
        members, places = task.members(count), sample(count)
        if CONTESTANTS[name].one_at_a_time:
            accuracies = train([members[place] for place in places])
        else:
            every = train(members)
            accuracies = [every[place] for place in places]
        told.append(sum(accuracies) / len(accuracies))
        watch.lap()
    watch.send("end", accuracies=told)


if __name__ == "__main__":
    work(main)
