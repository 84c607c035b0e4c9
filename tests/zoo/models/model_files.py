"""`.keras` files that are made of the members of a good one, with something else in its place."""

from __future__ import annotations

import io
import json
import zipfile

import zoo.startup  # noqa: F401  (before Keras)

# isort: split
import h5py
import keras
import pytest
from keras import layers

CONFIG, WEIGHTS = "config.json", "model.weights.h5"


def packed(parts, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def with_layer(parts, class_name, config, **more):
    """The model with another layer in place of its first dense one."""
    whole = json.loads(parts[CONFIG])
    layer = next(layer for layer in whole["config"]["layers"] if layer["class_name"] == "Dense")
    layer |= {"class_name": class_name, "config": {"name": layer["name"], **config}, **more}
    layer.pop("build_config", None)
    return packed(parts | {CONFIG: json.dumps(whole).encode()})


def with_option(parts, **options):
    """The model with other options of its last layer."""
    whole = json.loads(parts[CONFIG])
    layer = [layer for layer in whole["config"]["layers"] if layer["class_name"] == "Dense"][-1]
    layer["config"] |= options
    return packed(parts | {CONFIG: json.dumps(whole).encode()})


def with_weights(parts, change):
    """The model with an HDF5 file that `change` was made to."""
    file = io.BytesIO(parts[WEIGHTS])
    with h5py.File(file, "a") as weights:
        change(weights)
    return packed(parts | {WEIGHTS: file.getvalue()})


def kernel_of(weights):
    """(group, name) of a kernel."""
    return weights["layers/dense/vars"], "0"


def replaced(make):
    def change(weights):
        group, name = kernel_of(weights)
        del group[name]
        make(group, name)

    return change


def virtual(group, name):
    layout = h5py.VirtualLayout((16, 4), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (16, 4))
    group.create_virtual_dataset(name, layout)


def in_itself(weights):
    weights["layers/dense/again"] = weights["layers"]


def function_of(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def lambda_layer(function):
    return {"function": function, "arguments": {}}


def with_model(parts, inputs, apply, change):
    """Another model of the layers that `apply` makes of its inputs, to whose list of layers `change` was made."""
    whole = keras.saving.serialize_keras_object(keras.Model(inputs, apply(inputs)))
    whole = json.loads(json.dumps(whole))
    change(whole["config"]["layers"])
    return packed(parts | {CONFIG: json.dumps(whole).encode()})


def layer_of(layers_of_model, class_name):
    return next(layer for layer in layers_of_model if layer["class_name"] == class_name)


def set_units(members):
    layer_of(members, "Dense")["config"]["units"] = 10**8


def error_of_keras(parts):
    """A layer whose name, which Keras's error about it quotes, is what Keras says of something else."""

    def change(members):
        set_units(members)
        layer = layer_of(members, "Dropout")
        options = {"name": layer["name"], "filters": 1, "kernel_size": 1}
        layer.update(class_name="Conv2D", config=options, build_config=None)

    name = "while in a stateless scope"
    return with_model(parts, keras.Input((4,)), lambda x: layers.Dropout(0.5, name=name)(layers.Dense(2)(x)), change)


def states(parts, layer, shape, batch):
    """A stateful layer of which each example takes little, and a batch of them more than there is."""

    def change(members):
        members[0]["config"]["batch_shape"][0] = batch
        del members[1]["build_config"]

    return with_model(parts, keras.Input(batch_shape=shape), layer, change)


def repeated_moments(members):
    members[0]["config"]["batch_shape"] = [None, 10**4, 10**4]
    layer = layer_of(members, "Normalization")
    layer["config"]["axis"] = [1, 2]
    del layer["build_config"]


def eager_call(arguments):
    """A second call of a layer: with values that are in the file, so that Keras computes while it loads."""

    def change(members):
        layer = layer_of(members, "UpSampling2D")
        layer["config"]["size"] = [10**4, 10**4]
        layer["inbound_nodes"].append({"args": arguments, "kwargs": {}})

    return lambda p, m: with_model(p, keras.Input((1, 1, 1)), layers.UpSampling2D(2), change)


def with_merge(parts, value):
    """A node of the graph that is called with something else beside its inputs."""

    def change(members):
        layer_of(members, "Add")["inbound_nodes"][0]["kwargs"]["extra"] = [{"one": value}]

    return with_model(parts, keras.Input((4,)), lambda x: layers.Add()([x, x]), change)


def twice(parts):
    file = io.BytesIO(packed(parts))
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(zipfile.ZipInfo(CONFIG), parts[CONFIG])
    return file.getvalue()
