"""One set of checks over every model of the table in `model_cases.py`."""

from __future__ import annotations

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
from model_cases import REFUSED, TABLE, Case, shake

import zoo
from zoo.training.compiling import make_loss

CASES = {f"{name}-{i}": (name, case) for name, cases in TABLE.items() for i, case in enumerate(cases)}
every_case = pytest.mark.parametrize(("name", "case"), CASES.values(), ids=CASES)

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
