"""Speed of small models that train as members of one program, beside one at a time and beside PyTorch, in one run, as ratios."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import commandline
import machine
import members_document
from members_race import race
from members_tasks import SECTIONS

_OUTPUT = Path(__file__).with_name("results") / "members.md"
_PACKAGES = ("tensorflow", "keras", "torch", "numpy")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line: 0, 1 when a contestant failed, 2 for wrong usage, 130 when interrupted."""
    return commandline.run(argv, commandline.parser(__doc__, SECTIONS, _OUTPUT), SECTIONS, _OUTPUT, _measure)


def _measure(args: argparse.Namespace, wanted: Sequence[str], command: Sequence[str]) -> tuple[str, bool]:
    """Runs what is wanted: the document, and whether a contestant failed."""
    described, started = machine.describe(command, _PACKAGES), time.monotonic()
    races = {name: race(name, rounds=args.repeats, quick=args.quick, say=commandline.say) for name in wanted}
    minutes = (time.monotonic() - started) / 60
    return members_document.write(described, races, quick=args.quick, minutes=minutes), members_document.failed(races)


if __name__ == "__main__":
    sys.exit(main())
