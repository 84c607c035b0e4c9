"""Recipe -> optimizer, loss and metrics: `compile_model`."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence

import zoo.startup  # noqa: F401  (before Keras)

import keras
import tensorflow as tf

from zoo.errors import UsageError
from zoo.models.outputs import operand_of, output_kind
from zoo.models.transfer import HEAD
from zoo.training.fused_updates import forget_traces, fuse_updates
from zoo.training.recipe import Recipe

_MOST_NAMED = 10  # layers that an error names
_OUTPUT_OF_LOSS = {
    "sparse_categorical_crossentropy": "softmax",
    "sparse_categorical_crossentropy_from_logits": "logits",
    "binary_crossentropy": "sigmoid",
    "binary_crossentropy_from_logits": "logit",
}


def compile_model(model: keras.Model, recipe: Recipe, *, steps_per_epoch: int, steps_per_execution: int = 1) -> None:
    """Compiles a model as the recipe says: optimizer with its schedule, loss, accuracy.

    Args:
        model: any Keras model whose output is (N, K) or (N, 1).
        recipe: plain values.
        steps_per_epoch: gradient steps an epoch, which schedules need.
        steps_per_execution: gradient steps one graph call makes.

    Raises:
        UsageError: the loss cannot be told from the model's output and the recipe does not say it; or a pattern of `trainable`
            matches no layer with weights.
    """
    set_trainable(model, recipe.trainable)
    loss = make_loss(model, recipe.loss)
    model.compile(
        optimizer=forget_traces(fuse_updates(make_optimizer(recipe, steps_per_epoch * recipe.epochs))),
        loss=loss,
        metrics=[make_accuracy(loss)],
        jit_compile=False,  # XLA lost on every CPU it was measured on
        steps_per_execution=steps_per_execution,
    )


def make_optimizer(recipe: Recipe, total_steps: int) -> keras.Optimizer:
    """The Keras optimizer of a recipe; `total_steps` is what schedules run over."""
    rate, decay, momentum = make_schedule(recipe, total_steps), recipe.decay, float(recipe.momentum)
    match recipe.optimizer:
        case "sgd":
            return keras.optimizers.SGD(rate, momentum=momentum, weight_decay=decay)
        case "nesterov":
            return keras.optimizers.SGD(rate, momentum=momentum, nesterov=True, weight_decay=decay)
        case "adagrad":
            return keras.optimizers.Adagrad(rate, weight_decay=decay)
        case "rmsprop":
            return keras.optimizers.RMSprop(rate, momentum=momentum, weight_decay=decay)
        case "adam":
            return keras.optimizers.Adam(rate, weight_decay=decay)
        case "adamw":
            return keras.optimizers.AdamW(rate, weight_decay=decay)
    raise AssertionError(recipe.optimizer)


def make_schedule(recipe: Recipe, total_steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate of a recipe as Keras takes it."""
    schedules = keras.optimizers.schedules
    if recipe.schedule == "cosine":
        return schedules.CosineDecay(float(recipe.learning_rate), total_steps)
    if recipe.schedule == "step":
        rates = [float(recipe.learning_rate), recipe.learning_rate / 10, recipe.learning_rate / 100]
        boundaries = [math.ceil(total_steps / 2) - 1, math.ceil(3 * total_steps / 4) - 1]  # Keras's are inclusive
        return schedules.PiecewiseConstantDecay(boundaries, rates)
    return float(recipe.learning_rate)


def make_loss(model: keras.Model, name: str | None) -> keras.Loss:
    """The loss by its name, or by the model's output: a softmax, or one sigmoid unit."""
    kind = output_kind(model)
    if name is None:
        kinds = {"softmax": "sparse_categorical_crossentropy", "sigmoid": "binary_crossentropy"}
        if kind not in kinds:
            raise UsageError(
                f"the output of {model.name!r} is no softmax and no sigmoid unit, so its loss must be said, "
                "e.g. Recipe(loss='sparse_categorical_crossentropy_from_logits')"
            )
        name = kinds[kind]
    if kind not in (_OUTPUT_OF_LOSS[name], "unknown"):
        raise UsageError(f"loss={name!r} is for a {_OUTPUT_OF_LOSS[name]} output; that of {model.name!r} is {kind}")
    from_logits = name.endswith("_from_logits")
    is_float64 = kind != "unknown" and model.outputs[0].dtype == "float64"
    dtype = "float64" if is_float64 else None  # a Keras loss casts to float32 unless told
    if name.startswith("binary"):
        return keras.losses.BinaryCrossentropy(from_logits=from_logits, dtype=dtype)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits, dtype=dtype)


def make_accuracy(loss: keras.Loss) -> keras.Metric:
    """The accuracy that belongs to a loss: of the largest output, or of one output against its threshold."""
    if isinstance(loss, keras.losses.BinaryCrossentropy):
        return keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0 if loss.from_logits else 0.5)
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    stock = accuracy.update_state

    def update_state(y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None) -> tf.Tensor:
        logits = operand_of(y_pred, "Softmax")  # the order is the same, and no softmax is computed in training
        return stock(y_true, y_pred if logits is None else logits, sample_weight)

    accuracy.update_state = update_state
    return accuracy


def set_trainable(model: keras.Model, trainable: str | Sequence[str] | None) -> None:
    """Freezes and unfreezes layers; see `Recipe.trainable`.

    Raises:
        UsageError: a pattern that matches no layer with weights.
    """
    chosen = trainable_names(model, trainable)
    if chosen is None:
        return
    if not model.trainable:
        model.trainable = True  # else nothing in it learns
    for layer in model.layers:
        if layer.weights:
            layer.trainable = layer.name in chosen


def count_weights(model: keras.Model) -> dict[str, int]:
    """`trainable` and `frozen`: how many weights learn, and how many do not, moving statistics among them."""
    trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    return {"trainable": trainable, "frozen": model.count_params() - trainable}


def trainable_names(model: keras.Model, trainable: str | Sequence[str] | None) -> set[str] | None:
    """Names of the layers that `trainable` means, or `None` for "as the model is"."""
    if trainable is None:
        return None
    names = [layer.name for layer in model.layers if layer.weights]
    head = [name for name in names if name.startswith(HEAD) or name == names[-1]]
    groups = {"all": names, "head": head, "backbone": [name for name in names if name not in head]}
    if isinstance(trainable, str) and trainable in groups:
        if not groups[trainable]:
            raise UsageError(f"trainable={trainable!r} leaves nothing to learn: {model.name} has {', '.join(names)}")
        return set(groups[trainable])
    chosen: set[str] = set()
    for pattern in (trainable,) if isinstance(trainable, str) else trainable:
        matched = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        if not matched:
            few = names if len(names) <= _MOST_NAMED else [*names[: _MOST_NAMED - 3], "...", *names[-3:]]
            raise UsageError(
                f"trainable={pattern!r} matches no layer with weights; the model's {len(names)}: {', '.join(few)}"
            )
        chosen.update(matched)
    return chosen
