"""The result of a search: its trials, runs and epochs as tables, the best model; read from the journal alone."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tuning import checkpoints, plots, tables
from tuning.journal import read_journal
from tuning.parameters import decode, expanded
from tuning.task import model_path
from zoo import storage
from zoo.errors import ZooError
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    import keras

    from zoo.evaluation.comparison import Comparison


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

    @property
    def num_models(self) -> int:
        """How many models a trial's score is the mean of: folds times repeats."""
        return int(self.header.get("folds", 1)) * int(self.header.get("repeats", 1))

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """One row a trial, in the order of their numbers.

        Columns: trial (from 1), status ("completed" or "failed"), score, score_std (over folds and repeats, with n - 1;
        where there are any), epochs, seconds, attempts (where one took more than one); one a hyper-parameter (empty
        where it was inactive); the metrics at the trial's end; reason (of a failure). A hyper-parameter whose name is a
        column already is `value/NAME`, such a metric `metric/NAME`. `tuner/...` columns tell Hyperband's brackets, rungs
        and promotions; a promoted trial counts its own epochs and seconds only.
        """
        return tables.trials_table(self._records())

    @functools.cached_property
    def runs(self) -> pd.DataFrame:
        """One row a trial, fold and repeat: trial (from 1), fold, repeat, seed, score, epochs, seconds, its metrics."""
        return tables.runs_table(self._records())

    @functools.cached_property
    def epochs(self) -> pd.DataFrame:
        """One row a trial, run and epoch: trial (from 1), fold, repeat, bracket and rung (Hyperband's), epoch, measures.

        Epochs are counted from 0 through the trials that a promoted one continues; its own are listed, not theirs.
        """
        return tables.epochs_table(self._records())

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
        """The objective of the best trial; with folds or repeats the mean over its runs."""
        return float(self.best_trial["score"])

    @property
    def best_values(self) -> dict[str, Any]:
        """The hyper-parameters of the best trial: builder options and recipe fields for a model of the catalog."""
        values = self.best_trial["values"]
        return {name: decode(value) for name, value in values.items() if not name.startswith("tuner/")}

    @property
    def best_options(self) -> dict[str, Any]:
        """Those of the best values that `zoo.build(model_name, ...)` takes."""
        fields = self.header["recipe_fields"]
        return {name: value for name, value in self._expanded().items() if name not in fields}

    @property
    def best_recipe(self) -> Recipe:
        """The recipe that the best trial was trained by; its epochs are those of a promoted trial's parents too.

        With rungs and a schedule, a trial may have stopped before the schedule's end; the recipe then has all its epochs.
        """
        best, fields = self.best_trial, self.header["recipe_fields"]
        chosen = {name: value for name, value in self._expanded().items() if name in fields}
        if "tuner/epochs" in best["values"]:
            of_schedule = self.header["max_epochs"] if self.header["recipe"]["schedule"] is not None else None
            chosen["epochs"] = of_schedule or best["values"]["tuner/epochs"]
        base: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in self.header["recipe"].items()}
        return dataclasses.replace(Recipe(**base), **chosen)

    def _expanded(self) -> dict[str, Any]:
        """The best values, with what labels of named sets stand for."""
        return expanded(self.best_values, self.header.get("named", {}))

    def best_model(self) -> keras.Model:
        """The very model that scored best, loaded from the best trial's file in `models/`.

        Raises:
            ZooError: the file is missing or is not that trial's, or the score is the mean of several models.
        """
        best = self.best_trial
        if self.num_models > 1:
            raise ZooError(
                f"the best score is the mean of {self.num_models} models (folds, repeats), none of which is the best "
                "model; train one on all training data by retrain_best()"
            )
        path = model_path(self.directory, best["number"])
        if not path.is_file() or storage.sha256_of_file(path) != best.get("model_sha256"):
            what = "is not the model of the best trial" if path.is_file() else "is missing"
            raise ZooError(f"{path} {what} (trial {best['number'] + 1}); train it again by retrain_best()")
        import keras

        import zoo.models.layers  # noqa: F401  # its layers are known to Keras once imported

        return keras.saving.load_model(path)

    def retrain_best(
        self,
        *,
        seeds: int | Sequence[int] = 5,
        data: Any = None,
        output_dir: str | os.PathLike[str] | None = None,
        verbose: bool = True,
    ) -> pd.DataFrame:
        """Trains the best values anew with several seeds and scores each; see `tuning.retraining.retrain_best`."""
        from tuning.retraining import retrain_best  # loads TensorFlow

        return retrain_best(self, seeds=seeds, data=data, output_dir=output_dir, verbose=verbose)

    def compare(self, by: str | Sequence[str] | None = None) -> Comparison:
        """Which trials the runs tell from the best one, and which not, by tests paired over repeats or folds.

        Repeats on one validation set tell what the seeds do, not what other examples would. With folds the mean of a
        fold's repeats is its score, and the test is the corrected one for cross-validation; see `zoo.compare`.

        Args:
            by: a hyper-parameter, or several, whose values are compared in place of the trials: the mean score over the
                other values, run by run. Only other values that were tried with each of them count, as in a grid.

        Raises:
            UsageError: trials have one run each (search with repeats= or folds=), fewer than two were completed, `by` is
                unknown, or no other values were tried with all of its values.

        Example:
            >>> tuning.load_result("runs/search").compare(by="optimizer").sentences()
        """
        from tuning.comparing import compare_trials  # loads SciPy

        return compare_trials(self, by)

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Draws the objective against trial, seconds and epochs, with the best so far, as .png, .svg or .pdf."""
        return plots.save(plots.best_so_far(self, against=("trial", "seconds", "epochs")), path)

    def plots(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Draws every picture of `tuning.plots.PLOTS` that this search has something for, as PNG files of their names."""
        return plots.save_all(self, Path(directory))

    def write(self) -> None:
        """Writes `trials.csv`, `runs.csv`, `epochs.csv` and, when a trial was completed, `result.json` to the folder."""
        for name, table in (("trials", self.table), ("runs", self.runs), ("epochs", self.epochs)):
            storage.write_text(self.directory / f"{name}.csv", table.to_csv(index=False))
        if checkpoints.best_of(self.trials, self.direction) is not None:
            storage.write_json(self.directory / "result.json", self._summary())

    def _records(self) -> list[dict[str, Any]]:
        return [self.trials[number] for number in sorted(self.trials)]

    def _summary(self) -> dict[str, Any]:
        counts, best = self.table["status"].value_counts(), self.best_trial
        file = model_path(self.directory, best["number"])
        is_kept = self.num_models == 1 and best.get("model_sha256") is not None and file.is_file()
        return {
            "model": self.model_name,
            "method": self.header["method"],
            "objective": self.objective,
            "direction": self.direction,
            "best_score": self.best_score,
            "best_trial": best["number"] + 1,
            "best_values": self.best_values,
            "best_recipe": self.best_recipe.as_config(),
            "best_model": file.relative_to(self.directory).as_posix() if is_kept else None,
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
