"""`train`: model + data + recipe -> `TrainingRun`, by `model.fit` with callbacks."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.data.split import Scaling
from zoo.data.splits import DataSplits, as_splits, content_sha256
from zoo.data.streaming import naming_files
from zoo.errors import UsageError
from zoo.models.outputs import check_shapes
from zoo.paths import checked_path
from zoo.plain import check_json
from zoo.training.compiling import count_weights, make_loss, set_trainable, trainable_names
from zoo.training.phase import PhaseRun
from zoo.training.program import Program
from zoo.training.progress import ProgressBar, computing_features
from zoo.training.recipe import Recipe, as_recipes
from zoo.training.records import EpochRecords, RunFolder
from zoo.training.run import TrainingRun, load_run, write_finished
from zoo.training.state import State, put_weights
from zoo.training.unscaled import warn_if_unscaled
from zoo.version import versions


@naming_files()
def train(
    model: keras.Model,
    data: DataSplits | tuple[Any, Any] | Any,
    recipe: Recipe | Sequence[Recipe] = Recipe(),  # noqa: B008  (frozen)
    *,
    output_dir: str | os.PathLike[str] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: bool = True,
) -> TrainingRun:
    """Trains a model in place. It is compiled as the recipe says; one that is compiled already is recompiled.

    Of inputs that look unscaled a `DataWarning` tells, where the model does not begin with a layer that scales them.

    Args:
        model: any Keras model that maps inputs to class probabilities or logits.
        data: `DataSplits`, an (inputs, labels) pair of arrays, or a batched `tf.data.Dataset` (training only; it is batched
            again as the recipe says). The test split is not looked at.
        recipe: one recipe, or a sequence of phases.
        output_dir: the run folder to write: config.json, model.keras, history.csv, steps.csv, validations.csv,
            curves.png, best.weights.h5, result.json and tensorboard/. `None` writes nothing. A run that was interrupted
            is continued from its state.npz as if it had never stopped (a stream: from the beginning of the epoch;
            `callbacks` start anew); one that is finished is loaded.
        callbacks: Keras callbacks, called as under `fit`. One that has a batch hook is called for every batch, which
            slows small models.
        verbose: whether progress is shown on standard error.

    Returns:
        The run: history, losses by step, validations, and the model. With `Recipe.patience` the best weights are restored.

    Raises:
        UsageError: model, data and recipe do not fit, as `patience` without validation data; or `output_dir` holds another run,
            and the message names the differences.
        DataError: an image file cannot be read; the message names it.
        LockedError: another process trains in `output_dir`.
        SaveError: the disk does not take a file.
        ZooError: `output_dir` holds a damaged state or a damaged finished run.

    Examples:
        >>> run = train(model, data, Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.9, epochs=10))
        >>> run.metrics["val_accuracy"]
    """
    data, recipes = as_splits(data), as_recipes(recipe)
    output_dir = None if output_dir is None else checked_path(output_dir)
    if tf.distribute.has_strategy():  # Keras would divide the validation loss too by the number of devices
        raise UsageError(
            "call train outside of `with strategy.scope()`; the model knows the strategy it was built under"
        )
    check_fit(model, data, recipes)
    config = run_config(model, data, recipes, with_content=output_dir is not None)
    if output_dir is not None:
        check_json(**config)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(RunFolder(output_dir, config)) if output_dir is not None else None
        if folder is not None and folder.is_finished:
            return _loaded_into(model, folder.directory, recipes)
        warn_if_unscaled(model, data, stacklevel=4)  # who called train
        training = Training(records=EpochRecords(), folder=folder, callbacks=callbacks, verbose=verbose)
        state = folder.state() if folder is not None else None
        phases = []
        for phase, phase_recipe in enumerate(recipes):
            if state is not None and phase < state.facts["phase"]:
                set_trainable(model, phase_recipe.trainable)  # a later phase may leave frozen what this one froze
            else:
                training.run_phase(model, data, phase_recipe, phase, state)
                state = None
            phases.append(count_weights(model))
        facts: dict[str, Any] = {**training.records.tables(), **training.summary}
        run = TrainingRun(
            model=model,
            config=config,
            **facts,
            phases=phases,
            seconds=training.seconds,
            output_dir=folder.directory if folder else None,
        )
        if folder:
            write_finished(folder.directory, run)
    return run


class Training:
    """The phases of one run.

    Attributes:
        records: epochs, steps and validations over all phases.
        summary: metrics, best and stopped_early after the last phase.
        seconds: wall time so far, that before a resumption included.
    """

    def __init__(
        self,
        *,
        records: EpochRecords,
        folder: RunFolder | None,
        callbacks: Sequence[keras.callbacks.Callback],
        verbose: bool,
    ) -> None:
        self.records, self._folder, self._callbacks, self._verbose = records, folder, callbacks, verbose
        self.summary: dict[str, Any] = {}
        self._started, self._earlier = time.monotonic(), 0.0

    @property
    def seconds(self) -> float:  # noqa: D102
        return self._earlier + time.monotonic() - self._started

    def run_phase(self, model: keras.Model, data: DataSplits, recipe: Recipe, phase: int, state: State | None) -> None:
        """Trains by one recipe, from the beginning or from where `state` was taken."""
        one_by_one = any(_has_batch_hook(c) for c in self._callbacks)
        with contextlib.ExitStack() as stack:
            if state is not None:
                self._earlier = state.facts["seconds"]
                put_weights(state, model)  # what is frozen makes features with them
            with computing_features(self._verbose) as on_features:
                program = Program(
                    model, data, recipe, one_by_one=one_by_one, keeps_features=True, on_features=on_features
                )
            stack.enter_context(program)
            if self._verbose and recipe.trainable is not None:
                counts, once = count_weights(model), "; what is frozen is computed once" * (program.data is not data)
                learn = f"{counts['trainable']:,} weights learn, {counts['frozen']:,} do not"
                print(f"phase {phase + 1} ({recipe.trainable}): {learn}{once}", file=sys.stderr, flush=True)
            run = PhaseRun(program, program.data, recipe, self.records, phase=phase, state=state)
            own: list[keras.callbacks.Callback] = []
            if self._folder:
                own.append(self._folder.callback(self.records, run.validations))
                own.append(run.saver(self._folder.state_path, lambda: self.seconds))
            if self._verbose:
                label = f"phase {phase + 1} epoch" if phase else "epoch"
                progress = ProgressBar(recipe.epochs, label, done=len(self.records.epochs) - self.records.phase_start)
                stack.callback(progress.close)
                own.append(progress)
                run.on_progress.append(progress.on_steps)
            run.fit([*own, *self._callbacks], until=self.records.phase_start + recipe.epochs)
        self.summary = run.summary(recipe)


def run_config(
    model: keras.Model, data: DataSplits, recipe: Recipe | Sequence[Recipe], *, with_content: bool
) -> dict[str, Any]:
    """What a run folder's `config.json` says: data, model, recipes and versions, which reproduce the run.

    `with_content` adds what the data hold, by which a folder knows its own; see `content_sha256`.
    """
    return {
        "data": data.config,
        **({"data_sha256": content_sha256(data)} if with_content else {}),
        "model": _model_config(model),
        "recipes": [r.as_config() for r in as_recipes(recipe)],
        "versions": versions(),
    }


def _loaded_into(model: keras.Model, directory: Path, recipes: Sequence[Recipe]) -> TrainingRun:
    """A finished run, its weights given to `model`."""
    run = load_run(directory)
    for recipe in recipes:
        set_trainable(model, recipe.trainable)
    model.set_weights(run.model.get_weights())
    run.model = model
    return run


def check_fit(model: keras.Model, data: DataSplits, recipes: Sequence[Recipe]) -> None:
    """Raises a UsageError when model, data and recipes do not belong together."""
    check_shapes(model, data.input_shape)
    outputs = getattr(model, "output_shape", None)
    units = outputs[-1] if isinstance(outputs, tuple) else None
    if units is not None and units != data.num_classes and not (units == 1 and data.num_classes == 2):
        raise UsageError(
            f"the model has {units} outputs, the data have {data.num_classes} classes; "
            f"build it with num_classes={data.num_classes}"
        )
    scaling, pixels = data.train.scaling, data.train.dtype == np.uint8
    if "weights_sha256" in getattr(model, "zoo_build", {}) and pixels and scaling != Scaling.to_range((0, 1)):
        raise UsageError(
            "the published weights of the model are for pixels in [0, 1]; load the data with input_range=(0, 1)"
        )
    for recipe in recipes:
        make_loss(model, recipe.loss)
        trainable_names(model, recipe.trainable)
        if recipe.augment and len(data.input_shape) != 3:
            raise UsageError(f"augment={recipe.augment} is for images. Received: inputs of shape {data.input_shape}")
        if isinstance(recipe.class_weight, tuple) and len(recipe.class_weight) != data.num_classes:
            given = f"class_weight={recipe.class_weight}"
            raise UsageError(
                f"class_weight must have one number for each of {data.num_classes} classes. Received: {given}"
            )
        if recipe.class_weight is not None and data.train.labels is None:
            raise UsageError(
                "class_weight needs labels that are known before training; load the data with in_memory=True"
            )
        if data.validation is None and recipe.patience is not None:
            raise UsageError(f"patience={recipe.patience} needs validation data; load them with validation=0.1")
        if recipe.drop_remainder and recipe.batch_size > len(data.train):
            raise UsageError(f"batch_size={recipe.batch_size} with drop_remainder leaves no batch of {len(data.train)}")


def _model_config(model: keras.Model) -> dict[str, Any]:
    """How `build` made the model; of any other model, its Keras configuration."""
    known = getattr(model, "zoo_build", None)
    if known is None:
        return {"name": model.name, "keras": keras.saving.serialize_keras_object(model)}
    options = {k: keras.saving.serialize_keras_object(v) for k, v in known["options"].items()}
    return {**known, "options": options}


def _has_batch_hook(callback: keras.callbacks.Callback) -> bool:
    hooks = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
    own = vars(callback)  # where a LambdaCallback keeps its hooks
    return any(h in own or getattr(type(callback), h) is not getattr(keras.callbacks.Callback, h) for h in hooks)
