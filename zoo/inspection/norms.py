"""How long the gradient is in each layer: over depth, and over training."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import UsageError
from zoo.inspection.calling import Loss, as_inputs, loss_of, owners, run, trainable_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class GradientNorms:
    """Gradients of the loss by layer, from the input to the output.

    Attributes:
        layers: (L,) names of the layers that have trainable weights.
        norms: (L,) ‖∂E/∂w‖₂ over all trainable weights of the layer.
        rms: (L,) the norm over the root of the number of weights: the size of one weight's gradient, by which layers of
            different sizes compare.
        weights: (L,) ‖w‖₂.
    """

    layers: tuple[str, ...]
    norms: np.ndarray
    rms: np.ndarray
    weights: np.ndarray


def gradient_norms(
    model: keras.Model, inputs: Any, labels: Any, *, loss: Loss | None = None, training: bool = False
) -> GradientNorms:
    """The norm of the gradient of each layer for one batch; the model is not changed.

    In a deep chain of sigmoids it falls by at least 4 a layer where |w| <= 1 (Hochreiter, 1991; Glorot and Bengio, 2010).

    Args:
        model: any built model.
        inputs: (N, ...) examples, as the model takes them.
        labels: (N,) class indices, or what `loss` takes.
        loss: function of (labels, outputs), of which the mean is taken; by default the cross entropy. Penalties are added.
        training: whether layers do what they do in training (batch statistics, dropout).

    Raises:
        UsageError: nothing is trainable, or the loss cannot be told from the output.
        DataError: labels that are no classes of the model.
    """
    inputs = as_inputs(model, inputs)
    variables, values = trainable_weights(model)

    def function(values: list[tf.Tensor]) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(values)
            pairs = zip(variables, values, strict=True)
            total = loss_of(model, inputs, labels, loss=loss, training=training, values=pairs)
        gradients: list[tf.Tensor] = tape.gradient(total, values, unconnected_gradients="zero")
        return gradients

    gradients = run(function, values)
    layers = owners(model)
    names = tuple(dict.fromkeys(layers))
    squares, sizes, weights = (dict.fromkeys(names, 0.0) for _ in range(3))
    for layer, gradient, value in zip(layers, gradients, values, strict=True):
        squares[layer] += _sum_of_squares(gradient)
        weights[layer] += _sum_of_squares(value)
        sizes[layer] += float(np.prod(value.shape))
    norms = np.sqrt([squares[n] for n in names])
    return GradientNorms(names, norms, norms / np.sqrt([sizes[n] for n in names]), np.sqrt([weights[n] for n in names]))


def _sum_of_squares(tensor: Any) -> float:
    return float(tf.reduce_sum(tf.square(tf.cast(tf.convert_to_tensor(tensor), tf.float64))))


class GradientNormRecorder(keras.callbacks.Callback):
    """Measures `gradient_norms` on one batch before training and after each epoch; for `zoo.train` or `fit`.

    Attributes:
        history: one `GradientNorms` a measurement, the first before the first epoch.
    """

    def __init__(self, inputs: Any, labels: Any, *, loss: Loss | None = None, training: bool = False) -> None:
        super().__init__()
        self._options: dict[str, Any] = {"loss": loss, "training": training}
        self._batch = (inputs, labels)
        self.history: list[GradientNorms] = []

    @property
    def norms(self) -> np.ndarray:
        """(T, L) norms by measurement and layer."""
        return np.array([measured.norms for measured in self.history])

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Measures at the initial weights, once."""
        if not self.history:
            self.history.append(gradient_norms(self.model, *self._batch, **self._options))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures."""
        self.history.append(gradient_norms(self.model, *self._batch, **self._options))


def plot_gradient_norms(measured: GradientNorms, *, title: str = "") -> Figure:
    """Norm of the gradient over depth, logarithmic: of the whole layer, and of one weight."""
    from matplotlib.figure import Figure

    from zoo.drawing import INK, TRAIN, VALIDATION, finish_axes

    places = np.arange(1, len(measured.layers) + 1)
    names = [_short(name) for name in measured.layers]
    size = (max(5.0, min(12.0, 0.24 * len(places) + 2)), 3.4 + 0.07 * max(map(len, names)))
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for values, colour, label in (
        (measured.norms, TRAIN, "‖∂E/∂w‖ of the layer"),
        (measured.rms, VALIDATION, "root mean square of a weight"),
    ):
        axes.semilogy(places, np.where(values > 0, values, np.nan), "o-", color=colour, markersize=3, label=label)
    every = -(-len(places) // 40)
    axes.set_xticks(places[::every], names[::every], rotation=90, fontsize=7)
    axes.set_title(title or "gradient by layer, from the input to the output", color=INK, fontsize=10)
    finish_axes(axes, "layer", "norm of the gradient")
    return figure


def plot_gradient_history(recorder: GradientNormRecorder) -> Figure:
    """Norm of each layer's gradient over the epochs; from the input (dark) to the output (light).

    Raises:
        UsageError: the recorder has measured nothing.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from zoo.drawing import INK, finish_axes

    if not recorder.history:
        raise UsageError("the recorder has measured nothing; give it to training as a callback. Received: no history")
    norms, names = recorder.norms, recorder.history[0].layers
    figure = Figure(figsize=(7.2, 4.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.92, len(names)))
    named = set(np.linspace(0, len(names) - 1, min(len(names), 8)).round().astype(int))
    for i, (name, colour) in enumerate(zip(names, colours, strict=True)):
        label = _short(name) if i in named else None
        values = np.where(norms[:, i] > 0, norms[:, i], np.nan)
        axes.semilogy(values, "o-", color=colour, markersize=3, linewidth=1.2, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("gradient by layer over training", color=INK, fontsize=10)
    finish_axes(axes, "epochs done", "‖∂E/∂w‖")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small", labelcolor=INK)
    return figure


def _short(name: str) -> str:
    return name.replace("batch_normalization", "bn")
