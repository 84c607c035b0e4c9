"""Rounds of killing: start, kill at a random moment, look at what is left, start again."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from fork_client import ForkServer, kill_once
from PIL import Image

import tuning
import zoo
from zoo.errors import ExportError, UsageError, ZooError
from zoo.exporting.certificate import read_certificate
from zoo.exporting.verifying import verify
from zoo.features import cache
from zoo.tables import read_table
from zoo.training.state import State


def refusal_of(kind: type[Exception] | tuple[type[Exception], ...], work: Callable[[], object]) -> str | None:
    """What some work is refused with, or `None`."""
    try:
        work()
    except kind as error:
        return str(error)
    return None


class Rounds:
    """Kills work of one kind again and again and looks at what is left, which is whole or refused, or it fails.

    Args:
        server: where the work runs.
        folder: where it writes.
        draw: gives the moments.

    Attributes:
        seen: how often which signal met work that was not done, and how often what was left was which.
    """

    def __init__(self, server: ForkServer, folder: Path, draw: random.Random) -> None:
        self.server, self.folder, self._draw, self.seen = server, folder, draw, Counter[str]()

    def kill(self, count: int) -> None:
        """So many rounds that meet work, SIGKILL and SIGTERM in turn, at moments between the start and the usual end.

        Prints the moments, so that a failure says what came before it.
        """
        longest, met = self.begin(), 0
        for _ in range(20 * count):
            if met == count:
                break
            number, seconds = (signal.SIGKILL, signal.SIGTERM)[met % 2], self._draw.uniform(0.0, longest)
            print(f"{number.name} after {seconds:.3f} s", end=": ", flush=True)
            killed = kill_once(self.server, self.work(), number, seconds)
            left = self.look()
            print(left if killed == number.name else f"{killed}, {left}", flush=True)
            self.seen[killed] += 1
            self.seen[left] += 1
            met += killed == number.name
        self.end()

    def begin(self) -> float:
        """What is done once before; seconds after which work is killed at the latest."""
        raise NotImplementedError

    def _seconds_until(self, first: Path) -> float:
        """How long endless work takes until a folder is there; the work is killed then, and the folder goes."""
        started = time.monotonic()
        self.server.start(*self.work())
        while not first.exists():
            assert time.monotonic() < started + 60, self.server.log.read_text()
            time.sleep(0.01)
        self.server.send(signal.SIGKILL)
        self.server.wait()
        shutil.rmtree(first)
        return time.monotonic() - started

    def work(self) -> Sequence[object]:
        """What is to be killed: a name of `fork_server.WORK`, and arguments."""
        raise NotImplementedError

    def look(self) -> str:
        """Looks at what is left, and has a word for it."""
        raise NotImplementedError

    def end(self) -> None:
        """What is done once afterwards."""


class ContinuedRounds(Rounds):
    """What is gone on with until it is done equals what was not interrupted; then another is begun."""

    _number = 0

    @property
    def _cut(self) -> Path:
        return self.folder / f"cut-{self._number}"

    def verified(self) -> str:
        self.compare(self.folder / "whole", self._cut)
        assert not list(self._cut.rglob(".zoo-*"))
        self.seen["compared with the whole"] += 1
        self._number += 1
        return "verified"

    def end(self) -> None:
        self.server.run(*self.work())
        self.verified()

    def compare(self, whole: Path, cut: Path) -> None:
        raise NotImplementedError


class TrainingRounds(ContinuedRounds):
    """A training is gone on with until it is done: it equals one that was not interrupted, bit by bit."""

    epochs = 60

    def begin(self) -> float:
        seconds = self.server.run("train", str(self.folder / "whole"), self.epochs)
        return 0.8 * seconds  # what is left of an interrupted one takes less

    def work(self) -> Sequence[object]:
        return "train", str(self._cut), self.epochs

    def look(self) -> str:
        begun = (self._cut / "state.npz").exists()
        epoch = State.load(self._cut / "state.npz").facts["epoch"] if begun else 0
        if (self._cut / "best.weights.h5").exists():
            zoo.build("softmax", (8, 8, 1), 10).load_weights(self._cut / "best.weights.h5")
        for table in self._cut.glob("*.csv"):
            read_table(table)
        if refusal_of(ZooError, lambda: zoo.load_run(self._cut)):
            assert not (self._cut / "result.json").exists()
            print(f"epoch {epoch}", end=", ")
            return "goes on" if begun else "refused"
        return self.verified()

    def compare(self, whole: Path, cut: Path) -> None:
        assert (cut / "best.weights.h5").read_bytes() == (whole / "best.weights.h5").read_bytes()
        whole, cut = zoo.load_run(whole), zoo.load_run(cut)
        for one, other in zip(whole.model.get_weights(), cut.model.get_weights(), strict=True):
            assert np.array_equal(one, other)
        for name in ("history", "steps", "validations"):
            one, other = (getattr(run, name).drop(columns="seconds", errors="ignore") for run in (whole, cut))
            assert one.equals(other), name
        assert whole.metrics == cut.metrics


class ExportRounds(Rounds):
    """An export is replaced again and again: what is left is the one or the other as a whole, or no export."""

    def begin(self) -> float:
        return 1.5 * self._seconds_until(self.folder / "export")

    def work(self) -> Sequence[object]:
        return "export", str(self.folder / "export")

    def look(self) -> str:
        folder = self.folder / "export"
        if refusal_of(UsageError, lambda: read_certificate(folder).check_files()):
            assert not folder.exists()
            return "refused"
        assert [result.problem for result in verify(folder)] == [None, None]
        answer = zoo.load_exported(folder, format="keras").predict(np.ones((1, 2)))[0, 1]
        assert min(abs(answer - 0.5), abs(answer - 1 / (1 + np.exp(-1)))) < 1e-6
        return "verified"

    def end(self) -> None:
        for left in self.folder.glob(".export.*.tmp"):  # half of one, that was being written or deleted
            refusal = refusal_of((UsageError, ExportError), lambda left=left: read_certificate(left).check_files())
            self.seen[f"left aside: {'refused' if refusal else 'verified'}"] += 1
        zoo.export(zoo.build("softmax", (2,), 2), self.folder / "export", check_with=zoo.load_dataset("blobs").test)
        assert [entry.name for entry in self.folder.iterdir()] == ["export"]


class SearchRounds(ContinuedRounds):
    """A search is gone on with until it is done: its table equals that of one that was not interrupted."""

    epochs = 12

    def begin(self) -> float:
        return self.server.run("search", str(self.folder / "whole"), self.epochs)

    def work(self) -> Sequence[object]:
        return "search", str(self._cut), self.epochs

    def look(self) -> str:
        if refusal := refusal_of(ZooError, lambda: tuning.load_result(self._cut)):
            assert "holds no search" in refusal
            return "refused"
        if not (self._cut / "result.json").exists():
            return "goes on"
        return self.verified()

    def compare(self, whole: Path, cut: Path) -> None:
        whole, cut = tuning.load_result(whole), tuning.load_result(cut)
        tables = [result.table.drop(columns=["seconds", "attempts"], errors="ignore") for result in (whole, cut)]
        assert tables[0].equals(tables[1])
        for one, other in zip(whole.best_model().get_weights(), cut.best_model().get_weights(), strict=True):
            assert np.array_equal(one, other)


class FeatureRounds(Rounds):
    """Features in the cache are those that were computed, or are not taken."""

    def begin(self) -> float:
        return self.server.run("keep_features", str(self.folder / "whole"))

    def work(self) -> Sequence[object]:
        return "keep_features", str(self.folder / "cut")

    def look(self) -> str:
        entry = self.folder / "cut" / "features" / ("a" * 64)
        found = cache._read(entry, (1000, 3), np.dtype("float32"))
        if found is None:
            assert not entry.exists()
            return "refused"
        whole = cache._read(self.folder / "whole" / "features" / ("a" * 64), (1000, 3), np.dtype("float32"))
        assert np.array_equal(found.array, whole.array)
        shutil.rmtree(entry)
        return "verified"

    def end(self) -> None:
        self.server.run(*self.work())
        assert self.look() == "verified"
        assert not list((self.folder / "cut" / "features").iterdir())  # nothing is left of those that were killed


class ReportRounds(Rounds):
    """A page and its pictures are whole, of the one or the other."""

    def begin(self) -> float:
        return 1.5 * self._seconds_until(self.folder / "plots")

    def work(self) -> Sequence[object]:
        return "report", str(self.folder)

    def look(self) -> str:
        page = self.folder / "report.html"
        for picture in (self.folder / "plots").glob("*.png"):
            with Image.open(picture) as image:
                image.load()
        if not page.exists():
            return "refused"
        text = page.read_text()
        assert text.rstrip().endswith("</html>")
        assert "<title>A</title>" in text or "<title>B</title>" in text
        return "verified"

    def end(self) -> None:
        self.seen["left aside"] = len(list(self.folder.rglob(".zoo-*")))
        page, data = self.folder / "report.html", zoo.load_dataset("digits", limit=100)
        zoo.write_report(page, data=data, plots=self.folder / "plots")
        assert not list(self.folder.rglob(".zoo-*"))


ROUNDS = {
    "training": TrainingRounds,
    "search": SearchRounds,
    "export": ExportRounds,
    "features": FeatureRounds,
    "report": ReportRounds,
}
