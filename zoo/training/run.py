"""`TrainingRun`: what training leaves behind, in memory and in its folder."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from zoo.errors import DataWarning, ZooError, one_line
from zoo.paths import checked_path
from zoo.plain import changes
from zoo.storage import read_json, sha256_of_file, write_bytes, write_json
from zoo.tables import write_table
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass
class TrainingRun:
    """What training leaves behind.

    Attributes:
        model: the trained model, with the best weights where a recipe has `patience`, else the last ones.
        config: `data`, `model`, `recipes` and `versions`: what reproduces the run.
        history: one row an epoch: phase, epoch, loss (with penalties), data_loss (without), accuracy, learning_rate,
            seconds, and val_loss, val_data_loss, val_accuracy where the epoch had a validation.
        steps: one row a gradient step: step, loss, data_loss.
        validations: one row a validation: phase, epoch, step it came after, val_loss, val_data_loss, val_accuracy.
        metrics: measures of the weights that `model` holds, and `epochs`, the number of epochs run.
        best: the validation with the best monitored value in the last phase, or `None` without validation.
        stopped_early: whether patience ran out in the last phase.
        phases: for each recipe, `trainable` and `frozen`: how many weights learned, and how many did not.
        seconds: wall time of training.
        output_dir: the run folder, or `None`.
    """

    model: keras.Model
    config: dict[str, Any]
    history: pd.DataFrame
    steps: pd.DataFrame
    validations: pd.DataFrame
    metrics: dict[str, float]
    best: dict[str, Any] | None
    stopped_early: bool
    seconds: float
    phases: list[dict[str, int]] = dataclasses.field(default_factory=list)
    output_dir: Path | None = None

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The phases."""
        return tuple(Recipe(**values) for values in self.config["recipes"])


def config_changes(directory: Path, config: dict[str, Any]) -> list[str] | None:
    """How the run in a folder differs from the one that `config` describes, versions apart; `None`: there is no run.

    Raises:
        ZooError: its config.json is damaged.
    """
    path = directory / "config.json"
    if not path.exists():
        return None
    try:
        old = _read_config(path)
    except ValueError as error:
        raise ZooError(f"{path} is damaged ({error}); choose another folder, or delete it") from None
    return changes({**old, "versions": None}, {**json.loads(json.dumps(config)), "versions": None})


def _read_config(path: Path) -> dict[str, Any]:
    """What a config.json holds; a ValueError where it is not that of a run."""
    config = _read_parts(path, {"data": dict, "model": dict, "recipes": list})
    try:
        for values in config["recipes"]:
            Recipe(**values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"a recipe in {path.name} is none: {one_line(error)}") from None
    return config


def _read_parts(path: Path, parts: dict[str, Any]) -> dict[str, Any]:
    """The JSON object in a file; a ValueError names the first part that it lacks, or that is of another kind."""
    try:
        found = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    for name, kind in parts.items():
        if name not in found or not isinstance(found[name], kind):
            raise ValueError(f"{path.name} lacks {name!r}")
    return found


_TABLES = {
    "history": {"phase", "epoch", "loss"},
    "steps": {"step", "loss", "data_loss"},
    "validations": {"phase", "epoch", "step"},
}
_FACTS = {"metrics": dict, "best": dict | None, "stopped_early": bool, "phases": list, "seconds": int | float}
_RESULT = {**_FACTS, "files": dict}

_HASHED = (*(f"{name}.csv" for name in _TABLES), "model.keras", "best.weights.h5", "curves.png")
_OTHERS = ("config.json", "result.json", "state.npz", ".lock", ".lock-holder.json")


def write_tables(directory: Path, tables: dict[str, pd.DataFrame]) -> None:
    """Writes history.csv, steps.csv and validations.csv."""
    for name in _TABLES:
        write_table(directory / f"{name}.csv", tables[name])


def write_finished(directory: Path, run: TrainingRun) -> None:
    """Completes a run folder: model, tables, curves, and result.json, whose presence says that the run is complete."""
    from zoo.drawing import figure_png
    from zoo.models.saving import save_model
    from zoo.training.curves import plot_curves

    save_model(run.model, directory / "model.keras")
    write_tables(directory, {name: getattr(run, name) for name in _TABLES})
    write_bytes(directory / "curves.png", figure_png(plot_curves(run)))
    facts = {name: getattr(run, name) for name in _FACTS}
    files = {name: sha256_of_file(directory / name) for name in _HASHED if (directory / name).exists()}
    write_json(directory / "result.json", _finite({**facts, "files": files}))
    (directory / "state.npz").unlink(missing_ok=True)


def _finite(value: Any) -> Any:
    """JSON has no NaN: a run that diverged says null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load_run(directory: str | os.PathLike[str]) -> TrainingRun:
    """Loads a finished run folder, model included.

    The model has to be the one that was trained. A table that was saved again, as by a spreadsheet, is read as it stands, with
    a `DataWarning` that names it.

    Raises:
        UsageError: the path is no path.
        ZooError: the folder holds no finished run, or a damaged one.
    """
    directory = checked_path(directory)
    try:
        config = _read_config(directory / "config.json")
        result = _read_parts(directory / "result.json", _RESULT)
        metrics = {k: float("nan") if v is None else float(v) for k, v in result["metrics"].items()}
        tables: dict[str, Any] = {n: _read_table(directory / f"{n}.csv", columns) for n, columns in _TABLES.items()}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ZooError(f"{directory} holds no finished run: {error.filename} is missing") from None
    except OSError as error:
        raise ZooError(f"{error.filename} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise ZooError(f"{directory} holds a damaged run: {one_line(error)}; train it again") from None
    _check_hashes(directory, result["files"])
    model = _load_model(directory / "model.keras")
    if "options" in config["model"]:
        model.zoo_build = config["model"]
    facts = {name: result[name] for name in _FACTS} | {"metrics": metrics}
    return TrainingRun(model=model, config=config, output_dir=directory, **tables, **facts)


def _check_hashes(directory: Path, files: dict[str, Any]) -> None:
    """Raises a ZooError when the model is not the one that was written, and warns of tables."""
    for name in ("model.keras", *(f"{table}.csv" for table in _TABLES)):
        path = directory / name
        if name not in files or not path.exists() or sha256_of_file(path) == files[name]:
            continue
        if name == "model.keras":
            raise ZooError(f"{path} was changed after the training; train it again")
        warnings.warn(f"{path} was changed after the training; it is read as it stands", DataWarning, stacklevel=3)


def files_of_run(directory: Path) -> set[str]:
    """The files that a training has written, relative to its folder, if it ended there: no others may be replaced."""
    try:
        hashed = _read_parts(directory / "result.json", _RESULT)["files"]
    except (OSError, ValueError):
        return set()
    logs = (log.relative_to(directory).as_posix() for log in directory.glob("tensorboard/*/events.out.tfevents.*"))
    return {*(name for name in _HASHED if name in hashed), *_OTHERS, *logs}


def foreign_file(directory: Path) -> str | None:
    """The first file in a folder without a run whose name a training would write to; `None` where there is none."""
    names = (*_HASHED, "result.json", "state.npz")
    return next((name for name in names if os.path.lexists(directory / name)), None)


def _read_table(path: Path, columns: set[str]) -> pd.DataFrame:
    """A table of numbers; a ValueError where it is none."""
    try:
        table = pd.read_csv(path)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    if not columns <= set(table.columns):
        raise ValueError(f"{path.name} lacks the column {min(columns - set(table.columns))!r}")
    words = [name for name in table.columns if len(table) and not pd.api.types.is_numeric_dtype(table[name])]
    if words:
        raise ValueError(f"the column {words[0]!r:.100} of {path.name} holds other than numbers")
    return table


def _load_model(path: Path) -> keras.Model:
    from zoo.models.fusing import fuse_model
    from zoo.models.saved import load_model_file

    try:
        return fuse_model(load_model_file(path))
    except ZooError as error:
        raise ZooError(f"{error}; train it again") from error
