"""`TrainingRun`: what training leaves behind, in memory and in its folder."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from zoo.errors import ZooError, changes
from zoo.storage import atomic_path, write_json
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


def versions() -> dict[str, str]:
    """Versions of what computes."""
    import platform

    names = ("keras-zoo", "tensorflow", "keras", "numpy")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def config_changes(directory: Path, config: dict[str, Any]) -> list[str] | None:
    """How the run in a folder differs from the one that `config` describes, versions apart; `None`: there is no run.

    Raises:
        ZooError: its config.json is damaged.
    """
    path = directory / "config.json"
    if not path.exists():
        return None
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ZooError(f"{path} is damaged ({error}); choose another folder, or delete it") from None
    return changes({**old, "versions": None}, {**json.loads(json.dumps(config)), "versions": None})


_TABLES = ("history", "steps", "validations")


def write_tables(directory: Path, tables: dict[str, pd.DataFrame]) -> None:
    """Writes history.csv, steps.csv and validations.csv."""
    for name in _TABLES:
        write_table(directory / f"{name}.csv", tables[name])


def write_finished(directory: Path, run: TrainingRun) -> None:
    """Completes a run folder: model, tables, curves, and result.json, whose presence says that the run is complete."""
    from zoo.training.curves import figure_png, plot_curves

    with atomic_path(directory / "model.keras") as temporary:
        run.model.save(temporary)
    write_tables(directory, {name: getattr(run, name) for name in _TABLES})
    with atomic_path(directory / "curves.png") as temporary:
        temporary.write_bytes(figure_png(plot_curves(run)))
    facts = {name: getattr(run, name) for name in ("metrics", "best", "stopped_early", "phases", "seconds")}
    write_json(directory / "result.json", _finite(facts))
    (directory / "state.npz").unlink(missing_ok=True)


def _finite(value: Any) -> Any:
    """JSON has no NaN: a run that diverged says null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load_run(directory: str | os.PathLike[str]) -> TrainingRun:
    """Loads a finished run folder, model included.

    Raises:
        ZooError: the folder holds no finished run.
    """
    directory = Path(directory)
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
        tables: dict[str, Any] = {n: pd.read_csv(directory / f"{n}.csv") for n in _TABLES}
    except FileNotFoundError as error:
        raise ZooError(f"{directory} holds no finished run: {error.filename} is missing") from None
    except ValueError as error:
        raise ZooError(f"{directory} holds a damaged run: {error}") from None
    import zoo.startup  # noqa: F401  (before Keras)

    import keras

    from zoo.models.fusing import fuse_model

    model = fuse_model(keras.saving.load_model(directory / "model.keras", compile=False, safe_mode=True))
    if "options" in config["model"]:
        model.zoo_build = config["model"]
    result["metrics"] = {k: float("nan") if v is None else v for k, v in result["metrics"].items()}
    return TrainingRun(model=model, config=config, output_dir=directory, **tables, **result)
