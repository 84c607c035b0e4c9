"""Trials in processes of this machine, and what every executor with several workers does about those it loses."""

from __future__ import annotations

import dataclasses
import multiprocessing.connection
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import psutil

from tuning.executors import OnProgress
from tuning.executors.worker import Message, WorkerLost, WorkerProcess, pack, worker_environment
from tuning.task import Setting, TrialOutcome, TrialProgress, TrialTask
from zoo.cores import num_cores
from zoo.errors import ZooError


@dataclasses.dataclass
class Part:
    """What one worker is given at once: a submitted group, or, after the death of a worker, a half of one.

    Attributes:
        group: what was submitted.
        tasks: those of it that are run now.
        starts: how often they were started.
        deaths: how many workers they took with them since they are alone.
        last_sign: when they last showed that they are alive.
    """

    group: list[TrialTask]
    tasks: list[TrialTask]
    starts: int = 0
    deaths: int = 0
    last_sign: float | None = None

    def halves(self) -> list[Part]:
        """Its trials in two parts."""
        middle = len(self.tasks) // 2
        return [Part(self.group, tasks, self.starts) for tasks in (self.tasks[:middle], self.tasks[middle:])]


class Worker(Protocol):
    """What runs one group of trials at a time elsewhere."""

    ready: bool
    work: Part | None

    def give(self, group: Sequence[TrialTask]) -> None:
        """Starts trials."""
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

    A trial resumes from the states that it saved itself, so running it again is right. A group whose worker died is
    divided, so that a trial that kills its worker is in the end alone, and fails alone.

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
        self._waiting: deque[Part] = deque()
        self._outcomes: dict[int, TrialOutcome] = {}  # of groups that have not ended
        self._ended: deque[list[TrialTask]] = deque()
        self._failed_starts: list[str] = []  # since the last trial that ended
        self._last_check = 0.0

    def _start(self, count: int) -> None:
        """Adds workers."""
        raise NotImplementedError

    def _wait(self, timeout: float) -> list[W]:
        """The workers that have something to say, as soon as there is one."""
        raise NotImplementedError

    def submit(self, group: list[TrialTask]) -> None:
        """Gives trials to a worker that is free, or keeps them for the next one."""
        self._waiting.append(Part(group, group))
        self._hand_out()

    def next_outcomes(self) -> tuple[list[TrialTask], list[TrialOutcome]]:
        """Waits for the end of a submitted group; raises ZooError when workers cannot start, and what ends a search."""
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
        group = self._ended.popleft()
        return group, [self._outcomes.pop(task.number) for task in group]

    def _hand_out(self) -> None:
        for worker in self._workers:
            if self._waiting and worker.ready and worker.work is None:
                worker.work = part = self._waiting.popleft()
                part.starts += 1
                part.last_sign = None
                folder = str(Path(part.tasks[0].folder).resolve())
                worker.give([dataclasses.replace(task, folder=folder) for task in part.tasks])

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
                self._end_work(worker, kind, value)

    def _note_progress(self, worker: W, progress: TrialProgress) -> None:
        if worker.work is not None and any(task.number == progress.number for task in worker.work.tasks):
            worker.work.last_sign = time.monotonic()
            self._on_progress(progress)

    def _end_work(self, worker: W, kind: str, value: Any) -> None:
        part, worker.work = worker.work, None
        self._failed_starts.clear()
        if kind == "error":
            raise value
        assert part is not None
        self._end(part, value)

    def _end(self, part: Part, outcomes: Sequence[TrialOutcome]) -> None:
        for task, outcome in zip(part.tasks, outcomes, strict=True):
            self._outcomes[task.number] = dataclasses.replace(outcome, attempts=part.starts)
        if all(task.number in self._outcomes for task in part.group):
            self._ended.append(part.group)

    def _check(self, worker: W) -> None:
        """Looks whether a worker is one to be replaced."""
        last_sign = None if worker.work is None else worker.work.last_sign
        if last_sign is not None and time.monotonic() > last_sign + self.hang_after:
            self._lose(worker, f"killed after {self.hang_after:g} s without progress", words=worker.words())

    def _lose(self, worker: W, how: str, *, words: str, again: bool = True) -> None:
        """Puts a new worker in the place of one, and its trials back, unless one was alone and started too often."""
        worker.end()
        self._workers.remove(worker)
        part = worker.work
        if part is None:
            self._failed_starts.append(how)
        elif len(part.tasks) > 1:
            self._waiting.extendleft(reversed(part.halves()))
        else:
            part.deaths += 1
            if again and part.deaths < self.attempts:
                self._waiting.appendleft(part)
            else:
                reason = f"the worker died {part.deaths} times: {how}" if again else f"the worker was {how}"
                self._end(part, [TrialOutcome("failed", reason=reason, traceback=words or None)])
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
        environment = worker_environment(max(1, num_cores() // self.capacity))
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

    def _end_work(self, worker: WorkerProcess, kind: str, value: Any) -> None:
        super()._end_work(worker, kind, value)
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
