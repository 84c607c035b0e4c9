"""Trials in processes of their own: their order, their groups and their errors."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
from process_executors import SETTING, make, run, run_groups
from stand_in import StandIn, task_of

from tuning.executors import processes, worker
from tuning.task import TrialProgress
from zoo.errors import DataError, SaveError, UsageError, ZooError

pytestmark = pytest.mark.usefixtures("leaves_nothing")


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
    monkeypatch.setattr(processes, "num_cores", lambda: cores)
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


@pytest.mark.usefixtures("interruptible")
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
