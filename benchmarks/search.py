"""Speed and memory of this project's search beside Keras Tuner, Optuna and Ray Tune, in one run, as ratios."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import commandline
import machine
import search_document
from search_race import race
from search_targets import Measurements
from search_tasks import CONTESTANTS, SECTIONS, TASKS

_OUTPUT = Path(__file__).with_name("results") / "search.md"
_PACKAGES = ("tensorflow", "keras", "keras-tuner", "optuna", "ray", "numpy")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line: 0, 1 when a contestant failed, 2 for wrong usage, 130 when interrupted."""
    parser = commandline.parser(__doc__, SECTIONS, _OUTPUT)
    parser.add_argument("--engines", nargs="+", choices=tuple(CONTESTANTS), default=tuple(CONTESTANTS), help="(all)")
    return commandline.run(argv, parser, SECTIONS, _OUTPUT, _measure)


def _measure(args: argparse.Namespace, wanted: Sequence[str], command: Sequence[str]) -> tuple[str, bool]:
    """Runs what is wanted: the document, and whether a contestant failed."""
    described, started = machine.describe(command, _PACKAGES), time.monotonic()
    found = Measurements()
    for name, task in TASKS.items():
        if task.section in wanted:
            found.races[name] = race(
                name, rounds=args.repeats, quick=args.quick, engines=args.engines, say=commandline.say
            )
    minutes = (time.monotonic() - started) / 60
    return search_document.write(described, found, quick=args.quick, minutes=minutes), found.failed


if __name__ == "__main__":
    sys.exit(main())
