"""Eyes into the trained model: its filters, its maps for one image, what its units look for, where its scores come from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from zoo.data.split import Split
from zoo.errors import UsageError
from zoo.reporting.inputs import EvaluationLike
from zoo.reporting.section import Picture, Section

_IMAGES = 6  # shown with where the score comes from: the worst mistakes
_UNITS = 64  # of a wide layer the first are shown


def inside_section(model: Any, test: Split, evaluation: EvaluationLike) -> Section | None:
    """Pictures of `zoo.inspection` that this model has; None for one that does not take images.

    Args:
        model: a built Keras model.
        test: the split that was evaluated; its scaling turns stored images into inputs.
        evaluation: of `test`, with images: the worst mistakes are looked at.
    """
    images = evaluation.images
    if images is None or not len(images):
        return None
    worst = evaluation.predictions["loss"].to_numpy(np.float64)
    chosen = np.argsort(-np.nan_to_num(worst, nan=-np.inf), kind="stable")[:_IMAGES]
    inputs = images[chosen].astype(np.float32) * test.scaling.scale + test.scaling.offset
    rows = evaluation.predictions.iloc[chosen]
    titles = [f"{t} taken for {p}" if t != p else str(t) for t, p in zip(rows["true"], rows["predicted"], strict=True)]
    pictures = []
    for name, caption, draw in _pictures(model, inputs, titles):
        with contextlib.suppress(UsageError):  # this model has no such layer
            pictures.append(Picture.of(name, caption, draw()))
    return Section("inside", "Inside the model", pictures=tuple(pictures)) if pictures else None


def _pictures(model: Any, inputs: np.ndarray, titles: list[str]) -> Iterator[tuple[str, str, Callable[[], Figure]]]:
    from zoo.inspection import maps, salience, weight_pictures  # load TensorFlow

    try:
        first = maps.convolution_named(model, None).name
    except UsageError:  # it has none
        first = None

    def kernels() -> Figure:
        return maps.plot_filters(maps.filters(model)[:_UNITS])

    def first_maps() -> Figure:
        given = maps.activations(model, inputs[:1], first)
        return maps.plot_activations(given[0][..., :_UNITS], title=f"of an image that is {titles[0]}")

    def heat() -> Figure:
        return salience.plot_grad_cam(inputs, salience.grad_cam(model, inputs), titles=titles)

    def units() -> Figure:
        return weight_pictures.plot_weight_images(weight_pictures.weight_images(model)[:_UNITS])

    def gradients() -> Figure:
        return salience.plot_saliency(inputs, salience.saliency(model, inputs), titles=titles)

    if first is not None:
        yield "filters", "Kernels of the first convolution", kernels
        yield "feature-maps", "What the first convolution gives for one image", first_maps
        yield "grad-cam", "Where the score comes from (Grad-CAM), for the worst mistakes", heat
    else:  # behind a convolution the inputs of a dense layer are no pixels, even where their number is that of the pixels
        yield "weight-images", "Incoming weights of the first dense layer, as images", units
    yield "saliency", "Which pixels the score depends on (gradient), for the worst mistakes", gradients
