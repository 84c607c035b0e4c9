"""Writes the report page of a run folder, of a search directory, of both, or of several runs side by side.

Everything is read from the folders. Where the data of a run cannot be loaded, or are others than those that it was trained on,
the page has its predictions without images.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import arguments
import command
import folders

import zoo
from zoo.errors import UsageError, visible
from zoo.storage import read_json

if TYPE_CHECKING:
    from tuning.results import SearchResult

PREDICTIONS, ROBUSTNESS, PLOTS = "predictions.csv", "robustness.csv", "plots"


class RunFolder(NamedTuple):
    """What a run folder holds for a report; what is not there is None."""

    run: zoo.TrainingRun
    data: zoo.DataSplits | None
    evaluation: zoo.Evaluation | None
    robustness: zoo.Robustness | None
    certificate: dict[str, Any] | None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = arguments.Parser(
        description=__doc__, epilog="example: python scripts/report.py runs/digits-cnn runs/digits-mlp"
    )
    parser.add_argument(
        "directories",
        type=arguments.path,
        nargs="+",
        metavar="DIR",
        help="folders of runs, and at most one of a search",
    )
    parser.add_argument(
        "--output",
        type=arguments.path,
        metavar="FILE",
        help="the page (DIR/report.html; of several runs comparison.html beside them)",
    )
    command.add_device_option(parser)
    return command.run(parser, report, argv)


def report(args: argparse.Namespace) -> None:
    """Acts on parsed options."""
    directories = list({directory.resolve(): directory for directory in args.directories}.values())
    for directory in directories:
        if not directory.is_dir():
            raise UsageError(f"{directory}: no such folder")
    if args.output is not None and args.output.is_dir():
        raise UsageError(f"{args.output} is a folder; --output takes the file of the page")
    searches = [d for d in directories if (d / "journal.jsonl").exists()]
    runs = [d for d in directories if d not in searches]
    if len(searches) > 1 or (searches and len(runs) > 1):
        raise UsageError("a page shows one run, one search, one of each, or several runs; give fewer folders")
    if len(runs) > 1:
        print(f"report {visible(_several(runs, args.output))}")
        return
    search = _load_search(searches[0]) if searches else None
    if not runs:
        assert search is not None
        output = args.output or searches[0] / "report.html"
        print(f"report {visible(zoo.write_report(output, search=search, plots=output.parent / PLOTS))}")
        return
    page = write_run_report(read_folder(runs[0]), args.output or runs[0] / "report.html", search)
    print(f"report {visible(page)}")


def write_run_report(folder: RunFolder, output: Path, search: SearchResult | None = None) -> Path:
    """The page of one run, with every figure as PNG in `plots/` beside it."""
    return zoo.write_report(
        output,
        run=folder.run,
        data=folder.data,
        evaluation=folder.evaluation,
        robustness=folder.robustness,
        certificate=folder.certificate,
        search=search,
        plots=output.parent / PLOTS,
    )


def read_folder(directory: Path) -> RunFolder:
    """A finished run folder with its data, and its model tested on them; else with the predictions that lie there."""
    run = zoo.load_run(directory)
    try:
        data = folders.data_of(run, directory)
        if folders.is_changed(run, data):
            raise zoo.ZooError("they have changed since the training, so that test images may have been trained on")
    except (zoo.ZooError, OSError) as error:
        note = f"note: {directory.name} is shown without its data: {error}"
        print(visible(note), file=sys.stderr)
        return read_results(run, None, _read_predictions(directory / PREDICTIONS))
    return read_results(run, data, zoo.evaluate(run.model, data.test) if data.test else None)


def read_results(run: zoo.TrainingRun, data: zoo.DataSplits | None, evaluation: zoo.Evaluation | None) -> RunFolder:
    """What else lies in a run's folder: robustness.csv and export/certificate.json."""
    assert run.output_dir is not None
    return RunFolder(
        run, data, evaluation, _read_robustness(run.output_dir), _read_certificate(run.output_dir / "export")
    )


def _load_search(directory: Path) -> SearchResult:
    import tuning

    return tuning.load_result(directory)


def _several(directories: list[Path], output: Path | None) -> Path:
    names = [d.name for d in directories]
    above = Path(os.path.commonpath([directory.resolve() for directory in directories]))
    if len(set(names)) < len(names):  # told by what differs in their paths
        names = [os.path.relpath(directory, above) for directory in directories]
    read = {name: _without_examples(read_folder(d)) for name, d in zip(names, directories, strict=True)}
    here = Path.cwd()
    output = output or (above.relative_to(here) if above.is_relative_to(here) else above) / "comparison.html"
    return zoo.write_comparison_report(
        output,
        {name: folder.run for name, folder in read.items()},
        {name: folder.evaluation for name, folder in read.items() if folder.evaluation is not None},
        robustness={name: f.robustness for name, f in read.items() if f.robustness is not None},
        plots=output.parent / f"{output.stem}-plots",
    )


def _without_examples(folder: RunFolder) -> RunFolder:
    """Without data and images, which a comparison does not show: those of many runs would fill the memory."""
    scores = folder.evaluation
    return folder._replace(data=None, evaluation=scores and dataclasses.replace(scores, images=None))


def _read_predictions(path: Path) -> zoo.Evaluation | None:
    if not path.exists():
        return None
    from zoo.evaluation.scoring import evaluation_of
    from zoo.tables import read_table

    try:
        return evaluation_of(read_table(path, text=("file", "true", "predicted")))
    except ValueError as error:
        raise zoo.ZooError(f"{path} is damaged ({error}); run evaluate.py where the data are") from None


def _read_robustness(directory: Path) -> zoo.Robustness | None:
    path = directory / ROBUSTNESS
    if not path.exists():
        return None
    from zoo.tables import read_table

    try:
        table = read_table(path, text=("corruption", "unit"))
        numbers = ["strength", "n", "correct", "accuracy", "low", "high"]
        if table.empty or not {"corruption", "unit", *numbers} <= set(table.columns):
            raise ValueError("no row, or a column is missing")
        table = table.astype(dict.fromkeys(numbers[:1] + numbers[3:], float))
    except ValueError as error:
        raise zoo.ZooError(f"{path} is damaged ({error}); run evaluate.py --robustness again") from None
    return zoo.Robustness(table, seed=0)


def _read_certificate(directory: Path) -> dict[str, Any] | None:
    path = directory / "certificate.json"
    if not path.exists():
        return None
    try:
        return read_json(path)
    except ValueError as error:
        raise zoo.ZooError(f"{path} is damaged ({error}); export again") from None


if __name__ == "__main__":
    sys.exit(main())
