"""Losses and penalties as the textbook writes them, each followed by its gradient.

Both cross entropies take logits z, not probabilities. log p is then exact for every z, where a loss computed from
probabilities has to clip them: Keras clips to [1e-7, 1 - 1e-7] unless it is told `from_logits=True`, so that no
example can cost more than 16.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]


def sigmoid(logits: npt.ArrayLike) -> FloatArray:
    """σ(z) = 1 / (1 + exp(-z)), elementwise.

    Args:
        logits: z, of any shape.

    Returns:
        Probabilities, of the same shape.
    """
    z = _floats(logits)
    e = np.exp(-np.abs(z))  # never above 1, so exp cannot overflow; for z < 0, σ(z) = exp(z) / (1 + exp(z))
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


def softmax(logits: npt.ArrayLike) -> FloatArray:
    """p_k = exp(z_k) / Σ_j exp(z_j), over the last axis.

    Args:
        logits: z, shape (..., K).

    Returns:
        Probabilities, shape (..., K); the last axis sums to one.
    """
    z = _floats(logits)
    e = np.exp(z - z.max(axis=-1, keepdims=True))  # a shift cancels in the quotient and keeps exp from overflowing
    probabilities: FloatArray = e / e.sum(axis=-1, keepdims=True)
    return probabilities


def log_softmax(logits: npt.ArrayLike) -> FloatArray:
    """The logarithm of `softmax`, z_k - log Σ_j exp(z_j): finite even where `softmax` rounds to zero.

    Args:
        logits: z, shape (..., K).

    Returns:
        Log-probabilities, shape (..., K).
    """
    z = _floats(logits)
    z = z - z.max(axis=-1, keepdims=True)
    log_probabilities: FloatArray = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return log_probabilities


def one_hot(labels: npt.ArrayLike, num_classes: int) -> FloatArray:
    """Rows of the identity matrix: y_k = 1 where k is the label, else 0.

    Args:
        labels: integers in [0, num_classes), of any shape.
        num_classes: K.

    Returns:
        Shape (*labels.shape, K).

    Raises:
        ValueError: when a label is no integer or out of range.
    """
    return np.eye(num_classes)[_class_labels(labels, num_classes)]


def categorical_cross_entropy(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """E = -1/N Σ_n log softmax(z_n)[y_n]. Source: Bishop, Pattern Recognition and Machine Learning, eq. 4.108.

    Args:
        logits: z, shape (N, K).
        labels: y, integers in [0, K), shape (N,).

    Returns:
        The mean over the N examples.

    Raises:
        ValueError: when a label is no integer or out of range, or the shapes do not fit.
    """
    z, y = _logits_and_classes(logits, labels)
    return float(-np.take_along_axis(log_softmax(z), y[:, None], axis=-1).mean())


def categorical_cross_entropy_gradient(logits: npt.ArrayLike, labels: npt.ArrayLike) -> FloatArray:
    """∂E/∂z = (softmax(z) - one_hot(y)) / N. Source: Bishop, eq. 4.109. Arguments as for the loss; shape (N, K)."""
    z, y = _logits_and_classes(logits, labels)
    return (softmax(z) - one_hot(y, z.shape[-1])) / len(z)


def binary_cross_entropy(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """E = -1/N Σ_n [y_n log σ(z_n) + (1 - y_n) log(1 - σ(z_n))]. Source: Bishop, eq. 4.90.

    Args:
        logits: z, shape (N,) or (N, 1).
        labels: y in [0, 1], shape (N,) or (N, 1).

    Returns:
        The mean over the N examples.

    Raises:
        ValueError: when a label is outside [0, 1] or the shapes do not fit.
    """
    z, y = _logits_and_bits(logits, labels)
    return float(np.mean(np.logaddexp(0.0, z) - y * z))  # since -log σ(z) = log(1 + exp(z)) - z


def binary_cross_entropy_gradient(logits: npt.ArrayLike, labels: npt.ArrayLike) -> FloatArray:
    """∂E/∂z = (σ(z) - y) / N. Source: Bishop, eq. 4.91. Arguments as for the loss; the shape of the logits."""
    z, y = _logits_and_bits(logits, labels)
    return (sigmoid(z) - y) / z.size


def squared_error(predictions: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """E = 1/(N·K) Σ (a - y)²: the mean over all entries and without the textbook's ½, as Keras has it.

    Args:
        predictions: a, shape (N, K) or (N,).
        targets: y, the same shape; (N,) and (N, 1) are taken as one.

    Returns:
        The mean over the N·K entries.

    Raises:
        ValueError: when the shapes do not fit.
    """
    a, y = _aligned(predictions, targets)
    return float(np.mean((a - y) ** 2))


def squared_error_gradient(predictions: npt.ArrayLike, targets: npt.ArrayLike) -> FloatArray:
    """∂E/∂a = 2 (a - y) / (N·K). Arguments as for the loss; the shape of the predictions."""
    a, y = _aligned(predictions, targets)
    return 2.0 * (a - y) / a.size


def l1_penalty(weights: npt.ArrayLike, strength: float) -> float:
    """λ Σ |w|. Source: `keras.regularizers.L1`.

    Args:
        weights: w, of any shape.
        strength: λ, at least 0.

    Returns:
        The penalty, which is added to the mean loss and not divided by N.

    Raises:
        ValueError: when the strength is negative.
    """
    return float(_strength(strength) * np.abs(_floats(weights)).sum())


def l1_penalty_gradient(weights: npt.ArrayLike, strength: float) -> FloatArray:
    """λ sign(w), with the subgradient sign(0) = 0. Arguments as for the penalty; the shape of the weights."""
    return _strength(strength) * np.sign(_floats(weights))


def l2_penalty(weights: npt.ArrayLike, strength: float) -> float:
    """λ Σ w², without the textbook's ½. Source: `keras.regularizers.L2`. Arguments as for `l1_penalty`."""
    return float(_strength(strength) * np.square(_floats(weights)).sum())


def l2_penalty_gradient(weights: npt.ArrayLike, strength: float) -> FloatArray:
    """2 λ w. Arguments as for the penalty; the shape of the weights."""
    return 2.0 * _strength(strength) * _floats(weights)


class Loss(NamedTuple):
    """The two terms of the objective E = data + penalty."""

    data: float
    penalty: float

    @property
    def total(self) -> float:
        """E, what training minimises."""
        return self.data + self.penalty


class Output(NamedTuple):
    """An output's activation, and the loss that belongs to it with its gradient, as functions of the logits and the labels."""

    activation: Callable[[FloatArray], FloatArray]
    loss: Callable[..., float]
    gradient: Callable[..., FloatArray]


OUTPUTS = {
    "identity": Output(lambda z: z, squared_error, squared_error_gradient),
    "sigmoid": Output(sigmoid, binary_cross_entropy, binary_cross_entropy_gradient),
    "softmax": Output(softmax, categorical_cross_entropy, categorical_cross_entropy_gradient),
}


def _floats(values: npt.ArrayLike) -> FloatArray:
    return np.asarray(values, dtype=np.float64)


def _strength(strength: float) -> float:
    if not strength >= 0:  # written so that NaN fails too
        raise ValueError(f"A penalty's strength must be at least 0. Received: strength={strength}")
    return strength


def _aligned(predictions: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Both in the shape of the predictions. Left alone, NumPy would broadcast (N, 1) - (N,) to (N, N) in silence."""
    a, y = _floats(predictions), _floats(targets)
    if a.shape not in (y.shape, (*y.shape, 1)) and y.shape != (*a.shape, 1):
        raise ValueError(
            f"Predictions and targets must have the same shape. Received: predictions={a.shape}, targets={y.shape}"
        )
    return a, y.reshape(a.shape)


def _logits_and_bits(logits: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    z, y = _aligned(logits, labels)
    if not np.all((y >= 0) & (y <= 1)):
        raise ValueError(f"Binary labels must lie in [0, 1]. Received: labels={y.ravel()}")
    return z, y


def _logits_and_classes(logits: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[FloatArray, IntArray]:
    z, y = _floats(logits), np.asarray(labels)
    if z.ndim != 2 or y.shape != z.shape[:1]:
        raise ValueError(f"Logits must be (N, K) and labels (N,). Received: logits={z.shape}, labels={y.shape}")
    return z, _class_labels(y, z.shape[-1])


def _class_labels(labels: npt.ArrayLike, num_classes: int) -> IntArray:
    """The labels as integers in range. A negative one must not pass: as an index it would count from the end."""
    y = np.asarray(labels)
    if not np.issubdtype(y.dtype, np.integer) or np.any((y < 0) | (y >= num_classes)):
        raise ValueError(f"Labels must be integers in [0, {num_classes}). Received: labels={y}")
    return y
