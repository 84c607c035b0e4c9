"""Measures the model of a run folder on its test split; writes predictions.csv and report.html into the folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import arguments
import command
import report

import zoo
from zoo.tables import write_table


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = arguments.Parser(description=__doc__)
    parser.add_argument("run", type=arguments.path, metavar="RUN_DIR", help="a folder that train.py wrote")
    parser.add_argument(
        "--robustness", action="store_true", help="also measure accuracy under noise, blur, crops, rotation, brightness"
    )
    command.add_device_option(parser)
    return command.run(parser, evaluate, argv)


def evaluate(args: argparse.Namespace) -> None:
    """Acts on parsed options."""
    run, data = command.load_run_and_data(args.run)
    if command.is_changed(run, data):
        print("note: the data have changed since the training; test images may have been trained on", file=sys.stderr)
    report_run(run, data, robustness=args.robustness)


def report_run(run: zoo.TrainingRun, data: zoo.DataSplits, *, robustness: bool = False) -> None:
    """Measures a run on the test split, prints it, and writes the predictions and the report into its folder."""
    if data.test is None or run.output_dir is None:
        raise zoo.UsageError("there is no test split to measure on")
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
    print(f"predictions {command.visible(predictions)}")
    print(f"report {command.visible(page)}")


if __name__ == "__main__":
    sys.exit(main())
