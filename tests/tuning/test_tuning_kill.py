"""`kill -9` at random moments, of the search and of its workers: nothing is lost, nothing is done twice, nobody is left."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

import tuning

ROOT = Path(__file__).parents[2]
ROUNDS = int(os.environ.get("KILL_ROUNDS", "1"))  # of three kills each; more of them take longer
SIZE = ("250", "4") if ROUNDS == 1 else ("1500", "1")  # examples and batch size: the search must outlive the rounds
SEARCH = """
import sys, zoo, tuning
from zoo.training import state
state._SAVE_EVERY = 0.2  # a trial takes a second or two here
sets = {  # a folder that is gone on with holds them in the same order, whatever the order of sets
    "heavy": {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.01},
    "light": {"learning_rate": 0.1, "momentum": 0.5, "optimizer": "sgd"},
}
tuning.search(
    "mlp", zoo.load_dataset("digits", limit=int(sys.argv[4])), method="hyperband", max_epochs=9,
    recipe=zoo.Recipe(batch_size=int(sys.argv[5])), executor=sys.argv[2], workers=int(sys.argv[3]), directory=sys.argv[1], verbose=False,
    values={"num_layers": [1], "units": [8], "dropout": (0.0, 0.5), "ball": sets},
)
"""
HASH_SEEDS = itertools.count(1)  # with 1, 2 and 3 the names in `sets` have three orders in a set


def start(directory, executor, workers):
    command = [sys.executable, "-c", SEARCH, str(directory), executor, str(workers), *SIZE]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(next(HASH_SEEDS))}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def comparable(result):
    return result.table.drop(columns=["seconds", "attempts"], errors="ignore")


def finished_trials(directory):
    lines = (directory / "journal.jsonl").read_text().splitlines()
    return [record["number"] for line in lines if (record := json.loads(line)["record"])["kind"] == "trial"]


def last_written(directory):
    """When a trial's state was written last; 0 before there is any."""
    times = [0]
    for path in (directory / "states").glob("*"):
        with contextlib.suppress(FileNotFoundError):  # one that is replaced just now
            times.append(path.stat().st_mtime_ns)
    return max(times)


def works(process, directory, seconds):
    """Whether trials go on, or go on again, so many seconds after they have; starting takes seconds in which there is nothing to lose."""
    before, deadline = last_written(directory), time.monotonic() + 60
    while process.poll() is None and last_written(directory) <= before:
        assert time.monotonic() < deadline, "nothing was written in a minute"
        time.sleep(0.02)
    time.sleep(seconds)
    return process.poll() is None


def kill(process):
    """The search; its workers go with it."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert not psutil.wait_procs(children, timeout=5)[1], "orphans"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["-c", str(directory), "inline", "1", *SIZE])
        patch.setattr("zoo.training.state._SAVE_EVERY", None)  # put back afterwards; SEARCH gives it another value
        exec(SEARCH, {})
    return tuning.load_result(directory)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
@pytest.mark.timeout(120 + 60 * ROUNDS)
def test_killed_at_random_moments(whole, tmp_path):
    """In one process; then a worker of two; then the search with its workers. It goes on whatever it was begun with."""
    draw, kills = random.Random(1), 0
    for _ in range(ROUNDS):
        process = start(tmp_path, "inline", 1)
        if works(process, tmp_path, draw.uniform(0.0, 1.0)):
            kill(process)
            kills += 1
        process = start(tmp_path, "processes", 2)
        if works(process, tmp_path, draw.uniform(0.0, 1.0)):
            draw.choice(psutil.Process(process.pid).children(recursive=True)).kill()  # the search goes on without it
            kills += 1
        if works(process, tmp_path, draw.uniform(0.0, 1.0)):
            kill(process)
            kills += 1
    process = start(tmp_path, "inline", 1)
    _, error = process.communicate()
    assert process.returncode == 0, error
    print(f"{kills} kills")  # of three a round, unless the search was faster than the killer
    assert kills
    result = tuning.load_result(tmp_path)
    assert comparable(result).equals(comparable(whole))
    assert result.best_values == whole.best_values
    assert result.best_trial["metrics"] == whole.best_trial["metrics"]
    assert set(Counter(finished_trials(tmp_path)).values()) == {1}
    model, expected = result.best_model(), whole.best_model()
    for one, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        assert (one == other).all()
    for folder in ("models", "states"):  # paused trials may go on when max_trials grows
        names = [sorted(file.name for file in (place / folder).iterdir()) for place in (tmp_path, whole.directory)]
        assert names[0] == names[1]
