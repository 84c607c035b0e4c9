"""How a search is shown while it runs: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from tuning.status import SearchStatus, trial_line
from tuning.task import TrialProgress

QUIET_SECONDS = 10.0  # without a line, after which one says what is running

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _harmless(method: _Method) -> _Method:
    """An error while showing something (a closed pipe, a terminal that is gone) ends the showing, not the search."""

    @functools.wraps(method)
    def guarded(self: SearchProgress, *args: Any, **kwargs: Any) -> Any:
        if self._verbose:
            try:
                with self._lock:
                    return method(self, *args, **kwargs)
            except Exception:
                self._verbose = False
        return None

    return guarded  # type: ignore[return-value]


class SearchProgress:
    """Shows a running search: on a terminal (standard error) as one live line, elsewhere as plain lines.

    The live line has trials done and in all, those that are running and how far, failures, the best score, the time
    since the start and the time left. Elsewhere each trial that ends is a line on standard output, and after ten seconds
    without one another line says what is running. Nothing that goes wrong here is raised, so a search never ends by it.

    Args:
        objective: name of the score.
        direction: "max" or "min".
        total: number of trials there will be, `None` where it is not known.
        done: trials that the journal has already, the failed ones included.
        failed: how many of them failed.
        best: the best score of them.
        verbose: `False` shows nothing.

    Examples:
        >>> with SearchProgress(objective="val_accuracy", direction="max", total=10) as progress:
        ...     progress.started(0)
        ...     progress.on_progress(TrialProgress(0, done=1.5, total=10))
    """

    def __init__(
        self,
        *,
        objective: str,
        direction: str,
        total: int | None = None,
        done: int = 0,
        failed: int = 0,
        best: float | None = None,
        verbose: bool = True,
    ) -> None:
        self.objective, self.direction = objective, direction
        self.status = SearchStatus(total=total, done=done, failed=failed, best=best)
        self._verbose = verbose
        self._lock = threading.RLock()
        self._printed = time.monotonic()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._bar: Progress | None = None

    def __enter__(self) -> SearchProgress:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        try:
            if self._bar is not None:
                self._bar.stop()  # also after an error of its own: the terminal gets its cursor back
        except Exception:
            self._verbose = False
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    @_harmless
    def started(self, number: int, together: int = 1) -> None:
        """A trial starts, or starts again, as one of so many that train together."""
        self.status.started(number, together)
        self._refresh()

    @_harmless
    def on_progress(self, progress: TrialProgress) -> None:
        """How far a trial is."""
        self.status.advanced(progress)
        self._refresh()

    @_harmless
    def finished(self, record: dict[str, Any], best: float | None) -> None:
        """A trial ended; `best` is the best score so far, its own included."""
        self.status.finished(record, best)
        is_first_failure = record["status"] != "completed" and self.status.failed == 1
        if self._bar is None or is_first_failure:  # why, once; the table has them all
            self._say(trial_line(record, objective=self.objective, best=best, total=self.status.total))
        self._refresh()

    @_harmless
    def note(self, text: str) -> None:
        """A line about the search itself."""
        self._say(text)

    @_harmless
    def _open(self) -> None:
        self._printed = time.monotonic()
        if not sys.stderr.isatty():
            self._thread = threading.Thread(target=self._watch, name="search-progress", daemon=True)
            self._thread.start()
            return
        status = self.status
        columns = (
            TextColumn("{task.completed:g}/{task.fields[trials]}"),
            BarColumn(bar_width=16),
            TimeElapsedColumn(),
            _Live(status.time_left),
            _Live(status.summary, table_column=Column(no_wrap=False)),  # the one that gives way on a narrow terminal
        )
        # A file that standard output goes to is not to be redirected to the terminal.
        is_shown = sys.stdout.isatty()
        bar = Progress(*columns, console=Console(stderr=True), redirect_stdout=is_shown, refresh_per_second=4)
        total = "?" if status.total is None else str(status.total)
        self._task = bar.add_task("trials", total=status.total, completed=status.done, trials=total)
        self._bar = bar
        bar.start()

    def _refresh(self) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self.status.done)

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, flush=True)
        self._printed = time.monotonic()

    def _watch(self) -> None:
        """Breaks the silence of long trials; in a thread, because a trial may not tell how far it is."""
        while not self._ended.wait(min(1.0, QUIET_SECONDS / 4)):
            self._break_silence()

    @_harmless
    def _break_silence(self) -> None:
        status = self.status
        if status.running and time.monotonic() - self._printed >= QUIET_SECONDS:
            trials = f"{status.done}" if status.total is None else f"{status.done}/{status.total}"
            self._say(f"{trials} trials done  {status.summary()}  {status.time_left()}")


class _Live(TextColumn):
    """A text that is asked for again whenever the line is drawn, by the thread that draws it; cut where it is too long."""

    def __init__(self, ask: Callable[[], str], table_column: Column | None = None) -> None:
        super().__init__("", table_column=table_column)
        self._ask = ask

    def render(self, task: Any) -> Text:
        with contextlib.suppress(RuntimeError):  # the trials changed meanwhile: the next time will do
            return Text(self._ask(), no_wrap=True, overflow="ellipsis")
        return Text("")
