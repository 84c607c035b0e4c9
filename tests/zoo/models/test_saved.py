"""`.keras` files that were made to harm: none is loaded, nothing in them runs, and nothing that they declare is allocated."""

from __future__ import annotations

import json
from pathlib import Path

import zoo.startup  # noqa: F401  (before Keras)

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from hostile_models import HOSTILE
from keras import layers
from model_files import CONFIG, function_of, in_itself, packed, with_weights

from zoo.errors import ZooError
from zoo.models.saved import load_model_file


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


def test_nothing_is_built_twice(parts, tmp_path, monkeypatch):
    made, build = [], layers.Dense.build
    monkeypatch.setattr(layers.Dense, "build", lambda self, shape: (made.append(self), build(self, shape)))
    path = tmp_path / "model.keras"
    path.write_bytes(packed(parts))
    keras.saving.load_model(path)
    by_keras = len(made)
    load_model_file(path)
    assert len(made) == 2 * by_keras
