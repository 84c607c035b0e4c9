from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from stand_in import StandIn, make_executor, task_of, wait_for

from tuning.executors import ray_cluster
from tuning.task import TrialProgress, model_path, state_path
from zoo.errors import DataError, SaveError, UsageError, ZooError
from zoo.storage import sha256_of_file

ray = pytest.importorskip("ray", reason="Ray is not installed")


class StandInSetting(dict):
    folds, repeats = 1, 2


SETTING = StandInSetting(function=lambda number: number * 10, array=np.arange(100_000.0))
make = functools.partial(make_executor, ray_cluster.RayExecutor, setting=SETTING)


def run(executor: ray_cluster.RayExecutor, *tasks: Any) -> dict[int, Any]:
    """Outcomes by number; no more tasks than workers."""
    for task in tasks:
        executor.submit([task])
    return {task.number: outcome for (task,), (outcome,) in (executor.next_outcomes() for _ in tasks)}


@pytest.fixture(scope="module")
def running_ray() -> Iterator[None]:
    """A Ray of the user's own, which the executor uses."""
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR
    )
    yield
    ray.shutdown()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The actors do not see the search's folder."""
    monkeypatch.setattr(ray_cluster.RayWorker, "_sees", lambda *_: False)


def test_it_starts_a_ray_of_its_own_and_ends_it_and_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    before = set(psutil.Process().children(recursive=True))
    with make() as executor:
        outcomes = run(executor, task_of(0, tmp_path, ["say", "hello"], "score"))
        assert ray.is_initialized()
    assert outcomes[0].score == 0
    assert not ray.is_initialized()
    wait_for(lambda: not set(psutil.Process().children(recursive=True)) - before)
    assert tuple(capfd.readouterr()) == ("", "")
    assert not logging.getLogger("ray").isEnabledFor(logging.DEBUG)


@pytest.mark.usefixtures("running_ray")
class TestInARunningRay:
    def test_outcomes_are_those_of_the_runner_here(self, tmp_path: Path):
        """Arrays arrive whole, threads are set, progress comes while a trial runs and in the thread that waits."""
        seen = []

        def go(progress: TrialProgress) -> None:
            seen.append((progress.number, progress.done, threading.current_thread()))
            (tmp_path / f"go-{progress.number}").touch()

        tasks = [
            task_of(n, tmp_path, ["meet", 2], ["wait", f"go-{n}"], action)
            for n, action in enumerate(["total", "score"])
        ]
        with make(workers=2, on_progress=go) as executor:
            outcomes = run(executor, *tasks)
            threads = run(executor, task_of(2, tmp_path, ["variable", "TF_NUM_INTRAOP_THREADS"]))[2]
        assert ray.is_initialized()
        here = StandIn(SETTING).run(tasks)
        assert [outcomes[task.number].score for task in tasks] == [outcome.score for outcome in here]
        pids = {outcome.metrics["pid"] for outcome in outcomes.values()}
        assert len(pids | {os.getpid()}) == 3
        assert threads.score == 1  # a Ray that is not ours: an actor asks it for one core
        assert threads.metrics["pid"] in pids
        begun = {entry for entry in seen if entry[1] == 0}
        assert begun == {(number, 0, threading.current_thread()) for number in range(3)}
        assert not list(tmp_path.glob(".token*"))

    def test_a_trial_that_always_kills_its_actor_fails(self, tmp_path: Path):
        with make(workers=2) as executor:
            outcomes = run(executor, task_of(0, tmp_path, ["leave", 3]), task_of(1, tmp_path, "score"))
        assert (outcomes[0].status, outcomes[0].attempts) == ("failed", 3)
        assert outcomes[0].reason.startswith("the worker died 3 times: The actor is dead")
        assert "\n" not in outcomes[0].reason
        assert outcomes[1].score == 10

    def test_a_trial_that_hangs_is_started_again(self, tmp_path: Path):
        with make(hang_after=1.0) as executor:
            outcomes = run(executor, task_of(0, tmp_path, ["once", "sleep", 20], "score"))
        assert (outcomes[0].status, outcomes[0].attempts) == ("completed", 2)

    @pytest.mark.usefixtures("elsewhere")
    def test_files_travel_where_the_folder_is_not_shared(self, tmp_path: Path):
        here = tmp_path / "search"
        with make() as executor:
            first = run(executor, task_of(0, here, ["save_model", "weights"], ["add_state", "abc"], pause=True))[0]
            again = run(executor, task_of(0, here, ["add_state", "d"]))[0]
            child = run(executor, task_of(1, here, ["add_state", "efg"], parent=0))[1]
            full = tmp_path / "full"
            full.mkdir()
            (full / "models").touch()
            with pytest.raises(SaveError, match=r"models/trial-0002\.keras cannot be written"):
                run(executor, task_of(2, full, ["save_model", "weights"]))
        assert [first.score, again.score, child.score] == [3, 4, 7]
        assert state_path(here, 1, 0).read_text() == "abcdefg"
        assert first.model_sha256 == sha256_of_file(model_path(here, 0))
        files = [path.relative_to(here).as_posix() for path in sorted(here.rglob("*")) if path.is_file()]
        assert files == ["models/trial-0000.keras", "states/trial-0000-0.npz", "states/trial-0001-0.npz"]

    @pytest.mark.usefixtures("elsewhere")
    def test_a_group_that_loses_its_actor_runs_again_with_its_files(self, tmp_path: Path):
        killed = []

        def kill_first(progress: TrialProgress) -> None:
            if progress.number == 2 and not killed:
                killed.append(int(progress.score))
                os.kill(killed[0], signal.SIGKILL)

        group = [
            task_of(1, tmp_path, ["add_state", "d"], parent=0),
            task_of(2, tmp_path, ["sleep", 0.5], ["add_state", "ef"], parent=0),
            task_of(3, tmp_path, ["save_model", "weights"], ["add_state", "g"]),
        ]
        with make(on_progress=kill_first) as executor:
            run(executor, task_of(0, tmp_path, ["add_state", "abc"]))
            executor.submit(group)
            ended, outcomes = executor.next_outcomes()
        assert killed
        assert ended == group
        assert [(outcome.score, outcome.attempts) for outcome in outcomes] == [(4, 2), (5, 2), (1, 2)]
        assert outcomes[0].metrics["pid"] != killed[0]
        assert [state_path(tmp_path, n, 0).read_text() for n in range(4)] == ["abc", "abcd", "abcef", "g"]
        assert outcomes[2].model_sha256 == sha256_of_file(model_path(tmp_path, 3))

    def test_errors_that_end_a_search_are_raised_here(self, tmp_path: Path):
        with make() as executor:
            with pytest.raises(DataError, match=r"^labels out of range$"):
                run(executor, task_of(0, tmp_path, "refuse"))
            with pytest.raises(ZooError, match="trial 2 broke its worker: KeyError: 'a mistake'"):
                run(executor, task_of(1, tmp_path, "break_down"))

    def test_actors_that_cannot_start_end_the_search(self, tmp_path: Path):
        with make(runner="stand_in:CannotStart") as executor:
            executor.submit([task_of(0, tmp_path)])
            with pytest.raises(ZooError, match=r"^workers cannot start: RuntimeError: no such device$"):
                executor.next_outcomes()

    @pytest.mark.usefixtures("interruptible")
    def test_an_interrupt_passes_through_and_leaves_no_actor(self, tmp_path: Path):
        pids: list[int] = []

        def interrupt(progress: TrialProgress) -> None:
            pids.append(int(progress.score))
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

        with pytest.raises(KeyboardInterrupt), make(on_progress=interrupt) as executor:
            run(executor, task_of(0, tmp_path, ["sleep", 20]))
        wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids))

    def test_an_actor_looks_for_the_very_file(self, tmp_path: Path):
        (tmp_path / "token").write_text("content")
        actor = ray_cluster.Actor()
        assert actor.sees(str(tmp_path / "token"), "content")
        assert not actor.sees(str(tmp_path / "token"), "of another machine")
        assert not actor.sees(str(tmp_path / "absent"), "content")


def test_a_setting_that_cannot_be_pickled_is_refused():
    with pytest.raises(UsageError, match=r"^the model or the data cannot be sent to workers: TypeError: cannot pickle"):
        make(setting=StandInSetting(lock=threading.Lock()))


def test_an_address_without_a_cluster_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *_, **__: (_ for _ in ()).throw(ConnectionError("nobody\n is there")))
    ended = []
    monkeypatch.setattr(ray, "shutdown", lambda: ended.append(True))
    executor = make(address="10.0.0.1:6379")
    with pytest.raises(ZooError, match=r"^Ray cannot be reached at 10.0.0.1:6379: nobody is there$"), executor:
        pass
    assert ended


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ZooError, match=r"pip install 'keras-zoo\[ray\]'"):
        make()
