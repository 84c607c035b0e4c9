"""A contestant's process: `members_worker.py JOB`, where JOB is a JSON document. Started by the race, not by hand."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

from members_tasks import CONTESTANTS, TASKS, sample
from stopwatch import Stopwatch


def main(text: str) -> None:
    """Trains at each "go", and answers on what was standard output; what libraries print goes to standard error."""
    spec = json.loads(text)
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    watch = Stopwatch(channel, [1] * len(spec["counts"]))
    try:
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
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # at once: threads and destructors that are left would only keep the others waiting


if __name__ == "__main__":
    main(sys.argv[1])
