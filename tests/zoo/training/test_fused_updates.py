"""`fuse_updates` against the same stock Keras optimizer, and against the textbook in NumPy."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable

import zoo.startup  # noqa: F401  (before Keras)

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.training.fused_updates import fuse_updates

STEPS = 20
RATE = 2**-5  # Keras keeps rates in float32; this one is the same in float64
SHAPES = [(5, 4), (3,), (2, 1, 3), ()]


def piecewise():
    return keras.optimizers.schedules.PiecewiseConstantDecay([4, 11], [RATE, RATE / 4, RATE / 8])


def cosine():
    return keras.optimizers.schedules.CosineDecay(RATE, STEPS)


def make(kind: str, **options) -> keras.Optimizer:
    defaults = {"sgd": {}, "momentum": {"momentum": 0.75}, "nesterov": {"momentum": 0.75, "nesterov": True}}
    options = {"learning_rate": RATE, **defaults.get(kind, {}), **options}
    rate = options["learning_rate"]
    options["learning_rate"] = rate() if callable(rate) else rate
    return {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}.get(kind, keras.optimizers.SGD)(**options)


KINDS = ["sgd", "momentum", "nesterov", "adam", "adamw"]
every_kind = pytest.mark.parametrize("kind", KINDS)
OPTIONS = [
    {"weight_decay": 0.125},
    {"clipnorm": 0.5},
    {"global_clipnorm": 0.5},
    {"learning_rate": piecewise},
    {"learning_rate": cosine, "weight_decay": 0.01},
    {"use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": 3},
    {"loss_scale_factor": 8.0},
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "weight_decay": 0.125, "learning_rate": piecewise},
]
CASES = [
    *((kind, dtype, {}) for kind in KINDS for dtype in ("float32", "float64")),
    *((kind, "float32", options) for kind in ("momentum", "adamw") for options in OPTIONS),
    *((kind, "float64", options) for kind in ("sgd", "adam") for options in OPTIONS[-2:]),
]


# Keras takes beta to the power t in float32 whatever the weights are, but 1 - beta in double precision: its Adam is a
# hundred-thousandth off the textbook, which the fused operation is not. Of SGD's formulas there is one reading.
TOLERANCES = {"float32": 1e-6, "float64": 1e-12}
OFF_IN_KERAS = 2e-5


def tolerance_of(kind: str, dtype: str) -> float:
    return OFF_IN_KERAS if kind in ("adam", "adamw") else TOLERANCES[dtype]


def is_fused(optimizer: keras.Optimizer) -> bool:
    return "update_step" in vars(optimizer)


def gradients_of(step: int, dtype: str) -> list[tf.Tensor]:
    random = np.random.default_rng(step)
    return [tf.constant(random.normal(size=shape), dtype) for shape in SHAPES]


def apply_steps(
    optimizer: keras.Optimizer,
    dtype: str = "float32",
    gradients: Callable[[int, str], list[tf.Tensor]] = gradients_of,
    *,
    in_graph: bool = False,
) -> list[np.ndarray]:
    """The weights after 20 random gradients, and then the slots."""
    random = np.random.default_rng(99)
    weights = [keras.Variable(random.normal(size=s), dtype=dtype, name=f"weight{i}") for i, s in enumerate(SHAPES)]
    optimizer.build(weights)

    def step(given: list[tf.Tensor]) -> None:
        optimizer.apply(given, weights)

    one_step = tf.function(step) if in_graph else step
    for number in range(STEPS):
        one_step(gradients(number, dtype))
    return [np.array(tf.cast(v.value, "float64")) for v in [*weights, *optimizer.variables]]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float) -> None:
    """Every slot within `tolerance` of its largest value; every weight of that, or of the way it may have gone."""
    assert len(found) == len(expected) > len(SHAPES)
    for i, (ours, stock) in enumerate(zip(found, expected, strict=True)):
        scale = max(np.abs(stock).max(), STEPS * RATE if i < len(SHAPES) else 0)
        assert np.abs(ours - stock).max() <= tolerance * scale


@pytest.mark.parametrize(
    ("kind", "dtype", "options"), CASES, ids=["-".join([kind, dtype, *options]) for kind, dtype, options in CASES]
)
def test_weights_and_slots_are_those_of_the_stock_optimizer(kind, options, dtype):
    stock, fused = make(kind, **options), fuse_updates(make(kind, **options))
    assert is_fused(fused)
    assert not is_fused(stock)
    assert_same(apply_steps(fused, dtype), apply_steps(stock, dtype), tolerance_of(kind, dtype))
    assert [(v.name, v.shape, v.dtype) for v in fused.variables] == [
        (v.name, v.shape, v.dtype) for v in stock.variables
    ]
    assert int(keras.ops.convert_to_numpy(fused._iterations)) == STEPS


@every_kind
def test_a_graph_updates_as_eager_execution_does(kind):
    found = apply_steps(fuse_updates(make(kind)), in_graph=True)
    assert_same(found, apply_steps(fuse_updates(make(kind))), 1e-6)


def sparse(number: int, dtype: str) -> list[tf.Tensor]:
    """The gradients of `rows` as an embedding gives them: some rows, one of them twice."""
    whole = gradients_of(number, dtype)
    rows = tf.constant([2, 0, 2])
    return [tf.IndexedSlices(tf.gather(whole[0], rows), rows, tf.constant(SHAPES[0])), *whole[1:]]


def dense(number: int, dtype: str) -> list[tf.Tensor]:
    return [tf.convert_to_tensor(gradient) for gradient in sparse(number, dtype)]


@every_kind
def test_gradients_of_chosen_rows_are_dense_gradients(kind):
    found = apply_steps(fuse_updates(make(kind)), gradients=sparse)
    assert_same(found, apply_steps(make(kind), gradients=dense), tolerance_of(kind, "float32"))


@every_kind
def test_bfloat16_weights_keep_keras_arithmetic(kind):
    assert_same(apply_steps(fuse_updates(make(kind)), "bfloat16"), apply_steps(make(kind), "bfloat16"), 0)


def test_one_optimizer_takes_weights_of_either_precision():
    def weights(optimizer):
        variables = [keras.Variable(np.ones(3), dtype=dtype) for dtype in ("float32", "float64", "bfloat16")]
        for _ in range(5):
            optimizer.apply([tf.constant([1.0, -2.0, 0.5], v.dtype) for v in variables], variables)
        return [np.array(tf.cast(v.value, "float64")) for v in variables]

    for ours, stock in zip(weights(fuse_updates(make("adam"))), weights(make("adam")), strict=True):
        np.testing.assert_allclose(ours, stock, rtol=OFF_IN_KERAS)


# The textbook


def numpy_steps(kind: str, decay: float) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """The weights after 20 random gradients, the first and the second moments."""
    random = np.random.default_rng(99)
    weights = [random.normal(size=shape) for shape in SHAPES]
    v, s = ([np.zeros(shape) for shape in SHAPES] for _ in range(2))
    for t in range(1, STEPS + 1):
        for i, gradient in enumerate(gradients_of(t - 1, "float64")):
            g = gradient.numpy()
            w = weights[i] - RATE * decay * weights[i]
            if kind == "sgd":
                w = w - RATE * g
            elif kind in ("momentum", "nesterov"):
                v[i] = 0.9 * v[i] - RATE * g
                w = w + (v[i] if kind == "momentum" else 0.9 * v[i] - RATE * g)
            else:
                v[i] = 0.9 * v[i] + 0.1 * g
                s[i] = 0.999 * s[i] + 0.001 * g**2
                # Kingma and Ba (2015), section 2: the faster order, with epsilon beside the uncorrected root, as in Keras
                rate = RATE * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
                w = w - rate * v[i] / (np.sqrt(s[i]) + 1e-7)
            weights[i] = w
    return weights, v, s


def farthest(found: list, expected: list[np.ndarray]) -> float:
    return max(np.abs(np.asarray(a) - b).max() for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 5e-6), ("float64", 1e-12)])
@pytest.mark.parametrize("decay", [0.0, 0.125])
@every_kind
def test_weights_and_slots_are_those_of_the_textbook(kind, decay, dtype, tolerance):
    options = {"weight_decay": decay} | ({"momentum": 0.9} if kind in ("momentum", "nesterov") else {})
    stock, fused = make(kind, **options), fuse_updates(make(kind, **options))
    found, keras_weights = (apply_steps(optimizer, dtype)[: len(SHAPES)] for optimizer in (fused, stock))
    weights, first, second = numpy_steps(kind, decay)
    assert farthest(found, weights) <= tolerance
    assert farthest(found, weights) <= farthest(keras_weights, weights) + 1e-15
    if kind in ("momentum", "nesterov"):
        assert farthest(fused.momentums, first) <= tolerance
    if kind in ("adam", "adamw"):
        assert farthest(fused._momentums, first) <= tolerance
        assert farthest(fused._velocities, second) <= tolerance


# What is not fused


class OwnSGD(keras.optimizers.SGD):
    pass


class OwnAdam(keras.optimizers.Adam):
    pass


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.RMSprop(0.1),
        lambda: keras.optimizers.Adagrad(0.1),
        lambda: keras.optimizers.Nadam(0.1),
        lambda: keras.optimizers.Adam(0.1, amsgrad=True),
        lambda: keras.optimizers.AdamW(0.1, amsgrad=True),
        lambda: OwnSGD(0.1),
        lambda: OwnAdam(0.1),
    ],
    ids=["rmsprop", "adagrad", "nadam", "amsgrad", "amsgrad-w", "own-sgd", "own-adam"],
)
def test_other_optimizers_are_returned_as_they_are(optimizer):
    stock = optimizer()
    before = set(vars(stock))
    assert fuse_updates(stock) is stock
    assert set(vars(stock)) == before
    assert_same(apply_steps(stock), apply_steps(optimizer()), 0)


# A stock optimizer for the rest of Keras


@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.125, "clipnorm": 0.5, "learning_rate": piecewise}], ids=["default", "all"]
)
@every_kind
def test_the_configuration_is_the_stock_one(kind, options):
    stock, fused = make(kind, name="o", **options), fuse_updates(make(kind, name="o", **options))
    assert fuse_updates(stock) is stock  # the object given is the one returned
    stock = make(kind, name="o", **options)
    assert fused.get_config() == stock.get_config()
    saved = keras.saving.serialize_keras_object(fused)
    assert saved == keras.saving.serialize_keras_object(stock)
    again = keras.saving.deserialize_keras_object(saved)
    assert type(again) is type(stock)
    assert not is_fused(again)


def small_model() -> keras.Model:
    inputs = keras.Input((3,))
    initializer = keras.initializers.GlorotUniform(seed=1)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax", kernel_initializer=initializer)(inputs))


def fit(model: keras.Model) -> list[np.ndarray]:
    inputs = np.random.default_rng(5).normal(size=(24, 3)).astype(np.float32)
    model.fit(inputs, np.arange(24) % 2, batch_size=8, epochs=3, shuffle=False, verbose=0)
    return [*model.get_weights(), *(np.array(v) for v in model.optimizer.variables)]


@pytest.mark.parametrize("kind", ["nesterov", "adamw"])
def test_a_saved_model_goes_on_with_a_stock_optimizer(kind, tmp_path):
    model, plain = small_model(), small_model()
    model.compile(fuse_updates(make(kind)), "sparse_categorical_crossentropy")
    plain.compile(make(kind), "sparse_categorical_crossentropy")
    assert_same_fit(fit(model), fit(plain))
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert "zoo" not in json.dumps(json.loads(archive.read("config.json")))
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded.optimizer) is type(plain.optimizer)
    assert not is_fused(loaded.optimizer)
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
    for slot, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(slot, other)
    assert_same_fit(fit(loaded), fit(model))


def assert_same_fit(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(found) == len(expected)
    for ours, stock in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, stock, rtol=0, atol=OFF_IN_KERAS * max(0.5, np.abs(stock).max()))
