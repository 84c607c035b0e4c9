"""How a benchmark reads its command line, tells progress, and ends."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from child import ChildError
from tasks import chosen_sections

import zoo
from zoo.storage import write_text


def run(
    argv: Sequence[str] | None,
    taken: argparse.ArgumentParser,
    all_sections: Sequence[str],
    default: Path,
    measure: Callable[[argparse.Namespace, Sequence[str], Sequence[str]], tuple[str, bool]],
) -> int:
    """Runs a benchmark by its command line: 0, 1 when a contestant failed, 2 for wrong usage, 130 when interrupted.

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
