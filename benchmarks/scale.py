"""Does it stay as fast with ten thousand trials, a hundred thousand images, a page with ten thousand rows?"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import commandline
import machine
import scale_document
import scale_report
import scale_search
from child import Child, ChildError, Outcome

SECTIONS = (*scale_search.METHODS, "folder", "report")
_OUTPUT = Path(__file__).with_name("results") / "scale.md"
_WORKER = Path(__file__).with_name("scale_worker.py")
_PACKAGES = ("tensorflow", "keras", "keras-tuner", "optuna", "pandas", "pillow", "playwright", "numpy")


@dataclasses.dataclass
class Found(Outcome):
    """What one section has measured.

    Attributes:
        answers: what the worker said, by a name of this file's own.
    """

    answers: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def ask(self, name: str, **job: Any) -> None:
        """Measures in a process of its own; nothing once one has failed."""
        if self.failed:
            return
        started, others = time.monotonic(), machine.Others()
        worked = machine.worked_seconds()
        try:
            with Child(job, _WORKER) as child:
                self.answers[name] = child.answer()
        except ChildError as error:
            self.fail(error)
        self.others += others.share(machine.worked_seconds() - worked)
        commandline.say(f"{name}: {self.problem or f'{time.monotonic() - started:.1f} s'}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line: 0, 1 when a measurement failed, 2 for wrong usage, 130 when interrupted."""
    return commandline.run(argv, commandline.parser(__doc__, SECTIONS, _OUTPUT), SECTIONS, _OUTPUT, _measure)


def _measure(args: argparse.Namespace, wanted: Sequence[str], command: Sequence[str]) -> tuple[str, bool]:
    """Runs what is wanted: the document, and whether a measurement failed."""
    described, started = machine.describe(command, _PACKAGES), time.monotonic()
    found: dict[str, list[Found]] = {}
    for name in wanted:
        found[name] = []
        for _ in range(args.repeats):
            with tempfile.TemporaryDirectory(prefix="scale-benchmark-") as folder:
                found[name].append(_section(name, Path(folder), quick=args.quick))
    minutes = (time.monotonic() - started) / 60
    text = scale_document.write(described, found, quick=args.quick, minutes=minutes)
    return text, any(one.failed for results in found.values() for one in results)


def _section(name: str, folder: Path, *, quick: bool) -> Found:
    found = Found()
    if name == "folder":
        for images in scale_document.IMAGES[quick]:
            pictures = str(folder / str(images))
            found.ask(f"pictures {images}", what="pictures", folder=pictures, images=images)
            for in_memory in (False, True):
                label = f"{images} {'in memory' if in_memory else 'streamed'}"
                found.ask(label, what="folder", folder=pictures, in_memory=in_memory)
    elif name == "report":
        found.ask("report", what="report", folder=str(folder), **scale_document.PAGES[quick])
        found.problem = found.problem or scale_report.missing()
    else:
        marks = scale_search.sizes(name, quick=quick)
        job = {"what": "search", "method": name, "folder": str(folder / "search"), "marks": marks}
        found.ask(f"{name}, search", **job, trials=marks[-1] - 1)
        found.ask(f"{name}, resumed", **job, trials=marks[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
