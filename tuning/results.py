"""The result of a search: its trials as a table, the best of them, and pictures; read from the journal alone."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tuning import checkpoints
from tuning.journal import read_journal
from tuning.parameters import decode
from zoo import storage
from zoo.errors import ZooError
from zoo.reporting import figures
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    import keras

_TUNER = "tuner/"  # how Keras Tuner's own entries among the values begin (rung, bracket, parent of a promotion)
_FIRST_COLUMNS = ("trial", "status", "score", "epochs", "seconds")


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        directory: the search's folder.
        header: what identifies the search, as the journal has it.
        trials: number -> record of each finished trial, as the journal has them.
    """

    directory: Path
    header: dict[str, Any]
    trials: dict[int, dict[str, Any]]

    @property
    def model_name(self) -> str:
        """The catalog's name, or the qualified name of the class or function that built the models."""
        return str(self.header["model"])

    @property
    def objective(self) -> str:
        """The metric that is the score."""
        return str(self.header["objective"])

    @property
    def direction(self) -> str:
        """Whether a greater ("max") or a smaller ("min") score is better."""
        return str(self.header["direction"])

    @property
    def data_config(self) -> dict[str, Any]:
        """What names the data, see `DataSplits.config`."""
        return dict(self.header["data"])

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """One row a trial, in the order in which they were run.

        Columns: trial (from 1), status ("completed" or "failed"), score, epochs, seconds; one a hyper-parameter (empty
        where it was inactive); the metrics at the trial's end; reason (of a failure). A hyper-parameter whose name is a
        column already is `value/NAME`. `tuner/...` columns tell Hyperband's brackets, rungs and promotions.
        """
        records = [self.trials[number] for number in sorted(self.trials)]
        metrics = list(dict.fromkeys(name for record in records for name in record["metrics"]))
        taken = {*_FIRST_COLUMNS, *metrics, "reason"}
        rows = []
        for record in records:
            values = {f"value/{k}" if k in taken else k: decode(v) for k, v in record["values"].items()}
            first = {"trial": record["number"] + 1, **{name: record[name] for name in _FIRST_COLUMNS[1:]}}
            rows.append({**first, **values, **record["metrics"], "reason": record["reason"]})
        names = list(dict.fromkeys(name for row in rows for name in row if name not in taken))
        names.sort(key=lambda name: name.startswith(_TUNER))  # ours first
        return pd.DataFrame(rows, columns=[*_FIRST_COLUMNS, *names, *metrics, "reason"])

    @property
    def best_trial(self) -> dict[str, Any]:
        """The journal's record of the trial with the best score, the first of equals.

        Raises:
            ZooError: no trial was completed; the message has the first one's reason.
        """
        best = checkpoints.best_of(self.trials, self.direction)
        if best is not None:
            return best
        if not self.trials:
            raise ZooError(f"{self.directory} holds no finished trial")
        reason = self.trials[min(self.trials)]["reason"]
        raise ZooError(f"all {len(self.trials)} trials failed; the first: {reason}")

    @property
    def best_score(self) -> float:
        """The objective of the best trial."""
        return float(self.best_trial["score"])

    @property
    def best_values(self) -> dict[str, Any]:
        """The hyper-parameters of the best trial: builder options and recipe fields for a model of the catalog."""
        values = self.best_trial["values"]
        return {name: decode(value) for name, value in values.items() if not name.startswith(_TUNER)}

    @property
    def best_options(self) -> dict[str, Any]:
        """Those of `best_values` that `zoo.build(model_name, ...)` takes."""
        fields = self.header["recipe_fields"]
        return {name: value for name, value in self.best_values.items() if name not in fields}

    @property
    def best_recipe(self) -> Recipe:
        """The recipe that the best trial was trained by, its epochs included."""
        best, fields = self.best_trial, self.header["recipe_fields"]
        chosen = {name: value for name, value in self.best_values.items() if name in fields}
        if "tuner/epochs" in best["values"]:
            chosen["epochs"] = best["values"]["tuner/epochs"]
        base: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in self.header["recipe"].items()}
        return dataclasses.replace(Recipe(**base), **chosen)

    def best_model(self) -> keras.Model:
        """The very model that scored best, loaded from `best/model.keras`.

        Raises:
            ZooError: the file is missing, or is not that trial's.
        """
        import keras

        import zoo.models.layers  # noqa: F401  # its layers are known to Keras once imported

        return keras.saving.load_model(checkpoints.BestModel(self.directory).file_of(self.best_trial))

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Draws the objective against trial, seconds and epochs, with the best so far, as .png, .svg or .pdf."""
        figure = figures.plot_search(self, against=("trial", "seconds", "epochs"))
        with storage.atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=120)
        return Path(path)

    def write(self) -> None:
        """Writes `trials.csv` and, when a trial was completed, `result.json` to the search's folder."""
        storage.write_text(self.directory / "trials.csv", self.table.to_csv(index=False))
        if checkpoints.best_of(self.trials, self.direction) is not None:
            storage.write_json(self.directory / "result.json", self._summary())

    def _summary(self) -> dict[str, Any]:
        counts = self.table["status"].value_counts()
        return {
            "model": self.model_name,
            "method": self.header["method"],
            "objective": self.objective,
            "direction": self.direction,
            "best_score": self.best_score,
            "best_trial": self.best_trial["number"] + 1,
            "best_values": self.best_values,
            "best_recipe": self.best_recipe.as_config(),
            "best_model": "best/model.keras",
            "completed": int(counts.get("completed", 0)),
            "failed": int(counts.get("failed", 0)),
            "seconds": float(self.table["seconds"].sum()),
            "epochs": int(self.table["epochs"].sum()),
            "data": self.data_config,
        }


def load_result(directory: str | os.PathLike[str]) -> SearchResult:
    """The result of a search, finished or not, from its folder's journal.

    Raises:
        ZooError: the folder holds no search.

    Example:
        >>> tuning.load_result("runs/search").best_values
    """
    header, trials = read_journal(directory)
    return SearchResult(Path(directory), header, trials)
