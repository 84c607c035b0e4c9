"""Measures the model of a run folder on its test split; writes predictions.csv and report.html into the folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import arguments
import command
import folders
import report

import zoo
from zoo.errors import visible
from zoo.tables import write_table


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = arguments.Parser(
        description=__doc__, epilog="example: python scripts/evaluate.py runs/digits-cnn --robustness"
    )
    parser.add_argument("run", type=arguments.path, metavar="RUN_DIR", help="a folder that train.py wrote")
    parser.add_argument(
        "--robustness", action="store_true", help="also measure accuracy under noise, blur, crops, rotation, brightness"
    )
    command.add_device_option(parser)
    return command.run(parser, evaluate, argv)


def evaluate(args: argparse.Namespace) -> None:
    """Acts on parsed options."""
    run, data = folders.load_run_and_data(args.run)
    report_run(run, data, robustness=args.robustness)


def report_run(run: zoo.TrainingRun, data: zoo.DataSplits, *, robustness: bool = False) -> None:
    """Measures a run on the test split, prints it, and writes the predictions and the report into its folder."""
    assert run.output_dir is not None
    if data.test is None:
        raise zoo.UsageError(f"{folders.name_of(data)} has no test split to measure on; the run is in {run.output_dir}")
    score = zoo.evaluate(run.model, data.test)
    low, high = score.accuracy_interval
    print(
        f"test accuracy {score.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}, {score.num_examples:,} examples)"
    )
    predictions = write_table(run.output_dir / report.PREDICTIONS, score.predictions)
    if robustness:
        found = zoo.measure_robustness(run.model, data.test)
        for corruption, rows in found.table.groupby("corruption", sort=False):
            print(f"{corruption}: accuracy {rows['accuracy'].min():.4f} at worst")
        write_table(run.output_dir / report.ROBUSTNESS, found.table)
    page = report.write_run_report(report.read_results(run, data, score), run.output_dir / "report.html")
    print(f"predictions {visible(predictions)}")
    print(f"report {visible(page)}")


if __name__ == "__main__":
    sys.exit(main())
