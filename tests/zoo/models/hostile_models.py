"""The `.keras` files that harm: what is wrong -> a function of the members of a good file and of a file to make."""

from __future__ import annotations

import json
import zipfile

import zoo.startup  # noqa: F401  (before Keras)

# isort: split
import h5py
import keras
import numpy as np
from keras import layers
from model_files import (
    CONFIG,
    WEIGHTS,
    eager_call,
    error_of_keras,
    function_of,
    lambda_layer,
    packed,
    repeated_moments,
    replaced,
    set_units,
    states,
    twice,
    virtual,
    with_layer,
    with_merge,
    with_model,
    with_option,
    with_weights,
)

ONE = {"class_name": "__tensor__", "config": {"value": [[[[1.0]]]], "dtype": "float32"}}
SAVED_MODEL = function_of("keras.layers", "TFSMLayer")
SAVED_MODEL_OF_SOURCE = {
    "module": "keras.src.export.tfsm_layer",
    "class_name": "TFSMLayer",
    "registered_name": "tests>Layer",
    "config": {"filepath": "/etc"},
}

HOSTILE = {
    "a Lambda of a function by name": lambda p, m: with_layer(
        p, "Lambda", lambda_layer({"class_name": "function", "config": "system", "module": "os"}), module="keras.layers"
    ),
    "a Lambda of bytecode": lambda p, m: with_layer(
        p,
        "Lambda",
        lambda_layer({"class_name": "__lambda__", "config": {"value": "4wAA", "defaults": None, "closure": None}}),
        module="keras.layers",
    ),
    "a lambda as an activation": lambda p, m: with_option(
        p, activation={"class_name": "__lambda__", "config": {"value": "4wAA", "defaults": None, "closure": None}}
    ),
    "a function of another module": lambda p, m: with_option(p, activation=function_of("os", "system")),
    "a function that downloads": lambda p, m: with_option(p, activation=function_of("keras.utils", "get_file")),
    "a class of another module": lambda p, m: with_layer(
        p, "Popen", {"args": f"touch {m}"}, module="subprocess", registered_name="Popen"
    ),
    "a layer of nobody": lambda p, m: with_layer(p, "Evil", {}, module=None, registered_name="evil>Evil"),
    "safe mode switched off": lambda p, m: packed(
        p
        | {
            CONFIG: json.dumps(
                {
                    "module": "keras.config",
                    "class_name": "function",
                    "config": "enable_unsafe_deserialization",
                    "registered_name": "function",
                }
            ).encode()
        }
    ),
    "a SavedModel elsewhere": lambda p, m: with_layer(
        p, "TFSMLayer", {"filepath": "/etc", "call_endpoint": "serve"}, module="keras.layers"
    ),
    "a SavedModel by the name of its module": lambda p, m: with_layer(
        p, "layers.TFSMLayer", {"filepath": "/etc"}, module="keras"
    ),
    "a SavedModel by its source": lambda p, m: with_option(p, kernel_initializer=SAVED_MODEL_OF_SOURCE),
    "a SavedModel as an activation": lambda p, m: with_option(p, activation=SAVED_MODEL),
    "a SavedModel as an activation, by its source": lambda p, m: with_option(
        p, activation=function_of("keras.src.export.tfsm_layer", "TFSMLayer")
    ),
    "a SavedModel as a builtin": lambda p, m: with_option(p, activation=function_of("builtins", "TFSMLayer")),
    "a SavedModel as an initializer": lambda p, m: with_option(p, kernel_initializer=SAVED_MODEL),
    "a SavedModel as a regularizer": lambda p, m: with_option(p, kernel_regularizer=SAVED_MODEL),
    "a SavedModel as an argument": lambda p, m: with_merge(p, SAVED_MODEL),
    "a SavedModel within a layer": lambda p, m: with_layer(
        p, "TimeDistributed", {"layer": SAVED_MODEL}, module="keras.layers"
    ),
    "a metric of a billion thresholds": lambda p, m: with_option(
        p, activation={"module": "keras.metrics", "class_name": "AUC", "config": {"num_thresholds": 10**9}}
    ),
    "an operation of a billion parts": lambda p, m: with_layer(
        p, "Unstack", {"name": "parts", "num": 10**9}, module="keras.src.ops.numpy"
    ),
    "a network that is fetched": lambda p, m: with_option(
        p, activation={"module": "keras.applications", "class_name": "ResNet50", "config": {}}
    ),
    "a module of PyTorch": lambda p, m: with_layer(
        p, "TorchModuleWrapper", {"module": "gASVAA=="}, module="keras.layers"
    ),
    "a function of JAX": lambda p, m: with_layer(
        p, "JaxLayer", {"call_fn": function_of("os", "system")}, module="keras.layers"
    ),
    "a module of Flax": lambda p, m: with_layer(p, "FlaxLayer", {"module": "os"}, module="keras.layers"),
    "a function that downloads, as a class": lambda p, m: with_option(
        p, activation={"module": "keras.datasets.mnist", "class_name": "load_data", "config": {}}
    ),
    "a function that makes what it is told": lambda p, m: with_option(
        p, activation=function_of("keras.activations", "deserialize")
    ),
    "a class by no name": lambda p, m: with_option(p, activation={"class_name": ["Dense"], "config": {}}),
    "a function by no name": lambda p, m: with_option(p, activation={"class_name": "function", "config": {}}),
    "a vocabulary of texts elsewhere": lambda p, m: with_layer(
        p, "TextVectorization", {"vocabulary": "/etc/passwd"}, module="keras.layers"
    ),
    "a vocabulary elsewhere": lambda p, m: with_layer(
        p, "StringLookup", {"vocabulary": "/etc/passwd"}, module="keras.layers"
    ),
    "a trillion units": lambda p, m: with_option(p, units=10**12),
    "a hundred million units": lambda p, m: with_option(p, units=10**8),
    "units behind a name that Keras's errors quote": lambda p, m: error_of_keras(p),
    "units behind states": lambda p, m: with_model(
        p,
        keras.Input(batch_shape=(2, 3, 4)),
        lambda x: layers.Dense(2)(layers.LSTM(2, stateful=True)(x)),
        set_units,
    ),
    "states without end": lambda p, m: states(p, layers.LSTM(20, stateful=True), (2, 1, 1), 10**7),
    "states of pixels without end": lambda p, m: states(
        p, layers.ConvLSTM2D(20, 1, stateful=True), (2, 1, 1, 1, 1), 10**7
    ),
    "moments without end": lambda p, m: with_model(
        p, keras.Input((2, 2)), layers.Normalization(mean=0.0, variance=1.0), repeated_moments
    ),
    "a computation while it is loaded": eager_call([ONE]),
    "a computation with an input that is hidden": eager_call(
        [
            ONE,
            {"class_name": "__slice__", "config": {"start": {"class_name": "__keras_tensor__"}, "stop": 1, "step": 1}},
        ]
    ),
    "units without end": lambda p, m: with_option(p, units=10**400),
    "units below zero": lambda p, m: with_option(p, units=-4),
    "lists in lists": lambda p, m: packed(p | {CONFIG: b"[" * 100_000}),
    "lists in lists, closed": lambda p, m: packed(p | {CONFIG: b'{"a":' * 500 + b"1" + b"}" * 500}),
    "a list": lambda p, m: packed(p | {CONFIG: b"[]"}),
    "no text": lambda p, m: packed(p | {CONFIG: b"\xff\xfe"}),
    "an optimizer": lambda p, m: packed(
        p | {CONFIG: json.dumps({"module": "keras.optimizers", "class_name": "SGD", "config": {}}).encode()}
    ),
    "a bomb of weights": lambda p, m: packed(p | {WEIGHTS: bytes(5 * 10**7)}, zipfile.ZIP_DEFLATED),
    "a bomb of a configuration": lambda p, m: packed(p | {CONFIG: b" " * 10**7 + p[CONFIG]}, zipfile.ZIP_DEFLATED),
    "a path upwards": lambda p, m: packed(p | {"assets/../../escaped": b""}),
    "an absolute path": lambda p, m: packed(p | {str(m): b""}),
    "a path of Windows": lambda p, m: packed(p | {"assets\\..\\escaped": b""}),
    "something more": lambda p, m: packed(p | {"code.py": b"import os"}),
    "no weights": lambda p, m: packed({n: c for n, c in p.items() if n != WEIGHTS}),
    "no configuration": lambda p, m: packed({n: c for n, c in p.items() if n != CONFIG}),
    "a configuration twice": lambda p, m: twice(p),
    "no archive": lambda p, m: b"PK\x03\x04 and no more",
    "nothing": lambda p, m: b"",
    "weights that are none": lambda p, m: packed(p | {WEIGHTS: b"\x89HDF\r\n\x1a\n" + bytes(500)}),
    "a link to another file": lambda p, m: with_weights(
        p, replaced(lambda g, n: g.__setitem__(n, h5py.ExternalLink("/etc/passwd", "/x")))
    ),
    "a link within": lambda p, m: with_weights(p, replaced(lambda g, n: g.__setitem__(n, h5py.SoftLink("/layers")))),
    "numbers in another file": lambda p, m: with_weights(
        p, replaced(lambda g, n: g.create_dataset(n, (16, 4), "f4", external=[("/etc/passwd", 0, 256)]))
    ),
    "a virtual array": lambda p, m: with_weights(p, replaced(virtual)),
    "an array of which nothing is stored": lambda p, m: with_weights(
        p, replaced(lambda g, n: g.create_dataset(n, (10**6, 10**3), "f4", chunks=(1000, 1000)))
    ),
    "an array that unfolds": lambda p, m: with_weights(
        p, replaced(lambda g, n: g.create_dataset(n, data=np.zeros((10**6, 10)), compression="gzip"))
    ),
    "references for numbers": lambda p, m: with_weights(
        p, replaced(lambda g, n: g.create_dataset(n, (16, 4), h5py.ref_dtype))
    ),
    "texts for numbers": lambda p, m: with_weights(
        p, replaced(lambda g, n: g.create_dataset(n, (16, 4), h5py.string_dtype()))
    ),
    "an array for a group": lambda p, m: with_weights(
        p, lambda w: (w["layers/dense"].__delitem__("vars"), w["layers/dense"].__setitem__("vars", np.zeros(3)))
    ),
    "weights of another shape": lambda p, m: with_weights(
        p, replaced(lambda g, n: g.create_dataset(n, data=np.zeros((3, 3), np.float32)))
    ),
}
