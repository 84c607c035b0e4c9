"""Trials on a Ray cluster: actors on other machines, or on this one where no address is given."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import queue
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np

from tuning.executors import OnProgress
from tuning.executors.processes import Part, PooledExecutor
from tuning.executors.worker import Message, WorkerLost, make_runner, pack, run_group, worker_environment
from tuning.task import Setting, TrialTask, state_path
from zoo.cores import num_cores
from zoo.errors import ZooError, one_line
from zoo.storage import atomic_path

_LISTEN, _LOOK = 5.0, 60.0  # seconds that an actor may take to say that there is no news; to look for a file


class Actor:
    """Runs trials where Ray puts it. Its methods run in one thread, but for `progress`, which has its own."""

    def __init__(self) -> None:
        self._runner: Any = None
        self._news: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def start(self, runner: str, parts: list[np.ndarray]) -> None:
        """Makes the runner of a packed setting, whose arrays stay where Ray keeps them: once a machine."""
        self._runner = make_runner(runner, parts)

    def sees(self, file: str, content: str) -> bool:
        """Whether the file is here too."""
        try:
            return Path(file).read_text() == content
        except OSError:
            return False

    def run(self, group: Sequence[TrialTask], files: dict[str, bytes] | None) -> tuple[list[Message], dict[str, bytes]]:
        """Runs trials on the search's folder, or on `files` of it; what it says at their end, and the files it wrote."""
        if files is None:
            return self._run(group), {}
        with tempfile.TemporaryDirectory(prefix="keras-zoo-") as folder:
            for name, content in files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            messages = self._run([dataclasses.replace(task, folder=folder) for task in group])
            paths = (path for path in Path(folder).rglob("[!.]*") if path.is_file())
            after = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        return messages, {name: content for name, content in after.items() if files.get(name) != content}

    def progress(self, seconds: float) -> list[Message]:
        """What is new, as soon as there is something, within so many seconds."""
        with contextlib.suppress(queue.Empty):
            return [self._news.get(timeout=seconds), *self._drain()]
        return []

    def _run(self, group: Sequence[TrialTask]) -> list[Message]:
        end = run_group(self._runner, group, self._news.put)
        return [*self._drain(), end]

    def _drain(self) -> list[Message]:
        news = []
        with contextlib.suppress(queue.Empty):  # which two threads may find
            while True:
                news.append(self._news.get_nowait())
        return news


class RayWorker:
    """An actor, as the search sees it; see `Worker`.

    Args:
        ray: the module.
        actor: a new one's handle.
        runner: "module:class" of what runs trials.
        setting: reference of the packed setting.
        runs: how many runs, and so states, a trial has.
    """

    def __init__(self, ray: ModuleType, actor: Any, runner: str, setting: Any, *, runs: int) -> None:
        self.ready = False
        self.work: Part | None = None
        self._ray = ray
        self._actor = actor
        self._runs = runs
        self._folder = Path()
        self._is_shared: dict[Path, bool] = {}  # folder -> whether the actor sees it
        self._starting = actor.start.remote(runner, setting)
        self._listening = self._listen()
        self._running: Any = None

    @property
    def references(self) -> list[Any]:
        """What `ray.wait` takes."""
        return [r for r in (self._starting, self._listening, self._running) if r is not None]

    def give(self, group: Sequence[TrialTask]) -> None:
        """Starts trials; their files go along when the actor does not see the search's folder."""
        self._folder = Path(group[0].folder)
        if self._folder not in self._is_shared:
            self._is_shared[self._folder] = self._sees(self._folder)
        files = None if self._is_shared[self._folder] else self._states_for(group)
        self._running = self._actor.run.remote(group, files)

    def receive(self) -> list[Message]:
        """What the actor says next; raises WorkerLost when it is gone, SaveError when its files cannot be kept."""
        messages: list[Message] = []
        try:
            done, _ = self._ray.wait(self.references, num_returns=len(self.references), timeout=0)
            if self._starting in done:
                self._ray.get(self._starting)
                self._starting = None
                messages.append(("ready", None))
            if self._listening in done:
                messages += self._ray.get(self._listening)
                self._listening = self._listen()
            if self._running in done:
                last_messages, files = self._ray.get(self._running)
                self._running = None
                self._save(files)
                messages += last_messages
        except self._ray.exceptions.RayError as error:
            text = str(error).strip() or type(error).__name__
            raise WorkerLost(text.splitlines()[-1].partition(" Some common causes")[0], text) from None
        return messages

    def words(self) -> str:  # noqa: D102
        return ""  # Ray keeps what its workers write

    def end(self) -> None:
        """Kills the actor."""
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(self._actor)

    def _listen(self) -> Any:
        return self._actor.progress.options(concurrency_group="progress").remote(_LISTEN)

    def _sees(self, folder: Path) -> bool:
        """Whether a file that is written into the folder here is in it there."""
        content = uuid.uuid4().hex
        token = folder / f".token-{content}"
        try:
            with atomic_path(token) as temporary:
                temporary.write_text(content)
            return bool(self._ray.get(self._actor.sees.remote(str(token), content), timeout=_LOOK))
        except self._ray.exceptions.RayError:
            return False  # the actor is gone, as the next look at it will tell
        finally:
            token.unlink(missing_ok=True)

    def _states_for(self, group: Sequence[TrialTask]) -> dict[str, bytes]:
        """The states that trials may go on from: their own, of earlier attempts, and their parents'."""
        numbers = {number for task in group for number in (task.number, task.parent) if number is not None}
        folder = group[0].folder
        paths = [state_path(folder, number, run) for number in sorted(numbers) for run in range(self._runs)]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.exists()}

    def _save(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            with atomic_path(self._folder / name) as temporary:
                temporary.write_bytes(content)


class RayExecutor(PooledExecutor[RayWorker]):
    """Runs trials in Ray actors; see `Executor`.

    Ray is started on this machine when no `address` (of `ray.init`) is given, and ended with the search; one that this
    process uses already is left running. The setting is sent once to a machine. The cluster's GPUs are divided among
    the workers.

    Raises:
        UsageError: the setting cannot be pickled.
        ZooError: Ray is not installed, or, on entering, cannot be reached.
    """

    def __init__(self, setting: Setting, *, workers: int, address: str | None, on_progress: OnProgress) -> None:
        super().__init__(workers=workers, on_progress=on_progress)
        try:
            import ray
        except ImportError as error:
            raise ZooError("executor='ray' needs Ray: pip install 'keras-zoo[ray]'") from error
        self._ray: Any = ray  # its types know no concurrency groups
        self._address = address
        self._owns_ray = False
        self._parts: Any = pack(setting)
        self._setting: Any = None  # its reference
        self._runs = setting.folds * setting.repeats
        self._actor: Any = None

    def _start(self, count: int) -> None:
        if self._actor is None:
            self._open()
        for _ in range(count):
            actor = self._actor.remote()
            self._workers.append(RayWorker(self._ray, actor, self.runner, self._setting, runs=self._runs))

    def _open(self) -> None:
        if not self._ray.is_initialized():
            self._connect()
        cpus = max(1, num_cores() // self.capacity) if self._owns_ray and self._address is None else 1
        gpus = self._ray.cluster_resources().get("GPU", 0) / self.capacity
        self._setting = self._ray.put([np.frombuffer(part, np.uint8) for part in self._parts])
        self._parts = None
        self._actor = self._ray.remote(
            num_cpus=cpus,
            num_gpus=gpus if gpus < 1 else math.floor(gpus),  # Ray takes no 1.5 GPUs
            concurrency_groups={"progress": 1},
            runtime_env={"env_vars": worker_environment(cpus)},
        )(Actor)

    def _connect(self) -> None:
        logger = logging.getLogger("ray")
        level = logger.level
        logger.setLevel(logging.ERROR)
        local = (
            {}
            if self._address is not None
            else {"num_cpus": max(self.capacity, num_cores()), "include_dashboard": False}
        )
        self._owns_ray = True  # also of a start that is interrupted
        try:
            self._ray.init(self._address, log_to_driver=False, configure_logging=False, **local)
        except Exception as error:
            what = "cannot be started" if self._address is None else f"cannot be reached at {self._address}"
            raise ZooError(f"Ray {what}: {one_line(error, 300)}") from error
        finally:
            logger.setLevel(level)

    def _wait(self, timeout: float) -> list[RayWorker]:
        workers = {reference: worker for worker in self._workers for reference in worker.references}
        done, _ = self._ray.wait(list(workers), timeout=timeout)
        return [workers[reference] for reference in done]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._setting = self._actor = None
        if self._owns_ray:
            self._ray.shutdown()
