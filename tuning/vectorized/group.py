"""`train_together`: the epochs of a group of members, each with its own records, early stopping, states and end."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import numpy as np

from tuning.runs import ProgramRun
from tuning.vectorized.batches import Examples, examples_of_all
from tuning.vectorized.members import Member
from tuning.vectorized.program import Measures, StackedProgram


def train_together(program: StackedProgram, begun: Sequence[tuple[Member, ProgramRun]]) -> None:
    """Trains members of one program from the same epoch on, each until its own last one.

    A member that is done, or that stops early, leaves at the end of its epoch; the others go on without it.

    Args:
        program: of their structure.
        begun: members with data of one size, all with the same data and seed or each with its own, and what they have to do.
    """
    group = _Group(program, [member for member, _ in begun], [run for _, run in begun])
    group.leave()
    while group.members:
        group.epoch()
        group.leave()


class _Group:
    """The members that still train, in their order in the program."""

    def __init__(self, program: StackedProgram, members: Sequence[Member], runs: Sequence[ProgramRun]) -> None:
        self.members, self._runs, self._program = list(members), list(runs), program
        (self._epoch,) = {len(run.records.epochs) for run in runs}
        values = [member.model.variables for member in members], [m.model.optimizer.variables for m in members]
        weights, slots = ([[value.numpy() for value in each] for each in part] for part in values)
        program.load(weights, slots, [member.numbers for member in members])
        first = members[0]
        is_shared = all(m.data is first.data and m.recipe.seed == first.recipe.seed for m in members)
        self._sharing = slice(1) if is_shared else slice(None)
        self._callbacks = [run.phase.callbacks(run.callbacks) for run in runs]
        for run in runs:
            run.saver.sharing = len(runs)
        self._validated: Measures | None = None
        self._kept_examples: dict[str, Examples] = {}
        for member, callbacks in zip(members, self._callbacks, strict=True):
            for callback in callbacks:
                callback.set_model(member.model)
                callback.set_params({})
                callback.on_train_begin()
        self._place()

    def epoch(self) -> None:
        """One pass, and what belongs to its end, for every member."""
        started, count = time.monotonic(), len(self.members)
        for callbacks in self._callbacks:
            for callback in callbacks:
                callback.on_epoch_begin(self._epoch)
        seeds = [member.recipe.seed for member in self.members[self._sharing]]
        examples = self._examples()
        measures = self._program.epoch(examples, seeds, self._epoch, self._tell)
        self._validated = None
        weights, slots = self._program.values()
        batch_size = self.members[0].recipe.batch_size
        sizes = np.full(len(measures.loss), batch_size)
        # The last batch may be partial.
        sizes[-1] = min(batch_size, examples[0].shape[1] - batch_size * (len(sizes) - 1))
        losses = np.average(measures.loss, axis=0, weights=sizes)
        for place, (member, callbacks) in enumerate(zip(self.members, self._callbacks, strict=True)):
            member.take(place, weights, slots)
            member.recorder.losses = np.stack([measures.loss[:, place], measures.data_loss[:, place]], axis=1)
            logs = {"loss": float(losses[place]), "accuracy": float(measures.accuracy[place])}
            if place == 0 and member.validator is not None and (self._epoch + 1) % member.recipe.validation_freq == 0:
                self._measured()  # in this epoch's time
            share = (time.monotonic() - started) / count
            member.seconds += share
            for callback in callbacks:
                callback.on_epoch_end(self._epoch, logs)
            self._runs[place].records.epochs[-1]["seconds"] = share
        self._epoch += 1

    def leave(self) -> None:
        """Ends the members that are done."""
        stay = []
        for place, (member, run) in enumerate(zip(self.members, self._runs, strict=True)):
            if member.model.stop_training or run.phase.is_over or self._epoch >= run.run.epochs:
                for callback in self._callbacks[place]:
                    callback.on_train_end()
            else:
                stay.append(place)
        if len(stay) < len(self.members):
            self.members = [self.members[place] for place in stay]
            self._runs = [self._runs[place] for place in stay]
            self._callbacks = [self._callbacks[place] for place in stay]
            self._validated = None
            self._kept_examples.clear()
            if stay:
                self._program.keep(stay)
        self._place()

    def _place(self) -> None:
        for place, member in enumerate(self.members):
            member.measure = functools.partial(self._measured_at, place)

    def _measured_at(self, place: int) -> tuple[Measures, int]:
        return self._measured(), place

    def _measured(self) -> Measures:
        """Of the present weights of all members; measured when the first one asks."""
        if self._validated is None:
            self._validated = self._program.validate(self._examples("validation"))
        return self._validated

    def _examples(self, part: str = "train") -> Examples:
        """The data of all members, or of each; kept until one of them leaves."""
        if part not in self._kept_examples:
            splits = [getattr(member.data, part) for member in self.members]
            alike = part == "validation" and all(split is splits[0] for split in splits)
            sharing = slice(1) if alike else self._sharing
            self._kept_examples[part] = examples_of_all(splits[sharing])
        return self._kept_examples[part]

    def _tell(self, done: int, steps: int) -> None:
        for run in self._runs:
            for function in run.phase.on_progress:
                function(done, steps)


def same_kind(member: Member, run: ProgramRun) -> tuple[Any, ...]:
    """What members that train together have in common: their place in the training, and the sizes of their data."""
    validation = member.data.validation
    return len(run.records.epochs), len(member.data.train), 0 if validation is None else len(validation)
