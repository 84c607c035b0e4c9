"""Exports the model of a run folder as files that other programs run, with a certificate that they compute the same."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import arguments
import command
import folders

import zoo
from zoo.errors import visible
from zoo.exporting.formats import FORMATS, checked_formats, installed_formats


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = arguments.Parser(
        description=__doc__, epilog="example: python scripts/export.py runs/digits-cnn --formats saved_model onnx"
    )
    parser.add_argument("run", type=arguments.path, metavar="RUN_DIR", help="a folder that train.py wrote")
    parser.add_argument("--output", type=arguments.path, metavar="DIR", help="the export (RUN_DIR/export)")
    parser.add_argument(
        "--formats",
        nargs="+",
        default=["saved_model", "keras"],
        metavar="NAME",
        help=f"some of {', '.join(FORMATS)}; or all: those whose packages are installed (saved_model keras)",
    )
    parser.add_argument("--intended-use", metavar="TEXT", help="a sentence or two for the model card")
    command.add_device_option(parser)
    return command.run(parser, export, argv)


def export(args: argparse.Namespace) -> None:
    """Acts on parsed options."""
    formats = installed_formats() if args.formats == ["all"] else checked_formats(args.formats)
    run, data = folders.load_run_and_data(args.run)
    output = args.output or args.run / "export"
    split_name = "test" if data.test else "training"
    certificate = zoo.export(
        run.model,
        output,
        formats=formats,
        check_with=data.test or data.train,
        calibrate_with=data.train,
        split_name=split_name,
        data_config=data.config,
        recipes=run.config.get("recipes", ()),
        intended_use=args.intended_use,
    )
    for name, check in certificate.checks.items():
        accuracy = f", accuracy {check['accuracy']:.4f}" if "accuracy" in check else ""
        print(
            f"{name}: largest difference {check['max_abs_difference']:.1e}, top-1 agreement {check['top1_agreement']:.4f} "
            f"on {check['examples']} {split_name} examples{accuracy}, {check['size_bytes'] / 1e6:.2f} MB, "
            f"{check['latency_ms']:.3g} ms an input"
        )
    low, high = certificate.metrics["accuracy_interval"]
    print(
        f"{split_name} accuracy {certificate.metrics['accuracy']:.4f} (95 % interval {low:.4f} to {high:.4f}); "
        f"the Keras model takes {certificate.model['latency_ms']:.3g} ms an input"
    )
    print(f"export {visible(output)}")
    print(f"certificate {visible(output / 'certificate.json')}")


if __name__ == "__main__":
    sys.exit(main())
