"""What all peers share: plain Keras networks, `fit` on float32 arrays, and a tally of what was trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import zoo.startup

import keras
import numpy as np
from search_tasks import Job, Task

import zoo


class Arrays(NamedTuple):
    """float32 images in 0..1 and int32 labels."""

    x: np.ndarray
    y: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray

    @property
    def validation(self) -> tuple[np.ndarray, np.ndarray]:
        """The pair for `fit`."""
        return self.x_validation, self.y_validation


class Tally(keras.callbacks.Callback):
    """Counts what was trained in this process, whichever copy of it an engine hands to `fit`."""

    scores: ClassVar[list[float]] = []
    epochs: ClassVar[list[int]] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self.epochs.append(0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self.epochs[-1] += 1

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self.scores.append(float((logs or {}).get("val_accuracy", float("nan"))))


def load(job: Job) -> Arrays:
    """The training and validation images that `zoo.load_dataset` gives to everyone."""
    data = zoo.load_dataset(job.task.data, limit=job.task.limit)
    assert data.validation is not None
    parts: list[np.ndarray] = []
    for split in (data.train, data.validation):
        assert split.inputs is not None
        assert split.labels is not None
        parts += [split.inputs.astype("float32") / 255, split.labels]
    keras.utils.set_random_seed(job.seed)
    return Arrays(*parts)


def network(
    task: Task, input_shape: tuple[int, ...], num_classes: int, dtype: str, values: dict[str, Any]
) -> keras.Model:
    """A trial's network of stock layers, compiled with nothing but optimizer, loss and accuracy."""
    keras.config.set_dtype_policy(dtype)
    options = task.options(values)
    inputs = keras.Input(input_shape)
    features = {"softmax": _flat, "mlp": _mlp, "cnn": _cnn}[task.model](inputs, options)
    outputs = keras.layers.Dense(
        num_classes, activation="softmax", kernel_regularizer=_penalty(options), dtype="float32"
    )(features)
    model = keras.Model(inputs, outputs)
    optimizer = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[task.optimizer](options["learning_rate"])
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit(
    model: keras.Model, task: Task, arrays: Arrays, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> keras.callbacks.History:
    """Trains a trial's network as the task says, with a validation after each epoch."""
    return model.fit(
        arrays.x,
        arrays.y,
        batch_size=task.batch_size,
        epochs=task.epochs,
        validation_data=arrays.validation,
        callbacks=list(callbacks),
        verbose=0,
    )


def _flat(x: keras.KerasTensor, options: dict[str, Any]) -> keras.KerasTensor:
    return keras.layers.Flatten()(x)


def _mlp(x: keras.KerasTensor, options: dict[str, Any]) -> keras.KerasTensor:
    x = keras.layers.Flatten()(x)
    for _ in range(options["num_layers"]):
        x = keras.layers.Dense(options["units"], activation="relu")(x)
        x = keras.layers.Dropout(options["dropout"])(x)
    return x


def _cnn(x: keras.KerasTensor, options: dict[str, Any]) -> keras.KerasTensor:
    common = {"activation": "relu", "kernel_regularizer": _penalty(options)}
    for stage in range(2):
        x = keras.layers.Conv2D(options["filters"] * 2**stage, 3, padding="same", **common)(x)
        x = keras.layers.MaxPooling2D()(x)
        x = keras.layers.Dropout(options["dropout"])(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(options["units"], **common)(x)
    return keras.layers.Dropout(options["dropout"])(x)


def _penalty(options: dict[str, Any]) -> keras.Regularizer | None:
    return keras.regularizers.L2(options["l2"]) if options.get("l2") else None
