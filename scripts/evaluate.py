"""Measures the model of a run folder on its test split; writes predictions.csv and report.html into the folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import command

import zoo
from zoo.storage import write_text


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="a folder that train.py wrote")
    command.add_device_option(parser)
    return command.run(parser, evaluate, argv)


def evaluate(args: argparse.Namespace) -> None:
    """Acts on parsed options."""
    run, data = command.load_run_and_data(args.run)
    report_run(run, data)


def report_run(run: zoo.TrainingRun, data: zoo.DataSplits) -> None:
    """Measures a run on the test split, prints it, and writes the predictions and the report into its folder."""
    if data.test is None or run.output_dir is None:
        raise zoo.UsageError("there is no test split to measure on")
    score = zoo.evaluate(run.model, data.test)
    low, high = score.accuracy_interval
    print(
        f"test accuracy {score.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}, {score.num_examples:,} examples)"
    )
    predictions = write_text(run.output_dir / "predictions.csv", score.predictions.to_csv(index=False))
    report = zoo.write_report(run.output_dir / "report.html", run=run, evaluation=score)
    print(f"predictions {predictions}")
    print(f"report {report}")


if __name__ == "__main__":
    sys.exit(main())
