"""Values -> score: `TrialRunner` runs trials, each a function of its values and the recipe's seed."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import zoo.startup  # noqa: F401  (before Keras)

import keras_tuner
import tensorflow as tf

from tuning.hypermodel_runs import HyperModelRunner
from tuning.outcomes import failure_of, outcome_of, problem_of
from tuning.runs import fold_data, make_run
from tuning.space_runs import InitialWeights, SpaceRunner
from tuning.spaces import ModelSpace
from tuning.task import Setting, TrialOutcome, TrialProgress, TrialTask, is_kept, model_path
from tuning.vectorized.grouping import group_key
from zoo import storage
from zoo.data.streaming import naming_files
from zoo.errors import SaveError, ZooError
from zoo.models.saving import save_model

if TYPE_CHECKING:
    from tuning.runs import Run, RunResult


@dataclasses.dataclass
class _Started:
    """A trial to run: what is asked, and its values."""

    task: TrialTask
    hp: keras_tuner.HyperParameters

    def __post_init__(self) -> None:
        self.known = len(self.hp.space)  # a build may declare more


class TrialRunner:
    """Runs trials of one search in this process: one after the other, or small dense models as one program.

    Models of the catalog are kept from trial to trial, one for each structure, and traced once.

    Args:
        setting: what all trials of the search share.
        initial_weights: what a run of a model of the catalog begins with, where its seed does not decide it.

    Attributes:
        signatures: structures that were met.
        traces: how often a gradient step was traced for them; the number of structures, unless they did not fit.
    """

    def __init__(self, setting: Setting, *, initial_weights: InitialWeights | None = None) -> None:
        self._setting = setting
        self._runner: SpaceRunner | HyperModelRunner
        if isinstance(setting.hypermodel, ModelSpace):
            self._runner = SpaceRunner(setting, initial_weights=initial_weights)
        else:
            self._runner = HyperModelRunner(setting)
        self._folds = fold_data(setting)

    @property
    def signatures(self) -> int:
        """Structures that were met."""
        return self._runner.signatures

    @property
    def traces(self) -> int:
        """How often a gradient step was traced for them."""
        return self._runner.traces

    def run(
        self, tasks: Sequence[TrialTask], on_progress: Callable[[TrialProgress], None] | None = None
    ) -> list[TrialOutcome]:
        """Trains and scores trials, and keeps the models that are good enough.

        An exception of the build or the training, and an objective that is missing, infinite or not a number, make a
        failed trial.

        Args:
            tasks: what to run: one trial, or several that `vectorized.grouping.group_key` finds alike. Where they were
                begun before, they go on from their saved states.
            on_progress: told how far the trials are.

        Raises:
            SaveError: the disk does not take a state or a model. It and `KeyboardInterrupt` go through.
        """
        started = [_Started(task, keras_tuner.HyperParameters.from_config(task.hyperparameters)) for task in tasks]
        if not tasks[0].together or group_key(self._setting, tasks[0]) is None:
            return [self._run_alone(trial, on_progress) for trial in started]
        try:
            return self._run_together(started, on_progress)
        except SaveError:
            raise
        except (ZooError, MemoryError, tf.errors.OpError):  # which of them it is shows when each is alone
            return [self._run_alone(trial, on_progress) for trial in started]
        except Exception as error:
            return [failure_of(error) for _ in started]

    def close(self) -> None:
        """Lets all models go."""
        self._runner.close()

    def _run_alone(self, trial: _Started, on_progress: Callable[[TrialProgress], None] | None) -> TrialOutcome:
        """One run after the other; those after one without a score are left out."""
        started = time.perf_counter()
        try:
            results = []
            for run in self._runs(trial, on_progress):
                with naming_files():
                    results.append(self._runner.run(trial.hp, run, trial.task.initial_epoch))
                if problem_of(results[-1].metrics, self._setting.objective) is not None:
                    break
            outcome = self._outcome(trial, results)
            outcome = self._keep(results[-1], outcome, trial.task)
        except SaveError:
            raise
        except Exception as error:
            outcome = failure_of(error)
        # Of earlier attempts, what their saved states tell.
        seconds = max(time.perf_counter() - started, sum(run["seconds"] for run in outcome.runs))
        declared = trial.hp.get_config() if len(trial.hp.space) > trial.known else None
        return dataclasses.replace(outcome, seconds=seconds, hyperparameters=declared)

    def _run_together(
        self, trials: Sequence[_Started], on_progress: Callable[[TrialProgress], None] | None
    ) -> list[TrialOutcome]:
        """All runs of all trials as members of one program; a trial's seconds are its share of the time."""
        runs = [(trial, run) for trial in trials for run in self._runs(trial, on_progress)]
        assert isinstance(self._runner, SpaceRunner)
        results = iter(
            self._runner.run_together(
                [trial.hp for trial, _ in runs], [run for _, run in runs], trials[0].task.initial_epoch
            )
        )
        count, objective = len(runs) // len(trials), self._setting.objective
        outcomes, last = [], []
        for trial in trials:
            of_trial = list(itertools.islice(results, count))
            problems = (i for i, result in enumerate(of_trial) if problem_of(result.metrics, objective) is not None)
            of_trial = of_trial[: next(problems, count) + 1]  # as one by one
            outcome = self._outcome(trial, of_trial)
            outcomes.append(dataclasses.replace(outcome, seconds=sum(run["seconds"] for run in outcome.runs)))
            last.append(of_trial[-1])
        for place in self._best(trials, outcomes):
            outcomes[place] = self._keep(last[place], outcomes[place], trials[place].task)
        return outcomes

    def _best(self, trials: Sequence[_Started], outcomes: Sequence[TrialOutcome]) -> list[int]:
        """The places of as many of the best trials as models are kept, best first."""
        sign = -1.0 if self._setting.direction == "max" else 1.0
        scores = [
            (sign * o.score, t.task.number, i)
            for i, (t, o) in enumerate(zip(trials, outcomes, strict=True))
            if o.score is not None
        ]
        return [place for _, _, place in sorted(scores)[: trials[0].task.keep_models]]

    def _runs(self, trial: _Started, on_progress: Callable[[TrialProgress], None] | None) -> list[Run]:
        """A run for each fold and repeat."""
        setting, task = self._setting, trial.task
        epochs = self._runner.epochs(trial.hp) if task.epochs is None else task.epochs
        each, count = epochs - task.initial_epoch, setting.folds * setting.repeats
        done = [0.0] * count

        def tell(number: int, epochs_done: float, score: float | None) -> None:
            done[number] = max(0.0, epochs_done - task.initial_epoch)
            if on_progress is not None:
                on_progress(TrialProgress(task.number, sum(done), count * each, score))

        first_seed, runs = self._runner.seed(trial.hp), []
        for number in range(count):
            fold, repeat = divmod(number, setting.repeats)
            on_epochs = functools.partial(tell, number)
            runs.append(make_run(setting, task, number, self._folds[fold], first_seed + repeat, epochs, on_epochs))
        return runs

    def _outcome(self, trial: _Started, results: Sequence[RunResult]) -> TrialOutcome:
        return outcome_of(results, self._setting, first_seed=self._runner.seed(trial.hp))

    def _keep(self, result: RunResult, outcome: TrialOutcome, task: TrialTask) -> TrialOutcome:
        """Saves the model of a completed trial of one run that is good enough."""
        if outcome.score is None or not task.keep_models or not is_kept(outcome.score, task, self._setting.direction):
            return outcome
        model, path = result.make_model(), model_path(task.folder, task.number)
        try:
            save_model(model, path)
        except SaveError:
            raise
        except Exception as error:  # a model class that Keras cannot serialize
            failed = failure_of(error)
            reason = f"the model cannot be saved: {failed.reason}"
            return dataclasses.replace(outcome, status="failed", score=None, reason=reason, traceback=failed.traceback)
        return dataclasses.replace(outcome, model_sha256=storage.sha256_of_file(path))
