"""How a running search stands, in numbers and in words; `tuning.progress` shows it."""

from __future__ import annotations

import time
from typing import Any

from tuning.parameters import decode
from tuning.task import TrialProgress

_SHOWN_TRIALS = 4  # running ones that are named; of more, the number
_TOLD = 0.05  # share of a trial after which its own pace says more than the mean of the others


class SearchStatus:
    """What a search has done, what is running, and what is left.

    Args:
        total: number of trials there will be, `None` where it is not known.
        done: trials that ended, the failed ones included.
        failed: how many of them failed.
        best: the best score of them.
    """

    def __init__(self, *, total: int | None, done: int, failed: int, best: float | None) -> None:
        self.total, self.done, self.failed, self.best = total, done, failed, best
        self.running: dict[int, TrialProgress] = {}
        self._since: dict[int, float] = {}  # trial -> when it started
        self._durations: list[float] = []
        # Trial -> how many train as one program with it; each takes a share of the time.
        self._together: dict[int, int] = {}
        self._workers = 1.0  # as many as ever worked at once

    def started(self, number: int, together: int = 1) -> None:
        """A trial starts, or starts again, as one of so many that train together."""
        self._since[number], self._together[number] = time.monotonic(), together
        self._put(TrialProgress(number, 0.0, 0.0))

    def advanced(self, progress: TrialProgress) -> None:
        """How far a trial is."""
        self._since.setdefault(progress.number, time.monotonic())
        self._put(progress)

    def finished(self, record: dict[str, Any], best: float | None) -> None:
        """A trial ended; `best` is the best score so far, its own included."""
        self.running.pop(record["number"], None)
        self._since.pop(record["number"], None)
        self._durations.append(float(record["seconds"]))
        self.done += 1
        self.failed += record["status"] != "completed"
        self.best = best

    def seconds_left(self) -> float | None:
        """Estimated from the trials that ended and the pace of those that run; `None` while nothing is known."""
        now, since = time.monotonic(), dict(self._since)
        running_trials = dict(self.running)  # copies: the live line asks from a thread of its own
        shares = {n: min(1.0, p.done / p.total) if p.total > 0 else 0.0 for n, p in running_trials.items()}
        sizes = {n: self._together.get(n, 1) for n in shares}
        paces = {n: (now - since.get(n, now)) / share / sizes[n] for n, share in shares.items() if share >= _TOLD}
        known = [*self._durations, *paces.values()]
        if self.total is None or not known:
            return None
        mean = sum(known) / len(known)
        running = [paces.get(n, mean) * (1 - share) for n, share in shares.items()]
        waiting = max(0, self.total - self.done - len(running)) * mean
        alone = [left for left, n in zip(running, shares, strict=True) if sizes[n] == 1]
        return max([(waiting + sum(running)) / self._workers, *alone])

    def time_left(self) -> str:
        """The time left, `?` while nothing is known."""
        seconds = self.seconds_left()
        return f"left {'?' if seconds is None else _clock(seconds)}"

    def summary(self) -> str:
        """What came of the trials so far, and what is running."""
        parts = [f"best {self.best:.4f}"] if self.best is not None else []
        parts += [f"failed {self.failed}"] if self.failed else []
        parts += [f"running {self._running_text()}"] if self.running else []
        return "  ".join(parts)

    def _running_text(self) -> str:
        if len(self.running) > _SHOWN_TRIALS:
            return f"{len(self.running)} trials"
        shown = []
        for number, progress in sorted(dict(self.running).items()):
            epochs = f" epoch {progress.done:.3g}/{progress.total:g}" if progress.total > 0 else ""
            shown.append(f"{number + 1}{epochs}")
        return ", ".join(shown)

    def _put(self, progress: TrialProgress) -> None:
        self.running[progress.number] = progress
        self._workers = max(self._workers, sum(1 / self._together.get(number, 1) for number in self.running))


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
