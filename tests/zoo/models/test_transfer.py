"""`transfer`: a backbone with its weights, what it wants done to pixels, and a new head."""

from __future__ import annotations

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest

import zoo
from zoo.errors import UsageError
from zoo.models.backbones import APPLICATIONS
from zoo.training.compiling import set_trainable, trainable_names

RANDOM = {"backbone": "resnet20", "weights": None}


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random((4, *shape)).astype(np.float32)


def features(model: keras.Model) -> keras.Model:
    return keras.Model(model.input, model.get_layer("predictions").input)


def own_backbone(channels: int = 3, *, classifier: bool = False, maps: bool = False) -> keras.Model:
    images = keras.Input((8, 8, channels))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="own_conv")(images)
    x = keras.layers.BatchNormalization(name="own_normalization")(x)
    if not maps:
        x = keras.layers.Flatten(name="own_flatten")(x)
    if classifier:
        x = keras.layers.Dense(7, activation="softmax", name="own_predictions")(x)
    model = keras.Model(images, x, name="own")
    random = np.random.default_rng(1)
    model.set_weights([random.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def backbone():
    """What `transfer` has in it by default; a test that looks at it sets its weights."""
    return zoo.build("resnet20", (32, 32, 3), 3)


@pytest.mark.parametrize("shape", [(32, 32, 3), (20, 24, 3), (9, 40, 1)], ids=str)
def test_the_backbone_sees_images_of_its_size_in_three_channels(backbone, shape):
    model = zoo.build("transfer", shape, 3, **RANDOM)
    for layer in backbone.layers:
        if layer.weights and layer.name != "predictions":
            layer.set_weights(model.get_layer(layer.name).get_weights())
    x = images(*shape)
    wanted = np.repeat(x, 3, axis=-1) if shape[-1] == 1 else x
    wanted = keras.ops.image.resize(wanted, (32, 32), interpolation="bilinear")
    np.testing.assert_allclose(features(model)(x), features(backbone)(wanted), atol=1e-6)


def test_another_image_size_may_be_asked_for():
    model = zoo.build("transfer", (20, 20, 3), 3, image_size=16, **RANDOM)
    assert model.get_layer("conv1").output.shape == (None, 16, 16, 16)


def test_calling_the_model_does_not_train_it():
    model = zoo.build("transfer", (20, 20, 1), 3, backbone=own_backbone())
    before = [np.array(w) for w in model.weights]
    x = images(20, 20, 1)
    np.testing.assert_array_equal(model(x), model(x, training=False))
    for weight, old in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)


@pytest.mark.parametrize("name", ["MobileNet", "VGG16", "MobileNetV3Small"])
def test_networks_of_keras_get_pixels_as_they_want_them(name):
    """One network of each kind of preprocessing but for DenseNet's."""
    model = zoo.build("transfer", (40, 40, 3), 3, backbone=name, weights=None, image_size=40)
    stock = getattr(keras.applications, name)(include_top=False, pooling="avg", weights=None, input_shape=(40, 40, 3))
    for layer in stock.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    module = "mobilenet_v3" if name == "MobileNetV3Small" else name.lower()
    preprocess = getattr(keras.applications, module).preprocess_input
    x = images(40, 40, 3)
    expected = np.asarray(stock(preprocess(x * 255), training=False))
    found = np.asarray(features(model)(x, training=False))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_densenet_gets_pixels_as_it_wants_them():
    """What goes into it: its hundreds of layers take long."""
    model = zoo.build("transfer", (32, 32, 3), 3, backbone="DenseNet121", weights=None, image_size=32)
    x = images(32, 32, 3)
    prepared = keras.Model(model.input, model.get_layer("conv1_conv").input)(x)[:, 3:-3, 3:-3]  # padding is between
    expected = keras.applications.densenet.preprocess_input(x * 255)
    np.testing.assert_allclose(prepared, expected, atol=1e-5 * np.abs(expected).max())


def test_every_network_of_keras_is_there():
    assert all(callable(getattr(keras.applications, name)) for name in APPLICATIONS)


@pytest.mark.parametrize("kind", ["features", "classifier", "maps"])
def test_a_model_of_ones_own_is_copied_without_its_classifier(kind):
    own = own_backbone(classifier=kind == "classifier", maps=kind == "maps")
    before = [np.array(w) for w in own.get_weights()]
    model = zoo.build("transfer", (8, 8, 3), 3, backbone=own)
    assert "own_predictions" not in [layer.name for layer in model.layers]
    x = images(8, 8, 3)
    expected = keras.Model(own.input, own.get_layer("own_normalization").output)(x, training=False)
    expected = np.asarray(expected)
    expected = expected.mean(axis=(1, 2)) if kind == "maps" else expected.reshape(4, -1)
    np.testing.assert_allclose(features(model)(x, training=False), expected, rtol=1e-6)
    model.get_layer("own_conv").kernel.assign(model.get_layer("own_conv").kernel * 0)
    for weight, old in zip(own.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_a_sequential_model_may_be_a_backbone():
    own = own_backbone()
    sequential = keras.Sequential(
        [keras.Input((8, 8, 3)), *[type(x).from_config(x.get_config()) for x in own.layers[1:]]]
    )
    sequential.set_weights(own.get_weights())
    model = zoo.build("transfer", (8, 8, 3), 3, backbone=sequential)
    x = images(8, 8, 3)
    np.testing.assert_allclose(features(model)(x), own(x), rtol=1e-6)


def test_a_classifier_inside_another_model_is_refused():
    own = own_backbone(classifier=True)
    outer = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(2.0), own])
    with pytest.raises(UsageError, match="ends in a classifier, and not in a Dense layer"):
        zoo.build("transfer", (8, 8, 3), 3, backbone=outer)


def own_classifier(kind: str) -> keras.Model:
    x = inputs = keras.Input((8, 8, 3))
    if kind == "convolutions":
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(5, 1)(keras.layers.Conv2D(3, 3)(x)))
    else:
        x = keras.layers.Flatten()(x)
        x = keras.layers.Add()([keras.layers.Dense(5)(x), keras.layers.Dense(5)(x)])
    return keras.Model(inputs, keras.layers.Softmax()(x))


@pytest.mark.timeout(20)  # the first one hung once
@pytest.mark.parametrize("kind", ["convolutions", "a sum"])
def test_a_classifier_without_one_dense_layer_is_refused(kind):
    with pytest.raises(UsageError, match="ends in a classifier, and not in a Dense layer") as error:
        zoo.build("transfer", (8, 8, 3), 3, backbone=own_classifier(kind))
    assert "\n" not in str(error.value)


def test_a_classifier_that_two_models_share_is_left_out_of_each():
    shared, models = keras.layers.Dense(5), []
    for scale in (1.0, 2.0):
        inputs = keras.Input((8, 8, 3))
        x = keras.layers.Flatten()(keras.layers.Rescaling(scale)(inputs))
        models.append(keras.Model(inputs, keras.layers.Softmax()(shared(x))))
    x = images(8, 8, 3)
    for scale, own in zip((1.0, 2.0), models, strict=True):
        model = zoo.build("transfer", (8, 8, 3), 3, backbone=own)
        np.testing.assert_allclose(features(model)(x), scale * x.reshape(4, -1), rtol=1e-6)


@pytest.mark.parametrize("name", ["pool", "inputs", "rgb", "predictions", "head_dense1", "head_dropout"])
def test_layers_of_a_backbone_may_be_named_like_ours(name):
    inputs = keras.Input((8, 8, 3))
    own = keras.Model(inputs, keras.layers.Conv2D(4, 3, activation="relu", name=name)(inputs), name="own")
    model = zoo.build("transfer", (8, 8, 1), 3, backbone=own, units=5, dropout=0.1)
    assert {layer.split("_")[0] for layer in trainable_names(model, "head")} == {"head", "predictions"}
    assert len(trainable_names(model, "backbone")) == 1
    x = images(8, 8, 1)
    found = keras.Model(model.input, model.get_layer("head_dropout1").input)(x)
    expected = np.asarray(own(np.repeat(x, 3, axis=-1))).mean(axis=(1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_model_of_ones_own_is_no_part_of_the_model():
    own = own_backbone()
    before = own.get_weights()
    model = zoo.build("transfer", (8, 8, 3), 3, backbone=own)
    assert len(model.weights) == len(own.weights) + 2
    assert own not in list(model._flatten_layers())
    recipe = zoo.Recipe(epochs=2, batch_size=2, trainable="all", optimizer="adamw", weight_decay=0.5, learning_rate=0.1)
    zoo.train(model, (images(8, 8, 3), np.array([0, 1, 2, 0])), recipe, verbose=False)
    for weight, old in zip(own.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_a_run_on_a_model_of_ones_own_knows_its_weights(tmp_path):
    def train(own: keras.Model) -> tuple[keras.Model, zoo.TrainingRun]:
        model = zoo.build("transfer", (8, 8, 3), 3, backbone=own)
        recipe = zoo.Recipe(epochs=1, trainable="head")
        return model, zoo.train(model, data, recipe, output_dir=tmp_path / "run", verbose=False)

    data = images(8, 8, 3), np.array([0, 1, 2, 0])
    first, run = train(own_backbone())  # whose inputs Keras names, each time in another way
    again, loaded = train(own_backbone())
    assert loaded.metrics == run.metrics
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    other = own_backbone()
    other.get_layer("own_conv").bias.assign(np.full(4, 2.0))
    with pytest.raises(UsageError, match="holds another run"):
        train(other)


@pytest.mark.parametrize("nested", [False, True])
def test_an_adapted_normalisation_is_copied_with_what_it_learned(nested):
    x = images(8, 8, 3)
    normalization = keras.layers.Normalization(name="own_normalization")
    normalization.adapt(5 * x + 2)
    inputs = keras.Input((8, 8, 3))
    normalized = keras.Sequential([normalization])(inputs) if nested else normalization(inputs)
    own = keras.Model(inputs, keras.layers.Flatten()(normalized))
    model = zoo.build("transfer", (8, 8, 3), 3, backbone=own)
    np.testing.assert_allclose(features(model)(x), own(x), rtol=1e-6)
    assert np.abs(own(x) - x.reshape(4, -1)).max() > 1


def test_penalties_are_of_the_head_alone():
    model = zoo.build("transfer", (8, 8, 3), 3, units=(5, 4), l1=0.5, l2=0.25, backbone=own_backbone())
    kernels = [model.get_layer(name).kernel for name in ("head_dense1", "head_dense2", "predictions")]
    expected = [0.5 * np.abs(k).sum() + 0.25 * np.square(k).sum() for k in kernels]
    np.testing.assert_allclose([float(loss) for loss in model.losses], expected, rtol=1e-5)


def test_the_head_and_the_backbone_are_told_apart():
    model = zoo.build("transfer", (8, 8, 3), 3, units=(5, 4), batch_normalization=True, backbone=own_backbone())
    head = {f"head_dense{i}{part}" for i in (1, 2) for part in ("", "_batch_normalization")} | {"predictions"}
    assert trainable_names(model, "head") == head
    assert trainable_names(model, "all") == head | trainable_names(model, "backbone")
    assert not head & trainable_names(model, "backbone")


# (trainable, trained weights); head: 64 * 5 + 5 + 5 * 3 + 3, backbone: the 269,722 of ResNet-20 less 650
COUNTS = {
    "head": ("head", 343),
    "backbone": ("backbone", 269_072),
    "all": ("all", 269_415),
    "some": (("conv1", "stage1_block1_conv1", "predictions"), 432 + 2304 + 18),
    "a stage": ("stage3_*", 9 * 32 * 64 + 5 * 9 * 64 * 64 + 6 * 2 * 64),
}


def test_what_is_frozen_is_counted_exactly():
    model = zoo.build("transfer", (8, 8, 3), 3, units=5, image_size=8, **RANDOM)
    for trainable, count in COUNTS.values():
        set_trainable(model, trainable)
        assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == count


@pytest.mark.parametrize("trainable", ["head", "backbone", "all", ("own_conv", "predictions"), "own_norm*"], ids=str)
def test_what_is_frozen_stays_bit_by_bit(trainable):
    model = zoo.build("transfer", (8, 8, 3), 3, units=5, backbone=own_backbone())
    chosen = trainable_names(model, trainable)
    before = {w.path: np.array(w) for w in model.weights}
    x, y = images(8, 8, 3), np.array([0, 1, 2, 0])
    zoo.train(model, (x, y), zoo.Recipe(epochs=2, batch_size=2, trainable=trainable), verbose=False)
    for weight in model.weights:
        is_chosen = weight.path.split("/")[0] in chosen
        assert np.array_equal(weight, before[weight.path]) != is_chosen, weight.path


def test_phases_train_the_head_and_then_all():
    model = zoo.build("transfer", (8, 8, 3), 3, backbone=own_backbone())
    recipes = [zoo.Recipe(epochs=1, trainable="head"), zoo.Recipe(epochs=1, trainable="all", learning_rate=1e-4)]
    run = zoo.train(model, (images(8, 8, 3), np.array([0, 1, 2, 0])), recipes, verbose=False)
    assert list(run.history["phase"]) == [0, 1]
    assert [r["trainable"] for r in run.config["recipes"]] == ["head", "all"]


def test_a_pattern_that_matches_nothing_names_what_there_is():
    model = zoo.build("transfer", (8, 8, 3), 3, image_size=8, **RANDOM)
    with pytest.raises(UsageError, match=r"'stage4_\*' matches no layer .*stage3_block3_conv2"):
        zoo.train(model, (images(8, 8, 3), np.array([0, 1, 2, 0])), zoo.Recipe(trainable="stage4_*"))


def test_weights_are_of_named_backbones():
    with pytest.raises(UsageError, match="brings its own"):
        zoo.build("transfer", (8, 8, 3), 3, backbone=own_backbone(), weights=None)
    with pytest.raises(UsageError, match="RGB images"):
        zoo.build("transfer", (8, 8, 3), 3, backbone=own_backbone(channels=1))
    with pytest.raises(UsageError, match=r"did you mean .*'resnet20'"):
        zoo.build("transfer", (8, 8, 3), 3, backbone="resnet2", weights=None)
