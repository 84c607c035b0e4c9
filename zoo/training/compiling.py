"""Recipe -> optimizer, loss and metrics: `compile_model`."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

import zoo.startup  # noqa: F401  (before Keras)

import keras

from zoo.errors import UsageError
from zoo.models.outputs import output_kind
from zoo.training.recipe import Recipe


def compile_model(model: keras.Model, recipe: Recipe, *, steps_per_epoch: int, steps_per_execution: int = 1) -> None:
    """Compiles a model as the recipe says: optimizer with its schedule, loss, accuracy.

    Args:
        model: any Keras model whose output is (N, K) or (N, 1).
        recipe: plain values.
        steps_per_epoch: gradient steps an epoch, which schedules need.
        steps_per_execution: gradient steps one graph call makes.

    Raises:
        UsageError: the loss cannot be told from the model's output and the recipe does not say it.
    """
    set_trainable(model, recipe.trainable)
    loss = make_loss(model, recipe.loss)
    model.compile(
        optimizer=make_optimizer(recipe, steps_per_epoch * recipe.epochs),
        loss=loss,
        metrics=[make_accuracy(loss)],
        jit_compile=False,  # XLA lost on every CPU it was measured on
        steps_per_execution=steps_per_execution,
    )


def make_optimizer(recipe: Recipe, total_steps: int) -> keras.Optimizer:
    """The Keras optimizer of a recipe; `total_steps` is what schedules run over."""
    rate, decay = make_schedule(recipe, total_steps), recipe.weight_decay
    match recipe.optimizer:
        case "sgd":
            return keras.optimizers.SGD(rate, momentum=recipe.momentum, weight_decay=decay)
        case "nesterov":
            return keras.optimizers.SGD(rate, momentum=recipe.momentum, nesterov=True, weight_decay=decay)
        case "adagrad":
            return keras.optimizers.Adagrad(rate, weight_decay=decay)
        case "rmsprop":
            return keras.optimizers.RMSprop(rate, momentum=recipe.momentum, weight_decay=decay)
        case "adam":
            return keras.optimizers.Adam(rate, weight_decay=decay)
        case "adamw":
            return keras.optimizers.AdamW(rate, weight_decay=0.004 if decay is None else decay)
    raise AssertionError(recipe.optimizer)


def make_schedule(recipe: Recipe, total_steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate of a recipe as Keras takes it."""
    schedules = keras.optimizers.schedules
    if recipe.schedule == "cosine":
        return schedules.CosineDecay(recipe.learning_rate, total_steps)
    if recipe.schedule == "step":
        rates = [recipe.learning_rate, recipe.learning_rate / 10, recipe.learning_rate / 100]
        return schedules.PiecewiseConstantDecay([total_steps // 2, total_steps * 3 // 4], rates)
    return recipe.learning_rate


def make_loss(model: keras.Model, name: str | None) -> keras.Loss:
    """The loss by its name, or by the model's output: a softmax, or one sigmoid unit."""
    if name is None:
        kinds = {"softmax": "sparse_categorical_crossentropy", "sigmoid": "binary_crossentropy"}
        kind = output_kind(model)
        if kind not in kinds:
            raise UsageError(
                f"the output of {model.name!r} is no softmax and no sigmoid unit, so its loss must be said, "
                "e.g. Recipe(loss='sparse_categorical_crossentropy_from_logits')"
            )
        name = kinds[kind]
    from_logits = name.endswith("_from_logits")
    dtype = "float64" if model.outputs[0].dtype == "float64" else None  # a Keras loss casts to float32 unless told
    if name.startswith("binary"):
        return keras.losses.BinaryCrossentropy(from_logits=from_logits, dtype=dtype)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits, dtype=dtype)


def make_accuracy(loss: keras.Loss) -> keras.Metric:
    """The accuracy that belongs to a loss: of the largest output, or of one output against its threshold."""
    if isinstance(loss, keras.losses.BinaryCrossentropy):
        return keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0 if loss.from_logits else 0.5)
    return keras.metrics.SparseCategoricalAccuracy(name="accuracy")


def set_trainable(model: keras.Model, trainable: str | Sequence[str] | None) -> None:
    """Freezes and unfreezes layers; see `Recipe.trainable`.

    Raises:
        UsageError: a pattern that matches no layer with weights.
    """
    if trainable is None:
        return
    layers = [layer for layer in model.layers if layer.weights]
    names = [layer.name for layer in layers]
    head = names[-1:]
    if isinstance(trainable, str) and trainable in ("all", "head", "backbone"):
        chosen = {"all": names, "head": head, "backbone": names[:-1]}[trainable]
    else:
        patterns = [trainable] if isinstance(trainable, str) else list(trainable)
        for pattern in patterns:
            if not fnmatch.filter(names, pattern):
                raise UsageError(f"trainable={pattern!r} matches no layer with weights of {', '.join(names)}")
        chosen = [name for name in names if any(fnmatch.fnmatchcase(name, p) for p in patterns)]
    for layer in layers:
        layer.trainable = layer.name in chosen
