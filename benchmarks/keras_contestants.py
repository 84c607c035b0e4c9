"""TensorFlow's side of the race: this project, stock Keras, the tutorial's pipeline, and our input pipeline alone.

Each function builds its model, says `ready`, runs `watch.epochs` epochs in one call with a `lap` after each, and gives the
accuracy on the test images. All pay for the same callback.
"""

from __future__ import annotations

from typing import Any

import zoo.startup

import keras
import numpy as np
import tensorflow as tf
from samples import CLASSES, Arrays
from stopwatch import Job, Stopwatch
from tasks import Task

import zoo


class Laps(keras.callbacks.Callback):
    """Stops the watch at the end of each epoch, validation included."""

    def __init__(self, watch: Stopwatch) -> None:
        super().__init__()
        self._watch = watch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self._watch.lap()


def ours(job: Job, watch: Stopwatch) -> float:
    """`zoo.build` and `zoo.train` on the stored uint8 images."""
    arrays = job.arrays()
    model = _train_ours(job, watch, _splits(arrays))
    return _accuracy(model, arrays)


def ours_memory(job: Job, watch: Stopwatch) -> None:
    """As `ours`, with MNIST from where a user gets it."""
    if job.is_mnist:
        limit = None if job.images == 60_000 else job.images
        data = zoo.load_dataset("mnist", limit=limit, validation=None)
    else:
        data = _splits(job.arrays())
    _train_ours(job, watch, data)


def ours_forward(job: Job, watch: Stopwatch) -> None:
    """`predict` of our model over our pipeline."""
    data = _splits(job.arrays())
    model = zoo.build(job.task.model, data.input_shape, CLASSES, dtype=job.dtype, **job.task.options)
    batches = data.train.batches(job.task.batch_size)
    watch.ready(_num_weights(model))
    for _ in range(watch.epochs):
        model.predict(batches, verbose=0)
        watch.lap()


def stock(job: Job, watch: Stopwatch) -> float:
    """`compile` and `fit` of a model of stock layers on float32 arrays."""
    arrays = job.arrays()
    arrays.x = _scaled(arrays.x)
    held_out = arrays.validation and (_scaled(arrays.validation[0]), arrays.validation[1])
    model = _compiled(job, arrays.x.shape[1:])
    watch.ready(_num_weights(model))
    model.fit(
        arrays.x,
        arrays.y,
        batch_size=job.task.batch_size,
        epochs=watch.epochs,
        validation_data=held_out,
        callbacks=[Laps(watch)],
        verbose=0,
    )
    return _accuracy(model, arrays)


def stock_memory(job: Job, watch: Stopwatch) -> None:
    """As `stock`."""
    stock(job, watch)


def stock_forward(job: Job, watch: Stopwatch) -> None:
    """`predict` of a model of stock layers on float32 arrays."""
    x = _scaled(job.arrays().x)
    model = _compiled(job, x.shape[1:])
    watch.ready(_num_weights(model))
    for _ in range(watch.epochs):
        model.predict(x, batch_size=job.task.batch_size, verbose=0)
        watch.lap()


def tutorial(job: Job, watch: Stopwatch) -> float:
    """`fit` on the pipeline of TFDS's Keras tutorial: single images scaled, cached, shuffled, batched."""
    arrays = job.arrays()

    def normalize(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.cast(image, tf.float32) / 255.0, label

    dataset = tf.data.Dataset.from_tensor_slices((arrays.x, arrays.y))
    dataset = dataset.map(normalize, num_parallel_calls=tf.data.AUTOTUNE).cache().shuffle(len(arrays.x))
    dataset = dataset.batch(job.task.batch_size).prefetch(tf.data.AUTOTUNE)
    model = _compiled(job, arrays.x.shape[1:])
    watch.ready(_num_weights(model))
    model.fit(dataset, epochs=watch.epochs, callbacks=[Laps(watch)], verbose=0)
    return _accuracy(model, arrays)


def pipeline(job: Job, watch: Stopwatch) -> None:
    """Our batches, read inside a graph by a consumer that looks at one value of each."""
    augment = None if job.precision == "plain" else tuple(job.precision.split(", "))
    batches = _splits(job.arrays()).train.batches(job.task.batch_size, shuffle=True, augment=augment)

    @tf.function
    def consume() -> tf.Tensor:
        total = tf.constant(0.0)
        for images, _ in batches:
            total += images[0, 0, 0, 0]
        return total

    watch.ready()
    for _ in range(watch.epochs):
        consume().numpy()
        watch.lap()


def _train_ours(job: Job, watch: Stopwatch, data: zoo.DataSplits) -> keras.Model:
    task = job.task
    model = zoo.build(task.model, data.input_shape, CLASSES, dtype=job.dtype, **task.options)
    recipe = zoo.Recipe(
        optimizer=task.optimizer,
        learning_rate=task.learning_rate,
        momentum=task.momentum,
        batch_size=task.batch_size,
        epochs=watch.epochs,
    )
    watch.ready(_num_weights(model))
    zoo.train(model, data, recipe, verbose=False, callbacks=[Laps(watch)])
    return model


def _splits(arrays: Arrays) -> zoo.DataSplits:
    names = [str(k) for k in range(CLASSES)]
    test = arrays.x_test, arrays.y_test
    return zoo.DataSplits.from_arrays((arrays.x, arrays.y), validation=arrays.validation, test=test, class_names=names)


def _scaled(images: np.ndarray) -> np.ndarray:
    return images.astype("float32") / 255


def _compiled(job: Job, input_shape: tuple[int, ...]) -> keras.Model:
    """The task's network of stock layers, compiled with nothing but optimizer, loss and accuracy."""
    task = job.task
    keras.config.set_dtype_policy(job.dtype)
    inputs = keras.Input(input_shape)
    outputs = keras.layers.Dense(CLASSES, activation="softmax", dtype="float32")(_features(inputs, task))
    model = keras.Model(inputs, outputs)
    optimizers = {
        "adam": lambda: keras.optimizers.Adam(task.learning_rate),
        "sgd": lambda: keras.optimizers.SGD(task.learning_rate, momentum=task.momentum),
    }
    model.compile(optimizers[task.optimizer](), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _features(x: keras.KerasTensor, task: Task) -> keras.KerasTensor:
    if task.model == "resnet20":
        return _resnet20(x)
    for filters in task.options.get("filters", ()):
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Flatten()(x)
    for units in task.units:
        x = keras.layers.Dense(units, activation="relu")(x)
    return x


def _resnet20(x: keras.KerasTensor) -> keras.KerasTensor:
    """The CIFAR network of He et al. (2016) with n = 3 and shortcuts without weights (their option A)."""
    x = keras.layers.ReLU()(_convolution(x, 16))
    for filters in (16, 32, 64):
        for block in range(3):
            strides = 2 if filters > 16 and block == 0 else 1
            y = keras.layers.ReLU()(_convolution(x, filters, strides))
            y = _convolution(y, filters)
            if strides == 2:
                x = keras.ops.pad(x[:, ::2, ::2], [[0, 0], [0, 0], [0, 0], [filters // 4, filters // 4]])
            x = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    return keras.layers.GlobalAveragePooling2D()(x)


def _convolution(x: keras.KerasTensor, filters: int, strides: int = 1) -> keras.KerasTensor:
    convolution = keras.layers.Conv2D(
        filters, 3, strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )
    return keras.layers.BatchNormalization()(convolution(x))


def _num_weights(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def _accuracy(model: keras.Model, arrays: Arrays) -> float:
    """Share of the test images whose most probable class is the true one, the same for all Keras models."""
    predicted = model.predict(_scaled(arrays.x_test), batch_size=512, verbose=0).argmax(axis=1)
    return float(np.mean(predicted == arrays.y_test))
