"""Training speed of this project beside its peers, in one run, as ratios: Keras, PyTorch, scikit-learn and the bare products."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import document
import machine
import sections
from children import ChildError, race
from course import Course
from targets import Measurements
from tasks import SECTIONS, TASKS, chosen_sections, with_compiled_torch

import zoo
from zoo.storage import write_text

_OUTPUT = Path(__file__).with_name("results") / "training.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line: 0, 1 when a contestant failed, 2 for wrong usage, 130 when interrupted."""
    taken = parser(__doc__, SECTIONS, _OUTPUT)
    taken.add_argument(
        "--torch-compile", action="store_true", help="PyTorch also through torch.compile: minutes longer"
    )
    return run(argv, taken, SECTIONS, _OUTPUT, _measure)


def run(
    argv: Sequence[str] | None,
    taken: argparse.ArgumentParser,
    all_sections: Sequence[str],
    default: Path,
    measure: Callable[[argparse.Namespace, Sequence[str], Sequence[str]], tuple[str, bool]],
) -> int:
    """Runs a benchmark by its command line; see `main`.

    Args:
        argv: arguments; `None` is the process's.
        taken: what `parser` made.
        all_sections: what --only may name.
        default: where the document of a full run goes.
        measure: arguments, chosen sections, command -> the document, and whether a contestant failed.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    args = taken.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # the first is ignored in a shell's background until it is set
        signal.signal(number, signal.default_int_handler)
    try:
        wanted = chosen_sections(args.only, all_sections)
        args.repeats = args.repeats if args.repeats is not None else 1 if args.quick else 3
        if args.repeats < 1:
            raise zoo.UsageError(f"--repeats must be at least 1. Received: {args.repeats}")
        text, failed = measure(args, wanted, ["python", f"benchmarks/{default.stem}.py", *arguments])
        output = args.output or (default if wanted == tuple(all_sections) and not args.quick else None)
        if output:
            say(f"written to {write_text(output, text)}")
        print(text, end="")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (zoo.ZooError, ChildError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, zoo.UsageError) else 1
    return int(failed)


def parser(description: str | None, all_sections: Sequence[str], default: Path) -> argparse.ArgumentParser:
    """The options that every benchmark takes."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="small subsets, one round: shows that the benchmark works")
    made.add_argument("--only", metavar="NAME,...", help=f"some of {', '.join(all_sections)} (all)")
    made.add_argument("--repeats", type=int, metavar="N", help="measured rounds (3; 1 with --quick)")
    made.add_argument(
        "--output",
        metavar="FILE",
        help=f"the document (a full run writes {os.path.relpath(default)}, others only print)",
    )
    return made


def say(line: str) -> None:
    """Tells progress."""
    print(line, file=sys.stderr, flush=True)


def _measure(args: argparse.Namespace, wanted: Sequence[str], command: Sequence[str]) -> tuple[str, bool]:
    """Runs what is wanted: the document, and whether a contestant failed."""
    described, started = machine.describe(command), time.monotonic()
    found = Measurements()
    with tempfile.TemporaryDirectory(prefix="training-benchmark-") as folder:
        course = Course(args.repeats, args.quick, say)
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
