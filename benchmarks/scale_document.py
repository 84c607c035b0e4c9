"""Measurements of size -> one Markdown document."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from frame import opening, target_table
from scale_search import METHODS, sizes
from table import markdown, number, ratio, times
from targets import Target

if TYPE_CHECKING:
    from scale import Found

IMAGES = {False: (1000, 100_000), True: (100, 400)}  # of folders, by whether it is a quick run
PAGES = {
    False: {"rows": 10_000, "brushed": 1000, "images": 2000},
    True: {"rows": 40, "brushed": 20, "images": 40},
}
_QUICK = "a few trials and images, which only show that it works. The numbers mean nothing."
_SEARCHES = {"exhausted": "random, all of the cells", "bayesian": "bayesian (TPE)", "gp": "gp (Gaussian process)"}
# method -> milliseconds until the next trial and until a resumed search starts one; `None` is reported: asking again asks the model again
_LIMITS: dict[str, tuple[float | None, float | None]] = {"bayesian": (20, None), "gp": (None, None)}
_INTRODUCTION = """\
A **search** runs through `tuning.search`, its journal, files and tables, with a stand-in for training that gives each trial a
score by its values and a curve of ten epochs at once. Between trials lies what the search itself does: recording one (and
waiting for the disk), telling the oracle, deleting what nobody needs, asking for the next, recording that. The median over the
100 trials before each size (at most half of them), and the 95 % quantile at the largest; *longest* is the longest wait of all. The
space has three ranges of floats and one of whole numbers; grid and *all of the cells* have as many cells as trials. Halving has one
bracket with two thirds of the trials in its first rung, Hyperband (27 epochs) begins again and again. *Resumed* is another
process that goes on with all but the last trial: seconds from the call to the start of that trial. Memory is resident.

A **folder** has JPEG images of 16x16 pixels in ten classes, no two the same. *Looking through* is `zoo.load_dataset`: headers, copies,
the split, and where images are held in memory their pixels. A pass is one over the shuffled training images in batches of 128.

**Pages** are written by `zoo.write_report` and opened in Chromium.
"""


def write(
    machine: Sequence[tuple[str, str]], found: Mapping[str, Sequence[Found]], *, quick: bool, minutes: float
) -> str:
    """The document.

    Args:
        machine: what `machine.describe` gives.
        found: section -> what each round has measured.
        quick: whether the small sizes were used.
        minutes: how long it took.
    """
    shares = [share for rounds in found.values() for one in rounds for share in one.others]
    title = "Many trials, many images, long pages"
    parts = opening(title, machine, shares, _INTRODUCTION, quick=_QUICK if quick else None, minutes=minutes)
    parts += _searches(found)
    if "folder" in found:
        parts += _folders(found["folder"])
    if "report" in found:
        parts += _pages(found["report"], quick)
    return "\n\n".join([*parts, "## Targets", target_table(targets(found, quick=quick), quick)]) + "\n"


def targets(found: Mapping[str, Sequence[Found]], *, quick: bool) -> list[Target]:
    """All claims, in the order in which they are made."""
    rows = []
    for name in METHODS:
        rounds = found.get(name, ())
        many = f"{(_sizes(rounds) or sizes(name, quick=quick))[-1]:,}"
        title = _SEARCHES.get(name, name)
        wait, resuming = _LIMITS.get(name, (20, 5000))
        rows.append(Target(f"{title}: the next of {many} trials", wait, _between(rounds, -1), unit="ms"))
        resumed = _of(rounds, "resumed", "first")
        resumed = None if resumed is None else 1000 * resumed
        rows.append(Target(f"{title}: resuming {many} trials", resuming, resumed, unit="ms"))
        rows.append(Target(f"{title}: memory that {many} trials take", 200, _growth(rounds), unit="MB"))
    few, many = (f"{images:,}" for images in IMAGES[quick])
    for how in ("streamed", "in memory"):
        for what, title in (("load", "looking through"), ("first", "first pass"), ("later", "later passes")):
            value = _images_ratio(found.get("folder", ()), how, what)
            rows.append(Target(f"{many} images {how}: {title}, an image against one of {few}", 1.25, value))
    for name, (title, limit) in _TIMES.items():
        value = _of(found.get("report", ()), "report", name)
        rows.append(Target(title.format(**PAGES[quick]), limit, value, unit="ms"))
    return rows


_TIMES: dict[str, tuple[str, float | None]] = {
    "write_images": ("a page with {images:,} images is written", 10_000),
    "write_search": ("a page with {rows:,} trials is written", None),
    "open": ("a page with {rows:,} trials is opened", None),
    "sort": ("{rows:,} rows are sorted", 1000),
    "brush": ("{brushed:,} trials are brushed", 5000),
}


def _searches(found: Mapping[str, Sequence[Found]]) -> list[str]:
    names = [name for name in METHODS if name in found]
    if not names:
        return []
    between, whole = [], []
    for name in names:
        rounds, title = found[name], _SEARCHES.get(name, name)
        problem = next((one.problem for one in rounds if one.problem), None)
        looked_at = _sizes(rounds) or sizes(name, quick=False)
        medians = [_between(rounds, place) for place in range(3)]
        slow, longest = _between(rounds, -1, 0.95), _of(rounds, "search", "longest")
        size = " / ".join(f"{size:,}" for size in looked_at)
        cells = [problem or number(medians[0]), *map(number, (*medians[1:], slow, longest))]
        between.append((title, size, *cells, times(ratio(medians[2], medians[0]))))
        journal = _of(rounds, "resumed", "journal")
        first, read, tables = (_of(rounds, "resumed", what) for what in ("first", "load", "tables"))
        cells = [number(None if journal is None else journal / 1e6), *map(number, (first, read, tables))]
        whole.append(
            (title, f"{looked_at[-1]:,}", *cells, number(_growth(rounds)), number(_of(rounds, "resumed", "peak")))
        )
    header = ("method", "trials", "ms at the first size", "second", "third", "95 %", "longest", "third vs first")
    resumed = (
        "method",
        "trials",
        "journal, MB",
        "resumed, s",
        "read again, s",
        "tables, s",
        "grown by, MB",
        "peak, MB",
    )
    return [
        "## Between two trials",
        markdown(header, between, words=2),
        "## Journals",
        "*Grown by* is the resident memory at the last trial but one, without that at the first.",
        markdown(resumed, whole),
    ]


def _folders(rounds: Sequence[Found]) -> list[str]:
    rows = []
    labels = [label for label in rounds[0].answers if not label.startswith("pictures")]
    for label in labels:
        images, how = label.split(" ", 1)
        cells = [number(_per_image(rounds, label, what)) for what in ("load", "first", "later")]
        resident = [one.answers[label]["resident"] for one in rounds if label in one.answers]
        grown = [after - before for before, after in resident if None not in (before, after)]
        rows.append((how, f"{int(images):,}", *cells, number(statistics.median(grown) if grown else None)))
    header = ("images", "how many", "looking through, µs an image", "first pass", "later passes", "memory grown by, MB")
    problem = [one.problem for one in rounds if one.problem]
    return ["## Folders of images", *problem[:1], markdown(header, rows)]


def _pages(rounds: Sequence[Found], quick: bool) -> list[str]:
    rows = [(title.format(**PAGES[quick]), number(_of(rounds, "report", name))) for name, (title, _) in _TIMES.items()]
    size = _of(rounds, "report", "megabytes")
    problem = [one.problem for one in rounds if one.problem]
    text = f"The page with {PAGES[quick]['rows']:,} trials has {number(size)} MB."
    return ["## Pages", *problem[:1], text, markdown(("what", "ms"), rows)]


def _of(rounds: Sequence[Found], ending: str, what: str) -> float | None:
    """Median of a number in the answers whose name has this ending."""
    values = [
        answer.get(what) for one in rounds for name, answer in one.answers.items() if name.split(", ")[-1] == ending
    ]
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _windows(rounds: Sequence[Found]) -> list[Mapping[str, list[float]]]:
    return [answer["windows"] for one in rounds for name, answer in one.answers.items() if name.endswith(", search")]


def _sizes(rounds: Sequence[Found]) -> list[int]:
    windows = _windows(rounds)
    return sorted(map(int, windows[0])) if windows else []


def _between(rounds: Sequence[Found], place: int, share: float = 0.5) -> float | None:
    """Median (or another quantile) of the milliseconds between trials at a size, over all rounds."""
    found = _sizes(rounds)
    values = [value for window in _windows(rounds) for value in window[str(found[place])]] if found else []
    return float(np.quantile(values, share)) if values else None


def _growth(rounds: Sequence[Found]) -> float | None:
    """Resident memory at the last trial but one, without that at the first, in MB."""
    grown: list[float] = []
    for one in rounds:
        for name, answer in one.answers.items():
            known: dict[str, Any] = (
                {size: mb for size, mb in answer.get("resident", {}).items() if mb is not None}
                if name.endswith(", search")
                else {}
            )
            if known:
                grown.append(known[max(known, key=int)] - known[min(known, key=int)])
    return statistics.median(grown) if grown else None


def _per_image(rounds: Sequence[Found], label: str, what: str) -> float | None:
    """Microseconds an image: of looking through a folder, of the first pass or the median of the later ones."""
    values = []
    for one in rounds:
        if label in one.answers:
            answer = one.answers[label]
            seconds = {
                "load": answer["load"] / answer["files"],
                "first": answer["passes"][0] / answer["images"],
                "later": statistics.median(answer["passes"][1:]) / answer["images"],
            }
            values.append(1e6 * seconds[what])
    return statistics.median(values) if values else None


def _images_ratio(rounds: Sequence[Found], how: str, what: str) -> float | None:
    labels = [label for label in rounds[0].answers if label.endswith(how)] if rounds else []
    if len(labels) < 2:
        return None
    few, many = (_per_image(rounds, label, what) for label in labels)
    return ratio(many, few)
