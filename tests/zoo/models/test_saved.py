"""`.keras` files that were made to harm: none is loaded, nothing in them runs, and nothing that they declare is allocated."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import zoo.startup

# isort: split
import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import zoo
from zoo.errors import ZooError
from zoo.models import saved
from zoo.models.response_normalization import LocalResponseNormalization
from zoo.models.saved import load_model_file

CONFIG, WEIGHTS = "config.json", "model.weights.h5"


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The members of a good file."""
    path = tmp_path_factory.mktemp("good") / "model.keras"
    zoo.build("mlp", (4, 4, 1), 3, units=4, batch_normalization=True).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


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


ONE = {"class_name": "__tensor__", "config": {"value": [[[[1.0]]]], "dtype": "float32"}}
SAVED_MODEL = function_of("keras.layers", "TFSMLayer")
SAVED_MODEL_OF_SOURCE = {
    "module": "keras.src.export.tfsm_layer",
    "class_name": "TFSMLayer",
    "registered_name": "tests>Layer",
    "config": {"filepath": "/etc"},
}


def with_merge(parts, value):
    """A node of the graph that is called with something else beside its inputs."""

    def change(members):
        layer_of(members, "Add")["inbound_nodes"][0]["kwargs"]["extra"] = [{"one": value}]

    return with_model(parts, keras.Input((4,)), lambda x: layers.Add()([x, x]), change)


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


def twice(parts):
    file = io.BytesIO(packed(parts))
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(zipfile.ZipInfo(CONFIG), parts[CONFIG])
    return file.getvalue()


class Memory:
    """What this process takes at most, of which Linux alone gives account."""

    def __init__(self):
        self._before = self._most() if self._forget() else None

    def _forget(self):
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return False
        return True

    def _most(self):
        return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024

    def grown(self):
        """Bytes by which the most since `Memory()` exceeds what was taken then."""
        if self._before is None:
            pytest.skip("this system does not tell the memory that a process has taken")
        return self._most() - self._before


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_was_made_to_harm_is_refused_in_one_line(parts, tmp_path, monkeypatch, what):
    path, marker = tmp_path / "model.keras", tmp_path / "executed"
    path.write_bytes(HOSTILE[what](parts, marker))
    run = []
    monkeypatch.setattr(tf.saved_model, "load", lambda *args, **options: run.append(args))
    memory = Memory()
    with pytest.raises(ZooError) as caught:
        load_model_file(path)
    assert not run
    assert str(caught.value).startswith(f"{path} ")
    assert len(str(caught.value).splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]
    assert keras.Variable(np.zeros(3)).shape == (3,)  # as ever
    assert memory.grown() < 300_000_000


CODE = [name for name in HOSTILE if "SavedModel" in name or name.startswith(("a module", "a function", "safe mode"))]


@pytest.mark.parametrize("what", CODE)
def test_code_is_refused_before_keras_sees_it(parts, tmp_path, monkeypatch, what):
    """Whatever a version of Keras takes for safe."""
    path = tmp_path / "model.keras"
    path.write_bytes(HOSTILE[what](parts, tmp_path / "executed"))
    monkeypatch.setattr(keras.saving, "load_model", lambda *args, **options: pytest.fail("Keras was asked"))
    with pytest.raises(ZooError, match=r"holds code|no part of Keras's models|names no class"):
        load_model_file(path)


def test_what_a_model_was_compiled_with_is_looked_at_where_it_is_used(parts, tmp_path):
    whole = json.loads(parts[CONFIG])
    loss = {"module": "builtins", "class_name": "function", "config": "loss_of_mine", "registered_name": "function"}
    whole["compile_config"] = {"optimizer": "sgd", "loss": loss, "metrics": [function_of("os", "system")]}
    (tmp_path / "model.keras").write_bytes(packed(parts | {CONFIG: json.dumps(whole).encode()}))
    assert load_model_file(tmp_path / "model.keras").count_params() == 127
    with pytest.raises(ZooError, match="'system' of 'os'"):
        load_model_file(tmp_path / "model.keras", compiled=True)


def test_a_metric_without_end_is_refused(parts, tmp_path):
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
    model.compile("sgd", "mse", metrics=[keras.metrics.MeanIoU(3)])
    whole = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    whole["compile_config"]["metrics"][0]["config"]["num_classes"] = 10**5
    (tmp_path / "model.keras").write_bytes(packed(parts | {CONFIG: json.dumps(whole).encode()}))
    memory = Memory()
    with pytest.raises(ZooError, match="declare more than"):
        load_model_file(tmp_path / "model.keras", compiled=True)
    assert memory.grown() < 300_000_000


def test_links_that_go_round_are_followed_once(parts, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(with_weights(parts, in_itself))
    assert load_model_file(path).count_params() == 127


def test_what_is_no_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing.keras"):
        with pytest.raises(ZooError, match="cannot be read"):
            load_model_file(path)


def test_a_file_as_it_should_be_is_loaded(parts, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(packed(parts))
    model = load_model_file(path)
    assert model.count_params() == 127
    assert not model.compiled


@keras.saving.register_keras_serializable("tests")
class Offset(keras.layers.Layer):
    """A layer of a user's own, whose variable is made of an array."""

    def __init__(self, **options):
        super().__init__(**options)
        self.offset = keras.Variable(np.full(3, 2.0, np.float32))

    def call(self, inputs):
        return inputs + self.offset


@keras.saving.register_keras_serializable("tests")
def halved(x):
    """An activation of a user's own."""
    return 0.5 * x


def of_images():
    inputs = keras.Input((8, 8, 3))
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(layers.Rescaling(1 / 255)(inputs))
    x = layers.RandomRotation(0.1, seed=1)(layers.RandomFlip(seed=1)(x))
    x = layers.Conv2D(4, 3, kernel_regularizer="l2", kernel_constraint="max_norm", kernel_initializer="he_normal")(x)
    x = LocalResponseNormalization()(layers.BatchNormalization()(x))
    x = layers.Dropout(0.5)(layers.MaxPooling2D()(layers.SeparableConv2D(4, 3, activation=ops.tanh)(x)))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def of_operations():
    inputs = keras.Input((8, 8, 3))
    x = ops.relu(inputs) * np.ones((8, 8, 3), np.float32) - 0.5
    x = ops.image.resize(x, (4, 4))[:, 1:3, :, 0:2]
    x = ops.concatenate([x, ops.transpose(x, (0, 1, 2, 3))], axis=-1)
    return keras.Model(inputs, ops.softmax(layers.Flatten()(ops.where(x > 0, x, ops.zeros_like(x)))))


def of_shared_layers():
    inputs = keras.Input((4,))
    dense, inner = layers.Dense(4, name="shared"), keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    return keras.Model(inputs, layers.Add()([dense(dense(inputs)), inner(inputs), inner(dense(inputs))]))


def of_sequences():
    inputs = keras.Input(batch_shape=(2, 5, 4))
    x = layers.Bidirectional(layers.LSTM(3, stateful=True, return_sequences=True))(inputs)
    x = layers.TimeDistributed(layers.Dense(3))(layers.MultiHeadAttention(2, 3)(x, value=x))
    return keras.Model(
        inputs, layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)])(layers.GRU(3, return_sequences=True)(x))
    )


def of_a_user():
    inputs = keras.Input((3,))
    return keras.Model(inputs, layers.Dense(2, activation=halved)(Offset()(inputs)))


def of_mixed_precision():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype="mixed_bfloat16"), layers.Softmax()])


def of_measured_images():
    layer = layers.Normalization()
    layer.adapt(np.arange(12.0).reshape(4, 3))
    return keras.Sequential(
        [keras.Input((3,)), layer, layers.Dense(1, kernel_initializer=keras.initializers.Constant(2.0))]
    )


HONEST = {
    "mlp": lambda: zoo.build("mlp", (4, 4, 1), 3, units=4, batch_normalization=True, dropout=0.2),
    "cnn": lambda: zoo.build("cnn", (8, 8, 1), 3),
    "resnet20": lambda: zoo.build("resnet20", (8, 8, 3), 3),
    "layers of images": of_images,
    "operations": of_operations,
    "shared layers": of_shared_layers,
    "sequences": of_sequences,
    "a user's layer and function": of_a_user,
    "mixed precision": of_mixed_precision,
    "measured images": of_measured_images,
}


@pytest.mark.parametrize("what", HONEST)
def test_what_keras_saves_is_loaded(tmp_path, what):
    model, path = HONEST[what](), tmp_path / "model.keras"
    model.save(path)
    loaded = load_model_file(path)
    inputs = np.random.default_rng(0).normal(size=[n or 2 for n in model.input_shape]).astype(np.float32)
    np.testing.assert_allclose(loaded(inputs, training=False), model(inputs, training=False), rtol=1e-4)
    loaded.save(path)
    assert load_model_file(path).count_params() == model.count_params()


def test_words_are_loaded_from_the_file_itself(tmp_path):
    """From its configuration, and from its assets."""
    measured = layers.TextVectorization()
    measured.adapt(["a cat", "a dog"])
    inputs = keras.Input((), dtype="string")
    model = keras.Model(inputs, [layers.StringLookup(vocabulary=["cat", "dog"])(inputs), measured(inputs)])
    model.save(tmp_path / "model.keras")
    words = tf.constant(["dog", "cat"])
    for one, other in zip(load_model_file(tmp_path / "model.keras")(words), model(words), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("steps", [0, 1])
def test_a_compiled_model_is_loaded_with_its_optimizer(tmp_path, steps):
    """Before it has learnt, when the file does not have the numbers of the optimizer, and after."""
    model = of_images()
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, 10)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    model.compile(
        keras.optimizers.Adam(schedule, amsgrad=True, use_ema=True), loss, metrics=["accuracy", keras.metrics.AUC()]
    )
    for _ in range(steps):
        model.train_on_batch(np.ones((2, 8, 8, 3)), np.eye(3)[:2])
    model.save(tmp_path / "model.keras")
    loaded = load_model_file(tmp_path / "model.keras", compiled=True)
    assert loaded.compiled
    assert int(loaded.optimizer.iterations) == steps


def test_an_optimizer_that_is_not_stored_counts_for_less_than_its_share(tmp_path, monkeypatch):
    monkeypatch.setattr(saved, "_SPARE", 500)
    model = keras.Sequential([keras.Input((100,)), layers.Dense(100)])
    model.compile(keras.optimizers.Adam(amsgrad=True, use_ema=True, gradient_accumulation_steps=2), "mse")
    model.save(tmp_path / "model.keras")
    assert load_model_file(tmp_path / "model.keras", compiled=True).compiled


def test_nothing_is_built_twice(parts, tmp_path, monkeypatch):
    made, build = [], layers.Dense.build
    monkeypatch.setattr(layers.Dense, "build", lambda self, shape: (made.append(self), build(self, shape)))
    path = tmp_path / "model.keras"
    path.write_bytes(packed(parts))
    keras.saving.load_model(path)
    by_keras = len(made)
    load_model_file(path)
    assert len(made) == 2 * by_keras


def test_a_loaded_layer_counts_no_more(tmp_path):
    """What the layers of a file may make is bounded while they are loaded, not afterwards."""
    of_images().save(tmp_path / "model.keras")
    model = load_model_file(tmp_path / "model.keras")
    layer = next(layer for layer in model.layers if isinstance(layer, layers.Normalization))
    layer.axis = (1, 2, 3)
    layer.build((None, 1000, 1000, 3))
    assert layer.mean.shape == (1, 1000, 1000, 3)
