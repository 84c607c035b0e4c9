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
from tuning.task import fine_tuned_path, model_path
from zoo import storage
from zoo.errors import ZooError
from zoo.paths import checked_path
from zoo.tables import write_table
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from zoo.evaluation.comparison import Comparison


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        directory: the search's folder.
        header: what identifies the search, as the journal has it.
        trials: number -> record of each finished trial, as the journal has them.
        fine_tuned: number -> record of each trial that was trained on with `fine_tune`.
    """

    directory: Path
    header: dict[str, Any]
    trials: dict[int, dict[str, Any]]
    fine_tuned: dict[int, dict[str, Any]] = dataclasses.field(default_factory=dict)

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
        return int(self.header["folds"]) * int(self.header["repeats"])

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """One row a trial, in the order of their numbers.

        Columns: trial (from 1), status ("completed" or "failed"), score, score_std (over folds and repeats, with n - 1;
        where there are any), fine_tuned (the score after fine-tuning, where there was any), epochs, seconds, attempts
        (where one took more than one); one a hyper-parameter (empty where it was inactive); the metrics at the trial's
        end; reason (of a failure). A hyper-parameter whose name is a column already is `value/NAME`, such a metric
        `metric/NAME`. `tuner/...` columns tell Hyperband's brackets, rungs and promotions; a promoted trial counts its
        own epochs and seconds only.
        """
        return tables.trials_table(self._records(), self.fine_tuned)

    @functools.cached_property
    def runs(self) -> pd.DataFrame:
        """One row a trial, fold and repeat: trial (from 1), fold, repeat, seed, score, epochs, seconds, its metrics.

        Where trials were fine-tuned, `fine_tuned` is the score after it.
        """
        return tables.runs_table(self._records(), self.fine_tuned)

    @functools.cached_property
    def epochs(self) -> pd.DataFrame:
        """One row a trial, run and epoch: trial (from 1), fold, repeat, bracket and rung (Hyperband's), epoch, measures.

        Epochs are counted from 0 through the trials that a promoted one continues; its own are listed, not theirs.
        """
        return tables.epochs_table(self._records())

    @property
    def best_trial(self) -> dict[str, Any]:
        """The journal's record of the trial with the best score, fine-tuned or not, the first of equals.

        Raises:
            ZooError: no trial was completed; the message has the first one's reason.
        """
        return self.trials[self._best["number"]]

    @property
    def best_score(self) -> float:
        """The best objective, after fine-tuning where that made it better; with folds or repeats the mean over runs."""
        return float(self._best["score"])

    @property
    def is_fine_tuned(self) -> bool:
        """Whether the best score is that of a fine-tuned model."""
        return bool(self._best["kind"] == "fine_tuned")

    @functools.cached_property
    def _best(self) -> dict[str, Any]:
        """The record with the best score: a trial's, or that of its fine-tuning."""
        best = checkpoints.best_of(self.trials, self.direction)
        tuned = checkpoints.best_of(self.fine_tuned, self.direction)
        if tuned is not None and best is not None:
            is_better = tuned["score"] > best["score"] if self.direction == "max" else tuned["score"] < best["score"]
            best = tuned if is_better else best
        if best is not None:
            return best
        if not self.trials:
            raise ZooError(f"{self.directory} holds no finished trial")
        reason = self.trials[min(self.trials)]["reason"]
        raise ZooError(f"all {len(self.trials)} trials failed; the first: {reason}")

    @property
    def best_values(self) -> dict[str, Any]:
        """The hyper-parameters of the best trial: builder options and recipe fields for a model of the catalog."""
        return _values_of(self.best_trial)

    @property
    def best_options(self) -> dict[str, Any]:
        """Those of the best values that `zoo.build(model_name, ...)` takes."""
        return self.options_of(self.best_trial)

    @property
    def best_recipe(self) -> Recipe:
        """The recipe that the best trial was trained by; its epochs are those of a promoted trial's parents too.

        With rungs and a schedule, a trial may have stopped before the schedule's end; the recipe then has all its epochs.
        """
        return self.recipe_of(self.best_trial)

    @property
    def best_recipes(self) -> tuple[Recipe, ...]:
        """The phases that the best score is due to, for `zoo.train`: `best_recipe`, and the one of fine-tuning."""
        if not self.is_fine_tuned:
            return (self.best_recipe,)
        return self.best_recipe, dataclasses.replace(Recipe(**self.header["fine_tune"]), seed=self.best_recipe.seed)

    def options_of(self, trial: dict[str, Any]) -> dict[str, Any]:
        """The builder's options that the values of a trial's record stand for."""
        fields = self.header["recipe_fields"]
        return {name: value for name, value in self._expanded(trial).items() if name not in fields}

    def recipe_of(self, trial: dict[str, Any]) -> Recipe:
        """The recipe of a trial's record, see `best_recipe`."""
        fields = self.header["recipe_fields"]
        chosen = {name: value for name, value in self._expanded(trial).items() if name in fields}
        if "tuner/epochs" in trial["values"]:
            of_schedule = self.header["max_epochs"] if self.header["recipe"]["schedule"] is not None else None
            chosen["epochs"] = of_schedule or trial["values"]["tuner/epochs"]
        return dataclasses.replace(Recipe(**self.header["recipe"]), **chosen)

    def _expanded(self, trial: dict[str, Any]) -> dict[str, Any]:
        """The values of a trial, with what labels of named sets stand for."""
        return expanded(_values_of(trial), self.header["named"])

    def best_model(self) -> keras.Model:
        """The very model that scored best, loaded from its file in `models/` or `fine_tuned/`.

        Raises:
            ZooError: the file is missing, is not that trial's or no model without code, or the score is the mean of several
                models.
        """
        best = self._best
        if self.num_models > 1:
            raise ZooError(
                f"the best score is the mean of {self.num_models} models (folds, repeats), none of which is the best "
                "model; train one on all training data by retrain_best()"
            )
        path = self._best_file()
        if not path.is_file() or storage.sha256_of_file(path) != best["model_sha256"]:
            what = "is not the model of the best trial" if path.is_file() else "is missing"
            raise ZooError(f"{path} {what} (trial {best['number'] + 1}); train it again by retrain_best()")
        from zoo.models.saved import load_model_file  # loads TensorFlow

        return load_model_file(path, compiled=True)

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
            by: "fine_tune" for what fine-tuning adds to the trials that had it; or a hyper-parameter, or several, whose
                values are compared in place of the trials: the mean score over the other values, run by run. Only other
                values that were tried with each of them count, as in a grid.

        Raises:
            UsageError: trials have one run each (search with repeats= or folds=), fewer than two were completed, `by` is
                unknown, or no other values were tried with all of its values.

        Examples:
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

    def figures(self) -> dict[str, tuple[str, Figure]]:
        """Name -> (caption, figure) of every picture that this search has something for; for reports."""
        return {name: (plots.CAPTIONS[name], figure) for name, figure in plots.drawn(self).items()}

    def write(self) -> None:
        """Writes `trials.csv`, `runs.csv`, `epochs.csv` and, when a trial was completed, `result.json` to the folder."""
        for name, table in (("trials", self.table), ("runs", self.runs), ("epochs", self.epochs)):
            write_table(self.directory / f"{name}.csv", table)
        if checkpoints.best_of(self.trials, self.direction) is not None:
            storage.write_json(self.directory / "result.json", self._summary())

    def _best_file(self) -> Path:
        """Where the model with the best score is, if it was kept."""
        path = fine_tuned_path if self.is_fine_tuned else model_path
        return path(self.directory, self._best["number"])

    def _records(self) -> list[dict[str, Any]]:
        return [self.trials[number] for number in sorted(self.trials)]

    def _summary(self) -> dict[str, Any]:
        counts, best, file = self.table["status"].value_counts(), self._best, self._best_file()
        is_kept = self.num_models == 1 and best["model_sha256"] is not None and file.is_file()
        return {
            "model": self.model_name,
            "method": self.header["method"],
            "objective": self.objective,
            "direction": self.direction,
            "best_score": self.best_score,
            "best_trial": best["number"] + 1,
            "best_values": self.best_values,
            "best_recipes": [recipe.as_config() for recipe in self.best_recipes],
            "best_model": file.relative_to(self.directory).as_posix() if is_kept else None,
            "completed": int(counts.get("completed", 0)),
            "failed": int(counts.get("failed", 0)),
            "fine_tuned": len(self.fine_tuned),
            "seconds": float(self.table["seconds"].sum()) + sum(r["seconds"] for r in self.fine_tuned.values()),
            "epochs": int(self.table["epochs"].sum()) + sum(r["epochs"] for r in self.fine_tuned.values()),
            "data": self.data_config,
        }


def load_result(directory: str | os.PathLike[str]) -> SearchResult:
    """The result of a search, finished or not, from its folder's journal.

    Raises:
        ZooError: the folder holds no search.

    Examples:
        >>> tuning.load_result("runs/search").best_values
    """
    directory = checked_path(directory)
    return SearchResult(directory, *read_journal(directory))


def _values_of(trial: dict[str, Any]) -> dict[str, Any]:
    """The hyper-parameters of a trial's record, without the entries of Keras Tuner's own."""
    return {name: decode(value) for name, value in trial["values"].items() if not name.startswith("tuner/")}
