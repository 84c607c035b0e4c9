"""Checks an export on this machine: the hash of every file, and each format's answers beside what the model said.

The examples and the expected probabilities lie in the export, so neither the data nor the model is needed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import arguments
import command
import folders

import zoo
from zoo.errors import visible


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = arguments.Parser(description=__doc__, epilog="example: python scripts/verify.py runs/digits-cnn/export")
    parser.add_argument(
        "export",
        type=arguments.path,
        metavar="EXPORT",
        help="a folder that export.py wrote, or a run folder that has one",
    )
    parser.add_argument("--formats", nargs="+", default=[], metavar="NAME", help="only these (all that the export has)")
    command.add_device_option(parser)
    return command.run(parser, verify, argv)


def verify(args: argparse.Namespace) -> None:
    """Acts on parsed options."""
    from zoo.exporting.verifying import verify

    failed = []
    for result in verify(folders.export_directory(args.export), args.formats):
        print(visible(result), flush=True)
        if result.problem is not None:
            failed.append(result.format)
    if failed:
        raise zoo.ExportError(f"not verified: {', '.join(failed)}")


if __name__ == "__main__":
    sys.exit(main())
