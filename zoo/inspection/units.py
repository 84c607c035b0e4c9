"""ReLU units that never fire, and ways through a network on which nothing flows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from math import prod
from typing import TYPE_CHECKING, Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import UsageError, check_count
from zoo.inspection.calling import as_inputs, named_layers, output_of, run, scores, tapped, untouched

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RELUS = (keras.activations.relu, keras.activations.relu6, keras.ops.relu, keras.ops.relu6, tf.nn.relu, tf.nn.relu6)
_PROBES = 3  # random directions of the outputs: a gradient that is zero for all of them is zero


@dataclasses.dataclass(frozen=True)
class DeadUnits:
    """What the ReLU units of a model do on given inputs; a unit is a neuron, or a channel of a map.

    Of a layer that is used more than once, the first use counts.

    Attributes:
        layers: (L,) names of the layers that end in a ReLU, in the order in which they compute.
        activity: for each layer, (units,) shares of the inputs, and of the places of a map, at which a unit is above 0.
        dead: for each layer, (units,) whether a unit is above 0 nowhere: no gradient passes it.
        unheard: for each layer, (units,) whether nothing that the model gives depends on the unit, on any input: all its
            outgoing weights are zero, or all ways from it lead through dead units.
    """

    layers: tuple[str, ...]
    activity: tuple[np.ndarray, ...]
    dead: tuple[np.ndarray, ...]
    unheard: tuple[np.ndarray, ...]

    @property
    def shares(self) -> np.ndarray:
        """(L,) share of the units of each layer that are dead."""
        return np.array([mask.mean() for mask in self.dead])

    @property
    def dead_layers(self) -> tuple[str, ...]:
        """Layers of which all units are dead: what they give is one constant."""
        return tuple(name for name, mask in zip(self.layers, self.dead, strict=True) if mask.all())

    @property
    def dead_paths(self) -> tuple[str, ...]:
        """Layers through which no gradient passes: each unit is dead or unheard.

        In a chain, one such layer stops all learning before it; beside a shortcut it stops only its own branch.
        """
        pairs = zip(self.layers, self.dead, self.unheard, strict=True)
        return tuple(name for name, dead, unheard in pairs if (dead | unheard).all())


def dead_units(model: keras.Model, inputs: Any, *, batch_size: int = 256, seed: int = 0) -> DeadUnits:
    """Finds the ReLU units that fire on none of the inputs, and those that nothing hears; the model is not changed.

    What is dead on these inputs may fire on others: give many. A unit counts as unheard when the gradient of random
    combinations of all the model's outputs (logits where they can be had) with respect to it is zero on all inputs.

    Args:
        model: any built model with ReLU: `Activation("relu")`, `ReLU()`, or layers with activation="relu" or "relu6".
        inputs: (N, ...) examples, as the model takes them.
        batch_size: examples a pass.
        seed: decides the combinations.

    Raises:
        UsageError: the model has no ReLU, or the batch size is no whole number of 1 or more.
    """
    check_count("batch_size", batch_size)
    inputs = as_inputs(model, inputs)
    layers = {name: layer for name, layer in named_layers(model).items() if _is_relu(layer)}
    if not layers:
        raise UsageError(f"{model.name!r} has no layer that ends in a ReLU. Received: {type(model).__name__}")
    fired: dict[str, list[np.ndarray]] = {}
    heard: dict[str, np.ndarray] = {}
    order: dict[str, None] = {}
    size = len(tf.nest.flatten(inputs)[0])
    for start in range(0, size, batch_size):
        batch = tf.nest.map_structure(lambda x, s=start: x[s : s + batch_size], inputs)
        used, outputs, gradients = _passed(model, batch, layers, seed)
        order |= dict.fromkeys(used)
        for name in used:
            places = tuple(range(outputs[name].ndim - 1))
            fired.setdefault(name, []).append((outputs[name] > 0).mean(axis=places) * (len(outputs[name]) / size))
            heard[name] = heard.get(name, False) | (gradients[name] != 0).any(axis=places)
    activity = tuple(np.sum(fired[name], axis=0) for name in order)
    return DeadUnits(tuple(order), activity, tuple(a == 0 for a in activity), tuple(~heard[name] for name in order))


def _passed(
    model: keras.Model, batch: Any, layers: dict[str, keras.layers.Layer], seed: int
) -> tuple[list[str], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Names in order of computation, what each layer gives, and the largest sizes of the gradients behind it."""
    used: list[str] = []

    def function(batch: Any) -> tuple[list[tf.Tensor], list[list[tf.Tensor]]]:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(batch)
            with untouched(), tapped(layers.values()) as calls:
                outputs = [scores(y) for y in tf.nest.flatten(model(batch, training=False))]
            random = np.random.default_rng(seed)
            drawn = [[tf.constant(random.standard_normal(y.shape), y.dtype) for y in outputs] for _ in range(_PROBES)]
            probes = [[y * direction for y, direction in zip(outputs, of_one, strict=True)] for of_one in drawn]
        names = {id(layer): name for name, layer in layers.items()}
        used[:] = [names[key] for key in calls]
        tensors = [output_of(calls, layers[name]) for name in used]
        return tensors, [tape.gradient(probe, tensors, unconnected_gradients="zero") for probe in probes]

    tensors, gradients = run(function, batch)
    sizes = [np.max([np.abs(_wide(g)) for g in of_layer], axis=0) for of_layer in zip(*gradients, strict=True)]
    return used, dict(zip(used, map(_wide, tensors), strict=True)), dict(zip(used, sizes, strict=True))


def _wide(tensor: tf.Tensor) -> np.ndarray:
    wide: np.ndarray = tf.cast(tensor, tf.float64).numpy()
    return wide


def _is_relu(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, keras.layers.ReLU):
        return not layer.negative_slope
    return getattr(layer, "activation", None) in _RELUS


def live_paths(alive: Iterable[Any]) -> int:
    """How many ways from the first layer to the last lead through live units alone, where every two neighbours are complete.

    A path takes one unit of each layer, so it is the product of the numbers of live units: none where one layer is all dead.

    Args:
        alive: for each layer (units,) which of them live: `[~dead for dead in dead_units(...).dead]`.

    Raises:
        UsageError: no layer, or one without a unit.
    """
    masks = [np.asarray(layer, bool) for layer in alive]
    if not masks or not all(mask.ndim == 1 and mask.size for mask in masks):
        raise UsageError(f"paths lead through layers of units. Received: shapes {[mask.shape for mask in masks]}")
    return prod(int(mask.sum()) for mask in masks)


def plot_dead_units(found: DeadUnits, *, title: str = "") -> Figure:
    """How often the units of each layer fire (each unit a dot, in order of activity), and the share that is dead or unheard."""
    from matplotlib.figure import Figure

    from zoo.drawing import BEST, INK, TRAIN, VALIDATION, finish_axes

    count = len(found.layers)
    places = np.arange(1, count + 1)
    figure = Figure(figsize=(max(6.0, min(12.0, 0.36 * count + 3)), 5.8), dpi=110, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for place, activity in zip(places, found.activity, strict=True):
        across = place + np.linspace(-0.35, 0.35, len(activity))
        above.plot(across, np.sort(activity), ".", color=TRAIN, markersize=2.5, label="a unit" if place == 1 else None)
    above.set_title(title or "how often each ReLU unit fires", color=INK, fontsize=10)
    finish_axes(above, "", "share of inputs")
    above.set_ylim(-0.03, 1.03)
    unheard = [(u & ~d).mean() for u, d in zip(found.unheard, found.dead, strict=True)]
    below.bar(places, found.shares, color=VALIDATION, label="dead: never above 0")
    below.bar(places, unheard, bottom=found.shares, color=BEST, label="fires, but unheard")
    below.set_xticks(places, [name.removesuffix("_activation") for name in found.layers], rotation=90, fontsize=7)
    below.set_xlim(0.4, count + 0.6)
    finish_axes(below, "layer, from the input to the output", "share of units")
    below.set_ylim(0, max(0.05, 1.15 * float(np.max(found.shares + unheard))))
    return figure
