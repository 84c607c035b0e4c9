"""`evaluate`: model + split -> accuracy, loss, per-class figures, confusion matrix and a table of predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn import metrics

from zoo.data.images import are_images
from zoo.data.pipeline import scale
from zoo.data.split import Split, as_split
from zoo.data.streaming import naming_files
from zoo.errors import UsageError, check_count
from zoo.evaluation.intervals import wilson_interval
from zoo.models.outputs import check_shapes, class_probabilities, known_output_kind, operand_of


@dataclasses.dataclass
class Evaluation:
    """What a model does on a split.

    Attributes:
        accuracy: share of the examples whose most probable class is the true one.
        loss: mean cross entropy in nats, without penalties; `inf` where a true class has probability 0.
        predictions: one row an example: index, true and predicted class names, correct, confidence (the largest
            probability), loss, and a column `p(NAME)` for each class.
        confusion_matrix: (K, K) counts; rows are true classes.
        per_class: one row a class: precision, recall, f1, support.
        class_names: one name a class.
        images: (N, H, W, 1 or 3) uint8 images as stored, in the order of `predictions`, or `None` when the inputs are no
            images.
    """

    accuracy: float
    loss: float
    predictions: pd.DataFrame
    confusion_matrix: np.ndarray
    per_class: pd.DataFrame
    class_names: tuple[str, ...]
    images: np.ndarray | None = None

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return len(self.predictions)

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """95 % Wilson score interval of the accuracy (Wilson, 1927)."""
        return wilson_interval(int(self.predictions["correct"].sum()), self.num_examples)


@naming_files()
def evaluate(model: keras.Model, split: Split | tuple[Any, Any] | Any, *, batch_size: int = 512) -> Evaluation:
    """Runs a model over a split. The model need not be compiled.

    Args:
        model: a Keras model that gives class probabilities, one sigmoid unit, or logits.
        split: a `Split`, an (inputs, labels) pair, or a batched `tf.data.Dataset`.
        batch_size: examples a forward pass.

    Raises:
        UsageError: the model's output or input does not fit the data.
        DataError: an image file cannot be read.
    """
    check_count("batch_size", batch_size)
    kind, split = known_output_kind(model), fitting_split(model, split)

    @tf.function
    def score(inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        outputs = model(inputs, training=False)
        return class_probabilities(outputs, kind), log_probabilities(outputs, kind)

    has_images = are_images(split.dtype, split.input_shape)
    probabilities, logs, labels, images = [], [], [], []
    for stored, targets in split.stored_batches(batch_size):  # once: a stream may give another order the next time
        p, log_p = score(scale(stored, split.scaling))
        probabilities.append(p.numpy())
        logs.append(log_p.numpy())
        labels.append(targets.numpy())
        if has_images:
            images.append(stored.numpy())
    result = summarize(np.concatenate(probabilities), np.concatenate(labels), split, np.concatenate(logs))
    result.images = np.concatenate(images) if has_images else None
    return result


def fitting_split(model: keras.Model, data: Any) -> Split:
    """The data as a `Split`, if the model takes its inputs and gives its classes; else a UsageError."""
    is_single = known_output_kind(model) in ("sigmoid", "logit")
    split, classes = as_split(data), 2 if is_single else model.outputs[0].shape[-1]
    if not isinstance(data, Split) and split.num_classes < classes:  # plain arrays may lack the last classes
        split.class_names = tuple(str(k) for k in range(classes))
    if split.num_classes != classes:
        raise UsageError(f"the model gives {classes} classes, the data have {split.num_classes}")
    check_shapes(model, split.input_shape)
    return split


def input_signature(split: Split) -> tf.TensorSpec:
    """Batches of any size of the split's scaled inputs."""
    is_float = np.issubdtype(split.dtype, np.floating)
    return tf.TensorSpec((None, *split.input_shape), split.dtype if is_float else np.float32)


def class_scores(model: keras.Model, split: Split) -> Callable[[tf.Tensor], np.ndarray]:
    """A function from (N, ...) scaled inputs to (N, K) class probabilities, in inference mode."""
    kind = known_output_kind(model)

    @tf.function(input_signature=[input_signature(split)])
    def probabilities(images: tf.Tensor) -> tf.Tensor:
        return class_probabilities(model(images, training=False), kind)

    return lambda images: probabilities(images).numpy()


def log_probabilities(outputs: tf.Tensor, kind: str) -> tf.Tensor:
    """(N, K) logarithms of class probabilities, from the logits where the graph has them, so that none is clipped."""
    if kind in ("softmax", "logits"):
        logits = outputs if kind == "logits" else operand_of(outputs, "Softmax")
        return tf.nn.log_softmax(logits) if logits is not None else tf.math.log(outputs)
    logits = outputs if kind == "logit" else operand_of(outputs, "Sigmoid")
    if logits is None:
        return tf.math.log(tf.concat([1 - outputs, outputs], axis=-1))
    return tf.concat([tf.math.log_sigmoid(-logits), tf.math.log_sigmoid(logits)], axis=-1)


def summarize(probabilities: np.ndarray, labels: np.ndarray, split: Split, logs: np.ndarray) -> Evaluation:
    """The evaluation that (N, K) probabilities, their logarithms and (N,) labels give."""
    names, count = split.class_names, len(labels)
    predicted = probabilities.argmax(axis=1)
    losses = -logs[np.arange(count), labels]
    table = pd.DataFrame(
        {
            "index": np.arange(count),
            "true": np.array(names, object)[labels],
            "predicted": np.array(names, object)[predicted],
            "correct": predicted == labels,
            "confidence": probabilities.max(axis=1),
            "loss": losses,
        }
    )
    scores = pd.DataFrame(probabilities, columns=[f"p({name})" for name in names])
    if split.files is not None:
        table.insert(1, "file", split.files)
    return evaluation_of(pd.concat([table, scores], axis=1))


def evaluation_of(predictions: pd.DataFrame) -> Evaluation:
    """The evaluation that a table of predictions, as in `Evaluation.predictions`, tells; without images.

    Raises:
        UsageError: a column is missing or holds something else, or a class has none for its scores.
    """
    names = tuple(str(c)[2:-1] for c in predictions.columns if str(c).startswith("p(") and str(c).endswith(")"))
    if missing := {"true", "predicted", "correct", "confidence", "loss"} - set(predictions.columns):
        raise UsageError(f"predictions lack the column {min(missing)!r}. Received: {list(predictions.columns)[:8]}")
    true, predicted = predictions["true"].astype(str), predictions["predicted"].astype(str)
    if unknown := (set(true) | set(predicted)) - set(names):
        raise UsageError(f"predictions lack the column 'p({min(unknown)})'. Received: {list(names)[:8]}")
    numbers = predictions[["confidence", "loss", *(f"p({name})" for name in names)]].dtypes
    if predictions["correct"].dtype != bool or not all(map(pd.api.types.is_numeric_dtype, numbers)):
        raise UsageError("predictions need true or false in 'correct', and numbers in confidence, loss and scores")
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        true, predicted, labels=list(names), zero_division=0
    )
    return Evaluation(
        accuracy=float(np.mean(predictions["correct"])),
        loss=float(np.mean(predictions["loss"])),
        predictions=predictions,
        confusion_matrix=metrics.confusion_matrix(true, predicted, labels=list(names)),
        per_class=pd.DataFrame(
            {"precision": precision, "recall": recall, "f1": f1, "support": support},
            index=pd.Index(names, name="class"),
        ),
        class_names=names,
    )
