"""`fool`: the smallest noise, transformation or gradient-sign step that changes a model's answer on each image."""

from __future__ import annotations

import dataclasses
import itertools
import numbers
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from zoo.data.pipeline import scale
from zoo.data.split import Split
from zoo.data.streaming import naming_files
from zoo.errors import UsageError, check_count, check_seed, unknown_name
from zoo.evaluation.corruptions import (
    CORRUPTIONS,
    SHARE_OF_RANGE,
    along_images,
    checked_strengths,
    corrupted,
)
from zoo.evaluation.gradient_sign import gradient_signs, step_along
from zoo.evaluation.robustness import late_progress, value_range
from zoo.evaluation.scoring import class_scores, fitting_split, input_signature

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRADIENT_SIGN = "gradient_sign"
_LARGEST_STEP = 0.25  # of a gradient-sign search, as a share of the range
_GOALS = ("different", "wrong")

Scores = Callable[[tf.Tensor], np.ndarray]  # (N, ...) images -> (N, K) probabilities
Perturb = Callable[[np.ndarray, np.ndarray], tf.Tensor]  # rows of a batch, a strength for each -> perturbed images


@dataclasses.dataclass(frozen=True, eq=False)
class Fooling:
    """The smallest change of one kind that fools a model, image by image.

    Attributes:
        table: one row an image: index, true, before and after (classes that the model answers), correct (before is true),
            strength (smallest found; 0 where the goal was met by the image itself; NaN where none was found), below (the
            last strength under it that did not fool; the largest tried where none was found), linf and l2 (greatest
            absolute value and Euclidean norm of the change, as shares of the range), confidence_before and
            confidence_after (the largest probability).
        originals: (N, ...) inputs of the model.
        perturbed: (N, ...) the same at `strength`; where none was found, at the largest strength tried.
        scores_before: (N, K) class probabilities of the originals.
        scores_after: (N, K) class probabilities of what was perturbed.
        class_names: one name a class.
        by: "gradient_sign", or the name of a corruption.
        unit: of the strength.
        largest: strength up to which was searched.
        input_range: (low, high) of the inputs.
    """

    table: pd.DataFrame
    originals: np.ndarray
    perturbed: np.ndarray
    scores_before: np.ndarray
    scores_after: np.ndarray
    class_names: tuple[str, ...]
    by: str
    unit: str
    largest: float
    input_range: tuple[float, float]

    @property
    def median(self) -> float:
        """Size of the strength that suffices for half of the images; infinite where fewer can be fooled."""
        return float(self.table["strength"].abs().fillna(np.inf).sort_values().iloc[(len(self.table) - 1) // 2])

    def figure(self, images: Sequence[int] | None = None) -> Figure:
        """Original, perturbed, magnified difference and scores side by side; see `plot_fooling`."""
        from zoo.evaluation.fooling_plot import plot_fooling

        return plot_fooling(self, images)

    def plot(self, path: str | os.PathLike[str], images: Sequence[int] | None = None) -> Path:
        """Writes `figure(images)` as .png, .svg or .pdf, and returns the path."""
        from zoo.drawing import save_figure  # loads Matplotlib

        return save_figure(self.figure(images), path)


@naming_files()
def fool(
    model: keras.Model,
    data: Split | tuple[Any, Any] | Any,
    by: str = GRADIENT_SIGN,
    *,
    goal: str = "different",
    largest: float | None = None,
    num_steps: int = 32,
    num_halvings: int = 14,
    seed: int = 0,
    batch_size: int = 128,
    input_range: tuple[float, float] | None = None,
    verbose: bool = True,
) -> Fooling:
    """Searches, for each image, the smallest change of one kind that changes the model's answer.

    The answer need not be monotone in the strength: more may undo what less did. "Smallest" therefore means: of the strengths
    largest/num_steps, 2·largest/num_steps, ..., largest the first one that fools is taken, and the interval below it is
    halved `num_halvings` times, keeping a strength that fools above one that does not. What is returned fools, `below` does
    not, and they are largest/(num_steps·2^num_halvings) apart; an island of fooling narrower than a step of the grid may be
    missed. For a linear model, of which no value is clipped, the threshold lies between `below` and `strength`.
    Values are not rounded to 8 bits. Rotation, brightness and shifts are
    searched in both directions and the smaller one is given with its sign; shifts go by whole pixels and are not halved.

    Noise keeps its direction: the pattern of an image, decided by the seed and the image's place, is multiplied by the
    strength, its standard deviation. A gradient-sign step is that of Goodfellow, Shlens and Szegedy, 2015, Explaining and
    harnessing adversarial examples (arXiv:1412.6572), see `gradient_sign_step`.

    Args:
        model: a Keras model that gives class probabilities, one sigmoid unit, or logits. It is not changed.
        data: a `Split`, e.g. `data.test.subset(np.arange(100))`, an (inputs, labels) pair, or a batched dataset.
        by: "gradient_sign", or a corruption of `zoo.corrupt`, which says its units; a step has those of noise.
        goal: "different" from the model's answer on the unchanged image, or "wrong" (not the true class; what is wrong from
            the beginning has strength 0). The gradient is that of the loss with the clean answer, or the true class, as label.
        largest: strength at which the search ends. By default 0.25 of the range for a step; noise 1, blur 5 pixels, crop 0.9,
            rotation 180 degrees, brightness 1, shifts half of the side.
        num_steps: points of the grid, 1 or more.
        num_halvings: of the interval below the first point that fools, 0 or more.
        seed: decides the noise.
        batch_size: images a forward pass.
        input_range: least and greatest value of float inputs, as in `measure_robustness`.
        verbose: whether a bar is shown after two seconds.

    Raises:
        UsageError: an unknown `by` or `goal`, a number out of range, a model or inputs that do not fit, or a model without
            gradients.

    Examples:
        >>> found = fool(model, data.test.subset(np.arange(20)))  # doctest: +SKIP
        >>> found.table[["true", "before", "after", "strength"]], found.plot("fooling.png")  # doctest: +SKIP
    """
    check_seed(seed)
    for name, value, least in (
        ("num_steps", num_steps, 1),
        ("num_halvings", num_halvings, 0),
        ("batch_size", batch_size, 1),
    ):
        check_count(name, value, least=least)
    split = fitting_split(model, data)
    if goal not in _GOALS:
        raise unknown_name("goal", goal, _GOALS)
    farthest = _checked_largest(by, largest, split.input_shape)
    kind = CORRUPTIONS.get(by)
    if kind is not None and kind.axis is not None:
        num_steps, num_halvings = int(farthest), 0
    grid = np.linspace(0, farthest, num_steps + 1)
    grids = [grid, -grid] if kind is not None and kind.limits[0] < 0 else [grid]
    bounds, scores = value_range(split, input_range), class_scores(model, split)
    sign_of = gradient_signs(model, input_signature(split))  # traced where it is first called
    batches, count, calls = [], 0, len(grids) * (len(grid) - 1 + num_halvings)  # most forward passes a batch
    with late_progress(f"fooling by {by}", verbose) as on_progress:
        for b, (stored, labels) in enumerate(split.stored_batches(batch_size)):
            images = scale(stored, split.scaling)
            before = scores(images)
            reference = before.argmax(axis=1) if goal == "different" else labels.numpy()
            if kind is None:
                perturb = _along(images, sign_of(images, tf.constant(reference, tf.int32)), bounds)
            else:
                perturb = _under(images, by, np.arange(count, count + len(images)), seed, bounds)
            told = _told(scores, on_progress, b * calls, split.num_batches(batch_size) * calls)
            found = _nearest([_smallest(perturb, told, before, reference, points, num_halvings) for points in grids])
            reached = np.where(np.isnan(found.strength), found.below, found.strength)
            perturbed = tf.where(along_images(reached, images) == 0, images, perturb(np.arange(len(images)), reached))
            batches.append((labels.numpy(), images.numpy(), perturbed.numpy(), before, found))
            count += len(images)
    unit = kind.unit if kind is not None else SHARE_OF_RANGE
    return _summary(batches, split.class_names, by, unit, farthest, bounds)


def _along(images: tf.Tensor, signs: tf.Tensor, bounds: tuple[float, float]) -> Perturb:
    return lambda rows, strengths: step_along(tf.gather(images, rows), tf.gather(signs, rows), strengths, bounds)


def _under(images: tf.Tensor, name: str, examples: np.ndarray, seed: int, bounds: tuple[float, float]) -> Perturb:
    return lambda rows, strengths: corrupted(tf.gather(images, rows), name, strengths, examples[rows], seed, bounds)


def _told(scores: Scores, on_progress: Callable[[int, int], None], first: int, total: int) -> Scores:
    """`scores`, of which each call is told, counted from `first`."""
    calls = itertools.count(first + 1)

    def told(images: tf.Tensor) -> np.ndarray:
        on_progress(next(calls), total)
        return scores(images)

    return told


@dataclasses.dataclass
class _Found:
    """(N,) strengths that fool, NaN for none; (N,) strengths below that do not; (N, K) scores at the former."""

    strength: np.ndarray
    below: np.ndarray
    scores: np.ndarray


_FIELDS = [field.name for field in dataclasses.fields(_Found)]


def _smallest(
    perturb: Perturb, scores: Scores, before: np.ndarray, reference: np.ndarray, grid: np.ndarray, num_halvings: int
) -> _Found:
    """The first point of a grid, which begins with 0, that fools, then bisection below it; see `fool`."""
    is_met = before.argmax(axis=1) != reference
    found = _Found(np.where(is_met, 0.0, np.nan), np.zeros(len(before)), before.copy())

    def is_fooled(rows: np.ndarray, strengths: np.ndarray) -> np.ndarray:
        """Whether each row is; moves its upper bound where it is, and its lower bound where not."""
        after = scores(perturb(rows, strengths))
        fooled: np.ndarray = after.argmax(axis=1) != reference[rows]
        found.strength[rows[fooled]] = strengths[fooled]
        found.below[rows[~fooled]] = strengths[~fooled]
        kept = fooled | np.isnan(found.strength[rows])
        found.scores[rows[kept]] = after[kept]
        return fooled

    rows = np.flatnonzero(~is_met)
    for point in grid[1:]:
        if len(rows):
            rows = rows[~is_fooled(rows, np.full(len(rows), point))]
    rows = np.flatnonzero(~is_met & ~np.isnan(found.strength))
    for _ in range(num_halvings if len(rows) else 0):
        is_fooled(rows, (found.below[rows] + found.strength[rows]) / 2)
    return found


def _nearest(directions: list[_Found]) -> _Found:
    """Of each image the direction with the smallest strength; of equals, and where there is none, the first."""
    sizes = np.stack([np.nan_to_num(np.abs(found.strength), nan=np.inf) for found in directions])
    chosen, rows = sizes.argmin(axis=0), np.arange(sizes.shape[1])
    return _Found(*(np.stack([getattr(f, name) for f in directions])[chosen, rows] for name in _FIELDS))


def _summary(
    batches: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, _Found]],
    class_names: tuple[str, ...],
    by: str,
    unit: str,
    largest: float,
    bounds: tuple[float, float],
) -> Fooling:
    labels, originals, perturbed, before = (np.concatenate([batch[i] for batch in batches]) for i in range(4))
    strength, below, after = (np.concatenate([getattr(batch[4], name) for batch in batches]) for name in _FIELDS)
    change = (perturbed.astype(np.float64) - originals).reshape(len(labels), -1) / (bounds[1] - bounds[0])
    names = np.array(class_names, object)
    table = pd.DataFrame(
        {
            "index": np.arange(len(labels)),
            "true": names[labels],
            "before": names[before.argmax(axis=1)],
            "after": names[after.argmax(axis=1)],
            "correct": before.argmax(axis=1) == labels,
            "strength": strength,
            "below": below,
            "linf": np.abs(change).max(axis=1),
            "l2": np.linalg.norm(change, axis=1),
            "confidence_before": before.max(axis=1),
            "confidence_after": after.max(axis=1),
        }
    )
    return Fooling(table, originals, perturbed, before, after, class_names, by, unit, largest, bounds)


def _checked_largest(by: str, largest: float | None, shape: tuple[int, ...]) -> float:
    """The strength at which a search ends, given or by default; a UsageError for what cannot be."""
    if by != GRADIENT_SIGN and by not in list(CORRUPTIONS):
        raise unknown_name("way to fool", by, [GRADIENT_SIGN, *CORRUPTIONS])
    if largest is not None and not (isinstance(largest, numbers.Real) and 0 < largest < np.inf):
        raise UsageError(f"largest must be positive and finite. Received: largest={largest!r}")
    if by == GRADIENT_SIGN:
        return _LARGEST_STEP if largest is None else float(largest)
    kind = CORRUPTIONS[by]
    checked_strengths(by, [] if largest is None else [largest], shape)
    if largest is None:
        largest = kind.largest if kind.axis is None else shape[kind.axis - 1] // 2
    assert largest is not None
    return float(largest)
