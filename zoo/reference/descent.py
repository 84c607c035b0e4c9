"""Gradient descent, as the textbook writes it and as Keras does: full batch or mini-batches, with early stopping."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from zoo.reference.losses import FloatArray
from zoo.reference.optimizers import SGD, Optimizer


class DescentPath(NamedTuple):
    """Where a descent of T epochs went.

    Attributes:
        weights: w₀ … w_T, shape (T + 1, *shape of the weights). The start comes first.
        losses: E(w₀) … E(w_T) over all examples, shape (T + 1,).
        validation_losses: those of `validation_loss`, shape (T + 1,), or (0,) when there is none.
        best_epoch: where the validation loss is smallest, the start not counted; T when there is none.
    """

    weights: FloatArray
    losses: FloatArray
    validation_losses: FloatArray
    best_epoch: int

    @property
    def best_weights(self) -> FloatArray:
        """What early stopping restores: the weights of the best epoch."""
        best: FloatArray = self.weights[self.best_epoch]
        return best


def gradient_descent(
    loss_and_gradient: Callable[..., tuple[float, FloatArray]],
    weights: npt.ArrayLike,
    *,
    epochs: int,
    learning_rate: float | None = None,
    optimizer: Optimizer | None = None,
    examples: Sequence[npt.ArrayLike] = (),
    batch_size: int | None = None,
    seed: int | None = 0,
    tolerance: float | None = None,
    validation_loss: Callable[[FloatArray], float] | None = None,
    patience: int | None = None,
) -> DescentPath:
    """Descent, w ← w - η ∂E/∂w or another optimizer's step, once per epoch or once per mini-batch.

    Args:
        loss_and_gradient: w and the arrays of `examples` -> E and ∂E/∂w. Without examples it is a function of w alone, e.g.
            `DenseNetwork.loss_and_gradient(inputs, labels)`.
        weights: the start w₀, of any shape.
        epochs: the greatest number of passes over the examples.
        learning_rate: η of plain descent. Either this or an optimizer.
        optimizer: e.g. `Adam(0.001)`.
        examples: arrays with the same number of rows, e.g. inputs and labels.
        batch_size: rows a step; the last batch of an epoch may be smaller. `None` takes all in one step.
        seed: of the order, another in each epoch; `None` for the order of the rows.
        tolerance: stop after the first epoch that changes the loss by less. `None` takes every epoch.
        validation_loss: w -> the loss to watch, after each epoch.
        patience: stop after as many epochs in a row without a new smallest validation loss, as
            `keras.callbacks.EarlyStopping` does. `None` takes every epoch.

    Returns:
        The point after each epoch and its loss, the start included.

    Raises:
        ValueError: when an option is out of range or lacks another, or the gradient has not the shape of the weights.

    Examples:
        >>> gradient_descent(lambda w: (w @ w, 2 * w), [8.0], learning_rate=0.25, epochs=2).weights.ravel()
        array([8., 4., 2.])
        >>> squares = lambda w, x: (np.mean((w - x) ** 2), 2 * np.mean(w - x, keepdims=True))
        >>> gradient_descent(squares, [0.0], learning_rate=0.5, epochs=1, examples=[[1.0, 5.0]], batch_size=1, seed=None).weights
        array([[0.],
               [5.]])
    """
    if learning_rate is not None and optimizer is None:
        optimizer = SGD(learning_rate)
    elif optimizer is None or learning_rate is not None:
        raise ValueError(
            f"Either a learning rate or an optimizer. Received: learning_rate={learning_rate}, optimizer={optimizer}"
        )
    _check_options(epochs, tolerance, patience, validated=validation_loss is not None)
    arrays = [np.asarray(array) for array in examples]
    path, validations = [np.array(weights, dtype=np.float64)], []
    loss, gradient = loss_and_gradient(path[0], *arrays)
    losses, state, best_epoch = [loss], optimizer.start(path[0]), 0
    if validation_loss is not None:
        validations.append(validation_loss(path[0]))

    smallest = np.inf
    for epoch in range(1, epochs + 1):
        w = path[-1]
        if batch_size is None:
            w, state = optimizer.step(w, state, gradient)
        else:
            for batch in mini_batches(arrays, batch_size, seed=seed, epoch=epoch - 1):
                w, state = optimizer.step(w, state, loss_and_gradient(w, *batch)[1])
        path.append(w)
        loss, gradient = loss_and_gradient(w, *arrays)
        losses.append(loss)
        if validation_loss is not None:
            validations.append(validation_loss(w))
            if validations[-1] < smallest:
                smallest, best_epoch = validations[-1], epoch
        if tolerance is not None and abs(losses[-1] - losses[-2]) < tolerance:
            break
        if patience is not None and epoch - best_epoch >= patience:
            break
    best_epoch = len(path) - 1 if validation_loss is None else best_epoch
    return DescentPath(np.stack(path), np.array(losses, dtype=np.float64), np.array(validations), best_epoch)


def mini_batches(
    examples: Sequence[npt.ArrayLike],
    batch_size: int,
    *,
    seed: int | None = None,
    epoch: int = 0,
    drop_remainder: bool = False,
) -> Iterator[list[npt.NDArray[Any]]]:
    """One pass over the examples, in batches: the same rows of each array.

    Args:
        examples: arrays with the same number of rows.
        batch_size: rows of a batch, 1 or more.
        seed: the order is a function of seed and epoch; `None` for the order of the rows.
        epoch: number of the pass.
        drop_remainder: leave a smaller last batch out.

    Raises:
        ValueError: when the batch size is below 1, or the arrays are none or differ in length.

    Examples:
        >>> [[part.tolist() for part in batch] for batch in mini_batches([[1, 2, 3], [4, 5, 6]], 2)]
        [[[1, 2], [4, 5]], [[3], [6]]]
    """
    arrays = [np.asarray(array) for array in examples]
    lengths = [len(array) for array in arrays]
    if not batch_size >= 1 or len(set(lengths)) != 1:
        raise ValueError(
            "Batches have a row or more, the arrays the same number of rows. "
            f"Received: batch_size={batch_size}, rows={lengths}"
        )
    order = np.arange(lengths[0]) if seed is None else np.random.default_rng([seed, epoch]).permutation(lengths[0])
    end = lengths[0] - lengths[0] % batch_size if drop_remainder else lengths[0]
    for start in range(0, end, batch_size):
        yield [array[order[start : start + batch_size]] for array in arrays]


def add_bias_column(inputs: npt.ArrayLike) -> FloatArray:
    """The bias trick: a last column of ones, so that x W + b is [x 1] times W with the row b below it.

    Args:
        inputs: x, shape (N, features).

    Returns:
        Shape (N, features + 1).

    Raises:
        ValueError: when the inputs are no matrix.
    """
    x = np.asarray(inputs, dtype=np.float64)
    if x.ndim != 2:
        raise ValueError(f"Inputs must have the shape (N, features). Received: inputs={x.shape}")
    return np.column_stack([x, np.ones(len(x))])


def _check_options(epochs: int, tolerance: float | None, patience: int | None, *, validated: bool) -> None:
    # Each condition is written so that NaN fails too.
    if not epochs >= 0:
        raise ValueError(f"The number of epochs must be at least 0. Received: epochs={epochs}")
    if tolerance is not None and not tolerance > 0:
        raise ValueError(f"The tolerance must be above 0, or None. Received: tolerance={tolerance}")
    if patience is not None and not (patience >= 1 and validated):
        raise ValueError(f"Patience is 1 or more and needs a validation_loss. Received: patience={patience}")
