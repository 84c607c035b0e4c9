"""Exports the model of a run folder as files that other programs run, with a certificate that they compute the same."""

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
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="a folder that train.py wrote")
    parser.add_argument("--output", type=Path, metavar="DIR", help="the export (RUN_DIR/export)")
    parser.add_argument(
        "--formats", nargs="+", default=["saved_model", "keras"], metavar="NAME", help="saved_model keras"
    )
    command.add_device_option(parser)
    return command.run(parser, export, argv)


def export(args: argparse.Namespace) -> None:
    """Acts on parsed options."""
    run, data = command.load_run_and_data(args.run)
    output = args.output or args.run / "export"
    examples = data.test or data.train
    certificate = zoo.export(run.model, output, formats=args.formats, check_with=examples, data_config=data.config)
    for name, check in certificate.checks.items():
        print(
            f"{name}: largest difference {check['max_abs_difference']:.1e}, top-1 agreement {check['top1_agreement']:.4f} "
            f"on {check['examples']} {'test' if data.test else 'training'} examples"
        )
    print(f"export {output}")
    print(f"certificate {output / 'certificate.json'}")


if __name__ == "__main__":
    sys.exit(main())
