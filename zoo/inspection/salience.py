"""Where in the input a class's score comes from: its gradient, and Grad-CAM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import UsageError
from zoo.inspection.calling import as_one_input, layer_named, output_of, run, scores, tapped, to_numpy, untouched
from zoo.inspection.grids import image_batch, show_image
from zoo.inspection.maps import last_convolution

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def saliency(model: keras.Model, inputs: Any, *, classes: Any = None) -> np.ndarray:
    """The gradient of a class's score with respect to the input (Simonyan, Vedaldi and Zisserman, 2014).

    The score is the logit where it can be had (a model that ends in Keras's softmax or sigmoid, or in logits), else the output.

    Args:
        model: any built model with one input and an output (N, K) or (N, 1).
        inputs: (N, ...) examples, as the model takes them.
        classes: (N,) classes, or one for all; by default the most probable of each. Of one sigmoid unit, class 0 has
            the negative score.

    Returns:
        (N, ...) array in the shape of the inputs, with signs.

    Raises:
        UsageError: a class that the model has not, several inputs or outputs, or no gradient (inputs that are indices).
    """
    tensor = as_one_input(model, inputs, "saliency")

    def function(tensor: tf.Tensor) -> tf.Tensor | None:
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            with untouched():
                outputs = model(tensor, training=False)
            total = _total(outputs, classes)
        return tape.gradient(total, tensor)

    gradient = run(function, tensor)
    if gradient is None:
        raise UsageError(
            f"the output of {model.name!r} has no gradient in its input; a layer between them rounds or looks up"
        )
    return to_numpy(gradient)


def grad_cam(
    model: keras.Model, inputs: Any, *, classes: Any = None, layer: str | None = None, resize: bool = True
) -> np.ndarray:
    """Grad-CAM: the maps of a convolution, weighed by how much the class's score gains from each (Selvaraju et al., 2017).

    max(0, Σ_k α_k A_k), where A_k is the k-th map of the layer and α_k the mean over its places of ∂score/∂A_k; the score
    is as in `saliency`.

    Args:
        model: any built model of images, with an output (N, K) or (N, 1).
        inputs: (N, H, W, C) images, as the model takes them.
        classes: as in `saliency`.
        layer: name of a layer that gives maps (N, h, w, channels); by default the last two-dimensional convolution.
        resize: whether the result has the size of the images (bilinear), or that of the maps.

    Returns:
        (N, H, W) or (N, h, w) array, 0 or more, in units of the score.

    Raises:
        UsageError: no such layer, or one that gives no maps.
    """
    tensor = as_one_input(model, inputs, "Grad-CAM")
    chosen = last_convolution(model) if layer is None else layer_named(model, layer)

    def function(tensor: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            with untouched(), tapped([chosen]) as calls:
                outputs = model(tensor, training=False)
            total = _total(outputs, classes)
        maps = output_of(calls, chosen)
        return maps, tape.gradient(total, maps, unconnected_gradients="zero")

    maps, gradient = run(function, tensor)
    if len(maps.shape) != 4:
        raise UsageError(f"Grad-CAM needs maps (N, h, w, channels). Received: {chosen.name!r} gives {maps.shape}")
    weights = tf.reduce_mean(gradient, axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1))
    if resize:
        heat = tf.image.resize(heat[..., tf.newaxis], tensor.shape[1:3])[..., 0]
    return to_numpy(heat)


def _total(outputs: Any, classes: Any) -> tf.Tensor:
    """The sum over examples of the score of the class of each."""
    if not tf.is_tensor(outputs) or len(outputs.shape) != 2:
        got = f"outputs {tuple(outputs.shape)}" if tf.is_tensor(outputs) else f"{len(outputs)} outputs"
        raise UsageError(f"the score of a class needs outputs (N, K). Received: {got}")
    outputs = scores(outputs)
    signed = tf.concat([-outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs
    if classes is None:
        chosen = tf.argmax(signed, axis=1)
    else:
        if np.shape(classes) not in ((), (outputs.shape[0],)):
            raise UsageError(f"give one class, or one for each of {outputs.shape[0]}. Received: {np.shape(classes)}")
        chosen = np.broadcast_to(classes, outputs.shape[0])
        if not np.issubdtype(chosen.dtype, np.integer) or chosen.min() < 0 or chosen.max() >= signed.shape[1]:
            raise UsageError(f"classes must be 0 to {signed.shape[1] - 1}. Received: classes={classes!r}")
    return tf.reduce_sum(tf.gather(signed, chosen, batch_dims=1))


def plot_saliency(images: Any, gradients: Any, *, titles: Sequence[str] | None = None) -> Figure:
    """Each image above the size of its gradient (largest over the channels), each map in its own scale.

    Raises:
        UsageError: no image, or another number of gradients or titles.
    """
    shown = np.abs(np.asarray(gradients, np.float64)).max(axis=-1)
    return _below_each(
        images, shown, titles, "|∂score/∂pixel|", title="saliency: the gradient of the score", over=False
    )


def plot_grad_cam(images: Any, heat: Any, *, titles: Sequence[str] | None = None) -> Figure:
    """Each image above itself with its map laid over it, each map in its own scale.

    Raises:
        UsageError: no image, or another number of maps or titles.
    """
    return _below_each(
        images,
        np.asarray(heat, np.float64),
        titles,
        "Grad-CAM",
        title="where the score of the class comes from",
        over=True,
    )


def _below_each(
    images: Any, maps: np.ndarray, titles: Sequence[str] | None, what: str, *, title: str, over: bool
) -> Figure:
    from matplotlib.figure import Figure

    array = image_batch(images, what)
    count = len(array)
    if not count or len(maps) != count or maps.ndim != 3 or (titles is not None and len(titles) != count):
        got = f"{count} images, maps of shape {maps.shape}" + ("" if titles is None else f", {len(titles)} titles")
        raise UsageError(f"one map an image, and as many titles or none; one or more. Received: {got}")
    figure = Figure(figsize=(max(3.6, 1.4 * count + 1.2), 3.5), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(2, count, squeeze=False)
    height, width = array.shape[1:3]
    for k, (image, values) in enumerate(zip(array, maps, strict=True)):
        show_image(axes[0, k], image)
        if over:
            show_image(axes[1, k], image.mean(axis=-1, keepdims=True))
        else:
            axes[1, k].set(xticks=[], yticks=[])
        unit = values / (values.max() or 1.0)
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        smooth = "bilinear" if over else "nearest"
        drawn = axes[1, k].imshow(
            unit, cmap="inferno", vmin=0, vmax=1, extent=extent, alpha=0.6 if over else 1, interpolation=smooth
        )
        axes[0, k].set_title(titles[k] if titles is not None else str(k), fontsize=8, parse_math=False)
    axes[0, 0].set_ylabel("image", fontsize=8)
    axes[1, 0].set_ylabel(what, fontsize=8)
    figure.colorbar(drawn, ax=axes[1, :].tolist(), label="share of its largest", fraction=0.05, pad=0.02)
    return figure
