"""Memory of a search while it runs: of its process after each trial, and of its workers at most."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import machine
from stopwatch import memory

_INTERVAL = 0.005  # seconds between two looks; a trial takes at least ten times as long
_LEAST = 100.0  # MB from which a process below this one is a worker, not a helper of multiprocessing


class Watch:
    """Looks at the resident memory whenever another trial has ended; a context manager.

    Args:
        count: how many trials have ended.

    Attributes:
        curve: resident memory in MB of this process after each trial.
        workers: the largest resident memory in MB of each worker process, the largest first.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self.curve: list[float] = []
        self._count = count
        self._peaks: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    @property
    def workers(self) -> list[float]:  # noqa: D102
        return sorted((peak for peak in self._peaks.values() if peak > _LEAST), reverse=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._look()  # the last trial may have ended since

    def _look_on(self) -> None:
        while not self._ended.wait(_INTERVAL):
            self._look()

    def _look(self) -> None:
        for number in machine.processes_below():
            peak = memory(number)["peak"]
            if peak is not None:
                self._peaks[number] = max(peak, self._peaks.get(number, 0.0))
        resident = memory()["resident"]
        if resident is not None:
            self.curve += [resident] * (self._count() - len(self.curve))


def journal_trials(path: Path) -> int:
    """Trials that a journal of ours holds so far."""
    return len(re.findall(r'"kind": ?"trial"', path.read_text(encoding="utf-8"))) if path.exists() else 0
