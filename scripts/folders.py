"""Folders of runs and exports: what the scripts read from them, and what they call new ones.

Nothing here imports TensorFlow, so that `--help` and errors about names are quick.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import zoo


def load_run_and_data(directory: Path) -> tuple[zoo.TrainingRun, zoo.DataSplits]:
    """A finished run folder and the data that its config.json names; says so where they have changed."""
    run = zoo.load_run(directory)
    data = data_of(run, directory)
    if is_changed(run, data):
        print("note: the data have changed since the training; test images may have been trained on", file=sys.stderr)
    return run, data


def data_of(run: zoo.TrainingRun, directory: Path) -> zoo.DataSplits:
    """The data that a run's config.json names."""
    config = run.config["data"]
    if "name" not in config:
        raise zoo.ZooError(
            f"{directory} was trained on arrays, which a script cannot load again; in Python zoo.load_run(DIR) gives the model"
        )
    return load_named(config, directory)


def load_named(config: dict[str, Any], directory: Path) -> zoo.DataSplits:
    """The data set that a folder's file names with the options of `zoo.load_dataset`."""
    options = {name: value for name, value in config.items() if name != "name"}
    if unknown := options.keys() - inspect.signature(zoo.load_dataset).parameters.keys():
        raise zoo.ZooError(f"{directory} names its data with {min(unknown)!r}, which no data set takes; train it again")
    return zoo.load_dataset(config["name"], **options)


def is_changed(run: zoo.TrainingRun, data: zoo.DataSplits) -> bool:
    """Whether the data are others than those that a run folder was trained on: another split may have its test images."""
    from zoo.data.splits import content_sha256

    return run.config.get("data_sha256") not in (None, content_sha256(data))


def name_of(data: zoo.DataSplits) -> str:
    """What folders are called after a data set: its name or that of its folder, not longer than file systems take."""
    return Path(data.config["name"]).name[:100]


def export_directory(directory: Path) -> Path:
    """The export that a path names: itself, or the one in a run folder."""
    return directory / "export" if (directory / "export").is_dir() else directory


def run_directory(wanted: str, config: dict[str, Any]) -> Path:
    """`runs/x`, or `runs/x-2`, `runs/x-3`, ...: the first that is free, or that holds this very run without its report."""
    from zoo.training.run import config_changes

    path, number = Path(wanted), 1
    while path.exists():
        if not (path / "report.html").exists() and config_changes(path, config) == []:
            break
        number += 1
        path = Path(f"{wanted}-{number}")
    return path
