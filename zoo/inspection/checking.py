"""`check_gradients`: what autodiff says of a model, against central differences of the same function."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from zoo.errors import UsageError, check_count, unknown_name
from zoo.inspection.calling import Loss, as_inputs, named_layers, owners, tapped, untouched
from zoo.inspection.float64_copy import float32_places, float64_copy, is_float, without_float64
from zoo.inspection.layer_checks import TOLERANCE_IN_FLOAT32, LayerCheck, check_layers
from zoo.inspection.tensor_checks import LossOfWeights, TensorCheck, judged, some_entries

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPSILONS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


@dataclasses.dataclass(frozen=True)
class GradientCheck:
    """What `check_gradients` found.

    Attributes:
        epsilons: (S,) steps.
        tolerance: of a tensor's relative error in float64.
        tensors: checks of the whole model's gradient, one a tensor.
        layers: checks of each layer by itself.
        in_float32: names of the layers that compute in float32 although the rest does in float64.
    """

    epsilons: np.ndarray
    tolerance: float
    tensors: tuple[TensorCheck, ...]
    layers: tuple[LayerCheck, ...]
    in_float32: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all tensors and layers passed."""
        return not self.faults

    @property
    def faults(self) -> tuple[str, ...]:
        """The layers at fault: those that fail by themselves; if none does, those whose tensors fail.

        A layer that hands a wrong gradient on makes all tensors before it fail, through no fault of theirs.
        """
        alone = tuple(check.layer for check in self.layers if not check.passed)
        return alone or tuple(dict.fromkeys(check.layer for check in self.tensors if not check.passed))

    @property
    def kinks(self) -> int:
        """Number of entries that were not judged, because the loss has no derivative there."""
        return sum(check.kinks for check in self.tensors)

    @property
    def table(self) -> pd.DataFrame:
        """One row a tensor: layer, tensor, error, entries, kinks, in_float32, passed."""
        columns = ["layer", "tensor", "error", "entries", "kinks", "in_float32", "passed"]
        rows = [[c.layer, c.tensor, c.error, len(c.entries), c.kinks, c.in_float32, c.passed] for c in self.tensors]
        return pd.DataFrame(rows, columns=columns)


def check_gradients(
    model: keras.Model,
    inputs: Any,
    labels: Any,
    *,
    layers: Sequence[str] = ("*",),
    count: int = 4,
    epsilons: Sequence[float] = EPSILONS,
    tolerance: float = 1e-6,
    loss: Loss | None = None,
    training: bool = False,
    seed: int = 0,
) -> GradientCheck:
    """Compares autodiff with central differences [E(w + ε) - E(w - ε)] / 2ε, on a copy of the model in float64.

    Three things are compared. (1) In the copy, the loss moves with single weights as its autodiff says. (2) In the copy, each
    layer's own gradient, of inputs and of weights, agrees with differences along random directions, so that a wrong custom
    gradient is found in the layer that has it. (3) Each layer of the model itself, with its dtype and its fused operation
    (batch normalisation, grouped convolution), gives the outputs and gradients of its copy, to the precision of its dtype.

    The relative error of an entry is |autodiff - difference| over the largest gradient of its tensor, or over what rounding
    the loss can make, if that is more. It is judged at its best step: a large step is off by ε², a small one by rounding
    over ε, and either may cross the kink of a ReLU. What no step can judge, for such kinks, is counted and neither passes nor fails.
    A tensor that fails is judged once more with all weights of the copy that are zero moved by about 0.01: with fresh biases all
    blank pixels of an image lie in kinks, and ties of pooling behind them.

    A layer without a float64 form (an operation that TensorFlow has no kernel for, such as
    `tf.nn.local_response_normalization`, or a cast inside) stays in float32 and is named in `in_float32`; the weights before it
    are checked to 2e-2. The model is not changed.

    Args:
        model: a built model whose layers can be made from their configurations.
        inputs: (N, ...) a few examples, as the model takes them.
        labels: (N,) class indices, or what `loss` takes.
        layers: patterns of names; the layers whose weights are moved and which are checked by themselves.
        count: weights that are moved in each tensor: that with the largest gradient, and others by chance.
        epsilons: steps.
        tolerance: largest relative error in float64.
        loss: function of (labels, outputs), of which the mean is taken; by default the cross entropy. Penalties are added.
        training: whether layers do what they do in training: batch normalisation takes the batch's statistics, and dropout
            has one fixed mask (its layer is then not compared with its copy, whose masks are others).
        seed: decides which weights, and the directions.

    Raises:
        UsageError: the model cannot be copied, a pattern matches no layer, a value is out of range, or the loss is not finite.
        DataError: labels that are no classes of the model.

    Examples:
        >>> import numpy as np
        >>> import zoo
        >>> model = zoo.build("mlp", (3,), 2, units=4)
        >>> check_gradients(model, np.eye(3), [0, 1, 0]).passed
        True
    """
    steps = np.array(epsilons, np.float64)
    check_count("count", count)
    if not steps.size or not (steps > 0).all() or not tolerance > 0:
        got = f"epsilons={epsilons}, tolerance={tolerance}"
        raise UsageError(f"epsilons, one or more, and the tolerance must be above 0. Received: {got}")
    own_inputs = as_inputs(model, inputs)
    names = _chosen(model, layers)
    pinned = without_float64(model, own_inputs)
    wide = tf.nest.map_structure(lambda x: tf.cast(x, tf.float64) if is_float(x) else x, own_inputs)
    copy = float64_copy(model, wide, pinned)
    copies = named_layers(copy)

    problem = LossOfWeights(copy, wide, labels, loss, training)
    operations = (operation.name for operation in getattr(copy, "operations", ()))
    places = float32_places(problem.graph, [*copies, *operations])
    in_float32 = tuple(sorted({*places, *pinned}))
    rounded = set().union(*places.values()) if places else set()
    random = np.random.default_rng(seed)

    def checked(places: Iterable[int]) -> dict[int, TensorCheck]:
        gradients, found = problem.gradients(), {}
        for i in places:
            entries = some_entries(gradients[i], count, random)
            limit = TOLERANCE_IN_FLOAT32 if i in rounded else tolerance
            facts = (entries, gradients[i], problem.differences(i, entries, steps), steps, limit, i in rounded)
            found[i] = judged(owned[i], copy.trainable_variables[i].name, *facts)
        return found

    owned = owners(copy)
    tensors = checked(i for i, owner in enumerate(owned) if owner in names)
    if failed := [i for i, check in tensors.items() if not check.passed]:
        problem.move_off_zero()
        tensors |= checked(failed)
    with untouched(), tapped(copies.values()) as calls:
        copy(wide, training=training)
    mine = named_layers(model)
    alone = {n: c for n, c in copies.items() if n in names and not isinstance(c, keras.Model)}
    checks = check_layers(alone, mine, calls, training=training, in_float32=in_float32, seed=seed)
    return GradientCheck(steps, tolerance, tuple(tensors.values()), tuple(checks), in_float32)


def _chosen(model: keras.Model, patterns: Sequence[str]) -> set[str]:
    names = [*named_layers(model), model.name]
    chosen: set[str] = set()
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        matched = fnmatch.filter(names, pattern)
        if not matched:
            raise unknown_name(f"layer of {model.name!r}", pattern, names)
        chosen.update(matched)
    return chosen


def plot_gradient_check(check: GradientCheck) -> Figure:
    """Relative error against step, a line a tensor: falling with ε² until rounding over ε wins. Both axes logarithmic."""
    from matplotlib.figure import Figure

    from zoo.drawing import BEST, INK, TRAIN, VALIDATION, finish_axes

    figure = Figure(figsize=(6.0, 4.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    drawn: set[str] = set()
    for tensor in check.tensors:
        colour, label = (TRAIN, "a tensor") if tensor.passed else (VALIDATION, "a tensor that fails")
        once = None if label in drawn else label
        drawn.add(label)
        errors = np.where(tensor.errors > 0, tensor.errors, np.nan)  # no entry was judged, or no gradient is there
        axes.loglog(check.epsilons, errors, "o-", color=colour, alpha=0.5, linewidth=1, markersize=3, label=once)
    axes.axhline(check.tolerance, color=BEST, linestyle="--", linewidth=1, label="tolerance")
    axes.set_title("passed" if check.passed else f"at fault: {', '.join(check.faults[:3])}", color=INK, fontsize=10)
    finish_axes(axes, "step ε", "largest relative error")
    return figure
