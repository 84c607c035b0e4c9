"""Examples -> what a frozen network makes of them, as data that a head trains on like on any other."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.data.split import Scaling, Split
from zoo.data.splits import DataSplits, inputs_sha256
from zoo.data.streaming import naming_files
from zoo.features.cache import stored
from zoo.features.cutting import graph_of

_BATCH_BYTES = 2**26  # of the largest activation
_LARGEST_BATCH = 256

OnProgress = Callable[[int, int], None]  # (done, all): batches of features, or steps of an epoch


@naming_files()
def extract_features(
    network: keras.Model,
    data: DataSplits,
    *,
    augment: Sequence[str] = (),
    draws: int = 1,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> DataSplits | None:
    """Training and validation data as the features that a network makes of them, each example computed once.

    They are kept in a file by the network's weights and configuration, the examples and the augmentation, so that the
    next run finds them; see `zoo.features.cache`.

    Args:
        network: from the inputs of the data to features; computed in inference mode.
        data: in memory or files.
        augment: names of `zoo.data.augment.AUGMENTATIONS`, for the training data.
        draws: how often each training example is augmented. Draw d of all examples is behind draw d - 1 in the store of
            the training split, whose rows are those of the first draw.
        seed: of the augmentation.
        on_progress: told how far the computation is; not called where nothing is computed.

    Returns:
        Splits in memory, or in a mapped file, with float features. `None` for streams, whose examples may differ from pass to
        pass, for features of no fixed size, and where there is no room for them.
    """
    if None in network.output_shape[1:]:
        return None
    compute, key = _compiled(network), _network_sha256(network)
    splits: dict[str, Split | None] = {"train": data.train, "validation": data.validation}
    made: dict[str, Split | None] = {}
    for name, split in splits.items():
        if split is None:
            made[name] = None
            continue
        augmentation = (tuple(augment), draws, seed) if augment and name == "train" else ((), 1, 0)
        found = _features(network, compute, key, split, augmentation, on_progress)
        if found is None:
            return None
        made[name] = found
    assert made["train"] is not None
    return dataclasses.replace(data, train=made["train"], validation=made["validation"], test=None)


def _features(
    network: keras.Model,
    compute: Callable[[tf.Tensor], tf.Tensor],
    network_key: str | None,
    split: Split,
    augmentation: tuple[Sequence[str], int, int],
    on_progress: OnProgress | None,
) -> Split | None:
    names, draws, seed = augmentation
    identity = inputs_sha256(split)
    if identity is None or split.labels is None:
        return None
    key = None
    if network_key is not None:
        facts = [network_key, identity, names, draws, seed, metadata.version("tensorflow"), 1]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    size, steps = batch_size(network), split.num_batches(batch_size(network))

    def fill(array: np.ndarray, first: int, on_rows: Callable[[int], None]) -> None:
        row = first
        for draw in range(first // len(split), draws):
            batches = split.batches(size, augment=names or None, seed=seed, first_pass=draw)
            for inputs, _ in batches.skip(-(-(row - draw * len(split)) // size)):
                array[row : row + len(inputs)] = compute(inputs)
                row += len(inputs)
                on_rows(row)
                if on_progress is not None:
                    on_progress(draw * steps + -(-(row - draw * len(split)) // size), draws * steps)

    dtype = np.dtype("float64" if network.output.dtype == "float64" else "float32")
    shape = (draws * len(split), *network.output_shape[1:])
    about = {
        "layer": network.output._keras_history.operation.name,
        "examples": len(split),
        "shape": list(shape),
        "augment": list(names),
    }
    store = stored(key, shape, dtype, fill, about)
    if store is None:
        return None
    return Split(
        size=len(split),
        class_names=split.class_names,
        input_shape=shape[1:],
        dtype=dtype,
        scaling=Scaling(),
        store=store,
        labels=split.labels,
    )


def batch_size(network: keras.Model) -> int:
    """Examples a forward pass: many, but no activation of many megabytes."""
    shapes = [t.shape[1:] for node in _nodes(network) for t in node.outputs]
    largest = max(4 * int(np.prod([n or 1 for n in shape])) for shape in shapes)
    return max(1, min(_LARGEST_BATCH, _BATCH_BYTES // largest))


def _compiled(network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    def compute(inputs: tf.Tensor) -> tf.Tensor:
        features = network(inputs, training=False)
        return features if features.dtype == tf.float64 else tf.cast(features, tf.float32)

    compiled: Callable[[tf.Tensor], tf.Tensor] = tf.function(compute, reduce_retracing=True)
    return compiled


def _nodes(network: keras.Model) -> Iterator[Any]:
    """All calls of layers and operations, those inside nested models too."""
    for nodes in getattr(graph_of(network), "_nodes_by_depth", {}).values():
        for node in nodes:
            yield node
            if isinstance(node.operation, keras.Model):
                yield from _nodes(node.operation)


def _network_sha256(network: keras.Model) -> str | None:
    """What decides what a network computes: its configuration but for names, and its weights.

    `None` where the configuration does not tell all: a layer or a function of a user, whose code may change.
    """
    layers = network._flatten_layers()
    operations = [*layers, *(node.operation for node in _nodes(network))]
    functions = [value for layer in layers for value in vars(layer).values() if inspect.isfunction(value)]
    modules = [*(type(operation).__module__ for operation in operations), *(f.__module__ for f in functions)]
    if not all(module.split(".")[0] in ("keras", "zoo") for module in modules):
        return None
    try:
        text = json.dumps(keras.saving.serialize_keras_object(network))
    except Exception:  # something that Keras cannot describe
        return None
    names = dict.fromkeys([network.name, *(operation.name for operation in operations)])
    places = {name: f"#{place}" for place, name in enumerate(names)}  # some names are counted through a process
    digest = hashlib.sha256(json.dumps(_renamed(json.loads(text), places), sort_keys=True).encode())
    for array in network.get_weights():
        digest.update(f"{array.shape} {array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _renamed(config: Any, places: Mapping[str, str]) -> Any:
    """A configuration with other names of layers, where it names layers."""
    if isinstance(config, list):
        return [_renamed(part, places) for part in config]
    if not isinstance(config, dict):
        return config
    renamed = {}
    for key, value in config.items():
        if key == "name" and isinstance(value, str):
            renamed[key] = places.get(value, value)
        elif key in ("keras_history", "input_layers", "output_layers"):
            renamed[key] = _renamed_all(value, places)
        else:
            renamed[key] = value if key == "dtype" else _renamed(value, places)
    return renamed


def _renamed_all(value: Any, places: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed_all(part, places) for part in value]
    return places.get(value, value) if isinstance(value, str) else value
