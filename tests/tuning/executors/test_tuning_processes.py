from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from stand_in import NAME, StandIn, task_of

from tuning.executors import processes, worker
from tuning.task import TrialOutcome, TrialProgress, TrialTask
from zoo.errors import DataError, SaveError, UsageError, ZooError

SETTING = {"function": lambda number: number * 10}


class Processes(processes.ProcessExecutor):
    runner = NAME
    check_every = 0.1


def ignore(_: TrialProgress) -> None:
    pass


def make(
    *,
    setting: Any = SETTING,
    workers: int = 1,
    on_progress: Callable[[TrialProgress], None] = ignore,
    **attributes: Any,
) -> Processes:
    kind = type("Processes", (Processes,), attributes)
    return kind(setting, workers=workers, address=None, on_progress=on_progress)


def run(executor: Processes, *tasks: Any) -> dict[int, Any]:
    """Outcomes by number; at most `capacity` trials are submitted at once."""
    waiting, outcomes = list(tasks), {}
    running = 0
    while waiting or running:
        while waiting and running < executor.capacity:
            executor.submit([waiting.pop(0)])
            running += 1
        (task,), (outcome,) = executor.next_outcomes()
        outcomes[task.number] = outcome
        running -= 1
    return outcomes


def run_groups(executor: Processes, *groups: list[TrialTask]) -> dict[int, list[TrialOutcome]]:
    """Outcomes of groups by their first number; no more groups than workers."""
    for group in groups:
        executor.submit(group)
    ended = [executor.next_outcomes() for _ in groups]
    assert all(group in groups for group, _ in ended)
    return {group[0].number: outcomes for group, outcomes in ended}


@pytest.fixture(autouse=True)
def leaves_nothing():
    """No test leaves a child behind."""
    before = set(psutil.Process().children(recursive=True))
    yield
    left = [child for child in psutil.Process().children(recursive=True) if child not in before]
    assert not left


def test_outcomes_are_those_of_the_runner_here(tmp_path: Path):
    tasks = [task_of(n, tmp_path, "score") for n in range(5)]
    with make(workers=2) as executor:
        outcomes = run(executor, *tasks)
    here = StandIn(SETTING).run(tasks)
    assert [outcomes[task.number].score for task in tasks] == [outcome.score for outcome in here]
    assert {outcome.attempts for outcome in outcomes.values()} == {1}


def test_trials_run_at_the_same_time_in_processes_of_their_own(tmp_path: Path):
    with make(workers=3) as executor:
        outcomes = run(executor, *(task_of(n, tmp_path, ["meet", 3]) for n in range(3)))
    pids = {outcome.metrics["pid"] for outcome in outcomes.values()}
    assert len(pids) == 3
    assert os.getpid() not in pids


def test_a_worker_lives_from_trial_to_trial(tmp_path: Path):
    with make() as executor:
        outcomes = run(executor, *(task_of(n, tmp_path) for n in range(4)))
    assert len({outcome.metrics["pid"] for outcome in outcomes.values()}) == 1


def test_progress_comes_in_order_and_in_the_thread_that_waits(tmp_path: Path):
    seen = []
    with make(on_progress=lambda p: seen.append((p.number, p.done, threading.current_thread()))) as executor:
        run(executor, task_of(0, tmp_path), task_of(1, tmp_path))
    here = threading.current_thread()
    assert seen == [(0, 0, here), (0, 1, here), (1, 0, here), (1, 1, here)]


def test_a_group_goes_to_one_worker_and_comes_back_in_order(tmp_path: Path):
    tasks = [task_of(n, tmp_path, ["sleep", 0.01 * (5 - n)], "score") for n in range(5)]
    with make(workers=2) as executor:
        (outcomes,) = run_groups(executor, tasks).values()
    assert [outcome.score for outcome in outcomes] == [0, 10, 20, 30, 40]
    assert len({outcome.metrics["pid"] for outcome in outcomes}) == 1
    assert {outcome.attempts for outcome in outcomes} == {1}


def test_groups_run_at_the_same_time_and_come_back_as_they_end(tmp_path: Path):
    first = [task_of(0, tmp_path, ["wait", "here-4"], "score"), task_of(2, tmp_path, "score")]
    second = [task_of(1, tmp_path, "score"), task_of(3, tmp_path), task_of(4, tmp_path, ["meet", 1], "score")]
    seen = []
    with make(workers=2, on_progress=lambda p: seen.append((p.number, p.done))) as executor:
        outcomes = run_groups(executor, first, second)
    assert [outcome.score for outcome in outcomes[0]] == [0, 20]
    assert [outcome.score for outcome in outcomes[1]] == [10, None, 40]
    assert len({outcome.metrics["pid"] for group in outcomes.values() for outcome in group}) == 2
    assert sorted(seen) == [(number, done) for number in range(5) for done in (0, 1)]


@pytest.mark.parametrize(("cores", "workers", "threads"), [(8, 2, 4), (2, 3, 1)])
def test_the_cores_are_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, threads: int):
    monkeypatch.setattr(processes, "cores", lambda: cores)
    with make(workers=workers) as executor:
        outcomes = run(
            executor,
            task_of(0, tmp_path, ["variable", "TF_NUM_INTRAOP_THREADS"]),
            task_of(1, tmp_path, ["variable", "OMP_NUM_THREADS"]),
        )
    assert [outcomes[0].score, outcomes[1].score] == [threads, threads]
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ


def test_arrays_arrive_whole_and_can_be_written(tmp_path: Path):
    import numpy as np

    array = np.arange(300_000.0).reshape(300, -1)

    class Setting(dict):  # defined in a function: it travels by value
        def __setstate__(self, state: Any) -> None:
            self["array"][0] += 1

        def __reduce__(self) -> Any:
            return Setting, (dict(self),), {"any": "thing"}

    with make(setting=Setting(array=array, function=None), workers=2) as executor:
        outcomes = run(executor, task_of(0, tmp_path, "total"), task_of(1, tmp_path, "total"))
    assert [outcomes[n].score for n in (0, 1)] == [array.sum() + array.shape[1]] * 2


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


def test_errors_that_end_a_search_are_raised_here(tmp_path: Path):
    with make() as executor:
        executor.submit([task_of(0, tmp_path, "fill_disk")])
        with pytest.raises(OSError, match="No space left on device") as disk:
            executor.next_outcomes()
        assert (disk.value.errno, disk.value.filename) == (28, "states/x.npz")
        executor.submit([task_of(1, tmp_path, "refuse")])
        with pytest.raises(DataError, match=r"^labels out of range$"):
            executor.next_outcomes()
        executor.submit([task_of(2, tmp_path, "break_down")])
        with pytest.raises(ZooError, match="broke") as mistake:
            executor.next_outcomes()
        assert str(mistake.value) == "trial 3 broke its worker: KeyError: 'a mistake'"
        assert "stand_in.py" in mistake.value.__notes__[0]
        assert run(executor, task_of(3, tmp_path, "score"))[3].score == 30


def test_an_error_of_one_trial_of_a_group_ends_the_search(tmp_path: Path):
    with make() as executor:
        executor.submit([task_of(0, tmp_path, "score"), task_of(1, tmp_path, "lose_state"), task_of(2, tmp_path)])
        with pytest.raises(SaveError, match=r"^states/x\.npz cannot be written: No space left on device$"):
            executor.next_outcomes()


def test_a_setting_that_cannot_be_pickled_is_refused():
    with pytest.raises(UsageError, match=r"^the model or the data cannot be sent to workers: TypeError: cannot pickle"):
        make(setting={"lock": threading.Lock()})


@pytest.mark.parametrize(
    ("runner", "reason"),
    [("stand_in:CannotStart", "RuntimeError: no such device"), ("absent:X", "No module named 'absent'")],
)
def test_workers_that_cannot_start_end_the_search(tmp_path: Path, runner: str, reason: str):
    with make(workers=2, runner=runner) as executor:
        executor.submit([task_of(0, tmp_path)])
        with pytest.raises(ZooError, match=f"^workers cannot start: it ended with exit status 1; it said: .*{reason}$"):
            executor.next_outcomes()


def test_an_idle_worker_that_is_killed_is_replaced(tmp_path: Path):
    with make() as executor:
        first = run(executor, task_of(0, tmp_path))[0].metrics["pid"]
        os.kill(first, signal.SIGKILL)
        outcome = run(executor, task_of(1, tmp_path, "score"))[1]
    assert outcome.score == 10
    assert outcome.metrics["pid"] != first


def test_an_interrupt_passes_through_and_leaves_no_process(tmp_path: Path):
    pids: list[int] = []

    def interrupt(progress: TrialProgress) -> None:
        pids.append(int(progress.score))
        if len(pids) == 2:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt), make(workers=2, on_progress=interrupt) as executor:
        executor.submit([task_of(0, tmp_path, "block")])
        executor.submit([task_of(1, tmp_path, ["sleep", 20])])
        executor.next_outcomes()
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_workers_do_not_mind_an_interrupt_and_go_when_they_are_asked_to(tmp_path: Path):
    def signal_worker(progress: TrialProgress) -> None:
        if progress.done == 0:
            os.kill(int(progress.score), signal.SIGINT if progress.number == 0 else signal.SIGTERM)

    with make(on_progress=signal_worker) as executor:
        outcomes = run(executor, task_of(0, tmp_path, ["sleep", 0.2]), task_of(1, tmp_path, ["sleep", 20]))
    assert (outcomes[0].status, outcomes[0].attempts) == ("completed", 1)
    assert outcomes[1].reason == "the worker died 3 times: killed by signal 15"


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    with make() as executor:
        run(executor, task_of(0, tmp_path, ["say", "hello"], ["once", "kill", signal.SIGSEGV], ["say", "\r" * 200_000]))
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_search_that_is_never_entered_starts_nothing():
    make(workers=2)
    assert not [child for child in psutil.Process().children() if "tuning.executors.worker" in child.cmdline()]


def test_what_is_sent_does_not_copy_the_arrays():
    import numpy as np

    from zoo.data.store import Store

    store = Store(np.zeros((1000, 1000), np.uint8))
    parts = worker.pack({"train": store, "validation": store})
    assert len(parts) == 2  # shared by the splits, sent once
    assert len(parts[0]) < 1000
    assert np.shares_memory(np.frombuffer(parts[1], np.uint8), store.array)
