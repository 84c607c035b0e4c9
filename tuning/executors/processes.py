"""Trials in processes of this machine, and what every executor with several workers does about those it loses."""

from __future__ import annotations

import dataclasses
import multiprocessing.connection
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import psutil  # type: ignore[import-untyped]

from tuning.executors import OnProgress
from tuning.executors.worker import Message, WorkerLost, WorkerProcess, cores, pack, worker_environment
from tuning.task import Setting, TrialOutcome, TrialProgress, TrialTask
from zoo.errors import ZooError


@dataclasses.dataclass
class RunningTrial:
    """A trial on its way: how often it was started, and when it last showed that it is alive."""

    task: TrialTask
    attempts: int = 0
    last_sign: float | None = None


class Worker(Protocol):
    """What runs one trial at a time elsewhere."""

    ready: bool
    trial: RunningTrial | None

    def give(self, task: TrialTask) -> None:
        """Starts a trial."""
        ...

    def receive(self) -> list[Message]:
        """What it says next, or raises WorkerLost."""
        ...

    def words(self) -> str:
        """What it last wrote."""
        ...

    def end(self) -> None:
        """Returns when it is gone."""
        ...


W = TypeVar("W", bound=Worker)


class PooledExecutor(Generic[W]):
    """Hands trials to workers; replaces the workers that it loses and runs their trials again; see `Executor`.

    A trial resumes from the states that it saved itself, so running it again is right.

    Attributes:
        runner: "module:class" of what runs trials in a worker.
        attempts: how often a trial is started, and a worker that fails to start, before that is given up.
        hang_after: seconds without progress, after a trial's first, that make its worker a lost one.
        check_every: seconds between two looks at that.
    """

    runner = "tuning.trial:TrialRunner"
    attempts = 3
    hang_after = 600.0
    check_every = 0.5

    def __init__(self, *, workers: int, on_progress: OnProgress) -> None:
        self.capacity = workers
        self._on_progress = on_progress
        self._workers: list[W] = []
        self._waiting: deque[RunningTrial] = deque()
        self._ended: deque[tuple[TrialTask, TrialOutcome]] = deque()
        self._failed_starts: list[str] = []  # since the last trial that ended
        self._last_check = 0.0

    def _start(self, count: int) -> None:
        """Adds workers."""
        raise NotImplementedError

    def _wait(self, timeout: float) -> list[W]:
        """The workers that have something to say, as soon as there is one."""
        raise NotImplementedError

    def submit(self, task: TrialTask) -> None:
        """Gives a trial to a worker that is free, or keeps it for the next one."""
        self._waiting.append(RunningTrial(task))
        self._hand_out()

    def next_outcome(self) -> tuple[TrialTask, TrialOutcome]:
        """Waits for the end of a submitted trial; raises ZooError when workers cannot start, and what ends a search."""
        while not self._ended:
            if len(self._failed_starts) >= self.attempts:
                raise ZooError(f"workers cannot start: {self._failed_starts[-1]}")
            self._hand_out()
            for worker in self._wait(self.check_every):
                self._hear(worker)
            if time.monotonic() >= self._last_check + self.check_every:
                for worker in list(self._workers):
                    self._check(worker)
                self._last_check = time.monotonic()
        return self._ended.popleft()

    def _hand_out(self) -> None:
        for worker in self._workers:
            if self._waiting and worker.ready and worker.trial is None:
                worker.trial = trial = self._waiting.popleft()
                trial.attempts += 1
                trial.last_sign = None
                worker.give(dataclasses.replace(trial.task, folder=str(Path(trial.task.folder).resolve())))

    def _hear(self, worker: W) -> None:
        try:
            messages = worker.receive()
        except WorkerLost as loss:
            self._lose(worker, str(loss), words=loss.words)
            return
        for kind, value in messages:
            if kind == "ready":
                worker.ready = True
            elif kind == "progress":
                self._note_progress(worker, value)
            else:
                self._end_trial(worker, kind, value)

    def _note_progress(self, worker: W, progress: TrialProgress) -> None:
        if worker.trial is not None and worker.trial.task.number == progress.number:
            worker.trial.last_sign = time.monotonic()
            self._on_progress(progress)

    def _end_trial(self, worker: W, kind: str, value: Any) -> None:
        trial, worker.trial = worker.trial, None
        self._failed_starts.clear()
        if kind == "error":
            raise value
        assert trial is not None
        self._ended.append((trial.task, dataclasses.replace(value, attempts=trial.attempts)))

    def _check(self, worker: W) -> None:
        """Looks whether a worker is one to be replaced."""
        last_sign = None if worker.trial is None else worker.trial.last_sign
        if last_sign is not None and time.monotonic() > last_sign + self.hang_after:
            self._lose(worker, f"killed after {self.hang_after:g} s without progress", words=worker.words())

    def _lose(self, worker: W, how: str, *, words: str, again: bool = True) -> None:
        """Puts a new worker in the place of one, and its trial back, unless it has been started too often."""
        worker.end()
        self._workers.remove(worker)
        trial = worker.trial
        if trial is None:
            self._failed_starts.append(how)
        elif again and trial.attempts < self.attempts:
            self._waiting.appendleft(trial)
        else:
            reason = f"the worker died {trial.attempts} times: {how}" if again else f"the worker was {how}"
            outcome = TrialOutcome("failed", reason=reason, traceback=words or None, attempts=trial.attempts)
            self._ended.append((trial.task, outcome))
        self._start(1)

    def __enter__(self) -> Self:
        try:
            self._start(self.capacity)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._workers:
            self._workers[-1].end()
            self._workers.pop()  # only now: an interrupt between leaves it to be ended again


class ProcessExecutor(PooledExecutor[WorkerProcess]):
    """Runs trials in processes of this machine, which share its cores; see `Executor`.

    The workers are started on entering, import TensorFlow at the same time, and live as long as the search. They need
    no `if __name__ == "__main__"` in the user's script: nothing of it is run again.

    Attributes:
        memory_limit: bytes that a worker may take; more fails its trial. `None` is an even share of 80 % of the memory.
        recycle_growth: bytes that a worker may grow by from its first trial's end; then a new one takes its place, between
            trials. `None` is 1.5 GB, or a quarter of the limit where that is less.

    Raises:
        UsageError: the setting cannot be pickled.
    """

    memory_limit: float | None = None
    recycle_growth: float | None = None

    def __init__(self, setting: Setting, *, workers: int, address: str | None, on_progress: OnProgress) -> None:
        super().__init__(workers=workers, on_progress=on_progress)
        if self.memory_limit is None:
            self.memory_limit = 0.8 * psutil.virtual_memory().total / workers
        if self.recycle_growth is None:
            self.recycle_growth = min(1.5e9, self.memory_limit / 4)
        self._setting = setting
        self._first_memory: dict[int, int] = {}  # pid -> bytes after its first trial
        pack(setting)  # what cannot be sent is said before anything is started

    def _start(self, count: int) -> None:
        environment = worker_environment(max(1, cores() // self.capacity))
        started = []
        for _ in range(count):
            started.append(WorkerProcess(environment))
            self._workers.append(started[-1])
        parts = pack(self._setting)  # not kept: it points into the arrays, and the pickle itself may be large
        for worker in started:
            worker.prepare(self.runner, parts)

    def _wait(self, timeout: float) -> list[WorkerProcess]:
        heard = multiprocessing.connection.wait([worker.channel for worker in self._workers], timeout)
        return [worker for worker in self._workers if worker.channel in heard or worker.has_died()]

    def _end_trial(self, worker: WorkerProcess, kind: str, value: Any) -> None:
        super()._end_trial(worker, kind, value)
        memory = _memory_of(worker)
        assert self.recycle_growth is not None
        if memory > self._first_memory.setdefault(worker.pid, memory) + self.recycle_growth:
            worker.end()
            self._workers.remove(worker)
            self._start(1)

    def _check(self, worker: WorkerProcess) -> None:
        memory, limit = _memory_of(worker), self.memory_limit
        assert limit is not None
        if memory > limit:
            how = f"killed: it took {memory / 1e9:.2f} GB of memory, its limit is {limit / 1e9:.2f} GB"
            self._lose(worker, how, words=worker.words(), again=False)
        else:
            super()._check(worker)


def _memory_of(worker: WorkerProcess) -> int:
    """Bytes of memory that a worker takes; 0 when it is gone."""
    try:
        memory: int = psutil.Process(worker.pid).memory_info().rss
    except psutil.Error:
        return 0
    return memory
