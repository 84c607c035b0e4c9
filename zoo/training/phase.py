"""`PhaseRun`: one recipe on one program, from the beginning or from where it was paused, to some epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.data.splits import DataSplits
from zoo.features.extraction import OnProgress
from zoo.training.program import Program
from zoo.training.recipe import Recipe
from zoo.training.records import EpochRecords
from zoo.training.state import State, StateSaver, put_state, take_state
from zoo.training.validation import StepValidations, Validations


class PhaseRun:
    """One recipe on one program.

    Args:
        program: what trains.
        data: of the program's store.
        recipe: of the program's structure.
        records: what is kept; earlier phases are in it.
        phase: number of the phase.
        state: where the training was paused, `None` for one from the beginning.

    Attributes:
        validations: the validations of this phase, or `None` without validation data.
        on_progress: functions called with (steps done, steps of the epoch) between graph calls.
    """

    def __init__(
        self,
        program: Program,
        data: DataSplits,
        recipe: Recipe,
        records: EpochRecords,
        *,
        phase: int = 0,
        state: State | None = None,
    ) -> None:
        self._program, self._records = program, records
        self.on_progress: list[OnProgress] = []
        self.validations: Validations | None = None
        if state is not None:
            records.restore(state.facts["records"], state.arrays["steps"])
        if program.validator is not None:
            kind = Validations if recipe.validate_every_steps is None else StepValidations
            first_step = records.phase_first_step if state is not None else len(records.steps)
            self.validations = kind(program.validator, recipe, phase, first_step, program.learner)
        if state is None:
            records.begin_phase()
        steps = program.start(
            data,
            recipe,
            first_pass=len(records.epochs) - records.phase_start,
            validations=self.validations if isinstance(self.validations, StepValidations) else None,
            on_progress=self._progressed,
        )
        records.attach(phase, recipe, program.recorder, self.validations, len(data.train), steps)
        if state is not None:
            if not program.model.built:
                program.model.build((None, *data.input_shape))
            put_state(state, program, self.validations)

    @property
    def is_over(self) -> bool:
        """Whether patience ran out before the training was paused."""
        return self.validations is not None and self.validations.stopped_early

    def saver(self, path: Path, seconds: Callable[[], float], *, pause_at: int | None = None) -> StateSaver:
        """The callback that saves the state now and then; see `StateSaver`. `seconds` gives the run's wall time."""
        saver = StateSaver(path, lambda: self.state(seconds()), pause_at=pause_at)
        if self._program.in_graph and not self._program.one_by_one:  # else an epoch begins at its beginning
            self.on_progress.append(lambda done, steps: saver.after_steps() if done < steps else None)
        return saver

    def state(self, seconds: float) -> State:
        """Where the training is now; between two gradient steps, and before the best weights are restored."""
        return take_state(self._program, self._records, self.validations, seconds)

    def fit(self, callbacks: Sequence[keras.callbacks.Callback], *, until: int) -> None:
        """Trains until `until` epochs are done, those of earlier phases included, or patience runs out."""
        first = len(self._records.epochs)
        last = first if self.is_over else until
        self._program.fit(self.callbacks(callbacks), first_epoch=first, epochs=last)

    def callbacks(self, others: Sequence[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
        """All callbacks of this phase in their order: it validates, then it records, then the others see both."""
        own: list[keras.callbacks.Callback] = [self.validations] if self.validations else []
        return [*own, self._records, *others]

    def summary(self, recipe: Recipe) -> dict[str, Any]:
        """`metrics` of the weights that the model holds, `best` validation, and `stopped_early`; after `fit`."""
        rows, validations = self._records.epochs, self.validations
        best = validations.best if validations else None
        restored = best if recipe.patience is not None else None
        row = next(r for r in rows if r["epoch"] == restored["epoch"]) if restored else rows[-1]
        metrics = {k: v for k, v in row.items() if k in ("loss", "data_loss", "accuracy")}
        if validations:
            metrics |= {k: v for k, v in validations.final.items() if k.startswith("val_")}
        return {"metrics": {**metrics, "epochs": len(rows)}, "best": best, "stopped_early": self.is_over}

    def _progressed(self, done: int, steps: int) -> None:
        for function in self.on_progress:
            function(done, steps)
