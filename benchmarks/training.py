"""Training speed of this project beside its peers, in one run, as ratios: Keras, PyTorch, scikit-learn and the bare products."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import commandline
import document
import machine
import sections
from course import Course
from targets import Measurements
from tasks import SECTIONS, TASKS, with_compiled_torch
from training_race import race

_OUTPUT = Path(__file__).with_name("results") / "training.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line: 0, 1 when a contestant failed, 2 for wrong usage, 130 when interrupted."""
    taken = commandline.parser(__doc__, SECTIONS, _OUTPUT)
    taken.add_argument(
        "--torch-compile", action="store_true", help="PyTorch also through torch.compile: minutes longer"
    )
    return commandline.run(argv, taken, SECTIONS, _OUTPUT, _measure)


def _measure(args: argparse.Namespace, wanted: Sequence[str], command: Sequence[str]) -> tuple[str, bool]:
    """Runs what is wanted: the document, and whether a contestant failed."""
    described, started = machine.describe(command), time.monotonic()
    found = Measurements()
    with tempfile.TemporaryDirectory(prefix="training-benchmark-") as folder:
        course = Course(args.repeats, args.quick, commandline.say)
        races = {name: task for name, task in TASKS.items() if task.section in wanted}
        sections.prepare(course, {task.data for task in races.values()}, Path(folder))
        for name, task in races.items():
            if name == "first epoch":
                found.startup = sections.time_commands(course)
                found.races[name] = sections.time_first_epochs(course)
            elif name == "memory":
                found.memory = sections.weigh(course)
            else:
                found.races[name] = race(course, name, with_compiled_torch(task) if args.torch_compile else task)
    sources = [f"{kind}-shaped images: {prepared.source}" for kind, prepared in course.data.items()]
    minutes = (time.monotonic() - started) / 60
    return document.write(described, sources, found, quick=args.quick, minutes=minutes), found.failed


if __name__ == "__main__":
    sys.exit(main())
