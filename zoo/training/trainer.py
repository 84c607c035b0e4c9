"""`train`: model + data + recipe -> `TrainingRun`, by `model.fit` with callbacks."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import tensorflow as tf

from zoo.data.split import Split
from zoo.data.splits import DataSplits, as_splits
from zoo.errors import UsageError
from zoo.training.compiling import compile_model, make_accuracy, make_loss, trainable_names
from zoo.training.epochs import GraphEpochs, StreamEpochs
from zoo.training.progress import ProgressBar
from zoo.training.recipe import Recipe, as_recipes
from zoo.training.recorder import StepRecorder, recording
from zoo.training.records import EpochRecords, RunFolder
from zoo.training.run import TrainingRun, versions, write_finished
from zoo.training.validation import StepValidations, Validations, Validator

_STEPS_PER_EXECUTION = 32  # gradient steps a graph call on streamed data; beyond it nothing was gained
_VALIDATION_BATCH = 512


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

    Args:
        model: any Keras model that maps inputs to class probabilities or logits.
        data: `DataSplits`, an (inputs, labels) pair of arrays, or a batched `tf.data.Dataset` (training only; it is batched
            again as the recipe says). The test split is not looked at.
        recipe: one recipe, or a sequence of phases.
        output_dir: the run folder to write: config.json, model.keras, history.csv, steps.csv, validations.csv,
            curves.png, best.weights.h5, result.json and tensorboard/. `None` writes nothing.
        callbacks: Keras callbacks, called as under `fit`. One that has a batch hook is called for every batch, which
            slows small models.
        verbose: whether progress is shown on standard error.

    Returns:
        The run: history, losses by step, validations, and the model. With `Recipe.patience` the best weights are restored.

    Raises:
        UsageError: model and data do not fit, or `patience` without validation data.
        ZooError: `output_dir` holds a run already.

    Example:
        >>> run = train(model, data, Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.9, epochs=10))
        >>> run.metrics["val_accuracy"]
    """
    data, recipes = as_splits(data), as_recipes(recipe)
    if tf.distribute.has_strategy():  # Keras would divide the validation loss too by the number of devices
        raise UsageError(
            "call train outside of `with strategy.scope()`; the model knows the strategy it was built under"
        )
    _check_fit(model, data, recipes)
    started = time.monotonic()
    config = {
        "data": data.config,
        "model": _model_config(model),
        "recipes": [r.as_config() for r in recipes],
        "versions": versions(),
    }
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(RunFolder(Path(output_dir), config)) if output_dir is not None else None
        records = EpochRecords()
        for phase, phase_recipe in enumerate(recipes):
            validations = _train_phase(model, data, phase_recipe, phase, records, folder, callbacks, verbose)
        best = validations.best if validations else None
        run = TrainingRun(
            model=model,
            config=config,
            **records.tables(),
            metrics=_final_metrics(records, validations, best if recipes[-1].patience is not None else None),
            best=best,
            stopped_early=bool(validations and validations.stopped_early),
            seconds=time.monotonic() - started,
            output_dir=folder.directory if folder else None,
        )
        if folder:
            write_finished(folder.directory, run)
    return run


def _train_phase(
    model: keras.Model,
    data: DataSplits,
    recipe: Recipe,
    phase: int,
    records: EpochRecords,
    folder: RunFolder | None,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: bool,
) -> Validations | None:
    steps = data.train.num_batches(recipe.batch_size, drop_remainder=recipe.drop_remainder)
    one_by_one = any(_has_batch_hook(c) for c in callbacks)
    in_graph = _runs_in_graph(model, data.train)
    by_call = in_graph or one_by_one or recipe.validate_every_steps is not None or _is_distributed(model)
    steps_a_call = 1 if by_call else min(steps, _STEPS_PER_EXECUTION)
    with model.distribute_strategy.scope():  # where optimizer and metrics have their variables
        compile_model(model, recipe, steps_per_epoch=steps, steps_per_execution=steps_a_call)
    _seed_generators(model, recipe.seed)
    recorder = StepRecorder(steps, model.distribute_strategy)
    validations = _validations(model, data, recipe, phase, len(records.steps)) if data.validation else None
    by_step = validations if isinstance(validations, StepValidations) else None
    records.start_phase(phase, recipe, recorder, validations, len(data.train))
    own: list[keras.callbacks.Callback] = [validations] if validations else []
    own += [records, *([folder.callback(records, validations)] if folder else [])]
    with contextlib.ExitStack() as stack:
        stack.enter_context(recording(model, recorder))
        on_progress = None
        if verbose:
            progress = ProgressBar(recipe.epochs, f"phase {phase + 1} epoch" if phase else "epoch")
            stack.callback(progress.close)
            own.append(progress)
            on_progress = progress.on_steps
        epochs: GraphEpochs | StreamEpochs
        if in_graph:
            epochs = GraphEpochs(
                model, data.train, recipe, one_by_one=one_by_one, validations=by_step, on_progress=on_progress
            )
        else:
            epochs = StreamEpochs(model, data.train, recipe, validations=by_step, on_progress=on_progress)
        model.train_function = epochs
        model.fit(
            epochs.batches,
            initial_epoch=len(records.epochs),
            epochs=len(records.epochs) + recipe.epochs,
            steps_per_epoch=epochs.calls,
            callbacks=[*own, *callbacks],
            shuffle=False,  # the batches come shuffled
            verbose=0,
        )
    return validations


def _runs_in_graph(model: keras.Model, split: Split) -> bool:
    """Whether the loop over gradient steps can run inside the graph."""
    stock_step = type(model).train_step is keras.Model.train_step
    return model.built and split.store is not None and stock_step and not _is_distributed(model)


def _is_distributed(model: keras.Model) -> bool:
    """Whether the model was built under a `tf.distribute` strategy; such a one takes no loop of steps in a graph."""
    with model.distribute_strategy.scope():
        return bool(tf.distribute.has_strategy())


def _validations(model: keras.Model, data: DataSplits, recipe: Recipe, phase: int, first_step: int) -> Validations:
    assert data.validation is not None
    validator = Validator(model, data.validation, model.loss, make_accuracy(model.loss), _VALIDATION_BATCH)
    kind = Validations if recipe.validate_every_steps is None else StepValidations
    return kind(validator, recipe, phase, first_step)


def _check_fit(model: keras.Model, data: DataSplits, recipes: Sequence[Recipe]) -> None:
    shape = getattr(model, "input_shape", None)
    if isinstance(shape, tuple) and shape[1:] != data.input_shape and None not in shape[1:]:
        raise UsageError(f"the model takes inputs of shape {shape[1:]}, the data have {data.input_shape}")
    outputs = getattr(model, "output_shape", None)
    units = outputs[-1] if isinstance(outputs, tuple) else None
    if units is not None and units != data.num_classes and not (units == 1 and data.num_classes == 2):
        raise UsageError(f"the model has {units} outputs, the data have {data.num_classes} classes")
    for recipe in recipes:
        make_loss(model, recipe.loss)
        trainable_names(model, recipe.trainable)
        if recipe.augment and len(data.input_shape) != 3:
            raise UsageError(f"augment={recipe.augment} is for images. Received: inputs of shape {data.input_shape}")
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


def _seed_generators(model: keras.Model, seed: int) -> None:
    """Sets every seed generator (dropout) to a state that the seed and its place in the model decide."""
    place = 0
    for layer in model._flatten_layers():
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            generator.state.assign([seed % 2**32, place])
            place += 1


def _has_batch_hook(callback: keras.callbacks.Callback) -> bool:
    hooks = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
    own = vars(callback)  # where a LambdaCallback keeps its hooks
    return any(h in own or getattr(type(callback), h) is not getattr(keras.callbacks.Callback, h) for h in hooks)


def _final_metrics(
    records: EpochRecords, validations: Validations | None, restored: dict[str, Any] | None
) -> dict[str, float]:
    """Measures of the weights that the model holds: those of the restored validation's epoch, or the last."""
    rows = records.epochs
    row = next(r for r in rows if r["epoch"] == restored["epoch"]) if restored else rows[-1]
    measures = {k: v for k, v in row.items() if k in ("loss", "data_loss", "accuracy")}
    if validations:
        measures |= {k: v for k, v in validations.final.items() if k.startswith("val_")}
    return {**measures, "epochs": len(rows)}
