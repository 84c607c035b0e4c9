"""What a search says while it runs: one live line on a terminal, plain lines elsewhere."""

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

from tuning.parameters import decode
from tuning.task import TrialProgress

QUIET_SECONDS = 10.0  # without a line, after which one says what is running
_SHOWN_TRIALS = 4  # running ones that are named; of more, the number
_TOLD = 0.05  # share of a trial after which its own pace says more than the mean of the others

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

    Example:
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
        self.total, self.done, self.failed, self.best = total, done, failed, best
        self._verbose = verbose
        self._running: dict[int, TrialProgress] = {}
        self._since: dict[int, float] = {}  # trial -> when it started
        self._durations: list[float] = []
        self._workers = 1  # as many as ever ran at once
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
    def started(self, number: int) -> None:
        """A trial starts, or starts again."""
        self._running[number] = TrialProgress(number, 0.0, 0.0)
        self._since[number] = time.monotonic()
        self._workers = max(self._workers, len(self._running))
        self._refresh()

    @_harmless
    def on_progress(self, progress: TrialProgress) -> None:
        """How far a trial is."""
        self._since.setdefault(progress.number, time.monotonic())
        self._running[progress.number] = progress
        self._workers = max(self._workers, len(self._running))
        self._refresh()

    @_harmless
    def finished(self, record: dict[str, Any], best: float | None) -> None:
        """A trial ended; `best` is the best score so far, its own included."""
        self._running.pop(record["number"], None)
        self._since.pop(record["number"], None)
        self._durations.append(float(record["seconds"]))
        self.done += 1
        has_failed = record["status"] != "completed"
        self.failed += has_failed
        self.best = best
        if self._bar is None or (has_failed and self.failed == 1):  # why, once; the table has them all
            self._say(trial_line(record, objective=self.objective, best=best, total=self.total))
        self._refresh()

    @_harmless
    def note(self, text: str) -> None:
        """A line about the search itself."""
        self._say(text)

    def seconds_left(self) -> float | None:
        """Estimated from the trials that ended and the pace of those that run; `None` while nothing is known."""
        now, since = time.monotonic(), dict(self._since)
        running_trials = dict(self._running)  # copies: the live line asks from a thread of its own
        shares = {n: min(1.0, p.done / p.total) if p.total > 0 else 0.0 for n, p in running_trials.items()}
        paces = {n: (now - since.get(n, now)) / share for n, share in shares.items() if share >= _TOLD}
        known = [*self._durations, *paces.values()]
        if self.total is None or not known:
            return None
        mean = sum(known) / len(known)
        running = [paces.get(n, mean) * (1 - share) for n, share in shares.items()]
        waiting = max(0, self.total - self.done - len(running)) * mean
        return max([(waiting + sum(running)) / self._workers, *running])

    def left(self) -> str:
        """The time left, `?` while nothing is known."""
        seconds = self.seconds_left()
        return f"left {'?' if seconds is None else _clock(seconds)}"

    def status(self) -> str:
        """What came of the trials so far, and what is running."""
        parts = [f"best {self.best:.4f}"] if self.best is not None else []
        parts += [f"failed {self.failed}"] if self.failed else []
        parts += [f"running {self._running_text()}"] if self._running else []
        return "  ".join(parts)

    def _running_text(self) -> str:
        if len(self._running) > _SHOWN_TRIALS:
            return f"{len(self._running)} trials"
        shown = []
        for number, progress in sorted(dict(self._running).items()):
            epochs = f" epoch {progress.done:.3g}/{progress.total:g}" if progress.total > 0 else ""
            shown.append(f"{number + 1}{epochs}")
        return ", ".join(shown)

    @_harmless
    def _open(self) -> None:
        self._printed = time.monotonic()
        if not sys.stderr.isatty():
            self._thread = threading.Thread(target=self._watch, name="search-progress", daemon=True)
            self._thread.start()
            return
        columns = (
            TextColumn("{task.completed:g}/{task.fields[trials]}"),
            BarColumn(bar_width=16),
            TimeElapsedColumn(),
            _Live(self.left),
            _Live(self.status, table_column=Column(no_wrap=False)),  # the one that gives way on a narrow terminal
        )
        # A file that standard output goes to is not to be redirected to the terminal.
        is_shown = sys.stdout.isatty()
        bar = Progress(*columns, console=Console(stderr=True), redirect_stdout=is_shown, refresh_per_second=4)
        total = "?" if self.total is None else str(self.total)
        self._task = bar.add_task("trials", total=self.total, completed=self.done, trials=total)
        self._bar = bar
        bar.start()

    def _refresh(self) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)

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
        if self._running and time.monotonic() - self._printed >= QUIET_SECONDS:
            trials = f"{self.done}" if self.total is None else f"{self.done}/{self.total}"
            self._say(f"{trials} trials done  {self.status()}  {self.left()}")


class _Live(TextColumn):
    """A text that is asked for again whenever the line is drawn, by the thread that draws it; cut where it is too long."""

    def __init__(self, ask: Callable[[], str], table_column: Column | None = None) -> None:
        super().__init__("", table_column=table_column)
        self._ask = ask

    def render(self, task: Any) -> Text:
        with contextlib.suppress(RuntimeError):  # the trials changed meanwhile: the next time will do
            return Text(self._ask(), no_wrap=True, overflow="ellipsis")
        return Text("")


def trial_line(record: dict[str, Any], *, objective: str, best: float | None, total: int | None) -> str:
    """One finished trial, e.g. `trial 3/10  val_accuracy 0.9712  best 0.9833  4.1 s  l2=0.0001 learning_rate=0.1`.

    Args:
        record: the trial's record.
        objective: name of the score.
        best: the best score so far, this trial's included; `None` while all failed.
        total: number of trials there will be, where it is known.
    """
    number = f"trial {record['number'] + 1}" + (f"/{total}" if total is not None else "")
    what = f"{objective} {record['score']:.4f}" if record["status"] == "completed" else f"failed ({record['reason']})"
    parts = [number, what]
    if best is not None:
        parts.append(f"best {best:.4f}")
    parts.append(f"{record['seconds']:.1f} s")
    values = {name: decode(value) for name, value in record["values"].items()}
    if "tuner/epochs" in values:
        values = {"epochs": values["tuner/epochs"], **values}
    shown = [f"{name}={_short(value)}" for name, value in values.items() if not name.startswith("tuner/")]
    return "  ".join([*parts, " ".join(shown)])


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
