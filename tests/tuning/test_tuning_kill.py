"""`kill -9` at random moments, of the search and of its workers: nothing is lost, nothing is done twice, nobody is left."""

from __future__ import annotations

import contextlib
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
ROUNDS = int(os.environ.get("KILL_ROUNDS", "2"))  # times that something is killed; more of them take longer
SIZE = ("250", "4") if ROUNDS <= 2 else ("1500", "1")  # examples and batch size: the search must outlive the rounds
SEARCH = """
import sys, zoo, tuning
from zoo.training import state
state._SAVE_EVERY = 0.2  # a trial takes a second or two here
tuning.search(
    "mlp", zoo.load_dataset("digits", limit=int(sys.argv[4])), method="hyperband", max_epochs=27,
    recipe=zoo.Recipe(batch_size=int(sys.argv[5])), executor=sys.argv[2], workers=int(sys.argv[3]), directory=sys.argv[1], verbose=False,
    values={"num_layers": [1], "units": [8, 16], "dropout": (0.0, 0.5), "learning_rate": (1e-4, 3e-2, "log")},
)
"""


def start(directory, executor, workers):
    command = [sys.executable, "-c", SEARCH, str(directory), executor, str(workers), *SIZE]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)


def comparable(result):
    return result.table.drop(columns=["seconds", "attempts"], errors="ignore")


def finished_trials(directory):
    lines = (directory / "journal.jsonl").read_text().splitlines()
    return [record["number"] for line in lines if (record := json.loads(line)["record"])["kind"] == "trial"]


def last_written(directory):
    """When a file of the search was written last; 0 before there is any."""
    times = [0]
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # one that is replaced just now
            times.append(path.stat().st_mtime_ns)
    return max(times)


def wait_until_it_works(process, directory, before):
    """Starting TensorFlow takes seconds in which there is nothing to lose."""
    deadline = time.monotonic() + 60
    while process.poll() is None and last_written(directory) <= before:
        assert time.monotonic() < deadline, "nothing was written in a minute"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["-c", str(directory), "inline", "1", *SIZE])
        patch.setattr("zoo.training.state._SAVE_EVERY", None)  # put back afterwards; SEARCH gives it another value
        exec(SEARCH, {})
    return tuning.load_result(directory)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
@pytest.mark.timeout(120 + 30 * ROUNDS)
@pytest.mark.parametrize(("executor", "workers"), [("processes", 2), ("inline", 1)])
def test_killed_at_random_moments(whole, tmp_path, executor, workers):
    draw = random.Random(workers)
    # Inline there is one process to kill, and one way to do it.
    rounds = ROUNDS if executor == "processes" else -(-ROUNDS // 2)
    kills = before = 0
    process = start(tmp_path, executor, workers)
    while kills < rounds:
        wait_until_it_works(process, tmp_path, before)
        time.sleep(draw.uniform(0.0, 2.0))
        if process.poll() is not None:
            break  # it was faster than the killer
        own = psutil.Process(process.pid)
        children = own.children(recursive=True)
        kills += 1
        if children and draw.random() < 0.5:
            draw.choice(children).kill()  # the search goes on without it
            continue
        process.kill()
        process.wait()
        _, left = psutil.wait_procs(children, timeout=5)
        assert not left, "orphans"
        before = last_written(tmp_path)
        process = start(tmp_path, executor, workers)
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    _, error = process.communicate()
    assert process.returncode == 0, error
    assert not psutil.wait_procs(children, timeout=5)[1], "orphans"
    print(f"{kills} kills")
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
