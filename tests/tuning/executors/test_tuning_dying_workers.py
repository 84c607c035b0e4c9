"""Workers that die, hang or take too much memory."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from process_executors import make, run, run_groups
from stand_in import task_of

from tuning.task import TrialProgress

pytestmark = pytest.mark.usefixtures("leaves_nothing")


def test_a_killed_worker_is_replaced_and_its_trial_runs_again(tmp_path: Path):
    killed = []

    def kill_first(progress: TrialProgress) -> None:
        if progress.number == 1 and not killed:
            killed.append(int(progress.score))
            os.kill(killed[0], signal.SIGKILL)
            (tmp_path / "go").touch()

    with make(workers=2, on_progress=kill_first) as executor:
        outcomes = run(executor, *(task_of(n, tmp_path, ["wait", "go"], "score") for n in range(4)))
    assert {n: outcomes[n].attempts for n in range(4)} == {0: 1, 1: 2, 2: 1, 3: 1}
    assert [outcomes[n].score for n in range(4)] == [0, 10, 20, 30]
    assert outcomes[1].metrics["pid"] != killed[0]


@pytest.mark.parametrize(
    ("action", "how"),
    [
        (["kill", signal.SIGKILL], "killed by signal 9"),
        (["kill", signal.SIGSEGV], "killed by signal 11"),
        (["leave", 3], "it ended with exit status 3"),
        (["exit"], "it ended with exit status 7"),
    ],
)
def test_a_trial_that_always_kills_its_worker_fails(tmp_path: Path, action: list[Any], how: str):
    with make(workers=2) as executor:
        outcomes = run(executor, *(task_of(n, tmp_path, *([action] if n == 1 else ["score"])) for n in range(4)))
    assert (outcomes[1].status, outcomes[1].reason, outcomes[1].attempts) == (
        "failed",
        f"the worker died 3 times: {how}",
        3,
    )
    assert [outcomes[n].status for n in (0, 2, 3)] == ["completed"] * 3


@pytest.mark.parametrize("workers", [1, 2])
def test_of_a_group_only_the_trial_that_kills_its_worker_fails(tmp_path: Path, workers: int):
    tasks = [task_of(n, tmp_path, *([["kill", signal.SIGKILL]] if n == 3 else ["score"])) for n in range(5)]
    with make(workers=workers) as executor:
        (outcomes,) = run_groups(executor, tasks).values()
        after = run(executor, task_of(5, tmp_path, "score"))
    assert [outcome.score for outcome in outcomes] == [0, 10, 20, None, 40]
    assert [outcome.status for outcome in outcomes] == [*["completed"] * 3, "failed", "completed"]
    assert outcomes[3].reason == "the worker died 3 times: killed by signal 9"
    # all; 0, 1 and 2, 3, 4; 2 and 3, 4; 3 and 4; 3; 3
    assert [outcome.attempts for outcome in outcomes] == [2, 2, 3, 6, 4]
    assert after[5].score == 50


def test_a_group_that_loses_its_worker_once_is_whole_again(tmp_path: Path):
    """Its trials go on from the states that they saved themselves."""
    tasks = [task_of(n, tmp_path, ["add_state", "a"], ["once", "leave", 3], ["add_state", "b"]) for n in range(1)]
    tasks += [task_of(n, tmp_path, ["add_state", "ab"]) for n in range(1, 4)]
    others = [task_of(4, tmp_path, ["wait", "tried-0"], "score"), task_of(5, tmp_path, "score")]
    with make(workers=2) as executor:
        outcomes = run_groups(executor, tasks, others)
    assert [(outcome.score, outcome.attempts) for outcome in outcomes[0]] == [(3, 2), (2, 2), (2, 2), (2, 2)]
    assert [(outcome.score, outcome.attempts) for outcome in outcomes[4]] == [(40, 1), (50, 1)]


def test_a_worker_that_leaves_a_child_behind_is_seen_to_die(tmp_path: Path):
    with make() as executor:
        outcome = run(executor, task_of(0, tmp_path, ["once", "leave_child"], "score"))[0]
    assert (outcome.status, outcome.attempts) == ("completed", 2)


def test_the_last_words_of_a_dead_worker_are_told(tmp_path: Path):
    with make() as executor:
        outcomes = run(
            executor,
            task_of(0, tmp_path, ["say", "words of another trial"]),
            task_of(1, tmp_path, ["say", "bad_alloc"], ["kill", signal.SIGABRT]),
        )
    assert outcomes[1].reason == "the worker died 3 times: killed by signal 6; it said: bad_alloc"
    assert "Fatal Python error: Aborted" in outcomes[1].traceback
    assert "stand_in.py" in outcomes[1].traceback
    assert "another trial" not in outcomes[1].traceback


def test_a_trial_that_hangs_is_started_again(tmp_path: Path):
    with make(workers=2, hang_after=1.0) as executor:
        outcomes = run(
            executor,
            task_of(0, tmp_path, ["once", "block"], "score"),
            task_of(1, tmp_path, ["block"]),
            task_of(2, tmp_path),
        )
    assert (outcomes[0].status, outcomes[0].attempts) == ("completed", 2)
    assert outcomes[1].reason == "the worker died 3 times: killed after 1 s without progress"
    assert outcomes[2].status == "completed"


def test_progress_of_any_trial_keeps_a_group_alive(tmp_path: Path):
    with make(hang_after=1.0) as executor:
        (outcomes,) = run_groups(executor, [task_of(n, tmp_path, ["sleep", 0.5]) for n in range(5)]).values()
    assert [(outcome.status, outcome.attempts) for outcome in outcomes] == [("completed", 1)] * 5


def test_of_a_group_that_hangs_only_the_trial_that_does_fails(tmp_path: Path):
    with make(hang_after=0.7) as executor:
        (outcomes,) = run_groups(executor, [task_of(0, tmp_path, "block"), task_of(1, tmp_path, "score")]).values()
    assert outcomes[0].reason == "the worker died 3 times: killed after 0.7 s without progress"
    assert (outcomes[0].attempts, outcomes[1].score, outcomes[1].attempts) == (4, 10, 2)


def test_a_trial_that_takes_too_much_memory_fails_at_once(tmp_path: Path):
    with make(memory_limit=200e6) as executor:
        outcomes = run(executor, task_of(0, tmp_path, ["hold", 300_000_000], ["sleep", 20]), task_of(1, tmp_path))
    assert (outcomes[0].status, outcomes[0].attempts) == ("failed", 1)
    told = r"the worker was killed: it took 0\.[23]\d GB of memory, its limit is 0\.20 GB"
    assert re.fullmatch(told, outcomes[0].reason)
    assert outcomes[1].status == "completed"


def test_of_a_group_only_the_trial_that_takes_too_much_memory_fails(tmp_path: Path):
    tasks = [task_of(n, tmp_path, "score") for n in range(4)]
    tasks[2] = task_of(2, tmp_path, ["need", 300_000_000], ["sleep", 20])
    with make(memory_limit=200e6) as executor:
        (outcomes,) = run_groups(executor, tasks).values()
    assert [outcome.score for outcome in outcomes] == [0, 10, None, 30]
    assert re.fullmatch(r"the worker was killed: it took 0\.[23]\d GB of memory, .*", outcomes[2].reason)
    assert [outcome.attempts for outcome in outcomes] == [2, 2, 3, 3]


def test_a_group_that_is_too_large_for_the_memory_is_divided(tmp_path: Path):
    tasks = [task_of(n, tmp_path, ["need", 80_000_000], ["sleep", 0.3], "score") for n in range(4)]
    with make(memory_limit=250e6, recycle_growth=1e9) as executor:
        (outcomes,) = run_groups(executor, tasks).values()
    assert [(outcome.score, outcome.attempts) for outcome in outcomes] == [(0, 2), (10, 2), (20, 2), (30, 2)]


def test_a_worker_that_grew_is_replaced_between_trials(tmp_path: Path):
    with make(recycle_growth=50e6) as executor:
        outcomes = run(executor, *(task_of(n, tmp_path, ["hold", 30_000_000]) for n in range(6)))
    pids = [outcomes[n].metrics["pid"] for n in range(6)]
    assert pids[0] == pids[1] == pids[2] != pids[3] == pids[4] == pids[5]
    assert {outcome.attempts for outcome in outcomes.values()} == {1}


def test_a_memory_limit_is_there_by_default():
    executor = make(workers=4)
    assert executor.memory_limit == 0.8 * psutil.virtual_memory().total / 4
    assert 0 < executor.recycle_growth <= executor.memory_limit / 4


def test_an_idle_worker_that_is_killed_is_replaced(tmp_path: Path):
    with make() as executor:
        first = run(executor, task_of(0, tmp_path))[0].metrics["pid"]
        os.kill(first, signal.SIGKILL)
        outcome = run(executor, task_of(1, tmp_path, "score"))[1]
    assert outcome.score == 10
    assert outcome.metrics["pid"] != first
