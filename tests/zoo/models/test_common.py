"""One table of checks over every model: a new name of `zoo.list_models()` needs an entry here."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import subprocess
import sys
from typing import Any

import zoo.startup

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import UsageError
from zoo.models.catalog import builder
from zoo.reference import DenseNetwork, numerical_gradient
from zoo.training.compiling import make_loss


@dataclasses.dataclass(frozen=True)
class Case:
    """One set of options; the numbers are counted by hand."""

    input_shape: tuple[int, ...]
    num_classes: int
    options: dict[str, Any]
    parameters: int  # all weights, moving statistics too
    trainable: int
    num_outputs: int
    num_losses: int
    shaken: float = 0.2  # how far `shake` moves a weight
    learning_rate: float = 0.01  # of a step that is to lower the loss


PENALTIES = {"l1": 2**-7, "l2": 2**-5}  # powers of two: Keras rounds the strengths through float32

TABLE: dict[str, list[Case]] = {
    "logistic": [
        # 2 weights, 1 bias
        Case((2,), 2, {}, 3, 3, 1, 0),
        # 64 weights, 1 bias
        Case((8, 8, 1), 2, {**PENALTIES, "penalize_bias": True}, 65, 65, 1, 2),
        Case((4, 3), 2, {"l1": 2**-3, "kernel_initializer": "he_normal"}, 13, 13, 1, 1),
    ],
    "softmax": [
        # 64 * 10 weights, 10 biases
        Case((8, 8, 1), 10, {}, 650, 650, 10, 0),
        # 2 * 3 weights, 3 biases
        Case((2,), 3, {"l2": 2**-4}, 9, 9, 3, 1),
        Case((2,), 3, {**PENALTIES, "penalize_bias": True}, 9, 9, 3, 2),
    ],
    "mlp": [
        # (64 * 128 + 128) + (128 * 128 + 128) + (128 * 10 + 10)
        Case((8, 8, 1), 10, {}, 26122, 26122, 10, 0),
        # (2 * 16 + 16) + (16 * 8 + 8) + (8 * 3 + 3)
        Case((2,), 3, {"units": (16, 8), "activation": "tanh", **PENALTIES}, 211, 211, 3, 3),
        # 2 * 12 + 48, twice 12 * 12 + 48 (each normalisation has 4 * 12, half of it not trained), 12 * 3 + 3
        Case(
            (2,),
            3,
            {"units": 12, "num_layers": 3, "batch_normalization": True, "dropout": 0.25, "l2": 2**-5},
            495,
            423,
            3,
            4,
        ),
        # width 13: (64 * 13 + 13) + (13 * 10 + 10); width 14 would be 1060
        Case((8, 8, 1), 10, {"parameter_budget": 1000, "num_layers": 1}, 985, 985, 10, 0),
        # no hidden layer: 2 * 3 + 3
        Case((2,), 3, {"units": ()}, 9, 9, 3, 0),
    ],
    "cnn": [
        # (9 * 1 * 32 + 32) + (9 * 32 * 64 + 64) + (2 * 2 * 64 * 128 + 128) + (128 * 10 + 10)
        Case((8, 8, 1), 10, {}, 53002, 53002, 10, 0),
        # (27 * 4 + 4) + (36 * 4 + 4) + (36 * 6 + 6) + (54 * 6 + 6) + (2 * 2 * 6 * 8 + 8) + (8 * 3 + 3)
        Case(
            (8, 8, 3),
            3,
            {"filters": (4, 6), "convolutions_per_stage": 2, "units": 8, "activation": "tanh", **PENALTIES},
            1039,
            1039,
            3,
            6,
        ),
        # (9 * 4 + 16) + (2 * 3 * 4 * 8 + 32) + (8 * 2 + 2); of the normalisations 8 + 16 are not trained
        Case(
            (5, 6, 1),
            2,
            {"filters": 4, "num_stages": 1, "units": 8, "batch_normalization": True, "dropout": 0.5, "l1": 2**-6},
            294,
            270,
            2,
            3,
        ),
    ],
    "resnet20": [
        # 9 * 3 * 16 + 6 * (9 * 16 * 16) + (9 * 16 * 32) + 5 * (9 * 32 * 32) + (9 * 32 * 64) + 5 * (9 * 64 * 64), ten outputs of
        # 64 + 1, and 4 * (7 * 16 + 6 * 32 + 6 * 64) of normalisation, half of it not trained; for 32 x 32 pixels as well.
        # Nineteen convolutions would multiply a shake of 0.2 to a million.
        Case((8, 8, 3), 10, {}, 271098, 269722, 10, 0, shaken=0.02),
        # 2 * 9 * 16 fewer in the first convolution, 7 * 65 fewer in the last layer
        Case((5, 6, 1), 3, {"kernel_initializer": "glorot_uniform", **PENALTIES}, 270355, 268979, 3, 20, shaken=0.02),
        # Two 1x1 convolutions with their normalisations: 16 * 32 + 32 * 64 + 4 * (32 + 64), half of the last not trained.
        Case((8, 8, 3), 10, {"shortcut": "projection", "l2": 2**-9}, 274042, 272474, 10, 22, shaken=0.02),
    ],
    # As above with 2 * n - 1 and 2 * n convolutions a stage, n = 5, 7, 9; 2 * (16 + 2 * n * 112) moving statistics.
    "resnet32": [Case((8, 8, 3), 10, {}, 466426, 464154, 10, 0, shaken=0.01)],
    "resnet44": [Case((8, 8, 3), 10, {}, 661754, 658586, 10, 0, shaken=0.01)],
    "resnet56": [Case((8, 8, 3), 10, {}, 857082, 853018, 10, 0, shaken=0.01)],
    # The published counts less 990 * 513 (ResNet-50: 2049) for the missing classes; 2 * 4800, 2 * 8512, 2 * 26560 moving statistics.
    "resnet18": [Case((32, 33, 3), 10, {"l2": 2**-9}, 11191242, 11181642, 10, 21, shaken=0.01)],
    "resnet34": [Case((32, 32, 3), 10, {}, 21306826, 21289802, 10, 0, shaken=0.005)],
    "resnet50": [Case((32, 32, 3), 10, {}, 23581642, 23528522, 10, 0, shaken=0.005)],
    # Convolutions 34,944 + 307,456 + 885,120 + 663,936 + 442,624; dense (256 * 4096 + 4096) + (4096 * 4096 + 4096) + 10 * 4097.
    "alexnet": [Case((67, 67, 3), 10, {"l2": 2**-9}, 20209034, 20209034, 10, 8, shaken=0.005, learning_rate=1e-5)],
    # Convolutions 23,296 + 307,392 + 663,936 + 884,992 + 590,080; dense as above.
    "alexnet_v2": [
        Case((63, 63, 3), 10, {"dropout": 0.0}, 20344650, 20344650, 10, 0, shaken=0.005, learning_rate=1e-5)
    ],
    # ResNet-20 (at random: nothing is downloaded) without its last layer, 64 * 5 + 4 * 5, half of the last not trained, 5 * 3 + 3
    "transfer": [
        Case(
            (8, 9, 1),
            3,
            {"weights": None, "image_size": 16, "units": 5, "batch_normalization": True, "dropout": 0.25},
            270806,
            269420,
            3,
            0,
            shaken=0.02,
        )
    ],
}

# What every model refuses: (input_shape, num_classes, options). `None` stands for those of its first case.
REFUSED_BY_ALL = [
    (None, 1, {}),
    (None, 0, {}),
    (None, True, {}),
    ((), None, {}),
    ((0,), None, {}),
    (None, None, {"l1": -1e-3}),
    (None, None, {"l2": -1e-3}),
    (None, None, {"l2": float("nan")}),
    (None, None, {"l1": float("inf")}),
    (None, None, {"dtype": "float16"}),
    (None, None, {"no_such_option": 1}),
]
REFUSED: dict[str, list[tuple[Any, Any, dict[str, Any]]]] = {
    "logistic": [(None, 3, {}), (None, None, {"dropout": 0.5})],
    "softmax": [(None, None, {"units": 3})],
    "mlp": [
        (None, None, {"dropout": 1.0}),
        (None, None, {"dropout": -0.1}),
        (None, None, {"dropout": float("nan")}),
        (None, None, {"units": 0}),
        (None, None, {"units": (8, 0)}),
        (None, None, {"units": True}),
        (None, None, {"num_layers": 0}),
        (None, None, {"units": (8, 8), "num_layers": 3}),
        ((2,), 3, {"parameter_budget": 10, "num_layers": 2}),  # the smallest has 1 + 7 + 3 = 11
        (None, None, {"parameter_budget": 0}),
    ],
    "cnn": [
        ((64,), None, {}),
        ((8, 8), None, {}),
        ((3, 8, 1), None, {"num_stages": 2}),
        (None, None, {"dropout": 1.0}),
        (None, None, {"filters": 0}),
        (None, None, {"filters": ()}),
        (None, None, {"filters": (4, 0)}),
        (None, None, {"filters": (4, 8), "num_stages": 3}),
        (None, None, {"num_stages": 0}),
        (None, None, {"convolutions_per_stage": 0}),
        (None, None, {"units": 0}),
    ],
    "resnet20": [
        ((64,), None, {}),
        ((8, 8), None, {}),
        ((3, 8, 3), None, {}),
        ((8, 3, 3), None, {}),
        (None, None, {"dropout": 0.5}),
        (None, None, {"num_stages": 3}),
        (None, None, {"depth": 32}),
        (None, None, {"shortcut": "identity"}),
        (None, None, {"weights": "imagenet"}),
        (None, None, {"weights": "no/such/file.th"}),
    ],
    **{
        name: [((3, 8, 3), None, {}), (None, None, {"weights": "imagenet"})]
        for name in ("resnet32", "resnet44", "resnet56")
    },
    **{
        name: [
            ((31, 32, 3), None, {}),
            ((32, 32), None, {}),
            (None, None, {"weights": "cifar10"}),
            (None, None, {"shortcut": None}),
        ]
        for name in ("resnet18", "resnet34", "resnet50")
    },
    "transfer": [
        ((64,), None, {}),
        ((8, 8, 2), None, {}),
        (None, None, {"backbone": "resnet21", "weights": None}),
        (None, None, {"backbone": "MobileNetV9", "weights": None}),
        (None, None, {"backbone": "MobileNetV2", "weights": None, "image_size": 8}),
        (None, None, {"backbone": "alexnet", "weights": None, "image_size": 32}),
        (None, None, {"backbone": keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])}),
        (None, None, {"weights": "imagenet"}),
        (None, None, {"weights": None, "units": (8, 0)}),
        (None, None, {"weights": None, "dropout": 1.0}),
        (None, None, {"weights": None, "image_size": 0}),
    ],
    **{
        name: [
            ((67, 62, 3), None, {}),
            ((67, 67), None, {}),
            (None, None, {"dropout": 1.0}),
            (None, None, {"weights": "imagenet"}),  # of images of another size
            (None, None, {"weights": "cifar10"}),
        ]
        for name in ("alexnet", "alexnet_v2")
    },
}

CASES = {f"{name}-{i}": (name, case) for name, cases in TABLE.items() for i, case in enumerate(cases)}
every_case = pytest.mark.parametrize(("name", "case"), CASES.values(), ids=CASES)
every_model = pytest.mark.parametrize("name", sorted(TABLE))

# Of blocks that another case has too: the projections of ResNet-20, and what stands before the blocks of ResNet-18, are in ResNet-50.
SAME_BLOCKS = ("resnet18-0", "resnet20-1", "resnet20-2", "resnet32-0", "resnet34-0", "resnet44-0", "resnet56-0")
STRUCTURES = {case_id: case for case_id, case in CASES.items() if case_id not in SAME_BLOCKS}
every_structure = pytest.mark.parametrize(("name", "case"), STRUCTURES.values(), ids=STRUCTURES)
# Where blocks do not matter: ResNet-18 in place of ResNet-50, which the same function builds.
SMALL = {**STRUCTURES, "resnet18-0": CASES["resnet18-0"]}
del SMALL["resnet50-0"]
every_builder = pytest.mark.parametrize(("name", "case"), SMALL.values(), ids=SMALL)

BUILT: dict[str, tuple[keras.Model, list[np.ndarray]]] = {}


@pytest.fixture(scope="module", autouse=True)
def _gives_the_memory_back():
    yield
    BUILT.clear()


def build(name: str, case: Case, **options: Any) -> keras.Model:
    """The model with its initial weights; built once for all tests, which may change its weights and nothing else."""
    if options:  # for one test alone, which sets its weights
        if case.parameters > 10**7:
            options["kernel_initializer"] = "zeros"  # drawing so many takes longer than all the rest
        return zoo.build(name, case.input_shape, case.num_classes, **{**case.options, **options})
    key = repr((name, case))
    if key not in BUILT:
        model = zoo.build(name, case.input_shape, case.num_classes, seed=0, **case.options)
        BUILT[key] = model, model.get_weights()
    model, weights = BUILT[key]
    model.set_weights(weights)
    return model


def inputs_for(case: Case, count: int = 7) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, *case.input_shape)).astype(np.float32)


def shake(model: keras.Model, most: float = 0.2) -> None:
    """Gives every weight another value, so that biases and normalisations are not at 0 and 1."""
    random = np.random.default_rng(2)
    for weight in model.weights:
        if not weight.name.startswith("seed_generator"):
            weight.assign(np.asarray(weight) + random.uniform(-most, most, weight.shape))


def is_normalised(model: keras.Model) -> bool:
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)


def is_fused(model: keras.Model) -> bool:
    """Whether a loaded file computes in another order than the model: its objects are stock ones."""
    return is_normalised(model) or any(getattr(layer, "groups", 1) > 1 for layer in model.layers)


def has_own_layers(model: keras.Model) -> bool:
    return any(type(layer).__module__.startswith("zoo.") for layer in model.layers)


def check_probabilities(outputs: np.ndarray, case: Case, tolerance: float) -> None:
    assert outputs.shape == (len(outputs), case.num_outputs)
    assert np.all((outputs >= 0) & (outputs <= 1))
    assert np.ptp(outputs) > 0  # not one constant
    if case.num_outputs > 1:
        np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=0, atol=tolerance)


def test_every_model_has_an_entry():
    assert sorted(TABLE) == zoo.list_models()
    assert sorted(REFUSED) == zoo.list_models()


@every_case
def test_has_exactly_these_parameters_outputs_and_penalties(name, case):
    model = build(name, case)
    assert model.count_params() == case.parameters
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == case.trainable
    assert model.input_shape == (None, *case.input_shape)
    assert model.output_shape == (None, case.num_outputs)
    assert model.name == name
    assert not model.compiled

    l1, l2 = case.options.get("l1", 0), case.options.get("l2", 0)
    expected = []
    if l1 or l2:
        shake(model, case.shaken)
        penalized = [
            np.asarray(w, np.float64)
            for w in model.weights
            if w.name == "kernel" or (w.name == "bias" and case.options.get("penalize_bias"))
        ]
        expected = [l1 * np.abs(w).sum() + l2 * np.square(w).sum() for w in penalized]
    assert len(model.losses) == case.num_losses == len(expected)
    np.testing.assert_allclose(sorted(float(loss) for loss in model.losses), sorted(expected), rtol=1e-6)


@every_structure
def test_gives_probabilities(name, case):
    model = build(name, case)
    shake(model, case.shaken)
    outputs = model(inputs_for(case)).numpy()
    assert outputs.dtype == np.float32
    check_probabilities(outputs, case, 1e-6)


@every_builder
def test_without_classifier_activation_gives_the_logits(name, case):
    model, logits = build(name, case), build(name, case, classifier_activation=None)
    shake(model, case.shaken)  # a narrow head on few images may be dead
    logits.set_weights(model.get_weights())
    activation = keras.ops.sigmoid if case.num_outputs == 1 else keras.ops.softmax
    inputs = inputs_for(case)
    np.testing.assert_allclose(activation(logits(inputs)), model(inputs), rtol=1e-6)
    assert logits(inputs).numpy().min() < 0


@every_structure
def test_float64(name, case):
    model, single = build(name, case, dtype="float64"), build(name, case)
    shake(single, case.shaken)
    model.set_weights(single.get_weights())
    assert {w.dtype for w in model.weights if "seed_generator" not in w.path} == {"float64"}
    inputs = inputs_for(case)
    outputs = model(inputs.astype(np.float64)).numpy()
    assert outputs.dtype == np.float64
    check_probabilities(outputs, case, 1e-14)
    np.testing.assert_allclose(outputs, single(inputs), rtol=0, atol=1e-5)


@every_builder
def test_mixed_bfloat16_gives_float32_probabilities(name, case):
    model, single = build(name, case, dtype="mixed_bfloat16"), build(name, case)
    shake(single, case.shaken)
    model.set_weights(single.get_weights())
    assert {w.dtype for w in model.weights if "seed_generator" not in w.path} == {"float32"}
    hidden = [layer for layer in model.layers[:-1] if layer.weights]
    assert all(layer.compute_dtype == "bfloat16" for layer in hidden)
    inputs = inputs_for(case)
    outputs = model(inputs).numpy()
    assert outputs.dtype == np.float32
    check_probabilities(outputs, case, 1e-6)
    np.testing.assert_allclose(outputs, single(inputs), rtol=0, atol=0.05)  # 8 bits of mantissa


@every_structure
def test_one_step_changes_every_trained_weight_and_lowers_the_loss(name, case):
    model = zoo.build(name, case.input_shape, case.num_classes, **case.options)  # one that may be compiled
    inputs, labels = inputs_for(case, 32), np.arange(32) % case.num_classes
    # Tracing is most of the time: a graph is made of the first case of each model whose kinds of layers no other has.
    eagerly = case is not TABLE[name][0] or name in ("resnet50", "transfer", "alexnet_v2")
    model.compile(keras.optimizers.SGD(case.learning_rate), make_loss(model, None), run_eagerly=eagerly)
    trains_another_function = case.options.get("dropout") or is_normalised(model)
    before = model.get_weights()
    loss = np.inf if trains_another_function else model.evaluate(inputs, labels, verbose=0)
    model.fit(inputs, labels, batch_size=32, epochs=1, verbose=0)
    for weight, old in zip(model.weights, before, strict=True):
        assert weight.path.startswith("seed_generator") or not np.array_equal(weight, old), weight.path
    if not trains_another_function:
        assert model.evaluate(inputs, labels, verbose=0) < loss


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Every case of layers of its own as a file, with the outputs that the model gave."""
    folder = tmp_path_factory.mktemp("saved")
    models = {}
    for i, (name, case) in CASES.items():
        if name.startswith(("resnet", "alexnet_v2")):  # theirs are in "transfer" and "alexnet"
            continue
        model = build(name, case)
        shake(model, case.shaken)
        model.save(folder / f"{i}.keras")
        np.savez(folder / f"{i}.npz", inputs=inputs_for(case), outputs=model(inputs_for(case), training=False))
        models[i] = model
    return folder, models


def described(model: keras.Model) -> dict[str, Any]:
    """What a loaded model has in common with the saved one, bit by bit."""
    weights = [np.ascontiguousarray(weight) for weight in model.weights]
    return {
        "layers": [layer.name for layer in model.layers],
        "weights": [[w.dtype.name, list(w.shape), hashlib.sha256(w).hexdigest()] for w in weights],
        "losses": [float(loss) for loss in model.losses],
    }


ALONE = """
import hashlib, json, pathlib, sys
from typing import Any
import keras, numpy as np

{described}

found = {{}}
for file in [pathlib.Path(sys.argv[1]) / f"{{i}}.keras" for i in sys.argv[2:]]:
    example = np.load(file.with_suffix(".npz"))
    model = keras.saving.load_model(file, safe_mode=True)
    outputs = model(example["inputs"], training=False)
    found[file.stem] = described(model) | {{"worst": float(np.abs(np.asarray(outputs) - example["outputs"]).max())}}
print(json.dumps({{"found": found, "zoo": [m for m in sys.modules if m.split(".")[0] in ("zoo", "tuning")]}}))
"""


def test_a_saved_file_is_the_same_model(saved):
    """Those that are loaded elsewhere with a tolerance are compared there alone; here no rounding is allowed."""
    folder, models = saved
    here = [i for i, model in models.items() if has_own_layers(model) or not is_fused(model)]
    assert {CASES[i][0] for i in here} == {"logistic", "softmax", "mlp", "cnn", "alexnet"}
    for i in here:
        model = models[i]
        loaded = keras.saving.load_model(folder / f"{i}.keras", safe_mode=True)
        assert described(loaded) == described(model), i
        inputs = inputs_for(CASES[i][1])
        tolerance = 1e-5 if is_fused(model) else 0
        np.testing.assert_allclose(
            loaded(inputs, training=False), model(inputs, training=False), rtol=0, atol=tolerance, err_msg=i
        )


def test_a_saved_file_needs_only_keras(saved):
    folder, models = saved
    assert {CASES[i][0] for i, model in models.items() if has_own_layers(model)} == {"alexnet"}  # the one that does not
    alone = [i for i, model in models.items() if not has_own_layers(model)]
    program = ALONE.format(described=inspect.getsource(described))
    done = subprocess.run([sys.executable, "-c", program, folder, *alone], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["zoo"] == []
    assert len(result["found"]) == len(alone) == len(models) - 1
    for i, found in result["found"].items():
        difference = found.pop("worst")
        assert difference <= (1e-5 if is_fused(models[i]) else 1e-6), (i, difference)
        assert found == described(models[i]), i


@every_model
def test_wrong_values_are_refused(name):
    first = TABLE[name][0]
    without_files = {"weights": None} if name == "transfer" else {}
    for shape, num_classes, options in [*REFUSED_BY_ALL, *REFUSED[name]]:
        shape = first.input_shape if shape is None else shape
        num_classes = first.num_classes if num_classes is None else num_classes
        try:
            zoo.build(name, shape, num_classes, **{**without_files, **options})
        except UsageError:
            continue
        pytest.fail(f"{name} accepted {shape}, {num_classes}, {options}")


@every_model
def test_an_unknown_option_names_the_nearest(name):
    first = TABLE[name][0]
    with pytest.raises(UsageError, match="did you mean 'kernel_initializer'"):
        zoo.build(name, first.input_shape, first.num_classes, kernel_initialiser="zeros")


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'softmax'"):
        zoo.build("sofmax", (2,), 3)


@every_model
def test_takes_the_same_two_positionals_and_keyword_only_options(name):
    function = builder(name)
    positional, options = [], []
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        (options if parameter.kind is parameter.KEYWORD_ONLY else positional).append(parameter)
    assert [p.name for p in positional] == ["input_shape", "num_classes"]
    assert all(p.default is not p.empty for p in options)
    assert {"dtype", "classifier_activation", "l1", "l2"} <= {p.name for p in options}
    undocumented = [p.name for p in options if f"        {p.name}: " not in (function.func.__doc__ or "")]
    assert undocumented == []


# The referee: loss and gradients in float64 against the hand-written backward pass.
REFEREED = [
    ("logistic", 2, {}, ["sigmoid"]),
    ("logistic", 2, {**PENALTIES}, ["sigmoid"]),
    ("logistic", 2, {**PENALTIES, "penalize_bias": True}, ["sigmoid"]),
    ("softmax", 4, {}, ["softmax"]),
    ("softmax", 4, {**PENALTIES}, ["softmax"]),
    ("softmax", 4, {**PENALTIES, "penalize_bias": True}, ["softmax"]),
    ("mlp", 4, {"units": (7, 5), "activation": "tanh", **PENALTIES}, ["tanh", "tanh", "softmax"]),
    ("mlp", 4, {"units": 6, "num_layers": 3, "activation": "sigmoid", "l2": 2**-4}, [*["sigmoid"] * 3, "softmax"]),
    ("mlp", 4, {"units": 6, "activation": "relu"}, ["relu", "relu", "softmax"]),
]


def total_loss(model: keras.Model, inputs: np.ndarray, labels: np.ndarray, *, training: bool = False) -> tf.Tensor:
    loss = make_loss(model, None)(labels, model(inputs, training=training))
    return tf.add_n([loss, *model.losses]) if model.losses else loss


@pytest.mark.parametrize(("name", "num_classes", "options", "activations"), REFEREED)
def test_loss_and_gradients_are_those_of_the_numpy_network(name, num_classes, options, activations):
    model = zoo.build(name, (3, 2), num_classes, dtype="float64", **options)
    shake(model)
    random = np.random.default_rng(3)
    inputs, labels = random.normal(size=(11, 3, 2)), random.integers(0, num_classes, 11)
    with tf.GradientTape() as tape:
        loss = total_loss(model, inputs, labels)
    gradients = tape.gradient(loss, [w.value for w in model.weights])

    weights = model.get_weights()
    network = DenseNetwork(weights[0::2], weights[1::2], activations)
    penalties = {k: options[k] for k in ("l1", "l2", "penalize_bias") if k in options}
    flat = inputs.reshape(11, 6)
    expected = network.backward(flat, labels, **penalties)
    assert abs(float(loss) - expected.loss.total) <= 1e-10 * abs(float(loss))
    references = [g for layer in expected.gradients for g in layer.values()]
    for gradient, reference in zip(gradients, references, strict=True):
        assert np.abs(gradient.numpy() - reference).max() <= 1e-10 * np.abs(reference).max()


@pytest.mark.parametrize(
    "options",
    [
        {"filters": (3, 4), "activation": "tanh", **PENALTIES},
        {"filters": 2, "num_stages": 1, "convolutions_per_stage": 2, "activation": "sigmoid"},
        {"filters": 3, "num_stages": 2, "activation": "tanh", "batch_normalization": True, "l2": 2**-5},
    ],
    ids=["stages", "deep-stage", "normalised"],
)
def test_gradients_of_the_cnn_are_finite_differences(options):
    model = zoo.build("cnn", (6, 5, 2), 3, units=4, dtype="float64", **options)
    shake(model)
    random = np.random.default_rng(4)
    inputs, labels = random.normal(size=(9, 6, 5, 2)), random.integers(0, 3, 9)

    @tf.function
    def loss_now() -> tf.Tensor:
        return total_loss(model, inputs, labels, training=True)

    with tf.GradientTape() as tape:
        loss = loss_now()
    gradients = tape.gradient(loss, [w.value for w in model.trainable_weights])
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        original = np.asarray(weight)
        chosen = random.choice(original.size, min(4, original.size), replace=False)

        def loss_at(values, weight=weight, original=original, chosen=chosen):
            changed = original.copy().ravel()
            changed[chosen] = values
            weight.assign(changed.reshape(original.shape))
            return float(loss_now())

        numerical = numerical_gradient(loss_at, original.ravel()[chosen])
        weight.assign(original)
        np.testing.assert_allclose(gradient.numpy().ravel()[chosen], numerical, rtol=1e-7, atol=1e-9)
