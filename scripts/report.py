"""Writes the report page of a run folder, or of a search directory, from what lies there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import command

import zoo


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, metavar="DIR", help="a folder that train.py or tune.py wrote")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the page (DIR/report.html)")
    return command.run(parser, report, argv)


def report(args: argparse.Namespace) -> None:
    """Acts on parsed options."""
    output = args.output or args.directory / "report.html"
    if (args.directory / "journal.jsonl").exists():
        import tuning

        print(f"report {zoo.write_report(output, search=tuning.load_result(args.directory))}")
        return
    run, data = command.load_run_and_data(args.directory)
    score = zoo.evaluate(run.model, data.test) if data.test else None
    print(f"report {zoo.write_report(output, run=run, evaluation=score)}")


if __name__ == "__main__":
    sys.exit(main())
