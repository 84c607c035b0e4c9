"""Values -> score: `TrialRunner` runs trials, each a function of its values and the recipe's seed."""

from __future__ import annotations

import dataclasses
import math
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tuning.task import Setting, TrialOutcome, TrialProgress, TrialTask, is_kept, model_path
from zoo import storage
from zoo.data.folds import stratified_folds
from zoo.errors import SaveError

if TYPE_CHECKING:
    import keras_tuner

    from tuning.runs import RunResult


class TrialRunner:
    """Runs trials of one search one after the other, in this process.

    Models of the catalog are kept from trial to trial, one for each structure, and traced once.

    Args:
        setting: what all trials of the search share.

    Attributes:
        signatures: structures that were met.
        traces: how often a gradient step was traced for them; the number of structures, unless they did not fit.
    """

    def __init__(self, setting: Setting) -> None:
        from tuning import runs
        from tuning.spaces import ModelSpace

        self._setting = setting
        self._runner: runs.SpaceRunner | runs.HyperModelRunner
        if isinstance(setting.hypermodel, ModelSpace):
            self._runner = runs.SpaceRunner(setting)
        else:
            self._runner = runs.HyperModelRunner(setting)
        self._folds = [setting.data]
        if setting.folds > 1:
            self._folds = stratified_folds(setting.data, setting.folds, seed=setting.recipe.seed)

    @property
    def signatures(self) -> int:  # noqa: D102
        return self._runner.signatures

    @property
    def traces(self) -> int:  # noqa: D102
        return self._runner.traces

    def run(self, task: TrialTask, on_progress: Callable[[TrialProgress], None] | None = None) -> TrialOutcome:
        """Trains and scores one trial, and keeps its model when it is good enough.

        An exception of the build or the training, and an objective that is missing, infinite or not a number, make a
        failed trial.

        Args:
            task: what to run. Where the trial was begun before, it goes on from its saved state.
            on_progress: told how far the trial is.

        Raises:
            SaveError: the disk does not take the state or the model. It and `KeyboardInterrupt` go through.
        """
        import zoo.startup  # noqa: F401  (before Keras)

        # isort: split
        import keras_tuner

        started = time.perf_counter()
        hp = keras_tuner.HyperParameters.from_config(task.hyperparameters)
        known = len(hp.space)
        try:
            results = self._run_all(task, hp, on_progress)
            outcome = self._outcome(results)
            if outcome.status == "completed":
                outcome = self._keep(results[-1][1], outcome, task)
        except SaveError:
            raise
        except Exception as error:
            outcome = _failure(error)
        return dataclasses.replace(
            outcome,
            # Of earlier attempts, what their saved states tell.
            seconds=max(time.perf_counter() - started, sum(run["seconds"] for run in outcome.runs)),
            hyperparameters=hp.get_config() if len(hp.space) > known else None,
        )

    def close(self) -> None:
        """Lets all models go."""
        self._runner.close()

    def _run_all(
        self,
        task: TrialTask,
        hp: keras_tuner.HyperParameters,
        on_progress: Callable[[TrialProgress], None] | None,
    ) -> list[tuple[dict[str, Any], RunResult]]:
        """One result a fold and repeat; the runs after one without a score are left out."""
        from tuning.runs import make_run

        setting = self._setting
        epochs = self._runner.epochs(hp) if task.epochs is None else task.epochs
        each, count = epochs - task.initial_epoch, setting.folds * setting.repeats
        results: list[tuple[dict[str, Any], RunResult]] = []
        for number in range(count):
            fold, repeat = divmod(number, setting.repeats)

            def on_epochs(done: float, score: float | None, before: int = number) -> None:
                if on_progress is not None:
                    so_far = before * each + max(0.0, done - task.initial_epoch)
                    on_progress(TrialProgress(task.number, so_far, count * each, score))

            seed = self._runner.seed(hp) + repeat
            run = make_run(setting, task, number, self._folds[fold], seed, epochs, on_epochs)
            result = self._runner.run(hp, run, task.initial_epoch)
            results.append(({"fold": fold, "repeat": repeat, "seed": seed}, result))
            if _problem(result.metrics, setting.objective) is not None:
                break
        return results

    def _outcome(self, results: list[tuple[dict[str, Any], RunResult]]) -> TrialOutcome:
        objective = self._setting.objective
        runs = [
            {
                **names,
                "score": result.metrics.get(objective),
                "metrics": result.metrics,
                "epochs": result.epochs,
                "seconds": result.seconds,
                "curve": result.curve,
            }
            for names, result in results
        ]
        problem = _problem(results[-1][1].metrics, objective)
        shared = [name for name in results[0][1].metrics if all(name in result.metrics for _, result in results)]
        metrics = {name: math.fsum(result.metrics[name] for _, result in results) / len(results) for name in shared}
        return TrialOutcome(
            status="completed" if problem is None else "failed",
            score=metrics[objective] if problem is None else None,
            metrics=metrics,
            runs=runs,
            epochs=sum(result.epochs for _, result in results),
            reason=problem,
        )

    def _keep(self, result: RunResult, outcome: TrialOutcome, task: TrialTask) -> TrialOutcome:
        """Saves the model of a trial of one run that is good enough."""
        assert outcome.score is not None
        if not task.keep_model or not is_kept(outcome.score, task, self._setting.direction):
            return outcome
        model, path = result.make_model(), model_path(task.folder, task.number)
        try:
            with storage.atomic_path(path) as temporary:
                model.save(temporary)
        except OSError as error:
            raise SaveError(f"{path} cannot be written: {error.strerror or error}") from error
        except Exception as error:  # a model class that Keras cannot serialize
            failed = _failure(error)
            reason = f"the model cannot be saved: {failed.reason}"
            return dataclasses.replace(outcome, status="failed", score=None, reason=reason, traceback=failed.traceback)
        return dataclasses.replace(outcome, model_sha256=storage.sha256_of_file(path))


def _problem(metrics: Mapping[str, float], objective: str) -> str | None:
    """Why the metrics hold no score, if they hold none."""
    if objective not in metrics:
        return f"there is no {objective} among the metrics: {', '.join(metrics)}"
    for name in (objective, "loss", "val_loss"):
        if not math.isfinite(metrics.get(name, 0.0)):
            return f"{name} is {metrics[name]}"  # also where an accuracy hides it: NaN outputs are all of class 0
    return None


def _failure(error: Exception) -> TrialOutcome:
    message = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
    return TrialOutcome(status="failed", reason=reason, traceback="".join(traceback.format_exception(error)))
