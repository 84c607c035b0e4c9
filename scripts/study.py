"""Runs the studies: each answers one question of a machine-learning course and writes a page with its numbers."""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import command
from studies.options import StudyOptions

from zoo.errors import unknown_name

_FOLDER = Path(__file__).parent / "studies"
_NO_STUDIES = ("options", "points")  # what studies share


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="names and questions")
    runs = actions.add_parser("run", help="run studies")
    runs.add_argument("names", nargs="*", metavar="NAME", help="studies to run")
    runs.add_argument("--all", action="store_true", help="run every study")
    runs.add_argument("--fast", action="store_true", help="a cut of a few seconds, for tests")
    runs.add_argument("--seed", type=int, default=0, help="decides everything that is random (0)")
    runs.add_argument("--dataset", metavar="NAME", help="another data set, where the study allows one")
    runs.add_argument("--data", type=Path, metavar="FILE", help="a file of points, where the study takes one")
    runs.add_argument("--output", type=Path, default=Path("runs/studies"), metavar="DIR", help="(runs/studies)")
    command.add_device_option(parser)
    return command.run(parser, study, argv)


def study(args: argparse.Namespace) -> None:
    """Acts on parsed options."""
    if args.action == "list":
        width = max(map(len, list_studies()))
        for name in list_studies():
            print(f"{name:{width}} {_question(name)}")
        return
    names = list_studies() if args.all else args.names
    if not names:
        raise command.UsageError(f"name a study, or --all. Known: {', '.join(list_studies())}")
    for name in names:
        if name not in list_studies():
            raise unknown_name("study", name, list_studies())
    import zoo.startup as _startup  # noqa: F401  (before Keras)

    for option in ("dataset", "data"):
        for name in names if getattr(args, option) is not None else ():
            if f"[--{option} " not in _docstring(name):
                raise command.UsageError(f"{name} takes no --{option}")
    options = StudyOptions(fast=args.fast, seed=args.seed, dataset=args.dataset, data=args.data)
    for name in names:
        report = importlib.import_module(f"studies.{name}").run(options)
        page = report.write(args.output / name)
        print(f"{name}: {_question(name)}")
        for line in report.summary_lines():
            print(f"  {line}")
        print(f"page {page}")


def list_studies() -> list[str]:
    """The names of the studies' files in scripts/studies, without their ending."""
    return sorted(f.stem for f in _FOLDER.glob("*.py") if f.stem not in _NO_STUDIES)


def _question(name: str) -> str:
    """The first line of a study's docstring, read without importing it."""
    return _docstring(name).splitlines()[0]


def _docstring(name: str) -> str:
    return ast.get_docstring(ast.parse((_FOLDER / f"{name}.py").read_text(encoding="utf-8"))) or ""


if __name__ == "__main__":
    sys.exit(main())
