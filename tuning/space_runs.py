"""Runs of models of the catalog, on programs that are kept from run to run: one by one, or many as one program."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import keras
import keras_tuner
import numpy as np

from tuning.head_spaces import HeadSpace
from tuning.reuse import Programs
from tuning.runs import ProgramRun, Run, RunResult, load_state
from tuning.task import Setting
from tuning.vectorized.group import same_kind, train_together
from tuning.vectorized.grouping import batches_of_runs
from tuning.vectorized.members import Member
from zoo.data.splits import DataSplits
from zoo.training.program import Program
from zoo.training.recipe import Recipe
from zoo.training.trainer import check_fit
from zoo.training.unscaled import warn_if_unscaled

InitialWeights = Callable[[keras_tuner.HyperParameters, Run], Sequence[np.ndarray]]


class SpaceRunner:
    """Runs models of a `ModelSpace`.

    Args:
        setting: what the trials of the search share.
        initial_weights: what a run begins with, one by one; `None` for what its seed decides.
    """

    def __init__(self, setting: Setting, *, initial_weights: InitialWeights | None = None) -> None:
        self._setting, self._space, self._initial_weights = setting, setting.hypermodel, initial_weights
        self._programs = Programs(self._space)
        self._keeps_models = setting.folds * setting.repeats == 1
        self._looks = not isinstance(self._space, HeadSpace)  # at inputs, once; features are as they are

    @property
    def signatures(self) -> int:
        """Structures that were met."""
        return self._programs.signatures

    @property
    def traces(self) -> int:
        """How often a gradient step was traced for them."""
        return self._programs.traces

    def epochs(self, hp: keras_tuner.HyperParameters) -> int:
        """Epochs of a trial of which nothing else is asked."""
        return int(self._space.choose(hp)[1].epochs)

    def seed(self, hp: keras_tuner.HyperParameters) -> int:
        """The seed of a trial's first repeat."""
        return int(self._space.choose(hp)[1].seed)

    def run(self, hp: keras_tuner.HyperParameters, run: Run, first_epoch: int) -> RunResult:
        """Trains from the beginning, or from where the run or its parent was paused."""
        options, recipe = self._choose(hp, run)
        weights = None
        if self._initial_weights is not None and load_state(run.state) is None:
            weights = self._initial_weights(hp, run)
        with contextlib.ExitStack() as stack:
            if run.data.train.store is not None:
                program = self._programs.ready(options, recipe, run.data)
            else:  # a stream: what it reads is part of the graph
                program = Program(self._space.build_model(options, recipe.seed), run.data, recipe)
                stack.enter_context(program)
            if weights is not None:
                program.model.set_weights(weights)
            return self._train(program, options, recipe, run, first_epoch)

    def run_together(
        self, hps: Sequence[keras_tuner.HyperParameters], runs: Sequence[Run], first_epoch: int
    ) -> list[RunResult]:
        """The results of runs of one structure, trained as members of one program, as many at once as pays."""
        chosen = [self._choose(hp, run) for hp, run in zip(hps, runs, strict=True)]
        program, weights_of = self._programs.stacked(*chosen[0], runs[0].data)
        results: dict[int, RunResult] = {}
        for places in batches_of_runs(program, [recipe for _, recipe in chosen], runs):
            begun = []
            for place in places:
                options, recipe = chosen[place]
                member = Member(program, weights_of(recipe.seed), options, recipe, runs[place].data)
                self._check(program.model, runs[place].data, recipe)
                begun.append((member, self._begin(member, runs[place])))
            for kind in dict.fromkeys(same_kind(*pair) for pair in begun):  # killed searches leave several
                train_together(program, [pair for pair in begun if same_kind(*pair) == kind])
            for place, (member, going) in zip(places, begun, strict=True):
                weights = member.model.get_weights() if self._keeps_models else []
                results[place] = going.result(
                    first_epoch, self._maker(*chosen[place], functools.partial(list, weights))
                )
        return [results[place] for place in range(len(runs))]

    def close(self) -> None:
        """Lets all models go."""
        self._programs.close()

    def _train(
        self, program: Program, options: dict[str, Any], recipe: Recipe, run: Run, first_epoch: int
    ) -> RunResult:
        started = time.monotonic()
        self._check(program.model, run.data, recipe)
        going = ProgramRun(program, run, recipe, self._setting.objective, lambda: time.monotonic() - started)
        going.phase.fit(going.callbacks, until=run.epochs)
        return going.result(first_epoch, self._maker(options, recipe, program.model.get_weights))

    def _check(self, model: keras.Model, data: DataSplits, recipe: Recipe) -> None:
        check_fit(model, data, [recipe])
        if self._looks:
            warn_if_unscaled(model, data)
        self._looks = False

    def _begin(self, member: Member, run: Run) -> ProgramRun:
        program = cast("Program", member)  # what is asked of one, a member has too
        return ProgramRun(program, run, member.recipe, self._setting.objective, lambda: member.seconds)

    def _choose(self, hp: keras_tuner.HyperParameters, run: Run) -> tuple[dict[str, Any], Recipe]:
        options, recipe = self._space.choose(hp)
        # Where trials are paused at rungs, they stop somewhere on one schedule.
        return options, dataclasses.replace(recipe, epochs=self._setting.max_epochs or run.epochs, seed=run.seed)

    def _maker(self, options: dict[str, Any], recipe: Recipe, weights: Any) -> Any:
        def make_model() -> keras.Model:
            stock = self._space.finished_model(options, recipe, weights())
            stock.optimizer.build(stock.trainable_variables)  # else Keras warns when it loads the model
            return stock

        return make_model
